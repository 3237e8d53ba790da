//! What HTTP, metrics and the terminal read while the loops write: one writer a key, nobody waits for a reader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use wire::outbox::Outcome;
use wire::page::Page;
use wire::response::Response;
use wire::{Incident, IncidentId, Timestamp};

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

/// Shared between the loops and the edge.
#[derive(Debug)]
pub struct Views {
    /// Incidents as the escalation worker knows them, rendered once at each change.
    pub incidents: DashMap<IncidentId, Arc<serde_json::Value>>,
    pub models: DashMap<(String, String), ModelView>,
    /// Role and partition, with why it is not ready.
    ready: DashMap<&'static str, Option<String>>,
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
            ready: DashMap::new(),
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

    /// Takes in incidents as they now look; `None` removes one.
    pub fn show(&self, changed: Vec<(IncidentId, Option<serde_json::Value>)>) {
        for (id, view) in changed {
            match view {
                Some(view) => drop(self.incidents.insert(id, Arc::new(view))),
                None => drop(self.incidents.remove(&id)),
            }
        }
    }

    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// `None` is ready; text says what is waited for.
    pub fn set_ready(&self, role: &'static str, waiting_for: Option<String>) {
        metrics::gauge!(crate::metrics::READY, "role" => role).set(if waiting_for.is_none() {
            1.0
        } else {
            0.0
        });
        self.ready.insert(role, waiting_for);
    }

    /// Roles in order of name, with what each waits for.
    #[must_use]
    pub fn readiness(&self) -> Vec<(&'static str, Option<String>)> {
        let mut roles: Vec<_> = self.ready.iter().map(|r| (*r.key(), r.value().clone())).collect();
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
