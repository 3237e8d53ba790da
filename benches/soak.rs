//! An hour at the highest rate that this machine carries: memory stays flat, nothing lags, nothing is refused.
//!
//! The simulated fleet writes in real time to a real Kafka (`TOCSIN_TEST_KAFKA=host:port`) that `tocsin run` of the release
//! build (`cargo build --release`) reads, all on one machine. First the rate is found, then nine tenths of it are held.
//! `TOCSIN_BENCH_MINUTES` and `TOCSIN_BENCH_RATE` (records a second, which is then not looked for) are for shorter ones.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is set up by the environment and reads the clock"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet::{Fleet, FleetConfig, Scenario};
use runtime::log::{Cleanup, KafkaConfig, KafkaLog, Log as _, NewRecord, TopicSpec};
use tocsin_benches::running::Running;
use tocsin_benches::{cpu_time, machine, now};

const PARTITIONS: u32 = 4;
/// How long telemetry is kept: an hour of it would fill the disk.
const KEPT_MS: u64 = 120_000;
/// Records a second of the fleet at rate 1, before its first labels come. With them event time passes slower than the clock,
/// as the rate of records is held.
const FLEET_RATE: f64 = 6.5;
/// The first rate that is tried, by how much the next is higher, and for how long each is held.
const FIRST: f64 = 20_000.0;
const STEP: f64 = 1.2;
const HELD: Duration = Duration::from_secs(40);
/// A rate is carried if at its end the producer, and what reads, are no further behind than this.
const BEHIND: Duration = Duration::from_secs(2);
const SAMPLE: Duration = Duration::from_secs(5);
const MB: f64 = 1e6;

fn main() {
    let Ok(brokers) = std::env::var("TOCSIN_TEST_KAFKA") else {
        println!("not measured: name a real Kafka in TOCSIN_TEST_KAFKA (tests/kafka/kafka.sh starts one)");
        return;
    };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<f64>().expect("a number"));
    let minutes = number("TOCSIN_BENCH_MINUTES").unwrap_or(60.0);
    println!("machine: {}, and on it the producer, the broker and tocsin", machine());
    let namespace = format!("soak-{}", std::process::id());
    let topic = format!("{namespace}-telemetry");
    let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("a Kafka");
    let kept = Cleanup::Delete { retention_ms: Some(KEPT_MS) };
    let mut spec = TopicSpec::new(topic.as_str(), PARTITIONS, kept);
    spec.config.push(("segment.bytes".into(), (256 << 20).to_string()));
    log.ensure_topics(&[spec], true).expect("a topic");
    let mut tocsin = Running::start(&brokers, &namespace, &[], |text| {
        text.replace("[telemetry]\n", &format!("[telemetry]\ntopic = \"{topic}\"\n"))
    });
    while !tocsin.is_ready() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let rate = number("TOCSIN_BENCH_RATE").unwrap_or_else(|| highest(&log, &topic, &tocsin) * 0.9);
    soak(&log, &topic, tocsin, rate, Duration::from_secs_f64(minutes * 60.0));
}

/// Writes the fleet's telemetry, so many records a second.
struct Telemetry {
    end: Arc<AtomicBool>,
    records: Arc<AtomicU64>,
    /// How far it is behind the clock, in milliseconds.
    behind_ms: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Telemetry {
    fn start(log: &KafkaLog, topic: &str, rate: f64) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (records, behind_ms) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (ended, written, behind) = (Arc::clone(&end), Arc::clone(&records), Arc::clone(&behind_ms));
        let (log, topic) = (log.clone(), Arc::<str>::from(topic));
        let thread = std::thread::spawn(move || {
            let (start, scenario, mut batch) = (now(), Scenario::Steady, Vec::new());
            let config = FleetConfig { start, rate: rate / FLEET_RATE, scenario, ..FleetConfig::default() };
            let (mut fleet, began, mut done) = (Fleet::new(&config), Instant::now(), 0);
            while !ended.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * rate) as u64;
                behind.store(((due - done) as f64 / rate * 1e3) as u64, Ordering::Relaxed);
                if due == done {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                // In bites: one that is far behind must see when it is to end.
                for _ in done..due.min(done + rate as u64 / 2) {
                    let record = fleet.advance();
                    batch.push(NewRecord::new(Arc::clone(&topic), record.json).key(record.key));
                }
                done += batch.len() as u64;
                log.append(&batch).expect("written");
                written.store(done, Ordering::Relaxed);
                batch.clear();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { end, records, behind_ms, thread }
    }

    fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    fn behind(&self) -> Duration {
        Duration::from_millis(self.behind_ms.load(Ordering::Relaxed))
    }

    fn end(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("written to the end");
        self.records.load(Ordering::Relaxed)
    }
}

/// The sum of a metric over its labels; 0 where there is none.
fn sum(metrics: &str, name: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    // From nothing it sums to what prints as -0.
    metrics.lines().filter_map(of).sum::<f64>() + 0.0
}

fn metrics(tocsin: &Running) -> String {
    tocsin.get("/metrics").expect("it answers")
}

fn lag(tocsin: &Running) -> f64 {
    sum(&metrics(tocsin), "tocsin_lag_records")
}

/// Waits until all that was written is read. How long it took.
fn caught_up(tocsin: &Running, records: f64) -> Duration {
    let began = Instant::now();
    while sum(&metrics(tocsin), "tocsin_records_total") < records {
        assert!(began.elapsed() < Duration::from_secs(300), "not read within five minutes");
        std::thread::sleep(Duration::from_millis(100));
    }
    began.elapsed()
}

/// The highest rate that is carried, in records a second.
fn highest(log: &KafkaLog, topic: &str, tocsin: &Running) -> f64 {
    let (mut carried, mut rate, mut written) = (0.0, FIRST, 0.0);
    loop {
        let telemetry = Telemetry::start(log, topic, rate);
        std::thread::sleep(HELD);
        let behind = telemetry.behind();
        let (records, lag) = (telemetry.records() as f64, lag(tocsin));
        written += telemetry.end() as f64;
        let achieved = records / HELD.as_secs_f64();
        let caught_up = caught_up(tocsin, written);
        let is_carried = behind < BEHIND && lag < BEHIND.as_secs_f64() * rate;
        println!(
            "{rate:.0}/s: {achieved:.0} written a second, the producer {:.1} s behind, {lag:.0} not read, read {:.1} s later: {}",
            behind.as_secs_f64(),
            caught_up.as_secs_f64(),
            if is_carried { "carried" } else { "too much" },
        );
        if !is_carried {
            return carried;
        }
        carried = achieved;
        rate *= STEP;
    }
}

/// What was seen at once.
struct Sample {
    at: Duration,
    resident: f64,
    lag: f64,
}

fn soak(log: &KafkaLog, topic: &str, tocsin: Running, rate: f64, hold: Duration) {
    println!("{rate:.0} records a second for {:.0} minutes:", hold.as_secs_f64() / 60.0);
    println!("  minute     records   MB held  most not read  cores");
    let before = sum(&metrics(&tocsin), "tocsin_records_total");
    let (began, telemetry) = (Instant::now(), Telemetry::start(log, topic, rate));
    let (mut samples, mut told, mut cpu) = (Vec::<Sample>::new(), 0, cpu_time(tocsin.id()));
    let every = hold / 12;
    while began.elapsed() < hold {
        std::thread::sleep(SAMPLE);
        let (at, resident) = (began.elapsed(), tocsin.resident() as f64);
        samples.push(Sample { at, resident, lag: lag(&tocsin) });
        if at >= every * (told + 1) {
            let latest = samples.iter().filter(|s| s.at >= every * told);
            let most = latest.map(|s| s.lag).fold(0.0, f64::max);
            let (used, minute) = (cpu_time(tocsin.id()), at.as_secs_f64() / 60.0);
            let cores = (used - cpu).as_secs_f64() / every.as_secs_f64();
            println!(
                "  {minute:>6.1} {:>11} {:>9.0} {most:>14.0} {cores:>6.2}",
                telemetry.records(),
                resident / MB
            );
            (told, cpu) = (told + 1, used);
        }
    }
    let behind = telemetry.behind();
    let written = telemetry.end();
    let took = caught_up(&tocsin, before + written as f64);
    println!(
        "  all {written} read {:.1} s after the last was written, when the producer was {:.1} s behind the clock",
        took.as_secs_f64(),
        behind.as_secs_f64(),
    );
    // What a first reference and full tables take is taken by then.
    let median = |from: f64, to: f64| {
        let within = |s: &&Sample| s.at >= hold.mul_f64(from) && s.at < hold.mul_f64(to);
        let mut of: Vec<f64> = samples.iter().filter(within).map(|s| s.resident).collect();
        of.sort_by(f64::total_cmp);
        of[of.len() / 2] / MB
    };
    let (first, last) = (median(0.25, 0.5), median(0.75, 1.0));
    println!("  memory in the second quarter {first:.0} MB, in the last {last:.0} MB: {:.2}", last / first);
    let most = samples.iter().map(|s| s.lag).fold(0.0, f64::max);
    println!("  most not read at once {most:.0} records: {:.2} s of telemetry", most / rate);
    let metrics = metrics(&tocsin);
    for name in ["tocsin_deadletters_total", "tocsin_records_dropped_total", "tocsin_incidents_total"] {
        println!("  {name} {:.0}", sum(&metrics, name));
    }
    let said = tocsin.kill();
    let complaints: Vec<&str> =
        said.lines().filter(|l| l.contains("\"WARN\"") || l.contains("\"ERROR\"")).collect();
    println!("  {} warnings and errors logged", complaints.len());
    complaints.iter().take(10).for_each(|line| println!("    {line}"));
}
