//! A disk that has no more room, and later has some again.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::super::store::Store;
use super::super::{EmbeddedConfig, EmbeddedLog};
use super::{at, index, offsets, spec};
use crate::log::{Cleanup, Consumer as _, Log as _, LogError, NewRecord, TopicSpec, Transaction as _};

const BLOCK: u64 = 4096;

/// Bytes on a disk of so many blocks. As file systems do, a length costs nothing, and a block is taken when it is first
/// written.
#[derive(Clone, Debug)]
struct SmallDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    taken: Arc<Mutex<BTreeSet<u64>>>,
    blocks: Arc<AtomicU64>,
}

impl StorageBackend for SmallDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().expect("whole").len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(&self.bytes.lock().expect("whole")[index(offset)..][..out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().expect("whole").resize(index(len), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut taken = self.taken.lock().expect("whole");
        for block in offset / BLOCK..(offset + data.len() as u64).div_ceil(BLOCK) {
            if !taken.contains(&block) && taken.len() as u64 >= self.blocks.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            taken.insert(block);
        }
        self.bytes.lock().expect("whole")[index(offset)..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[test]
fn what_retention_could_not_drop_for_want_of_room_is_dropped_later() {
    let disk = SmallDisk {
        bytes: Arc::default(),
        taken: Arc::default(),
        blocks: Arc::new(AtomicU64::new(u64::MAX)),
    };
    let config = EmbeddedConfig { partition_bytes: 100_000, ..EmbeddedConfig::memory() };
    let log = EmbeddedLog::with(Store::on(disk.clone(), &config).expect("opens"), config).expect("opens");
    let topic = TopicSpec::new("a", 1, Cleanup::Delete { retention_ms: None });
    log.ensure_topics(&[topic], true).expect("made");
    // Sooner than it cleans up by itself.
    for _ in 0..20 {
        log.append(&[NewRecord::new("a", vec![7; 20_000])]).expect("written");
    }
    let before = log.ends(&at("a")).expect("can be asked");
    assert_eq!(before.start, 0);
    disk.taken.lock().expect("whole").clear();
    disk.blocks.store(0, Ordering::SeqCst);
    assert!(matches!(log.clean(), Err(LogError::Retriable { .. })));
    disk.blocks.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(log.ends(&at("a")).expect("can be asked"), before, "nothing was dropped");
    log.append(&[NewRecord::new("a", vec![7; 20_000])]).expect("written");
    log.clean().expect("there is room");
    let (id, head) = log.shared.state().head(&at("a")).expect("it exists");
    assert!(head.start > 0);
    let mut bytes = 0;
    let snapshot = log.shared.store.snapshot().expect("can be read");
    snapshot
        .batches(id, 0, &mut |_, batch| {
            bytes += batch.len() as u64;
            Ok(true)
        })
        .expect("can be read");
    assert!(bytes == head.bytes && bytes <= 100_000, "{bytes} in the file, {} known", head.bytes);
}

#[test]
fn a_full_disk_is_said_and_when_there_is_room_it_goes_on() {
    let disk =
        SmallDisk { bytes: Arc::default(), taken: Arc::default(), blocks: Arc::new(AtomicU64::new(900)) };
    let config = EmbeddedConfig { cache_bytes: 64 << 10, ..EmbeddedConfig::memory() };
    let log = EmbeddedLog::with(Store::on(disk.clone(), &config).expect("opens"), config).expect("opens");
    let topic = |name: &str| TopicSpec::new(name, 1, Cleanup::Delete { retention_ms: None });
    log.ensure_topics(&[topic("a"), topic("b")], true).expect("made");
    let mut consumer = log.consumer(spec("a")).expect("joins");
    consumer.poll(std::time::Duration::ZERO, 1, &mut |_| ()).expect("polls");
    let mut holder = log.transaction("t").expect("taken");
    let (mut done, mut refused) = (0, 0);
    for round in 0..4 {
        let told = loop {
            let records = [NewRecord::new("a", format!("{done}")), NewRecord::new("b", vec![7; 20_000])];
            match holder.commit(&records, Some((&mut consumer, &[(at("a"), done + 1)]))) {
                Ok(()) => done += 1,
                Err(error) => break error,
            }
        };
        let LogError::Retriable { what, .. } = &told else { panic!("{told:?}") };
        assert!(what.contains("no room on the disk"), "{what}");
        refused += 1;
        // It stays so, and what was acknowledged is there to read.
        assert!(matches!(
            log.append(&[NewRecord::new("b", vec![7; 60_000])]),
            Err(LogError::Retriable { .. })
        ));
        let found = log.committed("g", &[at("a")]).expect("can be asked")[0];
        let of = |topic| i64::try_from(offsets(&log, topic).len()).expect("small");
        assert_eq!((found, of("a"), of("b")), (Some(done), done, done), "round {round}");
        disk.blocks.fetch_add(300, Ordering::SeqCst);
    }
    assert!(done > 100 && refused == 4, "{done} transactions");
    drop((holder, consumer, log));
    let config = EmbeddedConfig::memory();
    let log = EmbeddedLog::with(Store::on(disk, &config).expect("opens"), config).expect("opens");
    assert_eq!(log.committed("g", &[at("a")]).expect("can be asked")[0], Some(done));
}
