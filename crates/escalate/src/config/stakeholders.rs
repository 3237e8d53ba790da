//! The tables of `stakeholders.toml`: who is told of an incident beside those who are called.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::Severity;

use super::people::Class;

/// Who is told what, by severity and audience: a matrix without an empty cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StakeholdersConfig {
    /// The audiences, by the names of their templates: each severity has a cell for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// `[tell.SEVERITY]`: what each audience is told of such an incident.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tell: BTreeMap<Severity, BTreeMap<String, CellConfig>>,
}

impl StakeholdersConfig {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One cell: either `to`, or why it is `nobody`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellConfig {
    /// Who is told: `person:NAME`, `team:NAME`, `role:NAME`, `schedule:NAME` for whoever is on call, or `receiver/target`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// By which of their contacts people are told.
    #[serde(default, skip_serializing_if = "Class::is_page")]
    pub by: Class,
    /// When, if not at once.
    #[serde(default, skip_serializing_if = "DigestConfig::is_at_once")]
    pub digest: DigestConfig,
    /// Why nobody of this audience is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nobody: Option<String>,
}

/// A message that may wait, so that it goes with others to the same place and disturbs nobody at night.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestConfig {
    /// The greatest delay in seconds: what comes to the same place by then goes as one message.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub within_s: u32,
    /// Hours of the day in which it may be told, such as `09:00-17:30`: what would come at another waits for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// Days of the week: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; `holiday` with a calendar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// Which calendar of holidays of `schedules.toml`: its days are `holiday`, and not what they are of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<String>,
    /// Time zone of hours and days; that of `people.toml` if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl DigestConfig {
    #[must_use]
    pub fn is_at_once(&self) -> bool {
        *self == Self::default()
    }
}
