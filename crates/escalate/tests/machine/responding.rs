//! Whose word stops the pages, what is expected of them then, and who is handed what.

use wire::Change::{Cleared, Updated};
use wire::Severity::{Sev1, Sev2, Sev3};
use wire::command::Action;
use wire::page::PageKind::{Acknowledge, Resolve, Trigger, Update};
use wire::response::ResponseChange;

use escalate::{Answer, Stage};

use crate::harness::Script;
use crate::samples::{acknowledge, at, command, mitigate, next, opened};

/// Three people in two zones, a team with a channel, a role that nobody has.
pub(crate) const SETTINGS: &str = r#"
    namespace = "default"
    [escalate]
    fold_s = 0

    [[route]]
    severity = ["sev3", "sev4"]
    policy = "ticket"
    [[route]]
    owner = ["both"]
    policy = "both"
    [[route]]
    policy = "page"

    [policy.page]
    steps = [
      { targets = ["person:ada"], delay_s = 60 },
      { targets = ["role:nobody"], delay_s = 600 },
      { targets = ["pager/night"], delay_s = 600, when = { hours = "22:00-06:00", zone = "Europe/Berlin" } },
      { targets = ["team:risk"], delay_s = 120 },
    ]
    acknowledge_by = ["team:risk"]
    respond_within_s = 90
    acknowledge_expires_s = 600
    fallback = "phone/desk"

    [policy.both]
    steps = [{ targets = ["team:risk"], delay_s = 60 }]
    acknowledge_by = ["person:ada", "role:lead"]
    acknowledge_each = true

    [policy.ticket]
    steps = [{ targets = ["team:risk"], by = "chat", delay_s = 3600 }]
    until_owned = false
    acknowledge_quorum = 2

    [people]
    zone = "Europe/Berlin"
    [people.person.ada]
    name = "Ada L."
    zone = "Asia/Kolkata"
    contact.page = ["pager/ada", "phone/+1"]
    contact.chat = ["board/ada"]
    accounts = ["slack:U1"]
    [people.person.grace]
    audience = "scientist"
    contact.page = ["pager/grace"]
    [people.person.boss]
    audience = "business"
    contact.page = ["phone/boss"]
    [people.team.risk]
    people = ["ada", "grace"]
    contact.page = ["pager/#risk"]
    contact.chat = ["board/#risk"]
    [people.role.lead]
    people = ["grace", "boss"]
    [people.role.nobody]
    people = []
"#;

const ADA: [&str; 2] = ["pager/ada", "phone/+1"];
const RISK: [&str; 4] = ["pager/ada", "phone/+1", "pager/grace", "pager/#risk"];

#[test]
fn people_are_paged_by_their_contacts_and_in_their_words() {
    let script = Script::new(SETTINGS)
        .push(0, &opened("fraud", Sev2))
        .wants(0..=0, Trigger, &ADA)
        // Nobody has the role, and it is not night: the step after them, at once. The incident about the role too.
        .wants(60_000..=60_000, Trigger, &RISK)
        .wants(60_010..=60_010, Trigger, &ADA)
        .run(100_000);
    let to = |to: &str| &script.sent.iter().find(|s| s.to() == to).expect("it was sent").page;
    assert_eq!(to("pager/ada").person.as_deref(), Some("ada"));
    assert_eq!(to("pager/#risk").person, None);
    let said = |of: &str| to(of).text.as_ref().expect("in words").body.clone();
    // 10:00 in UTC.
    assert!(said("phone/+1").contains("Since: Mon 2026-03-02 15:30 IST"), "{}", said("phone/+1"));
    assert!(said("pager/#risk").contains("Since: Mon 2026-03-02 11:00 CET"), "{}", said("pager/#risk"));
    assert!(said("pager/grace").contains("Family: latency"), "{}", said("pager/grace"));
    assert_eq!(script.audited("step.empty"), 1);
    assert_eq!(script.audited("step.skipped"), 1);
    assert!(script.own[0].title.starts_with("nobody is behind role:nobody"), "{}", script.own[0].title);
}

#[test]
fn who_looks_after_it_by_day_is_not_who_does_by_night() {
    // 11 hours later it is 22:00 in Berlin.
    let eleven = 11 * 3_600_000;
    Script::new(SETTINGS)
        .push(eleven, &opened("fraud", Sev2))
        .wants(eleven..=eleven, Trigger, &ADA)
        .want(eleven + 60_000..=eleven + 60_000, Trigger, "pager/night")
        .wants(eleven + 60_010..=eleven + 60_010, Trigger, &ADA)
        .run(eleven + 100_000);
}

#[test]
fn an_outsider_who_acknowledges_has_seen_it_and_stops_nothing() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &ADA)
        .ask(5_000, command("c1", &fraud.incident_id, "boss", acknowledge(None)))
        .wants(60_000..=60_000, Trigger, &RISK)
        .wants(60_010..=60_010, Trigger, &ADA)
        .run(90_000);
    let answer = script.machine().answer(&wire::CommandId::new("c1")).cloned();
    let Some(Answer::Noted { why }) = answer else { panic!("{answer:?}") };
    assert_eq!(why, "you have seen it, and pages go on: it takes team:risk");
    let seen = script.responses.iter().filter(|r| r.change == ResponseChange::Seen).count();
    assert_eq!((seen, script.audited("command.acknowledge")), (1, 1));
}

#[test]
fn an_outsider_cannot_stop_pages_by_saying_it_otherwise() {
    let fraud = opened("fraud", Sev2);
    let says = |id: &str, who: &str, action| command(id, &fraud.incident_id, who, action);
    let snooze = Action::Snooze { for_s: 3_600, reason: None };
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &ADA)
        .ask(5_000, says("c1", "boss", mitigate()))
        .ask(6_000, says("c2", "boss", snooze.clone()))
        .wants(60_000..=60_000, Trigger, &RISK)
        .wants(60_010..=60_010, Trigger, &ADA)
        .ask(61_000, says("c3", "grace", snooze))
        .run(110_000);
    let view = script.machine().incident_view(&fraud.incident_id).expect("known");
    assert_eq!(view.snoozed_until, Some(at(3_661_000)));
    for id in ["c1", "c2"] {
        let answer = script.machine().answer(&wire::CommandId::new(id)).cloned();
        assert!(matches!(answer, Some(Answer::Noted { .. })), "{answer:?}");
    }
}

#[test]
fn a_note_of_somebody_else_is_no_answer_of_whoever_took_it() {
    let fraud = opened("fraud", Sev2);
    let note = Action::Note { text: "what is going on?".into() };
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &ADA)
        .ask(10_000, command("c1", &fraud.incident_id, "grace", acknowledge(None)))
        .wants(10_000..=10_000, Acknowledge, &ADA)
        .ask(90_000, command("c2", &fraud.incident_id, "boss", note))
        .wants(100_000..=100_000, Trigger, &RISK)
        .wants(100_010..=100_010, Trigger, &ADA)
        .run(110_000);
}

#[test]
fn a_quorum_of_two_needs_two_people() {
    let drift = opened("drift", Sev3);
    let take = |id: &str, who: &str| command(id, &drift.incident_id, who, acknowledge(None));
    let script = Script::new(SETTINGS)
        .push(0, &drift)
        .wants(0..=0, Trigger, &["board/ada", "board/#risk"])
        .ask(1_000, take("c1", "grace"))
        // The same person under another id, and again after a restart: still one. A channel is nobody.
        .ask(2_000, take("c2", "grace"))
        .crash(3_000, 500)
        .ask(4_000, take("c3", "grace"))
        .ask(4_500, take("c5", "#risk"))
        .ask(5_000, take("c4", "ada"))
        .wants(5_000..=5_000, Acknowledge, &["board/ada", "board/#risk"])
        .run(10_000);
    let view = script.machine().incident_view(&drift.incident_id).expect("known");
    assert_eq!((view.stage, view.owner.as_deref()), (Stage::Acknowledged, Some("ada")));
}

#[test]
fn one_of_each_is_one_of_each() {
    let mut fraud = opened("fraud", Sev2);
    fraud.context.owner = Some("both".into());
    let take = |id: &str, who: &str| command(id, &fraud.incident_id, who, acknowledge(None));
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &RISK)
        .ask(1_000, take("c1", "grace"))
        .ask(2_000, take("c2", "boss"))
        .wants(60_000..=60_000, Trigger, &RISK)
        // As Slack knows her.
        .ask(70_000, take("c3", "slack:U1"))
        .wants(70_000..=70_000, Acknowledge, &RISK)
        .run(80_000);
    let view = script.machine().incident_view(&fraud.incident_id).expect("known");
    assert_eq!(view.owner.as_deref(), Some("ada"), "one person, whichever way they come");
}

#[test]
fn who_acknowledges_and_does_nothing_is_not_waited_for() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &ADA)
        .ask(10_000, command("c1", &fraud.incident_id, "ada", acknowledge(None)))
        .wants(10_000..=10_000, Acknowledge, &ADA)
        // 90 s: the next step, which is the last that holds.
        .wants(100_000..=100_000, Trigger, &RISK)
        .wants(100_010..=100_010, Trigger, &ADA)
        .run(110_000);
    let why = script.audit.iter().find(|r| r.action == "hold.unanswered").and_then(|r| r.why.clone());
    assert!(why.is_some_and(|why| why.contains("respond_within_s")), "the audit says why");
    assert_eq!(script.machine().counts().total.unanswered, 1);
}

#[test]
fn a_note_a_mitigation_or_a_clear_is_an_answer() {
    let fraud = opened("fraud", Sev2);
    let begin = || {
        Script::new(SETTINGS)
            .push(0, &fraud)
            .wants(0..=0, Trigger, &ADA)
            .ask(10_000, command("c1", &fraud.incident_id, "grace", acknowledge(None)))
            .wants(10_000..=10_000, Acknowledge, &ADA)
    };
    let note = Action::Note { text: "it is the gateway".into() };
    begin().ask(90_000, command("c2", &fraud.incident_id, "grace", note)).run(500_000);
    begin().ask(90_000, command("c2", &fraud.incident_id, "grace", mitigate())).run(500_000);
    begin().push(90_000, &next(&fraud, Cleared, Sev2)).wants(90_000..=90_000, Resolve, &ADA).run(500_000);
}

#[test]
fn what_is_put_off_pages_from_the_first_step_when_its_time_is_over() {
    let fraud = opened("fraud", Sev2);
    let snooze = Action::Snooze { for_s: 300, reason: Some("a load test".into()) };
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &ADA)
        .ask(10_000, command("c1", &fraud.incident_id, "grace", snooze))
        .push(20_000, &next(&fraud, Updated, Sev1))
        .wants(20_000..=20_000, Update, &ADA)
        .crash(30_000, 1_000)
        .wants(310_000..=310_000, Trigger, &ADA)
        .run(320_000);
    assert_eq!(
        script.responses.iter().find(|r| r.change == ResponseChange::Snoozed).unwrap().until,
        Some(at(310_000))
    );
    let view = script.machine().incident_view(&fraud.incident_id).expect("known");
    assert_eq!((view.stage, view.snoozed_until), (Stage::Open, None));
}

#[test]
fn a_ticket_that_was_put_off_and_becomes_a_page_is_not_waited_for() {
    let drift = opened("drift", Sev3);
    let snooze = Action::Snooze { for_s: 3_000, reason: None };
    Script::new(SETTINGS)
        .push(0, &drift)
        .wants(0..=0, Trigger, &["board/ada", "board/#risk"])
        .ask(1_000, command("c1", &drift.incident_id, "ada", snooze))
        .push(2_000, &next(&drift, Updated, Sev2))
        .wants(2_000..=2_000, Trigger, &ADA)
        .run(10_000);
}

#[test]
fn who_it_is_handed_to_is_paged_and_the_policy_goes_on_without_them() {
    let fraud = opened("fraud", Sev2);
    let hand = |id: &str, to: &str| {
        command(
            id,
            &fraud.incident_id,
            "ada",
            Action::Assign { to: to.into(), note: Some("you know it".into()) },
        )
    };
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &ADA)
        .ask(5_000, command("c1", &fraud.incident_id, "ada", acknowledge(None)))
        .wants(5_000..=5_000, Acknowledge, &ADA)
        .ask(9_000, hand("c2", "person:nobody"))
        .ask(10_000, hand("c3", "person:grace"))
        .want(10_000..=10_000, Trigger, "pager/grace")
        .wants(70_000..=70_000, Trigger, &ADA)
        .run(80_000);
    let answer = script.machine().answer(&wire::CommandId::new("c2"));
    assert!(matches!(answer, Some(Answer::Refused { why }) if why.contains("people.toml")), "{answer:?}");
    let handed =
        script.audit.iter().find(|r| r.action == "command.assign").and_then(|r| r.after.clone()).unwrap();
    assert!(handed.starts_with("open, handed to p-") && !handed.contains("grace"), "{handed}");
    // The view knows the name.
    let view = script.machine().incident_view(&fraud.incident_id).expect("known");
    let to = view.timeline.iter().find(|r| r.change == ResponseChange::Assigned).and_then(|r| r.to.clone());
    assert_eq!(to.as_deref(), Some("grace"));
}

#[test]
fn why_somebody_was_paged_or_was_not_can_be_asked() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &ADA)
        .ask(5_000, command("c1", &fraud.incident_id, "ada", acknowledge(None)))
        .wants(5_000..=5_000, Acknowledge, &ADA)
        .run(6_000);
    let why = |person: Option<&str>| script.machine().why(&fraud.incident_id, person).expect("known");
    let all = why(None);
    assert_eq!(all[0], "route 3 of 3, which takes everything, leads to policy page");
    assert_eq!(all[2], "ada has it until 2026-03-02T10:10:05.000Z, so no step is paged");
    assert!(
        all[3]
            .starts_with("step 1: person:ada\n    2026-03-02T10:00:00.000Z pager/ada: was taken (1 attempt)"),
        "{all:?}"
    );
    assert_eq!(all[4], "step 2: role:nobody: nobody is behind it: not paged");
    assert_eq!(all[5], "step 3: pager/night, if it is 22:00 to 06:00; Europe/Berlin: not paged");
    // By the name under which Slack knows her.
    let ada = why(Some("slack:U1")).split_off(3);
    assert_eq!(ada[0], "ada is called by step 1, as person:ada");
    assert_eq!(ada[1], "ada is called by step 4, as team:risk");
    assert!(
        ada[2].starts_with("paged by step 1 of round 1: 2026-03-02T10:00:00.000Z pager/ada: was taken"),
        "{ada:?}"
    );
    assert_eq!(why(Some("grace")).last().unwrap(), "not paged: it did not come to step 4");
    assert_eq!(why(Some("boss")).last().unwrap(), "not paged: no step of policy page calls boss");
    assert_eq!(
        why(Some("bob")).last().unwrap(),
        "bob is nobody in people.toml of the bundle that it follows"
    );
    assert_eq!(script.machine().why(&opened("rank", Sev2).incident_id, None), None);
}

#[test]
fn what_is_the_same_trouble_is_worked_on_once() {
    let (fraud, rank) = (opened("fraud", Sev2), opened("rank", Sev2));
    let into = |id: &str, into: &wire::Incident| {
        let action = Action::Merge { into: into.incident_id.clone(), reason: Some("one gateway".into()) };
        command(id, &rank.incident_id, "ada", action)
    };
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .push(0, &rank)
        .wants(0..=0, Trigger, &ADA)
        .wants(0..=0, Trigger, &ADA)
        .ask(1_000, into("c1", &rank))
        .ask(2_000, into("c2", &fraud))
        .wants(2_000..=2_000, Resolve, &ADA)
        // It is back, and worse: what was merged is not forgotten.
        .push(3_000, &next(&rank, Updated, Sev1))
        .wants(3_000..=3_000, Trigger, &ADA)
        .run(10_000);
    let merged =
        script.responses.iter().find(|r| r.change == ResponseChange::Merged).and_then(|r| r.why.clone());
    assert_eq!(merged, Some(format!("into {}: one gateway", fraud.incident_id)));
}
