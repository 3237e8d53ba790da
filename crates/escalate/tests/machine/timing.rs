//! Who is paged when: pushes and wants in virtual time, milliseconds since the start.

use wire::Change::{Cleared, Updated};
use wire::Severity::{Sev1, Sev2, Sev3, Sev4};
use wire::page::PageKind::{Acknowledge, Resolve, Trigger, Update};

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, command, mitigate, next, opened, reopened, resolve};

#[test]
fn steps_page_one_after_the_other_and_the_last_one_repeats() {
    let script = Script::new(SETTINGS)
        .push(1_000, &opened("fraud", Sev2))
        .wants(1_000..=1_000, Trigger, &["pager/ana", "pager/bo"])
        .want(61_000..=61_000, Trigger, "pager/lead")
        .wants(181_000..=181_000, Trigger, &["pager/ana", "pager/bo"])
        .want(241_000..=241_000, Trigger, "pager/lead")
        .want(361_000..=361_000, Trigger, "pager/lead")
        .want(481_000..=481_000, Trigger, "pager/lead")
        .run(500_000);
    let mut ids: Vec<_> = script.sent.iter().map(|s| &s.page.notification_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8, "each page has an id of its own");
    let mut keys: Vec<_> = script.sent.iter().map(|s| &s.page.alert_key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3, "each target has one alert");
    assert_eq!(script.sent[0].page.escalates_at, Some(crate::samples::at(61_000)));
}

#[test]
fn an_acknowledgement_stops_the_policy_until_it_expires() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(30_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(30_000..=30_000, Acknowledge, &["pager/ana", "pager/bo"])
        // 600 s later it starts anew, in a new round.
        .wants(630_000..=630_000, Trigger, &["pager/ana", "pager/bo"])
        .want(690_000..=690_000, Trigger, "pager/lead")
        .run(700_000);
    let ack = script.sent.iter().find(|s| s.page.kind == Acknowledge).unwrap();
    assert_eq!(ack.page.owner.as_deref(), Some("ana"), "receivers learn who has it");
    let rounds: Vec<u32> =
        script.sent.iter().filter(|s| s.page.kind == Trigger).map(|s| s.page.round).collect();
    assert_eq!(rounds, [0, 0, 1, 1, 1]);
    assert!(script.audit.iter().all(|r| !format!("{r:?}").contains("\"ana\"")), "no name in the audit log");
}

#[test]
fn an_acknowledgement_may_say_for_how_long() {
    let fraud = opened("fraud", Sev2);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1_000, command("c1", &fraud.incident_id, "bo", acknowledge(Some(5))))
        .wants(1_000..=1_000, Acknowledge, &["pager/ana", "pager/bo"])
        .wants(6_000..=6_000, Trigger, &["pager/ana", "pager/bo"])
        .run(60_000);
}

#[test]
fn who_takes_it_over_holds_it_and_receivers_are_told() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(1_000..=1_000, Acknowledge, &["pager/ana", "pager/bo"])
        // The same person again: longer, but no news.
        .ask(2_000, command("c2", &fraud.incident_id, "ana", acknowledge(None)))
        .ask(3_000, command("c3", &fraud.incident_id, "bo", acknowledge(None)))
        .wants(3_000..=3_000, Acknowledge, &["pager/ana", "pager/bo"])
        .run(600_000);
    let view = script.machine().incident_view(&fraud.incident_id).unwrap();
    assert_eq!(view.owner.as_deref(), Some("bo"));
    assert_eq!(view.acknowledged_until, Some(crate::samples::at(603_000)));
}

#[test]
fn a_cleared_signal_resolves_what_nobody_holds() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .push(5_000, &next(&fraud, Cleared, Sev2))
        .wants(5_000..=5_000, Resolve, &["pager/ana", "pager/bo"])
        .run(600_000);
    let view = script.machine().incident_view(&fraud.incident_id).unwrap();
    assert_eq!((view.stage.name(), view.signal.name()), ("resolved", "cleared"));
    assert_eq!(view.ended_at, Some(crate::samples::at(5_050)));
}

#[test]
fn a_cleared_signal_leaves_it_to_whoever_holds_it() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(1_000..=1_000, Acknowledge, &["pager/ana", "pager/bo"])
        .push(5_000, &next(&fraud, Cleared, Sev2))
        .wants(5_000..=5_000, Resolve, &["pager/ana", "pager/bo"])
        .run(600_000);
    assert_eq!(script.machine().incident_view(&fraud.incident_id).unwrap().stage.name(), "acknowledged");
    // When that runs out nobody is woken: there is nothing left to do.
    let script = script.run(1_000_000);
    assert_eq!(script.machine().incident_view(&fraud.incident_id).unwrap().stage.name(), "resolved");
}

#[test]
fn people_may_resolve_while_the_signal_is_open_and_a_worse_one_calls_them_back() {
    let fraud = opened("fraud", Sev2);
    let same = next(&fraud, Updated, Sev2);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(10_000, command("c1", &fraud.incident_id, "ana", resolve()))
        .wants(10_000..=10_000, Resolve, &["pager/ana", "pager/bo"])
        .push(100_000, &same)
        .push(200_000, &next(&same, Updated, Sev1))
        .wants(200_000..=200_000, Trigger, &["pager/ana", "phone/chief"])
        .want(230_000..=230_000, Trigger, "pager/ana")
        .want(230_000..=230_000, Trigger, "phone/chief")
        .run(240_000);
}

#[test]
fn a_mitigation_that_runs_out_opens_it_again_even_while_the_signal_is_quiet() {
    let fraud = opened("fraud", Sev2);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(10_000, command("c1", &fraud.incident_id, "ana", mitigate()))
        .wants(10_000..=10_000, Acknowledge, &["pager/ana", "pager/bo"])
        .push(20_000, &next(&fraud, Cleared, Sev2))
        .wants(20_000..=20_000, Resolve, &["pager/ana", "pager/bo"])
        .wants(910_000..=910_000, Trigger, &["pager/ana", "pager/bo"])
        .ask(920_000, command("c2", &fraud.incident_id, "ana", resolve()))
        .wants(920_000..=920_000, Resolve, &["pager/ana", "pager/bo"])
        .run(2_000_000);
}

#[test]
fn a_rise_in_severity_asks_the_routes_at_once() {
    let fraud = opened("fraud", Sev2);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        // Ana is in the new step: paged, not told. Bo is told.
        .push(50_000, &next(&fraud, Updated, Sev1))
        .wants(50_000..=50_000, Trigger, &["pager/ana", "phone/chief"])
        .want(50_000..=50_000, Update, "pager/bo")
        .wants(80_000..=80_000, Trigger, &["pager/ana", "phone/chief"])
        .run(100_000);
}

#[test]
fn a_rise_under_the_same_policy_neither_skips_nor_repeats_a_step() {
    let settings = SETTINGS.replace("severity = [\"sev1\"]", "severity = [\"sev1\"]\ndrill = true");
    let fraud = opened("fraud", Sev2);
    Script::new(&settings)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .push(50_000, &next(&fraud, Updated, Sev1))
        .wants(50_000..=50_000, Update, &["pager/ana", "pager/bo"])
        .want(60_000..=60_000, Trigger, "pager/lead")
        .run(100_000);
}

#[test]
fn a_fall_in_severity_is_told_and_changes_nothing_else() {
    let fraud = opened("fraud", Sev2);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .push(50_000, &next(&fraud, Updated, Sev3))
        .wants(50_000..=50_000, Update, &["pager/ana", "pager/bo"])
        .want(60_000..=60_000, Trigger, "pager/lead")
        .run(100_000);
}

#[test]
fn a_ticket_is_told_as_often_as_its_policy_says_and_then_rests() {
    let script = Script::new(SETTINGS)
        .push(0, &opened("fraud", Sev3))
        .want(0..=0, Trigger, "board/ml")
        .want(3_600_000..=3_600_000, Trigger, "board/ml")
        .run(100_000_000);
    assert_eq!(script.machine().counts().silent, 0, "its policy says so");
}

#[test]
fn who_took_a_ticket_has_not_taken_a_page() {
    let fraud = opened("fraud", Sev4);
    let third = next(&fraud, Updated, Sev3);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .want(0..=0, Trigger, "board/ml")
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(Some(86_400))))
        .want(1_000..=1_000, Acknowledge, "board/ml")
        // Worse, but still a ticket: told, and still theirs.
        .push(2_000, &third)
        .want(2_000..=2_000, Update, "board/ml")
        .push(10_000, &next(&third, Updated, Sev2))
        .wants(10_000..=10_000, Trigger, &["pager/ana", "pager/bo"])
        .run(60_000);
}

#[test]
fn a_later_generation_pages_anew_under_new_keys() {
    let fraud = opened("fraud", Sev2);
    let cleared = next(&fraud, Cleared, Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(1_000..=1_000, Acknowledge, &["pager/ana", "pager/bo"])
        .push(5_000, &cleared)
        .wants(5_000..=5_000, Resolve, &["pager/ana", "pager/bo"])
        .push(20_000, &reopened(&cleared, Sev2))
        .wants(20_000..=20_000, Trigger, &["pager/ana", "pager/bo"])
        .want(80_000..=80_000, Trigger, "pager/lead")
        .run(100_000);
    let ana: Vec<_> =
        script.sent.iter().filter(|s| s.to() == "pager/ana" && s.page.kind == Trigger).collect();
    assert_ne!(ana[0].page.alert_key, ana[1].page.alert_key);
    assert_ne!(ana[0].page.notification_id, ana[1].page.notification_id);
}

#[test]
fn a_missed_clear_does_not_leave_old_alerts_open() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .push(20_000, &reopened(&fraud, Sev2))
        .wants(20_000..=20_000, Resolve, &["pager/ana", "pager/bo"])
        .wants(20_000..=20_000, Trigger, &["pager/ana", "pager/bo"])
        .run(60_000);
    let key = |i: usize| &script.sent[i].page.alert_key;
    let resolves: Vec<_> = script.sent.iter().filter(|s| s.page.kind == Resolve).collect();
    assert!(resolves.iter().all(|r| [key(0), key(1)].contains(&&r.page.alert_key)));
}

#[test]
fn what_came_before_changes_nothing() {
    let fraud = opened("fraud", Sev2);
    let ack = command("c1", &fraud.incident_id, "ana", acknowledge(None));
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .push(10, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1_000, ack.clone())
        .ask(1_500, ack)
        .wants(1_000..=1_000, Acknowledge, &["pager/ana", "pager/bo"])
        .push(2_000, &fraud)
        .run(600_000);
    assert_eq!(script.machine().counts().total.duplicates, 3);
    assert_eq!((script.audited("incident.opened"), script.audited("command.acknowledge")), (1, 1));
}

/// A step that was not for it as it was, and is for it as it is, pages at once; the others go on as they were to.
#[test]
fn a_rise_pages_the_steps_that_were_passed_over() {
    let fraud = opened("fraud", Sev2);
    let settings = r#"
        namespace = "default"
        [[route]]
        policy = "page"
        [policy.page]
        steps = [
          { targets = ["pager/ana"], delay_s = 300 },
          { targets = ["pager/lead"], delay_s = 300, when = { severity = ["sev1"] } },
          { targets = ["phone/chief"], delay_s = 900 },
        ]
    "#;
    let worse = next(&fraud, Updated, Sev1);
    let better = next(&worse, Updated, Sev2);
    Script::new(settings)
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .want(300_000..=300_000, Trigger, "phone/chief")
        .push(310_000, &worse)
        .want(310_000..=310_000, Trigger, "pager/lead")
        .wants(310_000..=310_100, Update, &["pager/ana", "phone/chief"])
        // Who was called is not called again by the same step.
        .push(400_000, &better)
        .wants(400_000..=400_100, Update, &["pager/ana", "pager/lead", "phone/chief"])
        .push(500_000, &next(&better, Updated, Sev1))
        .wants(500_000..=500_100, Update, &["pager/ana", "pager/lead", "phone/chief"])
        .want(1_200_000..=1_200_000, Trigger, "phone/chief")
        .run(1_300_000);
}

/// A call that was begun after somebody had answered, and before that was known, is said and counted.
#[test]
fn a_page_that_crosses_an_answer_is_said_to_have() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .want(60_000..=60_000, Trigger, "pager/lead")
        .ask_late(60_020, 100, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(60_000..=60_200, Acknowledge, &["pager/ana", "pager/bo", "pager/lead"])
        .run(70_000);
    assert_eq!((script.audited("page.crossed"), script.machine().counts().total.pages_crossed), (1, 1));
}

/// When it was decided says nothing: it may have waited for another attempt.
#[test]
fn a_retry_that_crosses_an_answer_is_said_to_have() {
    let fraud = opened("fraud", Sev2);
    let refused = || Some(wire::outbox::Outcome::RetryAfter { ms: 30_000, reason: "429".into() });
    let script = Script::new(SETTINGS)
        .answers("pager", [refused(), refused()])
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .wants(30_000..=30_100, Trigger, &["pager/ana", "pager/bo"])
        .ask_late(30_120, 100, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(30_000..=30_200, Acknowledge, &["pager/ana", "pager/bo"])
        .run(50_000);
    assert_eq!((script.audited("page.crossed"), script.machine().counts().total.pages_crossed), (2, 2));
}
