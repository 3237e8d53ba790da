//! Writing: whoever comes to the file writes for all who wait, so that many threads share one sync of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::codec::{BatchBuilder, size_bound};
use super::groups::Membership;
use super::store::{Changes, Head};
use super::{Shared, State, clean};
use crate::log::clock::wall_ms;
use crate::log::partitioner::partition_of;
use crate::log::{Headers, LogError, NewRecord, Offset, TopicPartition};

/// A batch is cut at about this many bytes: what a reader must pass over to find an offset within.
const BATCH_BYTES: usize = 128 << 10;

/// One caller's records and offsets: all of it or nothing.
pub(super) struct Job {
    pub(super) records: Vec<NewRecord>,
    /// Transactional id and the epoch of its holder.
    pub(super) transaction: Option<(String, u64)>,
    pub(super) offsets: Option<(Membership, Vec<(TopicPartition, Offset)>)>,
}

type Written = Result<Vec<(TopicPartition, Offset)>, LogError>;

/// Those who wait to be written for.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Vec<(Job, Arc<OnceLock<Written>>)>,
    /// One of them is writing; those who come meanwhile are the next to be written for, together.
    writing: bool,
}

/// Has the job written, by this thread or another; returns once it is durable and visible.
pub(super) fn submit(shared: &Shared, job: Job) -> Written {
    let mine = Arc::new(OnceLock::new());
    let mut queue = lock(&shared.queue);
    queue.waiting.push((job, Arc::clone(&mine)));
    loop {
        if let Some(written) = mine.get() {
            return written.clone();
        }
        if !queue.writing {
            break;
        }
        queue = shared.written.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    queue.writing = true;
    let waiting = mem::take(&mut queue.waiting);
    drop(queue);
    let turn = Turn(shared);
    let mut writer = lock(&shared.writer);
    write(shared, waiting);
    // What the writer does besides must not fail the job that is already durable.
    if let Err(error) = clean::if_due(shared, &mut writer) {
        tracing::error!(%error, "retention and compaction of the embedded log failed");
    }
    drop(writer);
    drop(turn);
    mine.get().cloned().expect("was among those who waited")
}

/// The turn to write. Ends even by a panic, so that nobody waits for ever.
struct Turn<'a>(&'a Shared);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).writing = false;
        self.0.written.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(shared: &Shared, waiting: Vec<(Job, Arc<OnceLock<Written>>)>) {
    let mut plan = Plan::new(wall_ms());
    let mut outcomes = Vec::with_capacity(waiting.len());
    {
        let mut state = shared.state();
        for (job, slot) in &waiting {
            outcomes.push((plan.add(&state, job), slot));
        }
        // Whoever is being written for keeps its partitions until that is done.
        for (job, _) in waiting.iter().filter(|(job, _)| job.offsets.is_some()) {
            busy(&mut state, job, true);
        }
    }
    let (changes, heads) = plan.finish();
    let empty = changes.heads.is_empty() && changes.offsets.is_empty();
    let done = if empty { Ok(()) } else { shared.store.commit(&changes) };
    let mut state = shared.state();
    for (job, _) in waiting.iter().filter(|(job, _)| job.offsets.is_some()) {
        busy(&mut state, job, false);
    }
    match &done {
        Ok(()) => {
            for (at, head) in heads {
                let topic = state
                    .topics
                    .get_mut(&at.topic)
                    .expect("was there when planned, and none is ever removed");
                topic.heads[usize::try_from(at.partition).expect("fits memory")] = head;
            }
            for (group, at, offset) in changes.offsets {
                state.committed.insert((group, at), offset);
            }
        }
        // The disk is full: nothing was written, and there may be room later.
        Err(LogError::Retriable { .. }) => (),
        Err(error) => state.broken = Some(error.clone()),
    }
    drop(state);
    for (outcome, slot) in outcomes {
        let outcome = outcome.and_then(|written| done.clone().map(|()| written));
        slot.set(outcome).expect("each job is written once");
    }
    shared.changed.notify_all();
}

fn busy(state: &mut State, job: &Job, is: bool) {
    if let Some((membership, _)) = &job.offsets
        && let Some(group) = state.groups.get_mut(&membership.group)
    {
        group.busy(membership.member, is);
    }
}

/// What one commit of the file will change, for all its jobs.
struct Plan {
    now_ms: i64,
    parts: BTreeMap<TopicPartition, Part>,
    offsets: BTreeMap<(Arc<str>, TopicPartition), Offset>,
}

struct Part {
    id: (u32, u32),
    head: Head,
    open: BatchBuilder,
    done: Vec<(Offset, Vec<u8>)>,
}

impl Plan {
    fn new(now_ms: i64) -> Self {
        Self { now_ms, parts: BTreeMap::new(), offsets: BTreeMap::new() }
    }

    /// Takes a job in, if all of it can be.
    fn add(&mut self, state: &State, job: &Job) -> Written {
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        if let Some((id, epoch)) = &job.transaction
            && state.epochs.get(id) != Some(epoch)
        {
            return Err(LogError::Fenced { id: id.clone() });
        }
        if let Some((membership, offsets)) = &job.offsets {
            let group = state.groups.get(&membership.group);
            if !group.is_some_and(|group| offsets.iter().all(|(at, _)| group.holds(membership.member, at))) {
                let why = format!("group {} has given the partitions to another member", membership.group);
                return Err(LogError::Aborted { why, source: None });
            }
        }
        let places = job.records.iter().map(|record| place(state, record)).collect::<Result<Vec<_>, _>>()?;
        let mut written = Vec::with_capacity(places.len());
        for (record, at) in job.records.iter().zip(places) {
            let now_ms = self.now_ms;
            let offset = self.part(state, &at).push(record, now_ms);
            written.push((at, offset));
        }
        if job.transaction.is_some() {
            // A transaction ends in a marker on each of its partitions, as it does in Kafka.
            for at in written.iter().map(|(at, _)| at).collect::<BTreeSet<_>>() {
                self.part(state, at).head.next += 1;
            }
        }
        if let Some((membership, offsets)) = &job.offsets {
            for (at, offset) in offsets {
                self.offsets.insert((Arc::clone(&membership.group), at.clone()), *offset);
            }
        }
        Ok(written)
    }

    fn part(&mut self, state: &State, at: &TopicPartition) -> &mut Part {
        let now_ms = self.now_ms;
        self.parts.entry(at.clone()).or_insert_with(|| {
            let (id, head) = state.head(at).expect("its place was found in the same state");
            Part { id, head, open: BatchBuilder::new(head.next, now_ms), done: vec![] }
        })
    }

    fn finish(self) -> (Changes, Vec<(TopicPartition, Head)>) {
        let (mut changes, mut heads) = (Changes::default(), vec![]);
        for (at, mut part) in self.parts {
            part.cut(0);
            for (base, bytes) in part.done {
                let size = u64::try_from(bytes.len()).expect("a length fits 64 bits");
                part.head.bytes += size;
                part.head.dirty += size;
                changes.batches.push((part.id.0, part.id.1, base, bytes));
            }
            changes.heads.push((part.id, part.head));
            heads.push((at, part.head));
        }
        changes.offsets = self.offsets.into_iter().map(|((group, at), offset)| (group, at, offset)).collect();
        (changes, heads)
    }
}

impl Part {
    fn push(&mut self, record: &NewRecord, now_ms: i64) -> Offset {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        if self.open.len() + size_bound(key, value, &record.headers) > BATCH_BYTES {
            self.cut(now_ms);
        }
        let offset = self.head.next;
        let timestamp = record.timestamp_ms.unwrap_or(now_ms);
        self.open.push(offset, timestamp, key, value, Headers::of(&record.headers));
        self.head.next += 1;
        offset
    }

    fn cut(&mut self, near_ms: i64) {
        let full = mem::replace(&mut self.open, BatchBuilder::new(self.head.next, near_ms));
        if !full.is_empty() {
            self.done.push((full.base(), full.finish()));
        }
    }
}

/// Where a record goes, or why it cannot.
fn place(state: &State, record: &NewRecord) -> Result<TopicPartition, LogError> {
    let stored = &state.topic(&record.topic)?.stored;
    let refused = |why: String| LogError::Refused { topic: Arc::clone(&record.topic), why };
    let bytes = record.size();
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > stored.record_max) {
        return Err(LogError::TooLarge { topic: Arc::clone(&record.topic), bytes });
    }
    if stored.compacts && record.key.is_none() {
        return Err(refused("it compacts, so a record needs a key".into()));
    }
    let partition = match (record.partition, &record.key) {
        (Some(partition), _) if partition >= stored.partitions => {
            return Err(refused(format!(
                "it has {} partitions, not partition {partition}",
                stored.partitions
            )));
        }
        (Some(partition), _) => partition,
        (None, Some(key)) => partition_of(key, stored.partitions),
        // Any will do; the value's hash spreads and needs no state.
        (None, None) => partition_of(record.value.as_deref().unwrap_or_default(), stored.partitions),
    };
    Ok(TopicPartition::new(Arc::clone(&record.topic), partition))
}
