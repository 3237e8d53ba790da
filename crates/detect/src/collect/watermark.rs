//! How far event time has come in one partition.

use serde::{Deserialize, Serialize};
use wire::Timestamp;

/// Predictions whose event times are remembered, to tell a producer whose clock is ahead from time going on.
const RECENT: usize = 5;

/// The latest event time less the lateness allowed.
///
/// A prediction far ahead of the last few is not believed (see `held`), so the latest event time is at most
/// `ahead_max_s` ahead of what most producers say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watermark {
    latest: Option<Timestamp>,
    /// Event times of the last predictions that were counted, oldest first.
    recent: Vec<Timestamp>,
}

impl Watermark {
    /// Before this instant nothing is merged any more.
    pub(super) fn get(&self, lateness_ms: i64) -> Option<Timestamp> {
        self.latest.map(|t| t.plus_ms(-lateness_ms))
    }

    /// Whether it is one that this program wrote.
    pub(super) fn is_sound(&self) -> bool {
        self.recent.len() <= RECENT
    }

    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// True if `time` is more than `ahead_max_ms` beyond the median of the last few.
    pub(super) fn is_ahead(&self, time: Timestamp, ahead_max_ms: i64) -> bool {
        let known = self.recent.len().min(RECENT);
        if known == 0 || self.latest.is_some_and(|latest| time <= latest) {
            return false;
        }
        let mut sorted = [Timestamp::EPOCH; RECENT];
        sorted[..known].copy_from_slice(&self.recent[..known]);
        sorted[..known].sort_unstable();
        time.since_ms(sorted[known / 2]) > ahead_max_ms
    }

    /// A prediction of this time was counted.
    pub(super) fn advance(&mut self, time: Timestamp) {
        if self.recent.len() >= RECENT {
            self.recent.remove(0);
        }
        self.recent.push(time);
        self.latest = self.latest.max(Some(time));
    }

    /// The jump is real: what comes next is believed.
    pub(super) fn accept_jump(&mut self) {
        self.recent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clock_ahead_does_not_move_what_counts_as_ahead() {
        let at = |s: i64| Timestamp::from_ms(s * 1000).expect("in range");
        let mut watermark = Watermark::default();
        for s in [0, 50, 1, 2, 3, 53, 4] {
            assert!(!watermark.is_ahead(at(s), 60_000), "{s}");
            watermark.advance(at(s));
        }
        assert_eq!(watermark.get(5000), Some(at(48)));
        assert!(!watermark.is_ahead(at(63), 60_000));
        assert!(watermark.is_ahead(at(64), 60_000));
        watermark.accept_jump();
        assert!(!watermark.is_ahead(at(9999), 60_000));
    }

    #[test]
    fn from_the_second_prediction_on_no_clock_ahead_is_believed() {
        let at = |s: i64| Timestamp::from_ms(s * 1000).expect("in range");
        let mut watermark = Watermark::default();
        assert!(!watermark.is_ahead(at(86_400), 60_000), "nothing is known yet");
        for s in 0..5 {
            watermark.advance(at(s));
            assert!(watermark.is_ahead(at(86_400), 60_000), "after {s}");
        }
    }
}
