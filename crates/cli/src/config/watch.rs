//! `[heartbeat]` and `[canary]`: who watches tocsin.

use std::collections::BTreeMap;

use detect::config::{JudgeSettings, ModelSettings};
use detect::reference::Reference;
use escalate::RouteConfig;
use receivers::ReceiverConfig;
use schemars::JsonSchema;
use serde::Deserialize;

/// Name of the canary's model.
pub const CANARY: &str = "tocsin-canary";
/// A canary's part of the budget, beside another model's.
const CANARY_WEIGHT: f64 = 0.01;

/// `[heartbeat]`: signs of life while all is well.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// Name of a receiver of type `heartbeat`.
    pub receiver: String,
    /// Seconds between two signs, 1 to 3600. Let the checker wait for three of them.
    #[serde(default = "ten")]
    pub every_s: u64,
}

const fn ten() -> u64 {
    10
}

impl HeartbeatConfig {
    pub(super) fn check(
        &self,
        receivers: &BTreeMap<String, ReceiverConfig>,
    ) -> Option<(&'static str, String)> {
        let named = &self.receiver;
        match receivers.get(named) {
            Some(ReceiverConfig::Heartbeat(_)) => (),
            Some(other) => {
                return Some((
                    "receiver",
                    format!("receiver {named:?} is of type {}, not heartbeat", other.kind()),
                ));
            }
            None => {
                return Some((
                    "receiver",
                    format!("there is no receiver {named:?}: write [receiver.{named}]"),
                ));
            }
        }
        let fine = (1..=3_600).contains(&self.every_s);
        (!fine).then(|| ("every_s", format!("every_s = {} is not between 1 and 3600", self.every_s)))
    }
}

/// `[canary]`: a model of tocsin's own whose requests fail now and then.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// Seconds from one trouble to the next: 300 beyond `[judge] recovery_s`, so that one is over when the next begins, and at
    /// most 86400. Its checker should wait for two of them.
    #[serde(default = "quarter")]
    pub every_s: u64,
}

const fn quarter() -> u64 {
    900
}

impl CanaryConfig {
    pub(super) fn check(&self, judge: &JudgeSettings) -> Option<(&'static str, String)> {
        let least = u64::from(judge.recovery_s) + 300;
        let fine = (least..=86_400).contains(&self.every_s);
        let why = || {
            format!(
                "every_s = {} is not between {least} (300 beyond [judge] recovery_s) and 86400",
                self.every_s
            )
        };
        (!fine).then(|| ("every_s", why()))
    }
}

/// What is not learned of a canary.
#[must_use]
pub fn canary_model() -> ModelSettings {
    ModelSettings { drill: true, weight: CANARY_WEIGHT, ..ModelSettings::default() }
}

/// What it is judged by: a healthy day, checked in, so that it need not be learned while it fails. A process whose canary is of
/// another version is judged by it too.
///
/// # Panics
/// Never: `tests/tests/canary.rs` makes the file and reads it.
#[must_use]
pub(super) fn canary_reference() -> Reference {
    serde_json::from_str(include_str!("canary.json")).expect("it is checked in")
}

/// Why the canary would page people; `None` if the first route that may take drills is for drills alone.
pub(super) fn canary_pages(routes: &[RouteConfig]) -> Option<String> {
    let first = routes.iter().find(|route| route.drill != Some(false))?;
    (first.drill != Some(true)).then(|| {
        format!(
            "the canary would page by policy {:?}: write a [[route]] with drill = true before it, to a policy whose target is \
             a receiver of type heartbeat",
            first.policy
        )
    })
}
