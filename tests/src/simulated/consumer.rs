//! A member of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use runtime::log::{Consumer, ConsumerSpec, Event, Isolation, LogError, Offset, TopicPartition};

use super::group::Turn;
use super::world::{Stored, World};
use super::{Point, SimLog};

pub struct SimConsumer {
    log: SimLog,
    spec: ConsumerSpec,
    pub(super) member: u64,
    held: BTreeMap<TopicPartition, Place>,
    /// Told to give up: gone with the next poll.
    revoking: Vec<TopicPartition>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Place {
    /// Unknown until the poll after it was assigned.
    position: Option<Offset>,
    paused: bool,
    /// The end up to which was told that all is delivered.
    ended: Option<Offset>,
}

/// What a poll hands over, taken out of the world.
enum Out {
    Record(TopicPartition, Arc<Stored>),
    End(TopicPartition, Offset),
    Gap(TopicPartition, Offset, Offset),
}

impl SimConsumer {
    pub(super) fn join(log: SimLog, spec: ConsumerSpec) -> Result<Self, LogError> {
        let mut world = log.world();
        let count = |world: &World, topic: &Arc<str>| {
            world.partitions(topic).ok_or_else(|| LogError::NotFound { what: format!("topic {topic}") })
        };
        for lead in &spec.lead {
            count(&world, lead)?;
        }
        let wanted = count(&world, &spec.lead[0])?;
        for partner in &spec.partners {
            let found = count(&world, partner)?;
            if found != wanted {
                return Err(LogError::Topic {
                    topic: Arc::clone(partner),
                    setting: "partitions",
                    found: found.to_string(),
                    wanted: wanted.to_string(),
                });
            }
        }
        let member = Self::enter(&mut world, &spec, log.host.process());
        drop(world);
        Ok(Self { log, spec, member, held: BTreeMap::new(), revoking: vec![], closed: false })
    }

    fn enter(world: &mut World, spec: &ConsumerSpec, process: usize) -> u64 {
        let now = world.now;
        let group = world.groups.entry(Arc::clone(&spec.group)).or_default();
        group.join(process, now, spec.lead.clone(), spec.partners.clone())
    }

    pub(super) fn group(&self) -> Arc<str> {
        Arc::clone(&self.spec.group)
    }

    fn place(&mut self, at: &TopicPartition) -> Result<&mut Place, LogError> {
        self.held.get_mut(at).ok_or_else(|| LogError::NotHeld { what: at.to_string() })
    }

    /// What happened to the membership since the last poll.
    fn turn(&mut self) -> Turn {
        for at in std::mem::take(&mut self.revoking) {
            self.held.remove(&at);
        }
        let mut world = self.log.world();
        world.expel();
        let now = world.now;
        let World { groups, topics, .. } = &mut *world;
        let group = groups.entry(Arc::clone(&self.spec.group)).or_default();
        let turn = group.turn(self.member, now, &|topic| {
            topics.get(topic).map_or(0, |topic| u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX))
        });
        if matches!(turn, Turn::Lost) {
            self.member = Self::enter(&mut world, &self.spec, self.log.host.process());
        }
        turn
    }

    /// Takes records out of the world, partitions in any order, as much of each as a fetch happened to bring.
    fn fetch(&mut self, max: usize) -> Vec<Out> {
        let mut world = self.log.world();
        let unknown: Vec<_> =
            self.held.iter().filter(|(_, p)| p.position.is_none()).map(|(at, _)| at.clone()).collect();
        for at in unknown {
            // Not before it is decided.
            let Ok(offset) = world.committed(&self.spec.group, std::slice::from_ref(&at)) else { continue };
            let start = world.ends(&at).map_or(0, |ends| ends.start);
            self.held.get_mut(&at).expect("held").position = Some(offset[0].unwrap_or(start));
        }
        let mut order: Vec<TopicPartition> = self.held.keys().cloned().collect();
        world.random.shuffle(&mut order);
        let mut out = vec![];
        let mut left = max;
        for at in order {
            let place = self.held.get_mut(&at).expect("held");
            let Some(mut position) = place.position else { continue };
            if place.paused || self.revoking.contains(&at) {
                continue;
            }
            let stall = world.faults.stall;
            if stall > 0.0 && world.random.chance(stall) {
                continue;
            }
            world.fetched.remove(&at);
            let Ok(ends) = world.ends(&at) else { continue };
            if position > ends.high || position < ends.start {
                out.push(Out::Gap(at.clone(), position, ends.start));
                position = ends.start;
            }
            let Ok((found, end)) = world.range(&at, position, Some(ends.stable), Isolation::Committed) else {
                continue;
            };
            let most = if stall > 0.0 {
                left.min(1 + usize::try_from(world.random.below(400)).unwrap_or(0))
            } else {
                left
            };
            let all = found.len() <= most;
            for stored in found.into_iter().take(most) {
                left -= 1;
                position = stored.offset + 1;
                out.push(Out::Record(at.clone(), stored));
            }
            if all {
                position = position.max(end);
                if place.ended != Some(position) {
                    place.ended = Some(position);
                    out.push(Out::End(at.clone(), position));
                }
            }
            place.position = Some(position);
            world.fetched.insert(at, position);
        }
        out
    }
}

impl Consumer for SimConsumer {
    fn poll(
        &mut self,
        max_wait: Duration,
        max_records: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        self.log.at(Point::Poll)?;
        match self.turn() {
            Turn::Lost => {
                let lost: Vec<_> = std::mem::take(&mut self.held).into_keys().collect();
                if !lost.is_empty() {
                    sink(Event::Lost(&lost));
                }
                return Ok(0);
            }
            Turn::Revoked(gone) => {
                self.revoking.clone_from(&gone);
                sink(Event::Revoked(&gone));
                return Ok(0);
            }
            Turn::Assigned(new) => {
                self.held.extend(new.iter().map(|at| (at.clone(), Place::default())));
                sink(Event::Assigned(&new));
                return Ok(0);
            }
            Turn::Quiet => (),
        }
        let mut out = self.fetch(max_records);
        let until = self.log.host.now() + max_wait;
        while out.is_empty() && self.log.host.now() < until {
            std::thread::sleep(Duration::from_millis(1));
            out = self.fetch(max_records);
        }
        self.log.host.at(Point::Polled);
        let mut records = 0;
        for one in &out {
            match one {
                Out::Record(at, stored) => {
                    records += 1;
                    sink(Event::Record(stored.record(at)));
                }
                Out::End(at, position) => sink(Event::End { at, position: *position }),
                Out::Gap(at, expected, found) => {
                    sink(Event::Gap { at, expected: *expected, found: *found });
                }
            }
        }
        Ok(records)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.held.keys().cloned().collect()
    }

    fn position(&self, at: &TopicPartition) -> Option<Offset> {
        self.held.get(at).and_then(|place| place.position)
    }

    fn pause(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        at.iter().try_for_each(|at| self.place(at).map(|place| place.paused = true))
    }

    fn resume(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        at.iter().try_for_each(|at| self.place(at).map(|place| place.paused = false))
    }

    fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        let place = self.place(at)?;
        (place.position, place.ended) = (Some(offset), None);
        Ok(())
    }

    fn rewind(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        let committed = self.committed(at)?;
        for (at, offset) in at.iter().zip(committed) {
            let start = self.log.world().ends(at)?.start;
            self.seek(at, offset.unwrap_or(start))?;
        }
        Ok(())
    }

    fn committed(&self, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        self.log.world().committed(&self.spec.group, at)
    }

    fn close(mut self) -> Result<(), LogError> {
        self.log.at(Point::Close)?;
        self.leave();
        Ok(())
    }
}

impl SimConsumer {
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.closed, true) && !self.log.host.is_dead() {
            let member = self.member;
            if let Some(group) = self.log.world().groups.get_mut(&self.spec.group) {
                group.leave(member);
            }
        }
    }

    /// Partitions that it may commit offsets of, and that it holds.
    pub(super) fn leads(&self) -> BTreeSet<TopicPartition> {
        self.held.keys().cloned().collect()
    }
}

impl Drop for SimConsumer {
    fn drop(&mut self) {
        self.leave();
    }
}
