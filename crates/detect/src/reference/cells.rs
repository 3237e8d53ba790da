//! Slices of a reference's time: what each test counted in each, from which its rate, its day and its spread follow.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use stats::design_effect::{Residual, Shrinkage, design_effect, deviance, implied_by_shorter};
use wire::profile::Profile;
use wire::{Family, Timestamp};

use super::baseline::{Baseline, float, neighbours};
use super::{Hours, Reference, StreamReference, TestReference, TrafficReference};
use crate::config::time_of_day_ms;
use crate::family::{Count, Counting, StreamPlan, by_age, count, plan};
use crate::pane::PaneCounts;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Windows at which the spread is read, as parts of the reference: the longest fits five times.
const WINDOWS: [i64; 6] = [160, 80, 40, 20, 10, 5];
/// The longest window, however long the reference.
const WINDOW_MAX_MS: i64 = DAY_MS;
/// Reference time from which hours of the day are told apart.
const HOURS_FROM_MS: i64 = 7 * DAY_MS;

/// Bursts are looked for in slices of so much.
const MINUTE_MS: i64 = 60_000;
/// Share below which a test is one of a tail.
const RARE: f64 = 0.02;
/// Windows of 1, 2, 4, … 64 minutes.
const SPREAD_LEVELS: u32 = 7;
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

/// Families whose records come in bursts of trouble that are normal: one such burst in the reference is none later.
fn is_bursty(family: Family) -> bool {
    matches!(family, Family::Latency | Family::Availability)
}

/// Families of few records and large effects: that days differ by a little is no reason to wait for many records, as it
/// would be if a day's spread divided the evidence of an hour. It is allowed for as a level.
fn has_level(family: Family) -> bool {
    family == Family::Other
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
        let of_day = |at: Timestamp| time_of_day_ms(&zone, at);
        let start_ms = self.cells.first_key_value().map_or(0, |(at, _)| at * self.width_ms);
        let start = Timestamp::EPOCH.plus_ms(start_ms);
        let window = [start, start.plus_ms(self.span_ms())];
        let dense = self.dense();
        let middles: Vec<i64> = (0_i64..)
            .zip(&dense)
            .map(|(i, _)| of_day(start.plus_ms(i * self.width_ms + self.width_ms / 2)))
            .collect();
        let mut bursty = 0_usize;
        let mut streams = Vec::with_capacity(plan.len());
        let mut at = 0;
        for stream in &plan {
            let mut series: Vec<Series> =
                (at..at + stream.tests.len()).map(|test| self.series(&dense, &middles, test)).collect();
            pool(stream, &mut series);
            at += stream.tests.len();
            let bursts: Vec<f64> = series
                .iter()
                .map(|one| {
                    if !is_bursty(stream.family) {
                        return 1.0;
                    }
                    bursty += 1;
                    self.burst(bursty - 1, one, &of_day)
                })
                .collect();
            let spreads = if by_age(stream.family) {
                self.spreads(bursty - series.len(), &series, &of_day)
            } else {
                vec![]
            };
            streams.push(self.stream(stream, &series, &bursts, spreads));
        }
        let traffic = self.traffic(&dense, &middles);
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

    fn series(&self, dense: &[&Cell], middles: &[i64], test: usize) -> Series {
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
            d_hour: 1.0,
            level: 0.0,
            spread: vec![],
            hours: tolerated,
        };
        reference.d_hour = self.within_hours(&counts, middles, &reference);
        let day = Baseline::new(&TestReference { tolerated: sum.k, hours: plain, ..reference.clone() });
        let residuals = counts
            .iter()
            .zip(middles)
            .map(|(count, middle)| {
                Residual::new(count.k.min(count.n), count.n, day.at(*middle).rate.clamp(0.0, 1.0))
            })
            .collect();
        Series { reference, residuals, day }
    }

    /// The least d at which the worst minute of the reference counts as normal, of a bursty family's test.
    ///
    /// As `stats::design_effect::burst_floor`, against the hour's own rate.
    fn burst(&self, test: usize, series: &Series, of_day: &dyn Fn(Timestamp) -> i64) -> f64 {
        let minutes = self.cells.values().flat_map(|cell| &cell.minutes);
        let (mut most, mut filled) = (0.0_f64, 1_u64);
        for (minute, counts) in minutes {
            let Some(count) = counts.get(test).filter(|count| count.n > 0) else { continue };
            let middle = Timestamp::EPOCH.plus_ms(minute * MINUTE_MS + MINUTE_MS / 2);
            let rate = series.day.at(of_day(middle)).rate.clamp(1e-9, 1.0 - 1e-9);
            // Fewer than usual is no burst.
            if float(count.k) > rate * float(count.n) {
                most = most.max(deviance(float(count.k.min(count.n)), float(count.n), rate));
            }
            filled += 1;
        }
        (1.3 * most / (2.0 * libm::log(4.0 * float(filled)) + 3.0)).max(1.0)
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
                let hour = usize::try_from(middle / HOUR_MS).expect("an hour of the day").min(23);
                Residual::new(c.tolerated.min(c.n), c.n, rates[hour])
            })
            .collect();
        let window = usize::try_from((HOUR_MS / self.width_ms).max(1)).expect("a few slices");
        let days = (self.span_ms() / DAY_MS).max(2);
        #[expect(clippy::cast_precision_loss, reason = "a count of days")]
        let fitted = 1.0 - 1.0 / days as f64;
        design_effect(&residuals, window).unwrap_or(1.0).max(1.0) / fitted
    }

    /// Design effects of the tests of a bursty stream at windows of 1, 2, 4, … minutes: each at least what makes the
    /// worst window of the reference normal, and most of what its group has.
    fn spreads(&self, first: usize, series: &[Series], of_day: &dyn Fn(Timestamp) -> i64) -> Vec<Vec<f64>> {
        let panes: Vec<Vec<Residual>> =
            series.iter().enumerate().map(|(i, one)| self.by_minute(first + i, one, of_day)).collect();
        let length = panes.first().map_or(0, Vec::len);
        let mut out = vec![vec![]; series.len()];
        let mut shorter = vec![1.0_f64; series.len()];
        for level in 0..SPREAD_LEVELS {
            let window = 1_usize << level;
            if window > length / 4 {
                break;
            }
            let blocks = float(length as u64) / float(window as u64);
            let own: Vec<Option<f64>> = panes.iter().map(|panes| design_effect(panes, window)).collect();
            let mean = |rare: bool| {
                let of_group = own.iter().zip(series).filter(|(_, one)| one.is_rare() == rare);
                let known: Vec<f64> = of_group.filter_map(|(own, _)| *own).collect();
                if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / float(known.len() as u64) }
            };
            for (i, one) in series.iter().enumerate() {
                let k = one.reference.k.min(one.reference.n);
                let group = mean(one.is_rare());
                let shrunk = Shrinkage {
                    own: own[i],
                    blocks,
                    events: k.min(one.reference.n - k),
                    group,
                    model: group,
                    shorter: shorter[i],
                };
                let implied = if blocks < 8.0 { implied_by_shorter(shorter[i], 2.0) } else { 1.0 };
                let d = shrunk.value().max(worst(&panes[i], window)).max(0.8 * group).max(implied);
                shorter[i] = d;
                out[i].push(round(d));
            }
        }
        out
    }

    /// A bursty test minute by minute, without a gap, against the hour's own rate.
    fn by_minute(&self, test: usize, series: &Series, of_day: &dyn Fn(Timestamp) -> i64) -> Vec<Residual> {
        let minutes = || self.cells.values().flat_map(|cell| &cell.minutes);
        let (Some(first), Some(last)) =
            (minutes().map(|(at, _)| *at).min(), minutes().map(|(at, _)| *at).max())
        else {
            return vec![];
        };
        let length = usize::try_from(last - first + 1).unwrap_or(0).min(MINUTES_MAX);
        let mut out = vec![Residual::default(); length];
        for (minute, counts) in minutes() {
            let slot = usize::try_from(minute - first).ok().and_then(|at| out.get_mut(at));
            if let (Some(slot), Some(count)) = (slot, counts.get(test)) {
                let middle = Timestamp::EPOCH.plus_ms(minute * MINUTE_MS + MINUTE_MS / 2);
                let rate = series.day.at(of_day(middle)).rate.clamp(0.0, 1.0);
                *slot = slot.plus(Residual::new(count.k.min(count.n), count.n, rate));
            }
        }
        out
    }

    fn stream(
        &self,
        plan: &StreamPlan,
        series: &[Series],
        bursts: &[f64],
        mut spreads: Vec<Vec<f64>>,
    ) -> StreamReference {
        spreads.resize(series.len(), vec![]);
        let mut shorter = vec![1.0_f64; series.len()];
        let mut most = vec![1.0_f64; series.len()];
        let mut surely = vec![1.0_f64; series.len()];
        let mut levels = vec![0.0_f64; series.len()];
        let length = series.first().map_or(0, |s| s.residuals.len());
        for part in WINDOWS {
            let window_ms = (self.span_ms() / part).min(WINDOW_MAX_MS);
            let window = usize::try_from(window_ms / self.width_ms).expect("fits a day");
            if window == 0 || window > length / 4 {
                continue;
            }
            let blocks = float(length as u64) / float(window as u64);
            let own: Vec<Option<f64>> = series.iter().map(|s| design_effect(&s.residuals, window)).collect();
            let mean = |keep: &dyn Fn(usize) -> bool| {
                let known: Vec<f64> = (0..own.len()).filter(|i| keep(*i)).filter_map(|i| own[i]).collect();
                if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / float(known.len() as u64) }
            };
            let all = mean(&|i| plan.tests[i].group >= 0);
            let groups: Vec<f64> =
                plan.tests.iter().map(|t| mean(&|i| plan.tests[i].group == t.group)).collect();
            for (i, one) in series.iter().enumerate() {
                let alone = plan.tests[i].group < 0;
                let shrunk = Shrinkage {
                    own: own[i],
                    blocks,
                    events: one.reference.k.min(one.reference.n - one.reference.k.min(one.reference.n)),
                    group: if alone { 1.0 } else { groups[i] },
                    model: if alone { 1.0 } else { all },
                    shorter: shorter[i],
                };
                shorter[i] = shrunk.value();
                if has_level(plan.family) && window_ms > HOUR_MS {
                    levels[i] = levels[i].max(one.level(shorter[i] - most[i], blocks));
                } else {
                    most[i] = shorter[i];
                    // Where a day evens out what its hours are, shorter windows differ more. Less what is chance, of which
                    // the largest of many has most.
                    let chance = (2.0 / (1.5 * blocks + 6.5)).sqrt();
                    surely[i] = surely[i].max(shorter[i] * (1.0 - chance));
                }
            }
        }
        most.iter_mut().zip(&surely).for_each(|(most, surely)| *most = most.max(*surely));
        let tests = series
            .iter()
            .zip(most.iter().zip(&levels).zip(bursts).zip(spreads))
            .map(|(one, (((d, level), burst), spread))| TestReference {
                d: round(d.max(*burst)),
                level: round6(*level),
                spread,
                ..one.reference.clone()
            })
            .collect();
        StreamReference { family: plan.family, name: plan.name.clone(), tests }
    }

    fn traffic(&self, dense: &[&Cell], middles: &[i64]) -> Option<TrafficReference> {
        traffic(&dense.iter().map(|c| c.calls).collect::<Vec<_>>(), middles, self.width_ms)
    }
}

/// The least d at which the worst window of so many panes counts as normal: as `stats::design_effect::burst_floor`, with
/// the deviance of a count whose mean is its variance, since shares of slow requests are small.
fn worst(panes: &[Residual], window: usize) -> f64 {
    let mut sum = Residual::default();
    let mut most = 0.0_f64;
    for (at, pane) in panes.iter().enumerate() {
        sum = sum.plus(*pane);
        if let Some(gone) = at.checked_sub(window) {
            sum = sum.plus(Residual { deviation: -panes[gone].deviation, variance: -panes[gone].variance });
        }
        // Fewer than usual is no burst.
        if at + 1 >= window && sum.deviation > 0.0 && sum.variance > 1e-6 {
            let (more, due) = (sum.deviation, sum.variance);
            most = most.max(2.0 * ((due + more) * libm::log1p(more / due) - more));
        }
    }
    let blocks = float(panes.len() as u64) / float(window as u64);
    (1.3 * most / (2.0 * libm::log(4.0 * blocks.max(1.0)) + 3.0)).max(1.0)
}

/// One test over the slices.
struct Series {
    reference: TestReference,
    residuals: Vec<Residual>,
    /// What the hours expect of the event itself.
    day: Baseline,
}

impl Series {
    /// A tail: its spread says little of the middle's.
    fn is_rare(&self) -> bool {
        float(self.reference.k) <= RARE * float(self.reference.n)
    }

    /// Twice the deviation of the rate over a window whose design effect is larger by `beyond`, `blocks` windows in all.
    fn level(&self, beyond: f64, blocks: f64) -> f64 {
        let TestReference { k, n, .. } = self.reference;
        if n == 0 {
            return 0.0;
        }
        let rate = float(k.min(n)) / float(n);
        2.0 * (rate * (1.0 - rate) * beyond.max(0.0) * blocks / float(n)).sqrt()
    }
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
            let hour = usize::try_from(middle / HOUR_MS).expect("an hour of the day").min(23);
            hours.k[hour] += k(count).min(count.n);
            hours.n[hour] += count.n;
        }
        hours
    })
}

/// Four significant digits or so: a spread is not known better, and the reference stays small.
fn round(d: f64) -> f64 {
    (d * 1000.0).round() / 1000.0
}

/// Rates by hour, how far days leave them, and bursts. `None` below 4 slices or 20 calls.
fn traffic(calls: &[u64], middles: &[i64], width_ms: i64) -> Option<TrafficReference> {
    let total: u64 = calls.iter().sum();
    if calls.len() < 4 || total < 20 {
        return None;
    }
    let width_s = float(width_ms.unsigned_abs()) / 1000.0;
    let mean = float(total) / (float(calls.len() as u64) * width_s);
    let mut hours = vec![mean; 24];
    if float(calls.len() as u64) * width_s * 1000.0 >= float(HOURS_FROM_MS.unsigned_abs()) {
        let mut sums = [(0_u64, 0_u64); 24];
        for (n, middle) in calls.iter().zip(middles) {
            let hour = usize::try_from(middle / HOUR_MS).expect("an hour of the day").min(23);
            sums[hour].0 += n;
            sums[hour].1 += 1;
        }
        for (hour, (n, slices)) in sums.into_iter().enumerate().filter(|(_, (_, slices))| *slices > 0) {
            hours[hour] = float(n) / (float(slices) * width_s);
        }
    }
    let expected: Vec<f64> = middles.iter().map(|middle| expected_calls(&hours, *middle) * width_s).collect();
    let level = level(calls, &expected, width_ms);
    Some(TrafficReference {
        hours: hours.into_iter().map(round6).collect(),
        level,
        d: round(bursts(calls, &expected)),
    })
}

fn round6(rate: f64) -> f64 {
    (rate * 1e6).round() / 1e6
}

/// Calls a second expected at a time of day.
pub(crate) fn expected_calls(hours: &[f64], time_of_day_ms: i64) -> f64 {
    let (before, after, share) = neighbours(time_of_day_ms);
    match (hours.get(before), hours.get(after)) {
        (Some(a), Some(b)) => a + (b - a) * share,
        (None, _) | (_, None) => 0.0,
    }
}

/// Lowest and highest of calls over expected, in windows of at least an hour and 50 expected calls.
fn level(calls: &[u64], expected: &[f64], width_ms: i64) -> [f64; 2] {
    let hour = usize::try_from((HOUR_MS / width_ms).max(1)).expect("a few slices");
    let (mut low, mut high) = (1.0_f64, 1.0_f64);
    let (mut from, mut sum, mut due) = (0, 0.0, 0.0);
    for to in 0..calls.len() {
        sum += float(calls[to]);
        due += expected[to];
        while to - from >= hour && due - expected[from] >= 50.0 {
            sum -= float(calls[from]);
            due -= expected[from];
            from += 1;
        }
        if to + 1 - from >= hour && due >= 50.0 {
            low = low.min(sum / due);
            high = high.max(sum / due);
        }
    }
    [round(low), round(high)]
}

/// Variance over mean of the calls of a slice around the mean of its neighbours.
fn bursts(calls: &[u64], expected: &[f64]) -> f64 {
    const SIDE: usize = 3;
    let (mut ratios, mut n) = (0.0, 0_u64);
    for at in SIDE..calls.len().saturating_sub(SIDE) {
        let around = at - SIDE..=at + SIDE;
        let (sum, due) = around.fold((0.0, 0.0), |(s, e), i| (s + float(calls[i]), e + expected[i]));
        let mean = if due > 0.0 { sum * expected[at] / due } else { 0.0 };
        if mean > 0.5 {
            ratios += (float(calls[at]) - mean).powi(2) / mean;
            n += 1;
        }
    }
    // Each mean was fitted on seven slices, this one among them.
    if n == 0 { 1.0 } else { (ratios / float(n) * 7.0 / 6.0).max(1.0) }
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
        let series = cells.series(&cells.dense(), &middles(&cells), 0);
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
        let series = cells.series(&cells.dense(), &middles(&cells), 0);
        let short = design_effect(&series.residuals, 1).unwrap();
        let long = design_effect(&series.residuals, 144).unwrap();
        assert!(short < 1.0 && long > 20.0, "{short} {long}");
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
        let series = |cells: &Cells| cells.series(&cells.dense(), &middles(cells), 0);
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
