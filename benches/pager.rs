//! The escalation worker on a real Kafka: from an incident on its topic to the first byte of its page at a thousand a second;
//! from the answer to an acknowledgement to its commit; how soon it is ready with a hundred thousand open incidents; what
//! it holds when nothing happens.
//!
//! Needs `TOCSIN_TEST_KAFKA=host:port` and the release build (`cargo build --release`). `TOCSIN_BENCH_RATE` (incidents a
//! second), `TOCSIN_BENCH_SECONDS` and `TOCSIN_BENCH_OPEN` make it smaller.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is set up by the environment and reads the clock"
)]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use runtime::log::{KafkaConfig, KafkaLog, Log as _, NewRecord};
use tocsin_benches::pages::{SECRET, config, incident, receive};
use tocsin_benches::running::Running;
use tocsin_benches::{cpu_time, machine, now};
use wire::topic::Topics;

/// Distinct targets: with the policies that are there, as many as a config may have.
const OWNERS: usize = 998;
/// How often a batch of incidents is written.
const EVERY: Duration = Duration::from_millis(10);
/// Acknowledgements, one after the other.
const ANSWERED: usize = 1_000;
const MB: f64 = 1e6;

fn main() {
    let Ok(brokers) = std::env::var("TOCSIN_TEST_KAFKA") else {
        println!("not measured: name a real Kafka in TOCSIN_TEST_KAFKA (tests/kafka/kafka.sh starts one)");
        return;
    };
    let number = |name: &str, default: usize| {
        std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
    };
    let (rate, seconds) = (number("TOCSIN_BENCH_RATE", 1_000), number("TOCSIN_BENCH_SECONDS", 60));
    let open = number("TOCSIN_BENCH_OPEN", 100_000);
    println!("machine: {}, and on it the broker, the receiver and tocsin", machine());
    let namespace = format!("pager-{}", std::process::id());
    let (to, arrived) = channel();
    let url = receive(to);
    let secret = std::env::temp_dir().join(format!("{namespace}.secret"));
    std::fs::write(&secret, SECRET).expect("a file");
    let start = || {
        let began = Instant::now();
        let mut tocsin = Running::start(&brokers, &namespace, &["--roles", "escalate"], |text| {
            config(&text, &url, &secret.display().to_string(), OWNERS)
        });
        while !tocsin.is_ready() {
            std::thread::sleep(Duration::from_millis(10));
        }
        (tocsin, began.elapsed())
    };
    let (tocsin, _) = start();
    std::thread::sleep(Duration::from_secs(15));
    println!("idle: {:.0} MB, with {OWNERS} policies", tocsin.resident() as f64 / MB);
    let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("a Kafka");
    let flood = Flood { log, topic: Topics::of(&namespace).incidents, namespace: namespace.clone() };

    let cpu = cpu_time(tocsin.id());
    let told = flood.write(0, rate, rate * seconds);
    let paged = collect(&arrived, &told);
    let cores = (cpu_time(tocsin.id()) - cpu).as_secs_f64() / seconds as f64;
    println!(
        "{rate} incidents a second for {seconds} s to {OWNERS} targets, {cores:.2} cores: from before it is written to \
         the first byte of its page {}",
        Quantiles::of(paged)
    );

    println!(
        "acknowledged: from the answer to its commit {}",
        Quantiles::of(acknowledge(&tocsin, &brokers, &namespace))
    );

    let more = flood.write(rate * seconds, rate, open.saturating_sub(rate * seconds));
    collect(&arrived, &more);
    std::thread::sleep(Duration::from_secs(2));
    println!("{open} incidents known: {:.0} MB", tocsin.resident() as f64 / MB);
    tocsin.kill();
    let (tocsin, took) = start();
    println!(
        "killed; ready again after {:.1} s, {:.0} MB",
        took.as_secs_f64(),
        tocsin.resident() as f64 / MB
    );
    tocsin.kill();
    std::fs::remove_file(secret).expect("ours");
}

/// Writes incidents.
struct Flood {
    log: KafkaLog,
    topic: String,
    namespace: String,
}

impl Flood {
    /// So many a second, from a number on. When each was about to be written.
    fn write(&self, from: usize, rate: usize, n: usize) -> BTreeMap<usize, Instant> {
        let (began, mut told) = (Instant::now(), BTreeMap::new());
        while told.len() < n {
            let due = (began.elapsed().as_millis() as usize * rate / 1_000 + 1).min(n);
            let (since, at) = (now(), Instant::now());
            let batch: Vec<NewRecord> = (told.len()..due)
                .map(|i| {
                    let incident = incident(&self.namespace, from + i, OWNERS, since);
                    let value = serde_json::to_vec(&incident).expect("plain data");
                    NewRecord::new(self.topic.as_str(), value).key(incident.incident_id.as_str()).partition(0)
                })
                .collect();
            told.extend((told.len()..due).map(|i| (from + i, at)));
            self.log.append(&batch).expect("written");
            std::thread::sleep(EVERY);
        }
        told
    }
}

/// How long the first page of each incident took.
fn collect(arrived: &Receiver<(usize, Instant)>, told: &BTreeMap<usize, Instant>) -> Vec<Duration> {
    let (mut first, mut again) = (BTreeMap::new(), 0);
    while first.len() < told.len() {
        let next = arrived.recv_timeout(Duration::from_secs(60));
        let (id, at) = next.unwrap_or_else(|_| panic!("{} of {} were paged", first.len(), told.len()));
        if !told.contains_key(&id) {
            continue;
        }
        if first.insert(id, at).is_some() {
            again += 1;
        }
    }
    assert_eq!(again, 0, "paged again");
    first.iter().map(|(id, at)| at.saturating_duration_since(told[id])).collect()
}

/// One after the other: how long after the answer its commit can be read.
fn acknowledge(tocsin: &Running, brokers: &str, namespace: &str) -> Vec<Duration> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{namespace}-bench"))
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "5")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[&Topics::of(namespace).responses]).expect("a topic");
    let committed = |id: &str| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            // Nothing: the group is being shared out.
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            let record = record.expect("a record");
            let text = String::from_utf8_lossy(record.payload().unwrap_or_default());
            if text.contains("\"acknowledged\"") && text.contains(&format!("\"{id}\"")) {
                return Instant::now();
            }
        }
        panic!("{id} was not acknowledged within a minute");
    };
    // Up to the end first.
    while consumer.poll(Duration::from_secs(5)).is_some() {}
    let mut took = vec![];
    for n in 0..ANSWERED {
        let id = format!("flood{n}");
        assert!(tocsin.post(&format!("/v1/incidents/{id}/ack"), "{}"), "{id}: not taken");
        let answered = Instant::now();
        took.push(committed(&id).saturating_duration_since(answered));
    }
    took
}

/// Of many spans of time.
struct Quantiles([Duration; 4]);

impl Quantiles {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort();
        let at = |share: usize| all[(all.len() - 1) * share / 1_000];
        Self([at(500), at(990), at(999), at(1_000)])
    }
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, p99, p999, longest] = self.0.map(|time| time.as_secs_f64() * 1e3);
        write!(f, "median {median:.0} ms, p99 {p99:.0}, p99.9 {p999:.0}, longest {longest:.0}")
    }
}
