//! tocsin's own incidents: a receiver that takes no pages, a table that is full.

use std::collections::BTreeSet;

use wire::incident::Context;
use wire::{
    Change, Effect as Size, Evidence, Family, Incident, IncidentId, Severity, Source, Subject, SubjectKind,
};

use super::Machine;
use crate::desk::{Desk, Health};
use crate::effect::Effect;
use crate::life::Stage;
use crate::own::{INCIDENTS, Own, TIMERS};
use crate::store;

/// Within this time of clearing, the same trouble is the same incident in a later generation.
const REOPEN_MS: i64 = 3_600_000;

/// Most parts remembered as broken; while more are, the incident clears too early rather than never.
const PARTS_MAX: usize = 100;

/// A timer that fires so much later than it was due shows that the worker stood still.
const STOOD_STILL_MS: i64 = 30_000;

impl Machine {
    /// A worker that stood still pages late; somebody should know why. What was due before it began is its predecessor's.
    pub(super) fn notice_late_timers(&mut self) {
        let Some((at, started)) = self.index.timers.first().map(|(at, _)| *at).zip(self.desk.started_at)
        else {
            return;
        };
        let late_ms = self.desk.now.since_ms(at);
        let (what, part) = (TIMERS.to_owned(), TIMERS.to_owned());
        if at > started && late_ms >= STOOD_STILL_MS {
            let why = format!("a timer fired {} s after it was due", late_ms / 1_000);
            self.desk.health.push(Health::Broken { what, part, why });
        } else if late_ms < STOOD_STILL_MS && self.own.contains_key(TIMERS) {
            self.desk.health.push(Health::Fine { what, part });
        }
    }

    /// Opens and clears tocsin's own incidents by what was seen while the input was taken in.
    pub(crate) fn health(&mut self) {
        let desk = &mut self.desk;
        for health in std::mem::take(&mut desk.health) {
            match health {
                Health::Broken { what, part, why } => {
                    let mut own = self.own.remove(&what);
                    // Of what people are done with, nobody would hear again: it is another trouble.
                    let known = own.as_ref().and_then(|own| self.incidents.get(&own.incident.incident_id));
                    let is_done =
                        known.is_some_and(|s| matches!(s.people.stage(), Stage::Resolved | Stage::Closed));
                    if let Some(own) = own.as_mut().filter(|own| is_done && own.is_open()) {
                        clear(desk, own);
                    }
                    let own = broken(desk, own, &what, part, &why);
                    self.own.insert(what, own);
                }
                Health::Fine { what, part } => {
                    if let Some(own) = self.own.get_mut(&what) {
                        fine(desk, own, &what, &part);
                    }
                }
            }
        }
        // With room to spare, so that it does not open and clear with every incident that comes and goes.
        let max = self.desk.current.limits().incidents_max as usize;
        if self.live() * 10 < max * 9
            && let Some(own) = self.own.get_mut(INCIDENTS)
        {
            fine(&mut self.desk, own, INCIDENTS, INCIDENTS);
        }
    }
}

fn broken(desk: &mut Desk, known: Option<Own>, what: &str, part: String, why: &str) -> Own {
    let mut own = match known {
        Some(own) if own.is_open() => own,
        known => {
            let incident = opened(desk, known.map(|own| own.incident), what, why);
            desk.count.own_incidents += 1;
            desk.note(&incident.incident_id, "own.opened", None, None, incident.title.clone());
            desk.effects.push(Effect::Incident(Box::new(incident.clone())));
            Own { incident, broken: BTreeSet::new() }
        }
    };
    if own.broken.len() < PARTS_MAX {
        own.broken.insert(part);
    }
    desk.effects.push(store::own(what, &own));
    own
}

fn fine(desk: &mut Desk, own: &mut Own, what: &str, part: &str) {
    if !own.is_open() || !own.broken.remove(part) {
        return;
    }
    if own.broken.is_empty() {
        clear(desk, own);
    }
    desk.effects.push(store::own(what, own));
}

fn clear(desk: &mut Desk, own: &mut Own) {
    own.incident.change = Change::Cleared;
    own.incident.sequence += 1;
    own.incident.changed_at = desk.now;
    own.incident.evidence.value = 0.0;
    desk.note(&own.incident.incident_id, "own.cleared", None, None, own.incident.title.clone());
    desk.effects.push(Effect::Incident(Box::new(own.incident.clone())));
}

/// An identity that falls into this partition: what becomes of it must be known here, where the trouble is noticed.
fn id_here(desk: &Desk, subject: &Subject) -> IncidentId {
    let of = |ago: i64| {
        Incident::id_of(desk.current.namespace(), Source::Own, subject, Family::Other, desk.now.plus_ms(-ago))
    };
    // One in `partitions` does: that none of so many should is beyond belief.
    let mut tried = (0..64 * i64::from(desk.partitions)).map(of);
    tried
        .find(|id| wire::partition::of_incident(id, desk.partitions) == desk.head.partition)
        .unwrap_or_else(|| of(0))
}

/// The record that opens it, anew or again.
fn opened(desk: &Desk, before: Option<Incident>, what: &str, why: &str) -> Incident {
    let now = desk.now;
    let namespace = desk.current.namespace();
    // One writer per identity: each partition speaks for itself.
    let segment = Some(format!("partition-{}", desk.head.partition));
    let subject = Subject { kind: SubjectKind::Platform, name: what.into(), version: None, segment };
    let id = id_here(desk, &subject);
    let again = before.filter(|b| now.since_ms(b.changed_at) < REOPEN_MS);
    let (incident_id, generation, sequence) =
        again.map_or((id, 1, 1), |b| (b.incident_id, b.generation + 1, b.sequence + 1));
    let title = match what.split_once('/') {
        Some(("slot", name)) => format!("nobody is behind {name}: {why}"),
        Some(("receiver", name)) => format!("receiver {name} does not take pages: {why}"),
        Some(("worker", _)) => format!("the escalation worker stood still: {why}"),
        Some((_, name)) => format!("escalation is at its limit of {name}: {why}"),
        None => format!("{what}: {why}"),
    };
    Incident {
        incident_id,
        generation,
        sequence,
        change: Change::Opened,
        namespace: namespace.into(),
        source: Source::Own,
        severity: Severity::Sev2,
        family: Family::Other,
        subject,
        opened_at: now,
        changed_at: now,
        title,
        evidence: Evidence {
            statistic: format!("escalate.{what}"),
            value: 1.0,
            reference: 0.0,
            unit: "failures".into(),
            effect: Size { estimate: 1.0, lower: 1.0, upper: 1.0 },
            evidence: 0.0,
            samples: 1,
            window: [now, now],
            contributors: Vec::new(),
            profile: None,
        },
        context: Context::default(),
        drill: false,
    }
}
