//! What comes from something upstream is not paged while that is open, in virtual time.

use escalate::Stage;
use wire::Severity::Sev2;
use wire::context::Lineage;
use wire::control::Control;
use wire::page::PageKind::{Acknowledge, Resolve, Trigger};
use wire::{Change, Incident, Subject, SubjectKind};

use crate::harness::Script;
use crate::muting::{ONE, make, of, wanted, with};
use crate::samples::{self, acknowledge, at, command, next, opened};

/// The feature store covers what is built on it, by lineage and for ten minutes.
pub(crate) fn upstream() -> String {
    with(
        r#"
        [[silences.inhibit]]
        name = "feature store"
        upstream = { subject = ["dependency:features"] }
        covers = { family = ["latency"] }
        lineage = true
        for_s = 600
        "#,
    )
}

fn features() -> Subject {
    Subject { kind: SubjectKind::Dependency, name: "features".into(), version: None, segment: None }
}

/// Whatever pages covers all else of its owner.
fn all_of_a_team() -> String {
    with(
        r#"
        [[silences.inhibit]]
        name = "all of a team"
        upstream = { severity = ["sev1", "sev2"] }
        same = ["owner"]
        "#,
    )
}

fn owned(model: &str) -> Incident {
    let mut incident = opened(model, Sev2);
    incident.context.owner = Some("ml".into());
    incident
}

pub(crate) fn outage() -> Incident {
    let subject = features();
    let incident_id =
        Incident::id_of("default", wire::Source::Dependency, &subject, wire::Family::Availability, at(0));
    let (source, family) = (wire::Source::Dependency, wire::Family::Availability);
    Incident { incident_id, subject, source, family, ..opened("any", Sev2) }
}

pub(crate) fn built_on_it(model: &str) -> Incident {
    let mut child = opened(model, Sev2);
    let (subject, event_time) = (child.subject.clone(), at(0));
    child.context.lineage = Some(Lineage { subject, event_time, upstream: vec![features()] });
    child
}

#[test]
fn what_comes_from_something_upstream_pages_once_that_is_over_if_it_still_fires() {
    let (up, child, gone) = (outage(), built_on_it("fraud"), built_on_it("rank"));
    let other = opened("unrelated", Sev2);
    let script = Script::new(&upstream())
        .push(0, &up)
        .want(0..=0, Trigger, "pager/ana")
        .ask(1_000, command("c1", &up.incident_id, "ana", acknowledge(None)))
        .want(1_000..=1_100, Acknowledge, "pager/ana")
        .push(2_000, &child)
        .push(2_000, &gone)
        .push(2_000, &other)
        .want(2_000..=2_000, Trigger, "pager/ana")
        .ask(2_100, command("c2", &other.incident_id, "ana", acknowledge(None)))
        .want(2_100..=2_200, Acknowledge, "pager/ana")
        // A restart with all of them firing.
        .crash(100_000, 3_000)
        .push(200_000, &next(&gone, Change::Cleared, Sev2))
        .push(300_000, &next(&up, Change::Cleared, Sev2))
        .want(300_000..=300_100, Resolve, "pager/ana")
        .want(300_000..=300_100, Trigger, "pager/ana")
        .run(330_000);
    assert_eq!(script.sent.last().expect("a page").page.incident.subject.name, "fraud");
}

#[test]
fn something_upstream_covers_others_for_so_long_and_no_longer() {
    let up = outage();
    Script::new(&upstream())
        .push(0, &up)
        .want(0..=0, Trigger, "pager/ana")
        .ask(1_000, command("c1", &up.incident_id, "ana", acknowledge(Some(3_000))))
        .want(1_000..=1_100, Acknowledge, "pager/ana")
        .push(2_000, &built_on_it("fraud"))
        .want(600_000..=600_000, Trigger, "pager/ana")
        .run(630_000);
}

#[test]
fn of_two_that_come_from_each_other_one_pages() {
    let both = all_of_a_team();
    let (a, b) = (owned("a"), owned("b"));
    let script = Script::new(&both)
        .push(0, &a)
        .want(0..=0, Trigger, "pager/ana")
        .push(1_000, &b)
        .push(1_000, &opened("of-nobody", Sev2))
        .want(1_000..=1_000, Trigger, "pager/ana")
        .ask(1_500, command("c0", &opened("of-nobody", Sev2).incident_id, "ana", acknowledge(None)))
        .want(1_500..=1_600, Acknowledge, "pager/ana")
        .crash(2_000, 1_000)
        .want(60_000..=60_100, Trigger, "pager/ana")
        // Whoever took the first has it resolved; the other comes up.
        .ask(70_000, command("c1", &a.incident_id, "ana", samples::resolve()))
        .want(70_000..=70_100, Resolve, "pager/ana")
        .want(70_000..=70_100, Trigger, "pager/ana")
        .run(100_000);
    let stage = |i: &Incident| script.machine().incident_view(&i.incident_id).expect("known").stage;
    assert_eq!((stage(&a), stage(&b)), (Stage::Resolved, Stage::Open));
}

#[test]
fn something_upstream_that_ends_and_comes_back_in_one_breath_pages_nobody() {
    let up = outage();
    let again =
        Control::Upstream(Box::new(wire::control::Upstream { incident: up.clone(), since: at(50_000) }));
    let script = Script::new(&upstream())
        .push(0, &up)
        .want(0..=0, Trigger, "pager/ana")
        .ask(1_000, command("c1", &up.incident_id, "ana", acknowledge(Some(3_000))))
        .want(1_000..=1_100, Acknowledge, "pager/ana")
        .push(2_000, &built_on_it("fraud"))
        .told(50_000, &again.key(), None)
        .told(50_000, &again.key(), Some(again.clone()))
        .run(100_000);
    assert_eq!(script.machine().counts().muted, 1);
}

/// A thousand times, at any moment, once or twice: whoever takes over knows what is muted before it pages.
#[test]
fn a_restart_while_silenced_and_covered_incidents_fire_pages_none_of_them() {
    let (up, child, silenced) = (outage(), built_on_it("fraud"), opened("rank", Sev2));
    for run in 0..1_000_i64 {
        // Spread over everything that happens, the milliseconds in which it happens among them.
        let (first, down) = (run * 37 % 2_900, run * 53 % 100);
        let second = run * 101 % 70_000;
        Script::new(&upstream())
            .push(0, &up)
            .silence(0, make("s", wanted(of("rank"), 500, 1, &[])))
            .want(0..=0, Trigger, "pager/ana")
            .push(200, &silenced)
            .push(250, &child)
            .crash(200 + first, down)
            .ask(3_200, command("c1", &up.incident_id, "ana", acknowledge(Some(3_000))))
            .want(3_200..=3_300, Acknowledge, "pager/ana")
            .crash(3_400 + second, 10 + run % 400)
            .run(200_000);
    }
}

#[test]
fn who_was_first_upstream_is_the_same_whatever_compaction_left() {
    let both = all_of_a_team();
    let up = |model: &str, ms: i64| {
        Control::Upstream(Box::new(wire::control::Upstream { incident: owned(model), since: at(ms) }))
    };
    let (first, second) = (up("elsewhere", 10), up("b", 20));
    for order in [[&first, &second], [&second, &first]] {
        let mut script = Script::new(&both);
        for control in order {
            script = script.told(100, &control.key(), Some(control.clone()));
        }
        // The one that came second is covered; a third by the first alone.
        let script = script.push(1_000, &owned("b")).push(1_000, &owned("c")).run(30_000);
        let by =
            |model: &str| script.machine().incident_view(&owned(model).incident_id).expect("known").muted_by;
        let first = format!("incident {} upstream", owned("elsewhere").incident_id);
        assert_eq!([by("b"), by("c")], [Some(first.clone()), Some(first)]);
    }
}

#[test]
fn an_exercise_upstream_mutes_no_real_incident() {
    let exercise = Incident { drill: true, ..outage() };
    Script::new(&upstream())
        .push(0, &exercise)
        .want(0..=0, Trigger, "pager/ana")
        .ask(1_000, command("c1", &exercise.incident_id, "ana", acknowledge(Some(3_000))))
        .want(1_000..=1_100, Acknowledge, "pager/ana")
        .push(2_000, &built_on_it("fraud"))
        .want(2_000..=2_000, Trigger, "pager/ana")
        .run(30_000);
}

#[test]
fn a_rule_that_is_loaded_reaches_what_is_open_already() {
    let up = outage();
    Script::new(ONE)
        .push(0, &up)
        .want(0..=0, Trigger, "pager/ana")
        .ask(1_000, command("c1", &up.incident_id, "ana", acknowledge(Some(3_000))))
        .want(1_000..=1_100, Acknowledge, "pager/ana")
        .load(10_000, "another", "file", &upstream())
        .push(20_000, &built_on_it("fraud"))
        .run(60_000);
}
