//! What must hold of silences and of what comes from something upstream: who is not to be called is not, and is once that is
//! over.

use std::collections::{BTreeMap, BTreeSet};

use wire::control::Control;
use wire::page::PageKind;
use wire::{IncidentId, Timestamp};

use super::Seen;
use super::pages::{LATE_MS, answered_at, audit, left_alone, outbox, takes, wall};
use crate::simulated::lock;
use crate::simulation::story::{ESCALATES, TROUBLE_ENDS};

/// What the control topic says of each key, with the commit that says it; `None` takes it back.
fn control(told: &Seen) -> BTreeMap<String, Vec<(usize, Option<Control>)>> {
    let mut said: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let world = lock(&told.told.world);
    for (i, commit) in world.commits.iter().enumerate() {
        for (_, stored) in commit.records.iter().filter(|(at, _)| *at.topic == *told.told.topics.control) {
            let key = String::from_utf8_lossy(stored.key.as_deref().unwrap_or_default()).into_owned();
            let control = stored.value.as_deref().map(|v| serde_json::from_slice(v).expect("its own record"));
            said.entry(key).or_default().push((i, control));
        }
    }
    said
}

/// No more incidents have a place in a silence than it may mute, whichever partition they are of.
pub(super) fn a_silence_mutes_what_it_may(told: &Seen, _: &Seen) -> Result<(), String> {
    let mut muted: BTreeMap<String, BTreeSet<IncidentId>> = BTreeMap::new();
    for (_, record) in audit(told).into_iter().filter(|(_, record)| record.action == "incident.muted") {
        let why = record.why.unwrap_or_default();
        let silence = why.strip_prefix("silence ").and_then(|rest| rest.split(' ').next());
        if let Some((silence, id)) = silence.zip(record.incident_id) {
            muted.entry(silence.to_owned()).or_default().insert(id);
        }
    }
    let said = control(told);
    for (silence, incidents) in muted {
        let made = said.get(&format!("silence/{silence}")).and_then(|said| said.first());
        let Some((_, Some(Control::Silence(made)))) = made else {
            return Err(format!("{incidents:?} are muted by {silence}, which nobody made"));
        };
        if incidents.len() > made.incidents_max as usize {
            return Err(format!("{silence} mutes {incidents:?}, and may mute {}", made.incidents_max));
        }
    }
    Ok(())
}

/// Once it is committed that an incident is muted, no call about it is begun: not before that is over.
pub(super) fn nobody_is_called_about_what_is_muted(told: &Seen, _: &Seen) -> Result<(), String> {
    let frees = ["policy.restarted", "policy.rerouted", "incident.reopened", "incident.returned"];
    left_alone(told, "incident.muted", &frees).map_err(|how| format!("{how} though it is muted"))
}

/// A page that comes because what muted its incident is over comes when it is.
pub(super) fn what_is_said_to_have_ended_has(told: &Seen, _: &Seen) -> Result<(), String> {
    let (said, records) = (control(told), audit(told));
    let mut decided = BTreeSet::new();
    for (commit, record) in outbox(told) {
        let page = &record.page;
        // As it is decided: what comes back while a page waits for its turn is another matter.
        let first = decided.insert(page.notification_id.clone());
        let by = page.notice.as_deref().and_then(|n| n.strip_prefix("it was muted until now by "));
        let Some(by) = by.filter(|_| first && page.kind == PageKind::Trigger) else { continue };
        let (key, until): (String, fn(&Control) -> Option<Timestamp>) =
            match by.split(' ').collect::<Vec<_>>()[..] {
                ["silence", id] => (format!("silence/{id}"), |control| match control {
                    Control::Silence(silence) => Some(silence.until),
                    Control::Claim(_) | Control::Over(_) | Control::Upstream(_) => None,
                }),
                ["incident", id, "upstream"] => (format!("upstream/{id}"), |_| None),
                _ => continue,
            };
        let words = said.get(&key).map_or(&[][..], Vec::as_slice);
        let word = words.iter().rev().find(|(at, _)| *at < commit);
        let Some((_, Some(control))) = word else { continue };
        // What comes back is news to another partition a moment later: it was over since it muted this incident.
        let muted = records.iter().rev().find(|(at, record)| {
            *at < commit
                && record.action == "incident.muted"
                && record.incident_id.as_ref() == Some(&page.incident.incident_id)
        });
        let muted_at = muted.map_or(0, |(at, _)| *at);
        // Whoever muted it may not have read by then that it was over: since that was said by which it was muted.
        let opened = words.iter().rev().find(|(at, word)| *at <= muted_at && word.is_some());
        let since = opened.map_or(muted_at, |(at, _)| *at);
        let was_over = words.iter().any(|(at, word)| (since..commit).contains(at) && word.is_none());
        if !was_over && until(control).is_none_or(|until| until > page.decided_at) {
            return Err(format!("{} says that {by} is over, and it is not", page.notification_id));
        }
    }
    Ok(())
}

/// What was muted until a time, and nobody took or ended, pages then: by the last trouble and the last new owner at the
/// earliest.
pub(super) fn what_was_muted_pages_at_its_end(told: &Seen, _: &Seen) -> Result<(), String> {
    let moves = ["incident.muted", "policy.restarted", "policy.rerouted", "incident.reopened"];
    let records = audit(told);
    let mut owned: BTreeMap<u32, Timestamp> = BTreeMap::new();
    for (_, record) in records.iter().filter(|(_, record)| record.action == "worker.started") {
        owned.insert(record.partition, record.at.max(wall(TROUBLE_ENDS)));
    }
    for (_, record) in records.iter().filter(|(_, record)| record.action == "incident.muted") {
        let Some(id) = &record.incident_id else { continue };
        let after = record.after.as_deref().and_then(|after| after.split(" until ").nth(1));
        let Some(until) = after.and_then(|at| at.parse::<Timestamp>().ok()) else {
            return Err(format!("{id} is muted, and nobody knows until when: {record:?}"));
        };
        let partition = wire::partition::of_incident(id, ESCALATES);
        let Some(owned) = owned.get(&partition) else { continue };
        let due = until.max(*owned).plus_ms(LATE_MS);
        let follows = records.iter().any(|(_, r)| {
            r.partition == record.partition
                && r.sequence > record.sequence
                && r.at <= due
                && r.incident_id.as_ref() == Some(id)
                && (takes(&r.action) || moves.contains(&r.action.as_str()))
        });
        if due < answered_at() && !follows {
            return Err(format!("{id} was muted until {until}, and nothing followed by {due}"));
        }
    }
    Ok(())
}
