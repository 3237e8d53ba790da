//! An incident that was not actionable: written down, in the chain, and handed on once to the judge.

use wire::Severity::Sev2;
use wire::command::Action;
use wire::incident::Contributor;
use wire::page::PageKind::{self, Acknowledge, Resolve, Trigger};
use wire::response::ResponseChange;
use wire::{Change, Family, Incident, Source};

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, command, next, opened, reopened};

const BOTH: [&str; 2] = ["pager/ana", "pager/bo"];

/// As the judge tells it: with the stream that led it.
fn led(model: &str) -> Incident {
    let mut incident = opened(model, Sev2);
    incident.evidence.contributors = vec![Contributor {
        name: "amount".into(),
        detail: String::new(),
        value: 0.5,
        reference: 0.1,
        evidence: 2.0,
        segment: None,
    }];
    incident
}

/// What came of asking for `action` on this incident.
fn asked(incident: &Incident, action: Action, page: Option<PageKind>) -> Script {
    let ask = command("c1", &incident.incident_id, "ana", action);
    let script = Script::new(SETTINGS).push(10, incident).wants(10..=10, Trigger, &BOTH).ask(100, ask);
    match page {
        Some(kind) => script.wants(100..=100, kind, &BOTH).run(200),
        None => script.run(200),
    }
}

fn resolve(not_actionable: bool) -> Action {
    Action::Resolve { reason: None, not_actionable }
}

fn close(not_actionable: bool) -> Action {
    Action::Close { reason: "a load test".into(), not_actionable }
}

/// The last `after` that a command of this name left in the chain.
fn after<'a>(script: &'a Script, action: &str) -> &'a str {
    script.audit.iter().rfind(|r| r.action == action).and_then(|r| r.after.as_deref()).expect("it is audited")
}

#[test]
fn whoever_resolves_or_closes_it_says_so_and_the_judge_hears_which_stream_led() {
    let fraud = led("fraud");
    let id = &fraud.incident_id;
    let script = Script::new(SETTINGS)
        .push(10, &fraud)
        .wants(10..=10, Trigger, &BOTH)
        .ask(100, command("c1", id, "ana", resolve(true)))
        .wants(100..=100, Resolve, &BOTH)
        .ask(110, command("c1", id, "ana", resolve(true)))
        .run(200);
    let told = script.responses.last().expect("it is resolved");
    assert_eq!((told.change, told.not_actionable), (ResponseChange::Resolved, true));
    assert_eq!(after(&script, "command.resolve"), "resolved, not actionable");
    let [feedback] = &script.feedback[..] else { panic!("{:?}", script.feedback) };
    assert_eq!((&feedback.incident_id, feedback.generation), (id, 1));
    assert_eq!((feedback.model.as_str(), &feedback.version), ("fraud", &fraud.subject.version));
    assert_eq!((feedback.family, feedback.opened_at), (fraud.family, fraud.opened_at));
    assert_eq!(feedback.stream, fraud.evidence.contributors[0].name);

    let script = Script::new(SETTINGS)
        .push(10, &fraud)
        .wants(10..=10, Trigger, &BOTH)
        .push(100, &next(&fraud, Change::Cleared, Sev2))
        .wants(100..=100, Resolve, &BOTH)
        .ask(150, command("c1", id, "ana", close(true)))
        .run(200);
    assert_eq!(after(&script, "command.close"), "closed, not actionable");
    assert_eq!(script.feedback.len(), 1, "for what resolved by itself there is closing");
}

#[test]
fn every_generation_is_of_its_own() {
    let fraud = led("fraud");
    let back = reopened(&next(&fraud, Change::Cleared, Sev2), Sev2);
    let id = &fraud.incident_id;
    let script = Script::new(SETTINGS)
        .push(10, &fraud)
        .wants(10..=10, Trigger, &BOTH)
        .ask(100, command("c1", id, "ana", resolve(true)))
        .wants(100..=100, Resolve, &BOTH)
        .push(200, &next(&fraud, Change::Cleared, Sev2))
        .push(300, &back)
        .wants(300..=300, Trigger, &BOTH)
        .ask(400, command("c2", id, "ana", resolve(true)))
        .wants(400..=400, Resolve, &BOTH)
        .run(500);
    assert_eq!(script.feedback.iter().map(|f| f.generation).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn nothing_is_handed_on_where_nobody_said_so_or_no_stream_led() {
    let fraud = led("fraud");
    let nameless = opened("fraud", Sev2);
    let manual = Incident { source: Source::Human, ..fraud.clone() };
    for (what, incident, action, page, want) in [
        ("said", &fraud, resolve(true), Some(Resolve), 1),
        ("not said", &fraud, resolve(false), Some(Resolve), 0),
        ("refused", &fraud, close(true), None, 0),
        ("taken", &fraud, acknowledge(None), Some(Acknowledge), 0),
        ("no stream", &nameless, resolve(true), Some(Resolve), 0),
        ("opened by a person", &manual, resolve(true), Some(Resolve), 0),
    ] {
        assert_eq!(asked(incident, action, page).feedback.len(), want, "{what}");
    }
    let mut traffic = nameless.clone();
    (traffic.family, traffic.subject.version) = (Family::Traffic, None);
    let script = asked(&traffic, resolve(true), Some(Resolve));
    assert_eq!((script.feedback[0].stream.as_str(), &script.feedback[0].version), ("calls", &None));
}
