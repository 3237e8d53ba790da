//! Time intervals as hours on days of the week.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;
use wire::{Timestamp, Zone};

use super::plain;
use crate::import::said_too;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY: usize = 1440;
/// How far ahead clocks that go back are looked for.
const YEARS_MS: i64 = 3 * 366 * 86_400_000;

/// One entry of a time interval. All that is given must hold, and of each list one.
#[derive(Debug, Deserialize)]
struct Interval {
    times: Option<Vec<Times>>,
    weekdays: Option<Vec<String>>,
    days_of_month: Option<Vec<Value>>,
    months: Option<Vec<Value>>,
    years: Option<Vec<Value>>,
    location: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Times {
    start_time: String,
    end_time: String,
}

/// The same hours on some days, as a window of maintenance has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub hours: Option<String>,
    pub days: Vec<String>,
    pub zone: String,
    pub from: Option<String>,
    pub until: Option<String>,
}

/// Minutes of a week from Monday's midnight, on the clock of a zone, from one day until before another.
#[derive(Clone, Debug)]
struct Week {
    zone: String,
    span: Option<(Date, Date)>,
    minutes: Vec<bool>,
}

/// What is within one of these, and why of the rest not all is.
pub(super) fn within<'a>(
    intervals: impl IntoIterator<Item = &'a Value>,
    now: Timestamp,
) -> (Vec<Stretch>, Vec<String>) {
    let mut weeks: BTreeMap<(String, Option<(Date, Date)>), Week> = BTreeMap::new();
    let mut unsaid = Vec::new();
    for interval in intervals {
        match week(interval) {
            Err(why) => unsaid.push(why),
            Ok(week) => {
                let known = weeks
                    .entry((week.zone.clone(), week.span))
                    .or_insert_with(|| Week { minutes: vec![false; 7 * DAY], ..week.clone() });
                known.minutes.iter_mut().zip(&week.minutes).for_each(|(known, minute)| *known |= minute);
            }
        }
    }
    let mut stretches = Vec::new();
    for week in weeks.values() {
        match week.stretches(now) {
            Err(why) => unsaid.push(why),
            Ok((said, less)) => {
                stretches.extend(said);
                unsaid.extend(less);
            }
        }
    }
    (stretches, unsaid)
}

/// What is in none of these, and what of it is left out.
///
/// # Errors
/// Why it cannot be said.
pub(super) fn outside<'a>(
    intervals: impl IntoIterator<Item = &'a Value>,
    now: Timestamp,
) -> Result<(Vec<Stretch>, Option<String>), String> {
    let mut all: Option<Week> = None;
    for interval in intervals {
        let week = week(interval)?;
        if week.span.is_some() {
            return Err("is at some dates only, and what is before and after them has no end".into());
        }
        let known = all.get_or_insert_with(|| Week { minutes: vec![true; 7 * DAY], ..week.clone() });
        if known.zone != week.zone {
            return Err(format!("is on the clocks of {} and of {} at once", known.zone, week.zone));
        }
        known.minutes.iter_mut().zip(&week.minutes).for_each(|(known, minute)| *known &= !minute);
    }
    all.map_or_else(|| Err("is at no time".into()), |week| week.stretches(now))
}

/// # Errors
/// Why its hours are none of a week.
fn week(interval: &Value) -> Result<Week, String> {
    let interval: Interval =
        serde_json::from_value(interval.clone()).map_err(|e| format!("is not written as is known: {e}"))?;
    if let Some(fields) = said_too(&interval.rest, &[]) {
        return Err(format!("has {fields}, which is not known"));
    }
    let span = interval.span()?;
    let zone = interval.location.unwrap_or_else(|| "UTC".into());
    if zone == "Local" {
        return Err("is on the clock of the machine there (location: Local)".into());
    }
    if Zone::named(&zone).is_none() {
        return Err(format!("there is no time zone {zone:?}"));
    }
    let times = match interval.times {
        None => vec![(0, DAY)],
        Some(times) => times.iter().map(minutes).collect::<Result<_, _>>()?,
    };
    let days = match interval.weekdays {
        None => (0..7).collect(),
        Some(days) => days.iter().map(|text| weekdays(text)).collect::<Result<Vec<_>, _>>()?.concat(),
    };
    let mut minutes = vec![false; 7 * DAY];
    for day in days {
        for (from, to) in &times {
            minutes[day * DAY + from..day * DAY + to].fill(true);
        }
    }
    Ok(Week { zone, span, minutes })
}

impl Interval {
    /// The days that its years, months and days of a month are, if these are one after the other.
    fn span(&self) -> Result<Option<(Date, Date)>, String> {
        let Self { years, months, days_of_month, .. } = self;
        let given = [("years", years), ("months", months), ("days_of_month", days_of_month)];
        let said: Vec<_> = given
            .iter()
            .filter_map(|(name, list)| {
                let list = list.as_ref()?;
                Some(format!("{name}: {}", list.iter().map(plain).collect::<Vec<_>>().join(", ")))
            })
            .collect();
        if said.is_empty() {
            return Ok(None);
        }
        let one = |list: &Option<Vec<Value>>, number: fn(&str) -> Option<i16>| match list.as_deref() {
            None => Some(None),
            Some([one]) => range(&plain(one), number).map(Some),
            Some(_) => None,
        };
        let dates = || {
            let (first, last) = one(years, |text| text.parse().ok())??;
            let months = one(months, month)?;
            let days = one(days_of_month, |text| text.parse().ok().filter(|day| (1..=31).contains(day)))?;
            let one_month = months.is_some_and(|(a, b)| a == b);
            if months.is_some() && first != last || days.is_some() && !one_month {
                return None;
            }
            let date =
                |year, month, day| Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok();
            let (from_month, to_month) = months.unwrap_or((1, 12));
            let from = date(first, from_month, days.map_or(1, |(from, _)| from))?;
            let end = date(last, to_month, 1)?.last_of_month();
            // A day that the month has not is its last.
            let end = days.and_then(|(_, to)| date(last, to_month, to)).unwrap_or(end);
            Some((from, end.tomorrow().ok()?))
        };
        let why = || {
            format!(
                "recurs by the calendar ({}), which hours on days of the week cannot say",
                said.join("; ")
            )
        };
        dates().map(Some).ok_or_else(why)
    }
}

impl Week {
    /// Its hours, day by day, and what of them is left out. Those of several days are said once.
    ///
    /// # Errors
    /// When they never end, or would be more in a night in which clocks go back.
    fn stretches(&self, now: Timestamp) -> Result<(Vec<Stretch>, Option<String>), String> {
        if self.span.is_none() && !self.minutes.contains(&false) {
            return Err("is at every hour, and nobody would ever be paged".into());
        }
        let less = self.where_clocks_go_back(now)?;
        let mut hours: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for day in 0..7 {
            let of_day = &self.minutes[day * DAY..(day + 1) * DAY];
            let mut at = 0;
            for run in of_day.chunk_by(|a, b| a == b) {
                if run[0] {
                    hours.entry((at, at + run.len())).or_default().push(day);
                }
                at += run.len();
            }
        }
        let every = || hours.iter().filter(|(_, days)| days.len() == 7).map(|(at, _)| *at);
        let evening = every().find(|(from, to)| *from > 0 && *to == DAY);
        let morning = every().find(|(from, to)| *from == 0 && *to < DAY);
        if let (Some(evening), Some(morning)) = (evening, morning) {
            hours.remove(&evening);
            hours.remove(&morning);
            hours.insert((evening.0, morning.1), (0..7).collect());
        }
        let time = |at: usize| format!("{:02}:{:02}", at / 60, at % 60);
        let midnight = |date: Date| format!("{date} 00:00");
        let stretch = |((from, to), days): ((usize, usize), Vec<usize>)| Stretch {
            hours: ((from, to) != (0, DAY)).then(|| format!("{}-{}", time(from), time(to))),
            days: if days.len() == 7 { vec![] } else { days.iter().map(|day| DAYS[*day].into()).collect() },
            zone: self.zone.clone(),
            from: self.span.map(|(from, _)| midnight(from)),
            until: self.span.map(|(_, until)| midnight(until)),
        };
        Ok((hours.into_iter().map(stretch).collect(), less))
    }

    /// Where the clock shows an hour twice, Alertmanager has it twice, and tocsin goes from the first of what begins to the
    /// first of what ends: less if it ends in that hour, and more if it begins there.
    fn where_clocks_go_back(&self, now: Timestamp) -> Result<Option<String>, String> {
        let Some(zone) = Zone::named(&self.zone) else { return Ok(None) };
        let Ok(from) = jiff::Timestamp::from_millisecond(now.as_ms()) else { return Ok(None) };
        let mut offset = zone.inner().to_offset(from);
        let mut less = None;
        for change in zone.inner().following(from) {
            let at = Timestamp::EPOCH.plus_ms(change.timestamp().as_millisecond());
            if at.since_ms(now) > YEARS_MS {
                break;
            }
            let back = usize::try_from((offset.seconds() - change.offset().seconds()) / 60).unwrap_or(0);
            offset = change.offset();
            let (minute, day) = zone.time_of_week(at);
            let first = usize::from(day) * DAY + usize::from(minute);
            for i in first..first + back.saturating_sub(1) {
                let (before, after) = (self.minutes[i % (7 * DAY)], self.minutes[(i + 1) % (7 * DAY)]);
                if after && !before {
                    return Err(format!(
                        "begins in an hour that clocks of {} show twice when they go back, and would last longer then",
                        self.zone
                    ));
                }
                if before && !after {
                    less = Some(format!(
                        "ends in an hour that clocks of {} show twice when they go back: here the first time, and not again the second",
                        self.zone
                    ));
                }
            }
        }
        Ok(less)
    }
}

/// `20:00` to `24:00` in minutes since midnight.
fn minutes(times: &Times) -> Result<(usize, usize), String> {
    let Times { start_time, end_time } = times;
    let clock = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let digits = |t: &str| (t.len() == 2).then(|| t.parse::<usize>().ok()).flatten();
        let (hour, minute) = (digits(hour)?, digits(minute)?);
        (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
    };
    let span = clock(start_time).zip(clock(end_time)).filter(|(from, to)| from < to);
    span.ok_or_else(|| format!("{start_time:?} to {end_time:?} are no times of a day"))
}

/// `monday:friday`, or one day. The first is Monday here, and Sunday in such a range.
fn weekdays(text: &str) -> Result<Vec<usize>, String> {
    const NAMES: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let number = |text: &str| {
        let at = NAMES.iter().position(|name| text.eq_ignore_ascii_case(name))?;
        i16::try_from(at).ok()
    };
    let (from, to) = range(text, number).ok_or_else(|| format!("{text:?} are no days of the week"))?;
    Ok((from..=to).filter_map(|day| usize::try_from((day + 6) % 7).ok()).collect())
}

fn month(text: &str) -> Option<i16> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let named = NAMES.iter().position(|name| text.eq_ignore_ascii_case(name)).map(|at| at + 1);
    let number = named.or_else(|| text.parse().ok())?;
    i16::try_from(number).ok().filter(|month| (1..=12).contains(month))
}

/// `2:5` or `2`, both ends included.
fn range(text: &str, number: impl Fn(&str) -> Option<i16>) -> Option<(i16, i16)> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let (from, to) = (number(from.trim())?, number(to.trim())?);
    (from <= to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().expect("an instant")
    }

    fn said(stretch: &Stretch) -> String {
        let Stretch { hours, days, zone, from, until } = stretch;
        let said = [hours.clone(), Some(days.join(",")), Some(zone.clone()), from.clone(), until.clone()];
        said.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn intervals_are_hours_on_days() {
        for (intervals, want) in [
            (
                json!([{"times": [{"start_time": "20:00", "end_time": "24:00"}], "location": "Europe/Berlin"}]),
                vec!["20:00-24:00 Europe/Berlin"],
            ),
            // Over midnight, where it is each night.
            (
                json!([{"times": [{"start_time": "22:00", "end_time": "24:00"}, {"start_time": "00:00", "end_time": "06:30"}]}]),
                vec!["22:00-06:30 UTC"],
            ),
            (
                json!([
                    {"times": [{"start_time": "17:00", "end_time": "24:00"}], "weekdays": ["monday:thursday"]},
                    {"weekdays": ["Saturday", "sunday"]},
                    {"weekdays": ["sunday:monday"], "times": [{"start_time": "00:00", "end_time": "09:00"}]},
                ]),
                vec!["00:00-09:00 mon UTC", "sat,sun UTC", "17:00-24:00 mon,tue,wed,thu UTC"],
            ),
            (
                json!([{"years": [2026], "months": ["december"], "days_of_month": ["24:31"]}]),
                vec!["UTC 2026-12-24 00:00 2027-01-01 00:00"],
            ),
            (
                json!([{"years": ["2026"], "months": ["2"], "days_of_month": ["20:31"], "weekdays": ["friday"]}]),
                vec!["fri UTC 2026-02-20 00:00 2026-03-01 00:00"],
            ),
            (json!([{"years": ["2026:2027"]}]), vec!["UTC 2026-01-01 00:00 2028-01-01 00:00"]),
            (
                json!([{"years": ["2026"], "months": ["june:august"]}]),
                vec!["UTC 2026-06-01 00:00 2026-09-01 00:00"],
            ),
            // A list without an entry is never.
            (json!([{"times": []}]), vec![]),
        ] {
            let (stretches, unsaid) = within(intervals.as_array().expect("a list"), now());
            assert_eq!(unsaid, Vec::<String>::new(), "{intervals}");
            assert_eq!(stretches.iter().map(said).collect::<Vec<_>>(), want, "{intervals}");
        }
    }

    #[test]
    fn what_no_hours_of_a_week_say_is_refused() {
        for (interval, words) in [
            (json!({"days_of_month": ["1:5"]}), "days_of_month: 1:5"),
            (json!({"months": ["december"]}), "months: december"),
            (
                json!({"years": ["2026"], "months": ["may"], "days_of_month": ["-3:-1"]}),
                "days_of_month: -3:-1",
            ),
            (json!({"years": ["2026"], "months": ["may", "july"]}), "months: may, july"),
            (json!({"years": ["2026", "2028"]}), "years"),
            (json!({"years": ["2026:2027"], "months": ["may"]}), "calendar"),
            (json!({"years": ["2026"], "months": ["april"], "days_of_month": ["31"]}), "calendar"),
            (json!({}), "every hour"),
            (json!({"weekdays": ["sunday:saturday"]}), "every hour"),
            (json!({"weekdays": ["friday:monday"]}), "no days of the week"),
            (json!({"times": [{"start_time": "22:00", "end_time": "06:00"}]}), "no times of a day"),
            (json!({"weekdays": ["monday"], "location": "Local"}), "clock of the machine"),
            (json!({"weekdays": ["monday"], "location": "Europe/Atlantis"}), "Atlantis"),
            (json!({"weekdays": ["monday"], "holidays": ["de"]}), "has holidays"),
            (json!({"weekdays": "monday"}), "not written as is known"),
        ] {
            let (stretches, unsaid) = within([&interval], now());
            assert_eq!(stretches, [], "{interval}");
            assert!(unsaid.len() == 1 && unsaid[0].contains(words), "{interval}: {unsaid:?}");
        }
    }

    #[test]
    fn what_is_outside_of_intervals() {
        let office =
            json!({"weekdays": ["monday:friday"], "times": [{"start_time": "09:00", "end_time": "17:00"}]});
        let saturday = json!({"weekdays": ["saturday"]});
        let (stretches, less) = outside([&office, &saturday], now()).expect("said");
        let got: Vec<_> = stretches.iter().map(said).collect();
        assert_eq!(
            got,
            ["00:00-09:00 mon,tue,wed,thu,fri UTC", "sun UTC", "17:00-24:00 mon,tue,wed,thu,fri UTC"]
        );
        assert_eq!(less, None);
        assert_eq!(outside([&json!({})], now()), Ok((vec![], None)));
        let berlin = json!({"weekdays": ["saturday"], "location": "Europe/Berlin"});
        for (intervals, words) in [
            (vec![&office, &berlin], "at once"),
            (vec![&json!({"years": ["2026"]})], "at some dates"),
            (vec![&json!({"times": []})], "every hour"),
            (vec![&json!({"days_of_month": [1]})], "days_of_month: 1"),
        ] {
            let why = outside(intervals, now()).expect_err(words);
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn hours_that_clocks_show_twice() {
        // In Berlin 02:00 to 03:00, on Sundays.
        let of = |from: &str, to: &str, days: &str| {
            let times = json!([{"start_time": from, "end_time": to}]);
            let interval = json!({"times": times, "weekdays": [days], "location": "Europe/Berlin"});
            let (stretches, unsaid) = within([&interval], now());
            (stretches.len(), unsaid.join(""))
        };
        for (from, to, days, want, words) in [
            ("02:00", "05:00", "sunday:saturday", 1, ""),
            ("02:30", "05:00", "monday:saturday", 1, ""),
            ("02:30", "05:00", "sunday", 0, "begins in an hour"),
            ("01:00", "02:30", "sunday", 1, "ends in an hour"),
            ("01:00", "03:00", "sunday", 1, ""),
        ] {
            let (stretches, unsaid) = of(from, to, days);
            assert_eq!(stretches, want, "{from} to {to}, {days}");
            assert!(
                unsaid.contains(words) && unsaid.is_empty() == words.is_empty(),
                "{from} to {to}: {unsaid}"
            );
        }
    }
}
