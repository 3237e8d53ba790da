//! The incident: the public contract with every downstream pager.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::context::{Deployment, Lineage};
use crate::{Digest, IncidentId, Timestamp};

/// Most bytes an incident record may have as JSON.
pub const INCIDENT_BYTES_MAX: usize = 64 * 1024;

/// What a record on the incidents topic says: the signal opened, changed or cleared.
///
/// Identity: (namespace, source, subject, family), at most one open each. A consumer deduplicates by
/// (`incident_id`, `sequence`). All times are event time; what depends on the clock is a header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    pub incident_id: IncidentId,
    /// 1 at first, one more each time it re-opens within `reopen_s` of clearing.
    pub generation: u32,
    /// Counts the records of this id over all generations, from 1.
    pub sequence: u32,
    pub change: Change,
    pub namespace: String,
    pub source: Source,
    pub severity: Severity,
    pub family: Family,
    pub subject: Subject,
    /// Start of this generation.
    pub opened_at: Timestamp,
    pub changed_at: Timestamp,
    /// One line for people; no raw value of a feature.
    pub title: String,
    pub evidence: Evidence,
    #[serde(default)]
    pub context: Context,
    #[serde(default)]
    pub drill: bool,
}

impl Incident {
    /// Identity of an incident, before any is open.
    #[must_use]
    pub fn id_of(
        namespace: &str,
        source: Source,
        subject: &Subject,
        family: Family,
        first_pane: Timestamp,
    ) -> IncidentId {
        IncidentId::of(&[
            namespace.as_bytes(),
            source.name().as_bytes(),
            subject.to_string().as_bytes(),
            family.name().as_bytes(),
            &first_pane.as_ms().to_be_bytes(),
        ])
    }
}

macro_rules! names {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.name()).collect();
                    format!("{text:?} is none of {}", known.join(", "))
                })
            }
        }
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Opened,
    Updated,
    Cleared,
}
names!(Change { Opened = "opened", Updated = "updated", Cleared = "cleared" });

/// Who raised it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Detector,
    Human,
    Import,
    Dependency,
    /// tocsin about itself: a broken receiver, a stuck timer.
    #[serde(rename = "self")]
    Own,
    Drill,
}
names!(Source {
    Detector = "detector",
    Human = "human",
    Import = "import",
    Dependency = "dependency",
    Own = "self",
    Drill = "drill",
});

/// `sev1` is the worst. `sev1` and `sev2` page; `sev3` is a ticket; `sev4` is for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Sev1,
    Sev2,
    Sev3,
    Sev4,
}
names!(Severity { Sev1 = "sev1", Sev2 = "sev2", Sev3 = "sev3", Sev4 = "sev4" });

impl Severity {
    /// Whether a person is woken for it.
    #[must_use]
    pub const fn pages(self) -> bool {
        matches!(self, Self::Sev1 | Self::Sev2)
    }
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    Latency,
    Availability,
    Traffic,
    DataQuality,
    Drift,
    Prediction,
    Accuracy,
    Calibration,
    Deployment,
    Telemetry,
    Other,
}
names!(Family {
    Latency = "latency",
    Availability = "availability",
    Traffic = "traffic",
    DataQuality = "data_quality",
    Drift = "drift",
    Prediction = "prediction",
    Accuracy = "accuracy",
    Calibration = "calibration",
    Deployment = "deployment",
    Telemetry = "telemetry",
    Other = "other",
});

/// What it happened to. Text form: `kind:name[@version][#segment]`, with `%`, `@` and `#` in names escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    pub kind: SubjectKind,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
}

impl Subject {
    #[must_use]
    pub fn model(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { kind: SubjectKind::Model, name: name.into(), version: Some(version.into()), segment: None }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |t: &str| t.replace('%', "%25").replace('@', "%40").replace('#', "%23");
        write!(f, "{}:{}", self.kind, plain(&self.name))?;
        if let Some(version) = &self.version {
            write!(f, "@{}", plain(version))?;
        }
        if let Some(segment) = &self.segment {
            write!(f, "#{}", plain(segment))?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    Model,
    Dataset,
    Dependency,
    Platform,
}
names!(SubjectKind { Model = "model", Dataset = "dataset", Dependency = "dependency", Platform = "platform" });

/// The numbers behind an incident. Every number is finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What was measured, e.g. `latency.share_over_objective`, `drift.feature`.
    pub statistic: String,
    pub value: f64,
    /// What the reference says it should be.
    pub reference: f64,
    /// Unit of value, reference and effect: `share`, `ms`, `1/s`, …
    #[serde(default)]
    pub unit: String,
    pub effect: Effect,
    /// The larger of the spending statistics D; an alarm is at 1.
    pub evidence: f64,
    /// Records that the value was computed from.
    pub samples: u64,
    /// Event time that the value covers: start, end.
    pub window: [Timestamp; 2],
    /// What moved most, first.
    #[serde(default)]
    pub contributors: Vec<Contributor>,
    /// Digest of the profile that the panes were folded under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Digest>,
}

/// How much, with the limits of its confidence sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    pub estimate: f64,
    pub lower: f64,
    pub upper: f64,
}

/// One stream's part in an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contributor {
    /// Stream, e.g. `amount`, `p99`, `timeout`.
    pub name: String,
    /// Which bin or side moved and how, in words: `above 120.5: 2.1 % -> 9.8 %`.
    pub detail: String,
    pub value: f64,
    pub reference: f64,
    pub evidence: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
}

/// What surrounds the incident when it changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// How fresh each part of this context is.
    #[serde(default)]
    pub as_of: BTreeMap<String, Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// 1 is the most important; severity depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u8>,
    /// Deployments of the subject before it opened, latest first, at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<Deployment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    /// Digest of the config that judged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Digest>,
    /// Pseudonymous id of whoever raised it, where no detector did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised_by: Option<String>,
    /// True when a pane behind it closed without all of its data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_do_not_run_together() {
        let a = Subject { version: None, ..Subject::model("a@b", "") };
        let b = Subject::model("a", "b");
        assert_ne!(a.to_string(), b.to_string());
        assert_eq!(b.to_string(), "model:a@b");
    }

    #[test]
    fn names_are_what_serde_writes() {
        for family in Family::ALL {
            assert_eq!(serde_json::to_string(family).unwrap(), format!("\"{}\"", family.name()));
            assert_eq!(family.name().parse(), Ok(*family));
        }
        for source in Source::ALL {
            assert_eq!(serde_json::to_string(source).unwrap(), format!("\"{}\"", source.name()));
        }
    }
}
