//! The bytes beneath: a file of ours alone, which may be opened again by the same process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::store::{Store, broken};
use super::{Durability, EmbeddedConfig};
use crate::log::LogError;

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
    drop(Store::on(LogFile::new(file, Durability::Power)?, config)?);
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
pub(super) struct LogFile {
    file: FileBackend,
    durability: Durability,
}

impl LogFile {
    /// Makes it when it is missing.
    pub(super) fn open(path: &Path, config: &EmbeddedConfig) -> Result<Self, LogError> {
        if !path.exists() {
            make(path, config)?;
        }
        Self::new(locked(path)?, config.durability)
    }

    fn new(file: File, durability: Durability) -> Result<Self, LogError> {
        Ok(Self { file: FileBackend::new(file).map_err(broken)?, durability })
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

/// Bytes that outlive the database on them, so that another can be opened when that one has failed. The last of them
/// lets go of the file.
#[derive(Debug)]
pub(super) struct Reopened<B>(pub(super) Arc<B>);

impl<B> Clone for Reopened<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: StorageBackend> StorageBackend for Reopened<B> {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }
}
