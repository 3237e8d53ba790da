//! Retention and compaction, done by whoever wrote last, so that the file stays bounded without a thread of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::codec::{Batch, BatchBuilder};
use super::store::{Changes, Head, StoreError, StoredTopic, broken};
use super::{Shared, Writer};
use crate::log::clock::{monotonic, wall_ms};
use crate::log::{LogError, Offset, Record, TopicPartition};

const EVERY: Duration = Duration::from_secs(1);
/// Compaction waits for this much to gather, and for as much as it left last time.
const DIRTY_BYTES: u64 = 1 << 20;
const BATCH_BYTES: usize = 128 << 10;

pub(super) fn if_due(shared: &Shared, writer: &mut Writer) -> Result<(), LogError> {
    let now = monotonic();
    if writer.cleaned.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
        return Ok(());
    }
    writer.cleaned = Some(now);
    clean(shared, |head| head.dirty > DIRTY_BYTES.max(head.bytes / 2))
}

pub(super) fn now(shared: &Shared) -> Result<(), LogError> {
    let _writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
    clean(shared, |head| head.dirty > 0)
}

/// One partition to look at.
struct Target {
    at: TopicPartition,
    id: (u32, u32),
    stored: StoredTopic,
    head: Head,
}

/// The caller holds the writer, so heads do not move meanwhile.
fn clean(shared: &Shared, compact: impl Fn(&Head) -> bool) -> Result<(), LogError> {
    let targets: Vec<Target> = {
        let state = shared.state();
        let partitions = state.topics.iter().flat_map(|(name, topic)| {
            topic.heads.iter().zip(0_u32..).map(move |(head, partition)| Target {
                at: TopicPartition::new(Arc::clone(name), partition),
                id: (topic.stored.id, partition),
                stored: topic.stored.clone(),
                head: *head,
            })
        });
        partitions.filter(|target| target.head.bytes > 0).collect()
    };
    for mut target in targets {
        if target.stored.deletes {
            expire(shared, &mut target)?;
        }
        if target.stored.compacts && compact(&target.head) {
            compaction(shared, &mut target)?;
        }
    }
    Ok(())
}

/// Drops batches from the front: those that are too old, and those beyond the bytes allowed.
fn expire(shared: &Shared, target: &mut Target) -> Result<(), LogError> {
    let now_ms = wall_ms();
    let oldest_ms = target.stored.retention_ms.map(|ms| now_ms.saturating_sub_unsigned(ms));
    // Compacted topics are bounded by their keys: bytes are held against those that only delete.
    let limit = if target.stored.compacts { None } else { Some(shared.config.partition_bytes) };
    let limit = target.stored.retention_bytes.or(limit);
    let mut changes = Changes::default();
    let mut head = target.head;
    head.start = head.next;
    shared.store.snapshot()?.batches(target.id, target.head.start, &mut |base, bytes| {
        let batch = Batch::open(&target.at.topic, target.at.partition, base, bytes)
            .ok_or_else(|| broken(StoreError::Corrupt))?;
        let old = oldest_ms.is_some_and(|oldest| batch.newest_ms() < oldest);
        if !old && limit.is_none_or(|limit| head.bytes <= limit) {
            head.start = base.max(target.head.start);
            return Ok(false);
        }
        changes.remove.push((target.id.0, target.id.1, base));
        head.bytes = head.bytes.saturating_sub(u64::try_from(bytes.len()).expect("a length fits 64 bits"));
        Ok(true)
    })?;
    if changes.remove.is_empty() {
        return Ok(());
    }
    head.dirty = head.dirty.min(head.bytes);
    changes.heads.push((target.id, head));
    // First the start, so that a reader who misses the records knows that they are gone.
    let before = target.head;
    set(shared, target, head);
    // What is still there must be found again by the next look, or it would stay for good.
    shared.store.commit(&changes).inspect_err(|_| set(shared, target, before))
}

/// Keeps the last record of each key, and drops tombstones once they are old.
fn compaction(shared: &Shared, target: &mut Target) -> Result<(), LogError> {
    let mut last: BTreeMap<Vec<u8>, Offset> = BTreeMap::new();
    each_record(shared, target, &mut |record| {
        last.insert(record.key.unwrap_or_default().to_vec(), record.offset);
    })?;
    let gone_ms = wall_ms().saturating_sub_unsigned(target.stored.tombstone_ms);
    let mut rewrite = Rewrite { id: target.id, open: None, changes: Changes::default(), bytes: 0 };
    let removed = each_record(shared, target, &mut |record| {
        let superseded = last.get(record.key.unwrap_or_default()) != Some(&record.offset);
        if !superseded && (record.value.is_some() || record.timestamp_ms >= gone_ms) {
            rewrite.keep(&record);
        }
    })?;
    rewrite.cut();
    let head = Head { bytes: rewrite.bytes, dirty: 0, ..target.head };
    rewrite.changes.remove = removed.into_iter().map(|base| (target.id.0, target.id.1, base)).collect();
    rewrite.changes.heads.push((target.id, head));
    shared.store.commit(&rewrite.changes)?;
    set(shared, target, head);
    Ok(())
}

/// Visits all records of a partition; returns the bases of its batches.
fn each_record(
    shared: &Shared,
    target: &Target,
    each: &mut dyn FnMut(Record<'_>),
) -> Result<Vec<Offset>, LogError> {
    let mut bases = vec![];
    shared.store.snapshot()?.batches(target.id, target.head.start, &mut |base, bytes| {
        let mut batch = Batch::open(&target.at.topic, target.at.partition, base, bytes)
            .ok_or_else(|| broken(StoreError::Corrupt))?;
        batch.by_ref().for_each(&mut *each);
        bases.push(base);
        if batch.corrupt() { Err(broken(StoreError::Corrupt)) } else { Ok(true) }
    })?;
    Ok(bases)
}

fn set(shared: &Shared, target: &mut Target, head: Head) {
    target.head = head;
    let mut state = shared.state();
    if let Some(topic) = state.topics.get_mut(&target.at.topic) {
        topic.heads[usize::try_from(target.at.partition).expect("fits memory")] = head;
    }
}

/// What stays of a partition, as new batches.
struct Rewrite {
    id: (u32, u32),
    open: Option<BatchBuilder>,
    changes: Changes,
    bytes: u64,
}

impl Rewrite {
    fn keep(&mut self, record: &Record<'_>) {
        let open = self.open.get_or_insert_with(|| BatchBuilder::new(record.offset, record.timestamp_ms));
        open.push(record.offset, record.timestamp_ms, record.key, record.value, record.headers);
        if open.len() > BATCH_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if let Some(full) = self.open.take() {
            let (base, bytes) = (full.base(), full.finish());
            self.bytes += u64::try_from(bytes.len()).expect("a length fits 64 bits");
            self.changes.batches.push((self.id.0, self.id.1, base, bytes));
        }
    }
}
