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
        id::hex(&id::sha256(&[
            &self.partition.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.at.as_ms().to_be_bytes(),
            self.actor.as_bytes(),
            self.action.as_bytes(),
            &text(&incident),
            &text(&self.before),
            &text(&self.after),
            &text(&self.why),
            self.previous.as_bytes(),
        ]))
    }
}
