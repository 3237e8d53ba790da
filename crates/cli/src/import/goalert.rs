//! GoAlert: what its GraphQL interface answers to the query of docs/moving-in.md.

use std::collections::{BTreeMap, BTreeSet};

use escalate::config::{LayerConfig, ScheduleConfig};
use serde::Deserialize;
use serde_json::Value;
use wire::{Timestamp, Zone};

use super::moved::{Moved, Names, SLACK, Steps};
use super::turns::{Bounds, DAY, Window, only};
use super::{Export, Item, given};

mod changes;
mod rotation;
mod services;
#[cfg(test)]
mod tests;
mod users;

use changes::{Override, Temporary};
use rotation::Rotation;

/// What to do about an answer that says less than the query asks for.
const OLDER: &str = "ask again with the query of docs/moving-in.md, and look at what is left then";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Dest {
    r#type: String,
    args: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    id: String,
    r#type: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    id: String,
    name: String,
    time_zone: String,
    #[serde(default, deserialize_with = "given")]
    targets: Vec<ScheduleTarget>,
    #[serde(default, deserialize_with = "given")]
    temporary_schedules: Vec<Temporary>,
}

#[derive(Deserialize)]
struct ScheduleTarget {
    target: Target,
    rules: Vec<Rule>,
}

/// Hours of some days; the days begin with Sunday.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    start: String,
    end: String,
    weekday_filter: Vec<bool>,
}

#[derive(Deserialize)]
struct Escalation {
    id: String,
    name: String,
    /// Negative for ever.
    #[serde(default)]
    repeat: i64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    #[serde(default)]
    delay_minutes: u64,
    #[serde(default, deserialize_with = "given")]
    targets: Vec<Target>,
    #[serde(default, deserialize_with = "given")]
    actions: Vec<Dest>,
}

/// What is known so far, by the ids of the source.
struct Known {
    moved: Moved,
    now: Timestamp,
    people: BTreeMap<String, String>,
    rotations: BTreeMap<String, Rotation>,
    schedules: BTreeMap<String, String>,
    schedule_names: Names,
    policies: BTreeMap<String, String>,
}

/// # Errors
/// What is no answer to that query.
pub(super) fn read(exports: &[Export], now: Timestamp) -> Result<Moved, String> {
    let mut moved = Moved::default();
    let mut all: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    for export in exports {
        answer(export, &mut all, &mut moved)?;
    }
    let mut known = Known {
        moved,
        now,
        people: BTreeMap::new(),
        rotations: BTreeMap::new(),
        schedules: BTreeMap::new(),
        schedule_names: Names::default(),
        policies: BTreeMap::new(),
    };
    let of = |kind: &str| all.get(kind).map(Vec::as_slice).unwrap_or_default();
    let mut names = Names::default();
    of("users").iter().for_each(|item| known.user(item, &mut names));
    for item in of("rotations") {
        if let Some(rotation) = item.as_a::<Rotation>("rotation", &mut known.moved) {
            known.rotations.insert(rotation.id.clone(), rotation);
        }
    }
    of("schedules").iter().for_each(|item| known.schedule(item));
    known.overrides(of("userOverrides"));
    let mut names = Names::default();
    of("escalationPolicies").iter().for_each(|item| known.escalation(item, &mut names));
    of("services").iter().for_each(|item| known.service(item));
    Ok(known.moved)
}

/// Sorts the things of one answer by the list that they are in.
fn answer(export: &Export, all: &mut BTreeMap<&str, Vec<Item>>, moved: &mut Moved) -> Result<(), String> {
    const LISTS: [&str; 6] =
        ["users", "rotations", "schedules", "userOverrides", "escalationPolicies", "services"];
    let name = &export.name;
    let value: Value = serde_json::from_str(&export.text).map_err(|e| format!("{name}: is no JSON: {e}"))?;
    if let Some(errors) = value.get("errors").filter(|e| !e.is_null()) {
        return Err(format!("{name}: GoAlert answered with errors: {errors}"));
    }
    let data = value.get("data").unwrap_or(&value);
    for (list, found) in data.as_object().into_iter().flatten() {
        let Some(known) = LISTS.into_iter().find(|known| known == list) else {
            moved.left(name, list.as_str(), "is not asked for by the query of docs/moving-in.md", "nothing");
            continue;
        };
        if found.pointer("/pageInfo/hasNextPage").and_then(Value::as_bool) == Some(true) {
            let cursor = found.pointer("/pageInfo/endCursor").and_then(Value::as_str).unwrap_or_default();
            let instead = format!("ask again with `after: {cursor:?}` for it, and give both files at once");
            moved.left(name, known, "go on: this is one page of them", instead);
        }
        let nodes = found.get("nodes").unwrap_or(found).as_array().cloned().unwrap_or_default();
        let nodes = nodes.into_iter().map(|value| Item { file: name.clone(), value });
        all.entry(known).or_default().extend(nodes);
    }
    Ok(())
}

/// A type of destination in short.
fn kind(of: &str) -> &str {
    match of {
        "builtin-smtp-email" => "email",
        "builtin-slack-dm" => "slack",
        "builtin-twilio-sms" => "sms",
        "builtin-twilio-voice" => "voice",
        "builtin-webhook" | "chanWebhook" => "webhook",
        "builtin-user" => "user",
        "builtin-schedule" => "schedule",
        "builtin-rotation" => "rotation",
        "builtin-slack-channel" => "slackChannel",
        "builtin-slack-usergroup" => "slackUserGroup",
        other => other,
    }
}

impl Rule {
    /// The hours in which it holds. From an hour until the same is a whole day.
    fn windows(&self) -> Option<Vec<Window>> {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            Some(hour.parse::<u32>().ok()? * 60 + minute.parse::<u32>().ok()?)
        };
        let (start, end) = (minute(&self.start)?, minute(&self.end)?);
        let minutes = (end + DAY).checked_sub(start)? % DAY;
        let minutes = if minutes == 0 { DAY } else { minutes };
        let days = self.weekday_filter.iter().zip(0u32..).filter(|(on, _)| **on);
        // Sunday is the last day of a week here.
        Some(days.map(|(_, day)| Window { start: (day + 6) % 7 * DAY + start, minutes }).collect())
    }
}

impl Known {
    fn schedule(&mut self, item: &Item) {
        let Some(schedule) = item.as_a::<Schedule>("schedule", &mut self.moved) else { return };
        if self.schedules.contains_key(&schedule.id) {
            return;
        }
        let what = format!("schedule {}", schedule.name);
        let zone = self.zone(&item.file, &what, &schedule.time_zone);
        let mut config = ScheduleConfig { zone: Some(format!("{zone:?}")), ..ScheduleConfig::default() };
        let mut names = Names::default();
        for ScheduleTarget { target, rules } in &schedule.targets {
            let layers = self.layers(&item.file, &what, target, rules, &zone, &mut names);
            config.layer.extend(layers);
        }
        for temporary in &schedule.temporary_schedules {
            let made = temporary.made(&zone, self.now, |id| self.people.get(id).cloned());
            match made {
                Ok(Some(made)) => config.temporary.push(made),
                Ok(None) => {
                    self.moved.left(
                        &item.file,
                        what.as_str(),
                        "temporary schedules that are over were left out",
                        "nothing",
                    );
                }
                Err(why) => {
                    self.moved.left(
                        &item.file,
                        what.as_str(),
                        why,
                        "write a [[schedule.NAME.temporary]] for it",
                    );
                }
            }
        }
        let key = self.schedule_names.take(&schedule.name);
        if self.moved.schedule(&item.file, &what, &key, config) {
            self.schedules.insert(schedule.id, key);
        }
    }

    fn zone(&mut self, file: &str, what: &str, name: &str) -> Zone {
        Zone::named(name).unwrap_or_else(|| {
            let why = format!("there is no time zone {name:?}; it is on UTC now");
            self.moved.left(file, what, why, "write its zone, and its times, by hand");
            Zone::UTC
        })
    }

    fn layers(
        &mut self,
        file: &str,
        what: &str,
        target: &Target,
        rules: &[Rule],
        zone: &Zone,
        names: &mut Names,
    ) -> Vec<LayerConfig> {
        let windows = rules.iter().map(Rule::windows).collect::<Option<Vec<_>>>().map(|w| w.concat());
        let Some(windows) = windows.filter(|windows| !windows.is_empty()) else {
            let why = format!("{} {} has no hours in it", target.r#type, target.name);
            self.moved.left(file, what, why, "nothing, if it is never on call");
            return vec![];
        };
        let hours = only(&windows);
        if hours.len() > 20 {
            let why = format!("{} {} has more than 20 different hours in it", target.r#type, target.name);
            self.moved.left(file, what, why, "write them as two layers");
            return vec![];
        }
        let bounds = Bounds { name: names.take(&target.name), ..Bounds::default() };
        match target.r#type.as_str() {
            "user" => {
                let Some(key) = self.people.get(&target.id) else {
                    self.moved.left(
                        file,
                        what,
                        format!("user {} was not moved", target.name),
                        "write a layer for them",
                    );
                    return vec![];
                };
                let handover = jiff::civil::datetime(2026, 1, 5, 0, 0, 0, 0);
                vec![bounds.layer(&[vec![key.clone()]], "1 week", handover, hours)]
            }
            "rotation" => match self.rotations.get(&target.id) {
                Some(rotation) => {
                    rotation.layers(&bounds, zone, hours, (file, what), &self.people, &mut self.moved)
                }
                None => {
                    self.moved.left(
                        file,
                        what,
                        format!("rotation {} is not in these files", target.name),
                        "give the file with the rotations too",
                    );
                    vec![]
                }
            },
            other => {
                self.moved.left(file, what, format!("a {other} is on call by it"), "write a layer for it");
                vec![]
            }
        }
    }

    fn escalation(&mut self, item: &Item, names: &mut Names) {
        let Some(escalation) = item.as_a::<Escalation>("escalation policy", &mut self.moved) else { return };
        if self.policies.contains_key(&escalation.id) {
            return;
        }
        let what = format!("escalation policy {}", escalation.name);
        let mut steps = Steps::default();
        for step in &escalation.steps {
            let targets = step.targets.iter().map(|t| (kind(&t.r#type), t.id.as_str(), t.name.as_str()));
            let actions = step.actions.iter().map(|d| {
                let to = d.args.values().next().map_or("", String::as_str);
                (kind(&d.r#type), to, to)
            });
            let called: Vec<_> = if step.actions.is_empty() { targets.collect() } else { actions.collect() };
            let targets: Vec<_> =
                called.iter().filter_map(|of| self.target(&item.file, &what, *of)).collect();
            steps.tell(targets);
            steps.wait(step.delay_minutes.saturating_mul(60));
        }
        let again = steps.last_wait();
        let rounds = u32::try_from(escalation.repeat).map_or(u32::MAX, |repeat| repeat.saturating_add(1));
        let key = names.take(&escalation.name);
        if self.moved.policy(&item.file, &what, &key, steps.ends(again), rounds) {
            self.policies.insert(escalation.id, key);
        }
    }

    fn target(&mut self, file: &str, what: &str, (kind, id, name): (&str, &str, &str)) -> Option<String> {
        let found = match kind {
            "user" => self.people.get(id).map(|key| format!("person:{key}")),
            "schedule" => self.schedules.get(id).map(|key| format!("schedule:{key}")),
            "rotation" => self.alone(file, what, id).map(|key| format!("schedule:{key}")),
            "slackChannel" => {
                self.moved.needs(SLACK);
                Some(format!("{SLACK}/{id}"))
            }
            _ => None,
        };
        if found.is_none() {
            // The address of a webhook may hold a secret.
            let called = if kind == "webhook" { "" } else { name };
            let why = format!("called {kind} {called}").trim_end().to_owned() + ", which was not moved";
            self.moved.left(file, what, why, "name a receiver of tocsin.toml or somebody in its place");
        }
        found
    }

    /// A rotation that a policy calls without a schedule gets one of its own.
    fn alone(&mut self, file: &str, what: &str, id: &str) -> Option<String> {
        if let Some(key) = self.schedules.get(id) {
            return Some(key.clone());
        }
        let rotation = self.rotations.get(id)?.clone();
        let zone = self.zone(file, what, &rotation.time_zone);
        let bounds = Bounds { name: super::moved::key_of(&rotation.name), ..Bounds::default() };
        let layer = rotation.layers(&bounds, &zone, vec![], (file, what), &self.people, &mut self.moved);
        let config = ScheduleConfig { zone: Some(format!("{zone:?}")), layer, ..ScheduleConfig::default() };
        let key = self.schedule_names.take(&format!("rotation {}", rotation.name));
        self.moved.schedule(file, what, &key, config).then(|| {
            self.schedules.insert(id.to_owned(), key.clone());
            key
        })
    }

    fn overrides(&mut self, items: &[Item]) {
        let mut by_schedule: BTreeMap<String, Vec<Override>> = BTreeMap::new();
        for item in items {
            let Some(over) = item.as_a::<Override>("override", &mut self.moved) else { continue };
            match self.schedules.get(&over.target.id) {
                Some(key) => by_schedule.entry(key.clone()).or_default().push(over),
                None => self.moved.left(
                    &item.file,
                    format!("override of schedule {}", over.target.name),
                    "is of a schedule that was not moved",
                    "write a [[schedule.NAME.override]]",
                ),
            }
        }
        let file = items.first().map_or("", |item| item.file.as_str());
        for (key, overrides) in by_schedule {
            let Some(config) = self.moved.schedules.schedule.get_mut(&key) else { continue };
            let people = &self.people;
            let said = changes::apply(config, &overrides, self.now, |id| people.get(id).cloned());
            let what = format!("schedule {key}");
            for (why, instead) in said.into_iter().collect::<BTreeSet<_>>() {
                self.moved.left(file, what.as_str(), why, instead);
            }
        }
    }
}
