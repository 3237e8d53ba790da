//! What cannot keep up falls behind, and that is all: memory stays as it is, the lag is there to be seen, and when it can
//! again it comes up with everything counted once and nobody told of anything.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use runtime::log::{KafkaConfig, KafkaLog};
use rustix::process::{Pid, Signal, kill_process};
use tocsin_tests::fed::{Feed, as_it_is};
use tocsin_tests::gauntlet::{Cluster, append, keyed};
use tocsin_tests::process::Process;
use tocsin_tests::scrape::Scrape;
use tocsin_tests::{env, foreign, home, not_tested, stored, wait};
use wire::topic::Topics;

const MINUTE_MS: i64 = 60_000;
const HOLD_MAX: Duration = Duration::from_secs(31);
/// Telemetry that is written while it cannot keep up, in MB.
const WAITING_MB: usize = 500;
/// What memory may grow by meanwhile. Clients fetch ahead, 16 MB for each role.
const GROWTH_MAX_MB: u64 = 200;

/// Has a process run for a tenth of the time, until it is dropped.
struct SlowCore {
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SlowCore {
    fn of(pid: Pid) -> Self {
        let (end, ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
                for (signal, ms) in [(Signal::STOP, 180), (Signal::CONT, 20)] {
                    kill_process(pid, signal).unwrap();
                    std::thread::sleep(Duration::from_millis(ms));
                }
            }
        });
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for SlowCore {
    fn drop(&mut self) {
        drop(self.end.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The most memory that a process had, looked at all the time.
struct Memory {
    end: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Memory {
    fn watch(pid: Pid) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(memory_mb(pid));
                std::thread::sleep(Duration::from_millis(50));
            }
            most
        });
        Self { end, thread }
    }

    fn most_mb(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn memory_mb(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn lag(process: &Process) -> f64 {
    Scrape::of(process).get("tocsin_lag_records", &[("role", "collect")]).unwrap_or(0.0)
}

#[test]
fn what_cannot_keep_up_falls_behind_and_comes_up_again() {
    let Some(port) = env("TOCSIN_TEST_ENDING_PORT") else {
        return not_tested(
            "a slow core and a Kafka that hangs: TOCSIN_TEST_ENDING_PORT=29692, where it starts one",
        );
    };
    let cluster = Cluster::start(1, port.parse().expect("a port"));
    let namespace = foreign::namespace("backpressure");
    let home = home!(&namespace);
    home.configure(&format!(
        "namespace = \"{namespace}\"\n[log]\nbrokers = \"{}\"\nhold_max_s = {}\n[telemetry]\nidle_s = 3600\n[telemetry.labels]\nwaiting_max = 10000\n[telemetry.duplicates]\nids_max = 10000",
        cluster.brokers,
        HOLD_MAX.as_secs()
    ));
    let process = Process::start(&home, &[]);
    let log = KafkaLog::connect(KafkaConfig::new(&cluster.brokers)).unwrap();
    let topic: Arc<str> = Topics::of(&namespace).telemetry.into();
    let mut feed = Feed::new(&[], 4.0);
    // Without labels: of those the collector keeps more the longer it has run.
    let mut records = 0;
    let mut write = |ms: i64| {
        let lines = feed.lines(ms, as_it_is);
        let is_prediction = |line: &&[u8]| !line.windows(7).any(|part| part == b"\"label\"");
        let lines: Vec<u8> =
            lines.split_inclusive(|b| *b == b'\n').filter(is_prediction).flatten().copied().collect();
        let batch = keyed(&topic, &lines);
        append(&log, &batch);
        records += batch.len() as u64;
        (lines.len(), records)
    };
    let all_read = |process: &Process| {
        wait::until("all is read", || (lag(process) == 0.0).then_some(()));
    };
    for _ in 0..60 {
        write(MINUTE_MS);
    }
    all_read(&process);
    let calm_mb = memory_mb(process.pid());

    let (memory, slow) = (Memory::watch(process.pid()), SlowCore::of(process.pid()));
    let (mut bytes, mut records) = (0, 0);
    while bytes < WAITING_MB * 1024 * 1024 {
        let (more, all) = write(MINUTE_MS);
        (bytes, records) = (bytes + more, all);
    }
    let behind = lag(&process);
    drop(slow);
    all_read(&process);
    let most_mb = memory.most_mb();
    println!("{behind} of {records} records behind; {calm_mb} MB of memory before, at most {most_mb} MB");
    assert!(most_mb < calm_mb + GROWTH_MAX_MB, "{calm_mb} MB, and then {most_mb} MB");
    assert!(behind * 8.0 > records as f64, "it keeps up: {behind} of {records} are not read");

    let memory = Memory::watch(process.pid());
    cluster.hang();
    let refused = process.telemetry(b"{}").map(|answer| answer.status);
    assert_eq!(refused, Ok(503), "nobody knows whether it will be there");
    std::thread::sleep(HOLD_MAX + Duration::from_secs(15));
    cluster.wake();
    for _ in 0..30 {
        write(MINUTE_MS);
    }
    let (_, records) = write(MINUTE_MS);
    // It may have to join its groups again first: until then it has no lag.
    wait::until("all is counted", || (stored::counted(&log, &namespace).records() >= records).then_some(()));
    let most_mb = memory.most_mb();
    println!("the broker hung: at most {most_mb} MB");
    assert!(most_mb < calm_mb + GROWTH_MAX_MB, "{calm_mb} MB, and then {most_mb} MB");

    let incidents = wait::until("the worker is back", || {
        process.get("/v1/incidents?state=all").ok().filter(|answer| answer.status == 200)
    });
    assert_eq!(incidents.json()["total"], 0, "{}", incidents.text);
    let (ended, said) = process.terminate();
    assert!(ended.success() && !said.contains("no progress for hold_max_s"), "{ended}: {said}");
    assert_eq!(stored::counted(&log, &namespace).records(), records, "each is counted once");
}
