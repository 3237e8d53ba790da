use std::collections::BTreeMap;

use wire::profile::{Category, FeatureFold, FeatureProfile, Stage, Task};
use wire::{Digest, Timestamp};

use super::*;
use crate::decode::Canonical;
use crate::pane::{FeatureCounts, PaneCounts, PaneKey};
use crate::record::PanesRecord;

mod answers;
mod laws;

const PREDICTIONS: &str = "t";

fn source() -> SourceId {
    SourceId { topic: PREDICTIONS.into(), partition: 3 }
}

fn config(json: &str) -> Arc<CollectConfig> {
    Arc::new(serde_json::from_str(json).expect("a valid config"))
}

fn collector(config: &Arc<CollectConfig>) -> Collector {
    Collector::new(source(), vec![source()], Arc::clone(config))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(seconds * 1000).expect("in range")
}

fn feed(collector: &mut Collector, role: Role, offset: usize, text: &str) {
    let offset = i64::try_from(offset).expect("few records");
    collector.record(RecordAt { role, offset, value: Some(text.as_bytes()) }, |_| None);
}

/// Feeds records of the first topic and takes what they came to.
fn fold(collector: &mut Collector, records: &[String]) -> Flush {
    for (offset, text) in records.iter().enumerate() {
        feed(collector, Role::Predictions, offset, text);
    }
    collector.flush(true, false)
}

/// A prediction of model `m`, version `v`, at a second.
fn predicted(id: &str, seconds: i64, rest: &str) -> String {
    let comma = if rest.is_empty() { "" } else { "," };
    format!(
        r#"{{"prediction_id":"{id}","event_time":{},"model":"m","version":"v"{comma}{rest}}}"#,
        seconds * 1000
    )
}

fn labelled(id: &str, seconds: i64, rest: &str) -> String {
    format!(r#"{{"kind":"label","prediction_id":"{id}","event_time":{},{rest}}}"#, seconds * 1000)
}

fn merged(into: &mut BTreeMap<PaneKey, (u64, PaneCounts)>, panes: Vec<Pane>) {
    for Pane { key, profile, counts } in panes {
        match into.get_mut(&key) {
            Some((digest, mine)) => {
                assert_eq!(*digest, profile);
                mine.merge(&counts).expect("one profile");
            }
            None => drop(into.insert(key, (profile, counts))),
        }
    }
}

/// The only pane of the whole version `v` that starts at a second.
fn pane(flush: &Flush, seconds: i64) -> &PaneCounts {
    let mut found = flush.panes.iter().filter(|p| p.key.segment.is_none() && p.key.start == at(seconds));
    let pane = found.next().unwrap_or_else(|| panic!("no pane at {seconds}"));
    assert!(found.next().is_none(), "two panes at {seconds}");
    &pane.counts
}

/// A profile of model `m`, version `v`, in force from a second.
fn profile(config: &CollectConfig, from: i64) -> Arc<Profile> {
    let hash = |text: &str| config.keys().value(Canonical::Text(text));
    let category = |text: &str| Category { hash: hash(text), name: None };
    let profile = Profile {
        model: "m".into(),
        version: "v".into(),
        digest: Digest::new(""),
        effective_from: at(from),
        stage: Stage::Final,
        latency_edges: vec![10.0, 100.0],
        latency_objective_ms: Some(100.0),
        features: vec![
            FeatureProfile {
                name: "amount".into(),
                fold: FeatureFold::Numeric {
                    centre: 10.0,
                    scale: 2.0,
                    edges: vec![5.0, 10.0],
                    atoms: vec![0.0],
                },
                public: false,
            },
            FeatureProfile {
                name: "country".into(),
                fold: FeatureFold::Category {
                    known: vec![category("DE"), category("FR")],
                    other: vec![hash("LU")],
                },
                public: true,
            },
        ],
        prediction: Some(FeatureProfile {
            name: "prediction".into(),
            fold: FeatureFold::Category { known: vec![category("deny"), category("approve")], other: vec![] },
            public: false,
        }),
        score: None,
        task: Task::Classification,
        error_edges: vec![1.0],
        delay_edges_ms: vec![15_000],
        score_edges: vec![],
    };
    Arc::new(profile.sealed())
}
