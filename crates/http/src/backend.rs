//! What lies behind the listener, as it sees it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use wire::audit::AuditRecord;
use wire::cloudevent::Headers;
use wire::command::{Action, Principal};
use wire::context::ContextRecord;
use wire::deadletter::DeadLetter;
use wire::page::InboxEntry;
use wire::{
    AlertKey, CommandId, Family, IncidentId, Matches, NotificationId, Severity, Source, Subject, Timestamp,
};

use crate::audited::{Accessed, AuditVoucher, AuditWitnesses, ForgetReceipt, NewForget};
use crate::silences::{AskedSilence, SilenceItem, SilencePreview, SilenceReceipt};

/// What the listener asks of the process around it.
///
/// Every method may block; it is called on a thread where that is allowed, and a bounded number at a time.
pub trait Backend: Send + Sync + 'static {
    /// The time by this process's clock. Answers at once.
    fn now(&self) -> Timestamp;
    /// Writes telemetry. Returns once all of it is durable; on an error any part of it may be.
    fn ingest(&self, records: Vec<IngestRecord>) -> Result<Ingested, BackendError>;
    /// Writes deployments and lineage. Returns once all of it is durable.
    fn context(&self, records: Vec<ContextRecord>) -> Result<Ingested, BackendError>;
    /// Writes a command. Returns once it is durable; a repeat with the same id writes nothing.
    fn command(&self, command: NewCommand) -> Result<CommandReceipt, BackendError>;
    /// Writes a command on an incident that is not shown here, since another process works on it: by its whole id, and
    /// said of this generation. Returns once it is durable; whoever works on the incident answers it.
    ///
    /// For a backend to which no incident is another's it is a command as any.
    fn hand_on(&self, command: NewCommand, generation: u32) -> Result<CommandReceipt, BackendError> {
        _ = generation;
        self.command(command)
    }
    /// Makes an incident that no detector found durable; the incident that is open already if it is the same.
    fn raise(&self, new: NewIncident) -> Result<CommandReceipt, BackendError>;
    /// As [`raise`](Self::raise), of what another system knows by this key: the same key is the same incident while it is
    /// open, and another key is another, though it be about the same subject. One key has one family and one subject.
    fn import(&self, key: &str, new: NewIncident) -> Result<CommandReceipt, BackendError>;
    /// Says that what was imported so is over: `was` as it was imported. Returns once that is durable.
    fn over(&self, key: &str, was: NewIncident, reason: String) -> Result<CommandReceipt, BackendError>;
    /// The incident that an alert at a receiver is of, as [`incident`](Self::incident) shows it.
    fn alerted(&self, key: &AlertKey) -> Result<Value, BackendError>;
    /// Incidents that one message is about, as [`incident`](Self::incident) shows them, the worst first: those at these places,
    /// with how many there are.
    fn in_one_message(
        &self,
        fold: &NotificationId,
        places: Range<usize>,
    ) -> Result<IncidentPage, BackendError>;
    /// What so many things came to that another system sent. Must not block.
    fn inbound(&self, from: &'static str, outcome: &'static str, count: u64);
    /// What became of a command.
    fn answer(&self, id: &CommandId) -> Result<CommandAnswer, BackendError>;
    /// Answers who pressed a button in a message of this Slack receiver, at the address that Slack gave for that.
    fn slack_reply(&self, receiver: &str, to: &str, text: &str) -> Result<(), BackendError>;
    fn incidents(&self, query: &IncidentQuery) -> Result<IncidentPage, BackendError>;
    /// One incident, by its id or the first letters of it.
    fn incident(&self, id: &str) -> Result<Value, BackendError>;
    /// Why somebody was paged about an incident, or was not, in sentences; of everybody without a person.
    fn why(&self, id: &str, person: Option<String>) -> Result<Why, BackendError>;
    /// Silences that have not ended.
    fn silences(&self) -> Result<Vec<SilenceItem>, BackendError>;
    /// What a silence of these would mute, whichever process works on it.
    fn silence_preview(&self, of: &Matches) -> Result<SilencePreview, BackendError>;
    /// Writes what somebody asks of silences. Returns once it is durable. A new one that does not list what it would mute
    /// now is refused.
    fn silence(&self, asked: AskedSilence) -> Result<SilenceReceipt, BackendError>;
    fn status(&self) -> Result<Value, BackendError>;
    /// Newest first.
    fn inbox(&self) -> Result<Vec<InboxEntry>, BackendError>;
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, BackendError>;
    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, BackendError>;
    /// Checks the whole chain, against these beside itself.
    fn audit_verify(&self, witnesses: &AuditWitnesses) -> Result<AuditReport, BackendError>;
    /// Asks every partition of the escalation to forget a person. Returns once that is durable.
    fn forget(&self, forget: NewForget) -> Result<ForgetReceipt, BackendError>;
    /// Somebody looked at, or acted on, an incident, the audit or a person. Must not block.
    fn accessed(&self, accessed: &Accessed);
    /// In Prometheus' text format.
    fn metrics(&self) -> Result<String, BackendError>;
    /// Answers at once, from what is known.
    fn ready(&self) -> Readiness;
    /// Events from now on, or from where an earlier stream stood: `from` is the `id` of the last event seen. The
    /// listener drops the receiver when nobody reads any more; the backend drops the sender when the reader is too slow.
    fn tail(&self, from: Option<&str>) -> Result<mpsc::Receiver<TailEvent>, BackendError>;
}

/// Why the backend does not do it. The texts are shown to the caller, but for that of `Internal`.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("no such {what}")]
    NotFound { what: &'static str },
    /// Several ids begin so.
    #[error("{0} incidents begin with these letters: write more of the id")]
    Ambiguous(usize),
    /// What a silence would mute is not what it lists.
    #[error(
        "it would mute {total} incidents now: [{new}] were not listed, [{gone}] were and are over; look at the preview again"
    )]
    NotAsListed { total: u64, new: String, gone: String },
    /// It can never be done.
    #[error("{0}")]
    Invalid(String),
    /// Not now: the log cannot be reached, or is catching up.
    #[error("{why}")]
    Unavailable { why: String, retry_after_s: u64 },
    /// Another process answers this: the role does not run here, or others hold all of its partitions.
    #[error(
        "this process has no partition of the role {role}: it does not run here, or others hold all of them"
    )]
    NotHere { role: &'static str },
    /// It is not among what is shown here, and not all is: it may be another process's.
    #[error(
        "no such incident is shown here, and this process answers for {here} of {of} partitions: another process may have it, so ask again"
    )]
    Elsewhere { here: u32, of: u32 },
    /// Said of an alert that is over: what is open now is another.
    #[error("this is of an earlier alert: the incident came back since")]
    EarlierAlert,
    /// A fault of tocsin. Logged with the id of the request; the caller is told only that id.
    #[error("{0}")]
    Internal(String),
}

/// One record of telemetry, as it came. It is a JSON object by syntax; what it means is judged by who reads the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestRecord {
    /// A slice of the request's body, not a copy.
    pub body: Bytes,
    /// Headers for the log, the same for all records of a request: `content-type`, and `ce_*` of a binary CloudEvent.
    pub headers: Arc<Headers>,
}

/// What is durable now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    pub records: u64,
}

/// A command as it was asked for; the backend adds the time and, where there is none, the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// The caller's `Idempotency-Key`.
    pub command_id: Option<CommandId>,
    /// The id of the incident or the first letters of it.
    pub incident: String,
    pub principal: Principal,
    pub action: Action,
}

/// An incident as it was raised; the backend adds the time, unless it was given, and makes the ids of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIncident {
    /// The caller's `Idempotency-Key`.
    pub command_id: Option<CommandId>,
    pub principal: Principal,
    pub source: Source,
    pub severity: Severity,
    pub family: Family,
    pub subject: Subject,
    pub title: String,
    pub owner: Option<String>,
    pub opened_at: Option<Timestamp>,
    pub drill: bool,
}

/// A command that is durable. It takes effect within a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReceipt {
    pub command_id: CommandId,
    pub incident_id: IncidentId,
    /// It had been carried out before; nothing was written now.
    #[serde(default)]
    pub repeated: bool,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandAnswer {
    pub command_id: CommandId,
    pub answer: AnswerState,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerState {
    /// Not taken in yet, never sent, or so long ago that it is not kept.
    Unknown,
    Accepted,
    /// Written down, and it stops nothing yet: `why` says what would.
    Noted,
    Refused,
}

/// Why somebody was paged, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    pub incident_id: IncidentId,
    /// The path from the incident to whom it pages, a sentence each.
    pub because: Vec<String>,
}

/// Which incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    pub state: IncidentsState,
    /// Any, when empty.
    pub severities: Vec<Severity>,
    /// 1 to 200.
    pub limit: usize,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentsState {
    /// The signal is open.
    #[default]
    Open,
    Cleared,
    All,
}

/// A part of the list of incidents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentPage {
    pub incidents: Vec<Value>,
    /// Of all that match, not only of these.
    pub total: u64,
    /// Partitions of incidents that this process answers for, and how many there are: others know the rest.
    #[serde(default)]
    pub partitions: [u32; 2],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which dead letters: the last ones before a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// 1 to 1000.
    pub limit: usize,
    /// `next` of the page before, which is of newer ones.
    pub cursor: Option<String>,
}

/// A part of the dead letters, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterPage {
    pub letters: Vec<DeadLetterEntry>,
    /// There are older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One record that could not be read: never its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterEntry {
    /// When it was put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// Which records of the audit chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub incident: Option<String>,
    /// 1 to 1000.
    pub limit: usize,
    pub cursor: Option<String>,
}

/// A part of the audit chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditPage {
    pub records: Vec<AuditRecord>,
    /// Names of the actors of these records, as far as this process still knows them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub people: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a check of the whole chain found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    pub ok: bool,
    pub records: u64,
    pub heads: Vec<AuditHead>,
    /// What is wrong and where; empty when all is well.
    pub faults: Vec<String>,
    /// The keys whose checkpoints were believed.
    #[serde(default)]
    pub public_keys: Vec<String>,
}

/// The end of one partition's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    pub partition: u32,
    pub sequence: u64,
    pub hash: String,
    /// The first record that is there; beyond 1 where retention took the beginning.
    #[serde(default)]
    pub first: u64,
    /// Who knew the last record that is gone, which the first one here follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<AuditVoucher>,
    /// The latest checkpoint: it vouches for every record from the first up to its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<AuditVoucher>,
}

/// Whether the process does its work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub ready: bool,
    pub roles: Vec<RoleReadiness>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleReadiness {
    pub name: String,
    pub ready: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Partitions that it works on here, and how many there are. None here is a standby, which is ready too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<[u32; 2]>,
}

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TailEvent {
    /// Where the stream stands: given back as `from`, the stream goes on after it. One line.
    pub id: String,
    /// `incident`, `response`, `page`, `status`: one word.
    pub kind: String,
    pub data: Value,
}
