//! Holder of a transactional id.

use std::sync::Arc;

use runtime::log::{LogError, NewRecord, Offset, TopicPartition, Transaction};

use super::world::Bug;
use super::{Point, SimConsumer, SimLog};

pub struct SimTransaction {
    log: SimLog,
    id: String,
    epoch: u64,
}

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
            let lossy = world.faults.bug == Some(Bug::LostChangelog);
            let txn = world.begin(&self.id);
            for (at, record) in placed {
                if lossy && at.topic.contains("state") && world.random.chance(0.25) {
                    continue;
                }
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
            let stale = world.faults.bug == Some(Bug::StaleGroup);
            let of = world.groups.entry(Arc::clone(&group)).or_default();
            let may = stale
                || of.is_member(member) && offsets.iter().all(|(at, _)| of.holds(member, at) && held.contains(at));
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
            return Err(LogError::Fatal { what: "the outcome of a transaction is not known".into(), source: None });
        }
        if bug == Some(Bug::OffsetBeforeEffect) {
            self.write(&[], read)?;
            self.write(records, None)?;
        } else {
            self.write(records, read)?;
        }
        if unknown {
            return Err(LogError::Fatal { what: "the outcome of a transaction is not known".into(), source: None });
        }
        Ok(())
    }
}
