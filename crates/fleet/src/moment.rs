//! What the world is like for one model right now: time of day and week, load, pauses, blips. Steps of ten seconds.

use crate::lineup::ModelSpec;
use crate::rng::Rng;

/// Width of a step. Within one, everything but the arrivals is constant.
pub(crate) const STEP_MS: f64 = 10_000.0;
const STEP_S: f64 = STEP_MS / 1000.0;
const TWO_PI: f64 = 2.0 * std::f64::consts::PI;
/// Local hour at which the day is busiest.
const PEAK_H: f64 = 14.0;
/// Traffic is 1 ± this over the day.
const DAY_SWING: f64 = 0.6;
/// How much slower the busiest hour is than the quietest.
const BUSY_SLOWER: f64 = 0.13;
/// Deviation of the logarithm of traffic, correlated over twenty minutes.
const TRAFFIC_WANDER: f64 = 0.06;
/// Pauses as of a garbage collector: how often, how long.
const PAUSE_EVERY_S: f64 = 600.0;
const PAUSE_MS: (f64, f64) = (80.0, 500.0);
/// Blips of errors: how often, how long, how many more calls fail.
const BLIP_EVERY_S: f64 = 8.0 * 3600.0;
const BLIP_MS: (f64, f64) = (15_000.0, 40_000.0);
const BLIP_ERRORS: f64 = 0.015;

/// One model's moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    rng: Rng,
    /// Epoch milliseconds of the fleet's start on its users' clocks.
    local_start_ms: i64,
    /// Number of steps begun.
    steps: i64,
    latency: Wander,
    traffic: Wander,
    mix: Wander,
    weather: Wander,
    /// Milliseconds since the fleet's start.
    pause: (f64, f64),
    blip: (f64, f64),
    /// -1 in the quietest hour, 1 in the busiest.
    pub(crate) cycle: f64,
    /// Traffic against the daily mean.
    pub(crate) traffic_factor: f64,
    pub(crate) latency_factor: f64,
}

impl Moment {
    pub(crate) fn new(spec: &ModelSpec, start_ms: i64, mut rng: Rng) -> Self {
        let (latency, traffic) = (Wander::new(&mut rng, 269.0), Wander::new(&mut rng, 1200.0));
        let (mix, weather) = (Wander::new(&mut rng, 3600.0), Wander::new(&mut rng, 8.0 * 3600.0));
        let mut moment = Self {
            rng,
            local_start_ms: start_ms.saturating_add(i64::from(spec.zone_h) * 3_600_000),
            steps: 0,
            latency,
            traffic,
            mix,
            weather,
            pause: (0.0, 0.0),
            blip: (0.0, 0.0),
            cycle: 0.0,
            traffic_factor: 1.0,
            latency_factor: 1.0,
        };
        moment.step(spec);
        moment
    }

    /// When this step ends, in milliseconds since the fleet's start.
    pub(crate) fn ends(&self) -> f64 {
        self.steps as f64 * STEP_MS
    }

    /// Goes to the next step.
    pub(crate) fn step(&mut self, spec: &ModelSpec) {
        let begins = self.ends();
        let local_ms = self.local_start_ms.saturating_add(crate::json::fixed(begins, 0));
        let hour = local_ms.rem_euclid(86_400_000) as f64 / 3_600_000.0;
        // The epoch began on a Thursday.
        let day = (local_ms.saturating_add(4 * 86_400_000)).rem_euclid(7 * 86_400_000) as f64 / 86_400_000.0;
        let (height, peak) = spec.tune.week;
        let week = 1.0 + height * libm::cos(TWO_PI * (day - peak) / 7.0);
        self.cycle = libm::cos(TWO_PI * (hour - PEAK_H) / 24.0);
        let traffic = self.traffic.step(&mut self.rng);
        self.traffic_factor = (1.0 + DAY_SWING * self.cycle) * week * libm::exp(TRAFFIC_WANDER * traffic);
        let busy = 1.0 + BUSY_SLOWER * (0.5 + 0.5 * self.cycle);
        self.latency_factor = busy * libm::exp(spec.tune.latency_wander * self.latency.step(&mut self.rng));
        self.mix.step(&mut self.rng);
        self.weather.step(&mut self.rng);
        if self.rng.chance(STEP_S / PAUSE_EVERY_S) {
            let from = begins + self.rng.between(0.0, STEP_MS);
            self.pause = (from, from + self.rng.between(PAUSE_MS.0, PAUSE_MS.1));
        }
        if self.rng.chance(STEP_S / BLIP_EVERY_S) {
            let from = begins + self.rng.between(0.0, STEP_MS);
            self.blip = (from, from + self.rng.between(BLIP_MS.0, BLIP_MS.1));
        }
        self.steps += 1;
    }

    /// What is left of a pause at this time.
    pub(crate) fn pause_ms(&self, at: f64) -> f64 {
        if self.pause.0 <= at && at < self.pause.1 { self.pause.1 - at } else { 0.0 }
    }

    /// Share of calls that fail on top of the usual.
    pub(crate) fn blip_errors(&self, at: f64) -> f64 {
        if self.blip.0 <= at && at < self.blip.1 { BLIP_ERRORS } else { 0.0 }
    }

    /// How the mix of requests has wandered, in deviations.
    pub(crate) fn mix(&self) -> f64 {
        self.mix.value
    }

    pub(crate) fn weather(&self) -> f64 {
        self.weather.value
    }
}

/// A normal of mean 0 and deviation 1 that remembers (Ornstein–Uhlenbeck, exact at the steps).
#[derive(Clone, Debug)]
struct Wander {
    value: f64,
    keep: f64,
    renew: f64,
}

impl Wander {
    /// Correlated e^-1 after `memory_s`. 269 s is 0.8 after a minute.
    fn new(rng: &mut Rng, memory_s: f64) -> Self {
        let keep = libm::exp(-STEP_S / memory_s);
        Self { value: rng.normal(), keep, renew: (1.0 - keep * keep).sqrt() }
    }

    fn step(&mut self, rng: &mut Rng) -> f64 {
        self.value = self.keep * self.value + self.renew * rng.normal();
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wander_has_its_deviation_and_memory() {
        let mut rng = Rng::new(4, 0);
        let mut wander = Wander::new(&mut rng, 269.0);
        let values: Vec<f64> = (0..600_000).map(|_| wander.step(&mut rng)).collect();
        let n = values.len() as f64;
        let variance = values.iter().map(|x| x * x).sum::<f64>() / n;
        let minute = values.iter().zip(&values[6..]).map(|(a, b)| a * b).sum::<f64>() / n / variance;
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        assert!((minute - 0.8).abs() < 0.02, "{minute}");
    }
}
