//! What an installation has counted and learned, read beside it: nothing of it is taken over or changed.

mod telemetry;

use std::ops::ControlFlow;

use detect::record::{PanesRecord, RecordError};

use crate::log::{Ends, Isolation, Log, LogError, Offset, TopicPartition};
use crate::settings::Settings;
use crate::state::Gathered;

pub use telemetry::{Line, Telemetry};

/// Keys and values.
pub type State = Vec<(Vec<u8>, Vec<u8>)>;

/// What the judge of a panes partition has committed last, by key.
///
/// # Errors
/// When the log cannot be read, or of a value in parts not all are there.
pub fn judge_state<L: Log>(log: &L, settings: &Settings, partition: u32) -> Result<State, LogError> {
    let at = TopicPartition::new(settings.topics.state_judge.as_str(), partition);
    let ends = log.ends(&at)?;
    let mut gathered = Gathered::default();
    log.read(&at, ends.start, Some(ends.stable), Isolation::Committed, &mut |record| {
        if let Some(key) = record.key {
            gathered.take(key, record.value, record.headers);
        }
        ControlFlow::Continue(())
    })?;
    let mut state = State::new();
    let given = gathered.give(|key, value| state.push((key.to_vec(), value.to_vec())));
    given.map_err(|key| LogError::Fatal {
        what: format!("state {key:?} of {at} lacks a part; put the topic back as it was"),
        source: None,
    })?;
    Ok(state)
}

/// Where the panes of a partition begin and end.
///
/// # Errors
/// When the log cannot be asked.
pub fn panes_ends<L: Log>(log: &L, settings: &Settings, partition: u32) -> Result<Ends, LogError> {
    log.ends(&TopicPartition::new(settings.topics.panes.as_str(), partition))
}

/// Hands the records of a panes partition within `[from, to)` to `each`, until it breaks off.
///
/// # Errors
/// When the log cannot be read.
pub fn panes<L: Log>(
    log: &L,
    settings: &Settings,
    partition: u32,
    (from, to): (Offset, Offset),
    each: &mut dyn FnMut(Offset, Result<PanesRecord, RecordError>) -> ControlFlow<()>,
) -> Result<(), LogError> {
    let at = TopicPartition::new(settings.topics.panes.as_str(), partition);
    log.read(&at, from, Some(to), Isolation::Committed, &mut |record| {
        record
            .value
            .map_or(ControlFlow::Continue(()), |value| each(record.offset, PanesRecord::decode(value)))
    })?;
    Ok(())
}
