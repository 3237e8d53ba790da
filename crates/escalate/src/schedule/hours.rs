//! Hours of the day on days of the week, as they come again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::ToSpan as _;
use jiff::civil::{Date, Time};
use wire::{Timestamp, Zone};

/// Monday first; the last is a holiday, of whichever weekday.
const DAYS: [&str; 8] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"];
const HOLIDAY: usize = 7;
/// Minutes of a day.
const DAY: u16 = 1440;

/// The same hours on some days of the week. Those that go over midnight are of the day on which they begin. Each
/// begins and ends at the first instant at which the clock shows that time or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    zone: Zone,
    /// Minutes since midnight, from and to; from is larger than to where they go over midnight. All day, if there are none.
    hours: Option<(u16, u16)>,
    /// Every day, if there are none.
    days: Option<[bool; 8]>,
    holidays: Option<Holidays>,
}

/// Days that count as holidays and not as what they are of the week.
pub(crate) type Holidays = Arc<BTreeSet<Date>>;

/// Holidays by the name of their calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calendars(pub(crate) BTreeMap<String, Holidays>);

impl Calendars {
    /// The calendar of that name, where one is asked for.
    ///
    /// # Errors
    /// That there is none, under the key by which it was asked for.
    pub(crate) fn named(&self, name: Option<&str>) -> Result<Option<Holidays>, (&'static str, String)> {
        let Some(name) = name else { return Ok(None) };
        let known = || self.0.keys().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(", ");
        self.0.get(name).cloned().map(Some).ok_or_else(|| {
            let hint = if self.0.is_empty() {
                "none is defined, add it to [holidays] in schedules.toml".to_owned()
            } else {
                format!("known: {}", known())
            };
            ("holidays", format!("there is no calendar {name:?}; {hint}"))
        })
    }
}

impl Hours {
    /// All hours of all days.
    #[must_use]
    pub const fn all() -> Self {
        Self { zone: Zone::UTC, hours: None, days: None, holidays: None }
    }

    /// Reads `09:00-17:30` and the names of days.
    ///
    /// # Errors
    /// The key that is wrong, and what would be right.
    pub(crate) fn new(
        hours: Option<&str>,
        days: &[String],
        holidays: Option<Holidays>,
        zone: Zone,
    ) -> Result<Self, (&'static str, String)> {
        let hours = hours.map(|text| {
            let read = text.split_once('-').and_then(|(from, to)| Some((clock(from)?, clock(to)?)));
            let read = read.filter(|(from, to)| from != to && *from < DAY);
            read.ok_or_else(|| ("hours", format!("{text:?} is not a span such as \"09:00-17:30\"")))
        });
        let mut on = None;
        for day in days {
            let Some(i) = DAYS.iter().position(|known| known == day) else {
                return Err(("days", format!("{day:?} is none of {}", DAYS.join(", "))));
            };
            if i == HOLIDAY && holidays.is_none() {
                let why = "\"holiday\" is a day of which calendar? name one, such as `holidays = \"de\"`";
                return Err(("days", why.into()));
            }
            on.get_or_insert([false; 8])[i] = true;
        }
        Ok(Self { zone, hours: hours.transpose()?, days: on, holidays })
    }

    /// Whether they are all there is.
    #[must_use]
    pub const fn is_always(&self) -> bool {
        self.hours.is_none() && self.days.is_none()
    }

    /// Whether `at` is within them.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        self.is_always() || self.around(at, at).any(|(from, to)| (from..to).contains(&at))
    }

    /// The first instant from `at` on that is within them; `at` itself where there is none in a year.
    pub(crate) fn next(&self, at: Timestamp) -> Timestamp {
        const DAY_MS: i64 = 86_400_000;
        if self.holds(at) {
            return at;
        }
        // A week has all days but those of a calendar.
        let begins = |days: i64| {
            let ends = self.ends(at, at.plus_ms(days * DAY_MS));
            ends.filter(|end| self.holds(*end)).min()
        };
        begins(8).or_else(|| begins(400)).unwrap_or(at)
    }

    /// When they begin or end between `from` and `to`.
    pub(crate) fn ends(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
        let none = self.is_always();
        let ends = self.around(from, to).flat_map(|(begin, end)| [begin, end]);
        ends.filter(move |at| !none && from < *at && *at < to)
    }

    /// All that may hold an instant from `from` to `to`.
    fn around(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let day = |at: Timestamp, off: i32| {
            let date = self.zone.civil_at(at).date();
            date.checked_add(off.days()).unwrap_or(date)
        };
        // The evening before may reach into this day, and a calendar may skip the day between.
        let (first, last) = (day(from, -2), day(to, 1));
        first.series(1.day()).take_while(move |date| *date <= last).filter_map(|date| self.of(date))
    }

    /// The hours that begin on a day, if it is one of theirs.
    fn of(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        self.days.is_none_or(|days| days[self.kind(date)]).then(|| {
            let (from, to) = self.hours.unwrap_or((0, DAY));
            (self.at(date, from), self.at(date, if from > to { to + DAY } else { to }))
        })
    }

    fn kind(&self, date: Date) -> usize {
        if self.holidays.as_ref().is_some_and(|holidays| holidays.contains(&date)) {
            HOLIDAY
        } else {
            usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())
        }
    }

    fn at(&self, date: Date, minute: u16) -> Timestamp {
        let date = if minute < DAY { date } else { date.tomorrow().unwrap_or(date) };
        let minute = minute % DAY;
        let time = |n: u16| i8::try_from(n).unwrap_or(0);
        self.zone.first(date.to_datetime(Time::constant(time(minute / 60), time(minute % 60), 0, 0)))
    }

    /// Which minutes of a week are theirs, from Monday's midnight, as long as no day is a holiday.
    pub(crate) fn mark(&self, week: &mut [bool]) {
        let (from, to) = self.hours.unwrap_or((0, DAY));
        let to = if from > to { to + DAY } else { to };
        for day in (0..7).filter(|day| self.days.is_none_or(|days| days[*day])) {
            for minute in from..to {
                let at = (day * usize::from(DAY) + usize::from(minute)) % week.len();
                week[at] = true;
            }
        }
    }

    /// Days that are not like others of their weekday.
    pub(crate) fn holidays(&self) -> impl Iterator<Item = Date> {
        self.holidays.iter().flat_map(|days| days.iter().copied())
    }
}

/// Minutes since midnight, 24:00 included.
fn clock(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
    let (hour, minute): (u16, u16) =
        (digits(hour).then(|| hour.parse().ok())??, digits(minute).then(|| minute.parse().ok())??);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if let Some((from, to)) = self.hours {
            let [a, b, c, d] = [from / 60, from % 60, to / 60, to % 60];
            said.push(format!("{a:02}:{b:02} to {c:02}:{d:02}"));
        }
        if let Some(days) = self.days {
            let on = DAYS.iter().zip(days).filter(|(_, on)| *on).map(|(day, _)| *day);
            said.push(on.collect::<Vec<_>>().join(", "));
        }
        if !self.is_always() {
            said.push(format!("{:?}", self.zone));
        }
        f.write_str(&said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(hours: Option<&str>, days: &[&str], holidays: &[&str]) -> Hours {
        let days: Vec<_> = days.iter().map(|d| (*d).to_owned()).collect();
        let holidays = holidays.iter().map(|d| d.parse().expect("a date")).collect();
        let zone = Zone::named("Europe/Berlin").expect("a zone");
        Hours::new(hours, &days, Some(Arc::new(holidays)), zone).expect("they are right")
    }

    #[test]
    fn a_night_is_of_the_day_on_which_it_begins() {
        let (day, night) =
            (berlin(Some("09:00-17:00"), &["mon", "fri"], &[]), berlin(Some("22:00-06:00"), &["fri"], &[]));
        // (time in UTC, within the day, within the night); Berlin is an hour ahead. The 6th is a Friday.
        for (at, by_day, by_night) in [
            ("2026-03-06T07:59:59Z", false, false),
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
            assert_eq!((day.holds(at), night.holds(at)), (by_day, by_night), "{at}");
        }
        assert_eq!(night.to_string(), "22:00 to 06:00; fri; Europe/Berlin");
        assert!(Hours::all().holds(Timestamp::MAX) && Hours::all().to_string().is_empty());
    }

    #[test]
    fn hours_begin_and_end_once_where_the_clock_shows_them_twice() {
        // 02:00 to 03:00 comes twice on the 25th of October, and not at all on the 29th of March.
        let twice = berlin(Some("02:30-02:45"), &[], &[]);
        for (at, want) in [
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T00:45:00Z", false),
            ("2026-10-25T01:30:00Z", false),
            ("2026-10-25T01:40:00Z", false),
            ("2026-03-29T00:59:00Z", false),
            ("2026-03-29T01:00:00Z", false),
            ("2026-03-29T01:35:00Z", false),
            ("2026-03-30T00:35:00Z", true),
        ] {
            assert_eq!(twice.holds(at.parse().unwrap()), want, "{at}");
        }
    }

    #[test]
    fn a_holiday_is_no_weekday() {
        // Christmas 2026 is a Friday.
        let (work, rest) = (
            berlin(Some("09:00-17:00"), &["mon", "tue", "wed", "thu", "fri"], &["2026-12-25"]),
            berlin(None, &["sat", "sun", "holiday"], &["2026-12-25"]),
        );
        for (at, works, rests) in [
            ("2026-12-24T10:00:00Z", true, false),
            ("2026-12-24T22:59:59Z", false, false),
            ("2026-12-24T23:00:00Z", false, true),
            ("2026-12-25T10:00:00Z", false, true),
            ("2026-12-26T10:00:00Z", false, true),
            ("2026-12-28T10:00:00Z", true, false),
        ] {
            let at = at.parse().unwrap();
            assert_eq!((work.holds(at), rest.holds(at)), (works, rests), "{at}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (hours, day, key) in [
            (Some("9-17"), None, "hours"),
            (Some("09:00-24:01"), None, "hours"),
            (Some("24:00-09:00"), None, "hours"),
            (Some("09:00-09:00"), None, "hours"),
            (None, Some("monday"), "days"),
            (None, Some("holiday"), "days"),
        ] {
            let days: Vec<String> = day.into_iter().map(Into::into).collect();
            let (at, why) = Hours::new(hours, &days, None, Zone::UTC).expect_err("refused");
            assert_eq!(at, key, "{why}");
        }
    }
}
