//! What must survive: written key by key as it changes, read back in any order.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::Timestamp;

use super::doubts::Doubts;
use super::loaded::Loaded;
use super::model::{Model, Stored};
use super::reload;
use super::sources::Sources;
use super::telemetry::Telemetry;
use super::version::Version;
use super::{Counters, Judge};
use crate::reference::Reference;
use crate::reference::cells::Cell;

/// First byte of every value. A reader refuses what is newer than itself.
const SCHEMA: u8 = 1;

/// Why state could not be read back. Starting without it would decide again what was decided: do not.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not a key that this judge writes.
    #[error("unknown key {0:?}")]
    Key(String),
    /// Written by a newer version. Upgrade this one.
    #[error("schema of {key:?} is newer than {SCHEMA}")]
    TooNew { key: String },
    /// Cut short or damaged.
    #[error("damaged state {key:?}")]
    Damaged { key: String, source: postcard::Error },
    /// The JSON within is not what its kind says.
    #[error("damaged state {key:?}")]
    DamagedJson { key: String, source: serde_json::Error },
}

/// What belongs to the partition as a whole.
type Meta = (Sources, Option<Timestamp>, Timestamp, Telemetry, i64, Counters);

fn damaged(key: String) -> RestoreError {
    RestoreError::Damaged { key, source: postcard::Error::DeserializeBadEncoding }
}

impl Judge {
    /// Puts back one value of the state, in any order, before the first record.
    ///
    /// # Errors
    /// When it is none of this judge's, newer than it, or damaged.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let text = String::from_utf8_lossy(key).into_owned();
        self.restored = true;
        let (kind, rest) = text.split_once('/').unwrap_or((&text, ""));
        match kind {
            "meta" => {
                let meta: Meta = decode(&text, value)?;
                // Closed panes lie before the next one: a clock beyond it would never pass over a silence.
                if meta.1.is_some_and(|next| meta.2 > next) {
                    return Err(damaged(text));
                }
                (
                    self.sources,
                    self.next_pane,
                    self.last_record,
                    self.telemetry,
                    self.next_offset,
                    self.counters,
                ) = meta;
            }
            "model" => {
                let stored: Stored = decode(&text, value)?;
                let name: String = name_of(&text, rest)?;
                self.known(name)
                    .restore(stored)
                    .map_err(|source| RestoreError::DamagedJson { key: text, source })?;
            }
            "doubts" => {
                let name: String = name_of(&text, rest)?;
                let doubts: Doubts = decode(&text, value)?;
                self.known(name).doubts = doubts;
            }
            "version" => {
                let (name, version, segment): (String, String, Option<String>) = name_of(&text, rest)?;
                let state: Version = decode(&text, value)?;
                self.known(name).versions.insert((version, segment), state);
            }
            "reference" => {
                let (name, version): (String, String) = name_of(&text, rest)?;
                let json: Vec<u8> = decode(&text, value)?;
                let reference: Reference = serde_json::from_slice(&json)
                    .map_err(|source| RestoreError::DamagedJson { key: text.clone(), source })?;
                self.known(name).references.insert(version, Arc::new(Loaded::new(reference)));
            }
            "cell" => {
                let (name, version, at): (String, String, i64) = name_of(&text, rest)?;
                let cell: Cell = decode(&text, value)?;
                self.restored_cells.push((name, version, at, cell));
            }
            "config" => {
                let stored: reload::Stored = decode(&text, value)?;
                self.restore_config(&stored)
                    .map_err(|source| RestoreError::DamagedJson { key: text, source })?;
            }
            "crowded" => self.crowded = decode(&text, value)?,
            "config_files" => self.config_files = decode(&text, value)?,
            _ => return Err(RestoreError::Key(text)),
        }
        Ok(())
    }

    fn known(&mut self, name: String) -> &mut Model {
        self.keys = None;
        self.models.entry(name).or_insert_with(|| Model::new(Timestamp::EPOCH))
    }

    /// Joins restored versions and references, once all of them are there.
    pub(super) fn rejoin(&mut self) {
        if !std::mem::take(&mut self.restored) {
            return;
        }
        for (model, version, at, cell) in std::mem::take(&mut self.restored_cells) {
            let version = self.models.get_mut(&model).and_then(|m| m.versions.get_mut(&(version, None)));
            if let Some(learning) = version.and_then(|v| v.learning.as_mut()) {
                learning.restore_cell(at, cell);
            }
        }
        for model in self.models.values_mut() {
            for ((_, segment), version) in &mut model.versions {
                let Some(of) = &version.reference_of else { continue };
                let fits = model.references.get(of).is_some_and(|loaded| version.rejoin(loaded));
                if !fits {
                    // The state of another plan cannot go on; what it guarded is learned again.
                    *version = Version::new(version.last_seen, segment.is_none());
                }
            }
            model.bar();
        }
    }

    /// Adds to the effects what has changed.
    pub(super) fn write_state(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        if dirty.config {
            self.out.state.push((b"config".to_vec(), Some(encode(&self.store_config()))));
        }
        let state = &mut self.out.state;
        if dirty.crowded {
            state.push((b"crowded".to_vec(), Some(encode(&self.crowded))));
        }
        if dirty.config_files {
            state.push((b"config_files".to_vec(), Some(encode(&self.config_files))));
        }
        if dirty.meta {
            let meta = (
                &self.sources,
                self.next_pane,
                self.last_record,
                &self.telemetry,
                self.next_offset,
                &self.counters,
            );
            state.push((b"meta".to_vec(), Some(encode(&meta))));
        }
        for name in dirty.models {
            let value = self.models.get(&name).map(|model| encode(&model.store()));
            state.push((key("model", &name), value));
            if let Some(model) = self.models.get_mut(&name)
                && model.doubts.take_changed()
            {
                state.push((key("doubts", &name), Some(encode(&model.doubts))));
            }
        }
        for (model, version) in dirty.references {
            let known = self.models.get(&model).and_then(|m| m.references.get(&version));
            let json = |loaded: &Arc<Loaded>| serde_json::to_vec(&loaded.reference).expect("plain data");
            state.push((key("reference", &(model, version)), known.map(|loaded| encode(&json(loaded)))));
        }
        for cell in dirty.cells {
            state.push((key("cell", &cell), None));
        }
        for (model, name) in dirty.versions {
            let version = self.models.get_mut(&model).and_then(|m| m.versions.get_mut(&name));
            if let Some(version) = version {
                let of = |at: i64| key("cell", &(&model, &name.0, at));
                state.extend(std::mem::take(&mut version.learned_cells).into_iter().map(|at| (of(at), None)));
                let changed = version.learning.as_mut().map(|l| l.take_changed()).unwrap_or_default();
                state.extend(changed.into_iter().map(|(at, cell)| (of(at), cell.as_ref().map(encode))));
                state.push((key("version", &(&model, &name.0, &name.1)), Some(encode(version))));
            } else {
                state.push((key("version", &(&model, &name.0, &name.1)), None));
            }
        }
    }
}

/// Text, so that people can read a dump: the kind, then its name as JSON.
fn key(kind: &str, name: &impl Serialize) -> Vec<u8> {
    format!("{kind}/{}", serde_json::to_string(name).expect("a name is plain text")).into_bytes()
}

fn name_of<T: DeserializeOwned>(key: &str, rest: &str) -> Result<T, RestoreError> {
    serde_json::from_str(rest).map_err(|source| RestoreError::DamagedJson { key: key.to_owned(), source })
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![SCHEMA]).expect("state is plain data")
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, RestoreError> {
    match value.split_first() {
        Some((schema, rest)) if *schema <= SCHEMA => {
            postcard::from_bytes(rest).map_err(|source| RestoreError::Damaged { key: key.to_owned(), source })
        }
        Some(_) => Err(RestoreError::TooNew { key: key.to_owned() }),
        None => Err(RestoreError::Damaged {
            key: key.to_owned(),
            source: postcard::Error::DeserializeUnexpectedEnd,
        }),
    }
}
