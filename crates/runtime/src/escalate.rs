//! The escalation loop: incidents and commands in, decisions out in one transaction, then pages on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use wire::{Incident, Timestamp, command::Command};

use crate::clock::Now;
use crate::gauges::{self, Look, Told};
use crate::held::{FENCED_REST, Held};
use crate::log::{
    Consumer, ConsumerSpec, Event, Log, LogError, NewRecord, Offset, Start, TopicPartition, Transaction,
};
use crate::metrics::{FAILED_OPEN, INCIDENTS, TRANSACTION, TRANSACTIONS};
use crate::oversized;
use crate::restore::restore;
use crate::sends::Sends;
use crate::settings::{Settings, Stepped, incident_records, json_record};
use crate::state::Parts;
use crate::views::{self, Views};

const ROLE: &str = "escalate";

/// A machine that this loop can run: `escalate::Machine`, and what will wrap it.
pub trait Machine: Send {
    type Input: From<escalate::Input>;
    type Effect: Into<Carry>;

    /// Takes one state record back in.
    ///
    /// # Errors
    /// When the record was written by a newer version, or is not ours.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), escalate::StateError>;
    fn handle(&mut self, input: Self::Input, now: Timestamp) -> Vec<Self::Effect>;
    /// When it wants a tick.
    fn deadline(&self) -> Option<Timestamp>;
    /// Incidents that changed since the last call, rendered for people; `None` for those that are forgotten.
    fn changed(&mut self) -> Vec<(wire::IncidentId, Option<serde_json::Value>)>;
    /// What became of commands since the last call; `None` for those that are forgotten.
    fn answered(&mut self) -> Vec<(wire::CommandId, Option<escalate::Answer>)>;
    /// The last page of every open alert.
    fn standing(&self) -> Vec<wire::page::Page>;
    /// How things stand, for metrics.
    fn counts(&self) -> escalate::Counts;
}

impl Machine for escalate::Machine {
    type Input = escalate::Input;
    type Effect = escalate::Effect;

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), escalate::StateError> {
        self.restore(key, value)
    }

    fn handle(&mut self, input: escalate::Input, now: Timestamp) -> Vec<escalate::Effect> {
        self.handle(input, now)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.deadline()
    }

    fn changed(&mut self) -> Vec<(wire::IncidentId, Option<serde_json::Value>)> {
        let view = |v| serde_json::to_value(v).expect("a view is plain data");
        self.take_changed().into_iter().map(|(id, v)| (id, v.map(view))).collect()
    }

    fn answered(&mut self) -> Vec<(wire::CommandId, Option<escalate::Answer>)> {
        self.take_answered()
    }

    fn standing(&self) -> Vec<wire::page::Page> {
        self.standing()
    }

    fn counts(&self) -> escalate::Counts {
        self.counts()
    }
}

/// What the loop can carry out for a machine. All but `Send` go into the transaction.
#[derive(Debug)]
pub enum Carry {
    Response(wire::response::Response),
    Outbox(Box<wire::outbox::OutboxRecord>),
    Audit(wire::audit::AuditRecord),
    Incident(Box<Incident>),
    State {
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    /// Only after the commit that holds its `sending` record.
    Send {
        page: Box<wire::page::Page>,
        attempt: u32,
        lease: Duration,
    },
}

impl From<escalate::Effect> for Carry {
    fn from(effect: escalate::Effect) -> Self {
        match effect {
            escalate::Effect::Response(r) => Self::Response(r),
            escalate::Effect::Outbox(o) => Self::Outbox(o),
            escalate::Effect::Audit(a) => Self::Audit(a),
            escalate::Effect::Incident(i) => Self::Incident(i),
            escalate::Effect::State { key, value } => Self::State { key, value },
            escalate::Effect::Send { page, attempt, lease_ms } => {
                Self::Send { page, attempt, lease: Duration::from_millis(lease_ms) }
            }
        }
    }
}

/// One partition of the co-partitioned topics.
struct Part<L: Log, M> {
    transaction: L::Transaction,
    machine: M,
    /// State keys of several records.
    state: Parts,
    carry: Vec<Carry>,
    /// Next offsets of what was taken in since the last commit.
    offsets: BTreeMap<TopicPartition, Offset>,
    /// What was waiting when it was taken over, and until when it is waited for; `None` once it has been taken in.
    behind: Option<Behind>,
    told: Told,
}

/// Whoever acknowledged, and whatever cleared, while nobody worked on the partition: known before anyone is paged.
struct Behind {
    /// Topics not yet read to where they ended then.
    ends: Vec<(TopicPartition, Offset)>,
    until: Duration,
}

/// Longest wait for what came while nobody worked on a partition. After it pages leave, at worst one too many.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);

/// Runs one machine per assigned partition.
pub struct EscalateLoop<L: Log, M, S> {
    log: L,
    settings: Settings,
    consumer: L::Consumer,
    make: Box<dyn Fn(u32) -> M + Send>,
    held: Held,
    parts: BTreeMap<u32, Part<L, M>>,
    sends: S,
    views: Arc<Views>,
    look: Look,
    /// Receivers that metrics know of. Bound: those of the policies.
    receivers: BTreeSet<String>,
    /// What the log would not take in this step, and what to do about it.
    refused: Option<LogError>,
}

enum Arrived {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Input { at: TopicPartition, offset: Offset, input: Option<Box<escalate::Input>> },
    Gap { at: TopicPartition, expected: Offset, found: Offset },
}

impl<L: Log, M: Machine, S: Sends> EscalateLoop<L, M, S> {
    /// Joins the group. Nothing is read before the first step.
    ///
    /// # Errors
    /// When the log refuses.
    pub fn new(
        log: L,
        settings: Settings,
        make: Box<dyn Fn(u32) -> M + Send>,
        sends: S,
        views: Arc<Views>,
    ) -> Result<Self, LogError> {
        let consumer = log.consumer(ConsumerSpec {
            group: settings.group("escalate").into(),
            lead: vec![settings.topics.incidents.as_str().into()],
            partners: vec![settings.topics.commands.as_str().into()],
            client_id: format!("{}-escalate", settings.instance),
            start: Start::Earliest,
        })?;
        views.set_ready(ROLE, Some("its partitions".into()));
        views.set_partitions(ROLE, 0, settings.escalate_partitions);
        Ok(Self {
            log,
            settings,
            consumer,
            make,
            held: Held::default(),
            parts: BTreeMap::new(),
            sends,
            views,
            look: Look::default(),
            receivers: BTreeSet::new(),
            refused: None,
        })
    }

    /// Takes in what has come, decides, commits, and starts what must be sent. Never sleeps.
    ///
    /// # Errors
    /// What cannot be mended here; the process should end.
    pub fn step(&mut self, now: Now) -> Result<Stepped, LogError> {
        self.open_what_is_held(now)?;
        let mut worked = false;
        for arrived in self.poll()? {
            worked = true;
            self.take(arrived, now)?;
        }
        for sent in self.sends.outcomes() {
            worked = true;
            let partition =
                wire::partition::of_incident(&sent.incident_id, self.settings.escalate_partitions);
            let input = escalate::Input::Outcome {
                notification_id: sent.notification_id,
                incident_id: sent.incident_id,
                attempt: sent.attempt,
                outcome: sent.outcome,
            };
            if let Some(part) = self.parts.get_mut(&partition) {
                part.handle(input, now.wall);
            }
        }
        self.start_those_that_caught_up(now);
        for part in self.parts.values_mut() {
            if part.machine.deadline().is_some_and(|due| due <= now.wall) {
                part.handle(escalate::Input::Tick, now.wall);
            }
        }
        let partitions: Vec<u32> = self.parts.keys().copied().collect();
        for partition in partitions {
            worked |= self.commit(partition, now)?;
        }
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        if self.look.is_due(now) {
            gauges::lag(&self.log, &self.consumer, &self.look, ROLE);
            gauges::incidents_open(&self.views);
            self.count();
        }
        let next = self.parts.values().filter_map(|p| p.machine.deadline()).min();
        Ok(Stepped { worked, next })
    }

    fn count(&mut self) {
        let counts: Vec<_> = self.parts.values().map(|part| part.machine.counts()).collect();
        for (part, counts) in self.parts.values_mut().zip(&counts) {
            part.told.escalation(&counts.total);
        }
        gauges::escalation(&counts, &mut self.receivers);
    }

    /// Before anything of it is delivered. What fails is tried again at the next step.
    fn open_what_is_held(&mut self, now: Now) -> Result<(), LogError> {
        for (partition, rewind) in self.held.due(now.mono) {
            if rewind {
                self.consumer.rewind(&self.both(partition))?;
            }
            self.open(partition, now)?;
            self.held.opened(partition);
        }
        if self.held.take_news() {
            self.views.set_ready(ROLE, None);
            self.views.set_partitions(ROLE, self.parts.len(), self.settings.escalate_partitions);
        }
        Ok(())
    }

    /// The machine sends nothing before `Started`.
    fn start_those_that_caught_up(&mut self, now: Now) {
        for (partition, part) in &mut self.parts {
            let Some(behind) = &mut part.behind else { continue };
            let (consumer, look) = (&self.consumer, &self.look);
            behind.ends.retain(|(at, end)| {
                let position = consumer.position(at);
                // Behind the last record there may be markers, which are never delivered.
                !position.is_some_and(|position| position >= *end || look.is_at_end(at, position))
            });
            if !behind.ends.is_empty() && now.mono < behind.until {
                continue;
            }
            if !behind.ends.is_empty() {
                tracing::warn!(partition, "pages leave although not all that waited was read in 30 s");
                metrics::counter!(FAILED_OPEN, "partition" => partition.to_string()).increment(1);
            }
            part.behind = None;
            part.handle(escalate::Input::Started { owner: self.settings.instance.clone() }, now.wall);
            self.sends.keep_alive(part.machine.standing());
        }
    }

    fn poll(&mut self) -> Result<Vec<Arrived>, LogError> {
        let mut arrived = Vec::new();
        let (incidents, look) = (&self.settings.topics.incidents, &mut self.look);
        self.consumer.poll(Duration::ZERO, 500, &mut |event| match event {
            Event::Assigned(tps) => arrived.push(Arrived::Assigned(tps.to_vec())),
            Event::Revoked(tps) => arrived.push(Arrived::Revoked(tps.to_vec())),
            Event::Lost(tps) => arrived.push(Arrived::Lost(tps.to_vec())),
            Event::Gap { at, expected, found } => {
                arrived.push(Arrived::Gap { at: at.clone(), expected, found });
            }
            Event::End { at, position } => look.ended(at, position),
            Event::Record(r) => {
                let input = if r.topic == incidents.as_str() {
                    read::<Incident>(r.value).map(|i| escalate::Input::Incident(Box::new(i)))
                } else {
                    read::<Command>(r.value).map(escalate::Input::Command)
                };
                let at = TopicPartition::new(r.topic, r.partition);
                arrived.push(Arrived::Input { at, offset: r.offset, input: input.map(Box::new) });
            }
        })?;
        Ok(arrived)
    }

    fn take(&mut self, arrived: Arrived, now: Now) -> Result<(), LogError> {
        match arrived {
            Arrived::Assigned(tps) => {
                let led = self.led(&tps);
                self.held.assigned(led);
            }
            Arrived::Revoked(tps) => {
                for partition in self.led(&tps) {
                    self.commit(partition, now)?;
                    self.count();
                    self.held.gone(partition);
                    self.let_go(partition);
                }
            }
            Arrived::Lost(tps) => {
                for partition in self.led(&tps) {
                    self.held.gone(partition);
                    self.let_go(partition);
                }
            }
            Arrived::Gap { at, expected, found } => self.views.data_gap(&at, expected, found),
            Arrived::Input { at, offset, input } => {
                let Some(part) = self.parts.get_mut(&at.partition) else { return Ok(()) };
                match input {
                    Some(input) => part.handle(*input, now.wall),
                    None => {
                        tracing::error!(topic = %at.topic, partition = at.partition, offset, "a record that is not ours was passed over")
                    }
                }
                part.offsets.insert(at, offset + 1);
            }
        }
        Ok(())
    }

    fn led(&self, tps: &[TopicPartition]) -> Vec<u32> {
        tps.iter().filter(|tp| *tp.topic == *self.settings.topics.incidents).map(|tp| tp.partition).collect()
    }

    fn both(&self, partition: u32) -> [TopicPartition; 2] {
        let topics = &self.settings.topics;
        [&topics.incidents, &topics.commands].map(|t| TopicPartition::new(t.as_str(), partition))
    }

    /// Fence first, then read: what the last owner left open is ended before its state is taken over.
    fn open(&mut self, partition: u32, now: Now) -> Result<(), LogError> {
        let transaction = self.log.transaction(&self.settings.transactional_id("escalate", partition))?;
        let mut machine = (self.make)(partition);
        let mut bad = None;
        let restored = restore(&self.log, &self.settings.topics.state_escalate, partition, |key, value| {
            if let Err(e) = machine.restore(key, value) {
                bad.get_or_insert(e);
            }
        })?;
        if let Some(e) = bad {
            let what = format!("state of escalate partition {partition} cannot be read");
            return Err(LogError::Fatal { what, source: Some(Arc::new(e)) });
        }
        tracing::info!(partition, records = restored.records, "escalation state restored");
        let ends = self.both(partition).map(|at| self.log.ends(&at).map(|ends| (at, ends.stable)));
        let ends = ends.into_iter().collect::<Result<Vec<_>, _>>()?;
        let behind = Some(Behind { ends, until: now.mono + CATCH_UP_MAX });
        let (carry, offsets) = (Vec::new(), BTreeMap::new());
        let mut part = Part {
            transaction,
            machine,
            state: restored.parts,
            carry,
            offsets,
            behind,
            told: Told::default(),
        };
        self.views.show(part.machine.changed());
        self.views.answer(partition, part.machine.answered());
        self.look.forget(&self.both(partition));
        self.parts.insert(partition, part);
        Ok(())
    }

    /// Another process works on this partition, or will: what is shown and repeated of it is its business.
    fn let_go(&mut self, partition: u32) {
        if self.parts.remove(&partition).is_none() {
            return;
        }
        let of = self.settings.escalate_partitions;
        let its = |id: &wire::IncidentId| wire::partition::of_incident(id, of) == partition;
        self.views.forget(partition, &its);
        self.sends.forget(&its);
        self.views.set_partitions(ROLE, self.parts.len(), of);
    }

    /// True when something was committed.
    fn commit(&mut self, partition: u32, now: Now) -> Result<bool, LogError> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(false) };
        if part.carry.is_empty() && part.offsets.is_empty() {
            return Ok(false);
        }
        let carry = std::mem::take(&mut part.carry);
        let offsets: Vec<_> = std::mem::take(&mut part.offsets).into_iter().collect();
        let state = &mut part.state;
        let records: Vec<NewRecord> =
            carry.iter().flat_map(|c| records_of(&self.settings, partition, c, state, now.wall)).collect();
        let clock = crate::clock::Clock::start();
        let done = part.transaction.commit(&records, Some((&mut self.consumer, &offsets)));
        metrics::histogram!(TRANSACTION, "role" => "escalate").record(clock.now().mono.as_secs_f64());
        let outcome = if done.is_ok() { "committed" } else { "failed" };
        metrics::counter!(TRANSACTIONS, "role" => "escalate", "outcome" => outcome).increment(1);
        match done {
            Ok(()) => self.committed(partition, carry),
            Err(LogError::Fenced { .. }) => {
                tracing::warn!(partition, "another process took this partition over; given up");
                self.held.again(partition, now.mono + FENCED_REST);
                self.let_go(partition);
            }
            Err(e @ (LogError::Aborted { .. } | LogError::Retriable { .. })) => {
                tracing::warn!(partition, error = %e, "commit did not hold; going back to the last one");
                self.held.again(partition, now.mono);
                self.let_go(partition);
            }
            Err(LogError::TooLarge { topic, bytes }) => {
                self.refused = Some(oversized::mend(&topic, bytes));
                self.held.again(partition, now.mono);
                self.let_go(partition);
            }
            Err(e) => return Err(e),
        }
        Ok(true)
    }

    fn committed(&mut self, partition: u32, carry: Vec<Carry>) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        self.views.show(part.machine.changed());
        self.views.answer(partition, part.machine.answered());
        for one in carry {
            match one {
                Carry::Send { page, attempt, lease } => self.sends.start(*page, attempt, lease),
                Carry::Response(r) => self.views.tell(views::Event::Response { response: Arc::new(r) }),
                Carry::Incident(i) => count_incident(&i),
                Carry::Outbox(_) | Carry::Audit(_) | Carry::State { .. } => (),
            }
        }
    }

    /// Leaves the group; what was decided is committed first.
    ///
    /// # Errors
    /// When the last commit fails; nothing is lost, the next owner decides again.
    pub fn close(mut self, now: Now) -> Result<(), LogError> {
        let partitions: Vec<u32> = self.parts.keys().copied().collect();
        for partition in partitions {
            self.commit(partition, now)?;
        }
        self.consumer.close()
    }
}

impl<L: Log, M: Machine> Part<L, M> {
    fn handle(&mut self, input: escalate::Input, now: Timestamp) {
        let effects = self.machine.handle(input.into(), now);
        self.carry.extend(effects.into_iter().map(Into::into));
    }
}

/// Counts an incident record that was committed.
pub(crate) fn count_incident(i: &Incident) {
    metrics::counter!(INCIDENTS, "change" => i.change.name(), "severity" => i.severity.name(), "family" => i.family.name())
        .increment(1);
}

fn read<T: DeserializeOwned>(value: Option<&[u8]>) -> Option<T> {
    value.and_then(|bytes| serde_json::from_slice(bytes).ok())
}

fn records_of(
    settings: &Settings,
    partition: u32,
    carry: &Carry,
    state: &mut Parts,
    now: Timestamp,
) -> Vec<NewRecord> {
    let (topics, ns) = (&settings.topics, settings.namespace.as_str());
    match carry {
        Carry::Response(r) => {
            vec![json_record(&topics.responses, partition, r.incident_id.as_str(), "tocsin.response", ns, r)]
        }
        Carry::Outbox(o) => {
            let key = o.page.notification_id.as_str();
            vec![json_record(&topics.outbox, partition, key, "tocsin.outbox", ns, o)]
        }
        Carry::Audit(a) => {
            let key = a.partition.to_string();
            vec![json_record(&topics.audit, partition, &key, "tocsin.audit", ns, a)]
        }
        Carry::Incident(i) => incident_records(settings, i, now).into(),
        Carry::State { key, value } => {
            let mut records = Vec::new();
            state.put((&topics.state_escalate, partition), key.clone(), value.clone(), &mut records);
            records
        }
        Carry::Send { .. } => Vec::new(),
    }
}
