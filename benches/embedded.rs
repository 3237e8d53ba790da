//! The embedded log's promises of size: 2 GB are open within 2 s after a kill, and a file does not grow beyond what is kept.
//!
//! Writes 2 GB to the temporary folder (`TMPDIR` names another). `TOCSIN_BENCH_GB` makes it smaller.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is set up by the environment and reads the clock"
)]

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runtime::log::{
    Cleanup, EmbeddedConfig, EmbeddedLog, Isolation, Log as _, NewRecord, TopicPartition, TopicSpec,
};
use tocsin_benches::{machine, predictions};

const PARTITIONS: u32 = 16;
const BATCH: usize = 5_000;
/// What stands for a day, and how much arrives in it.
const DAY: Duration = Duration::from_secs(2);
const DAY_BYTES: usize = 16_000_000;
const KEPT_DAYS: u32 = 3;
const DAYS: u32 = 14;
const KEYS: usize = 2_000;
const STATE_BYTES: usize = 2_000;

fn main() {
    if let Some(path) = std::env::args().find_map(|arg| arg.strip_prefix("--fill=").map(PathBuf::from)) {
        return fill(&path);
    }
    println!("machine: {}", machine());
    let folder = std::env::temp_dir().join(format!("tocsin-bench-embedded-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    killed(&folder.join("killed.log"));
    steady(&folder.join("steady.log"));
    std::fs::remove_dir_all(&folder).expect("ours");
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").len()
}

/// Opens what a process has left that was killed while it wrote.
fn killed(path: &Path) {
    let gigabytes: f64 = std::env::var("TOCSIN_BENCH_GB").map_or(2.0, |n| n.parse().expect("a number"));
    let myself = std::env::current_exe().expect("this program");
    let mut child = Command::new(myself)
        .arg(format!("--fill={}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program");
    let mut acknowledged = 0_usize;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        acknowledged = line.expect("text").parse().expect("a number");
        if size(path) as f64 >= gigabytes * 1e9 {
            break;
        }
    }
    child.kill().expect("it writes");
    child.wait().expect("ours");
    for cold in [true, false] {
        if cold && !forget_pages() {
            println!("from a cold disk: not measured, only root may drop the system's cache");
            continue;
        }
        let began = Instant::now();
        let log = EmbeddedLog::open(EmbeddedConfig::file(path)).expect("it opens");
        let took = began.elapsed();
        let found: usize = (0..PARTITIONS).map(|partition| records(&log, partition)).sum();
        assert!(found >= acknowledged, "{found} of {acknowledged} that were acknowledged");
        println!(
            "{:.1} GB, killed while it wrote: open after {:.0} ms from a {} disk (bar: 2000), {found} records of {acknowledged} acknowledged",
            size(path) as f64 / 1e9,
            took.as_secs_f64() * 1e3,
            if cold { "cold" } else { "warm" },
        );
    }
    std::fs::remove_file(path).expect("ours");
}

fn records(log: &EmbeddedLog, partition: u32) -> usize {
    let at = TopicPartition::new("telemetry", partition);
    let mut n = 0;
    let mut count = |_: runtime::log::Record<'_>| {
        n += 1;
        ControlFlow::Continue(())
    };
    log.read(&at, 0, None, Isolation::Committed, &mut count).expect("it can be read");
    n
}

/// Asks the system to read the disk again; false where it does not let us.
fn forget_pages() -> bool {
    let synced = Command::new("sync").status().is_ok_and(|done| done.success());
    synced && std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Appends for ever, and says after each batch how many records are acknowledged.
fn fill(path: &Path) {
    let config = EmbeddedConfig { partition_bytes: u64::MAX, ..EmbeddedConfig::file(path) };
    let log = EmbeddedLog::open(config).expect("it opens");
    let keep = Cleanup::Delete { retention_ms: None };
    log.ensure_topics(&[TopicSpec::new("telemetry", PARTITIONS, keep)], true).expect("a topic");
    let values = predictions(BATCH);
    for turn in 1_usize.. {
        let partition = u32::try_from(turn).expect("few") % PARTITIONS;
        let batch: Vec<NewRecord> =
            values.iter().map(|v| NewRecord::new("telemetry", v.clone()).partition(partition)).collect();
        log.append(&batch).expect("written");
        println!("{}", turn * BATCH);
    }
}

/// Two weeks at a steady rate, with a day of two seconds: telemetry is kept for three days, state is written over.
fn steady(path: &Path) {
    let log = EmbeddedLog::open(EmbeddedConfig::file(path)).expect("it opens");
    let kept = u64::try_from((DAY * KEPT_DAYS).as_millis()).expect("short");
    let topics = [
        TopicSpec::new("telemetry", 4, Cleanup::Delete { retention_ms: Some(kept) }),
        TopicSpec::new("state", 1, Cleanup::Compact),
    ];
    log.ensure_topics(&topics, true).expect("topics");
    let values = predictions(BATCH);
    let bytes: usize = values.iter().map(Vec::len).sum();
    let turns = u32::try_from(DAY_BYTES / bytes * 4).expect("few");
    println!(
        "{DAYS} days of {} s, {} MB of telemetry a day kept for {KEPT_DAYS}, {} MB of state written over as often as it comes:",
        DAY.as_secs(),
        DAY_BYTES / 1_000_000,
        KEYS * STATE_BYTES / 1_000_000
    );
    let began = Instant::now();
    let mut sizes = Vec::new();
    for day in 0..DAYS {
        for turn in 0..turns {
            let mut batch: Vec<NewRecord> = (0_u32..)
                .zip(&values)
                .skip(turn as usize % 4)
                .step_by(4)
                .map(|(i, v)| NewRecord::new("telemetry", v.clone()).partition(i % 4))
                .collect();
            let state = |key: usize| NewRecord::new("state", vec![7; STATE_BYTES]).key(format!("key-{key}"));
            batch.extend((0..KEYS).filter(|key| key % 4 == turn as usize % 4).map(state));
            log.append(&batch).expect("written");
            let due = DAY * day + DAY / turns * (turn + 1);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        sizes.push(size(path) / 1_000_000);
    }
    println!("  MB of the file at the end of each: {sizes:?}");
    let late = began.elapsed().saturating_sub(DAY * DAYS);
    println!("  kept pace: {:.1} s late at the end", late.as_secs_f64());
    let week = sizes[6];
    let after = sizes.iter().skip(7).max().expect("two weeks");
    println!("  second week at most {:.2} of the end of the first (bar: 1.25)", *after as f64 / week as f64);
}
