//! The Kolmogorov–Smirnov distance.

use crate::distance::{cumulative_gaps, precision};
use crate::math::{float, ln};

/// Kolmogorov–Smirnov distance: the largest difference of the cumulative shares at a shared edge. 0 to 1.
///
/// At most the distance of the raw samples, since only edges are looked at. It sees one largest gap and, at
/// large samples, gaps nobody cares about: judge it against [`ks_level`] *and* a least effect.
///
/// `None` if either sample is empty.
///
/// # Panics
/// If the numbers of bins differ.
#[must_use]
pub fn ks(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(cumulative_gaps(reference, current)?.iter().fold(0.0, |most: f64, gap| most.max(gap.abs())))
}

/// A distance that two samples of one distribution exceed with probability at most `alpha`.
///
/// `√(−½·ln(alpha/2))·√(1/n + 1/m)`, the law for raw continuous samples. Over few bins the distance is smaller, so
/// the true rate is lower: a third of `alpha` at ten bins. `None` if either sample is empty.
///
/// # Panics
/// If `alpha` is not between 0 and 1.
#[must_use]
pub fn ks_level(n: u64, m: u64, alpha: f64) -> Option<f64> {
    assert!(alpha > 0.0 && alpha < 1.0, "a false-alarm rate is within 0..1");
    (n > 0 && m > 0).then(|| (-0.5 * ln(alpha / 2.0) * precision(float(n), float(m))).sqrt())
}
