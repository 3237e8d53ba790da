//! The holder of a transactional id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};

use super::clients::raw;
use super::errors::{fenced, forbidden, lift};
use super::producer::{Failed, Producer, check};
use super::{KafkaConsumer, KafkaLog};
use crate::log::clock::Deadline;
use crate::log::{LogError, NewRecord, Offset, Progress, TopicPartition, Transaction};
use crate::points::{self, Call, Side};

/// How long the outcome of a commit is pursued before it is called unknown.
const COMMIT_WAIT: Duration = Duration::from_secs(60);
/// How long a coordinator may be busy ending the older holder's transaction, before whoever wants the id is asked
/// whether it still does.
const TAKE_WAIT: Duration = Duration::from_secs(8);
/// How long a member may be behind its group's generation before its transaction is given up.
const STALE_WAIT: Duration = Duration::from_secs(3);
const BETWEEN: Duration = Duration::from_millis(20);

/// Holder of a transactional id on a Kafka cluster.
pub struct KafkaTransaction {
    log: KafkaLog,
    id: String,
    producer: Producer,
    /// Why it can never be used again.
    over: Option<LogError>,
}

/// What to do about an error within a transaction.
enum Class {
    Fenced,
    Abort,
    Again,
    Dead,
}

fn class(error: &KafkaError) -> Class {
    let KafkaError::Transaction(inner) = error else { return Class::Dead };
    if inner.is_fatal() || fenced(inner.code()) {
        return if fenced(inner.code()) { Class::Fenced } else { Class::Dead };
    }
    if inner.txn_requires_abort() {
        Class::Abort
    } else if inner.is_retriable() || inner.code() == Code::OperationTimedOut {
        Class::Again
    } else {
        Class::Dead
    }
}

impl KafkaTransaction {
    pub(super) fn take(log: KafkaLog, id: &str) -> Result<Self, LogError> {
        let producer = Producer::new(log.config(), Some(id))?;
        let deadline = Deadline::after(TAKE_WAIT);
        loop {
            let error = match producer.client().init_transactions(log.config().timeout.min(deadline.left())) {
                Ok(()) => return Ok(Self { log, id: id.to_owned(), producer, over: None }),
                Err(error) => error,
            };
            let code = error.rdkafka_error_code();
            match class(&error) {
                Class::Fenced => return Err(LogError::Fenced { id: id.to_owned() }),
                // Just after a fencing the coordinator is busy for a moment.
                Class::Again if !deadline.over() => std::thread::sleep(BETWEEN),
                Class::Dead if code.is_some_and(forbidden) => {
                    return Err(lift(error, &format!("cannot take transactional id {id:?}")));
                }
                Class::Again | Class::Abort => {
                    return Err(lift(error, &format!("cannot take transactional id {id:?}")));
                }
                Class::Dead => {
                    return Err(LogError::fatal(format!("cannot take transactional id {id:?}"), error));
                }
            }
        }
    }

    /// Ends a transaction that failed, without a trace; then `because` is the word to the caller.
    fn abort(&mut self, because: LogError) -> LogError {
        let deadline = Deadline::after(COMMIT_WAIT);
        loop {
            let Err(error) = self.producer.client().abort_transaction(self.log.config().timeout) else {
                return because;
            };
            match class(&error) {
                Class::Again if !deadline.over() => std::thread::sleep(BETWEEN),
                Class::Fenced => return self.end(LogError::Fenced { id: self.id.clone() }),
                Class::Again | Class::Abort | Class::Dead => return self.lost(error, "to abort"),
            }
        }
    }

    /// The client's producer is of no use any more, or cannot tell: a new one under the same id puts an end to it. Where
    /// an operator has to help, a new one would not.
    fn lost(&mut self, error: KafkaError, doing: &str) -> LogError {
        if error.rdkafka_error_code().is_some_and(forbidden) {
            return self.end(lift(error, &format!("transaction of {:?} failed {doing}", self.id)));
        }
        let why = format!("{doing}: {error}");
        self.end(LogError::Lost { id: self.id.clone(), why, source: Some(Arc::new(error)) })
    }

    fn end(&mut self, error: LogError) -> LogError {
        self.over = Some(error.clone());
        error
    }

    /// What an error of the transaction means, after it was ended as it must be. `again` is for those that time alone
    /// did not mend.
    fn failed(&mut self, error: KafkaError, doing: &str) -> LogError {
        match class(&error) {
            Class::Fenced => self.end(LogError::Fenced { id: self.id.clone() }),
            Class::Abort | Class::Again => {
                let why = format!("{doing}: {error}");
                self.abort(LogError::Aborted { why, source: Some(Arc::new(error)) })
            }
            Class::Dead => self.lost(error, doing),
        }
    }

    fn undelivered(&mut self, failed: Failed, records: &[NewRecord]) -> LogError {
        let fatal = self.producer.fatal().map(|(code, _)| code);
        let code = failed.error.rdkafka_error_code();
        if fatal.or(code).is_some_and(fenced) {
            return self.end(LogError::Fenced { id: self.id.clone() });
        }
        if fatal.is_some() {
            return self.lost(failed.error, "to write");
        }
        let why = format!("a record for {} was not delivered: {}", records[failed.index].topic, failed.error);
        let refusal = failed.refusal(records);
        self.abort(refusal.unwrap_or(LogError::Aborted { why, source: Some(Arc::new(failed.error)) }))
    }

    /// Calls again until it is done or cannot be.
    fn pursue(
        &self,
        wait: Duration,
        call: impl Fn(Duration) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let deadline = Deadline::after(wait);
        loop {
            match call(self.log.config().timeout) {
                Err(error) if matches!(class(&error), Class::Again) && !deadline.over() => {
                    tracing::debug!(id = self.id, %error, "transaction call is repeated");
                    std::thread::sleep(BETWEEN);
                }
                done => return done,
            }
        }
    }

    fn send_offsets(
        &self,
        consumer: &KafkaConsumer,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), OffsetsError> {
        let mut by_member: BTreeMap<usize, TopicPartitionList> = BTreeMap::new();
        for (at, offset) in offsets {
            let member = consumer.member_of(at).ok_or_else(|| OffsetsError::NotHeld(at.clone()))?;
            let list = by_member.entry(member).or_default();
            list.add_partition_offset(&at.topic, raw(at.partition), RawOffset::Offset(*offset))?;
        }
        for (member, list) in by_member {
            self.pursue(self.log.config().timeout, |timeout| {
                // Fresh each time: the generation may have moved on.
                let metadata = consumer.metadata(member).ok_or(KafkaError::Canceled)?;
                self.producer.client().send_offsets_to_transaction(&list, &metadata, timeout)
            })?;
        }
        Ok(())
    }
}

enum OffsetsError {
    NotHeld(TopicPartition),
    Kafka(KafkaError),
}

impl From<KafkaError> for OffsetsError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

/// Why one attempt at a commit failed.
enum Attempt {
    /// For good, or until the caller has done something about it.
    Failed(LogError),
    /// The group is about to share its partitions out anew, and ours are ours until we are told: nothing was written,
    /// and the generation will be known in a moment.
    Stale(LogError),
}

impl KafkaTransaction {
    fn attempt(
        &mut self,
        records: &[NewRecord],
        offsets: Option<(&KafkaConsumer, &[(TopicPartition, Offset)])>,
    ) -> Result<(), Attempt> {
        if let Err(error) = self.producer.client().begin_transaction() {
            return Err(Attempt::Failed(self.failed(error, "to begin")));
        }
        // All deliveries first: a commit with some outstanding waits in steps of 100 ms.
        points::at(&self.id, Call::Produce, Side::Before);
        if let Err(failed) = self.producer.deliver(records) {
            return Err(Attempt::Failed(self.undelivered(failed, records)));
        }
        points::at(&self.id, Call::Produce, Side::After);
        if let Some((consumer, offsets)) = offsets {
            points::at(&self.id, Call::SendOffsets, Side::Before);
            let sent = self.send_offsets(consumer, offsets);
            points::at(&self.id, Call::SendOffsets, Side::After);
            match sent {
                Ok(()) => (),
                Err(OffsetsError::NotHeld(at)) => {
                    let why = format!("{at} is not held by the consumer");
                    return Err(Attempt::Failed(self.abort(LogError::Aborted { why, source: None })));
                }
                Err(OffsetsError::Kafka(error)) => {
                    let stale = error.rdkafka_error_code().is_some_and(stale);
                    let failed = self.failed(error, "to send offsets");
                    let aborted = matches!(failed, LogError::Aborted { .. });
                    return Err(if stale && aborted {
                        Attempt::Stale(failed)
                    } else {
                        Attempt::Failed(failed)
                    });
                }
            }
        }
        let commit = |timeout| self.producer.client().commit_transaction(timeout);
        points::at(&self.id, Call::Commit, Side::Before);
        let done = self.pursue(COMMIT_WAIT, commit);
        points::at(&self.id, Call::Commit, Side::After);
        match done {
            Ok(()) => Ok(()),
            // Neither committed nor aborted: only a new holder of the id can find out.
            Err(error) if matches!(class(&error), Class::Again) => {
                Err(Attempt::Failed(self.lost(error, "to learn how a commit ended")))
            }
            Err(error) => Err(Attempt::Failed(self.failed(error, "to commit"))),
        }
    }
}

/// The broker knows a newer generation of the group than the client does.
fn stale(code: Code) -> bool {
    matches!(code, Code::IllegalGeneration | Code::RebalanceInProgress)
}

impl Transaction for KafkaTransaction {
    type Consumer = KafkaConsumer;

    fn commit(
        &mut self,
        records: &[NewRecord],
        offsets: Option<Progress<'_, KafkaConsumer>>,
    ) -> Result<(), LogError> {
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        let offsets = offsets.filter(|(_, offsets)| !offsets.is_empty());
        let offsets = offsets.map(|(consumer, offsets)| (&*consumer, offsets));
        if records.is_empty() && offsets.is_none() {
            return Ok(());
        }
        check(&self.log, records)?;
        let deadline = Deadline::after(STALE_WAIT);
        loop {
            match self.attempt(records, offsets) {
                Ok(()) => return Ok(()),
                // As long as nothing was lost, the partitions are held whatever the generation: the client rejoins
                // as a new member only after its owner has let go.
                Err(Attempt::Stale(_)) if !deadline.over() && offsets.is_some_and(|(c, _)| !c.lost()) => {
                    std::thread::sleep(BETWEEN);
                }
                Err(Attempt::Stale(error) | Attempt::Failed(error)) => return Err(error),
            }
        }
    }
}
