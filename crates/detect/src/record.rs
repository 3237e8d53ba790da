//! The records of the panes topic: all that a judge acts on.

use serde::{Deserialize, Serialize};
use wire::context::ContextRecord;
use wire::{Digest, Timestamp, parts};

use crate::config::Rules;
use crate::pane::Pane;
use crate::progress::{Progress, SourceId};
use crate::reference::Reference;

/// First byte of every record. A reader refuses what is newer than itself.
const SCHEMA: u8 = 1;

/// Versions are counted by ones. A first byte beyond any that could be running beside this one is no version, but bytes of
/// something else: nobody who writes to the topic by mistake may bring a judge to a stand.
const NEWEST: u8 = SCHEMA + 6;

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
    /// Where earlier versions began to judge by another config. Means nothing any more.
    Mark { digest: Digest },
    /// A piece of a record that is too large for one.
    Part(RecordPart),
    /// What to judge by, from the pane on that follows the next one to close.
    Config(Box<Rules>),
    /// A process has found its config file to be at fault, or to be fine.
    ConfigFile(ConfigFile),
}

/// The state of a process's config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Name of the process among those of its installation.
    pub instance: String,
    /// By that process's clock.
    pub at: Timestamp,
    /// File, line and key of what is wrong, never what stands there. `None` when nothing is.
    pub fault: Option<String>,
}

impl ConfigFile {
    /// The panes partition whose judge has the incidents of this process's config file.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> u32 {
        wire::partition::of_model(&format!("config/{}", self.instance), partitions)
    }
}

/// A piece of the bytes of a record; see [`wire::parts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPart {
    /// Who wrote it: the source of a collector, or the judge's own runtime.
    pub writer: String,
    /// Of all the bytes.
    pub digest: Digest,
    pub index: u32,
    /// How many there are.
    pub parts: u32,
    /// At most [`wire::parts::PART_BYTES`].
    pub bytes: Vec<u8>,
}

impl RecordPart {
    /// The record that this part, which stands at `offset`, completes, with the offset of its first part. `None` while
    /// parts are missing; an error when they make no record.
    pub(crate) fn join(
        &self,
        offset: i64,
        joiner: &mut parts::Joiner,
    ) -> Option<Result<(i64, PanesRecord), Broken>> {
        let Self { writer, digest, index, parts, bytes } = self;
        match joiner.take(offset, parts::Part { writer, digest, index: *index, parts: *parts, bytes }) {
            parts::Joined::More => None,
            parts::Joined::Whole { bytes, first } => {
                Some(PanesRecord::decode(&bytes).map(|whole| (first, whole)).map_err(|_| Broken))
            }
            parts::Joined::Broken => Some(Err(Broken)),
        }
    }
}

/// Parts make no record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

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

/// The written form. Public records (context, references) and what an operator writes are kept as the JSON that they are
/// elsewhere, so that a field added to them does not change this schema.
#[derive(Serialize, Deserialize)]
enum Stored<P> {
    Partial(P),
    Progress(Progress),
    GaveUp(SourceId, Timestamp),
    Context(Vec<u8>),
    Reference(Vec<u8>),
    Mark(Digest),
    Part(RecordPart),
    Config(Vec<u8>),
    ConfigFile(ConfigFile),
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
            Self::Mark { digest } => Stored::Mark(digest.clone()),
            Self::Part(part) => Stored::Part(part.clone()),
            Self::Config(rules) => Stored::Config(serde_json::to_vec(rules).expect("plain data")),
            Self::ConfigFile(file) => Stored::ConfigFile(file.clone()),
        };
        postcard::to_extend(&stored, vec![SCHEMA]).expect("plain data")
    }

    /// Reads what [`PanesRecord::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged or of a newer schema; never panics, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (&schema, rest) = bytes.split_first().ok_or(RecordError::Empty)?;
        if (SCHEMA + 1..=NEWEST).contains(&schema) {
            return Err(RecordError::TooNew { found: schema });
        }
        // There is no older version yet; with the next, this one is read here too.
        if schema != SCHEMA {
            return Err(RecordError::Damaged(postcard::Error::DeserializeBadEncoding));
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
            Stored::Mark(digest) => Self::Mark { digest },
            Stored::Part(part) => Self::Part(part),
            Stored::Config(json) => {
                Self::Config(serde_json::from_slice(&json).map_err(RecordError::DamagedJson)?)
            }
            Stored::ConfigFile(file) => Self::ConfigFile(file),
        })
    }

    /// The bytes of the records that carry it, in order, for one transaction: one, or parts where it is larger than
    /// [`wire::parts::PART_BYTES`]. No other writer may give `writer` as its name.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "memory holds fewer parts")]
    pub fn in_records(&self, writer: &str) -> Vec<Vec<u8>> {
        let whole = self.encode();
        if whole.len() <= parts::PART_BYTES {
            return vec![whole];
        }
        let digest = parts::digest(&whole);
        let pieces = whole.chunks(parts::PART_BYTES);
        let count = u32::try_from(pieces.len()).expect("memory holds fewer");
        let part = |(index, bytes): (u32, &[u8])| {
            let (writer, digest, bytes) = (writer.to_owned(), digest.clone(), bytes.to_vec());
            Self::Part(RecordPart { writer, digest, index, parts: count, bytes }).encode()
        };
        (0..count).zip(pieces).map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelSettings;
    use crate::pane::{PaneCounts, PaneKey};
    use proptest::prelude::*;
    use wire::context::Deployment;

    fn records() -> Vec<PanesRecord> {
        let source = SourceId { topic: "t".into(), partition: 1 };
        let at = Timestamp::from_ms(10_000).expect("in range");
        let segment = Some("region=eu".to_owned());
        let key = PaneKey { model: "m".into(), version: "v".into(), segment, start: at };
        let mut counts = PaneCounts::empty(None, 8);
        counts.latency.sketch.add(12.5);
        counts.weight.add(0.1);
        let deployment = Deployment {
            model: "m".into(),
            version: "v".into(),
            event_time: at,
            change: "deployed".into(),
            by: None,
            commit: Some("c".into()),
            image: None,
        };
        let mut rules = Rules::default();
        rules.judge.latency.page_effect = 0.1 + 0.2;
        let owner = Some("team".to_owned());
        rules.models.insert("m".into(), ModelSettings { owner, ..ModelSettings::default() });
        vec![
            PanesRecord::Partial(Pane { key, profile: 7, counts }),
            PanesRecord::Progress(Progress {
                source: source.clone(),
                watermark: Some(at),
                read_to: 5,
                caught_up: true,
                idle: false,
                sources: vec![source.clone()],
            }),
            PanesRecord::GaveUp { source, pane: at },
            PanesRecord::Context(ContextRecord::Deployment(deployment)),
            PanesRecord::Mark { digest: Digest::of(&[b"config"]) },
            PanesRecord::Part(RecordPart {
                writer: "t/1".into(),
                digest: Digest::of(&[b"whole"]),
                index: 1,
                parts: 3,
                bytes: vec![7; 9],
            }),
            PanesRecord::Config(Box::new(rules)),
            PanesRecord::ConfigFile(ConfigFile {
                instance: "1".into(),
                at,
                fault: Some("tocsin.toml:3: budget".into()),
            }),
        ]
    }

    #[test]
    fn every_kind_comes_back() {
        for record in records() {
            assert_eq!(PanesRecord::decode(&record.encode()).expect("its own bytes"), record);
        }
    }

    #[test]
    fn a_newer_schema_is_told_apart_from_damage() {
        let mut bytes = records()[1].encode();
        assert!(matches!(PanesRecord::decode(&bytes[..3]), Err(RecordError::Damaged(_))));
        bytes[0] = SCHEMA + 1;
        assert!(matches!(PanesRecord::decode(&bytes), Err(RecordError::TooNew { found: 2 })));
        for no_version in [0, NEWEST + 1, b'{'] {
            bytes[0] = no_version;
            assert!(matches!(PanesRecord::decode(&bytes), Err(RecordError::Damaged(_))), "{no_version}");
        }
        assert!(matches!(PanesRecord::decode(&[]), Err(RecordError::Empty)));
    }

    proptest! {
        #[test]
        fn any_damage_is_survived(which in 0..8_usize, at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = records()[which].encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            drop(PanesRecord::decode(&bytes));
            drop(PanesRecord::decode(&bytes[..at]));
        }

        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            bytes.insert(0, SCHEMA);
            drop(PanesRecord::decode(&bytes));
        }
    }
}
