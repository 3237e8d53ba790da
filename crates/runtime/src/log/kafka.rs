//! A log on Apache Kafka. All use of its client library is here and below.
//!
//! One thread per consumer; nothing blocks in the client's callbacks, which only take note; deliveries are awaited
//! before a commit, because the client library otherwise waits in steps of 100 ms.

#[cfg(test)]
mod answers;
mod clients;
mod consumer;
mod errors;
mod mute;
mod producer;
mod reader;
mod slots;
mod topics;
mod transaction;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use consumer::KafkaConsumer;
pub use transaction::KafkaTransaction;

use super::clock::{Deadline, monotonic};
use super::{
    ConsumerSpec, Ends, Isolation, Log, LogError, NewRecord, Offset, Record, TopicPartition, TopicSpec,
};
use clients::Client;
use errors::{lift, moved, unknown};
use mute::Mute;
use producer::Producer;

/// How to reach a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas: where to ask for the cluster first.
    pub brokers: String,
    /// Named in the brokers' logs and metrics, and the start of what names clients.
    pub client_id: String,
    /// Further settings under librdkafka's names (`security.protocol`, `sasl.username`, ...), for every client.
    /// They win over ours, except those that what a log promises rests on.
    pub settings: BTreeMap<String, String>,
    /// A member of which nothing is heard for this long is out of its group. The broker's least is 6 s by default.
    pub session_timeout: Duration,
    /// How often a member is heard of: a quarter of the session or less.
    pub heartbeat: Duration,
    /// A member that has not polled for this long is out of its group. At least the session.
    pub max_poll: Duration,
    /// The broker aborts what a dead holder left open after this (and up to 10 s, the step in which it looks). Holds
    /// whatever the settings say of it.
    pub transaction_timeout: Duration,
    /// How many times new topics are replicated; `None`: the broker's default.
    pub replication: Option<u16>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl KafkaConfig {
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: "tocsin".into(),
            settings: BTreeMap::new(),
            session_timeout: Duration::from_secs(6),
            heartbeat: Duration::from_millis(1500),
            max_poll: Duration::from_secs(60),
            transaction_timeout: Duration::from_secs(15),
            replication: None,
            timeout: Duration::from_secs(10),
        }
    }
}

/// See the module. Clones share their connections.
#[derive(Clone)]
pub struct KafkaLog {
    inner: Arc<Inner>,
}

struct Inner {
    config: KafkaConfig,
    /// Sees open transactions too: its end of a partition is the high watermark.
    uncommitted: Client,
    /// Sees what is committed: its end of a partition is the last stable offset.
    committed: Client,
    /// For appends; made when first needed, and anew once it cannot go on.
    producer: Mutex<Option<Arc<Producer>>>,
    /// Partition counts of topics met; these only ever grow.
    partitions: Mutex<BTreeMap<Arc<str>, u32>>,
    /// Idle clients for range reads, by isolation (committed first).
    readers: [Mutex<Vec<Client>>; 2],
    /// Clients that ask for a group's offsets.
    groups: Mutex<BTreeMap<String, Arc<Client>>>,
    mute: Mutex<Mute>,
}

/// A client that asked the wrong broker needs about so long to find out who leads a partition now.
const MOVED_WAIT: Duration = Duration::from_millis(50);
/// Groups whose offsets are asked for are a handful; beyond this the clients are made anew.
const GROUP_CLIENTS_MAX: usize = 16;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KafkaLog {
    /// Connects, and asks the cluster for its brokers to be sure.
    ///
    /// # Errors
    /// [`LogError::Config`] for settings the client does not take, [`LogError::Retriable`] when no broker answers.
    pub fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let uncommitted = clients::viewer(&config, Isolation::Uncommitted)?;
        let committed = clients::viewer(&config, Isolation::Committed)?;
        uncommitted.reach(config.timeout).map_err(|e| lift(e, &format!("no Kafka at {}", config.brokers)))?;
        let inner = Inner {
            config,
            uncommitted,
            committed,
            producer: Mutex::default(),
            partitions: Mutex::default(),
            readers: [Mutex::default(), Mutex::default()],
            groups: Mutex::default(),
            mute: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn config(&self) -> &KafkaConfig {
        &self.inner.config
    }

    fn producer(&self) -> Result<Arc<Producer>, LogError> {
        let mut made = lock(&self.inner.producer);
        if let Some(producer) = made.as_ref().filter(|producer| producer.fatal().is_none()) {
            return Ok(Arc::clone(producer));
        }
        let producer = Arc::new(Producer::new(self.config(), None)?);
        *made = Some(Arc::clone(&producer));
        Ok(producer)
    }

    /// Start and end of a partition as a client sees them.
    fn watermarks(&self, at: &TopicPartition, isolation: Isolation) -> Result<(Offset, Offset), LogError> {
        self.watermarks_by(at, isolation, Deadline::after(self.config().timeout))
    }

    fn watermarks_by(
        &self,
        at: &TopicPartition,
        isolation: Isolation,
        deadline: Deadline,
    ) -> Result<(Offset, Offset), LogError> {
        if self.count(&at.topic, at.partition)?.is_none_or(|count| at.partition >= count) {
            return Err(LogError::not_found(format_args!("partition {at}")));
        }
        let client = match isolation {
            Isolation::Uncommitted => &self.inner.uncommitted,
            Isolation::Committed => &self.inner.committed,
        };
        client.drain();
        let mut is_gone = false;
        loop {
            let error = match client.watermarks(at, deadline.left()) {
                Ok(ends) => return Ok(ends),
                Err(error) => error,
            };
            let code = error.rdkafka_error_code();
            is_gone |= code.is_some_and(unknown);
            // It asked the one who led the partition when it last looked, or one that has just started; now it looks again.
            if code.is_some_and(|code| moved(code) || unknown(code)) && !deadline.over() {
                std::thread::sleep(MOVED_WAIT);
            } else if is_gone {
                return Err(errors::gone(&at.topic, error));
            } else {
                return Err(lift(error, &format!("cannot ask for the ends of {at}")));
            }
        }
    }

    /// Each of the two questions may take so long.
    fn ends_within(&self, at: &TopicPartition, patience: Duration) -> Result<Ends, LogError> {
        // The stable end first: it is then at or below the high one, whatever is written in between.
        let (_, stable) = self.watermarks_by(at, Isolation::Committed, Deadline::after(patience))?;
        let (start, high) = self.watermarks_by(at, Isolation::Uncommitted, Deadline::after(patience))?;
        Ok(Ends { start, stable, high })
    }

    /// How many partitions a topic has. Asked again for one that it did not have when it was last asked: topics grow.
    fn count(&self, topic: &str, partition: u32) -> Result<Option<u32>, LogError> {
        let known = lock(&self.inner.partitions).get(topic).copied();
        match known.filter(|count| partition < *count) {
            Some(count) => Ok(Some(count)),
            None => self.partitions(topic),
        }
    }

    /// A client of a group that only asks for its offsets and never joins it.
    fn group_client(&self, group: &str) -> Result<Arc<Client>, LogError> {
        let mut clients = lock(&self.inner.groups);
        if let Some(client) = clients.get(group) {
            return Ok(Arc::clone(client));
        }
        if clients.len() >= GROUP_CLIENTS_MAX {
            clients.clear();
        }
        let client = Arc::new(clients::reader(self.config(), Isolation::Committed, group)?);
        clients.insert(group.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

impl Log for KafkaLog {
    type Consumer = KafkaConsumer;
    type Transaction = KafkaTransaction;

    fn ensure_topics(&self, topics: &[TopicSpec], create: bool) -> Result<(), LogError> {
        topics::ensure(self, topics, create)
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let found = self.inner.uncommitted.partitions(topic, self.config().timeout);
        let found = found.map_err(|e| lift(e, &format!("cannot ask for topic {topic}")))?;
        if let Some(count) = found {
            lock(&self.inner.partitions).insert(topic.into(), count);
        }
        Ok(found)
    }

    fn consumer(&self, spec: ConsumerSpec) -> Result<KafkaConsumer, LogError> {
        KafkaConsumer::join(self.clone(), spec)
    }

    fn transaction(&self, id: &str) -> Result<KafkaTransaction, LogError> {
        KafkaTransaction::take(self.clone(), id)
    }

    fn append(&self, records: &[NewRecord]) -> Result<Vec<(TopicPartition, Offset)>, LogError> {
        producer::check(self, records)?;
        let producer = self.producer()?;
        producer.deliver(records).map_err(|failed| failed.into_append(records, &producer))
    }

    fn read(
        &self,
        at: &TopicPartition,
        from: Offset,
        to_exclusive: Option<Offset>,
        isolation: Isolation,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<Offset, LogError> {
        reader::read(self, at, from, to_exclusive, isolation, each)
    }

    fn ends(&self, at: &TopicPartition) -> Result<Ends, LogError> {
        self.ends_within(at, self.config().timeout)
    }

    fn ends_soon(&self, at: &TopicPartition) -> Result<Ends, LogError> {
        let Some(patience) = lock(&self.inner.mute).patience(at, monotonic()) else {
            return Err(LogError::retriable(format!("{at} gave no answer a moment ago")));
        };
        let ends = self.ends_within(at, patience.min(self.config().timeout));
        let mut mute = lock(&self.inner.mute);
        match &ends {
            Ok(_) => mute.answered(at),
            Err(_) => mute.gave_no_answer(at, monotonic()),
        }
        ends
    }

    fn committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        let client = self.group_client(group)?;
        client.drain();
        client
            .committed(at, self.config().timeout)
            .map_err(|e| lift(e, &format!("cannot ask for the offsets of {group}")))
    }
}
