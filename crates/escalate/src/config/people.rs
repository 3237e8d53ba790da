//! The tables of `people.toml`: who there is, how they are reached, and what they are told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// People, teams and roles. A step of a policy names them as `person:NAME`, `team:NAME`, `role:NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeopleConfig {
    /// Time zone of whoever has none of their own, and of channels: a name of the IANA database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// People, by the name under which their tokens act.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub person: BTreeMap<String, PersonConfig>,
    /// Teams, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub team: BTreeMap<String, TeamConfig>,
    /// Roles that people have, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub role: BTreeMap<String, RoleConfig>,
}

/// One `[person.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonConfig {
    /// As messages name them; the key if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Time zone in which times are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Which templates speak to them: `engineer`, `scientist`, `business`, or one of your own.
    #[serde(default = "engineer")]
    pub audience: String,
    /// How they are reached.
    pub contact: ContactConfig,
    /// How often they want to be paged.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub limits: LimitsConfig,
    /// Other names under which they act, such as `slack:U0123`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
}

/// How often a person wants to be paged: what comes sooner is folded into one page. Nothing is dropped, and what is worse than
/// what they were told meanwhile comes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Seconds for which they are left alone after a page, in place of `fold_s` of `[escalate]`: 0 to 900.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold_s: Option<u32>,
    /// Most pages in an hour at each of their contacts: 6 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u32>,
}

/// One `[team.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamConfig {
    /// Who is in it, by their keys.
    pub people: Vec<String>,
    /// Channels of the team itself, beside its people.
    #[serde(default, skip_serializing_if = "ContactConfig::is_empty")]
    pub contact: ContactConfig,
    /// Time zone in which its channels are told times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Which templates speak to its channels.
    #[serde(default = "engineer")]
    pub audience: String,
}

/// One `[role.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// Who has it, by their keys. A step that calls a role which nobody has goes on to the next at once.
    pub people: Vec<String>,
}

/// Ways to reach somebody, each as `receiver/target`. All of a class are used at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactConfig {
    /// What wakes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub page: Vec<String>,
    /// What they read while they work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chat: Vec<String>,
    /// What they read some time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mail: Vec<String>,
}

/// A class of contacts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    #[default]
    Page,
    Chat,
    Mail,
}

/// Audience of whoever has none.
pub const ENGINEER: &str = "engineer";

fn engineer() -> String {
    ENGINEER.into()
}

impl PeopleConfig {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ContactConfig {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.page.is_empty() && self.chat.is_empty() && self.mail.is_empty()
    }

    #[must_use]
    pub fn of(&self, class: Class) -> &[String] {
        match class {
            Class::Page => &self.page,
            Class::Chat => &self.chat,
            Class::Mail => &self.mail,
        }
    }
}

impl Class {
    pub const ALL: [Self; 3] = [Self::Page, Self::Chat, Self::Mail];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Chat => "chat",
            Self::Mail => "mail",
        }
    }

    pub(crate) fn is_page(&self) -> bool {
        *self == Self::Page
    }
}
