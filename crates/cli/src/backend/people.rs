//! People: who is forgotten, and who looked.

use http_api::{Accessed, BackendError, ForgetReceipt, NewForget};
use runtime::log::Log;
use runtime::metrics::ACCESS;
use runtime::settings::Settings;
use wire::forget::Forget;
use wire::{CommandId, Timestamp};

use super::{Auditing, unavailable};

/// Writes one record a partition, none of which has the name.
pub(super) fn forget<L: Log>(
    log: &L,
    settings: &Settings,
    auditing: &Auditing,
    now: Timestamp,
    forget: NewForget,
) -> Result<ForgetReceipt, BackendError> {
    if !auditing.names {
        return Err(BackendError::NotHere { role: "escalate" });
    }
    let NewForget { command_id, principal, name } = forget;
    let name = auditing.policy.person_of(&name).to_owned();
    let pseudonym = auditing.policy.pseudonym(&name);
    let id = command_id.unwrap_or_else(|| {
        let (by, at) = (principal.name.as_bytes(), now.as_ms().to_be_bytes());
        CommandId::of(&[b"forget", pseudonym.as_bytes(), by, &at])
    });
    let of = |partition: u32| {
        let command_id = CommandId::new(format!("{id}.{partition}"));
        let name = Forget::digest(&command_id, &name);
        let (principal, pseudonym) = (principal.clone(), pseudonym.clone());
        Forget { command_id, partition, issued_at: now, principal, pseudonym, name }
    };
    let forgets: Vec<Forget> = (0..settings.escalate_partitions).map(of).collect();
    let records: Vec<_> = forgets.iter().map(|f| runtime::forget_record(settings, f)).collect();
    log.append(&records).map_err(unavailable)?;
    let commands = forgets.into_iter().map(|f| f.command_id).collect();
    Ok(ForgetReceipt { pseudonym, commands })
}

/// One line of the access log, under the target `access`, and one count.
pub(super) fn accessed(accessed: &Accessed) {
    let Accessed { method, route, caller, incident, status } = accessed;
    let (caller, role) = match caller {
        Some((name, role)) => (name.as_str(), role.map_or("none", wire::command::Role::name)),
        None => ("nobody", "none"),
    };
    let incident = incident.as_deref().unwrap_or_default();
    tracing::info!(target: "access", caller, role, method, route, incident, status, "accessed");
    let outcome = if (200..300).contains(status) { "answered" } else { "refused" };
    metrics::counter!(ACCESS, "route" => *route, "role" => role, "outcome" => outcome).increment(1);
}
