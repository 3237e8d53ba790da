//! Grafana OnCall: what its public interface answers for users, teams, schedules, shifts, swaps, escalation chains
//! and their policies.

use std::collections::{BTreeMap, BTreeSet};

use escalate::config::{OverrideConfig, ScheduleConfig};
use serde::Deserialize;
use serde_json::Value;
use wire::{Timestamp, Zone};

use super::moved::{Moved, Names, Somebody, once};
use super::turns::shown;
use super::{Export, Item, given, items};

mod chains;
mod rules;
mod shifts;

use shifts::Shift;

#[derive(Deserialize)]
struct User {
    id: String,
    username: String,
    email: Option<String>,
    /// One account, or a list of them.
    slack: Option<Value>,
    timezone: Option<String>,
    #[serde(default, deserialize_with = "given")]
    teams: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    is_phone_number_verified: bool,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
    team_id: Option<String>,
}

#[derive(Deserialize)]
struct Schedule {
    id: String,
    name: String,
    r#type: String,
    team_id: Option<String>,
    time_zone: Option<String>,
    shifts: Option<Vec<String>>,
    ical_url_overrides: Option<String>,
}

#[derive(Deserialize)]
struct Swap {
    schedule: String,
    swap_start: String,
    swap_end: String,
    beneficiary: String,
    benefactor: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Team,
    Schedule,
    Shift,
    Swap,
    Chain,
    Policy,
    Rule,
    Route,
    Other,
}

impl Kind {
    /// By what it has that no other has.
    fn of(item: &Item) -> Self {
        let has = |key| item.has(key);
        match () {
            () if has("escalation_chain_id") && has("type") => Self::Policy,
            () if has("routing_regex") || has("is_the_last_route") || has("default_route") => Self::Route,
            () if has("user_id") && has("type") => Self::Rule,
            () if has("swap_start") => Self::Swap,
            () if has("username") => Self::User,
            () if has("duration") && has("start") => Self::Shift,
            () if has("on_call_now") || has("ical_url_primary") || has("time_zone") => Self::Schedule,
            () if has("grafana_id") || has("avatar_url") => Self::Team,
            () if has("name") && has("id") && has("team_id") => Self::Chain,
            () => Self::Other,
        }
    }
}

/// What is known so far, by the ids of the source.
struct Known {
    moved: Moved,
    now: Timestamp,
    people: BTreeMap<String, String>,
    /// Name and key.
    teams: BTreeMap<String, (String, Option<String>)>,
    shifts: BTreeMap<String, (String, Shift)>,
    schedules: BTreeMap<String, String>,
    schedule_names: Names,
}

/// # Errors
/// What is no JSON.
pub(super) fn read(exports: &[Export], now: Timestamp) -> Result<Moved, String> {
    let mut moved = Moved::default();
    let items = items(exports, &mut moved)?;
    let of = |kind: Kind| items.iter().filter(move |item| Kind::of(item) == kind);
    let mut known = Known {
        moved,
        now,
        people: BTreeMap::new(),
        teams: BTreeMap::new(),
        shifts: BTreeMap::new(),
        schedules: BTreeMap::new(),
        schedule_names: Names::default(),
    };
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut names = Names::default();
    of(Kind::User).for_each(|item| known.user(item, &mut names, &mut members));
    let mut names = Names::default();
    of(Kind::Team).for_each(|item| known.team(item, &mut names, &members));
    for item in of(Kind::Shift) {
        if let Some(shift) = item.as_a::<Shift>("shift", &mut known.moved) {
            known.shifts.insert(shift.id.clone(), (item.file.clone(), shift));
        }
    }
    of(Kind::Schedule).for_each(|item| known.schedule(item));
    for (_, (file, shift)) in std::mem::take(&mut known.shifts) {
        let what = format!("shift {}", shift.name);
        known.moved.left(&file, what, "is in no schedule of these files", "nothing, if it is not needed");
    }
    of(Kind::Swap).for_each(|item| known.swap(item));
    known.chains(of(Kind::Chain).collect(), of(Kind::Policy).collect());
    known.rules(of(Kind::Rule).collect());
    for item in of(Kind::Route) {
        let id = item.value.get("id").and_then(Value::as_str).unwrap_or_default();
        let why = "chooses a chain by the text of an alert, which incidents have not";
        let instead = "add a [[route]] with `severity`, `family`, `model` or `owner`, if incidents are meant";
        known.moved.left(&item.file, format!("route {id}"), why, instead);
    }
    for item in of(Kind::Other) {
        let why = "is none of users, teams, schedules, on_call_shifts, shift_swaps, escalation_chains and escalation_policies";
        known.moved.left(&item.file, "an entry", why, "nothing, if it is not needed");
    }
    Ok(known.moved)
}

impl Known {
    fn user(&mut self, item: &Item, names: &mut Names, members: &mut BTreeMap<String, Vec<String>>) {
        let Some(user) = item.as_a::<User>("user", &mut self.moved) else { return };
        if self.people.contains_key(&user.id) {
            return;
        }
        let key = names.take(&user.username);
        let slack = user.slack.as_ref().and_then(|s| s.get("user_id").or_else(|| s.pointer("/0/user_id")));
        let somebody = Somebody {
            file: &item.file,
            key: &key,
            name: &user.username,
            zone: user.timezone.as_deref(),
            mail: user.email.as_deref(),
            slack: slack.and_then(Value::as_str),
        };
        self.moved.person(somebody);
        if user.is_phone_number_verified {
            self.moved.not_reached_by(&item.file, &key, &BTreeSet::from(["phone"]));
        }
        for team in user.teams {
            members.entry(team).or_default().push(key.clone());
        }
        self.people.insert(user.id, key);
    }

    fn team(&mut self, item: &Item, names: &mut Names, members: &BTreeMap<String, Vec<String>>) {
        let Some(team) = item.as_a::<Named>("team", &mut self.moved) else { return };
        let key = members.get(&team.id).map(|people| {
            let key = names.take(&team.name);
            self.moved.team(&key, people.clone());
            key
        });
        if key.is_none() {
            let why = "none of the users of these files says that they are in it";
            let what = format!("team {}", team.name);
            self.moved.left(
                &item.file,
                what,
                why,
                "write a [team.NAME] with its people, if something calls it",
            );
        }
        self.teams.insert(team.id, (team.name, key));
    }

    fn of_people(&self, ids: &[String]) -> Vec<String> {
        once(ids.iter().filter_map(|id| self.people.get(id).cloned()).collect())
    }

    fn schedule(&mut self, item: &Item) {
        let Some(schedule) = item.as_a::<Schedule>("schedule", &mut self.moved) else { return };
        let what = format!("schedule {}", schedule.name);
        let file = item.file.as_str();
        // The address of a calendar may hold a secret: it is not repeated.
        if schedule.r#type == "ical" {
            let why = "is a calendar that Grafana fetches from elsewhere, and was left out";
            self.moved.left(file, what, why, "write a [schedule.NAME] with its rotations");
            return;
        }
        if schedule.ical_url_overrides.is_some_and(|url| !url.is_empty()) {
            let why = "has overrides in a calendar that Grafana fetches from elsewhere";
            self.moved.left(file, what.as_str(), why, "write them as [[schedule.NAME.override]]");
        }
        let ids = schedule.shifts.unwrap_or_default();
        let shifts: Vec<Shift> =
            ids.iter().filter_map(|id| self.shifts.remove(id)).map(|(_, shift)| shift).collect();
        if shifts.len() < ids.len() {
            let why =
                format!("{} of its {} shifts are not in these files", ids.len() - shifts.len(), ids.len());
            self.moved.left(file, what.as_str(), why, "give all pages of on_call_shifts too");
        }
        // Times of a schedule made on the web page are in UTC, whatever zone it is shown in.
        let web = schedule.r#type == "web";
        let own = schedule.time_zone.filter(|_| !web).unwrap_or_else(|| "UTC".to_owned());
        let zone = shifts::common_zone(&shifts, &own);
        let named = Zone::named(&zone).unwrap_or_else(|| {
            let why = format!("there is no time zone {zone:?}; it is on UTC now");
            self.moved.left(file, what.as_str(), why, "write its zone, and its times, by hand");
            Zone::UTC
        });
        if web && zone == "UTC" {
            let why = "its times are in UTC there, whatever the page shows, and so they are here: hand-overs move on the clock with summer time";
            let instead = "write its `zone`, and its times in it, if they should keep to the clock";
            self.moved.left(file, what.as_str(), why, instead);
        }
        let mut config = ScheduleConfig { zone: Some(format!("{named:?}")), ..ScheduleConfig::default() };
        let mut names = Names::default();
        for shift in &shifts {
            self.shift(file, &schedule.name, shift, (&named, &own), &mut config, &mut names);
        }
        let key = self.schedule_names.take(&schedule.name);
        if self.moved.schedule(file, &what, &key, config) {
            self.schedules.insert(schedule.id, key);
        }
        if schedule.team_id.is_some_and(|team| !self.teams.contains_key(&team)) {
            self.moved.left(
                file,
                what,
                "is of a team that is not in these files",
                "give the file with the teams too",
            );
        }
    }

    fn swap(&mut self, item: &Item) {
        let Some(swap) = item.as_a::<Swap>("shift swap", &mut self.moved) else { return };
        let file = item.file.as_str();
        let (from, until) = (swap.swap_start.parse::<Timestamp>(), swap.swap_end.parse::<Timestamp>());
        let taker = swap.benefactor.as_ref().and_then(|id| self.people.get(id));
        let asker = self.people.get(&swap.beneficiary);
        let key = self.schedules.get(&swap.schedule);
        let (Ok(from), Ok(until), Some(taker), Some(asker), Some(key)) = (from, until, taker, asker, key)
        else {
            let why = "nobody has taken it, or it is of somebody or of a schedule that was not moved";
            self.moved.left(
                file,
                "a shift swap",
                why,
                "write a [[schedule.NAME.override]], if somebody takes it",
            );
            return;
        };
        if until <= self.now {
            self.moved.left(file, "shift swaps", "those that are over were left out", "nothing");
            return;
        }
        // Only one of the two has the other's turns there, so it is no swap of tocsin's.
        let (people, instead_of) = (vec![taker.clone()], Some(asker.clone()));
        if let Some(config) = self.moved.schedules.schedule.get_mut(key) {
            let zone = config.zone.as_deref().and_then(Zone::named).unwrap_or(Zone::UTC);
            let (from, until) = (shown(from, &zone), shown(until, &zone));
            config.overrides.push(OverrideConfig { from, until, people, instead_of, beside: false });
        }
    }
}
