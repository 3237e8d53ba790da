//! The versions that a plan is made for: those of pinned references, or as many of an assumed shape.

use std::collections::BTreeMap;

use wire::profile::{Category, FeatureFold, FeatureProfile, Profile, Stage, Task};
use wire::{Digest, Family, Timestamp};

use crate::config::JudgeConfig;
use crate::family::{StreamPlan, plan};
use crate::reference::baseline::float;
use crate::reference::{Reference, TestReference};

/// Edges of an assumed feature: far outside, extremes, 1, 5, 10, 25, 50, 75, 90, 95, 99 %.
const EDGES: [f64; 13] = [-12.0, -4.0, -2.33, -1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64, 2.33, 4.0, 12.0];
/// Edges of an assumed latency.
const LATENCY_EDGES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0];

/// Event time of an assumed reference: two weeks.
const ASSUMED_MS: i64 = 14 * 86_400_000;

/// What is assumed of a fleet of which nothing is pinned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Model versions with traffic.
    pub versions: u32,
    /// Features of each.
    pub features: u32,
    /// Predictions a second of each; a label comes for every second of them.
    pub rate: f64,
}

/// One version of the fleet.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) rate: f64,
    pub(super) label_rate: f64,
    /// The model's part of its partition's budget.
    pub(super) of_model: f64,
    /// Versions that share it.
    sharing: usize,
    /// Whether the model's traffic is counted with this version.
    has_traffic: bool,
    plan: Vec<StreamPlan>,
    /// Absent where the shape is assumed.
    reference: Option<Reference>,
}

impl Planned {
    /// Its part of its partition's budget.
    pub(super) fn part(&self) -> f64 {
        self.of_model / float(self.sharing.max(1) as u64)
    }

    /// Event time that its reference shows.
    pub(super) fn span_ms(&self) -> i64 {
        self.reference.as_ref().map_or(ASSUMED_MS, |known| known.window[1].since_ms(known.window[0]))
    }

    /// Streams of a family whose reference is long enough for them to page, where their family may.
    pub(super) fn calibrated(&self, family: Family) -> usize {
        let streams = self.streams(family).0;
        let growing = |known: &Reference| {
            known.streams.iter().filter(|stream| stream.family == family && stream.growing).count()
        };
        streams - self.reference.as_ref().map_or(0, growing).min(streams)
    }

    /// Streams and tests of a family.
    pub(super) fn streams(&self, family: Family) -> (usize, usize) {
        if family == Family::Traffic {
            return (usize::from(self.has_traffic), 2 * usize::from(self.has_traffic));
        }
        let of = self.plan.iter().filter(|stream| stream.family == family);
        of.fold((0, 0), |(streams, tests), stream| {
            let tested = stream.tests.iter().filter(|test| test.share > 0.0).count();
            (streams + 1, tests + tested * stream.sides().len())
        })
    }

    /// The test of a family that a delay is worked out for, with its part of its stream's grants: of its first stream
    /// the one nearest to a tenth.
    pub(super) fn test(&self, family: Family) -> Option<(TestReference, f64)> {
        let stream = self.plan.iter().find(|stream| stream.family == family)?;
        let shares: f64 = stream.tests.iter().map(|test| test.share).sum();
        let known = |at: usize| match &self.reference {
            Some(reference) => {
                let of = |s: &&crate::reference::StreamReference| s.family == family && s.name == stream.name;
                reference.streams.iter().find(of)?.tests.get(at).cloned()
            }
            None => Some(assumed(family)),
        };
        let from_tenth =
            |test: &TestReference| (float(test.tolerated.min(test.n)) / float(test.n.max(1)) - 0.1).abs();
        let tests = stream.tests.iter().enumerate().filter(|(_, test)| test.share > 0.0);
        let candidates = tests.filter_map(|(at, test)| Some((known(at)?, test.share / shares)));
        candidates
            .filter(|(test, _)| test.n > 0)
            .reduce(|a, b| if from_tenth(&b.0) < from_tenth(&a.0) { b } else { a })
    }
}

/// The fleet of a config.
pub(super) fn versions(config: &JudgeConfig, references: &[Reference], shape: Shape) -> Vec<Planned> {
    let mut fleet: Vec<Planned> =
        if references.is_empty() { assumed_fleet(config, shape) } else { pinned(references) };
    let mut by_model: BTreeMap<String, usize> = BTreeMap::new();
    for version in &fleet {
        *by_model.entry(version.model.clone()).or_default() += 1;
    }
    let partition = |model: &str| wire::partition::of_model(model, config.partitions);
    let mut totals: BTreeMap<u32, f64> = BTreeMap::new();
    for model in by_model.keys() {
        *totals.entry(partition(model)).or_default() += config.model(model).weight;
    }
    let mut told = std::collections::BTreeSet::new();
    for version in &mut fleet {
        let all = totals.get(&partition(&version.model)).copied().unwrap_or(1.0);
        version.of_model = config.model(&version.model).weight / all;
        version.sharing = by_model.get(&version.model).copied().unwrap_or(1);
        version.has_traffic = told.insert(version.model.clone())
            && version.reference.as_ref().is_none_or(|reference| reference.traffic.is_some());
    }
    fleet
}

fn pinned(references: &[Reference]) -> Vec<Planned> {
    let each = |reference: &Reference| {
        let [from, until] = reference.window;
        let seconds = float(until.since_ms(from).max(1).unsigned_abs()) / 1000.0;
        Planned {
            model: reference.profile.model.clone(),
            version: reference.profile.version.clone(),
            rate: float(reference.records) / seconds,
            label_rate: float(reference.labels) / seconds,
            of_model: 0.0,
            sharing: 1,
            has_traffic: false,
            plan: plan(&reference.profile),
            reference: Some(reference.clone()),
        }
    };
    references.iter().map(each).collect()
}

/// Models that the config names come first.
fn assumed_fleet(config: &JudgeConfig, shape: Shape) -> Vec<Planned> {
    let named = config.models.keys().cloned();
    let others = (1..).map(|i| format!("model {i}"));
    let count = usize::try_from(shape.versions).unwrap_or(usize::MAX);
    let profile = profile(shape.features);
    let of = |model: String| Planned {
        model,
        version: "1".to_owned(),
        rate: shape.rate,
        label_rate: shape.rate / 2.0,
        of_model: 0.0,
        sharing: 1,
        has_traffic: false,
        plan: plan(&profile),
        reference: None,
    };
    named.chain(others).take(count).map(of).collect()
}

/// A classifier with numeric features, a score, latencies and labels.
fn profile(features: u32) -> Profile {
    let numeric = |name: String| FeatureProfile {
        name,
        fold: FeatureFold::Numeric { centre: 0.0, scale: 1.0, edges: EDGES.to_vec(), atoms: vec![] },
        public: false,
    };
    let category = |hash| Category { hash, name: None };
    Profile {
        model: "assumed".to_owned(),
        version: "1".to_owned(),
        digest: Digest::new(""),
        effective_from: Timestamp::EPOCH,
        stage: Stage::Final,
        latency_edges: LATENCY_EDGES.to_vec(),
        latency_objective_ms: None,
        features: (1..=features).map(|i| numeric(format!("feature {i}"))).collect(),
        prediction: Some(FeatureProfile {
            name: "prediction".to_owned(),
            fold: FeatureFold::Category { known: vec![category(1), category(2)], other: vec![] },
            public: false,
        }),
        score: Some(numeric("score".to_owned())),
        task: Task::Classification,
        error_edges: vec![],
        delay_edges_ms: vec![300_000, 1_800_000, 7_200_000, 86_400_000],
        score_edges: vec![0.25, 0.5, 0.75],
    }
    .sealed()
}

/// A test of a reference of a hundred thousand independent records.
fn assumed(family: Family) -> TestReference {
    let k = match family {
        Family::Availability => 1_000,
        Family::DataQuality => 0,
        Family::Latency
        | Family::Traffic
        | Family::Drift
        | Family::Prediction
        | Family::Accuracy
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => 10_000,
    };
    TestReference {
        k,
        tolerated: k,
        n: 100_000,
        d: 1.0,
        tail: 1.0,
        d_hour: 1.0,
        spread: vec![],
        hours: None,
        week: None,
    }
}
