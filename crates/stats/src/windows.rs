//! Evidence by windows of many ages, for streams whose level moves: latency.

use serde::{Deserialize, Serialize};

use crate::binomial::{Side, log_ratios};
use crate::math::float;
use crate::spending::ratios_in_place;

/// Starts kept: enough for ages up to 4,000 panes at the spacing of `thin`.
pub const STARTS_MAX: usize = 40;

/// What a window's counts are compared with: the rate as it stood before the window began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The null rate (for latency: the share of slow requests if all had been 5 % slower).
    pub rate: f64,
    /// Independent records the rate is worth: n0 divided by the baseline's own design effect.
    pub worth: f64,
}

/// One possible start of a change: what was counted since.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Start {
    /// Panes since, the current one included.
    age: u32,
    k: u64,
    n: u64,
    baseline: Baseline,
    /// Grants of the panes this start stands for.
    grant: f64,
}

/// The fixed part of a test by windows.
#[derive(Clone, Copy, Debug)]
pub struct WindowRule<'a> {
    /// Direction.
    pub side: Side,
    /// Steps of the log odds of the bets, all positive, averaged.
    pub deltas: &'a [f64],
    /// The oldest window, in panes (75 minutes of panes for latency).
    pub age_max: u32,
}

/// A window that stands out, with what is needed to describe it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Its length in panes.
    pub age: u32,
    /// Events.
    pub k: u64,
    /// Records.
    pub n: u64,
    /// What it was compared with.
    pub baseline: Baseline,
    /// The mean of its ratios: an e-value for this window alone.
    pub ratio: f64,
}

/// Snapshots of counts at starts of rising age, each compared with its own past.
///
/// The alarm value is `Σ grant·Λ` over the starts, Λ the mean of the binomial ratios at an effective sample
/// `n_eff = 1/(d(age)/n + 1/worth)`: the uncertainty of a baseline of few records counts as part of the
/// window's. A start that is thinned out leaves its grant to the next older one.
///
/// Guarantee: at any fixed pane the mean of the value without a change is at most the sum of the grants of the
/// last `age_max` panes, as far as d is right. Unlike [`crate::Spending`] it is no supermartingale (n_eff changes with
/// age), so over time the rate holds by calibration, not by theorem. It found latency changes better than the
/// recursion on real traffic because the baseline stands still for each window while it moves with the day.
///
/// State: at most [`STARTS_MAX`] starts of some 30 bytes, about 18 for 450 panes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgeWindows {
    /// Invariant: ages rise strictly; at most [`STARTS_MAX`].
    starts: Vec<Start>,
}

impl AgeWindows {
    /// Folds one pane: its counts, and the baseline and grant fixed before it was seen.
    ///
    /// # Panics
    /// If `k > n`, the baseline's rate is not within 0..=1, or the grant is negative or not finite.
    pub fn push(&mut self, k: u64, n: u64, baseline: Baseline, grant: f64, age_max: u32) {
        assert!(k <= n && (0.0..=1.0).contains(&baseline.rate), "rates and counts");
        assert!(grant >= 0.0 && grant.is_finite(), "a grant is a finite share of the budget");
        self.starts.insert(0, Start { age: 0, k: 0, n: 0, baseline, grant });
        for start in &mut self.starts {
            start.age = start.age.saturating_add(1);
            start.k = start.k.saturating_add(k);
            start.n = start.n.saturating_add(n);
        }
        self.starts.retain(|start| start.age <= age_max);
        self.thin();
    }

    /// The alarm value and the window with the largest ratio. An alarm is due at 1 or more.
    ///
    /// `spread` gives the design effect of a window of so many panes, at least 1.
    ///
    /// # Panics
    /// If `spread` answers less than 1, or as [`crate::binomial::log_ratio`].
    #[must_use]
    pub fn value(&self, rule: WindowRule<'_>, spread: impl Fn(u32) -> f64) -> (f64, Option<Window>) {
        let mut sum = 0.0;
        let mut best: Option<Window> = None;
        let mut ratios = Vec::with_capacity(rule.deltas.len());
        for start in self.starts.iter().filter(|start| start.age <= rule.age_max) {
            let ratio = start.ratio(rule, spread(start.age), &mut ratios);
            sum += start.grant * ratio;
            if best.is_none_or(|best| best.ratio < ratio) {
                let Start { age, k, n, baseline, grant: _ } = *start;
                best = Some(Window { age, k, n, baseline, ratio });
            }
        }
        (sum, best)
    }

    /// Forgets everything, when an incident opens.
    pub fn reset(&mut self) {
        self.starts.clear();
    }

    /// Drops starts so that neighbours are at most half an age apart, and no closer than needed.
    ///
    /// Depends on ages alone, so what is dropped is known before any record is seen.
    fn thin(&mut self) {
        let mut at = 1;
        while at + 1 < self.starts.len() {
            let (younger, older) = (self.starts[at - 1].age, self.starts[at + 1].age);
            if older.saturating_sub(younger) <= (younger / 2).max(1) {
                let dropped = self.starts.remove(at);
                self.starts[at].grant += dropped.grant;
            } else {
                at += 1;
            }
        }
        self.starts.truncate(STARTS_MAX);
    }
}

impl Start {
    fn ratio(&self, rule: WindowRule<'_>, d: f64, ratios: &mut Vec<f64>) -> f64 {
        assert!(d >= 1.0, "a design effect");
        if self.n == 0 || rule.deltas.is_empty() || self.baseline.worth <= 0.0 {
            return 1.0;
        }
        let effective = 1.0 / (d / float(self.n) + 1.0 / self.baseline.worth);
        let share = float(self.k) / float(self.n);
        ratios.clear();
        let k = (share * effective).min(effective);
        log_ratios(k, effective, self.baseline.rate, rule.side, rule.deltas, 1.0, ratios);
        ratios_in_place(ratios);
        ratios.iter().sum::<f64>() / float(ratios.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spending;
    use crate::binomial::{DRIFT_DELTAS, log_ratio};
    use crate::testing::{Draws, bytes, close};

    const RULE: WindowRule<'static> = WindowRule { side: Side::Up, deltas: &DRIFT_DELTAS, age_max: 450 };
    const KNOWN: Baseline = Baseline { rate: 0.1, worth: f64::INFINITY };

    #[test]
    fn starts_are_few_and_their_ages_near_geometric() {
        let mut windows = AgeWindows::default();
        for pane in 1..2_000 {
            windows.push(1, 10, KNOWN, 1.0, RULE.age_max);
            let ages: Vec<u32> = windows.starts.iter().map(|start| start.age).collect();
            assert!(ages.len() <= 24, "{} starts after {pane} panes", ages.len());
            assert_eq!(ages[..3.min(ages.len())], [1, 2, 3][..3.min(ages.len())]);
            assert!(ages.windows(2).all(|pair| pair[1] - pair[0] <= (pair[0] / 2).max(1)), "{ages:?}");
            assert!(windows.starts.iter().all(|start| start.n == u64::from(start.age) * 10));
        }
        assert!(bytes(&windows).len() < 1_000, "{} bytes", bytes(&windows).len());
    }

    #[test]
    fn with_a_known_baseline_it_is_the_recursion() {
        // While nothing is thinned out, Σ over starts of grant·Λ is the Shiryaev–Roberts sum.
        let (mut windows, mut recursion) = (AgeWindows::default(), Spending::new(6));
        for k in [3, 0, 5, 2] {
            windows.push(k, 10, KNOWN, 1e-3, RULE.age_max);
            let mut ratios: Vec<f64> =
                DRIFT_DELTAS.iter().map(|&delta| log_ratio(float(k), 10.0, 0.1, delta, 1.0)).collect();
            ratios_in_place(&mut ratios);
            let want = recursion.update(&ratios, &[1.0 / 6.0; 6], 1e-3);
            let (got, _) = windows.value(RULE, |_| 1.0);
            assert!((got / want - 1.0).abs() < 1e-5, "got {got}, want {want}");
        }
    }

    #[test]
    fn the_value_stays_within_the_grants_at_any_pane() {
        // The baseline is what was learned before: 300 records, whose uncertainty the windows must carry.
        let (panes, grant) = (120_u32, 1e-3);
        let (mut sum, runs) = (0.0, 600);
        for seed in 0..600 {
            let mut draws = Draws::new(seed);
            let learned = (float(draws.binomial(300, 0.1)) + 0.5) / 300.5;
            let mut windows = AgeWindows::default();
            for _ in 0..panes {
                windows.push(
                    draws.binomial(10, 0.1),
                    10,
                    Baseline { rate: learned, worth: 300.0 },
                    grant,
                    450,
                );
            }
            sum += windows.value(RULE, |_| 1.0).0;
        }
        let (mean, granted) = (sum / f64::from(runs), grant * f64::from(panes));
        println!("mean value {mean:.4} of {granted} granted");
        assert!(mean <= granted * 1.1, "{mean} of {granted}");
    }

    #[test]
    fn a_change_is_found_and_named() {
        let mut draws = Draws::new(4);
        let mut windows = AgeWindows::default();
        let baseline = Baseline { rate: 0.1, worth: 5_000.0 };
        for _ in 0..200 {
            windows.push(draws.binomial(10, 0.1), 10, baseline, 1e-6, 450);
        }
        assert!(windows.value(RULE, |_| 1.0).0 < 1.0);
        let alarm = (1..100).find(|_| {
            windows.push(draws.binomial(10, 0.4), 10, baseline, 1e-6, 450);
            windows.value(RULE, |_| 1.0).0 >= 1.0
        });
        let panes = alarm.expect("a rate four times as high is found");
        let (_, best) = windows.value(RULE, |_| 1.0);
        let best = best.expect("there are windows");
        assert!(panes <= 15 && best.age.abs_diff(panes) <= 4, "after {panes} panes, window of {}", best.age);
        assert!(best.k * 4 > best.n, "{} of {}", best.k, best.n);
        windows.reset();
        assert!(close(Some(windows.value(RULE, |_| 1.0).0), Some(0.0)));
    }

    #[test]
    fn thin_panes_and_young_baselines_are_no_evidence() {
        let mut windows = AgeWindows::default();
        windows.push(0, 0, KNOWN, 0.25, 450);
        windows.push(5, 5, Baseline { rate: 0.0, worth: 0.0 }, 0.25, 450);
        // Five of five against a known 10 % is evidence for the window of both panes alone.
        let (value, best) = windows.value(RULE, |_| 1.0);
        assert!(value.is_finite() && best.is_some_and(|best| best.age == 2));
    }
}
