//! What the distances between two histograms share.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::math::{float, float_len};

/// Shares of counts, each count raised by half so that no share is 0. `None` if nothing was counted.
pub(crate) fn raised_shares(counts: &[u64]) -> Option<impl Iterator<Item = f64> + Clone + '_> {
    let n = total(counts)?;
    let total = n + float_len(counts.len()) / 2.0;
    Some(counts.iter().map(move |&count| (float(count) + 0.5) / total))
}

/// Shares of counts. `None` if nothing was counted.
pub(crate) fn shares(counts: &[u64]) -> Option<impl Iterator<Item = f64> + Clone + '_> {
    let total = total(counts)?;
    Some(counts.iter().map(move |&count| float(count) / total))
}

/// Differences of the cumulative shares at each inner edge, current minus reference.
pub(crate) fn cumulative_gaps(reference: &[u64], current: &[u64]) -> Option<Vec<f64>> {
    assert_eq!(reference.len(), current.len(), "histograms must share their bins");
    let (n, m) = (total(reference)?, total(current)?);
    let (mut below_reference, mut below_current) = (0_u64, 0_u64);
    let inner = reference.len().saturating_sub(1);
    let gap = |(r, c): (&u64, &u64)| {
        below_reference = below_reference.saturating_add(*r);
        below_current = below_current.saturating_add(*c);
        float(below_current) / m - float(below_reference) / n
    };
    Some(reference.iter().zip(current).take(inner).map(gap).collect())
}

/// `1/n + 1/m`: the variance of a difference of shares, but for p(1 − p).
pub(crate) fn precision(n: f64, m: f64) -> f64 {
    1.0 / n + 1.0 / m
}

/// The level a χ² with `bins − 1` degrees exceeds with probability `alpha`. 0 for a single bin.
pub(crate) fn chi_squared_level(bins: usize, alpha: f64) -> f64 {
    assert!(alpha > 0.0 && alpha < 1.0, "a false-alarm rate is within 0..1");
    if bins < 2 {
        return 0.0;
    }
    let law = ChiSquared::new(float_len(bins - 1)).expect("at least one degree of freedom");
    law.inverse_cdf(1.0 - alpha)
}

/// Sum of counts as a float. `None` if it is 0.
pub(crate) fn total(counts: &[u64]) -> Option<f64> {
    let total = counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count));
    (total > 0).then(|| float(total))
}
