//! People in what cannot be changed later: pseudonyms under a key, and no way back to a name once it is forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use escalate::Policy;
use wire::Severity::Sev2;
use wire::command::Action;
use wire::page::PageKind::{Acknowledge, Trigger};

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, bundle, command, opened, receivers};

fn keyed(key: &[u8], forgotten: &[&str]) -> Arc<Policy> {
    let names: BTreeSet<String> = forgotten.iter().map(|name| (*name).to_owned()).collect();
    let policy = Policy::new(bundle(SETTINGS), &receivers()).expect("settings are right");
    Arc::new(policy.with_people_key(key).with_forgotten(names))
}

fn note(text: &str) -> Action {
    Action::Note { text: text.into() }
}

/// Names that nobody else has. Zora takes the incident and Yves writes a note, under `key`.
fn taken(key: &[u8]) -> Script {
    let fraud = opened("fraud", Sev2);
    Script::new(SETTINGS)
        .restart_under(0, keyed(key, &[]))
        .push(10, &fraud)
        .wants(10..=10, Trigger, &["pager/ana", "pager/bo"])
        .ask(100, command("c1", &fraud.incident_id, "zora", acknowledge(None)))
        .wants(100..=100, Acknowledge, &["pager/ana", "pager/bo"])
        .ask(200, command("c2", &fraud.incident_id, "yves", note("I look")))
        .run(300)
}

fn actors(script: &Script) -> BTreeSet<String> {
    script.audit.iter().filter(|r| r.actor != "tocsin").map(|r| r.actor.clone()).collect()
}

fn says(script: &Script, name: &str) -> [bool; 3] {
    let has = |bytes: &[u8]| bytes.windows(name.len()).any(|w| w == name.as_bytes());
    [
        script.audit.iter().any(|r| has(&serde_json::to_vec(r).expect("it is JSON"))),
        script.responses.iter().any(|r| has(&serde_json::to_vec(r).expect("it is JSON"))),
        script.state.iter().any(|(key, value)| has(key) || has(value)),
    ]
}

#[test]
fn names_are_in_the_state_alone_and_pseudonyms_are_keyed() {
    let (one, other) = (taken(b"a key of sixteen"), taken(b"another, as long"));
    for name in ["zora", "yves"] {
        assert_eq!(says(&one, name), [false, false, true], "{name}");
    }
    assert_eq!(actors(&one).len(), 2);
    assert!(actors(&one).is_disjoint(&actors(&other)), "whoever has no key can guess nothing");
}

#[test]
fn who_is_forgotten_is_a_pseudonym_everywhere_and_the_chain_holds() {
    let fraud = opened("fraud", Sev2);
    let before = taken(b"a key of sixteen");
    let known = before.machine().incident_view(&fraud.incident_id).expect("it is open");
    assert_eq!(known.owner.as_deref(), Some("zora"));
    let met = actors(&before);

    // Under another key too: the names that were met under the old one are known by the state.
    let script = before
        .restart_under(400, keyed(b"another, as long", &["zora", "nobody"]))
        .ask(500, command("c3", &fraud.incident_id, "zora", note("again")))
        .run(600);
    assert_eq!(says(&script, "zora"), [false, false, false]);
    assert!(says(&script, "yves")[2], "nobody else is forgotten");
    let view = script.machine().incident_view(&fraud.incident_id).expect("it is open");
    assert!(met.contains(view.owner.as_deref().expect("it is still theirs")), "{:?}", view.owner);
    assert_eq!(script.audited("person.forgotten"), 1);

    // The script checks the chain against its head; once more from the state that was left.
    let again = script.restart_under(700, keyed(b"another, as long", &["zora", "nobody"])).run(800);
    assert_eq!(again.audited("person.forgotten"), 1, "there was nobody left to forget");
    let chain = escalate::verify(0, again.audit.iter().cloned(), &[again.machine().anchor().clone()]);
    assert_eq!(chain.expect("it holds").records, again.audit.len() as u64);
}
