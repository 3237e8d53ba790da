//! Where to find incidents by what they wait for, so that no step looks at all of them.

use std::collections::{BTreeMap, BTreeSet};

use wire::{Digest, IncidentId, NotificationId, Timestamp};

use crate::machine::Folds;
use crate::mutes::Muter;
use crate::state::{Filed, IncidentState, PageState, heads};

/// A page that may leave as soon as its receiver has room: what calls somebody before what only tells (`true`), the earliest
/// decided first. Pages of one alert keep their order all the same: only the first of them is here.
pub(crate) type Waiting = (bool, Timestamp, IncidentId, NotificationId);

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) timers: BTreeSet<(Timestamp, IncidentId)>,
    pub(crate) ended: BTreeSet<(Timestamp, IncidentId)>,
    /// By receiver; no entry is empty.
    pub(crate) waiting: BTreeMap<String, BTreeSet<Waiting>>,
    pub(crate) in_flight: BTreeMap<String, u32>,
    /// Incidents that something mutes.
    pub(crate) muted: BTreeSet<(Muter, IncidentId)>,
    /// Messages that go for several.
    pub(crate) folds: Folds,
    /// Incidents that follow a bundle.
    pub(crate) bundles: BTreeMap<Digest, u64>,
}

impl Index {
    /// Files an incident under what it waits for now, and no longer under what it waited for before.
    pub(crate) fn file(&mut self, incident: &mut IncidentState, ended_keep_ms: i64) {
        self.unfile(incident);
        let id = incident.id().clone();
        let mut filed = Filed {
            deadline: incident.timers(ended_keep_ms).into_iter().map(|(at, _)| at).min(),
            ended: incident.ended_at,
            bundle: Some(incident.bundle.clone()),
            muted: incident.muter().cloned(),
            ..Filed::default()
        };
        for i in heads(&incident.pages) {
            let page = &incident.pages[i];
            if page.state == PageState::Intent {
                let tells = !page.calls();
                let id = page.notification_id.clone();
                filed.waiting.push((page.receiver.clone(), tells, page.decided_at, id));
            }
        }
        let sending = incident.pages.iter().filter(|p| matches!(p.state, PageState::Sending { .. }));
        filed.in_flight.extend(sending.map(|p| p.receiver.clone()));
        filed.folds = incident.folds();

        self.timers.extend(filed.deadline.map(|at| (at, id.clone())));
        self.ended.extend(filed.ended.map(|at| (at, id.clone())));
        self.muted.extend(filed.muted.clone().map(|by| (by, id.clone())));
        *self.bundles.entry(incident.bundle.clone()).or_default() += 1;
        for (receiver, tells, at, page) in &filed.waiting {
            let queue = self.waiting.entry(receiver.clone()).or_default();
            queue.insert((*tells, *at, id.clone(), page.clone()));
        }
        for fold in &filed.folds {
            self.folds.file(&id, fold);
        }
        for receiver in &filed.in_flight {
            *self.in_flight.entry(receiver.clone()).or_default() += 1;
        }
        incident.filed = filed;
    }

    /// Takes an incident out of the index.
    pub(crate) fn unfile(&mut self, incident: &mut IncidentState) {
        let id = &incident.incident.incident_id;
        let filed = std::mem::take(&mut incident.filed);
        if let Some(at) = filed.deadline {
            self.timers.remove(&(at, id.clone()));
        }
        if let Some(at) = filed.ended {
            self.ended.remove(&(at, id.clone()));
        }
        if let Some(by) = filed.muted {
            self.muted.remove(&(by, id.clone()));
        }
        if let Some(bundle) = filed.bundle {
            lower(&mut self.bundles, &bundle);
        }
        for (receiver, tells, at, page) in filed.waiting {
            if let Some(queue) = self.waiting.get_mut(&receiver) {
                queue.remove(&(tells, at, id.clone(), page));
                if queue.is_empty() {
                    self.waiting.remove(&receiver);
                }
            }
        }
        for fold in &filed.folds {
            self.folds.unfile(id, fold);
        }
        for receiver in filed.in_flight {
            lower(&mut self.in_flight, &receiver);
        }
    }

    /// The page that has waited longest for a receiver with room, if it has any.
    pub(crate) fn next(&self, receiver: &str, in_flight_max: u32) -> Option<Waiting> {
        let busy = self.in_flight.get(receiver).copied().unwrap_or(0);
        let queue = self.waiting.get(receiver).filter(|_| busy < in_flight_max)?;
        queue.first().cloned()
    }
}

/// Takes one off a count; none is kept at zero.
fn lower<K: Ord, N: Copy + PartialOrd + From<u8> + std::ops::SubAssign>(
    counts: &mut BTreeMap<K, N>,
    key: &K,
) {
    if let Some(n) = counts.get_mut(key) {
        if *n > N::from(1) {
            *n -= N::from(1);
        } else {
            counts.remove(key);
        }
    }
}
