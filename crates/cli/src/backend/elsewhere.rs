//! Incidents of partitions that other processes work on: what the log has of them, and commands that are handed on.

use std::ops::ControlFlow;

use http_api::{BackendError, CommandReceipt, NewCommand};
use runtime::log::{Isolation, Log, TopicPartition};
use runtime::settings::Settings;
use wire::{CommandId, Incident, IncidentId, Timestamp};

use super::{Backend, inbound, unavailable};

/// A whole id; what is shorter is the first letters of one.
const ID_CHARS: usize = 26;

/// Whether an incident that is not shown here is not known any more, and not only another process's.
pub(super) fn is_whole<L: Log>(here: &Backend<L>, id: &str) -> bool {
    let of = here.settings.escalate_partitions;
    if id.len() < ID_CHARS {
        return (0..of).all(|partition| here.views.shows_all_of(partition));
    }
    here.views.shows_all_of(wire::partition::of_incident(&IncidentId::new(id), of))
}

/// The last word of an incident whose signal is open, whichever process works on it, and when it was written.
///
/// Cost: it reads the incident's partition of the open topic whole.
pub(super) fn open<L: Log>(
    log: &L,
    settings: &Settings,
    id: &IncidentId,
) -> Result<Option<(Incident, Timestamp)>, BackendError> {
    let partition = wire::partition::of_incident(id, settings.escalate_partitions);
    let at = TopicPartition::new(settings.topics.open.as_str(), partition);
    let ends = log.ends(&at).map_err(unavailable)?;
    let mut found = None;
    if ends.start < ends.stable {
        log.read(&at, ends.start, Some(ends.stable), Isolation::Committed, &mut |record| {
            if record.key == Some(id.as_str().as_bytes()) {
                let incident = record.value.and_then(|value| serde_json::from_slice(value).ok());
                let written_at = Timestamp::from_ms(record.timestamp_ms).unwrap_or(Timestamp::EPOCH);
                found = incident.map(|incident| (incident, written_at));
            }
            ControlFlow::Continue(())
        })
        .map_err(unavailable)?;
    }
    Ok(found)
}

/// Writes the command, for whoever works on the incident. Of what came back since it is not the one that was meant.
pub(super) fn hand_on<L: Log>(
    here: &Backend<L>,
    new: NewCommand,
    generation: u32,
) -> Result<CommandReceipt, BackendError> {
    let NewCommand { command_id, incident, principal, action } = new;
    let incident_id = IncidentId::new(incident);
    if open(&here.log, &here.settings, &incident_id)?.is_some_and(|(is, _)| is.generation != generation) {
        return Err(BackendError::EarlierAlert);
    }
    let command_id = command_id.unwrap_or_else(|| {
        let action = serde_json::to_vec(&action).expect("an action is plain data");
        let (by, at) = (principal.name.as_bytes(), here.clock.now().wall.as_ms().to_be_bytes());
        CommandId::of(&[b"handed on", incident_id.as_str().as_bytes(), by, &action, &at])
    });
    inbound::write(here, (command_id, incident_id), principal, action)
}
