//! The escalation loop: incidents and commands in, decisions out in one transaction, then pages on their way.

mod machine;
mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use wire::Incident;
use wire::command::Commanded;
use wire::control::Control;

use crate::checkpoints::Checkpoints;
use crate::clock::{Clock, Now};
use crate::commit::commit;
use crate::gauges::{self, Look};
use crate::held::{Held, Opens};
use crate::live::Live;
use crate::log::{Consumer, ConsumerSpec, Event, Log, LogError, Offset, Record, Start, TopicPartition};
use crate::metrics::{INCIDENTS, UNREADABLE};
use crate::restore::{Teller, restore};
use crate::sends::Sends;
use crate::settings::{Settings, Stepped};
use crate::tail::Tail;
use crate::views::{self, PagerHealth, Question, Views};
pub use machine::{Carry, Machine};
use part::{Behind, Part};

const ROLE: &str = "escalate";

/// Runs one machine per assigned partition.
pub struct EscalateLoop<L: Log, M, S> {
    log: L,
    settings: Settings,
    consumer: L::Consumer,
    make: Box<dyn Fn(u32) -> M + Send>,
    live: Arc<Live<escalate::Loaded>>,
    loaded: Arc<escalate::Loaded>,
    control: Tail<L>,
    held: Held,
    parts: BTreeMap<u32, Part<L, M>>,
    sends: S,
    checkpoints: Option<Checkpoints>,
    views: Arc<Views>,
    look: Look,
    /// Receivers that metrics know of. Bound: those of the policies.
    receivers: BTreeSet<String>,
    clock: Clock,
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
        live: Arc<Live<escalate::Loaded>>,
        sends: S,
        views: Arc<Views>,
        clock: Clock,
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
            control: Tail::new(log.clone(), &settings.topics.control),
            log,
            settings,
            consumer,
            make,
            loaded: live.get(),
            live,
            held: Held::default(),
            parts: BTreeMap::new(),
            sends,
            checkpoints: None,
            views,
            look: Look::default(),
            receivers: BTreeSet::new(),
            clock,
        })
    }

    /// Where checkpoints of the audit go beside the chain.
    #[must_use]
    pub fn with_checkpoints(self, checkpoints: Option<Checkpoints>) -> Self {
        Self { checkpoints, ..self }
    }

    /// Takes in what has come, decides, commits, and starts what must be sent. Never sleeps.
    ///
    /// # Errors
    /// What cannot be mended here; the process should end.
    pub fn step(&mut self, now: Now) -> Result<Stepped, LogError> {
        if self.open_what_is_held(now)? {
            return Ok(Stepped { worked: true, next: None });
        }
        let mut worked = false;
        for arrived in self.poll()? {
            worked = true;
            self.take(arrived, now)?;
        }
        worked |= self.follow_control(now)?;
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
                part.handle(input, now);
            }
        }
        let another = self.live.take_up(&mut self.loaded);
        for (partition, part) in &mut self.parts {
            let starts =
                part.start_if_caught_up(*partition, &self.consumer, &self.look, &self.settings.instance, now);
            if starts {
                self.sends.keep_alive(part.machine.standing());
            }
            if starts || (another && part.has_started()) {
                part.handle(escalate::Input::Loaded(Box::new(escalate::Loaded::clone(&self.loaded))), now);
            }
        }
        for part in self.parts.values_mut() {
            if part.machine.deadline().is_some_and(|due| due <= now.wall) {
                part.handle(escalate::Input::Tick, now);
            }
        }
        let partitions: Vec<u32> = self.parts.keys().copied().collect();
        for partition in partitions {
            worked |= self.commit(partition, now)?;
        }
        for Question { incident_id, person, answer } in self.views.questions() {
            let partition = wire::partition::of_incident(&incident_id, self.settings.escalate_partitions);
            let part = self.parts.get(&partition);
            // Whoever asked may have gone away.
            drop(answer.try_send(part.and_then(|part| part.machine.why(&incident_id, person.as_deref()))));
        }
        self.held.refusal()?;
        if self.look.is_due(now) {
            gauges::lag(&self.log, &self.consumer, &self.look, &self.views, ROLE);
            gauges::incidents_open(&self.views);
            self.count(now);
        }
        Ok(Stepped { worked, next: self.next(now) })
    }

    /// Tells every partition what is new on the control topic. True when something was.
    fn follow_control(&mut self, now: Now) -> Result<bool, LogError> {
        let mut told = Vec::new();
        self.control.look(now, &mut |record| told.extend(control(&record)))?;
        if told.is_empty() {
            return Ok(false);
        }
        for part in self.parts.values_mut() {
            part.handle(escalate::Input::Control(told.clone()), now);
        }
        Ok(true)
    }

    fn next(&self, now: Now) -> Option<Duration> {
        let parts = self.parts.values().filter_map(|part| part.next(now));
        parts.chain(self.held.next()).chain([self.look.next(), self.control.next()]).min()
    }

    fn count(&mut self, now: Now) {
        let counts: Vec<_> = self.parts.values().map(|part| part.machine.counts()).collect();
        let due = self.parts.values().filter_map(|part| part.machine.deadline()).min();
        let overdue = due.map_or(0, |due| now.wall.since_ms(due).max(0).unsigned_abs());
        let silent = counts.iter().map(|counts| counts.silent).sum();
        self.views.set_pager(PagerHealth { silent, overdue: Duration::from_millis(overdue) });
        for (part, counts) in self.parts.values_mut().zip(&counts) {
            part.told.escalation(&counts.total);
        }
        gauges::escalation(&counts, &mut self.receivers);
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
                    read::<Commanded>(r.value).map(commanded)
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
                    self.count(now);
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
                    Some(input) => part.handle(*input, now),
                    None => {
                        metrics::counter!(UNREADABLE, "topic" => at.topic.to_string()).increment(1);
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
        let decided = part.decided.take().unwrap_or(now.mono);
        let offsets: Vec<_> = std::mem::take(&mut part.offsets).into_iter().collect();
        let records = part.records(&self.settings, partition, &carry, now.wall);
        let read = (&mut self.consumer, offsets.as_slice());
        let how = commit(ROLE, self.clock, &mut part.transaction, records, read, &[])?;
        if self.held.ended(partition, how, now.mono) {
            self.committed(partition, carry, decided);
        } else {
            self.let_go(partition);
        }
        Ok(true)
    }

    fn committed(&mut self, partition: u32, carry: Vec<Carry>, decided: Duration) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        self.views.show(part.machine.changed());
        self.views.answer(partition, part.machine.answered());
        self.views.meet(partition, part.machine.people());
        if carry.iter().any(|one| matches!(one, Carry::Control { .. })) {
            // Whoever asks for a place in a silence waits for it.
            self.control.hurry();
        }
        for one in carry {
            match one {
                Carry::Send { page, attempt, lease } => self.sends.start(*page, attempt, decided + lease),
                Carry::Response(r) => self.views.tell(views::Event::Response { response: Arc::new(r) }),
                Carry::Incident(i) => count_incident(&i),
                Carry::Checkpoint(c) => self.checkpoints.iter().for_each(|out| out.leave(&c)),
                Carry::Outbox(_)
                | Carry::Audit(_)
                | Carry::Context(_)
                | Carry::Control { .. }
                | Carry::State { .. } => (),
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

impl<L: Log, M: Machine, S: Sends> Opens for EscalateLoop<L, M, S> {
    fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    fn rewind(&mut self, partition: u32) -> Result<(), LogError> {
        self.consumer.rewind(&self.both(partition))
    }

    /// Fence first, then read: what the last owner left open is ended before its state is taken over.
    fn open(&mut self, partition: u32, now: Now) -> Result<(), LogError> {
        let transaction = self.log.transaction(&self.settings.transactional_id("escalate", partition))?;
        let mut machine = (self.make)(partition);
        let mut bad = None;
        let teller = Teller { role: ROLE, part: &partition, views: &self.views, clock: self.clock };
        let topic = self.settings.topics.state_escalate.as_str();
        let state = restore(&self.log, (topic, partition), &teller, |key, value| {
            if let Err(e) = machine.restore(key, value) {
                bad.get_or_insert(e);
            }
        })?;
        if let Some(e) = bad {
            let what = format!("state of escalate partition {partition} cannot be read");
            return Err(LogError::Fatal { what, source: Some(Arc::new(e)) });
        }
        // Silences before anything else: what they mute is known before a page leaves.
        self.control.hurry();
        self.follow_control(now)?;
        let mut told = Vec::new();
        self.control.again(&mut |record| told.extend(control(&record)))?;
        let effects = machine.handle(escalate::Input::Control(told).into(), now.wall);
        debug_assert!(effects.is_empty(), "it has not started");
        let ends = self.both(partition).map(|at| self.log.ends(&at).map(|ends| (at, ends.stable)));
        let ends = ends.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut part = Part::new(transaction, machine, state, Behind::new(ends, now));
        self.views.show(part.machine.changed());
        self.views.answer(partition, part.machine.answered());
        self.views.meet(partition, part.machine.people());
        self.look.forget(&self.both(partition));
        self.parts.insert(partition, part);
        Ok(())
    }

    fn is_open(&mut self) {
        self.views.set_ready(ROLE, None);
        self.views.set_partitions(ROLE, self.parts.len(), self.settings.escalate_partitions);
    }
}

/// Counts an incident record that was committed.
pub(crate) fn count_incident(i: &Incident) {
    metrics::counter!(INCIDENTS, "change" => i.change.name(), "severity" => i.severity.name(), "family" => i.family.name())
        .increment(1);
}

fn commanded(commanded: Commanded) -> escalate::Input {
    match commanded {
        Commanded::OnIncident(command) => escalate::Input::Command(command),
        Commanded::OnSilence(command) => escalate::Input::Silence(Box::new(command)),
        Commanded::Forget(forget) => escalate::Input::Forget(Box::new(forget)),
    }
}

/// A record of the control topic. One that cannot be read mutes nobody.
pub fn control(record: &Record<'_>) -> Option<(String, Option<Box<Control>>)> {
    let key = String::from_utf8_lossy(record.key?).into_owned();
    match record.value.map(serde_json::from_slice) {
        None => Some((key, None)),
        Some(Ok(control)) => Some((key, Some(control))),
        Some(Err(e)) => {
            tracing::warn!(offset = record.offset, error = %e, "a control record was passed over");
            None
        }
    }
}

fn read<T: DeserializeOwned>(value: Option<&[u8]>) -> Option<T> {
    value.and_then(|bytes| serde_json::from_slice(bytes).ok())
}
