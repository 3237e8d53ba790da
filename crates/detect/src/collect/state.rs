//! What of a collector must survive, as keys and values of a compacted topic.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wire::Timestamp;

use super::watermark::Watermark;

/// First byte of every value. Schema 1 did not say since when a version is known.
const SCHEMA: u8 = 2;

/// Changes of state since the last flush: a key and its new value, or `None` where it is gone.
pub type StateChange = (Vec<u8>, Option<Vec<u8>>);

/// Why a state record cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Written by a newer version. Upgrade this process.
    #[error("state of schema {found} is newer than {SCHEMA}")]
    TooNew { found: u8 },
    /// Not a record that a collector wrote.
    #[error("damaged state record")]
    Damaged(#[source] postcard::Error),
}

/// What a state record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum StateKey {
    Meta,
    /// Ids remembered since the ordinal of the first.
    Ids(u64),
    Version(String, String),
    /// Predictions of a pane, model and version that wait for labels.
    Waiting(Timestamp, String, String),
    /// How far labels of a topic of their own have come.
    Labelled,
}

/// The record of `StateKey::Meta`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) watermark: Watermark,
    /// Ordinal of the oldest id remembered, and of the next.
    pub(super) ids: (u64, u64),
    /// Offset of the next record of predictions.
    pub(super) read_to: i64,
}

/// The record of `StateKey::Labelled`: where labels have a topic of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Labelled {
    /// Latest event time of a label that was joined.
    pub(super) latest: Option<Timestamp>,
    /// The watermark that was told last: panes before it get nothing more.
    pub(super) told: Option<Timestamp>,
}

/// No id has an ordinal beyond this: a record that says so is damaged.
const ORDINAL_MAX: u64 = u64::MAX / 4;

impl Meta {
    /// Whether it can be worked with: what is damaged may still be readable.
    pub(super) fn checked(self) -> Result<Self, StateError> {
        let (first, next) = self.ids;
        if self.watermark.is_sound() && first <= next && next <= ORDINAL_MAX && self.read_to >= 0 {
            Ok(self)
        } else {
            Err(damaged())
        }
    }
}

/// The ordinal of a chunk of ids.
pub(super) fn ordinal(ordinal: u64) -> Result<u64, StateError> {
    if ordinal <= ORDINAL_MAX { Ok(ordinal) } else { Err(damaged()) }
}

fn damaged() -> StateError {
    StateError::Damaged(postcard::Error::DeserializeBadEncoding)
}

impl StateKey {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        postcard::from_bytes(bytes).map_err(StateError::Damaged)
    }

    /// The change that gives this key a value.
    pub(super) fn put(&self, value: &impl Serialize) -> StateChange {
        (self.encode(), Some(postcard::to_extend(value, vec![SCHEMA]).expect("plain data")))
    }

    pub(super) fn delete(&self) -> StateChange {
        (self.encode(), None)
    }
}

pub(super) fn value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    match bytes.split_first() {
        Some((1..=SCHEMA, rest)) => postcard::from_bytes(rest).map_err(StateError::Damaged),
        Some((&found, _)) => Err(StateError::TooNew { found }),
        None => Err(StateError::Damaged(postcard::Error::DeserializeUnexpectedEnd)),
    }
}
