//! The bytes: the same for the same config, in order, and readable.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tocsin_fleet::{Fleet, FleetConfig, Kind, QUIET_MAX_MS, RATE_MAX, RATE_MIN, Scenario};
use wire::Timestamp;
use wire::label::Label;
use wire::prediction::Prediction;

use super::read::{HOUR_MS, Run};

/// The first `length` bytes, one record a line.
fn digest(config: &FleetConfig, length: usize) -> String {
    let mut fleet = Fleet::new(config);
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while bytes < length {
        let record = fleet.advance();
        hash.update(record.json);
        hash.update(record.arrival.as_ms().to_be_bytes());
        bytes += record.json.len();
    }
    hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Changes only when the simulation does. Then references and recorded runs are no longer of the same fleet.
#[test]
fn bytes_are_those_of_every_machine() {
    let week = FleetConfig {
        seed: 20,
        start: Timestamp::EPOCH.plus_ms(1_000_000_000_000),
        rate: 0.1,
        scenario: Scenario::Healthy,
        quiet_ms: HOUR_MS,
    };
    for (name, config, length, want) in [
        ("the default story", FleetConfig::default(), 20_000_000, "c48b9181841eec69"),
        ("a slow week", week, 20_000_000, "9c5d7cbd9884261d"),
    ] {
        assert_eq!(digest(&config, length), want, "{name}");
    }
}

#[test]
fn records_come_in_order_and_labels_after_their_predictions() {
    let config = FleetConfig { seed: 2, ..FleetConfig::default() };
    let mut fleet = Fleet::new(&config);
    let mut predicted = BTreeMap::new();
    let mut last = config.start;
    for _ in 0..60_000 {
        let record = fleet.advance();
        assert!(record.arrival >= last, "arrival never goes back");
        last = record.arrival;
        let late = record.arrival.since_ms(record.event_time);
        assert!((0..=3000).contains(&late), "{late} ms late");
        match record.kind {
            Kind::Prediction => {
                let p: Prediction = serde_json::from_slice(record.json).unwrap();
                assert_eq!(
                    (p.prediction_id.as_str(), p.event_time, p.model.as_str()),
                    (record.key, record.event_time, record.model)
                );
                predicted.insert(p.prediction_id, p.event_time);
            }
            Kind::Label => {
                let l: Label = serde_json::from_slice(record.json).unwrap();
                assert_eq!((l.prediction_id.as_str(), l.event_time), (record.key, record.event_time));
                let made = predicted.get(&l.prediction_id).expect("the prediction came first");
                assert!(l.event_time.since_ms(*made) >= 5000, "known after it was made");
            }
        }
    }
}

#[test]
fn ids_of_two_runs_differ() {
    let base = FleetConfig::default();
    let first = |config: &FleetConfig| Fleet::new(config).advance().key.to_owned();
    for other in [
        FleetConfig { seed: 2, ..base },
        FleetConfig { start: base.start.plus_ms(1), ..base },
        FleetConfig { rate: 2.0, ..base },
        FleetConfig { scenario: Scenario::Healthy, ..base },
        FleetConfig { quiet_ms: 1, ..base },
    ] {
        let run = |config: &FleetConfig| first(config).split('-').nth(1).unwrap().to_owned();
        assert_ne!(run(&base), run(&other), "{other:?}");
        assert_eq!(first(&other), first(&other));
    }
}

/// A loss of accuracy is seen through labels alone.
#[test]
fn a_loss_of_accuracy_moves_no_byte_of_a_prediction() {
    let predictions = |scenario| {
        let config = FleetConfig { seed: 3, rate: 0.2, scenario, ..FleetConfig::default() };
        let mut run = Run::of(config, 2 * HOUR_MS);
        for p in &mut run.predictions {
            let parts: Vec<_> = p.prediction_id.split('-').collect();
            p.prediction_id = format!("{}-{}", parts[0], parts[2]);
        }
        run.predictions
    };
    let (healthy, wrong) = (predictions(Scenario::Steady), predictions(Scenario::Accuracy));
    assert!(healthy.len() > 5000);
    assert!(healthy == wrong);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_config_writes_readable_records(
        seed: u64,
        start in Timestamp::MIN.as_ms()..=Timestamp::MAX.as_ms(),
        rate in prop_oneof![Just(RATE_MIN), Just(RATE_MAX), 0.01..100.0],
        scenario in prop::sample::select(Scenario::ALL.to_vec()),
        quiet_ms in prop_oneof![Just(i64::MIN), Just(QUIET_MAX_MS), Just(i64::MAX), 0..HOUR_MS],
    ) {
        let config = FleetConfig { seed, start: Timestamp::EPOCH.plus_ms(start), rate, scenario, quiet_ms };
        let mut fleet = Fleet::new(&config);
        for _ in 0..200 {
            let record = fleet.advance();
            match record.kind {
                Kind::Prediction => drop(serde_json::from_slice::<Prediction>(record.json).unwrap()),
                Kind::Label => drop(serde_json::from_slice::<Label>(record.json).unwrap()),
            }
        }
    }
}
