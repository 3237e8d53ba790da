//! From a pre-filled topic to incidents: CPU per record of `tocsin run`, beside a bare librdkafka consumer that drains
//! the same topic in the same run. Needs a real Kafka (`TOCSIN_TEST_KAFKA=host:port`) and the release binary
//! (`cargo build --release`).
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is set up by the environment and reads the clock"
)]

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use runtime::log::{Cleanup, KafkaConfig, KafkaLog, Log as _, NewRecord, TopicPartition, TopicSpec};
use tocsin_benches::running::Running;
use tocsin_benches::{cpu_time, machine, predictions};

const RECORDS: usize = 2_000_000;
const PARTITIONS: u32 = 4;

fn main() {
    let Ok(brokers) = std::env::var("TOCSIN_TEST_KAFKA") else {
        println!("not measured: name a real Kafka in TOCSIN_TEST_KAFKA (tests/kafka/kafka.sh starts one)");
        return;
    };
    let namespace = format!("bench-{}", std::process::id());
    let topic = format!("bench-telemetry-{}", std::process::id());
    let log = KafkaLog::connect(KafkaConfig::new(&brokers)).expect("a Kafka");
    fill(&log, &topic);
    let drain = drain(&brokers, &topic);
    let (run, wall) = run(&log, &brokers, &namespace, &topic);
    println!("machine: {}", machine());
    println!("records: {RECORDS}, {PARTITIONS} partitions");
    println!("bare librdkafka drain   {:>6.2} µs CPU/record", micros(drain));
    println!("tocsin run, all roles   {:>6.2} µs CPU/record, {:.0} records/s", micros(run), per_second(wall));
    println!("ratio {:.2} (bar for later: 2)", run.as_secs_f64() / drain.as_secs_f64());
}

fn fill(log: &KafkaLog, topic: &str) {
    let spec = TopicSpec::new(topic, PARTITIONS, Cleanup::Delete { retention_ms: None });
    log.ensure_topics(&[spec], true).expect("a topic");
    for chunk in predictions(RECORDS).chunks(20_000) {
        let batch: Vec<NewRecord> =
            chunk.iter().map(|r| NewRecord::new(topic, r.as_slice()).key(&r[40..60])).collect();
        log.append(&batch).expect("written");
    }
}

fn drain(brokers: &str, topic: &str) -> Duration {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{topic}-drain"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "16384")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("a topic");
    let me = std::process::id();
    let (mut n, began) = (0, cpu_time(me));
    while n < RECORDS {
        if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {
            n += 1;
        }
    }
    cpu_time(me) - began
}

fn run(log: &KafkaLog, brokers: &str, namespace: &str, topic: &str) -> (Duration, Duration) {
    let process = Running::start(brokers, namespace, &[], |text| {
        text.replace("[telemetry]\n", &format!("[telemetry]\ntopic = \"{topic}\"\n"))
    });
    let group = format!("tocsin-{namespace}-collect-{topic}");
    let all: Vec<_> = (0..PARTITIONS).map(|p| TopicPartition::new(topic, p)).collect();
    let began = Instant::now();
    let target = i64::try_from(RECORDS).expect("fits");
    loop {
        std::thread::sleep(Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_secs(600), "not collected within ten minutes");
        let read: i64 = log.committed(&group, &all).expect("offsets").into_iter().flatten().sum();
        if read >= target {
            break;
        }
    }
    let wall = began.elapsed();
    let cpu = cpu_time(process.id());
    process.kill();
    (cpu, wall)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / RECORDS as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_second(time: Duration) -> f64 {
    RECORDS as f64 / time.as_secs_f64()
}
