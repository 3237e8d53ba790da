//! Slices of a reference's time: what each test counted in each, from which its rate, its day and its spread follow.

mod spread;
mod traffic;
mod week;

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use stats::design_effect::{Residual, design_effect};
use wire::Timestamp;
use wire::profile::Profile;

use super::baseline::{Baseline, float, with_odds};
use super::{Hours, Reference, TestReference};
use crate::config::civil_ms;
use crate::family::{Count, Counting, StreamPlan, by_age, count, plan};
use crate::pane::PaneCounts;
use spread::is_bursty;
pub(crate) use spread::longest_window_ms;
use traffic::traffic;
use week::{Slice, WEEK_FROM_MS, Weekly, weekly};

pub(crate) use traffic::expected_calls;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Reference time from which hours of the day are told apart.
const HOURS_FROM_MS: i64 = 7 * DAY_MS;

/// Bursts are looked for in slices of so much.
const MINUTE_MS: i64 = 60_000;
/// Minutes in which bursts are looked for, most: 34 days.
const MINUTES_MAX: usize = 50_000;

/// Counts by slice of time. When there are too many slices, pairs of them become one.
///
/// The slices are not part of its written form: whoever keeps it writes those that [`Cells::take_changed`] names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cells {
    width_ms: i64,
    cells_max: usize,
    /// By number of the slice since the epoch.
    #[serde(skip)]
    cells: BTreeMap<i64, Cell>,
    minutes: usize,
    pub(crate) records: u64,
    pub(crate) labels: u64,
    #[serde(skip)]
    changed: BTreeSet<i64>,
}

/// One slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Calls of the model: of all versions together.
    calls: u64,
    /// In the order of the plan's tests, all streams after one another.
    counts: Vec<Count>,
    /// The tests of bursty families alone, by minute since the epoch.
    minutes: BTreeMap<i64, Vec<Count>>,
}

impl Cells {
    /// None yet. Slices start `width_ms` wide; from `cells_max` of them on they double.
    #[must_use]
    pub fn new(width_ms: i64, cells_max: usize) -> Self {
        Self {
            width_ms,
            cells_max: cells_max.max(8),
            cells: BTreeMap::new(),
            minutes: 0,
            records: 0,
            labels: 0,
            changed: BTreeSet::new(),
        }
    }

    /// Slices that have changed since the last call; `None` for those that are no more.
    pub fn take_changed(&mut self) -> Vec<(i64, Option<Cell>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|at| (at, self.cells.get(&at).cloned())).collect()
    }

    /// Puts back a slice that was written.
    pub fn restore(&mut self, at: i64, cell: Cell) {
        self.cells.insert(at, cell);
    }

    /// The numbers of all slices.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        self.cells.keys().copied().collect()
    }

    /// Event time from the first slice to the last.
    #[must_use]
    pub fn span_ms(&self) -> i64 {
        match (self.cells.first_key_value(), self.cells.last_key_value()) {
            (Some((first, _)), Some((last, _))) => (last - first + 1) * self.width_ms,
            (None, _) | (_, None) => 0,
        }
    }

    /// Folds one pane of the reference.
    pub fn add(&mut self, plan: &[StreamPlan], with: Counting<'_>, start: Timestamp, pane: &PaneCounts) {
        let tests = || plan.iter().flat_map(|stream| stream.tests.iter().map(|test| (stream.family, test)));
        let counts: Vec<Count> =
            tests().map(|(_, test)| count(test.event, with, pane, true).unwrap_or_default()).collect();
        let room = self.minutes < MINUTES_MAX;
        let cell = self.cell(start);
        cell.counts.resize(counts.len(), Count::default());
        cell.counts.iter_mut().zip(&counts).for_each(|(sum, count)| sum.add(*count));
        let minute = start.as_ms().div_euclid(MINUTE_MS);
        let fresh = !cell.minutes.contains_key(&minute);
        if room || !fresh {
            let bursty = || tests().zip(&counts).filter(|((family, _), _)| is_bursty(*family));
            let sums = cell.minutes.entry(minute).or_default();
            sums.resize(bursty().count(), Count::default());
            sums.iter_mut().zip(bursty()).for_each(|(sum, (_, count))| sum.add(*count));
            self.minutes += usize::from(fresh);
        }
        self.records = self.records.saturating_add(pane.predictions);
        self.labels = self.labels.saturating_add(pane.labels.total());
    }

    /// Counts calls of the model, whatever the version.
    pub fn add_calls(&mut self, start: Timestamp, calls: u64) {
        let cell = self.cell(start);
        cell.calls = cell.calls.saturating_add(calls);
    }

    fn cell(&mut self, start: Timestamp) -> &mut Cell {
        let number = |cells: &Self| start.as_ms().div_euclid(cells.width_ms);
        let first = |cells: &Self| cells.cells.first_key_value().map_or(number(cells), |(at, _)| *at);
        let last = |cells: &Self| cells.cells.last_key_value().map_or(number(cells), |(at, _)| *at);
        let most = i64::try_from(self.cells_max).unwrap_or(i64::MAX);
        while last(self).max(number(self)) - first(self).min(number(self)) >= most {
            self.double();
        }
        let at = number(self);
        self.changed.insert(at);
        self.cells.entry(at).or_default()
    }

    fn double(&mut self) {
        self.width_ms *= 2;
        for (at, cell) in std::mem::take(&mut self.cells) {
            self.changed.extend([at, at.div_euclid(2)]);
            let into = self.cells.entry(at.div_euclid(2)).or_default();
            into.minutes.extend(cell.minutes);
            into.calls = into.calls.saturating_add(cell.calls);
            into.counts.resize(into.counts.len().max(cell.counts.len()), Count::default());
            for (sum, count) in into.counts.iter_mut().zip(cell.counts) {
                sum.add(count);
            }
        }
    }

    /// The reference that these slices are.
    #[must_use]
    pub fn finish(&self, profile: &Profile, timezone: &str) -> Reference {
        let zone = crate::config::zone(timezone).unwrap_or(TimeZone::UTC);
        let plan = plan(profile);
        let civil = |at: Timestamp| civil_ms(&zone, at);
        let start_ms = self.cells.first_key_value().map_or(0, |(at, _)| at * self.width_ms);
        let start = Timestamp::EPOCH.plus_ms(start_ms);
        let window = [start, start.plus_ms(self.span_ms())];
        let dense = self.dense();
        let middles: Vec<i64> = (0_i64..)
            .zip(&dense)
            .map(|(i, _)| civil(start.plus_ms(i * self.width_ms + self.width_ms / 2)))
            .collect();
        let mut bursty = 0_usize;
        let mut streams = Vec::with_capacity(plan.len());
        let mut at = 0;
        for stream in &plan {
            // Latency follows its own last hours, whatever the day.
            let week = !by_age(stream.family);
            let mut series: Vec<Series> =
                (at..at + stream.tests.len()).map(|test| self.series(&dense, &middles, test, week)).collect();
            pool(stream, &mut series);
            at += stream.tests.len();
            let bursts: Vec<f64> = series
                .iter()
                .map(|one| {
                    if !is_bursty(stream.family) {
                        return 1.0;
                    }
                    bursty += 1;
                    self.burst(bursty - 1, one, &civil)
                })
                .collect();
            let spreads = if by_age(stream.family) {
                self.spreads(bursty - series.len(), &series, &civil)
            } else {
                vec![]
            };
            streams.push(self.stream(stream, &series, &bursts, spreads));
        }
        let calls: Vec<u64> = dense.iter().map(|c| c.calls).collect();
        let traffic = traffic(&calls, &middles, self.width_ms);
        Reference {
            profile: profile.clone(),
            window,
            records: self.records,
            labels: self.labels,
            timezone: timezone.to_owned(),
            streams,
            traffic,
        }
    }

    /// Slices without a gap: where nothing was counted, nothing was.
    fn dense(&self) -> Vec<&Cell> {
        static EMPTY: Cell = Cell { calls: 0, counts: Vec::new(), minutes: BTreeMap::new() };
        let (Some((first, _)), Some((last, _))) = (self.cells.first_key_value(), self.cells.last_key_value())
        else {
            return vec![];
        };
        (*first..=*last).map(|at| self.cells.get(&at).unwrap_or(&EMPTY)).collect()
    }

    fn series(&self, dense: &[&Cell], middles: &[i64], test: usize, with_week: bool) -> Series {
        let counts: Vec<Count> =
            dense.iter().map(|c| c.counts.get(test).copied().unwrap_or_default()).collect();
        let mut sum = Count::default();
        counts.iter().for_each(|count| sum.add(*count));
        let with_hours = self.span_ms() >= HOURS_FROM_MS;
        let plain = hourly(&counts, middles, with_hours, |c| c.k);
        let tolerated = hourly(&counts, middles, with_hours, |c| c.tolerated);
        let mut reference = TestReference {
            k: sum.k,
            tolerated: sum.tolerated,
            n: sum.n,
            d: 1.0,
            tail: 1.0,
            d_hour: 1.0,
            spread: vec![],
            hours: tolerated,
            week: None,
        };
        reference.d_hour = self.within_hours(&counts, middles, &reference);
        let known = TestReference { tolerated: sum.k, hours: plain, ..reference.clone() };
        let hours = Baseline::new(&known);
        let with_week = with_week && self.span_ms() >= WEEK_FROM_MS;
        let of_k = with_week.then(|| shifts(&counts, middles, &hours, |c| c.k)).flatten();
        let null = Baseline::new(&reference);
        let of_null = with_week.then(|| shifts(&counts, middles, &null, |c| c.tolerated)).flatten();
        reference.week = of_null.map(|weekly| weekly.shifts.map(round));
        let shift = |middle: i64| of_k.as_ref().map_or(0.0, |weekly| weekly.left_out(middle));
        let residuals = counts
            .iter()
            .zip(middles)
            .map(|(count, middle)| {
                let rate = with_odds(hours.at(*middle).rate.clamp(0.0, 1.0), libm::exp(shift(*middle)));
                Residual::new(count.k.min(count.n), count.n, rate.clamp(0.0, 1.0))
            })
            .collect();
        let week = of_k.as_ref().map(|weekly| weekly.shifts);
        let day = Baseline::new(&TestReference { week, ..known });
        Series { reference, residuals, day }
    }

    /// Spread of an hour's own rate from day to day.
    fn within_hours(&self, counts: &[Count], middles: &[i64], test: &TestReference) -> f64 {
        let Some(hours) = &test.hours else { return 1.0 };
        let rates: Vec<f64> = (0..24)
            .map(
                |h| if hours.n[h] == 0 { 0.0 } else { float(hours.k[h].min(hours.n[h])) / float(hours.n[h]) },
            )
            .collect();
        let residuals: Vec<Residual> = counts
            .iter()
            .zip(middles)
            .map(|(c, middle)| {
                let hour = hour_of(*middle);
                Residual::new(c.tolerated.min(c.n), c.n, rates[hour])
            })
            .collect();
        let window = usize::try_from((HOUR_MS / self.width_ms).max(1)).expect("a few slices");
        let days = (self.span_ms() / DAY_MS).max(2);
        #[expect(clippy::cast_precision_loss, reason = "a count of days")]
        let fitted = 1.0 - 1.0 / days as f64;
        design_effect(&residuals, window).unwrap_or(1.0).max(1.0) / fitted
    }
}

/// One test over the slices.
struct Series {
    reference: TestReference,
    residuals: Vec<Residual>,
    /// What the hours and weekdays expect of the event itself.
    day: Baseline,
}

/// What is pooled is expected as its members are, so it varies as they do: that their mix changes is no surprise.
fn pool(plan: &StreamPlan, series: &mut [Series]) {
    for (at, test) in plan.tests.iter().enumerate().filter(|(_, test)| !test.pool.is_empty()) {
        let sum = |slice: usize| {
            let members = test.pool.iter().map(|&i| series[i].residuals[slice]);
            members.fold(Residual::default(), Residual::plus)
        };
        series[at].residuals = (0..series[at].residuals.len()).map(sum).collect();
    }
}

fn hourly(counts: &[Count], middles: &[i64], known: bool, k: impl Fn(&Count) -> u64) -> Option<Hours> {
    known.then(|| {
        let mut hours = Hours { k: [0; 24], n: [0; 24] };
        for (count, middle) in counts.iter().zip(middles) {
            let hour = hour_of(*middle);
            hours.k[hour] += k(count).min(count.n);
            hours.n[hour] += count.n;
        }
        hours
    })
}

/// How the days of the week differ from what the hours expect.
fn shifts(counts: &[Count], middles: &[i64], hours: &Baseline, k: impl Fn(&Count) -> u64) -> Option<Weekly> {
    let slices = counts.iter().zip(middles).filter(|(count, _)| count.n > 0);
    weekly(slices.map(|(count, middle)| Slice {
        civil_ms: *middle,
        k: k(count).min(count.n),
        n: Some(count.n),
        expected: hours.at(*middle).rate * float(count.n),
    }))
}

fn hour_of(civil_ms: i64) -> usize {
    usize::try_from(civil_ms.rem_euclid(DAY_MS) / HOUR_MS).expect("an hour of the day")
}

/// Four significant digits or so: a spread is not known better, and the reference stays small.
fn round(d: f64) -> f64 {
    (d * 1000.0).round() / 1000.0
}

fn round6(rate: f64) -> f64 {
    (rate * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn at(minute: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(minute * MINUTE_MS)
    }

    /// Counts of one test in slices of ten minutes over `days`.
    fn filled(days: i64, k: impl Fn(i64) -> u64) -> Cells {
        let mut cells = Cells::new(10 * MINUTE_MS, 10_000);
        for slice in 0..days * 144 {
            let cell = cells.cell(at(slice * 10));
            cell.counts = vec![Count::new(k(slice), 1000)];
            cell.calls = 1000;
        }
        cells
    }

    fn middles(cells: &Cells) -> Vec<i64> {
        (0..i64::try_from(cells.dense().len()).unwrap())
            .map(|i| (i * cells.width_ms + cells.width_ms / 2) % DAY_MS)
            .collect()
    }

    #[test]
    fn a_daily_cycle_is_expected_and_not_spread() {
        let wave = |slice: i64| if slice % 144 < 72 { 100 } else { 300 };
        let cells = filled(7, wave);
        let series = cells.series(&cells.dense(), &middles(&cells), 0, true);
        let hours = series.reference.hours.as_ref().expect("a week knows its hours");
        assert_eq!((hours.k[3], hours.n[3], hours.k[20]), (4200, 42_000, 12_600));
        let inside = series.residuals.iter().filter(|r| r.deviation.abs() < 1.0).count();
        assert!(
            inside * 10 > series.residuals.len() * 8,
            "all but the hours of change are as expected: {inside}"
        );
    }

    #[test]
    fn days_that_differ_are_a_spread_that_panes_do_not_show() {
        let level = |slice: i64| if slice / 144 % 2 == 0 { 190 } else { 210 };
        let cells = filled(28, level);
        let series = cells.series(&cells.dense(), &middles(&cells), 0, true);
        let short = design_effect(&series.residuals, 1).unwrap();
        let long = design_effect(&series.residuals, 144).unwrap();
        assert!(short < 1.0 && long > 20.0, "{short} {long}");
    }

    /// Fewer events on the weekends of Berlin, over days that begin in winter and end in summer time.
    fn weekends(days: i64, weekend: u64) -> (Cells, Vec<i64>) {
        let zone = crate::config::zone("Europe/Berlin").expect("it is known");
        let start: Timestamp = "2026-03-16T23:00:00Z".parse().expect("a time");
        let mut cells = Cells::new(10 * MINUTE_MS, 10_000);
        let mut middles = vec![];
        for slice in 0..days * 144 {
            let at = start.plus_ms(slice * 10 * MINUTE_MS);
            let civil = civil_ms(&zone, at.plus_ms(5 * MINUTE_MS));
            let usual = if crate::reference::baseline::weekday(civil) < 5 { 100 } else { weekend };
            let noise = u64::try_from(slice.wrapping_mul(7919) % 13).expect("small");
            cells.cell(at).counts = vec![Count::new(usual + noise, 1000)];
            middles.push(civil);
        }
        (cells, middles)
    }

    #[test]
    fn weekdays_are_of_the_local_calendar_and_known_from_two_weeks_on() {
        for (days, weekend, known) in [(13, 60, false), (14, 60, true), (28, 60, true), (28, 100, false)] {
            let (cells, middles) = weekends(days, weekend);
            let series = cells.series(&cells.dense(), &middles, 0, true);
            assert_eq!(series.reference.week.is_some(), known, "{days} days, {weekend}");
            let Some(week) = series.reference.week else { continue };
            assert!(week[5] < -0.3 && week[6] < -0.3, "{week:?}");
            assert!(week[..5].iter().all(|shift| (0.05..0.25).contains(shift)), "{week:?}");
            let far = series.residuals.iter().filter(|r| r.deviation.abs() > 12.0).count();
            assert_eq!(far, 0, "the hour that was left out or came twice moves no day");
            assert!(cells.series(&cells.dense(), &middles, 0, false).reference.week.is_none());
        }
    }

    #[test]
    fn slices_double_when_there_are_too_many() {
        let mut cells = Cells::new(MINUTE_MS, 8);
        (0..100).for_each(|minute| cells.add_calls(at(minute), 1));
        assert!(cells.cells.len() <= 8);
        assert_eq!(cells.width_ms, 16 * MINUTE_MS);
        assert_eq!(cells.cells.values().map(|c| c.calls).sum::<u64>(), 100);
        assert_eq!(cells.span_ms(), 112 * MINUTE_MS);
        let mut copy = cells.clone();
        copy.cells.clear();
        for (at, cell) in cells.take_changed() {
            cell.into_iter().for_each(|cell| copy.restore(at, cell));
        }
        assert_eq!(copy.cells, cells.cells);
        assert!(cells.take_changed().is_empty());
    }

    #[test]
    fn one_burst_of_the_reference_is_normal() {
        let mut cells = filled(7, |_| 10);
        let series = |cells: &Cells| cells.series(&cells.dense(), &middles(cells), 0, true);
        let of_day = |at: Timestamp| at.as_ms().rem_euclid(DAY_MS);
        let calm = series(&cells);
        assert!((cells.burst(0, &calm, &of_day) - 1.0).abs() < 1e-9);
        let cell = cells.cell(at(500));
        cell.minutes.insert(500, vec![Count::new(20, 100)]);
        let after = series(&cells);
        // 20 of 100 where 1 was due: a deviance of 85, where a week of independent minutes would not show 25.
        let floor = cells.burst(0, &after, &of_day);
        assert!(floor > 4.0 && floor < 20.0, "{floor}");
    }

    #[test]
    fn traffic_that_rests_on_weekends_is_expected_to() {
        let day = |slice: i64| slice / 144;
        // From a Monday.
        let middles: Vec<i64> = (0..28 * 144).map(|i| 4 * DAY_MS + (i * 10 + 5) * MINUTE_MS).collect();
        let calls =
            |slice: i64| if day(slice) % 7 < 5 { 200 } else { 60 } + 3 * u64::from(day(slice) % 4 == 1);
        let calls: Vec<u64> = (0..28 * 144).map(calls).collect();
        let known = traffic(&calls, &middles, 10 * MINUTE_MS).expect("enough");
        let week = known.week.expect("weekends differ");
        assert!(((week[6] / week[2]) - 0.3).abs() < 0.02, "{week:?}");
        assert!(known.level[0] > 0.9 && known.level[1] < 1.1, "{:?}", known.level);
        let short = traffic(&calls[..13 * 144], &middles[..13 * 144], 10 * MINUTE_MS).expect("enough");
        assert!(
            short.week.is_none() && short.level[0] < 0.5,
            "what is not known is spread: {:?}",
            short.level
        );
    }

    #[test]
    fn traffic_knows_its_hours_its_level_and_its_bursts() {
        let calls: Vec<u64> = (0..7 * 144)
            .map(|slice| {
                let day = if slice / 144 == 3 { 8 } else { 10 };
                let hour = if slice % 144 < 72 { 10 } else { 30 };
                day * hour
            })
            .collect();
        let middles: Vec<i64> = (0..7 * 144).map(|i| (i * 10 + 5) * MINUTE_MS % DAY_MS).collect();
        let known = traffic(&calls, &middles, 10 * MINUTE_MS).expect("enough");
        assert!((known.hours[3] * 600.0 - 97.0).abs() < 1.0 && (known.hours[20] * 600.0 - 291.0).abs() < 2.0);
        assert!((0.6..0.85).contains(&known.level[0]), "{:?}", known.level);
        assert!(known.d < 2.0, "a day that is lower is no burst: {}", known.d);
        assert_eq!(traffic(&[0; 100], &middles[..100], 10 * MINUTE_MS), None);
    }
}
