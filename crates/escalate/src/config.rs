//! The tables that say who is paged, when, and until when.

mod audited;
mod people;
mod schedules;
mod silences;
mod stakeholders;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::{Family, Matches, Severity, Source};

pub(crate) use audited::of_target;
pub use people::{
    Class, ContactConfig, ENGINEER, LimitsConfig, PeopleConfig, PersonConfig, RoleConfig, TeamConfig,
};
pub use schedules::{
    HoursConfig, LayerConfig, OverrideConfig, ScheduleConfig, SchedulesConfig, ShiftConfig, SwapConfig,
    TemporaryConfig, TurnConfig,
};
pub use silences::{InhibitConfig, MaintenanceConfig, Same, SilencesConfig};
pub use stakeholders::{CellConfig, DigestConfig, StakeholdersConfig};

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
    /// Who there is.
    #[serde(default, skip_serializing_if = "PeopleConfig::is_empty")]
    pub people: PeopleConfig,
    /// Who is on call when.
    #[serde(default, skip_serializing_if = "SchedulesConfig::is_empty")]
    pub schedules: SchedulesConfig,
    /// When nobody is paged although something fires.
    #[serde(default, skip_serializing_if = "SilencesConfig::is_empty")]
    pub silences: SilencesConfig,
    /// Who is told beside those who are called.
    #[serde(default, skip_serializing_if = "StakeholdersConfig::is_empty")]
    pub stakeholders: StakeholdersConfig,
    /// Templates of pages, by audience and kind: `engineer`, `engineer.resolve`, `default`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, String>,
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
    /// Subjects as text, such as `dataset:orders` or `dependency:*`; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject: Vec<String>,
    /// Segments; `*` stands for any characters. Holds for incidents about a segment only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segment: Vec<String>,
    /// Owners as the context of the incident names them; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner: Vec<String>,
    /// Tiers as the context of the incident names them; 1 is the most important.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tier: Vec<u8>,
    /// Who raised it: detector, human, import, dependency, self, drill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// True for drills only, false for all else, absent for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<bool>,
    /// Name of the policy that such an incident follows.
    pub policy: String,
}

impl RouteConfig {
    /// Its conditions. They stand in the table itself, where a flattened part would let unknown keys pass.
    #[must_use]
    pub fn conditions(&self) -> Matches {
        let Self { severity, family, model, subject, segment, owner, tier, source, drill, policy: _ } =
            self.clone();
        Matches { severity, family, model, subject, segment, owner, tier, source, drill }
    }

    /// True without conditions: every incident matches.
    #[must_use]
    pub fn is_catch_all(&self) -> bool {
        self.conditions().is_everything()
    }

    /// Whether a real incident that must wake somebody can come this way.
    #[must_use]
    pub fn takes_pages(&self) -> bool {
        self.drill != Some(true) && (self.severity.is_empty() || self.severity.iter().any(|s| s.pages()))
    }
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
    /// Whose acknowledgement stops the pages: `person:NAME`, `team:NAME`, `role:NAME`, `schedule:NAME`. Empty: anyone's. That of others is
    /// written down as `seen`, and stops nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acknowledge_by: Vec<String>,
    /// How many different people of these it takes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub acknowledge_quorum: u32,
    /// It takes somebody of each entry of `acknowledge_by`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acknowledge_each: bool,
    /// Seconds in which whoever acknowledged must write a note, mitigate or resolve. Then the next step pages. 0: any time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub respond_within_s: u32,
}

impl PolicyConfig {
    /// A policy of these steps, with the defaults of the file.
    #[must_use]
    pub fn of(steps: Vec<StepConfig>) -> Self {
        Self {
            steps,
            repeat: one(),
            until_owned: yes(),
            acknowledge_expires_s: hour(),
            mitigation_expires_s: four_hours(),
            fallback: None,
            acknowledge_by: vec![],
            acknowledge_quorum: one(),
            acknowledge_each: false,
            respond_within_s: 0,
        }
    }
}

/// One step of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// Who is paged: `person:NAME`, `team:NAME` and `role:NAME` of the people there are, `schedule:NAME` for whoever is on
    /// call then, or `receiver/target`, a place at a receiver of this config.
    pub targets: Vec<String>,
    /// By which of their contacts people are paged.
    #[serde(default, skip_serializing_if = "Class::is_page")]
    pub by: Class,
    /// When this step pages. Where it does not hold, the next step pages in its place, at once.
    #[serde(default, skip_serializing_if = "WhenConfig::is_empty")]
    pub when: WhenConfig,
    /// How long its pages may wait, to go with others in hours that suit. Only where nobody need own the incident
    /// (`until_owned = false`): a ticket.
    #[serde(default, skip_serializing_if = "DigestConfig::is_at_once")]
    pub digest: DigestConfig,
    /// Seconds after this step's pages before the next step pages.
    pub delay_s: u32,
}

/// Conditions of a step. All that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhenConfig {
    /// Severities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severity: Vec<Severity>,
    /// Hours of the day, such as `09:00-17:30`; `22:00-06:00` goes over midnight.
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

impl WhenConfig {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `[escalate]`: times and limits that hold for every policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EscalateConfig {
    /// Seconds between steps that are overdue after an outage: the first pages at once, the others so far apart.
    pub catch_up_delay_s: u32,
    /// Seconds that one attempt to send may take. Without an answer by then the page is sent again under the same key.
    pub lease_s: u32,
    /// Seconds for which a person, or a channel that people read, is left alone after a page: what would call them by then is
    /// folded into one page at the end of that time, unless it is worse than what they were told. 0: each page goes by itself.
    pub fold_s: u32,
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
    /// Longest silence that a person may ask for, in seconds.
    pub silence_max_s: u32,
    /// Silences at once.
    pub silences_max: u32,
}

impl Default for EscalateConfig {
    fn default() -> Self {
        Self {
            catch_up_delay_s: 60,
            lease_s: 20,
            fold_s: 60,
            attempts_max: 12,
            in_flight_max: 64,
            hold_max_s: 7 * 86_400,
            incidents_max: 100_000,
            ended_keep_s: 86_400,
            ended_max: 10_000,
            pages_max: 100,
            timeline_max: 100,
            commands_max: 1000,
            silence_max_s: 7 * 86_400,
            silences_max: 100,
        }
    }
}

const fn one() -> u32 {
    1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_one(n: &u32) -> bool {
    *n == 1
}
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
