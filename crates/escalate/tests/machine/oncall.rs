//! Steps that call whoever is on call: who that is, and what happens when it is nobody.

use wire::Severity::Sev2;
use wire::command::Action;
use wire::page::PageKind::{Acknowledge, Trigger};

use escalate::Answer;

use crate::harness::Script;
use crate::samples::{acknowledge, command, opened};

/// Ada until 10:01, Bo after her; nobody from 10:02 to 10:04. Scripts start at 10:00.
const SETTINGS: &str = r#"
    namespace = "default"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [
      { targets = ["schedule:risk"], delay_s = 90 },
      { targets = ["pager/lead"], delay_s = 60 },
    ]
    repeat = 5
    acknowledge_by = ["schedule:risk", "person:boss"]
    fallback = "phone/desk"
    [people]
    person.ada.contact.page = ["pager/ada"]
    person.bo.contact.page = ["pager/bo"]
    person.boss.contact.page = ["phone/boss"]
    [schedules.schedule.risk]
    may_be_empty = true
    layer = [{ name = "turns", people = ["ada", "bo"], turn = "1 day", handover = "2026-03-02 10:01" }]
    override = [{ from = "2026-03-02 10:02", until = "2026-03-02 10:04", people = [] }]
"#;

/// Turn 0 begins at 10:01, so before it is Bo's.
const BEFORE: &str = "pager/bo";
const AFTER: &str = "pager/ada";

#[test]
fn a_step_calls_whoever_is_on_call_when_it_comes_to_that() {
    let script = Script::new(SETTINGS)
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, BEFORE)
        .want(90_000..=90_000, Trigger, "pager/lead")
        // 10:02:30: nobody is on call, so the next step, at once.
        .want(150_000..=150_000, Trigger, "pager/lead")
        // Nobody again at 10:03:30; at 10:04:30 it is Ada's.
        .want(210_000..=210_000, Trigger, "pager/lead")
        .want(270_000..=270_000, Trigger, AFTER)
        .run(300_000);
    assert_eq!(script.audited("step.empty"), 2, "it is said each time");
    assert!(script.own.is_empty(), "it may be empty");
    let because = script.machine().why(&opened("fraud", Sev2).incident_id, None).expect("known").join("\n");
    assert!(
        because.contains("step 1: schedule:risk (bo on call at 2026-03-02T10:00:00.000Z, by layer turns)"),
        "{because}"
    );
    let because =
        script.machine().why(&opened("fraud", Sev2).incident_id, Some("bo")).expect("known").join("\n");
    assert!(
        because.contains("bo is called by step 1, as schedule:risk (bo on call at 2026-03-02T10:00:00.000Z, by layer turns)"),
        "{because}"
    );
}

#[test]
fn an_empty_schedule_that_should_not_be_is_an_incident() {
    // As a bundle that was checked before it was known: a schedule that is empty where it must not be is refused.
    let settings = SETTINGS.replace("may_be_empty = true", "");
    let refused = escalate::Policy::new(crate::samples::bundle(&settings), &crate::samples::receivers());
    let said = refused.expect_err("nobody is on call").to_string();
    assert!(
        said.contains("nobody is on call from Mon 2026-03-02 10:02 UTC until Mon 2026-03-02 10:04 UTC"),
        "{said}"
    );
}

#[test]
fn whoever_is_on_call_takes_it_and_nobody_else() {
    let fraud = opened("fraud", Sev2);
    let take = |id: &str, who: &str| command(id, &fraud.incident_id, who, acknowledge(None));
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .want(0..=0, Trigger, BEFORE)
        // Ada is not on call yet; a minute later she is.
        .ask(10_000, take("c1", "ada"))
        .ask(65_000, take("c2", "bo"))
        .ask(70_000, take("c3", "ada"))
        .want(70_000..=70_000, Acknowledge, BEFORE)
        .run(80_000);
    let answer = |id: &str| script.machine().answer(&wire::CommandId::new(id)).cloned();
    for id in ["c1", "c2"] {
        let Some(Answer::Noted { why }) = answer(id) else { panic!("{:?}", answer(id)) };
        assert_eq!(why, "you have seen it, and pages go on: it takes schedule:risk or person:boss");
    }
}

#[test]
fn an_incident_is_handed_to_whoever_is_on_call() {
    let fraud = opened("fraud", Sev2);
    let hand = |id: &str| {
        let action = Action::Assign { to: "schedule:risk".into(), note: None };
        command(id, &fraud.incident_id, "boss", action)
    };
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .want(0..=0, Trigger, BEFORE)
        .ask(65_000, hand("c1"))
        .want(65_000..=65_000, Trigger, AFTER)
        .ask(122_000, hand("c2"))
        .want(155_000..=155_000, Trigger, "pager/lead")
        .run(160_000);
    let refused = script.machine().answer(&wire::CommandId::new("c2")).cloned();
    assert!(format!("{refused:?}").contains("nobody who can be paged"), "{refused:?}");
}
