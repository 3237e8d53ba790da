//! Why a log could not do it, by what the caller must do about it.

use std::path::PathBuf;
use std::sync::Arc;

/// The error beneath, shared so that one failed write can be told to all whose records were in it.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a log could not do it. Each variant is a different thing to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// Someone else holds this transactional id. Give up what it stands for and never take it again.
    #[error("transactional id {id:?} has a newer holder: give its partitions up")]
    Fenced { id: String },
    /// The transaction was aborted, nothing of it is visible. Rewind to the last commit, restore, go on.
    #[error("transaction aborted, rewind to the last commit: {why}")]
    Aborted { why: String, source: Option<Cause> },
    /// What became of the last transaction under this id is not known, or how to end it. Drop its holder; take the id anew,
    /// where it cannot have become another's meanwhile; read what is committed.
    #[error("what became of a transaction of {id:?} is not known, take its id anew: {why}")]
    Lost { id: String, why: String, source: Option<Cause> },
    /// It did not work this time and lost nothing. Call again, later.
    #[error("{what}, try again")]
    Retriable { what: String, source: Option<Cause> },
    /// Trying again cannot help: make the record smaller or raise the topic's `max.message.bytes`.
    #[error("a record of {bytes} bytes is too large for topic {topic}")]
    TooLarge { topic: Arc<str>, bytes: usize },
    /// A record that this topic cannot take (no such partition, no key in a compacted topic). A bug in the caller.
    #[error("topic {topic} refuses the record: {why}")]
    Refused { topic: Arc<str>, why: String },
    /// An existing topic is not what it must be. An operator must change it (or the config that wants it).
    #[error("topic {topic} has {setting} = {found}, wanted {wanted}")]
    Topic { topic: Arc<str>, setting: &'static str, found: String, wanted: String },
    /// No such topic or partition. Create it, or correct its name.
    #[error("{what} does not exist")]
    NotFound { what: String },
    /// A setting that the log does not know or cannot take. Correct it.
    #[error("log setting is wrong: {what}")]
    Config { what: String, source: Option<Cause> },
    /// Another process has the file of the embedded log open. Stop that one, or give this one its own file.
    #[error("{} is in use by another process: an embedded log belongs to one process; stop that one first", path.display())]
    Locked { path: PathBuf },
    /// A partition that this consumer does not hold, or a consumer that was closed.
    #[error("not held by this consumer: {what}")]
    NotHeld { what: String },
    /// The file or the client is beyond repair by this process. Drop the handle; restart what used it.
    #[error("{what}: restart")]
    Fatal { what: String, source: Option<Cause> },
}

impl LogError {
    pub(crate) fn retriable(what: impl Into<String>) -> Self {
        Self::Retriable { what: what.into(), source: None }
    }

    pub(crate) fn fatal(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Fatal { what: what.into(), source: Some(Arc::new(source)) }
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::NotFound { what: what.to_string() }
    }
}
