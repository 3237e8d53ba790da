//! The audit chain: appended to by the machine, checked by anyone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::audit::{AuditRecord, CHAIN_START};
use wire::{IncidentId, Timestamp};

/// Actor of what no person asked for.
pub const TOCSIN: &str = "tocsin";

/// Longest `why`, `before` or `after`, in bytes.
pub(crate) const AUDIT_TEXT_MAX: usize = 4200;

/// Where a chain stood at some time. Kept elsewhere, it tells when the chain was cut or rebuilt since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub partition: u32,
    /// 0 before the first record.
    pub sequence: u64,
    pub hash: String,
}

impl Anchor {
    pub(crate) fn start(partition: u32) -> Self {
        Self { partition, sequence: 0, hash: CHAIN_START.into() }
    }
}

/// What is said about one decision; the chain adds the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) actor: Option<String>,
    pub(crate) action: &'static str,
    pub(crate) incident_id: Option<IncidentId>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) why: Option<String>,
}

impl Anchor {
    /// Appends one record and moves on to it.
    pub(crate) fn append(&mut self, entry: Entry, at: Timestamp) -> AuditRecord {
        let short = |text: Option<String>| text.map(|t| cut(&t, AUDIT_TEXT_MAX).into());
        let mut record = AuditRecord {
            partition: self.partition,
            sequence: self.sequence + 1,
            at,
            actor: entry.actor.unwrap_or_else(|| TOCSIN.into()),
            action: entry.action.into(),
            incident_id: entry.incident_id,
            before: short(entry.before),
            after: short(entry.after),
            why: short(entry.why),
            previous: self.hash.clone(),
            hash: String::new(),
        };
        record.hash = record.digest();
        self.sequence = record.sequence;
        self.hash.clone_from(&record.hash);
        record
    }
}

/// The longest start of `text` that has at most `max` bytes and ends with a whole character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// A stretch of chain in which every record follows from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub first: u64,
    pub last: Anchor,
    pub records: u64,
    /// False when the beginning is gone (retention): what lay before `first` is vouched for by an anchor or by nobody.
    pub from_start: bool,
}

/// Where a chain does not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit record {sequence} of partition {partition}: {why}")]
pub struct Broken {
    pub partition: u32,
    pub sequence: u64,
    pub why: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("its content was changed: the hash does not fit")]
    Changed,
    #[error("it follows record {after}: something between was removed, repeated or moved")]
    OutOfOrder { after: u64 },
    #[error("it does not continue the record before it: the chain was rebuilt from here")]
    Unlinked,
    #[error("it belongs to partition {found}")]
    OtherPartition { found: u32 },
    #[error("an anchor knows it with another hash: the chain was rebuilt before it")]
    NotAsAnchored,
    #[error("an anchor knows it, but the chain ends at record {last}: its tail was cut")]
    Cut { last: u64 },
}

/// Checks the chain of one partition, in order, against what anchors remember of it.
///
/// As [`Checker`], of records that are all at hand.
///
/// # Errors
/// The first record at which it does not hold.
pub fn verify(
    partition: u32,
    records: impl IntoIterator<Item = AuditRecord>,
    anchors: &[Anchor],
) -> Result<Verified, Broken> {
    let mut checker = Checker::new(partition, anchors)?;
    for record in records {
        checker.record(&record)?;
    }
    checker.end()
}

/// A check of the chain of one partition, record by record. Keeps the last record's hash and the anchors, whatever
/// the length of the chain.
///
/// A chain may begin late, because retention removes its beginning; without an anchor at or after its first record,
/// nobody vouches that it is not a chain made up later. A cut tail is seen only by an anchor.
#[derive(Clone, Debug)]
pub struct Checker {
    partition: u32,
    known: BTreeMap<u64, String>,
    first: u64,
    last: Option<Anchor>,
    records: u64,
}

impl Checker {
    /// # Errors
    /// When the anchors are of another partition, or contradict each other.
    pub fn new(partition: u32, anchors: &[Anchor]) -> Result<Self, Broken> {
        let checker = Self { partition, known: BTreeMap::new(), first: 0, last: None, records: 0 };
        anchors.iter().try_fold(checker, |mut checker, anchor| {
            if anchor.partition != partition {
                return checker.broken(anchor.sequence, Fault::OtherPartition { found: anchor.partition });
            }
            if *checker.known.entry(anchor.sequence).or_insert_with(|| anchor.hash.clone()) != anchor.hash {
                return checker.broken(anchor.sequence, Fault::NotAsAnchored);
            }
            Ok(checker)
        })
    }

    fn broken<T>(&self, sequence: u64, why: Fault) -> Result<T, Broken> {
        Err(Broken { partition: self.partition, sequence, why })
    }

    /// Takes the next record. Nothing is known of what comes after one that does not hold.
    ///
    /// # Errors
    /// When it does not follow from the one before, or is not what an anchor knows.
    pub fn record(&mut self, record: &AuditRecord) -> Result<(), Broken> {
        let sequence = record.sequence;
        if record.partition != self.partition {
            return self.broken(sequence, Fault::OtherPartition { found: record.partition });
        }
        if record.digest() != record.hash {
            return self.broken(sequence, Fault::Changed);
        }
        // What the first record must follow is known if it is the start, or if an anchor knows it.
        let before = match &self.last {
            Some(before) => Some(before.hash.as_str()),
            None if sequence == 1 => Some(CHAIN_START),
            None => self.known.get(&(sequence.saturating_sub(1))).map(String::as_str),
        };
        if let Some(before) = &self.last
            && sequence != before.sequence + 1
        {
            return self.broken(sequence, Fault::OutOfOrder { after: before.sequence });
        }
        if before.is_some_and(|before| before != record.previous) || sequence == 0 {
            return self.broken(sequence, Fault::Unlinked);
        }
        if self.known.get(&sequence).is_some_and(|hash| *hash != record.hash) {
            return self.broken(sequence, Fault::NotAsAnchored);
        }
        if self.records == 0 {
            self.first = sequence;
        }
        self.records += 1;
        self.last = Some(Anchor { partition: self.partition, sequence, hash: record.hash.clone() });
        Ok(())
    }

    /// There are no more records.
    ///
    /// # Errors
    /// When an anchor knows a later one.
    pub fn end(self) -> Result<Verified, Broken> {
        let last = self.last.clone().unwrap_or_else(|| Anchor::start(self.partition));
        if let Some((&sequence, _)) = self.known.last_key_value().filter(|(s, _)| **s > last.sequence) {
            return self.broken(sequence, Fault::Cut { last: last.sequence });
        }
        Ok(Verified { first: self.first, last, records: self.records, from_start: self.first <= 1 })
    }
}

#[cfg(test)]
mod tests;
