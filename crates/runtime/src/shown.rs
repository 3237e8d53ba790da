//! An incident as it is shown: what lists ask of all of them, and the rest as text.

use escalate::{IncidentView, life::Signal};
use serde_json::Value;
use wire::{Family, NotificationId, Severity, Source, Timestamp};

/// Rendered once at each change. As text it takes a fifth of the memory of a tree of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whether its signal is.
    pub is_open: bool,
    pub severity: Severity,
    pub family: Family,
    pub source: Source,
    /// The whole of its subject, as text.
    pub subject: Box<str>,
    pub drill: bool,
    pub opened_at: Timestamp,
    /// Messages for several incidents that its pages carry or are folded into.
    pub folds: Box<[NotificationId]>,
    /// Responses that are shown.
    pub responses: usize,
    json: Box<str>,
}

impl Shown {
    /// # Panics
    /// Never: a view is plain data.
    #[must_use]
    pub fn of(view: &IncidentView) -> Self {
        let incident = &view.incident;
        Self {
            is_open: view.signal == Signal::Open,
            severity: incident.severity,
            family: incident.family,
            source: incident.source,
            subject: incident.subject.to_string().into(),
            drill: incident.drill,
            opened_at: incident.opened_at,
            folds: view.pages.iter().filter_map(|page| page.fold.clone()).collect(),
            responses: view.timeline.len(),
            json: serde_json::to_string(view).expect("a view is plain data").into(),
        }
    }

    /// Cost: as [`value`](Self::value), since it is kept nowhere else.
    #[must_use]
    pub fn title(&self) -> String {
        let view = self.value();
        view.pointer("/incident/title").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// All of it. Cost: some 20 µs.
    ///
    /// # Panics
    /// Never: it was written from a view.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.json).expect("it was written from a view")
    }
}
