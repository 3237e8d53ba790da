//! Judges the incidents of a run against its truth.

use serde::{Deserialize, Serialize};
use wire::{Family, Timestamp};

use crate::truth::{Change, Truth, Urgency};

/// One time that an incident opened, or rose from a ticket to a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub model: String,
    /// `None` when the incident is about the model as a whole.
    pub version: Option<String>,
    pub family: Family,
    pub severity: Urgency,
    /// Event time.
    pub opened: Timestamp,
}

/// What was found, missed and false. Numbers are positions: of changes in [`Truth::changes`], of incidents in
/// what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    pub found: Vec<Found>,
    /// Changes without an incident of their family and urgency by `detect_by`.
    pub missed: Vec<usize>,
    /// Changes whose `detect_by` lies beyond what was played: nobody can say.
    pub pending: Vec<usize>,
    /// Pages that no change explains, or that woke someone for a ticket's worth.
    pub false_pages: Vec<usize>,
    pub false_tickets: Vec<usize>,
    /// Incidents of a change after the one that found it: it should have been one.
    pub repeats: Vec<usize>,
}

/// A change and the incident that found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub change: usize,
    pub seen: usize,
    /// From the start of the change to the opening, at least 0.
    pub delay_ms: i64,
}

impl Score {
    /// All that could be found was, and nothing else paged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missed.is_empty() && self.false_pages.is_empty()
    }
}

/// An incident may carry the start of the pane in which it opened: so much earlier than the change it may be.
const PANE_SLACK_MS: i64 = 120_000;

/// Scores a run that was played to `through` (event time).
///
/// An incident belongs to a change of its model while the change can still be felt, if it is of the change's family
/// and version, or of a family that the change may set off. The earliest one of the change's own family that is
/// urgent enough finds it. What belongs to no change is false.
#[must_use]
pub fn score(truth: &Truth, seen: &[Seen], through: Timestamp) -> Score {
    let mut score = Score::default();
    let mut order: Vec<usize> = (0..seen.len()).collect();
    order.sort_by_key(|&i| seen[i].opened);
    for (c, change) in truth.changes.iter().enumerate() {
        let first = order.iter().copied().find(|&i| {
            own(change, &seen[i]) && seen[i].severity >= change.severity && seen[i].opened <= change.detect_by
        });
        match first {
            Some(i) => {
                let delay_ms = seen[i].opened.since_ms(change.start).max(0);
                score.found.push(Found { change: c, seen: i, delay_ms });
            }
            None if change.detect_by > through => score.pending.push(c),
            None => score.missed.push(c),
        }
    }
    for i in order {
        score.place(truth, seen, i);
    }
    score
}

impl Score {
    /// Files one incident under false or repeated, if it is either.
    fn place(&mut self, truth: &Truth, seen: &[Seen], i: usize) {
        let one = &seen[i];
        let excused = truth.changes.iter().any(|change| may(change, one));
        let mut own_changes =
            truth.changes.iter().enumerate().filter(|(_, change)| own(change, one)).peekable();
        if own_changes.peek().is_none() {
            match one.severity {
                _ if excused => (),
                Urgency::Page => self.false_pages.push(i),
                Urgency::Ticket => self.false_tickets.push(i),
            }
            return;
        }
        let (mut deserved, mut repeated) = (false, false);
        for (c, change) in own_changes {
            deserved |= one.severity <= change.severity;
            // A ticket before the page that finds it is the same incident on its way up.
            repeated |=
                self.found.iter().any(|f| f.change == c && f.seen != i && seen[f.seen].opened <= one.opened);
        }
        if !deserved && !excused {
            self.false_pages.push(i);
        }
        if repeated && !self.found.iter().any(|f| f.seen == i) {
            self.repeats.push(i);
        }
    }
}

fn felt(change: &Change, seen: &Seen) -> bool {
    seen.model == change.model
        && seen.opened.since_ms(change.start) >= -PANE_SLACK_MS
        && change.settled.is_none_or(|settled| seen.opened <= settled)
}

fn own(change: &Change, seen: &Seen) -> bool {
    felt(change, seen)
        && seen.family == change.family
        && seen.version.as_ref().is_none_or(|version| *version == change.version)
}

fn may(change: &Change, seen: &Seen) -> bool {
    felt(change, seen) && change.may.contains(&seen.family)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::ChangeKind;

    fn at(minute: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(minute * 60_000)
    }

    fn change(family: Family, severity: Urgency, (start, end): (i64, i64)) -> Change {
        Change {
            model: "fraud".into(),
            version: "v1".into(),
            family,
            kind: ChangeKind::Slower,
            size: 3.0,
            feature: None,
            start: at(start),
            end: Some(at(end)),
            detect_by: at(start + 10),
            settled: Some(at(end + 15)),
            severity,
            may: vec![Family::Availability],
            what: String::new(),
        }
    }

    fn seen(family: Family, version: &str, severity: Urgency, minute: i64) -> Seen {
        let version = Some(version.to_owned()).filter(|v| !v.is_empty());
        Seen { model: "fraud".into(), version, family, severity, opened: at(minute) }
    }

    fn truth() -> Truth {
        Truth {
            scenario: "test".into(),
            seed: 0,
            start: at(0),
            end: at(200),
            changes: vec![
                change(Family::Latency, Urgency::Page, (20, 40)),
                change(Family::Drift, Urgency::Ticket, (100, 120)),
            ],
            benign: vec![],
        }
    }

    const PAGE: Urgency = Urgency::Page;
    const TICKET: Urgency = Urgency::Ticket;

    /// Found with the delay in minutes, missed, pending, false pages, false tickets, repeats.
    type Want = (Vec<(usize, i64)>, Vec<usize>, Vec<usize>, Vec<usize>, Vec<usize>, Vec<usize>);

    /// Name, what was seen, minutes played, what should come of it.
    type Row = (&'static str, Vec<Seen>, i64, Want);

    fn drift() -> Seen {
        seen(Family::Drift, "v1", TICKET, 105)
    }

    fn found_and_missed() -> Vec<Row> {
        vec![
            ("silence", vec![], 200, (vec![], vec![0, 1], vec![], vec![], vec![], vec![])),
            ("silence, cut short", vec![], 50, (vec![], vec![0], vec![1], vec![], vec![], vec![])),
            (
                "all found",
                vec![drift(), seen(Family::Latency, "v1", PAGE, 22)],
                200,
                (vec![(0, 2), (1, 5)], vec![], vec![], vec![], vec![], vec![]),
            ),
            (
                "about the model as a whole, dated to the pane's start",
                vec![seen(Family::Latency, "", PAGE, 19), drift()],
                200,
                (vec![(0, 0), (1, 5)], vec![], vec![], vec![], vec![], vec![]),
            ),
            (
                "a ticket where a page was due is no find, and not false",
                vec![seen(Family::Latency, "v1", TICKET, 22), drift()],
                200,
                (vec![(1, 5)], vec![0], vec![], vec![], vec![], vec![]),
            ),
            (
                "a ticket that becomes a page",
                vec![seen(Family::Latency, "v1", TICKET, 21), seen(Family::Latency, "v1", PAGE, 24), drift()],
                200,
                (vec![(0, 4), (1, 5)], vec![], vec![], vec![], vec![], vec![]),
            ),
        ]
    }

    fn repeated_and_false() -> Vec<Row> {
        vec![
            (
                "found twice",
                vec![seen(Family::Latency, "v1", PAGE, 22), seen(Family::Latency, "v1", PAGE, 30), drift()],
                200,
                (vec![(0, 2), (1, 5)], vec![], vec![], vec![], vec![], vec![1]),
            ),
            (
                "too late is missed and not false",
                vec![seen(Family::Latency, "v1", PAGE, 35), drift()],
                200,
                (vec![(1, 5)], vec![0], vec![], vec![], vec![], vec![]),
            ),
            (
                "a page for a ticket's worth finds it and is false",
                vec![seen(Family::Latency, "v1", PAGE, 22), seen(Family::Drift, "v1", PAGE, 105)],
                200,
                (vec![(0, 2), (1, 5)], vec![], vec![], vec![1], vec![], vec![]),
            ),
            (
                "cross-talk counts neither way, within the change",
                vec![
                    seen(Family::Availability, "v2", PAGE, 30),
                    seen(Family::Availability, "v2", PAGE, 70),
                    seen(Family::Latency, "v1", PAGE, 22),
                    drift(),
                ],
                200,
                (vec![(0, 2), (1, 5)], vec![], vec![], vec![1], vec![], vec![]),
            ),
            (
                "another version, family, model or time",
                vec![
                    seen(Family::Latency, "v2", PAGE, 22),
                    seen(Family::Traffic, "v1", TICKET, 22),
                    Seen { model: "ranking".into(), ..seen(Family::Latency, "v1", PAGE, 22) },
                    seen(Family::Latency, "v1", TICKET, 10),
                    seen(Family::Latency, "v1", PAGE, 60),
                ],
                200,
                (vec![], vec![0, 1], vec![], vec![0, 2, 4], vec![3, 1], vec![]),
            ),
        ]
    }

    #[test]
    fn known_runs() {
        for (name, seen, through, want) in found_and_missed().into_iter().chain(repeated_and_false()) {
            let got = score(&truth(), &seen, at(through));
            let found = got.found.iter().map(|f| (f.change, f.delay_ms / 60_000)).collect();
            let parts = (found, got.missed, got.pending, got.false_pages, got.false_tickets, got.repeats);
            assert_eq!(parts, want, "{name}");
        }
    }
}
