//! What crosses Kafka and HTTP: every public record and its schema.
//!
//! Wire messages ignore unknown fields (additive within v1); config rejects them.

pub mod audit;
pub mod checkpoint;
pub mod cloudevent;
pub mod command;
pub mod context;
pub mod control;
pub mod deadletter;
pub mod forget;
pub mod history;
pub mod id;
pub mod incident;
pub mod label;
pub mod link;
pub mod matches;
pub mod outbox;
pub mod page;
pub mod partition;
pub mod parts;
pub mod prediction;
pub mod profile;
pub mod response;
pub mod text;
pub mod time;
pub mod topic;
pub mod zone;

pub use id::{AlertKey, CommandId, Digest, IncidentId, NotificationId, SilenceId};
pub use incident::{Change, Effect, Evidence, Family, Incident, Severity, Source, Subject, SubjectKind};
pub use matches::Matches;
pub use time::Timestamp;
pub use zone::Zone;
