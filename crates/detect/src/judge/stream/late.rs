//! Labels that come late, of a trouble that is over.

use wire::Timestamp;

use super::{Rule, Stream};
use crate::family::{Count, Event, LabelMiss};

impl Stream {
    /// After an incident of accuracy, with predictions right again since `fine_since`: labels of a stratum may still be
    /// of wrong ones for as long as that stratum's labels take. They are left out, so that what is over does not open
    /// again.
    pub(in crate::judge) fn leave_out(&mut self, rule: &Rule, delay_edges_ms: &[i64], fine_since: Timestamp) {
        for (state, test) in self.tests.iter_mut().zip(&rule.plan.tests) {
            if let Event::Label(
                LabelMiss::Wrong { delay, .. }
                | LabelMiss::WrongInDelay { delay }
                | LabelMiss::Off { delay, .. },
            ) = test.event
            {
                // Who knows how long the last stratum's take: a week if its edge is a day.
                let last = delay_edges_ms.last().map_or(0, |edge| 7 * edge);
                let longest = delay_edges_ms.get(delay).copied().unwrap_or(last);
                state.left_out_until = fine_since.plus_ms(longest);
            }
        }
    }

    /// Takes out of a pane's counts what is left out for now.
    pub(in crate::judge) fn keep(&self, rule: &Rule, counts: &mut [Option<Count>], start: Timestamp) {
        if !self.tests.iter().any(|test| start < test.left_out_until) {
            return;
        }
        for (at, (state, plan)) in self.tests.iter().zip(&rule.plan.tests).enumerate() {
            if start < state.left_out_until {
                counts[at] = None;
            }
            if !plan.pool.is_empty() {
                let mut kept = Count::default();
                plan.pool.iter().filter_map(|&member| counts[member]).for_each(|count| kept.add(count));
                counts[at] = Some(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::stream::tests::{baseline, labels};

    #[test]
    fn late_labels_of_a_trouble_that_is_over_are_left_out() {
        let rule = labels([(); 3].map(|()| baseline(10, 1000, 1.0)));
        let mut stream = Stream::new(&rule, false);
        let minute = |m: i64| Timestamp::EPOCH.plus_ms(m * 60_000);
        stream.leave_out(&rule, &[300_000, 7_200_000], minute(10));
        let kept = |at: i64| {
            let mut counts = [(1, 30), (4, 10), (5, 40)].map(|(k, n)| Some(Count::new(k, n)));
            stream.keep(&rule, &mut counts, minute(at));
            counts.map(|count| count.map_or(0, |count| count.n))
        };
        assert_eq!(kept(14), [0, 0, 0], "labels within five minutes may be of the trouble until minute 15");
        assert_eq!(kept(15), [30, 0, 30], "those within two hours until minute 130, alone and among all");
        assert_eq!(kept(130), [30, 10, 40]);
    }
}
