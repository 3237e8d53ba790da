//! Receivers that fail, processes that die, clocks that were away.

use escalate::{Answer, Effect, Input, Machine};
use wire::Change::{Cleared, Opened, Updated};
use wire::Incident;
use wire::Severity::Sev2;
use wire::command::Action;
use wire::outbox::{OutboxState, Outcome};
use wire::page::PageKind::{Acknowledge, Resolve, Trigger};
use wire::response::ResponseChange;

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, at, command, next, opened, policy};

/// One step to one person, with a fallback elsewhere.
pub(crate) const ONE: &str = r#"
    namespace = "default"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [{ targets = ["pager/ana"], delay_s = 300 }, { targets = ["phone/lead"], delay_s = 300 }]
    fallback = "phone/desk"
    [escalate]
    attempts_max = 3
"#;

fn retry() -> Option<Outcome> {
    Some(Outcome::Retry { reason: "connection refused".into() })
}

fn unknown() -> Option<Outcome> {
    Some(Outcome::Unknown { reason: "no answer".into() })
}

fn reject() -> Option<Outcome> {
    Some(Outcome::Reject { reason: "413".into() })
}

pub(crate) fn config() -> Option<Outcome> {
    Some(Outcome::Config { reason: "401".into() })
}

#[test]
fn a_failed_attempt_is_repeated_under_the_same_key() {
    let script = Script::new(ONE)
        .answers("pager", [retry(), retry()])
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(50..=1_050, Trigger, "pager/ana")
        .want(100..=3_100, Trigger, "pager/ana")
        .run(60_000);
    let ids: Vec<_> = script.sent.iter().map(|s| (&s.page.notification_id, s.attempt)).collect();
    assert_eq!(ids, [(ids[0].0, 1), (ids[0].0, 2), (ids[0].0, 3)]);
    let pages = script.pages_to("pager/ana");
    assert_eq!(pages.len(), 1);
    assert_eq!((&pages[0].state, pages[0].attempts), (&OutboxState::Delivered { reference: None }, 3));
}

#[test]
fn a_receiver_that_asks_to_wait_is_given_time() {
    Script::new(ONE)
        .answers("pager", [Some(Outcome::RetryAfter { ms: 7_000, reason: "429".into() })])
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(7_050..=7_050, Trigger, "pager/ana")
        .run(60_000);
}

/// Far more attempts than the three that may fail: being asked to wait is no failure.
#[test]
fn a_receiver_that_asks_to_wait_again_and_again_is_not_taken_for_broken() {
    let busy = || Some(Outcome::RetryAfter { ms: 1_000, reason: "429".into() });
    let settings = ONE.replace("delay_s = 300", "delay_s = 86400");
    let script = Script::new(&settings)
        .away("pager", 0..=60_000, busy)
        .push(0, &opened("fraud", Sev2))
        .may(0..=60_000, Trigger, "pager/ana")
        .want(60_001..=61_100, Trigger, "pager/ana")
        .run(600_000);
    assert!(script.sent.len() > 50 && script.own.is_empty(), "{}", script.sent.len());
    // For ten minutes: then it goes elsewhere.
    let script = Script::new(&settings)
        .away("pager", 0..=3_600_000, busy)
        .push(0, &opened("fraud", Sev2))
        .may(0..=610_000, Trigger, "pager/ana")
        .want(600_000..=610_000, Trigger, "phone/desk")
        // tocsin's own incident, around the pager.
        .want(600_000..=610_000, Trigger, "phone/desk")
        .run(1_200_000);
    assert_eq!(script.own.len(), 1);
}

/// Whoever was called hears that it is over, or that somebody has it, once the receiver works again.
#[test]
fn who_has_it_and_its_end_are_told_however_long_the_receiver_is_away() {
    let fraud = opened("fraud", Sev2);
    let settings = ONE.replace("delay_s = 300", "delay_s = 86400");
    Script::new(&settings)
        .away("pager", 1_000..=3_600_000, || Some(Outcome::Retry { reason: "connection refused".into() }))
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .ask(2_000, command("c1", &fraud.incident_id, "ana", acknowledge(Some(86_400))))
        .may(2_000..=3_600_000, Acknowledge, "pager/ana")
        .want(3_600_001..=3_661_000, Acknowledge, "pager/ana")
        .run(4_000_000);
    Script::new(&settings)
        .away("pager", 1_000..=3_600_000, || Some(Outcome::Retry { reason: "connection refused".into() }))
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .push(2_000, &next(&fraud, Cleared, Sev2))
        .may(2_000..=3_600_000, Resolve, "pager/ana")
        .want(3_600_001..=3_661_000, Resolve, "pager/ana")
        .run(4_000_000);
}

#[test]
fn a_receiver_cannot_ask_for_longer_than_a_quarter_of_an_hour() {
    Script::new(&ONE.replace("delay_s = 300", "delay_s = 86400"))
        .answers("pager", [Some(Outcome::RetryAfter { ms: u64::MAX, reason: "429".into() })])
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(900_050..=900_050, Trigger, "pager/ana")
        .run(1_000_000);
}

#[test]
fn a_page_that_cannot_be_delivered_goes_elsewhere_and_tocsin_pages_about_it() {
    for (name, answers, sends) in [
        ("attempts", [retry(), retry(), retry()].to_vec(), 3),
        ("config", vec![config()], 1),
        ("reject", vec![reject(), reject()], 2),
    ] {
        let mut script = Script::new(ONE).answers("pager", answers).push(0, &opened("fraud", Sev2)).want(
            0..=0,
            Trigger,
            "pager/ana",
        );
        for _ in 1..sends {
            script = script.want(50..=6_000, Trigger, "pager/ana");
        }
        let script = script
            .want(50..=6_000, Trigger, "phone/desk")
            // tocsin's own incident would go to pager/ana too: it goes around the pager.
            .want(60..=6_010, Trigger, "phone/desk")
            .run(60_000);
        let failed = script.pages_to("pager/ana");
        assert!(matches!(failed[0].state, OutboxState::Failed { .. }), "{name}");
        let own = &script.own[0];
        assert_eq!(own.subject.to_string(), "platform:receiver/pager#partition-0", "{name}");
        assert_eq!((own.source, own.family, own.generation), (wire::Source::Own, wire::Family::Other, 1));
        assert_eq!(script.own.len(), 1);
        assert_eq!(script.machine().counts().total.fallbacks, 1);
    }
}

#[test]
fn a_page_that_is_refused_is_sent_once_more_in_its_smallest_form() {
    let script = Script::new(ONE)
        .answers("pager", [reject(), retry(), Some(Outcome::Delivered { reference: None })])
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(50..=50, Trigger, "pager/ana")
        .want(100..=6_000, Trigger, "pager/ana")
        .run(60_000);
    let pages = script.pages_to("pager/ana");
    let [page] = &pages[..] else { panic!("one page, under one key: {pages:?}") };
    assert!(matches!(page.state, OutboxState::Delivered { .. }), "{page:?}");
    assert_eq!((page.attempts, page.page.minimal), (3, true));
    let counts = script.machine().counts().total;
    assert_eq!((counts.pages_failed, counts.fallbacks, script.own.len()), (0, 0, 0));
    assert_eq!(script.audited("page.due"), 2, "once for the smallest form, once for the retry");
}

#[test]
fn a_refused_page_that_is_not_wanted_any_more_is_not_made_smaller() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(ONE)
        .answers("pager", [reject()])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .ask(20, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .want(50..=60, Acknowledge, "pager/ana")
        .run(60_000);
    let page = script.pages_to("pager/ana")[0];
    assert!(matches!(page.state, OutboxState::Cancelled { .. }), "{page:?}");
    assert_eq!((page.attempts, page.page.minimal), (1, false));
}

#[test]
fn a_receiver_that_works_again_ends_the_incident_about_it_and_failing_again_reopens_it() {
    let slow = ONE.replace("delay_s = 300 }, ", "delay_s = 100 }, ").replace("phone/lead", "pager/ana");
    let script = Script::new(&slow)
        .answers("pager", [config(), Some(Outcome::Delivered { reference: None }), config()])
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(50..=50, Trigger, "phone/desk")
        // About the pager, by the fallback.
        .want(60..=60, Trigger, "phone/desk")
        .want(100_000..=100_000, Trigger, "pager/ana")
        .want(100_060..=100_060, Resolve, "phone/desk")
        .want(400_000..=400_000, Trigger, "pager/ana")
        .want(400_050..=400_050, Trigger, "phone/desk")
        .want(400_060..=400_060, Trigger, "phone/desk")
        .run(450_000);
    let words: Vec<_> = script.own.iter().map(|i| (i.change.name(), i.generation, i.sequence)).collect();
    assert_eq!(words, [("opened", 1, 1), ("cleared", 1, 2), ("opened", 2, 3)]);
    assert!(script.own.iter().all(|i| i.incident_id == script.own[0].incident_id));
}

#[test]
fn a_fallback_says_when_the_step_after_the_present_one_pages() {
    let later = Some(Outcome::RetryAfter { ms: 400_000, reason: "busy".into() });
    let script = Script::new(ONE)
        .answers("pager", [later, config()])
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(300_000..=300_000, Trigger, "phone/lead")
        .want(400_050..=400_050, Trigger, "pager/ana")
        .want(400_100..=400_100, Trigger, "phone/desk")
        .want(400_110..=400_110, Trigger, "phone/desk")
        .run(500_000);
    let [instead] = &script.pages_to("phone/desk")[..1] else { panic!("one in its place") };
    assert_eq!(
        instead.page.escalates_at,
        Some(at(600_000)),
        "not the time of the step that has paged already"
    );
}

#[test]
fn a_fallback_that_fails_is_not_followed_by_another() {
    let script = Script::new(ONE)
        .answers("pager", [config()])
        .answers("phone", [config(), config()])
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(50..=50, Trigger, "phone/desk")
        // About the pager by the phone, which fails; about the phone by the pager.
        .want(60..=60, Trigger, "phone/desk")
        .want(110..=110, Trigger, "pager/ana")
        // That one arrived, so the pager works; so does, as its end shows, the phone.
        .want(170..=170, Resolve, "phone/desk")
        .want(230..=230, Resolve, "pager/ana")
        .run(60_000);
    let words: Vec<_> = script.own.iter().map(|i| (i.subject.name.as_str(), i.change.name())).collect();
    let (pager, phone) = ("receiver/pager", "receiver/phone");
    assert_eq!(words, [(pager, "opened"), (phone, "opened"), (pager, "cleared"), (phone, "cleared")]);
    assert_eq!(script.machine().counts().total.pages_failed, 3);
}

#[test]
fn without_an_answer_the_page_is_sent_again_when_the_lease_has_ended() {
    for answer in [unknown(), None] {
        let script = Script::new(ONE)
            .answers("pager", [answer])
            .push(0, &opened("fraud", Sev2))
            .want(0..=0, Trigger, "pager/ana")
            .want(20_000..=20_000, Trigger, "pager/ana")
            .run(60_000);
        assert_eq!(script.sent[0].page, script.sent[1].page, "the same page to the byte");
    }
}

#[test]
fn the_end_of_what_a_lost_process_may_open_again_is_said_once_more() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(ONE)
        // Its process dies while it waits for the answer: if it only stood still, it may go on.
        .answers("pager", [None])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .crash(20, 5_000)
        .push(6_000, &next(&fraud, Cleared, Sev2))
        // A lease after the takeover, and another one after that.
        .want(25_020..=25_020, Resolve, "pager/ana")
        .want(45_070..=45_070, Resolve, "pager/ana")
        .run(120_000);
    let ids: Vec<_> = script.sent.iter().map(|s| &s.page.notification_id).collect();
    assert_ne!(ids[1], ids[2], "a receiver that knows ids would drop the same one");
    assert_eq!(script.machine().counts().total.resolves_repeated, 1);
    assert!(script.machine().incident_view(&fraud.incident_id).is_some_and(|v| v.ended_at.is_some()));
}

#[test]
fn an_alert_that_is_open_again_is_not_ended_by_what_would_have_been_said_once_more() {
    let fraud = opened("fraud", Sev2);
    let cleared = next(&fraud, Cleared, Sev2);
    Script::new(ONE)
        .answers("pager", [None])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .crash(20, 5_000)
        .push(6_000, &cleared)
        .want(25_020..=25_020, Resolve, "pager/ana")
        .push(30_000, &next(&cleared, Updated, Sev2))
        .want(30_000..=30_000, Trigger, "pager/ana")
        .run(50_000);
}

#[test]
fn a_new_owner_waits_out_a_full_lease_before_it_repeats_a_page() {
    let script = Script::new(ONE)
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        // Dies before the answer; 5 s later another one takes over.
        .crash(20, 5_000)
        .want(25_020..=25_020, Trigger, "pager/ana")
        .run(60_000);
    assert_eq!(script.sent[0].page, script.sent[1].page, "the same page to the byte");
    assert_eq!(script.sent[1].attempt, 2);
}

#[test]
fn a_page_begun_by_the_old_owner_is_not_repeated_once_acknowledged() {
    let fraud = opened("fraud", Sev2);
    Script::new(ONE)
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .crash(20, 5_000)
        .ask(10_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        // It may have arrived, so the alert is acknowledged, after the lease.
        .want(25_020..=25_020, Acknowledge, "pager/ana")
        .run(60_000);
}

#[test]
fn an_outage_does_not_page_all_levels_in_a_second() {
    let steps: Vec<String> =
        (0..5).map(|i| format!("{{ targets = [\"pager/p{i}\"], delay_s = 300 }}")).collect();
    let settings = format!(
        "namespace = \"default\"\n[[route]]\npolicy = \"page\"\n[policy.page]\nsteps = [{}]\n",
        steps.join(", ")
    );
    let script = Script::new(&settings)
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/p0")
        .crash(1_000, 2_400_000)
        // 40 minutes later: the first at once, the others a minute apart, until the plan is caught up with.
        .want(2_401_000..=2_401_000, Trigger, "pager/p1")
        .want(2_461_000..=2_461_000, Trigger, "pager/p2")
        .want(2_521_000..=2_521_000, Trigger, "pager/p3")
        .want(2_581_000..=2_581_000, Trigger, "pager/p4")
        // Repeats that were missed are not made up.
        .want(2_641_000..=2_641_000, Trigger, "pager/p4")
        .want(2_941_000..=2_941_000, Trigger, "pager/p4")
        .run(3_000_000);
    assert_eq!(script.machine().counts().total.catch_ups, 4);
}

#[test]
fn a_worker_that_stood_still_says_so_and_says_when_it_is_over() {
    let mut machine = Machine::new(0, policy(ONE));
    let own = |effects: Vec<Effect>| {
        let found =
            effects.into_iter().find_map(|e| if let Effect::Incident(i) = e { Some(*i) } else { None });
        found.map(|i| (i.change, i.severity, i.title))
    };
    drop(machine.handle(Input::Started { owner: "one".into() }, at(0)));
    drop(machine.handle(Input::Incident(Box::new(opened("fraud", Sev2))), at(0)));
    // The lease of the first page has ended; the worker is a little late.
    assert_eq!(own(machine.handle(Input::Tick, at(49_000))), None);
    // The lease of its second page ended at 69 s, and nobody looked.
    let late = own(machine.handle(Input::Tick, at(111_500)));
    let title = "the escalation worker stood still: a timer fired 42 s after it was due";
    assert_eq!(late, Some((Opened, Sev2, title.into())));
    let due = machine.deadline().unwrap();
    assert_eq!(own(machine.handle(Input::Tick, due)).map(|(change, ..)| change), Some(Cleared));
    // What was due before it began is its predecessor's delay.
    let mut next = Machine::new(0, policy(ONE));
    drop(next.handle(Input::Started { owner: "two".into() }, at(0)));
    let effects = next.handle(Input::Incident(Box::new(opened("fraud", Sev2))), at(0));
    let mut successor = Machine::new(0, policy(ONE));
    for effect in effects {
        if let Effect::State { key, value: Some(value) } = effect {
            successor.restore(&key, &value).unwrap();
        }
    }
    drop(successor.handle(Input::Started { owner: "three".into() }, at(900_000)));
    assert_eq!(own(successor.handle(Input::Tick, at(900_000))), None);
}

#[test]
fn an_acknowledgement_that_ran_out_during_an_outage_pages_at_once() {
    let fraud = opened("fraud", Sev2);
    Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(1_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(1_000..=1_000, Acknowledge, &["pager/ana", "pager/bo"])
        .crash(2_000, 3_600_000)
        .wants(3_602_000..=3_602_000, Trigger, &["pager/ana", "pager/bo"])
        .run(3_610_000);
}

#[test]
fn a_receiver_gets_no_more_at_once_than_it_may_and_the_longest_waiting_first() {
    let settings = format!("{ONE}\nin_flight_max = 1\n");
    let script = Script::new(&settings)
        .push(0, &opened("a", Sev2))
        .push(1, &opened("b", Sev2))
        .push(2, &opened("c", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .want(50..=50, Trigger, "pager/ana")
        .want(100..=100, Trigger, "pager/ana")
        .run(60_000);
    let models: Vec<_> = script.sent.iter().map(|s| s.page.incident.subject.name.as_str()).collect();
    assert_eq!(models, ["a", "b", "c"]);
}

#[test]
fn an_incident_follows_the_settings_it_opened_with() {
    let fraud = opened("fraud", Sev2);
    let other = SETTINGS.replace("pager/lead", "phone/new-lead");
    let script = Script::new(SETTINGS)
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .restart_with(10_000, &other)
        .want(60_000..=60_000, Trigger, "pager/lead")
        .push(70_000, &opened("rank", Sev2))
        .wants(70_000..=70_000, Trigger, &["pager/ana", "pager/bo"])
        .want(130_000..=130_000, Trigger, "phone/new-lead")
        .run(150_000);
    assert_eq!(script.audited("policy.loaded"), 2);
    let bundles = |script: &Script| script.state.keys().filter(|k| k.starts_with(b"bundle/")).count();
    assert_eq!(bundles(&script), 2);
    // Both end and are forgotten: neither bundle is needed any longer.
    let (a, b) = (next(&fraud, Cleared, Sev2), next(&opened("rank", Sev2), Cleared, Sev2));
    let script = script
        .push(160_000, &a)
        .push(160_000, &b)
        .wants(160_000..=160_000, Resolve, &["pager/ana", "pager/bo", "pager/lead"])
        .wants(160_000..=160_000, Resolve, &["pager/ana", "pager/bo", "phone/new-lead"])
        .run(90_000_000);
    assert_eq!(bundles(&script), 0);
    assert_eq!(script.machine().counts().live + script.machine().counts().ended, 0);
    assert!(script.state.keys().all(|k| !k.starts_with(b"incident/")), "tombstones were written");
}

#[test]
fn nothing_leaves_before_the_process_has_started() {
    use escalate::{Effect, Input, Machine};
    let mut machine = Machine::new(0, policy(ONE));
    let effects = machine.handle(Input::Incident(Box::new(opened("fraud", Sev2))), at(0));
    assert!(effects.iter().all(|e| !matches!(e, Effect::Send { .. })));
    assert_eq!(machine.deadline(), None);
    let effects = machine.handle(Input::Started { owner: "p".into() }, at(1));
    assert!(effects.iter().any(|e| matches!(e, Effect::Send { .. })));
}

#[test]
fn who_asks_for_it_has_an_incident_follow_the_policy_of_today() {
    let other = ONE.replace("pager/ana", "pager/ben").replace("phone/lead", "phone/new-lead");
    let (paged, held, put_off) = (opened("fraud", Sev2), opened("ranking", Sev2), opened("search", Sev2));
    let repin = |id: &str, of: &Incident, why: &str| {
        command(id, &of.incident_id, "ana", Action::Repin { reason: Some(why.into()) })
    };
    let script = Script::new(ONE)
        .push(0, &paged)
        .push(0, &held)
        .push(0, &put_off)
        .wants(0..=0, Trigger, &["pager/ana"; 3])
        .ask(1_000, command("c1", &held.incident_id, "ana", acknowledge(Some(100))))
        .wants(1_000..=1_000, Acknowledge, &["pager/ana"])
        .ask(1_000, command("c2", &put_off.incident_id, "ana", Action::Snooze { for_s: 200, reason: None }))
        .ask(2_000, repin("c3", &paged, "nothing else to follow"))
        .load(3_000, "b", "SIGHUP", &other)
        .ask(4_000, repin("c4", &paged, "ana has left"))
        .wants(4_000..=4_000, Trigger, &["pager/ben"])
        .ask(4_000, repin("c5", &held, "ana has left"))
        .ask(4_000, repin("c6", &put_off, "ana has left"))
        .ask(5_000, repin("c7", &held, "again"))
        // Who has it keeps it, and what is put off is put off: the bundle of today says who comes after them.
        .wants(101_000..=101_000, Trigger, &["pager/ben"])
        .wants(201_000..=201_000, Trigger, &["pager/ben"])
        .wants(304_000..=304_000, Trigger, &["phone/new-lead"])
        // In another process too.
        .restart_with(305_000, &other)
        .wants(401_000..=401_000, Trigger, &["phone/new-lead"])
        .wants(501_000..=501_000, Trigger, &["phone/new-lead"])
        .run(590_000);
    let already = Answer::Refused { why: "it follows the bundle that is in force already".into() };
    for (id, want) in
        [("c3", &already), ("c4", &Answer::Accepted), ("c5", &Answer::Accepted), ("c7", &already)]
    {
        assert_eq!(script.machine().answer(&wire::CommandId::new(id)), Some(want), "{id}");
    }
    let pinned: Vec<_> = script.audit.iter().filter(|r| r.action == "policy.pinned").collect();
    assert_eq!(pinned.len(), 3, "{pinned:?}");
    assert!(pinned.iter().all(|r| r.before != r.after && r.why.as_deref() == Some("somebody asked for it")));
    let told = script.responses.iter().filter(|r| r.change == ResponseChange::Repinned);
    assert!(told.map(|r| r.why.as_deref()).eq([Some("ana has left"); 3]));
}

#[test]
fn a_policy_that_is_loaded_is_for_what_opens_from_then_on() {
    let other = ONE.replace("pager/ana", "pager/ben").replace("phone/lead", "phone/new-lead");
    let script = Script::new(ONE)
        .push(0, &opened("fraud", Sev2))
        .want(0..=0, Trigger, "pager/ana")
        .load(1_000, "a", "file", ONE)
        .load(2_000, "b", "SIGHUP", &other)
        // Said again, as after every takeover.
        .load(3_000, "b", "file", &other)
        .push(4_000, &opened("ranking", Sev2))
        .want(4_000..=4_000, Trigger, "pager/ben")
        // The first one goes on by what it opened with, in another process too.
        .restart_with(5_000, &other)
        .load(6_000, "b", "start", &other)
        .wants(300_000..=300_000, Trigger, &["phone/lead"])
        .wants(304_000..=304_000, Trigger, &["phone/new-lead"])
        .run(500_000);
    let of = |action: &str| -> Vec<_> {
        let records = script.audit.iter().filter(|r| r.action == action);
        records.map(|r| (r.before.clone(), r.after.clone(), r.why.clone())).collect()
    };
    let digest = |config: &str| Some(wire::Digest::of(&[config.as_bytes()]).to_string());
    let by = |by: &str| Some(format!("by {by}"));
    assert_eq!(
        of("config.loaded"),
        [(None, digest("a"), by("file")), (digest("a"), digest("b"), by("SIGHUP"))]
    );
    let policies = [ONE, &other].map(|settings| Some(policy(settings).digest().to_string()));
    let [first, second] = policies;
    assert_eq!(of("policy.loaded"), [(None, first.clone(), None), (first, second, by("SIGHUP"))]);
}
