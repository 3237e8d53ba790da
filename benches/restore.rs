//! How long a judge takes to be ready from a state topic that has seen a day: 10,000 versions, 20 GB of updates by the
//! judge's own encoder, aborted transactions among them; and after its predecessor died within a transaction.
//!
//! Needs a real Kafka with 10 GB of room (`TOCSIN_TEST_KAFKA=host:port`) and the release binary (`cargo build --release`).
//! `TOCSIN_BENCH_VERSIONS` and `TOCSIN_BENCH_GB` make it smaller.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark is set up by the environment and reads the clock"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use detect::collect::{CollectConfig, Flush};
use detect::config::JudgeConfig;
use detect::judge::Judge;
use detect::record::PanesRecord;
use detect::reference::Reference;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use runtime::log::{
    ConsumerSpec, KafkaConfig, KafkaLog, Log, LogError, NewRecord, Start, TopicPartition, Transaction as _,
};
use runtime::topics::{Partitions, owned};
use tocsin_benches::panes::{flushes, references};
use tocsin_benches::running::Running;
use tocsin_benches::{machine, predictions};
use wire::topic::Topics;

/// Event time between two updates of a version, in seconds.
const PANE_S: f64 = 60.0;
const BATCH_BYTES: usize = 16 << 20;
/// One transaction in so many is aborted after its records were written.
const ABORTED: usize = 10;
/// By how much time is faster than it would be; what the topic's settings say of time is divided by it.
const FASTER: u64 = 6;
/// Enough records for a reference and for as many panes as are told apart.
const RECORDS: usize = 200_000;

fn main() {
    let given = |option: &str| std::env::args().find_map(|arg| arg.strip_prefix(option).map(str::to_owned));
    if let Some(namespace) = given("--hold=") {
        return hold(&namespace);
    }
    let Ok(brokers) = std::env::var("TOCSIN_TEST_KAFKA") else {
        println!("not measured: name a real Kafka in TOCSIN_TEST_KAFKA (tests/kafka/kafka.sh starts one)");
        return;
    };
    let number = |name: &str, default: usize| {
        std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
    };
    let (versions, gigabytes) = (number("TOCSIN_BENCH_VERSIONS", 10_000), number("TOCSIN_BENCH_GB", 20));
    let log = || KafkaLog::connect(KafkaConfig::new(&brokers)).expect("a Kafka");
    if let Some(namespace) = given("--write=") {
        return Writer::new(&log(), &namespace).write(versions, gigabytes * 1_000_000_000);
    }
    let namespace = format!("bench-restore-{}", std::process::id());
    println!("machine: {}", machine());
    create(&log(), &namespace);
    // A process of its own: what a judge of so many versions holds would be in the way of the one that is measured.
    let written = myself(&format!("--write={namespace}"), &brokers).status().expect("this program");
    assert!(written.success(), "the writer ended with {written}");
    for what in ["after the last commit", "after a kill within a transaction"] {
        if what != "after the last commit" {
            die_within_a_transaction(&brokers, &namespace);
        }
        let (ready, said) = start(&brokers, &namespace);
        println!("{what}: ready after {:.1} s", ready.as_secs_f64());
        said.lines().filter(|line| line.contains("\"state restored\"")).for_each(|line| println!("  {line}"));
    }
}

/// The topics as tocsin creates them, but that time passes faster.
fn create(log: &KafkaLog, namespace: &str) {
    let partitions = Partitions { telemetry: 4, judge: 1, escalate: 1, collect: 4 };
    let mut specs = owned(&Topics::of(namespace), partitions, true);
    for spec in specs.iter_mut().filter(|spec| spec.name.contains("state")) {
        for (name, value) in &mut spec.config {
            if name.ends_with(".ms") {
                let ms: u64 = value.parse().expect("a number");
                *value = (ms / FASTER).to_string();
            }
        }
        println!("{}: {:?}", spec.name, spec.config);
    }
    log.ensure_topics(&specs, true).expect("topics");
}

struct Writer {
    topic: String,
    transaction: <KafkaLog as Log>::Transaction,
    /// Of a topic of which it holds nothing: a commit with its offsets is aborted.
    stranger: <KafkaLog as Log>::Consumer,
    batch: Vec<NewRecord>,
    batch_bytes: usize,
    transactions: usize,
    written: usize,
}

impl Writer {
    fn new(log: &KafkaLog, namespace: &str) -> Self {
        let topics = Topics::of(namespace);
        let spec = ConsumerSpec {
            group: format!("{namespace}-stranger").into(),
            lead: vec![topics.control.as_str().into()],
            partners: vec![],
            client_id: "stranger".into(),
            start: Start::Earliest,
        };
        Self {
            transaction: log.transaction(&format!("tocsin-{namespace}-judge-0")).expect("an id"),
            stranger: log.consumer(spec).expect("a consumer"),
            topic: topics.state_judge,
            batch: vec![],
            batch_bytes: 0,
            transactions: 0,
            written: 0,
        }
    }

    /// Judges pane after pane of every version until so many bytes of state were written.
    fn write(mut self, versions: usize, bytes: usize) {
        let records = predictions(RECORDS);
        let (collect, config) = (Arc::new(CollectConfig::default()), Arc::new(JudgeConfig::default()));
        let mut template = references(&collect, &config, &records);
        template.truncate(1);
        let mut flushes = flushes(&collect, &template, &records);
        flushes.iter_mut().for_each(|f| f.panes.retain(|p| p.key.model == template[0].profile.model));
        let mut judge = Judge::new(0, config);
        let mut offsets = 0..;
        let mut handle = |judge: &mut Judge, record| judge.handle(offsets.next().expect("endless"), record);
        for i in 0..versions {
            handle(&mut judge, PanesRecord::Reference(Box::new(renamed(&template[0], i))));
            self.take(&mut judge);
        }
        println!("{versions} references, {} MB", (self.written + self.batch_bytes) / 1_000_000);
        let (began, mut rounds) = (Instant::now(), 0);
        let span = span(&flushes);
        for (again, flush) in (0..).flat_map(|again| flushes.iter().map(move |flush| (again, flush))) {
            for (i, pane) in (0..versions).flat_map(|i| flush.panes.iter().map(move |pane| (i, pane))) {
                let mut pane = pane.clone();
                pane.key.model = name(i);
                pane.key.start = pane.key.start.plus_ms(again * span);
                handle(&mut judge, PanesRecord::Partial(pane));
            }
            let mut progress = flush.progress.clone();
            progress.watermark = progress.watermark.map(|at| at.plus_ms(again * span));
            handle(&mut judge, PanesRecord::Progress(progress));
            self.take(&mut judge);
            rounds += 1;
            if self.written >= bytes {
                break;
            }
        }
        self.commit();
        self.report(rounds, began.elapsed());
    }

    fn report(&self, rounds: u32, took: Duration) {
        let (transactions, took) = (self.transactions, took.as_secs_f64());
        let faster = f64::from(rounds) * PANE_S / took;
        println!(
            "{:.1} GB of state in {transactions} transactions ({} more aborted), {rounds} panes of each version in {took:.0} s: \
             {faster:.1} times as fast as panes of a minute",
            self.written as f64 / 1e9,
            transactions / ABORTED,
        );
    }

    fn take(&mut self, judge: &mut Judge) {
        for (key, value) in judge.take_effects().state {
            let record = match value {
                Some(value) => NewRecord::new(self.topic.as_str(), value).key(key),
                None => NewRecord::tombstone(self.topic.as_str(), key),
            };
            self.batch_bytes += record.size();
            self.batch.push(record.partition(0));
            if self.batch_bytes >= BATCH_BYTES {
                self.commit();
            }
        }
    }

    fn commit(&mut self) {
        self.transactions += 1;
        if self.transactions.is_multiple_of(ABORTED) {
            let not_held = [(TopicPartition::new("not-held", 0), 0)];
            let done = self.transaction.commit(&self.batch, Some((&mut self.stranger, &not_held)));
            assert!(matches!(done, Err(LogError::Aborted { .. })), "{done:?}");
        }
        self.transaction.commit(&self.batch, None).expect("committed");
        self.written += self.batch_bytes;
        self.batch.clear();
        self.batch_bytes = 0;
    }
}

fn name(i: usize) -> String {
    format!("model-{i:05}")
}

fn renamed(reference: &Reference, i: usize) -> Reference {
    let mut reference = reference.clone();
    reference.profile.model = name(i);
    reference
}

/// Event time of all panes.
fn span(flushes: &[Flush]) -> i64 {
    let starts = || flushes.iter().flat_map(|f| &f.panes).map(|pane| pane.key.start);
    let (first, last) = (starts().min().expect("panes"), starts().max().expect("panes"));
    last.since_ms(first) + 10_000
}

/// A judge from nothing until it is ready, and what it said.
fn start(brokers: &str, namespace: &str) -> (Duration, String) {
    let began = Instant::now();
    let mut process = Running::start(brokers, namespace, &["--roles", "judge"], |text| text);
    while !process.is_ready() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (began.elapsed(), process.kill())
}

/// This program again.
fn myself(arg: &str, brokers: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(arg).env("TOCSIN_TEST_KAFKA", brokers);
    command
}

/// This program again, as the judge's predecessor, killed when it has written some of a transaction.
fn die_within_a_transaction(brokers: &str, namespace: &str) {
    let mut child =
        myself(&format!("--hold={namespace}"), brokers).stdout(Stdio::piped()).spawn().expect("this program");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    assert_eq!(first.trim(), "open");
    child.kill().expect("ours");
    child.wait().expect("ours");
}

fn hold(namespace: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", std::env::var("TOCSIN_TEST_KAFKA").expect("given"))
        .set("transactional.id", format!("tocsin-{namespace}-judge-0"))
        .set("transaction.timeout.ms", "15000")
        .create()
        .expect("a producer");
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).expect("the id");
    producer.begin_transaction().expect("begun");
    let topic = Topics::of(namespace).state_judge;
    for i in 0..200 {
        let (key, value) = (format!("cut-short-{i}"), vec![0_u8; 60_000]);
        let record = BaseRecord::to(&topic).partition(0).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("room");
    }
    producer.flush(patience).expect("written");
    println!("open");
    std::thread::sleep(patience);
}
