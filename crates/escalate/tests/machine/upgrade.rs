//! State that an earlier version wrote is read by this one. What stands in `fixtures` is never rewritten: a later schema, or
//! a later field, adds a file. (Each was written by this test, with `UPDATE_GOLDEN=1`, when there was none.)

use std::collections::BTreeMap;
use std::path::Path;

use escalate::{Effect, Input, Loaded, Machine, Stage};
use wire::Severity::{Sev2, Sev3};
use wire::command::Action;
use wire::outbox::{OutboxState, Outcome};
use wire::page::PageKind::{Acknowledge, Trigger};

use crate::harness::Script;
use crate::muting;
use crate::responding;
use crate::samples::{SETTINGS, acknowledge, at, bundle, command, next, opened, policy, reopened};
use crate::telling;
use crate::upstream;
use wire::{Digest, Incident};

/// An acknowledged incident, one whose page is unknown and whose update waits behind it, a ticket, an ended one,
/// and tocsin's own about the board.
fn written() -> BTreeMap<String, String> {
    let (fraud, rank) = (opened("fraud", Sev2), opened("rank", Sev2));
    let script = Script::new(SETTINGS)
        .answers("board", [Some(Outcome::Config { reason: "404".into() })])
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(100, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(100..=100, Acknowledge, &["pager/ana", "pager/bo"])
        .push(200, &opened("triage", Sev3))
        .want(200..=200, Trigger, "board/ml")
        .wants(260..=260, Trigger, &["pager/ana", "pager/bo"])
        .push(300, &next(&opened("gone", Sev2), wire::Change::Cleared, Sev2))
        .run(900)
        .answers("pager", [None, None])
        .push(1_000, &rank)
        .wants(1_000..=1_000, Trigger, &["pager/ana", "pager/bo"])
        .push(1_010, &next(&rank, wire::Change::Updated, Sev3))
        .run(1_020);
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("text");
    script.state.iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// A machine to which things happen, and what it leaves of them.
struct Written {
    machine: Machine,
    state: BTreeMap<String, String>,
    /// What its receivers answer.
    answer: Option<Outcome>,
}

impl Written {
    fn handle(&mut self, ms: i64, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.machine.handle(input, at(ms)) {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
                match effect {
                    Effect::State { key, value: Some(value) } => {
                        self.state.insert(text(key), text(value));
                    }
                    Effect::State { key, value: None } => {
                        self.state.remove(&text(key));
                    }
                    Effect::Incident(incident) => inputs.push(Input::Incident(incident)),
                    Effect::Send { page, attempt, .. } => inputs.extend(self.answer.clone().map(|outcome| {
                        let incident_id = page.incident.incident_id.clone();
                        Input::Outcome {
                            notification_id: page.notification_id,
                            incident_id,
                            attempt,
                            outcome,
                        }
                    })),
                    Effect::Response(_)
                    | Effect::Outbox(_)
                    | Effect::Audit(_)
                    | Effect::Control { .. }
                    | Effect::Checkpoint(_)
                    | Effect::Feedback(_) => (),
                }
            }
        }
    }

    fn open(&mut self, ms: i64, incident: &Incident) {
        self.handle(ms, Input::Incident(Box::new(incident.clone())));
    }

    fn ask(&mut self, ms: i64, incident: &Incident, who: &str, action: Action) {
        let id = format!("{ms}-{who}");
        self.handle(ms, Input::Command(command(&id, &incident.incident_id, who, action)));
    }

    fn again(&mut self) {
        let mut machine = Machine::new(0, policy(responding::SETTINGS));
        for (key, value) in &self.state {
            machine.restore(key.as_bytes(), value.as_bytes()).expect("its own state");
        }
        self.machine = machine;
    }
}

/// One that is put off, one that was handed on, one that half of a quorum took, one that must be answered, one merged into
/// another, one whose page was refused and is in its smallest form, one of a second generation under another bundle, one
/// that a lost process may open again, a slot that nobody has, a worker that stood still.
fn responding() -> BTreeMap<String, String> {
    let machine = Machine::new(0, policy(responding::SETTINGS));
    let delivered = Some(Outcome::Delivered { reference: Some("thread-1".into()) });
    let mut w = Written { machine, state: BTreeMap::new(), answer: delivered.clone() };
    w.handle(0, Input::Started { owner: "older".into() });
    let [snoozed, handed, answered, merged, into, renewed, held] =
        ["snoozed", "handed", "answered", "merged", "into", "renewed", "held"].map(|name| opened(name, Sev2));
    let half = opened("half", Sev3);
    for incident in [&snoozed, &handed, &answered, &merged, &into, &renewed, &held, &half] {
        w.open(100, incident);
    }
    w.ask(200, &snoozed, "ada", Action::Snooze { for_s: 3_000, reason: Some("a load test".into()) });
    w.ask(220, &answered, "ada", acknowledge(None));
    w.ask(230, &half, "ada", acknowledge(None));
    let into_id = into.incident_id.clone();
    w.ask(240, &merged, "ada", Action::Merge { into: into_id, reason: None });
    w.open(250, &next(&renewed, wire::Change::Cleared, Sev2));
    let other =
        format!("{}\n    [people.person.new]\n    contact.page = [\"pager/new\"]\n", responding::SETTINGS);
    let loaded = Loaded { config: Digest::of(&[b"another"]), by: "SIGHUP".into(), bundle: bundle(&other) };
    w.handle(300, Input::Loaded(Box::new(loaded)));
    w.open(310, &reopened(&next(&renewed, wire::Change::Cleared, Sev2), Sev2));
    w.answer = Some(Outcome::Reject { reason: "413".into() });
    w.open(400, &opened("refused", Sev2));
    w.answer = None;
    w.open(500, &opened("haunted", Sev2));
    w.again();
    w.handle(600, Input::Started { owner: "second".into() });
    // The step of `into` that nobody has is due at a minute; the worker stands still beyond it.
    w.answer = delivered;
    w.handle(120_000, Input::Tick);
    w.ask(120_100, &held, "grace", acknowledge(None));
    w.ask(120_200, &handed, "ada", Action::Assign { to: "person:grace".into(), note: None });
    w.state
}

/// The state in a file, written by `write` where there is none.
fn kept(name: &str, write: impl Fn() -> BTreeMap<String, String>) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/fixtures").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a file of ours");
        std::fs::write(&path, serde_json::to_string_pretty(&write()).expect("a file of ours"))
            .expect("a file of ours");
    }
    serde_json::from_slice(&std::fs::read(&path).expect("a file of ours")).expect("a file of ours")
}

#[test]
fn state_of_a_team_that_responds_is_read() {
    let state = kept("responding.v1.json", responding);
    let mut machine = Machine::new(0, policy(responding::SETTINGS));
    for (key, value) in &state {
        machine.restore(key.as_bytes(), value.as_bytes()).expect("state of an earlier version");
    }
    let views: BTreeMap<String, _> =
        machine.incidents().map(|view| (view.incident.subject.name.clone(), view)).collect();
    let stages: Vec<_> = views.iter().map(|(name, view)| (name.as_str(), view.stage)).collect();
    let want = [
        ("answered", Stage::Open),
        ("half", Stage::Open),
        ("handed", Stage::Open),
        ("haunted", Stage::Open),
        ("held", Stage::Acknowledged),
        ("into", Stage::Open),
        ("merged", Stage::Resolved),
        ("receiver/pager", Stage::Resolved),
        ("receiver/phone", Stage::Resolved),
        ("refused", Stage::Open),
        ("renewed", Stage::Open),
        ("slot/role:nobody", Stage::Open),
        ("snoozed", Stage::Open),
        ("worker/timers", Stage::Open),
    ];
    assert_eq!(stages, want);
    assert_eq!(views["renewed"].incident.generation, 2);
    assert!(views["snoozed"].snoozed_until.is_some() && views["handed"].assigned_to.is_some());
    assert_eq!(views["half"].taken_by.len(), 1);
    assert_eq!(views["held"].respond_by, Some(at(210_100)));
    assert!(views["refused"].pages.iter().any(|page| matches!(page.state, OutboxState::Failed { .. })));
    assert!(!machine.handle(Input::Started { owner: "newer".into() }, at(121_000)).is_empty());
}

/// One that a silence mutes, one for which it had no place, one that comes from something upstream, and that; with what the
/// control topic has of them, by its place there.
fn muted() -> BTreeMap<String, String> {
    let (up, child) = (upstream::outage(), upstream::built_on_it("fraud"));
    let [one, other] = ["rank-1", "rank-2"].map(|name| opened(name, Sev2));
    let script = Script::new(&upstream::upstream())
        .silence(0, muting::make("s", muting::wanted(muting::of("rank*"), 500, 1, &[])))
        .push(100, &up)
        .want(100..=100, Trigger, "pager/ana")
        .ask(200, command("c1", &up.incident_id, "ana", acknowledge(Some(3_000))))
        .want(200..=200, Acknowledge, "pager/ana")
        .push(300, &one)
        .push(400, &other)
        .want(400..=450, Trigger, "pager/ana")
        .push(500, &child)
        .run(1_000);
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("text");
    let state = script.state.iter().map(|(key, value)| (text(key), text(value)));
    let told = (0..).zip(&script.control);
    let told =
        told.map(|(i, told)| (format!("{CONTROL}{i:03}"), serde_json::to_string(told).expect("plain data")));
    state.chain(told).collect()
}

const CONTROL: &str = "control/";

#[test]
fn state_of_what_is_muted_is_read() {
    let mut machine = Machine::new(0, policy(&upstream::upstream()));
    let mut told = Vec::new();
    for (key, value) in &kept("muted.v1.json", muted) {
        if key.starts_with(CONTROL) {
            told.push(serde_json::from_str(value).expect("a record of an earlier version"));
        } else {
            machine.restore(key.as_bytes(), value.as_bytes()).expect("state of an earlier version");
        }
    }
    assert_eq!(machine.handle(Input::Control(told), at(100_000)), []);
    drop(machine.handle(Input::Started { owner: "newer".into() }, at(100_000)));
    let muted: BTreeMap<String, _> =
        machine.incidents().map(|view| (view.incident.subject.name, (view.stage, view.muted_by))).collect();
    let by = |text: &str| Some(text.to_owned());
    let up = format!("incident {} upstream", upstream::outage().incident_id);
    let want = [
        ("features", (Stage::Acknowledged, None)),
        ("fraud", (Stage::Open, Some(up))),
        ("rank-1", (Stage::Open, by("silence s"))),
        ("rank-2", (Stage::Open, None)),
    ];
    assert_eq!(muted, want.map(|(name, stands)| (name.to_owned(), stands)).into());
}

#[test]
fn state_of_the_first_version_is_read() {
    let state = kept("state.v1.json", written);
    let mut machine = Machine::new(0, policy(SETTINGS));
    for (key, value) in &state {
        machine.restore(key.as_bytes(), value.as_bytes()).expect("state of an earlier version");
    }
    let stages: Vec<_> = machine
        .incidents()
        .map(|v| (v.incident.subject.name, v.stage.name(), v.signal.name(), v.pages.len()))
        .collect();
    for want in [
        ("fraud", "acknowledged", "open", 4),
        ("gone", "resolved", "cleared", 0),
        ("rank", "open", "open", 4),
        ("receiver/board", "open", "open", 2),
        ("triage", "open", "open", 1),
    ] {
        let found = stages
            .iter()
            .any(|(name, stage, signal, pages)| (name.as_str(), *stage, *signal, *pages) == want);
        assert!(found, "{want:?} in {stages:?}");
    }
    assert_eq!(machine.counts().in_flight.get("pager"), Some(&2));
    assert!(!machine.handle(Input::Started { owner: "newer".into() }, at(2_000)).is_empty());
    assert_eq!(machine.deadline(), Some(at(22_000)), "leases are waited out in full");
}

/// One that was paged, one that gathers others, two that are spoken for, what waits for the morning; from schema 2 on.
fn stormy() -> BTreeMap<String, String> {
    let machine = Machine::new(0, policy(telling::SETTINGS));
    let answer = Some(Outcome::Delivered { reference: None });
    let mut w = Written { machine, state: BTreeMap::new(), answer };
    w.handle(0, Input::Started { owner: "older".into() });
    for n in 0..4 {
        w.open(n * 1_000, &opened(&format!("model-{n}"), Sev2));
    }
    w.open(5_000, &opened("ticket", Sev3));
    w.state
}

#[test]
fn state_of_a_storm_is_read_and_what_was_held_leaves_at_its_time() {
    let mut machine = Machine::new(0, policy(telling::SETTINGS));
    for (key, value) in &kept("stormy.v2.json", stormy) {
        machine.restore(key.as_bytes(), value.as_bytes()).expect("state of schema 2");
    }
    drop(machine.handle(Input::Started { owner: "newer".into() }, at(10_000)));
    assert_eq!(machine.deadline(), Some(at(60_000)));
    let sent = |effects: Vec<Effect>| {
        let page = |effect| if let Effect::Send { page, .. } = effect { Some(page) } else { None };
        effects.into_iter().filter_map(page).collect::<Vec<_>>()
    };
    let at_a_minute = sent(machine.handle(Input::Tick, at(60_000)));
    let [page] = at_a_minute.as_slice() else { panic!("{at_a_minute:?}") };
    assert_eq!((page.target.as_str(), page.folded.as_ref().map(|f| f.others)), ("ada", Some(2)));
    // The engineers' channel five minutes after the first, of all four, and of the ticket that would wait for the morning.
    let later = sent(machine.handle(Input::Tick, at(300_000)));
    let told = later.iter().find(|page| page.told.is_some()).expect("they are told");
    assert_eq!((told.target.as_str(), told.folded.as_ref().map(|f| f.others)), ("#ml", Some(4)));
}
