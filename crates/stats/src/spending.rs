//! Spending a budget of false alarms: the recursion `D ← L·(D + a)`.

use serde::{Deserialize, Serialize};

use crate::math::exp;

/// Largest value D keeps when the effect gate holds an alarm back. An alarm still removes at least 1.
pub const D_MAX: f64 = 10.0;

/// Logarithm of the largest ratio one pane may contribute. Clipping only lowers an e-value, so the
/// bound stays; it keeps `exp` finite whatever the counts are.
const LOG_RATIO_MAX: f64 = 600.0;

/// The state of one alarm: a cell D per bet (and bin, and side) of one stream.
///
/// Each pane multiplies every cell by its ratio and adds that cell's share of the grant first:
/// `D_j ← L_j·(D_j + w_j·a)`. The alarm value is `Σ D_j`; at 1 or more the stream may alarm.
///
/// Guarantee: if each L is an e-value given the past (`E[L | past] ≤ 1` without a change) and the grant
/// and the weights (`Σ w ≤ 1`) are fixed before the pane is seen, `ΣD − Σa` is a supermartingale between
/// alarms and an alarm takes away at least 1, so for any stopping time `E[false alarms] ≤ E[Σ a]`,
/// whatever the dependence between streams, bets or bins. With constant `a` the mean time to a first false
/// alarm is at least `1/a` panes (Shin, Ramdas & Rinaldo, arXiv:2203.03532). A grant of 0 is allowed: D then
/// only follows the evidence.
///
/// Cells are kept in single precision, rounded down, which can only delay an alarm (by parts in ten
/// million a pane). Cost: one multiplication and one addition a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<f32>", into = "Vec<f32>")]
pub struct Spending {
    /// Invariant: each in `0..=D_MAX` and finite.
    cells: Vec<f32>,
}

impl Spending {
    /// All cells at 0: nothing granted yet.
    #[must_use]
    pub fn new(cells: usize) -> Self {
        Self { cells: vec![0.0; cells] }
    }

    /// Number of cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Folds one pane and returns the new alarm value `ΣD`, at most [`D_MAX`].
    ///
    /// `ratios` are the cells' L (see [`ratios_in_place`]); a cell without data has ratio 1.
    /// `weights` are the cells' shares of the grant. A ratio that is not a number counts as 0.
    ///
    /// # Panics
    /// If the lengths differ, or the grant is negative or not finite.
    pub fn update(&mut self, ratios: &[f64], weights: &[f64], grant: f64) -> f64 {
        assert_eq!(self.cells.len(), ratios.len(), "one ratio a cell");
        assert_eq!(self.cells.len(), weights.len(), "one weight a cell");
        assert!(grant >= 0.0 && grant.is_finite(), "a grant is a finite share of the budget");
        for ((cell, ratio), weight) in self.cells.iter_mut().zip(ratios).zip(weights) {
            *cell = round_down(ratio * (f64::from(*cell) + weight * grant));
        }
        self.cap()
    }

    /// The alarm value `ΣD`: an alarm is due at 1 or more.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.cells.iter().map(|&cell| f64::from(cell)).sum()
    }

    /// One cell's D, for naming what moved.
    ///
    /// # Panics
    /// If there is no such cell.
    #[must_use]
    pub fn cell(&self, index: usize) -> f64 {
        f64::from(self.cells[index])
    }

    /// The cell with the largest D, the first of equals. `None` if there is no cell.
    #[must_use]
    pub fn largest(&self) -> Option<usize> {
        let better = |best: Option<(usize, f32)>, (index, &cell): (usize, &f32)| match best {
            Some((_, most)) if most >= cell => best,
            Some(_) | None => Some((index, cell)),
        };
        self.cells.iter().enumerate().fold(None, better).map(|(index, _)| index)
    }

    /// Back to 0. Only an alarm (value at least 1 and the gate passed) or a restart may do this.
    pub fn reset(&mut self) {
        self.cells.fill(0.0);
    }

    /// Scales all cells so that their sum is at most [`D_MAX`], and returns the sum.
    fn cap(&mut self) -> f64 {
        let value = self.value();
        if value <= D_MAX {
            return value;
        }
        let scale = D_MAX / value;
        for cell in &mut self.cells {
            *cell = round_down(f64::from(*cell) * scale);
        }
        self.value()
    }
}

impl From<Vec<f32>> for Spending {
    fn from(mut cells: Vec<f32>) -> Self {
        for cell in &mut cells {
            *cell = round_down(f64::from(*cell));
        }
        Self { cells }
    }
}

impl From<Spending> for Vec<f32> {
    fn from(spending: Spending) -> Self {
        spending.cells
    }
}

/// Turns logarithms of ratios into ratios, so that a page D and a ticket D share one computation.
///
/// Each is clipped from above at e^600; a logarithm that is not a number becomes 0, which no bet can win by.
pub fn ratios_in_place(log_ratios: &mut [f64]) {
    for value in log_ratios {
        *value = if value.is_nan() { 0.0 } else { exp(value.min(LOG_RATIO_MAX)) };
    }
}

/// The largest single-precision number that is not above `x`, brought within `0..=D_MAX`.
///
/// What is not a number becomes 0: it must not become an alarm that never ends.
#[expect(clippy::cast_possible_truncation, reason = "rounding is the point; the direction is corrected")]
fn round_down(x: f64) -> f32 {
    if x.is_nan() {
        return 0.0;
    }
    let x = x.clamp(0.0, D_MAX);
    let nearest = x as f32;
    if f64::from(nearest) > x { nearest.next_down() } else { nearest }
}

#[cfg(test)]
mod tests;
