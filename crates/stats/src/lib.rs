//! Numbers in, numbers out: sketches, distances, sequential tests, limits.
//!
//! No I/O, no clock, no randomness. Whatever merges, merges exactly: the same records give the same bytes in
//! any order and grouping, on any machine.
//!
//! - *What a pane holds*: [`ddsketch`] [`moments`] [`histogram`] [`sample`] [`classification`] [`regression`].
//! - *Evidence*: [`binomial`] turns counts into e-values, [`spending`] turns those into alarms under a budget,
//!   [`windows`] is the other form (windows by age), [`design_effect`] and
//!   [`excursions`] say how much records are worth.
//! - *How much*: [`effect`] with the gate, [`confseq`] for display.
//! - *For people*: [`psi`] [`ks`] [`wasserstein`] [`jensen_shannon`], each with its level without drift.

mod distance;
mod math;
#[cfg(test)]
mod testing;

pub mod binomial;
pub mod classification;
pub mod confseq;
pub mod ddsketch;
pub mod design_effect;
pub mod effect;
pub mod excursions;
pub mod histogram;
pub mod jensen_shannon;
pub mod ks;
pub mod moments;
pub mod psi;
pub mod regression;
pub mod sample;
pub mod spending;
pub mod wasserstein;
pub mod windows;

pub use binomial::Side;
pub use ddsketch::DdSketch;
pub use histogram::{Edges, Histogram};
pub use moments::{ExactSum, Moments};
pub use spending::Spending;

/// Two things that should have as many bins (or classes) have not: written under different profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{right} bins do not fit {left}")]
pub struct Mismatch {
    pub left: usize,
    pub right: usize,
}

impl Mismatch {
    fn check(left: usize, right: usize) -> Result<(), Self> {
        if left == right { Ok(()) } else { Err(Self { left, right }) }
    }
}
