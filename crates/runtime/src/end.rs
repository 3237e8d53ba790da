//! Whether all of a partition was read: a question to the log, as what was last delivered may be long ago.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::log::{Consumer, Isolation, Log, Offset, TopicPartition};

/// Shortest time between two looks whether only markers are left of a partition: each is a read of its own.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Questions further apart than this say nothing of the time between them.
const APART: Duration = Duration::from_secs(30);

/// What is known of the end of one partition. Times are on the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// Read to the end when last looked at.
    pub(crate) delivered: bool,
    /// Up to here there is nothing but markers behind what was delivered.
    bare_to: Option<Offset>,
    looked: Option<Duration>,
    /// When the log first and last gave no answer, since when it gave none.
    mute: Option<(Duration, Duration)>,
}

impl End {
    /// A record was delivered.
    pub(crate) fn broken(&mut self) {
        self.delivered = false;
        self.mute = None;
    }

    /// For how long the log has given no answer.
    pub(crate) fn mute_for(&self) -> Duration {
        self.mute.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Whether nothing is there that was not read. A log that does not answer has not been read.
    pub(crate) fn all_read<L: Log>(
        &mut self,
        log: &L,
        consumer: &L::Consumer,
        at: &TopicPartition,
        now: Duration,
    ) -> bool {
        let Ok(ends) = log.ends_soon(at) else {
            let first = self.mute.filter(|(_, last)| now < *last + APART).map_or(now, |(first, _)| first);
            self.mute = Some((first, now));
            return false;
        };
        self.mute = None;
        let Some(position) = consumer.position(at) else { return false };
        if position.max(self.bare_to.unwrap_or(position)) >= ends.stable {
            return true;
        }
        // Behind the last record there may be markers of transactions, which are never delivered.
        let may_look = self.looked.is_none_or(|looked| now >= looked + LOOK_EVERY);
        if !self.delivered || !may_look {
            return false;
        }
        self.looked = Some(now);
        let bare = is_bare(log, at, position, ends.stable);
        self.bare_to = bare.then_some(ends.stable);
        bare
    }
}

fn is_bare<L: Log>(log: &L, at: &TopicPartition, from: Offset, to: Offset) -> bool {
    let mut records = 0;
    let read = log.read(at, from, Some(to), Isolation::Committed, &mut |_| {
        records += 1;
        ControlFlow::Break(())
    });
    read.is_ok() && records == 0
}
