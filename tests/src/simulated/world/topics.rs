//! Topics of the simulated log: where records go, how they lie, what of them is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime::log::{
    Cleanup, Ends, Header, Headers, Isolation, LogError, NewRecord, Offset, Record, TopicPartition,
    TopicSpec, partitioner,
};

use super::transactions::Status;
use super::{Bug, World};

/// Largest record where the topic says nothing else.
const RECORD_BYTES: usize = 1 << 20;
/// A record where it lies.
#[derive(Clone, Debug)]
pub struct Stored {
    pub offset: Offset,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    pub timestamp_ms: i64,
    /// Which transaction it is part of.
    pub(super) txn: Option<usize>,
    /// The end of a transaction: no record.
    pub(super) marker: bool,
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
pub(in crate::simulated) struct Topic {
    pub(super) cleanup: Cleanup,
    bytes_max: usize,
    pub(in crate::simulated) partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
pub(in crate::simulated) struct Partition {
    pub(super) records: Vec<Arc<Stored>>,
    next: Offset,
    /// Oldest offset that is still there.
    start: Offset,
}

impl World {
    pub(in crate::simulated) fn ensure(&mut self, spec: &TopicSpec, create: bool) -> Result<(), LogError> {
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

    pub(in crate::simulated) fn partitions(&self, topic: &str) -> Option<u32> {
        self.topics.get(topic).map(|topic| u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX))
    }

    fn partition(&self, at: &TopicPartition) -> Result<&Partition, LogError> {
        let found = self.topics.get(&at.topic).and_then(|t| t.partitions.get(at.partition as usize));
        found.ok_or_else(|| LogError::NotFound { what: at.to_string() })
    }

    /// Where each record goes, or why one cannot.
    pub(in crate::simulated) fn place(
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
    pub(in crate::simulated) fn write(
        &mut self,
        at: &TopicPartition,
        new: NewRecord,
        txn: Option<usize>,
    ) -> Offset {
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

    pub(super) fn push(&mut self, at: &TopicPartition, mut stored: Stored) -> Offset {
        let topic = self.topics.get_mut(&at.topic).expect("it was placed");
        let partition = &mut topic.partitions[at.partition as usize];
        let offset = partition.next;
        stored.offset = offset;
        partition.next += 1;
        partition.records.push(Arc::new(stored));
        offset
    }

    pub(in crate::simulated) fn ends(&self, at: &TopicPartition) -> Result<Ends, LogError> {
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
    pub(in crate::simulated) fn range(
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
}
