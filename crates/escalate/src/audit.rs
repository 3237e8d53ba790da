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
/// A chain may begin late, because retention removes its beginning; without an anchor at or after its first record,
/// nobody vouches that it is not a chain made up later. A cut tail is seen only by an anchor.
///
/// # Errors
/// The first record at which it does not hold.
pub fn verify(
    partition: u32,
    records: impl IntoIterator<Item = AuditRecord>,
    anchors: &[Anchor],
) -> Result<Verified, Broken> {
    let broken = |sequence, why| Err(Broken { partition, sequence, why });
    let mut known = BTreeMap::new();
    for anchor in anchors {
        if anchor.partition != partition {
            return broken(anchor.sequence, Fault::OtherPartition { found: anchor.partition });
        }
        if *known.entry(anchor.sequence).or_insert(&anchor.hash) != &anchor.hash {
            return broken(anchor.sequence, Fault::NotAsAnchored);
        }
    }
    let mut last: Option<Anchor> = None;
    let (mut first, mut count) = (0, 0);
    for record in records {
        let sequence = record.sequence;
        if record.partition != partition {
            return broken(sequence, Fault::OtherPartition { found: record.partition });
        }
        if record.digest() != record.hash {
            return broken(sequence, Fault::Changed);
        }
        // What the first record must follow is known if it is the start, or if an anchor knows it.
        let before = match &last {
            Some(before) => Some(before.hash.as_str()),
            None if sequence == 1 => Some(CHAIN_START),
            None => known.get(&(sequence.saturating_sub(1))).map(|hash| hash.as_str()),
        };
        if let Some(before) = &last
            && sequence != before.sequence + 1
        {
            return broken(sequence, Fault::OutOfOrder { after: before.sequence });
        }
        if before.is_some_and(|before| before != record.previous) || sequence == 0 {
            return broken(sequence, Fault::Unlinked);
        }
        if known.get(&sequence).is_some_and(|hash| **hash != record.hash) {
            return broken(sequence, Fault::NotAsAnchored);
        }
        if count == 0 {
            first = sequence;
        }
        count += 1;
        last = Some(Anchor { partition, sequence, hash: record.hash });
    }
    let last = last.unwrap_or_else(|| Anchor::start(partition));
    if let Some((&sequence, _)) = known.last_key_value().filter(|(s, _)| **s > last.sequence) {
        return broken(sequence, Fault::Cut { last: last.sequence });
    }
    Ok(Verified { first, last, records: count, from_start: first <= 1 })
}

#[cfg(test)]
mod tests;
