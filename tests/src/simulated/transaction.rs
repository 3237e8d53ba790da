//! Holder of a transactional id.

use std::sync::Arc;

use runtime::log::{LogError, NewRecord, Offset, TopicPartition, Transaction};

use super::world::{Bug, World};
use super::{Point, SimConsumer, SimLog};

pub struct SimTransaction {
    log: SimLog,
    id: String,
    epoch: u64,
}

type Placed = (TopicPartition, NewRecord);
type Read<'a> = Option<(&'a mut SimConsumer, &'a [(TopicPartition, Offset)])>;

impl SimTransaction {
    pub(super) fn new(log: SimLog, id: &str, epoch: u64) -> Self {
        Self { log, id: id.to_owned(), epoch }
    }

    /// Somebody else may have taken the id while this one was stopped.
    fn fenced(&self) -> Result<(), LogError> {
        if self.log.world().holds(&self.id, self.epoch) {
            Ok(())
        } else {
            Err(LogError::Fenced { id: self.id.clone() })
        }
    }

    /// What goes wrong within a transaction aborts it.
    fn at(&self, point: Point, txn: usize) -> Result<(), LogError> {
        let done = self.log.at(point);
        self.fenced()?;
        let mut world = self.log.world();
        if done.is_err() && world.is_open(txn) {
            world.end(txn, false, std::time::Duration::ZERO);
            world.mark(txn);
        }
        done
    }

    fn write(&mut self, records: &[NewRecord], read: Read<'_>) -> Result<(), LogError> {
        self.log.at(Point::Begin)?;
        self.fenced()?;
        let txn = {
            let mut world = self.log.world();
            let placed = world.place(records)?;
            let placed = self.with_bug(&mut world, placed);
            let txn = world.begin(&self.id);
            for (at, record) in placed {
                world.write(&at, record, Some(txn));
            }
            txn
        };
        self.at(Point::Produced, txn)?;
        if let Some((consumer, offsets)) = &read {
            let (group, member) = (consumer.group(), consumer.member);
            let held = consumer.leads();
            let mut world = self.log.world();
            world.expel();
            let stale = world.faults.bug == Some(Bug::StaleGroupMetadata);
            let of = world.groups.entry(Arc::clone(&group)).or_default();
            let may = stale
                || of.is_member(member)
                    && offsets.iter().all(|(at, _)| of.holds(member, at) && held.contains(at));
            if !may {
                world.end(txn, false, std::time::Duration::ZERO);
                world.mark(txn);
                let why = format!("member {member} is not of this generation of {group}");
                return Err(LogError::Aborted { why, source: None });
            }
            world.send_offsets(txn, group, offsets);
        }
        self.at(Point::OffsetsSent, txn)?;
        self.log.world().commit(txn);
        self.log.host.at(Point::Committed);
        Ok(())
    }
}

impl SimTransaction {
    fn lost(&self) -> LogError {
        LogError::Lost { id: self.id.clone(), why: "no answer".into(), source: None }
    }

    /// What a process with a bug would have written.
    fn with_bug(&self, world: &mut World, mut records: Vec<Placed>) -> Vec<Placed> {
        let key = |record: &NewRecord| record.key.clone().unwrap_or_default();
        match world.faults.bug {
            Some(Bug::LostChangelog) => {
                records.retain(|(at, _)| !at.topic.contains(".state.") || !world.random.chance(0.25));
            }
            Some(Bug::UnstableId) => {
                let name = format!("p{}", self.log.host.process());
                for (_, record) in records.iter_mut().filter(|(at, _)| at.topic.ends_with(".incidents.v1")) {
                    let value =
                        String::from_utf8(record.value.take().unwrap_or_default()).unwrap_or_default();
                    let old = String::from_utf8(key(record)).unwrap_or_default();
                    let new = format!("{name}{}", old.get(name.len()..).unwrap_or_default());
                    record.value = Some(value.replace(&old, &new).into_bytes());
                    record.key = Some(new.into_bytes());
                }
            }
            Some(Bug::ResetNotPersisted) => {
                let opens = records.iter().any(|(at, record)| {
                    let value = record.value.as_deref().unwrap_or_default();
                    at.topic.ends_with(".incidents.v1")
                        && String::from_utf8_lossy(value).contains(r#""change":"opened""#)
                });
                records.retain(|(_, record)| !opens || !key(record).starts_with(b"version/"));
            }
            // Keys of a collector: its source, a zero, and what it is.
            Some(Bug::WatermarkNotSaved) => {
                records.retain(|(at, record)| {
                    !at.topic.contains(".state.collect") || !key(record).ends_with(&[0, 0])
                });
            }
            Some(Bug::DuplicateWindowLost) => records.retain(|(at, record)| {
                let key = key(record);
                let what = key.iter().position(|byte| *byte == 0).and_then(|zero| key.get(zero + 1));
                !at.topic.contains(".state.collect") || what != Some(&1)
            }),
            Some(Bug::AnswerNotSaved) => {
                let taken = records.iter().any(|(at, record)| {
                    let value = record.value.as_deref().unwrap_or_default();
                    at.topic.contains(".audit.")
                        && String::from_utf8_lossy(value).contains(r#""action":"command.acknowledge""#)
                });
                records.retain(|(at, _)| !taken || !at.topic.contains(".state.escalate"));
            }
            Some(
                Bug::OffsetBeforeEffect | Bug::StaleGroupMetadata | Bug::IdleBySilence | Bug::SentBeyondLease,
            )
            | None => (),
        }
        records
    }
}

impl Transaction for SimTransaction {
    type Consumer = SimConsumer;

    fn commit(
        &mut self,
        records: &[NewRecord],
        read: Option<(&mut SimConsumer, &[(TopicPartition, Offset)])>,
    ) -> Result<(), LogError> {
        if records.is_empty() && read.as_ref().is_none_or(|(_, offsets)| offsets.is_empty()) {
            return Ok(());
        }
        let (bug, unknown) = {
            let mut world = self.log.world();
            let share = world.faults.unknown;
            (world.faults.bug, world.random.chance(share))
        };
        if unknown && self.log.world().random.chance(0.5) {
            return Err(self.lost());
        }
        if bug == Some(Bug::OffsetBeforeEffect) {
            self.write(&[], read)?;
            self.write(records, None)?;
        } else {
            self.write(records, read)?;
        }
        if unknown {
            return Err(self.lost());
        }
        Ok(())
    }
}
