//! Who is told beside those who are called: once for each severity that is worse than what they were told.

use serde::{Deserialize, Serialize};
use wire::Severity;
use wire::page::PageKind;

use crate::desk::Desk;
use crate::life::Signal;
use crate::outbox::{Intent, cancelled};
use crate::policy::Addressed;
use crate::state::{Alert, IncidentState, People};

/// The worst that those were told who are not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    generation: u32,
    severity: Severity,
}

impl IncidentState {
    /// Whether there is still something to tell of.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.signal, Signal::Open)
            && !matches!(self.people, People::Resolved { .. } | People::Closed { .. })
    }

    /// Tells the stakeholders of its severity, if that is news. An exercise is no news.
    pub(crate) fn tell_stakeholders(&mut self, desk: &mut Desk) {
        let (generation, severity) = (self.incident.generation, self.incident.severity);
        if !self.is_live() {
            // What comes back is told again.
            self.told = None;
            return;
        }
        if self.muter().is_some() || self.incident.drill {
            return;
        }
        if self.told.is_some_and(|told| told.generation == generation && told.severity <= severity) {
            return;
        }
        let policy = desk.policy(&self.bundle);
        if policy.stakeholders().is_empty() {
            return;
        }
        self.told = Some(Told { generation, severity });
        self.untell(desk);
        for cell in policy.stakeholders().cells(severity) {
            let reach = |whom| policy.roster().reach(whom, cell.by, Some(desk.now));
            let mut reached: Vec<Addressed> = cell.to.iter().flat_map(reach).collect();
            if reached.is_empty() && !cell.to.is_empty() {
                let why = format!(
                    "nobody of the audience {} is behind what {} names",
                    cell.audience,
                    severity.name()
                );
                desk.note(self.id(), "tell.empty", None, None, why);
            }
            let wait_until = cell.digest.until(desk.now);
            reached.retain(|to| !self.has_been_called(to));
            for to in &reached {
                let intent = Intent::of(PageKind::Trigger, to, generation, None);
                self.intend(desk, &Intent { told: Some(&cell.audience), wait_until, ..intent });
            }
        }
    }

    /// Whether the alert there is of somebody who was called: they have it as it is now.
    fn has_been_called(&self, to: &Addressed) -> bool {
        let here = |a: &Alert| a.receiver == to.target.receiver && a.target == to.target.target;
        self.alerts.values().any(|a| a.open && a.told.is_none() && here(a))
    }

    /// What was to be told of it when it was not as bad, and has not left.
    fn untell(&mut self, desk: &mut Desk) {
        for i in 0..self.pages.len() {
            if self.pages[i].tells() && self.pages[i].state.is_idle() {
                self.end(desk, i, cancelled("it has become worse, which is told instead"));
            }
        }
    }
}
