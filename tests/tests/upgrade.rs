//! State that an earlier version left is taken over, and the incident that was open in it goes on.
//!
//! `tests/fixtures/state/v1.json.gz` is what the cores of schema 1 had committed in the middle of an incident, and what
//! they then said of the telemetry that followed; `v2.json.gz` is of collectors of schema 2. A later schema adds a file and
//! keeps these.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detect::collect::{CollectConfig, Collector, RecordAt, Role};
use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use detect::judge::Judge;
use detect::progress::SourceId;
use detect::record::PanesRecord;
use detect::reference::ReferenceBuilder;
use escalate::{Effect, Input, Machine};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use wire::Timestamp;

const START: i64 = 1_780_000_000_000;
const EVERY_MS: i64 = 2_000;
/// Healthy records before anything runs: the reference. Then the first part, which ends in the middle of trouble, and the
/// second, in which it ends.
const KNOWN: i64 = 8_000;
const FIRST: i64 = 1_200;
const SECOND: i64 = 1_800;
const SLOW: std::ops::Range<i64> = KNOWN + 600..KNOWN + 1_500;
/// Labels come so many records after their predictions: some wait while the process is exchanged.
const LABEL_AFTER: i64 = 90;

type Kept = BTreeMap<Vec<u8>, Vec<u8>>;

fn records(i: i64) -> Vec<String> {
    let at = |i: i64| START + i * EVERY_MS;
    let prediction = |i: i64| {
        let latency = (20 + i * 7919 % 23) * if SLOW.contains(&i) { 5 } else { 1 };
        let colour = ["red", "green", "blue"][usize::try_from(i * 31 % 3).unwrap()];
        format!(
            r#"{{"prediction_id":"p{i}","event_time":{},"model":"m","version":"1","latency_ms":{latency},"status":"ok","features":{{"x":{},"c":"{colour}"}},"prediction":"yes","score":0.{}}}"#,
            at(i),
            i * 6271 % 97,
            5 + i % 5
        )
    };
    let label = |of: i64| {
        let value = if of % 10 == 0 { "no" } else { "yes" };
        format!(
            r#"{{"kind":"label","prediction_id":"p{of}","event_time":{},"model":"m","version":"1","value":"{value}"}}"#,
            at(i)
        )
    };
    let labelled =
        (i >= KNOWN + LABEL_AFTER || (LABEL_AFTER..KNOWN).contains(&i)).then(|| label(i - LABEL_AFTER));
    [prediction(i)].into_iter().chain(labelled).collect()
}

fn source() -> SourceId {
    SourceId { topic: "t".into(), partition: 0 }
}

struct Cores {
    collector: Collector,
    judge: Judge,
    machine: Machine,
    /// Records read, the first one not committed, and the panes partition with its first offset.
    read: i64,
    position: i64,
    panes: Vec<PanesRecord>,
    first: i64,
    state: [Kept; 3],
    told: Vec<Value>,
    labels: u64,
}

impl Cores {
    fn new() -> Self {
        let config = JudgeConfig::new(
            "test",
            1,
            10_000,
            JudgeSettings::default(),
            BudgetSettings::default(),
            BTreeMap::new(),
        );
        let checked = tocsin::config::parse(
            Path::new("tocsin.toml"),
            include_str!("../fuzz/seeds/config/default.toml"),
        )
        .unwrap();
        Self {
            collector: Collector::new(source(), vec![source()], Arc::new(CollectConfig::default())),
            judge: Judge::new(0, Arc::new(config)),
            machine: Machine::new(0, checked.policy),
            read: 0,
            position: 0,
            panes: vec![],
            first: 0,
            state: [Kept::new(), Kept::new(), Kept::new()],
            told: vec![],
            labels: 0,
        }
    }

    fn hand(&mut self, record: PanesRecord) {
        self.judge.handle(self.first + i64::try_from(self.panes.len()).unwrap(), record.clone());
        self.panes.push(record);
    }

    fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::State { key, value } => keep(&mut self.state[2], key, value),
                Effect::Send { page, attempt, .. } => self.told.push(json!({
                    "page": page.notification_id, "target": page.target, "kind": page.kind, "attempt": attempt,
                })),
                Effect::Response(_)
                | Effect::Outbox(_)
                | Effect::Audit(_)
                | Effect::Incident(_)
                | Effect::Feedback(_)
                | Effect::Control { .. }
                | Effect::Checkpoint(_) => (),
            }
        }
    }

    fn flush(&mut self) {
        let flush = self.collector.flush(false, false);
        self.position = flush.positions.predictions.unwrap_or(0);
        for (key, value) in flush.state {
            keep(&mut self.state[0], key, value);
        }
        for pane in flush.panes {
            self.labels += pane.counts.labels.total();
            self.hand(PanesRecord::Partial(pane));
        }
        self.hand(PanesRecord::Progress(flush.progress));
        let effects = self.judge.take_effects();
        for (key, value) in effects.state {
            keep(&mut self.state[1], key, value);
        }
        for record in effects.context {
            if let wire::context::ContextRecord::Profile(profile) = record {
                self.collector.profile(Arc::from(profile));
            }
        }
        for incident in effects.incidents {
            self.told.push(json!({
                "incident": incident.incident_id, "generation": incident.generation, "sequence": incident.sequence,
                "change": incident.change, "family": incident.family, "severity": incident.severity,
            }));
            let now = incident.changed_at;
            let effects = self.machine.handle(Input::Incident(Box::new(incident)), now);
            self.effects(effects);
        }
        let now = Timestamp::from_ms(START + self.read * EVERY_MS).unwrap();
        let effects = self.machine.handle(Input::Tick, now);
        self.effects(effects);
    }

    /// Plays the telemetry of these numbers, from the record at `position` on; flushes from number `flushed` on.
    fn play(&mut self, range: std::ops::Range<i64>, position: i64, flushed: i64) {
        for i in range {
            for json in records(i) {
                let (offset, value) = (self.read, Some(json.as_bytes()));
                self.read += 1;
                if offset >= position {
                    self.collector.record(RecordAt { role: Role::Predictions, offset, value }, |_| None);
                }
            }
            if i % 30 == 29 && i >= flushed {
                self.flush();
            }
        }
    }
}

fn keep(kept: &mut Kept, key: Vec<u8>, value: Option<Vec<u8>>) {
    match value {
        Some(value) => drop(kept.insert(key, value)),
        None => drop(kept.remove(&key)),
    }
}

fn told(cores: &Cores, from: usize, labels: u64) -> Value {
    json!({"told": cores.told[from..], "labels": cores.labels - labels})
}

fn text(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

fn bytes(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// What the present cores commit in the middle of the incident, and what they say afterwards.
fn fixture() -> Value {
    let mut cores = Cores::new();
    let mut builder =
        ReferenceBuilder::new(Arc::new(CollectConfig::default()), Arc::new(cores.judge.config().clone()));
    for pass in 0..2 {
        if pass == 1 {
            builder.next_pass();
        }
        (0..KNOWN).flat_map(records).for_each(|json| builder.record(Role::Predictions, json.as_bytes()));
    }
    let reference = builder.finish().references.remove(0);
    cores.collector.profile(Arc::new(reference.profile.clone()));
    cores.hand(PanesRecord::Reference(Box::new(reference)));
    let started =
        cores.machine.handle(Input::Started { owner: "a".into() }, Timestamp::from_ms(START).unwrap());
    cores.effects(started);
    cores.play(KNOWN..KNOWN + FIRST, 0, 0);
    assert!(
        cores.told.iter().any(|told| told["change"] == "opened"),
        "an incident is open: {:?}",
        cores.told
    );
    let resume = cores.judge.resume_offset().unwrap();
    let state: Vec<Vec<Value>> = cores
        .state
        .iter()
        .map(|kept| kept.iter().map(|(key, value)| json!([text(key), text(value)])).collect())
        .collect();
    let panes: Vec<Value> =
        cores.panes[usize::try_from(resume).unwrap()..].iter().map(|record| text(&record.encode())).collect();
    let (said, labels, position) = (cores.told.len(), cores.labels, cores.position);
    cores.play(KNOWN + FIRST..KNOWN + FIRST + SECOND, 0, 0);
    json!({
        "collect": state[0], "judge": state[1], "escalate": state[2],
        "panes": panes, "resume": resume, "position": position, "then": told(&cores, said, labels),
    })
}

fn goes_on(fixture: &Value) {
    let mut cores = Cores::new();
    let state = |role: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept = fixture[role].as_array().unwrap();
        assert!(!kept.is_empty(), "{role} has left no state");
        kept.iter().map(|entry| (bytes(&entry[0]), bytes(&entry[1]))).collect()
    };
    for (key, value) in state("collect") {
        cores.collector.restore(&key, &value).unwrap();
    }
    for (key, value) in state("judge") {
        cores.judge.restore(&key, &value).unwrap();
    }
    for (key, value) in state("escalate") {
        cores.machine.restore(&key, &value).unwrap();
    }
    cores.first = fixture["resume"].as_i64().unwrap();
    for record in fixture["panes"].as_array().unwrap() {
        cores.hand(PanesRecord::decode(&bytes(record)).unwrap());
    }
    // The profile is in the context topic, which keeps it.
    let pinned = cores.judge.take_effects();
    assert!(pinned.incidents.is_empty(), "what was told is not told again: {:?}", pinned.incidents);
    let profiles: Vec<_> =
        Judge::observed(0, Arc::new(cores.judge.config().clone()), &state("judge")).unwrap();
    profiles.into_iter().for_each(|reference| cores.collector.profile(Arc::new(reference.profile)));
    let started = cores.machine.handle(
        Input::Started { owner: "b".into() },
        Timestamp::from_ms(START + (KNOWN + FIRST) * EVERY_MS).unwrap(),
    );
    cores.effects(started);
    let said = cores.told.len();
    cores.play(KNOWN..KNOWN + FIRST + SECOND, fixture["position"].as_i64().unwrap(), KNOWN + FIRST);
    assert_eq!(told(&cores, said, 0), fixture["then"]);
}

/// The present fixture.
const PRESENT: &str = "v2";

/// A fixture; the present one is written where there is none.
fn left_by(schema: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/state").join(format!("{schema}.json.gz"));
    if schema == PRESENT && !file.exists() && tocsin_tests::updating_golden() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(fixture().to_string().as_bytes()).unwrap();
        std::fs::write(&file, packed.finish().unwrap()).unwrap();
    }
    let mut text = String::new();
    GzDecoder::new(File::open(&file).unwrap()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn state_of_any_schema_goes_on_and_a_newer_one_is_refused() {
    for schema in ["v1", PRESENT] {
        let fixture = left_by(schema);
        let then = fixture["then"]["told"].as_array().unwrap();
        assert!(then.iter().any(|told| told["change"] == "cleared"), "{schema}: it clears: {then:?}");
        goes_on(&fixture);
    }
    newer_is_refused(&left_by(PRESENT));
}

fn newer_is_refused(fixture: &Value) {
    let newer = |bytes: &[u8]| [&[u8::MAX], &bytes[1..]].concat();
    for role in ["collect", "judge", "escalate"] {
        for entry in fixture[role].as_array().unwrap() {
            let (key, value) = (bytes(&entry[0]), newer(&bytes(&entry[1])));
            let mut cores = Cores::new();
            let words = match role {
                "collect" => cores.collector.restore(&key, &value).unwrap_err().to_string(),
                "judge" => cores.judge.restore(&key, &value).unwrap_err().to_string(),
                _ => cores.machine.restore(&key, &value).unwrap_err().to_string(),
            };
            assert!(words.contains("newer") || words.contains("upgrade it"), "{role}: {words}");
        }
    }
}
