//! Limits for rates, for people: at all times at once, or at one.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};
use statrs::function::beta::ln_beta;

use crate::math::{float, ln, ln_1p};

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

/// A confidence sequence for the rate behind `k` of `n` records: right at all n at once, except with
/// probability `alpha`. A dashboard may look as often as it likes.
///
/// All rates p at which the Beta(½, ½) mixture of likelihood ratios stays below 1/alpha (Ville). For records
/// whose rate does not move; for correlated ones pass k/d and n/d. About 1.5 to 2 times as wide as
/// [`clopper_pearson`]. Counts may be fractions.
///
/// # Panics
/// If `k > n`, a count is negative, or `alpha` is not between 0 and 1.
#[must_use]
pub fn rate_sequence(k: f64, n: f64, alpha: f64) -> Interval {
    assert!(0.0 <= k && k <= n && n.is_finite(), "k of n records");
    assert!(alpha > 0.0 && alpha < 1.0, "an error rate is within 0..1");
    if n == 0.0 {
        return Interval::ALL;
    }
    let mixture = ln_beta(k + 0.5, n - k + 0.5) - ln_beta(0.5, 0.5);
    let term = |count: f64, log: f64| if count == 0.0 { 0.0 } else { count * log };
    let log_martingale = |p: f64| mixture - term(k, ln(p)) - term(n - k, ln_1p(-p));
    let refused = |p: f64| log_martingale(p) >= -ln(alpha);
    let share = k / n;
    Interval {
        lower: if k == 0.0 { 0.0 } else { outermost(share, 0.0, refused) },
        upper: if k >= n { 1.0 } else { outermost(share, 1.0, refused) },
    }
}

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
    use crate::testing::{Draws, close};

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

    #[test]
    fn the_sequence_holds_at_all_times_at_once() {
        for p in [0.02, 0.3] {
            let (mut missed, runs) = (0, 300);
            for seed in 0..runs {
                let mut draws = Draws::new(seed);
                let mut k = 0;
                missed += u64::from((1..1_500_u64).any(|n| {
                    k += draws.binomial(1, p);
                    // Looking at a third of the times keeps the test short; a look left out can only help.
                    n % 3 == 0 && {
                        let limits = rate_sequence(float(k), float(n), 0.1);
                        !(limits.lower..=limits.upper).contains(&p)
                    }
                }));
            }
            assert!(missed * 10 <= runs, "{missed} of {runs} missed {p}");
        }
    }

    #[test]
    fn sequences_of_known_counts() {
        let all = rate_sequence(0.0, 0.0, 0.05);
        assert!(close(Some(all.upper - all.lower), Some(1.0)));
        let (none, every) = (rate_sequence(0.0, 50.0, 0.05), rate_sequence(50.0, 50.0, 0.05));
        assert!(close(Some(none.lower), Some(0.0)) && close(Some(every.upper), Some(1.0)));
        assert!(close(Some(none.upper), Some(1.0 - every.lower)), "mirrored");
        let (fixed, always) = (clopper_pearson(100, 1_000, 0.05), rate_sequence(100.0, 1_000.0, 0.05));
        let ratio = (always.upper - always.lower) / (fixed.upper - fixed.lower);
        assert!((1.2..2.0).contains(&ratio), "{ratio} times as wide");
    }
}
