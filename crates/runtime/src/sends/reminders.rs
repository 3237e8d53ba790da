//! Alerts that a receiver forgets unless it is reminded (Alertmanager).
//!
//! What is said last is what stands there. So pages and reminders of one alert take turns, and a reminder of what was said
//! before the last page is not sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use wire::page::{Page, PageKind};
use wire::{AlertKey, IncidentId};

/// Of whoever says something of an alert.
#[derive(Clone, Default)]
pub(super) struct Said {
    /// Held while it is said.
    pub(super) turn: Arc<Mutex<()>>,
    arrived: Arc<AtomicBool>,
}

impl Said {
    /// It was taken, or may have been.
    pub(super) fn arrived(&self) {
        self.arrived.store(true, Ordering::Release);
    }
}

/// Alerts that stand open, as their last pages say. Bound: the open alerts of this process.
#[derive(Default)]
pub(super) struct Reminders(BTreeMap<AlertKey, Standing>);

struct Standing {
    page: Page,
    due: Duration,
    /// Something has reached it, or may have. Before that a reminder would begin what nobody was called about.
    arrived: Arc<AtomicBool>,
    turn: Arc<Mutex<()>>,
    /// Until something else is said of it.
    holds: Arc<AtomicBool>,
}

/// What is to be repeated now, by whoever has its turn.
pub(super) struct Reminder {
    pub(super) page: Page,
    holds: Arc<AtomicBool>,
    /// Held until it was sent.
    _turn: OwnedMutexGuard<()>,
}

impl Reminder {
    /// Whether it is still what was said last.
    pub(super) fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.holds.store(false, Ordering::Release);
    }
}

impl Reminders {
    /// A page is on its way; `due` is when it is to be repeated for the first time.
    pub(super) fn said(&mut self, page: &Page, due: Duration) -> Said {
        let before = self.0.remove(&page.alert_key);
        let said = before.map_or_else(Said::default, |before| Said {
            turn: Arc::clone(&before.turn),
            arrived: Arc::clone(&before.arrived),
        });
        if page.kind != PageKind::Resolve {
            self.stands(page.clone(), due, said.clone());
        }
        said
    }

    /// It stands open, whoever said so; nothing changes if that is known.
    pub(super) fn known(&mut self, page: Page, due: Duration) {
        if !self.0.contains_key(&page.alert_key) {
            let said = Said::default();
            said.arrived();
            self.stands(page, due, said);
        }
    }

    fn stands(&mut self, page: Page, due: Duration, Said { turn, arrived }: Said) {
        let holds = Arc::new(AtomicBool::new(true));
        self.0.insert(page.alert_key.clone(), Standing { page, due, arrived, turn, holds });
    }

    /// Those that are due at `now`, of receivers that say `every` when the next one is. One of which something is being said
    /// anyway waits for its next time.
    pub(super) fn due(&mut self, now: Duration, every: impl Fn(&str) -> Option<Duration>) -> Vec<Reminder> {
        let mut all = Vec::new();
        let is_due =
            |standing: &&mut Standing| standing.due <= now && standing.arrived.load(Ordering::Acquire);
        for standing in self.0.values_mut().filter(is_due) {
            let Some(every) = every(&standing.page.receiver) else { continue };
            standing.due = now + every;
            if let Ok(turn) = Arc::clone(&standing.turn).try_lock_owned() {
                let (page, holds) = (standing.page.clone(), Arc::clone(&standing.holds));
                all.push(Reminder { page, holds, _turn: turn });
            }
        }
        all
    }

    /// Other processes see to these incidents from now on.
    pub(super) fn forget(&mut self, theirs: &dyn Fn(&IncidentId) -> bool) {
        self.0.retain(|_, standing| !theirs(&standing.page.incident.incident_id));
    }
}
