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

    /// Until when a message of now waits; `None` if it goes at once. As late as it may within its hours, or where none of them
    /// are by then as soon as they begin.
    pub(crate) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let by = now.plus_ms(self.within_ms);
        let is_last = |end: &Timestamp| self.hours.holds(end.plus_ms(-1));
        let close = self.hours.ends(now, by.plus_ms(1)).filter(is_last).max().map(|end| end.plus_ms(-1));
        let last = if self.hours.holds(by) { Some(by) } else { close };
        let at = last.unwrap_or_else(|| self.hours.next(by));
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

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Zone;

    #[test]
    fn the_greatest_delay_is_kept_where_its_hours_allow() {
        let zone = Zone::named("UTC").expect("a zone");
        let hours = Hours::new(Some("09:00-18:00"), &[], None, zone).expect("hours");
        let digest = Digest { within_ms: 3_600_000, hours };
        let at = |text: &str| -> Timestamp { format!("2026-03-06T{text}Z").parse().expect("a time") };
        let until = |text| digest.until(at(text));
        assert_eq!(until("10:00:00"), Some(at("11:00:00")));
        assert_eq!(until("16:59:59"), Some(at("17:59:59")));
        // An hour later they are over: at their end, not on the next morning.
        assert_eq!(until("17:00:00"), Some(at("17:59:59.999")));
        assert_eq!(until("17:30:00"), Some(at("17:59:59.999")));
        // None are within the hour.
        assert_eq!(until("18:00:00"), Some(at("09:00:00").plus_ms(86_400_000)));
        assert_eq!(until("07:00:00"), Some(at("09:00:00")));
        assert_eq!(until("08:30:00"), Some(at("09:30:00")));
    }
}
