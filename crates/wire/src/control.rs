//! What keeps incidents from paging, as every partition of the escalation must know it: silences, and what goes wrong
//! upstream. One topic of one partition, compacted by key: all of it is read by every worker, in one order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Principal;
use crate::{CommandId, Incident, IncidentId, Matches, SilenceId, Timestamp};

/// Most incidents that one silence may mute.
pub const SILENCED_MAX: u32 = 1000;

/// Most bytes of the conditions of a silence, as JSON.
pub const CONDITIONS_BYTES_MAX: usize = 8 * 1024;

/// A record of the control topic. A tombstone under its key takes it back for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Control {
    Silence(Box<Silence>),
    Claim(Claim),
    Over(Over),
    Upstream(Box<Upstream>),
}

impl Control {
    /// Key of the record: what it is about.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Silence(silence) => Self::silence_key(&silence.silence_id),
            Self::Claim(claim) => Self::claim_key(&claim.silence_id, &claim.incident_id),
            Self::Over(over) => Self::over_key(&over.silence_id, &over.incident_id),
            Self::Upstream(upstream) => Self::upstream_key(&upstream.incident.incident_id),
        }
    }

    #[must_use]
    pub fn silence_key(silence: &SilenceId) -> String {
        format!("silence/{silence}")
    }

    #[must_use]
    pub fn claim_key(silence: &SilenceId, incident: &IncidentId) -> String {
        format!("claim/{silence}/{incident}")
    }

    #[must_use]
    pub fn over_key(silence: &SilenceId, incident: &IncidentId) -> String {
        format!("over/{silence}/{incident}")
    }

    #[must_use]
    pub fn upstream_key(incident: &IncidentId) -> String {
        format!("upstream/{incident}")
    }
}

/// Nobody is paged about these incidents until it ends. It begins with its place in the topic, and mutes what it lists;
/// every later match asks for a place by a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    pub silence_id: SilenceId,
    pub of: Matches,
    pub made_at: Timestamp,
    pub until: Timestamp,
    /// Only what is listed is muted, and each until it is resolved: what comes back later pages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_resolved: bool,
    /// It ends early when for so long nothing that it mutes was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmatched_s: Option<u32>,
    /// Most incidents that it mutes, those listed among them: the next match pages. At most 1,000.
    pub incidents_max: u32,
    /// What it mutes from the first: whatever its preview listed.
    pub listed: Vec<Listed>,
    /// Pseudonymous id of who made it.
    pub by: String,
    pub reason: String,
}

/// An incident as a preview saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    pub incident_id: IncidentId,
    pub generation: u32,
}

/// An incident that opened later asks for its place in a silence. The first `incidents_max` of them have one, in the order of
/// the topic; the others page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    pub silence_id: SilenceId,
    pub incident_id: IncidentId,
    pub at: Timestamp,
}

/// An incident that a silence mutes is resolved: as long as this stands, there is nothing of it to mute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Over {
    pub silence_id: SilenceId,
    pub incident_id: IncidentId,
    pub at: Timestamp,
}

/// An open incident that others may come from: by the rules of inhibition of whoever reads it, they do not page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upstream {
    /// Without what was measured and what surrounds it, but for its owner and tier.
    pub incident: Incident,
    pub since: Timestamp,
}

/// What people ask of silences: a record of the commands topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilenceCommand {
    pub command_id: CommandId,
    pub silence_id: SilenceId,
    /// Clock of the process that accepted it.
    pub issued_at: Timestamp,
    pub principal: Principal,
    pub ask: SilenceAsk,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SilenceAsk {
    Make(Box<NewSilence>),
    /// What still fires pages at once.
    End {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// A silence that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewSilence {
    pub of: Matches,
    pub for_s: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_resolved: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmatched_s: Option<u32>,
    pub incidents_max: u32,
    pub listed: Vec<Listed>,
    pub reason: String,
}
