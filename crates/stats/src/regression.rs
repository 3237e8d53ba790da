//! How good forecasts of numbers are, for people: sums that merge exactly.

use serde::{Deserialize, Serialize};

use crate::moments::{ExactSum, Moments};

/// Errors of forecasts: prediction minus truth, in the unit of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    errors: Moments,
    magnitudes: ExactSum,
}

impl Errors {
    /// Counts one forecast. False, and nothing is counted, if either number or their difference is not finite.
    pub fn add(&mut self, truth: f64, predicted: f64) -> bool {
        let error = predicted - truth;
        if !self.errors.add(error) {
            return false;
        }
        self.magnitudes.add(error.abs());
        true
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.errors.merge(&other.errors);
        self.magnitudes.merge(&other.magnitudes);
    }

    /// Forecasts counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.errors.count()
    }

    /// Mean absolute error. `None` if nothing was counted.
    #[must_use]
    pub fn mean_absolute(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.magnitudes.value() / crate::math::float(self.total()))
    }

    /// Root of the mean squared error: led by the largest errors. `None` if nothing was counted.
    #[must_use]
    pub fn root_mean_square(&self) -> Option<f64> {
        self.errors.mean_square().map(f64::sqrt)
    }

    /// Mean error: positive where forecasts are too high. `None` if nothing was counted.
    #[must_use]
    pub fn bias(&self) -> Option<f64> {
        self.errors.mean()
    }
}
