//! Everything that can be wrong in a bundle, said so that it can be put right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use wire::Matches;

use super::stakeholders::Stakeholders;
use super::taking::{Need, Taking};
use super::{Plan, Roster, Step, Target, When, Whom};
use crate::config::{
    At, Bundle, ConfigError, ConfigErrors, EscalateConfig, PolicyConfig, RouteConfig, StepConfig,
};
use crate::mutes::Quiet;
use crate::template::{TEMPLATE_MAX, TEMPLATES_MAX, Templates};

mod people;
mod schedules;
mod silences;
mod stakeholders;

/// Most routes, policies, steps of one, targets of a step and of a policy: above any use, so that nothing is unbounded.
const ROUTES_MAX: usize = 1000;
const POLICIES_MAX: usize = 1000;
const STEPS_MAX: usize = 20;
const TARGETS_MAX: usize = 20;
const TARGETS_OF_POLICY_MAX: usize = 50;

/// Seconds for which a place is left alone after a page.
const FOLD_S: RangeInclusive<u32> = 0..=900;

/// A bundle in which everything is right.
pub(super) struct Checked {
    pub(super) plans: BTreeMap<String, Plan>,
    pub(super) roster: Roster,
    pub(super) templates: Templates,
    pub(super) quiet: Quiet,
    pub(super) stakeholders: Stakeholders,
    pub(super) routes: Vec<(Matches, String)>,
}

/// Checks a bundle as a whole.
pub(super) fn all(bundle: &Bundle, receivers: Option<&BTreeSet<String>>) -> Result<Checked, ConfigErrors> {
    let mut check = Check { errors: Vec::new(), receivers };
    check.limits(&bundle.escalate);
    let mut roster = check.people(&bundle.people);
    check.schedules(&bundle.schedules, &mut roster);
    check.within(&[key("policy")], "policies", bundle.policy.len(), &(1..=POLICIES_MAX));
    let plans: BTreeMap<_, _> = bundle
        .policy
        .iter()
        .map(|(name, policy)| (name.clone(), check.plan(name, policy, &roster)))
        .collect();
    let routes = check.routes(&bundle.route, &plans);
    let quiet = check.silences(&bundle.silences, &roster);
    let stakeholders = check.stakeholders(&bundle.stakeholders, &roster);
    let templates = check.templates(&bundle.templates);
    match templates {
        Some(templates) if check.errors.is_empty() => {
            check.audiences(&bundle.people, &templates);
            check.told_audiences(&bundle.stakeholders, &templates);
            if check.errors.is_empty() {
                return Ok(Checked { plans, roster, templates, quiet, stakeholders, routes });
            }
        }
        _ => (),
    }
    Err(ConfigErrors(check.errors))
}

struct Check<'a> {
    errors: Vec<ConfigError>,
    /// `None` when the receivers are not to be checked.
    receivers: Option<&'a BTreeSet<String>>,
}

fn key(name: &str) -> At {
    At::Key(name.into())
}

impl Check<'_> {
    fn wrong(&mut self, path: &[At], why: String) {
        self.errors.push(ConfigError { path: path.to_vec(), why });
    }

    fn within<N: PartialOrd + std::fmt::Display>(
        &mut self,
        path: &[At],
        what: &str,
        value: N,
        range: &RangeInclusive<N>,
    ) {
        if !range.contains(&value) {
            let (low, high) = (range.start(), range.end());
            self.wrong(path, format!("{what} = {value} is not between {low} and {high}"));
        }
    }

    fn limits(&mut self, e: &EscalateConfig) {
        for (name, value, range) in [
            ("catch_up_delay_s", e.catch_up_delay_s, 1..=3600),
            ("lease_s", e.lease_s, 2..=300),
            ("fold_s", e.fold_s, FOLD_S),
            ("attempts_max", e.attempts_max, 1..=50),
            ("in_flight_max", e.in_flight_max, 1..=1000),
            ("hold_max_s", e.hold_max_s, 60..=31 * 86_400),
            ("incidents_max", e.incidents_max, 1..=1_000_000),
            ("ended_keep_s", e.ended_keep_s, 60..=31 * 86_400),
            ("ended_max", e.ended_max, 1..=1_000_000),
            ("pages_max", e.pages_max, 10..=1000),
            ("timeline_max", e.timeline_max, 1..=1000),
            ("commands_max", e.commands_max, 1..=100_000),
            ("silence_max_s", e.silence_max_s, 60..=31 * 86_400),
            ("silences_max", e.silences_max, 1..=1000),
        ] {
            self.within(&[key("escalate"), key(name)], name, value, &range);
        }
    }

    fn plan(&mut self, name: &str, policy: &PolicyConfig, roster: &Roster) -> Plan {
        let at = |field: &str| [key("policy"), key(name), key(field)];
        if name.is_empty() || name.len() > 64 {
            self.wrong(&[key("policy"), key(name)], "a policy's name has 1 to 64 bytes".into());
        }
        self.within(&at("steps"), "steps", policy.steps.len(), &(1..=STEPS_MAX));
        self.within(&at("repeat"), "repeat", policy.repeat, &(1..=1000));
        for (field, value) in [
            ("acknowledge_expires_s", policy.acknowledge_expires_s),
            ("mitigation_expires_s", policy.mitigation_expires_s),
        ] {
            self.within(&at(field), field, value, &(1..=31 * 86_400));
        }
        let steps: Vec<_> = policy
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| self.step(&[at("steps").as_slice(), &[At::Index(i)]].concat(), step, roster))
            .collect();
        if policy.until_owned {
            self.last_step(&at("steps"), &steps, roster);
            self.calls_at_once(&at("steps"), &policy.steps);
        }
        let targets = steps.iter().map(|s| s.targets.len()).sum();
        self.within(&at("steps"), "targets of all steps", targets, &(0..=TARGETS_OF_POLICY_MAX));
        let fallback = policy.fallback.as_ref().and_then(|text| self.target(&at("fallback"), text));
        if let Some(fallback) = &fallback {
            let reach =
                |s: &Step| s.targets.iter().flat_map(|w| roster.reach(w, s.by, None)).collect::<Vec<_>>();
            let mut receivers = steps.iter().flat_map(reach).map(|a| a.target.receiver);
            if receivers.all(|r| r == fallback.receiver) {
                self.wrong(
                    &at("fallback"),
                    format!(
                        "fallback is on {:?} like every step, so it would fail with them; name another receiver",
                        fallback.receiver
                    ),
                );
            }
        }
        Plan {
            steps,
            repeat: policy.repeat,
            until_owned: policy.until_owned,
            acknowledge_expires_ms: i64::from(policy.acknowledge_expires_s) * 1000,
            mitigation_expires_ms: i64::from(policy.mitigation_expires_s) * 1000,
            fallback,
            taking: self.taking(name, policy, roster),
            respond_within_ms: (policy.respond_within_s > 0)
                .then(|| i64::from(policy.respond_within_s) * 1000),
        }
    }

    fn step(&mut self, at: &[At], step: &StepConfig, roster: &Roster) -> Step {
        let path = |field: &str| [at, &[key(field)]].concat();
        self.within(&path("delay_s"), "delay_s", step.delay_s, &(1..=7 * 86_400));
        self.within(&path("targets"), "targets", step.targets.len(), &(1..=TARGETS_MAX));
        let targets = self.whom(&path("targets"), "in this step", &step.targets, roster);
        for (i, whom) in targets.iter().enumerate() {
            let at = [path("targets"), vec![At::Index(i)]].concat();
            let class = step.by.name();
            match whom {
                // A role that nobody has is told of when it is called.
                Whom::Role(_) => (),
                Whom::Schedule(_) => {
                    let person = |name: &&str| Whom::Person((*name).to_owned());
                    let unreached = |p: &&str| roster.reach(&person(p), step.by, None).is_empty();
                    if let Some(p) = roster.people(whom, None).into_iter().find(unreached) {
                        let why =
                            format!("{p} may be on call by {whom}, and has no `{class}` in their contacts");
                        self.wrong(&at, why);
                    }
                }
                Whom::At(_) | Whom::Person(_) | Whom::Team(_) => {
                    if roster.reach(whom, step.by, None).is_empty() {
                        let why = format!(
                            "{whom} has no `{class}` in its contacts, so this step would reach nobody"
                        );
                        self.wrong(&at, why);
                    }
                }
            }
        }
        let when =
            When::new(&step.when, &roster.anyone.zone, &roster.calendars).unwrap_or_else(|(field, why)| {
                self.wrong(&[at, &[key("when"), key(field)]].concat(), why);
                When::always()
            });
        let digest = self.digest(&[at, &[key("digest")]].concat(), &step.digest, roster);
        Step { targets, by: step.by, when, digest, delay_ms: i64::from(step.delay_s) * 1000 }
    }

    /// The one that repeats must hold always and reach somebody, or an incident could fall silent.
    fn last_step(&mut self, at: &[At], steps: &[Step], roster: &Roster) {
        let Some(last) = steps.last() else { return };
        let at = [at, &[At::Index(steps.len() - 1)]].concat();
        if !last.when.is_always() {
            let why = "the last step repeats until somebody owns the incident, so it cannot have a condition; \
                       add a step without `when` after it";
            self.wrong(&[at.as_slice(), &[key("when")]].concat(), why.into());
        }
        let may_be_nobody = |whom: &Whom| match whom {
            Whom::Schedule(name) => roster.schedules.get(name).is_none_or(|s| s.may_be_empty),
            Whom::At(_) | Whom::Person(_) | Whom::Team(_) | Whom::Role(_) => {
                roster.reach(whom, last.by, None).is_empty()
            }
        };
        if !last.targets.is_empty() && last.targets.iter().all(may_be_nobody) {
            let why = "the last step repeats until somebody owns the incident, and it may come to a time at which nobody \
                       would be reached by it; add somebody who always is";
            self.wrong(&[at.as_slice(), &[key("targets")]].concat(), why.into());
        }
    }

    /// What somebody must own cannot wait for a digest.
    fn calls_at_once(&mut self, at: &[At], steps: &[StepConfig]) {
        for (i, _) in steps.iter().enumerate().filter(|(_, step)| !step.digest.is_at_once()) {
            let why = "its pages would wait while nobody owns the incident; a digest is for tickets, whose policy says \
                       `until_owned = false`";
            self.wrong(&[at, &[At::Index(i), key("digest")]].concat(), why.into());
        }
    }

    fn taking(&mut self, name: &str, policy: &PolicyConfig, roster: &Roster) -> Taking {
        let at = |field: &str| [key("policy"), key(name), key(field)];
        let by = self.whom(&at("acknowledge_by"), "here", &policy.acknowledge_by, roster);
        for (i, whom) in by.iter().enumerate() {
            if matches!(whom, Whom::At(_)) {
                let why =
                    format!("{whom} is a place, not somebody: name a person, a team, a role or a schedule");
                self.wrong(&[at("acknowledge_by").as_slice(), &[At::Index(i)]].concat(), why);
            }
        }
        let quorum = policy.acknowledge_quorum;
        self.within(&at("acknowledge_quorum"), "acknowledge_quorum", quorum, &(1..=20));
        self.within(&at("respond_within_s"), "respond_within_s", policy.respond_within_s, &(0..=7 * 86_400));
        if policy.acknowledge_each && (quorum > 1 || by.is_empty()) {
            let why = "acknowledge_each takes one of each entry of acknowledge_by: name them, and leave acknowledge_quorum out";
            self.wrong(&at("acknowledge_each"), why.into());
        }
        let people: BTreeSet<&str> = by.iter().flat_map(|whom| roster.people(whom, None)).collect();
        if !by.is_empty() && people.len() < quorum as usize {
            let why = format!("it takes {quorum} people of these, and there are {}", people.len());
            self.wrong(&at("acknowledge_by"), why);
        }
        Taking { by, need: if policy.acknowledge_each { Need::Each } else { Need::People(quorum) } }
    }

    fn templates(&mut self, own: &BTreeMap<String, String>) -> Option<Templates> {
        self.within(&[key("templates")], "templates", own.len(), &(0..=TEMPLATES_MAX));
        for (name, text) in own {
            self.within(&[key("templates"), key(name)], "bytes", text.len(), &(1..=TEMPLATE_MAX));
        }
        match Templates::new(own) {
            Ok(templates) => Some(templates),
            Err(bad) => {
                for bad in bad {
                    self.wrong(&[key("templates"), key(&bad.name)], bad.why);
                }
                None
            }
        }
    }

    fn whom(&mut self, path: &[At], place: &str, texts: &[String], roster: &Roster) -> Vec<Whom> {
        let mut targets: Vec<Whom> = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let path = [path, &[At::Index(i)]].concat();
            let Some(target) = self.one(&path, text, roster) else { continue };
            if targets.contains(&target) {
                self.wrong(&path, format!("{text:?} stands twice {place}; name it once"));
            } else {
                targets.push(target);
            }
        }
        targets
    }

    fn one(&mut self, path: &[At], text: &str, roster: &Roster) -> Option<Whom> {
        let whom = match Whom::parse(text) {
            Some(whom @ (Whom::Person(_) | Whom::Team(_) | Whom::Role(_) | Whom::Schedule(_))) => whom,
            Some(Whom::At(_)) | None => return self.target(path, text).map(Whom::At),
        };
        let (name, known, table): (_, Vec<&String>, _) = match &whom {
            Whom::Person(name) => (name, roster.people.keys().collect(), "[person.NAME]"),
            Whom::Team(name) => (name, roster.teams.keys().collect(), "[team.NAME]"),
            Whom::Role(name) => (name, roster.roles.keys().collect(), "[role.NAME]"),
            Whom::Schedule(name) => (name, roster.schedules.keys().collect(), "[schedule.NAME]"),
            Whom::At(_) => return Some(whom),
        };
        if !known.contains(&name) {
            let hint = hint(name, known.iter().map(|k| k.as_str()), table);
            self.wrong(path, format!("there is no {whom}; {hint}"));
            return None;
        }
        Some(whom)
    }

    fn target(&mut self, path: &[At], text: &str) -> Option<Target> {
        let parts = text.split_once('/').filter(|(r, t)| !r.is_empty() && !t.is_empty());
        let Some((receiver, target)) = parts.filter(|_| text.len() <= 256) else {
            self.wrong(
                path,
                format!("{text:?} is not `receiver/target`, such as \"inbox/on-call\", nor `person:`, `team:`, `role:` or `schedule:` and a name"),
            );
            return None;
        };
        if let Some(known) = self.receivers.filter(|r| !r.contains(receiver)) {
            let hint = hint(receiver, known.iter().map(String::as_str), "[receiver.NAME]");
            self.wrong(path, format!("{text:?}: there is no receiver {receiver:?}; {hint}"));
            return None;
        }
        Some(Target { receiver: receiver.into(), target: target.into() })
    }

    fn routes(&mut self, routes: &[RouteConfig], plans: &BTreeMap<String, Plan>) -> Vec<(Matches, String)> {
        let checked: Vec<_> = routes.iter().map(|r| (r.conditions(), r.policy.clone())).collect();
        self.within(&[key("route")], "routes", routes.len(), &(1..=ROUTES_MAX));
        for (i, route) in routes.iter().enumerate() {
            let at = [key("route"), At::Index(i), key("policy")];
            let name = &route.policy;
            match plans.get(name) {
                None => {
                    let hint = hint(name, plans.keys().map(String::as_str), "[policy.NAME]");
                    self.wrong(&at, format!("there is no policy {name:?}; {hint}"));
                }
                Some(plan) if !plan.until_owned && route.takes_pages() => self.wrong(
                    &at,
                    format!(
                        "sev1 and sev2 can come this way, but policy {name:?} falls silent (until_owned = false); \
                         set `severity = [\"sev3\", \"sev4\"]` on this route or name a policy that pages until owned"
                    ),
                ),
                Some(_) => (),
            }
            let conditions = &checked[i].0;
            self.patterns(&at[..2], conditions);
            if conditions.is_everything() && i + 1 < routes.len() {
                let at = &at[..2];
                self.wrong(at, "has no condition, so no route after it is ever asked; put it last".into());
            }
        }
        if !checked.last().is_some_and(|(conditions, _)| conditions.is_everything()) {
            let first = plans.iter().find(|(_, p)| p.until_owned).map_or("page", |(name, _)| name);
            self.wrong(
                &[key("route")],
                format!(
                    "an incident that matches no route would reach nobody; \
                     end with a [[route]] without conditions, such as `policy = {first:?}`"
                ),
            );
        }
        checked
    }
}

/// What may have been meant: the nearest of the known names, or all of them.
fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone, table: &str) -> String {
    let nearest = known.clone().map(|k| (distance(name, k), k)).min();
    match nearest {
        None => format!("none is defined, add a {table}"),
        Some((d, k)) if d <= 1 + name.chars().count() / 3 => format!("did you mean {k:?}?"),
        Some(_) => {
            let names: Vec<_> = known.take(10).map(|k| format!("{k:?}")).collect();
            format!("known: {}", names.join(", "))
        }
    }
}

/// Letters to insert, remove or change to make one of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("inbox", "inbx", 1)] {
            assert_eq!(distance(a, b), want);
            assert_eq!(distance(b, a), want);
        }
    }
}
