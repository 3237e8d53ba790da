//! One topic as one member of a group reads it: a client of its own, and where each partition stands.
//!
//! A client per topic, because the client library's end-of-partition event names the partition and not the topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};

use super::KafkaLog;
use super::clients::{Client, give_up, raw, take};
use super::errors::lift;
use crate::log::{Ends, Log as _, LogError, Offset, TopicPartition};

const SEEK_WAIT: Duration = Duration::from_secs(5);

/// A topic and the partitions of it that are held.
pub(super) struct Reader {
    pub(super) topic: Arc<str>,
    pub(super) client: Client,
    pub(super) slots: BTreeMap<u32, Slot>,
    /// Partitions that the client was told to read.
    taken: BTreeSet<u32>,
    /// The client stopped in one of these, because an offset is out of range.
    stuck: BTreeSet<u32>,
}

/// A partition that is held.
pub(super) struct Slot {
    pub(super) at: TopicPartition,
    /// Of the next record to deliver. `None`: to be looked up.
    pub(super) position: Option<Offset>,
    pub(super) paused: bool,
}

/// Records that are gone: what was expected, what is there.
pub(super) struct Missing {
    pub(super) at: TopicPartition,
    pub(super) expected: Offset,
    pub(super) found: Offset,
}

impl Reader {
    pub(super) fn new(topic: Arc<str>, client: Client) -> Self {
        Self { topic, client, slots: BTreeMap::new(), taken: BTreeSet::new(), stuck: BTreeSet::new() }
    }

    pub(super) fn hold(&mut self, partition: u32) {
        let at = TopicPartition::new(Arc::clone(&self.topic), partition);
        self.slots.entry(partition).or_insert(Slot { at, position: None, paused: false });
    }

    pub(super) fn slot(&mut self, at: &TopicPartition) -> Result<&mut Slot, LogError> {
        self.slots.get_mut(&at.partition).ok_or_else(|| LogError::NotHeld { what: at.to_string() })
    }

    /// Partitions whose start must still be looked up.
    pub(super) fn unplaced(&self) -> Vec<TopicPartition> {
        self.slots.values().filter(|slot| slot.position.is_none()).map(|slot| slot.at.clone()).collect()
    }

    /// Whether the client reads this one.
    pub(super) fn reads(&self, partition: u32) -> bool {
        self.taken.contains(&partition)
    }

    /// Whether the client reads all that is held.
    pub(super) fn reads_all(&self) -> bool {
        self.slots.keys().all(|partition| self.reads(*partition))
    }

    /// Whether something has its place that the client does not read yet.
    pub(super) fn has_more_to_read(&self) -> bool {
        self.slots.iter().any(|(partition, slot)| slot.position.is_some() && !self.reads(*partition))
    }

    /// Sets where reading starts: at `committed` if that is still there. Returns what is missing.
    ///
    /// Where the log gives no answer it is `committed` unasked, as the client says if that is out of range; with none it stays
    /// to be looked up: the other partitions are not to wait for it.
    pub(super) fn place(
        &mut self,
        log: &KafkaLog,
        at: &TopicPartition,
        committed: Option<Offset>,
    ) -> Result<Option<Missing>, LogError> {
        let ends = answer(log.ends_soon(at))?;
        let slot = self.slot(at)?;
        let Some(Ends { start, .. }) = ends else {
            slot.position = committed;
            return Ok(None);
        };
        slot.position = Some(committed.unwrap_or(start).max(start));
        Ok(committed.filter(|expected| *expected < start).map(|expected| Missing {
            at: at.clone(),
            expected,
            found: start,
        }))
    }

    /// Has the client read what is placed and not yet assigned. An empty list matters too: the group waits for the word.
    pub(super) fn assign(&mut self) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        let [mut paused, mut reading] = [(); 2].map(|()| TopicPartitionList::new());
        let mut added = vec![];
        for (partition, slot) in self.slots.iter().filter(|(partition, _)| !self.reads(**partition)) {
            let Some(position) = slot.position else { continue };
            added.push(*partition);
            list.add_partition_offset(&self.topic, raw(*partition), RawOffset::Offset(position))
                .map_err(|e| lift(e, &format!("cannot read {}", slot.at)))?;
            let of = if slot.paused { &mut paused } else { &mut reading };
            of.add_partition(&self.topic, raw(*partition));
        }
        let cannot = format!("cannot take partitions of {}", self.topic);
        take(&self.client, &list).map_err(|e| lift(e, &cannot))?;
        // Said either way: the client may remember a pause from when it held them before.
        if paused.count() > 0 {
            self.client.pause(&paused).map_err(|e| lift(e, &cannot))?;
        }
        if reading.count() > 0 {
            self.client.resume(&reading).map_err(|e| lift(e, &cannot))?;
        }
        self.taken.extend(added);
        Ok(())
    }

    /// Has the client let go of these.
    pub(super) fn unassign(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            self.slots.remove(partition);
            // Of one that it does not read the client takes no word.
            if self.reads(*partition) {
                list.add_partition(&self.topic, raw(*partition));
            }
        }
        give_up(&self.client, &list)
            .map_err(|e| lift(e, &format!("cannot give partitions of {} back", self.topic)))?;
        partitions.iter().for_each(|partition| _ = self.taken.remove(partition));
        Ok(())
    }

    pub(super) fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        if self.reads(at.partition) {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&at.topic, raw(at.partition), RawOffset::Offset(offset))
                .and_then(|()| self.client.seek_partitions(list, SEEK_WAIT))
                .and_then(|done| done.elements().iter().try_for_each(|element| element.error()))
                .map_err(|e| lift(e, &format!("cannot seek in {at}")))?;
        }
        self.slot(at)?.position = Some(offset);
        Ok(())
    }

    pub(super) fn pause(&mut self, at: &TopicPartition, pause: bool) -> Result<(), LogError> {
        let slot = self.slot(at)?;
        slot.paused = pause;
        if self.reads(at.partition) {
            let mut list = TopicPartitionList::new();
            list.add_partition(&at.topic, raw(at.partition));
            let done = if pause { self.client.pause(&list) } else { self.client.resume(&list) };
            done.map_err(|e| lift(e, &format!("cannot pause or resume {at}")))?;
        }
        Ok(())
    }

    pub(super) fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// The client met an offset out of range, in whichever partition.
    pub(super) fn stopped(&mut self) {
        self.stuck.clone_from(&self.taken);
    }

    /// Finds where the client stopped, and has it go on. One of which the log gives no answer is left for later.
    pub(super) fn mend(&mut self, log: &KafkaLog, tell: &mut dyn FnMut(&Missing)) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        let mut answered = BTreeSet::new();
        self.stuck.retain(|partition| self.slots.contains_key(partition));
        for partition in &self.stuck {
            let Some(slot) = self.slots.get_mut(partition) else { continue };
            let Some(Ends { start, high, .. }) = answer(log.ends_soon(&slot.at))? else { continue };
            if let Some(expected) = slot.position.filter(|expected| !(start..=high).contains(expected)) {
                slot.position = Some(start);
                tell(&Missing { at: slot.at.clone(), expected, found: start });
            }
            // A partition that has stopped takes no seek: it is taken anew, whichever it was.
            list.add_partition(&self.topic, raw(*partition));
            answered.insert(*partition);
        }
        give_up(&self.client, &list).map_err(|e| lift(e, &format!("cannot go on in {}", self.topic)))?;
        self.stuck.retain(|partition| !answered.contains(partition));
        self.taken.retain(|partition| !answered.contains(partition));
        self.assign()
    }
}

/// `None` where the log gives no answer now.
fn answer(ends: Result<Ends, LogError>) -> Result<Option<Ends>, LogError> {
    match ends {
        Ok(ends) => Ok(Some(ends)),
        Err(LogError::Retriable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
