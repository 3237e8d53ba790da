//! Support for the benchmarks beside it: realistic records, CPU time, the machine.

pub mod pages;
pub mod panes;
pub mod running;
pub mod web;

use std::fs;
use std::time::{Duration, SystemTime};

use fleet::{Fleet, FleetConfig, Kind, Scenario};
use wire::Timestamp;

/// Predictions of the simulated fleet's two large models: some 420 bytes of JSON with ten features each.
#[must_use]
pub fn predictions(n: usize) -> Vec<Vec<u8>> {
    let mut fleet =
        Fleet::new(&FleetConfig { scenario: Scenario::Steady, rate: 50.0, ..FleetConfig::default() });
    let mut records = Vec::with_capacity(n);
    while records.len() < n {
        let record = fleet.advance();
        if record.kind == Kind::Prediction && matches!(record.model, "fraud" | "ranking") {
            records.push(record.json.to_vec());
        }
    }
    records
}

/// What the machine's clock shows.
///
/// # Panics
/// On a machine whose clock is before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp::EPOCH.plus_ms(i64::try_from(since.as_millis()).expect("in range"))
}

/// CPU time of a process so far, user and system, all its threads. Resolution: 10 ms.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let rest = stat.rsplit_once(')').expect("a name in parentheses").1;
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|t| t.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

/// CPU time of this thread, to the nanosecond.
///
/// # Panics
/// If the kernel does not say.
#[must_use]
pub fn thread_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("scheduler statistics");
    Duration::from_nanos(stat.split_whitespace().next().and_then(|t| t.parse().ok()).expect("nanoseconds"))
}

/// Model of the CPU and number of cores, for the report.
#[must_use]
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = info.lines().filter(|l| l.starts_with("processor")).count();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown");
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}
