//! Bytes that once broke a decoder, and those from which the search begins, through every decoder again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detect::collect::{CollectConfig, Collector, RecordAt, Role};
use detect::config::JudgeConfig;
use detect::judge::Judge;
use detect::progress::SourceId;
use detect::record::PanesRecord;
use detect::reference::ReferenceBuilder;
use fleet::{Fleet, FleetConfig, Scenario};
use http_api::ROUTES;
use tocsin_tests::fuzzed::TARGETS;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target)
}

#[test]
fn what_was_found_and_where_the_search_begins_break_nothing() {
    if tocsin_tests::updating_golden() {
        write_seeds();
    }
    for (name, target) in TARGETS {
        let mut tried = 0;
        for kind in ["seeds", "found"] {
            let Ok(files) = fs::read_dir(folder(kind, name)) else { continue };
            for file in files {
                let path = file.expect("a file").path();
                target(&fs::read(&path).expect("readable"));
                tried += 1;
            }
        }
        assert!(tried > 0, "{name} has no bytes to begin with: UPDATE_GOLDEN=1 writes some");
    }
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    let folder = folder("seeds", target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("a file");
}

fn sample(name: &str) -> Vec<u8> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/samples");
    fs::read(samples.join(name)).expect("a sample")
}

/// As the targets of state take it: the length of the key first.
fn keyed(key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(key.len()).expect("a short key");
    [&[length][..], key, value].concat()
}

/// Real records of every kind: a search that begins with nothing finds little.
fn write_seeds() {
    write_samples();
    write_telemetry();
    write_requests();
}

/// One of each route, and telemetry in every shape.
fn write_requests() {
    let prediction =
        r#"{"prediction_id":"p-1","event_time":"2026-03-02T10:00:00Z","model":"m","version":"1"}"#;
    for (i, route) in (0_u8..).zip(ROUTES) {
        let body = match route.path.rsplit('/').next().expect("a path") {
            "telemetry" => prediction.to_owned(),
            "context" => String::from_utf8(sample("context.json")).expect("JSON"),
            "ack" | "mitigate" => r#"{"for_s":600,"note":"mine"}"#.to_owned(),
            "resolve" | "close" => r#"{"reason":"a fix","not_actionable":true}"#.to_owned(),
            "note" => r#"{"text":"looking"}"#.to_owned(),
            "{token}" => "do=resolve&text=a%0D%0Ab&not_actionable=1&nonce=1".to_owned(),
            _ => String::new(),
        };
        let line = match route.path {
            path if path.contains("{id}") => "xezbddho",
            path if path.contains("{token}") => "link",
            _ => "limit=5&cursor=3&state=all",
        };
        let kind = if route.path.contains("{token}") { 7 } else { 0 };
        put("http", &i.to_string(), &[&[i, kind, 2], line.as_bytes(), b"\n", body.as_bytes()].concat());
    }
    for (name, kind, body) in [
        ("lines", 1, format!("{prediction}\n\nbroken\n{prediction}")),
        ("array", 0, format!("[{prediction},{prediction}]")),
        (
            "event",
            2,
            format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{prediction}}}"#),
        ),
    ] {
        put("http", name, &[&[0, kind, 1], &b"\n"[..], body.as_bytes()].concat());
    }
}

fn write_samples() {
    let line = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).expect("JSON").to_string();
    for name in ["context.json", "profile.json"] {
        put("context", name, &sample(name));
    }
    let said = format!("{}\n{}", line(&sample("incident.json")), line(&sample("command.json")));
    put("escalation", "both", said.as_bytes());
    let policy =
        tocsin::config::parse(Path::new("t.toml"), include_str!("../fuzz/seeds/config/default.toml"));
    let mut machine = escalate::Machine::new(0, policy.expect("the template").policy);
    let now = wire::Timestamp::EPOCH;
    let mut effects = machine.handle(escalate::Input::Started { owner: "o".into() }, now);
    let incident = serde_json::from_slice(&sample("incident.json")).expect("a sample");
    effects.extend(machine.handle(escalate::Input::Incident(Box::new(incident)), now));
    for (i, effect) in effects.iter().enumerate() {
        if let escalate::Effect::State { key, value: Some(value) } = effect {
            put("state_escalate", &i.to_string(), &keyed(key, value));
        }
    }
}

fn write_telemetry() {
    let mut fleet = Fleet::new(&FleetConfig { scenario: Scenario::Steady, ..FleetConfig::default() });
    let records: Vec<Vec<u8>> = (0..8_000).map(|_| fleet.advance().json.to_vec()).collect();
    let mut lines = Vec::new();
    for (i, record) in records.iter().take(12).enumerate() {
        lines.extend([[b'@', b'A', b'H'][i % 3]]);
        lines.extend(record);
        lines.push(b'\n');
    }
    put("telemetry", "fleet", &lines);
    let (collect, config) = (Arc::new(CollectConfig::default()), Arc::new(JudgeConfig::default()));
    let mut builder = ReferenceBuilder::new(Arc::clone(&collect), Arc::clone(&config));
    records.iter().for_each(|record| builder.record(Role::Predictions, record));
    builder.next_pass();
    records.iter().for_each(|record| builder.record(Role::Predictions, record));
    let reference = builder.finish().references.into_iter().next().expect("enough records");
    put("reference", "fleet", &serde_json::to_vec(&reference).expect("plain data"));
    let source = SourceId { topic: "t".into(), partition: 0 };
    let mut collector = Collector::new(source.clone(), vec![source], collect);
    for (offset, record) in (0..).zip(records.iter().take(400)) {
        collector.record(RecordAt { role: Role::Predictions, offset, value: Some(record) }, |_| None);
    }
    let flush = collector.flush(true, false);
    for (i, (key, value)) in flush.state.iter().enumerate().take(6) {
        put("state_collect", &i.to_string(), &keyed(key, value.as_deref().unwrap_or_default()));
    }
    let mut judge = Judge::new(0, config);
    let all = [PanesRecord::Reference(Box::new(reference))].into_iter();
    let all = all.chain(flush.panes.into_iter().map(PanesRecord::Partial));
    let all: Vec<PanesRecord> = all.chain([PanesRecord::Progress(flush.progress)]).collect();
    let mut log = Vec::new();
    for (offset, record) in (0..).zip(all) {
        let bytes = record.encode();
        if let Ok(length) = u16::try_from(bytes.len())
            && log.len() < 20_000
        {
            log.extend(length.to_le_bytes());
            log.extend(bytes);
        }
        judge.handle(offset, record);
    }
    put("panes", "fleet", &log);
    for (i, (key, value)) in judge.take_effects().state.iter().enumerate().take(8) {
        put("state_judge", &i.to_string(), &keyed(key, value.as_deref().unwrap_or_default()));
    }
}
