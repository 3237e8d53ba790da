//! What people ask of an incident.

use wire::command::{Action, TEXT_BYTES_MAX};
use wire::context::Feedback;
use wire::response::ResponseChange;
use wire::{Family, Source, SubjectKind};

use super::acts::Said;
use crate::audit::Entry;
use crate::desk::Desk;
use crate::effect::Effect;
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
        | Action::Resolve { reason: text, .. } => text.as_deref(),
        Action::Close { reason: text, .. } | Action::Note { text } => Some(text),
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

const fn is_not_actionable(action: &Action) -> bool {
    match action {
        Action::Resolve { not_actionable, .. } | Action::Close { not_actionable, .. } => *not_actionable,
        Action::Acknowledge { .. } | Action::Mitigate { .. } | Action::Note { .. } => false,
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
        let idle = is_not_actionable(&action);
        let after = if idle { format!("{}, not actionable", after.name()) } else { after.name().into() };
        desk.audit(Entry {
            actor: Some(by.into()),
            action: audited,
            incident_id: Some(self.id().clone()),
            before: Some(self.people.stage().name().into()),
            after: Some(after),
            why: text.clone(),
        });
        match (decision, held) {
            (Decision::Hold, Some((people, change))) => {
                let until = match &people {
                    People::Acknowledged { until, .. } | People::Mitigated { until, .. } => Some(*until),
                    People::Open { .. } | People::Resolved { .. } | People::Closed { .. } => None,
                };
                self.respond(desk, Said { until, ..Said::of(change, by, why) });
                self.hold(desk, people);
            }
            (Decision::Resolve, None) => self.resolve(desk, by, why, idle),
            (Decision::Close, None) => {
                self.people = People::Closed { by: by.into() };
                self.respond(
                    desk,
                    Said { not_actionable: idle, ..Said::of(ResponseChange::Closed, by, why) },
                );
            }
            (Decision::Note, None) => self.respond(desk, Said::of(ResponseChange::Noted, by, why)),
            // Only the signal and timers bring anything else about.
            (_, _) => (),
        }
        if idle {
            desk.effects.extend(self.feedback().map(|feedback| Effect::Feedback(Box::new(feedback))));
        }
        Ok(())
    }

    /// For the judge: there was nothing to do about what this stream led. `None` where no stream did.
    fn feedback(&self) -> Option<Feedback> {
        let incident = &self.incident;
        let stream = match (incident.family, incident.evidence.contributors.first()) {
            (Family::Traffic, _) => "calls".to_owned(),
            (_, Some(lead)) => lead.name.clone(),
            (_, None) => return None,
        };
        let judged = incident.source == Source::Detector && incident.subject.kind == SubjectKind::Model;
        judged.then(|| Feedback {
            incident_id: self.id().clone(),
            generation: incident.generation,
            model: incident.subject.name.clone(),
            version: incident.subject.version.clone(),
            family: incident.family,
            stream,
            opened_at: incident.opened_at,
        })
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
