//! The Jensen–Shannon divergence.

use crate::distance::{chi_squared_level, precision, shares};
use crate::math::{float, ln};

/// Jensen–Shannon divergence between two histograms. In nats: 0 is equal, ln 2 is nothing in common.
///
/// Its square root is a metric. Needs no raised counts: an empty bin costs a bounded amount. Noise floor
/// without drift: about `(bins − 1)/8 · (1/n + 1/m)`; see [`jensen_shannon_level`].
/// Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37, 1991.
///
/// `None` if either sample is empty.
///
/// # Panics
/// If the numbers of bins differ.
#[must_use]
pub fn jensen_shannon(reference: &[u64], current: &[u64]) -> Option<f64> {
    assert_eq!(reference.len(), current.len(), "histograms must share their bins");
    let (p, q) = (shares(reference)?, shares(current)?);
    let term = |share: f64, mean: f64| if share == 0.0 { 0.0 } else { share * ln(share / mean) };
    let sum: f64 = p.zip(q).map(|(p, q)| term(p, f64::midpoint(p, q)) + term(q, f64::midpoint(p, q))).sum();
    Some((sum / 2.0).max(0.0))
}

/// The divergence that two samples of one distribution exceed with probability `alpha`.
///
/// `(1/n + 1/m)·χ²(bins − 1)/8`, the first term of its expansion; good from 5 records a bin.
/// `None` if either sample is empty.
///
/// # Panics
/// If `alpha` is not between 0 and 1.
#[must_use]
pub fn jensen_shannon_level(bins: usize, n: u64, m: u64, alpha: f64) -> Option<f64> {
    (n > 0 && m > 0).then(|| precision(float(n), float(m)) * chi_squared_level(bins, alpha) / 8.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{close, false_rate};

    #[test]
    fn divergences_of_known_histograms() {
        let half = 0.5 * (0.75 * 1.5_f64.ln() + 0.25 * 0.5_f64.ln())
            + 0.5 * (0.25 * 0.5_f64.ln() + 0.75 * 1.5_f64.ln());
        for (name, reference, current, want) in [
            ("same shares", [5, 5], [50, 50], Some(0.0)),
            ("nothing in common", [7, 0], [0, 3], Some(std::f64::consts::LN_2)),
            ("swapped", [3, 1], [1, 3], Some(half)),
            ("empty", [0, 0], [1, 3], None),
        ] {
            let got = jensen_shannon(&reference, &current);
            assert!(close(got, want), "{name}: got {got:?}, want {want:?}");
        }
    }

    #[test]
    fn the_level_holds_without_drift() {
        for (n, m) in [(500, 500), (5_000, 500), (100, 100)] {
            let rate = false_rate(n, m, |a, b| jensen_shannon(a, b) > jensen_shannon_level(10, n, m, 0.05));
            assert!((0.035..=0.065).contains(&rate), "{n} and {m}: {rate}");
        }
    }

    proptest! {
        #[test]
        fn it_is_symmetric_and_bounded(bins in prop::collection::vec((0_u64..999, 0_u64..999), 2..20)) {
            let (a, b): (Vec<u64>, Vec<u64>) = bins.into_iter().unzip();
            prop_assert!(close(jensen_shannon(&a, &b), jensen_shannon(&b, &a)));
            prop_assert!(jensen_shannon(&a, &b).is_none_or(|js| (0.0..=0.693_148).contains(&js)));
        }
    }
}
