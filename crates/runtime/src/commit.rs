//! One commit of a loop: measured, counted, and told apart by what the loop does next.

use crate::clock::Clock;
use crate::log::{LogError, NewRecord, Offset, TopicPartition, Transaction};
use crate::metrics::{TRANSACTION, TRANSACTIONS};
use crate::oversized;

/// How a commit ended, as far as a loop goes on after it.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All of it is durable.
    Committed,
    /// Another process holds the transactional id. Nothing of it is visible.
    Fenced,
    /// All of it is visible, or nothing: the loop takes the transactional id anew, if it may, and goes back to what is
    /// committed.
    Lost,
    /// Nothing of it is visible: the loop goes back to its last commit.
    Aborted,
    /// The log took nothing of it, and may not before an operator has done what this says.
    Refused(LogError),
}

/// Commits records and offsets for `role`. Of the topics of `told` what is too large is left out.
///
/// # Errors
/// What cannot be mended by going back to the last commit.
pub(crate) fn commit<T: Transaction>(
    role: &'static str,
    clock: Clock,
    transaction: &mut T,
    records: Vec<NewRecord>,
    read: (&mut T::Consumer, &[(TopicPartition, Offset)]),
    told: &[&str],
) -> Result<Ended, LogError> {
    let began = clock.now().mono;
    let done = oversized::commit(transaction, records, read, told);
    metrics::histogram!(TRANSACTION, "role" => role).record((clock.now().mono - began).as_secs_f64());
    let outcome = match &done {
        Ok(()) => "committed",
        Err(LogError::Fenced { .. }) => "fenced",
        Err(LogError::Aborted { .. }) => "aborted",
        Err(LogError::Lost { .. }) => "lost",
        Err(LogError::Retriable { .. } | LogError::TooLarge { .. }) => "refused",
        Err(_) => "failed",
    };
    metrics::counter!(TRANSACTIONS, "role" => role, "outcome" => outcome).increment(1);
    match done {
        Ok(()) => Ok(Ended::Committed),
        Err(LogError::Fenced { .. }) => Ok(Ended::Fenced),
        Err(e @ LogError::Aborted { .. }) => {
            tracing::warn!(role, error = %e, "commit did not hold; going back to the last one");
            Ok(Ended::Aborted)
        }
        Err(e @ LogError::Lost { .. }) => {
            tracing::warn!(role, error = %e, "a transaction was lost; going back to what is committed");
            Ok(Ended::Lost)
        }
        Err(e @ LogError::Retriable { .. }) => Ok(Ended::Refused(e)),
        Err(LogError::TooLarge { topic, bytes }) => Ok(Ended::Refused(oversized::mend(&topic, bytes))),
        Err(e) => Err(e),
    }
}
