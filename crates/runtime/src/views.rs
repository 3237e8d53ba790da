//! What HTTP, metrics and the terminal read while the loops write: one writer a key, nobody waits for a reader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::{Offset, TopicPartition};
use crate::metrics::DATA_GAPS;
use dashmap::DashMap;
use escalate::Answer;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use wire::outbox::Outcome;
use wire::page::Page;
use wire::response::Response;
use wire::{CommandId, Incident, IncidentId, Timestamp};

/// Most events that a slow reader of the tail may lag behind before it loses some (and is told).
const TAIL_EVENTS_MAX: usize = 4096;

/// Something a person may want to see the moment it happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Incident { incident: Arc<Incident> },
    Page { page: Arc<Page>, attempt: u32, outcome: Outcome },
    Response { response: Arc<Response> },
    DataGap { topic: String, partition: u32, expected: i64, found: i64 },
    RoleFailed { role: String, why: String },
}

/// One model version, as last judged.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelView {
    pub model: String,
    pub version: String,
    pub last_pane: Option<Timestamp>,
    pub predictions: u64,
    pub labels: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Streams by verdict.
    pub verdicts: BTreeMap<String, u64>,
}

/// What keeps a role from its work.
#[derive(Debug, Default)]
struct Condition {
    /// What it has yet to get.
    waiting_for: Option<String>,
    /// Why it cannot go on just now, whatever it has.
    trouble: Option<String>,
}

impl Condition {
    fn why_not(&self) -> Option<&String> {
        self.trouble.as_ref().or(self.waiting_for.as_ref())
    }
}

/// Shared between the loops and the edge.
#[derive(Debug)]
pub struct Views {
    /// Incidents as the escalation worker knows them, rendered once at each change.
    pub incidents: DashMap<IncidentId, Arc<serde_json::Value>>,
    pub models: DashMap<(String, String), ModelView>,
    /// What became of the latest commands, with the partition of the incident.
    answers: DashMap<CommandId, (u32, Answer)>,
    roles: DashMap<&'static str, Condition>,
    /// Role, with how many partitions this process works on, of how many.
    partitions: DashMap<&'static str, (usize, u32)>,
    pub records: AtomicU64,
    pub dead_letters: AtomicU64,
    pub panes: AtomicU64,
    /// Watermark of the slowest source in epoch ms; `i64::MIN` before the first.
    watermark: std::sync::atomic::AtomicI64,
    events: broadcast::Sender<Event>,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            incidents: DashMap::new(),
            models: DashMap::new(),
            answers: DashMap::new(),
            roles: DashMap::new(),
            partitions: DashMap::new(),
            records: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            panes: AtomicU64::new(0),
            watermark: std::sync::atomic::AtomicI64::new(i64::MIN),
            events: broadcast::channel(TAIL_EVENTS_MAX).0,
        }
    }
}

impl Views {
    /// Tells every reader of the tail; nobody listening is fine.
    pub fn tell(&self, event: Event) {
        drop(self.events.send(event));
    }

    /// Records expired before a role read them: nothing hides that.
    pub fn data_gap(&self, at: &TopicPartition, expected: Offset, found: Offset) {
        tracing::error!(topic = %at.topic, partition = at.partition, expected, found, "records expired before they were read");
        metrics::counter!(DATA_GAPS, "topic" => at.topic.to_string()).increment(1);
        self.tell(Event::DataGap { topic: at.topic.to_string(), partition: at.partition, expected, found });
    }

    /// Takes in incidents as they now look; `None` removes one.
    pub fn show(&self, changed: Vec<(IncidentId, Option<serde_json::Value>)>) {
        for (id, view) in changed {
            match view {
                Some(view) => drop(self.incidents.insert(id, Arc::new(view))),
                None => drop(self.incidents.remove(&id)),
            }
        }
    }

    /// Takes in what became of commands; `None` removes one.
    pub fn answer(&self, partition: u32, answered: Vec<(CommandId, Option<Answer>)>) {
        for (id, answer) in answered {
            match answer {
                Some(answer) => drop(self.answers.insert(id, (partition, answer))),
                None => drop(self.answers.remove(&id)),
            }
        }
    }

    /// What became of a command, as long as it is kept.
    #[must_use]
    pub fn answer_to(&self, id: &CommandId) -> Option<Answer> {
        self.answers.get(id).map(|known| known.1.clone())
    }

    /// Drops what is shown of a partition that another process works on.
    pub fn forget(&self, partition: u32, its: &dyn Fn(&IncidentId) -> bool) {
        self.incidents.retain(|id, _| !its(id));
        self.answers.retain(|_, (of, _)| *of != partition);
    }

    /// Says how many partitions of a role are worked on here, of how many there are.
    pub fn set_partitions(&self, role: &'static str, here: usize, of: u32) {
        self.partitions.insert(role, (here, of));
    }

    /// Partitions of a role here, and how many there are; `None` when the role does not run here.
    #[must_use]
    pub fn partitions(&self, role: &str) -> Option<(usize, u32)> {
        self.partitions.get(role).map(|known| *known.value())
    }

    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// `None` is ready; text says what is waited for.
    pub fn set_ready(&self, role: &'static str, waiting_for: Option<String>) {
        self.set_condition(role, |condition| condition.waiting_for = waiting_for);
    }

    /// A role with trouble is not ready, whatever it has; without, it is as it was.
    pub fn set_trouble(&self, role: &'static str, trouble: Option<String>) {
        self.set_condition(role, |condition| condition.trouble = trouble);
    }

    fn set_condition(&self, role: &'static str, set: impl FnOnce(&mut Condition)) {
        let mut condition = self.roles.entry(role).or_default();
        set(&mut condition);
        let ready = if condition.why_not().is_none() { 1.0 } else { 0.0 };
        metrics::gauge!(crate::metrics::READY, "role" => role).set(ready);
    }

    /// Roles in order of name, with what each waits for.
    #[must_use]
    pub fn readiness(&self) -> Vec<(&'static str, Option<String>)> {
        let mut roles: Vec<_> = self.roles.iter().map(|r| (*r.key(), r.why_not().cloned())).collect();
        roles.sort_unstable();
        roles
    }

    pub fn set_watermark(&self, watermark: Timestamp) {
        self.watermark.store(watermark.as_ms(), Ordering::Relaxed);
    }

    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        Timestamp::from_ms(self.watermark.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_ready_once_it_has_what_it_waits_for_and_no_trouble() {
        let views = Views::default();
        let why = || views.readiness().remove(0).1;
        views.set_ready("judge", Some("its partitions".into()));
        views.set_trouble("judge", Some("the log".into()));
        assert_eq!(why().as_deref(), Some("the log"));
        // What came while the trouble lasted counts when it is over.
        views.set_ready("judge", None);
        assert_eq!(why().as_deref(), Some("the log"));
        views.set_trouble("judge", None);
        assert_eq!(why(), None);
    }
}
