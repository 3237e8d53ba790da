//! An embedded log of which some partitions do not say where they end, asked or read, as when a broker is gone that led them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::log::{
    Consumer, ConsumerSpec, EmbeddedLog, Ends, Event, Isolation, Log, LogError, NewRecord, Offset, Progress,
    Record, TopicPartition, TopicSpec, Transaction,
};

type Mute = Arc<Mutex<BTreeSet<TopicPartition>>>;

#[derive(Clone)]
pub(crate) struct DeafLog {
    inner: EmbeddedLog,
    mute: Mute,
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
    type Consumer = DeafConsumer;
    type Transaction = DeafTransaction;

    fn ensure_topics(&self, topics: &[TopicSpec], create: bool) -> Result<(), LogError> {
        self.inner.ensure_topics(topics, create)
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        self.inner.partitions(topic)
    }

    fn consumer(&self, spec: ConsumerSpec) -> Result<Self::Consumer, LogError> {
        Ok(DeafConsumer { inner: self.inner.consumer(spec)?, mute: Arc::clone(&self.mute) })
    }

    fn transaction(&self, id: &str) -> Result<Self::Transaction, LogError> {
        Ok(DeafTransaction(self.inner.transaction(id)?))
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

pub(crate) struct DeafConsumer {
    inner: <EmbeddedLog as Log>::Consumer,
    mute: Mute,
}

impl Consumer for DeafConsumer {
    fn poll(
        &mut self,
        max_wait: Duration,
        max_records: usize,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, LogError> {
        let mute = self.mute.lock().unwrap().clone();
        self.inner.poll(max_wait, max_records, &mut |event| {
            let is_mute = if let Event::End { at, .. } = &event { mute.contains(at) } else { false };
            if !is_mute {
                sink(event);
            }
        })
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.inner.assignment()
    }

    fn position(&self, at: &TopicPartition) -> Option<Offset> {
        self.inner.position(at)
    }

    fn pause(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.pause(at)
    }

    fn resume(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.resume(at)
    }

    fn seek(&mut self, at: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.inner.seek(at, offset)
    }

    fn rewind(&mut self, at: &[TopicPartition]) -> Result<(), LogError> {
        self.inner.rewind(at)
    }

    fn committed(&self, at: &[TopicPartition]) -> Result<Vec<Option<Offset>>, LogError> {
        self.inner.committed(at)
    }

    fn close(self) -> Result<(), LogError> {
        self.inner.close()
    }
}

pub(crate) struct DeafTransaction(<EmbeddedLog as Log>::Transaction);

impl Transaction for DeafTransaction {
    type Consumer = DeafConsumer;

    fn commit(
        &mut self,
        records: &[NewRecord],
        offsets: Option<Progress<'_, DeafConsumer>>,
    ) -> Result<(), LogError> {
        self.0.commit(records, offsets.map(|(consumer, next)| (&mut consumer.inner, next)))
    }
}
