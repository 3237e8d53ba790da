//! When a source partition is idle: read to its end, and nothing has been written to it for a while.

use std::time::Duration;

use crate::log::{Consumer, Log, Offset, TopicPartition};

/// What is known of one partition's silence. Times are on the monotonic clock.
#[derive(Debug)]
pub(super) struct Silence {
    /// Read to the end when last looked at.
    pub(super) at_end: bool,
    /// What was last said of it.
    pub(super) said_idle: bool,
    last_record: Duration,
    /// Where the log ended when it was last asked, and since when it ended there.
    end: Option<(Offset, Duration)>,
}

impl Silence {
    pub(super) fn since(now: Duration) -> Self {
        Self { at_end: false, said_idle: false, last_record: now, end: None }
    }

    pub(super) fn broken(&mut self, now: Duration) {
        self.at_end = false;
        self.last_record = now;
    }

    /// Whether it is as quiet as far as this process has read, without asking the log.
    pub(super) fn may_be_idle(&self, now: Duration, idle: Duration) -> bool {
        self.at_end && now >= self.last_record + idle
    }

    /// Whether nothing waits in the log either. That may be there and not yet read: whoever says idle says that event
    /// time may pass without this partition. A log that does not answer makes nobody idle.
    pub(super) fn is_idle<L: Log>(
        &mut self,
        log: &L,
        consumer: &L::Consumer,
        at: &TopicPartition,
        now: Duration,
        idle: Duration,
    ) -> bool {
        if !self.may_be_idle(now, idle) {
            return false;
        }
        let Ok(ends) = log.ends(at) else { return false };
        let since = match self.end {
            Some((end, since)) if end == ends.stable => since,
            Some(_) | None => now,
        };
        self.end = Some((ends.stable, since));
        // Behind the last record there may be markers of transactions, which are never delivered.
        let all_read = consumer.position(at).is_some_and(|position| position >= ends.stable);
        all_read || now >= since + idle
    }
}
