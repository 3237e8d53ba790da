//! The audit chain: appended to by the machine, checked by anyone.

mod checker;

use serde::{Deserialize, Serialize};
use wire::audit::{AuditRecord, CHAIN_START};
use wire::{IncidentId, Timestamp};

use crate::checkpoint::Disbelief;

pub use checker::{Checker, Verified, Voucher, Witness, verify};

/// Actor of what no person asked for.
pub const TOCSIN: &str = "tocsin";

/// Action of a record that holds a signed [`Checkpoint`](wire::checkpoint::Checkpoint) of the record before it.
pub const CHECKPOINT: &str = "audit.checkpoint";

/// Action of a record that holds a piece of a bundle; `after` is the digest of the whole.
pub const STATED: &str = "policy.stated";

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
    /// Whole: whoever makes it keeps it within bounds.
    pub(crate) content: Option<String>,
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
            content: entry.content,
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
    #[error("the checkpoint in it is not to be believed: {0}; the chain was rebuilt before it")]
    Checkpoint(Disbelief),
    #[error("the anchor that knows it is not to be believed: {0}")]
    Anchor(Disbelief),
    #[error("an anchor knows it, but the chain ends at record {last}: its tail was cut")]
    Cut { last: u64 },
}

#[cfg(test)]
mod signed_tests;
#[cfg(test)]
mod tests;
