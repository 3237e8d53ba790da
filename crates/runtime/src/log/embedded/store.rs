//! The file: tables of redb, written one atomic commit at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::{Durability, EmbeddedConfig};
use crate::log::{Cleanup, LogError, Offset, TopicPartition};

/// Batches of records by (topic id, partition, offset of the first).
const RECORDS: TableDefinition<'_, (u32, u32, i64), &[u8]> = TableDefinition::new("records");
/// Partitions by (topic id, partition): start, next, bytes, bytes since the last compaction.
const HEADS: TableDefinition<'_, (u32, u32), (i64, i64, u64, u64)> = TableDefinition::new("heads");
/// Committed offsets by (group, topic, partition).
const OFFSETS: TableDefinition<'_, (&str, &str, u32), i64> = TableDefinition::new("offsets");
/// Topics by name, as postcard of [`StoredTopic`].
const TOPICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("topics");
/// One entry: the version of all this.
const FORMAT: TableDefinition<'_, &str, u32> = TableDefinition::new("format");
const FORMAT_VERSION: u32 = 1;

/// A partition's extent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Records below are gone.
    pub(super) start: Offset,
    /// Of the next record.
    pub(super) next: Offset,
    /// Of its batches.
    pub(super) bytes: u64,
    /// Of those written since the last compaction.
    pub(super) dirty: u64,
}

/// A topic's settings, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredTopic {
    pub(super) id: u32,
    pub(super) partitions: u32,
    pub(super) deletes: bool,
    pub(super) compacts: bool,
    pub(super) retention_ms: Option<u64>,
    pub(super) retention_bytes: Option<u64>,
    pub(super) record_max: u64,
    pub(super) tombstone_ms: u64,
}

impl StoredTopic {
    pub(super) fn policy(&self) -> &'static str {
        let retention_ms = self.retention_ms;
        match (self.compacts, self.deletes) {
            (true, true) => Cleanup::CompactDelete { retention_ms }.policy(),
            (true, false) => Cleanup::Compact.policy(),
            (false, _) => Cleanup::Delete { retention_ms }.policy(),
        }
    }
}

/// What one commit changes; all of it or nothing.
#[derive(Default)]
pub(super) struct Changes {
    /// Removed first: batches of a partition by their bases.
    pub(super) remove: Vec<(u32, u32, Offset)>,
    pub(super) batches: Vec<(u32, u32, Offset, Vec<u8>)>,
    pub(super) heads: Vec<((u32, u32), Head)>,
    pub(super) offsets: Vec<(Arc<str>, TopicPartition, Offset)>,
    pub(super) topics: Vec<(Arc<str>, StoredTopic)>,
}

/// What a file holds besides records.
pub(super) struct Contents {
    pub(super) topics: Vec<(Arc<str>, StoredTopic, Vec<Head>)>,
    pub(super) offsets: Vec<(Arc<str>, TopicPartition, Offset)>,
}

pub(super) struct Store {
    db: Database,
}

impl Store {
    pub(super) fn open(config: &EmbeddedConfig) -> Result<Self, LogError> {
        match &config.path {
            Some(path) => {
                if !path.exists() {
                    make(path, config)?;
                }
                Self::on(LogFile::new(locked(path)?, config.durability).map_err(broken)?, config)
            }
            None => Self::on(InMemoryBackend::new(), config),
        }
    }

    pub(super) fn on(bytes: impl StorageBackend, config: &EmbeddedConfig) -> Result<Self, LogError> {
        let db = Builder::new().set_cache_size(config.cache_bytes).create_with_backend(bytes);
        // Nothing was lost: the file is of something else, or of a broken disk. An operator must look.
        let db = db.map_err(|error| LogError::Config {
            what: format!("cannot open {:?} as an embedded log", config.path),
            source: Some(Arc::new(error)),
        })?;
        let store = Self { db };
        store.prepare()?;
        Ok(store)
    }

    fn prepare(&self) -> Result<(), LogError> {
        let write = self.begin()?;
        {
            let mut format = write.open_table(FORMAT).map_err(broken)?;
            let found = format.get("version").map_err(broken)?.map(|v| v.value());
            if let Some(found) = found.filter(|found| *found != FORMAT_VERSION) {
                let what = format!("the file's format is {found}, this program reads {FORMAT_VERSION}");
                return Err(LogError::Config { what, source: None });
            }
            format.insert("version", FORMAT_VERSION).map_err(broken)?;
            // Made here once, so that reading never meets a missing table.
            write.open_table(RECORDS).map_err(broken)?;
            write.open_table(HEADS).map_err(broken)?;
            write.open_table(OFFSETS).map_err(broken)?;
            write.open_table(TOPICS).map_err(broken)?;
        }
        write.commit().map_err(broken)
    }

    fn begin(&self) -> Result<WriteTransaction, LogError> {
        let mut write = self.db.begin_write().map_err(broken)?;
        // After a crash the file opens at once instead of being walked through.
        write.set_quick_repair(true);
        Ok(write)
    }

    pub(super) fn contents(&self) -> Result<Contents, LogError> {
        let read = self.db.begin_read().map_err(broken)?;
        let heads = read.open_table(HEADS).map_err(broken)?;
        let mut topics = vec![];
        for entry in read.open_table(TOPICS).map_err(broken)?.iter().map_err(broken)? {
            let (name, stored) = entry.map_err(broken)?;
            let topic: StoredTopic = postcard::from_bytes(stored.value()).map_err(broken)?;
            let mut parts = vec![];
            for partition in 0..topic.partitions {
                let head = heads.get((topic.id, partition)).map_err(broken)?.map(|h| h.value());
                let (start, next, bytes, dirty) = head.unwrap_or_default();
                parts.push(Head { start, next, bytes, dirty });
            }
            topics.push((name.value().into(), topic, parts));
        }
        let mut offsets = vec![];
        for entry in read.open_table(OFFSETS).map_err(broken)?.iter().map_err(broken)? {
            let (key, offset) = entry.map_err(broken)?;
            let (group, topic, partition) = key.value();
            offsets.push((group.into(), TopicPartition::new(topic, partition), offset.value()));
        }
        Ok(Contents { topics, offsets })
    }

    /// Makes the changes durable, all or none.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), LogError> {
        let write = self.begin()?;
        Self::put(&write, changes).map_err(broken)?;
        write.commit().map_err(broken)
    }

    fn put(write: &WriteTransaction, changes: &Changes) -> Result<(), redb::Error> {
        if !changes.remove.is_empty() || !changes.batches.is_empty() {
            let mut records = write.open_table(RECORDS)?;
            for key in &changes.remove {
                records.remove(key)?;
            }
            for (topic, partition, base, bytes) in &changes.batches {
                records.insert((*topic, *partition, *base), bytes.as_slice())?;
            }
        }
        if !changes.heads.is_empty() {
            let mut heads = write.open_table(HEADS)?;
            for (at, Head { start, next, bytes, dirty }) in &changes.heads {
                heads.insert(at, (*start, *next, *bytes, *dirty))?;
            }
        }
        if !changes.offsets.is_empty() {
            let mut offsets = write.open_table(OFFSETS)?;
            for (group, at, offset) in &changes.offsets {
                offsets.insert((&**group, &*at.topic, at.partition), *offset)?;
            }
        }
        if !changes.topics.is_empty() {
            let mut topics = write.open_table(TOPICS)?;
            for (name, topic) in &changes.topics {
                let bytes = postcard::to_stdvec(topic).map_err(|e| redb::Error::Corrupted(e.to_string()))?;
                topics.insert(&**name, bytes.as_slice())?;
            }
        }
        Ok(())
    }

    /// The file as it is now; later commits do not show in it.
    pub(super) fn snapshot(&self) -> Result<Snapshot, LogError> {
        Ok(Snapshot { read: self.db.begin_read().map_err(broken)? })
    }
}

/// Takes a batch by its base; false ends the visit.
type EachBatch<'a> = dyn FnMut(Offset, &[u8]) -> Result<bool, LogError> + 'a;

/// The file as it was at one moment.
pub(super) struct Snapshot {
    read: ReadTransaction,
}

impl Snapshot {
    /// Calls `each(base, bytes)` for every batch of a partition that may hold `from` or more, in order, until
    /// it returns false.
    pub(super) fn batches(
        &self,
        (topic, partition): (u32, u32),
        from: Offset,
        each: &mut EachBatch<'_>,
    ) -> Result<(), LogError> {
        let records = self.read.open_table(RECORDS).map_err(broken)?;
        // `from` may lie within the last batch that begins at or below it.
        let mut below =
            records.range((topic, partition, i64::MIN)..=(topic, partition, from)).map_err(broken)?;
        let first = match below.next_back() {
            Some(entry) => entry.map_err(broken)?.0.value().2,
            None => from,
        };
        for entry in
            records.range((topic, partition, first)..=(topic, partition, i64::MAX)).map_err(broken)?
        {
            let (key, bytes) = entry.map_err(broken)?;
            if !each(key.value().2, bytes.value())? {
                break;
            }
        }
        Ok(())
    }
}

/// Whatever goes wrong with the file ends this process's use of it: what it holds is what was committed.
pub(super) fn broken(error: impl Into<StoreError>) -> LogError {
    LogError::fatal("the embedded log's file failed", error.into())
}

/// What can go wrong beneath.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Encoding(#[from] postcard::Error),
    #[error("a batch of records makes no sense")]
    Corrupt,
}

macro_rules! through_redb {
    ($($error:ty),*) => { $(impl From<$error> for StoreError {
        fn from(error: $error) -> Self { Self::Redb(error.into()) }
    })* };
}
through_redb!(redb::StorageError, TableError, redb::TransactionError, redb::CommitError, redb::DatabaseError);

/// Makes an empty log beside `path` and then moves it there, so that no half-made one is ever found.
fn make(path: &Path, config: &EmbeddedConfig) -> Result<(), LogError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| cannot_open(path, error))?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = Path::new(&fresh);
    let file = locked(fresh)?;
    // The lock is held until the file is in its place: whoever makes one at the same time finds it there.
    let _held = file.try_clone().map_err(|error| cannot_open(fresh, error))?;
    if path.exists() {
        return Ok(());
    }
    // What one who died while making it has left.
    file.set_len(0).map_err(|error| cannot_open(fresh, error))?;
    drop(Store::on(LogFile::new(file, Durability::Power).map_err(broken)?, config)?);
    let moved = std::fs::rename(fresh, path).and_then(|()| File::open(folder)?.sync_all());
    moved.map_err(|error| cannot_open(path, error))
}

fn cannot_open(path: &Path, error: io::Error) -> LogError {
    LogError::Config { what: format!("cannot open {}", path.display()), source: Some(Arc::new(error)) }
}

fn locked(path: &Path) -> Result<File, LogError> {
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false);
    // It holds telemetry as it came: nobody else's to read.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    let file = how.open(path);
    let file = file.map_err(|error| cannot_open(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(path, error)),
    }
}

/// The file under our own lock (held until it is closed), synced as its config says.
#[derive(Debug)]
struct LogFile {
    file: FileBackend,
    durability: Durability,
}

impl LogFile {
    fn new(file: File, durability: Durability) -> Result<Self, redb::DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, durability })
    }
}

impl StorageBackend for LogFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        match self.durability {
            Durability::Power => self.file.sync_data(),
            Durability::Process => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }
}
