//! The audit chain: everything the product does to a page, each record holding the hash of the one before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{IncidentId, Timestamp, id};

/// One record of a partition's chain. `hash` covers every other field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    pub partition: u32,
    /// From 1, without gaps.
    pub sequence: u64,
    /// The machine's recorded clock.
    pub at: Timestamp,
    /// Pseudonymous id of a person, or `tocsin`.
    pub actor: String,
    /// `incident.opened`, `page.intended`, `page.delivered`, `command.acknowledge`, `policy.loaded`, …
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What the action is about, whole, as JSON: a signed [`Checkpoint`](crate::checkpoint::Checkpoint) of
    /// `audit.checkpoint`, a piece of the bundle of `policy.stated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Hash of the record before; 64 zeros for the first.
    pub previous: String,
    pub hash: String,
}

/// `previous` of the first record of a chain.
pub const CHAIN_START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl AuditRecord {
    /// SHA-256 over every field but `hash`, each with its length, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let text =
            |t: &Option<String>| t.as_deref().map_or_else(|| vec![0], |t| [&[1], t.as_bytes()].concat());
        let incident = self.incident_id.as_ref().map(ToString::to_string);
        let (partition, sequence) = (self.partition.to_be_bytes(), self.sequence.to_be_bytes());
        let at = self.at.as_ms().to_be_bytes();
        let texts = [text(&incident), text(&self.before), text(&self.after), text(&self.why)];
        let mut parts: Vec<&[u8]> = vec![
            &partition,
            &sequence,
            &at,
            self.actor.as_bytes(),
            self.action.as_bytes(),
            &texts[0],
            &texts[1],
            &texts[2],
            &texts[3],
            self.previous.as_bytes(),
        ];
        // Only where there is one: records from before there were any keep their hash.
        parts.extend(self.content.as_deref().map(str::as_bytes));
        id::hex(&id::sha256(&parts))
    }
}
