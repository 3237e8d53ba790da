//! Loops that are stepped only when they ask to be: what falls due is done at that moment, not at the next look around.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate tocsin_runtime as runtime;

#[path = "support/settings.rs"]
mod settings;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use detect::collect::CollectConfig;
use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use detect::record::PanesRecord;
use escalate::{Bundle, Policy};
use runtime::clock::{Clock, Now};
use runtime::collect::{CollectLoop, SourceSpec};
use runtime::escalate::EscalateLoop;
use runtime::judge::JudgeLoop;
use runtime::live::Live;
use runtime::log::{EmbeddedLog, Isolation, Log, LogError, NewRecord, TopicPartition};
use runtime::sends::{Sends, Sent};
use runtime::settings::{Settings, Stepped};
use runtime::topics::{Partitions, owned};
use runtime::views::Views;
use wire::page::Page;
use wire::{IncidentId, Timestamp};

/// Not a multiple of anything that the loops do from time to time.
const COMMIT_EVERY: Duration = Duration::from_millis(1_130);
const HOLD_MAX: Duration = Duration::from_millis(31_370);
const START: i64 = 1_780_000_000_000;

fn settings() -> Settings {
    settings::settings(COMMIT_EVERY, HOLD_MAX)
}

fn log() -> EmbeddedLog {
    let log = EmbeddedLog::in_memory();
    let partitions = Partitions { telemetry: 1, judge: 1, escalate: 1, collect: 1 };
    log.ensure_topics(&owned(&settings().topics, partitions, true), true).unwrap();
    log
}

fn collect(log: &EmbeddedLog) -> CollectLoop<EmbeddedLog> {
    let config: Arc<CollectConfig> = Arc::new(serde_json::from_str("{}").unwrap());
    let spec = SourceSpec { topic: settings().topics.telemetry.clone(), labels_topic: None };
    CollectLoop::new(log.clone(), settings(), config, spec, 0, Arc::new(Views::default()), Clock::start())
        .unwrap()
}

fn now(mono: Duration) -> Now {
    let wall = Timestamp::from_ms(START).unwrap().plus_ms(i64::try_from(mono.as_millis()).unwrap());
    Now { wall, mono }
}

/// Steps until there is nothing to do, then from timer to timer; returns the moment at which `done` first holds.
fn run(
    from: Duration,
    mut step: impl FnMut(Now) -> Result<Stepped, LogError>,
    mut done: impl FnMut() -> bool,
) -> Duration {
    let mut at = from;
    for _ in 0..10_000 {
        let stepped = step(now(at)).unwrap();
        if done() {
            return at;
        }
        if !stepped.worked {
            let next = stepped.next.expect("there is always something to look at");
            assert!(next > at, "what is due at {next:?} was not done at {at:?}");
            at = next;
        }
    }
    panic!("not done at {at:?}");
}

fn count(log: &EmbeddedLog, topic: &str, wanted: impl Fn(&[u8]) -> bool) -> usize {
    let mut count = 0;
    let each = &mut |record: runtime::log::Record<'_>| {
        count += usize::from(record.value.is_some_and(&wanted));
        ControlFlow::Continue(())
    };
    log.read(&TopicPartition::new(topic, 0), 0, None, Isolation::Committed, each).unwrap();
    count
}

fn telemetry(log: &EmbeddedLog, id: &str, after_ms: i64) {
    let time = START + after_ms;
    let record = format!(r#"{{"prediction_id":"{id}","event_time":{time},"model":"m","version":"1"}}"#);
    log.append(&[NewRecord::new(settings().topics.telemetry.as_str(), record)]).unwrap();
}

fn partials(log: &EmbeddedLog) -> usize {
    let partial = |v: &[u8]| matches!(PanesRecord::decode(v), Ok(PanesRecord::Partial(_)));
    count(log, &settings().topics.panes, partial)
}

#[test]
fn a_collector_commits_when_it_is_time() {
    let log = log();
    let mut work = collect(&log);
    telemetry(&log, "1", 0);
    let first = run(Duration::from_secs(2), |now| work.step(now), || partials(&log) == 1);
    telemetry(&log, "2", 0);
    let second = run(first, |now| work.step(now), || partials(&log) == 2);
    assert_eq!(second, first + COMMIT_EVERY);
}

#[test]
fn a_judge_commits_when_it_is_time_and_gives_up_who_is_silent_when_the_time_is_over() {
    let log = log();
    let mut source = collect(&log);
    telemetry(&log, "1", 0);
    run(Duration::from_secs(2), |now| source.step(now), || partials(&log) == 1);

    let judge = JudgeSettings::default();
    let config = JudgeConfig::new("default", 1, 10_000, judge, BudgetSettings::default(), [].into());
    let (config, pinned, views) = (Live::new(config), Arc::new(vec![]), Arc::new(Views::default()));
    let mut work = JudgeLoop::new(log.clone(), settings(), config, pinned, views, Clock::start()).unwrap();
    let panes = settings().topics.panes.clone();
    let committed = || {
        let at = TopicPartition::new(panes.as_str(), 0);
        log.committed(&settings().group("judge"), &[at]).unwrap().remove(0)
    };
    let first = run(Duration::from_millis(40), |now| work.step(now), || committed().is_some());

    telemetry(&log, "2", 60_000);
    run(Duration::from_secs(9), |now| source.step(now), || partials(&log) == 2);
    let before = committed();
    let second = run(first, |now| work.step(now), || committed() != before);
    assert_eq!(second, first + COMMIT_EVERY);

    // It has last heard of the source when it read of the second record, at once.
    let given_up = |v: &[u8]| matches!(PanesRecord::decode(v), Ok(PanesRecord::GaveUp { .. }));
    let silent = run(second, |now| work.step(now), || count(&log, &panes, given_up) == 1);
    assert_eq!(silent, first + HOLD_MAX);

    // That is an incident, which waits for nothing.
    let incidents = || count(&log, &settings().topics.incidents, |_| true);
    assert_eq!(run(silent, |now| work.step(now), || incidents() == 1), silent);
}

/// Notes what leaves and never answers.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<Page>>>);

impl Sends for Noted {
    fn start(&mut self, page: Page, _attempt: u32, _until: Duration) {
        self.0.lock().unwrap().push(page);
    }
    fn outcomes(&mut self) -> Vec<Sent> {
        Vec::new()
    }
    fn keep_alive(&mut self, _standing: Vec<Page>) {}
    fn forget(&mut self, _theirs: &dyn Fn(&IncidentId) -> bool) {}
}

#[test]
fn a_page_leaves_when_its_delay_is_over() {
    let log = log();
    let sample = include_bytes!("../../../schemas/samples/incident.json");
    log.append(&[NewRecord::new(settings().topics.incidents.as_str(), &sample[..])]).unwrap();
    let bundle: Bundle = serde_json::from_value(serde_json::json!({
        "namespace": "default",
        "route": [{ "policy": "page" }],
        "policy": { "page": { "steps": [
            { "targets": ["pager/now"], "delay_s": 7 }, { "targets": ["pager/later"], "delay_s": 60 }
        ] } },
    }))
    .unwrap();
    let receivers = BTreeSet::from(["pager".to_owned()]);
    let policy = Arc::new(Policy::new(bundle, &receivers).unwrap());
    let bundle = policy.bundle().clone();
    let live = Live::new(escalate::Loaded { config: policy.digest().clone(), by: "start".into(), bundle });
    let make = Box::new(move |partition| escalate::Machine::new(partition, Arc::clone(&policy)));
    let (sends, views) = (Noted::default(), Arc::new(Views::default()));
    let mut work =
        EscalateLoop::new(log, settings(), make, live, sends.clone(), views, Clock::start()).unwrap();
    let sent = || sends.0.lock().unwrap().len();
    let opened = Duration::from_millis(370);
    let first = run(opened, |now| work.step(now), || sent() == 1);
    let second = run(first, |now| work.step(now), || sent() == 2);
    assert_eq!((first, second), (opened, opened + Duration::from_secs(7)));
}
