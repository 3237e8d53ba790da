//! Telemetry made by hand, for replays: a model's records in event time, and what became of them.

#![allow(dead_code, unreachable_pub, reason = "each user of this file takes what it needs")]

use std::sync::Arc;

use tocsin_detect::collect::{CollectConfig, Role};
use tocsin_detect::config::JudgeConfig;
use tocsin_detect::reference::{Reference, ReferenceBuilder};
use tocsin_detect::replay::{Replay, Told, Totals};
use wire::{Change, Family, Incident, Timestamp};

pub const SECOND_MS: i64 = 1000;
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// Midnight, some day.
pub fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().expect("a time")
}

/// One record in the order of arrival.
#[derive(Clone, Debug)]
pub struct Record {
    /// Milliseconds of event time since the start.
    pub at_ms: i64,
    pub json: String,
}

/// A prediction of model `m`, version `1`, with more members of the record as JSON (`"status":"error","latency_ms":4`).
pub fn prediction(at_ms: i64, id: u64, members: &str) -> Record {
    let time = start().plus_ms(at_ms);
    let json =
        format!(r#"{{"prediction_id":"{id}","event_time":"{time}","model":"m","version":"1",{members}}}"#);
    Record { at_ms, json }
}

/// The label of a prediction.
pub fn label(at_ms: i64, id: u64, value: &str) -> Record {
    let time = start().plus_ms(at_ms);
    let json =
        format!(r#"{{"kind":"label","prediction_id":"{id}","event_time":"{time}","value":"{value}"}}"#);
    Record { at_ms, json }
}

/// A prediction every `every_ms` until `until_ms`; `members` is told when and the number of the record.
pub fn regular(every_ms: i64, until_ms: i64, mut members: impl FnMut(i64, u64) -> String) -> Vec<Record> {
    let count = until_ms / every_ms;
    (0..count)
        .map(|i| {
            let (at_ms, id) = (i * every_ms, i.unsigned_abs());
            prediction(at_ms, id, &members(at_ms, id))
        })
        .collect()
}

/// References from what arrives before `until_ms`.
pub fn references(records: &[Record], config: &JudgeConfig, until_ms: i64) -> Vec<Reference> {
    let until = start().plus_ms(until_ms);
    let config = Arc::new(config.clone());
    let mut builder = ReferenceBuilder::new(Arc::new(CollectConfig::default()), config).until(until);
    for pass in 0..2 {
        if pass == 1 {
            builder.next_pass();
        }
        for record in records {
            builder.record(Role::Predictions, record.json.as_bytes());
            if builder.is_complete() {
                break;
            }
        }
    }
    let built = builder.finish();
    assert!(built.refused.is_empty(), "{:?}", built.refused);
    built.references
}

/// Replays records against references; judges from `from_ms` on.
pub fn replay(
    records: &[Record],
    config: &JudgeConfig,
    references: Vec<Reference>,
    from_ms: i64,
) -> (Told, Totals) {
    let collect = Arc::new(CollectConfig::default());
    let from = Some(start().plus_ms(from_ms));
    let mut replay = Replay::new(collect, Arc::new(config.clone()), references, from);
    let mut all = Told::default();
    let mut add = |told: Told| {
        all.incidents.extend(told.incidents);
        all.history.extend(told.history);
    };
    for record in records {
        add(replay.record(Role::Predictions, record.json.as_bytes()));
    }
    let (told, totals) = replay.finish();
    add(told);
    (all, totals)
}

/// The first `reference_ms` are the reference, what follows is judged.
pub fn judged(records: &[Record], config: &JudgeConfig, reference_ms: i64) -> Told {
    let references = references(records, config, reference_ms);
    let (told, totals) = replay(records, config, references, reference_ms);
    assert_eq!((totals.dead_letters, totals.collected.late), (0, 0));
    finite(&told);
    told
}

/// Every number that is told is one: JSON writes what is not as null.
pub fn finite(told: &Told) {
    let text = serde_json::to_string(&(&told.incidents, &told.history)).expect("plain data");
    assert!([":null", "[null", ",null"].iter().all(|none| !text.contains(none)), "a number that is none");
}

pub fn bytes(told: &Told) -> Vec<u8> {
    serde_json::to_vec(&(&told.incidents, &told.history)).expect("plain data")
}

/// One line an incident record, for messages.
pub fn lines(told: &Told) -> String {
    let line = |i: &Incident| {
        let after_min = i.changed_at.since_ms(start()) / MINUTE_MS;
        format!("min {after_min} {} {} {} {}\n", i.change, i.severity, i.family, i.title)
    };
    told.incidents.iter().map(line).collect()
}

pub fn opened(told: &Told) -> Vec<&Incident> {
    told.incidents.iter().filter(|i| i.change == Change::Opened).collect()
}

/// Minutes since the start at which incidents of a family opened.
pub fn opened_at_min(told: &Told, family: Family) -> Vec<i64> {
    let of = opened(told).into_iter().filter(|i| i.family == family);
    of.map(|i| i.changed_at.since_ms(start()) / MINUTE_MS).collect()
}

pub fn pages(told: &Told) -> Vec<&Incident> {
    told.incidents.iter().filter(|i| i.severity.pages() && i.change != Change::Cleared).collect()
}
