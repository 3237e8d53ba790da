//! Every table has an end; reaching it is counted, audited, and hides nothing.

use escalate::{Answer, Input, Machine, StateError};
use wire::CommandId;
use wire::Severity::Sev2;
use wire::command::{Action, Principal, Role, TEXT_BYTES_MAX};
use wire::page::PageKind::Trigger;

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, at, command, next, opened, policy, resolve};

fn with(limits: &str) -> String {
    format!("{SETTINGS}\n[escalate]\n{limits}\n")
}

#[test]
fn one_incident_too_many_is_refused_and_paged_about() {
    let mut script = Script::new(&with("incidents_max = 3"));
    for i in 0..5 {
        script = script.push(0, &opened(&format!("m{i}"), Sev2));
    }
    let script = script
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"].repeat(3))
        // tocsin's own incident has room of its own.
        .wants(10..=10, Trigger, &["pager/ana", "pager/bo"])
        .run(1_000);
    assert_eq!(script.machine().counts().total.incidents_refused, 2);
    assert_eq!(script.audited("incident.refused"), 2);
    assert_eq!((script.own.len(), script.own[0].subject.name.as_str()), (1, "table/incidents"));
}

#[test]
fn the_timeline_and_long_notes_are_cut_and_counted() {
    let fraud = opened("fraud", Sev2);
    let mut script = Script::new(&with("timeline_max = 4")).push(0, &fraud).wants(
        0..=0,
        Trigger,
        &["pager/ana", "pager/bo"],
    );
    for i in 0..6 {
        let text = "é".repeat(TEXT_BYTES_MAX);
        script = script.ask(100, command(&format!("c{i}"), &fraud.incident_id, "ana", Action::Note { text }));
    }
    let script = script.run(1_000);
    let view = script.machine().incident_view(&fraud.incident_id).unwrap();
    assert_eq!((view.timeline.len(), view.timeline_dropped), (4, 3));
    assert!(view.timeline.iter().all(|r| r.why.as_ref().unwrap().len() == TEXT_BYTES_MAX && r.by == "ana"));
    assert_eq!(script.machine().counts().total.texts_cut, 6);
    assert!(script.responses.iter().all(|r| r.by != "ana"), "people are pseudonyms on the topic");
    let sequences: Vec<u32> = script.responses.iter().map(|r| r.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn ended_pages_are_dropped_oldest_first() {
    let settings =
        with("pages_max = 10").replace("delay_s = 120", "delay_s = 1").replace("delay_s = 60", "delay_s = 1");
    let mut script = Script::new(&settings).push(0, &opened("fraud", Sev2)).wants(
        0..=0,
        Trigger,
        &["pager/ana", "pager/bo"],
    );
    script = script.want(1_000..=1_000, Trigger, "pager/lead");
    script = script.wants(2_000..=2_000, Trigger, &["pager/ana", "pager/bo"]);
    for s in 3..=30 {
        script = script.want(s * 1000..=s * 1000, Trigger, "pager/lead");
    }
    let script = script.run(30_500);
    let view = script.machine().incidents().next().unwrap();
    assert_eq!((view.pages.len(), view.pages_dropped), (10, 23));
    assert_eq!(view.round, 28);
    // The alerts of those that were dropped stand open as well.
    let standing = script.machine().standing();
    let to: Vec<_> = standing.iter().map(|p| (p.kind, p.target.as_str())).collect();
    assert_eq!(to.len(), 3, "{to:?}");
    for target in ["ana", "bo", "lead"] {
        assert!(to.contains(&(Trigger, target)), "{target} in {to:?}");
    }
}

#[test]
fn ended_incidents_are_dropped_oldest_first() {
    let mut script = Script::new(&with("ended_max = 2"));
    for i in 0..4i64 {
        let incident = opened(&format!("m{i}"), Sev2);
        script = script.push(i, &next(&incident, wire::Change::Cleared, Sev2));
    }
    let script = script.run(1_000);
    let left: Vec<_> = script.machine().incidents().map(|v| v.incident.subject.name).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&"m2".into()) && left.contains(&"m3".into()));
}

#[test]
fn commands_are_answered() {
    let fraud = opened("fraud", Sev2);
    let mut viewer = command("looks", &fraud.incident_id, "vic", resolve());
    viewer.principal = Principal { name: "vic".into(), role: Role::Viewer };
    let nowhere = command("nowhere", &wire::IncidentId::new("x".repeat(5000)), "ana", resolve());
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1, viewer)
        .ask(2, nowhere)
        .ask(3, command("zero", &fraud.incident_id, "ana", acknowledge(Some(0))))
        .ask(3, command("ever", &fraud.incident_id, "ana", acknowledge(Some(u64::MAX))))
        .ask(
            3,
            command(
                "close",
                &fraud.incident_id,
                "ana",
                Action::Close { reason: "?".into(), not_actionable: false },
            ),
        )
        .ask(4, command("note", &fraud.incident_id, "ana", Action::Note { text: "seen".into() }))
        .run(1_000);
    let answer = |id: &str| script.machine().answer(&CommandId::new(id)).cloned();
    for (id, why) in [
        ("looks", "viewer may look"),
        ("nowhere", "no such incident"),
        ("zero", "hold_max_s"),
        ("ever", "hold_max_s"),
        ("close", "resolve it first"),
    ] {
        let Some(Answer::Refused { why: got }) = answer(id) else { panic!("{id} was not refused") };
        assert!(got.contains(why), "{id}: {got}");
    }
    assert_eq!(answer("note"), Some(Answer::Accepted));
    assert_eq!(answer("other"), None);
    assert_eq!(script.audited("command.refused"), 5);
    assert!(script.audit.iter().all(|r| serde_json::to_string(r).unwrap().len() < 2000));
}

#[test]
fn the_oldest_answers_go_first() {
    let fraud = opened("fraud", Sev2);
    let mut script = Script::new(&with("commands_max = 2")).push(0, &fraud).wants(
        0..=0,
        Trigger,
        &["pager/ana", "pager/bo"],
    );
    for i in 0..4 {
        let note = Action::Note { text: format!("note {i}") };
        script = script.ask(i, command(&format!("c{i}"), &fraud.incident_id, "ana", note));
    }
    let script = script.run(1_000);
    let known = (0..4).filter(|i| script.machine().answer(&CommandId::new(format!("c{i}"))).is_some());
    assert_eq!(known.collect::<Vec<_>>(), [2, 3]);
    assert_eq!(script.state.keys().filter(|k| k.starts_with(b"answer/")).count(), 2);
}

#[test]
fn state_of_a_newer_version_or_of_others_is_refused() {
    let mut machine = Machine::new(0, policy(SETTINGS));
    let newer = machine.restore(b"head", b"\x03{}").unwrap_err();
    assert!(matches!(newer, StateError::TooNew { found: 3, supported: 2, .. }));
    assert!(newer.to_string().contains("upgrade"), "{newer}");
    for (key, value) in [(&b"incident/x"[..], &b"\x01{"[..]), (b"bundle/x", b"\x01[]"), (b"head", b"\x01 ")] {
        assert!(matches!(machine.restore(key, value), Err(StateError::Malformed { .. })));
    }
    for key in [&b"playbook/x"[..], b"", b"\xff", b"incident"] {
        assert!(matches!(machine.restore(key, b"\x01{}"), Err(StateError::UnknownKey { .. })));
    }
    machine.restore(b"incident/x", b"").expect("a tombstone of what is not there");
}

#[test]
fn numbers_that_json_does_not_know_do_not_spoil_the_state() {
    let mut fraud = opened("fraud", Sev2);
    fraud.evidence.value = f64::NAN;
    fraud.evidence.effect.upper = f64::INFINITY;
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .crash(100, 100)
        .run(1_000);
    assert_eq!(script.machine().incidents().count(), 1);
}

#[test]
fn early_ticks_and_late_outcomes_do_nothing() {
    let mut machine = Machine::new(0, policy(SETTINGS));
    assert!(!machine.handle(Input::Started { owner: "p".into() }, at(0)).is_empty());
    let fraud = opened("fraud", Sev2);
    assert!(!machine.handle(Input::Incident(Box::new(fraud.clone())), at(0)).is_empty());
    assert!(machine.handle(Input::Tick, at(1)).is_empty());
    let page = machine.incidents().next().unwrap().pages[0].clone();
    let outcome = |attempt| Input::Outcome {
        notification_id: page.notification_id.clone(),
        incident_id: fraud.incident_id.clone(),
        attempt,
        outcome: wire::outbox::Outcome::Delivered { reference: None },
    };
    assert!(machine.handle(outcome(2), at(2)).is_empty(), "an attempt that was never begun");
    assert!(!machine.handle(outcome(1), at(3)).is_empty());
    assert!(machine.handle(outcome(1), at(4)).is_empty(), "the same again");
    assert_eq!(machine.counts().total.outcomes_late, 2);
}
