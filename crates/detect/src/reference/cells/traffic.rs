//! How often a model is called, by hour and weekday, and how far that varies.

use super::week::{Slice, WEEK_FROM_MS, weekly};
use super::{HOUR_MS, HOURS_FROM_MS, hour_of, round, round6};
use crate::reference::TrafficReference;
use crate::reference::baseline::{float, neighbours};

/// Rates by hour, how far days leave them, and bursts. `None` below 4 slices or 20 calls.
pub(super) fn traffic(calls: &[u64], middles: &[i64], width_ms: i64) -> Option<TrafficReference> {
    let total: u64 = calls.iter().sum();
    if calls.len() < 4 || total < 20 {
        return None;
    }
    let width_s = float(width_ms.unsigned_abs()) / 1000.0;
    let mean = float(total) / (float(calls.len() as u64) * width_s);
    let mut hours = vec![mean; 24];
    let span_ms = width_ms * i64::try_from(calls.len()).unwrap_or(0);
    if span_ms >= HOURS_FROM_MS {
        let mut sums = [(0_u64, 0_u64); 24];
        for (n, middle) in calls.iter().zip(middles) {
            let hour = hour_of(*middle);
            sums[hour].0 += n;
            sums[hour].1 += 1;
        }
        for (hour, (n, slices)) in sums.into_iter().enumerate().filter(|(_, (_, slices))| *slices > 0) {
            hours[hour] = float(n) / (float(slices) * width_s);
        }
    }
    let by_hour: Vec<f64> = middles.iter().map(|middle| expected_calls(&hours, *middle) * width_s).collect();
    let slices = calls.iter().zip(middles).zip(&by_hour);
    let slices = slices.map(|((k, middle), expected)| Slice {
        civil_ms: *middle,
        k: *k,
        n: None,
        expected: *expected,
    });
    let week = (span_ms >= WEEK_FROM_MS).then(|| weekly(slices)).flatten();
    let times = |middle: i64| week.as_ref().map_or(1.0, |week| libm::exp(week.left_out(middle)));
    let expected: Vec<f64> =
        by_hour.iter().zip(middles).map(|(expected, middle)| expected * times(*middle)).collect();
    let level = level(calls, &expected, width_ms);
    Some(TrafficReference {
        hours: hours.into_iter().map(round6).collect(),
        week: week.map(|week| week.shifts.map(|shift| round(libm::exp(shift)))),
        level,
        d: round(bursts(calls, &expected)),
    })
}

/// Calls a second expected at a time by the local clock, whatever the weekday.
pub(crate) fn expected_calls(hours: &[f64], civil_ms: i64) -> f64 {
    let (before, after, share) = neighbours(civil_ms);
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
