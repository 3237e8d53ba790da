//! Everything there is: topics, transactions, groups, and what is to go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use runtime::log::{
    Cleanup, Ends, Header, Headers, Isolation, LogError, NewRecord, Offset, Record, TopicPartition,
    TopicSpec, partitioner,
};

use super::Point;
use super::group::Group;
use crate::random::Random;

/// Largest record where the topic says nothing else.
const RECORD_BYTES: usize = 1 << 20;
/// A transaction that is open for so long is aborted by the log, and its holder is fenced.
const TRANSACTION_MAX: Duration = Duration::from_secs(15);

/// A bug in how a process uses the log, to see that the laws notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Offsets are committed before what they stand for.
    OffsetBeforeEffect,
    /// The log does not hear of which generation of the group a commit is.
    StaleGroupMetadata,
    /// One in four records of state never arrives.
    LostChangelog,
    /// Incidents are named after the process that tells of them.
    UnstableId,
    /// What was delivered last is taken for the end.
    IdleBySilence,
    /// The state of a version is not written where an incident opens.
    ResetNotPersisted,
    /// A collector does not write how far event time has come.
    WatermarkNotSaved,
    /// A collector does not write which ids it has seen.
    DuplicateWindowLost,
}

/// What goes wrong, and how often.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Share of calls that fail although they might have been done.
    pub refuse: f64,
    /// Share of transactions whose end is not told: done or not, the caller must find out.
    pub unknown: f64,
    /// Share of fetches that bring nothing of a partition although there is something.
    pub stall: f64,
    /// Longest that the markers of a transaction are behind its answer, in milliseconds.
    pub markers_ms: u64,
    pub bug: Option<Bug>,
}

/// A record where it lies.
#[derive(Clone, Debug)]
pub struct Stored {
    pub offset: Offset,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    pub timestamp_ms: i64,
    /// Which transaction it is part of.
    txn: Option<usize>,
    /// The end of a transaction: no record.
    marker: bool,
}

impl Stored {
    #[must_use]
    pub fn record<'a>(&'a self, at: &'a TopicPartition) -> Record<'a> {
        Record {
            topic: &at.topic,
            partition: at.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: Headers::of(&self.headers),
        }
    }
}

#[derive(Debug)]
pub(super) struct Topic {
    cleanup: Cleanup,
    bytes_max: usize,
    pub(super) partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    records: Vec<Arc<Stored>>,
    next: Offset,
    /// Oldest offset that is still there.
    start: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Open {
        since: Duration,
    },
    /// Decided; markers come at this time.
    Ending {
        committed: bool,
        at: Duration,
    },
    Ended {
        committed: bool,
    },
}

/// Offsets of a group.
type Sent = (Arc<str>, Vec<(TopicPartition, Offset)>);

#[derive(Debug)]
struct Txn {
    id: String,
    status: Status,
    touched: BTreeSet<TopicPartition>,
    /// First record in each partition: nobody reads past it while it is open.
    first: BTreeMap<TopicPartition, Offset>,
    /// Offsets of a group that are committed with it.
    offsets: Option<Sent>,
}

/// What one transaction committed: for the laws.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Where its records lie.
    pub records: Vec<(TopicPartition, Arc<Stored>)>,
    /// Offsets of which group.
    pub offsets: Vec<(Arc<str>, TopicPartition, Offset)>,
}

/// Topics, transactions and groups under one clock.
#[derive(Debug)]
pub struct World {
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    txns: Vec<Txn>,
    /// Transactions that are not ended.
    open: BTreeSet<usize>,
    /// By transactional id: how often it was taken over.
    epochs: BTreeMap<String, u64>,
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    /// Where the last fetch of each partition ended.
    pub(super) fetched: BTreeMap<TopicPartition, Offset>,
    /// Every committed transaction, in order.
    pub commits: Vec<Commit>,
    pub(super) now: Duration,
    pub(super) random: Random,
    pub faults: Faults,
    /// By process: since when it does not run. Its heartbeats stop with it.
    stopped: BTreeMap<usize, Duration>,
    /// A member whose process stands still for so long is out.
    pub session: Duration,
    /// A member that does not poll for so long is out.
    pub max_poll: Duration,
    wall_ms: i64,
}

impl World {
    /// An empty world in which nothing goes wrong. `wall_ms` is the time of day at its beginning.
    #[must_use]
    pub fn new(seed: u64, wall_ms: i64) -> Self {
        Self {
            topics: BTreeMap::new(),
            txns: vec![],
            open: BTreeSet::new(),
            epochs: BTreeMap::new(),
            groups: BTreeMap::new(),
            fetched: BTreeMap::new(),
            commits: vec![],
            now: Duration::ZERO,
            random: Random::new(seed),
            faults: Faults::default(),
            stopped: BTreeMap::new(),
            session: Duration::from_secs(6),
            max_poll: Duration::from_secs(60),
            wall_ms,
        }
    }

    /// Time goes on; what was due by then has happened.
    pub fn pass(&mut self, now: Duration) {
        self.now = self.now.max(now);
        for txn in self.open.clone() {
            match self.txns[txn].status {
                Status::Open { since } if self.now > since + TRANSACTION_MAX => {
                    let id = self.txns[txn].id.clone();
                    *self.epochs.entry(id).or_default() += 1;
                    self.end(txn, false, Duration::ZERO);
                    self.mark(txn);
                }
                Status::Ending { at, .. } if at <= self.now => self.mark(txn),
                Status::Open { .. } | Status::Ending { .. } | Status::Ended { .. } => (),
            }
        }
    }

    /// A process stands still from now on, killed or stopped.
    pub fn stop(&mut self, process: usize) {
        self.stopped.entry(process).or_insert(self.now);
    }

    /// A stopped process goes on. What its sessions missed they have missed.
    pub fn go_on(&mut self, process: usize) {
        self.expel();
        self.stopped.remove(&process);
    }

    /// Partitions are shared out anew, as after any change of the group.
    pub fn share_out_anew(&mut self) {
        let random = &mut self.random;
        self.groups.values_mut().for_each(|group| group.share_out_anew(random.bits()));
    }

    pub(super) fn expel(&mut self) {
        let (now, session, max_poll) = (self.now, self.session, self.max_poll);
        for group in self.groups.values_mut() {
            group.expel(|member| {
                let still = self.stopped.get(&member.process).is_some_and(|since| now > *since + session);
                still || now > member.polled + max_poll
            });
        }
    }

    /// Whether this call fails.
    pub(super) fn trouble(&mut self, point: Point) -> Result<(), LogError> {
        let refused = self.random.chance(self.faults.refuse);
        if !refused {
            return Ok(());
        }
        let what = format!("{point:?}: the broker is moving its coordinator");
        Err(match point {
            Point::Begin | Point::Produced | Point::OffsetsSent => {
                LogError::Aborted { why: what, source: None }
            }
            // What is done is done.
            Point::Committed | Point::Polled | Point::Close => return Ok(()),
            Point::Poll
            | Point::Join
            | Point::Fence
            | Point::Fenced
            | Point::Read
            | Point::Ends
            | Point::Append => LogError::Retriable { what, source: None },
        })
    }

    // ---- topics ------------------------------------------------------------------------------------------------------

    pub(super) fn ensure(&mut self, spec: &TopicSpec, create: bool) -> Result<(), LogError> {
        let setting = |name: &str| spec.config.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let bytes_max = setting("max.message.bytes").and_then(|v| v.parse().ok()).unwrap_or(RECORD_BYTES);
        let differs = |setting, found: String, wanted: String| {
            Err(LogError::Topic { topic: Arc::clone(&spec.name), setting, found, wanted })
        };
        if let Some(topic) = self.topics.get(&spec.name) {
            let found = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
            if found != spec.partitions {
                return differs("partitions", found.to_string(), spec.partitions.to_string());
            }
            if topic.cleanup.policy() != spec.cleanup.policy() {
                let wanted = spec.cleanup.policy().to_owned();
                return differs("cleanup.policy", topic.cleanup.policy().to_owned(), wanted);
            }
            if (topic.bytes_max as u64) < spec.record_bytes {
                let wanted = format!("{} or more", spec.record_bytes);
                return differs("max.message.bytes", topic.bytes_max.to_string(), wanted);
            }
            return Ok(());
        }
        if !create {
            return Err(LogError::NotFound { what: format!("topic {}", spec.name) });
        }
        let bytes_max = bytes_max.max(usize::try_from(spec.record_bytes).unwrap_or(usize::MAX));
        let partitions = (0..spec.partitions).map(|_| Partition::default()).collect();
        let topic = Topic { cleanup: spec.cleanup, bytes_max, partitions };
        self.topics.insert(Arc::clone(&spec.name), topic);
        Ok(())
    }

    pub(super) fn partitions(&self, topic: &str) -> Option<u32> {
        self.topics.get(topic).map(|topic| u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX))
    }

    fn partition(&self, at: &TopicPartition) -> Result<&Partition, LogError> {
        let found = self.topics.get(&at.topic).and_then(|t| t.partitions.get(at.partition as usize));
        found.ok_or_else(|| LogError::NotFound { what: at.to_string() })
    }

    /// Where each record goes, or why one cannot.
    pub(super) fn place(
        &mut self,
        records: &[NewRecord],
    ) -> Result<Vec<(TopicPartition, NewRecord)>, LogError> {
        let mut placed = Vec::with_capacity(records.len());
        for record in records {
            let Some(topic) = self.topics.get(&record.topic) else {
                return Err(LogError::NotFound { what: format!("topic {}", record.topic) });
            };
            let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
            let refused = |why: String| LogError::Refused { topic: Arc::clone(&record.topic), why };
            let partition = match (record.partition, &record.key) {
                (Some(partition), _) if partition >= count => {
                    return Err(refused(format!("it has no partition {partition}")));
                }
                (Some(partition), _) => partition,
                (None, Some(key)) => partitioner::partition_of(key, count),
                (None, None) => self.random.below(count.into()).try_into().unwrap_or(0),
            };
            if topic.cleanup.compacts() && record.key.is_none() {
                return Err(refused("its records need a key".into()));
            }
            if record.size() > topic.bytes_max {
                return Err(LogError::TooLarge { topic: Arc::clone(&record.topic), bytes: record.size() });
            }
            placed.push((TopicPartition::new(Arc::clone(&record.topic), partition), record.clone()));
        }
        Ok(placed)
    }

    /// Writes a record that [`World::place`] has found a place for.
    pub(super) fn write(&mut self, at: &TopicPartition, new: NewRecord, txn: Option<usize>) -> Offset {
        let written_ms = self.wall_ms + i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        let NewRecord { key, value, headers, timestamp_ms, .. } = new;
        let timestamp_ms = timestamp_ms.unwrap_or(written_ms);
        let stored = Stored { offset: 0, key, value, headers, timestamp_ms, txn, marker: false };
        let offset = self.push(at, stored);
        if let Some(txn) = txn {
            self.txns[txn].touched.insert(at.clone());
            self.txns[txn].first.entry(at.clone()).or_insert(offset);
        }
        offset
    }

    fn push(&mut self, at: &TopicPartition, mut stored: Stored) -> Offset {
        let topic = self.topics.get_mut(&at.topic).expect("it was placed");
        let partition = &mut topic.partitions[at.partition as usize];
        let offset = partition.next;
        stored.offset = offset;
        partition.next += 1;
        partition.records.push(Arc::new(stored));
        offset
    }

    pub(super) fn ends(&self, at: &TopicPartition) -> Result<Ends, LogError> {
        let partition = self.partition(at)?;
        let open = self.open.iter().filter_map(|&txn| self.txns[txn].first.get(at)).min();
        let high = partition.next;
        if self.faults.bug == Some(Bug::IdleBySilence)
            && let Some(&end) = self.fetched.get(at)
        {
            return Ok(Ends { start: partition.start, stable: end, high: end });
        }
        Ok(Ends { start: partition.start, stable: open.copied().unwrap_or(high).min(high), high })
    }

    fn is_committed(&self, stored: &Stored) -> bool {
        !stored.marker
            && stored.txn.is_none_or(|txn| match self.txns[txn].status {
                Status::Ended { committed } | Status::Ending { committed, .. } => committed,
                Status::Open { .. } => false,
            })
    }

    /// Records of `[from, to)`, and the end of what was asked.
    pub(super) fn range(
        &mut self,
        at: &TopicPartition,
        from: Offset,
        to: Option<Offset>,
        isolation: Isolation,
    ) -> Result<(Vec<Arc<Stored>>, Offset), LogError> {
        let ends = self.ends(at)?;
        let end = match (to, isolation) {
            (Some(to), _) => to.min(ends.high),
            (None, Isolation::Committed) => ends.stable,
            (None, Isolation::Uncommitted) => ends.high,
        };
        if isolation == Isolation::Committed {
            // Whoever waits long enough sees markers come.
            let below = |w: &Self, txn: &usize| w.txns[*txn].first.get(at).is_some_and(|first| *first < end);
            let in_the_way: Vec<usize> = self.open.iter().copied().filter(|txn| below(self, txn)).collect();
            for txn in in_the_way {
                match self.txns[txn].status {
                    Status::Open { .. } => {
                        let what = format!("{at}: a transaction of {} is open", self.txns[txn].id);
                        return Err(LogError::Retriable { what, source: None });
                    }
                    Status::Ending { .. } | Status::Ended { .. } => self.mark(txn),
                }
            }
        }
        let shown = |stored: &Arc<Stored>| match isolation {
            Isolation::Committed => self.is_committed(stored),
            Isolation::Uncommitted => !stored.marker,
        };
        let records = &self.partition(at)?.records;
        let first = records.partition_point(|stored| stored.offset < from);
        let found = records[first..].iter().take_while(|stored| stored.offset < end);
        Ok((found.filter(|stored| shown(stored)).cloned().collect(), end))
    }

    /// What of a partition is committed, in order: for the laws.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn shown(&self, topic: &str, partition: u32) -> Vec<Arc<Stored>> {
        let at = TopicPartition::new(topic, partition);
        let records = &self.partition(&at).expect("it was made").records;
        records.iter().filter(|stored| self.is_committed(stored)).cloned().collect()
    }

    /// Of compacted topics only the last of each key stays, below what may still be aborted.
    pub fn compact(&mut self) {
        let names: Vec<_> =
            self.topics.iter().filter(|(_, t)| t.cleanup.compacts()).map(|(n, _)| n).cloned().collect();
        for name in names {
            for partition in 0..self.partitions(&name).unwrap_or(0) {
                let at = TopicPartition::new(Arc::clone(&name), partition);
                let stable = self.ends(&at).map_or(0, |ends| ends.stable);
                let shown = self.shown(&name, partition);
                let last: BTreeMap<_, _> =
                    shown.iter().filter(|s| s.offset < stable).map(|s| (s.key.clone(), s.offset)).collect();
                let kept = |s: &Arc<Stored>| {
                    s.offset >= stable
                        || !s.marker && s.value.is_some() && last.get(&s.key) == Some(&s.offset)
                };
                let records =
                    &mut self.topics.get_mut(&name).expect("named").partitions[partition as usize].records;
                records.retain(kept);
            }
        }
    }

    // ---- transactions ------------------------------------------------------------------------------------------------

    /// Takes an id over: an open transaction under it is aborted, an ending one ends.
    pub(super) fn fence(&mut self, id: &str) -> u64 {
        let epoch = self.epochs.entry(id.to_owned()).or_default();
        *epoch += 1;
        let epoch = *epoch;
        for txn in self.open.clone() {
            if self.txns[txn].id == id {
                if matches!(self.txns[txn].status, Status::Open { .. }) {
                    self.end(txn, false, Duration::ZERO);
                }
                self.mark(txn);
            }
        }
        epoch
    }

    pub(super) fn holds(&self, id: &str, epoch: u64) -> bool {
        self.epochs.get(id) == Some(&epoch)
    }

    pub(super) fn begin(&mut self, id: &str) -> usize {
        // One after the other: the markers of the one before come first.
        for txn in self.open.clone() {
            if self.txns[txn].id == id {
                self.mark(txn);
            }
        }
        let status = Status::Open { since: self.now };
        let (touched, first) = (BTreeSet::new(), BTreeMap::new());
        self.txns.push(Txn { id: id.to_owned(), status, touched, first, offsets: None });
        self.open.insert(self.txns.len() - 1);
        self.txns.len() - 1
    }

    pub(super) fn is_open(&self, txn: usize) -> bool {
        matches!(self.txns[txn].status, Status::Open { .. })
    }

    /// Decides a transaction; its markers come later.
    pub(super) fn end(&mut self, txn: usize, committed: bool, later: Duration) {
        self.txns[txn].status = Status::Ending { committed, at: self.now + later };
    }

    /// Offsets that will be committed with a transaction. Until it has ended nobody learns what they are.
    pub(super) fn send_offsets(&mut self, txn: usize, group: Arc<str>, offsets: &[(TopicPartition, Offset)]) {
        self.txns[txn].offsets = Some((group, offsets.to_vec()));
    }

    /// Commits a transaction, with what was sent to it.
    pub(super) fn commit(&mut self, txn: usize) {
        let later = self.markers_later();
        let touched = self.txns[txn].touched.clone();
        let records = touched.iter().flat_map(|at| {
            let first = self.txns[txn].first[at];
            let all = &self.topics[&at.topic].partitions[at.partition as usize].records;
            let from = all.partition_point(|stored| stored.offset < first);
            all[from..].iter().filter(|s| s.txn == Some(txn)).map(|s| (at.clone(), Arc::clone(s)))
        });
        let records = records.collect();
        let mut told = vec![];
        if let Some((group, offsets)) = self.txns[txn].offsets.clone() {
            let of = self.groups.entry(Arc::clone(&group)).or_default();
            of.offsets.extend(offsets.iter().cloned());
            told.extend(offsets.into_iter().map(|(at, offset)| (Arc::clone(&group), at, offset)));
        }
        self.commits.push(Commit { records, offsets: told });
        self.end(txn, true, later);
        if later.is_zero() {
            self.mark(txn);
        }
    }

    pub(super) fn markers_later(&mut self) -> Duration {
        let most = self.faults.markers_ms;
        Duration::from_millis(if most == 0 { 0 } else { self.random.below(most) })
    }

    /// Writes the markers of a transaction that is decided.
    pub(super) fn mark(&mut self, txn: usize) {
        let Status::Ending { committed, .. } = self.txns[txn].status else { return };
        self.txns[txn].status = Status::Ended { committed };
        self.open.remove(&txn);
        for at in std::mem::take(&mut self.txns[txn].touched) {
            let (headers, timestamp_ms) = (vec![], 0);
            let stored = Stored {
                offset: 0,
                key: None,
                value: None,
                headers,
                timestamp_ms,
                txn: Some(txn),
                marker: true,
            };
            self.push(&at, stored);
        }
        self.txns[txn].first.clear();
    }

    // ---- groups ------------------------------------------------------------------------------------------------------

    /// What a group has committed.
    ///
    /// # Errors
    /// While a transaction has not ended that will say more.
    pub(super) fn committed(
        &self,
        group: &str,
        at: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, LogError> {
        let pending = self.open.iter().filter_map(|&txn| self.txns[txn].offsets.as_ref());
        let of = pending.filter(|(of, _)| **of == *group).flat_map(|(_, offsets)| offsets);
        if let Some((waits, _)) = of.into_iter().find(|(pending, _)| at.contains(pending)) {
            let what = format!("{waits}: a transaction with its offset has not ended");
            return Err(LogError::Retriable { what, source: None });
        }
        let group = self.groups.get(group);
        Ok(at.iter().map(|at| group.and_then(|group| group.offsets.get(at).copied())).collect())
    }

    /// Offsets that a group has committed, by partition: for the laws.
    #[must_use]
    pub fn offsets(&self, group: &str) -> BTreeMap<TopicPartition, Offset> {
        self.groups.get(group).map(|group| group.offsets.clone()).unwrap_or_default()
    }
}
