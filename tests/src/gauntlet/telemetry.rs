//! Telemetry at a steady rate, in which something is always about to go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runtime::log::{KafkaConfig, KafkaLog, Log as _, LogError, NewRecord};
use serde_json::Value;
use wire::Timestamp;

use crate::fed::Feed;

/// Event time written at once.
const STEP_MS: i64 = 2_000;
/// A trouble begins every so often, and lasts for half of it.
const TROUBLE_MS: i64 = 16 * 60_000;
type Trouble = fn(&mut Value);
/// In turn: which model, and what is wrong with it.
const TROUBLES: [(&str, Trouble); 5] =
    [("fraud", slow), ("support", failing), ("ranking", slow), ("triage", failing), ("demand", slow)];

/// A producer on a thread of its own. Goes on until it is told to end.
pub struct Telemetry {
    end: Arc<AtomicBool>,
    records: Arc<AtomicU64>,
    passed_ms: Arc<AtomicU64>,
    thread: JoinHandle<Timestamp>,
}

impl Telemetry {
    /// Writes to `topic`, `speed` seconds of event time in a second of the clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the pace is the clock's")]
    pub fn start(brokers: &str, topic: &str, speed: u32) -> Self {
        let (end, records) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let passed_ms = Arc::new(AtomicU64::new(0));
        let log = KafkaLog::connect(KafkaConfig::new(brokers)).expect("it is there");
        let topic: Arc<str> = topic.into();
        let (ended, written, come_to) = (Arc::clone(&end), Arc::clone(&records), Arc::clone(&passed_ms));
        let thread = std::thread::spawn(move || {
            let mut feed = Feed::new(&[], 1.0);
            let (began, from) = (Instant::now(), feed.now);
            while !ended.load(Ordering::Relaxed) {
                let passed = u64::try_from(feed.now.since_ms(from)).expect("time goes on");
                let due = began + Duration::from_millis(passed) / speed;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let lines = feed.lines(STEP_MS, |record| spoil(record, from));
                append(&log, &keyed(&topic, &lines));
                written.store(feed.records, Ordering::Relaxed);
                come_to.store(passed, Ordering::Relaxed);
            }
            feed.now
        });
        Self { end, records, passed_ms, thread }
    }

    /// Event time written so far.
    #[must_use]
    pub fn passed(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(Ordering::Relaxed))
    }

    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Ends it. Event time that it had come to.
    pub fn end(self) -> Timestamp {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("telemetry was written to its end")
    }
}

/// Lines of telemetry as records, those of one prediction in one partition.
///
/// # Panics
/// When one is no telemetry.
#[must_use]
pub fn keyed(topic: &Arc<str>, lines: &[u8]) -> Vec<NewRecord> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let records = lines.map(|line| {
        let record: Value = serde_json::from_slice(line).expect("the fleet writes JSON");
        let id = record["prediction_id"].as_str().expect("every record has one").to_owned();
        NewRecord::new(Arc::clone(topic), line).key(id)
    });
    records.collect()
}

/// As a producer that never gives up: what was written twice is seen by all readers alike.
///
/// # Panics
/// When it is refused for good.
pub fn append(log: &KafkaLog, records: &[NewRecord]) {
    while let Err(error) = log.append(records) {
        assert!(matches!(error, LogError::Retriable { .. }), "telemetry is refused: {error}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn spoil(record: &mut Value, from: Timestamp) {
    let at: Timestamp = record["event_time"].as_str().and_then(|t| t.parse().ok()).expect("a time");
    let passed = at.since_ms(from).max(0);
    // Healthy at first, so that there is something to depart from.
    let Some(turn) = (passed / TROUBLE_MS).checked_sub(1).and_then(|n| usize::try_from(n).ok()) else {
        return;
    };
    let (model, trouble) = TROUBLES[turn % TROUBLES.len()];
    if passed % TROUBLE_MS < TROUBLE_MS / 2 && record["model"] == model && record["kind"] == "prediction" {
        trouble(record);
    }
}

fn slow(record: &mut Value) {
    if let Some(ms) = record["latency_ms"].as_f64() {
        record["latency_ms"] = (ms * 4.0).into();
    }
}

fn failing(record: &mut Value) {
    let id = record["prediction_id"].as_str().unwrap_or_default();
    // A third of them, the same whoever asks.
    if id.bytes().map(u32::from).sum::<u32>() % 3 == 0 {
        record["status"] = "error".into();
    }
}
