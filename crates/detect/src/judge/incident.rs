//! The life of an incident: opened, updated, cleared; re-opened soon it is the same one in its next generation.

use serde::{Deserialize, Serialize};
use stats::Side;
use stats::effect::{Z_GATE, closing_samples, effect};
use wire::incident::Context;
use wire::{Change, Family, Incident, IncidentId, Severity, Source, Subject, Timestamp};
use wire::{Effect, Evidence};

use super::stream::{LEAD, Moved, Null};
use crate::family::{Count, by_age};
use crate::reference::baseline::float;

/// Most streams and tests that one incident follows until they have recovered.
pub(super) const PARTS_MAX: usize = 12;
/// Nats of evidence that a change has gone.
const RECOVERED: f64 = 4.5;
/// Most that is kept of it: what returns must be seen again soon.
const SCORE_MAX: f64 = 8.0;
/// Normal quantile of the limits that are shown.
const Z_SHOWN: f64 = 3.0;
/// Slices of the last records.
const SLICES: usize = 4;
/// Slices kept, most: a slow stream takes many.
const SLICES_MAX: usize = 24;
/// A slice that fills slowly ends after so long, with what it has.
const SLICE_MAX_MS: i64 = 900_000;

/// One subject and family: at most one incident is open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) open: Option<Open>,
    past: Option<Past>,
}

/// An open incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) id: IncidentId,
    pub(super) generation: u32,
    sequence: u32,
    pub(super) severity: Severity,
    pub(super) opened_at: Timestamp,
    pub(super) parts: Vec<Part>,
    /// The largest effect that was told.
    pub(super) told: f64,
    /// A pane behind it closed without all of its data.
    pub(super) incomplete: bool,
}

/// The last one, for as long as it may re-open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Past {
    id: IncidentId,
    generation: u32,
    sequence: u32,
    cleared_at: Timestamp,
}

/// A test that moved, and its way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) stream: usize,
    pub(super) test: usize,
    pub(super) side: Side,
    pub(super) evidence: f64,
    pub(super) since: Timestamp,
    pub(super) recovery: Recovery,
    /// As it stood when it joined, or when it was last told.
    pub(super) effect: Effect,
    pub(super) value: f64,
    pub(super) reference: f64,
    pub(super) samples: u64,
}

/// The way back of a test: a CUSUM of "a tenth of the change is left" against "seven tenths are", and the last records in
/// four slices, which say how it stands.
///
/// At [`RECOVERED`] nats the chance that all of the change is still there is some `e⁻⁹` a run up from zero; what has gone is
/// seen after about `19·p(1 − p)·d/change²` records. Once the incident is open its records are no longer picked for being
/// bad, so the change is estimated again as they come, and taken for at least half of what was first seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Recovery {
    /// Records of a slice.
    need: u64,
    /// Its effect as taken when it joined, and the records that this is worth.
    joined: (f64, u64),
    /// All records since.
    since: Slice,
    /// Design effect.
    d: f64,
    /// In nats: at 0 the change is there.
    score: f64,
    /// Start of the pane in which the score last left 0.
    calm_since: Option<Timestamp>,
    /// For latency, whose next trouble is often close, in the place of the score: of what the slices show, the most.
    most_left: Option<f64>,
    slices: Vec<Slice>,
    filling: Slice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Slice {
    k: u64,
    n: u64,
    /// Records of the event that the null expects.
    expected: f64,
    from: Option<Timestamp>,
}

impl Recovery {
    /// The change as it is known now.
    fn change(&self, side: Side) -> f64 {
        let (first, worth) = (self.joined.0, float(self.joined.1));
        let seen = side.sign() * (float(self.since.k) - self.since.expected);
        ((first * worth + seen) / (worth + float(self.since.n)).max(1.0)).clamp(0.5 * first, 1.5 * first)
    }

    fn weigh(&mut self, count: Count, null: f64, side: Side, from: Timestamp) {
        let change = self.change(side);
        let left = |part: f64| (null + side.sign() * part * change).clamp(1e-6, 1.0 - 1e-6);
        let (gone, there) = (left(0.1), left(0.7));
        let (k, n) = (float(count.k.min(count.n)), float(count.n));
        let ratio = k * libm::log(gone / there) + (n - k) * libm::log((1.0 - gone) / (1.0 - there));
        self.score = (self.score + ratio / self.d).clamp(0.0, SCORE_MAX);
        if self.score > 0.0 {
            self.calm_since.get_or_insert(from);
        } else {
            self.calm_since = None;
        }
    }

    /// The last slices: at least four, and as many as hold the records it takes; of few records the last four.
    fn last(&self) -> Option<&[Slice]> {
        let least = self.slices.len().checked_sub(SLICES)?;
        let need = self.need.saturating_mul(SLICES as u64);
        let records = |from: usize| self.slices[from..].iter().map(|slice| slice.n).sum::<u64>();
        let from = (0..=least).rev().find(|from| records(*from) >= need).unwrap_or(least);
        Some(&self.slices[from..])
    }

    /// Of too many slices the older ones become one, two by two.
    fn thin(&mut self) {
        if self.slices.len() <= SLICES_MAX {
            return;
        }
        let recent = self.slices.split_off(self.slices.len() - SLICES);
        let pairs = std::mem::take(&mut self.slices);
        self.slices =
            pairs.chunks(2).map(|pair| pair.iter().copied().fold(Slice::default(), Slice::plus)).collect();
        self.slices.extend(recent);
    }
}

impl Slice {
    fn plus(self, later: Self) -> Self {
        Self {
            k: self.k.saturating_add(later.k),
            n: self.n.saturating_add(later.n),
            expected: self.expected + later.expected,
            from: self.from.or(later.from),
        }
    }
}

impl Part {
    pub(super) fn new(stream: usize, moved: &Moved, family: Family) -> Self {
        // What raised the alarm was picked for being large.
        let first = (moved.estimate + moved.lower) / 2.0;
        let share = (moved.null + moved.side.sign() * moved.estimate).clamp(0.0, 1.0);
        let spread = |share: f64| (share * (1.0 - share), share);
        let wider = if spread(share).0 >= spread(moved.null).0 { share } else { moved.null };
        let need = closing_samples(wider, moved.d, moved.estimate).div_ceil(SLICES as u64);
        let filling = Slice::default();
        Self {
            stream,
            test: moved.test,
            side: moved.side,
            evidence: moved.evidence,
            since: moved.since,
            recovery: Recovery {
                need,
                joined: (first, moved.samples / 3),
                since: Slice::default(),
                d: moved.d,
                score: 0.0,
                most_left: by_age(family).then_some(0.4 * moved.estimate),
                calm_since: None,
                slices: vec![],
                filling,
            },
            effect: shown(moved),
            value: share,
            reference: moved.null,
            samples: moved.samples,
        }
    }

    /// Takes in a judged pane . `least_ms` is how long a recovery must last.
    pub(super) fn follow(
        &mut self,
        count: Count,
        null: Null,
        (from, until): (Timestamp, Timestamp),
        least_ms: i64,
    ) {
        let recovery = &mut self.recovery;
        recovery.weigh(count, null.rate, self.side, from);
        let pane =
            Slice { k: count.k.min(count.n), n: count.n, expected: null.rate * float(count.n), from: None };
        recovery.since = recovery.since.plus(pane);
        let slice = &mut recovery.filling;
        let lasted_ms = until.since_ms(*slice.from.get_or_insert(from));
        slice.k = slice.k.saturating_add(count.k.min(count.n));
        slice.n = slice.n.saturating_add(count.n);
        slice.expected += null.rate * float(count.n);
        let full = slice.n >= recovery.need && lasted_ms * SLICES as i64 >= least_ms;
        if full || (slice.n > 0 && lasted_ms >= SLICE_MAX_MS) {
            let full = std::mem::take(&mut recovery.filling);
            recovery.slices.push(full);
            recovery.thin();
        }
    }

    /// Its effect over the last slices, with the share and the null's share. `None` until all have ended.
    pub(super) fn now(&self) -> Option<Recent> {
        let last = self.recovery.last()?;
        let (k, n, expected) =
            last.iter().fold((0, 0, 0.0), |(k, n, expected), s| (k + s.k, n + s.n, expected + s.expected));
        let reference = (expected / float(n.max(1))).clamp(0.0, 1.0);
        // The reference is known from far more records than four slices hold.
        let e = effect(k.min(n), n, reference, f64::INFINITY, self.recovery.d, self.side, Z_GATE)?;
        Some(Recent {
            value: float(k) / float(n.max(1)),
            reference,
            effect: Effect { estimate: e.estimate, lower: e.lower, upper: e.upper },
            samples: n,
            from: last.first()?.from?,
        })
    }

    /// Start of the oldest records that its numbers are read from.
    pub(super) fn recovery_from(&self) -> Option<Timestamp> {
        self.recovery.slices.first().and_then(|slice| slice.from)
    }

    /// The same, if the slices hold as many records as they should.
    pub(super) fn now_for_sure(&self) -> Option<Recent> {
        self.now().filter(|now| now.samples >= self.recovery.need.saturating_mul(SLICES as u64))
    }

    /// Whether it is back, and has been for `least_ms`.
    pub(super) fn recovered(&self, at: Timestamp, least_ms: i64) -> bool {
        if let Some(most) = self.recovery.most_left {
            let Some(now) = self.now() else { return false };
            // Of few records the limit is taken twice as wide: it is too narrow where hardly an event is left.
            let wide = 2.0 * now.effect.upper - now.effect.estimate;
            let left = if self.now_for_sure().is_some() { now.effect.estimate } else { wide };
            return left < most && at.since_ms(now.from) >= least_ms;
        }
        let calm = self.recovery.calm_since.filter(|_| self.recovery.score >= RECOVERED);
        calm.is_some_and(|since| at.since_ms(since) >= least_ms)
    }
}

/// Limits as an incident shows them. Read at the moment of an alarm over a window picked for its evidence, a limit of
/// 1.645 deviations is beyond the truth in up to 39 of 100; of three in fewer than ten.
fn shown(moved: &Moved) -> Effect {
    let wider = Z_SHOWN / Z_GATE;
    Effect {
        estimate: moved.estimate,
        lower: moved.estimate - wider * (moved.estimate - moved.lower),
        upper: moved.estimate + wider * (moved.upper - moved.estimate),
    }
}

/// A test over its last slices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Recent {
    pub(super) value: f64,
    pub(super) reference: f64,
    pub(super) effect: Effect,
    pub(super) samples: u64,
    pub(super) from: Timestamp,
}

/// What an incident's record says beside its life.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) title: String,
    pub(super) evidence: Evidence,
    pub(super) context: Context,
}

/// Whose incident it is.
#[derive(Clone, Debug)]
pub(super) struct Whose<'a> {
    pub(super) namespace: &'a str,
    pub(super) subject: Subject,
    pub(super) family: Family,
    /// What is found of the subject is a drill.
    pub(super) drill: bool,
}

impl Open {
    /// Whether what it was opened for is back, and has been for `least_ms`. A part that held next to nothing of the evidence is
    /// told of, and does not keep it open: its records may be few.
    pub(super) fn has_recovered(&self, at: Timestamp, least_ms: i64) -> bool {
        let most = self.parts.iter().map(|part| part.evidence).fold(0.0, f64::max);
        let mut held = self.parts.iter().filter(|part| part.evidence >= LEAD * most);
        !self.parts.is_empty() && held.all(|part| part.recovered(at, least_ms))
    }
}

impl Case {
    /// True when nothing needs to be remembered.
    pub(super) fn is_over(&self, now: Timestamp, reopen_ms: i64) -> bool {
        self.open.is_none() && self.past.as_ref().is_none_or(|past| now.since_ms(past.cleared_at) > reopen_ms)
    }

    /// Opens. `first_pane` is the start of the pane in which it did, `at` that pane's end.
    pub(super) fn open(
        &mut self,
        whose: &Whose<'_>,
        severity: Severity,
        (first_pane, at): (Timestamp, Timestamp),
        reopen_ms: i64,
    ) -> &mut Open {
        let again = self.past.take().filter(|past| at.since_ms(past.cleared_at) <= reopen_ms);
        let (id, generation, sequence) = match again {
            Some(past) => (past.id, past.generation + 1, past.sequence),
            None => {
                let (name, family) = (whose.namespace, whose.family);
                (Incident::id_of(name, Source::Detector, &whose.subject, family, first_pane), 1, 0)
            }
        };
        self.open.insert(Open {
            id,
            generation,
            sequence,
            severity,
            opened_at: at,
            parts: vec![],
            told: 0.0,
            incomplete: false,
        })
    }

    /// Writes the next record of the open incident. `None` if none is open. A cleared one is over.
    pub(super) fn tell(
        &mut self,
        whose: &Whose<'_>,
        change: Change,
        at: Timestamp,
        told: Told,
    ) -> Option<Incident> {
        let open = self.open.as_mut()?;
        open.sequence += 1;
        let incident = Incident {
            incident_id: open.id.clone(),
            generation: open.generation,
            sequence: open.sequence,
            change,
            namespace: whose.namespace.to_owned(),
            source: Source::Detector,
            severity: open.severity,
            family: whose.family,
            subject: whose.subject.clone(),
            opened_at: open.opened_at,
            changed_at: at,
            title: told.title,
            evidence: told.evidence,
            context: told.context,
            drill: whose.drill,
        };
        if change == Change::Cleared {
            let Open { id, generation, sequence, .. } = self.open.take()?;
            self.past = Some(Past { id, generation, sequence, cleared_at: at });
        }
        Some(incident)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(minute * 60_000)
    }

    fn whose() -> Whose<'static> {
        Whose { namespace: "n", subject: Subject::model("m", "v"), family: Family::Latency, drill: false }
    }

    fn told() -> Told {
        let evidence = Evidence {
            statistic: "latency.share_over".into(),
            value: 0.5,
            reference: 0.1,
            unit: "share".into(),
            effect: Effect::default(),
            evidence: 1.0,
            samples: 10,
            window: [at(0), at(1)],
            contributors: vec![],
            profile: None,
        };
        Told { title: "slow".into(), evidence, context: Context::default() }
    }

    fn live(case: &mut Case, opens: i64, clears: i64) -> [Incident; 2] {
        const REOPEN_MS: i64 = 3_600_000;
        let whose = whose();
        case.open(&whose, Severity::Sev2, (at(opens - 1), at(opens)), REOPEN_MS);
        let opened = case.tell(&whose, Change::Opened, at(opens), told()).unwrap();
        let cleared = case.tell(&whose, Change::Cleared, at(clears), told()).unwrap();
        assert!(case.open.is_none());
        [opened, cleared]
    }

    #[test]
    fn soon_again_is_the_next_generation_and_later_another_incident() {
        let mut case = Case::default();
        let [first, _] = live(&mut case, 10, 20);
        let [again, over] = live(&mut case, 50, 60);
        let [other, _] = live(&mut case, 121, 130);
        let of = |i: &Incident| (i.generation, i.sequence);
        assert_eq!([of(&first), of(&again), of(&over), of(&other)], [(1, 1), (2, 3), (2, 4), (1, 1)]);
        assert_eq!(first.incident_id, again.incident_id);
        assert_ne!(first.incident_id, other.incident_id);
        assert_eq!((first.opened_at, again.opened_at), (at(10), at(50)));
        let subject = Subject::model("m", "v");
        assert_eq!(
            first.incident_id,
            Incident::id_of("n", Source::Detector, &subject, Family::Latency, at(9))
        );
        assert!(!case.is_over(at(150), 3_600_000) && case.is_over(at(191), 3_600_000));
    }

    fn part() -> Part {
        let moved = Moved {
            test: 0,
            side: Side::Up,
            evidence: 1.0,
            lower: 0.2,
            estimate: 0.3,
            upper: 0.4,
            sure: None,
            samples: 100,
            k: 40,
            null: 0.1,
            d: 1.0,
            since: at(0),
        };
        Part::new(0, &moved, Family::Accuracy)
    }

    fn null() -> Null {
        Null::of(0.1, 1e6, 1.0)
    }

    #[test]
    fn it_recovers_when_enough_records_say_so_and_not_before() {
        let mut part = part();
        let fed = |part: &mut Part, share_of_100: u64, from: i64| {
            (0..40).for_each(|i| {
                part.follow(Count::new(share_of_100 / 4, 25), null(), (at(from + i), at(from + i + 1)), 0);
            });
        };
        fed(&mut part, 40, 0);
        let now = part.now().unwrap();
        assert!((now.effect.estimate - 0.3).abs() < 1e-9 && !part.recovered(at(40), 0));
        part.follow(Count::new(2, 25), null(), (at(40), at(41)), 0);
        assert!(!part.recovered(at(41), 0), "a single good pane is no recovery");
        fed(&mut part, 12, 42);
        assert!(part.recovered(at(82), 0), "{:?}", part.now());
        assert!(!part.recovered(at(82), 3_600_000), "it must last");
    }
    /// Seconds until a part has recovered that is fed so many good records every ten seconds, at most two hours.
    fn recovers_after(records: u64) -> Option<i64> {
        let mut part = part();
        let after = |pane: i64| Timestamp::EPOCH.plus_ms(pane * 10_000);
        (1..720)
            .find(|pane| {
                let panes = (after(pane - 1), after(*pane));
                part.follow(Count::new(records / 10, records), null(), panes, 300_000);
                part.recovered(after(*pane), 300_000)
            })
            .map(|pane| pane * 10)
    }

    #[test]
    fn a_busy_stream_recovers_in_the_least_time_and_a_quiet_one_in_an_hour() {
        assert_eq!(recovers_after(100_000), Some(300));
        assert_eq!(recovers_after(20), Some(300));
        assert_eq!(recovers_after(0), None, "silence is no recovery");
        let mut part = part();
        let hour = |quarter: i64| (at(15 * quarter), at(15 * quarter + 15));
        (0..4).for_each(|quarter| part.follow(Count::new(0, 10), null(), hour(quarter), 300_000));
        assert!(part.recovered(at(60), 300_000), "40 records rule out half of a change by 30 points");
        let mut part = self::part();
        (4..8).for_each(|quarter| part.follow(Count::new(0, 2), null(), hour(quarter), 300_000));
        assert!(!part.recovered(at(120), 300_000), "8 records do not");
    }
}
