//! What HTTP, metrics and people may ask a machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::page::Page;
use wire::{CommandId, Digest, IncidentId, Timestamp};

use super::Machine;
use crate::answers::Answer;
use crate::audit::Anchor;
use crate::counts::Counts;
use crate::life::Stage;
use crate::policy::Policy;
use crate::state::{IncidentState, People, Timer};
use crate::view::IncidentView;

impl Machine {
    /// Every known incident, those that ended lately included, in order of their ids.
    pub fn incidents(&self) -> impl Iterator<Item = IncidentView> {
        self.incidents.values().map(|state| IncidentView::of(state, &self.desk.people))
    }

    #[must_use]
    pub fn incident_view(&self, id: &IncidentId) -> Option<IncidentView> {
        self.incidents.get(id).map(|state| IncidentView::of(state, &self.desk.people))
    }

    /// Incidents that changed since the last call, in order of their ids; `None` for one that is no longer kept.
    pub fn take_changed(&mut self) -> Vec<(IncidentId, Option<IncidentView>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|id| (id.clone(), self.incident_view(&id))).collect()
    }

    /// Commands whose answers changed since the last call, in order of their ids; `None` for one that is no longer kept.
    pub fn take_answered(&mut self) -> Vec<(CommandId, Option<Answer>)> {
        let answered = std::mem::take(&mut self.answered);
        answered.into_iter().map(|id| (id.clone(), self.answers.get(&id).cloned())).collect()
    }

    /// The last page of every open alert, for receivers that forget an alert unless it is said again.
    ///
    /// Cost: one look at each known incident.
    #[must_use]
    pub fn standing(&self) -> Vec<Page> {
        let standing =
            |state: &IncidentState| state.standing(&self.desk.people, &self.desk.policy(&state.bundle));
        self.incidents.values().flat_map(standing).collect()
    }

    /// What became of a command; `None` if it has not come, or too many came since.
    #[must_use]
    pub fn answer(&self, id: &CommandId) -> Option<&Answer> {
        self.answers.get(id)
    }

    /// Pseudonyms whose names changed since the last call, with the name; `None` where it was forgotten.
    pub fn take_people(&mut self) -> Vec<(String, Option<String>)> {
        self.desk.people.take_changed()
    }

    pub(crate) fn known(&self, id: &IncidentId) -> Option<&IncidentState> {
        self.incidents.get(id)
    }

    /// What incidents follow that open now.
    pub(crate) fn policy(&self) -> &Policy {
        &self.desk.current
    }

    pub(crate) fn bundle(&self, digest: &Digest) -> Arc<Policy> {
        self.desk.policy(digest)
    }

    /// Where the audit chain stands.
    #[must_use]
    pub const fn anchor(&self) -> &Anchor {
        &self.desk.head
    }

    /// Everything an incident waits for, earliest first; empty if it is not known.
    #[must_use]
    pub fn timers(&self, id: &IncidentId) -> Vec<(Timestamp, Timer)> {
        let mut timers =
            self.incidents.get(id).map_or_else(Vec::new, |state| state.timers(self.ended_keep_ms()));
        timers.sort_unstable();
        timers
    }

    /// How things stand, for metrics. Cost: one look at each known incident.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut stages: BTreeMap<Stage, u64> = Stage::ALL.map(|stage| (stage, 0)).into();
        let mut silent = 0;
        for state in self.incidents.values() {
            *stages.entry(state.people.stage()).or_default() += 1;
            let policy = self.desk.policy(&state.bundle);
            let until_owned = policy.plan(&state.plan).is_none_or(|p| p.until_owned);
            silent += u64::from(until_owned && matches!(state.people, People::Open { due: None, .. }));
        }
        let limits = self.desk.current.limits();
        Counts {
            stages,
            ended: self.index.ended.len() as u64,
            live: self.live() as u64,
            incidents_max: u64::from(limits.incidents_max),
            commands: self.answers.len() as u64,
            commands_max: u64::from(limits.commands_max),
            silent,
            waiting: self.index.waiting.iter().map(|(r, q)| (r.clone(), q.len() as u64)).collect(),
            in_flight: self.index.in_flight.iter().map(|(r, n)| (r.clone(), u64::from(*n))).collect(),
            total: self.desk.count.clone(),
        }
    }
}
