//! Telemetry into panes: the fold of one source partition.
//!
//! A [`Collector`] is given every record of its partition in order, and at each commit hands over what it
//! counted since the last, what it must remember, and the offsets up to which both hold. Committed together,
//! a crash at any moment changes nothing: whoever takes over restores the state and reads on from the offsets.

use std::sync::Arc;

use wire::Timestamp;
use wire::deadletter::{DeadLetter, Reason};
use wire::profile::Profile;

use crate::decode::{Attributes, DecodeError, Decoded, Decoder, Kind};
use crate::pane::Pane;
use crate::progress::{Progress, SourceId};

pub mod config;
mod core;
mod duplicates;
mod fold;
pub mod hash;
mod held;
mod join;
mod open;
mod state;
mod versions;
mod watermark;

pub use config::CollectConfig;
pub use fold::ProfileError;
pub use state::{StateChange, StateError};

use self::core::Core;
use held::{Held, Queue, STAYS, STAYS_IDLE};
use state::{Labelled, Meta, StateKey};
use versions::Known;

/// Panes that are counted at once before a collector asks for a flush.
const PANES_MAX: usize = 4096;

/// Which of the partition's two topics a record is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Predictions, and labels too where they have no topic of their own.
    Predictions,
    /// The topic of labels.
    Labels,
}

/// A record where it stands.
#[derive(Clone, Copy, Debug)]
pub struct RecordAt<'a> {
    pub role: Role,
    pub offset: i64,
    pub value: Option<&'a [u8]>,
}

/// Offsets to commit with a flush: the next record to read of each topic. `None` where none was read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    pub predictions: Option<i64>,
    pub labels: Option<i64>,
}

/// What a commit holds. All of it belongs in one transaction.
#[derive(Debug)]
pub struct Flush {
    /// Ascending by key. What was counted since the last flush.
    pub panes: Vec<Pane>,
    pub progress: Progress,
    pub dead_letters: Vec<DeadLetter>,
    pub state: Vec<StateChange>,
    /// Commit exactly these: a record that still waits here is read again after a restart.
    pub positions: Positions,
    pub counters: Counters,
    pub sizes: Sizes,
}

/// Counts since the collector was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub predictions: u64,
    pub labels: u64,
    /// In the order of `Reason::ALL`.
    pub dead_letters: [u64; Reason::ALL.len()],
    pub late: u64,
    pub duplicates: u64,
    pub unknown_version: u64,
    /// Predictions counted under `__other__` because a table was full.
    pub folded: u64,
    pub labels_late: u64,
    pub labels_unmatched: u64,
    pub labels_duplicate: u64,
    /// Labels joined before their time because too many waited.
    pub labels_early: u64,
    /// Predictions that no longer wait for a label because too many did.
    pub waiting_dropped: u64,
    /// Profiles that could not be counted by.
    pub profiles_refused: u64,
}

/// Entries of each table, for comparison with its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub versions: usize,
    pub waiting: usize,
    pub ids: usize,
    pub held: usize,
}

/// The fold of one source partition.
pub struct Collector {
    source: SourceId,
    sources: Vec<SourceId>,
    labels_topic: String,
    decoder: Decoder,
    core: Core,
    /// Predictions that jump ahead, and what came after them.
    jump: Queue,
    /// How many jump, and to when the last did.
    jumping: (usize, Option<Timestamp>),
    /// Labels whose time has not come, and what came after them.
    early: Queue,
    /// Of a topic of labels.
    labelled: Labelled,
    /// As last written.
    labelled_written: Labelled,
    /// There may be labels in their topic that were not read.
    labels_unread: bool,
    next: Positions,
    dead_letters: Vec<DeadLetter>,
    /// As last written; `None` until restored state has been put together.
    meta: Meta,
    settled: bool,
}

impl Collector {
    /// A collector of `source` that has read nothing; `sources` are all source partitions there are.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the config has made a decoder before")]
    pub fn new(source: SourceId, sources: Vec<SourceId>, config: Arc<CollectConfig>) -> Self {
        Self {
            labels_topic: config.raw().labels.topic.clone().unwrap_or_else(|| source.topic.clone()),
            source,
            sources,
            decoder: config.decoder().expect("checked when the config was read"),
            core: Core::new(config),
            jump: Queue::default(),
            jumping: (0, None),
            early: Queue::default(),
            labelled: Labelled::default(),
            labelled_written: Labelled::default(),
            labels_unread: false,
            next: Positions::default(),
            dead_letters: Vec::new(),
            meta: Meta::default(),
            settled: false,
        }
    }

    /// Takes back one record of state, before anything else. Any order.
    ///
    /// # Errors
    /// When it is damaged or of a newer version: go no further, or what it held is lost.
    pub fn restore(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), StateError> {
        let core = &mut self.core;
        match StateKey::decode(key)? {
            StateKey::Meta => {
                self.meta = state::value::<Meta>(bytes)?.checked()?;
                core.watermark = self.meta.watermark.clone();
            }
            StateKey::Labelled => {
                self.labelled = state::value(bytes)?;
                self.labelled_written = self.labelled;
                core.told = self.labelled.told;
            }
            StateKey::Ids(ordinal) => {
                core.duplicates.restore(state::ordinal(ordinal)?, state::value(bytes)?);
            }
            StateKey::Version(model, version) => {
                let slot = core.slot_of(&model, &version);
                core.versions.get_mut(slot).known = Known::decode(bytes)?;
            }
            StateKey::Waiting(start, model, version) => {
                let slot = core.slot_of(&model, &version);
                core.join.restore((start, slot), state::value(bytes)?);
            }
        }
        Ok(())
    }

    /// A profile, in force for panes that start at its `effective_from` or later. One that cannot be counted
    /// by is refused and counted.
    pub fn profile(&mut self, profile: Arc<Profile>) {
        if self.core.versions.profile(profile).is_err() {
            self.core.counters.profiles_refused += 1;
        }
    }

    /// Folds one record; `header` gives its headers by name. Never fails: what cannot be read is a dead letter.
    pub fn record<'r>(&mut self, record: RecordAt<'r>, header: impl Fn(&str) -> Option<&'r [u8]>) {
        self.settle();
        let attributes = Attributes::read(header);
        match record.role {
            Role::Predictions => {
                self.next.predictions = Some(record.offset + 1);
                self.lead(record, &attributes);
            }
            Role::Labels => {
                self.next.labels = Some(record.offset + 1);
                self.label(record, &attributes);
            }
        }
    }

    /// Panes that end at or before this instant get no more predictions. `None` before the first.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        self.core.now()
    }

    /// True while so many labels are here whose time has not come that no more should be read: pause their topic.
    #[must_use]
    pub fn labels_wait(&self) -> bool {
        self.early.is_half_full()
    }

    /// Says, before a flush, whether the topic of labels may hold some that were not read. While it may, no pane closes
    /// that they could belong to.
    pub fn set_labels_unread(&mut self, unread: bool) {
        self.labels_unread = unread;
    }

    /// True if a flush would keep a pane open for labels that were not read: worth asking whether there are any.
    #[must_use]
    pub fn waits_for_labels(&self) -> bool {
        let pane = |at: Option<Timestamp>| at.map(|at| at.floor_to(self.core.config.pane_ms()));
        pane(self.labels_to()) < pane(self.core.now())
    }

    /// Time before which no label is expected of those that were not read.
    fn labels_to(&self) -> Option<Timestamp> {
        self.labelled.latest.map(|latest| latest.plus_ms(-self.core.config.lateness_ms()))
    }

    /// The watermark to tell: what labels may still come for stays open. Never goes back.
    fn told(&self) -> Option<Timestamp> {
        let now = self.core.now()?;
        let unread = if self.labels_unread { self.labels_to() } else { Some(now) };
        // One that waits in vain, by a wrong clock, holds up time no longer than its neighbours would.
        let config = &self.core.config;
        let least = now.plus_ms(-config.pane_ms() - config.lateness_ms());
        let early = self.early.times().min().map_or(now, |early| early.max(least));
        unread.map(|unread| unread.min(early).min(now)).max(self.core.told)
    }

    /// True while predictions are so far ahead of the labels that were read that labels would be late for no
    /// other reason: pause the predictions until the labels have caught up.
    #[must_use]
    pub fn predictions_wait(&self, labels_caught_up: bool) -> bool {
        let behind = self.core.now().is_some_and(|now| {
            self.labelled.latest.is_none_or(|latest| latest.plus_ms(self.core.config.pane_ms()) < now)
        });
        behind && !labels_caught_up && self.early.is_empty()
    }

    /// True once so much was counted that it should leave before more is read: in a fast replay of sparse data
    /// every few records open a pane.
    #[must_use]
    pub fn should_flush(&self) -> bool {
        self.core.versions.opened >= PANES_MAX
    }

    /// Hands over what was counted since the last flush. `caught_up`: everything in the partition was read;
    /// `idle`: and nothing came for `idle_s`.
    pub fn flush(&mut self, caught_up: bool, idle: bool) -> Flush {
        self.settle();
        if idle && !self.jump.is_empty() {
            self.release(self.jumping.0 >= STAYS_IDLE);
        }
        if caught_up {
            self.drop_labels_ahead();
        }
        let positions = Positions {
            predictions: self.jump.front().map(|held| held.offset).or(self.next.predictions),
            labels: self.early.front().map(|held| held.offset).or(self.next.labels),
        };
        self.core.told = self.told();
        self.labelled.told = self.core.told;
        let core = &mut self.core;
        let panes = core.take_panes();
        let mut state = std::mem::take(&mut core.changes);
        core.duplicates.flush(&mut state);
        core.versions.flush(&mut state);
        core.join.flush(&core.versions, &mut state);
        let meta = Meta {
            watermark: core.watermark.clone(),
            ids: core.duplicates.ordinals(),
            read_to: positions.predictions.unwrap_or(self.meta.read_to),
        };
        if meta != self.meta {
            state.push(StateKey::Meta.put(&meta));
            self.meta = meta;
        }
        let apart = self.labels_topic != self.source.topic;
        if apart && self.labelled != self.labelled_written {
            state.push(StateKey::Labelled.put(&self.labelled));
            self.labelled_written = self.labelled;
        }
        let progress = Progress {
            source: self.source.clone(),
            watermark: core.told,
            read_to: self.meta.read_to,
            caught_up,
            idle: idle && self.jump.is_empty(),
            sources: self.sources.clone(),
        };
        let dead_letters = std::mem::take(&mut self.dead_letters);
        Flush {
            panes,
            progress,
            dead_letters,
            state,
            positions,
            counters: self.counters(),
            sizes: self.sizes(),
        }
    }

    /// Counts since the collector was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let core = &self.core;
        Counters { folded: core.versions.over, waiting_dropped: core.join.dropped, ..core.counters }
    }

    /// Entries of each table.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let core = &self.core;
        Sizes {
            versions: core.versions.len(),
            waiting: core.join.len(),
            ids: core.duplicates.len(),
            held: self.jump.len() + self.early.len(),
        }
    }

    fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.core.duplicates.settle(&self.meta);
        }
    }

    /// A record of the topic of predictions.
    fn lead(&mut self, at: RecordAt<'_>, attributes: &Attributes<'_>) {
        let decoded = self.decoder.decode(at.value, attributes, Kind::Prediction);
        let (time, jumps) = match &decoded {
            Ok(Decoded::Prediction(p)) => (
                Some(p.event_time),
                self.core.watermark.is_ahead(p.event_time, self.core.config.ahead_max_ms()),
            ),
            Ok(Decoded::Label(_)) | Err(_) => (None, false),
        };
        if self.jump.is_empty() && !jumps {
            let counted = decoded.map_err(NotCounted::from).and_then(|decoded| self.core.count(&decoded));
            self.count_error(Role::Predictions, at.offset, at.value, counted);
            if !self.early.is_empty() {
                self.join_early();
            }
            return;
        }
        self.jump.push(Held::new(at.offset, time.filter(|_| jumps), at.value, attributes));
        let contradicted = match (time, self.jumping.1) {
            (Some(_), _) if !jumps => true,
            (Some(time), Some(last)) => time.since_ms(last).abs() > self.core.config.ahead_max_ms(),
            (Some(_), None) | (None, _) => false,
        };
        if jumps {
            self.jumping = (self.jumping.0 + 1, time);
        }
        if contradicted || self.jump.is_full() {
            self.release(false);
        } else if self.jumping.0 >= STAYS {
            self.release(true);
        }
    }

    /// Decides about the records behind a jump: it was time going on, or a wrong clock.
    fn release(&mut self, believed: bool) {
        self.jumping = (0, None);
        if believed {
            self.core.watermark.accept_jump();
        }
        while let Some(held) = self.jump.pop() {
            if held.time.is_some() && !believed {
                let detail = "event_time is far ahead of the partition".to_owned();
                self.dead_letter(
                    Role::Predictions,
                    held.offset,
                    held.value.as_deref(),
                    Reason::Ahead,
                    detail,
                );
                continue;
            }
            let decoded = self.decoder.decode(held.value.as_deref(), &held.attributes(), Kind::Prediction);
            let counted = decoded.map_err(NotCounted::from).and_then(|decoded| self.core.count(&decoded));
            self.count_error(Role::Predictions, held.offset, held.value.as_deref(), counted);
        }
        self.join_early();
    }

    /// A record of the topic of labels.
    fn label(&mut self, at: RecordAt<'_>, attributes: &Attributes<'_>) {
        let from = self.labels_to();
        let decoded = self.decoder.decode(at.value, attributes, Kind::Label);
        let time = match &decoded {
            Ok(Decoded::Label(label)) => Some(label.event_time),
            Ok(Decoded::Prediction(_)) | Err(_) => None,
        };
        if self.early.is_empty() && self.core.is_label_due(time) {
            let counted =
                decoded.map_err(NotCounted::from).and_then(|decoded| self.core.count_label(&decoded, from));
            self.labelled.latest = self.labelled.latest.max(time);
            self.count_error(Role::Labels, at.offset, at.value, counted);
            return;
        }
        self.early.push(Held::new(at.offset, time, at.value, attributes));
        if self.early.is_full() {
            self.core.counters.labels_early += 1;
            self.join_first();
        }
    }

    /// Joins labels whose time has come.
    fn join_early(&mut self) {
        while self.early.front().is_some_and(|held| self.core.is_label_due(held.time)) {
            self.join_first();
        }
    }

    fn join_first(&mut self) {
        let Some(held) = self.early.pop() else { return };
        let from = self.labels_to();
        let decoded = self.decoder.decode(held.value.as_deref(), &held.attributes(), Kind::Label);
        let counted =
            decoded.map_err(NotCounted::from).and_then(|decoded| self.core.count_label(&decoded, from));
        self.labelled.latest = self.labelled.latest.max(held.time);
        self.count_error(Role::Labels, held.offset, held.value.as_deref(), counted);
    }

    /// A label beyond anything that could still be joined would hold up the others for good.
    fn drop_labels_ahead(&mut self) {
        while let Some(time) = self.early.front().and_then(|held| held.time)
            && self.core.is_label_ahead(time)
        {
            self.join_first();
            self.join_early();
        }
    }

    fn count_error(
        &mut self,
        role: Role,
        offset: i64,
        value: Option<&[u8]>,
        counted: Result<(), NotCounted>,
    ) {
        match counted {
            Ok(()) => (),
            Err(NotCounted::Decode(e)) => self.dead_letter(role, offset, value, e.reason(), e.to_string()),
            Err(NotCounted::LabelAhead) => {
                let detail = "event_time is later than any label could be".to_owned();
                self.dead_letter(role, offset, value, Reason::Ahead, detail);
            }
        }
    }

    fn dead_letter(&mut self, role: Role, offset: i64, value: Option<&[u8]>, reason: Reason, detail: String) {
        let at = Reason::ALL.iter().position(|r| *r == reason).expect("every reason is in the list");
        self.core.counters.dead_letters[at] += 1;
        let topic = match role {
            Role::Predictions => &self.source.topic,
            Role::Labels => &self.labels_topic,
        };
        self.dead_letters.push(DeadLetter {
            topic: topic.clone(),
            partition: self.source.partition,
            offset,
            reason,
            detail,
            bytes: value.map_or(0, |value| value.len() as u64),
        });
    }
}

/// Why a record was not counted.
enum NotCounted {
    Decode(DecodeError),
    LabelAhead,
}

impl From<DecodeError> for NotCounted {
    fn from(e: DecodeError) -> Self {
        Self::Decode(e)
    }
}

#[cfg(test)]
mod tests;
