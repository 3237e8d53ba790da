//! Who is paged, as the audit alone tells it: the same as the machine says at that time, and as it then does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use escalate::config::{
    Bundle, ContactConfig, EscalateConfig, PeopleConfig, PersonConfig, PolicyConfig, RoleConfig, RouteConfig,
    StepConfig, TeamConfig, WhenConfig,
};
use escalate::{
    Effect, Input, Loaded, Machine, Paging, Policy, SchedulesConfig, SilencesConfig, StakeholdersConfig,
    rebuild,
};
use proptest::prelude::*;
use wire::audit::AuditRecord;
use wire::command::Action;
use wire::control::{Control, NewSilence, SilenceAsk};
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};
use wire::{Change, Digest, Incident, IncidentId, Matches, Severity, SilenceId, Source, Timestamp};

use crate::samples::{self, at, bundle, command, opened, receivers};

const MODELS: [&str; 3] = ["fraud", "rank", "triage"];
const KEY: &[u8] = b"a key of sixteen";

#[derive(Clone, Debug)]
enum Op {
    Signal {
        model: usize,
        severity: Option<Severity>,
    },
    Ask {
        model: usize,
        what: u8,
    },
    Pass {
        ms: i64,
    },
    Load(Box<Bundle>),
    Restart,
    /// Silence of everything that the detector says, for so long.
    Silence {
        for_s: u64,
    },
}

fn target() -> impl Strategy<Value = String> {
    let who = prop::sample::select(vec!["ana-l", "bo-m", "chief-1", "ml-x"]);
    let at = (prop::sample::select(vec!["pager", "phone", "board"]), who);
    let whom =
        prop::sample::select(vec!["person:ana-l", "team:ml", "role:lead", "role:nobody", "schedule:rota"]);
    prop_oneof![3 => at.prop_map(|(r, who)| format!("{r}/{who}")), 1 => whom.prop_map(str::to_owned)]
}

/// Two people, a team of both, a role that one of them has, and one that nobody has.
fn people() -> PeopleConfig {
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let person = |page: &[&str], account: &str| PersonConfig {
        audience: "engineer".into(),
        contact: ContactConfig { page: texts(page), ..ContactConfig::default() },
        accounts: texts(&[account]),
        ..PersonConfig::default()
    };
    let ana = person(&["pager/ana-l", "phone/chief-1"], "slack:ana-l");
    let bo = person(&["pager/bo-m"], "slack:bo-m");
    let team = TeamConfig {
        people: texts(&["ana-l", "bo-m"]),
        contact: ContactConfig { page: texts(&["board/ml-x"]), ..ContactConfig::default() },
        zone: None,
        audience: "engineer".into(),
    };
    let role = |people: &[&str]| RoleConfig { people: texts(people) };
    PeopleConfig {
        zone: None,
        person: [("ana-l".to_owned(), ana), ("bo-m".to_owned(), bo)].into(),
        team: [("ml".to_owned(), team)].into(),
        role: [("lead".to_owned(), role(&["bo-m"])), ("nobody".to_owned(), role(&[]))].into(),
    }
}

/// Both in turn, for minutes of the hour that the script sees, and at times nobody.
fn schedules() -> SchedulesConfig {
    let text = r#"
        [schedule.rota]
        may_be_empty = true
        layer = [{ people = ["ana-l", ["bo-m", "ana-l"], []], turn = "1 hour", handover = "2026-03-02 10:05" }]
        swap = [{ from = "2026-03-02 10:06", until = "2026-03-02 10:10", between = ["ana-l", "bo-m"] }]
        override = [{ from = "2026-03-02 10:12", until = "2026-03-02 10:15", people = ["bo-m"], instead_of = "ana-l" }]
        temporary = [{ from = "2026-03-02 10:15", until = "2026-03-02 10:16", shift = [] }]
    "#;
    toml::from_str(text).expect("schedules")
}

/// Maintenance of one, and another that comes from it.
fn silences() -> SilencesConfig {
    let text = r#"
        maintenance = [{ name = "retraining", incidents = { model = ["triage"] }, hours = "10:03-10:06" }]
        inhibit = [{ name = "ranks", upstream = { model = ["fraud"] }, covers = { model = ["rank"] }, for_s = 90 }]
    "#;
    toml::from_str(text).expect("silences")
}

fn plan(until_owned: bool) -> impl Strategy<Value = PolicyConfig> {
    let only = prop_oneof![3 => Just(vec![]), 1 => prop::sample::subsequence(Severity::ALL.to_vec(), 1..3)];
    let step = (prop::collection::btree_set(target(), 1..4), only, 5u32..90).prop_map(
        |(targets, severity, delay_s)| StepConfig {
            targets: targets.into_iter().collect(),
            when: WhenConfig { severity, ..WhenConfig::default() },
            delay_s,
            ..StepConfig::default()
        },
    );
    let within_s = prop_oneof![2 => Just(0u32), 1 => Just(20u32)];
    let all = (prop::collection::vec(step, 1..4), 1u32..4, 30u32..200, within_s);
    all.prop_map(move |(mut steps, repeat, holds_s, within_s)| {
        // The last one must reach somebody at any time.
        let last = steps.last_mut().expect("at least one");
        last.when = WhenConfig::default();
        last.targets = vec!["pager/bo-m".to_owned()];
        PolicyConfig {
            repeat,
            until_owned,
            acknowledge_expires_s: holds_s,
            mitigation_expires_s: 2 * holds_s,
            respond_within_s: within_s,
            ..PolicyConfig::of(steps)
        }
    })
}

/// Two policies that page and one of tickets, and routes that ask for severities and models.
fn any_bundle() -> impl Strategy<Value = Bundle> {
    let severities = prop::sample::subsequence(Severity::ALL.to_vec(), 0..3);
    let models = prop::sample::subsequence(vec!["fraud".to_owned(), "r*".to_owned()], 0..2);
    let route = (severities, models, prop::sample::select(vec!["one", "two"])).prop_filter_map(
        "a condition",
        |(severity, model, policy)| {
            let some = !severity.is_empty() || !model.is_empty();
            some.then(|| RouteConfig { severity, model, policy: policy.into(), ..RouteConfig::default() })
        },
    );
    let routes = prop::collection::vec(route, 0..4);
    (routes, plan(true), plan(true), plan(false), 1u32..60).prop_map(|(mut route, one, two, tickets, s)| {
        let low = vec![Severity::Sev3, Severity::Sev4];
        route.push(RouteConfig { severity: low, policy: "tickets".into(), ..RouteConfig::default() });
        route.push(RouteConfig { policy: "one".into(), ..RouteConfig::default() });
        let policy = [("one", one), ("two", two), ("tickets", tickets)];
        let policy = policy.map(|(name, policy)| (name.to_owned(), policy)).into();
        let escalate =
            EscalateConfig { catch_up_delay_s: s, ended_keep_s: 300 + s, ..EscalateConfig::default() };
        let templates = [(
            "engineer".to_owned(),
            "Call ana-l.\n{{ what }}\n{{ where }}\n{{ since }}\n{{ next }}".to_owned(),
        )]
        .into();
        Bundle {
            namespace: "default".into(),
            route,
            policy,
            escalate,
            people: people(),
            schedules: schedules(),
            silences: silences(),
            stakeholders: StakeholdersConfig::default(),
            templates,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let severity =
        prop_oneof![3 => prop::sample::select(Severity::ALL.to_vec()).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        5 => (0..MODELS.len(), severity).prop_map(|(model, severity)| Op::Signal { model, severity }),
        3 => (0..MODELS.len(), 0u8..9).prop_map(|(model, what)| Op::Ask { model, what }),
        5 => prop_oneof![0i64..2_000, 0i64..60_000, 0i64..500_000].prop_map(|ms| Op::Pass { ms }),
        2 => any_bundle().prop_map(|bundle| Op::Load(Box::new(bundle))),
        1 => Just(Op::Restart),
        1 => (5u64..120).prop_map(|for_s| Op::Silence { for_s }),
    ]
}

struct World {
    policy: Arc<Policy>,
    machine: Machine,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    now: Timestamp,
    audit: Vec<AuditRecord>,
    last: BTreeMap<&'static str, Incident>,
    /// What the machine said last at each time, of each incident.
    said: BTreeMap<(Timestamp, IncidentId), (Incident, Paging)>,
    commands: usize,
    control: Vec<(String, Option<Box<Control>>)>,
}

fn policy(bundle: Bundle) -> Arc<Policy> {
    Arc::new(Policy::new(bundle, &receivers()).expect("a bundle").with_people_key(KEY))
}

impl World {
    fn new(bundle: Bundle) -> Self {
        let policy = policy(bundle);
        let machine = Machine::new(0, Arc::clone(&policy));
        let (state, last, said) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (audit, control) = (vec![], vec![]);
        let mut world = Self { policy, machine, state, now: at(0), audit, last, said, commands: 0, control };
        world.feed(Input::Started { owner: "first".into() });
        world
    }

    /// Everything is delivered at once. Returns the pages that call somebody.
    fn feed(&mut self, input: Input) -> Vec<Page> {
        let mut triggers = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.machine.handle(input, self.now) {
                match effect {
                    Effect::Audit(record) => self.audit.push(record),
                    Effect::State { key, value: Some(value) } => drop(self.state.insert(key, value)),
                    Effect::State { key, value: None } => drop(self.state.remove(&key)),
                    Effect::Outbox(record) if record.page.kind == PageKind::Trigger => {
                        triggers.push(record.page);
                    }
                    Effect::Send { page, attempt, .. } => inputs.push(Input::Outcome {
                        notification_id: page.notification_id,
                        incident_id: page.incident.incident_id,
                        attempt,
                        outcome: Outcome::Delivered { reference: None },
                    }),
                    Effect::Control { key, control } => {
                        self.control.push((key.clone(), control.clone()));
                        inputs.insert(0, Input::Control(vec![(key, control)]));
                    }
                    Effect::Response(_)
                    | Effect::Outbox(_)
                    | Effect::Incident(_)
                    | Effect::Feedback(_)
                    | Effect::Checkpoint(_) => (),
                }
            }
        }
        triggers
    }

    /// Feeds it; whoever was to be paged by now is, and nobody else by that step.
    fn feed_and_compare(&mut self, input: Input, of: &[Incident]) {
        let due: Vec<_> =
            of.iter().map(|i| (i.incident_id.clone(), self.machine.paging(i, self.now))).collect();
        let muted: BTreeSet<IncidentId> =
            of.iter().map(|i| i.incident_id.clone()).filter(|id| self.is_muted(id)).collect();
        let written = self.audit.len();
        let triggers = self.feed(input);
        // Who asked for a place in a silence and had none pages from the first step.
        let asked = self.audit[written..].iter().filter(|record| record.action == "incident.muted");
        let asked: BTreeSet<IncidentId> = asked.filter_map(|record| record.incident_id.clone()).collect();
        for (id, paging) in due {
            let Some(next) = paging.next.filter(|next| next.due <= self.now) else { continue };
            // What mutes one now decides when it comes to that, and of one it may be another thing that does.
            if muted.contains(&id) || asked.contains(&id) {
                continue;
            }
            let of_step = triggers.iter().filter(|p| {
                p.incident.incident_id == id && (p.round, p.step) == (next.at.round, next.at.step)
            });
            let paged: BTreeSet<String> = of_step.map(|p| format!("{}/{}", p.receiver, p.target)).collect();
            assert_eq!(paged, next.targets.into_iter().collect(), "{id} at {}", self.now);
        }
    }

    fn is_muted(&self, id: &IncidentId) -> bool {
        self.machine.incident_view(id).is_some_and(|view| view.muted_until.is_some())
    }

    fn known(&self) -> Vec<Incident> {
        let known = |i: &&Incident| self.machine.incident_view(&i.incident_id).is_some();
        self.last.values().filter(known).cloned().collect()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Signal { model, severity } => self.signal(MODELS[model], severity),
            Op::Ask { model, what } => {
                self.commands += 1;
                let action = match what {
                    0 => samples::acknowledge(Some(45)),
                    1 => samples::mitigate(),
                    2 => samples::resolve(),
                    3 => Action::Close { reason: "a bad rollout".into(), not_actionable: true },
                    4 => Action::Snooze { for_s: 40, reason: None },
                    5 => Action::Assign { to: "person:bo-m".into(), note: None },
                    6 => Action::Note { text: "looking".into() },
                    _ => Action::Repin { reason: None },
                };
                let id = opened(MODELS[model], Severity::Sev2).incident_id;
                let command = command(&format!("c{}", self.commands), &id, "ana-l", action);
                self.feed(Input::Command(command));
            }
            Op::Pass { ms } => {
                let end = self.now.plus_ms(ms);
                while let Some(due) = self.machine.deadline().filter(|due| *due <= end) {
                    self.now = self.now.max(due);
                    self.feed_and_compare(Input::Tick, &self.known());
                    // The last word of a moment counts.
                    if self.said.keys().any(|(at, _)| *at == self.now) {
                        self.compare();
                    }
                }
                self.now = end;
            }
            Op::Load(bundle) => {
                let config = Digest::of(&[format!("{bundle:?}").as_bytes()]);
                self.policy = policy((*bundle).clone());
                let by = "file".to_owned();
                self.feed(Input::Loaded(Box::new(Loaded { config, by, bundle: *bundle })));
            }
            Op::Silence { for_s } => {
                self.commands += 1;
                let id = format!("c{}", self.commands);
                let new = NewSilence {
                    of: Matches { source: vec![Source::Detector], ..Matches::default() },
                    for_s,
                    until_resolved: false,
                    unmatched_s: None,
                    incidents_max: 2,
                    listed: vec![],
                    reason: "a history".into(),
                };
                let (silence, ask) = (SilenceId::new(&id), SilenceAsk::Make(Box::new(new)));
                self.feed(Input::Silence(Box::new(samples::silence(&id, &silence, "ana-l", ask))));
            }
            Op::Restart => {
                self.machine = Machine::new(0, Arc::clone(&self.policy));
                for (key, value) in &self.state {
                    self.machine.restore(key, value).expect("its own state");
                }
                assert_eq!(self.machine.handle(Input::Control(self.control.clone()), self.now), []);
                self.feed(Input::Started { owner: "another".into() });
            }
        }
        self.compare();
    }

    fn signal(&mut self, model: &'static str, severity: Option<Severity>) {
        let next = match (self.last.get(model), severity) {
            (None, None) => return,
            (None, Some(severity)) => opened(model, severity),
            (Some(last), None) => samples::next(last, Change::Cleared, last.severity),
            (Some(last), Some(severity)) if last.change == Change::Cleared => {
                samples::reopened(last, severity)
            }
            (Some(last), Some(severity)) => samples::next(last, Change::Updated, severity),
        };
        self.last.insert(model, next.clone());
        let input = Input::Incident(Box::new(next.clone()));
        if self.machine.incident_view(&next.incident_id).is_none() {
            self.feed_and_compare(input, &[next]);
        } else {
            self.feed(input);
        }
    }

    /// What the machine says now is what its audit says.
    fn compare(&mut self) {
        for model in MODELS {
            let incident = self.last.get(model).cloned().unwrap_or_else(|| opened(model, Severity::Sev1));
            let live = self.machine.paging(&incident, self.now);
            let live = live.audited(&|name| self.policy.pseudonym(name));
            let told = rebuild(&self.audit, &incident, self.now).expect("it is all there");
            assert_eq!(told, live, "{model} at {}", self.now);
            self.said.insert((self.now, incident.incident_id.clone()), (incident, live));
        }
    }

    /// Later on, the audit still says what was so at any time before.
    fn compare_past(&self) {
        for ((then, _), (incident, said)) in &self.said {
            let told = rebuild(&self.audit, incident, *then).expect("it is all there");
            assert_eq!(told, *said, "{} at {then}", incident.title);
        }
        let text = serde_json::to_string(&self.audit).expect("plain data");
        for name in ["ana-l", "bo-m", "chief-1"] {
            assert!(!text.contains(name), "{name} is in the audit");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_audit_says_who_would_have_been_paged(
        first in any_bundle(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut world = World::new(first);
        ops.into_iter().for_each(|op| world.apply(op));
        world.compare_past();
    }
}

#[test]
fn what_the_records_do_not_say_is_said_to_be_missing() {
    let mut world = World::new(bundle(samples::SETTINGS));
    let fraud = opened("fraud", Severity::Sev2);
    world.feed(Input::Incident(Box::new(fraud.clone())));
    let cannot = |records: &[AuditRecord]| rebuild(records, &fraud, at(1)).map_err(|e| e.to_string());
    assert!(cannot(&world.audit).is_ok());
    assert!(cannot(&[]).unwrap_err().contains("no policy was loaded by then"));
    let stated = world.audit.iter().position(|r| r.action == "policy.stated").expect("it is stated");
    assert!(cannot(&world.audit[stated + 1..]).unwrap_err().contains("they begin after it was written down"));
    let long_ago = rebuild(&world.audit, &fraud, at(-1)).map_err(|e| e.to_string());
    assert!(long_ago.unwrap_err().contains("no policy was loaded"), "by then");
}

/// A bundle of many records is put together again, and is written down anew once a month.
#[test]
fn a_large_bundle_is_stated_in_parts_and_again_before_retention_takes_it() {
    let mut large = bundle(samples::SETTINGS);
    let page = large.policy["page"].clone();
    large.policy.extend((0..600).map(|n| (format!("policy-{n}-ü"), page.clone())));
    let key = escalate::SigningKey::new([1; 32]);
    let policy =
        Policy::clone(&policy(large)).with_checkpoints(escalate::Checkpoints { key, every_ms: 600_000 });
    let mut world = World::new(bundle(samples::SETTINGS));
    world.audit.clear();
    world.machine = Machine::new(0, Arc::new(policy));
    world.feed(Input::Started { owner: "first".into() });
    let stated = |world: &World| world.audit.iter().filter(|r| r.action == "policy.stated").count();
    let parts = stated(&world);
    assert!(parts > 2, "{parts}");
    let fraud = opened("fraud", Severity::Sev2);
    assert_eq!(rebuild(&world.audit, &fraud, world.now).expect("whole").policy, "page");

    let before = world.audit.len();
    world.now = at(31 * 86_400_000);
    world.feed(Input::Tick);
    assert_eq!(stated(&world), 2 * parts);
    world.feed(Input::Incident(Box::new(fraud.clone())));
    // The beginning is gone, and with it the load.
    let told = rebuild(&world.audit[before..], &fraud, world.now).map_err(|e| e.to_string());
    assert_eq!(told.expect("what is in use was stated again").policy, "page");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever passes the check: at any time somebody is behind the step that pages about any incident.
    #[test]
    fn somebody_is_reached_about_any_incident_at_any_time(
        bundle in any_bundle(),
        severity in prop::sample::select(Severity::ALL.to_vec()),
        model in 0..MODELS.len(),
        ms in -400_000_000_000i64..400_000_000_000,
    ) {
        let machine = Machine::new(0, policy(bundle));
        let now = at(0).plus_ms(ms);
        let paging = machine.paging(&opened(MODELS[model], severity), now);
        let next = paging.next.expect("a step pages at once");
        prop_assert_eq!(next.due, now);
        // A ticket may go to a role that nobody has; its incident says so.
        prop_assert!(!next.targets.is_empty() || paging.policy == "tickets", "{:?}", next);
    }
}
