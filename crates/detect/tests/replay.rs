//! A replay says the same of the same telemetry, however it is ordered within its panes, and finds what was planted.

use std::sync::{Arc, LazyLock};

use fleet::{Fleet, FleetConfig, Scenario};
use tocsin_detect::collect::{CollectConfig, Role};
use tocsin_detect::config::JudgeConfig;
use tocsin_detect::reference::{Reference, ReferenceBuilder};
use tocsin_detect::replay::{Replay, Told};
use wire::{Change, Family, Timestamp};

const HOUR_MS: i64 = 3_600_000;
/// Healthy time before the trouble: what the reference is built from.
const QUIET_MS: i64 = 6 * HOUR_MS;

struct Record {
    pane: i64,
    is_label: bool,
    json: Vec<u8>,
}

fn until() -> Timestamp {
    FleetConfig::default().start.plus_ms(QUIET_MS)
}

/// Six hours without trouble, then a latency spike; in the order of arrival.
static TELEMETRY: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let config =
        FleetConfig { seed: 7, scenario: Scenario::Latency, quiet_ms: QUIET_MS, ..FleetConfig::default() };
    let end = until().plus_ms(Scenario::Latency.length_ms());
    let mut fleet = Fleet::new(&config);
    let mut records = vec![];
    loop {
        let record = fleet.advance();
        if record.arrival >= end {
            return records;
        }
        let event: serde_json::Value = serde_json::from_slice(record.json).expect("the fleet writes JSON");
        let time: Timestamp = event["event_time"].as_str().expect("a time").parse().expect("RFC 3339");
        let (pane, is_label) = (time.as_ms().div_euclid(10_000), event["kind"] == "label");
        records.push(Record { pane, is_label, json: record.json.to_vec() });
    }
});

static REFERENCES: LazyLock<Vec<Reference>> = LazyLock::new(|| {
    let config = Arc::new(JudgeConfig::default());
    let mut builder = ReferenceBuilder::new(Arc::new(CollectConfig::default()), config).until(until());
    for pass in 0..2 {
        if pass == 1 {
            builder.next_pass();
        }
        for record in TELEMETRY.iter() {
            builder.record(Role::Predictions, &record.json);
            if builder.is_complete() {
                break;
            }
        }
    }
    builder.finish().references
});

fn replayed<'r>(records: impl Iterator<Item = &'r Record>) -> Told {
    let config = Arc::new(JudgeConfig::default());
    let collect = Arc::new(CollectConfig::default());
    let mut replay = Replay::new(collect, config, REFERENCES.clone(), Some(until()));
    let mut all = Told::default();
    let mut add = |told: Told| {
        all.incidents.extend(told.incidents);
        all.history.extend(told.history);
    };
    for record in records {
        add(replay.record(Role::Predictions, &record.json));
    }
    let (told, totals) = replay.finish();
    add(told);
    assert_eq!((totals.dead_letters, totals.collected.late), (0, 0));
    all
}

fn bytes(told: &Told) -> Vec<u8> {
    serde_json::to_vec(&(&told.incidents, &told.history)).expect("plain data")
}

#[test]
fn it_finds_what_was_planted_and_judges_nothing_of_its_reference() {
    let told = replayed(TELEMETRY.iter());
    let opened: Vec<_> = told.incidents.iter().filter(|i| i.change == Change::Opened).collect();
    assert!(opened.iter().any(|i| i.family == Family::Latency), "{opened:?}");
    assert!(told.history.iter().all(|history| history.window[0] >= until()));
    assert!(!told.history.is_empty());
}

#[test]
fn the_order_within_panes_changes_no_byte() {
    let want = bytes(&replayed(TELEMETRY.iter()));
    assert_eq!(want, bytes(&replayed(TELEMETRY.iter())), "the same again");
    let mut reversed: Vec<&Record> = TELEMETRY.iter().rev().collect();
    // A label comes after its prediction, whatever else is out of order.
    reversed.sort_by_key(|record| (record.pane, record.is_label));
    assert_eq!(want, bytes(&replayed(reversed.into_iter())), "each pane from its end");
}
