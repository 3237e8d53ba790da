//! A log in memory that fails on purpose: the third implementation of [`Log`], beside the embedded one and Kafka.
//!
//! It keeps every law of `log_contract` and does besides what Kafka is allowed to do: markers of a transaction are
//! written late, fetches come in any order between partitions and when they like, groups share out anew, calls fail
//! that may fail. Where a call may be cut short, it asks its [`Host`], which may let others run first, or end the
//! caller.

mod consumer;
mod group;
mod transaction;
mod world;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::log::{
    ConsumerSpec, Ends, Isolation, Log, LogError, NewRecord, Offset, Record, TopicPartition, TopicSpec,
};

pub use consumer::SimConsumer;
pub use transaction::SimTransaction;
pub use world::{Bug, Commit, Faults, Stored, World};

/// A place within the log's calls where the caller may be stopped or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// A consumer is about to poll.
    Poll,
    /// What it polled is about to be handed over.
    Polled,
    Join,
    /// A transactional id is about to be taken over.
    Fence,
    Fenced,
    /// A range is about to be read.
    Read,
    Ends,
    Append,
    /// A transaction has not begun.
    Begin,
    /// Its records are written, its offsets are not.
    Produced,
    /// All of it is written and nothing is committed.
    OffsetsSent,
    /// All of it is committed, and the caller does not know.
    Committed,
    /// A request to a receiver is about to be written.
    Send,
    /// It is written, and the caller has not heard of it.
    Sent,
    Close,
}

impl Point {
    pub const ALL: [Self; 15] = [
        Self::Poll,
        Self::Polled,
        Self::Join,
        Self::Fence,
        Self::Fenced,
        Self::Read,
        Self::Ends,
        Self::Append,
        Self::Begin,
        Self::Produced,
        Self::OffsetsSent,
        Self::Committed,
        Self::Send,
        Self::Sent,
        Self::Close,
    ];
}

/// What a handle of the log runs on.
pub trait Host: Send + Sync {
    /// Time since the world began.
    fn now(&self) -> Duration;
    /// Called outside every lock. May let others run before it returns, or unwind and never return.
    fn at(&self, point: Point);
    /// The process it runs in, as the world numbers them.
    fn process(&self) -> usize;
    /// The process was killed: what is dropped must not do anything more.
    fn is_dead(&self) -> bool;
}

/// The process of whoever stands outside: nothing is ever refused to it.
pub const OUTSIDE: usize = usize::MAX;

/// A handle of the log. Clones share everything.
#[derive(Clone)]
pub struct SimLog {
    world: Arc<Mutex<World>>,
    host: Arc<dyn Host>,
}

impl SimLog {
    #[must_use]
    pub fn new(world: Arc<Mutex<World>>, host: Arc<dyn Host>) -> Self {
        Self { world, host }
    }

    /// The world as it is at this moment.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.world);
        world.pass(self.host.now());
        world
    }

    /// A place where the caller may be stopped, and where the call may fail.
    fn at(&self, point: Point) -> Result<(), LogError> {
        self.host.at(point);
        if self.host.process() == OUTSIDE { Ok(()) } else { self.world().trouble(point) }
    }
}

/// Whoever panics with the world ends the test.
pub(crate) fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for SimLog {
    type Consumer = SimConsumer;
    type Transaction = SimTransaction;

    fn ensure_topics(&self, topics: &[TopicSpec], create: bool) -> Result<(), LogError> {
        let mut world = self.world();
        topics.iter().try_for_each(|spec| world.ensure(spec, create))
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        Ok(self.world().partitions(topic))
    }

    fn consumer(&self, spec: ConsumerSpec) -> Result<SimConsumer, LogError> {
        self.at(Point::Join)?;
        SimConsumer::join(self.clone(), spec)
    }

    fn transaction(&self, id: &str) -> Result<SimTransaction, LogError> {
        self.at(Point::Fence)?;
        let epoch = self.world().fence(id);
        self.at(Point::Fenced)?;
        Ok(SimTransaction::new(self.clone(), id, epoch))
    }

    fn append(&self, records: &[NewRecord]) -> Result<Vec<(TopicPartition, Offset)>, LogError> {
        self.at(Point::Append)?;
        let mut world = self.world();
        let placed = world.place(records)?;
        Ok(placed.into_iter().map(|(at, record)| (at.clone(), world.write(&at, record, None))).collect())
    }

    fn read(
        &self,
        at: &TopicPartition,
        from: Offset,
        to_exclusive: Option<Offset>,
        isolation: Isolation,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<Offset, LogError> {
        self.at(Point::Read)?;
        let (found, end) = self.world().range(at, from, to_exclusive, isolation)?;
        for stored in found {
            if each(stored.record(at)).is_break() {
                return Ok(stored.offset + 1);
            }
        }
        Ok(end.max(from))
    }

    fn ends(&self, at: &TopicPartition) -> Result<Ends, LogError> {
        self.at(Point::Ends)?;
        self.world().ends(at)
    }

    fn committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        self.world().committed(group, at)
    }
}
