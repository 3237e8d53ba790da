//! Incidents that people, imports and dependencies raise are first-class: they page, are taken, and end.

use wire::Severity::{Sev1, Sev2};
use wire::command::{Action, Raised};
use wire::page::PageKind::{Acknowledge, Resolve, Trigger};
use wire::{Change, CommandId, Family, Incident, IncidentId, Severity, Source, Subject, SubjectKind};

use escalate::{Answer, Stage};

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, at, command, opened, resolve};

fn raised(source: Source, severity: Severity) -> (IncidentId, Action) {
    let subject =
        Subject { kind: SubjectKind::Dependency, name: "feature store".into(), version: None, segment: None };
    let id = Incident::id_of("default", source, &subject, Family::Other, at(0));
    let raised = Raised {
        source,
        severity,
        family: Family::Other,
        subject,
        title: "lookups\nfail".into(),
        owner: Some("risk".into()),
        opened_at: at(0),
        drill: false,
    };
    (id, Action::Raise(Box::new(raised)))
}

#[test]
fn what_a_person_raises_pages_and_ends_when_they_say_so() {
    let (id, raise) = raised(Source::Human, Sev1);
    let script = Script::new(SETTINGS)
        .ask(0, command("c1", &id, "ana", raise))
        .wants(0..=0, Trigger, &["pager/ana", "phone/chief"])
        .ask(5_000, command("c2", &id, "bo", acknowledge(None)))
        .wants(5_000..=5_000, Acknowledge, &["pager/ana", "phone/chief"])
        .ask(9_000, command("c3", &id, "bo", resolve()))
        .wants(9_000..=9_000, Resolve, &["pager/ana", "phone/chief"])
        .run(60_000);
    let said: Vec<_> = script.own.iter().map(|i| (i.change, i.sequence, i.title.as_str())).collect();
    assert_eq!(
        said,
        [(Change::Opened, 1, "lookups\u{fffd}fail"), (Change::Cleared, 2, "lookups\u{fffd}fail")]
    );
    let view = script.machine().incident_view(&id).expect("known");
    assert!(view.stage == Stage::Resolved && view.ended_at.is_some());
    assert_eq!(view.timeline[0].by, "ana", "who initiated it");
    let text = &script.sent[0].page.text.as_ref().expect("in words").body;
    assert!(
        text.starts_with("What: lookups\u{fffd}fail\nWhere: dependency feature store, owned by risk"),
        "{text}"
    );
    assert_eq!((script.audited("command.raise"), script.audited("incident.cleared")), (1, 1));
}

#[test]
fn what_a_system_raises_ends_when_it_says_so() {
    let (id, raise) = raised(Source::Dependency, Sev2);
    let over = Action::Clear { reason: Some("back".into()) };
    let script = Script::new(SETTINGS)
        .ask(0, command("c1", &id, "feature-store", raise))
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(5_000, command("c2", &id, "feature-store", over.clone()))
        .wants(5_010..=5_010, Resolve, &["pager/ana", "pager/bo"])
        .ask(9_000, command("c3", &id, "feature-store", over))
        .run(60_000);
    let answer = script.machine().answer(&CommandId::new("c3"));
    assert!(matches!(answer, Some(Answer::Refused { why }) if why.contains("cleared already")), "{answer:?}");
}

#[test]
fn what_is_over_before_it_came_back_through_the_topic_ends() {
    let over = Action::Clear { reason: Some("back".into()) };
    let (id, raise) = raised(Source::Import, Sev2);
    let script = Script::new(SETTINGS)
        .ask(0, command("c1", &id, "alertmanager", raise.clone()))
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(5, command("c2", &id, "alertmanager", over.clone()))
        // After the answers to what was on its way.
        .wants(50..=50, Resolve, &["pager/ana", "pager/bo"])
        .run(60_000);
    let said: Vec<_> = script.own.iter().map(|i| (i.change, i.sequence)).collect();
    assert_eq!(said, [(Change::Opened, 1), (Change::Cleared, 2)]);
    assert!(script.machine().incident_view(&id).expect("known").ended_at.is_some());
    // A process that ended before it read any of that knows it.
    let script = Script::new(SETTINGS)
        .ask(0, command("c1", &id, "alertmanager", raise))
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .crash(2, 1_000)
        .ask(1_500, command("c2", &id, "alertmanager", over))
        .run(1_505);
    assert_eq!(script.machine().answer(&CommandId::new("c2")), Some(&Answer::Accepted));
}

#[test]
fn nobody_speaks_for_a_detector() {
    let fraud = opened("fraud", Sev2);
    let (id, raise) = raised(Source::Detector, Sev1);
    let over = Action::Clear { reason: None };
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1_000, command("c1", &id, "ana", raise))
        .ask(2_000, command("c2", &fraud.incident_id, "ana", over))
        .run(10_000);
    for (id, part) in [("c1", "in the name of detector"), ("c2", "its signal is detector's")] {
        let answer = script.machine().answer(&CommandId::new(id));
        assert!(matches!(answer, Some(Answer::Refused { why }) if why.contains(part)), "{id}: {answer:?}");
    }
}
