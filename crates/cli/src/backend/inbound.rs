//! What other systems say: that something is wrong, that it is over, and what was done about a page of ours there.

use std::sync::Arc;

use http_api::{BackendError, CommandReceipt, NewIncident};
use runtime::log::Log;
use runtime::metrics::INBOUND;
use runtime::shown::Shown;
use runtime::views::Views;
use serde_json::Value;
use wire::command::{Action, Command, Principal, Raised};
use wire::{AlertKey, CommandId, Incident, IncidentId, Source, Timestamp};

use super::{Backend, unavailable};

/// Most incidents among which an alert is looked for: some two seconds.
const LOOKED_MAX: usize = 100_000;

pub(super) fn count(from: &'static str, outcome: &'static str, count: u64) {
    metrics::counter!(INBOUND, "from" => from, "outcome" => outcome).increment(count);
}

/// Makes an incident durable that no detector found, unless it is open already. With a key, that is the same incident which
/// has it; without, see [`repeats`].
pub(super) fn raise<L: Log>(
    here: &Backend<L>,
    key: Option<&str>,
    new: NewIncident,
) -> Result<CommandReceipt, BackendError> {
    here.here()?;
    let now = here.clock.now().wall;
    if let Some(incident_id) = same(here, key, &new) {
        let command_id = new.command_id.unwrap_or_else(|| CommandId::of(&[incident_id.as_str().as_bytes()]));
        return Ok(CommandReceipt { command_id, incident_id, repeated: true });
    }
    let opened_at = new.opened_at.unwrap_or(now);
    let NewIncident { command_id, principal, source, severity, family, subject, title, owner, drill, .. } =
        new;
    let namespace = &here.settings.namespace;
    let incident_id = match key {
        Some(key) => id_of_key(namespace, source, key, opened_at),
        // Two troubles of one subject may open at the same time.
        None => IncidentId::of(&[
            Incident::id_of(namespace, source, &subject, family, opened_at).as_str().as_bytes(),
            title.as_bytes(),
            severity.name().as_bytes(),
            &[u8::from(drill)],
        ]),
    };
    let command_id =
        command_id.unwrap_or_else(|| CommandId::of(&[b"raise", incident_id.as_str().as_bytes()]));
    // What people have ended goes on being said for as long as it fires there: it is the same all the time.
    let known =
        || here.views.incidents.contains_key(&incident_id) || here.views.answer_to(&command_id).is_some();
    if key.is_some() && known() {
        return Ok(CommandReceipt { command_id, incident_id, repeated: true });
    }
    let raised = Raised { source, severity, family, subject, title, owner, opened_at, drill };
    write(here, (command_id, incident_id), principal, Action::Raise(Box::new(raised)))
}

/// Ends what was raised under a key.
///
/// It is written also where no such incident is shown here, since it may be another process's, or just raised: whoever works
/// on its partition reads it after what raised it, and refuses what it does not know.
pub(super) fn over<L: Log>(
    here: &Backend<L>,
    key: &str,
    was: NewIncident,
    reason: String,
) -> Result<CommandReceipt, BackendError> {
    here.here()?;
    let named = || Some(id_of_key(&here.settings.namespace, was.source, key, was.opened_at?));
    let (incident_id, is_open) = match same(here, Some(key), &was) {
        Some(open) => (open, true),
        None => (named().ok_or(BackendError::NotFound { what: "incident that is open" })?, false),
    };
    let command_id =
        was.command_id.unwrap_or_else(|| CommandId::of(&[b"over", incident_id.as_str().as_bytes()]));
    let ended = !is_open && here.views.incidents.contains_key(&incident_id);
    if ended || here.views.answer_to(&command_id).is_some() {
        return Ok(CommandReceipt { command_id, incident_id, repeated: true });
    }
    write(here, (command_id, incident_id), was.principal, Action::Clear { reason: Some(reason) })
}

pub(super) fn write<L: Log>(
    here: &Backend<L>,
    (command_id, incident_id): (CommandId, IncidentId),
    principal: Principal,
    action: Action,
) -> Result<CommandReceipt, BackendError> {
    let receipt = CommandReceipt { command_id, incident_id, repeated: false };
    let command = Command {
        command_id: receipt.command_id.clone(),
        incident_id: receipt.incident_id.clone(),
        issued_at: here.clock.now().wall,
        principal,
        action,
    };
    here.log.append(&[runtime::command_record(&here.settings, &command)]).map_err(unavailable)?;
    Ok(receipt)
}

/// The open incident that raising this would repeat.
fn same<L: Log>(here: &Backend<L>, key: Option<&str>, new: &NewIncident) -> Option<IncidentId> {
    let namespace = &here.settings.namespace;
    let subject = escalate::kept_subject(&new.subject).to_string();
    let is_same = |id: &IncidentId, shown: &Shown| {
        shown.is_open
            && (shown.source, shown.family) == (new.source, new.family)
            && *shown.subject == *subject
            && match key {
                // By the time at which it opened, whichever time is said now: a restart there may begin it anew.
                Some(key) => *id == id_of_key(namespace, new.source, key, shown.opened_at),
                None => repeats(new, shown),
            }
    };
    let found = here.views.incidents.iter().find(|shown| is_same(shown.key(), shown));
    found.map(|shown| shown.key().clone())
}

/// Whether what is said without a key of the same subject and family is open already. An exercise is none of the real ones,
/// what is worse is news, and people say by the title what they mean.
fn repeats(new: &NewIncident, shown: &Shown) -> bool {
    // `sev1` is the least.
    (new.drill || new.source == Source::Drill) == shown.drill
        && new.severity >= shown.severity
        && (new.source != Source::Human || shown.title() == escalate::kept_title(&new.title))
}

/// As [`Incident::id_of`], by another system's key in place of subject and family: two alerts about one model are two.
fn id_of_key(namespace: &str, source: Source, key: &str, opened_at: Timestamp) -> IncidentId {
    IncidentId::of(&[
        namespace.as_bytes(),
        source.name().as_bytes(),
        b"key",
        key.as_bytes(),
        &opened_at.as_ms().to_be_bytes(),
    ])
}

/// The incident that has a page under this key.
pub(super) fn alerted<L: Log>(here: &Backend<L>, key: &AlertKey) -> Result<Value, BackendError> {
    let [partitions, of] = here.here()?;
    match find(&here.views, key, LOOKED_MAX) {
        Some(view) => Ok(view),
        // It may be one of theirs: whoever asks comes back, and may reach them then.
        None if partitions < of => Err(BackendError::Unavailable {
            why: format!(
                "no incident here has this alert, and other processes work on {} of {of} partitions",
                of - partitions
            ),
            retry_after_s: 5,
        }),
        None => Err(BackendError::NotFound { what: "alert" }),
    }
}

/// Looks at open incidents first, the latest of them first: whoever answers was paged a moment ago. Cost: some 20 µs for
/// each that is looked at.
fn find(views: &Views, key: &AlertKey, looked_max: usize) -> Option<Value> {
    let mut all: Vec<(bool, Timestamp, Arc<Shown>)> = views
        .incidents
        .iter()
        .map(|shown| (shown.is_open, shown.opened_at, Arc::clone(shown.value())))
        .collect();
    all.sort_by_key(|(is_open, opened_at, _)| std::cmp::Reverse((*is_open, *opened_at)));
    let has_it = |view: &Value| {
        let mut pages = view.get("pages").and_then(Value::as_array).into_iter().flatten();
        pages.any(|page| page.get("alert_key").and_then(Value::as_str) == Some(key.as_str()))
    };
    let found = all.iter().take(looked_max).map(|(_, _, shown)| shown.value()).find(has_it);
    if found.is_none() && all.len() > looked_max {
        tracing::warn!(%key, looked_max, "an alert is not among the latest incidents, and more were not looked at");
    }
    found
}

#[cfg(test)]
mod tests;
