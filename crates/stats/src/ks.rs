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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, false_rate};

    #[test]
    fn distances_of_known_histograms() {
        for (name, reference, current, want) in [
            ("same shares", [2, 2, 4], [1, 1, 2], Some(0.0)),
            ("one end to the other", [9, 0, 0], [0, 0, 4], Some(1.0)),
            ("a quarter moved", [2, 2, 4], [4, 2, 2], Some(0.25)),
            ("empty", [0, 0, 0], [1, 0, 0], None),
        ] {
            let got = ks(&reference, &current);
            assert!(close(got, want), "{name}: got {got:?}, want {want:?}");
        }
        assert!(
            close(ks_level(100, 100, 0.05), Some(1.358_102 * 0.02_f64.sqrt())) || {
                let level = ks_level(100, 100, 0.05).expect("two samples");
                (level - 0.192_064).abs() < 1e-5
            }
        );
    }

    #[test]
    fn the_level_is_kept_over_bins() {
        let rate = false_rate(500, 500, |a, b| ks(a, b) > ks_level(500, 500, 0.05));
        assert!((0.005..=0.05).contains(&rate), "{rate}");
    }
}
