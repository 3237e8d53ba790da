//! The tables of `silences.toml`: when nobody is paged although something fires.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::Matches;

/// Windows of maintenance, and what lies upstream of what. Silences of a moment are not here: `tocsin silence` makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilencesConfig {
    /// When work is done on what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<MaintenanceConfig>,
    /// Which incidents come from which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inhibit: Vec<InhibitConfig>,
}

/// One `[[maintenance]]`: within these hours nobody is paged about these incidents. What still fires at their end pages then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceConfig {
    /// As pages and `tocsin explain` call it.
    pub name: String,
    /// Which incidents. At least one condition.
    pub incidents: Matches,
    /// Hours of the day, such as `22:00-02:00`, which goes over midnight. All day, if they are not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`, `holiday`. Every day, if they are not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// Which calendar of holidays of `schedules.toml`: its days are `holiday`, and not what they are of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<String>,
    /// Time zone of all its times; that of `people.toml` if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// It holds from then, such as `2026-12-24 18:00`; always, if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// It holds until before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// One `[[inhibit]]`: while one of `upstream` is open, nobody is paged about what it `covers`. What still fires once it is
/// over pages then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InhibitConfig {
    /// As pages and `tocsin explain` call it.
    pub name: String,
    /// Which incidents others come from. At least one condition.
    pub upstream: Matches,
    /// Which incidents come from them. All that `same` and `lineage` leave, if there is no condition.
    #[serde(default, skip_serializing_if = "Matches::is_everything")]
    pub covers: Matches,
    /// In what the two agree: `model`, `owner`, `segment`, `tier`, `family`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<Same>,
    /// Only what has the subject of the incident upstream in its lineage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lineage: bool,
    /// Seconds from when it was first seen open for which it covers others at most.
    #[serde(default = "four_hours")]
    pub for_s: u32,
}

const fn four_hours() -> u32 {
    4 * 3600
}

/// Something in which two incidents can agree. What neither has is not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    Model,
    Owner,
    Segment,
    Tier,
    Family,
}

impl SilencesConfig {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
