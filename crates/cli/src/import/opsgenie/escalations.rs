//! Escalations of Opsgenie, and the routing rules that lead to them.

use std::collections::{BTreeMap, BTreeSet};

use escalate::RouteConfig;
use serde::Deserialize;
use serde_json::Value;

use super::{Known, Named};
use crate::import::moved::{AGAIN_S, Steps, owners};
use crate::import::{Item, given};

/// What a routing rule has beside what is read of it: which alerts it is for.
const OF_ROUTING: &[&str] = &["id", "order", "criteria", "timezone", "timeRestriction"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Escalation {
    id: String,
    name: String,
    owner_team: Option<Named>,
    rules: Vec<Rule>,
    repeat: Option<Repeat>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
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
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Delay {
    time_amount: u64,
    time_unit: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Repeat {
    wait_interval: u64,
    count: u32,
    reset_recipient_states: bool,
    close_alert_after_all: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoutingRule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    is_default: bool,
    notify: Named,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
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

impl Known {
    pub(super) fn escalation(&mut self, item: &Item) {
        let Some(mut escalation) = item.as_a::<Escalation>("escalation", &mut self.moved) else { return };
        let what = format!("escalation {}", escalation.name);
        let file = item.file.as_str();
        self.moved.not_known(file, &what, &escalation.rest, &["description"]);
        escalation.rules.sort_by_key(Rule::delay_s);
        let mut steps = Steps::default();
        let mut passed = 0;
        for rule in &escalation.rules {
            steps.wait(rule.delay_s() - passed);
            passed = rule.delay_s();
            self.moved.not_known(file, &format!("{what}, a rule"), &rule.rest, &[]);
            let targets = self.recipient(file, &what, rule);
            steps.tell(targets);
        }
        let repeat = escalation.repeat.unwrap_or_default();
        self.moved.not_known(file, &format!("{what}, repeat"), &repeat.rest, &[]);
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
    pub(super) fn routing(&mut self, item: &Item, routed: &mut BTreeSet<String>) {
        let Some(rule) = item.as_a::<RoutingRule>("routing rule", &mut self.moved) else { return };
        let what = format!("routing rule {}", rule.name);
        self.moved.not_known(&item.file, &what, &rule.rest, OF_ROUTING);
        let found =
            [&rule.notify.id, &rule.notify.name].into_iter().find_map(|id| self.escalations.get(id)).cloned();
        match found {
            Some((policy, Some(owner))) if rule.is_default && routed.insert(owner.clone()) => {
                self.route(&owner, &policy);
            }
            _ => self.moved.left(
                &item.file,
                what,
                format!("leads alerts of its own kind to {} {}", rule.notify.r#type, rule.notify.name),
                "add a [[route]] with `severity`, `family`, `model` or `owner`, if incidents are meant",
            ),
        }
    }

    /// Teams without a routing rule: the first escalation that they own.
    pub(super) fn owners(&mut self, routed: &BTreeSet<String>) {
        let mut routed = routed.clone();
        let escalations: BTreeSet<_> = self.escalations.values().cloned().collect();
        for (policy, owner) in escalations {
            if let Some(owner) = owner.filter(|owner| routed.insert(owner.clone())) {
                self.route(&owner, &policy);
            }
        }
    }

    fn route(&mut self, owner: &str, policy: &str) {
        let owner = owners(owner);
        self.moved.routes.push(RouteConfig { owner, policy: policy.to_owned(), ..RouteConfig::default() });
    }
}
