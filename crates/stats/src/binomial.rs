//! Evidence from counts: logarithms of e-values of k events in n records against a null rate.
//!
//! All are natural logarithms, finite for every count and every null in 0..=1, and divided by the design
//! effect `d ≥ 1`: an e-value to the power 1/d is still one for independent records (Jensen), and for
//! correlated records it is a quasi-likelihood, as right as d is.

use serde::{Deserialize, Serialize};

use crate::math::{exp_m1, ln_1p};

/// Steps of the log odds on which bets on a drifting share are placed.
pub const DRIFT_DELTAS: [f64; 6] = [0.15, 0.3, 0.6, 1.2, 2.4, 4.8];
/// Steps for the error rate of labelled predictions.
pub const ACCURACY_DELTAS: [f64; 5] = [0.1, 0.2, 0.4, 0.8, 1.6];
/// Steps for failed requests: rare before, frequent after.
pub const ERROR_DELTAS: [f64; 4] = [0.7, 1.4, 2.8, 5.6];

/// Largest step of the log odds a bet may take: beyond it no count tells two bets apart.
pub const DELTA_MAX: f64 = 20.0;

/// The direction a test looks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The rate has risen above the null.
    Up,
    /// The rate has fallen below the null.
    Down,
}

impl Side {
    /// +1 or −1.
    #[must_use]
    pub fn sign(self) -> f64 {
        match self {
            Self::Up => 1.0,
            Self::Down => -1.0,
        }
    }
}

/// Logarithm of the likelihood ratio of `k` events in `n` records: odds times `e^delta` against rate `m0`.
///
/// With `delta > 0` an e-value for every sequence whose conditional rate is at most `m0` (with
/// `delta < 0`: at least), whether or not the rate moves below it: `E[e^(δX)] ≤ 1 + m0·(e^δ − 1)`.
/// Written as `(k·δ − n·ln(1 + m0·(e^δ − 1))) / d`, which needs no division by a rate and stays finite for
/// k = 0, k = n and m0 of 0 or 1. Counts may be fractions (an effective sample).
///
/// # Panics
/// If a count is negative, `k > n`, `d < 1`, `|delta|` exceeds [`DELTA_MAX`], or anything is not a number.
#[must_use]
pub fn log_ratio(k: f64, n: f64, m0: f64, delta: f64, d: f64) -> f64 {
    assert!(0.0 <= k && k <= n && n.is_finite(), "k of n records");
    assert!(d >= 1.0 && delta.abs() <= DELTA_MAX, "a design effect and a bounded bet");
    (k * delta - n * ln_1p(unit(m0) * exp_m1(delta))) / d
}

/// The same for each step of `deltas` (all positive), appended to `out`: upward bets or downward ones.
///
/// # Panics
/// As [`log_ratio`].
pub fn log_ratios(k: f64, n: f64, m0: f64, side: Side, deltas: &[f64], d: f64, out: &mut Vec<f64>) {
    out.extend(deltas.iter().map(|delta| log_ratio(k, n, m0, side.sign() * delta, d)));
}

/// The same for records of several strata, (n, m0) each: `k` events in all of them together.
///
/// `(k·δ − Σ nᵢ·ln(1 + mᵢ(e^δ − 1))) / d`: the product of the strata's own e-values for one shift of the log odds, so an
/// e-value itself; by concavity never below that of the strata's mean rate.
///
/// # Panics
/// As [`log_ratio`].
pub fn log_ratios_of_strata(
    k: f64,
    strata: &[(f64, f64)],
    side: Side,
    deltas: &[f64],
    d: f64,
    out: &mut Vec<f64>,
) {
    let n: f64 = strata.iter().map(|(n, _)| n).sum();
    assert!(0.0 <= k && k <= n && n.is_finite() && d >= 1.0, "k of n records and a design effect");
    out.extend(deltas.iter().map(|delta| {
        assert!(delta.abs() <= DELTA_MAX, "a bounded bet");
        let delta = side.sign() * delta;
        let due: f64 = strata.iter().map(|(n, m0)| n * ln_1p(unit(*m0) * exp_m1(delta))).sum();
        (k * delta - due) / d
    }));
}

/// Logarithm of the e-value of `k` events where at most `expected` (with `delta < 0`: at least) were due.
///
/// `(k·δ − expected·(e^δ − 1)) / d`: exact for Poisson counts, and for any sum of rare independent events;
/// bursts are the design effect's (variance over mean). For traffic: calls in a pane, a stopped stream.
///
/// # Panics
/// If a count is negative or not finite, `d < 1`, or `|delta|` exceeds [`DELTA_MAX`].
#[must_use]
pub fn log_ratio_count(k: f64, expected: f64, delta: f64, d: f64) -> f64 {
    assert!(k >= 0.0 && k.is_finite() && expected >= 0.0 && expected.is_finite(), "counts");
    assert!(d >= 1.0 && delta.abs() <= DELTA_MAX, "a design effect and a bounded bet");
    (k * delta - expected * exp_m1(delta)) / d
}

/// The null rate learned from `k0` events in `n0` clean records, leaning away from the alarm.
///
/// Half an effective record is added against the side that is tested, so that the first occurrence of
/// something new is no alarm: `(k0/d + ½)/(n0/d + ½)` upward, `(k0/d)/(n0/d + ½)` downward.
///
/// An estimate, not a bound, so no theorem holds the spending. Measured on independent records: while it goes on
/// learning from each clean pane, half of what is granted is spent, from a reference of 300 records as from
/// 4,000. Frozen it overspends: 5.6 times at 300, just over at 4,000 (over 20,000 records at a grant of 1e-3).
///
/// # Panics
/// If `k0 > n0`, a count is negative or `d < 1`.
#[must_use]
pub fn learned_rate(k0: f64, n0: f64, d: f64, side: Side) -> f64 {
    assert!(0.0 <= k0 && k0 <= n0 && n0.is_finite() && d >= 1.0, "k of n records and a design effect");
    let (k, n) = (k0 / d, n0 / d + 0.5);
    match side {
        Side::Up => (k + 0.5) / n,
        Side::Down => k / n,
    }
}

fn unit(rate: f64) -> f64 {
    assert!((0.0..=1.0).contains(&rate), "a rate is within 0..=1");
    rate
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::math::ln;
    use crate::testing::close;

    const NULLS: [f64; 9] = [0.0, 1e-6, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999, 1.0];

    /// Mean of `exp(log)` over k events in n independent records at rate p, by adding all of them up.
    fn mean(n: u32, p: f64, log: impl Fn(f64) -> f64) -> f64 {
        let n_float = f64::from(n);
        let mut choices = 1.0;
        (0..=n)
            .map(|k| {
                let k_float = f64::from(k);
                let chance = choices * p.powf(k_float) * (1.0 - p).powf(n_float - k_float);
                choices *= (n_float - k_float) / (k_float + 1.0);
                if chance == 0.0 { 0.0 } else { chance * log(k_float).exp() }
            })
            .sum()
    }

    #[test]
    fn no_bet_wins_on_average_without_a_change() {
        let bets: Vec<f64> =
            DRIFT_DELTAS.iter().chain(&ACCURACY_DELTAS).chain(&ERROR_DELTAS).copied().collect();
        for (m0, n, d) in NULLS.iter().flat_map(|&m0| {
            [1, 2, 7, 30, 60].into_iter().flat_map(move |n| [1.0, 1.7, 9.0].map(move |d| (m0, n, d)))
        }) {
            let total = f64::from(n);
            for &delta in &bets {
                // At the null and on the harmless side of it, where the mean must not be larger.
                for (delta, p) in
                    [(delta, m0), (delta, m0 / 2.0), (-delta, m0), (-delta, f64::midpoint(m0, 1.0))]
                {
                    let got = mean(n, p, |k| log_ratio(k, total, m0, delta, d));
                    assert!(got <= 1.0 + 1e-9, "m0 {m0} n {n} d {d} delta {delta} p {p}: {got}");
                    let exact = d < 1.5 && (p - m0).abs() < 1e-15;
                    assert!(!exact || got >= 1.0 - 1e-9, "m0 {m0} n {n} delta {delta}: loses {got}");
                }
            }
        }
    }

    #[test]
    fn bets_on_strata_do_not_win_and_say_more_than_their_mean() {
        let (a, b) = ((10_u32, 0.05), (20_u32, 0.4));
        let strata = [(10.0, a.1), (20.0, b.1)];
        let log = |k: f64, f: &dyn Fn(&mut Vec<f64>)| {
            let mut out = vec![];
            f(&mut out);
            assert!(k >= 0.0 && out.len() == 1);
            out[0]
        };
        // The strata's own rates, and rates on the harmless side of them.
        for (pa, pb) in [(a.1, b.1), (0.01, 0.4), (0.05, 0.1)] {
            for delta in [0.1, 0.4, 1.6] {
                let odds = mean(a.0, pa, |ka| {
                    let with = |kb: f64| {
                        let k = ka + kb;
                        log(k, &|out| log_ratios_of_strata(k, &strata, Side::Up, &[delta], 1.0, out))
                    };
                    ln(mean(b.0, pb, with))
                });
                assert!(odds <= 1.0 + 1e-9, "{pa} {pb} {delta}: {odds}");
            }
        }
        let mut of_strata = vec![];
        log_ratios_of_strata(14.0, &strata, Side::Up, &[0.4], 1.0, &mut of_strata);
        let of_mean = log_ratio(14.0, 30.0, (10.0 * a.1 + 20.0 * b.1) / 30.0, 0.4, 1.0);
        assert!(of_strata[0] > of_mean, "{} {of_mean}", of_strata[0]);
    }

    #[test]
    fn count_bets_do_not_win_on_poisson_counts() {
        for (expected, delta, d) in [0.0_f64, 0.2, 3.0, 20.0].into_iter().flat_map(|mean| {
            [0.2, 0.7, 1.4].into_iter().flat_map(move |delta| [1.0, 2.5].map(move |d| (mean, delta, d)))
        }) {
            for (delta, mean) in
                [(delta, expected), (delta, expected * 0.5), (-delta, expected), (-delta, expected * 1.5)]
            {
                let mut chance = f64::exp(-mean);
                let got: f64 = (0..400)
                    .map(|k| {
                        let term = chance * log_ratio_count(f64::from(k), expected, delta, d).exp();
                        chance *= mean / f64::from(k + 1);
                        term
                    })
                    .sum();
                assert!(got <= 1.0 + 1e-9, "expected {expected} delta {delta} d {d} mean {mean}: {got}");
            }
        }
    }

    #[test]
    fn ratios_of_known_counts() {
        let by_hand =
            |k: f64, n: f64, m0: f64, p1: f64| k * (p1 / m0).ln() + (n - k) * ((1.0 - p1) / (1.0 - m0)).ln();
        for (k, n, m0, delta) in
            [(3.0, 10.0, 0.1, 0.6), (0.0, 50.0, 0.2, 1.2), (50.0, 50.0, 0.2, 2.4), (2.0, 9.0, 0.5, -0.8)]
        {
            // The rate whose odds are e^delta times those of m0.
            let odds = m0 / (1.0 - m0) * f64::exp(delta);
            let want = by_hand(k, n, m0, odds / (1.0 + odds));
            assert!(close(Some(log_ratio(k, n, m0, delta, 1.0)), Some(want)), "{k} of {n} at {m0}");
            assert!(close(Some(log_ratio(k, n, m0, delta, 4.0)), Some(want / 4.0)), "tempered");
        }
        assert!(close(Some(learned_rate(0.0, 100.0, 1.0, Side::Up)), Some(0.5 / 100.5)));
        assert!(close(Some(learned_rate(40.0, 100.0, 4.0, Side::Down)), Some(10.0 / 25.5)));
        assert!(
            close(Some(learned_rate(0.0, 0.0, 3.0, Side::Up)), Some(1.0)),
            "nothing learned: nothing is high"
        );
        assert!(close(Some(learned_rate(0.0, 0.0, 3.0, Side::Down)), Some(0.0)), "nor low");
    }

    proptest! {
        #[test]
        fn every_count_has_a_finite_ratio(n in 0..10_000_000_u32, part in 0.0..=1.0, m0 in 0.0..=1.0, delta in -20.0..20.0) {
            let (n, part, m0): (f64, f64, f64) = (f64::from(n), part, m0);
            let k = (n * part).floor();
            for m0 in [m0, 0.0, 1.0] {
                prop_assert!(log_ratio(k, n, m0, delta, 1.3).is_finite());
            }
        }

        #[test]
        fn a_pane_may_be_cut_anywhere(k in (0..50_u32, 0..50_u32), extra in (0..50_u32, 0..50_u32), m0 in 0.01..0.99) {
            let of = |k: u32, extra: u32| log_ratio(f64::from(k), f64::from(k + extra), m0, 0.6, 2.0);
            let whole = of(k.0 + k.1, extra.0 + extra.1);
            prop_assert!(close(Some(of(k.0, extra.0) + of(k.1, extra.1)), Some(whole)));
        }
    }
}
