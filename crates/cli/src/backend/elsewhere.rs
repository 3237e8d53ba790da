//! Incidents of partitions that other processes work on: what the log has of them, and commands that are handed on.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::time::Duration;

use http_api::{BackendError, CommandReceipt, NewCommand};
use runtime::log::{Isolation, Log, Offset, Record, TopicPartition};
use wire::{CommandId, Incident, IncidentId};

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

/// What the open topic has, by partition, as far as it was read: each question reads on from there.
///
/// Bound: the incidents that are open.
#[derive(Debug, Default)]
pub(crate) struct Followed(BTreeMap<u32, Part>);

#[derive(Debug, Default)]
struct Part {
    next: Offset,
    /// When it was last read, on the monotonic clock.
    read_at: Duration,
    /// With the generation in which its signal is open.
    open: HashMap<IncidentId, u32>,
}

/// What was not looked at for longer is read anew: that an incident ended may be compacted away by then.
const READ_ANEW: Duration = Duration::from_secs(3600);

/// The generation in which the signal of an incident is open, whichever process works on it.
///
/// Cost: the first question about a partition reads all that is open in it, others what was written since.
pub(super) fn open<L: Log>(here: &Backend<L>, id: &IncidentId) -> Result<Option<u32>, BackendError> {
    let partition = wire::partition::of_incident(id, here.settings.escalate_partitions);
    let at = TopicPartition::new(here.settings.topics.open.as_str(), partition);
    let ends = here.log.ends(&at).map_err(unavailable)?;
    let now = here.clock.now().mono;
    let mut followed = here.followed.lock().unwrap_or_else(PoisonError::into_inner);
    let part = followed.0.entry(partition).or_default();
    if now > part.read_at + READ_ANEW || ends.stable < part.next {
        *part = Part::default();
    }
    part.read_at = now;
    let from = part.next.max(ends.start);
    if from < ends.stable {
        let Part { next, open, .. } = part;
        let mut take = |record: Record<'_>| {
            *next = record.offset + 1;
            let id = record.key.and_then(|key| std::str::from_utf8(key).ok()).map(IncidentId::new);
            let Some(id) = id else { return ControlFlow::Continue(()) };
            match record.value.and_then(|value| serde_json::from_slice::<Incident>(value).ok()) {
                Some(Incident { generation, .. }) => drop(open.insert(id, generation)),
                None => drop(open.remove(&id)),
            }
            ControlFlow::Continue(())
        };
        let read_to = here.log.read(&at, from, Some(ends.stable), Isolation::Committed, &mut take);
        *next = read_to.map_err(unavailable)?.max(*next);
    }
    Ok(part.open.get(id).copied())
}

/// Writes the command, for whoever works on the incident. Of what came back since it is not the one that was meant.
pub(super) fn hand_on<L: Log>(
    here: &Backend<L>,
    new: NewCommand,
    generation: u32,
) -> Result<CommandReceipt, BackendError> {
    let NewCommand { command_id, incident, principal, action } = new;
    let incident_id = IncidentId::new(incident);
    if open(here, &incident_id)?.is_some_and(|open| open != generation) {
        return Err(BackendError::EarlierAlert);
    }
    let command_id = command_id.unwrap_or_else(|| {
        let action = serde_json::to_vec(&action).expect("an action is plain data");
        let (by, at) = (principal.name.as_bytes(), here.clock.now().wall.as_ms().to_be_bytes());
        CommandId::of(&[b"handed on", incident_id.as_str().as_bytes(), by, &action, &at])
    });
    inbound::write(here, (command_id, incident_id), principal, action)
}
