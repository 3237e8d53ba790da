//! The outbox: an intent to page is written before anything is sent, its attempts and outcome after.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::page::Page;
use crate::{Digest, NotificationId, Timestamp};

/// Last word on one notification. Key: its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxRecord {
    pub page: Page,
    pub state: OutboxState,
    /// Attempts begun so far.
    pub attempts: u32,
    /// By the machine's recorded clock.
    pub at: Timestamp,
    /// Digest of the policy it was decided under; not part of the id.
    pub bundle: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum OutboxState {
    Intent,
    /// Waits to go with others, as its place got a page a moment ago; leaves at `until`, or before if it becomes worse.
    Held {
        until: Timestamp,
    },
    /// The request may be on its way until the lease ends, counted on the clock of whoever reads this.
    Sending {
        attempt: u32,
        lease_ms: u64,
        owner: String,
    },
    /// Next attempt at `at`.
    Retrying {
        at: Timestamp,
        reason: String,
    },
    Delivered {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// The request was written and no answer came: the same key will be sent again.
    Unknown {
        reason: String,
    },
    Failed {
        reason: String,
    },
    Cancelled {
        cause: String,
    },
    /// The page whose `folded.into` this is speaks for it.
    Folded {
        into: NotificationId,
    },
}

impl OutboxState {
    /// No attempt follows.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Delivered { .. } | Self::Failed { .. } | Self::Cancelled { .. } | Self::Folded { .. } => {
                true
            }
            Self::Intent
            | Self::Held { .. }
            | Self::Sending { .. }
            | Self::Retrying { .. }
            | Self::Unknown { .. } => false,
        }
    }
}

/// What came of one attempt; the classes all receivers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Outcome {
    /// The receiver took responsibility.
    Delivered {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// 429 or 503 with Retry-After: wait so long, keep the order.
    RetryAfter { ms: u64, reason: String },
    /// Network error before or while sending, 408, 425, 5xx.
    Retry { reason: String },
    /// Request written, no answer.
    Unknown { reason: String },
    /// 401, 403, 404, 410: the receiver is set up wrong.
    Config { reason: String },
    /// 400, 413, 415, 422: this message will never pass.
    Reject { reason: String },
}

impl Outcome {
    /// The class alone, as it stands in JSON and in metrics.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::RetryAfter { .. } => "retry_after",
            Self::Retry { .. } => "retry",
            Self::Unknown { .. } => "unknown",
            Self::Config { .. } => "config",
            Self::Reject { .. } => "reject",
        }
    }
}
