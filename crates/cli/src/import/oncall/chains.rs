//! Escalation chains of Grafana OnCall.

use std::collections::{BTreeMap, BTreeSet};

use escalate::RouteConfig;
use serde::Deserialize;
use serde_json::Value;

use super::{Known, Named};
use crate::import::moved::{AGAIN_S, Names, Steps, owners};
use crate::import::{Item, given, said_too};

/// What a step has beside what is read of it: of which thing, and of what kind it is none of tocsin's.
const KNOWN: &[&str] =
    &["id", "action_to_trigger", "group_to_notify", "num_alerts_in_window", "num_minutes_in_window"];

/// A step of a chain.
#[derive(Deserialize)]
struct Policy {
    escalation_chain_id: String,
    #[serde(default)]
    position: i64,
    r#type: Option<String>,
    duration: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    important: bool,
    #[serde(default, deserialize_with = "given")]
    persons_to_notify: Vec<String>,
    #[serde(default, deserialize_with = "given")]
    persons_to_notify_next_each_time: Vec<String>,
    notify_on_call_from_schedule: Option<String>,
    team_to_notify: Option<String>,
    notify_if_time_from: Option<String>,
    notify_if_time_to: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Known {
    pub(super) fn chains(&mut self, chains: Vec<&Item>, policies: Vec<&Item>) {
        let mut steps: BTreeMap<String, Vec<Policy>> = BTreeMap::new();
        for item in policies {
            if let Some(policy) = item.as_a::<Policy>("escalation policy", &mut self.moved) {
                steps.entry(policy.escalation_chain_id.clone()).or_default().push(policy);
            }
        }
        let (mut names, mut routed) = (Names::default(), BTreeSet::new());
        for item in chains {
            let Some(chain) = item.as_a::<Named>("escalation chain", &mut self.moved) else { continue };
            let what = format!("chain {}", chain.name);
            let mut steps = steps.remove(&chain.id).unwrap_or_default();
            steps.sort_by_key(|step| step.position);
            let (steps, rounds) = self.steps(&item.file, &what, &steps);
            let key = names.take(&chain.name);
            if !self.moved.policy(&item.file, &what, &key, steps.ends(AGAIN_S), rounds) {
                continue;
            }
            let team = chain.team_id.as_ref().and_then(|id| self.teams.get(id));
            if let Some((team, _)) = team.filter(|(team, _)| routed.insert(team.clone())) {
                let route = RouteConfig { owner: owners(team), policy: key, ..RouteConfig::default() };
                self.moved.routes.push(route);
            }
        }
        for id in steps.into_keys() {
            let instead = "give the file with the chains too";
            self.moved.left("escalation policies", format!("chain {id}"), "is not in these files", instead);
        }
    }

    /// The steps of a chain, and how often they are gone through.
    fn steps(&mut self, file: &str, what: &str, policies: &[Policy]) -> (Steps, u32) {
        let (mut steps, mut rounds) = (Steps::default(), 1);
        for policy in policies {
            match policy.r#type.as_deref().unwrap_or_default() {
                "wait" => steps.wait(policy.duration.unwrap_or(300)),
                "notify_persons" => {
                    let people = self.people_of(file, what, &policy.persons_to_notify);
                    steps.tell(people.iter().map(|key| format!("person:{key}")));
                }
                "notify_person_next_each_time" => {
                    let people = self.people_of(file, what, &policy.persons_to_notify_next_each_time);
                    if people.len() > 1 {
                        let all = people.join(", ");
                        let why =
                            format!("called {all} one at a time, each alert the next; here all of them");
                        self.moved.left(file, what, why, "let them take turns in a schedule");
                    }
                    steps.tell(people.iter().map(|key| format!("person:{key}")));
                }
                "notify_on_call_from_schedule" | "notify_team_members" => {
                    let found = self.called(policy);
                    if found.is_none() {
                        let why = "calls a schedule that was not moved, or a team whose people are not known";
                        self.moved.left(file, what, why, "name somebody in that step");
                    }
                    steps.tell(found);
                }
                // As often as it can.
                "repeat_escalation" => rounds = 6,
                other => self.unlike(file, what, policy, other),
            }
            if policy.important {
                let why = "tells people by their important rules at a step; here each is paged by all of contact.page";
                let instead = "nothing, or `by = \"chat\"` in the steps that were not important";
                self.moved.left(file, what, why, instead);
            }
            if let Some(fields) = said_too(&policy.rest, KNOWN) {
                let why = format!("a step has {fields}, which is not known");
                self.moved.left(file, what, why, "look at it there");
            }
        }
        (steps, rounds)
    }

    fn people_of(&mut self, file: &str, what: &str, ids: &[String]) -> Vec<String> {
        let people = self.of_people(ids);
        if people.len() < ids.len() {
            let why = "calls somebody who is not among the users of these files";
            self.moved.left(file, what, why, "name them in that step");
        }
        people
    }

    /// The schedule or team that a step calls.
    fn called(&self, policy: &Policy) -> Option<String> {
        if let Some(id) = &policy.notify_on_call_from_schedule {
            return self.schedules.get(id).map(|key| format!("schedule:{key}"));
        }
        let (_, key) = self.teams.get(policy.team_to_notify.as_ref()?)?;
        key.as_ref().map(|key| format!("team:{key}"))
    }

    /// A step that tocsin has none of.
    fn unlike(&mut self, file: &str, what: &str, policy: &Policy, kind: &str) {
        let (why, instead) = match kind {
            "notify_if_time_from_to" => {
                let of = |time: &Option<String>| time.clone().unwrap_or_default();
                let (from, to) = (of(&policy.notify_if_time_from), of(&policy.notify_if_time_to));
                (
                    format!("went on only from {from} to {to}; here it goes on at any time"),
                    "`when` of a step with these hours: elsewhen the next step pages in its place",
                )
            }
            "notify_if_num_alerts_in_window" => (
                "went on only after many alerts; here it goes on at once".to_owned(),
                "nothing: one incident is not many alerts",
            ),
            "notify_user_group" => {
                ("told a group of Slack".to_owned(), "write its people as a [team.NAME] into that step")
            }
            "notify_whole_channel" => {
                ("told the whole channel of Slack".to_owned(), "`slack/CHANNEL` as a target of that step")
            }
            "trigger_webhook" | "trigger_action" => (
                "called a webhook".to_owned(),
                "a receiver of type webhook, and `NAME/x` as a target of that step",
            ),
            "resolve" => {
                ("resolved the alert by itself; an incident is resolved by people".to_owned(), "nothing")
            }
            other => (format!("has a step of type {other:?}"), "look at it there"),
        };
        self.moved.left(file, what, why, instead);
    }
}
