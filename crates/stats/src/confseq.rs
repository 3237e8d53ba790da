//! Limits for rates, for people.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};

use crate::math::float;

/// An interval of rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub lower: f64,
    pub upper: f64,
}

impl Interval {
    /// Nothing is known.
    pub const ALL: Self = Self { lower: 0.0, upper: 1.0 };
}

/// Halvings of an interval until neighbours are closer than a display can show (1e-12).
const HALVINGS: usize = 40;

/// Clopper–Pearson limits of a rate at a sample fixed beforehand: each side errs with at most `alpha/2`.
///
/// `(0, 1)` without records.
///
/// # Panics
/// If `k > n` or `alpha` is not between 0 and 1.
#[must_use]
pub fn clopper_pearson(k: u64, n: u64, alpha: f64) -> Interval {
    assert!(k <= n && alpha > 0.0 && alpha < 1.0, "k of n records and an error rate");
    let (events, rest) = (float(k), float(n - k));
    let limit = |a: f64, b: f64, level: f64| {
        let law = Beta::new(a, b).expect("both shapes are positive");
        // The library's own inverse stops early for narrow laws; its distribution function is good.
        let start = a / (a + b);
        let (end, beyond) = if level < 0.5 { (0.0, true) } else { (1.0, false) };
        outermost(start, end, |p| (law.cdf(p) < level) == beyond)
    };
    Interval {
        lower: if k == 0 { 0.0 } else { limit(events, rest + 1.0, alpha / 2.0) },
        upper: if k == n { 1.0 } else { limit(events + 1.0, rest, 1.0 - alpha / 2.0) },
    }
}

/// The last point on the way from `inside` to `outside` that is not refused, on the refused side.
fn outermost(inside: f64, outside: f64, refused: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut outside) = (inside, outside);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, outside);
        if refused(middle) {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clopper_pearson_of_known_counts() {
        for (k, n, lower, upper) in [
            (0, 10, 0.0, 0.308_497_101_6),
            (10, 10, 0.691_502_898_4, 1.0),
            (5, 10, 0.187_086_028_4, 0.812_913_971_6),
            (1, 100, 0.000_253_146_0, 0.054_459_399_8),
            (0, 0, 0.0, 1.0),
        ] {
            let got = clopper_pearson(k, n, 0.05);
            let near = |got: f64, want: f64| (got - want).abs() < 1e-6;
            assert!(near(got.lower, lower) && near(got.upper, upper), "{k} of {n}: {got:?}");
        }
        let many = clopper_pearson(500_000, 1_000_000, 0.05);
        assert!(many.lower > 0.498 && many.upper < 0.502 && many.lower < 0.5, "{many:?}");
    }

    #[test]
    fn fixed_limits_cover_every_rate() {
        let n = 20_u32;
        let intervals: Vec<Interval> =
            (0..=u64::from(n)).map(|k| clopper_pearson(k, u64::from(n), 0.1)).collect();
        for step in 0..=50 {
            let p = f64::from(step) / 50.0;
            let mut choices = 1.0;
            let mut covered = 0.0;
            for (k, interval) in (0..=n).zip(&intervals) {
                let chance = choices
                    * p.powi(i32::try_from(k).expect("small"))
                    * (1.0 - p).powi(i32::try_from(n - k).expect("small"));
                choices *= f64::from(n - k) / f64::from(k + 1);
                covered += if (interval.lower..=interval.upper).contains(&p) { chance } else { 0.0 };
            }
            assert!(covered >= 0.9 - 1e-9, "at {p}: {covered}");
        }
    }
}
