//! The spread of a reference's tests: how many of their records are worth one independent record, at which window.

use stats::design_effect::{Residual, Shrinkage, design_effect, deviance, implied_by_shorter};
use stats::excursions::tail;
use wire::{Family, Timestamp};

use super::{Cells, DAY_MS, MINUTE_MS, MINUTES_MAX, Series, round};
use crate::family::{StreamPlan, bets, by_age, learns_spread, sides};
use crate::reference::baseline::float;
use crate::reference::{StreamReference, TestReference};

/// Windows at which the spread is read, as parts of the reference: the longest fits five times.
const WINDOWS: [i64; 6] = [160, 80, 40, 20, 10, 5];
/// The longest window, however long the reference.
const WINDOW_MAX_MS: i64 = DAY_MS;
/// A spread that grows: at the longest window at least so large, and so many times that of a quarter of it.
const GROWN: (f64, f64) = (3.0, 2.0);
/// Share below which a test is one of a tail.
const RARE: f64 = 0.02;
/// Windows of 1, 2, 4, … 64 minutes.
const SPREAD_LEVELS: u32 = 7;

/// The longest window at which the spread of a reference of so much event time is read.
pub(crate) fn longest_window_ms(span_ms: i64) -> i64 {
    (span_ms / WINDOWS[WINDOWS.len() - 1]).min(WINDOW_MAX_MS)
}

/// Families whose records come in bursts of trouble that are normal: one such burst in the reference is none later.
pub(super) fn is_bursty(family: Family) -> bool {
    matches!(family, Family::Latency | Family::Availability)
}

impl Cells {
    /// The least d at which the worst minute of the reference counts as normal, of a bursty family's test.
    ///
    /// As `stats::design_effect::burst_floor`, against the hour's own rate.
    pub(super) fn burst(&self, test: usize, series: &Series, civil: &dyn Fn(Timestamp) -> i64) -> f64 {
        let minutes = self.cells.values().flat_map(|cell| &cell.minutes);
        let (mut most, mut filled) = (0.0_f64, 1_u64);
        for (minute, counts) in minutes {
            let Some(count) = counts.get(test).filter(|count| count.n > 0) else { continue };
            let middle = Timestamp::EPOCH.plus_ms(minute * MINUTE_MS + MINUTE_MS / 2);
            let rate = series.day.at(civil(middle)).rate.clamp(1e-9, 1.0 - 1e-9);
            // Fewer than usual is no burst.
            if float(count.k) > rate * float(count.n) {
                most = most.max(deviance(float(count.k.min(count.n)), float(count.n), rate));
            }
            filled += 1;
        }
        (1.3 * most / (2.0 * libm::log(4.0 * float(filled)) + 3.0)).max(1.0)
    }

    /// Design effects of the tests of a bursty stream at windows of 1, 2, 4, … minutes: each at least what makes the
    /// worst window of the reference normal, and most of what its group has.
    pub(super) fn spreads(
        &self,
        first: usize,
        series: &[Series],
        civil: &dyn Fn(Timestamp) -> i64,
    ) -> Vec<Vec<f64>> {
        let panes: Vec<Vec<Residual>> =
            series.iter().enumerate().map(|(i, one)| self.by_minute(first + i, one, civil)).collect();
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
    fn by_minute(&self, test: usize, series: &Series, civil: &dyn Fn(Timestamp) -> i64) -> Vec<Residual> {
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
                let rate = series.day.at(civil(middle)).rate.clamp(0.0, 1.0);
                *slot = slot.plus(Residual::new(count.k.min(count.n), count.n, rate));
            }
        }
        out
    }

    /// A stream's tests, each with its rate and its spread.
    pub(super) fn stream(
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
                most[i] = shorter[i];
                // Where a day evens out what its hours are, shorter windows differ more. Less what is chance, of which
                // the largest of many has most.
                let chance = (2.0 / (1.5 * blocks + 6.5)).sqrt();
                surely[i] = surely[i].max(shorter[i] * (1.0 - chance));
            }
        }
        most.iter_mut().zip(&surely).for_each(|(most, surely)| *most = most.max(*surely));
        let tests = series
            .iter()
            .zip(most.iter().zip(bursts).zip(spreads))
            .map(|(one, ((d, burst), spread))| TestReference {
                d: round(d.max(*burst)),
                tail: round(one.tail(plan.family, *d)),
                spread,
                ..one.reference.clone()
            })
            .collect();
        StreamReference {
            family: plan.family,
            name: plan.name.clone(),
            growing: !by_age(plan.family) && grows(series),
            tests,
        }
    }
}

/// Whether windows of a fifth of the reference differ much more than those of a twentieth: blocks that are as long as the
/// longest window show three times the spread there, and ones of a tenth of it no more. Latency is judged by windows of an
/// hour at most, whose spread is known one by one.
fn grows(series: &[Series]) -> bool {
    let mean = |part: usize| {
        let of = |one: &Series| {
            let d = design_effect(&one.residuals, one.residuals.len() / part)?;
            let k = one.reference.k.min(one.reference.n);
            let events = float(k.min(one.reference.n - k));
            Some((d, events / (events + 20.0)))
        };
        let known = series.iter().filter_map(of);
        let (sum, worth) = known.fold((0.0, 0.0), |(sum, all), (d, worth)| (sum + worth * d, all + worth));
        if worth > 0.0 { sum / worth } else { 1.0 }
    };
    let (long, short) = (mean(5), mean(20));
    long > GROWN.0 && long > GROWN.1 * short.max(1.0)
}

impl Series {
    /// How much further than its spread explains the evidence of the reference itself rises.
    fn tail(&self, family: Family, d: f64) -> f64 {
        if !learns_spread(family) {
            return 1.0;
        }
        sides(family).iter().map(|side| tail(&self.residuals, d, bets(family), *side)).fold(1.0, f64::max)
    }

    /// A tail: its spread says little of the middle's.
    fn is_rare(&self) -> bool {
        float(self.reference.k) <= RARE * float(self.reference.n)
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
