//! Pages that are records of the log itself.
//!
//! Writing blocks until the record is durable, so it happens on a thread that may block, never on those that carry the
//! requests of other receivers.

use std::sync::Arc;

use receivers::{Topic, TopicRecord};
use tokio::sync::OwnedSemaphorePermit;
use wire::outbox::Outcome;
use wire::page::Page;

use crate::log::{Log, LogError, NewRecord};

/// Writes one record and returns when it is durable. May block for as long as the log's own time-outs.
pub(super) type Append = dyn Fn(NewRecord) -> Result<(), LogError> + Send + Sync;

/// For any log.
pub(super) fn append_to<L: Log>(log: L) -> Arc<Append> {
    Arc::new(move |record| log.append(&[record]).map(drop))
}

/// One attempt. The turn is held until the thread is done, also where nobody waits for it any more: a log that hangs
/// takes as many threads as there are turns, and no more.
pub(super) async fn write(
    append: Arc<Append>,
    topic: &Topic,
    page: &Page,
    attempt: u32,
    turn: OwnedSemaphorePermit,
) -> Outcome {
    let record = as_new(topic.render(page, attempt));
    let name = Arc::clone(topic.name());
    let written = tokio::task::spawn_blocking(move || {
        let written = append(record);
        drop(turn);
        written
    });
    match written.await {
        Ok(Ok(())) => Outcome::Delivered { reference: None },
        Ok(Err(error)) => outcome_of(&name, &error),
        Err(_) => Outcome::Unknown { reason: format!("topic {name}: the write did not come to an end") },
    }
}

fn as_new(TopicRecord { topic, key, value, headers }: TopicRecord) -> NewRecord {
    let record = NewRecord::new(topic, value).key(key);
    headers.into_iter().fold(record, |record, (name, value)| record.header(name, value))
}

/// What an error of the log means for a page. What may have been written after all is `unknown`.
fn outcome_of(topic: &str, error: &LogError) -> Outcome {
    let reason = format!("topic {topic}: {error}");
    match error {
        LogError::TooLarge { .. } => Outcome::Reject { reason },
        LogError::Refused { .. }
        | LogError::Topic { .. }
        | LogError::NotFound { .. }
        | LogError::Config { .. }
        | LogError::Locked { .. } => Outcome::Config { reason },
        LogError::Aborted { .. } | LogError::NotHeld { .. } => Outcome::Retry { reason },
        LogError::Retriable { .. }
        | LogError::Fenced { .. }
        | LogError::Lost { .. }
        | LogError::Fatal { .. } => Outcome::Unknown { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_written_is_unknown() {
        let (what, topic): (String, Arc<str>) = ("x".into(), "pages".into());
        let why = what.clone();
        for (error, want) in [
            (LogError::TooLarge { topic: Arc::clone(&topic), bytes: 9 }, "reject"),
            (LogError::Refused { topic, why: why.clone() }, "config"),
            (LogError::NotFound { what: what.clone() }, "config"),
            (LogError::Config { what: what.clone(), source: None }, "config"),
            (LogError::Aborted { why: why.clone(), source: None }, "retry"),
            (LogError::Retriable { what: what.clone(), source: None }, "unknown"),
            (LogError::Lost { id: what.clone(), why, source: None }, "unknown"),
            (LogError::Fatal { what, source: None }, "unknown"),
        ] {
            assert_eq!(outcome_of("pages", &error).class(), want, "{error}");
        }
    }
}
