//! An embedded log of which some partitions do not say where they end, as when a broker is gone that led them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use runtime::log::{
    ConsumerSpec, EmbeddedLog, Ends, Isolation, Log, LogError, NewRecord, Offset, Record, TopicPartition,
    TopicSpec,
};

#[derive(Clone)]
pub(crate) struct DeafLog {
    inner: EmbeddedLog,
    mute: Arc<Mutex<BTreeSet<TopicPartition>>>,
    /// None of them does.
    away: Arc<Mutex<bool>>,
}

impl DeafLog {
    pub(crate) fn new(inner: EmbeddedLog) -> Self {
        Self { inner, mute: Arc::default(), away: Arc::default() }
    }

    pub(crate) fn set_mute(&self, topic: &str, partition: u32, mute: bool) {
        let at = TopicPartition::new(topic, partition);
        let mut all = self.mute.lock().unwrap();
        if mute {
            all.insert(at);
        } else {
            all.remove(&at);
        }
    }

    pub(crate) fn set_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }
}

impl Log for DeafLog {
    type Consumer = <EmbeddedLog as Log>::Consumer;
    type Transaction = <EmbeddedLog as Log>::Transaction;

    fn ensure_topics(&self, topics: &[TopicSpec], create: bool) -> Result<(), LogError> {
        self.inner.ensure_topics(topics, create)
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        self.inner.partitions(topic)
    }

    fn consumer(&self, spec: ConsumerSpec) -> Result<Self::Consumer, LogError> {
        self.inner.consumer(spec)
    }

    fn transaction(&self, id: &str) -> Result<Self::Transaction, LogError> {
        self.inner.transaction(id)
    }

    fn append(&self, records: &[NewRecord]) -> Result<Vec<(TopicPartition, Offset)>, LogError> {
        self.inner.append(records)
    }

    fn read(
        &self,
        at: &TopicPartition,
        from: Offset,
        to_exclusive: Option<Offset>,
        isolation: Isolation,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<Offset, LogError> {
        self.inner.read(at, from, to_exclusive, isolation, each)
    }

    fn ends(&self, at: &TopicPartition) -> Result<Ends, LogError> {
        if *self.away.lock().unwrap() || self.mute.lock().unwrap().contains(at) {
            return Err(LogError::Retriable { what: format!("{at} does not answer"), source: None });
        }
        self.inner.ends(at)
    }

    fn committed(&self, group: &str, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        self.inner.committed(group, at)
    }
}
