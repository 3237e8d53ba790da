//! When a source partition is idle: read to its end, and nothing has been written to it for a while.

use std::time::Duration;

use crate::end::End;
use crate::log::{Log, TopicPartition};

/// What is known of one partition's silence. Times are on the monotonic clock.
#[derive(Debug)]
pub(super) struct Silence {
    pub(super) end: End,
    /// What was last said of it.
    pub(super) said_idle: bool,
    /// Before the first poll that brought nothing. A poll may take long: what it brings is not as old as its beginning.
    quiet_since: Option<Duration>,
    /// When the log last said that all was read.
    confirmed: Option<Duration>,
}

impl Silence {
    pub(super) fn new() -> Self {
        Self { end: End::default(), said_idle: false, quiet_since: None, confirmed: None }
    }

    /// Before each poll.
    pub(super) fn listen(&mut self, now: Duration) {
        self.quiet_since.get_or_insert(now);
    }

    /// A record came.
    pub(super) fn broken(&mut self) {
        self.end.broken();
        self.quiet_since = None;
    }

    /// The log said that all was read.
    pub(super) fn ended(&mut self, now: Duration) {
        self.end.delivered = true;
        self.confirmed = Some(now);
    }

    /// Whether all was read, as the log said not longer than `every` ago: one that does not answer brings nothing either,
    /// and whoever waits for it must be told that it is not at its end.
    pub(super) fn is_caught_up<L: Log>(
        &mut self,
        log: &L,
        consumer: &L::Consumer,
        at: &TopicPartition,
        now: Duration,
        every: Duration,
    ) -> bool {
        if !self.end.delivered || self.confirmed.is_some_and(|confirmed| now < confirmed + every) {
            return self.end.delivered;
        }
        let all_read = self.end.all_read(log, consumer, at, now);
        if all_read {
            self.confirmed = Some(now);
        }
        all_read
    }

    /// Whether it is as quiet as far as this process has read, without asking the log.
    pub(super) fn may_be_idle(&self, now: Duration, idle: Duration) -> bool {
        self.end.delivered && self.quiet_since.is_some_and(|since| now >= since + idle)
    }

    /// Whether nothing waits in the log either. That may be there and not yet read: whoever says idle says that event
    /// time may pass without this partition.
    pub(super) fn is_idle<L: Log>(
        &mut self,
        log: &L,
        consumer: &L::Consumer,
        at: &TopicPartition,
        now: Duration,
        idle: Duration,
    ) -> bool {
        self.may_be_idle(now, idle) && self.end.all_read(log, consumer, at, now)
    }
}
