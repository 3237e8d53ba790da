//! Pages of one alert: one at a time, in order, and no more than are still wanted.

use wire::Change::{Cleared, Updated};
use wire::Severity::{Sev1, Sev2};
use wire::outbox::{OutboxState, Outcome};
use wire::page::PageKind::{Acknowledge, Resolve, Trigger, Update};

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, command, next, opened, resolve};
use crate::trouble::ONE;

#[test]
fn each_alert_gets_its_pages_one_at_a_time_and_in_order() {
    let fraud = opened("fraud", Sev2);
    let worse = next(&fraud, Updated, Sev1);
    let script = Script::new(ONE)
        // Silence: the trigger is under way until its lease ends.
        .answers("pager", [None])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .push(1_000, &worse)
        .want(20_000..=20_000, Trigger, "pager/ana")
        .want(20_050..=20_050, Update, "pager/ana")
        .push(30_000, &next(&worse, Cleared, Sev1))
        .want(30_000..=30_000, Resolve, "pager/ana")
        // What had no answer may have arrived only then.
        .want(50_050..=50_050, Resolve, "pager/ana")
        .run(100_000);
    let carried: Vec<u32> = script.sent.iter().map(|s| s.page.incident.sequence).collect();
    assert_eq!(carried, [1, 1, 2, 3, 3], "a repeat carries what the first attempt carried");
}

#[test]
fn a_resolve_waits_for_the_trigger_that_is_under_way() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(ONE)
        .answers("pager", [None])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .push(1_000, &next(&fraud, Cleared, Sev2))
        .want(20_000..=20_000, Resolve, "pager/ana")
        // It may have arrived after that.
        .want(40_050..=40_050, Resolve, "pager/ana")
        .run(100_000);
    assert!(matches!(&script.pages_to("pager/ana")[0].state, OutboxState::Cancelled { .. }));
}

#[test]
fn an_end_long_after_what_had_no_answer_is_said_once() {
    let fraud = opened("fraud", Sev2);
    Script::new(ONE)
        .answers("pager", [None])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .want(20_000..=20_000, Trigger, "pager/ana")
        // Two leases after the attempt that had none.
        .push(40_000, &next(&fraud, Cleared, Sev2))
        .want(40_000..=40_000, Resolve, "pager/ana")
        .run(100_000);
}

#[test]
fn a_resolve_that_is_taken_back_leaves_its_alert_to_be_resolved_later() {
    let fraud = opened("fraud", Sev2);
    let worse = next(&fraud, Updated, Sev1);
    let delivered = || Some(Outcome::Delivered { reference: None });
    let later = || Some(Outcome::RetryAfter { ms: 600_000, reason: "429".into() });
    Script::new(SETTINGS)
        .answers("pager", [delivered(), delivered(), later(), later()])
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(10_000, command("c1", &fraud.incident_id, "ana", resolve()))
        .wants(10_000..=10_000, Resolve, &["pager/ana", "pager/bo"])
        // Both resolves wait when it opens again. Bo is not paged anew, but his alert is open.
        .push(11_000, &worse)
        .wants(11_000..=11_000, Trigger, &["pager/ana", "phone/chief"])
        .push(12_000, &next(&worse, Cleared, Sev1))
        .wants(12_000..=12_000, Resolve, &["pager/ana", "pager/bo", "phone/chief"])
        .run(2_000_000);
}

#[test]
fn a_page_that_waits_to_be_tried_again_is_cancelled_by_an_acknowledgement() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(ONE)
        .answers("pager", [Some(Outcome::RetryAfter { ms: 60_000, reason: "429".into() })])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        // It may have arrived all the same.
        .want(1_000..=1_000, Acknowledge, "pager/ana")
        .run(600_000);
    assert!(
        matches!(&script.pages_to("pager/ana")[0].state, OutboxState::Cancelled { cause } if cause == "acknowledged")
    );
}

#[test]
fn what_was_never_tried_is_cancelled_and_needs_no_resolve() {
    let fraud = opened("fraud", Sev2);
    let settings = format!("{ONE}\nin_flight_max = 1\n");
    let script = Script::new(&settings)
        .answers("pager", [None])
        .push(0, &opened("rank", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .push(1_000, &fraud)
        .push(2_000, &next(&fraud, Cleared, Sev2))
        .want(20_000..=20_000, Trigger, "pager/ana")
        .run(60_000);
    let view = script.machine().incident_view(&fraud.incident_id).unwrap();
    assert!(matches!(&view.pages[0].state, OutboxState::Cancelled { .. }));
    assert_eq!(view.pages.len(), 1);
    assert!(view.ended_at.is_some());
}

/// A receiver with threads puts what follows where the first page is, also after the worker has died.
#[test]
fn what_follows_knows_what_the_receiver_called_the_first_page() {
    let fraud = opened("fraud", Sev2);
    let named = |name: &str| Some(Outcome::Delivered { reference: Some(name.into()) });
    let script = Script::new(ONE)
        .answers("pager", [named("C1:17.1"), named("C1:18.5"), named("C1:19.2")])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .want(1_000..=1_000, Acknowledge, "pager/ana")
        .crash(2_000, 1_000)
        .push(5_000, &next(&fraud, Cleared, Sev2))
        .want(5_000..=5_000, Resolve, "pager/ana")
        .run(60_000);
    let threads: Vec<_> = script.sent.iter().map(|s| s.page.thread.as_deref()).collect();
    assert_eq!(threads, [None, Some("C1:17.1"), Some("C1:17.1")]);
}
