//! A member of a group on a Kafka cluster.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;

use super::KafkaLog;
use super::clients::{Change, member, reader};
use super::errors::{forbidden, gone, lift, unknown};
use super::reader::record;
use super::slots::{Missing, Reader};
use crate::log::clock::Deadline;
use crate::log::{Consumer, ConsumerSpec, Event, Isolation, Log, LogError, Offset, TopicPartition};
use crate::points::{self, Call, Side};

/// With several topics each is waited for this long in turn.
const TURN: Duration = Duration::from_millis(5);
/// Leaving a group may hang in the client library; then the session ends it.
const LEAVE_WAIT: Duration = Duration::from_secs(10);

/// A member of a group on a Kafka cluster: a client for each topic.
///
/// Several leads are several members to the broker, each subscribed to one topic; partners are read by clients that
/// never join. Offsets of partners are committed by the first lead's membership.
pub struct KafkaConsumer {
    log: KafkaLog,
    spec: ConsumerSpec,
    /// Leads first, then partners.
    readers: Vec<Reader>,
    /// Changes that the caller was told of; carried out at the next poll.
    told: Vec<(usize, Change)>,
    turn: usize,
}

/// What one look at a client brought.
enum Look {
    Record,
    Told,
    Nothing,
    /// The caller must act before it gets more.
    Change,
}

impl KafkaConsumer {
    pub(super) fn join(log: KafkaLog, spec: ConsumerSpec) -> Result<Self, LogError> {
        let Some(first) = spec.lead.first() else {
            return Err(LogError::Config { what: "a consumer needs a lead topic".into(), source: None });
        };
        let count = |topic: &Arc<str>| {
            log.partitions(topic)?.ok_or_else(|| LogError::not_found(format_args!("topic {topic}")))
        };
        let partitions = count(first)?;
        for partner in &spec.partners {
            let found = count(partner)?;
            if found != partitions {
                let wanted = format!("{partitions}, as many as {first}");
                let (topic, found) = (Arc::clone(partner), found.to_string());
                return Err(LogError::Topic { topic, setting: "partitions", found, wanted });
            }
        }
        let mut readers = vec![];
        for topic in &spec.lead {
            count(topic)?;
            let client = member(log.config(), &spec)?;
            client.subscribe(&[topic]).map_err(|e| lift(e, &format!("cannot subscribe to {topic}")))?;
            readers.push(Reader::new(Arc::clone(topic), client));
        }
        for topic in &spec.partners {
            let client = reader(log.config(), Isolation::Committed, &spec.group)?;
            readers.push(Reader::new(Arc::clone(topic), client));
        }
        Ok(Self { log, spec, readers, told: vec![], turn: 0 })
    }

    /// The member by which an offset of this partition is committed.
    pub(super) fn member_of(&self, at: &TopicPartition) -> Option<usize> {
        let reader = self.readers.iter().position(|reader| reader.topic == at.topic)?;
        self.readers[reader].slots.contains_key(&at.partition).then_some(())?;
        Some(if reader < self.spec.lead.len() { reader } else { 0 })
    }

    pub(super) fn metadata(&self, member: usize) -> Option<ConsumerGroupMetadata> {
        self.readers[member].client.group_metadata()
    }

    /// Whether the group has given any of it to others already, told or not.
    pub(super) fn lost(&self) -> bool {
        self.readers[..self.spec.lead.len()].iter().any(|reader| reader.client.assignment_lost())
    }

    fn reader(&mut self, at: &TopicPartition) -> Result<&mut Reader, LogError> {
        let found = self.readers.iter_mut().find(|reader| reader.topic == at.topic);
        found.ok_or_else(|| LogError::NotHeld { what: at.to_string() })
    }

    /// Partitions of lead `i` with those of its partners.
    fn with_partners(&self, i: usize, parts: &[TopicPartition]) -> Vec<TopicPartition> {
        let partners = if i == 0 { &self.spec.partners[..] } else { &[] };
        let follow = partners
            .iter()
            .flat_map(|topic| parts.iter().map(|at| TopicPartition::new(Arc::clone(topic), at.partition)));
        parts.iter().cloned().chain(follow).collect()
    }

    /// Lead `i` and, with the first, the partners.
    fn followers(&self, i: usize) -> Vec<usize> {
        let partners = if i == 0 { self.spec.lead.len()..self.readers.len() } else { 0..0 };
        std::iter::once(i).chain(partners).collect()
    }

    /// Tells the caller of a change that lead `i`'s group asks for.
    fn tell(&mut self, i: usize, change: Change, sink: &mut dyn FnMut(Event<'_>)) -> Result<Look, LogError> {
        let (parts, lost) = match &change {
            Change::Assign(parts) | Change::Revoke { parts, lost: false } => (parts, false),
            Change::Revoke { parts, lost: true } => (parts, true),
        };
        let all = self.with_partners(i, parts);
        let assign = matches!(change, Change::Assign(_));
        if assign {
            for at in &all {
                self.reader(at)?.hold(at.partition);
            }
        }
        if lost {
            for at in &all {
                self.reader(at)?.slots.remove(&at.partition);
            }
        }
        self.told.push((i, change));
        if all.is_empty() {
            // Nothing moves, yet the group waits for the word.
            self.settle(sink)?;
        }
        if assign {
            sink(Event::Assigned(&all));
        } else if all.is_empty() {
            return Ok(Look::Nothing);
        } else if lost {
            sink(Event::Lost(&all));
        } else {
            sink(Event::Revoked(&all));
        }
        Ok(Look::Change)
    }

    /// Carries out what the caller was told of. What fails is tried again at the next poll.
    fn settle(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), LogError> {
        while let Some((i, change)) = self.told.first() {
            let i = *i;
            match change {
                Change::Assign(_) => {
                    for reader in self.followers(i) {
                        let unplaced = self.readers[reader].unplaced();
                        self.place(reader, &unplaced, sink)?;
                    }
                    for reader in self.followers(i) {
                        self.readers[reader].assign()?;
                    }
                }
                Change::Revoke { parts, .. } => {
                    let partitions: Vec<u32> = parts.iter().map(|at| at.partition).collect();
                    for reader in self.followers(i) {
                        self.readers[reader].unassign(&partitions)?;
                    }
                }
            }
            self.told.remove(0);
        }
        Ok(())
    }

    /// Looks up where the group stands in these partitions of one topic, and has them read from there.
    fn place(
        &mut self,
        reader: usize,
        at: &[TopicPartition],
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), LogError> {
        let committed = self.committed(at)?;
        for (at, committed) in at.iter().zip(committed) {
            let missing = self.readers[reader].place(&self.log, at, committed)?;
            missing.iter().for_each(|missing| gap(missing, sink));
        }
        Ok(())
    }

    /// Has partitions read whose place could not be looked up when they came.
    fn place_late(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), LogError> {
        for i in 0..self.readers.len() {
            if self.readers[i].reads_all() {
                continue;
            }
            let answers = |at: &TopicPartition| self.log.ends_soon(at).is_ok();
            let unplaced: Vec<_> = self.readers[i].unplaced().into_iter().filter(answers).collect();
            if !unplaced.is_empty() {
                self.place(i, &unplaced, sink)?;
            }
            if self.readers[i].has_more_to_read() {
                self.readers[i].assign()?;
            }
        }
        Ok(())
    }

    /// One look at one client.
    fn look(&mut self, i: usize, wait: Duration, sink: &mut dyn FnMut(Event<'_>)) -> Result<Look, LogError> {
        let Reader { topic, client, slots, .. } = &mut self.readers[i];
        let found = match client.poll(wait) {
            None => {
                let change = client.change();
                return change.map_or(Ok(Look::Nothing), |change| self.tell(i, change, sink));
            }
            Some(Ok(message)) => {
                let Ok(partition) = u32::try_from(message.partition()) else { return Ok(Look::Nothing) };
                // Of a partition that is on its way out: not ours any more.
                let Some(slot) = slots.get_mut(&partition) else { return Ok(Look::Told) };
                slot.position = Some(message.offset() + 1);
                sink(Event::Record(record(&message, partition)));
                return Ok(Look::Record);
            }
            Some(Err(error)) => error,
        };
        if let KafkaError::PartitionEOF(partition) = found {
            let slot = u32::try_from(partition).ok().and_then(|partition| slots.get(&partition));
            if let Some((slot, position)) = slot.and_then(|slot| Some((slot, slot.position?))) {
                sink(Event::End { at: &slot.at, position });
            }
            return Ok(Look::Told);
        }
        match found.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                self.readers[i].stopped();
                self.mend(sink)?;
                Ok(Look::Told)
            }
            Some(code) if forbidden(code) => Err(lift(found, &format!("cannot read {topic}"))),
            Some(code) if unknown(code) => Err(gone(topic, found)),
            Some(_) | None if matches!(found, KafkaError::MessageConsumptionFatal(_)) => {
                Err(lift(found, &format!("cannot read {topic} any more")))
            }
            Some(_) | None => {
                // The client mends these itself; that nothing comes shows in the lag.
                tracing::debug!(error = %found, topic = &**topic, "kafka client reports");
                Ok(Look::Told)
            }
        }
    }

    /// Has clients go on that met an offset out of range. What fails is tried again at the next poll.
    fn mend(&mut self, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), LogError> {
        for reader in self.readers.iter_mut().filter(|reader| reader.is_stuck()) {
            reader.mend(&self.log, &mut |missing| gap(missing, sink))?;
        }
        Ok(())
    }

    /// Everything that is there, beginning with another topic each time.
    fn sweep(
        &mut self,
        max: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(usize, bool, bool), LogError> {
        self.turn = (self.turn + 1) % self.readers.len();
        let (mut delivered, mut told) = (0, false);
        for k in 0..self.readers.len() {
            let i = (self.turn + k) % self.readers.len();
            while delivered < max {
                match self.look(i, Duration::ZERO, sink)? {
                    Look::Record => delivered += 1,
                    Look::Told => told = true,
                    Look::Nothing => break,
                    Look::Change => return Ok((delivered, true, true)),
                }
            }
        }
        Ok((delivered, told, false))
    }

    /// Looks again and again until there is something to tell, or no time left.
    fn wait(
        &mut self,
        deadline: Deadline,
        max_records: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        // Without room for a record nothing is looked at, and the group would wait in vain.
        let max_records = max_records.max(1);
        loop {
            let (delivered, told, change) = self.sweep(max_records, sink)?;
            if delivered > 0 || told || change || deadline.over() {
                return Ok(delivered);
            }
            let wait = if self.readers.len() == 1 { deadline.left() } else { TURN.min(deadline.left()) };
            match self.look(self.turn, wait, sink)? {
                Look::Record => return Ok(1 + self.sweep(max_records.saturating_sub(1), sink)?.0),
                Look::Told | Look::Change => return Ok(0),
                Look::Nothing => (),
            }
        }
    }

    /// Lets go of everything without a word to the caller.
    fn let_go(&mut self) {
        for (i, change) in std::mem::take(&mut self.told) {
            let done = match change {
                Change::Assign(_) => {
                    self.readers[i].slots.clear();
                    self.readers[i].assign()
                }
                Change::Revoke { parts, .. } => {
                    let partitions: Vec<u32> = parts.iter().map(|at| at.partition).collect();
                    self.readers[i].unassign(&partitions)
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "while leaving a group");
            }
        }
    }
}

fn gap(missing: &Missing, sink: &mut dyn FnMut(Event<'_>)) {
    sink(Event::Gap { at: &missing.at, expected: missing.expected, found: missing.found });
}

impl Consumer for KafkaConsumer {
    fn poll(
        &mut self,
        max_wait: Duration,
        max_records: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        points::at(&self.spec.group, Call::Poll, Side::Before);
        self.settle(sink)?;
        self.place_late(sink)?;
        self.mend(sink)?;
        let delivered = self.wait(Deadline::after(max_wait), max_records, sink)?;
        if delivered > 0 {
            points::at(&self.spec.group, Call::Poll, Side::After);
        }
        Ok(delivered)
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        let mut held: Vec<_> =
            self.readers.iter().flat_map(|r| r.slots.values().map(|s| s.at.clone())).collect();
        held.sort();
        held
    }

    fn position(&self, at: &TopicPartition) -> Option<Offset> {
        self.readers.iter().find(|reader| reader.topic == at.topic)?.slots.get(&at.partition)?.position
    }

    fn pause(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        at.iter().try_for_each(|at| self.reader(at)?.pause(at, true))
    }

    fn resume(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        at.iter().try_for_each(|at| self.reader(at)?.pause(at, false))
    }

    fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.reader(at)?.seek(at, offset)
    }

    fn rewind(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        let committed = self.committed(at)?;
        for (at, committed) in at.iter().zip(committed) {
            let log = self.log.clone();
            let reader = self.reader(at)?;
            if reader.reads(at.partition) {
                let offset = match committed {
                    Some(offset) => offset,
                    None => log.watermarks(at, Isolation::Committed)?.0,
                };
                reader.seek(at, offset)?;
            } else {
                reader.slot(at)?.position = None;
            }
        }
        Ok(())
    }

    fn committed(&self, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        let asked = self.readers[0].client.committed(at, self.log.config().timeout);
        asked.map_err(|e| lift(e, &format!("cannot ask for the offsets of {}", self.spec.group)))
    }

    fn close(mut self) -> Result<(), LogError> {
        self.let_go();
        let readers = std::mem::take(&mut self.readers);
        let group = Arc::clone(&self.spec.group);
        let (done, closed) = mpsc::channel();
        // Apart, so that a client that hangs does not hang us with it.
        let leaving = std::thread::Builder::new().name("kafka-leave".into()).spawn(move || {
            drop(readers);
            done.send(())
        });
        leaving.map_err(|e| LogError::fatal("cannot start a thread to leave the group", e))?;
        closed.recv_timeout(LEAVE_WAIT).map_err(|_| LogError::Retriable {
            what: format!("group {group} was not left in time; its session will end it, so do not"),
            source: None,
        })
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.let_go();
    }
}
