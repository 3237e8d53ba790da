//! Reading a compacted state partition to its end.

use std::ops::ControlFlow;

use crate::log::{Isolation, Log, LogError, TopicPartition};
use crate::state::{Gathered, Parts};

/// What a state partition held.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Records read.
    pub records: u64,
    /// Keys of several records: whoever writes on must know them.
    pub parts: Parts,
}

/// Gives the last value of each key, in order of the keys, to `each`.
///
/// The end is taken by a client that sees open transactions, and read until it is passed: a state that a
/// predecessor was committing a moment ago is in it, or is known to be aborted.
///
/// # Errors
/// When the log cannot be read, or of a value in parts not all are there.
pub fn restore<L: Log>(
    log: &L,
    topic: &str,
    partition: u32,
    each: impl FnMut(&[u8], &[u8]),
) -> Result<Restored, LogError> {
    let at = TopicPartition::new(topic, partition);
    let ends = log.ends(&at)?;
    let mut gathered = Gathered::default();
    let mut records = 0;
    log.read(&at, ends.start, Some(ends.high), Isolation::Committed, &mut |record| {
        records += 1;
        if let Some(key) = record.key {
            gathered.take(key, record.value, record.headers);
        }
        ControlFlow::Continue(())
    })?;
    // Starting without it would decide again what was decided.
    let parts = gathered.give(each).map_err(|key| LogError::Fatal {
        what: format!("state {key:?} of {at} lacks a part; put the topic back as it was"),
        source: None,
    })?;
    Ok(Restored { records, parts })
}
