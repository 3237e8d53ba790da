//! What a Kafka and its operators do to an installation now and then: each has a decided behaviour, a line in the log
//! that says what to do, and a metric (docs/trouble.md).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;

use runtime::log::{Cleanup, KafkaConfig, KafkaLog, Log as _, NewRecord, TopicSpec};
use serde_json::json;
use tocsin_tests::home::Home;
use tocsin_tests::operator::Operator;
use tocsin_tests::process::Process;
use tocsin_tests::{foreign, home, scrape, stored, wait};
use wire::Timestamp;
use wire::topic::Topics;

const DAYS_3_MS: u64 = 3 * 86_400_000;

/// An installation whose telemetry is a topic of its operator.
struct Place {
    brokers: String,
    home: Home,
    namespace: String,
    telemetry: String,
    log: KafkaLog,
    operator: Operator,
}

impl Place {
    fn new(what: &str, name: &str, partitions: u32) -> Option<Self> {
        let brokers = foreign::kafka(what)?;
        let namespace = foreign::namespace(name);
        let telemetry = format!("{namespace}.predictions");
        let home = home!(&namespace);
        home.configure(&format!(
            "namespace = \"{namespace}\"\n[log]\nbrokers = \"{brokers}\"\n[telemetry]\ntopic = \"{telemetry}\"\nidle_s = 5"
        ));
        let log = KafkaLog::connect(KafkaConfig::new(&brokers)).unwrap();
        let operator = Operator::new(&brokers);
        let place = Self { brokers, home, namespace, telemetry, log, operator };
        place.make(partitions);
        Some(place)
    }

    /// A client that knows of no topic yet.
    fn connect(&self) -> KafkaLog {
        KafkaLog::connect(KafkaConfig::new(&self.brokers)).unwrap()
    }

    fn make(&self, partitions: u32) {
        let keep = Cleanup::Delete { retention_ms: Some(DAYS_3_MS) };
        let spec =
            TopicSpec::new(self.telemetry.as_str(), partitions, keep).set("max.message.bytes", "20000000");
        wait::until("the topic is made", || self.log.ensure_topics(std::slice::from_ref(&spec), true).ok());
    }

    /// Predictions of one model, a second apart.
    fn predict(&self, partition: u32, numbers: Range<u32>) {
        let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let record = |i: u32| {
            let at = start.plus_ms(i64::from(i) * 1000);
            let value = json!({"prediction_id": format!("p{i}"), "event_time": at, "model": "m", "version": "1", "latency_ms": 7.5});
            NewRecord::new(self.telemetry.as_str(), value.to_string()).partition(partition)
        };
        let records: Vec<NewRecord> = numbers.map(record).collect();
        // A client learns of new partitions and topics when it next looks.
        wait::until("the telemetry is written", || self.log.append(&records).ok());
    }

    fn start(&self) -> Process {
        Process::start(&self.home, &[])
    }

    /// Predictions that are in a committed pane.
    fn until_counted(&self, process: &Process, predictions: u64) {
        let mut last = 0;
        let done = wait::within(wait::PATIENCE, || {
            last = stored::counted(&self.connect(), &self.namespace).predictions;
            (last >= predictions).then_some(())
        });
        assert!(done.is_some() && last == predictions, "{last} of {predictions} counted\n{}", process.said());
    }
}

fn until_said(process: &Process, words: &str) {
    let said = wait::within(wait::PATIENCE, || process.said().contains(words).then_some(()));
    assert!(said.is_some(), "{words:?} was not said:\n{}", process.said());
}

fn ends_well(process: Process) {
    let (ended, said) = process.terminate();
    assert!(ended.success() && !said.contains("panicked"), "{ended}: {said}");
}

#[test]
fn records_that_expired_unread_are_told_of_and_the_rest_is_read() {
    let Some(place) = Place::new("records that expire before they are read", "expired", 1) else { return };
    place.predict(0, 0..100);
    let process = place.start();
    place.until_counted(&process, 100);
    ends_well(process);
    place.predict(0, 100..300);
    place.operator.expire(&place.telemetry, 0, 250);
    let process = place.start();
    place.until_counted(&process, 150);
    let said = process.said();
    let line = said.lines().find(|line| line.contains("records expired before they were read")).unwrap();
    for part in [place.telemetry.as_str(), "expected=100", "found=250"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    scrape::until(&process, "tocsin_data_gaps_total", &[("topic", &place.telemetry)], 1.0);
    ends_well(process);
}

#[test]
fn a_telemetry_topic_that_is_made_anew_is_read_from_its_beginning() {
    let Some(place) = Place::new("a telemetry topic that is deleted and made anew", "anew", 2) else {
        return;
    };
    place.predict(0, 0..100);
    place.predict(1, 100..200);
    let process = place.start();
    place.until_counted(&process, 200);
    place.operator.delete(&place.telemetry);
    until_said(&process, "cannot be found any more");
    place.make(2);
    place.predict(0, 200..240);
    place.predict(1, 240..280);
    place.until_counted(&process, 280);
    ends_well(process);
}

#[test]
fn partitions_that_a_telemetry_topic_gains_are_read_too() {
    let Some(place) = Place::new("a telemetry topic that grows", "grown", 2) else { return };
    place.predict(0, 0..50);
    let process = place.start();
    place.until_counted(&process, 50);
    place.operator.grow(&place.telemetry, 4);
    place.predict(3, 50..100);
    place.until_counted(&process, 100);
    ends_well(process);
}

#[test]
fn a_topic_of_tocsins_own_that_has_grown_is_refused_at_the_start() {
    let Some(place) = Place::new("a topic of tocsin's own that grows", "own", 1) else { return };
    place.predict(0, 0..50);
    let process = place.start();
    place.until_counted(&process, 50);
    let topic = Topics::of(&place.namespace).panes;
    place.operator.grow(&topic, 3);
    // What runs goes on: it writes where it wrote.
    place.predict(0, 50..80);
    place.until_counted(&process, 80);
    ends_well(process);
    let ended = place.home.run(&["run", "--config", "tocsin.toml"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let want = format!("topic {topic} has partitions = 3, wanted 1");
    assert!(!ended.status.success() && said.contains(&want), "{want}: {said}");
}

#[test]
fn a_record_of_ten_megabytes_is_a_dead_letter_and_stops_nothing() {
    let Some(place) = Place::new("a record of ten megabytes", "huge", 1) else { return };
    place.predict(0, 0..20);
    let huge = format!(
        r#"{{"prediction_id":"huge","model":"m","version":"1","features":{{"x":"{}"}}}}"#,
        "y".repeat(10_000_000)
    );
    let mut kafka = KafkaConfig::new(&place.brokers);
    kafka.settings.insert("message.max.bytes".to_owned(), "20000000".to_owned());
    KafkaLog::connect(kafka)
        .unwrap()
        .append(&[NewRecord::new(place.telemetry.as_str(), huge).partition(0)])
        .unwrap();
    place.predict(0, 20..40);
    let process = place.start();
    place.until_counted(&process, 40);
    scrape::until(&process, "tocsin_deadletters_total", &[("reason", "too_large")], 1.0);
    let listed = place.home.ok(&["deadletters"]);
    assert!(listed.contains("too_large") && listed.len() < 10_000, "{} bytes", listed.len());
    ends_well(process);
}

/// So many records that only say that a key is no more.
fn tombstones(log: &KafkaLog, topic: &str, count: usize) {
    for from in (0..count).step_by(20_000) {
        let batch: Vec<_> = (from..count.min(from + 20_000))
            .map(|n| NewRecord::tombstone(topic, format!("gone-{n}")).partition(0))
            .collect();
        wait::until("they are written", || log.append(&batch).ok());
    }
}

#[test]
fn a_million_tombstones_stop_nothing() {
    const MILLION: usize = 1_000_000;
    let Some(place) = Place::new("topics with a million tombstones", "graves", 1) else { return };
    // In a topic of telemetry each is a record without anything in it.
    place.predict(0, 0..50);
    tombstones(&place.log, &place.telemetry, MILLION);
    place.predict(0, 50..100);
    let process = place.start();
    place.until_counted(&process, 100);
    scrape::until(&process, "tocsin_deadletters_total", &[("reason", "empty")], 1_000_000.0);
    let listed = place.home.ok(&["deadletters", "--limit", "3"]);
    assert!(listed.contains("empty"), "{listed}");
    ends_well(process);
    // In those of the state they are what compaction has not taken away yet.
    let topics = Topics::of(&place.namespace);
    for topic in [&topics.state_judge, &topics.state_escalate, &topics.open] {
        tombstones(&place.log, topic, MILLION);
    }
    place.predict(0, 100..150);
    let process = place.start();
    process.until_ready();
    place.until_counted(&process, 150);
    let said = process.said();
    let restored = said.lines().find(|line| line.contains("state restored") && line.contains("judge"));
    println!("{}", restored.unwrap());
    ends_well(process);
}

#[test]
fn of_two_processes_that_run_as_one_instance_one_ends_and_says_why() {
    let Some(place) = Place::new("two processes that run as one instance", "twins", 2) else { return };
    place.home.configure("[log]\ninstance = \"twin\"");
    // Each has a partition to commit for, over and over.
    let (mut next, mut twins) = (0, vec![place.start(), place.start()]);
    let ended = wait::within(wait::PATIENCE, || {
        place.predict(0, next..next + 20);
        place.predict(1, next..next + 20);
        next += 20;
        let i = twins.iter_mut().position(|twin| !twin.runs())?;
        Some(twins.swap_remove(i))
    });
    let (status, said) = ended.expect("one of them ends").wait();
    assert!(!status.success(), "{status}: {said}");
    let line = said.lines().find(|line| line.contains("another process runs as [log] instance"));
    assert!(line.is_some_and(|line| line.contains("twin") && line.contains("a name of its own")), "{said}");
    let other = twins.pop().expect("one goes on");
    place.until_counted(&other, u64::from(next) * 2);
    ends_well(other);
}
