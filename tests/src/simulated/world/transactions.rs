//! Transactions of the simulated log: begun, decided, and marked some time after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use runtime::log::{Offset, TopicPartition};

use super::topics::Stored;
use super::{Commit, World};

/// A transaction that is open for so long is aborted by the log, and its holder is fenced.
pub(super) const TRANSACTION_MAX: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Open {
        since: Duration,
    },
    /// Decided; markers come at this time.
    Ending {
        committed: bool,
        at: Duration,
    },
    Ended {
        committed: bool,
    },
}

/// Offsets of a group.
pub(super) type Sent = (Arc<str>, Vec<(TopicPartition, Offset)>);

#[derive(Debug)]
pub(super) struct Txn {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) touched: BTreeSet<TopicPartition>,
    /// First record in each partition: nobody reads past it while it is open.
    pub(super) first: BTreeMap<TopicPartition, Offset>,
    /// Offsets of a group that are committed with it.
    pub(super) offsets: Option<Sent>,
}

impl World {
    /// Takes an id over: an open transaction under it is aborted, an ending one ends.
    pub(in crate::simulated) fn fence(&mut self, id: &str) -> u64 {
        let epoch = self.epochs.entry(id.to_owned()).or_default();
        *epoch += 1;
        let epoch = *epoch;
        for txn in self.open.clone() {
            if self.txns[txn].id == id {
                if matches!(self.txns[txn].status, Status::Open { .. }) {
                    self.end(txn, false, Duration::ZERO);
                }
                self.mark(txn);
            }
        }
        epoch
    }

    pub(in crate::simulated) fn holds(&self, id: &str, epoch: u64) -> bool {
        self.epochs.get(id) == Some(&epoch)
    }

    pub(in crate::simulated) fn begin(&mut self, id: &str) -> usize {
        // One after the other: the markers of the one before come first.
        for txn in self.open.clone() {
            if self.txns[txn].id == id {
                self.mark(txn);
            }
        }
        let status = Status::Open { since: self.now };
        let (touched, first) = (BTreeSet::new(), BTreeMap::new());
        self.txns.push(Txn { id: id.to_owned(), status, touched, first, offsets: None });
        self.open.insert(self.txns.len() - 1);
        self.txns.len() - 1
    }

    pub(in crate::simulated) fn is_open(&self, txn: usize) -> bool {
        matches!(self.txns[txn].status, Status::Open { .. })
    }

    /// Decides a transaction; its markers come later.
    pub(in crate::simulated) fn end(&mut self, txn: usize, committed: bool, later: Duration) {
        self.txns[txn].status = Status::Ending { committed, at: self.now + later };
    }

    /// Offsets that will be committed with a transaction. Until it has ended nobody learns what they are.
    pub(in crate::simulated) fn send_offsets(
        &mut self,
        txn: usize,
        group: Arc<str>,
        offsets: &[(TopicPartition, Offset)],
    ) {
        self.txns[txn].offsets = Some((group, offsets.to_vec()));
    }

    /// Commits a transaction, with what was sent to it.
    pub(in crate::simulated) fn commit(&mut self, txn: usize) {
        let later = self.markers_later();
        let touched = self.txns[txn].touched.clone();
        let records = touched.iter().flat_map(|at| {
            let first = self.txns[txn].first[at];
            let all = &self.topics[&at.topic].partitions[at.partition as usize].records;
            let from = all.partition_point(|stored| stored.offset < first);
            all[from..].iter().filter(|s| s.txn == Some(txn)).map(|s| (at.clone(), Arc::clone(s)))
        });
        let records = records.collect();
        let mut told = vec![];
        if let Some((group, offsets)) = self.txns[txn].offsets.clone() {
            let of = self.groups.entry(Arc::clone(&group)).or_default();
            of.offsets.extend(offsets.iter().cloned());
            told.extend(offsets.into_iter().map(|(at, offset)| (Arc::clone(&group), at, offset)));
        }
        self.commits.push(Commit { records, offsets: told });
        self.end(txn, true, later);
        if later.is_zero() {
            self.mark(txn);
        }
    }

    pub(in crate::simulated) fn markers_later(&mut self) -> Duration {
        let most = self.faults.markers_ms;
        Duration::from_millis(if most == 0 { 0 } else { self.random.below(most) })
    }

    /// Writes the markers of a transaction that is decided.
    pub(in crate::simulated) fn mark(&mut self, txn: usize) {
        let Status::Ending { committed, .. } = self.txns[txn].status else { return };
        self.txns[txn].status = Status::Ended { committed };
        self.open.remove(&txn);
        for at in std::mem::take(&mut self.txns[txn].touched) {
            let (headers, timestamp_ms) = (vec![], 0);
            let stored = Stored {
                offset: 0,
                key: None,
                value: None,
                headers,
                timestamp_ms,
                txn: Some(txn),
                marker: true,
            };
            self.push(&at, stored);
        }
        self.txns[txn].first.clear();
    }
}
