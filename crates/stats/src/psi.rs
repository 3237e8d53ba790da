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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{close, false_rate};

    #[test]
    fn psi_of_known_histograms() {
        for (name, reference, current, want) in [
            ("same counts", [5, 5], [5, 5], Some(0.0)),
            // Raised by ½: shares 7/10, 3/10 against 3/10, 7/10… of 3½ and 1½ in 5.
            ("swapped", [3, 1], [1, 3], Some(0.8 * (7.0_f64 / 3.0).ln())),
            ("empty window", [5, 5], [0, 0], None),
            ("empty reference", [0, 0], [5, 5], None),
        ] {
            let got = psi(&reference, &current);
            assert!(close(got, want), "{name}: got {got:?}, want {want:?}");
        }
        assert!(psi(&[1_000_000, 0], &[0, 1_000_000]).is_some_and(f64::is_finite), "empty bins stay finite");
    }

    #[test]
    fn levels_of_the_literature() {
        // 1 % levels at ten bins: 0.043 for two samples of 1,000, 0.024 and 0.0024 against ten times as many.
        for (n, m, want) in [(1_000, 1_000, 0.0433), (10_000, 1_000, 0.0238), (100_000, 10_000, 0.00238)] {
            let got = psi_level(10, n, m, 0.01).expect("two samples");
            assert!((got / want - 1.0).abs() < 0.01, "{n} and {m}: {got}");
        }
        assert_eq!(psi_level(10, 0, 5, 0.01), None);
        assert_eq!(psi_level(1, 5, 5, 0.01), Some(0.0));
    }

    #[test]
    fn the_level_holds_without_drift() {
        for (n, m) in [(500, 500), (5_000, 500), (50, 50)] {
            let rate = false_rate(n, m, |a, b| psi(a, b) > psi_level(10, n, m, 0.05));
            assert!((0.035..=0.065).contains(&rate), "{n} and {m}: {rate}");
        }
    }

    proptest! {
        #[test]
        fn psi_is_symmetric_and_never_negative(bins in prop::collection::vec((0_u64..999, 0_u64..999), 2..20)) {
            let (a, b): (Vec<u64>, Vec<u64>) = bins.into_iter().unzip();
            prop_assert!(close(psi(&a, &b), psi(&b, &a)));
            prop_assert!(psi(&a, &b).is_none_or(|psi| 0.0 <= psi));
        }
    }
}
