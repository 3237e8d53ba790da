//! Exact sums and the moments made of them.

use serde::{Deserialize, Serialize};

use crate::math::{float, scale_by_power_of_two};

/// Bits of the exponent that one limb spans.
const LIMB_BITS: i32 = 32;

/// Limbs that a finite number can start in.
const POSITIONS: std::ops::RangeInclusive<i8> = -34..=30;

/// A sum of floating-point numbers without rounding: whatever the order, the bytes are the same.
///
/// Fixed point with as many digits as needed: numbers of like size (within a factor of 2^32) share a 128-bit
/// integer limb, so a sum holds one to three limbs in practice and 65 at most. A limb takes 2^42 numbers
/// before it could saturate (four million million records).
///
/// Cost: 5 to 10 ns a number; 10 to 20 bytes a limb when written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(i8, i128)>", into = "Vec<(i8, i128)>")]
pub struct ExactSum {
    /// (position, digits): the sum is `Σ digits · 2^(32·position)`. Invariant: positions strictly rise, within
    /// [`POSITIONS`].
    limbs: Vec<(i8, i128)>,
}

impl ExactSum {
    /// Adds a number. NaN and infinities are the caller's to refuse; here they add nothing.
    pub fn add(&mut self, x: f64) {
        if x == 0.0 || !x.is_finite() {
            return;
        }
        let (position, digits) = limb_of(x.abs());
        self.add_limb(position, if x < 0.0 { -digits } else { digits });
    }

    /// Adds `a · b` without rounding, unless it is too large or too small for a float.
    fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        self.add(a.mul_add(b, -product));
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        for &(position, digits) in &other.limbs {
            self.add_limb(position, digits);
        }
    }

    /// The sum to the nearest float or its neighbour; the largest float where it is beyond.
    #[must_use]
    pub fn value(&self) -> f64 {
        let (digits, negative) = self.digits();
        let magnitude = digits.iter().fold(0.0, |sum, &(position, digit)| {
            sum + scale_by_power_of_two(f64::from(digit), i32::from(position) * LIMB_BITS)
        });
        let magnitude = magnitude.min(f64::MAX);
        if negative { -magnitude } else { magnitude }
    }

    fn add_limb(&mut self, position: i8, digits: i128) {
        // One to three limbs as a rule: a scan beats a search.
        if let Some(limb) = self.limbs.iter_mut().find(|limb| limb.0 == position) {
            // Limbs that come back to 0 stay: dropping them would make the bytes depend on the order.
            limb.1 = limb.1.saturating_add(digits);
        } else {
            let at = self.limbs.partition_point(|limb| limb.0 < position);
            self.limbs.insert(at, (position, digits));
        }
    }

    /// The magnitude in base 2^32, lowest digit first, and whether the sum is negative.
    fn digits(&self) -> (Vec<(i8, u32)>, bool) {
        match carried(&self.limbs, 1) {
            Some(digits) => (digits, false),
            None => (carried(&self.limbs, -1).expect("a number or its opposite is not negative"), true),
        }
    }
}

/// Written bytes are no sum: limbs out of order or out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limb {0} is out of place")]
pub struct LimbError(i8);

impl TryFrom<Vec<(i8, i128)>> for ExactSum {
    type Error = LimbError;

    fn try_from(limbs: Vec<(i8, i128)>) -> Result<Self, LimbError> {
        let bad =
            |at: &usize| !POSITIONS.contains(&limbs[*at].0) || (*at > 0 && limbs[*at - 1].0 >= limbs[*at].0);
        match (0..limbs.len()).find(bad) {
            Some(at) => Err(LimbError(limbs[at].0)),
            None => Ok(Self { limbs }),
        }
    }
}

impl From<ExactSum> for Vec<(i8, i128)> {
    fn from(sum: ExactSum) -> Self {
        sum.limbs
    }
}

/// A positive finite number as digits of one limb, without rounding.
fn limb_of(x: f64) -> (i8, i128) {
    let bits = x.to_bits();
    let biased = i32::try_from(bits >> 52).expect("eleven bits are left");
    let fraction = bits & ((1 << 52) - 1);
    // Subnormal numbers have the smallest exponent and no hidden bit.
    let mantissa = if biased == 0 { fraction } else { fraction | 1 << 52 };
    let exponent = biased.max(1) - 1075;
    let position = i8::try_from(exponent.div_euclid(LIMB_BITS)).expect("between -34 and 30");
    (position, i128::from(mantissa) << exponent.rem_euclid(LIMB_BITS))
}

/// `sign` times the limbs with all carries done. `None` if that is negative.
fn carried(limbs: &[(i8, i128)], sign: i128) -> Option<Vec<(i8, u32)>> {
    let mut digits = Vec::new();
    let mut carry = 0_i128;
    let mut limbs = limbs.iter().peekable();
    let Some(mut position) = limbs.peek().map(|limb| limb.0) else { return Some(digits) };
    loop {
        let limb = limbs.next_if(|limb| limb.0 == position).map_or(0, |limb| limb.1);
        let total = limb.saturating_mul(sign).saturating_add(carry);
        let digit = u32::try_from(total & i128::from(u32::MAX)).expect("masked to 32 bits");
        carry = total >> LIMB_BITS;
        digits.push((position, digit));
        match limbs.peek() {
            None if carry == 0 => return Some(digits),
            None if carry == -1 => return None,
            // Nothing to carry through the gap: go on at the next limb.
            Some(next) if carry == 0 => position = next.0,
            Some(_) | None => position += 1,
        }
    }
}

/// Count, extremes and exact first and second moments of finite numbers.
///
/// Merging is exact, to the byte. Squares are rounded once each (a relative error of 1e-16), so the variance
/// is good while the mean is less than some million standard deviations away from zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    sum: ExactSum,
    squares: ExactSum,
    range: Option<(f64, f64)>,
    saturated: u64,
}

impl Moments {
    /// Counts one number. False, and nothing is counted, if it is not finite.
    pub fn add(&mut self, x: f64) -> bool {
        if !x.is_finite() {
            return false;
        }
        // Negative zero becomes zero, or the extremes would depend on the order.
        let x = x + 0.0;
        let square = x * x;
        self.count = self.count.saturating_add(1);
        self.saturated = self.saturated.saturating_add(u64::from(square.is_infinite()));
        self.sum.add(x);
        // With what the square is rounded by: far from zero it is all that there is of the spread.
        self.squares.add(square.min(f64::MAX));
        self.squares.add(x.mul_add(x, -square));
        self.widen(x, x);
        true
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.saturated = self.saturated.saturating_add(other.saturated);
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
        if let Some((min, max)) = other.range {
            self.widen(min, max);
        }
    }

    /// Numbers counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Smallest number. `None` if nothing was counted.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.range.map(|range| range.0)
    }

    /// Largest number. `None` if nothing was counted.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.range.map(|range| range.1)
    }

    /// Numbers whose square was too large and counted as the largest float.
    #[must_use]
    pub fn saturated(&self) -> u64 {
        self.saturated
    }

    /// The sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// The arithmetic mean. `None` if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.value() / float(self.count))
    }

    /// The mean of the squares. `None` if nothing was counted.
    #[must_use]
    pub fn mean_square(&self) -> Option<f64> {
        (self.count > 0).then(|| self.squares.value() / float(self.count))
    }

    /// The variance of the sample, with n − 1. `None` below two numbers. Never negative; infinite where the
    /// squares saturated.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        if self.saturated > 0 {
            return Some(f64::INFINITY);
        }
        let (n, sum) = (float(self.count), self.sum.value());
        let mut rest = self.sum.clone();
        rest.add(-sum);
        // Σ(x − m)² = Σx² − 2m·Σx + n·m² without rounding, m the mean as far as a float can say it.
        let mean = sum / n;
        let mut spread = self.squares.clone();
        spread.add_product(-2.0 * mean, sum);
        spread.add_product(-2.0 * mean, rest.value());
        let square = mean * mean;
        spread.add_product(n, square);
        spread.add_product(n, mean.mul_add(mean, -square));
        let spread = spread.value();
        Some((spread / (n - 1.0)).max(0.0))
    }

    fn widen(&mut self, min: f64, max: f64) {
        self.range = Some(self.range.map_or((min, max), |(low, high)| (low.min(min), high.max(max))));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{bytes, close};

    fn sum_of(numbers: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|&x| sum.add(x));
        sum
    }

    fn moments_of(numbers: &[f64]) -> Moments {
        let mut moments = Moments::default();
        numbers.iter().for_each(|&x| assert!(moments.add(x)));
        moments
    }

    #[test]
    fn sums_of_known_numbers() {
        for (numbers, want) in [
            (vec![], 0.0),
            (vec![0.1; 10], 1.0),
            (vec![1e300, 1.0, -1e300], 1.0),
            (vec![1e-300, 1e300, -1e300], 1e-300),
            (vec![-1.0, 1e-20], -1.0),
            (vec![-3.0, 1.0], -2.0),
            (vec![f64::MAX, f64::MAX], f64::MAX),
            (vec![5e-324; 3], 1.5e-323),
            (vec![f64::NAN, f64::INFINITY, 2.0], 2.0),
        ] {
            let got = sum_of(&numbers).value();
            // Ten times the float 0.1 is exactly 1.0000000000000000555, which rounds to 1.
            assert!(
                (got - want).abs() <= want.abs() * 2.0 * f64::EPSILON,
                "{numbers:?}: got {got}, want {want}"
            );
        }
    }

    #[test]
    fn moments_of_known_numbers() {
        let kelvin: Vec<f64> = [294.0, 295.0, 296.0, 297.0].into();
        // Ten million times the standard deviation away from zero: the naive formula gives nonsense here.
        let far: Vec<f64> = [1e7, 1e7 + 1.0, 1e7 + 2.0].into();
        for (numbers, mean, variance, min) in [
            (vec![], None, None, None),
            (vec![-2.0], Some(-2.0), None, Some(-2.0)),
            (kelvin, Some(295.5), Some(5.0 / 3.0), Some(294.0)),
            (far, Some(1e7 + 1.0), Some(1.0), Some(1e7)),
            (vec![-0.0, 0.0], Some(0.0), Some(0.0), Some(0.0)),
        ] {
            let got = moments_of(&numbers);
            assert!(close(got.mean(), mean), "{numbers:?}: mean {:?}", got.mean());
            assert!(close(got.min(), min), "{numbers:?}: min {:?}", got.min());
            let near = match (got.variance(), variance) {
                (Some(a), Some(b)) => (a - b).abs() <= 0.05 * b,
                (a, b) => a == b,
            };
            assert!(near, "{numbers:?}: variance {:?}", got.variance());
        }
    }

    #[test]
    fn huge_and_odd_numbers_have_defined_answers() {
        let mut moments = moments_of(&[1e308, -1e308]);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!moments.add(bad), "{bad} must be refused");
        }
        assert_eq!((moments.count(), moments.saturated()), (2, 2));
        assert_eq!(moments.mean(), Some(0.0));
        assert_eq!(moments.variance(), Some(f64::INFINITY));
        // The sign of zero must not depend on which came first.
        assert_eq!(bytes(&moments_of(&[-0.0, 0.0])), bytes(&moments_of(&[0.0, -0.0])));
    }

    #[test]
    fn bytes_that_are_no_sum_are_refused() {
        for limbs in [vec![(3_i8, 1_i128), (3, 1)], vec![(4, 1), (2, 1)], vec![(120, 1)], vec![(-100, 1)]] {
            assert!(postcard::from_bytes::<ExactSum>(&bytes(&limbs)).is_err(), "{limbs:?}");
        }
    }

    proptest! {
        #[test]
        fn order_and_grouping_change_no_byte(
            numbers in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL, 0..40),
            cuts in (0..40_usize, 0..40_usize),
        ) {
            let whole = moments_of(&numbers);
            let reversed: Vec<f64> = numbers.iter().rev().copied().collect();
            prop_assert_eq!(bytes(&moments_of(&reversed)), bytes(&whole));
            let (a, b) = (cuts.0.min(cuts.1).min(numbers.len()), cuts.0.max(cuts.1).min(numbers.len()));
            let parts = [&numbers[..a], &numbers[a..b], &numbers[b..]].map(moments_of);
            let mut left = parts[0].clone();
            left.merge(&parts[1]);
            left.merge(&parts[2]);
            let mut right = parts[2].clone();
            let mut middle = parts[1].clone();
            middle.merge(&parts[0]);
            right.merge(&middle);
            prop_assert_eq!(bytes(&left), bytes(&whole));
            prop_assert_eq!(bytes(&right), bytes(&whole));
            let back: Moments = postcard::from_bytes(&bytes(&whole)).expect("just written");
            prop_assert_eq!(back, whole);
        }

        #[test]
        fn sums_agree_with_integers(numbers in prop::collection::vec(-1_000_000_i32..1_000_000, 0..50)) {
            let want: i64 = numbers.iter().map(|&x| i64::from(x)).sum();
            let got = sum_of(&numbers.iter().map(|&x| f64::from(x) / 1024.0).collect::<Vec<_>>()).value();
            let want = f64::from(i32::try_from(want).expect("fifty millions fit")) / 1024.0;
            prop_assert!((got - want).abs() == 0.0, "got {got}, want {want}");
        }
    }
}
