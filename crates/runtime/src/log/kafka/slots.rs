//! One topic as one member of a group reads it: a client of its own, and where each partition stands.
//!
//! A client per topic, because the client library's end-of-partition event names the partition and not the topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};

use super::KafkaLog;
use super::clients::{Client, give_up, raw, take};
use super::errors::lift;
use crate::log::{Isolation, LogError, Offset, TopicPartition};

const SEEK_WAIT: Duration = Duration::from_secs(5);

/// A topic and the partitions of it that are held.
pub(super) struct Reader {
    pub(super) topic: Arc<str>,
    pub(super) client: Client,
    pub(super) slots: BTreeMap<u32, Slot>,
    /// The client stopped somewhere in this topic, because an offset is out of range.
    pub(super) stuck: bool,
}

/// A partition that is held.
pub(super) struct Slot {
    pub(super) at: TopicPartition,
    /// Of the next record to deliver. `None`: to be looked up.
    pub(super) position: Option<Offset>,
    /// The client was told to read it.
    pub(super) assigned: bool,
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
        Self { topic, client, slots: BTreeMap::new(), stuck: false }
    }

    pub(super) fn hold(&mut self, partition: u32) {
        let at = TopicPartition::new(Arc::clone(&self.topic), partition);
        self.slots.entry(partition).or_insert(Slot { at, position: None, assigned: false, paused: false });
    }

    pub(super) fn slot(&mut self, at: &TopicPartition) -> Result<&mut Slot, LogError> {
        self.slots.get_mut(&at.partition).ok_or_else(|| LogError::NotHeld { what: at.to_string() })
    }

    /// Partitions whose start must still be looked up.
    pub(super) fn unplaced(&self) -> Vec<TopicPartition> {
        self.slots.values().filter(|slot| slot.position.is_none()).map(|slot| slot.at.clone()).collect()
    }

    /// Sets where reading starts: at `committed` if that is still there. Returns what is missing.
    pub(super) fn place(
        &mut self,
        log: &KafkaLog,
        at: &TopicPartition,
        committed: Option<Offset>,
    ) -> Result<Option<Missing>, LogError> {
        let (start, _) = log.watermarks(at, Isolation::Committed)?;
        let slot = self.slot(at)?;
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
        for (partition, slot) in self.slots.iter().filter(|(_, slot)| !slot.assigned) {
            let Some(position) = slot.position else { continue };
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
        self.slots.values_mut().filter(|slot| slot.position.is_some()).for_each(|slot| slot.assigned = true);
        Ok(())
    }

    /// Has the client let go of these.
    pub(super) fn unassign(&mut self, partitions: &[u32]) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, raw(*partition));
            self.slots.remove(partition);
        }
        give_up(&self.client, &list)
            .map_err(|e| lift(e, &format!("cannot give partitions of {} back", self.topic)))
    }

    pub(super) fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        if self.slot(at)?.assigned {
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
        if slot.assigned {
            let mut list = TopicPartitionList::new();
            list.add_partition(&at.topic, raw(at.partition));
            let done = if pause { self.client.pause(&list) } else { self.client.resume(&list) };
            done.map_err(|e| lift(e, &format!("cannot pause or resume {at}")))?;
        }
        Ok(())
    }

    /// Finds where the client stopped, and has it go on. Once it has, it is not stuck any more.
    pub(super) fn mend(&mut self, log: &KafkaLog, tell: &mut dyn FnMut(&Missing)) -> Result<(), LogError> {
        for slot in self.slots.values_mut() {
            let Some(expected) = slot.position else { continue };
            let (start, high) = log.watermarks(&slot.at, Isolation::Uncommitted)?;
            if !(start..=high).contains(&expected) {
                slot.position = Some(start);
                tell(&Missing { at: slot.at.clone(), expected, found: start });
            }
        }
        // A partition that has stopped takes no seek: it is taken anew, and the others with it.
        let mut list = TopicPartitionList::new();
        for slot in self.slots.values_mut().filter(|slot| slot.assigned) {
            list.add_partition(&slot.at.topic, raw(slot.at.partition));
            slot.assigned = false;
        }
        give_up(&self.client, &list).map_err(|e| lift(e, &format!("cannot go on in {}", self.topic)))?;
        self.assign()?;
        self.stuck = false;
        Ok(())
    }
}
