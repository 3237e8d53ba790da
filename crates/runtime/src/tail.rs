//! Reading one partition without a group: whoever needs all of a topic reads all of it.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::Now;
use crate::log::{Isolation, Log, LogError, Offset, Record, TopicPartition};

/// How long what is new may go unseen.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How far a partition was read. Looks at most twice a second, unless it is told to hurry.
pub(crate) struct Tail<L> {
    log: L,
    at: TopicPartition,
    next: Option<Offset>,
    look_at: Duration,
}

impl<L: Log> Tail<L> {
    /// Of the one partition of a topic, from its oldest record on.
    pub(crate) fn new(log: L, topic: &str) -> Self {
        Self { log, at: TopicPartition::new(topic, 0), next: None, look_at: Duration::ZERO }
    }

    /// The next look begins at the oldest record again.
    pub(crate) fn restart(&mut self) {
        self.next = None;
        self.hurry();
    }

    /// The next look may be at once.
    pub(crate) fn hurry(&mut self) {
        self.look_at = Duration::ZERO;
    }

    /// When it is time for the next look.
    pub(crate) fn next(&self) -> Duration {
        self.look_at
    }

    /// Gives what is committed and new to `each`; nothing when it is not yet time to look.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn look(&mut self, now: Now, each: &mut dyn FnMut(Record<'_>)) -> Result<(), LogError> {
        if now.mono < self.look_at {
            return Ok(());
        }
        self.look_at = now.mono + LOOK_EVERY;
        let ends = self.log.ends(&self.at)?;
        let from = self.next.unwrap_or(ends.start);
        if from < ends.stable {
            self.next = Some(self.read(from, ends.stable, each)?);
        }
        Ok(())
    }

    /// Gives everything that was looked at so far once more.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn again(&self, each: &mut dyn FnMut(Record<'_>)) -> Result<(), LogError> {
        let Some(to) = self.next else { return Ok(()) };
        let start = self.log.ends(&self.at)?.start;
        if start < to {
            self.read(start, to, each)?;
        }
        Ok(())
    }

    fn read(&self, from: Offset, to: Offset, each: &mut dyn FnMut(Record<'_>)) -> Result<Offset, LogError> {
        self.log.read(&self.at, from, Some(to), Isolation::Committed, &mut |record| {
            each(record);
            ControlFlow::Continue(())
        })
    }
}
