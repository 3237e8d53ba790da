//! Loss of power: between two syncs any of the writes has reached the disk, each perhaps torn at a sector's edge.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::StorageBackend;

use super::{at, index, spec};
use crate::log::embedded::store::Store;
use crate::log::{
    Cleanup, Consumer, EmbeddedConfig, EmbeddedLog, Isolation, Log, NewRecord, TopicSpec, Transaction,
};

const SECTOR: usize = 512;
/// What the disk may hold after a loss of power, tried at every sync.
const IMAGES: u64 = 8;
const COMMITS: i64 = 60;

/// A disk that remembers what it has not synced.
#[derive(Clone, Debug, Default)]
struct Disk {
    held: Arc<Mutex<Held>>,
    /// Transactions that were acknowledged so far.
    acknowledged: Arc<AtomicI64>,
    /// Losses of power that were survived.
    survived: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Held {
    /// As it is read.
    bytes: Vec<u8>,
    /// As it was at the last sync.
    synced: Vec<u8>,
    since: Vec<Write>,
    random: u64,
}

#[derive(Clone, Debug)]
enum Write {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Held {
    fn chance(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }

    /// What may be left: some of the writes since the last sync, some of them in part.
    fn after_power_loss(&mut self) -> Vec<u8> {
        let mut image = self.synced.clone();
        for write in self.since.clone() {
            match (write, self.chance() % 3) {
                (_, 0) => (),
                (Write::Length(length), _) => image.resize(length, 0),
                (Write::Bytes(from, bytes), how) => {
                    let whole = bytes.len();
                    // Up to an edge of a sector of the disk, not of the write.
                    let sectors = u64::try_from((from + whole) / SECTOR - from / SECTOR).expect("small");
                    let torn = index(self.chance() % (sectors + 1));
                    let edge = (from / SECTOR + torn) * SECTOR;
                    let length = if how == 1 { whole } else { edge.saturating_sub(from).min(whole) };
                    image.resize(image.len().max(from + length), 0);
                    image[from..from + length].copy_from_slice(&bytes[..length]);
                }
            }
        }
        image
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.held.lock().expect("whole").bytes.len()).expect("small"))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(&self.held.lock().expect("whole").bytes[index(offset)..][..out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut held = self.held.lock().expect("whole");
        held.bytes.resize(index(length), 0);
        held.since.push(Write::Length(index(length)));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut held = self.held.lock().expect("whole");
        let images: Vec<Vec<u8>> = (0..IMAGES).map(|_| held.after_power_loss()).collect();
        held.synced = held.bytes.clone();
        held.since.clear();
        drop(held);
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        for image in images {
            survives(image, acknowledged);
            self.survived.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut held = self.held.lock().expect("whole");
        held.bytes[index(offset)..][..data.len()].copy_from_slice(data);
        held.since.push(Write::Bytes(index(offset), data.to_vec()));
        Ok(())
    }
}

/// A disk that holds these bytes.
fn disk(bytes: Vec<u8>) -> Disk {
    let held = Held { bytes, ..Held::default() };
    Disk { held: Arc::new(Mutex::new(held)), ..Disk::default() }
}

/// What was acknowledged is there, whole; what was under way is there whole or not at all; and it goes on.
fn survives(image: Vec<u8>, acknowledged: i64) {
    let config = EmbeddedConfig::memory();
    let quiet = super::Dying { bytes: Arc::new(Mutex::new(image)), writes_left: Arc::new(u32::MAX.into()) };
    let store = Store::on(quiet, &config).unwrap_or_else(|e| panic!("after {acknowledged}: {e:?}"));
    let log = EmbeddedLog::with(store, config).expect("opens");
    let found = log.committed("g", &[at("a")]).expect("can be asked")[0].unwrap_or(0);
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{acknowledged} acknowledged, {found} found");
    if log.partitions("state").expect("can be asked").is_none() {
        return;
    }
    let mut last = 0;
    let mut values = vec![];
    log.read(&at("a"), 0, None, Isolation::Committed, &mut |record| {
        values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
        ControlFlow::Continue(())
    })
    .expect("can be read");
    assert_eq!(values, (0..found).map(|n| n.to_string()).collect::<Vec<_>>());
    log.read(&at("state"), 0, None, Isolation::Committed, &mut |record| {
        last = String::from_utf8_lossy(record.value.unwrap_or_default()).parse().expect("a number");
        ControlFlow::Continue(())
    })
    .expect("can be read");
    assert_eq!(last, (found - 1).max(0), "state, records and offsets are one");
    log.append(&[NewRecord::new("a", "goes on")]).expect("durable");
}

#[test]
fn power_lost_at_any_sync_loses_nothing_that_was_acknowledged() {
    // Of a file that is there: one that is being made is moved into its place when it is whole.
    let made = disk(vec![]);
    made.held.lock().expect("whole").since.clear();
    let fresh = super::Dying { bytes: Arc::default(), writes_left: Arc::new(u32::MAX.into()) };
    drop(Store::on(fresh.clone(), &EmbeddedConfig::memory()).expect("a new file"));
    let bytes = fresh.bytes.lock().expect("whole").clone();
    let disk = disk(bytes.clone());
    disk.held.lock().expect("whole").synced = bytes;

    let config = EmbeddedConfig::memory();
    let store = Store::on(disk.clone(), &config).expect("opens");
    let log = EmbeddedLog::with(store, config).expect("opens");
    let keep = TopicSpec::new("a", 1, Cleanup::Delete { retention_ms: None });
    let compact = TopicSpec::new("state", 1, Cleanup::Compact);
    log.ensure_topics(&[keep, compact], true).expect("made");
    let mut consumer = log.consumer(spec("a")).expect("joins");
    consumer.poll(Duration::ZERO, 1, &mut |_| ()).expect("polls");
    let mut holder = log.transaction("t").expect("taken");
    for n in 0..COMMITS {
        let large = NewRecord::new("state", n.to_string()).key("k").header("h", vec![7; 3000]);
        let records = [NewRecord::new("a", n.to_string()), large];
        holder.commit(&records, Some((&mut consumer, &[(at("a"), n + 1)]))).expect("commits");
        disk.acknowledged.store(n + 1, Ordering::SeqCst);
        if n % 20 == 19 {
            log.clean().expect("compacts");
        }
    }
    let survived = disk.survived.load(Ordering::SeqCst);
    assert!(survived > 400, "power was lost {survived} times");
}
