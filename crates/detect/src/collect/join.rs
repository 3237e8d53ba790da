//! Predictions that wait for their labels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wire::Timestamp;

use super::config::SEGMENT_KEYS_MAX;
use super::state::{StateChange, StateKey};
use super::versions::{Slot, Versions};

/// What a label needs to know of its prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) predicted: Predicted,
    pub(super) score: Option<f32>,
    /// Event time, in milliseconds from the start of its pane.
    pub(super) at_ms: u32,
    /// Its segments: 1 + place in the chunk's list, 0 for none.
    pub(super) segments: [u8; SEGMENT_KEYS_MAX],
    /// It has had its label.
    pub(super) done: bool,
}

/// The predicted value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Predicted {
    Number(f64),
    /// Keyed hash of anything else.
    Class(u64),
}

/// Those of one pane and version: the ones with the smallest id hashes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Segment names that the entries refer to.
    segments: Vec<String>,
    entries: BTreeMap<u64, Waiting>,
}

/// A prediction that a label found.
#[derive(Clone, Debug)]
pub(super) struct Match {
    pub(super) slot: Slot,
    pub(super) predicted: Predicted,
    pub(super) score: Option<f64>,
    pub(super) event_time: Timestamp,
    pub(super) segments: Vec<String>,
    /// It had a label already.
    pub(super) repeated: bool,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    /// One more waits than before.
    pub(super) grew: bool,
    /// Ids of this pane and version above this will be refused.
    pub(super) limit: u64,
}

/// All that wait, bounded in event time and in number.
#[derive(Debug, Default)]
pub(super) struct Join {
    chunks: BTreeMap<(Timestamp, Slot), Chunk>,
    by_id: BTreeSet<(u64, Timestamp, Slot)>,
    /// Changed since the last flush.
    dirty: BTreeSet<(Timestamp, Slot)>,
    /// Predictions that went to make room.
    pub(super) dropped: u64,
}

impl Join {
    /// Offers a prediction of the pane that starts at `start` to a sample of at most `per_pane`.
    pub(super) fn offer(
        &mut self,
        (start, slot): (Timestamp, Slot),
        id: u64,
        waiting: Waiting,
        segments: [Option<&str>; SEGMENT_KEYS_MAX],
        per_pane: usize,
    ) -> Offered {
        let chunk = self.chunks.entry((start, slot)).or_default();
        let limit = chunk.limit(per_pane);
        if id >= limit || chunk.entries.contains_key(&id) {
            return Offered { grew: false, limit };
        }
        let segments = segments.map(|name| name.map_or(0, |name| chunk.segment(name)));
        chunk.entries.insert(id, Waiting { segments, ..waiting });
        self.by_id.insert((id, start, slot));
        self.dirty.insert((start, slot));
        let grew = chunk.entries.len() <= per_pane;
        if !grew && let Some((last, _)) = chunk.entries.pop_last() {
            self.by_id.remove(&(last, start, slot));
        }
        Offered { grew, limit: chunk.limit(per_pane) }
    }

    /// Makes room when more than `max` wait: the oldest panes go.
    pub(super) fn shrink(&mut self, max: usize, versions: &Versions, changes: &mut Vec<StateChange>) {
        while self.by_id.len() > max
            && let Some((&key, _)) = self.chunks.first_key_value()
        {
            let gone = self.remove(key, versions, changes);
            self.dropped = self.dropped.saturating_add(gone);
        }
    }

    /// Predictions of panes that start before `start` wait no longer.
    pub(super) fn expire(&mut self, start: Timestamp, versions: &Versions, changes: &mut Vec<StateChange>) {
        while let Some((&key, _)) = self.chunks.first_key_value()
            && key.0 < start
        {
            self.remove(key, versions, changes);
        }
    }

    fn remove(&mut self, key: (Timestamp, Slot), versions: &Versions, changes: &mut Vec<StateChange>) -> u64 {
        let Some(chunk) = self.chunks.remove(&key) else { return 0 };
        for id in chunk.entries.keys() {
            self.by_id.remove(&(*id, key.0, key.1));
        }
        self.dirty.remove(&key);
        let (model, version) = versions.names(key.1);
        changes.push(StateKey::Waiting(key.0, model, version).delete());
        chunk.entries.len() as u64
    }

    /// The predictions with this id whose version `fits`; each is marked as having had its label.
    pub(super) fn label(&mut self, id: u64, fits: impl Fn(Slot) -> bool) -> Vec<Match> {
        let with_id = self.by_id.range((id, Timestamp::MIN, 0)..=(id, Timestamp::MAX, Slot::MAX));
        let keys: Vec<_> =
            with_id.filter(|(_, _, slot)| fits(*slot)).map(|(_, start, slot)| (*start, *slot)).collect();
        keys.into_iter().filter_map(|key| self.take(id, key)).collect()
    }

    fn take(&mut self, id: u64, key: (Timestamp, Slot)) -> Option<Match> {
        let chunk = self.chunks.get_mut(&key)?;
        let waiting = chunk.entries.get_mut(&id)?;
        let repeated = std::mem::replace(&mut waiting.done, true);
        if !repeated {
            self.dirty.insert(key);
        }
        let waiting = *waiting;
        let names =
            waiting.segments.iter().filter_map(|at| chunk.segments.get(usize::from(*at).checked_sub(1)?));
        Some(Match {
            slot: key.1,
            predicted: waiting.predicted,
            score: waiting.score.map(f64::from),
            event_time: key.0.plus_ms(i64::from(waiting.at_ms)),
            segments: names.cloned().collect(),
            repeated,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What changed since the last flush.
    pub(super) fn flush(&mut self, versions: &Versions, changes: &mut Vec<StateChange>) {
        for key in std::mem::take(&mut self.dirty) {
            if let Some(chunk) = self.chunks.get(&key) {
                let (model, version) = versions.names(key.1);
                changes.push(StateKey::Waiting(key.0, model, version).put(chunk));
            }
        }
    }

    pub(super) fn restore(&mut self, key: (Timestamp, Slot), chunk: Chunk) {
        self.by_id.extend(chunk.entries.keys().map(|id| (*id, key.0, key.1)));
        self.chunks.insert(key, chunk);
    }
}

impl Chunk {
    /// Ids at or above this are refused.
    fn limit(&self, per_pane: usize) -> u64 {
        let full = self.entries.len() >= per_pane;
        self.entries.last_key_value().filter(|_| full).map_or(u64::MAX, |(last, _)| *last)
    }

    /// 1 + place of a segment name; 0 if there is no more room.
    fn segment(&mut self, name: &str) -> u8 {
        let at = self.segments.iter().position(|known| known == name).unwrap_or_else(|| {
            if self.segments.len() < usize::from(u8::MAX) {
                self.segments.push(name.to_owned());
            }
            self.segments.iter().position(|known| known == name).unwrap_or(usize::MAX - 1)
        });
        u8::try_from(at + 1).unwrap_or(0)
    }
}
