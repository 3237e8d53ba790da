//! What is special to a log in one file. What every log promises is in `tests/src/log_contract.rs`.

mod full;
mod power;

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::StorageBackend;

use super::store::Store;
use super::{Durability, EmbeddedConfig, EmbeddedLog};
use crate::log::{
    Cleanup, Consumer, ConsumerSpec, Event, Isolation, Log, LogError, NewRecord, Offset, Start,
    TopicPartition, TopicSpec, Transaction,
};

fn at(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

fn offsets(log: &EmbeddedLog, topic: &str) -> Vec<Offset> {
    let mut offsets = vec![];
    log.read(&at(topic), 0, None, Isolation::Committed, &mut |record| {
        offsets.push(record.offset);
        ControlFlow::Continue(())
    })
    .expect("can be read");
    offsets
}

fn spec(topic: &str) -> ConsumerSpec {
    ConsumerSpec {
        group: "g".into(),
        lead: vec![topic.into()],
        partners: vec![],
        client_id: String::new(),
        start: Start::Earliest,
    }
}

/// A file of its own, gone with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(test: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("tocsin-{test}-{}.redb", std::process::id())));
        drop(std::fs::remove_file(&file.0));
        file
    }

    fn config(&self) -> EmbeddedConfig {
        EmbeddedConfig { durability: Durability::Process, ..EmbeddedConfig::file(&self.0) }
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn a_file_belongs_to_one() {
    let file = TempFile::new("one");
    let first = EmbeddedLog::open(file.config()).expect("new");
    let second = EmbeddedLog::open(file.config()).map(drop).expect_err("refused");
    assert!(matches!(&second, LogError::Locked { path } if *path == file.0), "{second:?}");
    assert!(second.to_string().contains("one process"), "{second}");
    drop(first);
    EmbeddedLog::open(file.config()).expect("free again");
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let file = TempFile::new("else");
    std::fs::write(&file.0, "not a log").expect("can be written");
    let refused = EmbeddedLog::open(file.config()).map(drop);
    assert!(matches!(refused, Err(LogError::Config { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&file.0).expect("still there"), b"not a log");
}

#[test]
fn retention_drops_the_oldest_and_who_lags_is_told() {
    let log = EmbeddedLog::in_memory();
    let delete = |ms| Cleanup::Delete { retention_ms: ms };
    let bytes = TopicSpec::new("bytes", 1, delete(None)).set("retention.bytes", "50000");
    log.ensure_topics(&[bytes, TopicSpec::new("old", 1, delete(Some(60_000)))], true).expect("made");
    let mut consumer = log.consumer(spec("bytes")).expect("joins");
    for _ in 0..2 {
        consumer.poll(Duration::ZERO, 10, &mut |_| ()).expect("polls");
    }
    for _ in 0..20 {
        log.append(&[NewRecord::new("bytes", vec![7; 10_000])]).expect("durable");
        log.append(&[NewRecord::new("old", "long ago").timestamp_ms(1000)]).expect("durable");
    }
    log.append(&[NewRecord::new("old", "now")]).expect("durable");
    log.clean().expect("cleans");
    let left = offsets(&log, "bytes");
    assert_eq!(left, [16, 17, 18, 19]);
    assert_eq!(log.ends(&at("bytes")).expect("exists").start, 16);
    assert_eq!(offsets(&log, "old"), [20]);
    let mut told = vec![];
    consumer
        .poll(Duration::ZERO, 10, &mut |event| match event {
            Event::Gap { expected, found, .. } => told.push((expected, found)),
            Event::Record(record) => told.push((record.offset, record.offset)),
            Event::Assigned(_) | Event::Revoked(_) | Event::Lost(_) | Event::End { .. } => (),
        })
        .expect("polls");
    assert_eq!(told, [(0, 16), (16, 16), (17, 17), (18, 18), (19, 19)]);
}

#[test]
fn compaction_leaves_the_last_of_each_key_and_in_time_no_tombstone() {
    let log = EmbeddedLog::in_memory();
    let specs = [
        TopicSpec::new("s", 1, Cleanup::Compact),
        TopicSpec::new("t", 1, Cleanup::Compact).set("delete.retention.ms", "0"),
    ];
    log.ensure_topics(&specs, true).expect("made");
    for topic in ["s", "t"] {
        for n in 0..1000_u32 {
            let key = format!("k{}", n % 7);
            log.append(&[NewRecord::new(topic, vec![7; 100]).key(key)]).expect("durable");
        }
        // Long enough ago that nobody can need to be told any more, where that is no time at all.
        log.append(&[NewRecord::tombstone(topic, "k0").timestamp_ms(1000)]).expect("durable");
    }
    for _ in 0..2 {
        log.clean().expect("cleans");
    }
    assert_eq!(offsets(&log, "t"), [993, 995, 996, 997, 998, 999]);
    // A tombstone of 1970 is old by a day, too.
    assert_eq!(offsets(&log, "s"), offsets(&log, "t"));
    log.append(&[NewRecord::tombstone("s", "k1")]).expect("durable");
    log.clean().expect("cleans");
    assert_eq!(offsets(&log, "s"), [993, 996, 997, 998, 999, 1001], "a new one stays a day");
    assert_eq!(log.ends(&at("s")).expect("exists").high, 1002);
}

/// The bytes of a file whose process dies at some write: what it wrote before is there, nothing after.
#[derive(Clone, Debug)]
struct Dying {
    bytes: Arc<Mutex<Vec<u8>>>,
    writes_left: Arc<AtomicU32>,
}

impl Dying {
    fn spend(&self) -> io::Result<()> {
        let spent =
            self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_| io::Error::other("the process is dead"))
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("small")
}

impl StorageBackend for Dying {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.bytes.lock().expect("whole").len()).expect("small"))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(&self.bytes.lock().expect("whole")[index(offset)..][..out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.spend()?;
        self.bytes.lock().expect("whole").resize(index(len), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.bytes.lock().expect("whole")[index(offset)..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// Six transactions over two topics with an offset each; returns how many were acknowledged.
fn workload(log: &EmbeddedLog) -> Result<i64, LogError> {
    let topic = |name: &str| TopicSpec::new(name, 1, Cleanup::Delete { retention_ms: None });
    log.ensure_topics(&[topic("a"), topic("b")], true)?;
    let mut consumer = log.consumer(spec("a"))?;
    consumer.poll(Duration::ZERO, 1, &mut |_| ())?;
    let mut holder = log.transaction("t")?;
    for n in 0..6 {
        let records = [NewRecord::new("a", format!("{n}")), NewRecord::new("b", vec![7; 20_000])];
        if holder.commit(&records, Some((&mut consumer, &[(at("a"), n + 1)]))).is_err() {
            return Ok(n);
        }
    }
    Ok(6)
}

#[test]
fn death_at_any_write_leaves_whole_transactions() {
    let config = EmbeddedConfig::memory();
    let mut deaths = 0;
    for writes in 0.. {
        let dying = Dying { bytes: Arc::default(), writes_left: Arc::new(AtomicU32::new(writes)) };
        let opened =
            Store::on(dying.clone(), &config).and_then(|store| EmbeddedLog::with(store, config.clone()));
        let acknowledged = opened.and_then(|log| workload(&log)).unwrap_or(0);
        let died = dying.writes_left.load(Ordering::SeqCst) == 0;
        dying.writes_left.store(u32::MAX, Ordering::SeqCst);

        let survivor =
            Dying { bytes: Arc::new(Mutex::new(dying.bytes.lock().expect("whole").clone())), ..dying };
        let store = match Store::on(survivor, &config) {
            Ok(store) => store,
            // Dead before there was a file to speak of.
            Err(error) => {
                assert!(acknowledged == 0 && writes < 20, "after {writes} writes: {error:?}");
                continue;
            }
        };
        let log = EmbeddedLog::with(store, config.clone()).expect("opens");
        let found = log.committed("g", &[at("a")]).expect("can be asked")[0].unwrap_or(0);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&found),
            "{acknowledged} acknowledged, {found} found"
        );
        if log.partitions("a").expect("can be asked").is_some() {
            let of = |topic| i64::try_from(offsets(&log, topic).len()).expect("small");
            assert_eq!(
                (of("a"), of("b")),
                (found, found),
                "after {writes} writes: records and offsets are one"
            );
            log.append(&[NewRecord::new("a", "goes on")]).expect("durable");
        }
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 30, "it died {deaths} times on the way");
}
