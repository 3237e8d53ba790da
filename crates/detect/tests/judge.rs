//! The judge over the simulated fleet: what it finds, what it leaves alone, and that stopping it changes nothing.

#[path = "support/harness.rs"]
mod harness;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fleet::{FleetConfig, Scenario};
use harness::{HOUR_MS, Outcome, judge_config, logged, play, references};
use proptest::prelude::*;
use tocsin_detect::config::{BudgetSettings, JudgeConfig};
use tocsin_detect::judge::Judge;
use tocsin_detect::record::PanesRecord;
use tocsin_detect::reference::Reference;
use wire::{Change, Family};

/// Less traffic than the fleet's own, so that references are a matter of seconds.
const RATE: f64 = 0.4;

struct Ready {
    config: Arc<JudgeConfig>,
    references: Vec<Reference>,
}

static READY: LazyLock<Ready> = LazyLock::new(|| {
    let config = Arc::new(judge_config(BudgetSettings::default()));
    let references = references(&config, FleetConfig::default().start, 2, RATE, 5);
    Ready { config, references }
});

fn fleet(scenario: Scenario, seed: u64) -> FleetConfig {
    FleetConfig { seed, scenario, rate: RATE, ..FleetConfig::default() }
}

/// The panes partition of a latency spike, as a log.
static LOG: LazyLock<Vec<PanesRecord>> = LazyLock::new(|| {
    let config = fleet(Scenario::Latency, 3);
    logged(&READY.config, &READY.references, &config, config.scenario.length_ms())
});

/// Everything a judge said, as bytes, and how it was interrupted.
fn judged(cuts: &[usize]) -> (Vec<u8>, usize) {
    let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut judge = Judge::new(0, Arc::clone(&READY.config));
    let (mut said, mut read_again) = (vec![], 0);
    let mut at = 0;
    let mut cuts = cuts.iter().copied();
    let mut cut = cuts.next();
    loop {
        let end = at == LOG.len();
        if end || cut == Some(at) {
            let effects = judge.take_effects();
            said.extend(
                serde_json::to_vec(&(&effects.incidents, &effects.history, &effects.context)).unwrap(),
            );
            for (key, value) in effects.state {
                match value {
                    Some(value) => drop(state.insert(key, value)),
                    None => drop(state.remove(&key)),
                }
            }
            if end {
                return (said, read_again);
            }
            let resume = judge.resume_offset().map_or(0, |offset| usize::try_from(offset).unwrap());
            judge = Judge::new(0, Arc::clone(&READY.config));
            for (key, value) in &state {
                judge.restore(key, value).unwrap();
            }
            read_again += at - resume;
            for offset in resume..at {
                judge.handle(i64::try_from(offset).unwrap(), LOG[offset].clone());
            }
            cut = cuts.next();
        }
        judge.handle(i64::try_from(at).unwrap(), LOG[at].clone());
        at += 1;
    }
}

/// What was said, without where the commits lay.
fn without_commits(said: &[u8]) -> Vec<serde_json::Value> {
    let mut parts = vec![vec![], vec![], vec![]];
    for commit in serde_json::Deserializer::from_slice(said).into_iter::<[Vec<serde_json::Value>; 3]>() {
        for (all, some) in parts.iter_mut().zip(commit.unwrap()) {
            all.extend(some);
        }
    }
    parts.into_iter().map(serde_json::Value::Array).collect()
}

#[test]
fn stopping_and_starting_changes_nothing() {
    let (whole, _) = judged(&[]);
    let whole = without_commits(&whole);
    assert!(whole[0].as_array().is_some_and(|incidents| !incidents.is_empty()), "the log holds an incident");
    proptest!(ProptestConfig::with_cases(12), |(cuts in prop::collection::btree_set(1..LOG.len(), 1..6))| {
        let cuts: Vec<usize> = cuts.into_iter().collect();
        let (parts, _) = judged(&cuts);
        prop_assert_eq!(&without_commits(&parts), &whole);
    });
}

fn found(outcome: &Outcome) -> String {
    outcome
        .incidents
        .iter()
        .map(|i| format!("{} {} {} {}\n", i.changed_at, i.change, i.severity, i.title))
        .collect()
}

#[test]
fn troubles_are_found_and_nothing_else_pages() {
    for (scenario, family) in [
        (Scenario::Latency, Family::Latency),
        (Scenario::Rollout, Family::Availability),
        (Scenario::Stopped, Family::Traffic),
        (Scenario::Drift, Family::Drift),
    ] {
        let config = fleet(scenario, 11);
        let outcome = play(&READY.config, &READY.references, &config, scenario.length_ms(), false);
        let score = outcome.score();
        assert!(score.is_clean(), "{scenario}: {score:?}\n{}", found(&outcome));
        assert!(outcome.opened().any(|i| i.family == family), "{scenario}:\n{}", found(&outcome));
        let stays = outcome.truth.changes[0].end.is_none();
        let cleared = outcome.incidents.iter().any(|i| i.family == family && i.change == Change::Cleared);
        assert!(stays || cleared, "{scenario} is over:\n{}", found(&outcome));
    }
}

#[test]
fn a_healthy_day_pages_nobody() {
    let config = fleet(Scenario::Steady, 21);
    let outcome = play(&READY.config, &READY.references, &config, 12 * HOUR_MS, true);
    assert_eq!(outcome.pages(), 0, "{}", found(&outcome));
    assert!(outcome.opened().count() <= 2, "{}", found(&outcome));
    assert!(outcome.counters.granted[0] > 0.0, "streams were granted something to spend");
    assert!(outcome.history.iter().any(|h| h.measures.contains_key("accuracy")));
    let text = serde_json::to_string(&outcome.history).unwrap();
    assert!(!text.contains("null"), "every number is finite");
}
