//! Following the context topic without a group: everyone reads all of it.

use std::ops::ControlFlow;
use std::time::Duration;

use wire::context::ContextRecord;

use crate::clock::Now;
use crate::log::{Isolation, Log, LogError, Offset, TopicPartition};

/// How long a change of context may go unseen.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads what is new on the one partition of the context topic, at most twice a second.
pub(crate) struct Follower<L> {
    log: L,
    at: TopicPartition,
    next: Option<Offset>,
    look_at: Duration,
}

impl<L: Log> Follower<L> {
    pub(crate) fn new(log: L, topic: &str) -> Self {
        Self { log, at: TopicPartition::new(topic, 0), next: None, look_at: Duration::ZERO }
    }

    /// The next look begins at the oldest record again.
    pub(crate) fn restart(&mut self) {
        self.next = None;
        self.look_at = Duration::ZERO;
    }

    /// Records since the last look, by key. Empty when it is not yet time to look.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn follow(&mut self, now: Now) -> Result<Vec<(String, ContextRecord)>, LogError> {
        if now.mono < self.look_at {
            return Ok(Vec::new());
        }
        self.look_at = now.mono + LOOK_EVERY;
        let ends = self.log.ends(&self.at)?;
        let from = self.next.unwrap_or(ends.start);
        if from >= ends.stable {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let next = self.log.read(&self.at, from, Some(ends.stable), Isolation::Committed, &mut |record| {
            let key = record.key.map(|k| String::from_utf8_lossy(k).into_owned()).unwrap_or_default();
            match record.value.map(serde_json::from_slice::<ContextRecord>) {
                Some(Ok(value)) => found.push((key, value)),
                Some(Err(e)) => {
                    tracing::warn!(offset = record.offset, error = %e, "a context record was passed over")
                }
                None => (),
            }
            ControlFlow::Continue(())
        })?;
        self.next = Some(next);
        Ok(found)
    }
}
