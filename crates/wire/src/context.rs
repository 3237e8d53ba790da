//! What surrounds the models: deployments, lineage, profiles, what people say of incidents. The context topic is compacted by `key`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::Profile;
use crate::{Digest, Family, IncidentId, Subject, Timestamp, parts};

/// A record of the context topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ContextRecord {
    Deployment(Deployment),
    Lineage(Lineage),
    Profile(Box<Profile>),
    /// A piece of a profile that is too large for one record.
    ProfilePart(ProfilePart),
    Feedback(Feedback),
}

impl ContextRecord {
    /// Key of the record: what it describes.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Deployment(d) => format!("deployment/{}/{}", d.model, d.version),
            Self::Lineage(l) => format!("lineage/{}", l.subject),
            Self::Profile(p) => format!("profile/{}/{}/{}", p.model, p.version, p.digest),
            Self::ProfilePart(p) => {
                format!("profile/{}/{}/{}/part/{}", p.model, p.version, p.profile, p.index)
            }
            Self::Feedback(f) => format!("feedback/{}/{}", f.incident_id, f.generation),
        }
    }

    /// The model it concerns, if one: decides the panes partition that must know it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Deployment(d) => Some(&d.model),
            Self::Lineage(l) => (l.subject.kind == crate::SubjectKind::Model).then_some(&l.subject.name),
            Self::Profile(p) => Some(&p.model),
            Self::ProfilePart(p) => Some(&p.model),
            Self::Feedback(f) => Some(&f.model),
        }
    }

    /// The same in records that a topic takes, in order, for one transaction: a large profile comes in parts.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "plain data always becomes JSON, and parts are few")]
    pub fn in_records(self) -> Vec<Self> {
        let Self::Profile(profile) = &self else { return vec![self] };
        let whole = serde_json::to_string(&self).expect("a profile is plain data");
        if whole.len() <= parts::PART_BYTES {
            return vec![self];
        }
        let pieces = parts::text(&whole);
        let count = u32::try_from(pieces.len()).expect("memory holds fewer");
        let part = |(index, text): (u32, &str)| {
            Self::ProfilePart(ProfilePart {
                model: profile.model.clone(),
                version: profile.version.clone(),
                profile: profile.digest.clone(),
                whole: parts::digest(whole.as_bytes()),
                index,
                parts: count,
                text: text.to_owned(),
            })
        };
        (0..count).zip(pieces).map(part).collect()
    }
}

/// A piece of a profile. The pieces of one `whole`, put together in the order of `index`, are the JSON of its context
/// record; with any of them missing there is no such profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfilePart {
    pub model: String,
    pub version: String,
    /// The profile's own digest.
    pub profile: Digest,
    /// Of the bytes of the text put together.
    pub whole: Digest,
    pub index: u32,
    /// How many there are.
    pub parts: u32,
    /// At most 256 KiB.
    pub text: String,
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

/// Somebody who resolved or closed an incident said that there was nothing to do about it. Written by escalation alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feedback {
    pub incident_id: IncidentId,
    pub generation: u32,
    pub model: String,
    /// Absent where the incident is about all versions: traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub family: Family,
    /// The stream that led it, as its last record says.
    pub stream: String,
    /// Event time at which this generation opened.
    pub opened_at: Timestamp,
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
