//! Writing, and waiting until what was written is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header as RawHeader, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use super::clients::{common, raw, say, with_settings};
use super::errors::{lift, unknown};
use super::{KafkaConfig, KafkaLog, lock};
use crate::log::clock::Deadline;
use crate::log::{LogError, NewRecord, Offset, TopicPartition};

/// A delivery is given up by the client after this; it must be below the transaction's timeout.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// When the client's queue is full: how long until the next look.
const FULL_WAIT: Duration = Duration::from_millis(5);

/// A producer whose deliveries are served by a thread of the client library.
pub(super) struct Producer {
    client: ThreadedProducer<Context>,
}

pub(super) struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka client: {reason}");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let outcome = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        ticket.batch.note(ticket.index, outcome);
    }
}

/// One record on its way.
pub(super) struct Ticket {
    batch: Arc<Batch>,
    index: usize,
}

/// Records sent together.
struct Batch {
    progress: Mutex<Progress>,
    done: Condvar,
}

struct Progress {
    under_way: usize,
    placed: Vec<(i32, Offset)>,
    failed: Option<Failed>,
}

/// The first record that could not be delivered, and why.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) index: usize,
    pub(super) error: KafkaError,
}

impl Batch {
    fn note(&self, index: usize, outcome: Result<(i32, Offset), KafkaError>) {
        let mut progress = lock(&self.progress);
        progress.under_way -= 1;
        match outcome {
            Ok(place) => progress.placed[index] = place,
            Err(error) => {
                progress.failed.get_or_insert(Failed { index, error });
            }
        }
        if progress.under_way == 0 {
            self.done.notify_all();
        }
    }
}

impl Producer {
    /// A producer for appends, or one that holds a transactional id.
    pub(super) fn new(config: &KafkaConfig, transactional_id: Option<&str>) -> Result<Self, LogError> {
        let mut client = common(config, if transactional_id.is_some() { "transaction" } else { "append" });
        client.set("linger.ms", "2");
        client.set("compression.type", "lz4");
        client.set("queue.buffering.max.kbytes", "65536");
        client.set("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string());
        let mut client = with_settings(client, config);
        // Java's partitioner, so that keys land where every other producer puts them.
        client.set("partitioner", "murmur2_random");
        client.set("enable.idempotence", "true");
        client.set("acks", "all");
        if let Some(id) = transactional_id {
            client.set("transactional.id", id);
            client.set("transaction.timeout.ms", config.transaction_timeout.as_millis().to_string());
        }
        client.set_log_level(RDKafkaLogLevel::Info);
        let client =
            client.create_with_context(Context).map_err(|e| lift(e, "cannot make a Kafka producer"))?;
        Ok(Self { client })
    }

    pub(super) fn client(&self) -> &ThreadedProducer<Context> {
        &self.client
    }

    /// Whether the client holds that someone else has its transactional id, or that it cannot go on at all.
    pub(super) fn fatal(&self) -> Option<(Code, String)> {
        self.client.client().fatal_error()
    }

    /// Sends all and waits for all. In the order given, per partition.
    pub(super) fn deliver(&self, records: &[NewRecord]) -> Result<Vec<(TopicPartition, Offset)>, Failed> {
        let progress =
            Progress { under_way: records.len(), placed: vec![(-1, -1); records.len()], failed: None };
        let batch = Arc::new(Batch { progress: Mutex::new(progress), done: Condvar::new() });
        let deadline = Deadline::after(MESSAGE_TIMEOUT);
        for (index, record) in records.iter().enumerate() {
            if let Err(error) = self.send(record, Ticket { batch: Arc::clone(&batch), index }, deadline) {
                // The rest is not sent; what was is waited for all the same.
                let mut progress = lock(&batch.progress);
                progress.failed.get_or_insert(Failed { index, error });
                progress.under_way -= records.len() - index;
                break;
            }
        }
        let mut progress = lock(&batch.progress);
        while progress.under_way > 0 {
            // Ends: the client reports each message by its own time-out at the latest.
            progress = batch.done.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failed) = progress.failed.take() {
            return Err(failed);
        }
        let placed = records.iter().zip(&progress.placed).map(|(record, (partition, offset))| {
            let partition = u32::try_from(*partition).expect("a delivered record has a partition");
            (TopicPartition::new(Arc::clone(&record.topic), partition), *offset)
        });
        Ok(placed.collect())
    }

    fn send(&self, record: &NewRecord, ticket: Ticket, deadline: Deadline) -> Result<(), KafkaError> {
        let mut next = BaseRecord::with_opaque_to(&record.topic, Box::new(ticket));
        next.partition = record.partition.map(raw);
        next.key = record.key.as_deref();
        next.payload = record.value.as_deref();
        next.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let empty = OwnedHeaders::new_with_capacity(record.headers.len());
            next.headers =
                Some(record.headers.iter().fold(empty, |headers, (key, value)| {
                    headers.insert(RawHeader { key, value: Some(value) })
                }));
        }
        loop {
            match self.client.send::<[u8], [u8]>(next) {
                Ok(()) => return Ok(()),
                Err((error, back))
                    if error.rdkafka_error_code() == Some(Code::QueueFull) && !deadline.over() =>
                {
                    std::thread::sleep(FULL_WAIT);
                    next = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

impl Failed {
    /// What this failure means for the record alone, if it is about the record.
    pub(super) fn refusal(&self, records: &[NewRecord]) -> Option<LogError> {
        let record = &records[self.index];
        let topic = Arc::clone(&record.topic);
        let code = self.error.rdkafka_error_code()?;
        if code == Code::MessageSizeTooLarge {
            Some(LogError::TooLarge { topic, bytes: record.size() })
        } else if code == Code::InvalidRecord {
            Some(LogError::Refused { topic, why: "the broker will not have it; it may lack a key".into() })
        } else {
            unknown(code).then(|| LogError::not_found(format_args!("topic or partition of {topic}")))
        }
    }

    pub(super) fn into_append(self, records: &[NewRecord], producer: &Producer) -> LogError {
        if let Some(refusal) = self.refusal(records) {
            return refusal;
        }
        if let Some((_, reason)) = producer.fatal() {
            // The next append gets another.
            let what =
                format!("this producer cannot go on ({reason}), so nobody knows whether all was written");
            return LogError::Retriable { what, source: Some(Arc::new(self.error)) };
        }
        lift(self.error, &format!("cannot append to {}", records[self.index].topic))
    }
}

/// Refuses what could not be written, before anything is: a broker would make a missing topic by itself.
pub(super) fn check(log: &KafkaLog, records: &[NewRecord]) -> Result<(), LogError> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for record in records {
        let partition = record.partition.unwrap_or(0);
        let count = match counts.get(&*record.topic) {
            Some(count) if partition < *count => continue,
            Some(_) | None => log.count(&record.topic, partition)?,
        };
        let count = count.ok_or_else(|| LogError::not_found(format_args!("topic {}", record.topic)))?;
        counts.insert(&record.topic, count);
        if partition >= count {
            let why = format!("it has {count} partitions, not partition {partition}");
            return Err(LogError::Refused { topic: Arc::clone(&record.topic), why });
        }
    }
    Ok(())
}
