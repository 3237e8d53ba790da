//! A rotation of an Opsgenie schedule. All of them are of one level.

use std::collections::BTreeMap;

use escalate::config::{HoursConfig, LayerConfig};
use serde::Deserialize;
use serde_json::Value;
use wire::{Timestamp, Zone};

use super::{Known, Named};
use crate::import::moved::Names;
use crate::import::turns::{Bounds, DAY, TURNS_MAX, WEEK, Window, only, shown, to_come, turn, weekday};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rotation {
    #[serde(default)]
    name: String,
    start_date: String,
    end_date: Option<String>,
    r#type: String,
    length: Option<u32>,
    participants: Vec<Named>,
    time_restriction: Option<Restrictions>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// `time-of-day` has one of them, `weekday-and-time-of-day` a list.
#[derive(Debug, Deserialize)]
struct Restrictions {
    restriction: Option<Restriction>,
    restrictions: Option<Vec<Restriction>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Restriction {
    start_day: Option<String>,
    end_day: Option<String>,
    #[serde(default)]
    start_hour: u32,
    #[serde(default)]
    start_min: u32,
    #[serde(default)]
    end_hour: u32,
    #[serde(default)]
    end_min: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Restriction {
    /// From its first minute until its last, through all days between: Friday 17:00 to Monday 09:00 is one stretch.
    fn windows(&self) -> Option<Vec<Window>> {
        let (from, to) = (self.start_hour * 60 + self.start_min, self.end_hour * 60 + self.end_min);
        if from >= DAY || to > DAY {
            return None;
        }
        match (&self.start_day, &self.end_day) {
            (None, None) => {
                let minutes = if from == to { DAY } else { (to + DAY - from) % DAY };
                let minutes = if minutes == 0 { DAY } else { minutes };
                Some((0..7).map(|day| Window { start: day * DAY + from, minutes }).collect())
            }
            (Some(start), Some(end)) => {
                let (start, end) = (weekday(start)? * DAY + from, weekday(end)? * DAY + to);
                let minutes = (end + WEEK - start) % WEEK;
                Some(vec![Window { start, minutes: if minutes == 0 { WEEK } else { minutes } }])
            }
            (Some(_), None) | (None, Some(_)) => None,
        }
    }
}

impl Restrictions {
    fn all(&self) -> impl Iterator<Item = &Restriction> {
        self.restriction.iter().chain(self.restrictions.iter().flatten())
    }

    /// `None` if one of them is not as is known.
    fn only(&self) -> Option<Vec<HoursConfig>> {
        let windows = self.all().map(Restriction::windows).collect::<Option<Vec<_>>>()?.concat();
        Some(if windows.is_empty() { vec![] } else { only(&windows) })
    }
}

impl Known {
    pub(super) fn rotation(
        &mut self,
        file: &str,
        schedule: &str,
        rotation: &Rotation,
        zone: &Zone,
        names: &mut Names,
    ) -> Vec<LayerConfig> {
        let what = format!("schedule {schedule}, rotation {}", rotation.name);
        self.rotation_not_known(file, &what, rotation);
        let hours = rotation.time_restriction.as_ref().map_or(Some(vec![]), Restrictions::only);
        let start = rotation.start_date.parse::<Timestamp>();
        let end = rotation.end_date.as_deref().map(str::parse::<Timestamp>).transpose();
        let (Some(only), Ok(start), Ok(end)) = (hours, start, end) else {
            let why = "has times that are not written as is known";
            self.moved.left(file, what, why, "write a [[schedule.NAME.layer]] for it");
            return vec![];
        };
        if end.is_some_and(|end| end <= self.now) {
            self.moved.left(file, what, "is over, and was left out", "nothing");
            return vec![];
        }
        let groups: Vec<_> = rotation.participants.iter().map(|p| self.participant(file, &what, p)).collect();
        if groups.iter().all(Vec::is_empty) || groups.len() > TURNS_MAX {
            let why = format!("nobody takes turns in it, or more than {TURNS_MAX} do");
            self.moved.left(file, what, why, "write a [[schedule.NAME.layer]] for it");
            return vec![];
        }
        let length = rotation.length.unwrap_or(1).max(1);
        let handover = zone.civil_at(start);
        let bounds = Bounds {
            name: names.take(&rotation.name),
            level: 0,
            from: to_come(start, self.now, zone),
            until: end.map(|end| shown(end, zone)),
        };
        let (length, unit) = match rotation.r#type.as_str() {
            "hourly" if length.is_multiple_of(24) => (length / 24, "day"),
            "hourly" if only.is_empty() && 24 % length == 0 => {
                return bounds.by_the_clock(&groups, length, handover);
            }
            "hourly" => (length, "hour"),
            "daily" => (length, "day"),
            "weekly" => (length, "week"),
            other => {
                let why = format!("turns of type {other:?} are not known");
                self.moved.left(file, what, why, "write a [[schedule.NAME.layer]] for it");
                return vec![];
            }
        };
        if unit == "hour" {
            let why = "its hours are counted here, so its hand-overs move by an hour on the clock when summer time begins or ends";
            self.moved.left(file, what, why, "write turns of days with `only`, if they should not");
        }
        vec![bounds.layer(&groups, turn(length, unit), handover, only)]
    }

    fn rotation_not_known(&mut self, file: &str, what: &str, rotation: &Rotation) {
        self.moved.not_known(file, what, &rotation.rest, &["id"]);
        if let Some(restrictions) = &rotation.time_restriction {
            self.moved.not_known(file, &format!("{what}, timeRestriction"), &restrictions.rest, &["type"]);
            for restriction in restrictions.all() {
                self.moved.not_known(file, &format!("{what}, timeRestriction"), &restriction.rest, &[]);
            }
        }
    }

    /// Nobody has the turn of `none`, all of a team that of a team.
    fn participant(&mut self, file: &str, what: &str, named: &Named) -> Vec<String> {
        let found = match named.r#type.as_str() {
            "none" => return vec![],
            "user" => self.of_user(file, named).map(|key| vec![key]),
            "team" => self.teams.get(&named.id).or_else(|| self.teams.get(&named.name)).map(|t| t.1.clone()),
            _ => None,
        };
        found.unwrap_or_else(|| {
            let called = if named.name.is_empty() { &named.username } else { &named.name };
            let why =
                format!("{} {called} takes a turn and was not moved: nobody has that turn", named.r#type);
            self.moved.left(file, what, why, "write somebody into that place of `people`");
            vec![]
        })
    }
}
