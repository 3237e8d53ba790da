//! The one seam to topics: what the loops need of a log, and nothing else.
//!
//! Two real implementations: [`embedded`] (one local file, one process) and [`kafka`]. What they promise is
//! written down as a suite that runs against both: `tests/tests/log_contract.rs`.

mod clock;
pub mod embedded;
mod error;
mod headers;
pub mod kafka;
pub mod partitioner;

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

pub use embedded::{EmbeddedConfig, EmbeddedLog};
pub use error::{Cause, LogError};
pub use headers::{Header, HeaderIter, Headers};
pub use kafka::{KafkaConfig, KafkaLog};

/// A position in a partition: the offset of the *next* record to process, so last processed + 1.
/// Offsets grow and may have gaps (transaction markers, compaction): never compare one with an end by `==`.
pub type Offset = i64;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: u32,
}

impl TopicPartition {
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record as it is read. Everything borrows from the batch it came in: copy what must outlive the call.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: u32,
    pub offset: Offset,
    /// Milliseconds since the epoch, as its producer set it (or when it was appended).
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone; an empty value is a value.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    pub topic: Arc<str>,
    /// `None`: chosen by the key as Kafka's own clients do (murmur2); without a key, any partition.
    pub partition: Option<u32>,
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    /// Milliseconds since the epoch; `None`: now. Retention goes by this, so leave event time out of it.
    pub timestamp_ms: Option<i64>,
}

impl NewRecord {
    /// A record with neither key, partition nor headers.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Vec<u8>>) -> Self {
        let value = Some(value.into());
        Self { topic: topic.into(), partition: None, key: None, value, headers: vec![], timestamp_ms: None }
    }

    /// The word that a key is no more.
    #[must_use]
    pub fn tombstone(topic: impl Into<Arc<str>>, key: impl Into<Vec<u8>>) -> Self {
        Self { value: None, ..Self::new(topic, vec![]) }.key(key)
    }

    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Bytes of key, value and headers: what the log's limit on a record is held against.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers
    }
}

/// What happens to the old records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Dropped after `retention_ms` (`None`: the log's own default).
    Delete { retention_ms: Option<u64> },
    /// The last record of each key stays; a tombstone goes some time after.
    Compact,
    /// Both: the last of each key, and that too only for `retention_ms`.
    CompactDelete { retention_ms: Option<u64> },
}

impl Cleanup {
    /// As Kafka's `cleanup.policy` spells it.
    #[must_use]
    pub fn policy(self) -> &'static str {
        match self {
            Self::Delete { .. } => "delete",
            Self::Compact => "compact",
            Self::CompactDelete { .. } => "compact,delete",
        }
    }

    #[must_use]
    pub fn retention_ms(self) -> Option<u64> {
        match self {
            Self::Delete { retention_ms } | Self::CompactDelete { retention_ms } => retention_ms,
            Self::Compact => None,
        }
    }

    #[must_use]
    pub fn compacts(self) -> bool {
        match self {
            Self::Delete { .. } => false,
            Self::Compact | Self::CompactDelete { .. } => true,
        }
    }
}

/// A topic as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: Arc<str>,
    /// At least 1.
    pub partitions: u32,
    pub cleanup: Cleanup,
    /// Further settings under Kafka's names (`segment.bytes`, `retention.bytes`, `max.message.bytes`, ...),
    /// used when the topic is created. The embedded log heeds `retention.bytes`, `max.message.bytes` and
    /// `delete.retention.ms`; the rest says nothing to it.
    pub config: Vec<(Cow<'static, str>, String)>,
    /// Most bytes of a record that is written to it, with its key and headers; 0 where that is not known.
    pub record_bytes: u64,
}

impl TopicSpec {
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, partitions: u32, cleanup: Cleanup) -> Self {
        Self { name: name.into(), partitions, cleanup, config: vec![], record_bytes: 0 }
    }

    #[must_use]
    pub fn set(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.config.push((name.into(), value.into()));
        self
    }

    /// The topic must take records of so many bytes.
    #[must_use]
    pub fn takes(mut self, record_bytes: u64) -> Self {
        self.record_bytes = record_bytes;
        self
    }
}

/// Who reads what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    pub group: Arc<str>,
    /// The topics whose partitions the group shares out among its members. At least one.
    pub lead: Vec<Arc<str>>,
    /// Topics with as many partitions as `lead[0]`: who holds its partition p holds p of these too.
    pub partners: Vec<Arc<str>>,
    /// Named in the broker's logs and metrics.
    pub client_id: String,
    /// Where a group begins that has committed nothing yet.
    pub start: Start,
}

/// Where a group begins on a partition for which it has no committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is still there. (There is no other: a group that starts at the end loses
    /// what came while it was away.)
    #[default]
    Earliest,
}

/// Whether a range read shows what is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only what is committed, in order; waits for a transaction that is open below the end asked for.
    Committed,
    /// Everything, aborted and open transactions too. For diagnosis.
    Uncommitted,
}

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Offset of the oldest record that is still there, at or below it.
    pub start: Offset,
    /// Everything below is committed or aborted: how far a reader of committed records gets.
    pub stable: Offset,
    /// Offset of the next record to be written: at or above `stable`. What a takeover must read up to.
    pub high: Offset,
}

/// What a poll delivers, in order.
#[derive(Debug)]
pub enum Event<'a> {
    Record(Record<'a>),
    /// These are ours from now on, leads and partners. Nothing of them is delivered before the next poll,
    /// which looks up where they start unless [`Consumer::seek`] says so in between: fence, restore, then poll.
    /// Empty: the group has shared everything out, and nothing (more) fell to us.
    Assigned(&'a [TopicPartition]),
    /// These go to another member. They are ours until the next poll (or close): finish and commit first.
    Revoked(&'a [TopicPartition]),
    /// These are gone already, perhaps long ago: drop what was made of them, commit nothing.
    Lost(&'a [TopicPartition]),
    /// Records from `expected` up to `found` are gone before they were read (or, when `found` is lower, the
    /// topic was made anew). Reading goes on at `found`. Report it: something was lost.
    Gap {
        at: &'a TopicPartition,
        expected: Offset,
        found: Offset,
    },
    /// All that was committed when last looked at has been delivered. `position` is where reading stands, at
    /// or below the end (what lies between are markers). Comes again after further records.
    End {
        at: &'a TopicPartition,
        position: Offset,
    },
}

/// Topics, partitions, groups and transactions. Cheap to clone; clones share everything.
pub trait Log: Clone + Send + Sync + 'static {
    type Consumer: Consumer;
    type Transaction: Transaction<Consumer = Self::Consumer>;

    /// Creates the topics that are missing (if `create`) and checks those that exist.
    ///
    /// # Errors
    /// [`LogError::Topic`] when partitions or cleanup policy differ, or its limit on a record is below what is written
    /// to it, [`LogError::NotFound`] when one is missing
    /// and `create` is false. Other settings that differ are only logged: an operator may have raised them.
    fn ensure_topics(&self, topics: &[TopicSpec], create: bool) -> Result<(), LogError>;

    /// How many partitions a topic has; `None` if there is no such topic.
    ///
    /// # Errors
    /// When the log cannot be asked.
    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError>;

    /// Joins a group. Which partitions it gets comes as events of its polls.
    ///
    /// # Errors
    /// [`LogError::NotFound`] for a missing topic, [`LogError::Topic`] for a partner with another partition count.
    fn consumer(&self, spec: ConsumerSpec) -> Result<Self::Consumer, LogError>;

    /// Takes the transactional id over: the older holder's open transaction is aborted and whatever it tries
    /// from now on is [`LogError::Fenced`]. What it had committed is visible when this returns.
    ///
    /// # Errors
    /// When the log cannot be asked.
    fn transaction(&self, id: &str) -> Result<Self::Transaction, LogError>;

    /// Writes records outside any transaction; returns where each landed, in order, once all are durable.
    /// Records of one partition stay in order. May be called from many threads at once, which then share work.
    ///
    /// # Errors
    /// [`LogError::TooLarge`] and [`LogError::Refused`] before anything is written; on any other error some
    /// of them may have been written, so a retry may double.
    fn append(&self, records: &[NewRecord]) -> Result<Vec<(TopicPartition, Offset)>, LogError>;

    /// Reads `[from, to_exclusive)` of one partition without a group; `None` reads to the end as it is now.
    /// An end beyond the partition's is cut to it. Returns where to go on: the end, or behind the record at
    /// which `each` broke off. What has expired is passed over.
    ///
    /// # Errors
    /// [`LogError::Retriable`] when an open transaction keeps the end out of reach for long.
    fn read(
        &self,
        at: &TopicPartition,
        from: Offset,
        to_exclusive: Option<Offset>,
        isolation: Isolation,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<Offset, LogError>;

    /// Both ends of a partition.
    ///
    /// # Errors
    /// [`LogError::NotFound`] when it does not exist.
    fn ends(&self, at: &TopicPartition) -> Result<Ends, LogError>;

    /// As [`Log::ends`], for who asks from time to time and has others to serve: one that does not answer is not waited
    /// for long, nor asked again at once.
    ///
    /// # Errors
    /// As [`Log::ends`], and without asking for some time after that.
    fn ends_soon(&self, at: &TopicPartition) -> Result<Ends, LogError> {
        self.ends(at)
    }

    /// What a group has committed, in the order asked; `None` where nothing.
    ///
    /// # Errors
    /// When the log cannot be asked.
    fn committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError>;
}

/// A member of a group. Used by one thread; poll it at least every minute or it loses its partitions.
pub trait Consumer: Send {
    /// Delivers at most `max_records` records (and what else happened) to `sink`; waits for the first at most
    /// `max_wait`, which may be zero. Returns how many records. After `Assigned`, `Revoked` and `Lost` it
    /// returns at once, so that the caller can act before anything more happens.
    ///
    /// # Errors
    /// [`LogError::Retriable`] loses nothing: poll again. [`LogError::Fatal`]: drop the consumer.
    fn poll(
        &mut self,
        max_wait: Duration,
        max_records: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError>;

    /// The partitions held now, in order. One that is revoked counts until the next poll.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// Offset of the next record that a poll would deliver, once known (after the poll that follows `Assigned`).
    fn position(&self, at: &TopicPartition) -> Option<Offset>;

    /// Stops delivery of these partitions; polls go on with the others. Nothing is lost by it.
    ///
    /// # Errors
    /// When one is not held.
    fn pause(&mut self, at: &[TopicPartition]) -> Result<(), LogError>;

    /// Goes on where [`Consumer::pause`] stopped.
    ///
    /// # Errors
    /// When one is not held.
    fn resume(&mut self, at: &[TopicPartition]) -> Result<(), LogError>;

    /// The next poll goes on at `offset`.
    ///
    /// # Errors
    /// When it is not held.
    fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), LogError>;

    /// Goes back to what the group has committed (or to the start): what an [`LogError::Aborted`] transaction needs.
    ///
    /// # Errors
    /// When one is not held, or the log cannot be asked.
    fn rewind(&mut self, at: &[TopicPartition]) -> Result<(), LogError>;

    /// What this consumer's group has committed, in the order asked.
    ///
    /// # Errors
    /// When the log cannot be asked.
    fn committed(&self, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError>;

    /// Leaves the group, so that others need not wait for it. Partitions go without further events: finish
    /// and commit first. Dropping does the same without saying how it went.
    ///
    /// # Errors
    /// When the log did not take note in time; its session then times out.
    fn close(self) -> Result<(), LogError>;
}

/// A consumer, and for some of its partitions the next offset to process.
pub type Progress<'a, C> = (&'a mut C, &'a [(TopicPartition, Offset)]);

/// Holder of a transactional id. Used by one thread.
pub trait Transaction: Send {
    type Consumer: Consumer;

    /// Writes all records and the consumer's offsets (next to process, leads and partners alike), or nothing.
    /// Returns when it is durable. It shows as a whole, at once to who reads up to [`Ends::high`]; readers up to the
    /// stable end and consumers may see it a moment later (Kafka writes its markers behind its answer). An empty
    /// call changes nothing.
    ///
    /// # Errors
    /// [`LogError::Fenced`]: give up what this id stands for, never take the id again.
    /// [`LogError::Aborted`]: nothing was written; [`Consumer::rewind`] and restore, then go on.
    /// [`LogError::TooLarge`], [`LogError::Refused`]: as aborted, and it would be again.
    /// [`LogError::Lost`]: the outcome may be unknown; drop it, take the id anew and read what is committed.
    fn commit(
        &mut self,
        records: &[NewRecord],
        offsets: Option<Progress<'_, Self::Consumer>>,
    ) -> Result<(), LogError>;
}
