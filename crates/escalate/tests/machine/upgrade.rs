//! State that an earlier version wrote is read by this one. `fixtures/state.v1.json` is never rewritten:
//! a later schema adds a file. (It was written by this test, with `UPDATE_GOLDEN=1`, when there was none.)

use std::collections::BTreeMap;
use std::path::Path;

use escalate::{Input, Machine};
use wire::Severity::{Sev2, Sev3};
use wire::outbox::Outcome;
use wire::page::PageKind::{Acknowledge, Trigger};

use crate::harness::Script;
use crate::samples::{SETTINGS, acknowledge, at, command, next, opened, policy};

/// An acknowledged incident, one whose page is unknown and whose update waits behind it, a ticket, an ended one,
/// and tocsin's own about the board.
fn written() -> BTreeMap<String, String> {
    let (fraud, rank) = (opened("fraud", Sev2), opened("rank", Sev2));
    let script = Script::new(SETTINGS)
        .answers("board", [Some(Outcome::Config { reason: "404".into() })])
        .push(0, &fraud)
        .wants(0..=0, Trigger, &["pager/ana", "pager/bo"])
        .ask(100, command("c1", &fraud.incident_id, "ana", acknowledge(None)))
        .wants(100..=100, Acknowledge, &["pager/ana", "pager/bo"])
        .push(200, &opened("triage", Sev3))
        .want(200..=200, Trigger, "board/ml")
        .wants(260..=260, Trigger, &["pager/ana", "pager/bo"])
        .push(300, &next(&opened("gone", Sev2), wire::Change::Cleared, Sev2))
        .run(900)
        .answers("pager", [None, None])
        .push(1_000, &rank)
        .wants(1_000..=1_000, Trigger, &["pager/ana", "pager/bo"])
        .push(1_010, &next(&rank, wire::Change::Updated, Sev3))
        .run(1_020);
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("text");
    script.state.iter().map(|(key, value)| (text(key), text(value))).collect()
}

#[test]
fn state_of_the_first_version_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/fixtures/state.v1.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&written()).unwrap()).unwrap();
    }
    let state: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut machine = Machine::new(0, policy(SETTINGS));
    for (key, value) in &state {
        machine.restore(key.as_bytes(), value.as_bytes()).expect("state of an earlier version");
    }
    let stages: Vec<_> = machine
        .incidents()
        .map(|v| (v.incident.subject.name, v.stage.name(), v.signal.name(), v.pages.len()))
        .collect();
    for want in [
        ("fraud", "acknowledged", "open", 4),
        ("gone", "resolved", "cleared", 0),
        ("rank", "open", "open", 4),
        ("receiver/board", "open", "open", 2),
        ("triage", "open", "open", 1),
    ] {
        let found = stages
            .iter()
            .any(|(name, stage, signal, pages)| (name.as_str(), *stage, *signal, *pages) == want);
        assert!(found, "{want:?} in {stages:?}");
    }
    assert_eq!(machine.counts().in_flight.get("pager"), Some(&2));
    assert!(!machine.handle(Input::Started { owner: "newer".into() }, at(2_000)).is_empty());
    assert_eq!(machine.deadline(), Some(at(22_000)), "leases are waited out in full");
}
