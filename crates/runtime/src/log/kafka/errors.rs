//! The client library's errors, by what the caller must do.

use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::log::LogError;

/// What an error outside a transaction means. `what` says what could not be done.
pub(super) fn lift(error: KafkaError, what: &str) -> LogError {
    let what = format!("{what}: {error}");
    let code = error.rdkafka_error_code();
    if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))
        || code.is_some_and(forbidden)
    {
        return LogError::Config { what, source: Some(Arc::new(error)) };
    }
    if code.is_some_and(unknown) {
        return LogError::NotFound { what };
    }
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) || code == Some(Code::Fatal) {
        return LogError::Fatal { what, source: Some(Arc::new(error)) };
    }
    LogError::Retriable { what, source: Some(Arc::new(error)) }
}

/// Only an operator can help.
pub(super) fn forbidden(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
    )
}

/// No such topic or partition.
pub(super) fn unknown(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// A topic that was there when it was first asked for: it may be made anew, or its broker may have just started.
pub(super) fn gone(topic: &str, error: KafkaError) -> LogError {
    let what = format!(
        "topic {topic} cannot be found any more; if it was deleted, make it again with the partitions it had"
    );
    LogError::Retriable { what, source: Some(Arc::new(error)) }
}

/// Someone else has the transactional id.
pub(super) fn fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// Whether another broker must be asked, which the client finds out by itself.
pub(super) fn moved(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
    )
}
