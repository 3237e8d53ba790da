//! The loops on a log that does not answer for all of it, and on records that they cannot read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate tocsin_runtime as runtime;

#[path = "support/deaf.rs"]
mod deaf;
#[path = "support/settings.rs"]
mod settings;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deaf::DeafLog;
use detect::collect::CollectConfig;
use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use detect::progress::{Progress, SourceId};
use detect::record::PanesRecord;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use runtime::clock::{Clock, Now};
use runtime::collect::{CollectLoop, SourceSpec};
use runtime::judge::JudgeLoop;
use runtime::live::Live;
use runtime::log::{EmbeddedLog, Isolation, Log, LogError, NewRecord, TopicPartition};
use runtime::settings::Settings;
use runtime::topics::{Partitions, owned};
use runtime::views::Views;
use wire::{Incident, Timestamp};

const HOLD_MAX: Duration = Duration::from_secs(40);
const STEP: Duration = Duration::from_millis(500);
const START: i64 = 1_780_000_000_000;
const LABELS: &str = "labels";

/// Telemetry of two partitions, its labels in a topic of their own if they are to be, and both loops on it.
struct Pipeline {
    log: DeafLog,
    collect: CollectLoop<DeafLog>,
    judge: JudgeLoop<DeafLog>,
    judged: Arc<Views>,
    at: Duration,
}

fn settings() -> Settings {
    settings::settings(Duration::from_secs(1), HOLD_MAX)
}

impl Pipeline {
    fn new(labels: bool) -> Self {
        let log = EmbeddedLog::in_memory();
        let partitions = Partitions { telemetry: 2, judge: 1, escalate: 1, collect: 1 };
        log.ensure_topics(&owned(&settings().topics, partitions, true), true).unwrap();
        let cleanup = runtime::log::Cleanup::Delete { retention_ms: None };
        log.ensure_topics(&[runtime::log::TopicSpec::new(LABELS, 2, cleanup)], true).unwrap();
        let log = DeafLog::new(log);
        let config = if labels { r#"{"labels":{"topic":"labels"}}"# } else { "{}" };
        let config: Arc<CollectConfig> = Arc::new(serde_json::from_str(config).unwrap());
        let labels_topic = labels.then(|| LABELS.to_owned());
        let spec = SourceSpec { topic: settings().topics.telemetry.clone(), labels_topic };
        let (views, judged) = (Arc::new(Views::default()), Arc::new(Views::default()));
        let collect =
            CollectLoop::new(log.clone(), settings(), config, spec, 0, views, Clock::start()).unwrap();
        let judge = JudgeSettings::default();
        let config = JudgeConfig::new("default", 1, 10_000, judge, BudgetSettings::default(), [].into());
        let (config, pinned) = (Live::new(config), Arc::new(vec![]));
        let views = Arc::clone(&judged);
        let judge = JudgeLoop::new(log.clone(), settings(), config, pinned, views, Clock::start()).unwrap();
        Self { log, collect, judge, judged, at: Duration::from_secs(1) }
    }

    fn now(&self) -> Now {
        let wall = Timestamp::from_ms(START).unwrap().plus_ms(i64::try_from(self.at.as_millis()).unwrap());
        Now { wall, mono: self.at }
    }

    /// A prediction whose event time is that of the clock.
    fn predicts(&self, partition: u32) {
        let wall = self.now().wall.as_ms();
        let record = format!(
            r#"{{"prediction_id":"{partition}-{wall}","event_time":{wall},"model":"m","version":"1"}}"#
        );
        self.write(&settings().topics.telemetry, partition, record.into_bytes());
    }

    fn write(&self, topic: &str, partition: u32, value: Vec<u8>) {
        self.log.append(&[NewRecord::new(topic, value).partition(partition)]).unwrap();
    }

    /// Both loops for so long, while the first partition is written to.
    fn run(&mut self, how_long: Duration) {
        let end = self.at + how_long;
        while self.at < end {
            self.predicts(0);
            let now = self.now();
            while self.collect.step(now).unwrap().worked {}
            while self.judge.step(now).unwrap().worked {}
            self.at += STEP;
        }
    }

    fn values(&self, topic: &str) -> Vec<Vec<u8>> {
        let mut values = vec![];
        self.log
            .read(&TopicPartition::new(topic, 0), 0, None, Isolation::Committed, &mut |record| {
                values.extend(record.value.map(<[u8]>::to_vec));
                ControlFlow::Continue(())
            })
            .unwrap();
        values
    }

    fn panes(&self) -> Vec<PanesRecord> {
        self.values(&settings().topics.panes).iter().filter_map(|v| PanesRecord::decode(v).ok()).collect()
    }

    /// Partitions that were given up, in order.
    fn given_up(&self) -> Vec<u32> {
        let given_up = |record| {
            if let PanesRecord::GaveUp { source, .. } = record { Some(source.partition) } else { None }
        };
        self.panes().into_iter().filter_map(given_up).collect()
    }

    /// The last word of each partition on how far it is.
    fn progress(&self, partition: u32) -> Progress {
        let progress = |record| {
            if let PanesRecord::Progress(said) = record { Some(said) } else { None }
        };
        let of_it = |said: &Progress| said.source.partition == partition;
        self.panes().into_iter().rev().filter_map(progress).find(of_it).unwrap()
    }

    fn changes(&self) -> Vec<&'static str> {
        let incidents = self.values(&settings().topics.incidents);
        incidents.iter().map(|v| serde_json::from_slice::<Incident>(v).unwrap().change.name()).collect()
    }

    /// How far event time has come, behind the clock.
    fn behind(&self) -> Duration {
        let ms = self.now().wall.since_ms(self.judged.watermark().unwrap());
        Duration::from_millis(ms.unsigned_abs())
    }
}

#[test]
fn a_partition_that_does_not_answer_is_given_up_though_its_collector_speaks() {
    let mut p = Pipeline::new(false);
    p.predicts(1);
    p.run(Duration::from_secs(5));
    p.log.set_mute(&settings().topics.telemetry, 1, true);
    p.run(HOLD_MAX + Duration::from_secs(20));
    assert_eq!((p.given_up(), p.changes()), (vec![1], vec!["opened"]));
    // What its collector says of it meanwhile makes nobody wait again.
    p.run(HOLD_MAX * 3);
    assert_eq!((p.given_up(), p.changes()), (vec![1], vec!["opened"]));
    assert!(p.behind() < HOLD_MAX / 2, "{:?}", p.behind());
    p.log.set_mute(&settings().topics.telemetry, 1, false);
    p.predicts(1);
    p.run(Duration::from_secs(20));
    assert_eq!((p.given_up(), p.changes()), (vec![1], vec!["opened", "cleared"]));
}

#[test]
fn a_partition_to_which_nobody_writes_is_not_given_up() {
    let mut p = Pipeline::new(false);
    p.predicts(1);
    p.run(HOLD_MAX * 4);
    assert_eq!((p.given_up(), p.changes().len()), (vec![], 0));
    let quiet = p.progress(1);
    assert!(quiet.caught_up && !quiet.idle);
}

#[test]
fn labels_that_do_not_answer_hold_panes_up_for_so_long_and_no_longer() {
    let mut p = Pipeline::new(true);
    p.run(Duration::from_secs(5));
    p.log.set_mute(LABELS, 0, true);
    p.log.set_mute(LABELS, 1, true);
    p.run(HOLD_MAX - Duration::from_secs(5));
    let held = p.progress(0).watermark;
    assert!(held < Some(Timestamp::from_ms(START + 10_000).unwrap()), "{held:?}");
    p.run(Duration::from_secs(20));
    assert!(p.progress(0).watermark > Some(Timestamp::from_ms(START + 40_000).unwrap()));
    assert!(p.given_up().is_empty());
}

#[test]
fn predictions_wait_for_labels_that_never_answered_for_so_long_and_no_longer() {
    let mut p = Pipeline::new(true);
    p.log.set_mute(LABELS, 0, true);
    p.run(HOLD_MAX - Duration::from_secs(5));
    let held = p.progress(0).watermark;
    assert!(held < Some(Timestamp::from_ms(START + 15_000).unwrap()), "{held:?}");
    p.run(Duration::from_secs(30));
    assert!(p.progress(0).watermark > Some(Timestamp::from_ms(START + 40_000).unwrap()));
}

#[test]
fn while_the_log_is_away_the_silence_of_others_says_nothing() {
    let mut p = Pipeline::new(false);
    p.predicts(1);
    p.run(Duration::from_secs(20));
    assert!(p.judge.step(p.now()).is_ok());
    p.log.set_away(true);
    let end = p.at + HOLD_MAX * 2;
    while p.at < end {
        drop(p.judge.step(p.now()));
        p.at += STEP;
    }
    p.log.set_away(false);
    let end = p.at + HOLD_MAX / 2;
    while p.at < end {
        while p.judge.step(p.now()).unwrap().worked {}
        p.at += STEP;
    }
    assert!(p.given_up().is_empty(), "collectors have not had the time to commit");
    p.at += HOLD_MAX;
    while p.judge.step(p.now()).unwrap().worked {}
    assert_eq!(p.given_up(), [0, 1], "now they had");
}

/// Counts records that cannot be read.
#[derive(Default)]
struct Unreadable(Arc<AtomicU64>);

impl Recorder for Unreadable {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() != runtime::metrics::UNREADABLE {
            return Counter::noop();
        }
        assert_eq!(key.labels().next().unwrap().value(), settings().topics.panes);
        Counter::from_arc(Arc::clone(&self.0))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_record_that_cannot_be_read_is_counted_and_one_of_a_newer_version_ends_the_judge() {
    let mut p = Pipeline::new(false);
    let counted = Unreadable::default();
    let panes = settings().topics.panes.clone();
    let source = SourceId { topic: "t".into(), partition: 0 };
    let record = PanesRecord::GaveUp { source, pane: Timestamp::EPOCH }.encode();
    metrics::with_local_recorder(&counted, || {
        p.write(&panes, 0, b"{}".to_vec());
        p.write(&panes, 0, record[..record.len() - 1].to_vec());
        p.write(&panes, 0, record.clone());
        while p.judge.step(p.now()).unwrap().worked {}
        assert_eq!(counted.0.load(Ordering::Relaxed), 2);
        let at = [TopicPartition::new(panes.as_str(), 0)];
        let committed = || p.log.committed(&settings().group("judge"), &at).unwrap().remove(0);
        let before = committed();
        assert!(before.is_some());

        let newer = [&[record[0] + 1], &record[1..]].concat();
        p.write(&panes, 0, record.clone());
        p.write(&panes, 0, newer);
        p.at += Duration::from_secs(5);
        let now = p.now();
        let mut steps = (0..10).map(|_| p.judge.step(now));
        let error = steps.find_map(Result::err).unwrap();
        assert!(matches!(error, LogError::Fatal { .. }));
        let said = error.to_string();
        assert!(
            said.contains("upgrade") && said.contains("tocsin.panes") && said.contains("offset"),
            "{said}"
        );
        assert_eq!(p.log.committed(&settings().group("judge"), &at).unwrap().remove(0), before);
    });
}
