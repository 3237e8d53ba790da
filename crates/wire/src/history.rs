//! One record per closed pane of a model version: what was counted, what was concluded.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, Effect, Family, Timestamp};

/// Most bytes of a record, written as JSON: of a very wide model some streams are left out.
pub const HISTORY_BYTES_MAX: usize = 256 * 1024;

/// A closed pane, as the judge saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    pub model: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Event time covered: start, end.
    pub window: [Timestamp; 2],
    pub predictions: u64,
    pub status: BTreeMap<String, u64>,
    /// Latency quantiles in ms by name: p50, p95, p99.
    pub latency_ms: BTreeMap<String, f64>,
    pub labels: u64,
    /// Measures for people by name: accuracy, f1, mae, `psi.FEATURE`, …
    pub measures: BTreeMap<String, f64>,
    pub streams: Vec<StreamHistory>,
    /// Of streams of inputs and predictions that have moved: where the values lie now and lay before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distributions: Vec<Distribution>,
    /// How many of the streams and measures had no room. Those in trouble, and the highest, come first.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u32,
    #[serde(default)]
    pub incomplete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Digest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's own signature")]
fn is_none(left_out: &u32) -> bool {
    *left_out == 0
}

/// One stream in a closed pane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamHistory {
    pub family: Family,
    pub name: String,
    pub verdict: Verdict,
    /// The counts that were tested, of the test that an open incident is about or that has most evidence: k of n, as an
    /// incident would say it. Of an earlier pane when `judged` is 0.
    pub k: u64,
    pub n: u64,
    /// What the reference expects of k/n.
    pub reference: f64,
    /// Spending statistics D before and after this pane: page, ticket.
    pub before: [f64; 2],
    pub after: [f64; 2],
    /// Granted in this pane from the budgets: page, ticket.
    pub granted: [f64; 2],
    /// How often it was judged within this pane.
    #[serde(default)]
    pub judged: u32,
    /// The highest D within this pane: page, ticket. An alarm is at 1 and sets D to 0.
    #[serde(default)]
    pub peak: [f64; 2],
    /// How far k/n has moved since it may have changed, as the effect gate reads it, in shares of 1. Absent while there
    /// is no evidence to speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

impl StreamHistory {
    /// A stream that has not been judged.
    #[must_use]
    pub fn new(family: Family, name: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            family,
            name: name.into(),
            verdict,
            k: 0,
            n: 0,
            reference: 0.0,
            before: [0.0; 2],
            after: [0.0; 2],
            granted: [0.0; 2],
            judged: 0,
            peak: [0.0; 2],
            effect: None,
        }
    }
}

/// The values of one stream over the bins of its reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    pub family: Family,
    /// Name of the stream: a feature, `prediction`, `score`.
    pub name: String,
    pub bins: Vec<Bin>,
}

/// One bin or category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bin {
    /// `below 18`, `18 to 65`; of a private category a keyed hash.
    pub name: String,
    /// Share in the reference.
    pub reference: f64,
    /// Records in this pane.
    pub now: u64,
}

/// A stream's state. Too little data is a verdict of its own, never silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    WarmingUp,
    InsufficientData,
    NoData,
    Drifting,
    Degraded,
    NotCalibrated,
    InvalidInput,
}
