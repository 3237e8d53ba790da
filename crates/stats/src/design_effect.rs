//! The design effect: how many correlated records are worth one independent record.

use serde::{Deserialize, Serialize};

use crate::math::{float, float_len, ln};

/// A pane's surprise: what was counted beyond expectation, and the variance that independence predicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// `k − n·p`.
    pub deviation: f64,
    /// `n·p·(1 − p)`.
    pub variance: f64,
}

impl Residual {
    /// Of `k` events in `n` records where rate `p` was expected (the hour's own rate, where there is a cycle).
    ///
    /// # Panics
    /// If `p` is not within 0..=1.
    #[must_use]
    pub fn new(k: u64, n: u64, p: f64) -> Self {
        assert!((0.0..=1.0).contains(&p), "a rate is within 0..=1");
        Self { deviation: float(k) - float(n) * p, variance: float(n) * p * (1.0 - p) }
    }

    /// Both together: of two panes, or of two kinds of records that are told apart no more.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { deviation: self.deviation + other.deviation, variance: self.variance + other.variance }
    }
}

/// Residuals of panes (k of n) against their common rate.
#[must_use]
pub fn residuals(panes: &[(u64, u64)]) -> Vec<Residual> {
    let (k, n) = panes.iter().fold((0, 0), |(k, n), pane| (k + pane.0, n + pane.1));
    let p = if n == 0 { 0.0 } else { float(k) / float(n) };
    panes.iter().map(|&(k, n)| Residual::new(k, n, p)).collect()
}

/// d(w): the variance of counts over windows of `w` panes against what independence predicts.
///
/// `mean over sliding windows of (Σ deviation)² / Σ variance, / (1 − w/M)` for M panes; the last factor undoes
/// that the rate was fitted on the same panes. Can be below 1 (evenly spread records). Read it at a long
/// window: days differ, not only panes; at one pane it misses nearly all of a season.
///
/// `None` if `w` is 0 or more than M/4, or nothing varies.
#[must_use]
pub fn design_effect(panes: &[Residual], w: usize) -> Option<f64> {
    if w == 0 || w > panes.len() / 4 {
        return None;
    }
    let prefix = prefix_sums(panes);
    let windows = prefix.iter().zip(&prefix[w..]);
    let ratios = windows.filter_map(|(from, to)| square_ratio(*from, *to));
    let (sum, count) = ratios.fold((0.0, 0_u64), |(sum, count), ratio| (sum + ratio, count + 1));
    let fitted = 1.0 - float_len(w) / float_len(panes.len());
    (count > 0).then(|| sum / float(count) / fitted)
}

/// What a design effect is shrunk towards. Each is 1 where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shrinkage {
    /// The stream's own d(w); `None` if it has too few panes.
    pub own: Option<f64>,
    /// M/w: windows that fit the reference side by side.
    pub blocks: f64,
    /// Events in the reference: a rate near zero has no spread of its own.
    pub events: u64,
    /// Mean d(w) of its group: the tests of one feature, with the tails apart. Nulls borrow from nobody.
    pub group: f64,
    /// Mean d(w) of the model.
    pub model: f64,
    /// The stream's own shrunk d at the next shorter window.
    pub shorter: f64,
}

impl Shrinkage {
    /// The design effect to divide evidence by: at least 1, and raised by half its standard error.
    ///
    /// `(m·o·own + 4·group + ½·model + 2·shorter) / (m·o + 6.5) · (1 + ½·√(2/(1.5·m·o + 6.5)))`, with m the blocks
    /// and o = events/(events + 20). Source: measured on 44 real streams; the weights are fitted, not derived.
    ///
    /// # Panics
    /// If a number is negative or not a number.
    #[must_use]
    pub fn value(&self) -> f64 {
        assert!(
            self.blocks >= 0.0 && self.group >= 0.0 && self.model >= 0.0 && self.shorter >= 0.0,
            "spreads"
        );
        let events = float(self.events);
        let trust = self.own.map_or(0.0, |_| self.blocks * events / (events + 20.0));
        let own = self.own.unwrap_or(0.0) * trust;
        let mean = (own + 4.0 * self.group + 0.5 * self.model + 2.0 * self.shorter) / (trust + 6.5);
        (mean * (1.0 + 0.5 * (2.0 / (1.5 * trust + 6.5)).sqrt())).max(1.0)
    }
}

/// The least d at which one burst in the reference counts as normal.
///
/// `1.3 · max deviance / (2·ln(4m) + 3)` over sliding windows of `w` panes, m = M/w: the largest of m windows of
/// independent records is about `2·ln m`. Source: as [`Shrinkage`], used for latency.
///
/// `panes` are (k, n); the rate is their common one. At least 1.
#[must_use]
pub fn burst_floor(panes: &[(u64, u64)], w: usize) -> f64 {
    let (k, n) = panes.iter().fold((0, 0), |(k, n), pane| (k + pane.0, n + pane.1));
    if w == 0 || panes.len() < w || n == 0 {
        return 1.0;
    }
    let p = float(k) / float(n);
    let most = panes
        .windows(w)
        .map(|window| window.iter().fold((0, 0), |(k, n), pane| (k + pane.0, n + pane.1)))
        .map(|(k, n)| deviance(float(k), float(n), p))
        .fold(0.0, f64::max);
    let blocks = float_len(panes.len()) / float_len(w);
    (1.3 * most / (2.0 * ln(4.0 * blocks) + 3.0)).max(1.0)
}

/// Twice the log-likelihood that `k` of `n` gains by its own rate over `p`. In nats; 0 is equal.
#[must_use]
pub fn deviance(k: f64, n: f64, p: f64) -> f64 {
    let term = |count: f64, rate: f64| if count == 0.0 { 0.0 } else { count * ln(count / (n * rate)) };
    if n == 0.0 { 0.0 } else { 2.0 * (term(k, p) + term(n - k, 1.0 - p)).max(0.0) }
}

/// The spread of a stream as it goes on: windows of the length at which its reference was read, one after another.
///
/// `d = (a·reference + Σ wⱼ·rⱼ) / (a + Σ wⱼ)` with a the windows that the reference's d is worth, r = deviation² /
/// variance of a window, and w = v/(v + ½) its worth: where half an event is due, a window says little. A window waits
/// until the next one is full, so that a change cannot hide in the spread that it makes.
///
/// While something is wrong, windows are set aside; once it is over by itself they are part of what such a stream does.
/// Source: engine findings on real tables, where days unlike those of the reference come again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnedSpread {
    sum: f64,
    worth: f64,
    filling: Residual,
    waiting: Residual,
    aside: [f64; 2],
}

impl LearnedSpread {
    /// Folds a pane into the window that is being filled.
    pub fn add(&mut self, pane: Residual) {
        self.filling = self.filling.plus(pane);
    }

    /// The window is full. `healthy`: nothing was wrong in it.
    pub fn next(&mut self, healthy: bool) {
        let full = std::mem::take(&mut self.filling);
        if healthy {
            let (ratio, worth) = weighed(std::mem::replace(&mut self.waiting, full));
            self.sum += worth * ratio;
            self.worth += worth;
        } else {
            let (ratio, worth) = weighed(full);
            self.aside = [self.aside[0] + worth * ratio, self.aside[1] + worth];
        }
    }

    /// What was wrong is over: what was set aside counts from now on. The window under way is dropped.
    pub fn over(&mut self) {
        let [sum, worth] = std::mem::take(&mut self.aside);
        self.sum += sum;
        self.worth += worth;
        self.filling = Residual::default();
    }

    /// The design effect, of a reference's `d` that is worth `windows`. At least 1.
    #[must_use]
    pub fn d(&self, reference: f64, windows: f64) -> f64 {
        let windows_in_all = windows + self.worth;
        let mean = (windows * reference + self.sum) / windows_in_all;
        let chance = 2.0 * (2.0 / windows_in_all.max(1.0)).sqrt();
        (mean + (student(windows_in_all) - 1.0) * (mean - 1.0 - chance).max(0.0)).max(1.0)
    }
}

/// How much larger the square of a quantile far out is by Student's t of so many degrees than by the normal, at 4.5 standard
/// deviations: a spread seen on few windows says little of what days are possible. Cornish and Fisher's expansion.
fn student(degrees: f64) -> f64 {
    const Z2: f64 = 4.5 * 4.5;
    let first = (Z2 + 1.0) / (4.0 * degrees);
    let second = (5.0 * Z2 * Z2 + 16.0 * Z2 + 3.0) / (96.0 * degrees * degrees);
    (1.0 + first + second).powi(2)
}

/// A window's ratio and its worth.
fn weighed(window: Residual) -> (f64, f64) {
    let variance = window.variance;
    if variance <= 0.0 {
        return (0.0, 0.0);
    }
    (window.deviation * window.deviation / variance, variance / (variance + 0.5))
}

/// Levels of a [`Ladder`]: windows of 1, 2, 4, … 2^15 panes.
const LEVELS_MAX: usize = 16;

/// Design effects at doubling windows, kept as panes go by: d at 1, 2, 4, … panes.
///
/// Windows stand side by side, so it needs more panes than [`design_effect`] for the same certainty, but only
/// a few numbers. Expectations are the caller's (its baseline before the pane), so no correction for fitting
/// is needed. Shows whether the spread has flattened: d that still doubles from level to level has not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    levels: Vec<Level>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Level {
    /// The first half of a window of the next level, waiting for its second.
    waiting: Option<Residual>,
    ratios: f64,
    windows: u32,
}

impl Ladder {
    /// Folds one pane.
    pub fn push(&mut self, pane: Residual) {
        let mut window = pane;
        for level in 0..LEVELS_MAX {
            if level == self.levels.len() {
                self.levels.push(Level::default());
            }
            let here = &mut self.levels[level];
            if let Some(ratio) = square_ratio(Residual::default(), window) {
                here.ratios += ratio;
                here.windows = here.windows.saturating_add(1);
            }
            match here.waiting.take() {
                Some(first) => window = first.plus(window),
                None => {
                    here.waiting = Some(window);
                    return;
                }
            }
        }
    }

    /// d at windows of `2^level` panes, and the number of windows. `None` if there was none.
    #[must_use]
    pub fn at(&self, level: usize) -> Option<(f64, u32)> {
        let level = self.levels.get(level).filter(|level| level.windows > 0)?;
        Some((level.ratios / f64::from(level.windows), level.windows))
    }

    /// Levels that have at least `windows` windows.
    #[must_use]
    pub fn levels(&self, windows: u32) -> usize {
        self.levels.iter().take_while(|level| level.windows >= windows).count()
    }
}

fn prefix_sums(panes: &[Residual]) -> Vec<Residual> {
    let mut sums = vec![Residual::default()];
    sums.extend(panes.iter().scan(Residual::default(), |sum, pane| {
        *sum = sum.plus(*pane);
        Some(*sum)
    }));
    sums
}

fn square_ratio(from: Residual, to: Residual) -> Option<f64> {
    let (deviation, variance) = (to.deviation - from.deviation, to.variance - from.variance);
    (variance > 0.0).then(|| deviation * deviation / variance)
}

/// A quarter of the design effect that a shorter window's correlation implies for one `times` as long.
///
/// If panes go on being correlated as within the shorter window, d grows as `1 + (d − 1)·times`. A floor for
/// references that hold fewer than eight of the longer windows. At least 1. Source: as [`burst_floor`].
#[must_use]
pub fn implied_by_shorter(shorter: f64, times: f64) -> f64 {
    (0.25 * (1.0 + (shorter - 1.0) * times)).max(1.0)
}

#[cfg(test)]
mod tests;
