//! The five models: what they do, how often, with which features, and when the truth about them arrives.

mod features;
mod models;

pub(crate) use features::Draw;
pub use features::{Category, FeatureKind, FeatureSpec};

/// The fleet, in a fixed order. How a model behaves does not depend on the seed; only what happens to it does.
#[must_use]
pub fn lineup() -> &'static [ModelSpec] {
    &models::LINEUP
}

/// One model of the fleet.
#[derive(Debug)]
pub struct ModelSpec {
    pub name: &'static str,
    /// What it does, in a few words.
    pub purpose: &'static str,
    pub owner: &'static str,
    /// 1 is the most important.
    pub tier: u8,
    pub task: Task,
    /// The version that serves when the scenario starts.
    pub version: &'static str,
    /// The version that a rollout, good or bad, brings.
    pub next_version: &'static str,
    /// Predictions a second at rate 1, mean over a day.
    pub rate_per_s: f64,
    /// Hours that its users' clocks are ahead of UTC: when its busy hours are.
    pub zone_h: i8,
    /// Median of the latency in the quiet hours; about an eighth more in the busy ones.
    pub latency_ms: f64,
    /// A call that takes longer ends as `timeout` with this latency.
    pub timeout_ms: f64,
    /// Share of calls that do not end `ok` in normal operation, without blips.
    pub error_share: f64,
    /// Share of predictions that turn out right; for a regression 1 − the mean absolute percentage error.
    pub quality: f64,
    pub labels: LabelSpec,
    pub features: &'static [FeatureSpec],
    /// Values of the segment `region`: where the call was served.
    pub regions: &'static [Category],
    pub(crate) tune: Tune,
}

impl ModelSpec {
    /// The feature of that name and its place among [`Self::features`].
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<(usize, &'static FeatureSpec)> {
        self.features.iter().enumerate().find(|(_, f)| f.name == name)
    }

    /// The labels and predictions that can occur; empty for a regression.
    #[must_use]
    pub fn classes(&self) -> Vec<&'static str> {
        match self.task {
            Task::Binary { no, yes } => vec![no, yes],
            Task::Classes(classes) => classes.iter().map(|c| c.name).collect(),
            Task::Regression { .. } => vec![],
        }
    }
}

/// What a model predicts.
#[derive(Debug)]
pub enum Task {
    Binary {
        no: &'static str,
        yes: &'static str,
    },
    /// One of several, with how often each is predicted.
    Classes(&'static [Category]),
    /// A positive number, written with one decimal.
    Regression {
        unit: &'static str,
    },
}

/// When the truth about a prediction becomes known.
#[derive(Debug)]
pub struct LabelSpec {
    /// Share of the predictions that ever get a label.
    pub share: f64,
    /// Median delay from prediction to label; the delay is lognormal.
    pub median_ms: f64,
    /// Deviation of the delay's logarithm.
    pub sigma: f64,
    /// How much longer it takes when the prediction was wrong: early labels are a biased sample.
    pub wrong_factor: f64,
}

/// What nobody reads, but what makes the stream behave like a real one.
#[derive(Debug)]
pub(crate) struct Tune {
    /// Share of the arrivals that another arrival sets off, and after how long on average: bursts.
    pub(crate) echo_share: f64,
    pub(crate) echo_ms: f64,
    /// Height and the day (0 Sunday) of the weekly peak of traffic.
    pub(crate) week: (f64, f64),
    /// Deviation of the logarithm of latency within a moment, and of the moment (correlated, 0.8 at a minute).
    pub(crate) latency_sigma: f64,
    pub(crate) latency_wander: f64,
    /// The logit (or the logarithm of the forecast): `bias` + Σ feature weight · z + `noise` · normal.
    pub(crate) bias: f64,
    pub(crate) noise: f64,
    /// Daily swing of the logit, in its own unit.
    pub(crate) logit_cycle: f64,
}
