//! People in what cannot be changed later: pseudonyms under a key, and no way back to a name once it is forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use escalate::Policy;
use wire::CommandId;
use wire::Severity::Sev2;
use wire::command::{Action, Principal, Role};
use wire::forget::Forget;
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

/// What the listener makes of `tocsin forget NAME`, under the key of its process.
fn forget(id: &str, name: &str, key: &[u8], role: Role) -> Forget {
    let command_id = CommandId::new(id);
    Forget {
        partition: 0,
        issued_at: crate::samples::at(0),
        principal: Principal { name: "root".into(), role },
        pseudonym: keyed(key, &[]).pseudonym(name),
        name: Forget::digest(&command_id, name),
        command_id,
    }
}

#[test]
fn whoever_is_forgotten_by_command_is_so_for_good_and_over_restarts() {
    let (old, new) = (b"a key of sixteen", b"another, as long");
    let fraud = opened("fraud", Sev2);
    // Met under an old key; forgotten by a process that has the new one; then they act again.
    let script = taken(old)
        .restart_under(400, keyed(new, &[]))
        .ask(450, command("c3", &fraud.incident_id, "zora", note("under the new key")))
        .forget(500, forget("f1", "zora", new, Role::Admin))
        .forget(510, forget("f1", "zora", new, Role::Admin))
        .ask(600, command("c4", &fraud.incident_id, "zora", note("again")))
        .run(650);
    assert_eq!(says(&script, "zora"), [false, false, false]);
    assert!(says(&script, "yves")[2], "nobody else is forgotten");
    assert_eq!(script.audited("person.forgotten"), 2, "one for each pseudonym, once");
    let by = script.audit.iter().find(|r| r.action == "person.forgotten").expect("it is audited");
    assert_eq!(by.actor, keyed(new, &[]).pseudonym("root"));
    let owner = |s: &Script| s.machine().incident_view(&fraud.incident_id).expect("it is open").owner;
    assert_eq!(owner(&script).as_deref(), Some(keyed(old, &[]).pseudonym("zora").as_str()));

    let again = script
        .restart_under(700, keyed(new, &[]))
        .ask(750, command("c5", &fraud.incident_id, "zora", note("and again")))
        .run(800);
    assert_eq!(says(&again, "zora"), [false, false, false], "the state remembers whom it forgot");
    let chain = escalate::verify(0, again.audit.iter().cloned(), &[again.machine().anchor().clone()]);
    assert_eq!(chain.expect("it holds").records, again.audit.len() as u64);
}

#[test]
fn only_an_admin_may_forget_and_an_unknown_name_is_said_to_be_one() {
    let key = b"a key of sixteen";
    let script = taken(key)
        .forget(400, forget("f1", "zora", key, Role::Lead))
        .forget(500, forget("f2", "nobody", key, Role::Admin))
        .run(600);
    assert!(says(&script, "zora")[2], "a lead may not");
    let answer = |id: &str| script.machine().answer(&CommandId::new(id)).cloned();
    assert!(
        matches!(answer("f1"), Some(escalate::Answer::Refused { why }) if why.contains("takes an admin"))
    );
    assert_eq!(answer("f2"), Some(escalate::Answer::Accepted));
    let told = script.audit.iter().find(|r| r.action == "person.forgotten").expect("it is audited");
    assert_eq!(told.why.as_deref(), Some("no name was known here"));
}

#[test]
fn who_is_to_be_forgotten_is_shown_to_nobody_from_the_first_moment() {
    let script = taken(b"a key of sixteen");
    let mut machine = escalate::Machine::new(0, keyed(b"a key of sixteen", &["zora"]));
    for (key, value) in &script.state {
        machine.restore(key, value).expect("its own state");
    }
    // It has not started yet, and may be asked already.
    let shown = serde_json::to_string(&machine.incidents().collect::<Vec<_>>()).expect("it is JSON");
    assert!(!shown.contains("zora") && shown.contains("yves"), "{shown}");
    let people = machine.take_people();
    assert!(people.iter().all(|(_, name)| name.as_deref() != Some("zora")), "{people:?}");
}
