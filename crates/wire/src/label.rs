//! The truth about a prediction, when it becomes known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::prediction::Value;

/// One label. It belongs to the pane of its own `event_time`, when it became known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    pub kind: LabelKind,
    pub prediction_id: String,
    pub event_time: Timestamp,
    pub value: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A label that carries its own prediction needs no join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    Label,
}
