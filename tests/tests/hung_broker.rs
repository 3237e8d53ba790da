//! A process that starts while a broker hangs: partitions that only that one has are waited for as long as `hold_max_s`
//! says, all others are read at once, and when it answers again its partitions are read from where they stood.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use detect::record::PanesRecord;
use runtime::log::{
    Cleanup, Isolation, KafkaConfig, KafkaLog, Log as _, NewRecord, Record, TopicPartition, TopicSpec,
};
use serde_json::json;
use tocsin_tests::gauntlet::{Cluster, append};
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::{env, foreign, home, not_tested, wait};
use wire::Timestamp;
use wire::topic::Topics;

const PARTITIONS: u32 = 6;
/// The least that can be set.
const HOLD_MAX: Duration = Duration::from_secs(31);
/// Until the cluster has given up the broker, a group that it coordinated has moved, and a start was tried again.
const ELSE: Duration = Duration::from_secs(60);

/// Of the telemetry's time.
fn start() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

struct Place<'a> {
    cluster: &'a Cluster,
    home: &'a Home,
    log: KafkaLog,
    namespace: &'a str,
    topic: Arc<str>,
}

impl<'a> Place<'a> {
    /// Its telemetry has one copy: a broker that hangs takes its part of it along.
    fn new(cluster: &'a Cluster, home: &'a Home, namespace: &'a str) -> Self {
        let topic = format!("{namespace}.predictions");
        home.configure(&format!(
            "namespace = \"{namespace}\"\n[log]\nhold_max_s = {}\nbrokers = \"{}\"\nreplication = 3\n[telemetry]\ntopic = \"{topic}\"\nidle_s = 3600",
            HOLD_MAX.as_secs(),
            cluster.brokers
        ));
        let log =
            KafkaLog::connect(KafkaConfig { replication: Some(1), ..KafkaConfig::new(&cluster.brokers) })
                .unwrap();
        let spec = TopicSpec::new(topic.as_str(), PARTITIONS, Cleanup::Delete { retention_ms: None })
            .set("min.insync.replicas", "1");
        wait::until("the topic is made", || log.ensure_topics(std::slice::from_ref(&spec), true).ok());
        Self { cluster, home, log, namespace, topic: topic.into() }
    }

    /// One prediction a second in each of these. How many they are.
    fn write(&self, model: &str, partitions: &[u32], seconds: Range<i64>) -> u64 {
        let record = |partition: u32, s: i64| {
            let value = json!({
                "prediction_id": format!("{model}-{partition}-{s}"), "event_time": start().plus_ms(s * 1000),
                "model": model, "version": "1", "latency_ms": 7.5,
            });
            NewRecord::new(Arc::clone(&self.topic), value.to_string()).partition(partition)
        };
        let records: Vec<_> =
            seconds.flat_map(|s| partitions.iter().map(move |partition| record(*partition, s))).collect();
        append(&self.log, &records);
        records.len() as u64
    }

    /// What of a model is in committed panes. `None` while their topic is between two leaders.
    fn counted(&self, model: &str) -> Option<u64> {
        let panes: Arc<str> = Topics::of(self.namespace).panes.into();
        let mut sum = 0;
        for partition in 0..self.log.partitions(&panes).ok()?? {
            let at = TopicPartition::new(Arc::clone(&panes), partition);
            let mut take = |record: Record<'_>| {
                if let PanesRecord::Partial(pane) = PanesRecord::decode(record.value.unwrap()).unwrap()
                    && &*pane.key.model == model
                    && pane.key.segment.is_none()
                {
                    sum += pane.counts.predictions;
                }
                ControlFlow::Continue(())
            };
            let end = self.log.ends(&at).ok()?.stable;
            self.log.read(&at, 0, Some(end), Isolation::Committed, &mut take).ok()?;
        }
        Some(sum)
    }

    fn start(&self) -> Process {
        wait::until("a process starts", || {
            let started = Process::of(self.home.command(&["run", "--config", "tocsin.toml", "--json"]));
            started.map_err(|said| assert!(said.contains("try again"), "{said}")).ok()
        })
    }

    /// Partitions that answer, and those that do not, while the first broker hangs.
    fn hang(&mut self) -> [Vec<u32>; 2] {
        self.cluster.hang();
        // Whoever looks on must not wait for it: a client that is patient, or knew it before, takes a minute.
        let asker = KafkaLog::connect(KafkaConfig {
            timeout: Duration::from_secs(2),
            ..KafkaConfig::new(&self.cluster.brokers)
        });
        self.log = asker.unwrap();
        let answers = |partition: &u32| {
            self.log.ends(&TopicPartition::new(Arc::clone(&self.topic), *partition)).is_ok()
        };
        let (there, gone): (Vec<u32>, Vec<u32>) = (0..PARTITIONS).partition(answers);
        assert!(!there.is_empty() && !gone.is_empty(), "{there:?} answer, {gone:?} do not");
        [there, gone]
    }
}

fn ends_well(process: Process) {
    let (ended, said) = process.terminate();
    assert!(ended.success() && !said.contains("panicked"), "{ended}: {said}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it took is printed")]
fn what_a_broker_that_hangs_has_is_waited_for_and_nothing_else_is() {
    let Some(port) = env("TOCSIN_TEST_ENDING_PORT") else {
        return not_tested(
            "a start while a broker hangs: TOCSIN_TEST_ENDING_PORT=29692, where it starts three",
        );
    };
    let cluster = Cluster::start(3, port.parse().expect("a port"));
    let everywhere: Vec<u32> = (0..PARTITIONS).collect();
    // Where the group stands somewhere, and where it never was.
    for name in ["known", "new"] {
        let namespace = foreign::namespace(name);
        let home = home!(&namespace);
        let mut place = Place::new(&cluster, &home, &namespace);
        let process = place.start();
        process.until_ready();
        if name == "known" {
            place.write("before", &everywhere, 0..600);
            let is_read = || place.counted("before").filter(|n| *n > 0);
            wait::until("it has begun", is_read);
        }
        ends_well(process);
        place.write("behind", &everywhere, 600..1_200);

        let [there, gone] = place.hang();
        // Time goes on: what is behind is a matter of the past.
        place.write("on", &there, 1_200..1_800);
        let began = Instant::now();
        let process = place.start();
        let want = 600 * there.len() as u64;
        let read = wait::within(HOLD_MAX + ELSE, || {
            let counted = place.counted("behind")?;
            assert!(counted <= want, "{counted} of {want}: the broker hangs");
            (counted == want).then_some(())
        });
        let after = began.elapsed();
        assert!(read.is_some(), "{:?} of {want} in panes\n{}", place.counted("behind"), process.said());
        // Judged is what is behind only when what gives no answer was given up.
        let judged = wait::within(HOLD_MAX + ELSE, || {
            let watermark: Timestamp = process.json("/v1/status")["watermark"].as_str()?.parse().ok()?;
            (watermark >= start().plus_ms(1_200_000)).then_some(())
        });
        let said = process.said();
        println!(
            "{name}: {there:?} answer, {gone:?} do not: {want} predictions in panes after {after:.1?}, judged after {:.1?}",
            began.elapsed()
        );
        assert!(judged.is_some() && said.contains("no progress for hold_max_s"), "{said}");

        place.cluster.wake();
        let want = place.write("after", &everywhere, 2_400..3_000);
        place.write("last", &everywhere, 3_600..3_660);
        wait::until("all that comes from then on is counted", || {
            let counted = place.counted("after")?;
            assert!(counted <= want, "{counted} of {want}: some is counted twice");
            (counted == want).then_some(())
        });
        ends_well(process);
        let behind = wait::until("panes can be read", || place.counted("behind"));
        assert!(behind <= 600 * u64::from(PARTITIONS), "none is counted twice");
    }
}
