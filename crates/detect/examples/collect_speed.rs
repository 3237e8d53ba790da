//! CPU nanoseconds a record, decoded and counted: `cargo run --release -p tocsin-detect --example collect_speed`.
//! Linux only: it reads what the scheduler says, so that a busy machine changes little.

use std::sync::Arc;

use tocsin_detect::collect::{CollectConfig, Collector, RecordAt, Role};
use tocsin_detect::decode::{Attributes, Decoder, Fields, Kind};
use tocsin_detect::progress::SourceId;
use wire::profile::{Category, FeatureFold, FeatureProfile, Profile, Stage, Task};
use wire::{Digest, Timestamp};

const RECORDS: usize = 200_000;

/// 430 bytes, ten features, a thousand a second.
fn record(i: usize) -> String {
    let x = |k: usize| format!("{}.{:03}", (i * 7 + k * 13) % 90, (i * 31 + k) % 1000);
    format!(
        r#"{{"kind":"prediction","prediction_id":"p-{i:012}","event_time":"2026-03-02T10:{:02}:{:02}.{:03}Z","model":"fraud-scoring","version":"2026-02-27.1","latency_ms":{},"status":"ok","features":{{"amount":{},"age_days":{},"country":"DE","velocity_1h":{},"velocity_24h":{},"merchant_risk":{},"device_score":{},"is_new":false,"distance_km":{},"income":null}},"prediction":"approve","score":0.{:03},"segments":{{"region":"eu"}},"weight":1}}"#,
        i / 60_000 % 60,
        i / 1000 % 60,
        i % 1000,
        x(1),
        x(2),
        x(3),
        x(4),
        x(5),
        x(6),
        x(7),
        x(8),
        i % 1000
    )
}

fn profile(config: &CollectConfig) -> Profile {
    let numeric = FeatureFold::Numeric {
        centre: 45.0,
        scale: 25.0,
        edges: (1..20).map(|i| f64::from(i) * 4.5).collect(),
        atoms: vec![],
    };
    let hash = |text| config.keys().value(tocsin_detect::decode::Canonical::Text(text));
    let category =
        FeatureFold::Category { known: vec![Category { hash: hash("DE"), name: None }], other: vec![] };
    let names = [
        "age_days",
        "amount",
        "country",
        "device_score",
        "distance_km",
        "income",
        "is_new",
        "merchant_risk",
        "velocity_1h",
        "velocity_24h",
    ];
    let feature = |name: &str| FeatureProfile {
        name: name.into(),
        fold: if matches!(name, "country" | "is_new") { category.clone() } else { numeric.clone() },
        public: false,
    };
    Profile {
        model: "fraud-scoring".into(),
        version: "2026-02-27.1".into(),
        digest: Digest::new(""),
        effective_from: Timestamp::MIN,
        stage: Stage::Final,
        latency_edges: vec![20.0, 50.0, 80.0],
        latency_objective_ms: None,
        features: names.into_iter().map(feature).collect(),
        prediction: None,
        score: None,
        task: Task::Classification,
        error_edges: vec![],
        delay_edges_ms: vec![],
    }
    .sealed()
}

/// CPU time of this thread so far, in ns.
fn cpu() -> u128 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    stat.split(' ').next().expect("three numbers").parse().expect("ns")
}

fn main() {
    let records: Vec<String> = (0..RECORDS).map(record).collect();
    let bytes: usize = records.iter().map(String::len).sum();
    let per = |what: &str, ns: u128| {
        println!("{what:34} {:6} ns a record of {} bytes", ns / RECORDS as u128, bytes / RECORDS);
    };
    let mut decoder = Decoder::new(&Fields::default(), None, &[], 1 << 20).expect("the default fields");
    for _ in 0..3 {
        let began = cpu();
        for text in &records {
            decoder
                .decode(Some(text.as_bytes()), &Attributes::default(), Kind::Prediction)
                .expect("a record");
        }
        per("decode", cpu() - began);
    }
    let config = Arc::new(CollectConfig::default());
    let source = SourceId { topic: "t".into(), partition: 0 };
    for (what, with_profile) in
        [("decode and count, no profile", false), ("decode and count under a profile", true)]
    {
        let mut collector = Collector::new(source.clone(), vec![source.clone()], Arc::clone(&config));
        if with_profile {
            collector.profile(Arc::new(profile(&config)));
        }
        let began = cpu();
        let mut panes = 0;
        for (offset, text) in (0..).zip(&records) {
            collector
                .record(RecordAt { role: Role::Predictions, offset, value: Some(text.as_bytes()) }, |_| None);
            if offset % 10_000 == 9_999 {
                panes += collector.flush(true, false).panes.len();
            }
        }
        per(what, cpu() - began);
        assert!(panes > 0);
    }
}
