//! How heavy the tail of a stream's evidence is, by replaying the test over the reference itself.
//!
//! Where the design effect is all that records have in common, evidence that has risen above a high level rises on by one nat
//! on average before it falls back to 0, however it came there. Bursts, whose lengths have a tail of their own, make it rise
//! further. That is read from the highest excursions of the reference, as a peaks-over-threshold estimate with an exponential tail.

use crate::binomial::Side;
use crate::design_effect::Residual;
use crate::math::{exp_m1, float_len};

/// Panes over which evidence is replayed, most: two weeks of ten minutes.
const PANES_MAX: usize = 2_016;
/// Excursions that a tail is read from: at least, and at most.
const PEAKS: [usize; 3] = [6, 12, 24];
/// Of all excursions, the part whose peaks are the tail.
const PART: usize = 4;
/// Standard errors below its estimate at which a tail is taken: independent records are hardly ever widened.
const BELOW: f64 = 1.3;
/// Bets beyond this are not replayed: a handful of events is no sample of a tail.
const DELTA_MAX: f64 = 1.7;

/// How many times as far as it should the evidence of a test rises over its reference: what its log ratios must be divided by,
/// beside `d`. At least 1.
///
/// For each bet δ the CUSUM of `(±δ·r − v·(e^δ − 1 − δ)) / d` over `panes` (r deviation, v variance: no count of that variance
/// has more of a tail than Poisson's), the peaks of its excursions, and the mean excess of the highest over the next one, less
/// 1.3 standard errors; the largest of all bets. 1 where there are fewer than six excursions to read it from.
///
/// Error: by chance beyond 1.05 in about 5 of 100 references of independent records. What has come fewer than six times in the
/// reference is not seen. Cost: panes × bets × 3 ns; what is longer than 2,016 panes is read in wider ones. Source: exponential tails of a random walk's excursions (Feller II, XII.5);
/// peaks over threshold (Pickands 1975).
#[must_use]
pub fn tail(panes: &[Residual], d: f64, deltas: &[f64], side: Side) -> f64 {
    let wider: Vec<Residual> = panes
        .chunks(panes.len().div_ceil(PANES_MAX).max(1))
        .map(|of_one| of_one.iter().copied().fold(Residual::default(), Residual::plus))
        .collect();
    deltas
        .iter()
        .filter(|delta| **delta <= DELTA_MAX)
        .map(|delta| {
            let mut peaks = peaks(&wider, d, side.sign() * delta);
            excess(&mut peaks)
        })
        .fold(1.0, f64::max)
}

fn peaks(panes: &[Residual], d: f64, delta: f64) -> Vec<f64> {
    let due = exp_m1(delta.abs()) - delta.abs();
    let (mut score, mut peak, mut out) = (0.0_f64, 0.0_f64, vec![]);
    for pane in panes {
        let ratio = delta * pane.deviation - pane.variance * due;
        score += ratio / d;
        if score > 0.0 {
            peak = peak.max(score);
        } else {
            score = 0.0;
            if peak > 0.0 {
                out.push(std::mem::take(&mut peak));
            }
        }
    }
    if peak > 0.0 {
        out.push(peak);
    }
    out
}

fn excess(peaks: &mut [f64]) -> f64 {
    peaks.sort_unstable_by(|a, b| b.total_cmp(a));
    let most = peaks.len() / PART;
    PEAKS
        .into_iter()
        .filter(|kept| *kept <= most)
        .map(|kept| {
            let mean = peaks[..kept].iter().sum::<f64>() / float_len(kept) - peaks[kept];
            let error = BELOW / float_len(kept).sqrt();
            // Where it is surely heavier, it is taken for as heavy as it may be: few bursts say little of the longest.
            let surely = ((mean * (1.0 - error) - 1.0) / 0.25).clamp(0.0, 1.0);
            1.0 + surely * (mean * (1.0 + error) - 1.0)
        })
        .fold(1.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design_effect::{design_effect, residuals};
    use crate::testing::Draws;

    const DELTAS: [f64; 5] = [0.1, 0.2, 0.4, 0.8, 1.6];
    const RECORDS: u64 = 60;

    /// Two weeks of panes of ten minutes, at odds that a state makes `extra` times as high.
    fn weeks(seed: u64, odds: f64, mut extra: impl FnMut(&mut Draws) -> f64) -> Vec<Residual> {
        let mut draws = Draws::new(seed);
        let panes: Vec<(u64, u64)> = (0..2_016)
            .map(|_| {
                let odds = odds * extra(&mut draws);
                (draws.binomial(RECORDS, odds / (1.0 + odds)), RECORDS)
            })
            .collect();
        residuals(&panes)
    }

    fn of(panes: &[Residual], side: Side) -> f64 {
        let d = design_effect(panes, 144).expect("two weeks hold a day four times").max(1.0);
        tail(panes, d, &DELTAS, side)
    }

    #[test]
    fn independent_records_are_hardly_ever_widened() {
        for (odds, side) in [(1.0 / 9.0, Side::Up), (0.01, Side::Up), (0.5, Side::Down)] {
            let widened = (0..100).filter(|seed| of(&weeks(*seed, odds, |_| 1.0), side) > 1.05).count();
            println!("{odds}: {widened} of 100");
            assert!(widened <= 10, "{odds}: {widened} of 100");
        }
    }

    #[test]
    fn an_autoregression_has_the_tail_that_its_spread_says() {
        let far = (0..40)
            .filter(|seed| {
                let mut state = 0.0_f64;
                let panes = weeks(*seed, 1.0 / 9.0, |draws| {
                    state = 0.8 * state + 0.18 * draws.normal();
                    state.exp()
                });
                of(&panes, Side::Up) > 1.3
            })
            .count();
        assert!(far <= 4, "{far} of 40");
    }

    #[test]
    fn bursts_are_widened() {
        let mut factors: Vec<f64> = (0..40)
            .map(|seed| {
                let mut burst = false;
                let panes = weeks(seed, 1.0 / 9.0, |draws| {
                    burst = draws.chance(1.0 / 144.0) || (burst && !draws.chance(1.0 / 6.0));
                    if burst { 2.0 } else { 1.0 }
                });
                of(&panes, Side::Up)
            })
            .collect();
        factors.sort_by(f64::total_cmp);
        println!("{:?}", [factors[4], factors[20], factors[36]]);
        assert!(factors[4] > 1.2 && factors[20] > 1.5, "{factors:?}");
    }

    #[test]
    fn what_never_rises_has_no_tail() {
        for panes in [vec![], vec![Residual::default(); 100], residuals(&[(10, 100); 500])] {
            assert_eq!(tail(&panes, 1.0, &DELTAS, Side::Up).to_bits(), 1.0_f64.to_bits());
        }
    }
}
