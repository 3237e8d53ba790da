//! What HTTP, metrics and people may ask a machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use wire::page::Page;
use wire::{CommandId, Digest, IncidentId, Timestamp};

use super::{Machine, seen};
use crate::answers::Answer;
use crate::audit::Anchor;
use crate::counts::Counts;
use crate::life::Stage;
use crate::policy::Policy;
use crate::state::{IncidentState, Timer};
use crate::view::IncidentView;

impl Machine {
    /// Every known incident, those that ended lately included, in order of their ids.
    pub fn incidents(&self) -> impl Iterator<Item = IncidentView> {
        let view = |id| self.incidents.get(id).map(|state| IncidentView::of(&state, &self.desk.people));
        self.incidents.keys().filter_map(view)
    }

    #[must_use]
    pub fn incident_view(&self, id: &IncidentId) -> Option<IncidentView> {
        self.incidents.get(id).map(|state| IncidentView::of(&state, &self.desk.people))
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
    /// Cost: a look at each known incident, and some 20 µs for each that a receiver has open.
    #[must_use]
    pub fn standing(&self) -> Vec<Page> {
        let seen = self.incidents.seen(|state| seen(state, &self.desk)).filter(|(_, seen)| seen.stands);
        let known = seen.filter_map(|(id, _)| self.incidents.get(id));
        known.flat_map(|s| s.standing(&self.desk.people, &self.desk.policy(&s.bundle))).collect()
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

    pub(crate) fn known(&self, id: &IncidentId) -> Option<Cow<'_, IncidentState>> {
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
        for (_, seen) in self.incidents.seen(|state| seen(state, &self.desk)) {
            *stages.entry(seen.stage).or_default() += 1;
            silent += u64::from(seen.silent);
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
            muted: self.index.muted.len() as u64,
            silences: self.desk.mutes.silences() as u64,
            waiting: self.index.waiting.iter().map(|(r, q)| (r.clone(), q.len() as u64)).collect(),
            in_flight: self.index.in_flight.iter().map(|(r, n)| (r.clone(), u64::from(*n))).collect(),
            total: self.desk.count.clone(),
        }
    }
}
