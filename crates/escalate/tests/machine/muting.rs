//! Silences and maintenance, in virtual time.

use wire::Severity::{Sev1, Sev2, Sev3};
use wire::control::{Claim, Control, Listed, NewSilence, SilenceAsk, SilenceCommand};
use wire::page::PageKind::{Acknowledge, Resolve, Trigger};
use wire::{Change, Incident, Matches, Severity, SilenceId};

use crate::harness::Script;
use crate::samples::{self, acknowledge, at, command, next, opened, reopened};

/// One step that repeats each minute.
pub(crate) const ONE: &str = r#"
    namespace = "default"
    [[route]]
    policy = "page"
    [policy.page]
    steps = [{ targets = ["pager/ana"], delay_s = 60 }]
"#;

pub(crate) fn with(more: &str) -> String {
    format!("{ONE}\n{more}")
}

pub(crate) fn of(model: &str) -> Matches {
    Matches { model: vec![model.into()], ..Matches::default() }
}

pub(crate) fn wanted(of: Matches, for_s: u64, incidents_max: u32, listed: &[&Incident]) -> NewSilence {
    let listed =
        listed.iter().map(|i| Listed { incident_id: i.incident_id.clone(), generation: i.generation });
    NewSilence {
        of,
        for_s,
        until_resolved: false,
        unmatched_s: None,
        incidents_max,
        listed: listed.collect(),
        reason: "a rollout".into(),
    }
}

pub(crate) fn make(id: &str, new: NewSilence) -> SilenceCommand {
    samples::silence(&format!("make-{id}"), &SilenceId::new(id), "ana", SilenceAsk::Make(Box::new(new)))
}

fn end(id: &str) -> SilenceCommand {
    let ask = SilenceAsk::End { reason: Some("it is done".into()) };
    samples::silence(&format!("end-{id}"), &SilenceId::new(id), "ana", ask)
}

fn answer(script: &Script, id: &str) -> String {
    let answer = script.machine().answer(&wire::CommandId::new(id));
    format!("{:?}", answer.expect("it was answered"))
}

#[test]
fn nobody_is_paged_about_what_is_silenced_until_its_end_and_then_within_a_second() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(of("fraud"), 100, 5, &[])))
        .push(1_000, &fraud)
        .want(100_000..=101_000, Trigger, "pager/ana")
        .run(130_000);
    let page = script.pages_to("pager/ana")[0];
    let says = &script.sent[0].page.text.as_ref().expect("it has words").body;
    assert!(page.page.notice.as_deref().is_some_and(|n| n.contains("silence s")), "{:?}", page.page.notice);
    assert!(says.contains("it was muted until now by silence s"), "{says}");
    assert_eq!(script.audited("silence.made") + script.audited("silence.ended"), 2);
    let keys: Vec<_> = script.control.iter().filter(|(_, c)| c.is_none()).map(|(k, _)| k.clone()).collect();
    assert_eq!(
        keys,
        ["silence/s".to_owned(), format!("claim/s/{}", fraud.incident_id)],
        "nothing is left of it"
    );
    let why = script.machine().why(&fraud.incident_id, None).expect("known").join("\n");
    let was = "nobody was paged from 2026-03-02T10:00:01.020Z until 2026-03-02T10:01:40.000Z or an end before that: silence s";
    assert!(why.contains(was), "{why}");
}

#[test]
fn what_pages_already_is_silenced_by_what_lists_it_and_nothing_else_is() {
    let (fraud, rank) = (opened("fraud", Sev2), opened("rank", Sev2));
    let any = Matches { model: vec!["*".into()], ..Matches::default() };
    let script = Script::new(ONE)
        .push(0, &fraud)
        .push(0, &rank)
        .wants(0..=0, Trigger, &["pager/ana", "pager/ana"])
        .silence(10_000, make("s", wanted(any, 300, 1, &[&fraud])))
        // It was not listed, and there is no room for it.
        .want(60_000..=60_100, Trigger, "pager/ana")
        .want(120_000..=120_100, Trigger, "pager/ana")
        .run(150_000);
    let muted = |i: &Incident| script.machine().incident_view(&i.incident_id).expect("known").muted_until;
    assert_eq!((muted(&fraud), muted(&rank)), (Some(at(310_000)), None));
}

#[test]
fn the_match_beyond_the_limit_of_a_silence_pages_and_says_so() {
    let any = Matches { model: vec!["*".into()], ..Matches::default() };
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(any, 600, 2, &[])))
        .push(1_000, &opened("a", Sev2))
        .push(1_000, &opened("b", Sev2))
        .push(1_000, &opened("c", Sev2))
        // After the answer to its question.
        .want(1_000..=1_100, Trigger, "pager/ana")
        .run(50_000);
    assert_eq!(script.sent[0].page.incident.subject.name, "c");
    let notice = script.sent[0].page.notice.as_deref().expect("it says so");
    assert_eq!(notice, "silence s matches it, and has its 2 incidents");
    let why = script.machine().why(&script.sent[0].page.incident.incident_id, None).expect("known");
    assert!(why.iter().any(|line| line == notice), "{why:?}");
}

#[test]
fn places_are_given_in_the_order_of_the_topic_whoever_asks() {
    let (a, other) = (opened("a", Sev2), opened("elsewhere", Sev2));
    let claim =
        Control::Claim(Claim { silence_id: SilenceId::new("s"), incident_id: other.incident_id, at: at(0) });
    let any = Matches { model: vec!["*".into()], ..Matches::default() };
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(any, 600, 1, &[])))
        // Another partition was first.
        .told(999, &claim.key(), Some(claim))
        .push(1_000, &a)
        .want(1_000..=1_100, Trigger, "pager/ana")
        .run(50_000);
    assert_eq!(script.machine().incident_view(&a.incident_id).expect("known").muted_by, None);
}

#[test]
fn whoever_has_no_answer_in_time_pages() {
    let fraud = opened("fraud", Sev2);
    let mut machine = escalate::Machine::new(0, samples::policy(ONE));
    let mut triggers = 0;
    let mut give = |machine: &mut escalate::Machine, input, ms: i64| {
        for effect in machine.handle(input, at(ms)) {
            if let escalate::Effect::Send { page, .. } = effect {
                triggers += usize::from(page.kind == Trigger);
            }
        }
        triggers
    };
    let silence = wire::control::Silence {
        silence_id: SilenceId::new("s"),
        of: of("fraud"),
        made_at: at(0),
        until: at(600_000),
        until_resolved: false,
        unmatched_s: None,
        incidents_max: 1,
        listed: vec![],
        by: "p-1".into(),
        reason: "a rollout".into(),
    };
    let control = Control::Silence(Box::new(silence));
    let told = escalate::Input::Control(vec![(control.key(), Some(Box::new(control)))]);
    give(&mut machine, told, 0);
    give(&mut machine, escalate::Input::Started { owner: "one".into() }, 0);
    assert_eq!(give(&mut machine, escalate::Input::Incident(Box::new(fraud)), 0), 0, "it asks");
    assert_eq!(machine.deadline(), Some(at(5_000)));
    assert_eq!(give(&mut machine, escalate::Input::Tick, 5_000), 1, "nobody answered");
}

#[test]
fn a_silence_that_is_ended_has_what_still_fires_page_at_once() {
    let (fraud, rank) = (opened("fraud", Sev2), opened("rank", Sev2));
    let any = Matches { model: vec!["*".into()], ..Matches::default() };
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(any, 600, 5, &[])))
        .push(1_000, &fraud)
        .push(1_000, &rank)
        .push(20_000, &next(&rank, Change::Cleared, Sev2))
        .silence(30_000, end("s"))
        .want(30_000..=30_100, Trigger, "pager/ana")
        .silence(31_000, end("s"))
        .run(60_000);
    assert_eq!(script.sent[0].page.incident.subject.name, "fraud");
    assert!(answer(&script, "end-s").contains("Accepted"));
    assert_eq!(script.audited("silence.ended"), 1, "a repeat of the command changes nothing");
}

#[test]
fn a_silence_is_there_after_a_crash_and_an_ended_one_never_is_again() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(of("fraud"), 40, 5, &[])))
        .push(1_000, &fraud)
        .crash(10_000, 5_000)
        .want(40_000..=40_100, Trigger, "pager/ana")
        .ask(41_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .want(41_000..=41_100, Acknowledge, "pager/ana")
        .crash(50_000, 1_000)
        .push(52_000, &opened("fraud-2", Sev2))
        .want(52_000..=52_100, Trigger, "pager/ana")
        .run(60_000);
    assert_eq!(script.audited("silence.ended"), 1);
}

#[test]
fn a_crash_while_a_silence_ends_pages_when_somebody_works_again() {
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(of("fraud"), 40, 5, &[])))
        .push(1_000, &opened("fraud", Sev2))
        .crash(39_000, 5_000)
        .want(44_000..=44_100, Trigger, "pager/ana")
        .run(60_000);
    assert_eq!(script.audited("silence.ended"), 1);
}

#[test]
fn until_resolved_is_until_then_and_for_what_was_listed_alone() {
    let fraud = opened("fraud", Sev2);
    let cleared = next(&fraud, Change::Cleared, Sev2);
    let new = NewSilence { until_resolved: true, ..wanted(of("fraud*"), 3_000, 5, &[&fraud]) };
    Script::new(ONE)
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        .silence(10_000, make("s", new))
        // It matches, and is another trouble.
        .push(100_000, &opened("fraud-2", Sev2))
        .want(100_000..=100_100, Trigger, "pager/ana")
        .ask(100_100, command("c1", &opened("fraud-2", Sev2).incident_id, "ana", acknowledge(None)))
        .want(100_100..=100_200, Acknowledge, "pager/ana")
        .push(200_000, &cleared)
        .want(200_000..=200_100, Resolve, "pager/ana")
        .push(300_000, &reopened(&cleared, Sev2))
        .want(300_000..=300_100, Trigger, "pager/ana")
        .run(350_000);
}

#[test]
fn a_silence_that_matches_nothing_any_more_ends_early_if_that_was_asked() {
    let fraud = opened("fraud", Sev2);
    let cleared = next(&fraud, Change::Cleared, Sev2);
    let new = NewSilence { unmatched_s: Some(60), ..wanted(of("fraud"), 3_000, 5, &[]) };
    let script = Script::new(ONE)
        .silence(0, make("s", new))
        .push(10_000, &fraud)
        .push(100_000, &cleared)
        // Back within the time: it mutes it still.
        .push(140_000, &reopened(&cleared, Sev2))
        .push(200_000, &next(&reopened(&cleared, Sev2), Change::Cleared, Sev2))
        .push(300_000, &reopened(&next(&reopened(&cleared, Sev2), Change::Cleared, Sev2), Sev2))
        .want(300_000..=300_100, Trigger, "pager/ana")
        .run(310_000);
    let ended = script.audit.iter().find(|r| r.action == "silence.ended").expect("it ended");
    assert_eq!((ended.at, ended.why.as_deref()), (at(260_000), Some("nothing matched it any more")));
}

/// What became another than it was for is nothing that it matches, however long that stays open.
#[test]
fn a_silence_whose_incident_became_worse_than_it_was_for_matches_nothing() {
    let fraud = opened("fraud", Sev2);
    let worse = next(&fraud, Change::Updated, Sev1);
    let of = Matches { severity: vec![Sev2], ..of("fraud") };
    let new = NewSilence { unmatched_s: Some(60), ..wanted(of, 3_000, 5, &[]) };
    let script = Script::new(ONE)
        .silence(0, make("s", new))
        .push(10_000, &fraud)
        .push(100_000, &worse)
        .want(100_000..=100_100, Trigger, "pager/ana")
        .ask(101_000, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .want(101_000..=101_100, Acknowledge, "pager/ana")
        .run(300_000);
    let ended = script.audit.iter().find(|r| r.action == "silence.ended").expect("it ended");
    assert_eq!(ended.why.as_deref(), Some("nothing matched it any more"));
    assert!((160_000..161_000).contains(&ended.at.since_ms(at(0))), "{}", ended.at);
}

#[test]
fn what_nobody_should_ask_for_is_refused_with_what_would_be_right() {
    let fraud = opened("fraud", Sev2);
    let fine = || wanted(of("fraud"), 100, 5, &[]);
    let script = Script::new(&with("[escalate]\nsilence_max_s = 600\nsilences_max = 2"))
        .silence(0, make("everything", wanted(Matches::default(), 100, 5, &[])))
        .silence(0, make("long", wanted(of("fraud"), 601, 5, &[])))
        .silence(0, make("never", wanted(of("fraud"), 0, 5, &[])))
        .silence(0, make("many", wanted(of("fraud"), 100, 1_001, &[])))
        .silence(
            0,
            make(
                "listed",
                NewSilence { incidents_max: 1, ..wanted(of("fraud"), 100, 5, &[&fraud, &opened("b", Sev2)]) },
            ),
        )
        .silence(0, make("why", NewSilence { reason: " ".into(), ..fine() }))
        .silence(0, end("nothing"))
        .silence(0, make("one", fine()))
        .silence(0, make("two", fine()))
        .silence(50, make("three", fine()))
        .run(90_000);
    for (id, why) in [
        ("make-everything", "no condition"),
        ("make-long", "1 to 600 seconds (silence_max_s)"),
        ("make-never", "1 to 600 seconds"),
        ("make-many", "1 to 1000 incidents"),
        ("make-listed", "mute 2 incidents at once, and at most 1"),
        ("make-why", "say why"),
        ("end-nothing", "no such silence"),
        ("make-three", "2 silences already (silences_max)"),
    ] {
        let said = answer(&script, id);
        assert!(said.contains("Refused") && said.contains(why), "{id}: {said}");
    }
    assert_eq!(script.audited("command.refused"), 8);
    assert!(answer(&script, "make-one").contains("Accepted"));
}

#[test]
fn severity_that_rises_out_of_a_silence_pages_at_once() {
    let ticket = opened("fraud", Sev3);
    let mild = Matches { severity: vec![Sev3, Severity::Sev4], ..of("fraud") };
    Script::new(ONE)
        .silence(0, make("s", wanted(mild, 600, 5, &[])))
        .push(1_000, &ticket)
        .push(30_000, &next(&ticket, Change::Updated, Sev1))
        .want(30_000..=30_000, Trigger, "pager/ana")
        .run(60_000);
}

#[test]
fn nobody_is_paged_within_maintenance_and_what_still_fires_pages_at_its_end() {
    // Scripts begin at ten in the morning, UTC.
    let settings = with(
        r#"
        [[silences.maintenance]]
        name = "retraining"
        incidents = { model = ["fraud"] }
        hours = "11:01-11:05"
        days = ["mon"]
        zone = "Europe/Berlin"
        [[silences.maintenance]]
        name = "once"
        incidents = { model = ["rank"] }
        from = "2026-03-02 10:02"
        until = "2026-03-02 10:03"
        "#,
    );
    let fraud = opened("fraud", Sev2);
    let script = Script::new(&settings)
        // Before it: paged once.
        .push(30_000, &fraud)
        .want(30_000..=30_000, Trigger, "pager/ana")
        .push(130_000, &opened("rank", Sev2))
        .want(180_000..=180_000, Trigger, "pager/ana")
        .ask(181_000, command("c1", &opened("rank", Sev2).incident_id, "ana", acknowledge(None)))
        .want(181_000..=181_100, Acknowledge, "pager/ana")
        .want(300_000..=300_000, Trigger, "pager/ana")
        .run(320_000);
    let notice = script.sent.last().expect("a page").page.notice.clone();
    assert_eq!(notice.as_deref(), Some("it was muted until now by maintenance \"retraining\""));
}

#[test]
fn maintenance_that_is_taken_out_of_the_bundle_ends_at_once() {
    let window = "[[silences.maintenance]]\nname = \"work\"\nincidents = { model = [\"fraud\"] }\nhours = \"10:00-11:00\"";
    Script::new(&with(window))
        .push(1_000, &opened("fraud", Sev2))
        .load(30_000, "another", "file", ONE)
        .want(30_000..=30_000, Trigger, "pager/ana")
        .run(60_000);
}

#[test]
fn what_tocsin_says_of_itself_is_muted_by_what_names_it_alone() {
    let settings = with(
        "fallback = \"phone/desk\"\n[[silences.maintenance]]\nname = \"all\"\nincidents = { severity = [\"sev1\", \"sev2\"] }\nhours = \"10:00-10:02\"",
    );
    let broken = Some(wire::outbox::Outcome::Config { reason: "401".into() });
    let script = Script::new(&settings)
        .answers("pager", [broken])
        .push(1_000, &opened("fraud", Sev3))
        .want(1_000..=1_000, Trigger, "pager/ana")
        .want(1_050..=1_050, Trigger, "phone/desk")
        // About the pager.
        .want(1_060..=1_060, Trigger, "phone/desk")
        .want(61_000..=61_000, Trigger, "pager/ana")
        .want(61_060..=61_060, Resolve, "phone/desk")
        .run(65_000);
    assert_eq!(script.own.len(), 2);
}

#[test]
fn what_is_written_for_a_silence_that_has_ended_is_taken_back() {
    let claim =
        Claim { silence_id: SilenceId::new("s"), incident_id: opened("a", Sev2).incident_id, at: at(0) };
    let claim = Control::Claim(claim);
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(of("fraud"), 60, 5, &[])))
        .silence(10_000, end("s"))
        // Another partition has not heard of that yet.
        .told(10_010, &claim.key(), Some(claim.clone()))
        .crash(10_025, 1_000)
        .run(20_000);
    let last = script.control.iter().rfind(|(key, _)| *key == claim.key()).expect("it was told");
    assert_eq!(last.1, None, "and taken back");
}

#[test]
fn what_pages_already_and_was_not_listed_pages_on_whatever_room_there_is() {
    let fraud = opened("fraud", Sev2);
    let script = Script::new(ONE)
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        // Its preview was of another time.
        .silence(10_000, make("s", wanted(of("fraud"), 300, 5, &[])))
        .want(60_000..=60_000, Trigger, "pager/ana")
        .push(70_000, &next(&fraud, Change::Cleared, Sev2))
        .want(70_000..=70_000, Resolve, "pager/ana")
        .push(80_000, &reopened(&next(&fraud, Change::Cleared, Sev2), Sev2))
        .run(150_000);
    let view = script.machine().incident_view(&fraud.incident_id).expect("known");
    assert_eq!(view.muted_by.as_deref(), Some("silence s"), "what comes back is a later match");
}

#[test]
fn a_silence_that_was_asked_for_while_nobody_worked_is_not_made() {
    let script = Script::new(ONE)
        .crash(1_000, 60_000)
        .silence(2_000, make("s", wanted(of("fraud"), 300, 5, &[])))
        .push(70_000, &opened("fraud", Sev2))
        .want(70_000..=70_000, Trigger, "pager/ana")
        .run(80_000);
    assert!(answer(&script, "make-s").contains("look at the preview again"));
}

#[test]
fn what_changes_its_owner_is_not_muted_by_what_was_of_the_old_one() {
    let owned = |owner: &str| {
        let mut incident = opened("fraud", Sev2);
        incident.context.owner = Some(owner.into());
        incident
    };
    let theirs = Matches { owner: vec!["a".into()], ..Matches::default() };
    let corrected = Incident { sequence: 2, change: Change::Updated, ..owned("b") };
    let script = Script::new(ONE)
        .silence(0, make("s", wanted(theirs, 300, 5, &[])))
        .push(1_000, &owned("a"))
        .push(20_000, &corrected)
        .want(20_000..=20_000, Trigger, "pager/ana")
        .run(30_000);
    let notice = script.sent[0].page.notice.as_deref();
    assert_eq!(notice, Some("it changed, and silence s mutes it no more"));
}

#[test]
fn what_a_silence_lists_is_not_paged_by_whoever_takes_over_meanwhile() {
    let fraud = opened("fraud", Sev2);
    let listed = wanted(of("fraud"), 300, 1, &[&fraud]);
    let silence = wire::control::Silence {
        silence_id: SilenceId::new("s"),
        of: listed.of,
        made_at: at(2_000),
        until: at(302_000),
        until_resolved: false,
        unmatched_s: None,
        incidents_max: 1,
        listed: listed.listed,
        by: "p-1".into(),
        reason: "a rollout".into(),
    };
    let told = Control::Silence(Box::new(silence));
    let script = Script::new(ONE)
        .answers("pager", [Some(wire::outbox::Outcome::RetryAfter { ms: 20_000, reason: "busy".into() })])
        .push(0, &fraud)
        .want(0..=0, Trigger, "pager/ana")
        // Its page waits to be tried again; the first partition makes the silence elsewhere, while nobody works here.
        .crash(1_000, 5_000)
        .told(2_000, &told.key(), Some(told.clone()))
        .run(100_000);
    assert_eq!(script.machine().counts().muted, 1);
}
