//! Opsgenie: what its REST API answers for users, teams, schedules, overrides, escalations and routing rules.

use std::collections::{BTreeMap, BTreeSet};

use escalate::RouteConfig;
use escalate::config::{OverrideConfig, ScheduleConfig};
use serde::Deserialize;
use wire::{Timestamp, Zone};

use super::moved::{AGAIN_S, Moved, Names, Somebody, Steps, once};
use super::{Export, Item, given, items};

mod rotation;

use rotation::Rotation;

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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contact {
    contact_method: String,
}

#[derive(Deserialize)]
struct Team {
    id: String,
    name: String,
    members: Option<Vec<Member>>,
}

#[derive(Deserialize)]
struct Member {
    user: Named,
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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Escalation {
    id: String,
    name: String,
    owner_team: Option<Named>,
    rules: Vec<Rule>,
    repeat: Option<Repeat>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default, deserialize_with = "given")]
    condition: String,
    #[serde(default, deserialize_with = "given")]
    notify_type: String,
    #[serde(default)]
    delay: Delay,
    recipient: Named,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Delay {
    time_amount: u64,
    time_unit: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Repeat {
    wait_interval: u64,
    count: u32,
    reset_recipient_states: bool,
    close_alert_after_all: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoutingRule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    is_default: bool,
    notify: Named,
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
        let Some(members) = team.members else {
            let instead = "give the answer of /v2/teams/ID for it: the list of teams has no members";
            self.moved.left(&item.file, what, "says nothing of who is in it", instead);
            return;
        };
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

    fn escalation(&mut self, item: &Item) {
        let Some(mut escalation) = item.as_a::<Escalation>("escalation", &mut self.moved) else { return };
        let what = format!("escalation {}", escalation.name);
        let file = item.file.as_str();
        escalation.rules.sort_by_key(Rule::delay_s);
        let mut steps = Steps::default();
        let mut passed = 0;
        for rule in &escalation.rules {
            steps.wait(rule.delay_s() - passed);
            passed = rule.delay_s();
            let targets = self.recipient(file, &what, rule);
            steps.tell(targets);
        }
        let repeat = escalation.repeat.unwrap_or_default();
        if repeat.close_alert_after_all || repeat.reset_recipient_states {
            let why = "closed the alert, or took acknowledgements back, after its last repetition; tocsin does neither";
            self.moved.left(
                file,
                what.as_str(),
                why,
                "nothing: `acknowledge_expires_s` takes one back after a time",
            );
        }
        let wait = u32::try_from(repeat.wait_interval.saturating_mul(60)).unwrap_or(AGAIN_S);
        let again = if repeat.count > 0 && wait > 0 { wait } else { steps.last_wait() };
        let key = self.names[3].take(&escalation.name);
        if self.moved.policy(file, &what, &key, steps.ends(again), repeat.count + 1) {
            let owner = escalation.owner_team.map(|team| team.name).filter(|name| !name.is_empty());
            self.escalations.insert(escalation.id, (key.clone(), owner.clone()));
            self.escalations.insert(escalation.name, (key, owner));
        }
    }

    fn recipient(&mut self, file: &str, what: &str, rule: &Rule) -> Vec<String> {
        let Rule { recipient, condition, notify_type, .. } = rule;
        if condition == "if-not-closed" {
            let why = "went on after an acknowledgement (if-not-closed); here an acknowledgement stops it";
            self.moved.left(file, what, why, "`acknowledge_by` and `acknowledge_quorum` say whose counts");
        }
        let called = [&recipient.name, &recipient.username].into_iter().find(|n| !n.is_empty());
        let called = called.unwrap_or(&recipient.id).clone();
        let of = |map: &BTreeMap<String, String>| {
            map.get(&recipient.id).or_else(|| map.get(&recipient.name)).cloned()
        };
        let target = match recipient.r#type.as_str() {
            "user" => self.of_user(file, recipient).map(|key| format!("person:{key}")),
            "schedule" => of(&self.schedules).map(|key| format!("schedule:{key}")),
            "team" => self
                .teams
                .get(&recipient.id)
                .or_else(|| self.teams.get(&recipient.name))
                .map(|t| format!("team:{}", t.0)),
            _ => None,
        };
        if !matches!(notify_type.as_str(), "" | "default" | "all") {
            let why = format!(
                "notified {notify_type:?} of {called}; here it is who is on call by it, or all of a team"
            );
            self.moved.left(file, what, why, "name the people in that step, if it should be others");
        }
        if target.is_none() {
            let why = format!("notified {} {called}, which was not moved", recipient.r#type);
            self.moved.left(file, what, why, "name somebody in its place");
        }
        target.into_iter().collect()
    }

    /// The rule that a team falls back to leads its incidents to an escalation.
    fn routing(&mut self, item: &Item, routed: &mut BTreeSet<String>) {
        let Some(rule) = item.as_a::<RoutingRule>("routing rule", &mut self.moved) else { return };
        let found =
            [&rule.notify.id, &rule.notify.name].into_iter().find_map(|id| self.escalations.get(id)).cloned();
        match found {
            Some((policy, Some(owner))) if rule.is_default && routed.insert(owner.clone()) => {
                self.route(&owner, &policy);
            }
            _ => self.moved.left(
                &item.file,
                format!("routing rule {}", rule.name),
                format!("leads alerts of its own kind to {} {}", rule.notify.r#type, rule.notify.name),
                "add a [[route]] with `severity`, `family`, `model` or `owner`, if incidents are meant",
            ),
        }
    }

    /// Teams without a routing rule: the first escalation that they own.
    fn owners(&mut self, routed: &BTreeSet<String>) {
        let mut routed = routed.clone();
        let escalations: BTreeSet<_> = self.escalations.values().cloned().collect();
        for (policy, owner) in escalations {
            if let Some(owner) = owner.filter(|owner| routed.insert(owner.clone())) {
                self.route(&owner, &policy);
            }
        }
    }

    fn route(&mut self, owner: &str, policy: &str) {
        let owner = super::moved::owners(owner);
        self.moved.routes.push(RouteConfig { owner, policy: policy.to_owned(), ..RouteConfig::default() });
    }
}

impl Rule {
    /// Since the alert was created.
    fn delay_s(&self) -> u64 {
        let unit = match self.delay.time_unit.as_str() {
            "seconds" => 1,
            "hours" => 3600,
            "days" => 86_400,
            _ => 60,
        };
        self.delay.time_amount.saturating_mul(unit)
    }
}
