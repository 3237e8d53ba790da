//! A producer gone mad: a new name with every record. Memory stays bounded, a ticket names it, and nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::{home, scrape, wait};
use wire::Timestamp;

/// Records of one round, a tenth of a second apart.
const RECORDS: u64 = 6_000;

/// What a record of the model is given a new name of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mad {
    Models,
    Versions,
    Features,
    Categories,
    Segments,
}

/// Categories first: once a reference is learned, new ones are a matter of drift.
const ALL: [Mad; 5] = [Mad::Categories, Mad::Features, Mad::Segments, Mad::Versions, Mad::Models];

/// One record in three is of a model that is as it should be.
fn record(mad: Mad, i: u64) -> Value {
    let at = "2026-03-02T09:00:00Z".parse::<Timestamp>().unwrap().plus_ms(i64::try_from(i).unwrap() * 100);
    let colour = if i.is_multiple_of(2) { "red" } else { "blue" };
    let mut record = json!({
        "prediction_id": format!("p{i}"), "event_time": at, "model": "mad", "version": "1", "latency_ms": 5 + i % 7,
        "features": {"x": i % 11, "c": colour},
    });
    if i.is_multiple_of(3) {
        record["model"] = "sane".into();
        return record;
    }
    match mad {
        Mad::Models => record["model"] = format!("model-{i}").into(),
        Mad::Versions => record["version"] = format!("version-{i}").into(),
        Mad::Features => record["features"][format!("feature-{i}")] = 1.into(),
        Mad::Categories => record["features"]["c"] = format!("user-{i}").into(),
        Mad::Segments => record["segments"] = json!({"shop": format!("shop-{i}")}),
    }
    record
}

/// Most memory that the process has had, in bytes.
fn peak(process: &Process) -> u64 {
    let pid = process.pid().as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn post(process: &Process, mad: Mad, from: u64) {
    for start in (from..from + RECORDS).step_by(1_000) {
        let lines = (start..start + 1_000).fold(String::new(), |mut lines, i| {
            writeln!(lines, "{}", record(mad, i)).unwrap();
            lines
        });
        let answer = wait::until("there is room for telemetry", || {
            let answer = process.telemetry(lines.as_bytes()).unwrap();
            (answer.status != 429 && answer.status != 503).then_some(answer)
        });
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    wait::until("it is read", || {
        (process.json("/v1/status")["records"].as_u64() >= Some(from + RECORDS)).then_some(())
    });
}

fn told(home: &Home) -> BTreeSet<String> {
    let incidents = home.json(&["incidents", "--all"]);
    let of = |incident: &Value| {
        let incident = incident.get("incident").unwrap_or(incident);
        (incident["family"] == "telemetry").then(|| {
            assert_eq!(incident["severity"], "sev3", "{incident}");
            incident["subject"]["name"].as_str().unwrap().to_owned()
        })
    };
    incidents.iter().filter_map(of).collect()
}

#[test]
fn names_without_end_cost_bounded_memory_and_raise_a_ticket() {
    let home = home!("mad-producer");
    home.configure(
        "[log.partitions]\ntelemetry = 1\n[telemetry]\nmodels_max = 20\nversions_max = 10\nfeatures_max = 30\ncategories_max = 20\nsegments_max = 3\nsegments = [\"shop\"]",
    );
    let process = Process::start(&home, &[]);
    let mut sent = 0;
    let mut round = |process: &Process| {
        for mad in ALL {
            post(process, mad, sent);
            sent += RECORDS;
        }
        sent
    };
    round(&process);
    let names = ["mad/categories", "mad/features", "mad/segments", "mad/versions", "__other__/models"];
    let names: BTreeSet<String> = names.map(|name| format!("telemetry/{name}")).into();
    let found = wait::within(wait::PATIENCE, || names.is_subset(&told(&home)).then_some(()));
    assert!(found.is_some(), "each kind is told of by name: {:?}\n{}", told(&home), process.said());
    let before = peak(&process);
    // As many new names again, and again: the tables were full before.
    round(&process);
    let all = round(&process);
    let grown = peak(&process).saturating_sub(before);
    assert!(grown < 48 << 20, "after {all} records: {grown} bytes more than {before}");
    let tables = scrape::Scrape::of(&process);
    let keys = tables.get("tocsin_table_size", &[("table", "keys")]).unwrap();
    // 20 models, `mad` with 10 versions and of one of them 3 segments, and what is counted together.
    assert!(keys <= 40.0, "{keys} versions");
    let status = process.json("/v1/status");
    assert_eq!(status["dead_letters"], 0, "{status}");
    assert!(status["models"].to_string().contains("sane"), "{status}");
    let (ended, said) = process.terminate();
    assert!(ended.success() && !said.contains("panicked"), "{ended}: {said}");
}
