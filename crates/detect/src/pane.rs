//! The smallest slice of event time of one model version: counts and sketches that merge exactly.

use serde::{Deserialize, Serialize};
use stats::{DdSketch, ExactSum, Mismatch};
use wire::Timestamp;
use wire::profile::Profile;

pub mod feature;
pub mod labels;

pub use feature::{Atom, Categories, CategoryCount, CategoryCounts, FeatureCounts, NumericCounts, RawCounts};
pub use labels::{LabelCounts, Outcome, StratumCounts};
pub(crate) use labels::{bands, stratum};

/// Name of what is folded together because a table is full: a model, version or segment.
pub const OTHER: &str = "__other__";

/// Version of predictions that do not say theirs.
pub const UNKNOWN_VERSION: &str = "unknown";

/// Whose pane and when. `start` is a whole number of panes since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaneKey {
    pub model: String,
    pub version: String,
    /// `key=value`, or `None` for all the traffic of the version.
    pub segment: Option<String>,
    pub start: Timestamp,
}

/// One pane, or the part of it that one collector counted between two commits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pane {
    pub key: PaneKey,
    /// `Profile::short_digest` of the profile it was folded under; 0 is none. Panes of different digests do
    /// not merge.
    pub profile: u64,
    pub counts: PaneCounts,
}

/// What was counted. Merging is exact: order and grouping change no byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaneCounts {
    pub predictions: u64,
    /// Records that carried a weight, and its sum. For display only; the others weigh 1.
    pub weighted: u64,
    pub weight: ExactSum,
    /// In the order of `Status::ALL`.
    pub status: [u64; 4],
    pub latency: LatencyCounts,
    /// In the profile's order; without a profile raw, ascending by name.
    pub features: Vec<FeatureCounts>,
    /// Most features that are told apart without a profile: those with the smallest names.
    pub features_max: u32,
    pub prediction: Option<FeatureCounts>,
    pub score: Option<FeatureCounts>,
    pub labels: LabelCounts,
    pub quality: QualityCounts,
}

/// Latencies of the records that had one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyCounts {
    pub n: u64,
    /// How many took longer than `profile.latency_edges[i]`.
    pub over: Vec<u64>,
    /// In ms.
    pub sketch: DdSketch,
}

/// What was wrong with records that were kept, and records that were not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityCounts {
    /// Feature values that are arrays or objects.
    pub unsupported: u64,
    /// Values of features beyond `features_max`.
    pub features_over: u64,
    /// Values of features that the profile does not know.
    pub features_unknown: u64,
    /// Latencies below 0 or beyond a 64-bit float; not in `latency`.
    pub latency_invalid: u64,
    /// Predictions whose id was seen before; counted nowhere else.
    pub duplicates: u64,
    /// Predictions that named no version.
    pub unknown_version: u64,
    /// Predictions whose own pane had closed; counted here, in the first open pane, and nowhere else.
    pub late: u64,
}

impl PaneCounts {
    /// Nothing counted, in the shape of `profile`; without one, room for `features_max` features.
    #[must_use]
    pub fn empty(profile: Option<&Profile>, features_max: u32) -> Self {
        Self {
            predictions: 0,
            weighted: 0,
            weight: ExactSum::default(),
            status: [0; 4],
            latency: LatencyCounts {
                over: vec![0; profile.map_or(0, |p| p.latency_edges.len())],
                ..LatencyCounts::default()
            },
            features: profile
                .map_or_else(Vec::new, |p| p.features.iter().map(FeatureCounts::empty).collect()),
            features_max,
            prediction: profile.and_then(|p| p.prediction.as_ref()).map(FeatureCounts::empty),
            score: profile.and_then(|p| p.score.as_ref()).map(FeatureCounts::empty),
            labels: LabelCounts::empty(profile),
            quality: QualityCounts::default(),
        }
    }

    /// Adds what another has counted of the same pane key and profile digest.
    ///
    /// # Errors
    /// If the shapes differ, which only counts of different profiles do; nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        self.fits(other)?;
        add(&mut self.predictions, other.predictions);
        add(&mut self.weighted, other.weighted);
        self.weight.merge(&other.weight);
        sum_into(&mut self.status, &other.status);
        add(&mut self.latency.n, other.latency.n);
        sum_into(&mut self.latency.over, &other.latency.over);
        self.latency.sketch.merge(&other.latency.sketch);
        self.features_max = self.features_max.min(other.features_max);
        if self.is_raw() && other.is_raw() {
            self.merge_by_name(&other.features);
        } else {
            for (mine, theirs) in self.features.iter_mut().zip(&other.features) {
                mine.merge(theirs);
            }
        }
        merge_option(&mut self.prediction, other.prediction.as_ref());
        merge_option(&mut self.score, other.score.as_ref());
        self.labels.merge(&other.labels);
        self.quality.merge(&other.quality);
        self.drop_excess();
        Ok(())
    }

    /// Sum of the weights, where a record without one weighs 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub fn total_weight(&self) -> f64 {
        self.weight.value() + self.predictions.saturating_sub(self.weighted) as f64
    }

    /// Drops raw features beyond the bound: those with the largest names, their values counted.
    pub(crate) fn drop_excess(&mut self) {
        while self.features.len() > self.features_max as usize && self.is_raw() {
            if let Some(FeatureCounts::Raw(dropped)) = self.features.pop() {
                add(&mut self.quality.features_over, dropped.present());
            }
        }
    }

    /// Keeps half of the raw features: those with the smallest names; values of the others are counted. Merging is as
    /// exact as before: the smaller bound holds. False under a profile, or with one feature left.
    pub fn halve_features(&mut self) -> bool {
        if !self.is_raw() || self.features.len() < 2 {
            return false;
        }
        self.features_max = u32::try_from(self.features.len() / 2).unwrap_or(u32::MAX);
        self.drop_excess();
        true
    }

    fn is_raw(&self) -> bool {
        self.features.iter().all(|f| matches!(f, FeatureCounts::Raw(_)))
    }

    fn fits(&self, other: &Self) -> Result<(), Mismatch> {
        same_length(self.latency.over.len(), other.latency.over.len())?;
        if !(self.is_raw() && other.is_raw()) {
            same_length(self.features.len(), other.features.len())?;
            self.features.iter().zip(&other.features).try_for_each(|(a, b)| a.fits(b))?;
        }
        for (mine, theirs) in [(&self.prediction, &other.prediction), (&self.score, &other.score)] {
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                mine.fits(theirs)?;
            }
        }
        self.labels.fits(&other.labels)
    }

    fn merge_by_name(&mut self, others: &[FeatureCounts]) {
        for theirs in others {
            let name = raw_name(theirs);
            let at = self.features.partition_point(|f| raw_name(f) < name);
            match self.features.get_mut(at) {
                Some(mine) if raw_name(mine) == name => mine.merge(theirs),
                Some(_) | None => self.features.insert(at, theirs.clone()),
            }
        }
    }
}

/// Name of a raw feature; others are told apart by their position.
pub(crate) fn raw_name(feature: &FeatureCounts) -> &str {
    match feature {
        FeatureCounts::Raw(raw) => &raw.name,
        FeatureCounts::Numeric(_) | FeatureCounts::Category(_) => "",
    }
}

impl QualityCounts {
    fn merge(&mut self, other: &Self) {
        add(&mut self.unsupported, other.unsupported);
        add(&mut self.features_over, other.features_over);
        add(&mut self.features_unknown, other.features_unknown);
        add(&mut self.latency_invalid, other.latency_invalid);
        add(&mut self.duplicates, other.duplicates);
        add(&mut self.unknown_version, other.unknown_version);
        add(&mut self.late, other.late);
    }
}

fn merge_option(mine: &mut Option<FeatureCounts>, theirs: Option<&FeatureCounts>) {
    match (mine.as_mut(), theirs) {
        (Some(mine), Some(theirs)) => mine.merge(theirs),
        (None, Some(theirs)) => *mine = Some(theirs.clone()),
        (Some(_) | None, None) => (),
    }
}

/// Counts saturate: a pane would need 18 million million million records.
pub(crate) fn add(to: &mut u64, n: u64) {
    *to = to.saturating_add(n);
}

fn sum_into(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        add(mine, *theirs);
    }
}

fn same_length(left: usize, right: usize) -> Result<(), Mismatch> {
    if left == right { Ok(()) } else { Err(Mismatch { left, right }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(names: &[&str], nulls: u64) -> PaneCounts {
        let mut counts = PaneCounts::empty(None, 8);
        for name in names {
            let feature = RawCounts { nulls, ..RawCounts::new((*name).to_owned(), 8) };
            counts.features.push(FeatureCounts::Raw(Box::new(feature)));
        }
        counts
    }

    #[test]
    fn halving_the_features_before_a_merge_is_halving_them_after() {
        let (all, others) = (raw(&["a", "b", "c", "d", "e"], 3), raw(&["b", "c", "e", "f"], 5));
        let mut halved = all.clone();
        assert!(halved.halve_features());
        let names: Vec<&str> = halved.features.iter().map(raw_name).collect();
        assert_eq!((names, halved.quality.features_over), (vec!["a", "b"], 9));
        let (mut before, mut after) = (others.clone(), others.clone());
        before.merge(&halved).expect("raw counts fit");
        after.merge(&all).expect("raw counts fit");
        after.features_max = 2;
        after.drop_excess();
        assert_eq!(before, after);
        assert_eq!(before.quality.features_over, 9 + 15, "every value is counted somewhere");
        assert!(halved.halve_features() && !halved.halve_features(), "one is left");
    }
}
