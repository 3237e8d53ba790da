//! The file: tables of redb, written one atomic commit at a time.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::EmbeddedConfig;
use super::file::{LogFile, Reopened};
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
    /// None from a failure of the disk until the file could be opened again.
    db: RwLock<Option<Database>>,
    /// Set by the writer, taken back by whoever opens the file again.
    failed: AtomicBool,
    open: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
    path: Option<PathBuf>,
}

impl Store {
    pub(super) fn open(config: &EmbeddedConfig) -> Result<Self, LogError> {
        match &config.path {
            Some(path) => Self::on(LogFile::open(path, config)?, config),
            None => Self::on(InMemoryBackend::new(), config),
        }
    }

    pub(super) fn on(bytes: impl StorageBackend, config: &EmbeddedConfig) -> Result<Self, LogError> {
        let (bytes, cache) = (Reopened(Arc::new(bytes)), config.cache_bytes);
        let open = move || Builder::new().set_cache_size(cache).create_with_backend(bytes.clone());
        // Nothing was lost: the file is of something else, or of a broken disk. An operator must look.
        let db = open().map_err(|error| LogError::Config {
            what: format!("cannot open {:?} as an embedded log", config.path),
            source: Some(Arc::new(error)),
        })?;
        let store = Self {
            db: RwLock::new(Some(db)),
            failed: AtomicBool::new(false),
            open: Box::new(open),
            path: config.path.clone(),
        };
        store.prepare()?;
        Ok(store)
    }

    /// The file, opened again if it must be.
    fn db(&self) -> Result<Opened<'_>, LogError> {
        if self.failed.load(Ordering::Acquire)
            && let Ok(db) = self.db.try_write()
        {
            self.reopen(db);
        }
        if self.failed.load(Ordering::Acquire) {
            return Err(self.full());
        }
        Opened::of(&self.db).ok_or_else(|| self.full())
    }

    /// After a failure the file refuses everything until it is opened again.
    fn reopen(&self, mut db: RwLockWriteGuard<'_, Option<Database>>) {
        if !self.failed.load(Ordering::Acquire) {
            return;
        }
        // First closed: two that write one file would ruin it.
        *db = None;
        match (self.open)() {
            Ok(opened) => {
                *db = Some(opened);
                self.failed.store(false, Ordering::Release);
            }
            Err(error) => tracing::debug!(%error, "the embedded log cannot be opened again yet"),
        }
    }

    fn full(&self) -> LogError {
        let path = self.path.as_deref().unwrap_or(Path::new("the embedded log"));
        let what =
            format!("no room on the disk for {}: make some (nothing acknowledged is lost)", path.display());
        LogError::Retriable { what, source: None }
    }

    fn prepare(&self) -> Result<(), LogError> {
        let db = self.db()?;
        let write = Self::begin(&db).map_err(broken)?;
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

    fn begin(db: &Database) -> Result<WriteTransaction, StoreError> {
        let mut write = db.begin_write()?;
        // After a crash the file opens at once instead of being walked through.
        write.set_quick_repair(true);
        Ok(write)
    }

    pub(super) fn contents(&self) -> Result<Contents, LogError> {
        let read = self.db()?.begin_read().map_err(broken)?;
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
    ///
    /// # Errors
    /// [`LogError::Retriable`] when the disk is full: nothing was changed. Anything else ends the use of the file.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), LogError> {
        let Err(error) = self.try_commit(changes) else { return Ok(()) };
        if !error.is_full() {
            return Err(broken(error));
        }
        self.failed.store(true, Ordering::Release);
        // Those who read have soon met the failure.
        self.reopen(self.db.write().unwrap_or_else(PoisonError::into_inner));
        // The last sync may have failed when all was written: then it is there.
        if self.holds(changes)? { Ok(()) } else { Err(self.full()) }
    }

    fn try_commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let db = self.db()?;
        let write = Self::begin(&db)?;
        Self::put(&write, changes)?;
        Ok(write.commit()?)
    }

    /// Whether the file is as these changes leave it.
    fn holds(&self, changes: &Changes) -> Result<bool, LogError> {
        let read = self.db()?.begin_read().map_err(broken)?;
        let (heads, offsets) =
            (read.open_table(HEADS).map_err(broken)?, read.open_table(OFFSETS).map_err(broken)?);
        for (at, Head { start, next, bytes, dirty }) in &changes.heads {
            let found = heads.get(at).map_err(broken)?.map(|head| head.value());
            if found != Some((*start, *next, *bytes, *dirty)) {
                return Ok(false);
            }
        }
        for (group, at, offset) in &changes.offsets {
            let found = offsets.get((&**group, &*at.topic, at.partition)).map_err(broken)?;
            if found.map(|found| found.value()) != Some(*offset) {
                return Ok(false);
            }
        }
        Ok(true)
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
    pub(super) fn snapshot(&self) -> Result<Snapshot<'_>, LogError> {
        let db = self.db()?;
        let read = db.begin_read().map_err(broken)?;
        Ok(Snapshot { read, _db: db })
    }
}

/// Nobody closes the file while this is held.
struct Opened<'a>(RwLockReadGuard<'a, Option<Database>>);

impl<'a> Opened<'a> {
    fn of(db: &'a RwLock<Option<Database>>) -> Option<Self> {
        let db = db.read().unwrap_or_else(PoisonError::into_inner);
        db.is_some().then(|| Self(db))
    }
}

impl Deref for Opened<'_> {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("looked at when the lock was taken")
    }
}

/// Takes a batch by its base; false ends the visit.
type EachBatch<'a> = dyn FnMut(Offset, &[u8]) -> Result<bool, LogError> + 'a;

/// The file as it was at one moment.
pub(super) struct Snapshot<'a> {
    read: ReadTransaction,
    _db: Opened<'a>,
}

impl Snapshot<'_> {
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
    match error.into() {
        // Whoever met the failure itself knows what it was. It may be that there was no room.
        StoreError::Redb(redb::Error::PreviousIo) => {
            LogError::retriable("the embedded log's file failed and is not open again yet")
        }
        StoreError::Log(error) => error,
        error @ (StoreError::Redb(_) | StoreError::Io(_) | StoreError::Encoding(_) | StoreError::Corrupt) => {
            LogError::fatal("the embedded log's file failed", error)
        }
    }
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
    #[error(transparent)]
    Log(#[from] LogError),
}

impl StoreError {
    /// Whether there is no room on the disk, or for us.
    fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Redb(redb::Error::Io(error)) | Self::Io(error) => {
                matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
            }
            Self::Log(error) => matches!(error, LogError::Retriable { .. }),
            Self::Redb(_) | Self::Encoding(_) | Self::Corrupt => false,
        }
    }
}

macro_rules! through_redb {
    ($($error:ty),*) => { $(impl From<$error> for StoreError {
        fn from(error: $error) -> Self { Self::Redb(error.into()) }
    })* };
}
through_redb!(redb::StorageError, TableError, redb::TransactionError, redb::CommitError, DatabaseError);
