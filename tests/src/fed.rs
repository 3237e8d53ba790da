//! Telemetry of the simulated fleet, posted to a running process as a test wants it.

use std::collections::BTreeSet;
use std::time::Duration;

use fleet::{Fleet, FleetConfig, Scenario};
use serde_json::Value;
use wire::Timestamp;

use crate::process::Process;
use crate::wait;

/// Event time in one post.
const STEP_MS: i64 = 10_000;

/// A fleet without trouble, and what a test does to its records on their way.
pub struct Feed {
    fleet: Fleet,
    /// Only these models; all when empty.
    models: BTreeSet<&'static str>,
    /// Arrival of the last record posted.
    pub now: Timestamp,
    /// Records posted so far.
    pub records: u64,
    /// A record that arrives after what was asked for.
    kept: Option<(Timestamp, Vec<u8>)>,
}

impl Feed {
    /// The models of this name at `rate` times their usual traffic.
    #[must_use]
    pub fn new(models: &[&'static str], rate: f64) -> Self {
        let config = FleetConfig { seed: 11, rate, scenario: Scenario::Steady, ..FleetConfig::default() };
        let models = models.iter().copied().collect();
        Self { fleet: Fleet::new(&config), models, now: config.start, records: 0, kept: None }
    }

    /// The records of the next `ms` of event time, one JSON object a line, each changed by `change`.
    pub fn lines(&mut self, ms: i64, mut change: impl FnMut(&mut Value)) -> Vec<u8> {
        let end = self.now.plus_ms(ms);
        let mut out = Vec::new();
        if let Some((arrival, line)) = self.kept.take() {
            if arrival >= end {
                self.kept = Some((arrival, line));
                self.now = end;
                return out;
            }
            out.extend(line);
            self.records += 1;
        }
        loop {
            let record = self.fleet.advance();
            if !self.models.is_empty() && !self.models.contains(record.model) {
                continue;
            }
            let mut value: Value = serde_json::from_slice(record.json).expect("the fleet writes JSON");
            change(&mut value);
            let mut line = value.to_string().into_bytes();
            line.push(b'\n');
            if record.arrival >= end {
                self.kept = Some((record.arrival, line));
                break;
            }
            out.extend(line);
            self.records += 1;
        }
        self.now = end;
        out
    }

    /// Posts the next `ms` of event time, `speed` times as fast as the clock.
    ///
    /// # Panics
    /// When the process does not take them.
    pub fn play(&mut self, process: &Process, ms: i64, speed: u32, mut change: impl FnMut(&mut Value)) {
        let end = self.now.plus_ms(ms);
        let pause = Duration::from_millis(STEP_MS.unsigned_abs()) / speed;
        while self.now < end {
            let lines = self.lines(STEP_MS.min(end.since_ms(self.now)), &mut change);
            post(process, &lines);
            std::thread::sleep(pause);
        }
    }

    /// Plays until there is an answer.
    ///
    /// # Panics
    /// When there is none within `most_ms` of event time; says what was waited for.
    pub fn play_until<T>(
        &mut self,
        process: &Process,
        what: &str,
        (most_ms, speed): (i64, u32),
        mut change: impl FnMut(&mut Value),
        mut ask: impl FnMut() -> Option<T>,
    ) -> T {
        let end = self.now.plus_ms(most_ms);
        while self.now < end {
            self.play(process, STEP_MS, speed, &mut change);
            if let Some(answer) = ask() {
                return answer;
            }
        }
        // What was posted last may still be on its way.
        wait::until(what, ask)
    }
}

/// Posts lines of telemetry; what the process has no room for is posted again.
///
/// # Panics
/// When it does not take them in time.
pub fn post(process: &Process, lines: &[u8]) {
    if lines.is_empty() {
        return;
    }
    wait::until("telemetry is taken", || match process.telemetry(lines) {
        Ok(answer) if answer.status == 202 => Some(()),
        Ok(answer) if answer.status == 429 || answer.status >= 500 => None,
        Ok(answer) => panic!("telemetry was refused: {} {}", answer.status, answer.text),
        Err(_) => None,
    });
}

/// No change.
pub fn as_it_is(_: &mut Value) {}

/// Makes every prediction of `model` take `factor` times as long.
pub fn slower(model: &'static str, factor: f64) -> impl FnMut(&mut Value) {
    move |record| {
        if record["model"] == model
            && let Some(ms) = record["latency_ms"].as_f64()
        {
            record["latency_ms"] = (ms * factor).into();
        }
    }
}
