//! A test's expected rate at a time of day and of the week.

use super::{Hours, TestReference};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The null rate of a test through the day, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// Over all hours.
    all: Expected,
    /// At the middle of each hour. `None` if the hours do not differ or are not known.
    hours: Option<Box<[Expected; 24]>>,
    /// By how much each weekday's odds are larger, from Monday. `None` if they are not told apart.
    week: Option<Box<[f64; 7]>>,
    /// Share of the event itself over all hours, for people.
    pub plain: f64,
    /// Design effect.
    pub d: f64,
    /// What evidence is divided by beside it.
    pub tail: f64,
    /// Design effects at windows of 1, 2, 4, … minutes; empty where only `d` is known.
    spread: Vec<f64>,
}

/// A rate and the number of records that it is known from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    pub rate: f64,
    pub worth: f64,
}

impl Baseline {
    /// Reads a test's reference. Hours are shrunk to the whole day as far as their differences could be chance.
    #[must_use]
    pub fn new(test: &TestReference) -> Self {
        let n = float(test.n);
        let share = |k: u64| if test.n == 0 { 0.0 } else { float(k) / n };
        let all = Expected { rate: share(test.tolerated.min(test.n)), worth: n };
        let hours = test.hours.as_ref().and_then(|hours| shrunk(all, hours, test.d_hour.max(1.0)));
        Self {
            all,
            hours,
            week: test.week.map(|shifts| Box::new(shifts.map(libm::exp))),
            plain: share(test.k.min(test.n)),
            d: test.d.max(1.0),
            tail: test.tail.max(1.0),
            spread: test.spread.iter().map(|d| d.max(1.0)).collect(),
        }
    }

    /// What is expected whatever the hour.
    #[must_use]
    pub fn all(&self) -> Expected {
        self.all
    }

    /// Whether it tells hours of the day apart.
    #[must_use]
    pub fn knows_hours(&self) -> bool {
        self.hours.is_some()
    }

    /// The design effect of a window of so many milliseconds: between those that were measured, by the logarithm of the
    /// length. Below a minute it is a minute's. Beyond the longest it goes on growing as it last did: a spread that has
    /// not flattened says that longer windows differ more.
    #[must_use]
    pub fn spread_at(&self, span_ms: i64) -> f64 {
        let Some(last) = self.spread.last() else { return self.d };
        let at = libm::log2((float(span_ms.max(1).unsigned_abs()) / 60_000.0).max(1.0));
        let before = libm::floor(at);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 64 and positive"
        )]
        let index = before as usize;
        match (self.spread.get(index), self.spread.get(index + 1)) {
            (Some(a), Some(b)) => a + (b - a) * (at - before),
            (Some(_) | None, _) => {
                let longest = float(self.spread.len() as u64) - 1.0;
                let growth = match self.spread.len().checked_sub(2).map(|i| self.spread[i]) {
                    Some(shorter) => (last / shorter).clamp(1.0, 2.0),
                    None => 1.0,
                };
                last * libm::pow(growth, at - longest)
            }
        }
    }

    /// Records it is known from, over all hours.
    #[must_use]
    pub fn worth(&self) -> f64 {
        self.all.worth
    }

    /// What is expected at a time by the local clock and calendar: between the middles of two hours, of its weekday.
    #[must_use]
    pub fn at(&self, civil_ms: i64) -> Expected {
        let by_hour = self.at_hour(civil_ms);
        match &self.week {
            Some(week) => Expected { rate: with_odds(by_hour.rate, week[weekday(civil_ms)]), ..by_hour },
            None => by_hour,
        }
    }

    /// The same, whatever the weekday.
    fn at_hour(&self, civil_ms: i64) -> Expected {
        let Some(hours) = &self.hours else { return self.all };
        let (before, after, share) = neighbours(civil_ms);
        let mix = |a: f64, b: f64| a + (b - a) * share;
        let (a, b) = (hours[before], hours[after]);
        Expected { rate: mix(a.rate, b.rate), worth: mix(a.worth, b.worth) }
    }
}

/// The share whose odds are so many times those of `rate`.
pub(crate) fn with_odds(rate: f64, times: f64) -> f64 {
    rate * times / (1.0 + rate * (times - 1.0))
}

/// The day of the week by the local calendar, 0 for Monday.
pub(crate) fn weekday(civil_ms: i64) -> usize {
    // 1970 began on a Thursday.
    usize::try_from((civil_ms.div_euclid(DAY_MS) + 3).rem_euclid(7)).expect("a day of the week")
}

/// The hours whose middles lie around a time by the local clock, and how far it is from the first to the second (0 to 1).
pub(crate) fn neighbours(civil_ms: i64) -> (usize, usize, f64) {
    let shifted = (civil_ms - HOUR_MS / 2).rem_euclid(DAY_MS);
    let before = usize::try_from(shifted / HOUR_MS).expect("an hour of the day");
    #[expect(clippy::cast_precision_loss, reason = "less than an hour in milliseconds")]
    let share = (shifted % HOUR_MS) as f64 / HOUR_MS as f64;
    (before, (before + 1) % 24, share)
}

/// Each hour's rate, drawn to the whole day's by how much of the differences between hours is chance.
///
/// An hour of n records has variance p(1−p)·d/n; what the hours vary beyond that is real (method of moments).
/// Returns `None` where nothing is.
fn shrunk(all: Expected, hours: &Hours, d: f64) -> Option<Box<[Expected; 24]>> {
    let variance = all.rate * (1.0 - all.rate) * d;
    let total: f64 = hours.n.iter().map(|&n| float(n)).sum();
    let filled = hours.n.iter().filter(|&&n| n > 0).count();
    let squares: f64 = hours.n.iter().map(|&n| float(n) * float(n)).sum();
    let spread = total - squares / total.max(1.0);
    if filled < 12 || spread <= 0.0 {
        return None;
    }
    let rate = |hour: usize| float(hours.k[hour].min(hours.n[hour])) / float(hours.n[hour]);
    let between: f64 = (0..24)
        .filter(|&hour| hours.n[hour] > 0)
        .map(|hour| float(hours.n[hour]) * (rate(hour) - all.rate).powi(2))
        .sum();
    let chance = (f64::from(u32::try_from(filled).expect("24 hours")) - 1.0) * variance;
    let real = (between - chance) / spread;
    if real <= 0.0 {
        return None;
    }
    let mut out = Box::new([all; 24]);
    for (hour, expected) in out.iter_mut().enumerate().filter(|(hour, _)| hours.n[*hour] > 0) {
        let n = float(hours.n[hour]);
        let trust = real / (real + variance / n);
        expected.rate = all.rate + (rate(hour) - all.rate) * trust;
        expected.worth = n + (1.0 - trust) * (all.worth - n).max(0.0);
    }
    Some(out)
}

/// A count as a float; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts of records stay far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(k: [u64; 24], n: u64) -> TestReference {
        let sum = k.iter().sum();
        let hours = Some(Hours { k, n: [n; 24] });
        TestReference {
            k: sum,
            tolerated: sum,
            n: 24 * n,
            d: 2.0,
            tail: 1.0,
            d_hour: 1.0,
            spread: vec![],
            hours,
            week: None,
        }
    }

    #[test]
    fn hours_that_differ_by_chance_are_one() {
        let even = Baseline::new(&test([100; 24], 1000));
        assert_eq!(even.at(0), even.at(43_200_000));
        assert!((even.at(0).rate - 0.1).abs() < 1e-12 && (even.at(0).worth - 24_000.0).abs() < 1e-9);
    }

    #[test]
    fn hours_that_differ_are_kept_and_joined() {
        let mut k = [100; 24];
        k[12..].fill(300);
        let day = Baseline::new(&test(k, 1000));
        let at = |h: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "a test's own numbers")]
            let ms = (h * 3.6e6) as i64;
            day.at(ms).rate
        };
        assert!((at(6.5) - 0.1).abs() < 0.01 && (at(18.5) - 0.3).abs() < 0.01);
        assert!((at(12.0) - 0.2).abs() < 0.01, "half way between the middles of two hours");
        assert!((at(0.0) - 0.2).abs() < 0.01, "midnight joins the ends");
        assert!(day.at(0).worth < 2000.0);
    }

    #[test]
    fn a_weekday_shifts_the_odds_of_every_hour() {
        let mut k = [100; 24];
        k[12..].fill(300);
        let even = Baseline::new(&test(k, 1000));
        let week = Some([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.5]);
        let known = Baseline::new(&TestReference { week, ..test(k, 1000) });
        // 1970-01-04 was a Sunday.
        for hour in 0..24 {
            let at = |day: i64| day * DAY_MS + hour * HOUR_MS + HOUR_MS / 2;
            let odds = |expected: Expected| expected.rate / (1.0 - expected.rate);
            assert_eq!(known.at(at(2)), even.at(at(2)), "Saturday, {hour}");
            let times = odds(known.at(at(3))) / odds(even.at(at(3)));
            assert!((times - libm::exp(-0.5)).abs() < 1e-9, "Sunday, {hour}: {times}");
        }
        assert_eq!((weekday(-1), weekday(0), weekday(4 * DAY_MS)), (2, 3, 0));
        assert!(with_odds(0.0, 3.0).abs() < 1e-12 && (with_odds(1.0, 0.2) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_counted_expects_nothing() {
        let none = TestReference {
            k: 0,
            tolerated: 0,
            n: 0,
            d: 1.0,
            tail: 1.0,
            d_hour: 1.0,
            spread: vec![],
            hours: None,
            week: None,
        };
        assert_eq!(Baseline::new(&none).at(5), Expected::default());
    }
}
