//! How days of the week differ, beside the hours of the day: each weekday's shift, as far as its weeks agree on it.

use std::collections::BTreeMap;

use super::DAY_MS;
use crate::reference::baseline::{float, weekday};

/// Reference time from which weekdays are told apart: each has come twice.
pub(super) const WEEK_FROM_MS: i64 = 14 * DAY_MS;

/// What one slice came to, and what the hours expect of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    pub(super) civil_ms: i64,
    /// Events.
    pub(super) k: u64,
    /// Records that could have been; for calls, which have no such number, `None`.
    pub(super) n: Option<u64>,
    pub(super) expected: f64,
}

/// The shifts of the weekdays: of shares in log odds, of calls in logarithms.
#[derive(Clone, Debug)]
pub(super) struct Weekly {
    /// From Monday. As far as they are surely more than days differ anyway.
    pub(super) shifts: [f64; 7],
    /// By civil day of the reference: the shift of its weekday as the other weeks alone have it.
    left_out: BTreeMap<i64, f64>,
}

impl Weekly {
    /// What is to be held against a day of the reference itself. A day that had its part in a shift is nearer to it than one
    /// that comes later: of two weeks three times, of eight by a quarter. Left out, it is farther off, and what a short
    /// history does not know is spread.
    pub(super) fn left_out(&self, civil_ms: i64) -> f64 {
        self.left_out.get(&civil_ms.div_euclid(DAY_MS)).copied().unwrap_or(0.0)
    }
}

/// One civil day, or all of one weekday.
#[derive(Clone, Copy, Debug, Default)]
struct Days {
    days: u32,
    weight: f64,
    /// Shifts, weighted.
    sum: f64,
    /// Their squares, weighted.
    squares: f64,
}

impl Days {
    fn one(shift: f64, weight: f64) -> Self {
        Self { days: 1, weight, sum: weight * shift, squares: weight * shift * shift }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            days: self.days + other.days,
            weight: self.weight + other.weight,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }

    fn less(self, one: Self) -> Self {
        Self {
            days: self.days - one.days,
            weight: self.weight - one.weight,
            sum: self.sum - one.sum,
            squares: self.squares - one.squares,
        }
    }

    fn mean(self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }

    /// Weighted squares around the mean.
    fn within(self) -> f64 {
        (self.squares - self.sum * self.mean()).max(0.0)
    }
}

/// Variance between weekdays, and within them from week to week: of a weight of 1.
#[derive(Clone, Copy, Debug)]
struct Variance {
    between: f64,
    within: f64,
}

impl Variance {
    /// By analysis of variance. `None` where the weeks do not surely agree that weekdays differ: 1 in 20 of those that do not
    /// pass for it, and cost some spread.
    fn of(weekdays: &[Days; 7]) -> Option<Self> {
        let known = || weekdays.iter().filter(|days| days.days >= 2);
        let groups = f64::from(u32::try_from(known().count()).expect("seven at most"));
        let days: f64 = known().map(|days| f64::from(days.days)).sum();
        let all = known().fold(Days::default(), |sum, days| sum.plus(*days));
        if groups < 2.0 || all.weight <= 0.0 {
            return None;
        }
        let spread: f64 = known().map(|days| days.weight * (days.mean() - all.mean()).powi(2)).sum();
        let (between, rest) = (spread / (groups - 1.0), days - groups);
        let within = known().map(|days| days.within()).sum::<f64>() / rest;
        // Close to the 95 % quantile of F with 6 and `rest` degrees of freedom, from 7 of them on.
        if between <= 0.0 || between < (2.1 + 12.0 / rest) * within {
            return None;
        }
        let squares: f64 = known().map(|days| days.weight * days.weight).sum();
        let size = (all.weight - squares / all.weight) / (groups - 1.0);
        (size > 0.0).then(|| Self { between: (between - within) / size, within })
    }

    /// The mean, drawn to no shift at all by how much of it may be what days differ anyway.
    fn shrunk(self, days: Days) -> f64 {
        if days.days == 0 || days.weight <= 0.0 {
            return 0.0;
        }
        days.mean() * self.between / (self.between + self.within / days.weight)
    }
}

/// Finds the shifts of the weekdays. `None` where weekdays do not surely differ.
pub(super) fn weekly(slices: impl Iterator<Item = Slice>) -> Option<Weekly> {
    let mut sums: BTreeMap<i64, (u64, Option<u64>, f64, u32)> = BTreeMap::new();
    for Slice { civil_ms, k, n, expected } in slices {
        let sum = sums.entry(civil_ms.div_euclid(DAY_MS)).or_insert((0, n.map(|_| 0), 0.0, 0));
        *sum = (sum.0 + k, sum.1.zip(n).map(|(a, b)| a + b), sum.2 + expected, sum.3 + 1);
    }
    let days: BTreeMap<i64, Days> = sums.into_iter().filter_map(|(at, sum)| Some((at, day(sum)?))).collect();
    let mut weekdays = [Days::default(); 7];
    for (at, one) in &days {
        let of = &mut weekdays[weekday(at * DAY_MS)];
        *of = of.plus(*one);
    }
    let variance = Variance::of(&weekdays)?;
    // A weekday that came once says nothing of the next one.
    let shift = |days: Days, least: u32| if days.days >= least { variance.shrunk(days) } else { 0.0 };
    let left_out = |(at, one): (&i64, &Days)| (*at, shift(weekdays[weekday(at * DAY_MS)].less(*one), 1));
    Some(Weekly {
        shifts: weekdays.map(|days| shift(days, 2)),
        left_out: days.iter().map(left_out).collect(),
    })
}

/// The shift of one day and how well it is known. A share's is worth as many records as it has; a level of calls, which days
/// move far more than chance does, the time of it that was seen.
fn day((k, n, expected, slices): (u64, Option<u64>, f64, u32)) -> Option<Days> {
    let Some(n) = n else {
        let shift = libm::log((float(k) + 0.5) / (expected + 0.5));
        return (expected > 0.0).then(|| Days::one(shift, f64::from(slices)));
    };
    let (k, n) = (float(k.min(n)), float(n));
    let logit = |k: f64| libm::log((k + 0.5) / (n - k + 0.5));
    let weight = expected * (1.0 - expected / n);
    (weight > 0.0).then(|| Days::one(logit(k) - logit(expected), weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Days of 1000 records, from a Monday, of which so many are events where 100 are expected.
    fn of_days(k: &[u64]) -> Option<Weekly> {
        let monday = 4 * DAY_MS;
        weekly((0_i64..).zip(k).map(|(day, k)| Slice {
            civil_ms: monday + day * DAY_MS + DAY_MS / 2,
            k: *k,
            n: Some(1000),
            expected: 100.0,
        }))
    }

    /// So many weeks with a weekend of `weekend` events, days by `noise` more or less.
    fn weeks(weeks: u64, weekend: u64, noise: &[u64]) -> Vec<u64> {
        let noise = noise.iter().copied().cycle();
        (0..7 * weeks).zip(noise).map(|(day, more)| if day % 7 < 5 { 100 } else { weekend } + more).collect()
    }

    #[test]
    fn a_weekend_is_known_by_its_weeks() {
        for (count, least) in [(2, 0.8), (4, 0.9), (8, 0.95)] {
            let known = of_days(&weeks(count, 60, &[0, 4, 9, 2, 7])).expect("the weekend differs");
            let (friday, sunday) = (known.shifts[4], known.shifts[6]);
            // 60 of 1000 are 0.55 less in log odds than 100.
            assert!((-0.56..least * -0.45).contains(&sunday), "{count} weeks: {sunday}");
            assert!(friday.abs() < 0.1, "{count} weeks: {friday}");
        }
    }

    #[test]
    fn days_that_differ_as_they_like_have_no_weekday() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            80 + (state >> 33) % 41
        };
        for count in [2, 4, 8] {
            let runs = 400;
            let found = (0..runs)
                .filter(|_| of_days(&(0..7 * count).map(|_| random()).collect::<Vec<_>>()).is_some());
            let found = found.count();
            assert!((4..=40).contains(&found), "{count} weeks: {found} of {runs}, about 20 are chance");
        }
    }

    #[test]
    fn a_day_is_held_against_the_other_weeks() {
        let mut k = weeks(3, 60, &[0, 4, 9, 2, 7]);
        k[20] = 100;
        let known = of_days(&k).expect("the weekend differs");
        let (odd, other) = (known.left_out(24 * DAY_MS), known.left_out(17 * DAY_MS));
        assert!(
            odd < other - 0.1,
            "a Sunday that is none has no part in what Sundays are: {odd} and {other}"
        );
        assert!(known.left_out(99 * DAY_MS).abs() < 1e-12);
    }

    #[test]
    fn a_weekday_seen_once_has_no_shift() {
        let mut k = weeks(2, 60, &[0, 4, 9, 2, 7]);
        k.truncate(13);
        let known = of_days(&k).expect("Saturdays differ");
        assert!(known.shifts[5] < -0.2 && known.shifts[6].abs() < 1e-12, "{:?}", known.shifts);
    }

    proptest! {
        #[test]
        fn any_counts_have_a_finite_answer(k in proptest::collection::vec(0_u64..2000, 0..60)) {
            if let Some(known) = of_days(&k) {
                prop_assert!(known.shifts.iter().chain(known.left_out.values()).all(|shift| shift.is_finite()));
            }
        }
    }
}
