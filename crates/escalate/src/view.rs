//! What HTTP and the console show of an incident.

use schemars::JsonSchema;
use serde::Serialize;
use wire::outbox::OutboxState;
use wire::page::PageKind;
use wire::response::Response;
use wire::{AlertKey, Digest, Incident, NotificationId, Timestamp};

use crate::life::{Signal, Stage};
use crate::people::Directory;
use crate::state::{IncidentState, PageEntry, People, Waits};

/// An incident and everything people and pages did about it. People are named, not by pseudonym,
/// unless they were forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct IncidentView {
    /// Last word of the signal.
    pub incident: Incident,
    pub signal: Signal,
    pub stage: Stage,
    /// Who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who resolved or closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigated_until: Option<Timestamp>,
    /// When the next step pages unless someone takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step_at: Option<Timestamp>,
    /// Nobody is paged until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<Timestamp>,
    /// Nobody is paged until then, as long as `muted_by` lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
    /// The silence, the window of maintenance, or the incident upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_by: Option<String>,
    /// Whom it was handed to, who has not taken it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// When the next step pages unless whoever has it writes a note, mitigates or resolves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond_by: Option<Timestamp>,
    /// Who has acknowledged, where the policy asks for more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_by: Vec<String>,
    /// The policy it follows, and the bundle that policy is from.
    pub policy: String,
    pub bundle: Digest,
    /// Round and step that paged last, from 0.
    pub round: u32,
    pub step: u32,
    /// By the machine's recorded clock: when it was first taken in, and when nothing was left to do.
    pub since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// In the order in which they were decided; the oldest may be missing.
    pub pages: Vec<PageView>,
    pub pages_dropped: u64,
    /// What people did, oldest first; the oldest may be missing.
    pub timeline: Vec<Response>,
    pub timeline_dropped: u64,
}

/// One page and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PageView {
    pub notification_id: NotificationId,
    pub alert_key: AlertKey,
    pub kind: PageKind,
    /// The audience that it tells, where it calls nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    pub receiver: String,
    pub target: String,
    /// Who is called there, by the key in `people.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    pub generation: u32,
    pub round: u32,
    pub step: u32,
    pub decided_at: Timestamp,
    /// The message that goes for several incidents: this page carries it, or is folded into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<NotificationId>,
    /// It stands in for a page that failed.
    pub fallback: bool,
    pub attempts: u32,
    pub state: OutboxState,
}

impl IncidentView {
    pub(crate) fn of(state: &IncidentState, directory: &Directory) -> Self {
        let name = |pseudonym: &str| directory.name(pseudonym).to_owned();
        let (mut acknowledged_until, mut mitigated_until) = (None, None);
        let (mut next_step_at, mut done_by) = (None, None);
        let (mut muted_until, mut muted_by) = (None, None);
        let (mut snoozed_until, mut assigned_to, mut respond_by) = (None, None, None);
        match &state.people {
            People::Open { due, waits: Waits::Snooze, .. } => snoozed_until = *due,
            People::Open { due, waits: Waits::Muted(by), .. } => {
                muted_until = *due;
                muted_by = Some(by.to_string());
            }
            People::Open { due, waits, .. } => {
                next_step_at = *due;
                if let Waits::Assigned(to) = waits {
                    assigned_to = Some(name(to));
                }
            }
            People::Acknowledged { until, respond_by: by, .. } => {
                acknowledged_until = Some(*until);
                respond_by = *by;
            }
            People::Mitigated { until, .. } => mitigated_until = Some(*until),
            People::Resolved { by } | People::Closed { by } => done_by = Some(name(by)),
        }
        let timeline = state.timeline.iter().map(|r| Response {
            by: name(&r.by),
            to: r.to.as_deref().map(name),
            ..r.clone()
        });
        Self {
            incident: Incident::clone(&state.incident),
            signal: state.signal,
            stage: state.people.stage(),
            owner: state.people.owner().map(name),
            done_by,
            acknowledged_until,
            mitigated_until,
            next_step_at,
            snoozed_until,
            muted_until,
            muted_by,
            assigned_to,
            respond_by,
            taken_by: state.taken.keys().map(|p| name(p)).collect(),
            policy: state.plan.clone(),
            bundle: state.bundle.clone(),
            round: state.position.round,
            step: state.position.step,
            since: state.since,
            ended_at: state.ended_at,
            pages: state.pages.iter().map(PageView::of).collect(),
            pages_dropped: state.pages_dropped,
            timeline: timeline.collect(),
            timeline_dropped: state.timeline_dropped,
        }
    }
}

impl PageView {
    fn of(p: &PageEntry) -> Self {
        Self {
            notification_id: p.notification_id.clone(),
            alert_key: p.alert_key.clone(),
            kind: p.kind,
            told: p.told.clone(),
            receiver: p.receiver.clone(),
            target: p.target.clone(),
            person: p.person.clone(),
            generation: p.generation,
            round: p.at.round,
            step: p.at.step,
            decided_at: p.decided_at,
            fold: p.fold.clone(),
            fallback: p.fallback,
            attempts: p.attempts,
            state: p.outbox(),
        }
    }
}
