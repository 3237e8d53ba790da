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
    /// What healthy records of late were of what is usual at their time of day; 1 where nothing else is known.
    pub level: f64,
    /// Independent records the level is worth.
    pub worth: f64,
}

/// One pane of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaneOf {
    /// Events.
    pub k: u64,
    /// Records.
    pub n: u64,
    /// Events that are usual among so many at this time of day (for latency: if all were 5 % slower).
    pub expected: f64,
    /// Length in milliseconds of event time.
    pub span_ms: i64,
}

/// One possible start of a change: what was counted since.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Start {
    /// Panes since, the current one included.
    panes: u32,
    /// Event time since, in milliseconds.
    span_ms: i64,
    k: u64,
    n: u64,
    expected: f64,
    baseline: Baseline,
    /// Grants of the panes this start stands for: page, ticket.
    grants: [f64; 2],
}

/// The fixed part of a test by windows.
#[derive(Clone, Copy, Debug)]
pub struct WindowRule<'a> {
    /// Direction.
    pub side: Side,
    /// Steps of the log odds of the bets, all positive, averaged.
    pub deltas: &'a [f64],
}

/// A window that stands out, with what is needed to describe it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Its length in panes, and in milliseconds of event time.
    pub panes: u32,
    pub span_ms: i64,
    /// Events.
    pub k: u64,
    /// Records.
    pub n: u64,
    /// The rate that it was compared with.
    pub rate: f64,
    /// What it was compared with.
    pub baseline: Baseline,
    /// The mean of its ratios: an e-value for this window alone.
    pub ratio: f64,
}

/// Snapshots of counts at starts of rising age, each compared with its own past.
///
/// The alarm value is `Σ grant·Λ` over the starts, Λ the mean of the binomial ratios at an effective sample
/// `n_eff = 1/(d(span)/n + 1/worth)`: the uncertainty of a baseline of few records counts as part of the
/// window's. A start that is thinned out leaves its grants to the next older one.
///
/// Guarantee: at any fixed pane the mean of the value without a change is at most the sum of the grants of the
/// last `span_max_ms`, as far as d is right. Unlike [`crate::Spending`] it is no supermartingale (n_eff changes with
/// age), so over time the rate holds by calibration, not by theorem. It found latency changes better than the
/// recursion on real traffic because the baseline stands still for each window while it moves with the day.
///
/// State: at most [`STARTS_MAX`] starts of some 60 bytes, about 18 for 450 panes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgeWindows {
    /// Invariant: ages rise strictly; at most [`STARTS_MAX`].
    starts: Vec<Start>,
}

impl AgeWindows {
    /// Folds one pane: its counts, and the baseline and grants fixed before it was seen.
    ///
    /// # Panics
    /// If `k > n`, the baseline is negative, or a grant is negative or not finite.
    pub fn push(&mut self, pane: PaneOf, baseline: Baseline, grants: [f64; 2], span_max_ms: i64) {
        assert!(pane.k <= pane.n && baseline.level >= 0.0 && baseline.worth >= 0.0, "counts and levels");
        assert!(grants.iter().all(|g| *g >= 0.0 && g.is_finite()), "a grant is a finite share of the budget");
        let fresh = Start { panes: 0, span_ms: 0, k: 0, n: 0, expected: 0.0, baseline, grants };
        self.starts.insert(0, fresh);
        for start in &mut self.starts {
            start.panes = start.panes.saturating_add(1);
            start.span_ms = start.span_ms.saturating_add(pane.span_ms);
            start.k = start.k.saturating_add(pane.k);
            start.n = start.n.saturating_add(pane.n);
            start.expected += pane.expected;
        }
        self.starts.retain(|start| start.panes == 1 || start.span_ms <= span_max_ms);
        self.thin();
    }

    /// The alarm values (page, ticket) and the window with the largest ratio. An alarm is due at 1 or more.
    ///
    /// `spread` gives the design effect of a window of so many milliseconds, at least 1.
    ///
    /// # Panics
    /// If `spread` answers less than 1, or as [`crate::binomial::log_ratio`].
    #[must_use]
    pub fn value(&self, rule: WindowRule<'_>, spread: impl Fn(i64) -> f64) -> ([f64; 2], Option<Window>) {
        let mut sums = [0.0; 2];
        let mut best: Option<Window> = None;
        let mut ratios = Vec::with_capacity(rule.deltas.len());
        for start in &self.starts {
            let ratio = start.ratio(rule, start.rate(), spread(start.span_ms), &mut ratios);
            sums = [sums[0] + start.grants[0] * ratio, sums[1] + start.grants[1] * ratio];
            if best.is_none_or(|best| best.ratio < ratio) {
                let Start { panes, span_ms, k, n, baseline, .. } = *start;
                best = Some(Window { panes, span_ms, k, n, rate: start.rate(), baseline, ratio });
            }
        }
        (sums, best)
    }

    /// The alarm value of pages had the rate been off by `effect` (a share, in the rule's direction) all along: at 1 or more
    /// the change is larger than that, at the same stated rate of error as the alarm itself.
    ///
    /// # Panics
    /// As [`AgeWindows::value`].
    #[must_use]
    pub fn page_value_above(&self, rule: WindowRule<'_>, effect: f64, spread: impl Fn(i64) -> f64) -> f64 {
        let mut ratios = Vec::with_capacity(rule.deltas.len());
        let granted = self.starts.iter().filter(|start| start.grants[0] > 0.0);
        granted
            .map(|start| {
                let rate = (start.rate() + rule.side.sign() * effect).clamp(0.0, 1.0);
                start.grants[0] * start.ratio(rule, rate, spread(start.span_ms), &mut ratios)
            })
            .sum()
    }

    /// Takes back what was granted for pages (0) or for tickets (1), when an alarm has spent it.
    ///
    /// # Panics
    /// If `kind` is neither.
    pub fn spend(&mut self, kind: usize) {
        self.starts.iter_mut().for_each(|start| start.grants[kind] = 0.0);
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
            let (younger, older) = (self.starts[at - 1].panes, self.starts[at + 1].panes);
            if older.saturating_sub(younger) <= (younger / 2).max(1) {
                let dropped = self.starts.remove(at);
                let into = &mut self.starts[at].grants;
                *into = [into[0] + dropped.grants[0], into[1] + dropped.grants[1]];
            } else {
                at += 1;
            }
        }
        self.starts.truncate(STARTS_MAX);
    }
}

impl Start {
    /// The null's rate over the window: half an event more than the baseline shows.
    fn rate(&self) -> f64 {
        if self.n == 0 {
            return 0.0;
        }
        let rate = (self.baseline.level * self.expected / float(self.n)).clamp(0.0, 1.0);
        if self.baseline.worth.is_infinite() {
            return rate;
        }
        (rate * self.baseline.worth + 0.5) / (self.baseline.worth + 0.5)
    }

    /// Against a null rate.
    fn ratio(&self, rule: WindowRule<'_>, rate: f64, d: f64, ratios: &mut Vec<f64>) -> f64 {
        assert!(d >= 1.0, "a design effect");
        if self.n == 0 || rule.deltas.is_empty() || self.baseline.worth <= 0.0 {
            return 1.0;
        }
        let effective = 1.0 / (d / float(self.n) + 1.0 / self.baseline.worth);
        let share = float(self.k) / float(self.n);
        ratios.clear();
        let k = (share * effective).min(effective);
        log_ratios(k, effective, rate, rule.side, rule.deltas, 1.0, ratios);
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

    const RULE: WindowRule<'static> = WindowRule { side: Side::Up, deltas: &DRIFT_DELTAS };
    const KNOWN: Baseline = Baseline { level: 1.0, worth: f64::INFINITY };
    /// Panes of ten seconds; windows of 450 of them.
    const SPAN_MAX_MS: i64 = 4_500_000;

    /// A pane of ten records where one event is usual.
    fn pane(k: u64) -> PaneOf {
        PaneOf { k, n: 10, expected: 1.0, span_ms: 10_000 }
    }

    fn ticket(windows: &AgeWindows) -> f64 {
        windows.value(RULE, |_| 1.0).0[1]
    }

    #[test]
    fn starts_are_few_and_their_ages_near_geometric() {
        let mut windows = AgeWindows::default();
        for at in 1..2_000 {
            windows.push(pane(1), KNOWN, [1.0, 1.0], SPAN_MAX_MS);
            let ages: Vec<u32> = windows.starts.iter().map(|start| start.panes).collect();
            assert!(ages.len() <= 24, "{} starts after {at} panes", ages.len());
            assert_eq!(ages[..3.min(ages.len())], [1, 2, 3][..3.min(ages.len())]);
            assert!(ages.windows(2).all(|pair| pair[1] - pair[0] <= (pair[0] / 2).max(1)), "{ages:?}");
            assert!(windows.starts.iter().all(|start| start.n == u64::from(start.panes) * 10));
            assert!(windows.starts.iter().all(|start| start.span_ms <= SPAN_MAX_MS));
        }
        assert!(bytes(&windows).len() < 1_600, "{} bytes", bytes(&windows).len());
    }

    #[test]
    fn with_a_known_baseline_it_is_the_recursion() {
        // While nothing is thinned out, Σ over starts of grant·Λ is the Shiryaev–Roberts sum.
        let (mut windows, mut recursion) = (AgeWindows::default(), Spending::new(6));
        for k in [3, 0, 5, 2] {
            windows.push(pane(k), KNOWN, [0.0, 1e-3], SPAN_MAX_MS);
            let mut ratios: Vec<f64> =
                DRIFT_DELTAS.iter().map(|&delta| log_ratio(float(k), 10.0, 0.1, delta, 1.0)).collect();
            ratios_in_place(&mut ratios);
            let want = recursion.update(&ratios, &[1.0 / 6.0; 6], 1e-3);
            let ([page, got], _) = windows.value(RULE, |_| 1.0);
            assert!((got / want - 1.0).abs() < 1e-5, "got {got}, want {want}");
            assert!(page.abs() < 1e-12, "nothing was granted for pages");
        }
    }

    #[test]
    fn the_value_stays_within_the_grants_at_any_pane() {
        // The baseline is what was learned before: 300 records, whose uncertainty the windows must carry.
        let (panes, grant) = (120_u32, 1e-3);
        let (mut sum, runs) = (0.0, 600);
        for seed in 0..600 {
            let mut draws = Draws::new(seed);
            let level = (float(draws.binomial(300, 0.1)) + 0.5) / 300.5 / 0.1;
            let mut windows = AgeWindows::default();
            for _ in 0..panes {
                let baseline = Baseline { level, worth: 300.0 };
                windows.push(pane(draws.binomial(10, 0.1)), baseline, [grant, grant], SPAN_MAX_MS);
            }
            sum += ticket(&windows);
        }
        let (mean, granted) = (sum / f64::from(runs), grant * f64::from(panes));
        println!("mean value {mean:.4} of {granted} granted");
        assert!(mean <= granted * 1.1, "{mean} of {granted}");
    }

    #[test]
    fn a_change_is_found_and_named_and_spent() {
        let mut draws = Draws::new(4);
        let mut windows = AgeWindows::default();
        let baseline = Baseline { level: 1.0, worth: 5_000.0 };
        let grants = [1e-6, 1e-6];
        for _ in 0..200 {
            windows.push(pane(draws.binomial(10, 0.1)), baseline, grants, SPAN_MAX_MS);
        }
        assert!(ticket(&windows) < 1.0);
        let alarm = (1..100).find(|_| {
            windows.push(pane(draws.binomial(10, 0.4)), baseline, grants, SPAN_MAX_MS);
            ticket(&windows) >= 1.0
        });
        let panes = alarm.expect("a rate four times as high is found");
        let (_, best) = windows.value(RULE, |_| 1.0);
        let best = best.expect("there are windows");
        assert!(panes <= 15 && best.panes.abs_diff(panes) <= 4, "after {panes} panes, of {}", best.panes);
        assert!(best.k * 4 > best.n, "{} of {}", best.k, best.n);
        windows.spend(1);
        let ([page, spent], _) = windows.value(RULE, |_| 1.0);
        assert!(page >= 1.0 && spent.abs() < 1e-12, "a ticket spends nothing of the pages'");
        windows.reset();
        assert!(close(Some(ticket(&windows)), Some(0.0)));
    }

    #[test]
    fn what_is_usual_at_another_hour_is_no_change() {
        let mut windows = AgeWindows::default();
        for _ in 0..100 {
            let busy = PaneOf { k: 4, n: 10, expected: 4.0, span_ms: 10_000 };
            windows.push(busy, Baseline { level: 1.0, worth: 5_000.0 }, [0.01, 0.01], SPAN_MAX_MS);
        }
        let (_, best) = windows.value(RULE, |_| 1.0);
        assert!(best.is_some_and(|best| (best.rate - 0.4).abs() < 1e-3 && best.ratio < 1.5), "{best:?}");
    }

    #[test]
    fn thin_panes_and_young_baselines_are_no_evidence() {
        let mut windows = AgeWindows::default();
        let empty = PaneOf { k: 0, n: 0, expected: 0.0, span_ms: 10_000 };
        windows.push(empty, KNOWN, [0.25, 0.25], SPAN_MAX_MS);
        let full = PaneOf { k: 5, n: 5, expected: 0.5, span_ms: 10_000 };
        windows.push(full, Baseline { level: 0.0, worth: 0.0 }, [0.25, 0.25], SPAN_MAX_MS);
        // Five of five against a known 10 % is evidence for the window of both panes alone.
        let ([_, value], best) = windows.value(RULE, |_| 1.0);
        assert!(value.is_finite() && best.is_some_and(|best| best.panes == 2));
    }
}
