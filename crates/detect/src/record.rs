//! The records of the panes topic: all that a judge acts on.

use serde::{Deserialize, Serialize};
use wire::context::ContextRecord;
use wire::{Digest, Timestamp};

use crate::pane::Pane;
use crate::progress::{Progress, SourceId};
use crate::reference::Reference;

/// First byte of every record. A reader refuses what is newer than itself.
const SCHEMA: u8 = 1;

/// One record of a panes partition. A judge is a fold of these alone.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every record is a pane; boxing it would serve the rare ones"
)]
pub enum PanesRecord {
    /// What one collector counted between two commits.
    Partial(Pane),
    /// How far a source partition has been read.
    Progress(Progress),
    /// The runtime heard nothing of `source` for too long: panes up to the one that starts at `pane` close
    /// without it.
    GaveUp { source: SourceId, pane: Timestamp },
    /// A deployment, lineage or profile that concerns a model of this partition.
    Context(ContextRecord),
    /// A pinned reference.
    Reference(Box<Reference>),
    /// The judge's config from here on.
    Config { digest: Digest },
}

/// Why bytes are not a record of the panes topic.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No bytes at all.
    #[error("empty record")]
    Empty,
    /// Written by a newer version. Upgrade, then read on from here.
    #[error("schema version {found} is newer than {SCHEMA}")]
    TooNew { found: u8 },
    /// Cut short or damaged.
    #[error("damaged record")]
    Damaged(#[source] postcard::Error),
    /// The JSON within is not what its kind says.
    #[error("damaged record")]
    DamagedJson(#[source] serde_json::Error),
}

/// The written form. Public records (context, references) are kept as the JSON that they are elsewhere, so
/// that a field added to them does not change this schema.
#[derive(Serialize, Deserialize)]
enum Stored<P> {
    Partial(P),
    Progress(Progress),
    GaveUp(SourceId, Timestamp),
    Context(Vec<u8>),
    Reference(Vec<u8>),
    Config(Digest),
}

impl PanesRecord {
    /// The bytes of the record: the schema version, then postcard. The same record gives the same bytes.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "plain data always becomes bytes")]
    pub fn encode(&self) -> Vec<u8> {
        let stored = match self {
            Self::Partial(pane) => Stored::Partial(pane),
            Self::Progress(progress) => Stored::Progress(progress.clone()),
            Self::GaveUp { source, pane } => Stored::GaveUp(source.clone(), *pane),
            Self::Context(context) => Stored::Context(serde_json::to_vec(context).expect("plain data")),
            Self::Reference(reference) => {
                Stored::Reference(serde_json::to_vec(reference).expect("plain data"))
            }
            Self::Config { digest } => Stored::Config(digest.clone()),
        };
        postcard::to_extend(&stored, vec![SCHEMA]).expect("plain data")
    }

    /// Reads what [`PanesRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged or of a newer schema; never panics, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (&schema, rest) = bytes.split_first().ok_or(RecordError::Empty)?;
        if schema != SCHEMA {
            return Err(RecordError::TooNew { found: schema });
        }
        Ok(match postcard::from_bytes::<Stored<Pane>>(rest).map_err(RecordError::Damaged)? {
            Stored::Partial(pane) => Self::Partial(pane),
            Stored::Progress(progress) => Self::Progress(progress),
            Stored::GaveUp(source, pane) => Self::GaveUp { source, pane },
            Stored::Context(json) => {
                Self::Context(serde_json::from_slice(&json).map_err(RecordError::DamagedJson)?)
            }
            Stored::Reference(json) => {
                Self::Reference(serde_json::from_slice(&json).map_err(RecordError::DamagedJson)?)
            }
            Stored::Config(digest) => Self::Config { digest },
        })
    }
}
