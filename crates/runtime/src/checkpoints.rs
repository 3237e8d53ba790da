//! Checkpoints of the audit leave the log: one line each at the end of a file, on the disk before the next.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wire::checkpoint::Checkpoint;

use crate::metrics::CHECKPOINTS;

/// Most that wait for the disk: hours of them, with a few partitions.
const WAITING_MAX: usize = 1024;

/// A file that did not take a line is tried again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// Hands checkpoints to the thread that writes them: a slow disk holds up no page.
#[derive(Debug)]
pub struct Checkpoints {
    sender: SyncSender<Checkpoint>,
}

impl Checkpoints {
    /// Opens the file, and starts the thread that writes to it. The thread ends once this is dropped and what it was
    /// handed has been tried.
    ///
    /// # Errors
    /// When the file can be neither opened nor made, or there is no thread.
    pub fn start(path: &Path) -> std::io::Result<(Self, JoinHandle<()>)> {
        let lines = Lines::open(path)?;
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || write_all(lines, &receiver))?;
        Ok((Self { sender }, thread))
    }

    /// Never waits. One that nobody could take for hours is lost to the file; the chain has it.
    pub(crate) fn leave(&self, checkpoint: &Checkpoint) {
        if self.sender.try_send(checkpoint.clone()).is_err() {
            tracing::error!(partition = checkpoint.partition, "a checkpoint of the audit is not in its file");
            metrics::counter!(CHECKPOINTS, "outcome" => "lost").increment(1);
        }
    }
}

fn write_all(mut lines: Lines, receiver: &Receiver<Checkpoint>) {
    let mut waiting: Vec<Checkpoint> = Vec::new();
    loop {
        let next = if waiting.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(AGAIN)
        };
        match next {
            Ok(checkpoint) => waiting.push(checkpoint),
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) if waiting.is_empty() => return,
            Err(RecvTimeoutError::Disconnected) => {
                lines.append_each(&mut waiting);
                return;
            }
        }
        lines.append_each(&mut waiting);
        // As many as would have had room before the thread took them.
        waiting.drain(..waiting.len().saturating_sub(WAITING_MAX));
    }
}

/// The file, and what is in it already.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// Highest record that a line vouches for, by partition.
    written: BTreeMap<u32, u64>,
    /// The last line has no end: a crash cut it.
    torn: bool,
}

impl Lines {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut written = BTreeMap::new();
        for line in BufReader::new(&file).split(b'\n') {
            if let Ok(c) = serde_json::from_slice::<Checkpoint>(&line?) {
                let highest: &mut u64 = written.entry(c.partition).or_default();
                *highest = c.sequence.max(*highest);
            }
        }
        let torn = !ends_a_line(&file)?;
        // The file itself must outlive a crash too, not only what is in it.
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(Self { path: path.to_owned(), file, written, torn })
    }

    /// Takes out those that are on the disk, or were before.
    fn append_each(&mut self, waiting: &mut Vec<Checkpoint>) {
        waiting.retain(|checkpoint| {
            if self.written.get(&checkpoint.partition).is_some_and(|s| *s >= checkpoint.sequence) {
                return false;
            }
            let written = self.append(checkpoint);
            let outcome = if written.is_ok() { "written" } else { "failed" };
            metrics::counter!(CHECKPOINTS, "outcome" => outcome).increment(1);
            match written {
                Ok(()) => drop(self.written.insert(checkpoint.partition, checkpoint.sequence)),
                Err(error) => {
                    tracing::error!(file = %self.path.display(), %error, "a checkpoint of the audit could not be written; it will be tried again");
                    self.torn = true;
                }
            }
            self.written.get(&checkpoint.partition).is_none_or(|s| *s < checkpoint.sequence)
        });
    }

    fn append(&mut self, checkpoint: &Checkpoint) -> std::io::Result<()> {
        let mut line = if self.torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, checkpoint)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.torn = false;
        Ok(())
    }
}

fn ends_a_line(mut file: &File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;

    fn checkpoint(partition: u32, sequence: u64) -> Checkpoint {
        Checkpoint {
            namespace: "default".into(),
            partition,
            sequence,
            hash: "ab".into(),
            at: Timestamp::EPOCH,
            key: "cd".into(),
            signature: "ef".into(),
        }
    }

    /// Starts a writer, hands it these, and waits until it has ended.
    fn write(path: &Path, checkpoints: &[Checkpoint]) -> Vec<(u32, u64)> {
        let (out, thread) = Checkpoints::start(path).expect("a file");
        checkpoints.iter().for_each(|c| out.leave(c));
        drop(out);
        thread.join().expect("it ends");
        let text = std::fs::read_to_string(path).expect("it was made");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Checkpoint>(line).ok());
        lines.map(|c| (c.partition, c.sequence)).collect()
    }

    #[test]
    fn each_is_one_line_and_stands_there_once() {
        let dir = std::env::temp_dir().join(format!("tocsin-checkpoints-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let path = dir.join("tocsin.checkpoints.jsonl");
        let first = [checkpoint(0, 3), checkpoint(1, 2), checkpoint(0, 3), checkpoint(0, 6)];
        assert_eq!(write(&path, &first), [(0, 3), (1, 2), (0, 6)]);
        // A process that starts hands out the last one again.
        assert_eq!(write(&path, &[checkpoint(0, 6), checkpoint(1, 5)]), [(0, 3), (1, 2), (0, 6), (1, 5)]);
        // A crash in the middle of a line: what comes after it is whole.
        let text = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, &text[..text.len() - 9]).expect("cut");
        assert_eq!(write(&path, &[checkpoint(1, 5)]), [(0, 3), (1, 2), (0, 6), (1, 5)]);
        assert_eq!(std::fs::read_to_string(&path).expect("text").lines().count(), 5);
        assert!(Checkpoints::start(&dir.join("no/such/folder")).is_err());
        std::fs::remove_dir_all(&dir).expect("its own folder");
    }
}
