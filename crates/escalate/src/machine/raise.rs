//! Incidents that no detector found: people, imports and dependencies say that something is wrong, and that it is over.

use wire::command::Raised;
use wire::incident::Context;
use wire::{Change, Effect as Size, Evidence, Incident, IncidentId, Source, Subject, Timestamp};

use super::Machine;
use crate::answers::Answer;
use crate::audit::{Entry, cut};
use crate::desk::Desk;
use crate::effect::Effect;
use crate::life::Signal;
use crate::policy::Policy;

/// Longest title and name of a subject, in bytes.
const TITLE_MAX: usize = 300;
const NAME_MAX: usize = 200;

/// Who may say so; what detectors and tocsin itself find, only they say.
const fn may_raise(source: Source) -> bool {
    match source {
        Source::Human | Source::Import | Source::Dependency | Source::Drill => true,
        Source::Detector | Source::Own => false,
    }
}

impl Machine {
    /// Opens an incident, here and on the topic: what comes back from there is known, and what ends it finds it.
    pub(crate) fn raise(&mut self, id: &IncidentId, by: &str, raised: Raised) -> Result<Answer, String> {
        if !may_raise(raised.source) {
            return Err(format!("an incident cannot be raised in the name of {}", raised.source));
        }
        if self.incidents.contains(id) {
            return Err("it is known already".into());
        }
        let incident = incident(&self.desk, id.clone(), by, raised);
        self.desk.audit(Entry {
            actor: Some(by.into()),
            action: "command.raise",
            incident_id: Some(id.clone()),
            after: Some(format!("{}, by {}", incident.severity, incident.source)),
            why: Some(incident.title.clone()),
            ..Entry::default()
        });
        self.desk.effects.push(Effect::Incident(Box::new(incident.clone())));
        self.incident(incident);
        Ok(Answer::Accepted)
    }

    /// Ends the signal of an incident that was raised so.
    pub(crate) fn clear(&mut self, id: &IncidentId, by: &str, why: Option<String>) -> Result<Answer, String> {
        let state = self.incidents.get(id).ok_or("there is no such incident, or it ended long ago")?;
        if !may_raise(state.incident.source) {
            return Err(format!("its signal is {}'s, who will say when it is over", state.incident.source));
        }
        if state.signal == Signal::Cleared {
            return Err("it is cleared already".into());
        }
        let cleared = cleared(&self.desk, &state.incident);
        self.desk.audit(Entry {
            actor: Some(by.into()),
            action: "command.clear",
            incident_id: Some(id.clone()),
            before: Some(state.says()),
            why: why.map(|why| cut(&why, wire::command::TEXT_BYTES_MAX).to_owned()),
            ..Entry::default()
        });
        self.desk.effects.push(Effect::Incident(Box::new(cleared)));
        Ok(Answer::Accepted)
    }
}

/// The last record of an incident that somebody raised: whoever resolves it says that it is over.
pub(crate) fn over(desk: &mut Desk, incident: &Incident, signal: Signal) {
    if incident.source == Source::Human && signal == Signal::Open {
        let cleared = cleared(desk, incident);
        desk.effects.push(Effect::Incident(Box::new(cleared)));
    }
}

fn cleared(desk: &Desk, last: &Incident) -> Incident {
    Incident {
        change: Change::Cleared,
        sequence: last.sequence + 1,
        changed_at: desk.now.max(last.opened_at),
        ..last.clone()
    }
}

/// What stands in for numbers where nothing was measured.
pub(crate) fn said(statistic: String, at: Timestamp) -> Evidence {
    Evidence {
        statistic,
        value: 0.0,
        reference: 0.0,
        unit: String::new(),
        effect: Size::default(),
        evidence: 0.0,
        samples: 0,
        window: [at, at],
        contributors: Vec::new(),
        profile: None,
    }
}

/// As much of a title as an incident keeps of what is said.
#[must_use]
pub fn kept_title(said: &str) -> String {
    cut(&wire::text::printable(said), TITLE_MAX).to_owned()
}

/// As much of the names of a subject as an incident keeps of what is said.
#[must_use]
pub fn kept_subject(said: &Subject) -> Subject {
    Subject {
        kind: said.kind,
        name: short(&said.name),
        version: said.version.as_deref().map(short),
        segment: said.segment.as_deref().map(short),
    }
}

fn short(name: &str) -> String {
    cut(name, NAME_MAX).to_owned()
}

fn incident(desk: &Desk, incident_id: IncidentId, by: &str, raised: Raised) -> Incident {
    let Raised { source, severity, family, subject, title, owner, opened_at, drill } = raised;
    Incident {
        incident_id,
        generation: 1,
        sequence: 1,
        change: Change::Opened,
        namespace: Policy::namespace(&desk.current).into(),
        source,
        severity,
        family,
        subject: kept_subject(&subject),
        opened_at,
        changed_at: opened_at,
        title: kept_title(&title),
        evidence: said(format!("said by {source}"), opened_at),
        context: Context {
            owner: owner.as_deref().map(short),
            raised_by: Some(by.into()),
            ..Context::default()
        },
        drill: drill || source == Source::Drill,
    }
}
