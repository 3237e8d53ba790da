//! Two models' predictions and labels with trouble in the middle, as producers write them: out of order, repeated, late.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use detect::collect::{CollectConfig, Role};
use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use detect::reference::{Reference, ReferenceBuilder};
use runtime::log::NewRecord;
use wire::Timestamp;

use crate::random::Random;

pub const TOPIC: &str = "predictions";
pub const LABELS: &str = "labels";
pub const SOURCES: u32 = 3;
pub const JUDGES: u32 = 2;
/// Event time passes so many times as fast as the world's.
const SPEED: i64 = 60;
/// How long producers write, in the world's time.
pub const WRITTEN: Duration = Duration::from_secs(30);
const MODELS: [&str; 2] = ["fraud", "ranking"];
const PANE_MS: i64 = 10_000;

/// The time of day at which a story begins.
#[must_use]
pub fn start() -> Timestamp {
    Timestamp::from_ms(1_780_272_000_000).expect("in range")
}

/// The pane of event time that producers write of at a time of the world.
#[must_use]
pub fn event_time(at: Duration) -> Timestamp {
    start().plus_ms(i64::try_from(at.as_millis()).unwrap_or(0) * SPEED).floor_to(PANE_MS)
}

/// A record and when its producer writes it.
#[derive(Clone, Debug)]
pub struct Written {
    pub at: Duration,
    pub record: NewRecord,
}

#[must_use]
pub fn collect_config() -> Arc<CollectConfig> {
    let said = format!("topic = {TOPIC:?}\nlabels.topic = {LABELS:?}");
    Arc::new(toml::from_str(&said).expect("settings that are allowed"))
}

#[must_use]
pub fn judge_config() -> Arc<JudgeConfig> {
    let (judge, budget) = (JudgeSettings::default(), BudgetSettings::default());
    Arc::new(JudgeConfig::new("sim", JUDGES, PANE_MS, judge, budget, std::collections::BTreeMap::new()))
}

/// What the files say that change in a story: requests that fail concern nobody any more, and what is over ends sooner.
#[must_use]
pub fn another_judge_config() -> Arc<JudgeConfig> {
    let mut rules = judge_config().rules();
    rules.judge.availability.enabled = false;
    (rules.judge.recovery_s, rules.judge.reopen_s) = (120, 600);
    rules.budget.tickets_per_week = 20.0;
    Arc::new(judge_config().under(rules))
}

/// References of twelve healthy hours.
#[must_use]
pub fn references() -> Arc<Vec<Reference>> {
    static BUILT: LazyLock<Arc<Vec<Reference>>> = LazyLock::new(|| {
        let mut builder = ReferenceBuilder::new(collect_config(), judge_config());
        let healthy = generate(&mut Random::new(99), start().plus_ms(-12 * 3_600_000), 12 * 360, false);
        for pass in 0..2 {
            if pass == 1 {
                builder.next_pass();
            }
            for written in &healthy {
                let json = written.record.value.as_deref().unwrap_or_default();
                let role = if &*written.record.topic == TOPIC { Role::Predictions } else { Role::Labels };
                builder.record(role, json);
            }
        }
        Arc::new(builder.finish().references)
    });
    Arc::clone(&BUILT)
}

/// What is written in a story, in the order of writing.
#[must_use]
pub fn telemetry(seed: u64) -> Vec<Written> {
    let panes = i64::try_from(WRITTEN.as_millis()).unwrap_or(0) * SPEED / PANE_MS;
    generate(&mut Random::new(seed ^ 0x7e1e), start(), panes, true)
}

fn generate(random: &mut Random, from: Timestamp, panes: i64, trouble: bool) -> Vec<Written> {
    let mut out = vec![];
    for pane in 0..panes {
        for (m, model) in MODELS.into_iter().enumerate() {
            for i in 0..5 + random.below(4) {
                let ms = pane * PANE_MS + i64::try_from(random.below(10_000)).unwrap_or(0);
                // From a quarter to a half of it requests fail, and from a third on the answers are worse.
                let fails = trouble && m == 0 && (panes / 4..panes / 2).contains(&pane);
                let worse = trouble && m == 1 && pane > panes / 3;
                let share = if fails { 0.6 } else { 0.01 };
                let failed = random.chance(share);
                let wrong = random.chance(if worse { 0.5 } else { 0.1 });
                let id = format!("{model}-{pane}-{i}");
                let key = id.clone();
                let latency = 20.0 + 30.0 * random.unit() * random.unit();
                let amount = 100.0 * (random.unit() + random.unit() + f64::from(u8::from(worse)) * 0.8);
                let country = ["DE", "FR", "IT"][usize::try_from(random.below(3)).unwrap_or(0)];
                let status = if failed { "error" } else { "ok" };
                let time = from.plus_ms(ms);
                let json = format!(
                    r#"{{"prediction_id":"{id}","event_time":"{time}","model":"{model}","version":"1","latency_ms":{latency:.1},"status":"{status}","features":{{"amount":{amount:.1},"country":"{country}"}},"prediction":"yes"}}"#
                );
                // Producers are a little out of order; one in two hundred records comes far too late, one in a hundred twice.
                let behind = if random.chance(0.005) {
                    60_000
                } else {
                    i64::try_from(random.below(3_000)).unwrap_or(0)
                };
                push(&mut out, TOPIC, &key, ms + behind, json.clone());
                if random.chance(0.01) {
                    push(&mut out, TOPIC, &key, ms + behind + 20_000, json);
                }
                if random.chance(0.003) {
                    push(&mut out, TOPIC, &key, ms + behind, "{\"event_time\":".to_owned());
                }
                if !failed && random.chance(0.7) {
                    let known = ms + 5_000 + i64::try_from(random.below(240_000)).unwrap_or(0);
                    let (time, value) = (from.plus_ms(known), if wrong { "no" } else { "yes" });
                    let label = format!(
                        r#"{{"kind":"label","prediction_id":"{id}","model":"{model}","version":"1","event_time":"{time}","value":"{value}"}}"#
                    );
                    push(&mut out, LABELS, &key, known, label);
                }
            }
        }
    }
    out.sort_by_key(|written| written.at);
    out
}

fn push(out: &mut Vec<Written>, topic: &str, key: &str, event_ms: i64, json: String) {
    let at = Duration::from_millis(u64::try_from(event_ms / SPEED).unwrap_or(0));
    out.push(Written { at, record: NewRecord::new(topic, json).key(key) });
}
