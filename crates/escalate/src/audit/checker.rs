//! A check of one partition's chain, record by record.

use std::collections::BTreeMap;

use wire::Timestamp;
use wire::audit::{AuditRecord, CHAIN_START};
use wire::checkpoint::Checkpoint;

use super::{Anchor, Broken, CHECKPOINT, Fault};
use crate::checkpoint::{Disbelief, PublicKeys};

/// A stretch of chain in which every record follows from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// 0 when there are no records.
    pub first: u64,
    pub last: Anchor,
    pub records: u64,
    /// False when the beginning is gone (retention): what is left is vouched for by a witness or by nobody.
    pub from_start: bool,
    /// A witness knows the last record that is gone, and the first one here follows it.
    pub continues: Option<Voucher>,
    /// The latest record that a signed checkpoint knows: it vouches for every record from the first up to that one.
    pub vouched: Option<Voucher>,
}

/// Who knew a record of the chain, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    pub sequence: u64,
    pub by: Witness,
    /// When it was signed; `None` for what is not signed.
    pub at: Option<Timestamp>,
    /// The key it is signed with.
    pub key: Option<String>,
}

/// Where a word on the chain was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// The head in the state record: another topic, not signed.
    State,
    /// A signed checkpoint in the chain itself.
    Chain,
    /// A signed checkpoint that was kept elsewhere.
    Anchor,
}

impl Witness {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Chain => "chain",
            Self::Anchor => "anchor",
        }
    }
}

#[derive(Clone, Debug)]
struct Known {
    hash: String,
    by: Voucher,
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

/// A check of the chain of one partition, record by record. Keeps the last record's hash and what witnesses know,
/// whatever the length of the chain.
///
/// A chain may begin late, because retention removes its beginning; without a witness at or after its first record,
/// nobody vouches that it is not a chain made up later. A cut tail is seen only by a witness outside of the chain.
#[derive(Clone, Debug)]
pub struct Checker {
    partition: u32,
    /// Whose checkpoints are believed, and of which installation; without them, signatures are not looked at.
    believed: Option<(PublicKeys, String)>,
    known: BTreeMap<u64, Known>,
    first: u64,
    last: Option<Anchor>,
    records: u64,
    continues: Option<Voucher>,
    vouched: Option<Voucher>,
}

impl Checker {
    /// Against heads that the state remembers.
    ///
    /// # Errors
    /// When they are of another partition, or contradict each other.
    pub fn new(partition: u32, heads: &[Anchor]) -> Result<Self, Broken> {
        let mut checker = Self {
            partition,
            believed: None,
            known: BTreeMap::new(),
            first: 0,
            last: None,
            records: 0,
            continues: None,
            vouched: None,
        };
        for head in heads {
            let by = Voucher { sequence: head.sequence, by: Witness::State, at: None, key: None };
            checker.know(head.partition, by, &head.hash)?;
        }
        Ok(checker)
    }

    /// Believes checkpoints of this installation that are signed under these keys, those in the chain and these.
    ///
    /// # Errors
    /// When one is not to be believed, is of another partition, or contradicts another witness.
    pub fn against(
        mut self,
        keys: &PublicKeys,
        namespace: &str,
        anchors: &[Checkpoint],
    ) -> Result<Self, Broken> {
        self.believed = Some((keys.clone(), namespace.to_owned()));
        for anchor in anchors {
            let sequence = anchor.sequence;
            if let Err(why) = self.believes(anchor) {
                return self.broken(sequence, Fault::Anchor(why));
            }
            let voucher = signed(anchor, Witness::Anchor);
            self.know(anchor.partition, voucher, &anchor.hash)?;
        }
        Ok(self)
    }

    fn know(&mut self, partition: u32, by: Voucher, hash: &str) -> Result<(), Broken> {
        let sequence = by.sequence;
        if partition != self.partition {
            return self.broken(sequence, Fault::OtherPartition { found: partition });
        }
        let known = self.known.entry(sequence).or_insert_with(|| Known { hash: hash.into(), by: by.clone() });
        if known.hash != hash {
            return self.broken(sequence, Fault::NotAsAnchored);
        }
        if known.by.by < by.by {
            known.by = by;
        }
        Ok(())
    }

    fn broken<T>(&self, sequence: u64, why: Fault) -> Result<T, Broken> {
        Err(Broken { partition: self.partition, sequence, why })
    }

    fn believes(&self, checkpoint: &Checkpoint) -> Result<(), Disbelief> {
        let Some((keys, namespace)) = &self.believed else { return Ok(()) };
        if checkpoint.namespace != *namespace {
            return Err(Disbelief::OtherNamespace { found: checkpoint.namespace.clone() });
        }
        keys.check(checkpoint)
    }

    /// Takes the next record. Nothing is known of what comes after one that does not hold.
    ///
    /// # Errors
    /// When it does not follow from the one before, or is not what a witness knows.
    pub fn record(&mut self, record: &AuditRecord) -> Result<(), Broken> {
        let sequence = record.sequence;
        if record.partition != self.partition {
            return self.broken(sequence, Fault::OtherPartition { found: record.partition });
        }
        if record.digest() != record.hash {
            return self.broken(sequence, Fault::Changed);
        }
        if let Some(before) = &self.last
            && sequence != before.sequence + 1
        {
            return self.broken(sequence, Fault::OutOfOrder { after: before.sequence });
        }
        // What the first record must follow is known if it is the start, or if a witness knows it.
        let gone = self.known.get(&sequence.saturating_sub(1)).filter(|_| self.last.is_none());
        let before = match &self.last {
            Some(before) => Some(before.hash.as_str()),
            None if sequence == 1 => Some(CHAIN_START),
            None => gone.map(|known| known.hash.as_str()),
        };
        if before.is_some_and(|before| before != record.previous) || sequence == 0 {
            return self.broken(sequence, Fault::Unlinked);
        }
        if self.last.is_none() {
            self.first = sequence;
            self.continues = gone.filter(|_| sequence > 1).map(|known| known.by.clone());
        }
        self.witnessed(record)?;
        self.records += 1;
        self.last = Some(Anchor { partition: self.partition, sequence, hash: record.hash.clone() });
        Ok(())
    }

    /// What witnesses say of a record that follows from the one before it.
    fn witnessed(&mut self, record: &AuditRecord) -> Result<(), Broken> {
        let sequence = record.sequence;
        if record.action == CHECKPOINT {
            match self.checkpoint(record) {
                Ok(by) => {
                    // With a key, it vouches for what lies before its own record.
                    let news = self.vouched.as_ref().is_none_or(|v| v.sequence < by.sequence);
                    if self.believed.is_some() && news && by.sequence >= self.first {
                        self.vouched = Some(by);
                    } else if self.believed.is_some() && self.records == 0 {
                        self.continues.get_or_insert(by);
                    }
                }
                Err(why) => return self.broken(sequence, Fault::Checkpoint(why)),
            }
        }
        if let Some(known) = self.known.get(&sequence) {
            if known.hash != record.hash {
                return self.broken(sequence, Fault::NotAsAnchored);
            }
            if known.by.by != Witness::State {
                self.vouched = Some(known.by.clone());
            }
        }
        Ok(())
    }

    fn checkpoint(&self, record: &AuditRecord) -> Result<Voucher, Disbelief> {
        let parsed = record.content.as_deref().map(serde_json::from_str::<Checkpoint>);
        let Some(Ok(checkpoint)) = parsed else { return Err(Disbelief::Unreadable) };
        let of_this = checkpoint.partition == record.partition
            && checkpoint.sequence + 1 == record.sequence
            && checkpoint.hash == record.previous;
        if !of_this {
            return Err(Disbelief::NotOfThis);
        }
        self.believes(&checkpoint)?;
        Ok(signed(&checkpoint, Witness::Chain))
    }

    /// There are no more records.
    ///
    /// # Errors
    /// When a witness knows a later one.
    pub fn end(self) -> Result<Verified, Broken> {
        let last = self.last.clone().unwrap_or_else(|| Anchor::start(self.partition));
        if let Some((&sequence, _)) = self.known.last_key_value().filter(|(s, _)| **s > last.sequence) {
            return self.broken(sequence, Fault::Cut { last: last.sequence });
        }
        Ok(Verified {
            first: self.first,
            last,
            records: self.records,
            from_start: self.first <= 1,
            continues: self.continues,
            vouched: self.vouched,
        })
    }
}

fn signed(checkpoint: &Checkpoint, by: Witness) -> Voucher {
    let Checkpoint { sequence, at, key, .. } = checkpoint;
    Voucher { sequence: *sequence, by, at: Some(*at), key: Some(key.clone()) }
}
