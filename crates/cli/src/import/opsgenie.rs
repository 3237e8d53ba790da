//! Opsgenie: what its REST API answers for users, teams, schedules, overrides, escalations and routing rules.

use std::collections::{BTreeMap, BTreeSet};

use escalate::config::{OverrideConfig, ScheduleConfig};
use serde::Deserialize;
use serde_json::Value;
use wire::{Timestamp, Zone};

use super::moved::{Moved, Names, Somebody, once};
use super::{Export, Item, given, items};

mod escalations;
mod rotation;
#[cfg(test)]
mod tests;

use rotation::Rotation;

/// What a user has beside what is read of it: what they may do there, and who they are to others.
const OF_USERS: &[&str] =
    &["verified", "role", "locale", "userAddress", "createdAt", "tags", "details", "skypeUsername", "links"];
/// The address itself, and in which state it is.
const OF_CONTACTS: &[&str] = &["id", "to", "status", "enabled", "disabledReason", "applyOrder"];

/// A user, team, schedule or escalation as others name it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    r#type: String,
    id: String,
    name: String,
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    username: String,
    #[serde(default, deserialize_with = "given")]
    full_name: String,
    time_zone: Option<String>,
    #[serde(default, deserialize_with = "given")]
    blocked: bool,
    #[serde(default, deserialize_with = "given")]
    user_contacts: Vec<Contact>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contact {
    contact_method: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Team {
    id: String,
    name: String,
    members: Option<Vec<Member>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Member {
    user: Named,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    id: String,
    name: String,
    timezone: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
    rotations: Option<Vec<Rotation>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Override {
    #[serde(default, rename = "_parent")]
    parent: Named,
    #[serde(default)]
    alias: String,
    user: Named,
    start_date: String,
    end_date: String,
    #[serde(default, deserialize_with = "given")]
    rotations: Vec<Named>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

const fn yes() -> bool {
    true
}

/// What is known so far, by the ids and names of the source.
struct Known {
    moved: Moved,
    now: Timestamp,
    /// Of people, teams, schedules and policies.
    names: [Names; 4],
    people: BTreeMap<String, String>,
    /// Key and people.
    teams: BTreeMap<String, (String, Vec<String>)>,
    schedules: BTreeMap<String, String>,
    /// Policy and owner.
    escalations: BTreeMap<String, (String, Option<String>)>,
}

/// # Errors
/// What is no JSON.
pub(super) fn read(exports: &[Export], now: Timestamp) -> Result<Moved, String> {
    let mut moved = Moved::default();
    let items = items(exports, &mut moved)?;
    let mut known = Known {
        moved,
        now,
        names: Default::default(),
        people: BTreeMap::new(),
        teams: BTreeMap::new(),
        schedules: BTreeMap::new(),
        escalations: BTreeMap::new(),
    };
    let of = |kind: Kind| items.iter().filter(move |item| Kind::of(item) == kind);
    of(Kind::User).for_each(|item| known.user(item));
    // The list of teams says less than each alone.
    of(Kind::Team).filter(|item| item.has("members")).for_each(|item| known.team(item));
    of(Kind::Team).filter(|item| !item.has("members")).for_each(|item| known.team(item));
    let overrides: Vec<_> = of(Kind::Override).collect();
    of(Kind::Schedule).for_each(|item| known.schedule(item));
    overrides.into_iter().for_each(|item| known.over(item));
    of(Kind::Escalation).for_each(|item| known.escalation(item));
    let mut routed = BTreeSet::new();
    of(Kind::Routing).for_each(|item| known.routing(item, &mut routed));
    known.owners(&routed);
    of(Kind::Other).for_each(|item| {
        let why = "is none of users, teams, schedules, overrides, escalations and routing rules";
        known.moved.left(&item.file, "an entry", why, "nothing, if it is not needed");
    });
    Ok(known.moved)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Team,
    Schedule,
    Override,
    Escalation,
    Routing,
    Other,
}

impl Kind {
    /// By what it has that no other has.
    fn of(item: &Item) -> Self {
        let has = |key| item.has(key);
        match () {
            () if has("rules") => Self::Escalation,
            () if has("user") && has("startDate") => Self::Override,
            () if has("notify") => Self::Routing,
            () if has("username") && has("id") => Self::User,
            () if has("rotations") || has("timezone") => Self::Schedule,
            () if has("members") || has("links") => Self::Team,
            () if has("id") && has("name") && has("description") => Self::Team,
            () => Self::Other,
        }
    }
}

impl Known {
    fn user(&mut self, item: &Item) {
        let Some(user) = item.as_a::<User>("user", &mut self.moved) else { return };
        if self.people.contains_key(&user.id) {
            return;
        }
        if user.blocked {
            let instead = "write a [person.NAME] for them, if they should be paged after all";
            let what = format!("user {}", user.username);
            self.moved.left(&item.file, what, "is blocked, and was left out of every rotation", instead);
            return;
        }
        let key = self.somebody(&item.file, &user.username, &user.full_name, user.time_zone.as_deref());
        let ways: BTreeSet<&str> = user
            .user_contacts
            .iter()
            .map(|c| c.contact_method.as_str())
            .filter(|way| *way != "email")
            .collect();
        self.moved.not_reached_by(&item.file, &key, &ways);
        let what = format!("person {key}");
        self.moved.not_known(&item.file, &what, &user.rest, OF_USERS);
        for contact in &user.user_contacts {
            let what = format!("{what}, {}", contact.contact_method);
            self.moved.not_known(&item.file, &what, &contact.rest, OF_CONTACTS);
        }
        self.people.insert(user.id, key);
    }

    /// Their name is an address: what stands before the @ is their key.
    fn somebody(&mut self, file: &str, username: &str, name: &str, zone: Option<&str>) -> String {
        let wish = username.split_once('@').map_or(username, |(local, _)| local);
        let key = self.names[0].take(wish);
        let mail = username.contains('@').then_some(username);
        self.moved.person(Somebody { file, key: &key, name, zone, mail, slack: None });
        self.people.insert(username.to_owned(), key.clone());
        key
    }

    /// Somebody of a rotation; by their address alone if they are not among the users.
    fn of_user(&mut self, file: &str, named: &Named) -> Option<String> {
        let found = self.people.get(&named.id).or_else(|| self.people.get(&named.username));
        if let Some(key) = found {
            return Some(key.clone());
        }
        let blocked = self.moved.left.iter().any(|left| left.what == format!("user {}", named.username));
        if blocked || !named.username.contains('@') {
            return None;
        }
        let key = self.somebody(file, &named.username, "", None);
        self.moved.left(
            file,
            format!("person {key}"),
            "is not among the users of these files; known by the address alone",
            "give the file with the users too",
        );
        if !named.id.is_empty() {
            self.people.insert(named.id.clone(), key.clone());
        }
        Some(key)
    }

    fn team(&mut self, item: &Item) {
        let Some(team) = item.as_a::<Team>("team", &mut self.moved) else { return };
        if self.teams.contains_key(&team.id) {
            return;
        }
        let what = format!("team {}", team.name);
        self.moved.not_known(&item.file, &what, &team.rest, &["description", "links"]);
        let Some(members) = team.members else {
            let instead = "give the answer of /v2/teams/ID for it: the list of teams has no members";
            self.moved.left(&item.file, what, "says nothing of who is in it", instead);
            return;
        };
        for member in &members {
            self.moved.not_known(&item.file, &format!("{what}, a member"), &member.rest, &["role"]);
        }
        let people = members.iter().filter_map(|m| self.of_user(&item.file, &m.user)).collect();
        let people = once(people);
        if people.is_empty() {
            self.moved.left(&item.file, what, "has nobody in it", "nothing, if it calls nobody");
            return;
        }
        let key = self.names[1].take(&team.name);
        self.moved.team(&key, people.clone());
        self.teams.insert(team.id, (key.clone(), people.clone()));
        self.teams.insert(team.name, (key, people));
    }

    fn schedule(&mut self, item: &Item) {
        let Some(schedule) = item.as_a::<Schedule>("schedule", &mut self.moved) else { return };
        let what = format!("schedule {}", schedule.name);
        let file = item.file.as_str();
        if !schedule.enabled {
            let instead = "enable it there and export again, if it should call somebody";
            self.moved.left(file, what, "is disabled, and was left out", instead);
            return;
        }
        self.moved.not_known(file, &what, &schedule.rest, &["description", "ownerTeam"]);
        let Some(rotations) = &schedule.rotations else {
            let instead = "ask for /v2/schedules?expand=rotation";
            self.moved.left(file, what, "came without its rotations", instead);
            return;
        };
        let name = schedule.timezone.as_deref().unwrap_or("UTC");
        let zone = Zone::named(name).unwrap_or_else(|| {
            let why = format!("there is no time zone {name:?}; it is on UTC now");
            self.moved.left(file, what.as_str(), why, "write its zone, and its times, by hand");
            Zone::UTC
        });
        let mut config = ScheduleConfig { zone: Some(format!("{zone:?}")), ..ScheduleConfig::default() };
        let mut names = Names::default();
        for rotation in rotations {
            let layers = self.rotation(file, &schedule.name, rotation, &zone, &mut names);
            config.layer.extend(layers);
        }
        let key = self.names[2].take(&schedule.name);
        if self.moved.schedule(file, &what, &key, config) {
            self.schedules.insert(schedule.id, key.clone());
            self.schedules.insert(schedule.name, key);
        }
    }

    fn over(&mut self, item: &Item) {
        let Some(over) = item.as_a::<Override>("override", &mut self.moved) else { return };
        let file = item.file.as_str();
        let what = format!("override {}", over.alias);
        self.moved.not_known(file, &what, &over.rest, &[]);
        let parents = [&over.parent.id, &over.parent.name];
        let known: BTreeSet<&String> = self.schedules.values().collect();
        let only = known.iter().next().filter(|_| known.len() == 1).map(|key| (*key).clone());
        let key = parents.iter().find_map(|id| self.schedules.get(*id)).cloned().or(only);
        let (Some(key), Ok(from), Ok(until)) =
            (key, over.start_date.parse::<Timestamp>(), over.end_date.parse::<Timestamp>())
        else {
            let instead = "write a [[schedule.NAME.override]]";
            self.moved.left(file, what, "is of no schedule that was moved, or has no times", instead);
            return;
        };
        if until <= self.now {
            self.moved.left(file, "overrides", "those that are over were left out", "nothing");
            return;
        }
        if !over.rotations.is_empty() {
            let why = "is of some rotations only; here it is in everybody's place";
            self.moved.left(
                file,
                what.as_str(),
                why,
                "write `instead_of` into it, if others are on call beside",
            );
        }
        let people = match over.user.r#type.as_str() {
            "none" => vec![],
            _ => match self.of_user(file, &over.user) {
                Some(person) => vec![person],
                None => {
                    let why = "names nobody who was moved";
                    self.moved.left(file, what, why, "write a [[schedule.NAME.override]]");
                    return;
                }
            },
        };
        let Some(config) = self.moved.schedules.schedule.get_mut(&key) else { return };
        let zone = config.zone.as_deref().and_then(Zone::named).unwrap_or(Zone::UTC);
        let shown = |at| super::turns::shown(at, &zone);
        let (from, until) = (shown(from), shown(until));
        config.overrides.push(OverrideConfig { from, until, people, instead_of: None, beside: false });
    }
}
