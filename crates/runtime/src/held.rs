//! Partitions that the group has given to a loop, and which of them must be opened (again) before anything is read.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Now;
use crate::commit::Ended;
use crate::log::LogError;

/// A loop that works on partitions which come and go.
pub(crate) trait Opens {
    fn held(&mut self) -> &mut Held;

    /// Reading goes on at the last commit of the partition, in every topic that is read with it.
    ///
    /// # Errors
    /// When the log cannot be asked.
    fn rewind(&mut self, partition: u32) -> Result<(), LogError>;

    /// Takes the state of a partition over from whoever worked on it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&mut self, partition: u32, now: Now) -> Result<(), LogError>;

    /// All that was due is open.
    fn is_open(&mut self);

    /// Opens one partition that is due: a process that is asked to end waits for no more than that. Returns whether to
    /// come again before anything is polled. What fails is tried again at the next step.
    ///
    /// # Errors
    /// As [`Opens::open`].
    fn open_what_is_held(&mut self, now: Now) -> Result<bool, LogError> {
        if let Some((partition, rewind)) = self.held().due(now.mono) {
            if rewind {
                self.rewind(partition)?;
            }
            self.open(partition, now)?;
            self.held().opened(partition);
            return Ok(true);
        }
        if self.held().take_news() {
            self.is_open();
        }
        Ok(false)
    }
}

/// Bound: the partitions of the loop's lead topic.
#[derive(Debug, Default)]
pub(crate) struct Held {
    partitions: BTreeMap<u32, Place>,
    news: bool,
    /// What the log would not take in this step, and what to do about it.
    refused: Option<LogError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Open,
    /// Not before this time on the monotonic clock; from the last commit on, if it had been read from.
    Closed {
        not_before: Duration,
        rewind: bool,
    },
}

/// How long a fenced partition is left alone: longer than a group needs to say that it is another's.
const FENCED_REST: Duration = Duration::from_secs(10);

impl Held {
    /// The group has given these. Each is to be opened before the next poll.
    pub(crate) fn assigned(&mut self, partitions: impl IntoIterator<Item = u32>) {
        let closed = Place::Closed { not_before: Duration::ZERO, rewind: false };
        self.partitions.extend(partitions.into_iter().map(|partition| (partition, closed)));
        self.news = true;
    }

    /// It is another's, or will be.
    pub(crate) fn gone(&mut self, partition: u32) {
        self.partitions.remove(&partition);
    }

    /// What became of a commit for this partition. Returns whether the partition is still open: what did not hold is
    /// to be opened again at its last commit.
    pub(crate) fn ended(&mut self, partition: u32, how: Ended, now: Duration) -> bool {
        let not_before = match how {
            Ended::Committed => return true,
            Ended::Fenced => {
                tracing::warn!(partition, "another process took this partition over; given up");
                now + FENCED_REST
            }
            // It may be another's, as after a fence.
            Ended::Lost => now + FENCED_REST,
            Ended::Aborted => now,
            Ended::Refused(why) => {
                self.refused = Some(why);
                now
            }
        };
        if let Some(place) = self.partitions.get_mut(&partition) {
            *place = Place::Closed { not_before, rewind: true };
            self.news = true;
        }
        false
    }

    /// Once after a commit that the log refused: why.
    ///
    /// # Errors
    /// What an operator must do before the loop can go on.
    pub(crate) fn refusal(&mut self) -> Result<(), LogError> {
        self.refused.take().map_or(Ok(()), Err)
    }

    /// When the next partition is to be opened.
    pub(crate) fn next(&self) -> Option<Duration> {
        let closed = |place: &Place| match *place {
            Place::Closed { not_before, .. } => Some(not_before),
            Place::Open => None,
        };
        self.partitions.values().filter_map(closed).min()
    }

    /// The next to be opened now, with whether to go back to the last commit first.
    pub(crate) fn due(&self, now: Duration) -> Option<(u32, bool)> {
        let due = |(partition, place): (&u32, &Place)| match *place {
            Place::Closed { not_before, rewind } if not_before <= now => Some((*partition, rewind)),
            Place::Closed { .. } | Place::Open => None,
        };
        self.partitions.iter().find_map(due)
    }

    pub(crate) fn opened(&mut self, partition: u32) {
        self.partitions.insert(partition, Place::Open);
    }

    /// Once after each change, when all that is due has been opened.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_held_stays_due_until_it_is_open() {
        let mut held = Held::default();
        held.assigned([1, 2]);
        assert_eq!(held.due(S), Some((1, false)));
        held.opened(1);
        assert_eq!(held.due(S), Some((2, false)), "opening it failed: again at the next step");
        held.opened(2);
        assert!(held.due(S).is_none() && held.take_news() && !held.take_news());
        assert!(held.ended(1, Ended::Committed, S) && held.due(9 * S).is_none() && held.next().is_none());
        assert!(!held.ended(1, Ended::Aborted, 3 * S));
        assert!(held.due(2 * S).is_none());
        assert_eq!((held.due(3 * S), held.next()), (Some((1, true)), Some(3 * S)), "from its last commit on");
        held.gone(1);
        held.ended(1, Ended::Aborted, S);
        assert!(held.due(9 * S).is_none(), "another's now");
        held.assigned([1]);
        assert_eq!(held.due(S), Some((1, false)));
    }

    #[test]
    fn what_may_be_anothers_rests_and_what_is_refused_is_said_once() {
        let mut held = Held::default();
        held.assigned([1]);
        for how in [Ended::Fenced, Ended::Lost] {
            held.opened(1);
            held.ended(1, how, S);
            assert!(held.due(10 * S).is_none() && held.refusal().is_ok());
            assert_eq!(held.due(S + FENCED_REST), Some((1, true)));
        }
        held.ended(1, Ended::Refused(LogError::retriable("raise it")), S);
        assert_eq!(held.due(S), Some((1, true)));
        assert!(held.refusal().is_err() && held.refusal().is_ok());
    }
}
