//! Everything that can be wrong in a bundle, said so that it can be put right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::{Plan, Step, Target};
use crate::config::{At, Bundle, ConfigError, ConfigErrors, EscalateConfig, PolicyConfig, RouteConfig};

/// Most routes, policies, steps of one, targets of a step and of a policy: above any use, so that nothing is unbounded.
const ROUTES_MAX: usize = 1000;
const POLICIES_MAX: usize = 1000;
const STEPS_MAX: usize = 20;
const TARGETS_MAX: usize = 20;
const TARGETS_OF_POLICY_MAX: usize = 50;

/// The plans of a bundle in which everything is right.
pub(super) fn plans(
    bundle: &Bundle,
    receivers: Option<&BTreeSet<String>>,
) -> Result<BTreeMap<String, Plan>, ConfigErrors> {
    let mut check = Check { errors: Vec::new(), receivers };
    check.limits(&bundle.escalate);
    check.within(&[key("policy")], "policies", bundle.policy.len(), &(1..=POLICIES_MAX));
    let plans: BTreeMap<_, _> =
        bundle.policy.iter().map(|(name, policy)| (name.clone(), check.plan(name, policy))).collect();
    check.routes(&bundle.route, &plans);
    if check.errors.is_empty() { Ok(plans) } else { Err(ConfigErrors(check.errors)) }
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
            ("attempts_max", e.attempts_max, 1..=50),
            ("in_flight_max", e.in_flight_max, 1..=1000),
            ("hold_max_s", e.hold_max_s, 60..=31 * 86_400),
            ("incidents_max", e.incidents_max, 1..=1_000_000),
            ("ended_keep_s", e.ended_keep_s, 60..=31 * 86_400),
            ("ended_max", e.ended_max, 1..=1_000_000),
            ("pages_max", e.pages_max, 10..=1000),
            ("timeline_max", e.timeline_max, 1..=1000),
            ("commands_max", e.commands_max, 1..=100_000),
        ] {
            self.within(&[key("escalate"), key(name)], name, value, &range);
        }
    }

    fn plan(&mut self, name: &str, policy: &PolicyConfig) -> Plan {
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
            .map(|(i, step)| {
                let [policy, name, steps] = at("steps");
                let path =
                    |field: &str| [policy.clone(), name.clone(), steps.clone(), At::Index(i), key(field)];
                self.within(&path("delay_s"), "delay_s", step.delay_s, &(1..=7 * 86_400));
                self.within(&path("targets"), "targets", step.targets.len(), &(1..=TARGETS_MAX));
                let targets = self.targets(&path("targets"), &step.targets);
                Step { targets, delay_ms: i64::from(step.delay_s) * 1000 }
            })
            .collect();
        let targets = steps.iter().map(|s| s.targets.len()).sum();
        self.within(&at("steps"), "targets of all steps", targets, &(0..=TARGETS_OF_POLICY_MAX));
        let fallback = policy.fallback.as_ref().and_then(|text| self.target(&at("fallback"), text));
        if let Some(fallback) = &fallback {
            let mut receivers = steps.iter().flat_map(|s| &s.targets).map(|t| &t.receiver);
            if receivers.all(|r| *r == fallback.receiver) {
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
        }
    }

    fn targets(&mut self, path: &[At], texts: &[String]) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let path = [path, &[At::Index(i)]].concat();
            let Some(target) = self.target(&path, text) else { continue };
            if targets.contains(&target) {
                self.wrong(&path, format!("{text:?} stands twice in this step; name it once"));
            } else {
                targets.push(target);
            }
        }
        targets
    }

    fn target(&mut self, path: &[At], text: &str) -> Option<Target> {
        let parts = text.split_once('/').filter(|(r, t)| !r.is_empty() && !t.is_empty());
        let Some((receiver, target)) = parts.filter(|_| text.len() <= 256) else {
            self.wrong(path, format!("{text:?} is not `receiver/target`, such as \"inbox/on-call\""));
            return None;
        };
        if let Some(known) = self.receivers.filter(|r| !r.contains(receiver)) {
            let hint = hint(receiver, known.iter().map(String::as_str), "[receiver.NAME]");
            self.wrong(path, format!("{text:?}: there is no receiver {receiver:?}; {hint}"));
            return None;
        }
        Some(Target { receiver: receiver.into(), target: target.into() })
    }

    fn routes(&mut self, routes: &[RouteConfig], plans: &BTreeMap<String, Plan>) {
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
            if route.is_catch_all() && i + 1 < routes.len() {
                let at = &at[..2];
                self.wrong(at, "has no condition, so no route after it is ever asked; put it last".into());
            }
        }
        if !routes.last().is_some_and(RouteConfig::is_catch_all) {
            let first = plans.iter().find(|(_, p)| p.until_owned).map_or("page", |(name, _)| name);
            self.wrong(
                &[key("route")],
                format!(
                    "an incident that matches no route would reach nobody; \
                     end with a [[route]] without conditions, such as `policy = {first:?}`"
                ),
            );
        }
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
