//! One record per closed pane of a model version: what was counted, what was concluded.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, Family, Timestamp};

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
    /// The counts that were tested: k of n.
    pub k: u64,
    pub n: u64,
    /// What the reference expects of k/n.
    pub reference: f64,
    /// Spending statistics D before and after this pane: page, ticket.
    pub before: [f64; 2],
    pub after: [f64; 2],
    /// Granted in this pane from the budgets: page, ticket.
    pub granted: [f64; 2],
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
