//! Virtual time around a machine: what is pushed, what receivers answer, which pages are wanted when.
//! A page that nobody wanted fails the script, and so does a wanted one that does not come.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use escalate::{Effect, Input, Loaded, Machine, Policy};
use wire::audit::AuditRecord;
use wire::checkpoint::Checkpoint;
use wire::command::Command;
use wire::context::Feedback;
use wire::control::{Control, SilenceCommand};
use wire::forget::Forget;
use wire::outbox::{OutboxRecord, Outcome};
use wire::page::{Page, PageKind};
use wire::response::Response;
use wire::{Digest, Incident, Timestamp};

use crate::samples::{at, bundle, policy};

/// Time that a receiver takes to answer, in milliseconds.
pub(crate) const ANSWER_MS: i64 = 50;

/// Time until a record of the control topic is read.
pub(crate) const CONTROL_MS: i64 = 20;

/// One page that left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) page: Page,
    pub(crate) attempt: u32,
}

impl Sent {
    pub(crate) fn to(&self) -> String {
        format!("{}/{}", self.page.receiver, self.page.target)
    }
}

enum Event {
    Input(Input),
    /// The next record of the control topic has come.
    Control,
    /// The process dies; the new one has the state, and no answer to what the old one sent.
    Crash,
    Start(Arc<Policy>),
}

type Answer = fn() -> Option<Outcome>;

struct Want {
    kind: PageKind,
    to: String,
    /// Milliseconds since the start.
    between: RangeInclusive<i64>,
    found: bool,
}

pub(crate) struct Script {
    policy: Arc<Policy>,
    machine: Option<Machine>,
    events: BTreeMap<(Timestamp, u64), Event>,
    /// What receivers answer, in turn; `None` is silence. Without an entry everything is delivered.
    answers: BTreeMap<String, VecDeque<Option<Outcome>>>,
    /// What receivers answer for a while, whatever they are sent.
    away: BTreeMap<String, (RangeInclusive<i64>, Answer)>,
    wants: Vec<Want>,
    /// What may come any number of times.
    may: Vec<Want>,
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) audit: Vec<AuditRecord>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) responses: Vec<Response>,
    pub(crate) feedback: Vec<Feedback>,
    pub(crate) outbox: Vec<OutboxRecord>,
    pub(crate) own: Vec<Incident>,
    /// The control topic, and how much of it the process has read.
    pub(crate) control: Vec<(String, Option<Box<Control>>)>,
    read: usize,
    unexpected: Vec<String>,
    clock: Timestamp,
    counter: u64,
}

impl Script {
    pub(crate) fn new(settings: &str) -> Self {
        let policy = policy(settings);
        let mut script = Self {
            policy: Arc::clone(&policy),
            machine: None,
            events: BTreeMap::new(),
            answers: BTreeMap::new(),
            away: BTreeMap::new(),
            wants: Vec::new(),
            may: Vec::new(),
            state: BTreeMap::new(),
            sent: Vec::new(),
            audit: Vec::new(),
            checkpoints: Vec::new(),
            responses: Vec::new(),
            feedback: Vec::new(),
            outbox: Vec::new(),
            own: Vec::new(),
            control: Vec::new(),
            read: 0,
            unexpected: Vec::new(),
            clock: at(0),
            counter: 0,
        };
        script.event(at(0), Event::Start(policy));
        script
    }

    fn event(&mut self, at: Timestamp, event: Event) {
        self.counter += 1;
        self.events.insert((at, self.counter), event);
    }

    pub(crate) fn push(mut self, ms: i64, incident: &Incident) -> Self {
        self.event(at(ms), Event::Input(Input::Incident(Box::new(incident.clone()))));
        self
    }

    pub(crate) fn ask(mut self, ms: i64, command: Command) -> Self {
        let issued_at = at(ms);
        self.event(at(ms), Event::Input(Input::Command(Command { issued_at, ..command })));
        self
    }

    /// As `ask`, of what was accepted `late_ms` before it is known here.
    pub(crate) fn ask_late(mut self, ms: i64, late_ms: i64, command: Command) -> Self {
        let issued_at = at(ms - late_ms);
        self.event(at(ms), Event::Input(Input::Command(Command { issued_at, ..command })));
        self
    }

    /// Somebody asks for a silence, or for the end of one, under the id of the command.
    pub(crate) fn silence(mut self, ms: i64, command: SilenceCommand) -> Self {
        self.event(at(ms), Event::Input(Input::Silence(Box::new(command))));
        self
    }

    /// Another partition writes a record to the control topic.
    pub(crate) fn told(mut self, ms: i64, key: &str, control: Option<Control>) -> Self {
        let input = Input::Control(vec![(key.to_owned(), control.map(Box::new))]);
        self.event(at(ms), Event::Input(input));
        self
    }

    pub(crate) fn forget(mut self, ms: i64, forget: Forget) -> Self {
        self.event(at(ms), Event::Input(Input::Forget(Box::new(forget))));
        self
    }

    /// The process dies at `ms` and another one takes over `down_ms` later.
    pub(crate) fn crash(mut self, ms: i64, down_ms: i64) -> Self {
        self.event(at(ms), Event::Crash);
        let policy = Arc::clone(&self.policy);
        self.event(at(ms + down_ms), Event::Start(policy));
        self
    }

    /// As `crash`, and the next process has other settings.
    pub(crate) fn restart_with(self, ms: i64, settings: &str) -> Self {
        self.restart_under(ms, policy(settings))
    }

    /// As `crash`, and the next process has another policy.
    pub(crate) fn restart_under(mut self, ms: i64, policy: Arc<Policy>) -> Self {
        self.event(at(ms), Event::Crash);
        self.event(at(ms), Event::Start(policy));
        self
    }

    /// The process loads another file, and goes on.
    pub(crate) fn load(mut self, ms: i64, config: &str, by: &str, settings: &str) -> Self {
        let (config, by, bundle) = (Digest::of(&[config.as_bytes()]), by.to_owned(), bundle(settings));
        self.event(at(ms), Event::Input(Input::Loaded(Box::new(Loaded { config, by, bundle }))));
        self
    }

    pub(crate) fn answers(
        mut self,
        receiver: &str,
        answers: impl IntoIterator<Item = Option<Outcome>>,
    ) -> Self {
        self.answers.insert(receiver.into(), answers.into_iter().collect());
        self
    }

    /// For so long a receiver answers everything so.
    pub(crate) fn away(mut self, receiver: &str, during: RangeInclusive<i64>, answer: Answer) -> Self {
        self.away.insert(receiver.into(), (during, answer));
        self
    }

    pub(crate) fn may(mut self, between: RangeInclusive<i64>, kind: PageKind, to: &str) -> Self {
        self.may.push(Want { kind, to: to.into(), between, found: false });
        self
    }

    pub(crate) fn want(mut self, between: RangeInclusive<i64>, kind: PageKind, to: &str) -> Self {
        self.wants.push(Want { kind, to: to.into(), between, found: false });
        self
    }

    pub(crate) fn wants(mut self, between: RangeInclusive<i64>, kind: PageKind, to: &[&str]) -> Self {
        for to in to {
            self = self.want(between.clone(), kind, to);
        }
        self
    }

    /// Lets time pass until `ms`, then checks that every page was wanted and every wanted page came.
    pub(crate) fn run(mut self, ms: i64) -> Self {
        let end = at(ms);
        for step in 0.. {
            assert!(step < 100_000, "time does not pass");
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let tick = self.machine.as_ref().and_then(Machine::deadline);
            let last = self.clock;
            let next = [event, tick.map(|t| t.max(last))].into_iter().flatten().min();
            let Some(now) = next.filter(|t| *t <= end) else { break };
            match self.events.first_entry().filter(|e| e.key().0 <= now).map(|e| e.remove()) {
                Some(Event::Input(Input::Control(told))) => {
                    told.into_iter().for_each(|(key, control)| self.tell(key, control, now));
                }
                Some(Event::Input(input)) => self.handle(input, now),
                Some(Event::Control) => self.read_control(now),
                Some(Event::Crash) => {
                    self.machine = None;
                    // What was under way is never answered.
                    self.events.retain(|_, e| !matches!(e, Event::Input(Input::Outcome { .. })));
                }
                Some(Event::Start(policy)) => self.start(policy, now),
                None => self.handle(Input::Tick, now),
            }
            self.clock = now;
        }
        self.check();
        self
    }

    fn start(&mut self, policy: Arc<Policy>, now: Timestamp) {
        let mut machine = Machine::new(0, policy);
        for (key, value) in &self.state {
            machine.restore(key, value).expect("its own state");
        }
        self.machine = Some(machine);
        // All of the control topic is known before anybody is paged.
        self.read = 0;
        self.read_control(now);
        self.handle(Input::Started { owner: format!("process-{}", self.counter) }, now);
    }

    fn tell(&mut self, key: String, control: Option<Box<Control>>, now: Timestamp) {
        self.control.push((key, control));
        self.event(now.plus_ms(CONTROL_MS), Event::Control);
    }

    fn read_control(&mut self, now: Timestamp) {
        if self.machine.is_some() && self.read < self.control.len() {
            let told = self.control[self.read..].to_vec();
            self.read = self.control.len();
            self.handle(Input::Control(told), now);
        }
    }

    fn handle(&mut self, input: Input, now: Timestamp) {
        let Some(machine) = &mut self.machine else {
            // Nobody is there to take it: it stays on the topic until somebody is.
            self.event(now.plus_ms(1), Event::Input(input));
            return;
        };
        let effects = machine.handle(input, now);
        for effect in effects {
            match effect {
                Effect::Response(r) => self.responses.push(r),
                Effect::Outbox(r) => self.outbox.push(*r),
                Effect::Audit(r) => self.audit.push(r),
                Effect::Checkpoint(c) => self.checkpoints.push(*c),
                Effect::Feedback(f) => self.feedback.push(*f),
                Effect::Control { key, control } => self.tell(key, control, now),
                Effect::Incident(i) => {
                    self.own.push((*i).clone());
                    self.event(now.plus_ms(10), Event::Input(Input::Incident(i)));
                }
                Effect::State { key, value: Some(value) } => {
                    self.state.insert(key, value);
                }
                Effect::State { key, value: None } => {
                    self.state.remove(&key);
                }
                Effect::Send { page, attempt, lease_ms } => {
                    assert!(lease_ms > 0);
                    self.send(*page, attempt, now);
                }
            }
        }
    }

    fn send(&mut self, page: Page, attempt: u32, now: Timestamp) {
        let ms = now.since_ms(at(0));
        let away = self.away.get(&page.receiver).filter(|(during, _)| during.contains(&ms));
        let queue = self.answers.get_mut(&page.receiver);
        let answer = match away {
            Some((_, answer)) => answer(),
            None => {
                queue.and_then(VecDeque::pop_front).unwrap_or(Some(Outcome::Delivered { reference: None }))
            }
        };
        if let Some(outcome) = answer {
            let (notification_id, incident_id) =
                (page.notification_id.clone(), page.incident.incident_id.clone());
            let input = Input::Outcome { notification_id, incident_id, attempt, outcome };
            self.event(now.plus_ms(ANSWER_MS), Event::Input(input));
        }
        let sent = Sent { page, attempt };
        let fits =
            |w: &Want| !w.found && w.kind == sent.page.kind && w.to == sent.to() && w.between.contains(&ms);
        match self.wants.iter_mut().find(|want| fits(want)) {
            Some(want) => want.found = true,
            None if self.may.iter().any(fits) => (),
            None => self.unexpected.push(format!("{} to {} at {ms} ms", sent.page.kind.name(), sent.to())),
        }
        self.sent.push(sent);
    }

    fn check(&self) {
        let missing: Vec<_> = self.wants.iter().filter(|w| !w.found).collect();
        let missing: Vec<String> = missing
            .iter()
            .map(|w| format!("{} to {} between {:?} ms", w.kind.name(), w.to, w.between))
            .collect();
        assert!(
            missing.is_empty() && self.unexpected.is_empty(),
            "wanted, but did not come: {missing:#?}\ncame, but was not wanted: {:#?}",
            self.unexpected
        );
        let head = self.machine.as_ref().map(|m| m.anchor().clone());
        escalate::verify(0, self.audit.iter().cloned(), head.as_slice()).expect("the audit chain holds");
        assert!(self.machine.as_ref().is_none_or(|m| m.counts().silent == 0), "an incident fell silent");
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("a process runs")
    }

    /// The last word on the pages to this target, in the order in which they were decided.
    pub(crate) fn pages_to(&self, to: &str) -> Vec<&OutboxRecord> {
        let mut last: Vec<&OutboxRecord> = Vec::new();
        for record in self.outbox.iter().filter(|r| format!("{}/{}", r.page.receiver, r.page.target) == to) {
            match last.iter_mut().find(|r| r.page.notification_id == record.page.notification_id) {
                Some(known) => *known = record,
                None => last.push(record),
            }
        }
        last
    }

    pub(crate) fn audited(&self, action: &str) -> usize {
        self.audit.iter().filter(|r| r.action == action).count()
    }
}
