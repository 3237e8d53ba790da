//! Following the context topic: everyone reads all of it.

use std::time::Duration;

use wire::context::{ContextRecord, ProfilePart};
use wire::parts::{Joined, Joiner, Part};

use crate::clock::Now;
use crate::log::{Log, LogError, Offset};
use crate::tail::Tail;

/// Reads what is new on the context topic.
pub(crate) struct Follower<L> {
    tail: Tail<L>,
    /// Large profiles of which not all parts have come.
    parts: Joiner,
}

impl<L: Log> Follower<L> {
    pub(crate) fn new(log: L, topic: &str) -> Self {
        Self { tail: Tail::new(log, topic), parts: Joiner::default() }
    }

    /// The next look begins at the oldest record again.
    pub(crate) fn restart(&mut self) {
        self.tail.restart();
        self.parts = Joiner::default();
    }

    /// When it is time for the next look.
    pub(crate) fn next(&self) -> Duration {
        self.tail.next()
    }

    /// Records since the last look, by key; what came in parts is put together. Empty when it is not yet time to look.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn follow(&mut self, now: Now) -> Result<Vec<(String, ContextRecord)>, LogError> {
        let mut found = Vec::new();
        let parts = &mut self.parts;
        self.tail.look(now, &mut |record| {
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
        })?;
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
