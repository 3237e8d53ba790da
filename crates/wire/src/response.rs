//! What people did about an incident: the other half of its life, beside the signal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{IncidentId, Timestamp};

/// One step of people on one incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub incident_id: IncidentId,
    pub generation: u32,
    /// Counts the responses of this incident, from 1.
    pub sequence: u32,
    pub change: ResponseChange,
    /// When the machine took it in, by its recorded clock.
    pub at: Timestamp,
    /// Pseudonymous id of who did it, or `tocsin`.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// End of an acknowledgement, a mitigation or a snooze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// To whom it was handed: a team or a role as a step of a policy names them, a person by pseudonymous id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who resolved or closed it said that there was nothing to do about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_actionable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseChange {
    Opened,
    Acknowledged,
    /// Somebody acknowledged whose word alone does not stop the pages.
    Seen,
    AcknowledgementExpired,
    /// Who had it did nothing in time: the next step pages.
    Unanswered,
    /// Nobody is paged until a time.
    Snoozed,
    /// A silence, maintenance or an incident upstream: nobody is paged until a time.
    Muted,
    /// Handed to somebody, who is paged.
    Assigned,
    /// Another incident is worked on in its place.
    Merged,
    Mitigated,
    Resolved,
    Closed,
    Noted,
    /// It follows the response bundle in force from now on.
    Repinned,
}
