//! A judge that is stopped and started again at any places of its log.

#![allow(dead_code, unreachable_pub, reason = "each user of this file takes what it needs")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tocsin_detect::config::JudgeConfig;
use tocsin_detect::judge::Judge;
use tocsin_detect::record::PanesRecord;

/// Records with their offsets.
pub fn numbered(log: &[PanesRecord]) -> impl Iterator<Item = (i64, &PanesRecord)> {
    (0..).zip(log)
}

/// Everything a judge said, as bytes, although it was stopped and started at `cuts`.
pub fn judged(config: &Arc<JudgeConfig>, log: &[PanesRecord], cuts: &[usize]) -> Vec<u8> {
    let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut judge = Judge::new(0, Arc::clone(config));
    let mut said = vec![];
    let mut at = 0;
    let mut cuts = cuts.iter().copied();
    let mut cut = cuts.next();
    loop {
        let end = at == log.len();
        if end || cut == Some(at) {
            let effects = judge.take_effects();
            said.extend(
                serde_json::to_vec(&(&effects.incidents, &effects.history, &effects.context))
                    .expect("plain data"),
            );
            for (key, value) in effects.state {
                match value {
                    Some(value) => drop(state.insert(key, value)),
                    None => drop(state.remove(&key)),
                }
            }
            if end {
                return said;
            }
            let resume = judge
                .resume_offset()
                .map_or(0, |offset| usize::try_from(offset).expect("a place in the log"));
            judge = Judge::new(0, Arc::clone(config));
            for (key, value) in &state {
                judge.restore(key, value).expect("its own state");
            }
            for (offset, record) in numbered(log).take(at).skip(resume) {
                judge.handle(offset, record.clone());
            }
            cut = cuts.next();
        }
        let (offset, record) = numbered(log).nth(at).expect("within the log");
        judge.handle(offset, record.clone());
        at += 1;
    }
}

/// What was said, without where the commits lay.
pub fn without_commits(said: &[u8]) -> Vec<serde_json::Value> {
    let mut parts = vec![vec![], vec![], vec![]];
    for commit in serde_json::Deserializer::from_slice(said).into_iter::<[Vec<serde_json::Value>; 3]>() {
        for (all, some) in parts.iter_mut().zip(commit.expect("its own text")) {
            all.extend(some);
        }
    }
    parts.into_iter().map(serde_json::Value::Array).collect()
}

pub fn stopping_changes_nothing(
    config: &Arc<JudgeConfig>,
    log: &[PanesRecord],
    cases: u32,
) -> Vec<serde_json::Value> {
    let whole = without_commits(&judged(config, log, &[]));
    proptest!(ProptestConfig::with_cases(cases), |(cuts in prop::collection::btree_set(1..log.len(), 1..6))| {
        let cuts: Vec<usize> = cuts.into_iter().collect();
        prop_assert_eq!(&without_commits(&judged(config, log, &cuts)), &whole);
    });
    whole
}
