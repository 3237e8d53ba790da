//! A receiver that takes so many pages a minute gets no more, and loses none.

use std::sync::Arc;

use escalate::Rates;
use wire::Change::Updated;
use wire::Severity::{Sev1, Sev2};
use wire::outbox::OutboxState;
use wire::page::PageKind::{Acknowledge, Trigger, Update};

use crate::harness::Script;
use crate::samples::{acknowledge, command, next, opened, policy};

const ONE: &str = r#"
    namespace = "default"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [{ targets = ["pager/ana"], delay_s = 86400 }]
"#;

/// 60 a minute: five at once, then one a second.
fn script() -> Script {
    let rates = Rates::from([("pager".to_owned(), 60)]);
    let paced = Arc::new(escalate::Policy::clone(&policy(ONE)).with_rates(rates));
    Script::new(ONE).restart_under(0, paced)
}

#[test]
fn a_storm_leaves_at_the_pace_of_its_receiver() {
    let mut script = script();
    for n in 0..12 {
        script = script.push(100, &opened(&format!("model-{n:02}"), Sev2));
    }
    script = (0..5).fold(script, |s, _| s.want(100..=100, Trigger, "pager/ana"));
    let script = (1..=7).fold(script, |s, n| s.want(100 + n * 1000..=100 + n * 1000, Trigger, "pager/ana"));
    let script = script.run(60_000);
    let pages = script.pages_to("pager/ana");
    assert_eq!(pages.len(), 12);
    assert!(pages.iter().all(|p| p.attempts == 1), "waiting is no attempt");
    assert!(pages.iter().all(|p| matches!(p.state, OutboxState::Delivered { .. })));
}

#[test]
fn who_is_called_comes_before_what_is_told() {
    let first = opened("model-00", Sev2);
    let script = (0..5).fold(script(), |s, n| s.push(100, &opened(&format!("model-{n:02}"), Sev2)));
    let script = (0..5).fold(script, |s, _| s.want(100..=100, Trigger, "pager/ana"));
    // Decided earlier, it waits behind the two that call somebody.
    let script = script
        .push(200, &next(&first, Updated, Sev1))
        .push(300, &opened("model-05", Sev2))
        .push(300, &opened("model-06", Sev2))
        .want(1100..=1100, Trigger, "pager/ana")
        .want(2100..=2100, Trigger, "pager/ana")
        .want(3100..=3100, Update, "pager/ana")
        .run(60_000);
    drop(script);
}

#[test]
fn what_waits_for_its_turn_does_not_page_after_an_acknowledgement() {
    let last = opened("model-05", Sev2);
    let script = (0..5).fold(script(), |s, n| s.push(100, &opened(&format!("model-{n:02}"), Sev2)));
    let script = (0..5).fold(script, |s, _| s.want(100..=100, Trigger, "pager/ana"));
    let script = script
        .push(200, &last)
        .ask(300, command("c1", &last.incident_id, "ana", acknowledge(None)))
        .run(60_000);
    let page = *script.pages_to("pager/ana").last().expect("it was decided");
    assert!(matches!(page.state, OutboxState::Cancelled { .. }), "{page:?}");
    assert!(script.sent.iter().all(|s| s.page.kind != Acknowledge), "nothing was open there");
}
