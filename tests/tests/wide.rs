//! A model of 700 features: all that is written of it is larger than a record may be, and none of it is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use detect::collect::{CollectConfig, Role};
use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use detect::judge::Judge;
use detect::record::PanesRecord;
use detect::reference::{Reference, ReferenceBuilder};
use runtime::clock::{Clock, Now};
use runtime::collect::{CollectLoop, SourceSpec};
use runtime::judge::JudgeLoop;
use runtime::live::Live;
use runtime::log::embedded::EmbeddedLog;
use runtime::log::{Isolation, Log, NewRecord, TopicPartition};
use runtime::settings::Settings;
use runtime::topics::{Partitions, owned};
use runtime::views::Views;
use wire::Timestamp;
use wire::context::ContextRecord;
use wire::history::{History, Verdict};
use wire::topic::Topics;

const FEATURES: usize = 700;
const DAY_MS: i64 = 86_400_000;
/// What a topic takes unless told otherwise.
const RECORD_MAX: usize = 1 << 20;
const START: i64 = 1_780_000_000_000;

/// Prediction `i` at `ms`. The features of one model differ in their scales, those of a record in their values.
fn prediction(model: &str, i: u64, ms: i64) -> Vec<u8> {
    let mut features = String::new();
    for f in 0..FEATURES as u64 {
        let mixed = (i * 1_000_003 + f).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let comma = if f == 0 { "" } else { "," };
        if f % 2 == 0 {
            write!(features, r#"{comma}"f{f:03}":{}.{f}"#, mixed % (10 + f * 7)).unwrap();
        } else {
            write!(features, r#"{comma}"f{f:03}":"c{}""#, mixed % 25).unwrap();
        }
    }
    format!(
        r#"{{"prediction_id":"{model}-{i}","event_time":{ms},"model":"{model}","version":"v1","latency_ms":{},"features":{{{features}}}}}"#,
        20 + i % 17
    )
    .into_bytes()
}

fn collect_config() -> Arc<CollectConfig> {
    Arc::new(serde_json::from_str(r#"{"features_max": 1024}"#).unwrap())
}

fn judge_config(budget: BudgetSettings) -> Arc<JudgeConfig> {
    Arc::new(JudgeConfig::new("test", 1, 10_000, JudgeSettings::default(), budget, BTreeMap::new()))
}

/// Four days before the start.
fn reference(judge: &Arc<JudgeConfig>) -> Reference {
    let mut builder = ReferenceBuilder::new(collect_config(), Arc::clone(judge));
    let records: Vec<_> = (0..2400_u64)
        .zip((START - 4 * DAY_MS..).step_by(144_000))
        .map(|(i, ms)| prediction("wide", i, ms))
        .collect();
    records.iter().for_each(|record| builder.record(Role::Predictions, record));
    builder.next_pass();
    records.iter().for_each(|record| builder.record(Role::Predictions, record));
    builder.finish().references.remove(0)
}

struct House {
    log: EmbeddedLog,
    settings: Settings,
    collect: CollectLoop<EmbeddedLog>,
    judge: JudgeLoop<EmbeddedLog>,
    sent: u64,
    mono: Duration,
}

fn settings() -> Settings {
    Settings {
        namespace: "default".into(),
        instance: "test".into(),
        topics: Arc::new(Topics::of("default")),
        judge_partitions: 1,
        escalate_partitions: 1,
        collect_partitions: 1,
        commit_every: Duration::from_millis(100),
        progress_every: Duration::from_millis(100),
        idle: Duration::from_secs(3600),
        hold_max: Duration::from_secs(3600),
    }
}

fn judge_loop(
    log: &EmbeddedLog,
    config: &Arc<JudgeConfig>,
    pinned: &Arc<Vec<Reference>>,
) -> JudgeLoop<EmbeddedLog> {
    let views = Arc::new(Views::default());
    let (config, pinned) = (Live::new(Arc::clone(config)), Arc::clone(pinned));
    JudgeLoop::new(log.clone(), settings(), config, pinned, views, Clock::start()).unwrap()
}

impl House {
    fn new(config: &Arc<JudgeConfig>, pinned: &Arc<Vec<Reference>>) -> Self {
        let (log, settings) = (EmbeddedLog::in_memory(), settings());
        let partitions = Partitions { telemetry: 1, judge: 1, escalate: 1, collect: 1 };
        log.ensure_topics(&owned(&settings.topics, partitions, true), true).unwrap();
        for reference in pinned.iter() {
            let profile = ContextRecord::Profile(Box::new(reference.profile.clone()));
            log.append(&runtime::context_records(&settings, profile)).unwrap();
        }
        let spec = SourceSpec { topic: settings.topics.telemetry.clone(), labels_topic: None };
        let views = Arc::new(Views::default());
        let collect =
            CollectLoop::new(log.clone(), settings.clone(), collect_config(), spec, 0, views, Clock::start())
                .unwrap();
        let judge = judge_loop(&log, config, pinned);
        let mut house = Self { log, settings, collect, judge, sent: 0, mono: Duration::ZERO };
        // What a judge goes by is there before the first pane.
        house.settle();
        house
    }

    /// `n` predictions 25 to the second, and steps until nothing comes of them any more.
    fn play(&mut self, model: &str, n: u64) {
        let telemetry = self.settings.topics.telemetry.as_str();
        let one = |i: u64| {
            let ms = START + i64::try_from(i).unwrap() * 40;
            NewRecord::new(telemetry, prediction(model, i, ms)).partition(0)
        };
        let records: Vec<_> = (self.sent..self.sent + n).map(one).collect();
        self.log.append(&records).unwrap();
        self.sent += n;
        self.settle();
    }

    /// Nothing may fail.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.mono += Duration::from_millis(600);
            let now = Now { wall: Timestamp::from_ms(START).unwrap(), mono: self.mono };
            self.collect.step(now).unwrap();
            self.judge.step(now).unwrap();
        }
    }

    fn records(&self, topic: &str) -> Vec<(i64, Vec<u8>)> {
        let at = TopicPartition::new(topic, 0);
        let mut found = Vec::new();
        let each = &mut |record: runtime::log::Record<'_>| {
            found.extend(record.value.map(|value| (record.offset, value.to_vec())));
            ControlFlow::Continue(())
        };
        self.log.read(&at, 0, None, Isolation::Committed, each).unwrap();
        found
    }

    fn values(&self, topic: &str) -> Vec<Vec<u8>> {
        self.records(topic).into_iter().map(|(_, value)| value).collect()
    }

    fn panes(&self) -> Vec<PanesRecord> {
        let values = self.values(&self.settings.topics.panes);
        values.iter().map(|v| PanesRecord::decode(v).unwrap()).collect()
    }

    fn history(&self) -> Vec<History> {
        let values = self.values(&self.settings.topics.history);
        values.iter().map(|v| serde_json::from_slice(v).unwrap()).collect()
    }

    fn parts(&self, of: &str) -> usize {
        self.panes().iter().filter(|r| matches!(r, PanesRecord::Part(p) if p.writer == of)).count()
    }
}

#[test]
fn a_pinned_reference_of_700_features_is_used_and_outlives_a_restart() {
    let config = judge_config(BudgetSettings::default());
    let reference = reference(&config);
    let bytes = serde_json::to_vec(&reference).unwrap().len();
    assert_eq!(reference.profile.features.len(), FEATURES);
    assert!(bytes > RECORD_MAX, "it would fit a record: {bytes} bytes");
    let digest = reference.profile.digest.clone();
    let pinned = Arc::new(vec![reference]);
    let mut house = House::new(&config, &pinned);
    house.play("wide", 4_000);
    let judged = house.history();
    let predictions: u64 = judged.iter().map(|h| h.predictions).sum();
    assert!(predictions == 3_000, "{predictions} predictions in {} panes", judged.len());
    let by_it = |h: &History| h.profile.as_ref() == Some(&digest) && h.streams.len() > FEATURES;
    assert!(judged.iter().all(by_it), "every pane is judged by the reference");
    let warm = |h: &History| h.streams.iter().all(|s| s.verdict != Verdict::WarmingUp);
    assert!(judged.iter().all(warm), "nothing is learned anew");

    let parts = house.parts("judge/0");
    assert!(parts > 3, "the reference came in {parts} parts");
    let configs = |house: &House| {
        house.panes().into_iter().filter(|r| matches!(r, PanesRecord::Config(_))).collect::<Vec<_>>()
    };
    assert_eq!(configs(&house), [PanesRecord::Config(Box::new(config.rules()))]);

    // Another config judges from here on: the reference is there, and is not handed on again.
    let another = judge_config(BudgetSettings { pages_per_week: 9.0, ..BudgetSettings::default() });
    house.judge = judge_loop(&house.log, &another, &pinned);
    house.play("wide", 4_000);
    let after = house.history();
    assert!(after.len() > judged.len() && after.iter().all(by_it) && after.iter().all(warm));
    assert_eq!(house.parts("judge/0"), parts);
    let told = [&config, &another].map(|c| PanesRecord::Config(Box::new(c.rules())));
    assert_eq!(configs(&house), told);
}

#[test]
fn a_raw_pane_of_700_features_is_counted_whole() {
    let config = judge_config(BudgetSettings::default());
    let mut house = House::new(&config, &Arc::new(vec![]));
    house.play("raw", 4_000);
    assert!(house.parts("tocsin.telemetry.v1/0") > 1, "a pane came in parts");
    let mut judge = Judge::new(0, config);
    for (offset, value) in house.records(&house.settings.topics.panes) {
        judge.handle(offset, PanesRecord::decode(&value).unwrap());
    }
    let counters = judge.counters();
    assert_eq!((counters.panes, counters.misshapen), (15, 0), "all panes but the last have passed");
    let at = TopicPartition::new(house.settings.topics.panes.as_str(), 0);
    let committed = house.log.committed(&house.settings.group("judge"), &[at]).unwrap();
    assert_eq!(committed, [judge.resume_offset()], "the loop has come as far");
}
