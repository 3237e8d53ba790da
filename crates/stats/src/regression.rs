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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bytes, close};

    #[test]
    fn errors_of_known_forecasts() {
        let pairs = [(10.0, 12.0), (10.0, 9.0), (0.0, 0.0), (-4.0, -1.0)];
        let mut errors = Errors::default();
        assert!(pairs.iter().all(|&(truth, predicted)| errors.add(truth, predicted)));
        for (name, got, want) in [
            ("mean absolute", errors.mean_absolute(), Some(1.5)),
            ("root mean square", errors.root_mean_square(), Some(3.5_f64.sqrt())),
            ("bias", errors.bias(), Some(1.0)),
            ("nothing", Errors::default().mean_absolute(), None),
        ] {
            assert!(close(got, want), "{name}: got {got:?}, want {want:?}");
        }
        for (truth, predicted) in [(f64::NAN, 1.0), (1.0, f64::INFINITY), (f64::MAX, -f64::MAX)] {
            assert!(!errors.add(truth, predicted), "{truth} {predicted}");
        }
        assert_eq!(errors.total(), 4);
    }

    #[test]
    fn merging_is_exact() {
        let pairs: Vec<(f64, f64)> =
            (0..50).map(|i| (f64::from(i) * 0.1, f64::from(i * i % 7) * 1e9)).collect();
        let fold = |pairs: &[(f64, f64)]| {
            let mut errors = Errors::default();
            assert!(pairs.iter().all(|&(truth, predicted)| errors.add(truth, predicted)));
            errors
        };
        for cut in [0, 1, 20, 50] {
            let mut merged = fold(&pairs[cut..]);
            merged.merge(&fold(&pairs[..cut]));
            assert_eq!(bytes(&merged), bytes(&fold(&pairs)), "cut at {cut}");
        }
    }
}
