//! The tables of `schedules.toml`: who is on call when.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Schedules, and the holidays that they know. A step of a policy names one as `schedule:NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchedulesConfig {
    /// Schedules, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schedule: BTreeMap<String, ScheduleConfig>,
    /// Calendars of holidays, by name: days such as `2026-12-25`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holidays: BTreeMap<String, Vec<String>>,
}

/// One `[schedule.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Time zone of all its times, a name of the IANA database; that of `people.toml` if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// That nobody is on call at some times is meant so: then the next step pages at once, and no incident is opened about
    /// it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_be_empty: bool,
    /// Rotations. Of those that have somebody on call, those of the highest level count, all together.
    pub layer: Vec<LayerConfig>,
    /// What holds in place of all layers for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub temporary: Vec<TemporaryConfig>,
    /// Two who have each other's turns for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swap: Vec<SwapConfig>,
    /// Other people for a while; the later in the file is the last word.
    #[serde(default, rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverrideConfig>,
}

/// One `[[schedule.NAME.layer]]`: people who take turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// As `tocsin oncall` names it; its place in the list if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Above layers of a lower level.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub level: u8,
    /// Who takes turns, in order. A list in the list is a turn of several, an empty one of nobody.
    pub people: Vec<TurnConfig>,
    /// How long a turn is: `12 hours`, `1 day`, `2 weeks`, `1 month`.
    pub turn: String,
    /// A time at which the first of the people takes over, such as `2026-03-02 09:00`. Turns go on from there, before it
    /// too.
    pub handover: String,
    /// The layer holds from then; always, if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// It holds until before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// It holds within any of these hours only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<HoursConfig>,
}

/// Who has a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TurnConfig {
    One(String),
    Several(Vec<String>),
}

/// Hours of the day on days of the week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoursConfig {
    /// Such as `09:00-17:30`; `22:00-06:00` goes over midnight. All day, if they are not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`, `holiday`. Every day, if they are not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// Which calendar of holidays: its days are `holiday`, and not what they are of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<String>,
}

/// One `[[schedule.NAME.temporary]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemporaryConfig {
    pub from: String,
    pub until: String,
    /// Who is on call meanwhile. Outside of them nobody is.
    pub shift: Vec<ShiftConfig>,
}

/// Somebody on call, once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShiftConfig {
    pub from: String,
    pub until: String,
    pub people: Vec<String>,
}

/// One `[[schedule.NAME.swap]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwapConfig {
    pub from: String,
    pub until: String,
    /// The two.
    pub between: [String; 2],
}

/// One `[[schedule.NAME.override]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideConfig {
    pub from: String,
    pub until: String,
    /// Who is on call meanwhile; an empty list is nobody.
    pub people: Vec<String>,
    /// In whose place, where they would be on call; in everybody's, if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// Not in anybody's place, but beside them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
}

impl SchedulesConfig {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl TurnConfig {
    /// Whoever has it.
    #[must_use]
    pub fn people(&self) -> &[String] {
        match self {
            Self::One(person) => std::slice::from_ref(person),
            Self::Several(people) => people,
        }
    }
}
