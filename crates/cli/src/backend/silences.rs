//! Silences: what one would mute, and what people ask of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use escalate::SilenceView;
use http_api::{AskedSilence, BackendError, Previewed, SilenceItem, SilencePreview, SilenceReceipt};
use runtime::log::{Isolation, Log, TopicPartition};
use runtime::settings::Settings;
use runtime::views::Views;
use wire::control::{Listed, SILENCED_MAX, SilenceAsk, SilenceCommand};
use wire::{CommandId, Incident, IncidentId, Matches, SilenceId, Timestamp};

use super::unavailable;

/// Silences that have not ended, as the control topic has them: any process may say so.
pub(super) fn list<L: Log>(
    log: &L,
    settings: &Settings,
    views: &Views,
) -> Result<Vec<SilenceItem>, BackendError> {
    let at = TopicPartition::new(settings.topics.control.as_str(), 0);
    let ends = log.ends(&at).map_err(unavailable)?;
    let mut told = Vec::new();
    if ends.start < ends.stable {
        log.read(&at, ends.start, Some(ends.stable), Isolation::Committed, &mut |record| {
            told.extend(runtime::escalate::control(&record));
            ControlFlow::Continue(())
        })
        .map_err(unavailable)?;
    }
    let told = told.into_iter().map(|(key, control)| (key, control.map(|control| *control)));
    let item = |view: SilenceView| {
        let SilenceView { mut silence, ends_at, muted } = view;
        // Whoever makes them is met in the first partition; elsewhere they stay a pseudonym.
        silence.by = views.name_of(0, &silence.by).unwrap_or(silence.by);
        SilenceItem { silence, ends_at, muted }
    };
    Ok(escalate::silences(told).into_iter().map(item).collect())
}

/// Every open incident that matches, whichever process works on it: the open topic has the last word on each.
///
/// Cost: it reads that topic whole.
pub(super) fn preview<L: Log>(
    log: &L,
    settings: &Settings,
    of: &Matches,
) -> Result<SilencePreview, BackendError> {
    let mut found: BTreeMap<IncidentId, Previewed> = BTreeMap::new();
    for partition in 0..settings.escalate_partitions {
        let at = TopicPartition::new(settings.topics.open.as_str(), partition);
        let ends = log.ends(&at).map_err(unavailable)?;
        if ends.start >= ends.stable {
            continue;
        }
        log.read(&at, ends.start, Some(ends.stable), Isolation::Committed, &mut |record| {
            let id = record.key.map(|key| IncidentId::new(String::from_utf8_lossy(key)));
            let incident = record.value.and_then(|value| serde_json::from_slice::<Incident>(value).ok());
            match (id, incident.filter(|incident| escalate::mutes(of, incident))) {
                (_, Some(incident)) => drop(found.insert(incident.incident_id.clone(), previewed(incident))),
                (Some(id), None) => drop(found.remove(&id)),
                (None, None) => (),
            }
            ControlFlow::Continue(())
        })
        .map_err(unavailable)?;
    }
    let total = found.len() as u64;
    let incidents = found.into_values().take(SILENCED_MAX as usize).collect();
    Ok(SilencePreview { incidents, total })
}

fn previewed(incident: Incident) -> Previewed {
    Previewed {
        listed: Listed { incident_id: incident.incident_id, generation: incident.generation },
        severity: incident.severity,
        subject: incident.subject.to_string(),
        title: incident.title,
        opened_at: incident.opened_at,
    }
}

/// Writes the command. A new silence must list what it would mute now, no more and no less.
pub(super) fn ask<L: Log>(
    log: &L,
    settings: &Settings,
    views: &Views,
    now: Timestamp,
    asked: AskedSilence,
) -> Result<SilenceReceipt, BackendError> {
    let AskedSilence { command_id, principal, silence_id, ask } = asked;
    let text = serde_json::to_vec(&ask).expect("what is asked is plain data");
    let (by, at) = (principal.name.as_bytes(), now.as_ms().to_be_bytes());
    let command_id = command_id.unwrap_or_else(|| CommandId::of(&[b"silence", by, &text, &at]));
    // A repeat with the same key is the same silence.
    let silence_id =
        silence_id.unwrap_or_else(|| SilenceId::of(&[b"silence", command_id.as_str().as_bytes()]));
    let receipt = SilenceReceipt { command_id: command_id.clone(), silence_id: silence_id.clone() };
    if let SilenceAsk::Make(new) = &ask {
        let made = |item: &SilenceItem| item.silence.silence_id == silence_id;
        if views.answer_to(&command_id).is_some() || list(log, settings, views)?.iter().any(made) {
            return Ok(receipt);
        }
        let mutes = preview(log, settings, &new.of)?;
        let mut is: Vec<&Listed> = mutes.incidents.iter().map(|p| &p.listed).collect();
        let mut listed: Vec<&Listed> = new.listed.iter().collect();
        is.sort();
        listed.sort();
        if is != listed || mutes.total > u64::from(SILENCED_MAX) {
            let but = |of: &[&Listed], without: &[&Listed]| {
                let of = of.iter().filter(|l| !without.contains(l));
                of.map(|l| l.incident_id.as_str()).collect::<Vec<_>>().join(", ")
            };
            let (new, gone) = (but(&is, &listed), but(&listed, &is));
            return Err(BackendError::NotAsListed { total: mutes.total, new, gone });
        }
    }
    let command = SilenceCommand { command_id, silence_id, issued_at: now, principal, ask };
    log.append(&[runtime::silence_record(settings, &command)]).map_err(unavailable)?;
    Ok(receipt)
}
