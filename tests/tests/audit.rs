//! The audit from outside, on the embedded log: signed, kept elsewhere, tampered with, read back, and people forgotten.

use std::path::Path;

use runtime::log::{Log, NewRecord};
use runtime::topics::{Partitions, owned};
use serde_json::Value;
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::{samples, stored, wait};
use wire::audit::AuditRecord;
use wire::checkpoint::Checkpoint;
use wire::topic::Topics;

const LINES: &str = "tocsin.checkpoints.jsonl";

/// One partition of each, and a checkpoint as often as can be.
const CONFIG: &str = "
    [audit]
    checkpoint_s = 1
    [log.partitions]
    telemetry = 1
    judge = 1
    escalate = 1
    collect = 1
";

/// What a partition of the audit holds, to be changed by whoever can write to the log.
type Edit = fn(&mut Vec<AuditRecord>);

fn topics() -> Topics {
    Topics::of("default")
}

/// Lays an incident into the log of a home where nothing runs; returns its id.
fn lay_incident(home: &Home) -> String {
    let incident = samples::incident();
    let log = stored::embedded(&home.path("tocsin.log"));
    let id = incident.incident_id.to_string();
    let value = serde_json::to_vec(&incident).expect("plain data");
    let record = NewRecord::new(topics().incidents, value).key(id.as_bytes()).partition(0);
    log.append(&[record]).expect("the log takes it");
    id
}

fn checkpoints(home: &Home) -> Vec<Checkpoint> {
    let text = std::fs::read_to_string(home.path(LINES)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a checkpoint a line")).collect()
}

/// Waits until everything that is in the chain now is vouched for in the file.
fn until_signed(home: &Home, process: &Process) {
    let head = process.json("/v1/audit/verify")["heads"][0]["sequence"].as_u64().expect("there is a chain");
    wait::until("the file vouches for it", || {
        checkpoints(home).last().filter(|c| c.sequence + 1 >= head).map(drop)
    });
}

/// Status and output of a command that may fail.
fn says(home: &Home, args: &[&str]) -> (Option<i32>, String) {
    let output = home.run(args);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Another installation with the same log but for its audit, and without a worker that would go on writing.
fn tampered(home: &Home, name: &str, state: bool, edit: Edit) -> (Home, Process) {
    let other = home!(name);
    other.configure(CONFIG);
    for file in ["tocsin.checkpoint.key", LINES] {
        other.write(file, std::fs::read(home.path(file)).expect("it is there"));
    }
    let from = stored::embedded(&home.path("tocsin.log"));
    let to = stored::embedded(&other.path("tocsin.log"));
    let partitions = Partitions { telemetry: 1, judge: 1, escalate: 1, collect: 1 };
    to.ensure_topics(&owned(&topics(), partitions, true), true).expect("new topics");
    let mut audit: Vec<AuditRecord> = stored::json(&from, &topics().audit);
    edit(&mut audit);
    for record in audit {
        let value = serde_json::to_vec(&record).expect("plain data");
        to.append(&[NewRecord::new(topics().audit, value).partition(0)]).expect("it takes it");
    }
    for kept in stored::all(&from, &topics().state_escalate).into_iter().filter(|_| state) {
        let record = NewRecord { value: kept.value, ..NewRecord::new(topics().state_escalate, vec![]) };
        let record = record.key(kept.key.expect("state has keys")).partition(0);
        to.append(&[record]).expect("it takes it");
    }
    drop(to);
    let process = Process::start(&other, &["--roles", "collect"]);
    (other, process)
}

#[test]
fn a_chain_is_signed_and_whoever_tampers_with_it_is_found_out() {
    let home = home!("audit");
    home.configure(CONFIG);
    let roles = ["--roles", "escalate"];
    assert!(Process::start(&home, &roles).terminate().0.success());
    let id = lay_incident(&home);
    let process = Process::start(&home, &roles);
    wait::until("it is known", || home.run(&["show", &id]).status.success().then_some(()));
    assert!(home.ok(&["ack", &id, "--note", "mine"]).contains("acknowledged"));
    assert!(home.ok(&["note", &id, "looking"]).contains("noted"));
    until_signed(&home, &process);

    let whole = home.ok(&["audit", "verify", "--anchor", LINES]);
    assert!(
        whole.contains("the audit chain is whole") && whole.contains("by a checkpoint in the file"),
        "{whole}"
    );
    let key = home.ok(&["audit", "key"]).trim().to_owned();
    assert_eq!(checkpoints(&home)[0].key, key);
    assert!(home.ok(&["audit", "verify", "--public-key", &key]).contains("by a checkpoint in the chain"));
    let stranger = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let (status, said) = says(&home, &["audit", "verify", "--anchor", LINES, "--public-key", stranger]);
    assert!(status == Some(1) && said.contains("a key that nobody here knows"), "{said}");

    let shown = home.ok(&["audit", "show", &id[..8]]);
    for part in
        ["incident opened", "local", "asked to acknowledge", "open → acknowledged · mine", "page delivered"]
    {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    assert_eq!(home.run(&["audit", "show", "zzzz"]).status.code(), Some(5));
    assert!(home.json(&["audit", "show", &id]).iter().any(|r| r["name"] == "local"));
    let (ended, said) = process.terminate();
    assert!(ended.success() && said.contains("access"), "{ended}: {said}");
    assert!(said.contains("/v1/audit"), "who read the audit is logged: {said}");

    let changed: Edit = |audit| audit[3].at = audit[3].at.plus_ms(1);
    let cut: Edit = |audit| audit.truncate(audit.len() - 3);
    let gone: Edit = |audit| drop(audit.drain(..audit.len() / 2));
    let rebuilt: Edit = |audit| {
        for i in 3..audit.len() {
            audit[i].previous = audit[i - 1].hash.clone();
            audit[i].why = audit[i].why.take().map(|why| why.replace("mine", "ours"));
            audit[i].hash = audit[i].digest();
        }
    };
    for (name, state, edit, status, says_what) in [
        ("changed", true, changed, 1, "audit record 4 of partition 0: its content was changed"),
        ("cut", true, cut, 1, "its tail was cut"),
        ("cut-state-too", false, cut, 1, "its tail was cut"),
        ("rebuilt", false, rebuilt, 1, "the chain was rebuilt"),
        ("gone", true, gone, 0, "are gone (retention)"),
    ] {
        let (other, process) = tampered(&home, name, state, edit);
        let (found, said) = says(&other, &["audit", "verify", "--anchor", LINES]);
        assert!(found == Some(status) && said.contains(says_what), "{name}: {found:?}\n{said}");
        if status == 0 {
            assert!(said.contains("are vouched for by a checkpoint in the file"), "{said}");
            // And with nothing but what is left in the topic.
            assert!(other.ok(&["audit", "verify"]).contains("vouched for by a checkpoint in the chain"));
        }
        assert!(process.terminate().0.success());
    }
}

/// A token for `name`, of an admin, in a file.
fn token(home: &Home, name: &str) -> String {
    let made = home.json(&["token", name, "--role", "admin"]).remove(0);
    let of = |key: &str| made[key].as_str().expect("a text").to_owned();
    home.write(&format!("{name}.token"), of("token"));
    format!("{{ name = \"{name}\", role = \"admin\", sha256 = \"{}\" }}", of("sha256"))
}

#[test]
fn whoever_is_forgotten_is_nowhere_afterwards_and_the_chain_holds() {
    let home = home!("forgotten");
    let tokens = format!("[http]\ntoken = [{}, {}]", token(&home, "zora-k"), token(&home, "root-q"));
    home.configure(&tokens);
    let roles = ["--roles", "escalate"];
    assert!(Process::start(&home, &roles).terminate().0.success());
    let id = lay_incident(&home);
    let process = Process::start(&home, &roles);
    let by = |who: &str, args: &[&str]| {
        let file = format!("{who}.token");
        home.ok(&[args, &["--token-file", &file]].concat())
    };
    wait::until("it is known", || {
        home.run(&["show", &id, "--token-file", "root-q.token"]).status.success().then_some(())
    });
    by("zora-k", &["ack", &id]);
    assert!(by("root-q", &["audit", "show", &id]).contains("zora-k"));
    assert!(by("root-q", &["show", &id]).contains("zora-k"));

    let told = by("root-q", &["forget", "zora-k"]);
    assert!(told.contains("forgotten: zora-k is p-"), "{told}");
    let unnamed = |when: &str| {
        for args in [&["audit", "show", &id][..], &["show", &id], &["incidents", "--all"]] {
            let shown = by("root-q", args);
            assert!(!shown.contains("zora-k"), "{when}: {args:?}\n{shown}");
        }
        assert!(by("root-q", &["audit", "verify"]).contains("the audit chain is whole"));
    };
    unnamed("at once");
    assert!(process.terminate().0.success());

    // After a restart too, and should she still have a token: she stays a pseudonym.
    let process = Process::start(&home, &roles);
    unnamed("after a restart");
    by("zora-k", &["note", &id, "still here"]);
    unnamed("although she acts again");
    assert!(process.terminate().0.success());
    assert_nowhere(&home.path("tocsin.log"), "zora-k");
}

/// That no record of the audit, and no last word of the state, has these bytes.
fn assert_nowhere(log: &Path, name: &str) {
    let log = stored::embedded(log);
    let has = |bytes: &[u8]| bytes.windows(name.len()).any(|w| w == name.as_bytes());
    let audit = stored::all(&log, &topics().audit);
    assert!(audit.iter().all(|r| !has(r.value.as_deref().unwrap_or_default())), "it is in the audit");
    let records: Vec<Value> = stored::json(&log, &topics().audit);
    assert_eq!(records.iter().filter(|r| r["action"] == "person.forgotten").count(), 1);
    let mut state = std::collections::BTreeMap::new();
    for record in stored::all(&log, &topics().state_escalate) {
        state.insert(record.key, record.value);
    }
    let left: Vec<_> = state.iter().filter(|(_, value)| value.as_deref().is_some_and(has)).collect();
    assert!(left.is_empty(), "it is in the state: {:?}", left[0].0);
}
