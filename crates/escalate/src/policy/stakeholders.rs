//! Who is told of an incident beside those who are called, and when.

use std::collections::BTreeMap;

use wire::{Severity, Timestamp};

use crate::config::Class;
use crate::policy::Whom;
use crate::schedule::Hours;

/// What each audience is told, by severity. Only a check builds one: no cell of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stakeholders(pub(crate) BTreeMap<Severity, Vec<Cell>>);

/// One audience and severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) audience: String,
    /// Nobody, if it is empty.
    pub(crate) to: Vec<Whom>,
    pub(crate) by: Class,
    pub(crate) digest: Digest,
}

/// How long a message may wait to go with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) within_ms: i64,
    pub(crate) hours: Hours,
}

impl Digest {
    #[cfg(test)]
    pub(crate) const fn at_once() -> Self {
        Self { within_ms: 0, hours: Hours::all() }
    }

    /// Until when a message of now waits; `None` if it goes at once.
    pub(crate) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.hours.next(now.plus_ms(self.within_ms));
        (at > now).then_some(at)
    }
}

impl Stakeholders {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn cells(&self, severity: Severity) -> &[Cell] {
        self.0.get(&severity).map_or(&[], Vec::as_slice)
    }
}
