//! The Wasserstein distance.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::distance::{cumulative_gaps, precision, total};
use crate::histogram::Edges;
use crate::math::float;

/// First Wasserstein distance between histograms: how far the mass must move, in the unit of the edges.
///
/// Between the first and the last edge only: a value beyond them counts as at the edge, so that one outlier
/// cannot carry it. Report the counts of the outer bins beside it, or a unit fault goes unseen.
/// Divide by the reference's interquartile range to compare features.
///
/// `None` if either sample is empty.
///
/// # Panics
/// If the numbers of bins differ or do not belong to the edges.
#[must_use]
pub fn wasserstein(edges: &Edges, reference: &[u64], current: &[u64]) -> Option<f64> {
    assert_eq!(edges.bins(), reference.len(), "a histogram belongs to its edges");
    let gaps = cumulative_gaps(reference, current)?;
    Some(widths(edges).zip(&gaps).zip(gaps.iter().skip(1)).map(|((w, a), b)| w * between(*a, *b)).sum())
}

/// A distance that two samples of one distribution exceed with probability at most about `alpha`.
///
/// `z(1 − alpha/2)·√(1/n + 1/m)·Σ width·√(F(1 − F))` with F the pooled cumulative share: as if all gaps were as wide as
/// their deviations at once. Between a tenth and all of `alpha` in practice; leaning to the safe side.
/// `None` if either sample is empty.
///
/// # Panics
/// As [`wasserstein`], or if `alpha` is not between 0 and 1.
#[must_use]
pub fn wasserstein_level(edges: &Edges, reference: &[u64], current: &[u64], alpha: f64) -> Option<f64> {
    assert!(alpha > 0.0 && alpha < 1.0, "a false-alarm rate is within 0..1");
    assert_eq!(reference.len(), current.len(), "histograms must share their bins");
    assert_eq!(edges.bins(), reference.len(), "a histogram belongs to its edges");
    let pooled: Vec<u64> = reference.iter().zip(current).map(|(a, b)| a.saturating_add(*b)).collect();
    let all = total(&pooled)?;
    let mut below = 0_u64;
    let deviations: Vec<f64> = pooled[..pooled.len() - 1]
        .iter()
        .map(|&count| {
            below = below.saturating_add(count);
            let share = float(below) / all;
            (share * (1.0 - share)).max(0.0).sqrt()
        })
        .collect();
    let area: f64 = widths(edges)
        .zip(&deviations)
        .zip(deviations.iter().skip(1))
        .map(|((width, a), b)| width * f64::midpoint(*a, *b))
        .sum();
    let z = Normal::standard().inverse_cdf(1.0 - alpha / 2.0);
    Some(z * precision(total(reference)?, total(current)?).sqrt() * area)
}

fn widths(edges: &Edges) -> impl Iterator<Item = f64> + '_ {
    edges.as_slice().windows(2).map(|pair| pair[1] - pair[0])
}

/// Mean of |gap| over a bin in which it runs straight from `a` to `b`, also where it changes its sign.
fn between(a: f64, b: f64) -> f64 {
    if a * b >= 0.0 {
        return f64::midpoint(a.abs(), b.abs());
    }
    (a * a + b * b) / (2.0 * (a.abs() + b.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, false_rate};

    fn edges(edges: &[f64]) -> Edges {
        Edges::new(edges.to_vec()).expect("they rise")
    }

    #[test]
    fn distances_of_known_histograms() {
        let edges = edges(&[0.0, 1.0, 3.0, 4.0]);
        for (name, reference, current, want) in [
            ("same shares", [1, 2, 3, 4, 0], [2, 4, 6, 8, 0], Some(0.0)),
            // All of it from below 0 to above 4: clipped to the edges, four units.
            ("one end to the other", [7, 0, 0, 0, 0], [0, 0, 0, 0, 3], Some(4.0)),
            // From the bin 0..1 (middle 0.5) to 3..4 (middle 3.5).
            ("three units", [0, 5, 0, 0, 0], [0, 0, 0, 5, 0], Some(3.0)),
            // Middle half of the mass moves out both ways; the gap changes its sign inside 1..3.
            ("spread", [0, 0, 4, 0, 0], [0, 2, 0, 2, 0], Some(0.25 + 0.5 + 0.25)),
            ("empty", [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], None),
        ] {
            let got = wasserstein(&edges, &reference, &current);
            assert!(close(got, want), "{name}: got {got:?}, want {want:?}");
        }
    }

    #[test]
    fn the_level_is_kept_and_means_something() {
        let edges = edges(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        for (n, m) in [(500, 500), (2_000, 200)] {
            let rate =
                false_rate(n, m, |a, b| wasserstein(&edges, a, b) > wasserstein_level(&edges, a, b, 0.05));
            assert!((0.005..=0.06).contains(&rate), "{n} and {m}: {rate}");
        }
        assert_eq!(wasserstein_level(&edges, &[0; 10], &[1; 10], 0.05), None);
    }
}
