//! Counts between sorted edges.

use serde::{Deserialize, Serialize};

use crate::Mismatch;

/// Sorted, distinct, finite edges. `k` of them cut the line into `k + 1` half-open bins:
/// below the first, `edge <= x && x < next`, and from the last upward.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Edges(Vec<f64>);

/// Why numbers are no edges: they must be finite and strictly rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("edge {0} is not finite or not above the one before it")]
pub struct EdgesError(pub usize);

impl Edges {
    /// Checks the edges. None at all is one bin for everything.
    ///
    /// # Errors
    /// With the position of the first edge that is not finite or not above the one before.
    pub fn new(edges: Vec<f64>) -> Result<Self, EdgesError> {
        let bad = |at: &usize| !edges[*at].is_finite() || (*at > 0 && edges[*at - 1] >= edges[*at]);
        match (0..edges.len()).find(bad) {
            Some(at) => Err(EdgesError(at)),
            None => Ok(Self(edges)),
        }
    }

    /// The edges, rising.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Number of bins: one more than edges.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.0.len() + 1
    }

    /// The bin of `x`: the number of edges at or below it. Bin 0 also for NaN, which callers refuse before.
    ///
    /// Cost: no branch on the value; a comparison an edge, several at a time.
    #[must_use]
    pub fn bin_of(&self, x: f64) -> usize {
        // A wrapping sum, since a checked one would keep the compiler from comparing several edges at once.
        self.0.iter().fold(0, |bin, &edge| usize::wrapping_add(bin, usize::from(edge <= x)))
    }
}

impl TryFrom<Vec<f64>> for Edges {
    type Error = EdgesError;

    fn try_from(edges: Vec<f64>) -> Result<Self, EdgesError> {
        Self::new(edges)
    }
}

impl From<Edges> for Vec<f64> {
    fn from(edges: Edges) -> Self {
        edges.0
    }
}

/// Counts a bin. The edges are kept elsewhere (in a profile), so that panes carry numbers alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    /// All bins empty.
    #[must_use]
    pub fn new(bins: usize) -> Self {
        Self { counts: vec![0; bins] }
    }

    /// Counts `x` under `edges`. False, and nothing is counted, if it is not finite.
    ///
    /// # Panics
    /// If the edges have another number of bins.
    pub fn add(&mut self, edges: &Edges, x: f64) -> bool {
        assert_eq!(self.counts.len(), edges.bins(), "a histogram belongs to its edges");
        if !x.is_finite() {
            return false;
        }
        self.add_to_bin(edges.bin_of(x), 1);
        true
    }

    /// Counts `n` in a bin.
    ///
    /// # Panics
    /// If there is no such bin.
    pub fn add_to_bin(&mut self, bin: usize, n: u64) {
        self.counts[bin] = self.counts[bin].saturating_add(n);
    }

    /// Adds what another has counted over the same edges.
    ///
    /// # Errors
    /// If the numbers of bins differ; nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), Mismatch> {
        Mismatch::check(self.counts.len(), other.counts.len())?;
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        Ok(())
    }

    /// The counts, from the lowest bin up.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All that was counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ddsketch::{DdSketch, boundary_at_or_below};

    #[test]
    fn bins_are_half_open() {
        let edges = Edges::new(vec![-1.0, 0.0, 2.5]).expect("they rise");
        for (x, want) in [
            (f64::NEG_INFINITY, 0),
            (-1.5, 0),
            (-1.0, 1),
            (-0.0, 2),
            (0.0, 2),
            (2.4, 2),
            (2.5, 3),
            (1e308, 3),
            (f64::INFINITY, 3),
        ] {
            assert_eq!(edges.bin_of(x), want, "{x}");
        }
        assert_eq!(Edges::default().bin_of(7.0), 0, "no edges are one bin");
    }

    #[test]
    fn edges_that_do_not_rise_are_refused() {
        for (edges, at) in [
            (vec![1.0, 1.0], 1),
            (vec![0.0, -0.0], 1),
            (vec![2.0, 1.0], 1),
            (vec![f64::NAN], 0),
            (vec![0.0, f64::INFINITY], 1),
        ] {
            assert_eq!(Edges::new(edges.clone()), Err(EdgesError(at)), "{edges:?}");
        }
    }

    #[test]
    fn other_bins_are_not_merged() {
        let mut histogram = Histogram::new(3);
        assert_eq!(histogram.merge(&Histogram::new(4)), Err(Mismatch { left: 3, right: 4 }));
        assert!(!histogram.add(&Edges::new(vec![0.0, 1.0]).expect("they rise"), f64::NAN));
        assert_eq!(histogram.total(), 0);
    }

    proptest! {
        /// What a profile rests on: counting at boundaries and cutting the sketch give the same numbers.
        #[test]
        fn a_histogram_at_boundaries_is_the_sketch_cut_there(
            values in prop::collection::vec(-50.0..50.0, 1..60),
            near in prop::collection::vec(-50.0..50.0, 1..6),
        ) {
            let mut at: Vec<f64> = near.iter().filter_map(|&x: &f64| boundary_at_or_below(x)).collect();
            at.extend(values.iter().take(3).filter_map(|&x: &f64| boundary_at_or_below(x)));
            at.sort_by(f64::total_cmp);
            at.dedup();
            let edges = Edges::new(at.clone()).expect("sorted, distinct, finite");
            let (mut histogram, mut sketch) = (Histogram::new(edges.bins()), DdSketch::default());
            for &x in &values {
                prop_assert!(histogram.add(&edges, x) && sketch.add(x));
            }
            for (edge, &x) in at.iter().enumerate() {
                let above: u64 = histogram.counts().iter().skip(edge + 1).sum();
                prop_assert_eq!(above, sketch.count_at_or_above(x));
            }
        }
    }
}
