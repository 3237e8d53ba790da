//! Where an undecodable record stands and why: never its bytes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    pub reason: Reason,
    /// What was wrong and where in the record, without any of its values.
    pub detail: String,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not JSON, or cut short.
    Malformed,
    /// A required field is missing.
    Missing,
    /// A field has a type or a value that it cannot have.
    Invalid,
    /// Empty value.
    Empty,
    /// Larger than `record_bytes_max`.
    TooLarge,
    /// More than `ahead_max_s` beyond the rest of its partition.
    Ahead,
    /// `specversion`, content type or `kind` that this version does not read.
    Unsupported,
}

impl Reason {
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Missing,
        Self::Invalid,
        Self::Empty,
        Self::TooLarge,
        Self::Ahead,
        Self::Unsupported,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::Ahead => "ahead",
            Self::Unsupported => "unsupported",
        }
    }
}
