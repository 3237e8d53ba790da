//! Partitions that the group has given to a loop, and which of them must be opened (again) before anything is read.

use std::collections::BTreeMap;
use std::time::Duration;

/// Bound: the partitions of the loop's lead topic.
#[derive(Debug, Default)]
pub(crate) struct Held {
    partitions: BTreeMap<u32, Place>,
    news: bool,
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
pub(crate) const FENCED_REST: Duration = Duration::from_secs(10);

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

    /// What was made of it did not hold: it is to be opened again at its last commit.
    pub(crate) fn again(&mut self, partition: u32, not_before: Duration) {
        if let Some(place) = self.partitions.get_mut(&partition) {
            *place = Place::Closed { not_before, rewind: true };
            self.news = true;
        }
    }

    /// Those to be opened now, with whether to go back to the last commit first.
    pub(crate) fn due(&self, now: Duration) -> Vec<(u32, bool)> {
        let due = |(partition, place): (&u32, &Place)| match *place {
            Place::Closed { not_before, rewind } if not_before <= now => Some((*partition, rewind)),
            Place::Closed { .. } | Place::Open => None,
        };
        self.partitions.iter().filter_map(due).collect()
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
        assert_eq!(held.due(S), [(1, false), (2, false)]);
        held.opened(1);
        assert_eq!(held.due(S), [(2, false)], "opening it failed: again at the next step");
        held.opened(2);
        assert!(held.due(S).is_empty() && held.take_news() && !held.take_news());
        held.again(1, 3 * S);
        assert!(held.due(2 * S).is_empty());
        assert_eq!(held.due(3 * S), [(1, true)], "from its last commit on");
        held.gone(1);
        held.again(1, S);
        assert!(held.due(9 * S).is_empty(), "another's now");
        held.assigned([1]);
        assert_eq!(held.due(S), [(1, false)]);
    }
}
