//! What surrounds the models: deployments, lineage, profiles. The context topic is compacted by `key`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::Profile;
use crate::{Subject, Timestamp};

/// A record of the context topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ContextRecord {
    Deployment(Deployment),
    Lineage(Lineage),
    Profile(Box<Profile>),
}

impl ContextRecord {
    /// Key of the record: what it describes.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Deployment(d) => format!("deployment/{}/{}", d.model, d.version),
            Self::Lineage(l) => format!("lineage/{}", l.subject),
            Self::Profile(p) => format!("profile/{}/{}/{}", p.model, p.version, p.digest),
        }
    }

    /// The model it concerns, if one: decides the panes partition that must know it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Deployment(d) => Some(&d.model),
            Self::Lineage(l) => (l.subject.kind == crate::SubjectKind::Model).then_some(&l.subject.name),
            Self::Profile(p) => Some(&p.model),
        }
    }
}

/// A model version went live, or was rolled back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    pub model: String,
    pub version: String,
    pub event_time: Timestamp,
    /// `deployed`, `rolled_back`, `retired`, `config_changed`, …
    #[serde(default = "deployed")]
    pub change: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

fn deployed() -> String {
    "deployed".into()
}

/// What a subject is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lineage {
    pub subject: Subject,
    pub event_time: Timestamp,
    /// Feature views, data sets, dependencies, at most 32.
    #[serde(default)]
    pub upstream: Vec<Subject>,
}
