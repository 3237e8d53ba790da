//! A log in one local file, for one process: nothing to install, nothing lost by `kill -9`.
//!
//! What it keeps of a real log, so that code proven here holds there: partitions, groups that rebalance, fencing,
//! transactions that end with a marker (so offsets have gaps), retention and compaction.

mod clean;
mod codec;
mod commit;
mod consumer;
mod file;
mod groups;
mod store;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use codec::EncodedHeaders;
pub use consumer::EmbeddedConsumer;

use super::{
    ConsumerSpec, Ends, Isolation, Log, LogError, NewRecord, Offset, Progress, Record, TopicPartition,
    TopicSpec, Transaction,
};
use codec::Batch;
use commit::{Job, Queue};
use groups::Group;
use store::{Head, Store, StoreError, StoredTopic, broken};

/// How an embedded log is kept.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The file; made when missing. `None` keeps everything in memory, for tests.
    pub path: Option<PathBuf>,
    pub durability: Durability,
    /// Memory for pages of the file, in bytes.
    pub cache_bytes: usize,
    /// Most bytes of a partition of a topic that deletes, unless the topic says otherwise (`retention.bytes`).
    /// With the number of partitions this bounds the file. Consumers that lag further see a gap.
    pub partition_bytes: u64,
    /// A member that has not polled for this long loses its partitions to the others of its group, if there are any.
    pub max_poll: Duration,
}

impl EmbeddedConfig {
    /// A file with everything else as usual: durable against loss of power, 64 MiB of cache, 256 MiB a partition.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::memory() }
    }

    /// No file at all.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            path: None,
            durability: Durability::Power,
            cache_bytes: 64 << 20,
            partition_bytes: 256 << 20,
            max_poll: Duration::from_secs(60),
        }
    }
}

/// What a commit survives once it has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Loss of power: every commit is synced to the disk.
    Power,
    /// The death of this process, but not of the machine: the operating system writes when it likes. Faster.
    /// After a loss of power the file may be unreadable.
    Process,
}

/// See the module. Clones share the file.
#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    config: EmbeddedConfig,
    /// Taken for moments, never while the file is written.
    state: Mutex<State>,
    /// Told when records were committed or a group changed.
    changed: Condvar,
    queue: Mutex<Queue>,
    /// Told when a turn to write has ended.
    written: Condvar,
    /// Held by whoever writes the file.
    writer: Mutex<Writer>,
}

/// What the one writer keeps to itself.
#[derive(Default)]
struct Writer {
    cleaned: Option<Instant>,
}

struct State {
    topics: BTreeMap<Arc<str>, Topic>,
    committed: BTreeMap<(Arc<str>, TopicPartition), Offset>,
    groups: BTreeMap<Arc<str>, Group>,
    /// Newest holder of each transactional id. Forgotten with the process, as its holders are.
    epochs: BTreeMap<String, u64>,
    /// Set when the file failed: nothing more is promised.
    broken: Option<LogError>,
}

struct Topic {
    stored: StoredTopic,
    heads: Vec<Head>,
}

impl State {
    fn topic(&self, name: &str) -> Result<&Topic, LogError> {
        self.topics.get(name).ok_or_else(|| LogError::not_found(format_args!("topic {name}")))
    }

    fn head(&self, at: &TopicPartition) -> Result<((u32, u32), Head), LogError> {
        let topic = self.topic(&at.topic)?;
        let head = usize::try_from(at.partition).ok().and_then(|p| topic.heads.get(p));
        let head = head.ok_or_else(|| LogError::not_found(format_args!("partition {at}")))?;
        Ok(((topic.stored.id, at.partition), *head))
    }

    fn committed(&self, group: &Arc<str>, at: &TopicPartition) -> Option<Offset> {
        self.committed.get(&(Arc::clone(group), at.clone())).copied()
    }
}

impl Shared {
    /// A thread that panicked while it held the lock has left the state whole: each change is one assignment
    /// after all that can fail.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl EmbeddedLog {
    /// Opens the file, or makes it. Fast after a crash too.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it; [`LogError::Config`] when it is no such file.
    pub fn open(config: EmbeddedConfig) -> Result<Self, LogError> {
        Self::with(Store::open(&config)?, config)
    }

    fn with(store: Store, config: EmbeddedConfig) -> Result<Self, LogError> {
        let contents = store.contents()?;
        let topics = contents
            .topics
            .into_iter()
            .map(|(name, stored, heads)| (name, Topic { stored, heads }))
            .collect();
        let committed =
            contents.offsets.into_iter().map(|(group, at, offset)| ((group, at), offset)).collect();
        let state =
            State { topics, committed, groups: BTreeMap::new(), epochs: BTreeMap::new(), broken: None };
        let shared = Shared {
            store,
            config,
            state: Mutex::new(state),
            changed: Condvar::new(),
            queue: Mutex::default(),
            written: Condvar::new(),
            writer: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A log that is gone with its last handle.
    ///
    /// # Panics
    /// Never: memory cannot refuse.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::open(EmbeddedConfig::memory()).expect("memory has neither locks nor broken disks")
    }

    /// Applies retention and compaction to every topic now, rather than when enough has gathered.
    ///
    /// # Errors
    /// When the file fails.
    pub fn clean(&self) -> Result<(), LogError> {
        clean::now(&self.shared)
    }

    /// Reads committed records of `[from, to)` from one snapshot of the file; returns where it broke off.
    fn range(
        &self,
        at: &TopicPartition,
        from: Offset,
        to: Offset,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Offset>, LogError> {
        let snapshot = self.shared.store.snapshot()?;
        let (id, _) = self.shared.state().head(at)?;
        let mut broke_off = None;
        snapshot.batches(id, from, &mut |base, bytes| {
            if base >= to {
                return Ok(false);
            }
            let mut batch = Batch::open(&at.topic, at.partition, base, bytes)
                .ok_or_else(|| broken(StoreError::Corrupt))?;
            for record in batch.by_ref().skip_while(|r| r.offset < from).take_while(|r| r.offset < to) {
                if each(record).is_break() {
                    broke_off = Some(record.offset + 1);
                    return Ok(false);
                }
            }
            if batch.corrupt() { Err(broken(StoreError::Corrupt)) } else { Ok(true) }
        })?;
        Ok(broke_off)
    }
}

impl Log for EmbeddedLog {
    type Consumer = EmbeddedConsumer;
    type Transaction = EmbeddedTransaction;

    fn ensure_topics(&self, topics: &[TopicSpec], create: bool) -> Result<(), LogError> {
        topics::ensure(&self.shared, topics, create)
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        Ok(self.shared.state().topics.get(topic).map(|topic| topic.stored.partitions))
    }

    fn consumer(&self, spec: ConsumerSpec) -> Result<EmbeddedConsumer, LogError> {
        EmbeddedConsumer::join(Arc::clone(&self.shared), spec)
    }

    fn transaction(&self, id: &str) -> Result<EmbeddedTransaction, LogError> {
        // Behind the writer: what the older holder has under way is done before this returns.
        let writer = self.shared.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut state = self.shared.state();
        let epoch = state.epochs.entry(id.to_owned()).or_default();
        *epoch += 1;
        let held = EmbeddedTransaction { shared: Arc::clone(&self.shared), id: id.to_owned(), epoch: *epoch };
        drop(state);
        drop(writer);
        Ok(held)
    }

    fn append(&self, records: &[NewRecord]) -> Result<Vec<(TopicPartition, Offset)>, LogError> {
        commit::submit(&self.shared, Job { records: records.to_vec(), transaction: None, offsets: None })
    }

    fn read(
        &self,
        at: &TopicPartition,
        from: Offset,
        to_exclusive: Option<Offset>,
        _isolation: Isolation,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<Offset, LogError> {
        let ends = self.ends(at)?;
        let to = to_exclusive.map_or(ends.high, |to| to.min(ends.high));
        let from = from.max(ends.start);
        if from >= to {
            return Ok(from.max(to));
        }
        Ok(self.range(at, from, to, each)?.unwrap_or(to))
    }

    fn ends(&self, at: &TopicPartition) -> Result<Ends, LogError> {
        let (_, head) = self.shared.state().head(at)?;
        // A transaction is written when it commits, so there is never one that is open.
        Ok(Ends { start: head.start, stable: head.next, high: head.next })
    }

    fn committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        let (state, group) = (self.shared.state(), Arc::from(group));
        Ok(at.iter().map(|at| state.committed(&group, at)).collect())
    }
}

/// Holder of a transactional id of an [`EmbeddedLog`].
pub struct EmbeddedTransaction {
    shared: Arc<Shared>,
    id: String,
    epoch: u64,
}

impl Transaction for EmbeddedTransaction {
    type Consumer = EmbeddedConsumer;

    fn commit(
        &mut self,
        records: &[NewRecord],
        offsets: Option<Progress<'_, EmbeddedConsumer>>,
    ) -> Result<(), LogError> {
        let offsets = offsets.map(|(consumer, offsets)| (consumer.membership(), offsets.to_vec()));
        let transaction = Some((self.id.clone(), self.epoch));
        commit::submit(&self.shared, Job { records: records.to_vec(), transaction, offsets }).map(drop)
    }
}
