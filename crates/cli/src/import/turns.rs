//! Rotations of other pagers in the words of a schedule: turns, hand-overs, hours of the week.

use escalate::config::{HoursConfig, LayerConfig, TurnConfig};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use wire::{Timestamp, Zone};

use super::moved::once;

/// Minutes of a day and of a week.
pub(super) const DAY: u32 = 1440;
pub(super) const WEEK: u32 = 7 * DAY;
/// Monday first.
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Most turns of a layer.
pub(super) const TURNS_MAX: usize = 200;

/// From a minute of the week, counted from Monday's midnight, for so many minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub start: u32,
    pub minutes: u32,
}

/// The part of a layer that all its forms share.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub name: String,
    pub level: u8,
    pub from: Option<String>,
    pub until: Option<String>,
}

impl Bounds {
    /// A layer within these bounds.
    pub(super) fn layer(
        &self,
        turns: &[Vec<String>],
        turn: impl Into<String>,
        handover: DateTime,
        only: Vec<HoursConfig>,
    ) -> LayerConfig {
        LayerConfig {
            name: Some(self.name.clone()),
            level: self.level,
            people: shortest(turns).iter().map(|turn| one_turn(turn)).collect(),
            turn: turn.into(),
            handover: written(handover),
            from: self.from.clone(),
            until: self.until.clone(),
            only,
        }
    }

    /// Turns of so many hours that go by the clock: 08:00 stays 08:00 when summer time ends. One layer for each time
    /// of day at which somebody takes over. `hours` divides 24.
    pub(super) fn by_the_clock(
        &self,
        groups: &[Vec<String>],
        hours: u32,
        handover: DateTime,
    ) -> Vec<LayerConfig> {
        let a_day = usize::try_from(24 / hours).unwrap_or(1);
        if a_day == 1 {
            return vec![self.layer(groups, "1 day", handover, vec![])];
        }
        let of = |nth: usize| {
            let hour = i64::try_from(nth).unwrap_or(0) * i64::from(hours);
            let handover = handover.checked_add(hour.hours()).unwrap_or(handover);
            let start = minute_of(handover);
            let turns: Vec<_> =
                (0..groups.len()).map(|day| groups[(day * a_day + nth) % groups.len()].clone()).collect();
            let window =
                HoursConfig { hours: Some(span(start, start + hours * 60)), ..HoursConfig::default() };
            let bounds = Self { name: format!("{} {}", self.name, clock(start)), ..self.clone() };
            bounds.layer(&turns, "1 day", handover, vec![window])
        };
        (0..a_day).map(of).collect()
    }
}

/// A list that comes again and again, as short as it can be.
fn shortest(turns: &[Vec<String>]) -> &[Vec<String>] {
    let whole = turns.len();
    let length =
        (1..=whole).find(|n| whole.is_multiple_of(*n) && turns.chunks(*n).all(|c| c == &turns[..*n]));
    &turns[..length.unwrap_or(whole)]
}

fn one_turn(people: &[String]) -> TurnConfig {
    match once(people.to_vec()).as_slice() {
        [one] => TurnConfig::One(one.clone()),
        several => TurnConfig::Several(several.to_vec()),
    }
}

/// `2026-03-02 09:00`.
pub(super) fn written(at: DateTime) -> String {
    let format = if at.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    at.strftime(format).to_string()
}

/// An instant as the zone's calendar and clock show it.
pub(super) fn shown(at: Timestamp, zone: &Zone) -> String {
    written(zone.civil_at(at))
}

/// That something begins, if it has not begun yet: what is past needs no bound.
pub(super) fn to_come(at: Timestamp, now: Timestamp, zone: &Zone) -> Option<String> {
    (at > now).then(|| shown(at, zone))
}

pub(super) fn minute_of(at: DateTime) -> u32 {
    u32::from(at.hour().unsigned_abs()) * 60 + u32::from(at.minute().unsigned_abs())
}

/// Days since Monday.
pub(super) fn weekday_of(date: Date) -> u32 {
    u32::from(date.weekday().to_monday_zero_offset().unsigned_abs())
}

/// `1 week`, `2 weeks`.
pub(super) fn turn(count: u32, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// The day of the week that begins with these letters: `MO`, `monday`.
pub(super) fn weekday(text: &str) -> Option<u32> {
    let start = text.get(..2)?.to_ascii_lowercase();
    DAYS.iter().position(|day| day.starts_with(&start)).and_then(|day| u32::try_from(day).ok())
}

pub(super) fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// `22:00-06:00`.
pub(super) fn span(from: u32, to: u32) -> String {
    let to = if to > DAY { to - DAY } else { to };
    format!("{}-{}", clock(from), clock(to))
}

/// Hours and days that are these windows, each of the day on which it begins. Empty if they are the whole week.
pub(super) fn only(windows: &[Window]) -> Vec<HoursConfig> {
    let mut week = vec![false; WEEK as usize];
    for Window { start, minutes } in windows {
        for minute in *start..start + (*minutes).min(WEEK) {
            week[(minute % WEEK) as usize] = true;
        }
    }
    if week.iter().all(|on| *on) {
        return vec![];
    }
    let mut runs: Vec<Vec<(u32, u32)>> = (0..7).map(|day| runs_of(&week, day)).collect();
    // An evening that goes on in the morning is one span, where it is shorter than a day.
    for day in 0..7 {
        let next = (day + 1) % 7;
        let evening = runs[day].last().copied().filter(|(from, to)| *to == DAY && *from > 0);
        let morning = runs[next].first().copied().filter(|(from, to)| *from == 0 && *to < DAY);
        if let (Some((from, _)), Some((_, to))) = (evening, morning)
            && to < from
        {
            runs[next].remove(0);
            let last = runs[day].len() - 1;
            runs[day][last].1 = DAY + to;
        }
    }
    let mut spans: Vec<(u32, u32)> = runs.iter().flatten().copied().collect();
    spans.sort_unstable();
    spans.dedup();
    let hours = |(from, to): (u32, u32)| {
        let days: Vec<_> =
            (0..7).filter(|day| runs[*day].contains(&(from, to))).map(|day| DAYS[day].to_owned()).collect();
        HoursConfig {
            hours: ((from, to) != (0, DAY)).then(|| span(from, to)),
            days: if days.len() == 7 { vec![] } else { days },
            holidays: None,
        }
    };
    spans.into_iter().map(hours).collect()
}

/// From and to, in minutes of the day.
fn runs_of(week: &[bool], day: usize) -> Vec<(u32, u32)> {
    let mut runs = Vec::new();
    let mut open = None;
    for minute in 0..=DAY {
        let on = minute < DAY && week[day * DAY as usize + minute as usize];
        match (on, open) {
            (true, None) => open = Some(minute),
            (false, Some(from)) => {
                runs.push((from, minute));
                open = None;
            }
            (true, Some(_)) | (false, None) => (),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u32, hour: u32, minutes: u32) -> Window {
        Window { start: day * DAY + hour * 60, minutes }
    }

    #[test]
    fn windows_become_hours_and_days() {
        let said = |windows: &[Window]| {
            let of =
                |h: &HoursConfig| format!("{} {}", h.hours.as_deref().unwrap_or("all day"), h.days.join(","));
            only(windows).iter().map(of).collect::<Vec<_>>()
        };
        let nights: Vec<_> = (0..7).map(|day| at(day, 20, 720)).collect();
        for (name, windows, want) in [
            ("a whole week", vec![at(0, 9, WEEK)], vec![]),
            ("office", (0..5).map(|d| at(d, 9, 480)).collect(), vec!["09:00-17:00 mon,tue,wed,thu,fri"]),
            ("a night", vec![at(4, 22, 480)], vec!["22:00-06:00 fri"]),
            ("every night", nights, vec!["20:00-08:00 "]),
            (
                "a weekend",
                vec![at(4, 17, 64 * 60)],
                vec!["00:00-09:00 mon", "all day sat,sun", "17:00-24:00 fri"],
            ),
            ("a day from eight to eight", vec![at(0, 8, DAY)], vec!["00:00-08:00 tue", "08:00-24:00 mon"]),
        ] {
            assert_eq!(said(&windows), want, "{name}");
        }
    }

    #[test]
    fn turns_of_hours_go_by_the_clock() {
        let groups: Vec<Vec<String>> = ["a", "b", "c"].iter().map(|p| vec![(*p).to_owned()]).collect();
        let bounds = Bounds { name: "r".into(), ..Bounds::default() };
        let handover = "2026-03-02 20:00".parse().expect("a time");
        let layers = bounds.by_the_clock(&groups, 12, handover);
        let said: Vec<_> = layers
            .iter()
            .map(|l| {
                let people: Vec<_> = l.people.iter().flat_map(|t| t.people().to_vec()).collect();
                (l.handover.as_str(), l.only[0].hours.as_deref().unwrap_or_default(), people.join(""))
            })
            .collect();
        // a at night, b by day, c at night, a by day, …
        let want = [
            ("2026-03-02 20:00", "20:00-08:00", "acb".to_owned()),
            ("2026-03-03 08:00", "08:00-20:00", "bac".to_owned()),
        ];
        assert_eq!(said, want);
        assert_eq!(bounds.by_the_clock(&groups, 24, handover).len(), 1);
    }
}
