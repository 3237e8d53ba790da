//! What must hold of pages: nobody is forgotten, nothing is decided twice, and who has answered is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use escalate::{Checker, Machine, Policy};
use wire::audit::AuditRecord;
use wire::outbox::{OutboxRecord, OutboxState};
use wire::page::{Page, PageKind};
use wire::{AlertKey, Digest, Incident, IncidentId, NotificationId, Timestamp};

use super::Seen;
use crate::simulated::lock;
use crate::simulation::pager::{self, Begun};
use crate::simulation::story::{ANSWERED, CLOSING, ESCALATES, TROUBLE_ENDS};
use crate::simulation::telemetry::start;

/// What follows a call that nobody answered: another, or what makes one needless.
const MOVES: [&str; 6] = [
    "step.due",
    "policy.restarted",
    "policy.rerouted",
    "incident.reopened",
    "incident.returned",
    "incident.muted",
];
/// How much later than due a step may come: an overdue one gives whoever was just called its time.
pub(super) const LATE_MS: i64 = 6_000;

/// How long after it was folded, or after the last trouble, a page is spoken of at the latest: the time that its place is left
/// alone, and two leases.
const SPOKEN_OF_MS: i64 = 15_000;

/// When the last person took the rest on, as the machines' clocks have it.
pub(super) fn answered_at() -> Timestamp {
    wall(ANSWERED)
}

pub(super) fn wall(at: Duration) -> Timestamp {
    start().plus_ms(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
}

/// Committed records of a topic, each with the number of its commit.
pub(super) fn committed<T: serde::de::DeserializeOwned>(told: &Seen, topic: &str) -> Vec<(usize, T)> {
    let world = lock(&told.told.world);
    let of = |(i, commit): (usize, &crate::simulated::Commit)| {
        let records = commit.records.iter().filter(|(at, _)| *at.topic == *topic);
        let read = records.filter_map(|(_, stored)| serde_json::from_slice(stored.value.as_deref()?).ok());
        read.map(|record| (i, record)).collect::<Vec<_>>()
    };
    world.commits.iter().enumerate().flat_map(of).collect()
}

pub(super) fn outbox(told: &Seen) -> Vec<(usize, OutboxRecord)> {
    committed(told, &told.told.topics.outbox)
}

/// The last word on each page.
fn last_words(told: &Seen) -> BTreeMap<String, OutboxRecord> {
    outbox(told).into_iter().map(|(_, record)| (record.page.notification_id.to_string(), record)).collect()
}

pub(super) fn audit(told: &Seen) -> Vec<(usize, AuditRecord)> {
    committed(told, &told.told.topics.audit)
}

fn detected(told: &Seen) -> impl Iterator<Item = Incident> {
    let read = |(_, value): &(String, String)| serde_json::from_str(value).expect("its own record");
    told.incidents.iter().map(read)
}

pub(super) fn takes(action: &str) -> bool {
    matches!(action, "command.acknowledge" | "incident.cleared")
}

/// Of an incident that nobody took, and that did not clear, somebody has heard; unless it was over by the time that
/// anybody could work on it.
pub(super) fn no_page_is_lost(told: &Seen, _: &Seen) -> Result<(), String> {
    let heard: BTreeSet<(IncidentId, u32)> = pager::lock(&told.told.line)
        .taken
        .iter()
        .filter(|(_, page)| page.kind == PageKind::Trigger)
        .map(|(_, page)| (page.incident.incident_id.clone(), page.incident.generation))
        .collect();
    // A message that goes for several names each of them.
    let named: BTreeSet<IncidentId> = spoken_of(told).into_values().flatten().collect();
    let answered: BTreeSet<IncidentId> = audit(told)
        .into_iter()
        .filter(|(_, record)| takes(&record.action) && record.at < answered_at())
        .filter_map(|(_, record)| record.incident_id)
        .collect();
    let decided: BTreeSet<(IncidentId, u32)> = outbox(told)
        .into_iter()
        .filter(|(_, record)| record.page.kind == PageKind::Trigger)
        .map(|(_, record)| (record.page.incident.incident_id, record.page.incident.generation))
        .collect();
    let over_at_once: BTreeSet<(IncidentId, u32)> = last_words(told)
        .into_values()
        .filter(|r| matches!(r.state, OutboxState::Cancelled { .. }) && r.at == r.page.decided_at)
        .map(|record| (record.page.incident.incident_id, record.page.incident.generation))
        .collect();
    // What was muted and cleared, or was taken on, before that ended: other laws say that it would have paged.
    let muted: BTreeSet<IncidentId> = audit(told)
        .into_iter()
        .filter(|(_, record)| record.action == "incident.muted")
        .filter_map(|(_, record)| record.incident_id)
        .collect();
    for incident in detected(told) {
        let which = (incident.incident_id.clone(), incident.generation);
        if muted.contains(&which.0) {
            continue;
        }
        if !decided.contains(&which) {
            return Err(format!("nobody was to be paged for {}, generation {}", which.0, which.1));
        }
        let heard = heard.contains(&which) || named.contains(&which.0);
        if !heard && !answered.contains(&which.0) && !over_at_once.contains(&which) {
            return Err(format!("nobody has heard of {}, generation {}", which.0, which.1));
        }
    }
    Ok(())
}

/// Incidents that messages for several told of beside their own, by what their pages name.
fn spoken_of(told: &Seen) -> BTreeMap<NotificationId, BTreeSet<IncidentId>> {
    let mut of: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for folded in pager::lock(&told.told.line).taken.iter().filter_map(|(_, page)| page.folded.as_ref()) {
        let listed = folded.listed.iter().map(|other| other.incident_id.clone());
        of.entry(folded.into.clone()).or_default().extend(listed);
    }
    of
}

/// Whether somebody was to be paged by then: nobody had it, it was not over, and nothing muted it.
fn wanted(told: &Seen, page: &Page, by: Timestamp) -> bool {
    !audit(told).iter().any(|(_, r)| {
        (takes(&r.action) || r.action == "incident.muted")
            && r.incident_id.as_ref() == Some(&page.incident.incident_id)
            && r.at <= by
    })
}

/// What is called delivered was taken, and what failed went to somebody else; in the end nothing is overdue.
pub(super) fn every_page_comes_to_an_end(told: &Seen, _: &Seen) -> Result<(), String> {
    let spoken_of = spoken_of(told);
    let line = pager::lock(&told.told.line);
    let taken: BTreeSet<&str> = line.taken.iter().map(|(_, page)| page.notification_id.as_str()).collect();
    let words = last_words(told);
    for (id, record) in &words {
        let page = &record.page;
        match &record.state {
            OutboxState::Delivered { .. } if !taken.contains(id.as_str()) => {
                return Err(format!("{id} is called delivered, and never was"));
            }
            OutboxState::Failed { reason } if page.kind == PageKind::Trigger && page.receiver == "pager" => {
                let instead = words.values().any(|other| {
                    other.page.receiver == "backup"
                        && other.page.incident.incident_id == page.incident.incident_id
                });
                if wanted(told, page, record.at) && !instead {
                    return Err(format!("{id} failed ({reason}) and nobody else was paged"));
                }
            }
            OutboxState::Folded { into } => {
                let named = spoken_of.get(into).is_some_and(|of| of.contains(&page.incident.incident_id));
                // Long enough for the message to leave, whatever happened before.
                let by = record.at.max(wall(TROUBLE_ENDS)).plus_ms(SPOKEN_OF_MS);
                if !named && by < answered_at() && wanted(told, page, by) {
                    return Err(format!("{id} was folded into {into}, which never spoke of it"));
                }
            }
            OutboxState::Held { until: at } | OutboxState::Retrying { at, .. }
                if *at >= wall(told.told.end) => {}
            OutboxState::Delivered { .. } | OutboxState::Failed { .. } | OutboxState::Cancelled { .. } => (),
            // Under way as its process was asked to end: who comes next waits out its lease.
            OutboxState::Sending { lease_ms, .. }
                if record.at.plus_ms(i64::try_from(*lease_ms).unwrap_or(i64::MAX))
                    >= wall(told.told.end.saturating_sub(CLOSING)) => {}
            OutboxState::Intent
            | OutboxState::Held { .. }
            | OutboxState::Sending { .. }
            | OutboxState::Retrying { .. }
            | OutboxState::Unknown { .. } => {
                return Err(format!("{id} was left at {:?} from {} on", record.state, record.at));
            }
        }
    }
    Ok(())
}

/// One step of one round calls a target once.
pub(super) fn no_page_is_decided_twice(told: &Seen, _: &Seen) -> Result<(), String> {
    let mut decided = BTreeMap::new();
    for (id, record) in last_words(told) {
        let page = record.page;
        if page.kind != PageKind::Trigger {
            continue;
        }
        let incident = (page.incident.incident_id, page.incident.generation);
        let step = (incident, page.round, page.step, page.receiver, page.target);
        if let Some(other) = decided.insert(step.clone(), id.clone()) {
            return Err(format!("{other} and {id} are both for {step:?}"));
        }
    }
    Ok(())
}

/// Once it is committed that somebody has it, no call about it is begun: not before it is nobody's again.
pub(super) fn who_has_answered_is_left_alone(told: &Seen, _: &Seen) -> Result<(), String> {
    let frees = ["policy.restarted", "incident.reopened", "incident.returned"];
    left_alone(told, "command.acknowledge", &frees).map_err(|how| format!("{how} though somebody has it"))
}

/// Between a record of the audit and one of these no call about its incident is begun.
pub(super) fn left_alone(told: &Seen, holds: &str, frees: &[&str]) -> Result<(), String> {
    let mut marks: BTreeMap<usize, Vec<(IncidentId, bool)>> = BTreeMap::new();
    for (commit, record) in audit(told) {
        let held = record.action == holds;
        if held || frees.contains(&record.action.as_str()) {
            marks.entry(commit).or_default().extend(record.incident_id.map(|id| (id, held)));
        }
    }
    let mut held: BTreeSet<IncidentId> = BTreeSet::new();
    let mut begun: BTreeMap<usize, Vec<OutboxRecord>> = BTreeMap::new();
    outbox(told).into_iter().for_each(|(commit, record)| begun.entry(commit).or_default().push(record));
    let commits: BTreeSet<usize> = marks.keys().chain(begun.keys()).copied().collect();
    for commit in commits {
        for record in begun.get(&commit).into_iter().flatten() {
            let is_call =
                record.page.kind == PageKind::Trigger && matches!(record.state, OutboxState::Sending { .. });
            let id = &record.page.incident.incident_id;
            let freed = marks.get(&commit).is_some_and(|marks| marks.contains(&(id.clone(), false)));
            if is_call && held.contains(id) && !freed {
                return Err(format!("{} of {id} was begun", record.page.notification_id));
            }
        }
        for (id, is_held) in marks.remove(&commit).into_iter().flatten() {
            if is_held {
                held.insert(id)
            } else {
                held.remove(&id)
            };
        }
    }
    Ok(())
}

/// Whoever is called and does not answer is followed by the next step when it is due: by the last trouble and the last new
/// owner at the earliest.
pub(super) fn no_step_is_forgotten(told: &Seen, _: &Seen) -> Result<(), String> {
    let mut moves: BTreeMap<IncidentId, Vec<(u64, Timestamp)>> = BTreeMap::new();
    let mut intended: BTreeMap<String, u64> = BTreeMap::new();
    let mut owned: BTreeMap<u32, Timestamp> = BTreeMap::new();
    for (_, record) in audit(told) {
        if record.action == "worker.started" {
            owned.insert(record.partition, record.at.max(wall(TROUBLE_ENDS)));
        }
        if record.action == "page.intended" {
            let notification = record.why.as_deref().and_then(|why| why.split(' ').nth(1));
            intended.extend(notification.map(|id| (id.to_owned(), record.sequence)));
        }
        let moved = takes(&record.action) || MOVES.contains(&record.action.as_str());
        if let Some(id) = record.incident_id.filter(|_| moved) {
            moves.entry(id).or_default().push((record.sequence, record.at));
        }
    }
    for (id, record) in last_words(told) {
        let page = record.page;
        let due = page.escalates_at.filter(|_| page.kind == PageKind::Trigger);
        let owned = owned.get(&wire::partition::of_incident(&page.incident.incident_id, ESCALATES));
        let Some((due, owned)) = due.zip(owned) else { continue };
        let due = due.max(*owned).plus_ms(LATE_MS);
        let of = moves.get(&page.incident.incident_id);
        let decided = intended.get(&id).copied().unwrap_or(0);
        let follows = |(sequence, at): &(u64, Timestamp)| *sequence > decided && *at <= due;
        if due < answered_at() && !of.is_some_and(|moves| moves.iter().any(follows)) {
            return Err(format!("nothing followed {id}, decided at {}, by {due}", page.decided_at));
        }
    }
    Ok(())
}

/// Whom an incident calls stands in the bundle that it opened with, and is on call by it where that is asked.
pub(super) fn an_incident_keeps_its_bundle(told: &Seen, _: &Seen) -> Result<(), String> {
    let bundles = [pager::bundle(), pager::another_bundle()];
    let policies: BTreeMap<Digest, Arc<Policy>> =
        bundles.map(pager::under).map(|policy| (policy.digest().clone(), policy)).into();
    for (id, record) in last_words(told) {
        let policy =
            policies.get(&record.bundle).ok_or_else(|| format!("{id}: {} is no bundle", record.bundle))?;
        let page = &record.page;
        let target = format!("{}/{}", page.receiver, page.target);
        // An alert is ended where it was opened, also after its incident came back under another bundle.
        let calls = page.kind == PageKind::Trigger;
        let asked = policies.values().filter(|p| !calls || p.digest() == policy.digest());
        let steps = asked.flat_map(|p| p.bundle().policy.values()).flat_map(|policy| &policy.steps);
        let mut named = steps.flat_map(|step| &step.targets).any(|named| *named == target);
        named |= page.receiver == "backup";
        if let Some(person) = &page.person {
            let called =
                policy.schedules().values().any(|s| s.at(page.decided_at).people.contains(&&**person));
            // What is told later goes to whoever was called.
            let known = policies.values().any(|p| p.bundle().people.person.contains_key(person));
            named |= if calls { called } else { known };
        }
        if !named {
            let kind = page.kind.name();
            return Err(format!("{kind} {id} is for {target}, whom bundle {} does not name", record.bundle));
        }
    }
    Ok(())
}

/// No two requests about one alert are under way at once, whichever processes they are of: their order is kept.
pub(super) fn one_request_at_a_time(told: &Seen, _: &Seen) -> Result<(), String> {
    let line = pager::lock(&told.told.line);
    let mut last: BTreeMap<&AlertKey, &Begun> = BTreeMap::new();
    let mut begun: Vec<&Begun> = line.begun.iter().collect();
    begun.sort_by_key(|begun| begun.at);
    for one in begun {
        if let Some(before) = last.insert(&one.page.alert_key, one)
            && one.at < before.over
        {
            return Err(format!(
                "{} attempt {} at {:?}, while {} attempt {} was under way until {:?}",
                one.page.notification_id,
                one.attempt,
                one.at,
                before.page.notification_id,
                before.attempt,
                before.over
            ));
        }
    }
    Ok(())
}

/// A pager keeps one alert for each key, as PagerDuty does: what was sent again is the same one, and what was late opens it
/// anew. When the last word that was decided is that it is over, and that arrived, it is not open there.
pub(super) fn what_is_over_is_closed_at_the_pager(told: &Seen, _: &Seen) -> Result<(), String> {
    let mut last: BTreeMap<AlertKey, NotificationId> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (_, OutboxRecord { page, .. }) in outbox(told) {
        if known.insert(page.notification_id.clone()) {
            last.insert(page.alert_key, page.notification_id);
        }
    }
    let words = last_words(told);
    let mut taken = pager::lock(&told.told.line).taken.clone();
    taken.sort_by_key(|(at, _)| *at);
    let mut open: BTreeMap<AlertKey, bool> = BTreeMap::new();
    for (_, page) in taken {
        let stands = open.entry(page.alert_key).or_default();
        *stands = match page.kind {
            PageKind::Trigger | PageKind::Update => true,
            PageKind::Acknowledge => *stands,
            PageKind::Resolve => false,
        };
    }
    for (key, id) in last {
        let Some(OutboxRecord { page, state, .. }) = words.get(id.as_str()) else { continue };
        let is_over = page.kind == PageKind::Resolve && matches!(state, OutboxState::Delivered { .. });
        if is_over && open.get(&key) == Some(&true) {
            return Err(format!("alert {key} of {} is open over there", page.incident.incident_id));
        }
    }
    Ok(())
}

/// A request is begun after the commit of its attempt, and within its lease.
pub(super) fn nothing_is_sent_beyond_its_lease(told: &Seen, _: &Seen) -> Result<(), String> {
    let mut leases = BTreeMap::new();
    for (_, record) in outbox(told) {
        if let OutboxState::Sending { attempt, lease_ms, .. } = record.state {
            let until = record.at.plus_ms(i64::try_from(lease_ms).unwrap_or(i64::MAX));
            leases.insert((record.page.notification_id, attempt), until);
        }
    }
    for Begun { page, attempt, at, .. } in &pager::lock(&told.told.line).begun {
        match leases.get(&(page.notification_id.clone(), *attempt)) {
            None => {
                return Err(format!(
                    "{} attempt {attempt} was begun and never committed",
                    page.notification_id
                ));
            }
            Some(until) if *until <= wall(*at) => {
                return Err(format!(
                    "{} attempt {attempt} was begun at {}, when its lease had ended at {until}",
                    page.notification_id,
                    wall(*at)
                ));
            }
            Some(_) => (),
        }
    }
    Ok(())
}

/// The chain of each partition is whole from its first record.
pub(super) fn the_audit_is_whole(told: &Seen, _: &Seen) -> Result<(), String> {
    for partition in 0..ESCALATES {
        let mut checker = Checker::new(partition, &[]).map_err(|e| e.to_string())?;
        let stored = lock(&told.told.world).shown(&told.told.topics.audit, partition);
        for stored in &stored {
            let record = serde_json::from_slice(stored.value.as_deref().unwrap_or_default());
            checker.record(&record.expect("its own record")).map_err(|e| e.to_string())?;
        }
        let verified = checker.end().map_err(|e| e.to_string())?;
        if !stored.is_empty() && !verified.from_start {
            return Err(format!("the chain of {partition} does not begin at its start"));
        }
    }
    Ok(())
}

/// What the committed state comes to: every incident that was told is known, and each that nobody has will page again.
pub(super) fn no_incident_is_forgotten(told: &Seen, _: &Seen) -> Result<(), String> {
    let mut known = BTreeSet::new();
    for partition in 0..ESCALATES {
        let mut machine = Machine::new(partition, pager::policy());
        let mut state = BTreeMap::new();
        for stored in lock(&told.told.world).shown(&told.told.topics.state_escalate, partition) {
            let key = stored.key.clone().unwrap_or_default();
            match &stored.value {
                Some(value) => drop(state.insert(key, value.clone())),
                None => drop(state.remove(&key)),
            }
        }
        for (key, value) in &state {
            machine.restore(key, value).map_err(|e| e.to_string())?;
        }
        let silent = machine.counts().silent;
        if silent > 0 {
            return Err(format!("{silent} incidents of {partition} are nobody's and will never page"));
        }
        known.extend(machine.take_changed().into_iter().filter_map(|(id, view)| view.map(|_| id)));
    }
    match detected(told).find(|incident| !known.contains(&incident.incident_id)) {
        Some(incident) => Err(format!("{} is not known to whoever escalates", incident.incident_id)),
        None => Ok(()),
    }
}
