//! Receivers that keep an alert: one that calls for it once, and one where it fires while anything is said of it.

use std::sync::Arc;

use escalate::{Manner, Manners};
use wire::Change::{Cleared, Updated};
use wire::Severity::{Sev1, Sev2};
use wire::command::Action;
use wire::outbox::Outcome;
use wire::page::PageKind::{Acknowledge, Resolve, Trigger, Update};

use crate::harness::Script;
use crate::samples::{acknowledge, command, next, opened, policy};
use crate::trouble::ONE;

fn script(manner: Manner) -> Script {
    script_with(manner, &ONE.replace("attempts_max = 3", "attempts_max = 30"))
}

fn script_with(manner: Manner, settings: &str) -> Script {
    let manners = Manners::from([("pager".to_owned(), manner)]);
    let policy = Arc::new(escalate::Policy::clone(&policy(settings)).with_manners(manners));
    Script::new(settings).restart_under(0, policy)
}

fn refused() -> Option<Outcome> {
    Some(Outcome::Retry { reason: "connection refused".into() })
}

#[test]
fn who_had_it_and_has_it_no_longer_is_called_again_where_an_alert_calls_once() {
    let fraud = opened("fraud", Sev2);
    script(Manner::CallsOnce)
        .push(100, &fraud)
        .want(100..=100, Trigger, "pager/ana")
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(Some(60))))
        .want(1_000..=1_000, Acknowledge, "pager/ana")
        // Its time is over: what she had stopped ends there, and then she is called.
        .want(61_000..=61_000, Resolve, "pager/ana")
        .want(61_010..=61_200, Trigger, "pager/ana")
        .ask(62_000, command("c2", &fraud.incident_id, "ana", acknowledge(Some(600))))
        .want(62_000..=62_000, Acknowledge, "pager/ana")
        .push(70_000, &next(&fraud, Cleared, Sev2))
        .want(70_000..=70_000, Resolve, "pager/ana")
        .run(500_000);
}

#[test]
fn nobody_is_called_again_by_an_end_whose_call_was_taken_back() {
    let fraud = opened("fraud", Sev2);
    let script = script(Manner::CallsOnce)
        .push(100, &fraud)
        .want(100..=100, Trigger, "pager/ana")
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(Some(60))))
        .want(1_000..=1_000, Acknowledge, "pager/ana")
        .away("pager", 60_000..=62_000, refused)
        .want(61_000..=61_000, Resolve, "pager/ana")
        .may(61_010..=62_000, Resolve, "pager/ana")
        .ask(61_100, command("c2", &fraud.incident_id, "ana", acknowledge(Some(3_600))))
        .want(61_100..=70_000, Acknowledge, "pager/ana")
        .may(61_100..=70_000, Acknowledge, "pager/ana")
        .run(80_000);
    let ends = script.pages_to("pager/ana").iter().filter(|p| p.page.kind == Resolve).count();
    assert_eq!(ends, 1);
}

#[test]
fn an_end_that_does_not_arrive_takes_its_call_to_the_fallback() {
    let fraud = opened("fraud", Sev2);
    // Three attempts.
    script_with(Manner::CallsOnce, ONE)
        .push(100, &fraud)
        .want(100..=100, Trigger, "pager/ana")
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(Some(60))))
        .want(1_000..=1_000, Acknowledge, "pager/ana")
        .away("pager", 60_000..=3_600_000, refused)
        .want(61_000..=61_000, Resolve, "pager/ana")
        .may(61_001..=70_000, Resolve, "pager/ana")
        // The call, and tocsin's own incident about the pager.
        .wants(61_000..=70_000, Trigger, &["phone/desk", "phone/desk"])
        .run(71_000);
}

#[test]
fn what_never_reached_an_alertmanager_does_not_begin_to_fire_there_when_somebody_has_it() {
    let fraud = opened("fraud", Sev2);
    script(Manner::Stands)
        .away("pager", 0..=20_000, refused)
        .push(100, &fraud)
        .want(100..=100, Trigger, "pager/ana")
        .may(101..=5_000, Trigger, "pager/ana")
        .ask(5_000, command("c1", &fraud.incident_id, "ana", acknowledge(Some(600))))
        .push(6_000, &next(&fraud, Updated, Sev1))
        .run(500_000);
    // Nor is it kept alive by whoever takes over.
    let waits = script(Manner::Stands).away("pager", 0..=20_000, refused).push(100, &fraud);
    let waits = waits.want(100..=100, Trigger, "pager/ana").may(101..=9_000, Trigger, "pager/ana");
    let put_off = Action::Snooze { for_s: 3_600, reason: None };
    let waits = waits.ask(2_000, command("c1", &fraud.incident_id, "ana", put_off)).run(9_000);
    assert!(waits.machine().standing().is_empty());
}

#[test]
fn what_reached_an_alertmanager_stands_there_with_who_has_it() {
    let fraud = opened("fraud", Sev2);
    let script = script(Manner::Stands)
        .push(100, &fraud)
        .want(100..=100, Trigger, "pager/ana")
        .ask(5_000, command("c1", &fraud.incident_id, "ana", acknowledge(Some(600))))
        .want(5_000..=5_000, Acknowledge, "pager/ana")
        .push(6_000, &next(&fraud, Updated, Sev1))
        .want(6_000..=6_000, Update, "pager/ana")
        .run(10_000);
    assert_eq!(script.machine().standing().len(), 1);
}
