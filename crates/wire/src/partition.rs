//! Which partition a record goes to, set explicitly whatever its key.

use crate::id;

/// All versions of a model share a panes and history partition, so that they can be compared.
#[must_use]
pub fn of_model(model: &str, partitions: u32) -> u32 {
    of(model.as_bytes(), partitions)
}

/// Partition of an incident in incidents, open, responses, commands, outbox, audit and state.escalate.
#[must_use]
pub fn of_incident(incident: &crate::IncidentId, partitions: u32) -> u32 {
    of(incident.as_str().as_bytes(), partitions)
}

fn of(bytes: &[u8], partitions: u32) -> u32 {
    let hash = id::sha256(&[bytes]);
    let word = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"));
    u32::try_from(word % u64::from(partitions.max(1))).expect("less than a u32")
}
