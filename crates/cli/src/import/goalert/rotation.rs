//! A rotation of GoAlert. Its hand-overs go by the clock of its zone, hours too; who has the turn is its state.

use std::collections::BTreeMap;

use escalate::config::{HoursConfig, LayerConfig};
use jiff::ToSpan as _;
use jiff::civil::DateTime;
use serde::Deserialize;
use wire::{Timestamp, Zone};

use crate::import::moved::Moved;
use crate::import::turns::{Bounds, TURNS_MAX, turn};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rotation {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) time_zone: String,
    start: String,
    r#type: String,
    shift_length: Option<u32>,
    active_user_index: usize,
    #[serde(alias = "userIDs")]
    user_ids: Vec<String>,
    #[serde(default)]
    next_handoff_times: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Hours,
    Days,
    Months,
}

impl Rotation {
    /// Its layers in a schedule of this zone, within these hours.
    pub(super) fn layers(
        &self,
        bounds: &Bounds,
        zone: &Zone,
        hours: Vec<HoursConfig>,
        (file, what): (&str, &str),
        people: &BTreeMap<String, String>,
        moved: &mut Moved,
    ) -> Vec<LayerConfig> {
        let what = format!("{what}, rotation {}", self.name);
        let length = self.shift_length.unwrap_or(1).max(1);
        let unit = match self.r#type.as_str() {
            "hourly" if length.is_multiple_of(24) => Some((Unit::Days, length / 24)),
            "hourly" => Some((Unit::Hours, length)),
            "daily" => Some((Unit::Days, length)),
            "weekly" => Some((Unit::Days, length.saturating_mul(7))),
            "monthly" => Some((Unit::Months, length)),
            _ => None,
        };
        let groups: Vec<Vec<String>> =
            self.user_ids.iter().map(|id| people.get(id).cloned().into_iter().collect()).collect();
        let start = self.start.parse::<Timestamp>();
        let (Some((unit, length)), Ok(start)) = (unit, start) else {
            let why = "has turns or a start that are not written as is known";
            moved.left(file, what, why, "write a [[schedule.NAME.layer]] for it");
            return vec![];
        };
        if groups.iter().all(Vec::is_empty) || groups.len() > TURNS_MAX {
            let why = format!("nobody takes turns in it, or more than {TURNS_MAX} do");
            moved.left(file, what, why, "write a [[schedule.NAME.layer]] for it");
            return vec![];
        }
        if groups.iter().any(Vec::is_empty) {
            let why = "somebody takes turns in it who was not moved: nobody has these turns";
            moved.left(file, what.as_str(), why, "write somebody into their place, or take the place out");
        }
        self.elsewhere(zone, file, &what, moved);
        let next = self.next_handoff_times.first().and_then(|at| at.parse::<Timestamp>().ok());
        // Counted hours leave the clock behind, so they are counted from the hand-over that comes next.
        let counted = unit == Unit::Hours && (24 % length != 0 || !hours.is_empty());
        let civil = zone.civil_at(next.filter(|_| counted).unwrap_or(start));
        let turns = self.in_turn(
            &groups,
            civil,
            (unit, length),
            next.map(|at| zone.civil_at(at)),
            (file, &what),
            moved,
        );
        match unit {
            Unit::Hours if !counted => bounds.by_the_clock(&turns, length, civil),
            Unit::Hours => {
                let why = "its hours are counted here, so its hand-overs move by an hour on the clock when summer time begins or ends";
                moved.left(file, what, why, "write turns of days with `only`, if they should not");
                vec![bounds.layer(&turns, turn(length, "hour"), civil, hours)]
            }
            Unit::Days if length.is_multiple_of(7) => {
                vec![bounds.layer(&turns, turn(length / 7, "week"), civil, hours)]
            }
            Unit::Days => vec![bounds.layer(&turns, turn(length, "day"), civil, hours)],
            Unit::Months => {
                if civil.day() > 28 {
                    let why = "a hand-over on a day that a month has not is on its last day here, and on one of the next month there";
                    moved.left(file, what, why, "let it begin on another day");
                }
                vec![bounds.layer(&turns, turn(length, "month"), civil, hours)]
            }
        }
    }

    fn elsewhere(&self, zone: &Zone, file: &str, what: &str, moved: &mut Moved) {
        if Zone::named(&self.time_zone).is_none_or(|own| own != *zone) {
            let why = format!(
                "hands over by the clock of {}, and its schedule is in {zone:?}: where these change their clocks on different days, it is off by an hour between",
                self.time_zone
            );
            moved.left(file, what, why, "nothing, or a schedule of its own in that zone");
        }
    }

    /// The people so that turn 0, which begins at the start, is of whoever had it: who has a turn now is its state, and
    /// the next hand-over says which turn that is.
    fn in_turn(
        &self,
        groups: &[Vec<String>],
        start: DateTime,
        (unit, length): (Unit, u32),
        next: Option<DateTime>,
        (file, what): (&str, &str),
        moved: &mut Moved,
    ) -> Vec<Vec<String>> {
        let Some(next) = next else {
            if groups.len() > 1 {
                let why = "the answer does not say when it hands over next: whoever has the turn now may have another";
                moved.left(file, what, why, "ask for `nextHandoffTimes(num: 1)` too, or look at `tocsin oncall` and turn `people` round");
            }
            return groups.to_vec();
        };
        let nth = turn_at(start, next, unit, i64::from(length));
        let count = i64::try_from(groups.len()).unwrap_or(i64::MAX);
        let active = i64::try_from(self.active_user_index).unwrap_or(0);
        // Turn `nth` is of whoever comes after the active one.
        let of = |turn: i64| {
            groups[usize::try_from((active + 1 + turn - nth).rem_euclid(count)).unwrap_or(0)].clone()
        };
        (0..count).map(of).collect()
    }
}

/// The number of the turn that begins at `at`, or nearest to it: where the clock is put on, that may be off a little.
fn turn_at(start: DateTime, at: DateTime, unit: Unit, length: i64) -> i64 {
    let begins = |turn: i64| {
        let n = turn.saturating_mul(length);
        let span = match unit {
            Unit::Hours => n.hours(),
            Unit::Days => n.days(),
            Unit::Months => n.months(),
        };
        start.checked_add(span).unwrap_or(start)
    };
    let minutes = |from: DateTime, to: DateTime| {
        let minutes = to.duration_since(from).as_secs() / 60;
        i64::abs(minutes)
    };
    let passed = at.duration_since(start).as_secs() / 3600;
    let about = match unit {
        Unit::Hours => passed.div_euclid(length),
        Unit::Days => passed.div_euclid(length * 24),
        Unit::Months => {
            let month = |d: DateTime| i64::from(d.year()) * 12 + i64::from(d.month());
            (month(at) - month(start)).div_euclid(length)
        }
    };
    ((about - 1)..=(about + 1)).min_by_key(|turn| minutes(begins(*turn), at)).unwrap_or(about)
}
