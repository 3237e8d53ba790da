//! The chain signs itself: when, what leaves, and what a restart repeats.

use std::sync::Arc;

use escalate::{Checkpoints, Machine, Policy, PublicKeys, SigningKey};
use wire::Severity::Sev2;
use wire::command::Action;
use wire::page::PageKind::Trigger;

use crate::harness::Script;
use crate::samples::{SETTINGS, at, command, opened, policy};

const EVERY_MS: i64 = 600_000;

fn signing() -> Arc<Policy> {
    let checkpoints = Checkpoints { key: SigningKey::new([7; 32]), every_ms: EVERY_MS };
    Arc::new(Policy::clone(&policy(SETTINGS)).with_checkpoints(checkpoints))
}

fn note(text: &str) -> Action {
    Action::Note { text: text.into() }
}

/// One incident, taken for long, with notes at 700 s and at 2100 s.
fn quiet() -> Script {
    let fraud = opened("fraud", Sev2);
    let take = Action::Acknowledge { for_s: Some(86_400), note: None };
    Script::new(SETTINGS)
        .restart_under(0, signing())
        .push(1_000, &fraud)
        .wants(1_000..=1_000, Trigger, &["pager/ana", "pager/bo"])
        .ask(2_000, command("c1", &fraud.incident_id, "ana", take))
        .wants(2_000..=2_000, wire::page::PageKind::Acknowledge, &["pager/ana", "pager/bo"])
        .ask(700_000, command("c2", &fraud.incident_id, "ana", note("first")))
        .ask(2_100_000, command("c3", &fraud.incident_id, "ana", note("second")))
}

fn seconds(script: &Script) -> Vec<i64> {
    script.checkpoints.iter().map(|c| c.at.since_ms(at(0)) / 1000).collect()
}

#[test]
fn a_checkpoint_is_made_every_ten_minutes_in_which_something_was_written() {
    let script = quiet().run(7_200_000);
    // At once; what the first minutes wrote; the note of 700 s with that of its time; nothing for 20 min; the last.
    assert_eq!(seconds(&script), [0, 600, 1200, 2100]);
    assert_eq!(script.audited("audit.checkpoint"), 4);
    let known = PublicKeys::new([SigningKey::new([7; 32]).public()]).expect("a key");
    for checkpoint in &script.checkpoints {
        known.check(checkpoint).expect("it is signed");
        let of = script.audit.iter().find(|r| r.sequence == checkpoint.sequence).expect("it is in the chain");
        assert_eq!(of.hash, checkpoint.hash);
    }
    assert_eq!(script.machine().deadline(), Some(at(86_402_000)), "no timer while nothing is written");
}

#[test]
fn the_key_is_in_nothing_that_is_written() {
    let script = quiet().run(7_200_000);
    let text = format!("{:?} {:?} {:?}", script.audit, script.state, script.machine());
    for secret in ["07".repeat(8), "7, 7, 7, 7".to_owned()] {
        assert!(!text.contains(&secret), "{secret}");
    }
}

#[test]
fn a_new_owner_hands_out_the_last_checkpoint_again_and_goes_on_counting() {
    let script = quiet().run(650_000).restart_under(660_000, signing()).run(700_500);
    assert_eq!(seconds(&script), [0, 600, 600], "the last one again, no new one before it is time");
    assert_eq!(script.checkpoints[1], script.checkpoints[2]);
    assert_eq!(script.audited("audit.checkpoint"), 2, "in the chain it is once");
    let script = script.run(2_200_000);
    assert_eq!(seconds(&script), [0, 600, 600, 1200, 2100]);
}

#[test]
fn without_a_key_nothing_is_signed_and_nothing_is_waited_for() {
    let mut machine = Machine::new(0, policy(SETTINGS));
    let started = machine.handle(escalate::Input::Started { owner: "p".into() }, at(0));
    assert!(!started.is_empty());
    assert_eq!(machine.deadline(), None);
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_the_next_one_away() {
    let mut machine = Machine::new(0, signing());
    let mut state = std::collections::BTreeMap::new();
    let mut feed = |machine: &mut Machine, input, ms| {
        for effect in machine.handle(input, at(ms)) {
            if let escalate::Effect::State { key, value: Some(value) } = effect {
                state.insert(key, value);
            }
        }
        state.clone()
    };
    let day = 86_400_000;
    feed(&mut machine, escalate::Input::Started { owner: "p".into() }, day);
    let left = feed(&mut machine, escalate::Input::Tick, day);
    let mut next = Machine::new(0, signing());
    for (key, value) in &left {
        next.restore(key, value).expect("its own state");
    }
    feed(&mut next, escalate::Input::Started { owner: "q".into() }, 0);
    assert_eq!(next.deadline(), Some(at(EVERY_MS)));
}
