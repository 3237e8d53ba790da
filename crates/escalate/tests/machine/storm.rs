//! Storms: the first page to a person comes at once, what follows within a minute comes as one, and nothing is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use escalate::{Effect, Input, Machine, Policy, ReadBy, Readers};
use wire::Change::{Cleared, Updated};
use wire::Severity::{Sev1, Sev2, Sev3};
use wire::outbox::{OutboxState, Outcome};
use wire::page::PageKind::{Acknowledge, Resolve, Trigger};
use wire::page::{Folded, Page};
use wire::{IncidentId, Severity};

use crate::harness::Script;
use crate::samples::{acknowledge, at, command, next, opened, policy};

const SETTINGS: &str = r##"
    namespace = "default"
    [[route]]
    model = ["all-*"]
    policy = "all"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [{ targets = ["person:ana"], delay_s = 86400 }]
    fallback = "board/desk"
    [policy.all]
    steps = [{ targets = ["person:bo", "board/#ml", "phone/pipe", "pager/service"], delay_s = 86400 }]
    [people.person.ana]
    contact.page = ["pager/ana"]
    [people.person.bo]
    contact.page = ["phone/bo"]
"##;

const ANA: &str = "pager/ana";

fn storm(script: Script, from_ms: i64, models: std::ops::Range<usize>, severity: Severity) -> Script {
    models.fold(script, |script, n| script.push(from_ms, &opened(&format!("model-{n:02}"), severity)))
}

fn id(n: usize) -> IncidentId {
    opened(&format!("model-{n:02}"), Sev2).incident_id
}

fn folded(page: &Page) -> &Folded {
    page.folded.as_ref().expect("it speaks for others")
}

/// Incidents that a page names beside its own.
fn named(page: &Page) -> BTreeSet<IncidentId> {
    folded(page).listed.iter().map(|other| other.incident_id.clone()).collect()
}

fn last(script: &Script) -> &Page {
    &script.sent.last().expect("a page was sent").page
}

fn state_of(script: &Script, n: usize) -> OutboxState {
    let of = id(n);
    let page = script.pages_to(ANA).into_iter().rfind(|record| record.page.incident.incident_id == of);
    page.expect("it was decided").state.clone()
}

#[test]
fn the_first_page_comes_at_once_and_those_of_the_next_minute_as_one() {
    let script = storm(Script::new(SETTINGS), 100, 0..12, Sev2);
    let script = storm(script, 59_000, 12..13, Sev3)
        .want(100..=100, Trigger, ANA)
        .want(60_100..=60_100, Trigger, ANA)
        .push(60_200, &opened("model-20", Sev2))
        .want(120_100..=120_100, Trigger, ANA)
        .run(3_600_000);
    let [first, second, third] = script.sent.as_slice() else { panic!("{:?}", script.sent) };
    assert_eq!((&first.page.folded, &third.page.folded), (&None, &None));
    assert_eq!(folded(&second.page).others, 11);
    let told = named(&second.page).into_iter().chain([second.page.incident.incident_id.clone()]);
    assert_eq!(told.collect::<BTreeSet<_>>(), (1..13).map(id).collect());
    assert_eq!(folded(&second.page).listed.last().map(|other| other.severity), Some(Sev3), "the worst first");
    let into = second.page.notification_id.clone();
    assert_eq!(state_of(&script, 5), OutboxState::Folded { into });
    assert_eq!((script.audited("page.held"), script.audited("page.folded")), (2, 11));
    let counts = script.machine().counts().total;
    assert_eq!((counts.pages_held, counts.pages_folded, counts.pages_delivered), (2, 11, 3));
    let text = second.page.text.as_ref().expect("in words");
    assert!(text.title.starts_with("12 incidents: "), "{}", text.title);
    assert!(
        text.body.contains("Besides this one, 11 more came in the meantime, the worst first:\n- sev2 model-"),
        "{}",
        text.body
    );
    assert!(text.body.contains(id(7).as_str()), "{}", text.body);
}

#[test]
fn ten_thousand_incidents_in_ten_seconds_are_a_handful_of_messages() {
    let mut script = Script::new(SETTINGS);
    for n in 0..10_000_usize {
        let severity = if n % 1000 == 999 { Sev1 } else { Sev2 };
        script = script.push(i64::try_from(n).expect("few"), &opened(&format!("model-{n:02}"), severity));
    }
    let script = script
        .want(0..=0, Trigger, ANA)
        .want(999..=999, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .run(3_600_000);
    let spoken: u64 =
        script.sent.iter().map(|s| 1 + s.page.folded.as_ref().map_or(0, |f| u64::from(f.others))).sum();
    assert_eq!(spoken, 10_000);
    let page = last(&script);
    assert_eq!((folded(page).others, folded(page).listed.len()), (9_997, Folded::LISTED_MAX));
    assert!(folded(page).listed[..8].iter().all(|other| other.severity == Sev1), "{:?}", folded(page).listed);
    assert!(
        page.text
            .as_ref()
            .expect("in words")
            .body
            .contains("and 9977 that are not listed here: the page of this incident lists all")
    );
    let folded = |record: &&wire::outbox::OutboxRecord| matches!(record.state, OutboxState::Folded { .. });
    assert_eq!(script.pages_to(ANA).iter().filter(|r| folded(r)).count(), 9_997);
}

#[test]
fn what_is_worse_than_what_they_were_told_comes_at_once() {
    storm(Script::new(SETTINGS), 0, 0..2, Sev3)
        .push(1_000, &opened("model-02", Sev2))
        .push(2_000, &opened("model-03", Sev2))
        .push(3_000, &opened("model-04", Sev1))
        .want(0..=0, Trigger, ANA)
        .want(1_000..=1_000, Trigger, ANA)
        .want(3_000..=3_000, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .run(3_600_000);
}

#[test]
fn what_becomes_worse_while_it_waits_leaves_at_once() {
    // One that gathers the others, and one of the others: the rest comes at its time.
    for worse in [1, 3] {
        let of = opened(&format!("model-{worse:02}"), Sev2);
        let script = storm(Script::new(SETTINGS), 0, 0..5, Sev2)
            .push(10_000, &next(&of, Updated, Sev1))
            .want(0..=0, Trigger, ANA)
            .want(10_000..=10_000, Trigger, ANA)
            .want(60_000..=60_000, Trigger, ANA)
            .run(3_600_000);
        let page = &script.sent[1].page;
        assert_eq!((page.incident.incident_id.clone(), page.incident.severity), (id(worse), Sev1));
        let others: Vec<u32> =
            script.sent.iter().map(|s| s.page.folded.as_ref().map_or(0, |f| f.others)).collect();
        assert_eq!(others, [0, 0, 2], "each once");
    }
}

#[test]
fn what_somebody_has_taken_by_then_is_left_out() {
    let script = storm(Script::new(SETTINGS), 0, 0..4, Sev2)
        .ask(1_000, command("c1", &id(2), "ana", acknowledge(None)))
        .want(0..=0, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .run(3_600_000 - 1);
    let page = last(&script);
    assert_eq!(
        (page.incident.incident_id.clone(), folded(page).others, named(page)),
        (id(1), 1, BTreeSet::from([id(3)]))
    );
    assert!(script.sent.iter().all(|s| s.page.kind != Acknowledge), "nothing was open there");
}

#[test]
fn if_the_one_that_speaks_for_them_is_taken_another_does() {
    let taken =
        |script: Script, n, ms| script.ask(ms, command(&format!("c{n}"), &id(n), "ana", acknowledge(None)));
    let script = taken(storm(Script::new(SETTINGS), 0, 0..4, Sev2), 1, 1_000)
        .want(0..=0, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .run(3_600_000 - 1);
    let page = last(&script);
    assert_eq!((page.incident.incident_id.clone(), named(page)), (id(2), BTreeSet::from([id(3)])));
    // And if all are, nobody is called.
    let script =
        (1..4).fold(storm(Script::new(SETTINGS), 0, 0..4, Sev2), |script, n| taken(script, n, 1_000));
    script.want(0..=0, Trigger, ANA).run(3_600_000 - 1);
    // Also once it has left, and is to be tried again.
    let retry = Outcome::RetryAfter { ms: 5_000, reason: "busy".into() };
    let delivered = Outcome::Delivered { reference: None };
    let script = taken(storm(Script::new(SETTINGS), 0, 0..4, Sev2), 1, 61_000)
        .answers("pager", [Some(delivered), Some(retry)])
        .want(0..=0, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .want(61_000..=61_000, Trigger, ANA)
        .want(61_000..=61_000, Acknowledge, ANA)
        .run(3_600_000 - 1);
    let page = &script.sent.iter().rfind(|s| s.page.kind == Trigger).expect("the last").page;
    assert_eq!((page.incident.incident_id.clone(), named(page)), (id(2), BTreeSet::from([id(3)])));
}

#[test]
fn if_the_one_that_speaks_for_them_fails_each_goes_to_the_fallback() {
    let (gone, delivered) =
        (Outcome::Config { reason: "410".into() }, Outcome::Delivered { reference: None });
    let script = storm(Script::new(SETTINGS), 0, 0..50, Sev2)
        .answers("pager", [Some(delivered), Some(gone)])
        .want(0..=0, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA);
    // tocsin's own incident about the receiver goes around that.
    let script = (0..50).fold(script, |s, _| s.want(60_000..=61_000, Trigger, "board/desk")).run(3_600_000);
    let to_desk = script.sent.iter().filter(|s| s.to() == "board/desk");
    let to_desk: BTreeSet<_> = to_desk.map(|s| s.page.incident.incident_id.clone()).collect();
    assert!((1..50).all(|n| to_desk.contains(&id(n))));
    assert!((1..50).all(|n| matches!(state_of(&script, n), OutboxState::Failed { .. })));
}

/// Keeps the state, and counts pages to the desk.
fn keep(
    state: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    desk: &mut BTreeSet<IncidentId>,
    effects: Vec<Effect>,
) -> Vec<Page> {
    let mut sent = Vec::new();
    for effect in effects {
        match effect {
            Effect::State { key, value: Some(value) } => drop(state.insert(key, value)),
            Effect::State { key, value: None } => drop(state.remove(&key)),
            Effect::Send { page, .. } => {
                if page.receiver == "board" {
                    desk.insert(page.incident.incident_id.clone());
                }
                sent.push(*page);
            }
            Effect::Response(_)
            | Effect::Outbox(_)
            | Effect::Audit(_)
            | Effect::Incident(_)
            | Effect::Control { .. }
            | Effect::Feedback(_)
            | Effect::Checkpoint(_) => (),
        }
    }
    sent
}

#[test]
fn whoever_takes_over_tells_the_rest_that_the_one_that_spoke_for_them_failed() {
    const ALL: usize = 2_500;
    let (mut state, mut desk) = (BTreeMap::new(), BTreeSet::new());
    let mut machine = Machine::new(
        0,
        policy(
            &SETTINGS.replace("[people.person.bo]", "[escalate]\nin_flight_max = 1000\n[people.person.bo]"),
        ),
    );
    let start = |machine: &mut Machine, at| machine.handle(Input::Started { owner: "a".into() }, at);
    keep(&mut state, &mut desk, start(&mut machine, at(0)));
    let outcome = |page: &Page, outcome| Input::Outcome {
        notification_id: page.notification_id.clone(),
        incident_id: page.incident.incident_id.clone(),
        attempt: 1,
        outcome,
    };
    for n in 0..ALL {
        let incident = opened(&format!("model-{n:02}"), Sev2);
        for page in keep(&mut state, &mut desk, machine.handle(Input::Incident(Box::new(incident)), at(0))) {
            let delivered = outcome(&page, Outcome::Delivered { reference: None });
            keep(&mut state, &mut desk, machine.handle(delivered, at(0)));
        }
    }
    let sent = keep(&mut state, &mut desk, machine.handle(Input::Tick, at(60_000)));
    let [lead] = sent.as_slice() else { panic!("{} pages", sent.len()) };
    assert_eq!(folded(lead).others, 2_498);
    let failed = outcome(lead, Outcome::Config { reason: "410".into() });
    let mut sent = keep(&mut state, &mut desk, machine.handle(failed, at(60_050)));
    assert!(
        desk.len() <= 1_002 && machine.deadline() == Some(at(60_050)),
        "a thousand at a time: {}",
        desk.len()
    );
    // It dies, and another takes over.
    let mut machine = Machine::new(0, policy(SETTINGS));
    state.iter().for_each(|(key, value)| machine.restore(key, value).expect("its own state"));
    sent.extend(keep(&mut state, &mut desk, start(&mut machine, at(61_000))));
    for step in 0..20_000 {
        assert!(step < 19_999, "it comes to an end");
        let next = sent.pop().map(|page| outcome(&page, Outcome::Delivered { reference: None }));
        let Some(input) = next.or_else(|| (machine.deadline() <= Some(at(200_000))).then_some(Input::Tick))
        else {
            break;
        };
        let now = machine.deadline().unwrap_or(at(61_000)).clamp(at(61_000), at(200_000));
        sent.extend(keep(&mut state, &mut desk, machine.handle(input, now)));
    }
    assert!((1..ALL).all(|n| desk.contains(&id(n))), "{} of {ALL}", desk.len());
}

#[test]
fn whoever_takes_over_knows_until_when_a_place_is_left_alone() {
    let script = storm(Script::new(SETTINGS), 0, 0..3, Sev2).crash(10_000, 5_000);
    let script = storm(script, 20_000, 3..5, Sev2)
        .want(0..=0, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .run(3_600_000);
    assert_eq!(folded(last(&script)).others, 3);
    // It is long over by the time that somebody takes over.
    let script = storm(Script::new(SETTINGS), 0, 0..3, Sev2).crash(10_000, 600_000);
    let script = storm(script, 700_000, 3..4, Sev2)
        .want(0..=0, Trigger, ANA)
        .want(610_000..=610_000, Trigger, ANA)
        .want(700_000..=700_000, Trigger, ANA)
        .run(3_600_000);
    assert_eq!(
        script.sent.iter().map(|s| s.page.folded.as_ref().map_or(0, |f| f.others)).collect::<Vec<_>>(),
        [0, 1, 0]
    );
}

#[test]
fn only_what_people_read_is_folded() {
    let readers =
        Readers::from([("board".to_owned(), ReadBy::People), ("phone".to_owned(), ReadBy::Programs)]);
    let under = Arc::new(Policy::clone(&policy(SETTINGS)).with_readers(readers));
    let mut script = Script::new(SETTINGS).restart_under(0, under);
    for n in 0..3 {
        script = script.push(100, &opened(&format!("all-{n}"), Sev2));
        // A service calls people itself, and gets every incident as an alert of its own.
        script = script.wants(100..=100, Trigger, &["phone/bo", "phone/pipe", "pager/service"]);
    }
    let script = script
        .want(100..=100, Trigger, "board/#ml")
        .want(60_100..=60_100, Trigger, "board/#ml")
        .run(3_600_000);
    assert_eq!(folded(last(&script)).others, 1);
}

#[test]
fn people_say_how_often_they_want_to_be_called() {
    let with = |limits: &str| format!("{SETTINGS}\n[people.person.ana.limits]\n{limits}\n");
    let script = storm(Script::new(&with("fold_s = 0")), 0, 0..3, Sev2);
    (0..3).fold(script, |script, _| script.want(0..=0, Trigger, ANA)).run(3_600_000);
    let script = storm(Script::new(&with("fold_s = 300")), 0, 0..3, Sev2);
    let script = script.want(0..=0, Trigger, ANA).run(10_000);
    held(
        &script,
        1,
        "at 2026-03-02T10:05:00.000Z: its place got a page a moment before (fold_s of the limits of ana)",
    );
    script.want(300_000..=300_000, Trigger, ANA).run(3_600_000);
    // Six in an hour, whatever comes.
    let mut script = Script::new(&with("per_hour = 6"));
    for n in 0..60 {
        script = storm(
            script,
            n * 60_000,
            usize::try_from(n).expect("few")..usize::try_from(n).expect("few") + 1,
            Sev2,
        );
    }
    for at in [0, 60_000, 120_000, 180_000, 240_000, 300_000] {
        script = script.want(at..=at, Trigger, ANA);
    }
    script = script.run(500_000);
    held(
        &script,
        6,
        "at 2026-03-02T11:00:00.000Z: its place got 6 pages within an hour (per_hour of the limits of ana)",
    );
    let script = script.want(3_600_000..=3_600_000, Trigger, ANA).run(3_600_000);
    assert_eq!(folded(last(&script)).others, 53);
}

/// That this is said of the page of the nth incident, which waits.
fn held(script: &Script, nth: usize, why: &str) {
    let id = opened(&format!("model-{nth:02}"), Sev2).incident_id;
    for person in [None, Some("ana")] {
        let said = script.machine().why(&id, person).expect("known").join("\n");
        assert!(said.contains(&format!("goes with others {why}")), "{said}");
    }
}

#[test]
fn what_is_repeated_by_its_policy_is_not_held_up() {
    let settings = SETTINGS.replace(
        r#"{ targets = ["person:ana"], delay_s = 86400 }"#,
        r#"{ targets = ["person:ana"], delay_s = 20 }"#,
    );
    let script =
        Script::new(&settings).push(0, &opened("model-00", Sev2)).push(1_000, &opened("model-01", Sev2));
    let script = [0, 20_000, 40_000, 60_000, 60_000, 61_000, 80_000, 81_000]
        .into_iter()
        .fold(script, |script, at| script.want(at..=at, Trigger, ANA));
    script.run(90_000);
}

#[test]
fn an_alert_that_was_never_opened_is_not_closed() {
    let close = |n: usize| next(&opened(&format!("model-{n:02}"), Sev2), Cleared, Sev2);
    let script = storm(Script::new(SETTINGS), 0, 0..4, Sev2);
    let script = (0..4).fold(script, |script, n| script.push(100_000, &close(n)));
    script
        .want(0..=0, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .wants(100_000..=100_000, Resolve, &[ANA, ANA])
        .run(3_600_000);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let refused = |text: &str| {
        let error = Policy::new(crate::samples::bundle(text), &crate::samples::receivers())
            .expect_err("it is refused");
        error.to_string()
    };
    let with = |limits: &str| format!("{SETTINGS}\n[people.person.ana.limits]\n{limits}\n");
    assert_eq!(
        refused(&with("fold_s = 901")),
        "people.person.ana.limits.fold_s: seconds = 901 is not between 0 and 900"
    );
    assert_eq!(
        refused(&with("per_hour = 1")),
        "people.person.ana.limits.per_hour: pages = 1 is not between 6 and 3600"
    );
    let fold = SETTINGS.replace("[people.person.bo]", "[escalate]\nfold_s = 901\n[people.person.bo]");
    assert_eq!(refused(&fold), "escalate.fold_s: fold_s = 901 is not between 0 and 900");
}

#[test]
fn the_worst_speaks_for_the_others_and_an_exercise_for_none_that_are_real() {
    let mut drill = opened("model-09", Sev1);
    drill.drill = true;
    let script = storm(Script::new(SETTINGS), 0, 0..1, Sev2);
    let script = storm(script, 1_000, 1..3, Sev3);
    let script = storm(script, 2_000, 3..5, Sev2)
        .push(3_000, &drill)
        .want(0..=0, Trigger, ANA)
        .want(3_000..=3_000, Trigger, ANA)
        .want(60_000..=60_000, Trigger, ANA)
        .run(3_600_000);
    let page = last(&script);
    assert_eq!((page.incident.severity, &page.incident.incident_id), (Sev2, &id(3)));
    assert_eq!(named(page), [1, 2, 4].map(id).into());
}

#[test]
fn what_leaves_after_it_was_folded_has_an_alert_that_is_closed() {
    let [_, second, third] = [0, 1, 2].map(|n| opened(&format!("model-{n:02}"), Sev2));
    storm(Script::new(SETTINGS), 0, 0..3, Sev2)
        .want(0..=0, Trigger, ANA)
        .ask(1_000, command("c1", &second.incident_id, "ana", acknowledge(None)))
        .want(60_000..=60_000, Trigger, ANA)
        .push(90_000, &next(&third, Cleared, Sev2))
        .want(90_000..=90_000, Resolve, ANA)
        .run(3_600_000 - 1);
}
