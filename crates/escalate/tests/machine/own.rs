//! tocsin's own incidents: who has them, and when they open again.

use escalate::{Effect, Input, Machine};
use wire::Change::{Cleared, Opened};
use wire::Severity::Sev2;
use wire::outbox::Outcome;
use wire::page::PageKind::{Resolve, Trigger};

use crate::harness::Script;
use crate::samples::{at, command, opened, policy, resolve};
use crate::trouble::{ONE, config};

/// What people are done with hides nothing that comes later, though what it began with never worked again.
#[test]
fn a_receiver_that_fails_after_people_were_done_with_it_is_told_of_again() {
    let settings = ONE.replace("delay_s = 300", "delay_s = 86400");
    let (first, second) = (opened("fraud", Sev2), opened("rank", Sev2));
    let script = Script::new(&settings)
        .answers("pager", [config()])
        .push(0, &first)
        .want(0..=0, Trigger, "pager/ana")
        .wants(50..=100, Trigger, &["phone/desk", "phone/desk"])
        .run(10_000);
    let own = script.own[0].incident_id.clone();
    let script = script
        .ask(20_000, command("c1", &own, "ana", resolve()))
        .want(20_000..=20_100, Resolve, "phone/desk")
        .answers("pager", [config()])
        .push(86_000_000, &second)
        .want(86_000_000..=86_000_000, Trigger, "pager/ana")
        .wants(86_000_000..=86_000_200, Trigger, &["phone/desk", "phone/desk"])
        .run(86_100_000);
    let told: Vec<_> = script.own.iter().map(|i| (i.change, i.generation)).collect();
    assert_eq!(told.first(), Some(&(Opened, 1)));
    assert_eq!(
        told[told.len() - 2..].iter().map(|(change, _)| *change).collect::<Vec<_>>(),
        [Cleared, Opened]
    );
}

#[test]
fn tocsins_own_incidents_fall_into_the_partition_that_notices_their_trouble() {
    for partition in 0..5 {
        let mut machine = Machine::new(partition, policy(ONE)).among(5);
        drop(machine.handle(Input::Started { owner: "p".into() }, at(0)));
        let effects = machine.handle(Input::Incident(Box::new(opened("fraud", Sev2))), at(1));
        let sent = effects.iter().find_map(|effect| {
            if let Effect::Send { page, attempt, .. } = effect {
                Some((page.clone(), *attempt))
            } else {
                None
            }
        });
        let (page, attempt) = sent.expect("a page");
        let (notification_id, incident_id) = (page.notification_id, page.incident.incident_id);
        let outcome = Outcome::Config { reason: "404".into() };
        let effects =
            machine.handle(Input::Outcome { notification_id, incident_id, attempt, outcome }, at(2));
        let own = effects.iter().find_map(|effect| {
            if let Effect::Incident(incident) = effect { Some(incident.incident_id.clone()) } else { None }
        });
        assert_eq!(wire::partition::of_incident(&own.expect("the pager does not work"), 5), partition);
    }
}
