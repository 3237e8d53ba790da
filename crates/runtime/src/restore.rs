//! Reading a compacted state partition to its end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::log::{Isolation, Log, LogError, TopicPartition};

/// Gives the last value of each key, in order of the keys, to `each`; answers how many records were read.
///
/// The end is taken by a client that sees open transactions, and read until it is passed: a state that a
/// predecessor was committing a moment ago is in it, or is known to be aborted.
///
/// # Errors
/// When the log cannot be read.
pub fn restore<L: Log>(
    log: &L,
    topic: &str,
    partition: u32,
    mut each: impl FnMut(&[u8], &[u8]),
) -> Result<u64, LogError> {
    let at = TopicPartition::new(topic, partition);
    let ends = log.ends(&at)?;
    let mut last: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut read = 0;
    log.read(&at, ends.start, Some(ends.high), Isolation::Committed, &mut |record| {
        read += 1;
        if let Some(key) = record.key {
            match record.value {
                Some(value) => drop(last.insert(key.to_vec(), value.to_vec())),
                None => drop(last.remove(key)),
            }
        }
        ControlFlow::Continue(())
    })?;
    for (key, value) in &last {
        each(key, value);
    }
    Ok(read)
}
