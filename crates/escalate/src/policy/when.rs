//! When a step of a policy holds.

use std::fmt;

use wire::{Incident, Severity, Timestamp, Zone};

use crate::config::WhenConfig;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The conditions of a step. All that are given must hold; without any it always holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    severity: Vec<Severity>,
    /// Minutes since midnight, from and to; from is larger than to where the hours go over midnight.
    hours: Option<(u16, u16)>,
    /// Days of the week, Monday first; a night that goes over midnight is of the day on which it begins.
    days: Option<[bool; 7]>,
    zone: Zone,
}

impl When {
    /// Holds always.
    #[must_use]
    pub const fn always() -> Self {
        Self { severity: Vec::new(), hours: None, days: None, zone: Zone::UTC }
    }

    /// # Errors
    /// The key that is wrong, and what would be right.
    pub(crate) fn new(config: &WhenConfig, zone: &Zone) -> Result<Self, (&'static str, String)> {
        let hours = config.hours.as_deref().map(|text| {
            let read = text.split_once('-').and_then(|(from, to)| Some((clock(from)?, clock(to)?)));
            let read = read.filter(|(from, to)| from != to && *from < 1440);
            read.ok_or_else(|| ("hours", format!("{text:?} is not a span such as \"09:00-17:30\"")))
        });
        let mut days = None;
        for day in &config.days {
            let Some(i) = DAYS.iter().position(|known| known == day) else {
                return Err(("days", format!("{day:?} is none of {}", DAYS.join(", "))));
            };
            days.get_or_insert([false; 7])[i] = true;
        }
        let zone = match config.zone.as_deref() {
            None => zone.clone(),
            Some(name) => Zone::named(name).ok_or_else(|| ("zone", no_zone(name)))?,
        };
        Ok(Self { severity: config.severity.clone(), hours: hours.transpose()?, days, zone })
    }

    #[must_use]
    pub const fn is_always(&self) -> bool {
        self.severity.is_empty() && self.hours.is_none() && self.days.is_none()
    }

    /// Whether it holds of an incident at a time.
    #[must_use]
    pub fn holds(&self, incident: &Incident, at: Timestamp) -> bool {
        (self.severity.is_empty() || self.severity.contains(&incident.severity)) && self.is_time(at)
    }

    fn is_time(&self, at: Timestamp) -> bool {
        let (minute, day) = self.zone.time_of_week(at);
        let (from, to) = self.hours.unwrap_or((0, 1440));
        let over_midnight = from > to;
        let within = if over_midnight { minute >= from || minute < to } else { (from..to).contains(&minute) };
        let day = if over_midnight && minute < to { (day + 6) % 7 } else { day };
        within && self.days.is_none_or(|days| days[usize::from(day)])
    }
}

/// What is said of a time zone that there is none of.
pub(crate) fn no_zone(name: &str) -> String {
    format!("there is no time zone {name:?}; names are those of the IANA database, such as \"Europe/Berlin\"")
}

fn clock(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
    let (hour, minute): (u16, u16) =
        (digits(hour).then(|| hour.parse().ok())??, digits(minute).then(|| minute.parse().ok())??);
    (minute < 60 && hour * 60 + minute <= 1440).then_some(hour * 60 + minute)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if !self.severity.is_empty() {
            said.push(self.severity.iter().map(|s| s.name()).collect::<Vec<_>>().join(" or "));
        }
        if let Some((from, to)) = self.hours {
            let [a, b, c, d] = [from / 60, from % 60, to / 60, to % 60];
            said.push(format!("{a:02}:{b:02} to {c:02}:{d:02}"));
        }
        if let Some(days) = self.days {
            let on = DAYS.iter().zip(days).filter(|(_, on)| *on).map(|(day, _)| *day);
            said.push(on.collect::<Vec<_>>().join(", "));
        }
        if self.hours.is_some() || self.days.is_some() {
            said.push(format!("{:?}", self.zone));
        }
        if said.is_empty() { f.write_str("always") } else { f.write_str(&said.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_are_those_of_the_zone() {
        let when = |hours: &str, days: &[&str]| {
            let config = WhenConfig {
                hours: Some(hours.into()),
                days: days.iter().map(|d| (*d).to_owned()).collect(),
                zone: Some("Europe/Berlin".into()),
                ..WhenConfig::default()
            };
            When::new(&config, &Zone::UTC).expect("it is right")
        };
        let (day, night) = (when("09:00-17:00", &["mon", "fri"]), when("22:00-06:00", &["fri"]));
        // (time in UTC, within the day, within the night); Berlin is an hour ahead. The 6th is a Friday.
        for (at, by_day, by_night) in [
            ("2026-03-06T07:59:00Z", false, false),
            ("2026-03-06T08:00:00Z", true, false),
            ("2026-03-06T15:59:59Z", true, false),
            ("2026-03-06T16:00:00Z", false, false),
            ("2026-03-06T21:00:00Z", false, true),
            ("2026-03-07T04:59:00Z", false, true),
            ("2026-03-07T05:00:00Z", false, false),
            ("2026-03-07T21:30:00Z", false, false),
            ("2026-03-09T08:00:00Z", true, false),
        ] {
            let at = at.parse().unwrap();
            assert_eq!((day.is_time(at), night.is_time(at)), (by_day, by_night), "{at}");
        }
        assert_eq!(night.to_string(), "22:00 to 06:00; fri; Europe/Berlin");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (hours, day, zone, key) in [
            (Some("9-17"), None, None, "hours"),
            (Some("09:00-24:01"), None, None, "hours"),
            (Some("24:00-09:00"), None, None, "hours"),
            (Some("09:00-09:00"), None, None, "hours"),
            (None, Some("monday"), None, "days"),
            (None, None, Some("Berlin"), "zone"),
        ] {
            let config = WhenConfig {
                hours: hours.map(Into::into),
                days: day.into_iter().map(Into::into).collect(),
                zone: zone.map(Into::into),
                ..WhenConfig::default()
            };
            let (at, why) = When::new(&config, &Zone::UTC).expect_err("refused");
            assert_eq!(at, key, "{why}");
        }
    }
}
