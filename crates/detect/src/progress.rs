//! How far a source partition has been read, in offsets and in event time.

use std::fmt;

use serde::{Deserialize, Serialize};
use wire::Timestamp;

/// One partition of a telemetry topic: the unit that has a watermark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId {
    pub topic: String,
    pub partition: u32,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What a collector says of its source partition, at every commit and at least once a pane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub source: SourceId,
    /// Panes that end at or before this instant get nothing more from this partition: what comes for them
    /// counts as late. Lateness is taken off already. `None` before the first prediction. Never goes back.
    pub watermark: Option<Timestamp>,
    /// Offset of the next record to be folded.
    pub read_to: i64,
    /// Everything that was in the partition has been folded, says the log not long ago.
    pub caught_up: bool,
    /// Caught up, and nothing has come for `idle_s`: do not wait for this partition.
    pub idle: bool,
    /// Every source partition there is, this one included, ascending: who must be heard before time advances.
    pub sources: Vec<SourceId>,
}
