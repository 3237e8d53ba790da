//! When a step of a policy holds.

use std::fmt;

use wire::{Incident, Severity, Timestamp, Zone};

use crate::config::WhenConfig;
use crate::schedule::{Calendars, Hours};

/// The conditions of a step. All that are given must hold; without any it always holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    severity: Vec<Severity>,
    hours: Hours,
}

impl When {
    /// Holds always.
    #[must_use]
    pub fn always() -> Self {
        Self { severity: Vec::new(), hours: Hours::all() }
    }

    /// # Errors
    /// The key that is wrong, and what would be right.
    pub(crate) fn new(
        config: &WhenConfig,
        zone: &Zone,
        calendars: &Calendars,
    ) -> Result<Self, (&'static str, String)> {
        let zone = match config.zone.as_deref() {
            None => zone.clone(),
            Some(name) => Zone::named(name).ok_or_else(|| ("zone", no_zone(name)))?,
        };
        let WhenConfig { severity: _, hours, days, holidays, zone: _ } = config;
        let hours = Hours::new(hours.as_deref(), days, calendars.named(holidays.as_deref())?, zone)?;
        Ok(Self { severity: config.severity.clone(), hours })
    }

    #[must_use]
    pub const fn is_always(&self) -> bool {
        self.severity.is_empty() && self.hours.is_always()
    }

    /// Whether it holds of an incident at a time.
    #[must_use]
    pub fn holds(&self, incident: &Incident, at: Timestamp) -> bool {
        self.is_for(incident.severity) && self.hours.holds(at)
    }

    /// Whether it holds of a severity, at some time.
    #[must_use]
    pub fn is_for(&self, severity: Severity) -> bool {
        self.severity.is_empty() || self.severity.contains(&severity)
    }
}

/// What is said of a time zone that there is none of.
pub(crate) fn no_zone(name: &str) -> String {
    format!("there is no time zone {name:?}; names are those of the IANA database, such as \"Europe/Berlin\"")
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity.iter().map(|s| s.name()).collect::<Vec<_>>().join(" or ");
        let hours = self.hours.to_string();
        let said = [severity, hours].into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>();
        if said.is_empty() { f.write_str("always") } else { f.write_str(&said.join("; ")) }
    }
}
