//! Settings of `[telemetry]`: what is read, how it is cut, and how much of it is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hash::Keys;
use crate::decode::{Decoder, Fields};

/// Segment keys a record can be counted under beside its version.
pub const SEGMENT_KEYS_MAX: usize = 4;

/// How telemetry is read and folded. Only parsing builds one, so every value of it is usable.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawCollectConfig")]
pub struct CollectConfig {
    raw: RawCollectConfig,
    keys: Keys,
}

/// The `[telemetry]` table as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawCollectConfig {
    /// Topic of predictions, and of labels unless they have their own. Default: `tocsin.telemetry.v1`.
    pub topic: Option<String>,
    /// Which member of a record is which field.
    pub fields: Fields,
    /// Another member to take the version from where a record has none, such as `metadata.image`. Without one
    /// such predictions are counted under the version `unknown`.
    pub version_from: Option<String>,
    /// Keys of `segments` to count by, beside the whole version. At most 4; each costs as much again.
    pub segments: Vec<String>,
    /// Width of a pane, the smallest slice of event time. 1 to 3600.
    pub pane_s: u64,
    /// How far out of order predictions may come. 0 to 86400. Later ones are counted as late and left out.
    pub lateness_s: u64,
    /// How far a prediction may be ahead of the others of its partition before it is refused. At least
    /// `pane_s` and `lateness_s`.
    pub ahead_max_s: u64,
    /// A partition is idle when it was read to its end and nothing came for so long.
    pub idle_s: u64,
    /// Larger records are refused. 1 KiB to 64 MiB.
    pub record_bytes_max: u64,
    /// Models told apart in one partition; the rest are counted as `__other__`.
    pub models_max: u32,
    /// Versions told apart of one model; the rest are counted as `__other__`.
    pub versions_max: u32,
    /// Segments told apart of one version; the rest are counted as `__other__`.
    pub segments_max: u32,
    /// Features told apart while a version has no profile. 1 to 4096.
    pub features_max: u32,
    /// Categories told apart of one feature while a version has no profile. 1 to 65536.
    pub categories_max: u32,
    /// How labels find their predictions.
    pub labels: LabelsConfig,
    /// How repeated predictions are told.
    pub duplicates: DuplicatesConfig,
    /// What may leave the process in clear.
    pub privacy: PrivacyConfig,
}

/// The `[telemetry.labels]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LabelsConfig {
    /// Topic of labels, where they have their own: with the partitions, keys and partitioner of the predictions.
    pub topic: Option<String>,
    /// Predictions of a version and pane that wait for their label; chosen by id. 1 to 65536.
    pub per_pane: u32,
    /// How long a prediction waits for its label, in event time.
    pub wait_s: u64,
    /// Predictions that wait in one partition, 32 bytes each; beyond, the oldest go.
    pub waiting_max: u32,
}

/// The `[telemetry.duplicates]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DuplicatesConfig {
    /// How long a prediction id is remembered, in event time. 0 turns it off.
    pub window_s: u64,
    /// Ids remembered in one partition, some 20 bytes each; beyond, the oldest go.
    pub ids_max: u32,
}

/// The `[telemetry.privacy]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// Environment variable that holds the secret of the keyed hashes. The same for every process.
    pub key_env: Option<String>,
    /// File that holds it.
    pub key_file: Option<String>,
    /// Features whose categories may be named in clear: `feature`, or `model/feature`. `prediction` stands for
    /// the predicted classes.
    pub public: Vec<String>,
}

impl Default for RawCollectConfig {
    fn default() -> Self {
        Self {
            topic: None,
            fields: Fields::default(),
            version_from: None,
            segments: Vec::new(),
            pane_s: 10,
            lateness_s: 5,
            ahead_max_s: 6 * 3600,
            idle_s: 30,
            record_bytes_max: 1 << 20,
            models_max: 1024,
            versions_max: 32,
            segments_max: 32,
            features_max: 256,
            categories_max: 256,
            labels: LabelsConfig::default(),
            duplicates: DuplicatesConfig::default(),
            privacy: PrivacyConfig::default(),
        }
    }
}

impl Default for LabelsConfig {
    fn default() -> Self {
        Self { topic: None, per_pane: 64, wait_s: 90 * 86_400, waiting_max: 1_000_000 }
    }
}

impl Default for DuplicatesConfig {
    fn default() -> Self {
        Self { window_s: 60, ids_max: 500_000 }
    }
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self::try_from(RawCollectConfig::default()).expect("the defaults are valid")
    }
}

impl JsonSchema for CollectConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Telemetry".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawCollectConfig::json_schema(generator)
    }
}

impl TryFrom<RawCollectConfig> for CollectConfig {
    type Error = String;

    fn try_from(raw: RawCollectConfig) -> Result<Self, String> {
        const DAY_S: u64 = 86_400;
        for (name, value, least, most) in [
            ("pane_s", raw.pane_s, 1, 3600),
            ("lateness_s", raw.lateness_s, 0, DAY_S),
            ("ahead_max_s", raw.ahead_max_s, raw.pane_s.max(raw.lateness_s), 3650 * DAY_S),
            ("idle_s", raw.idle_s, 1, DAY_S),
            ("record_bytes_max", raw.record_bytes_max, 1 << 10, 1 << 26),
            ("models_max", raw.models_max.into(), 1, 1_000_000),
            ("versions_max", raw.versions_max.into(), 1, 100_000),
            ("segments_max", raw.segments_max.into(), 1, 255),
            ("features_max", raw.features_max.into(), 1, 4096),
            ("categories_max", raw.categories_max.into(), 1, 65_536),
            ("labels.per_pane", raw.labels.per_pane.into(), 1, 65_536),
            ("labels.wait_s", raw.labels.wait_s, raw.pane_s, 3650 * DAY_S),
            ("labels.waiting_max", raw.labels.waiting_max.into(), 1, 100_000_000),
            ("duplicates.window_s", raw.duplicates.window_s, 0, 7 * DAY_S),
            ("duplicates.ids_max", raw.duplicates.ids_max.into(), 1, 100_000_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} = {value} is not within {least} to {most}"));
            }
        }
        if !DAY_S.is_multiple_of(raw.pane_s) {
            return Err(format!("pane_s = {} does not divide a day", raw.pane_s));
        }
        if raw.segments.len() > SEGMENT_KEYS_MAX {
            return Err(format!("segments has {} keys, {SEGMENT_KEYS_MAX} is the most", raw.segments.len()));
        }
        if let Some(key) =
            raw.segments.iter().enumerate().find_map(|(i, k)| raw.segments[..i].contains(k).then_some(k))
        {
            return Err(format!("segments names `{key}` twice"));
        }
        if raw.privacy.key_env.is_some() && raw.privacy.key_file.is_some() {
            return Err("privacy has both key_env and key_file; one is enough".into());
        }
        let config = Self { raw, keys: Keys::new(b"tocsin") };
        config.decoder().map_err(|e| e.to_string())?;
        Ok(config)
    }
}

impl CollectConfig {
    /// The same with hashes keyed by `secret`. Until then they are keyed by a constant, so that whoever knows
    /// this program can test which value a hash belongs to.
    #[must_use]
    pub fn keyed(mut self, secret: &[u8]) -> Self {
        self.keys = Keys::new(secret);
        self
    }

    /// The table as written, with its defaults.
    #[must_use]
    pub fn raw(&self) -> &RawCollectConfig {
        &self.raw
    }

    /// Keys of all hashes that leave the process.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.keys
    }

    /// Width of a pane in milliseconds.
    #[must_use]
    pub fn pane_ms(&self) -> i64 {
        ms(self.raw.pane_s)
    }

    pub(crate) fn lateness_ms(&self) -> i64 {
        ms(self.raw.lateness_s)
    }

    pub(crate) fn ahead_max_ms(&self) -> i64 {
        ms(self.raw.ahead_max_s)
    }

    pub(crate) fn wait_ms(&self) -> i64 {
        ms(self.raw.labels.wait_s)
    }

    pub(crate) fn duplicates_ms(&self) -> i64 {
        ms(self.raw.duplicates.window_s)
    }

    /// True if categories of `feature` of `model` may leave in clear.
    pub(crate) fn is_public(&self, model: &str, feature: &str) -> bool {
        self.raw.privacy.public.iter().any(|public| {
            public == feature || public.split_once('/').is_some_and(|(m, f)| m == model && f == feature)
        })
    }

    /// A decoder of what this config reads.
    ///
    /// # Errors
    /// When two fields cannot be told apart.
    #[expect(clippy::missing_panics_doc, reason = "parsing has checked the bound")]
    pub fn decoder(&self) -> Result<Decoder, crate::decode::FieldsError> {
        let raw = &self.raw;
        let most = usize::try_from(raw.record_bytes_max).expect("at most 64 MiB");
        Decoder::new(&raw.fields, raw.version_from.as_deref(), &raw.segments, most)
    }
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds * 1000).expect("at most ten years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused() {
        for (json, want) in [
            (r#"{"pane_s": 0}"#, "pane_s = 0 is not within 1 to 3600"),
            (r#"{"pane_s": 7}"#, "pane_s = 7 does not divide a day"),
            (r#"{"ahead_max_s": 3}"#, "ahead_max_s = 3 is not within 10 to 315360000"),
            (r#"{"segments": ["a", "b", "a"]}"#, "segments names `a` twice"),
            (r#"{"segments": ["a", "b", "c", "d", "e"]}"#, "segments has 5 keys, 4 is the most"),
            (
                r#"{"fields": {"score": "model"}}"#,
                "`model` for `score` is taken by another field, or lies within one",
            ),
            (r#"{"version_from": "a..b"}"#, "`a..b` for `version_from` has an empty part"),
            (
                r#"{"privacy": {"key_env": "A", "key_file": "b"}}"#,
                "privacy has both key_env and key_file; one is enough",
            ),
        ] {
            let error = serde_json::from_str::<CollectConfig>(json).expect_err(json).to_string();
            assert_eq!(error, want, "{json}");
        }
        let unknown =
            serde_json::from_str::<CollectConfig>(r#"{"pane": 1}"#).expect_err("unknown").to_string();
        assert!(unknown.contains("unknown field `pane`"), "{unknown}");
    }

    #[test]
    fn the_schema_is_that_of_the_table() {
        let schema = schemars::schema_for!(CollectConfig).to_value();
        assert!(schema["properties"]["pane_s"]["description"].is_string(), "{schema}");
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn public_features_by_name_or_by_model() {
        let config: CollectConfig =
            serde_json::from_str(r#"{"privacy": {"public": ["country", "fraud/tier"]}}"#).expect("fine");
        for (model, feature, want) in [
            ("any", "country", true),
            ("fraud", "tier", true),
            ("ranking", "tier", false),
            ("fraud", "x", false),
        ] {
            assert_eq!(config.is_public(model, feature), want, "{model}/{feature}");
        }
    }
}
