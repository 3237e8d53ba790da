//! What was counted once is judged again: under the same config alike, under another one by that one.

#[path = "support/harness.rs"]
mod harness;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fleet::{FleetConfig, Scenario};
use harness::{judge_config, logged, references};
use tocsin_detect::config::{BudgetSettings, JudgeConfig};
use tocsin_detect::judge::Judge;
use tocsin_detect::record::{PanesRecord, RecordPart};
use tocsin_detect::replay::{HistoryReplay, Told};
use wire::{Change, Timestamp};

/// Less traffic than the fleet's own, so that references are a matter of seconds.
const RATE: f64 = 0.4;

type State = Vec<(Vec<u8>, Vec<u8>)>;

/// A log with a latency spike, whose references are in the state and in no record, and what was said of it.
struct Past {
    config: Arc<JudgeConfig>,
    log: Vec<PanesRecord>,
    state: State,
    told: Told,
}

static PAST: LazyLock<Past> = LazyLock::new(|| {
    let config = Arc::new(judge_config(BudgetSettings::default()));
    let known = references(&config, FleetConfig::default().start, 2, RATE, 5);
    let fleet = FleetConfig { seed: 3, scenario: Scenario::Latency, rate: RATE, ..FleetConfig::default() };
    let log = logged(&config, &known, &fleet, fleet.scenario.length_ms());
    let mut judge = Judge::new(0, Arc::clone(&config));
    let (mut state, mut told) = (BTreeMap::new(), Told::default());
    for (offset, record) in (0..).zip(&log) {
        judge.handle(offset, record.clone());
        let effects = judge.take_effects();
        told.incidents.extend(effects.incidents);
        told.history.extend(effects.history);
        for (key, value) in effects.state {
            match value {
                Some(value) => drop(state.insert(key, value)),
                None => drop(state.remove(&key)),
            }
        }
    }
    let log = log.into_iter().filter(|record| !matches!(record, PanesRecord::Reference(_))).collect();
    Past { config, log, state: state.into_iter().collect(), told }
});

fn again(config: &Arc<JudgeConfig>, range: [Option<Timestamp>; 2], log: &[PanesRecord]) -> Told {
    let mut replay =
        HistoryReplay::new(0, Arc::clone(config), &[], &PAST.state, range).expect("its own state");
    let mut told = Told::default();
    let mut take = |one: Told| {
        told.incidents.extend(one.incidents);
        told.history.extend(one.history);
    };
    for (offset, record) in (0..).zip(log) {
        take(replay.record(offset, record.clone()).expect("panes of the config's width"));
    }
    take(replay.finish().0);
    told
}

#[test]
fn under_the_same_config_the_same_is_said() {
    let told = again(&PAST.config, [None; 2], &PAST.log);
    assert!(PAST.told.incidents.iter().any(|i| i.change == Change::Opened && i.severity.pages()));
    assert_eq!(told.incidents, PAST.told.incidents);
    assert_eq!(told.history, PAST.told.history);
}

#[test]
fn records_in_parts_are_put_together() {
    let parts = |record: &PanesRecord| {
        if !matches!(record, PanesRecord::Partial(_)) {
            return vec![record.clone()];
        }
        let whole = record.encode();
        let (digest, (a, b)) = (wire::parts::digest(&whole), whole.split_at(whole.len() / 2));
        let part = |index, bytes: &[u8]| {
            let (writer, digest) = ("w".to_owned(), digest.clone());
            PanesRecord::Part(RecordPart { writer, digest, index, parts: 2, bytes: bytes.to_vec() })
        };
        vec![part(0, a), part(1, b)]
    };
    let log: Vec<PanesRecord> = PAST.log.iter().flat_map(parts).collect();
    let told = again(&PAST.config, [None; 2], &log);
    assert_eq!(told.incidents, PAST.told.incidents);
}

#[test]
fn another_config_says_what_it_would_have_said() {
    let mut rules = PAST.config.rules();
    rules.judge.latency.page_effect = 0.99;
    let config = Arc::new(PAST.config.under(rules));
    // A record that would put the old config back in force is none of its business.
    let mut log = PAST.log.clone();
    log.insert(0, PanesRecord::Config(Box::new(PAST.config.rules())));
    let told = again(&config, [None; 2], &log);
    assert!(told.incidents.iter().any(|i| i.change == Change::Opened), "it tickets");
    assert!(told.incidents.iter().all(|i| !i.severity.pages()), "it does not page");
    assert!(told.incidents.iter().all(|i| i.context.config.as_ref() == Some(config.digest())));
}

#[test]
fn a_range_leaves_out_what_was_before_and_after() {
    let since = PAST.told.history[0].window[0].plus_ms(600_000);
    let until = since.plus_ms(1_200_000);
    let told = again(&PAST.config, [Some(since), Some(until)], &PAST.log);
    assert!(told.history.iter().all(|pane| pane.window[0] >= since), "{since}");
    assert!(told.history.iter().any(|pane| pane.predictions > 0));
    assert!(told.history.iter().all(|pane| pane.predictions == 0 || pane.window[0] < until), "{until}");
}

#[test]
fn panes_of_another_width_are_refused_in_words() {
    let config = &PAST.config;
    let pane_ms = config.pane_ms * 7;
    let wide = JudgeConfig::new(
        config.namespace.clone(),
        config.partitions,
        pane_ms,
        config.judge.clone(),
        config.budget,
        config.models.clone(),
    );
    let mut replay =
        HistoryReplay::new(0, Arc::new(wide), &[], &PAST.state, [None; 2]).expect("its own state");
    let refused =
        (0..).zip(&PAST.log).find_map(|(offset, record)| replay.record(offset, record.clone()).err());
    let words = refused.expect("few panes start with a wider one").to_string();
    assert!(words.contains("`pane_s`"), "{words}");
}
