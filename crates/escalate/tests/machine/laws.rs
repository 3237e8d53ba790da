//! Laws over random histories: incidents, commands, receivers of every temper, silence, time, and a restart at any point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use escalate::{
    Checker, Checkpoints, Effect, Input, Machine, Manner, Manners, Policy, PublicKeys, Signal, SigningKey,
    Stage, Timer,
};
use proptest::prelude::*;
use wire::audit::AuditRecord;
use wire::checkpoint::Checkpoint;
use wire::command::Action;
use wire::control::{Control, Listed, NewSilence, SilenceAsk};
use wire::outbox::{OutboxState, Outcome};
use wire::page::{Page, PageKind};
use wire::{AlertKey, Change, Incident, IncidentId, Matches, NotificationId, Severity, SilenceId, Timestamp};

use crate::histories::{Fate, MODELS, Op, Receiver, UnderWay, op};
use crate::samples::{self, at, command, opened, policy};

/// Short times, so that everything falls due within a history; few attempts and little room, so that limits are met.
const SETTINGS: &str = r#"
    namespace = "default"
    [[route]]
    severity = ["sev3", "sev4"]
    policy = "ticket"
    [[route]]
    severity = ["sev1"]
    policy = "all-hands"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [
      { targets = ["pager/ana", "phone/bo"], delay_s = 20 },
      { targets = ["pager/lead", "pager/ana"], delay_s = 30 },
    ]
    repeat = 2
    acknowledge_expires_s = 90
    respond_within_s = 30
    mitigation_expires_s = 120
    fallback = "board/desk"
    [policy.all-hands]
    steps = [
      { targets = ["role:empty"], delay_s = 15 },
      { targets = ["pager/ana", "phone/chief"], delay_s = 15, when = { hours = "10:00-10:03" } },
      { targets = ["team:all"], delay_s = 15 },
    ]
    acknowledge_expires_s = 60
    acknowledge_quorum = 2
    [people.person.ana]
    contact.page = ["pager/ana"]
    [people.person.bo]
    contact.page = ["phone/bo"]
    [people.team.all]
    people = ["ana", "bo"]
    [people.role.empty]
    people = []
    [policy.ticket]
    steps = [{ targets = ["board/ml"], delay_s = 40 }]
    until_owned = false
    [[silences.maintenance]]
    name = "retraining"
    incidents = { model = ["triage"] }
    hours = "10:01-10:02"
    [[silences.inhibit]]
    name = "ranks come from frauds"
    upstream = { model = ["fraud"] }
    covers = { model = ["rank"] }
    for_s = 70
    [[silences.inhibit]]
    name = "and frauds from ranks"
    upstream = { model = ["rank"], severity = ["sev1", "sev2"] }
    covers = { model = ["fraud"] }
    for_s = 90
    [escalate]
    fold_s = 12
    lease_s = 10
    attempts_max = 4
    in_flight_max = 2
    catch_up_delay_s = 5
    pages_max = 20
    timeline_max = 10
"#;

/// Longest silence of these histories.
const SILENCE_S: u64 = 60;

const LEASE_MS: i64 = 10_000;

/// With a checkpoint whenever something was written in the last seven seconds.
fn signing() -> Arc<Policy> {
    let checkpoints = Checkpoints { key: SigningKey::new([3; 32]), every_ms: 7_000 };
    let manners = Manners::from([("pager".to_owned(), Manner::CallsOnce)]);
    Arc::new(Policy::clone(&policy(SETTINGS)).with_checkpoints(checkpoints).with_manners(manners))
}

struct World {
    machine: Machine,
    now: Timestamp,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    recorded: Vec<(Input, Timestamp)>,
    effects: Vec<Vec<Effect>>,
    audit: Vec<AuditRecord>,
    checkpoints: Vec<Checkpoint>,
    last: BTreeMap<String, Incident>,
    under_way: Vec<UnderWay>,
    /// Pages in the order in which they were decided, with their last state.
    pages: Vec<(NotificationId, AlertKey, OutboxState)>,
    /// Place in `pages` of the page of each alert that was sent last.
    sent: BTreeMap<AlertKey, usize>,
    /// Messages for several, with the incidents that they told of beside their own.
    spoken_of: BTreeSet<(NotificationId, IncidentId)>,
    receiver: Receiver,
    commands: usize,
    /// The control topic.
    control: Vec<(String, Option<Box<Control>>)>,
    silences: Vec<SilenceId>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            machine: Machine::new(0, signing()),
            now: at(0),
            state: BTreeMap::new(),
            recorded: Vec::new(),
            effects: Vec::new(),
            audit: Vec::new(),
            checkpoints: Vec::new(),
            last: BTreeMap::new(),
            under_way: Vec::new(),
            pages: Vec::new(),
            sent: BTreeMap::new(),
            spoken_of: BTreeSet::new(),
            receiver: Receiver::default(),
            commands: 0,
            control: Vec::new(),
            silences: Vec::new(),
        };
        world.feed(Input::Started { owner: "first".into() });
        world
    }

    fn feed(&mut self, input: Input) -> usize {
        self.recorded.push((input.clone(), self.now));
        let effects = self.machine.handle(input, self.now);
        self.effects.push(effects.clone());
        let count = effects.len();
        let (mut own, mut told) = (Vec::new(), Vec::new());
        let mut sends_began = false;
        for effect in effects {
            assert!(!sends_began || matches!(effect, Effect::Send { .. }), "sends come last");
            match effect {
                Effect::Audit(record) => self.audit.push(record),
                Effect::Response(_) | Effect::Feedback(_) => (),
                Effect::Checkpoint(checkpoint) => self.checkpoints.push(*checkpoint),
                Effect::Incident(incident) => own.push(incident),
                Effect::Control { key, control } => told.push((key, control)),
                Effect::Outbox(record) => self.outbox(&record.page, record.state),
                Effect::State { key, value: Some(value) } => {
                    self.state.insert(key, value);
                }
                Effect::State { key, value: None } => {
                    self.state.remove(&key);
                }
                Effect::Send { page, attempt, lease_ms } => {
                    sends_began = true;
                    assert_eq!(i64::try_from(lease_ms), Ok(LEASE_MS));
                    self.send(*page, attempt);
                }
            }
        }
        for incident in own {
            self.feed(Input::Incident(incident));
        }
        if !told.is_empty() {
            self.control.extend(told.clone());
            self.feed(Input::Control(told));
        }
        self.invariants();
        count
    }

    /// One record per page, and what has ended stays ended.
    fn outbox(&mut self, page: &Page, state: OutboxState) {
        match self.pages.iter_mut().find(|(id, _, _)| *id == page.notification_id) {
            Some((_, key, last)) => {
                assert_eq!(*key, page.alert_key);
                // What another page spoke for may have to go by itself.
                let folded = matches!(last, OutboxState::Folded { .. });
                assert!(!last.is_final() || folded || *last == state, "{last:?} became {state:?}");
                *last = state;
            }
            None => {
                let passed = page.escalates_at.is_some_and(|at| at < page.decided_at);
                assert!(!passed, "{} tells of a next step that is past", page.notification_id);
                self.pages.push((page.notification_id.clone(), page.alert_key.clone(), state));
            }
        }
    }

    fn send(&mut self, page: Page, attempt: u32) {
        let place =
            self.pages.iter().position(|(id, _, _)| *id == page.notification_id).expect("an intent first");
        let OutboxState::Sending { attempt: recorded, .. } = &self.pages[place].2 else {
            panic!("sent while {:?}", self.pages[place].2)
        };
        assert_eq!(*recorded, attempt);
        // One at a time per alert, in the order of the decisions.
        assert!(
            self.under_way.iter().all(|u| u.page.alert_key != page.alert_key || u.until <= self.now),
            "two at once for one alert"
        );
        self.under_way.retain(|u| u.page.alert_key != page.alert_key);
        let before = self.sent.insert(page.alert_key.clone(), place);
        assert!(before.is_none_or(|before| before <= place), "out of order");
        let view = self.machine.incident_view(&page.incident.incident_id).expect("it is known");
        if page.kind == PageKind::Trigger {
            assert_eq!(view.stage, Stage::Open, "a trigger although somebody has it");
            let quiet = view.muted_by.is_some() || view.snoozed_until.is_some();
            assert!(!quiet, "a trigger although nobody is to be paged: {view:?}");
            assert_eq!(view.incident.generation, page.incident.generation);
        }
        // It speaks for what calls somebody now, each once.
        let mut others = BTreeSet::from([page.incident.incident_id.clone()]);
        for other in page.folded.iter().flat_map(|folded| &folded.listed) {
            assert!(others.insert(other.incident_id.clone()), "{page:?}");
            let view = self.machine.incident_view(&other.incident_id).expect("it is known");
            let quiet = view.muted_by.is_some() || view.snoozed_until.is_some();
            assert!(
                view.stage == Stage::Open && !quiet,
                "spoken for although nobody is to be paged: {view:?}"
            );
        }
        let until = self.now.plus_ms(LEASE_MS);
        self.under_way.push(UnderWay { page, attempt, fate: Fate::Open, until });
        let busy = |u: &&UnderWay| u.fate != Fate::Unknown && u.until > self.now;
        let at_once = |r: &str| self.under_way.iter().filter(busy).filter(|u| u.page.receiver == r).count();
        assert!(
            ["pager", "phone", "board"].iter().all(|r| at_once(r) <= 2),
            "more at once than there is room for"
        );
    }

    /// What holds after every step.
    fn invariants(&mut self) {
        assert_eq!(self.machine.counts().silent, 0);
        // A silence mutes no more than it may, and an ended one nothing.
        let mut muted: BTreeMap<SilenceId, usize> = BTreeMap::new();
        for view in self.machine.incidents().filter(|view| view.muted_until.is_some()) {
            let by = view.muted_by.expect("what mutes it");
            if let Some(silence) = by.strip_prefix("silence ") {
                *muted.entry(SilenceId::new(silence)).or_default() += 1;
            }
        }
        for (silence, n) in muted {
            let made = self.control.iter().rfind(|(key, _)| *key == format!("silence/{silence}"));
            let Some((_, Some(control))) = made else { panic!("{silence} has ended") };
            let Control::Silence(made) = &**control else { panic!("a silence") };
            assert!(n <= made.incidents_max as usize, "{n} are muted: {made:?}");
        }
        for view in self.machine.take_changed().into_iter().filter_map(|(_, view)| view) {
            let timers = self.machine.timers(&view.incident.incident_id);
            let count = |timer: Timer| timers.iter().filter(|(_, t)| *t == timer).count();
            let ticket = view.policy == "ticket";
            let snoozed = usize::from(view.snoozed_until.is_some());
            let muted = usize::from(view.muted_until.is_some());
            let (escalation, acknowledged, mitigated) = match view.stage {
                // A snooze and a mute take the place of the next step by their end.
                Stage::Open => {
                    let waits = snoozed + muted > 0;
                    (usize::from((!ticket || view.next_step_at.is_some()) && !waits), 0, 0)
                }
                Stage::Acknowledged => (0, 1, 0),
                Stage::Mitigated => (0, 0, 1),
                Stage::Resolved | Stage::Closed => (0, 0, 0),
            };
            assert_eq!(count(Timer::Escalation), escalation);
            assert_eq!(count(Timer::AcknowledgementExpires), acknowledged);
            assert_eq!(count(Timer::MitigationExpires), mitigated);
            assert_eq!(count(Timer::SnoozeEnds), snoozed);
            assert_eq!(count(Timer::MuteEnds), muted);
            assert_eq!(count(Timer::Response), usize::from(view.respond_by.is_some()));
            assert_eq!(count(Timer::Forget), usize::from(view.ended_at.is_some()));
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Signal { model, severity } => self.signal(MODELS[*model], *severity),
            Op::Ask { model, who, what } => {
                self.commands += 1;
                let id = opened(MODELS[*model], Severity::Sev2).incident_id;
                let action = match what {
                    0 | 1 => samples::acknowledge((*what == 0).then_some(25)),
                    2 => samples::mitigate(),
                    3 => samples::resolve(),
                    4 => Action::Close { reason: "a bad rollout".into(), not_actionable: *who },
                    5 => Action::Note { text: "looking".into() },
                    6 => Action::Snooze { for_s: 20, reason: None },
                    7 => {
                        Action::Assign { to: if *who { "person:bo" } else { "team:all" }.into(), note: None }
                    }
                    _ => Action::Merge { into: opened("other", Severity::Sev2).incident_id, reason: None },
                };
                let command =
                    command(&format!("c{}", self.commands), &id, if *who { "ana" } else { "bo" }, action);
                self.feed(Input::Command(command));
            }
            Op::Silence { model, incidents_max, listed, until_resolved, unmatched } => {
                let of =
                    Matches { model: vec![model.map_or("*", |m| MODELS[m]).into()], ..Matches::default() };
                let open =
                    self.machine.incidents().filter(|v| v.signal == Signal::Open && of.holds(&v.incident));
                let all = open.map(|v| Listed {
                    incident_id: v.incident.incident_id,
                    generation: v.incident.generation,
                });
                let most = if *listed { *incidents_max as usize } else { 0 };
                let listed: Vec<_> = all.take(most).collect();
                self.commands += 1;
                let silence_id = SilenceId::new(format!("s{}", self.commands));
                self.silences.push(silence_id.clone());
                let ask = SilenceAsk::Make(Box::new(NewSilence {
                    of,
                    for_s: SILENCE_S,
                    until_resolved: *until_resolved,
                    unmatched_s: unmatched.then_some(20),
                    incidents_max: *incidents_max,
                    listed,
                    reason: "a history".into(),
                }));
                self.silence(silence_id, ask);
            }
            Op::EndSilence { nth } => {
                self.commands += 1;
                let id = self.silences.get(nth % self.silences.len().max(1)).cloned();
                self.silence(id.unwrap_or_else(|| SilenceId::new("none")), SilenceAsk::End { reason: None });
            }
            Op::Answer { nth, class } => self.answer(*nth, *class),
            Op::Pass { ms } => self.pass(*ms),
            Op::Restart => self.restart(),
            Op::Again { nth } => {
                let again = |(input, _): &&(Input, Timestamp)| {
                    matches!(input, Input::Incident(_) | Input::Command(_))
                };
                let earlier: Vec<Input> =
                    self.recorded.iter().filter(again).map(|(i, _)| i.clone()).collect();
                if let Some(input) = earlier.get(nth % earlier.len().max(1)) {
                    assert_eq!(self.feed(input.clone()), 0, "a repeat had effects");
                }
            }
        }
    }

    fn silence(&mut self, silence_id: SilenceId, ask: SilenceAsk) {
        self.feed(Input::Silence(Box::new(samples::silence(
            &format!("c{}", self.commands),
            &silence_id,
            "ana",
            ask,
        ))));
    }

    fn signal(&mut self, model: &str, severity: Option<Severity>) {
        let next = match (self.last.get(model), severity) {
            (None, None) => return,
            (None, Some(severity)) => opened(model, severity),
            (Some(last), None) => samples::next(last, Change::Cleared, last.severity),
            (Some(last), Some(severity)) if last.change == Change::Cleared => {
                samples::reopened(last, severity)
            }
            (Some(last), Some(severity)) => samples::next(last, Change::Updated, severity),
        };
        self.last.insert(model.into(), next.clone());
        self.feed(Input::Incident(Box::new(next)));
    }

    fn answer(&mut self, nth: usize, class: u8) {
        let open: Vec<usize> = (0..self.under_way.len()).filter(|i| self.is_open(*i)).collect();
        let Some(&i) = open.get(nth % open.len().max(1)) else { return };
        let UnderWay { page, attempt, .. } = self.under_way[i].clone();
        let reason = || "as it happens".to_owned();
        // Whatever happened to the answer, the receiver may have got it; when it refuses it has not.
        let (outcome, got) = match class {
            0 => (Outcome::Retry { reason: reason() }, true),
            1 => (Outcome::Retry { reason: reason() }, false),
            2 => (Outcome::RetryAfter { ms: 3_000, reason: reason() }, false),
            3 => (Outcome::Unknown { reason: reason() }, true),
            // A refused resolve leaves an alert open for good; that is what tocsin's own incident is for.
            4 if page.kind == PageKind::Trigger => (Outcome::Config { reason: reason() }, false),
            5 if page.kind == PageKind::Trigger => (Outcome::Reject { reason: reason() }, false),
            _ => (Outcome::Delivered { reference: None }, true),
        };
        if got {
            self.receiver.take(&page, matches!(outcome, Outcome::Retry { .. }));
        }
        if let (Outcome::Delivered { .. }, Some(folded)) = (&outcome, &page.folded) {
            let told = folded.listed.iter().map(|other| (folded.into.clone(), other.incident_id.clone()));
            self.spoken_of.extend(told);
        }
        if matches!(outcome, Outcome::Unknown { .. }) {
            self.under_way[i].fate = Fate::Unknown;
        } else {
            self.under_way.remove(i);
        }
        let (notification_id, incident_id) = (page.notification_id, page.incident.incident_id);
        self.feed(Input::Outcome { notification_id, incident_id, attempt, outcome });
    }

    fn is_open(&self, i: usize) -> bool {
        self.under_way.get(i).is_some_and(|u| u.fate == Fate::Open)
    }

    /// Time passes, with a tick at each deadline.
    fn pass(&mut self, ms: i64) {
        let end = self.now.plus_ms(ms);
        for step in 0.. {
            assert!(step < 10_000, "time does not pass: {:?} at {}", self.machine.deadline(), self.now);
            let Some(due) = self.machine.deadline().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.feed(Input::Tick);
        }
        self.now = end;
    }

    fn restart(&mut self) {
        let mut machine = Machine::new(0, signing());
        for (key, value) in &self.state {
            machine.restore(key, value).expect("its own state");
        }
        let effects = machine.handle(Input::Control(self.control.clone()), self.now);
        assert_eq!(effects, [], "it has not started");
        assert_eq!(machine.anchor(), self.machine.anchor());
        let views = |m: &Machine| m.incidents().collect::<Vec<_>>();
        assert_eq!(views(&machine), views(&self.machine), "what was restored is what was");
        assert_eq!(machine.standing(), self.machine.standing(), "open alerts are known again");
        self.machine = machine;
        // What the old owner began may arrive until its lease ends; nobody hears of it. A new owner counts anew.
        self.under_way.retain(|u| u.until > self.now);
        for under_way in &mut self.under_way {
            self.receiver.take(&under_way.page, false);
            under_way.until = self.now.plus_ms(LEASE_MS);
            if under_way.fate == Fate::Open {
                under_way.fate = Fate::Lost;
            }
        }
        self.feed(Input::Started { owner: "another".into() });
    }

    /// From now on every receiver answers: everything must come to its end.
    fn settle(&mut self) {
        // Longer than any acknowledgement or mitigation.
        for _ in 0..25 {
            self.pass(8_000);
            while (0..self.under_way.len()).any(|i| self.is_open(i)) {
                self.answer(0, 9);
            }
        }
    }

    fn at_the_end(&mut self) {
        self.settle();
        // No page is lost: whoever nobody owns has reached somebody in this generation.
        for view in self.machine.incidents().filter(|v| v.stage == Stage::Open) {
            let reached = view.pages.iter().any(|p| {
                p.kind == PageKind::Trigger
                    && p.generation == view.incident.generation
                    && match &p.state {
                        OutboxState::Delivered { .. } => true,
                        OutboxState::Folded { into } => {
                            self.spoken_of.contains(&(into.clone(), view.incident.incident_id.clone()))
                        }
                        OutboxState::Intent
                        | OutboxState::Held { .. }
                        | OutboxState::Sending { .. }
                        | OutboxState::Retrying { .. }
                        | OutboxState::Unknown { .. }
                        | OutboxState::Failed { .. }
                        | OutboxState::Cancelled { .. } => false,
                    }
            });
            // A ticket that failed is not told again: tocsin's own incident stands for it.
            let failed = view.pages.iter().any(|p| matches!(p.state, OutboxState::Failed { .. }));
            assert!(
                reached || view.policy == "ticket" && failed,
                "nobody was reached about {}",
                view.incident.title
            );
        }
        // Every page came to an end, but for what left in this very second.
        let live: Vec<_> = self.pages.iter().filter(|(_, _, s)| !s.is_final()).collect();
        assert!(live.is_empty(), "still on their way: {live:?}");
        // No alert stays open at the receiver once its incident is done with, unless its resolve failed for good.
        let done: BTreeSet<IncidentId> = self
            .machine
            .incidents()
            .filter(|v| matches!(v.stage, Stage::Resolved | Stage::Closed))
            .map(|v| v.incident.incident_id)
            .collect();
        let failed = |key: &AlertKey| {
            self.pages.iter().any(|(_, k, s)| k == key && matches!(s, OutboxState::Failed { .. }))
        };
        let open: Vec<_> = self.receiver.open.iter().filter(|(key, _)| !failed(key)).collect();
        let left: Vec<_> = open.iter().filter(|(_, id)| done.contains(*id)).collect();
        assert!(left.is_empty(), "alerts left open: {left:?}");
        // A receiver that forgets would be told again of each alert that stands there, unless all it said of it was an error.
        let standing: BTreeSet<AlertKey> = self.machine.standing().into_iter().map(|p| p.alert_key).collect();
        let unsaid = |key: &AlertKey| !standing.contains(key) && !self.receiver.in_error.contains(key);
        let unsaid: Vec<_> = open.iter().filter(|(key, _)| unsaid(key)).collect();
        assert!(unsaid.is_empty(), "alerts that nobody keeps alive: {unsaid:?}");
        // The chain holds up to the head.
        let keys = PublicKeys::new([SigningKey::new([3; 32]).public()]).expect("a key");
        let mut checker = Checker::new(0, std::slice::from_ref(self.machine.anchor()))
            .and_then(|checker| checker.against(&keys, "default", &self.checkpoints))
            .expect("what was signed is to be believed");
        self.audit.iter().try_for_each(|record| checker.record(record)).expect("the chain holds");
        let verified = checker.end().expect("nothing is missing");
        assert_eq!(verified.last, *self.machine.anchor());
        assert!(verified.vouched.is_some(), "a checkpoint was made");
        // A machine that never restarted, given the same inputs at the same times, does the same to the byte.
        let mut again = Machine::new(0, signing());
        for ((input, now), effects) in self.recorded.iter().zip(&self.effects) {
            let repeated = again.handle(input.clone(), *now);
            let kind = |effect: &Effect| {
                if let Effect::State { key, .. } = effect {
                    return format!("state of {}", String::from_utf8_lossy(key));
                }
                format!("{effect:?}").chars().take(300).collect()
            };
            let [was, now] = [effects, &repeated].map(|all| all.iter().map(kind).collect::<Vec<_>>());
            assert!(repeated == *effects, "{input:?}\n  was {was:#?}\n  now {now:#?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(ops in prop::collection::vec(op(), 1..70)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.at_the_end();
    }
}
