//! How the records of a model version are folded: edges, categories, objective. Public; holds no raw value of a
//! feature that is not marked public beyond its bin edges.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, Timestamp, id};

/// The fold of one model version, in force from `effective_from` (a pane start) until the next one's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    pub model: String,
    pub version: String,
    /// Of everything below but `effective_from`.
    pub digest: Digest,
    pub effective_from: Timestamp,
    pub stage: Stage,
    /// Latency edges in ms, ascending; counts over each are exact. The first may be the objective.
    pub latency_edges: Vec<f64>,
    /// Latency objective in ms, one of `latency_edges`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_objective_ms: Option<f64>,
    /// Ascending by name. `prediction` and `score` are streams of their own below.
    pub features: Vec<FeatureProfile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<FeatureProfile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<FeatureProfile>,
    pub task: Task,
    /// Regression: edges of |error| in the label's unit, ascending; counts over each are exact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_edges: Vec<f64>,
    /// Edges of the label delay in ms: a label with delay below `edges[i]` is of stratum i.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delay_edges_ms: Vec<i64>,
    /// Classification: edges of the score, ascending. How often a prediction is wrong differs with how sure it was, so
    /// labels are counted by both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub score_edges: Vec<f64>,
}

impl Profile {
    /// Sets `digest` from the rest of the profile.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "plain data always becomes JSON")]
    pub fn sealed(mut self) -> Self {
        let from = std::mem::replace(&mut self.effective_from, Timestamp::EPOCH);
        self.digest = Digest::new("");
        let text = serde_json::to_vec(&self).expect("a profile is plain data");
        self.digest = Digest::of(&[&text]);
        self.effective_from = from;
        self
    }

    /// Digest in eight bytes, as panes carry it. 0 is kept for "no profile yet".
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a hash has eight bytes")]
    pub fn short_digest(&self) -> u64 {
        let bytes = id::sha256(&[self.digest.as_str().as_bytes()]);
        u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes")).max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Centre and scale only: panes folded under it become the reference.
    Provisional,
    /// Edges are set; panes folded under it are judged.
    Final,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    #[default]
    Unknown,
    Classification,
    Regression,
}

/// How one feature is folded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureProfile {
    pub name: String,
    pub fold: FeatureFold,
    /// Category names and atoms of a public feature may leave the process in clear.
    #[serde(default)]
    pub public: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FeatureFold {
    /// Exact counts at `edges` (ascending; bin i holds `edges[i-1] <= x < edges[i]`; first and last are open) and a
    /// sketch of (x - centre)/scale. Values in `atoms` are counted apart, before the edges.
    Numeric { centre: f64, scale: f64, edges: Vec<f64>, atoms: Vec<f64> },
    /// Known categories as keyed hashes (see `privacy`), with the clear name where it may be published. Anything else
    /// is `new` when not in the reference at all, `other` when it was rare there.
    Category { known: Vec<Category>, other: Vec<u64> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Category {
    pub hash: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
