//! A bundle as it may stand where nothing can be taken back.

use super::{Bundle, PolicyConfig, StepConfig};

impl Bundle {
    /// The same bundle, with another name for whoever stands in it. Routes and policies are what they were, so that
    /// who is paged can be said by it.
    ///
    /// Whatever is added to a bundle is named here: it may hold a person.
    pub(crate) fn audited(&self, pseudonym: &dyn Fn(&str) -> String) -> Self {
        let Self { namespace, route, policy, escalate } = self;
        let policy = policy.iter().map(|(name, policy)| (name.clone(), of_policy(policy, pseudonym)));
        Self {
            namespace: namespace.clone(),
            route: route.clone(),
            policy: policy.collect(),
            escalate: escalate.clone(),
        }
    }
}

fn of_policy(policy: &PolicyConfig, pseudonym: &dyn Fn(&str) -> String) -> PolicyConfig {
    let PolicyConfig { steps, repeat, until_owned, acknowledge_expires_s, mitigation_expires_s, fallback } =
        policy;
    let steps = steps.iter().map(|StepConfig { targets, delay_s }| {
        let targets = targets.iter().map(|text| of_target(text, pseudonym)).collect();
        StepConfig { targets, delay_s: *delay_s }
    });
    PolicyConfig {
        steps: steps.collect(),
        repeat: *repeat,
        until_owned: *until_owned,
        acknowledge_expires_s: *acknowledge_expires_s,
        mitigation_expires_s: *mitigation_expires_s,
        fallback: fallback.as_ref().map(|text| of_target(text, pseudonym)),
    }
}

/// `receiver/target`: what stands after the `/` may be a person.
pub(crate) fn of_target(text: &str, pseudonym: &dyn Fn(&str) -> String) -> String {
    match text.split_once('/') {
        Some((receiver, target)) => format!("{receiver}/{}", pseudonym(target)),
        None => pseudonym(text),
    }
}
