//! Reading a compacted state partition to its end.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::clock::Clock;
use crate::log::{Isolation, Log, LogError, TopicPartition};
use crate::metrics::RESTORE;
use crate::state::{Gathered, Parts};
use crate::views::Views;

/// How often a restore says how far it is.
const BETWEEN: Duration = Duration::from_secs(2);
/// Records between two looks at the clock.
const LOOK: u64 = 256;

/// Who restores what, and whom it tells.
pub(crate) struct Teller<'a> {
    pub(crate) role: &'static str,
    /// Which part of the role's work.
    pub(crate) part: &'a dyn fmt::Display,
    pub(crate) views: &'a Views,
    pub(crate) clock: Clock,
}

/// Gives the last value of each key, in order of the keys, to `each`. Returns the keys of several records: whoever
/// writes on must know them.
///
/// The end is taken by a client that sees open transactions, and read until it is passed: a state that a
/// predecessor was committing a moment ago is in it, or is known to be aborted.
///
/// # Errors
/// When the log cannot be read, or of a value in parts not all are there.
pub(crate) fn restore<L: Log>(
    log: &L,
    (topic, partition): (&str, u32),
    teller: &Teller<'_>,
    each: impl FnMut(&[u8], &[u8]),
) -> Result<Parts, LogError> {
    let at = TopicPartition::new(topic, partition);
    let ends = log.ends(&at)?;
    let mut gathered = Gathered::default();
    let mut progress =
        Progress { teller, records: 0, bytes: 0, began: teller.clock.now().mono, said: Duration::ZERO };
    log.read(&at, ends.start, Some(ends.high), Isolation::Committed, &mut |record| {
        progress.read(record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len));
        if progress.records.is_multiple_of(LOOK) {
            progress.say((record.offset - ends.start) * 100 / (ends.high - ends.start).max(1));
        }
        if let Some(key) = record.key {
            gathered.take(key, record.value, record.headers);
        }
        ControlFlow::Continue(())
    })?;
    let live = gathered.live();
    // Starting without it would decide again what was decided.
    let parts = gathered.give(each).map_err(|key| LogError::Fatal {
        what: format!("state {key:?} of {at} lacks a part; put the topic back as it was"),
        source: None,
    })?;
    progress.done(live);
    Ok(parts)
}

struct Progress<'a> {
    teller: &'a Teller<'a>,
    records: u64,
    /// Of keys and values, dead ones too.
    bytes: u64,
    began: Duration,
    /// Since then.
    said: Duration,
}

impl Progress<'_> {
    fn read(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
    }

    fn so_far(&self) -> Duration {
        self.teller.clock.now().mono - self.began
    }

    fn say(&mut self, percent: i64) {
        let so_far = self.so_far();
        if so_far < self.said + BETWEEN {
            return;
        }
        self.said = so_far;
        let Teller { role, part, views, .. } = self.teller;
        let seconds = so_far.as_secs();
        tracing::info!(role, %part, percent, bytes = self.bytes, seconds, "restoring state");
        views.set_ready(role, Some(format!("restoring the state of {part}: {percent} %")));
    }

    fn done(&self, (keys, live_bytes): (usize, u64)) {
        let Teller { role, part, .. } = *self.teller;
        let seconds = self.so_far().as_secs_f64();
        let (records, bytes) = (self.records, self.bytes);
        tracing::info!(role, %part, records, bytes, keys, live_bytes, seconds, "state restored");
        metrics::histogram!(RESTORE, "role" => role).record(seconds);
    }
}
