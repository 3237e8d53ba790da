//! What tocsin knows of its own troubles.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wire::{Change, Incident};

/// The table of incidents that have not ended.
pub(crate) const INCIDENTS: &str = "table/incidents";

/// The pages of one incident that are on their way.
pub(crate) const PAGES: &str = "table/pages";

/// The timers of a worker, which fire late where it stood still.
pub(crate) const TIMERS: &str = "worker/timers";

/// The last word on one of tocsin's own incidents, and what must work again before it clears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Own {
    pub(crate) incident: Incident,
    pub(crate) broken: BTreeSet<String>,
}

impl Own {
    /// Whether the trouble goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.incident.change != Change::Cleared
    }
}
