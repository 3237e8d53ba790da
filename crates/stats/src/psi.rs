//! The population stability index.

use crate::distance::{chi_squared_level, precision, raised_shares};
use crate::math::{float, ln};

/// Population stability index: how far `current` has moved from `reference`. In nats; 0 is equal.
///
/// Shape: counts over the same bins in the same order, each raised by ½ to keep the logarithm finite.
/// Noise floor: without drift it still averages about `(bins − 1) · (1/n + 1/m)` for samples of `n`
/// and `m` with 5 or more per bin. Judge it against [`psi_level`], never against a fixed 0.1 or 0.25.
/// Source: Yurdakul & Naranjo, "Statistical properties of the population stability index", 2020.
///
/// `None` if either sample is empty: there is nothing to compare.
///
/// # Panics
/// If the numbers of bins differ.
#[must_use]
pub fn psi(reference: &[u64], current: &[u64]) -> Option<f64> {
    assert_eq!(reference.len(), current.len(), "histograms must share their bins");
    let (p, q) = (raised_shares(reference)?, raised_shares(current)?);
    Some(p.zip(q).map(|(p, q)| (q - p) * ln(q / p)).sum())
}

/// The PSI that two samples of one distribution exceed with probability `alpha`: `(1/n + 1/m)·χ²(bins − 1)`.
///
/// Holds to about a tenth of `alpha` from 5 records a bin. `None` if either sample is empty.
///
/// # Panics
/// If `alpha` is not between 0 and 1.
#[must_use]
pub fn psi_level(bins: usize, n: u64, m: u64, alpha: f64) -> Option<f64> {
    (n > 0 && m > 0).then(|| precision(float(n), float(m)) * chi_squared_level(bins, alpha))
}
