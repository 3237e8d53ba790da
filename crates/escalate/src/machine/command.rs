//! What people ask of an incident.

use wire::command::{Action, TEXT_BYTES_MAX};
use wire::response::ResponseChange;

use crate::audit::Entry;
use crate::desk::Desk;
use crate::life::{Decision, Event, Stage, decide};
use crate::state::{IncidentState, People};

/// As it stands in the audit log after `command.`.
pub(crate) const fn name(action: &Action) -> &'static str {
    match action {
        Action::Acknowledge { .. } => "acknowledge",
        Action::Mitigate { .. } => "mitigate",
        Action::Resolve { .. } => "resolve",
        Action::Close { .. } => "close",
        Action::Note { .. } => "note",
    }
}

/// What the person wrote.
pub(crate) fn text(action: &Action) -> Option<&str> {
    match action {
        Action::Acknowledge { note: text, .. }
        | Action::Mitigate { note: text, .. }
        | Action::Resolve { reason: text } => text.as_deref(),
        Action::Close { reason: text } | Action::Note { text } => Some(text),
    }
}

const fn event(action: &Action) -> (Event, &'static str) {
    match action {
        Action::Acknowledge { .. } => (Event::Acknowledge, "command.acknowledge"),
        Action::Mitigate { .. } => (Event::Mitigate, "command.mitigate"),
        Action::Resolve { .. } => (Event::Resolve, "command.resolve"),
        Action::Close { .. } => (Event::Close, "command.close"),
        Action::Note { .. } => (Event::Note, "command.note"),
    }
}

impl IncidentState {
    /// Does what a person asks, or says why not.
    pub(crate) fn command(
        &mut self,
        desk: &mut Desk,
        by: &str,
        action: Action,
        text: Option<String>,
    ) -> Result<(), String> {
        let (event, audited) = event(&action);
        let decision = decide(self.people.stage(), self.signal, event);
        if let Decision::Refuse(why) = decision {
            return Err(why.into());
        }
        let held = self.held(desk, by, &action)?;
        let text = text.map(|t| desk.bounded(&t, TEXT_BYTES_MAX));
        let why = text.as_deref();
        let after = match (decision, &held) {
            (Decision::Hold, Some((people, _))) => people.stage(),
            (Decision::Resolve, None) => Stage::Resolved,
            (Decision::Close, None) => Stage::Closed,
            (_, _) => self.people.stage(),
        };
        desk.audit(Entry {
            actor: Some(by.into()),
            action: audited,
            incident_id: Some(self.id().clone()),
            before: Some(self.people.stage().name().into()),
            after: Some(after.name().into()),
            why: text.clone(),
        });
        match (decision, held) {
            (Decision::Hold, Some((people, change))) => {
                let until = match &people {
                    People::Acknowledged { until, .. } | People::Mitigated { until, .. } => Some(*until),
                    People::Open { .. } | People::Resolved { .. } | People::Closed { .. } => None,
                };
                self.respond(desk, change, by, why, until);
                self.hold(desk, people);
            }
            (Decision::Resolve, None) => self.resolve(desk, by, why),
            (Decision::Close, None) => {
                self.people = People::Closed { by: by.into() };
                self.respond(desk, ResponseChange::Closed, by, why, None);
            }
            (Decision::Note, None) => self.respond(desk, ResponseChange::Noted, by, why, None),
            // Only the signal and timers bring anything else about.
            (_, _) => (),
        }
        Ok(())
    }

    /// Who would hold it until when, if the action is to hold it.
    fn held(
        &self,
        desk: &Desk,
        by: &str,
        action: &Action,
    ) -> Result<Option<(People, ResponseChange)>, String> {
        let policy = desk.policy(&self.bundle);
        let plan = policy.plan(&self.plan);
        let limits = desk.current.limits();
        let until = |for_s: Option<u64>, default_ms: Option<i64>| {
            let max_ms = i64::from(limits.hold_max_s) * 1000;
            let ms = match for_s {
                None => default_ms.unwrap_or(3_600_000),
                Some(s) => {
                    i64::try_from(s).ok().filter(|s| *s > 0).and_then(|s| s.checked_mul(1000)).unwrap_or(0)
                }
            };
            if (1..=max_ms).contains(&ms) {
                Ok(desk.now.plus_ms(ms))
            } else {
                Err(format!("it can be held for 1 to {} seconds (hold_max_s)", limits.hold_max_s))
            }
        };
        let by = by.to_owned();
        Ok(match action {
            Action::Acknowledge { for_s, .. } => {
                let until = until(*for_s, plan.map(|p| p.acknowledge_expires_ms))?;
                Some((People::Acknowledged { by, until }, ResponseChange::Acknowledged))
            }
            Action::Mitigate { for_s, .. } => {
                let until = until(*for_s, plan.map(|p| p.mitigation_expires_ms))?;
                Some((People::Mitigated { by, until }, ResponseChange::Mitigated))
            }
            Action::Resolve { .. } | Action::Close { .. } | Action::Note { .. } => None,
        })
    }
}
