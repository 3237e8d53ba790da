//! Records that are too large for their topic, as far as there can be any: an operator may set a topic's limit lower
//! than what tocsin writes.

use crate::log::{LogError, NewRecord, Offset, TopicPartition, Transaction};
use crate::metrics::RECORDS_DROPPED;

/// Kafka's own limit on a record, and the embedded log's: what every topic must take. The largest that is written is a
/// fourth of it.
const RECORD_BYTES: usize = 1_048_588;

/// Commits. What is too large and only tells people of things (a topic of `told`) is left out, counted and named in the
/// log; without it nothing is decided otherwise.
///
/// # Errors
/// As [`Transaction::commit`]. [`LogError::TooLarge`] of another topic stays one: a pane, a state or an incident
/// cannot be left out without deciding twice or not at all. Nothing is written then, and [`mend`] says what to do.
pub(crate) fn commit<T: Transaction>(
    transaction: &mut T,
    mut records: Vec<NewRecord>,
    (consumer, offsets): (&mut T::Consumer, &[(TopicPartition, Offset)]),
    told: &[&str],
) -> Result<(), LogError> {
    loop {
        let (limited, size) = match transaction.commit(&records, Some((&mut *consumer, offsets))) {
            Err(LogError::TooLarge { topic, bytes }) if told.contains(&&*topic) => (topic, bytes),
            done => return done,
        };
        let before = records.len();
        records.retain(|record| record.topic != limited || record.size() < size);
        let left_out = before - records.len();
        if left_out == 0 {
            return Err(LogError::TooLarge { topic: limited, bytes: size });
        }
        tracing::error!(
            topic = &*limited,
            bytes = size,
            records = left_out,
            "left out what the topic does not take: raise its max.message.bytes to {RECORD_BYTES} or more"
        );
        metrics::counter!(RECORDS_DROPPED, "topic" => limited.to_string()).increment(left_out as u64);
    }
}

/// What a role waits for when a record that it needs is too large: it tries again from the last commit, and goes on by
/// itself once the operator has raised the limit. Nothing is lost meanwhile.
pub(crate) fn mend(topic: &str, bytes: usize) -> LogError {
    let what = format!(
        "topic {topic} takes no record of {bytes} bytes: raise its max.message.bytes to {RECORD_BYTES} or more"
    );
    tracing::error!("{what}");
    LogError::Retriable { what, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Cleanup, Consumer as _, ConsumerSpec, EmbeddedLog, Event, Log as _, Start, TopicSpec};
    use std::time::Duration;

    fn specs(history: &str, state: &str) -> [TopicSpec; 3] {
        let keep = Cleanup::Delete { retention_ms: None };
        [
            TopicSpec::new("in", 1, keep),
            TopicSpec::new("history", 1, keep).set("max.message.bytes", history),
            TopicSpec::new("state", 1, Cleanup::Compact).set("max.message.bytes", state),
        ]
    }

    /// A log with one record read and not committed.
    fn reading() -> (EmbeddedLog, <EmbeddedLog as crate::log::Log>::Consumer, TopicPartition) {
        let log = EmbeddedLog::in_memory();
        log.ensure_topics(&specs("100", "100"), true).expect("memory");
        log.append(&[NewRecord::new("in", "x")]).expect("memory");
        let spec = ConsumerSpec {
            group: "g".into(),
            lead: vec!["in".into()],
            partners: vec![],
            client_id: "c".into(),
            start: Start::Earliest,
        };
        let mut consumer = log.consumer(spec).expect("memory");
        let mut read = 0;
        while read == 0 {
            let sink = &mut |event: Event<'_>| read += usize::from(matches!(event, Event::Record(_)));
            consumer.poll(Duration::ZERO, 10, sink).expect("memory");
        }
        (log, consumer, TopicPartition::new("in", 0))
    }

    fn count(log: &EmbeddedLog, topic: &str) -> usize {
        let mut count = 0;
        let each = &mut |_: crate::log::Record<'_>| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        };
        let at = TopicPartition::new(topic, 0);
        log.read(&at, 0, None, crate::log::Isolation::Committed, each).expect("there");
        count
    }

    #[test]
    fn what_only_tells_is_left_out_and_the_rest_is_committed() {
        let (log, mut consumer, at) = reading();
        let mut transaction = log.transaction("t").expect("memory");
        let records = vec![
            NewRecord::new("history", vec![0; 200]),
            NewRecord::new("history", vec![0; 50]),
            NewRecord::new("history", vec![0; 300]),
            NewRecord::new("state", vec![0; 50]).key("k"),
        ];
        let offsets = [(at.clone(), 1)];
        commit(&mut transaction, records, (&mut consumer, &offsets), &["history"]).expect("committed");
        assert_eq!((count(&log, "history"), count(&log, "state")), (1, 1));
        assert_eq!(log.committed("g", &[at]).expect("memory"), [Some(1)]);
    }

    #[test]
    fn what_decides_is_never_left_out_and_goes_on_once_the_limit_is_raised() {
        let (log, mut consumer, at) = reading();
        let mut transaction = log.transaction("t").expect("memory");
        let records =
            vec![NewRecord::new("history", vec![0; 200]), NewRecord::new("state", vec![0; 200]).key("k")];
        let offsets = [(at.clone(), 1)];
        let refused = commit(&mut transaction, records.clone(), (&mut consumer, &offsets), &["history"]);
        let Err(LogError::TooLarge { topic, bytes }) = refused else { panic!("{refused:?}") };
        let told = mend(&topic, bytes).to_string();
        assert!(
            told.contains("topic state takes no record of 201 bytes: raise its max.message.bytes"),
            "{told}"
        );
        assert_eq!((count(&log, "history"), count(&log, "state")), (0, 0));
        assert_eq!(log.committed("g", &[at]).expect("memory"), [None]);
        log.ensure_topics(&specs("100", "1000"), true).expect("memory");
        commit(&mut transaction, records, (&mut consumer, &offsets), &["history"]).expect("committed");
        assert_eq!((count(&log, "history"), count(&log, "state")), (0, 1));
    }
}
