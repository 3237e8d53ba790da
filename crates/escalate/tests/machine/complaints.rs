//! What users of other pagers complain of, where no other story here has it: receivers that are away for long, settings that are
//! loaded all the time, a channel that hangs. `docs/requirements.md` has the whole list.

use wire::Change::Updated;
use wire::Severity::{Sev1, Sev2};
use wire::outbox::{OutboxState, Outcome};
use wire::page::PageKind::{Trigger, Update};

use crate::harness::Script;
use crate::samples::{next, opened};

const MINUTE: i64 = 60_000;

const ONE: &str = r#"
    namespace = "default"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [{ targets = ["pager/ana"], delay_s = 86400 }]
"#;

#[test]
fn a_receiver_that_was_down_for_ten_minutes_has_the_page_once() {
    let refused = || Some(Outcome::Retry { reason: "connection refused".into() });
    // As many attempts as there may be: by default it is given up after some three minutes, and goes to the fallback.
    let script = Script::new(&format!("{ONE}[escalate]\nattempts_max = 50"))
        .away("pager", 0..=10 * MINUTE, refused)
        .push(0, &opened("fraud", Sev2))
        .may(0..=10 * MINUTE, Trigger, "pager/ana")
        // Whoever takes over meanwhile has it from the one before, and does not try beside it.
        .crash(3 * MINUTE, 1_000)
        .want(10 * MINUTE + 1..=11 * MINUTE, Trigger, "pager/ana")
        .run(60 * MINUTE);
    let pages = script.pages_to("pager/ana");
    assert_eq!(pages.len(), 1);
    assert!(matches!(pages[0].state, OutboxState::Delivered { .. }), "{:?}", pages[0]);
    assert!(script.sent.len() > 10, "it was tried all the time: {}", script.sent.len());
    assert!(script.sent.iter().all(|s| s.page.notification_id == pages[0].page.notification_id));
    // Each attempt and what became of it is in the audit, the failed ones too.
    assert!(script.audited("page.retrying") >= script.sent.len() - 2, "{}", script.audited("page.retrying"));
}

#[test]
fn a_receiver_that_wants_no_more_for_five_minutes_has_each_page_once_and_in_order() {
    let fraud = opened("fraud", Sev2);
    let busy = || Some(Outcome::RetryAfter { ms: 1_000, reason: "429".into() });
    let script = Script::new(ONE)
        .away("pager", 0..=5 * MINUTE, busy)
        .push(0, &fraud)
        .push(MINUTE, &next(&fraud, Updated, Sev1))
        .may(0..=5 * MINUTE, Trigger, "pager/ana")
        .want(5 * MINUTE + 1..=5 * MINUTE + 1_050, Trigger, "pager/ana")
        .want(5 * MINUTE + 1..=5 * MINUTE + 1_200, Update, "pager/ana")
        .run(60 * MINUTE);
    let last: Vec<_> = script.sent.iter().rev().take(2).map(|s| s.page.kind).collect();
    assert_eq!(last, [Update, Trigger], "in order");
    assert_eq!(script.pages_to("pager/ana").len(), 2);
}

#[test]
fn a_thousand_reloads_under_load_lose_no_page_and_repeat_none() {
    const LOADS: i64 = 1_000;
    const EVERY_MS: i64 = 100;
    let settings = [20, 30].map(|delay_s| {
        ONE.replace("steps = [", &format!("steps = [{{ targets = [\"phone/lead\"], delay_s = {delay_s} }}, "))
    });
    let mut script = Script::new(&settings[0]);
    for n in 0..LOADS {
        let next = &settings[usize::from(n % 2 == 0)];
        script = script.load(50 + n * EVERY_MS, &n.to_string(), "SIGHUP", next);
    }
    for n in 0..LOADS / 5 {
        let at = n * 5 * EVERY_MS;
        // The last load before it is of number 5n - 1: what it opened with decides, whatever is loaded later.
        let second = if n > 0 && (5 * n - 1) % 2 == 0 { 30_000 } else { 20_000 };
        script = script
            .push(at, &opened(&format!("model-{n:03}"), Sev2))
            .want(at..=at, Trigger, "phone/lead")
            .want(at + second..=at + second, Trigger, "pager/ana");
    }
    let script = script.run(LOADS * EVERY_MS + MINUTE);
    assert_eq!(script.sent.len(), 400);
    assert_eq!(script.audited("policy.loaded"), 1_001);
}

#[test]
fn a_channel_that_hangs_holds_up_no_other() {
    let settings = ONE.replace("\"pager/ana\"", "\"board/ml\", \"pager/ana\"");
    let mut script =
        Script::new(&settings).away("board", 0..=60 * MINUTE, || None).may(0..=4_000, Trigger, "board/ml");
    for n in 0..300 {
        script = script.push(n * 10, &opened(&format!("model-{n:03}"), Sev2)).want(
            n * 10..=n * 10,
            Trigger,
            "pager/ana",
        );
    }
    let script = script.run(4_000);
    let on_board = script.sent.iter().filter(|s| s.page.receiver == "board").count();
    assert!(on_board < 300, "it is not sent more than it may have at once: {on_board}");
}
