//! Range reads without a group.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};

use super::clients::{Client, ranger, raw};
use super::errors::{forbidden, lift, unknown};
use super::{KafkaLog, lock};
use crate::log::clock::Deadline;
use crate::log::{Ends, Headers, Isolation, Log, LogError, Offset, Record, TopicPartition};

/// Idle clients kept for the next range read.
const IDLE_MAX: usize = 4;
/// A transaction whose holder died is open for its timeout and up to 10 s more; then the broker has ended it.
const SWEEP: Duration = Duration::from_secs(15);
const STABLE_STEP: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_millis(100);

pub(super) fn read(
    log: &KafkaLog,
    at: &TopicPartition,
    from: Offset,
    to_exclusive: Option<Offset>,
    isolation: Isolation,
    each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<Offset, LogError> {
    let ends = log.ends(at)?;
    let end = match isolation {
        Isolation::Committed => ends.stable,
        Isolation::Uncommitted => ends.high,
    };
    let to = to_exclusive.map_or(end, |to| to.min(ends.high));
    let from = from.max(ends.start);
    if from >= to {
        return Ok(from.max(to));
    }
    if isolation == Isolation::Committed {
        await_stable(log, at, to, ends)?;
    }
    let idle = &log.inner.readers[usize::from(isolation == Isolation::Uncommitted)];
    let pooled = lock(idle).pop();
    let client = match pooled {
        Some(client) => client,
        None => ranger(log.config(), isolation)?,
    };
    assign(&client, at, from)?;
    let broke_off = drain(log, &client, at, (from, to), each)?;
    // Only a client that did well is used again.
    client.unassign().map_err(|e| lift(e, "cannot end a read"))?;
    let mut idle = lock(idle);
    if idle.len() < IDLE_MAX {
        idle.push(client);
    }
    Ok(broke_off.unwrap_or(to))
}

/// Waits until nothing below `to` is open any more.
///
/// From then on the partition's end, as a reader of committed records meets it, is at or beyond `to`: that event ends
/// the read, and not a position, which markers at the end do not advance.
fn await_stable(log: &KafkaLog, at: &TopicPartition, to: Offset, mut ends: Ends) -> Result<(), LogError> {
    let deadline = Deadline::after(log.config().transaction_timeout + SWEEP);
    while ends.stable < to {
        if deadline.over() {
            return Err(LogError::retriable(format!(
                "an open transaction hides {at} from {} on",
                ends.stable
            )));
        }
        std::thread::sleep(STABLE_STEP);
        ends = log.ends(at)?;
    }
    Ok(())
}

fn assign(client: &Client, at: &TopicPartition, from: Offset) -> Result<(), LogError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&at.topic, raw(at.partition), RawOffset::Offset(from))
        .and_then(|()| client.assign(&list))
        .map_err(|e| lift(e, &format!("cannot read {at}")))
}

fn drain(
    log: &KafkaLog,
    client: &Client,
    at: &TopicPartition,
    (from, to): (Offset, Offset),
    each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<Option<Offset>, LogError> {
    let mut next = from;
    let patience = || Deadline::after(3 * log.config().timeout);
    let mut deadline = patience();
    loop {
        match client.poll(POLL) {
            Some(Ok(message)) if message.offset() >= to => return Ok(None),
            Some(Ok(message)) => {
                deadline = patience();
                next = message.offset() + 1;
                if each(record(&message, at.partition)).is_break() {
                    return Ok(Some(next));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => match error.rdkafka_error_code() {
                // Expired since we asked: the next call begins at what is there then.
                Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                    let what = format!("records of {at} from {next} on expired while they were read");
                    return Err(LogError::Retriable { what, source: Some(Arc::new(error)) });
                }
                Some(code) if forbidden(code) || unknown(code) => {
                    return Err(lift(error, &format!("cannot read {at}")));
                }
                // The client mends the rest itself, or the deadline ends it.
                Some(_) | None => tracing::debug!(%error, %at, "while reading a range"),
            },
            None if deadline.over() => {
                return Err(LogError::retriable(format!("nothing came of {at} at {next}, before {to}")));
            }
            None => (),
        }
    }
}

/// A message as a record.
pub(super) fn record<'a>(message: &'a BorrowedMessage<'_>, partition: u32) -> Record<'a> {
    Record {
        topic: message.topic(),
        partition,
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key(),
        value: message.payload(),
        headers: message.headers().map_or_else(Headers::default, Headers::kafka),
    }
}
