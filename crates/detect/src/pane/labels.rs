//! What labels said about predictions.

use serde::{Deserialize, Serialize};
use stats::Mismatch;
use stats::classification::{Confusion, Scores};
use stats::regression::Errors;
use wire::profile::{FeatureFold, Profile};

use super::{add, same_length, sum_into};

/// Labels that became known in this pane, whatever pane their predictions were in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelCounts {
    /// By label delay and then by score: delays below `profile.delay_edges_ms[i]`, the last of them the rest, each with
    /// the scores below `profile.score_edges[j]`, the last of them the rest and what has no score. One stratum without a
    /// profile.
    pub strata: Vec<StratumCounts>,
    /// No waiting prediction: it never came, has expired, or was not among the sampled (see `waiting`).
    pub unmatched: u64,
    /// Their own pane had closed; counted here instead, and in the strata too.
    pub late: u64,
    /// The prediction had its label already; not in the strata.
    pub duplicates: u64,
    /// Predictions of this pane, each of which a label could be joined to later …
    pub joinable: u64,
    /// … and how many of them were kept to wait, chosen by id hash. `waiting / joinable` is the sampling rate.
    pub waiting: u64,
}

/// Labels of one stratum of delay. Tests read `wrong` of `n`, or `over_error` of `errors.total()`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StratumCounts {
    /// Labelled predictions.
    pub n: u64,
    /// Label and prediction are different values ("0" and 0 are the same). For classification.
    pub wrong: u64,
    /// Regression: how many have |error| above `profile.error_edges[i]`.
    pub over_error: Vec<u64>,
    /// Prediction minus label, where both are numbers.
    pub errors: Errors,
    /// (truth, predicted) by index into the profile's known classes, the next index being any other. Empty
    /// without a profile that knows classes.
    pub confusion: Confusion,
    /// Score of the predicted class against whether it was right. Only scores within 0..=1.
    pub scores: Scores,
}

/// One labelled prediction, ready to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub wrong: bool,
    /// Truth and prediction, where both are numbers.
    pub numbers: Option<(f64, f64)>,
    /// Truth and prediction as class indices of the profile.
    pub classes: Option<(u16, u16)>,
    pub score: Option<f64>,
}

impl LabelCounts {
    /// Nothing counted, in the shape of `profile`.
    #[must_use]
    pub fn empty(profile: Option<&Profile>) -> Self {
        let stratum = StratumCounts {
            over_error: vec![0; profile.map_or(0, |p| p.error_edges.len())],
            ..StratumCounts::default()
        };
        let strata = vec![stratum; profile.map_or(1, |p| (p.delay_edges_ms.len() + 1) * bands(p))];
        Self { strata, unmatched: 0, late: 0, duplicates: 0, joinable: 0, waiting: 0 }
    }

    /// Labelled predictions over all strata.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.strata.iter().fold(0, |sum, s| sum.saturating_add(s.n))
    }

    pub(super) fn fits(&self, other: &Self) -> Result<(), Mismatch> {
        same_length(self.strata.len(), other.strata.len())?;
        self.strata
            .iter()
            .zip(&other.strata)
            .try_for_each(|(a, b)| same_length(a.over_error.len(), b.over_error.len()))
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.strata.iter_mut().zip(&other.strata) {
            mine.merge(theirs);
        }
        add(&mut self.unmatched, other.unmatched);
        add(&mut self.late, other.late);
        add(&mut self.duplicates, other.duplicates);
        add(&mut self.joinable, other.joinable);
        add(&mut self.waiting, other.waiting);
    }
}

/// Bands of the score.
pub(crate) fn bands(profile: &Profile) -> usize {
    profile.score_edges.len() + 1
}

/// The stratum of a label that took `delay_ms`, of a prediction with this score.
pub(crate) fn stratum(profile: &Profile, delay_ms: Option<i64>, score: Option<f64>) -> usize {
    let delay =
        delay_ms.map_or(0, |delay| profile.delay_edges_ms.iter().filter(|edge| **edge <= delay).count());
    let band = match score.filter(|score| !score.is_nan()) {
        Some(score) => profile.score_edges.iter().filter(|edge| **edge <= score).count(),
        None => profile.score_edges.len(),
    };
    delay * bands(profile) + band
}

impl StratumCounts {
    /// Counts one labelled prediction; `error_edges` are those of the profile.
    pub fn count(&mut self, outcome: Outcome, error_edges: &[f64]) {
        add(&mut self.n, 1);
        add(&mut self.wrong, u64::from(outcome.wrong));
        if let Some((truth, predicted)) = outcome.numbers
            && self.errors.add(truth, predicted)
        {
            let error = (predicted - truth).abs();
            for (count, edge) in self.over_error.iter_mut().zip(error_edges) {
                add(count, u64::from(error > *edge));
            }
        }
        if let Some((truth, predicted)) = outcome.classes {
            self.confusion.add(truth, predicted);
        }
        if let Some(score) = outcome.score {
            self.scores.add(score, !outcome.wrong);
        }
    }

    fn merge(&mut self, other: &Self) {
        add(&mut self.n, other.n);
        add(&mut self.wrong, other.wrong);
        sum_into(&mut self.over_error, &other.over_error);
        self.errors.merge(&other.errors);
        self.confusion.merge(&other.confusion);
        self.scores.merge(&other.scores);
    }
}

/// Hashes of the classes that `profile` knows, in its order: a class's position is its index in the confusion.
#[must_use]
pub fn classes(profile: &Profile) -> Vec<u64> {
    match profile.prediction.as_ref().map(|p| &p.fold) {
        Some(FeatureFold::Category { known, .. }) => known.iter().map(|c| c.hash).collect(),
        Some(FeatureFold::Numeric { .. }) | None => Vec::new(),
    }
}
