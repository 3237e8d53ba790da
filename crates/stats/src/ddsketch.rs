//! A mergeable sketch of a distribution whose quantiles are within 1 % of the value.

use serde::{Deserialize, Serialize};

mod grid;
mod store;

use store::Store;

/// Every quantile is within this share of a value that the quantile's rank holds (the grid reaches 0.0099).
pub const RELATIVE_ERROR: f64 = 0.01;

/// Most buckets a sketch keeps on either side of zero: about 16 KB each when full.
pub const BUCKETS_MAX: usize = 1024;

/// Counts of values in buckets that are 2 % wide: 35 to an octave, their bounds exact numbers.
///
/// Takes any finite number. Values nearer to zero than 2.3e-308 count as zero; NaN and infinities are
/// refused. Merging is exact: whatever the order and grouping of adds and merges, the bytes are the same.
/// The bucket of a value is read from its bits through a table, so it is the same on every machine, and a
/// value is in bucket `lower..upper` exactly when `lower <= x && x < upper`.
///
/// Bound: past [`BUCKETS_MAX`] distinct buckets of one sign, the ones nearest to zero are folded into the
/// next; how many values that moved is [`DdSketch::collapsed`], and only their quantiles lose accuracy.
///
/// Cost: some ten nanoseconds a value; 2 to 4 bytes a filled bucket when written.
/// Source: Masson, Rim & Lee, "DDSketch", VLDB 2019 (arXiv:1908.10693), with a bucket ratio of 2^(1/35).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DdSketch {
    negative: Store,
    zeros: u64,
    positive: Store,
}

/// One filled bucket: `count` values with `lower <= x && x < upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: u64,
}

impl Bucket {
    /// The number that is within [`RELATIVE_ERROR`] of every value in the bucket.
    #[must_use]
    pub fn middle(&self) -> f64 {
        if self.lower < 0.0 && self.upper > 0.0 {
            0.0
        } else if self.lower >= 0.0 {
            self.lower * grid::TO_MIDDLE
        } else {
            self.upper * grid::TO_MIDDLE
        }
    }
}

/// Where a value is counted.
enum Place {
    Negative(i32),
    Zero,
    Positive(i32),
}

impl DdSketch {
    /// Counts one value. False, and nothing is counted, if it is not finite.
    pub fn add(&mut self, x: f64) -> bool {
        self.add_n(x, 1)
    }

    /// Counts a value `n` times. False, and nothing is counted, if it is not finite.
    pub fn add_n(&mut self, x: f64, n: u64) -> bool {
        if !x.is_finite() {
            return false;
        }
        match place(x) {
            Place::Negative(index) => self.negative.add(index, n),
            Place::Zero => self.zeros = self.zeros.saturating_add(n),
            Place::Positive(index) => self.positive.add(index, n),
        }
        true
    }

    /// Adds what another sketch has counted.
    pub fn merge(&mut self, other: &Self) {
        self.negative.merge(&other.negative);
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.positive.merge(&other.positive);
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.negative.count().saturating_add(self.zeros).saturating_add(self.positive.count())
    }

    /// True if nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Values counted as zero.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Values that were moved to a bucket farther from zero because the sketch was full.
    #[must_use]
    pub fn collapsed(&self) -> u64 {
        self.negative.collapsed().saturating_add(self.positive.collapsed())
    }

    /// The filled buckets, rising.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let negative = self.negative.iter().rev().map(|(index, count)| Bucket {
            lower: -grid::boundary(index + 1),
            upper: -grid::boundary(index),
            count,
        });
        let zero = Bucket { lower: -f64::MIN_POSITIVE, upper: f64::MIN_POSITIVE, count: self.zeros };
        let positive = self.positive.iter().map(|(index, count)| Bucket {
            lower: grid::boundary(index),
            upper: grid::boundary(index + 1),
            count,
        });
        negative.chain((self.zeros > 0).then_some(zero)).chain(positive)
    }

    /// The `q`-quantile: within 1 % of the value at rank `⌊q·(count − 1)⌋` of the sorted values.
    ///
    /// `None` if the sketch is empty.
    ///
    /// # Panics
    /// If `q` is not within 0..=1.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.quantile_bucket(q).map(|bucket| bucket.middle())
    }

    /// The bucket that holds the `q`-quantile; its `lower` is where a profile may put an edge.
    ///
    /// # Panics
    /// If `q` is not within 0..=1.
    #[must_use]
    pub fn quantile_bucket(&self, q: f64) -> Option<Bucket> {
        assert!((0.0..=1.0).contains(&q), "a quantile is within 0..=1");
        let rank = rank(q, self.count().checked_sub(1)?);
        let mut seen = 0_u64;
        self.buckets().find(|bucket| {
            seen = seen.saturating_add(bucket.count);
            rank < seen
        })
    }

    /// Values below `x`, exactly if `x` is a bucket boundary; otherwise below the boundary beneath `x`.
    #[must_use]
    pub fn count_below(&self, x: f64) -> u64 {
        self.buckets()
            .take_while(|bucket| bucket.upper <= x)
            .fold(0, |sum, bucket| sum.saturating_add(bucket.count))
    }

    /// Values at or above `x`: the rest of [`DdSketch::count_below`].
    #[must_use]
    pub fn count_at_or_above(&self, x: f64) -> u64 {
        self.count() - self.count_below(x)
    }
}

/// The largest bucket boundary that is not above `x`: an edge there splits a sketch exactly.
///
/// `None` if `x` is not finite.
#[must_use]
pub fn boundary_at_or_below(x: f64) -> Option<f64> {
    x.is_finite().then(|| match place(x) {
        Place::Negative(index) => -grid::boundary(index + 1),
        Place::Zero => -f64::MIN_POSITIVE,
        Place::Positive(index) => grid::boundary(index),
    })
}

/// The next bucket boundary above `x`. `None` if `x` is not finite or lies in the last bucket.
#[must_use]
pub fn boundary_above(x: f64) -> Option<f64> {
    let above = match place(x) {
        Place::Negative(index) => -grid::boundary(index),
        Place::Zero => f64::MIN_POSITIVE,
        Place::Positive(index) => grid::boundary(index + 1),
    };
    (x.is_finite() && above.is_finite()).then_some(above)
}

/// Buckets of negative values mirror the positive ones with the closed end kept below, so that a bucket is
/// `lower <= x` on both sides of zero, as a histogram's bin is: −b belongs above the edge −b.
fn place(x: f64) -> Place {
    let bits = x.abs().to_bits();
    if x < 0.0 {
        grid::index(bits - 1).map_or(Place::Zero, Place::Negative)
    } else {
        grid::index(bits).map_or(Place::Zero, Place::Positive)
    }
}

/// `⌊q·last⌋` without leaving the range of ranks.
fn rank(q: f64, last: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "q is within 0..=1, and a float cast saturates"
    )]
    let rank = (q * crate::math::float(last)).floor() as u64;
    rank.min(last)
}

#[cfg(test)]
mod tests;
