//! A member of a group of the embedded log.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::groups::{Membership, Turn};
use super::{EmbeddedLog, Shared};
use crate::log::clock::{Deadline, monotonic};
use crate::log::{Consumer, ConsumerSpec, Event, Log, LogError, Offset, TopicPartition};

/// A member of a group of an [`EmbeddedLog`].
pub struct EmbeddedConsumer {
    log: EmbeddedLog,
    spec: ConsumerSpec,
    membership: Membership,
    held: BTreeMap<TopicPartition, Slot>,
    /// Told of with the last poll; gone with the next.
    revoked: Vec<TopicPartition>,
    /// The partition to begin with, so that each has its turn.
    turn: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// `None`: to be looked up at the next poll.
    position: Option<Offset>,
    paused: bool,
    /// Everything up to here was delivered and said to be the end.
    ended: Option<Offset>,
}

impl EmbeddedConsumer {
    pub(super) fn join(shared: Arc<Shared>, spec: ConsumerSpec) -> Result<Self, LogError> {
        let mut state = shared.state();
        let Some(first) = spec.lead.first() else {
            return Err(LogError::Config { what: "a consumer needs a lead topic".into(), source: None });
        };
        let partitions = state.topic(first)?.stored.partitions;
        for lead in &spec.lead {
            state.topic(lead)?;
        }
        for partner in &spec.partners {
            let found = state.topic(partner)?.stored.partitions;
            if found != partitions {
                let wanted = format!("{partitions}, as many as {first}");
                let (topic, found) = (Arc::clone(partner), found.to_string());
                return Err(LogError::Topic { topic, setting: "partitions", found, wanted });
            }
        }
        let group = state.groups.entry(Arc::clone(&spec.group)).or_default();
        let member = group.join(spec.lead.clone(), spec.partners.clone(), monotonic());
        let membership = Membership { group: Arc::clone(&spec.group), member };
        drop(state);
        shared.changed.notify_all();
        let log = EmbeddedLog { shared };
        Ok(Self { log, spec, membership, held: BTreeMap::new(), revoked: vec![], turn: 0 })
    }

    pub(super) fn membership(&self) -> Membership {
        self.membership.clone()
    }

    fn shared(&self) -> &Shared {
        &self.log.shared
    }

    /// Follows what became of the group; true if the caller must act before it gets more.
    fn follow(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> bool {
        let mut state = self.log.shared.state();
        if !self.revoked.is_empty() {
            // This turn lets go of them, and someone waits for that.
            self.log.shared.changed.notify_all();
        }
        for at in self.revoked.drain(..) {
            self.held.remove(&at);
        }
        let super::State { topics, groups, .. } = &mut *state;
        let partitions = |name: &str| topics.get(name).map_or(0, |topic| topic.stored.partitions);
        let Some(group) = groups.get_mut(&self.spec.group) else { return false };
        let turn =
            group.turn(self.membership.member, monotonic(), self.log.shared.config.max_poll, &partitions);
        if turn == Turn::Lost {
            self.membership.member =
                group.join(self.spec.lead.clone(), self.spec.partners.clone(), monotonic());
        }
        drop(state);
        match turn {
            Turn::Quiet => return false,
            Turn::Assigned(new) => {
                self.held.extend(new.iter().map(|at| (at.clone(), Slot::default())));
                sink(Event::Assigned(&new));
            }
            Turn::Revoked(gone) => {
                sink(Event::Revoked(&gone));
                self.revoked = gone;
            }
            Turn::Lost => {
                let lost: Vec<_> = std::mem::take(&mut self.held).into_keys().collect();
                sink(Event::Lost(&lost));
            }
        }
        self.shared().changed.notify_all();
        true
    }

    /// Delivers what there is, beginning with another partition each time.
    fn deliver(&mut self, max: usize, sink: &mut dyn FnMut(Event<'_>)) -> Result<(usize, bool), LogError> {
        let order: Vec<TopicPartition> = self.held.keys().cloned().collect();
        if order.is_empty() {
            return Ok((0, false));
        }
        self.turn = (self.turn + 1) % order.len();
        let (mut delivered, mut told) = (0, false);
        for at in order[self.turn..].iter().chain(&order[..self.turn]) {
            let slot = self.held[at];
            if slot.paused || delivered == max {
                continue;
            }
            let (position, gap) = self.place(at, slot)?;
            if let Some(expected) = gap {
                sink(Event::Gap { at, expected, found: position });
                told = true;
            }
            let end = self.log.ends(at)?.high;
            let mut next = position;
            if position < end {
                let broke_off = self.log.range(at, position, end, &mut |record| {
                    sink(Event::Record(record));
                    delivered += 1;
                    next = record.offset + 1;
                    if delivered == max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })?;
                let slot = self.held.get_mut(at).expect("its key was just taken from here");
                slot.position = Some(next);
                if broke_off.is_some_and(|next| next < end) {
                    continue;
                }
            }
            let slot = self.held.get_mut(at).expect("its key was just taken from here");
            slot.position = Some(next);
            if slot.ended != Some(end) {
                slot.ended = Some(end);
                sink(Event::End { at, position: next });
                told = true;
            }
        }
        Ok((delivered, told))
    }

    /// Where to read on, and what was expected instead if that is gone.
    fn place(&self, at: &TopicPartition, slot: Slot) -> Result<(Offset, Option<Offset>), LogError> {
        let state = self.log.shared.state();
        let (_, head) = state.head(at)?;
        let expected = match slot.position {
            Some(position) => Some(position),
            None => state.committed(&self.spec.group, at),
        };
        Ok(match expected {
            None => (head.start, None),
            Some(expected) if (head.start..=head.next).contains(&expected) => (expected, None),
            Some(expected) => (head.start, Some(expected)),
        })
    }

    fn slot(&mut self, at: &TopicPartition) -> Result<&mut Slot, LogError> {
        self.held.get_mut(at).ok_or_else(|| LogError::NotHeld { what: at.to_string() })
    }

    fn leave(&mut self) {
        let mut state = self.log.shared.state();
        if let Some(group) = state.groups.get_mut(&self.spec.group) {
            group.leave(self.membership.member);
            if group.is_empty() {
                state.groups.remove(&self.spec.group);
            }
        }
        drop(state);
        self.held.clear();
        self.shared().changed.notify_all();
    }
}

impl Consumer for EmbeddedConsumer {
    fn poll(
        &mut self,
        max_wait: Duration,
        max_records: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        let deadline = Deadline::after(max_wait);
        loop {
            if self.follow(sink) {
                return Ok(0);
            }
            let (delivered, told) = self.deliver(max_records, sink)?;
            if delivered > 0 || told || deadline.over() {
                return Ok(delivered);
            }
            let state = self.log.shared.state();
            if self.nothing_new(&state)? {
                let changed = &self.log.shared.changed;
                drop(changed.wait_timeout(state, deadline.left()).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.held.keys().cloned().collect()
    }

    fn position(&self, at: &TopicPartition) -> Option<Offset> {
        self.held.get(at)?.position
    }

    fn pause(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        at.iter().try_for_each(|at| self.slot(at).map(|slot| slot.paused = true))
    }

    fn resume(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        at.iter().try_for_each(|at| self.slot(at).map(|slot| slot.paused = false))
    }

    fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        let slot = self.slot(at)?;
        slot.position = Some(offset);
        slot.ended = None;
        Ok(())
    }

    fn rewind(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        at.iter().try_for_each(|at| {
            let slot = self.slot(at)?;
            slot.position = None;
            slot.ended = None;
            Ok(())
        })
    }

    fn committed(&self, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        self.log.committed(&self.spec.group, at)
    }

    fn close(mut self) -> Result<(), LogError> {
        self.leave();
        Ok(())
    }
}

impl EmbeddedConsumer {
    /// Whether there is nothing to deliver, so that waiting makes sense. Under the lock, so that no change between
    /// this look and the wait goes unnoticed.
    fn nothing_new(&self, state: &super::State) -> Result<bool, LogError> {
        if state.groups.get(&self.spec.group).is_some_and(|group| group.news(self.membership.member)) {
            return Ok(false);
        }
        for (at, slot) in self.held.iter().filter(|(_, slot)| !slot.paused) {
            let (_, head) = state.head(at)?;
            if slot.ended != Some(head.next) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.leave();
    }
}
