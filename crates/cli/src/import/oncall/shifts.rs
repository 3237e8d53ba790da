//! Shifts of Grafana OnCall: events of a calendar that recur (RFC 5545), with people who take them in turn.

use std::collections::BTreeMap;

use escalate::config::{HoursConfig, LayerConfig, OverrideConfig, ScheduleConfig};
use jiff::ToSpan as _;
use jiff::civil::DateTime;
use serde::Deserialize;
use serde_json::Value;
use wire::{Timestamp, Zone};

use super::Known;
use crate::import::moved::{Names, once};
use crate::import::turns::{
    Bounds, DAY, TURNS_MAX, WEEK, Window, minute_of, only, to_come, turn, weekday, weekday_of, written,
};

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Shift {
    pub(super) id: String,
    pub(super) name: String,
    r#type: String,
    time_zone: Option<String>,
    level: Option<u8>,
    start: String,
    rotation_start: Option<String>,
    /// Seconds.
    duration: u64,
    frequency: Option<String>,
    interval: Option<u32>,
    until: Option<String>,
    week_start: Option<String>,
    by_day: Option<Vec<String>>,
    by_month: Option<Vec<Value>>,
    by_monthday: Option<Vec<Value>>,
    users: Option<Vec<String>>,
    rolling_users: Option<Vec<Vec<String>>>,
    start_rotation_from_user_index: Option<usize>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// A shift with its times read, on the clock of its schedule.
struct Read<'a> {
    shift: &'a Shift,
    start: DateTime,
    /// Minutes.
    length: u32,
    interval: u32,
    groups: Vec<Vec<String>>,
    bounds: Bounds,
}

/// When a shift is.
struct Times {
    start: Timestamp,
    /// It has an end, and does not recur.
    once: bool,
    /// From when it counts.
    begins: Timestamp,
    until: Option<Timestamp>,
}

impl Times {
    fn of(shift: &Shift, zone: &Zone) -> Option<Self> {
        let civil = |text: &str| text.parse::<DateTime>().ok().map(|at| zone.first(at));
        let start = civil(&shift.start).filter(|_| shift.duration >= 60)?;
        let once = matches!(shift.r#type.as_str(), "single_event" | "override");
        let ms = i64::try_from(shift.duration).ok()?.checked_mul(1000)?;
        let until = if once { Some(start.plus_ms(ms)) } else { shift.until.as_deref().and_then(civil) };
        let begins = shift.rotation_start.as_deref().and_then(civil).map_or(start, |at| at.max(start));
        Some(Self { start, once, begins, until })
    }
}

/// Adds an override; those of the same time are one.
fn over(config: &mut ScheduleConfig, from: String, until: String, people: Vec<String>) {
    match config.overrides.iter_mut().find(|o| (&o.from, &o.until) == (&from, &until)) {
        Some(same) => same.people = once([same.people.clone(), people].concat()),
        None => config.overrides.push(OverrideConfig { from, until, people, ..OverrideConfig::default() }),
    }
}

/// Why a shift is no layer.
type Odd = &'static str;

/// The zone that most shifts are in; `own` is that of those that name none.
pub(super) fn common_zone(shifts: &[Shift], own: &str) -> String {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for shift in shifts {
        *count.entry(shift.time_zone.as_deref().unwrap_or(own)).or_default() += 1;
    }
    let most = count.into_iter().max_by_key(|(zone, n)| (*n, *zone == own));
    most.map_or(own, |(zone, _)| zone).to_owned()
}

impl Known {
    /// Adds a shift to a schedule in `zone`; shifts without a zone are in `own`.
    pub(super) fn shift(
        &mut self,
        file: &str,
        schedule: &str,
        shift: &Shift,
        (zone, own): (&Zone, &str),
        config: &mut ScheduleConfig,
        names: &mut Names,
    ) {
        const BY_HAND: &str = "write a [[schedule.NAME.layer]] for it";
        let what = format!("schedule {schedule}, shift {}", shift.name);
        let its = self.its_zone(file, &what, shift, zone, own);
        let Some(times) = Times::of(shift, &its) else {
            self.moved.left(file, what, "has no start or no length", BY_HAND);
            return;
        };
        if times.until.is_some_and(|until| until <= self.now) {
            let what = format!("schedule {schedule}");
            self.moved.left(file, what, "shifts that are over were left out", "nothing");
            return;
        }
        let groups = self.groups(file, &what, shift);
        if groups.iter().all(Vec::is_empty) {
            self.moved.left(file, what, "the answer names nobody who has it", BY_HAND);
            return;
        }
        let shown = |at: Timestamp| written(zone.civil_at(at));
        let until = times.until.map(shown);
        if shift.r#type == "override" {
            over(config, shown(times.start), until.unwrap_or_default(), groups.concat());
            return;
        }
        let from = if times.once { Some(shown(times.start)) } else { to_come(times.begins, self.now, zone) };
        let bounds = Bounds { name: names.take(&shift.name), level: shift.level.unwrap_or(0), from, until };
        let read = Read {
            shift,
            start: zone.civil_at(times.start),
            length: u32::try_from(shift.duration / 60).unwrap_or(u32::MAX),
            interval: shift.interval.unwrap_or(1).max(1),
            groups,
            bounds,
        };
        match read.layers(times.once) {
            Ok(layers) => {
                if let Some(why) = read.remark() {
                    let instead = "look at `tocsin oncall --days 60`, and write its turns by hand";
                    self.moved.left(file, what, why, instead);
                }
                config.layer.extend(layers);
            }
            Err(why) => self.moved.left(file, what, why, BY_HAND),
        }
    }

    /// The zone of its times.
    fn its_zone(&mut self, file: &str, what: &str, shift: &Shift, zone: &Zone, own: &str) -> Zone {
        self.moved.not_known(file, what, &shift.rest, &["team_id", "source"]);
        let named = shift.time_zone.as_deref().unwrap_or(own);
        let its = Zone::named(named).unwrap_or_else(|| zone.clone());
        if its != *zone {
            let why = format!(
                "is in {named}, and the others in {zone:?}: where these change their clocks on different days, it is off by an hour between"
            );
            self.moved.left(file, what, why, "nothing, or a schedule of its own in that zone");
        }
        its
    }

    /// Who takes turns, from whoever is first.
    fn groups(&mut self, file: &str, what: &str, shift: &Shift) -> Vec<Vec<String>> {
        let rolling = shift.rolling_users.clone().filter(|groups| !groups.is_empty());
        let mut ids = rolling.unwrap_or_else(|| vec![shift.users.clone().unwrap_or_default()]);
        let first = shift.start_rotation_from_user_index.unwrap_or(0) % ids.len().max(1);
        ids.rotate_left(first);
        let known = ids.iter().flatten().all(|id| self.people.contains_key(id));
        if !known {
            let why = "somebody has it who is not among the users of these files";
            self.moved.left(file, what, why, "give all pages of the users too");
        }
        ids.iter().map(|group| self.of_people(group)).collect()
    }
}

impl Read<'_> {
    fn layers(&self, once: bool) -> Result<Vec<LayerConfig>, Odd> {
        let Shift { by_month, by_monthday, frequency, .. } = self.shift;
        let says = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
        if once {
            return Ok(vec![self.bounds.layer(&self.groups, "1 week", self.start, vec![])]);
        }
        if says(by_month) || says(by_monthday) {
            return Err("recurs on some months or days of a month only, which a layer cannot say");
        }
        if self.interval > 1000 || self.length > 1000 * WEEK {
            return Err("is longer than a layer can say");
        }
        let days = self.days()?;
        match (frequency.as_deref(), days.is_empty()) {
            (Some("hourly"), true) => self.hourly(),
            (Some("daily"), true) => self.daily(),
            (Some("daily"), false) => self.daily_on(&days),
            (Some("weekly"), _) => self.weekly(&days),
            (Some("monthly"), true) => self.monthly(),
            _ => Err("recurs in a way that a layer cannot say"),
        }
    }

    /// What of a layer is not quite as it was.
    fn remark(&self) -> Option<Odd> {
        match self.shift.frequency.as_deref() {
            Some("monthly") => Some(
                "lasts from one hand-over to the next here, whatever the month, and always the same number of days there",
            ),
            Some("hourly") if !self.interval.is_multiple_of(24) && !24u32.is_multiple_of(self.interval) => {
                Some(
                    "has its hours counted here, so its hand-overs move by an hour on the clock when summer time begins or ends",
                )
            }
            _ => None,
        }
    }

    /// Days of the week that it is on, from Monday.
    fn days(&self) -> Result<Vec<u32>, Odd> {
        let days = self.shift.by_day.iter().flatten().map(|day| weekday(day).filter(|_| day.len() == 2));
        let days = days.collect::<Option<Vec<_>>>();
        days.ok_or("is on the first or last such day of a month, which a layer cannot say")
    }

    fn hourly(&self) -> Result<Vec<LayerConfig>, Odd> {
        if self.length != self.interval * 60 {
            return Err("is shorter or longer than the hours between its turns");
        }
        if self.interval.is_multiple_of(24) {
            let turn = turn(self.interval / 24, "day");
            return Ok(vec![self.bounds.layer(&self.groups, turn, self.start, vec![])]);
        }
        if !24u32.is_multiple_of(self.interval) {
            let turn = turn(self.interval, "hour");
            return Ok(vec![self.bounds.layer(&self.groups, turn, self.start, vec![])]);
        }
        Ok(self.bounds.by_the_clock(&self.groups, self.interval, self.start))
    }

    /// Every few days for so long. What is between is a turn of nobody.
    fn daily(&self) -> Result<Vec<LayerConfig>, Odd> {
        let each = self.interval;
        if self.length == each * DAY {
            let turn = if each.is_multiple_of(7) { turn(each / 7, "week") } else { turn(each, "day") };
            return Ok(vec![self.bounds.layer(&self.groups, turn, self.start, vec![])]);
        }
        let (taken, hours) = self.slots(each)?;
        let turns = self.spread(taken, each)?;
        Ok(vec![self.bounds.layer(&turns, "1 day", self.start, hours)])
    }

    /// How many days of each turn it takes, and in which hours of them.
    fn slots(&self, each: u32) -> Result<(u32, Vec<HoursConfig>), Odd> {
        if self.length < DAY {
            let windows: Vec<_> = (0..7).map(|day| self.window(day)).collect();
            return Ok((1, only(&windows)));
        }
        if self.length > each * DAY {
            return Err("is longer than the time between its turns, so turns overlap");
        }
        if !self.length.is_multiple_of(DAY) {
            return Err("is longer than a day and no whole number of them");
        }
        Ok((self.length / DAY, vec![]))
    }

    fn window(&self, day: u32) -> Window {
        Window { start: day * DAY + minute_of(self.start), minutes: self.length }
    }

    /// Each turn in slots of one unit: so many of them taken, the rest nobody's.
    fn spread(&self, taken: u32, of: u32) -> Result<Vec<Vec<String>>, Odd> {
        let slot = |group: &Vec<String>, n: u32| if n < taken { group.clone() } else { vec![] };
        let slots: Vec<_> =
            self.groups.iter().flat_map(|group| (0..of).map(move |n| slot(group, n))).collect();
        if slots.len() > TURNS_MAX {
            Err("has more turns before it begins anew than a layer takes")
        } else {
            Ok(slots)
        }
    }

    /// Of the days of the week that count, each few are somebody's, then the next few somebody else's.
    fn daily_on(&self, days: &[u32]) -> Result<Vec<LayerConfig>, Odd> {
        if self.length > DAY {
            return Err("is longer than a day, on some days of the week");
        }
        let (each, groups) = (self.interval as usize, self.groups.len());
        if groups == 1 && each > 1 && self.shift.r#type == "recurrent_event" {
            return Err("recurs every few days on some days of the week, which a layer cannot say");
        }
        let first = (0..7).find(|n| days.contains(&((weekday_of(self.start.date()) + n) % 7))).unwrap_or(0);
        let start = self.start.checked_add(i64::from(first).days()).unwrap_or(self.start);
        let weeks = (1..).find(|weeks| (weeks * days.len()).is_multiple_of(each * groups)).unwrap_or(1);
        if weeks * 7 > TURNS_MAX {
            return Err("has more turns before it begins anew than a layer takes");
        }
        let (mut counted, mut turns) = (0, Vec::new());
        for day in (0u32..).take(weeks * 7) {
            if days.contains(&((weekday_of(start.date()) + day) % 7)) {
                turns.push(self.groups[counted / each % groups].clone());
                counted += 1;
            } else {
                turns.push(vec![]);
            }
        }
        let hours = if self.length < DAY { self.slots(1)?.1 } else { vec![] };
        Ok(vec![self.bounds.layer(&turns, "1 day", start, hours)])
    }

    /// The days of a week are one group's; the next group has the next week, or the week after the next.
    fn weekly(&self, days: &[u32]) -> Result<Vec<LayerConfig>, Odd> {
        let own = weekday_of(self.start.date());
        let days = if days.is_empty() { vec![own] } else { days.to_vec() };
        let week_start = self.shift.week_start.as_deref().and_then(weekday).unwrap_or(6);
        let into = |day: u32| (day + 7 - week_start) % 7;
        let Some(first) = days.iter().copied().min_by_key(|day| into(*day)) else {
            return Err("has no days");
        };
        // A start on a day that is none of its days moves to the first of them that comes; its first week is that of
        // its start.
        let to_first = if days.contains(&own) {
            i64::from(into(first)) - i64::from(into(own))
        } else {
            i64::from((first + 7 - own) % 7)
        };
        let handover = self.start.checked_add(to_first.days()).unwrap_or(self.start);
        let weeks = self.interval;
        if days.len() == 1 && self.length.is_multiple_of(WEEK) && self.length <= weeks * WEEK {
            let turns = self.spread(self.length / WEEK, weeks)?;
            let (turns, turn) = if self.length == weeks * WEEK {
                (self.groups.clone(), turn(weeks, "week"))
            } else {
                (turns, "1 week".into())
            };
            return Ok(vec![self.bounds.layer(&turns, turn, handover, vec![])]);
        }
        let last = days.iter().map(|day| (into(*day) + 7 - into(first)) % 7 * DAY).max().unwrap_or(0);
        if last + self.length > WEEK {
            return Err("reaches into the next of its weeks, so turns overlap");
        }
        let windows: Vec<_> = days.iter().map(|day| self.window(*day)).collect();
        let hours = only(&windows);
        if weeks == 1 {
            return Ok(vec![self.bounds.layer(&self.groups, "1 week", handover, hours)]);
        }
        let turns = self.spread(1, weeks)?;
        Ok(vec![self.bounds.layer(&turns, "1 week", handover, hours)])
    }

    fn monthly(&self) -> Result<Vec<LayerConfig>, Odd> {
        if self.length < 28 * DAY || self.start.day() > 28 {
            return Err(
                "is shorter than the months between its turns, or begins on a day that some have not",
            );
        }
        let turn = turn(self.interval, "month");
        Ok(vec![self.bounds.layer(&self.groups, turn, self.start, vec![])])
    }
}
