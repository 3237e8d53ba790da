//! Delay: one-sided, evidence alone, known baseline, run length at least a million records.

use stats::binomial::{ACCURACY_DELTAS, log_ratios};
use stats::spending::ratios_in_place;
use stats::{Side, Spending};

use super::draws::{Counts, Draws, float, median};

const RATE: f64 = 0.1;
/// Granted by record: the mean records to a false alarm are at least its inverse.
const BY_RECORD: f64 = 1e-6;
/// Healthy records before the change.
const BEFORE: u64 = 5_000;

/// Records from the change to the end of the pane that alarms.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    pub median: u64,
    /// Runs that alarmed before the change; they are left out.
    pub early: u64,
}

/// The error rate goes from a tenth to `p1`; panes of `records`.
pub fn delay(p1: f64, records: u64, runs: u64, seed: u64) -> Delay {
    let (healthy, worse) = (Counts::new(records, RATE), Counts::new(records, p1));
    let mut early = 0;
    let mut delays: Vec<u64> = (0..runs)
        .filter_map(|run| {
            let mut draws = Draws::new(seed, run);
            let mut stream = Stream::new(records);
            if (0..BEFORE.div_ceil(records)).any(|_| stream.alarms(healthy.draw(&mut draws))) {
                early += 1;
                return None;
            }
            (1..1_000_000).find(|_| stream.alarms(worse.draw(&mut draws))).map(|panes| panes * records)
        })
        .collect();
    Delay { median: median(&mut delays).expect("a change by half is found"), early }
}

struct Stream {
    state: Spending,
    records: u64,
    ratios: Vec<f64>,
}

impl Stream {
    fn new(records: u64) -> Self {
        Self { state: Spending::new(5), records, ratios: vec![] }
    }

    fn alarms(&mut self, k: u64) -> bool {
        self.ratios.clear();
        let n = float(self.records);
        log_ratios(float(k), n, RATE, Side::Up, &ACCURACY_DELTAS, 1.0, &mut self.ratios);
        ratios_in_place(&mut self.ratios);
        self.state.update(&self.ratios, &[0.2; 5], BY_RECORD * n) >= 1.0
    }
}
