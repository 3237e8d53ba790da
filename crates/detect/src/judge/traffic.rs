//! Traffic: calls of a model, all versions together, against the reference's hours of the day and days of the week.
//!
//! Days differ by more than chance, and by the same factor for hours: so the null is a level ("at least 0.8 of the
//! lowest hour-long level of the reference", upward "at most 1.25 of the highest"), not a spread that grows with the
//! window. Around the level calls come in bursts; their variance over mean divides the evidence.

use serde::{Deserialize, Serialize};
use stats::Spending;
use stats::binomial::log_ratio_count;
use stats::spending::ratios_in_place;
use wire::history::{StreamHistory, Verdict};
use wire::{Family, Timestamp};

use crate::reference::TrafficReference;
use crate::reference::baseline::{float, weekday};
use crate::reference::cells::expected_calls;

const DOWN: [f64; 6] = [-0.3, -0.6, -1.2, -2.4, -4.8, -9.6];
const UP: [f64; 5] = [0.15, 0.3, 0.6, 1.2, 2.4];
/// Below the lowest level of the reference by so much, or above the highest.
const BELOW: f64 = 0.8;
const ABOVE: f64 = 1.25;
/// Calls that must have been due before anything is said of how many came.
const DUE_MIN: f64 = 10.0;

/// The state of one model's traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Traffic {
    down_page: Spending,
    down_ticket: Spending,
    up_ticket: Spending,
    down: Since,
    up: Since,
    /// Since the incident, for its way back.
    back: Since,
    #[serde(with = "super::kept")]
    pub(super) last: StreamHistory,
}

/// Calls since a change may have begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Since {
    score: f64,
    pub(super) calls: u64,
    pub(super) due: f64,
    pub(super) from: Option<Timestamp>,
}

/// What a pane came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    pub(super) page: f64,
    pub(super) ticket: f64,
    pub(super) too_many: bool,
    /// Share of the due calls that is missing (or beyond): estimate, lower, upper limit.
    pub(super) effect: [f64; 3],
    pub(super) since: Since,
}

impl Since {
    fn update(&mut self, score: f64, calls: u64, due: f64, at: Timestamp) {
        if self.score + score > 0.0 {
            self.score += score;
            self.calls = self.calls.saturating_add(calls);
            self.due += due;
            self.from.get_or_insert(at);
        } else {
            *self = Self::default();
        }
    }
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            down_page: Spending::new(DOWN.len()),
            down_ticket: Spending::new(DOWN.len()),
            up_ticket: Spending::new(UP.len()),
            down: Since::default(),
            up: Since::default(),
            back: Since::default(),
            last: StreamHistory::new(Family::Traffic, "calls", Verdict::WarmingUp),
        }
    }

    /// Calls a second that the reference expects at a time by the local clock and calendar.
    pub(super) fn expected(reference: &TrafficReference, civil_ms: i64) -> f64 {
        let times = reference.week.map_or(1.0, |week| week[weekday(civil_ms)]);
        expected_calls(&reference.hours, civil_ms).max(0.0) * times.max(0.0)
    }

    /// Judges one closed base pane: `calls` came and `due` were expected.
    pub(super) fn pane(
        &mut self,
        reference: &TrafficReference,
        (start, calls, due): (Timestamp, u64, f64),
        grants: [f64; 2],
        open: bool,
    ) -> Heard {
        let [low, high] = reference.level;
        let (least, most) = (due * low.clamp(0.05, 1.0) * BELOW, due * high.max(1.0) * ABOVE);
        let d = reference.d.max(1.0);
        let k = float(calls);
        let mut down = DOWN.map(|delta| log_ratio_count(k, least, delta, d));
        let mut up = UP.map(|delta| log_ratio_count(k, most, delta, d));
        self.down.update(down[2], calls, due, start);
        self.up.update(up[2], calls, due, start);
        if open {
            self.back.calls = self.back.calls.saturating_add(calls);
            self.back.due += due;
            self.back.from.get_or_insert(start);
        }
        ratios_in_place(&mut down);
        ratios_in_place(&mut up);
        let before = [self.down_page.value(), self.down_ticket.value() + self.up_ticket.value()];
        let (w_down, w_up) = ([1.0 / 6.0; 6], [1.0 / 5.0; 5]);
        let page = self.down_page.update(&down, &w_down, grants[0]);
        let ticket_down = self.down_ticket.update(&down, &w_down, grants[1] / 2.0);
        let ticket_up = self.up_ticket.update(&up, &w_up, grants[1] / 2.0);
        let too_many = ticket_up > ticket_down;
        self.last = StreamHistory {
            k: calls,
            n: calls,
            reference: due,
            before,
            after: [page, ticket_down + ticket_up],
            granted: grants,
            judged: 1,
            peak: [page, ticket_down + ticket_up],
            ..StreamHistory::new(Family::Traffic, "calls", Verdict::Ok)
        };
        let since = if too_many { self.up } else { self.down };
        Heard {
            page,
            ticket: ticket_down.max(ticket_up),
            too_many,
            effect: effect(since, d, too_many),
            since,
        }
    }

    /// A pane that cannot be judged: data is missing, or nothing is known yet.
    pub(super) fn skip(&mut self, verdict: Verdict) {
        self.last.verdict = verdict;
        self.last.granted = [0.0; 2];
    }

    /// Whether calls are back at a level that the reference knows, in a window of at least `least_ms`.
    /// A window in which they are not starts again.
    pub(super) fn is_back(
        &mut self,
        reference: &TrafficReference,
        too_many: bool,
        now: Timestamp,
        least_ms: i64,
    ) -> Option<Since> {
        let back = self.back;
        let from = back.from?;
        let [low, high] = reference.level;
        if now.since_ms(from) < least_ms || back.due * low < DUE_MIN {
            return None;
        }
        self.back = Since::default();
        let level = float(back.calls) / back.due;
        let fine =
            if too_many { level <= high.max(1.0) * ABOVE } else { level >= low.clamp(0.05, 1.0) * BELOW };
        fine.then_some(back)
    }

    /// An alarm sets what crossed to 0.
    pub(super) fn alarmed(&mut self, page: bool) {
        if page {
            self.spend_page();
        }
        self.down_ticket.reset();
        self.up_ticket.reset();
        self.back = Since::default();
    }

    /// Nothing is left of what was granted for pages.
    pub(super) fn spend_page(&mut self) {
        self.down_page.reset();
    }

    /// Starts again, after an incident has cleared.
    pub(super) fn restart(&mut self) {
        self.alarmed(true);
        (self.down, self.up) = (Since::default(), Since::default());
    }
}

/// Share of the due calls that is missing or beyond, with limits of 5 % each for bursts of variance over mean d.
fn effect(since: Since, d: f64, too_many: bool) -> [f64; 3] {
    const Z: f64 = 1.645;
    if since.due < DUE_MIN {
        return [0.0, -1.0, 1.0];
    }
    let k = float(since.calls);
    let half = Z * (k * d + Z * Z * d * d / 4.0).sqrt();
    let (low, high) =
        ((k + Z * Z * d / 2.0 - half).max(0.0) / since.due, (k + Z * Z * d / 2.0 + half) / since.due);
    let level = k / since.due;
    if too_many { [level - 1.0, low - 1.0, high - 1.0] } else { [1.0 - level, 1.0 - high, 1.0 - low] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> TrafficReference {
        TrafficReference { hours: vec![0.5; 24], week: None, level: [0.8, 1.2], d: 1.5 }
    }

    fn at(pane: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(pane * 10_000)
    }

    /// Panes of ten seconds with five calls due, until a page's D has reached 1.
    fn panes_until(calls: u64, most: i64) -> Option<i64> {
        let mut traffic = Traffic::new();
        (0..most).find(|i| {
            let heard = traffic.pane(&reference(), (at(*i), calls, 5.0), [1e-6, 1e-6], false);
            heard.page >= 1.0 && heard.effect[1] >= 0.5
        })
    }

    #[test]
    fn a_stop_is_found_by_calls_due_and_the_usual_is_left_alone() {
        assert_eq!(panes_until(5, 5000), None);
        assert_eq!(panes_until(4, 5000), None, "the lowest level of the reference");
        let stop = panes_until(0, 100).expect("found");
        assert!((5..=10).contains(&stop), "{stop}");
        assert!(panes_until(1, 200).is_some(), "a fifth of the calls is found too");
    }

    #[test]
    fn too_many_calls_are_a_ticket_and_never_a_page() {
        let mut traffic = Traffic::new();
        let heard: Vec<Heard> =
            (0..100).map(|i| traffic.pane(&reference(), (at(i), 15, 5.0), [1e-6, 1e-6], false)).collect();
        let first = heard.iter().find(|h| h.ticket >= 1.0).expect("found");
        assert!(first.too_many && first.effect[1] > 1.0 && first.page < 1e-3, "{first:?}");
    }

    #[test]
    fn it_is_back_when_a_whole_window_is() {
        let mut traffic = Traffic::new();
        let reference = reference();
        let mut minutes = |from: i64, calls: u64| {
            (from..from + 31).find_map(|i| {
                traffic.pane(&reference, (at(i), calls, 5.0), [0.0, 0.0], true);
                traffic.is_back(&reference, false, at(i + 1), 300_000).map(|_| i - from)
            })
        };
        assert_eq!(minutes(0, 0), None);
        assert_eq!(minutes(31, 5), Some(28), "the window that holds the last silence does not count");
        assert_eq!(minutes(100, 5), Some(29));
    }
}
