//! What the fleet did, when, and what may follow from it: the side that nothing but a summary may see.

use serde::{Deserialize, Serialize};
use wire::{Family, Severity, Timestamp};

/// Everything that was planted in a run. Written as the truth file; times are event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub scenario: String,
    pub seed: u64,
    pub start: Timestamp,
    /// When the scenario has told its story; the fleet goes on in whatever state it then is.
    pub end: Timestamp,
    /// What must be found, by start.
    pub changes: Vec<Change>,
    /// What nobody may be paged for, by start.
    pub benign: Vec<Benign>,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub model: String,
    /// The version that is hurt; an incident of the family for another one is false.
    pub version: String,
    /// The family that must open an incident.
    pub family: Family,
    pub kind: ChangeKind,
    /// How much; its unit is the kind's.
    pub size: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    pub start: Timestamp,
    /// When it was over; `None` when it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// When the incident must have opened at the latest.
    pub detect_by: Timestamp,
    /// Until when an incident can still be its consequence; `None` when it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Timestamp>,
    /// What it deserves. A page for a ticket's worth is a false page.
    pub severity: Urgency,
    /// Families that may open for the same cause, for any version of the model: neither found nor false.
    #[serde(default)]
    pub may: Vec<Family>,
    /// The same in words.
    pub what: String,
}

/// What was done to the model. The unit of [`Change::size`] stands with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Latency is multiplied by the size.
    Slower,
    /// One feature is moved up by so many of its deviations (of its logarithm when it is lognormal).
    Shift,
    /// The share of wrong predictions is multiplied by the size; no feature and no prediction moves.
    Wrong,
    /// A new version takes part of the traffic; the size is the share of its calls that fail.
    BadVersion,
    /// No prediction arrives; the size is 1.
    Stopped,
}

/// Something that happened and is no trouble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benign {
    pub model: String,
    /// The version that takes over.
    pub version: String,
    pub kind: BenignKind,
    pub start: Timestamp,
    pub end: Timestamp,
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BenignKind {
    /// A new version of the same behaviour takes over step by step.
    PlannedRollout,
}

/// Whether a person is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    Ticket,
    Page,
}

impl From<Severity> for Urgency {
    fn from(severity: Severity) -> Self {
        if severity.pages() { Self::Page } else { Self::Ticket }
    }
}
