//! Who is paged in a story: requests on their way, a receiver that knows what it has, and people who answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use escalate::config::{
    ContactConfig, ENGINEER, InhibitConfig, LayerConfig, PersonConfig, ScheduleConfig, SchedulesConfig,
    SilencesConfig, TurnConfig,
};
use escalate::{
    Bundle, EscalateConfig, Loaded, Manner, Manners, PeopleConfig, Policy, PolicyConfig, ReadBy, Readers,
    RouteConfig, StakeholdersConfig, StepConfig,
};
use runtime::sends::{Sends, Sent};
use wire::command::{Action, Command, Principal, Role};
use wire::control::{NewSilence, SilenceAsk, SilenceCommand};
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};
use wire::{CommandId, Digest, Incident, IncidentId, Matches, Severity, SilenceId, Source, Timestamp};

use super::schedule::TaskHost;
use super::story::NAMESPACE;
use crate::random::Random;
use crate::simulated::{Bug, Host as _, Point};

/// What an attempt may take, in seconds: short, so that stories see it end.
pub const LEASE_S: u32 = 5;
/// Seconds between two steps.
const DELAY_S: u32 = 10;

/// An attempt that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    pub page: Page,
    pub attempt: u32,
    pub at: Duration,
    /// When its process heard what came of it, or gave it up.
    pub over: Duration,
    /// When its lease ends.
    pub until: Duration,
}

/// What is known outside of all processes.
#[derive(Debug)]
pub struct Line {
    random: Random,
    /// Requests and answers may be lost, late or refused.
    is_bad: bool,
    bug: Option<Bug>,
    pub begun: Vec<Begun>,
    /// What the receiver has taken, by when.
    pub taken: Vec<(Duration, Page)>,
}

impl Line {
    #[must_use]
    pub fn new(seed: u64, bug: Option<Bug>) -> Arc<Mutex<Self>> {
        let random = Random::new(seed ^ 0x9a6e_0001);
        Arc::new(Mutex::new(Self { random, is_bad: false, bug, begun: vec![], taken: vec![] }))
    }

    pub fn set_bad(&mut self, is_bad: bool) {
        self.is_bad = is_bad;
    }

    /// What becomes of a request, when the receiver has it, and when its answer is here.
    fn fate(&mut self, page: &Page) -> (Outcome, Option<Duration>, Duration) {
        let mut up_to = |ms| Duration::from_millis(1 + self.random.below(ms));
        let (there, back) = (up_to(300), up_to(300));
        let late = up_to(9_000);
        let delivered = Outcome::Delivered { reference: Some(page.alert_key.to_string()) };
        let reason = || "the story goes so".to_owned();
        if !self.is_bad {
            return (delivered, Some(there), there + back);
        }
        match self.random.below(100) {
            0..=59 => (delivered, Some(there), there + back),
            60..=69 => (Outcome::Unknown { reason: reason() }, Some(there), Duration::MAX),
            70..=76 => (Outcome::Unknown { reason: reason() }, None, there + back),
            77..=84 => (Outcome::Retry { reason: reason() }, None, there + back),
            85..=89 => (Outcome::RetryAfter { ms: 1_500, reason: reason() }, None, there + back),
            90..=95 => (delivered, Some(late), late + back),
            _ if page.kind == PageKind::Trigger => (Outcome::Reject { reason: reason() }, None, there + back),
            _ => (delivered, Some(there), there + back),
        }
    }
}

pub fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a process reaches the receiver.
pub struct SimSends {
    host: Arc<TaskHost>,
    line: Arc<Mutex<Line>>,
    /// What will be heard, and when.
    waiting: Vec<(Duration, Sent)>,
}

impl SimSends {
    #[must_use]
    pub fn new(host: Arc<TaskHost>, line: Arc<Mutex<Line>>) -> Self {
        Self { host, line, waiting: vec![] }
    }
}

impl Sends for SimSends {
    fn start(&mut self, page: Page, attempt: u32, until: Duration) {
        self.host.at(Point::Send);
        let now = self.host.now();
        let sent = |outcome| Sent {
            notification_id: page.notification_id.clone(),
            incident_id: page.incident.incident_id.clone(),
            attempt,
            outcome,
        };
        if until <= now && lock(&self.line).bug != Some(Bug::SentBeyondLease) {
            let late = Outcome::Retry { reason: "its turn came after the lease".into() };
            return self.waiting.push((now, sent(late)));
        }
        let mut line = lock(&self.line);
        let (outcome, there, back) = line.fate(&page);
        let heard = now.saturating_add(back);
        let (over, outcome) = if heard < until {
            (heard, outcome)
        } else {
            (until, Outcome::Unknown { reason: "no answer in time".into() })
        };
        self.waiting.push((over, sent(outcome)));
        // Once written it arrives, whatever becomes of its process.
        line.taken.extend(there.map(|there| (now + there, page.clone())));
        line.begun.push(Begun { page, attempt, at: now, over, until });
        drop(line);
        self.host.at(Point::Sent);
    }

    fn outcomes(&mut self) -> Vec<Sent> {
        let now = self.host.now();
        let (heard, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = waiting;
        heard.into_iter().map(|(_, sent): (Duration, Sent)| sent).collect()
    }

    fn keep_alive(&mut self, _: Vec<Page>) {}

    fn forget(&mut self, _: &dyn Fn(&IncidentId) -> bool) {}
}

/// Whom everybody pages.
#[must_use]
pub fn bundle() -> Bundle {
    bundle_of(["first", "second", "desk"])
}

/// Another one: nobody whom the first names is paged.
#[must_use]
pub fn another_bundle() -> Bundle {
    bundle_of(["third", "fourth", "office"])
}

/// Shorter than a lease and than a step, so that what waits to go with others meets both.
const FOLD_S: u32 = 4;

/// The second step calls whoever of two is on call; their turns are an hour each, and one ends in the midst of the story.
fn bundle_of([first, second, desk]: [&str; 3]) -> Bundle {
    let step =
        |target: String| StepConfig { targets: vec![target], delay_s: DELAY_S, ..StepConfig::default() };
    let at = |target: &str| step(format!("pager/{target}"));
    let two = ["a", "b"].map(|half| format!("{second}-{half}"));
    let person = |name: &String| {
        let contact = ContactConfig { page: vec![format!("pager/{name}")], ..ContactConfig::default() };
        (name.clone(), PersonConfig { audience: ENGINEER.into(), contact, ..PersonConfig::default() })
    };
    let layer = LayerConfig {
        people: two.iter().cloned().map(TurnConfig::One).collect(),
        turn: "1 hour".into(),
        // Half a minute into the story.
        handover: "2026-01-01 00:00:30".into(),
        ..LayerConfig::default()
    };
    let rota = ScheduleConfig { layer: vec![layer], ..ScheduleConfig::default() };
    let policy = |steps: Vec<StepConfig>, until_owned| PolicyConfig {
        until_owned,
        mitigation_expires_s: 3600,
        fallback: Some("backup/everyone".into()),
        ..PolicyConfig::of(steps)
    };
    let severity = vec![Severity::Sev3, Severity::Sev4];
    let tickets = RouteConfig { severity, policy: "ticket".into(), ..RouteConfig::default() };
    let rest = RouteConfig { policy: "page".into(), ..RouteConfig::default() };
    Bundle {
        namespace: NAMESPACE.to_owned(),
        route: vec![tickets, rest],
        policy: [
            ("page".to_owned(), policy(vec![at(first), step("schedule:rota".into())], true)),
            ("ticket".to_owned(), policy(vec![at(desk)], false)),
        ]
        .into(),
        escalate: EscalateConfig {
            catch_up_delay_s: 5,
            lease_s: LEASE_S,
            fold_s: FOLD_S,
            ..EscalateConfig::default()
        },
        people: PeopleConfig { person: two.iter().map(person).collect(), ..PeopleConfig::default() },
        schedules: SchedulesConfig {
            schedule: [("rota".to_owned(), rota)].into(),
            ..SchedulesConfig::default()
        },
        silences: SilencesConfig { inhibit: vec![inhibit()], ..SilencesConfig::default() },
        stakeholders: StakeholdersConfig::default(),
        templates: BTreeMap::new(),
    }
}

/// While requests of one model fail, nobody is told of tickets about the other.
fn inhibit() -> InhibitConfig {
    let (severity, one) = (vec![Severity::Sev3, Severity::Sev4], |model: &str| vec![model.to_owned()]);
    InhibitConfig {
        name: "what comes from fraud".into(),
        upstream: Matches { model: one("fraud"), ..Matches::default() },
        covers: Matches { model: one("ranking"), severity, ..Matches::default() },
        for_s: 3600,
        ..InhibitConfig::default()
    }
}

/// Somebody wants silence of whatever opens next, of one incident at most.
#[must_use]
pub fn silence(wall: Timestamp, for_s: u64) -> SilenceCommand {
    let new = NewSilence {
        of: Matches { source: vec![Source::Detector], ..Matches::default() },
        for_s,
        until_resolved: false,
        unmatched_s: None,
        incidents_max: 1,
        listed: vec![],
        reason: "a story".into(),
    };
    SilenceCommand {
        command_id: CommandId::new("silence"),
        silence_id: SilenceId::new("s"),
        issued_at: wall,
        principal: Principal { name: "ada".into(), role: Role::Responder },
        ask: SilenceAsk::Make(Box::new(new)),
    }
}

/// What every process escalates by when it starts.
///
/// # Panics
/// Never: it is valid.
#[must_use]
pub fn policy() -> Arc<Policy> {
    under(bundle())
}

/// What a process escalates by that has loaded it.
///
/// # Panics
/// Where it is not valid.
#[must_use]
pub fn under(bundle: Bundle) -> Arc<Policy> {
    let receivers = ["pager", "backup"].map(str::to_owned).into();
    // What is not for a person goes with others too.
    let readers = Readers::from([("pager".to_owned(), ReadBy::People)]);
    let manners = Manners::from([("pager".to_owned(), Manner::CallsOnce)]);
    let policy = Policy::new(bundle, &receivers).expect("it is valid");
    Arc::new(policy.with_readers(readers).with_manners(manners))
}

#[must_use]
pub fn loaded(bundle: Bundle) -> Loaded {
    Loaded { config: Digest::of(&[b"sim"]), by: "start".into(), bundle }
}

/// Somebody who looks at what is told, and acknowledges some of it after a while, at times twice.
#[derive(Debug)]
pub struct Person {
    random: Random,
    /// Records of each partition that were looked at.
    looked_at: BTreeMap<u32, usize>,
    known: BTreeSet<(IncidentId, u32)>,
    due: BTreeMap<Duration, Vec<IncidentId>>,
    commands: u32,
}

impl Person {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = Random::new(seed ^ 0x9e50_0002);
        Self { random, looked_at: BTreeMap::new(), known: BTreeSet::new(), due: BTreeMap::new(), commands: 0 }
    }

    /// How many records of a partition were looked at so far; from now on it is `all`.
    pub fn looked_at(&mut self, partition: u32, all: usize) -> usize {
        self.looked_at.insert(partition, all).unwrap_or(0)
    }

    /// Sees what stands in the incidents topic.
    pub fn see(&mut self, incident: &Incident, now: Duration) {
        if !self.known.insert((incident.incident_id.clone(), incident.generation)) {
            return;
        }
        if self.random.chance(0.6) {
            let at = now + Duration::from_millis(500 + self.random.below(12_000));
            self.due.entry(at).or_default().push(incident.incident_id.clone());
        }
    }

    /// Takes on all that is known.
    pub fn see_to_all(&mut self, now: Duration) {
        let all: BTreeSet<IncidentId> = self.known.iter().map(|(id, _)| id.clone()).collect();
        self.due.entry(now).or_default().extend(all);
    }

    /// What is asked for by now.
    pub fn commands(&mut self, now: Duration, wall: Timestamp) -> Vec<Command> {
        let later = self.due.split_off(&(now + Duration::from_nanos(1)));
        let due = std::mem::replace(&mut self.due, later);
        let mut asked = vec![];
        for incident_id in due.into_values().flatten() {
            self.commands += 1;
            let command = Command {
                command_id: CommandId::new(format!("command-{}", self.commands)),
                incident_id,
                issued_at: wall,
                principal: Principal { name: "ada".into(), role: Role::Responder },
                action: Action::Acknowledge { for_s: None, note: None },
            };
            asked.push(command.clone());
            if self.random.chance(0.2) {
                asked.push(command);
            }
        }
        asked
    }
}
