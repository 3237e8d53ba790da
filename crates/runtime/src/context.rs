//! Following the context topic without a group: everyone reads all of it.

use std::ops::ControlFlow;
use std::time::Duration;

use wire::context::{ContextRecord, ProfilePart};
use wire::parts::{Joined, Joiner, Part};

use crate::clock::Now;
use crate::log::{Isolation, Log, LogError, Offset, TopicPartition};

/// How long a change of context may go unseen.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads what is new on the one partition of the context topic, at most twice a second.
pub(crate) struct Follower<L> {
    log: L,
    at: TopicPartition,
    next: Option<Offset>,
    /// Large profiles of which not all parts have come.
    parts: Joiner,
    look_at: Duration,
}

impl<L: Log> Follower<L> {
    pub(crate) fn new(log: L, topic: &str) -> Self {
        let at = TopicPartition::new(topic, 0);
        Self { log, at, next: None, parts: Joiner::default(), look_at: Duration::ZERO }
    }

    /// The next look begins at the oldest record again.
    pub(crate) fn restart(&mut self) {
        self.next = None;
        self.parts = Joiner::default();
        self.look_at = Duration::ZERO;
    }

    /// When it is time for the next look.
    pub(crate) fn next(&self) -> Duration {
        self.look_at
    }

    /// Records since the last look, by key; what came in parts is put together. Empty when it is not yet time to look.
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
        let parts = &mut self.parts;
        let next = self.log.read(&self.at, from, Some(ends.stable), Isolation::Committed, &mut |record| {
            let key = record.key.map(|k| String::from_utf8_lossy(k).into_owned()).unwrap_or_default();
            match record.value.map(serde_json::from_slice::<ContextRecord>) {
                Some(Ok(ContextRecord::ProfilePart(part))) => {
                    found.extend(join(parts, record.offset, &part).map(|whole| (whole.key(), whole)));
                }
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

/// The profile that a part completes. Parts that compaction has left of an older one complete nothing.
fn join(parts: &mut Joiner, offset: Offset, part: &ProfilePart) -> Option<ContextRecord> {
    let writer = format!("{}/{}/{}", part.model, part.version, part.profile);
    let (digest, bytes) = (&part.whole, part.text.as_bytes());
    let part = Part { writer: &writer, digest, index: part.index, parts: part.parts, bytes };
    let Joined::Whole { bytes, .. } = parts.take(offset, part) else { return None };
    serde_json::from_slice(&bytes)
        .inspect_err(|e| tracing::warn!(offset, error = %e, "a profile in parts was passed over"))
        .ok()
}
