//! What people ask of an incident. Only tocsin's own processes write commands; each carries its authenticated principal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CommandId, Family, IncidentId, Severity, Source, Subject, Timestamp};

/// Longest note or reason, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;

/// One command on one incident. A repeat with the same id changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    pub command_id: CommandId,
    pub incident_id: IncidentId,
    /// Clock of the process that accepted it.
    pub issued_at: Timestamp,
    pub principal: Principal,
    pub action: Action,
}

/// What the commands topic holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Commanded {
    OnIncident(Command),
    OnSilence(crate::control::SilenceCommand),
    Forget(crate::forget::Forget),
}

/// Who, as authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Principal {
    pub name: String,
    pub role: Role,
}

/// What a token may do; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Responder,
    Lead,
    Tuner,
    Admin,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Responder, Self::Lead, Self::Tuner, Self::Admin];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Lead => "lead",
            Self::Tuner => "tuner",
            Self::Admin => "admin",
        }
    }
}

/// An incident as people, another system or a dependency say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Raised {
    /// `human`, `import`, `dependency` or `drill`.
    pub source: Source,
    pub severity: Severity,
    pub family: Family,
    pub subject: Subject,
    /// One line for people.
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    pub opened_at: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Action {
    /// The principal owns it for `for_s` seconds; then it escalates again.
    Acknowledge {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_s: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The harm is contained for `for_s` seconds, the cause is not gone; then the incident is open again.
    Mitigate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_s: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// People are done with it. The signal may still be open.
    Resolve {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// There was nothing to do about it: see [`Feedback`](crate::context::Feedback).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not_actionable: bool,
    },
    /// A resolved incident was looked back on: its root cause, or why none is sought.
    Close {
        reason: String,
        /// As when it is resolved.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not_actionable: bool,
    },
    Note {
        text: String,
    },
    /// Nobody is paged for `for_s` seconds, then it pages from the first step. Nobody owns it meanwhile.
    Snooze {
        for_s: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody else is to take it: `to`, as a step of a policy names them. They are paged now, the policy's first step
    /// if they do not take it.
    Assign {
        to: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Something is wrong that no detector found. The incident of the command is the one that is raised.
    Raise(Box<Raised>),
    /// What was raised so is over.
    Clear {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is the same trouble as another incident, which is worked on in its place.
    Merge {
        into: IncidentId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It follows the response bundle that is in force, in place of the one that it opened with. Where somebody is being
    /// paged, the first step of that one pages now; whoever has it keeps it.
    Repin {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}
