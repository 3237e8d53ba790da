//! A model of tocsin's own whose requests fail now and then: the incident that must come of it goes all the way that any
//! other goes, from telemetry through collector, judge and topic to the outbox.
//!
//! Its incidents are drills. What comes of them is for a receiver that calls somebody when nothing comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use detect::decode::Fields;
use serde_json::{Map, Value};
use wire::Timestamp;

use crate::clock::Clock;
use crate::log::{Log, NewRecord};
use crate::metrics::CANARY;

/// Requests a second: enough to learn from in a quarter of an hour, and nothing to a topic of telemetry.
const RATE: i64 = 5;
const EVERY: Duration = Duration::from_millis(200);
/// One request in so many fails when all is well.
const USUAL: i64 = 211;
/// How long its requests fail.
pub const FAILS_MS: i64 = 60_000;

/// What a canary is called, and how often its requests fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Song {
    pub model: String,
    /// Each process has a version of its own.
    pub version: String,
    /// From one trouble to the next, in milliseconds. The first comes after one, so that there is something to learn from.
    pub every_ms: i64,
}

impl Song {
    /// Whether its requests fail at a time.
    #[must_use]
    pub fn fails(&self, began: Timestamp, at: Timestamp) -> bool {
        let passed = at.since_ms(began);
        passed >= self.every_ms && passed.rem_euclid(self.every_ms) < FAILS_MS
    }

    /// The request of a number, as the mapping of `fields` has it.
    #[must_use]
    pub fn record(&self, fields: &Fields, n: i64, at: Timestamp, fails: bool) -> (String, Vec<u8>) {
        let id = format!("{}-{}-{}", self.model, self.version, at.as_ms());
        // Between 20 and 40 ms, most of them in the lower half.
        let (a, b) = (n * 7919 % 97, n * 104_729 % 89);
        let latency_ms = 20.0 + f64::from(i32::try_from(a * b).unwrap_or(0)) / 432.0;
        let mut record = Map::new();
        for (path, value) in [
            (&fields.prediction_id, Value::from(id.as_str())),
            (&fields.event_time, Value::from(at.to_string())),
            (&fields.model, Value::from(self.model.as_str())),
            (&fields.version, Value::from(self.version.as_str())),
            (&fields.latency_ms, Value::from(latency_ms)),
            (&fields.status, Value::from(if fails || n % USUAL == 0 { "error" } else { "ok" })),
        ] {
            put(&mut record, path, value);
        }
        (id, Value::Object(record).to_string().into_bytes())
    }
}

/// Puts a value where a path such as `data.model` says.
fn put(record: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(record.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let within = record.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(within) = within {
                put(within, rest, value);
            }
        }
    }
}

/// Sings until it is asked to stop. What the log does not take is left out: its silence is what must be noticed.
pub fn sing<L: Log>(log: &L, topic: &str, fields: &Fields, song: &Song, clock: Clock, stop: &AtomicBool) {
    let topic: Arc<str> = topic.into();
    let began = clock.now().wall;
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        let now = clock.now().wall;
        let due = now.since_ms(began).max(0) * RATE / 1_000;
        // After a pause it goes on, and does not make up for it.
        n = n.max(due - 2 * RATE);
        let mut batch = vec![];
        while n < due {
            n += 1;
            let at = began.plus_ms(n * 1_000 / RATE);
            let (key, value) = song.record(fields, n, at, song.fails(began, at));
            batch.push(NewRecord::new(Arc::clone(&topic), value).key(key));
        }
        if batch.is_empty() {
            continue;
        }
        let outcome = match log.append(&batch) {
            Ok(_) => "written",
            Err(error) => {
                tracing::warn!(%error, "the canary's telemetry was not written");
                "failed"
            }
        };
        metrics::counter!(CANARY, "outcome" => outcome).increment(batch.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn song() -> Song {
        Song { model: "tocsin-canary".into(), version: "1".into(), every_ms: 900_000 }
    }

    #[test]
    fn it_is_healthy_first_and_fails_for_a_minute_each_time() {
        let began = Timestamp::from_ms(1_790_000_000_000).unwrap();
        let fails = |s: i64| song().fails(began, began.plus_ms(s * 1_000));
        for (s, want) in
            [(0, false), (59, false), (899, false), (900, true), (959, true), (960, false), (1_800, true)]
        {
            assert_eq!(fails(s), want, "after {s} s");
        }
    }

    #[test]
    fn its_records_are_what_the_mapping_says() {
        let at = Timestamp::from_ms(1_790_000_000_000).unwrap();
        let fields = Fields {
            event_time: "meta.ts".into(),
            model: "meta.name".into(),
            latency_ms: "took".into(),
            ..Fields::default()
        };
        let (key, bytes) = song().record(&fields, 3, at, true);
        let record: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(record["meta"]["ts"], at.to_string());
        assert_eq!(record["meta"]["name"], "tocsin-canary");
        assert_eq!((&record["status"], &record["prediction_id"]), (&"error".into(), &key.into()));
        let slow = (1..1_000).map(|n| song().record(&fields, n, at, false).1);
        let took =
            |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap()["took"].as_f64().unwrap();
        assert!(slow.map(took).all(|ms| (20.0..=40.0).contains(&ms)));
    }
}
