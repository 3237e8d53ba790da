//! The tables of `tocsin.toml` that say who is paged, when, and until when.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::{Family, Severity, Source};

/// Everything that decides about pages, as written. [`crate::Policy::new`] checks it as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Namespace of the installation; part of the identity of tocsin's own incidents.
    pub namespace: String,
    /// Which incident goes to which policy: the first route that matches decides.
    pub route: Vec<RouteConfig>,
    /// The policies, by name.
    pub policy: BTreeMap<String, PolicyConfig>,
    /// Times and limits that hold for every policy.
    #[serde(default)]
    pub escalate: EscalateConfig,
}

/// One `[[route]]`. Every condition that is given must hold; a list holds when one of its entries does.
/// The last route has no condition and its policy pages until someone owns the incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Severities: sev1 and sev2 page, sev3 is a ticket, sev4 is for the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severity: Vec<Severity>,
    /// Families: latency, availability, traffic, data_quality, drift, prediction, accuracy, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<Family>,
    /// Names of models; `*` stands for any characters. Holds for incidents about models only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model: Vec<String>,
    /// Owners as the context of the incident names them; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner: Vec<String>,
    /// Who raised it: detector, human, import, dependency, self, drill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// True for drills only, false for all else, absent for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<bool>,
    /// Name of the policy that such an incident follows.
    pub policy: String,
}

/// One `[policy.NAME]`: who is paged one after the other, until someone owns the incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// The steps, in order. The first pages at once.
    pub steps: Vec<StepConfig>,
    /// How often the whole list is gone through before only its last step repeats.
    #[serde(default = "one")]
    pub repeat: u32,
    /// Whether the last step goes on repeating until someone owns the incident.
    /// False is for tickets: after the last round nobody is told again.
    #[serde(default = "yes")]
    pub until_owned: bool,
    /// Seconds that an acknowledgement holds unless it says otherwise; then it escalates again.
    #[serde(default = "hour")]
    pub acknowledge_expires_s: u32,
    /// Seconds that a mitigation holds unless it says otherwise; then the incident is open again.
    #[serde(default = "four_hours")]
    pub mitigation_expires_s: u32,
    /// `receiver/target` that is paged at once when a receiver refuses a page or cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// One step of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// Who is paged, each as `receiver/target`: a receiver of this config, and a person, team or channel in it.
    pub targets: Vec<String>,
    /// Seconds after this step's pages before the next step pages.
    pub delay_s: u32,
}

/// `[escalate]`: times and limits that hold for every policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EscalateConfig {
    /// Seconds between steps that are overdue after an outage: the first pages at once, the others so far apart.
    pub catch_up_delay_s: u32,
    /// Seconds that one attempt to send may take. Without an answer by then the page is sent again under the same key.
    pub lease_s: u32,
    /// Attempts per page before it has failed and the fallback is paged.
    pub attempts_max: u32,
    /// Attempts under way at one receiver; further pages wait in order.
    pub in_flight_max: u32,
    /// Longest acknowledgement or mitigation that a person may ask for, in seconds.
    pub hold_max_s: u32,
    /// Incidents that have not ended. One more is refused, counted, and tocsin pages about it.
    pub incidents_max: u32,
    /// Seconds that an ended incident is kept to be looked at, closed or re-opened.
    pub ended_keep_s: u32,
    /// Ended incidents kept; the oldest goes first.
    pub ended_max: u32,
    /// Pages remembered per incident. No further trigger is decided while so many of its pages are on their way.
    pub pages_max: u32,
    /// Responses of people remembered per incident; the topic keeps all.
    pub timeline_max: u32,
    /// Answers to commands remembered, by which a repeated command is known.
    pub commands_max: u32,
}

impl Default for EscalateConfig {
    fn default() -> Self {
        Self {
            catch_up_delay_s: 60,
            lease_s: 20,
            attempts_max: 12,
            in_flight_max: 64,
            hold_max_s: 7 * 86_400,
            incidents_max: 100_000,
            ended_keep_s: 86_400,
            ended_max: 10_000,
            pages_max: 100,
            timeline_max: 100,
            commands_max: 1000,
        }
    }
}

const fn one() -> u32 {
    1
}
const fn yes() -> bool {
    true
}
const fn hour() -> u32 {
    3600
}
const fn four_hours() -> u32 {
    4 * 3600
}

/// Where in the config something stands: keys of tables and places in lists, from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Key(String),
    Index(usize),
}

/// One thing wrong in the config: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", Path(.path))]
pub struct ConfigError {
    pub path: Vec<At>,
    /// Names the value and what would be right.
    pub why: String,
}

/// Everything wrong in the config, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

struct Path<'a>(&'a [At]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, at) in self.0.iter().enumerate() {
            match at {
                At::Key(key) if i == 0 => write!(f, "{key}")?,
                At::Key(key) => write!(f, ".{key}")?,
                At::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
