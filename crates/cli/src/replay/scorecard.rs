//! A replay against a truth, beside a dummy that alarms at fixed intervals.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::truth::{Alarm, Clock, Fate, Planted, Span, Truth};
use crate::term::{Look, Out, span as spelled, visible};

/// Offsets of the dummy's intervals that its results are the mean of: one alone would be luck.
const OFFSETS: u32 = 20;
const DAY_MS: f64 = 86_400_000.0;

/// What came of it, per family and kind of change.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Scorecard {
    pub(super) file: PathBuf,
    pub(super) changes: Vec<Told>,
    pub(super) kinds: Vec<KindOf>,
    pub(super) families: Vec<FamilyOf>,
    /// Incidents of families that the truth says nothing about.
    pub(super) unscored: usize,
    pub(super) dummy_offsets: u32,
}

/// One planted change.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    pub(super) family: &'static str,
    pub(super) what: String,
    pub(super) start: wire::Timestamp,
    /// `found`, `missed` or `not_due`.
    pub(super) fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delay_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delay_predictions: Option<f64>,
}

/// All changes of one kind in one family.
#[derive(Clone, Debug, Serialize)]
pub(super) struct KindOf {
    pub(super) family: &'static str,
    pub(super) kind: String,
    pub(super) due: usize,
    pub(super) found: usize,
    /// Medians over those found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delay_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delay_predictions: Option<f64>,
    pub(super) dummy_found: f64,
}

/// One family as a whole.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FamilyOf {
    pub(super) family: &'static str,
    pub(super) due: usize,
    pub(super) found: usize,
    pub(super) false_incidents: usize,
    /// Days of a model in which an incident is false.
    pub(super) quiet_model_days: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) false_per_model_day: Option<f64>,
    /// Incidents raised, which is what the dummy raises too.
    pub(super) raised: usize,
    pub(super) dummy_found: f64,
    pub(super) dummy_false: f64,
}

impl Scorecard {
    /// Scores the alarms and as many at fixed intervals.
    pub(super) fn new(file: PathBuf, truth: &Truth, alarms: &[Alarm], clock: &Clock) -> Self {
        let planted = truth.planted();
        let Some(span) = clock.span else {
            return Self::of_nothing(file, &planted);
        };
        let outcome = truth.judge(alarms, clock, span);
        let dummies: Vec<_> =
            (0..OFFSETS).map(|offset| truth.judge(&dummy(alarms, span, offset), clock, span)).collect();
        let by_chance = |of: &dyn Fn(usize) -> bool| {
            let found = dummies.iter().flat_map(|dummy| dummy.fates.iter().enumerate());
            let n = found.filter(|(i, fate)| matches!(fate, Fate::Found { .. }) && of(*i)).count();
            mean(n)
        };
        let kinds = kinds(&planted, &outcome.fates, &by_chance);
        let family = |family: &'static str| {
            let of = |i: usize| planted[i].family == family;
            let fates = || outcome.fates.iter().enumerate().filter(|(i, _)| of(*i)).map(|(_, fate)| fate);
            let wrong = |of: &[(&'static str, usize)]| of.iter().filter(|(of, _)| *of == family).count();
            let false_incidents = wrong(&outcome.wrong);
            let days = days(truth.quiet_ms(family, clock, span));
            FamilyOf {
                family,
                due: fates().filter(|fate| **fate != Fate::NotDue).count(),
                found: fates().filter(|fate| matches!(fate, Fate::Found { .. })).count(),
                false_incidents,
                quiet_model_days: days,
                false_per_model_day: (days > 0.0).then(|| float(false_incidents) / days),
                raised: alarms
                    .iter()
                    .filter(|a| !a.rose && truth.family_of(a.family) == Some(family))
                    .count(),
                dummy_found: by_chance(&of),
                dummy_false: mean(dummies.iter().map(|dummy| wrong(&dummy.wrong)).sum()),
            }
        };
        let families = truth.families().into_iter().map(family).filter(|f| f.due + f.raised > 0).collect();
        let changes = planted.iter().zip(&outcome.fates).map(told).collect();
        Self { file, changes, kinds, families, unscored: outcome.unscored.len(), dummy_offsets: OFFSETS }
    }

    fn of_nothing(file: PathBuf, planted: &[Planted]) -> Self {
        let changes = planted.iter().map(|planted| told((planted, &Fate::NotDue))).collect();
        Self { file, changes, kinds: vec![], families: vec![], unscored: 0, dummy_offsets: OFFSETS }
    }

    /// Found, due, found by the dummy.
    pub(super) fn totals(&self) -> (usize, usize, f64) {
        self.families
            .iter()
            .fold((0, 0, 0.0), |(found, due, dummy), f| (found + f.found, due + f.due, dummy + f.dummy_found))
    }

    /// The same in a sentence or two.
    pub(super) fn sentence(&self) -> String {
        let (found, due, dummy) = self.totals();
        let raised: usize = self.families.iter().map(|f| f.raised).sum();
        let wrong: usize = self.families.iter().map(|f| f.false_incidents).sum();
        let by_dummy: f64 = self.families.iter().map(|f| f.dummy_false).sum();
        let alarms = if raised == 1 { "1 alarm".to_owned() } else { format!("{raised} alarms") };
        let mut text = format!(
            "{found} of {due} changes found, {wrong} false incidents. A dummy that raises as many alarms ({alarms}) at \
             fixed intervals finds {dummy:.1} and raises {by_dummy:.1} false ones (mean of {OFFSETS} offsets)."
        );
        if raised > 0 && due > 0 && float(found) <= dummy {
            text.push_str(" That is no better than the dummy.");
        }
        if self.unscored > 0 {
            text.push_str(&format!(
                " {} incidents are of families that this truth says nothing about.",
                self.unscored
            ));
        }
        text
    }

    /// Prints it for people.
    pub(super) fn say(&self, out: &Out) {
        out.line("");
        out.line(out.paint(Look::Bold, format!("Against {}", visible(&self.file.display().to_string()))));
        let width = self.kinds.iter().map(|k| k.kind.chars().count()).max().unwrap_or(0).clamp(4, 40) + 2;
        let head = format!(
            "  {:<14}{:<width$}{:<10}{:<32}{}",
            "FAMILY", "KIND", "FOUND", "MEDIAN DELAY", "DUMMY FINDS"
        );
        out.line(out.paint(Look::Dim, head));
        for k in &self.kinds {
            let look = if k.found == k.due { Look::Green } else { Look::Red };
            let found = out.paint(look, format!("{:<10}", format!("{} of {}", k.found, k.due)));
            let (family, kind) = (k.family, visible(&k.kind));
            out.line(format!("  {family:<14}{kind:<width$}{found}{:<32}{:.2}", delay(k), k.dummy_found));
        }
        out.line(out.paint(
            Look::Dim,
            format!("  {:<14}{:<18}{:<22}{}", "FAMILY", "FALSE INCIDENTS", "A MODEL-DAY", "DUMMY'S FALSE"),
        ));
        for f in &self.families {
            let look = if f.false_incidents == 0 { Look::Green } else { Look::Red };
            let wrong = out.paint(look, format!("{:<18}", f.false_incidents));
            let rate = match f.false_per_model_day {
                Some(rate) => format!("{rate:.2} over {:.1} days", f.quiet_model_days),
                None => "no quiet time".to_owned(),
            };
            out.line(format!("  {:<14}{wrong}{rate:<22}{:.1}", f.family, f.dummy_false));
        }
        out.line(self.sentence());
    }
}

fn delay(of: &KindOf) -> String {
    match (of.delay_s, of.delay_predictions) {
        (Some(s), Some(n)) => {
            #[expect(clippy::cast_possible_truncation, reason = "a delay in seconds; saturates")]
            let ms = (s * 1000.0) as i64;
            format!("{}, {n:.0} predictions", spelled(ms))
        }
        (None, _) | (_, None) => "–".to_owned(),
    }
}

fn told((planted, fate): (&Planted, &Fate)) -> Told {
    let (name, delay) = match *fate {
        Fate::Found { delay_ms, predictions, .. } => ("found", Some((seconds(delay_ms), predictions))),
        Fate::Missed => ("missed", None),
        Fate::NotDue => ("not_due", None),
    };
    Told {
        family: planted.family,
        what: planted.what.clone(),
        start: planted.start,
        fate: name,
        delay_s: delay.map(|(s, _)| s),
        delay_predictions: delay.map(|(_, n)| n),
    }
}

fn kinds(planted: &[Planted], fates: &[Fate], by_chance: &ByChance<'_>) -> Vec<KindOf> {
    let mut groups: BTreeMap<(&'static str, &str), Vec<usize>> = BTreeMap::new();
    for (i, planted) in planted.iter().enumerate() {
        if fates[i] != Fate::NotDue {
            groups.entry((planted.family, planted.kind.as_str())).or_default().push(i);
        }
    }
    let one = |((family, kind), of): ((&'static str, &str), Vec<usize>)| {
        let delays = || {
            of.iter().filter_map(|&i| match fates[i] {
                Fate::Found { delay_ms, predictions, .. } => Some((seconds(delay_ms), predictions)),
                Fate::Missed | Fate::NotDue => None,
            })
        };
        KindOf {
            family,
            kind: kind.to_owned(),
            due: of.len(),
            found: delays().count(),
            delay_s: median(delays().map(|(s, _)| s).collect()),
            delay_predictions: median(delays().map(|(_, n)| n).collect()),
            dummy_found: by_chance(&|i| of.contains(&i)),
        }
    };
    groups.into_iter().map(one).collect()
}

/// How many of some changes the dummy finds.
type ByChance<'a> = dyn Fn(&dyn Fn(usize) -> bool) -> f64 + 'a;

/// As many alarms of each subject and urgency, evenly spread over what was judged, shifted by a part of the interval.
fn dummy(alarms: &[Alarm], span: Span, offset: u32) -> Vec<Alarm> {
    let mut incidents: Vec<Alarm> = vec![];
    for alarm in alarms {
        let same =
            |i: &&mut Alarm| (&i.model, &i.version, i.family) == (&alarm.model, &alarm.version, alarm.family);
        match incidents.iter_mut().rev().find(same).filter(|_| alarm.rose) {
            // An incident that rose to a page is one page.
            Some(incident) => incident.urgency = alarm.urgency,
            None => incidents.push(Alarm { rose: false, ..alarm.clone() }),
        }
    }
    let mut of: BTreeMap<_, Vec<Alarm>> = BTreeMap::new();
    for one in incidents {
        let key = (one.model.clone(), one.version.clone(), one.family, one.urgency);
        of.entry(key).or_default().push(one);
    }
    let length = i64::max(span.through.since_ms(span.from), 0);
    let mut all = vec![];
    for mut group in of.into_values() {
        // Twice the offsets, so that each stands in the middle of its part of an interval.
        let parts = 2 * i64::from(OFFSETS) * i64::try_from(group.len()).unwrap_or(i64::MAX);
        let mut part = 2 * i64::from(offset) + 1;
        for alarm in &mut group {
            let ms = i128::from(length) * i128::from(part) / i128::from(parts.max(1));
            alarm.at = span.from.plus_ms(i64::try_from(ms).unwrap_or(length));
            part += 2 * i64::from(OFFSETS);
        }
        all.extend(group);
    }
    all.sort_by_key(|alarm| alarm.at);
    all
}

fn mean(n: usize) -> f64 {
    float(n) / f64::from(OFFSETS)
}

#[expect(clippy::cast_precision_loss, reason = "counts of incidents")]
fn float(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of some years")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn days(ms: i64) -> f64 {
    seconds(ms) * 1000.0 / DAY_MS
}

fn median(mut of: Vec<f64>) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    let half = of.len() / 2;
    if of.len().is_multiple_of(2) {
        Some(0.5 * (of.get(half.checked_sub(1)?)? + of[half]))
    } else {
        of.get(half).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::Urgency;
    use wire::{Family, Timestamp};

    fn at(minute: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(minute * 60_000)
    }

    fn alarm(family: Family, minute: i64, rose: bool) -> Alarm {
        let urgency = if rose { Urgency::Page } else { Urgency::Ticket };
        Alarm { model: "m".into(), version: None, family, urgency, at: at(minute), rose }
    }

    #[test]
    fn a_dummy_raises_as_many_incidents_evenly() {
        let alarms = [
            alarm(Family::Latency, 3, false),
            alarm(Family::Latency, 4, true),
            alarm(Family::Drift, 5, false),
            alarm(Family::Drift, 6, false),
        ];
        let span = Span { from: at(0), through: at(80) };
        let when = |offset: u32, family: Family| -> Vec<i64> {
            let dummy = dummy(&alarms, span, offset);
            dummy.iter().filter(|a| a.family == family).map(|a| a.at.as_ms() / 60_000).collect()
        };
        assert_eq!((when(0, Family::Latency), when(19, Family::Latency)), (vec![2], vec![78]));
        assert_eq!((when(0, Family::Drift), when(19, Family::Drift)), (vec![1, 41], vec![39, 79]));
        let page = dummy(&alarms, span, 0).into_iter().find(|a| a.family == Family::Latency);
        assert_eq!(page.map(|a| a.urgency), Some(Urgency::Page));
    }

    #[test]
    fn medians() {
        for (of, want) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![4.0, 1.0], Some(2.5)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
        ] {
            assert_eq!(median(of.clone()), want, "{of:?}");
        }
    }
}
