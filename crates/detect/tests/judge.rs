//! The judge over the simulated fleet: what it finds, what it leaves alone, and that stopping it changes nothing.

#[path = "support/harness.rs"]
mod harness;
#[path = "support/stopping.rs"]
mod stopping;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fleet::{FleetConfig, Scenario, Seen};
use harness::{HOUR_MS, Outcome, judge_config, logged, play, references};
use stopping::{numbered, stopping_changes_nothing};
use tocsin_detect::config::{BudgetSettings, JudgeConfig};
use tocsin_detect::judge::Judge;
use tocsin_detect::record::PanesRecord;
use tocsin_detect::reference::Reference;
use wire::{Change, Family, Incident};

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

/// The panes partition of two models that learn their references, as a log.
static LEARNING: LazyLock<Vec<PanesRecord>> =
    LazyLock::new(|| logged(&LEARNS, &[], &fleet(Scenario::Steady, 8), 2 * HOUR_MS));

static LEARNS: LazyLock<Arc<JudgeConfig>> = LazyLock::new(|| {
    let config = judge_config(BudgetSettings::default());
    let mut rules = config.rules();
    rules.judge.warmup_s = 1800;
    rules.judge.warmup_records = 600;
    Arc::new(config.under(rules))
});

#[test]
fn stopping_and_starting_changes_nothing() {
    let whole = stopping_changes_nothing(&READY.config, &LOG, 8);
    assert!(whole[0].as_array().is_some_and(|incidents| !incidents.is_empty()), "the log holds an incident");
}

#[test]
fn stopping_and_starting_changes_nothing_of_what_is_learned() {
    let whole = stopping_changes_nothing(&LEARNS, &LEARNING, 6);
    let finals = whole[2].as_array().expect("context").iter().filter(|c| c["stage"] == "final").count();
    assert!(finals > 0, "the log holds what can be learned from");
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
        // How soon is for the full traffic to say; here a reference of two days cannot even know the hours.
        assert!(outcome.score().false_pages.is_empty(), "{scenario}:\n{}", found(&outcome));
        let urgent = outcome.truth.changes[0].severity;
        let right = |seen: &Seen| seen.family == family && seen.severity == urgent;
        assert!(outcome.seen().iter().any(right), "{scenario}:\n{}", found(&outcome));
        let stays = outcome.truth.changes[0].end.is_none();
        let cleared = outcome.incidents.iter().any(|i| i.family == family && i.change == Change::Cleared);
        assert!(stays || cleared, "{scenario} is over:\n{}", found(&outcome));
    }
}

/// All records of a family's incident in a scenario, two hours beyond its end.
fn life(scenario: Scenario, family: Family, seed: u64) -> (Outcome, Vec<Incident>) {
    let config = fleet(scenario, seed);
    let for_ms = scenario.length_ms() + 2 * HOUR_MS;
    let outcome = play(&READY.config, &READY.references, &config, for_ms, false);
    let told = outcome.incidents.iter().filter(|i| i.family == family).cloned().collect();
    (outcome, told)
}

#[test]
fn a_trouble_is_one_incident_from_its_beginning_to_its_end() {
    // Labels come late, so that a loss of accuracy shows late, and for an hour after it is over.
    for (scenario, family, begins_ms, clears_ms) in [
        (Scenario::Latency, Family::Latency, HOUR_MS / 12, HOUR_MS / 2),
        (Scenario::Accuracy, Family::Accuracy, HOUR_MS / 2, 2 * HOUR_MS),
    ] {
        for seed in [12, 13] {
            let (outcome, told) = life(scenario, family, seed);
            let change = &outcome.truth.changes[0];
            let [opened, .., cleared] = &told[..] else { panic!("{scenario}:\n{}", found(&outcome)) };
            assert!(told.iter().all(|i| i.generation == 1), "{scenario}:\n{}", found(&outcome));
            let began = opened.evidence.window[0].since_ms(change.start);
            assert!(
                began.abs() <= begins_ms,
                "{scenario}: said to have begun {} s after it did",
                began / 1000
            );
            assert!(opened.evidence.window[1] == opened.changed_at, "and lasts until now");
            assert_eq!(cleared.change, Change::Cleared, "{scenario}:\n{}", found(&outcome));
            let late = cleared.changed_at.since_ms(change.end.expect("it ends"));
            assert!((0..=clears_ms).contains(&late), "{scenario} cleared after {} s", late / 1000);
        }
    }
}

#[test]
fn a_version_that_is_gone_is_not_judged_by_what_it_left() {
    for seed in [11, 12, 13] {
        let (outcome, told) = life(Scenario::Rollout, Family::Availability, seed);
        let openings = told.iter().filter(|i| i.change == Change::Opened).count();
        assert_eq!(openings, 1, "{}", found(&outcome));
        assert_eq!(told.last().map(|i| i.change), Some(Change::Cleared), "{}", found(&outcome));
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

#[test]
fn a_reference_is_learned_where_none_is_pinned() {
    let outcome = play(&LEARNS, &[], &fleet(Scenario::Steady, 31), 2 * HOUR_MS, true);
    let learned =
        |model: &str| outcome.history.iter().rfind(|h| h.model == model).is_some_and(|h| h.streams.len() > 5);
    assert!(learned("fraud") && learned("ranking"), "a busy model has learned in two hours");
    assert!(!learned("demand"), "one with little traffic has not");
    let first = outcome.history.iter().find(|h| h.model == "fraud").expect("told from the start");
    assert!(first.streams.iter().all(|s| s.verdict == wire::history::Verdict::WarmingUp));
    assert_eq!(outcome.pages(), 0, "{}", found(&outcome));
}

#[test]
fn every_model_is_seen_with_its_traffic_and_every_judged_version_with_its_streams() {
    let mut judge = Judge::new(0, Arc::clone(&READY.config));
    assert_eq!(judge.streams().count(), 0, "nothing is known yet");
    for (offset, record) in numbered(&LOG) {
        judge.handle(offset, record.clone());
        drop(judge.take_effects());
    }
    let mut seen: BTreeMap<(&str, Option<&str>), Vec<Family>> = BTreeMap::new();
    for view in judge.streams() {
        seen.entry((view.model, view.version)).or_default().push(view.stream.family);
    }
    for reference in &READY.references {
        let profile = &reference.profile;
        assert_eq!(
            seen.get(&(profile.model.as_str(), None)),
            Some(&vec![Family::Traffic]),
            "{}",
            profile.model
        );
        let streams = &seen[&(profile.model.as_str(), Some(profile.version.as_str()))];
        for family in [Family::Availability, Family::Latency, Family::Drift] {
            assert!(streams.contains(&family), "{} has no {family:?}: {streams:?}", profile.model);
        }
    }
}
