//! Everything there is: topics, transactions, groups, and what is to go wrong.

mod topics;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use runtime::log::{LogError, Offset, TopicPartition};

use super::Point;
use super::group::Group;
use crate::random::Random;
pub use topics::Stored;
use topics::Topic;
use transactions::{Status, TRANSACTION_MAX, Txn};

/// A bug in how a process uses the log, to see that the laws notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Offsets are committed before what they stand for.
    OffsetBeforeEffect,
    /// The log does not hear of which generation of the group a commit is.
    StaleGroupMetadata,
    /// One in four records of state never arrives.
    LostChangelog,
    /// Incidents are named after the process that tells of them.
    UnstableId,
    /// What was delivered last is taken for the end.
    IdleBySilence,
    /// The state of a version is not written where an incident opens.
    ResetNotPersisted,
    /// A collector does not write how far event time has come.
    WatermarkNotSaved,
    /// A collector does not write which ids it has seen.
    DuplicateWindowLost,
    /// The state of an incident is not written where somebody takes it.
    AnswerNotSaved,
    /// A request is begun however long ago its lease has ended.
    SentBeyondLease,
}

/// What goes wrong, and how often.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Share of calls that fail although they might have been done.
    pub refuse: f64,
    /// Share of transactions whose end is not told: done or not, the caller must find out.
    pub unknown: f64,
    /// Share of fetches that bring nothing of a partition although there is something.
    pub stall: f64,
    /// Longest that the markers of a transaction are behind its answer, in milliseconds.
    pub markers_ms: u64,
    pub bug: Option<Bug>,
}

/// What one transaction committed: for the laws.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Where its records lie.
    pub records: Vec<(TopicPartition, Arc<Stored>)>,
    /// Offsets of which group.
    pub offsets: Vec<(Arc<str>, TopicPartition, Offset)>,
}

/// Topics, transactions and groups under one clock.
#[derive(Debug)]
pub struct World {
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    txns: Vec<Txn>,
    /// Transactions that are not ended.
    open: BTreeSet<usize>,
    /// By transactional id: how often it was taken over.
    epochs: BTreeMap<String, u64>,
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    /// Where the last fetch of each partition ended.
    pub(super) fetched: BTreeMap<TopicPartition, Offset>,
    /// Every committed transaction, in order.
    pub commits: Vec<Commit>,
    pub(super) now: Duration,
    pub(super) random: Random,
    pub faults: Faults,
    /// By process: since when it does not run. Its heartbeats stop with it.
    stopped: BTreeMap<usize, Duration>,
    /// A member whose process stands still for so long is out.
    pub session: Duration,
    /// A member that does not poll for so long is out.
    pub max_poll: Duration,
    wall_ms: i64,
}

impl World {
    /// An empty world in which nothing goes wrong. `wall_ms` is the time of day at its beginning.
    #[must_use]
    pub fn new(seed: u64, wall_ms: i64) -> Self {
        Self {
            topics: BTreeMap::new(),
            txns: vec![],
            open: BTreeSet::new(),
            epochs: BTreeMap::new(),
            groups: BTreeMap::new(),
            fetched: BTreeMap::new(),
            commits: vec![],
            now: Duration::ZERO,
            random: Random::new(seed),
            faults: Faults::default(),
            stopped: BTreeMap::new(),
            session: Duration::from_secs(6),
            max_poll: Duration::from_secs(60),
            wall_ms,
        }
    }

    /// Time goes on; what was due by then has happened.
    pub fn pass(&mut self, now: Duration) {
        self.now = self.now.max(now);
        for txn in self.open.clone() {
            match self.txns[txn].status {
                Status::Open { since } if self.now > since + TRANSACTION_MAX => {
                    let id = self.txns[txn].id.clone();
                    *self.epochs.entry(id).or_default() += 1;
                    self.end(txn, false, Duration::ZERO);
                    self.mark(txn);
                }
                Status::Ending { at, .. } if at <= self.now => self.mark(txn),
                Status::Open { .. } | Status::Ending { .. } | Status::Ended { .. } => (),
            }
        }
    }

    /// A process stands still from now on, killed or stopped.
    pub fn stop(&mut self, process: usize) {
        self.stopped.entry(process).or_insert(self.now);
    }

    /// A stopped process goes on. What its sessions missed they have missed.
    pub fn go_on(&mut self, process: usize) {
        self.expel();
        self.stopped.remove(&process);
    }

    /// Partitions are shared out anew, as after any change of the group.
    pub fn share_out_anew(&mut self) {
        let random = &mut self.random;
        self.groups.values_mut().for_each(|group| group.share_out_anew(random.bits()));
    }

    pub(super) fn expel(&mut self) {
        let (now, session, max_poll) = (self.now, self.session, self.max_poll);
        for group in self.groups.values_mut() {
            group.expel(|member| {
                let still = self.stopped.get(&member.process).is_some_and(|since| now > *since + session);
                still || now > member.polled + max_poll
            });
        }
    }

    /// Whether this call fails.
    pub(super) fn trouble(&mut self, point: Point) -> Result<(), LogError> {
        let refused = self.random.chance(self.faults.refuse);
        if !refused {
            return Ok(());
        }
        let what = format!("{point:?}: the broker is moving its coordinator");
        Err(match point {
            Point::Begin | Point::Produced | Point::OffsetsSent => {
                LogError::Aborted { why: what, source: None }
            }
            // What is done is done.
            Point::Committed | Point::Polled | Point::Send | Point::Sent | Point::Close => return Ok(()),
            Point::Poll
            | Point::Join
            | Point::Fence
            | Point::Fenced
            | Point::Read
            | Point::Ends
            | Point::Append => LogError::Retriable { what, source: None },
        })
    }

    /// What a group has committed.
    ///
    /// # Errors
    /// While a transaction has not ended that will say more.
    pub(super) fn committed(
        &self,
        group: &str,
        at: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, LogError> {
        let pending = self.open.iter().filter_map(|&txn| self.txns[txn].offsets.as_ref());
        let of = pending.filter(|(of, _)| **of == *group).flat_map(|(_, offsets)| offsets);
        if let Some((waits, _)) = of.into_iter().find(|(pending, _)| at.contains(pending)) {
            let what = format!("{waits}: a transaction with its offset has not ended");
            return Err(LogError::Retriable { what, source: None });
        }
        let group = self.groups.get(group);
        Ok(at.iter().map(|at| group.and_then(|group| group.offsets.get(at).copied())).collect())
    }

    /// Offsets that a group has committed, by partition: for the laws.
    #[must_use]
    pub fn offsets(&self, group: &str) -> BTreeMap<TopicPartition, Offset> {
        self.groups.get(group).map(|group| group.offsets.clone()).unwrap_or_default()
    }
}
