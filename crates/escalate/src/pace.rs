//! How fast attempts may begin at a receiver, so that its own limit is kept before it says no.
//!
//! It is asked before an attempt is written down. A page that waits here has no attempt and no lease yet: it uses up
//! neither, keeps its place, and is cancelled like any other when somebody takes the incident.

use std::collections::BTreeMap;

use wire::Timestamp;

/// So many attempts may begin at once after a pause: those of five seconds.
const BURST_S: u32 = 5;

/// Attempts a minute that may begin, by receiver, for those that have such a limit: 1 to 60,000, nearest taken.
pub type Rates = BTreeMap<String, u32>;

/// When each receiver has taken enough. Not part of the state: who takes over begins with a burst.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When all that was taken would have been used up at an even pace.
    used_until: BTreeMap<String, Timestamp>,
    /// When a page that is only held up by its receiver's pace may begin.
    pub(crate) due: Option<Timestamp>,
}

impl Pace {
    /// Takes the right to begin one attempt now; false if it must wait, until `due` at the latest.
    pub(crate) fn take(&mut self, receiver: &str, rates: &Rates, now: Timestamp) -> bool {
        let Some(&per_minute) = rates.get(receiver) else { return true };
        let per_minute = per_minute.clamp(1, 60_000);
        let each_ms = i64::from(60_000u32.div_ceil(per_minute));
        let burst_ms = each_ms * i64::from((per_minute * BURST_S / 60).max(1));
        // A clock that was put back must not hold pages up for as long.
        let latest = now.plus_ms(burst_ms);
        let used_until = self.used_until.get(receiver).copied().unwrap_or(now).clamp(now, latest);
        let next = used_until.plus_ms(each_ms);
        let begins = next <= latest;
        if begins {
            self.used_until.insert(receiver.to_owned(), next);
        } else {
            self.used_until.insert(receiver.to_owned(), used_until);
            let due = next.plus_ms(-burst_ms);
            self.due = Some(self.due.map_or(due, |other| other.min(due)));
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(1_000_000_000_000 + ms)
    }

    #[test]
    fn a_burst_and_then_evenly() {
        let rates = Rates::from([("pager".to_owned(), 60)]);
        let mut pace = Pace::default();
        let mut begun = Vec::new();
        for ms in (0..8000).step_by(100) {
            while pace.take("pager", &rates, at(ms)) {
                begun.push(ms);
            }
        }
        assert_eq!(begun, [0, 0, 0, 0, 0, 1000, 2000, 3000, 4000, 5000, 6000, 7000]);
        assert_eq!(pace.due, Some(at(1000)), "the earliest since it was last emptied");
        assert!((0..1000).all(|_| pace.take("another", &rates, at(0))), "one without a limit");
    }

    #[test]
    fn a_clock_that_is_put_back_holds_nothing_up_for_long() {
        let rates = Rates::from([("pager".to_owned(), 60)]);
        let mut pace = Pace::default();
        while pace.take("pager", &rates, at(3_600_000)) {}
        assert!(!pace.take("pager", &rates, at(0)));
        assert!(pace.take("pager", &rates, at(1000)));
    }

    proptest! {
        /// Over any time no more begin than the rate allows and one burst, and who comes when told to is let through.
        #[test]
        fn the_rate_is_kept_and_used(per_minute in 1u32..6000, gaps in proptest::collection::vec(0i64..5000, 1..200)) {
            let rates = Rates::from([("pager".to_owned(), per_minute)]);
            let (mut pace, mut now, mut begun) = (Pace::default(), 0, Vec::new());
            for gap in gaps {
                now += gap;
                pace.due = None;
                if pace.take("pager", &rates, at(now)) {
                    begun.push(now);
                } else {
                    let due = pace.due.expect("it says when").since_ms(at(0));
                    prop_assert!(due > now);
                    now = due;
                    prop_assert!(pace.take("pager", &rates, at(now)), "{due}");
                    begun.push(now);
                }
            }
            let burst = (per_minute * BURST_S / 60).max(1);
            for (i, from) in begun.iter().enumerate() {
                for (j, to) in begun.iter().enumerate().skip(i) {
                    let most = f64::from(burst) + f64::from(per_minute) * (to - from) as f64 / 60_000.0;
                    prop_assert!((j - i + 1) as f64 <= most + 1e-9, "{} in {} ms", j - i + 1, to - from);
                }
            }
        }
    }
}
