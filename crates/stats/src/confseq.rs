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
