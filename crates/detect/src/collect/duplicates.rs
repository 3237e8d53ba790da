//! Ids seen lately, by hash.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use wire::Timestamp;

use super::state::{Meta, StateChange, StateKey};

/// The last ids, oldest first: bounded in event time and in number.
///
/// Written as chunks of what was added between two flushes, each under the ordinal of its first id; a chunk
/// goes when the last of its ids has gone.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    set: HashSet<u64, BuildHasherDefault<AsIs>>,
    /// Hash and pane of each id in the set, oldest first.
    order: VecDeque<(u64, Timestamp)>,
    /// Ordinal of the first in `order`, and of the first that is not written yet.
    first: u64,
    unwritten: u64,
    /// Written chunks: first ordinal to the ordinal after the last.
    chunks: BTreeMap<u64, u64>,
    /// Chunks read back, until all are there.
    restored: BTreeMap<u64, Vec<(u64, Timestamp)>>,
}

/// Keyed hashes need no more hashing.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 are hashed");
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

impl Duplicates {
    /// Remembers an id of the pane that starts at `pane`. False if it was there.
    pub(super) fn insert(&mut self, hash: u64, pane: Timestamp, max: u32) -> bool {
        if !self.set.insert(hash) {
            return false;
        }
        self.order.push_back((hash, pane));
        if self.order.len() > max as usize {
            self.forget_oldest();
        }
        true
    }

    /// Forgets ids of panes before `pane`, as far as no newer one came before them.
    pub(super) fn forget_before(&mut self, pane: Timestamp) {
        while self.order.front().is_some_and(|(_, start)| *start < pane) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((hash, _)) = self.order.pop_front() {
            self.set.remove(&hash);
            self.first += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Ordinals for the meta record.
    pub(super) fn ordinals(&self) -> (u64, u64) {
        (self.first, self.first + self.order.len() as u64)
    }

    /// What changed since the last flush.
    pub(super) fn flush(&mut self, changes: &mut Vec<StateChange>) {
        let (first, next) = self.ordinals();
        while let Some((&chunk, &end)) = self.chunks.first_key_value()
            && end <= first
        {
            self.chunks.pop_first();
            changes.push(StateKey::Ids(chunk).delete());
        }
        let from = self.unwritten.max(first);
        if from < next {
            let skip = usize::try_from(from - first).expect("within the table");
            let added: Vec<(u64, Timestamp)> = self.order.iter().skip(skip).copied().collect();
            changes.push(StateKey::Ids(from).put(&added));
            self.chunks.insert(from, next);
        }
        self.unwritten = next;
    }

    pub(super) fn restore(&mut self, ordinal: u64, ids: Vec<(u64, Timestamp)>) {
        self.restored.insert(ordinal, ids);
    }

    /// All chunks are there: takes up where `meta` left off.
    pub(super) fn settle(&mut self, meta: &Meta) {
        let (first, next) = meta.ids;
        self.first = first;
        self.unwritten = next;
        for (chunk, ids) in std::mem::take(&mut self.restored) {
            self.chunks.insert(chunk, chunk + ids.len() as u64);
            for (ordinal, (hash, pane)) in (chunk..).zip(ids) {
                if ordinal >= first {
                    self.set.insert(hash);
                    self.order.push_back((hash, pane));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_within_its_bounds_and_over_a_restart() {
        let pane = |s: i64| Timestamp::from_ms(s * 1000).expect("in range");
        let mut log = BTreeMap::new();
        let mut write = |duplicates: &mut Duplicates| {
            let mut changes = Vec::new();
            duplicates.flush(&mut changes);
            for (key, value) in changes {
                match value {
                    Some(value) => drop(log.insert(key, value)),
                    None => drop(log.remove(&key)),
                }
            }
            log.clone()
        };
        let mut duplicates = Duplicates::default();
        for (hash, s, new) in [(1, 0, true), (2, 0, true), (1, 0, false), (3, 10, true), (4, 10, true)] {
            assert_eq!(duplicates.insert(hash, pane(s), 3), new, "{hash}");
            write(&mut duplicates);
        }
        assert!(duplicates.insert(1, pane(20), 3), "beyond the bound the oldest is forgotten");
        duplicates.forget_before(pane(20));
        let state = write(&mut duplicates);
        assert_eq!((duplicates.len(), state.len()), (1, 1));

        let mut again = Duplicates::default();
        for (key, bytes) in &state {
            let Ok(StateKey::Ids(ordinal)) = StateKey::decode(key) else { panic!("an id chunk") };
            again.restore(ordinal, super::super::state::value(bytes).expect("its value"));
        }
        again.settle(&Meta { ids: duplicates.ordinals(), ..Meta::default() });
        assert_eq!(again.ordinals(), duplicates.ordinals());
        assert!(!again.insert(1, pane(20), 3) && again.insert(2, pane(20), 3));
    }
}
