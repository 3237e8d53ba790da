//! A sample of entities by hash that merges exactly: one vote an entity.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

/// The `k` entities with the smallest hashes, each with one of its records.
///
/// For data where one user sends many rows: records of an entity are not independent, so a pane counts one
/// vote for each. The record that votes is the one with the smallest (hash, value), so the sample is a
/// function of the set of records: order, grouping and repeats of the same record change no byte. Hashes must be keyed
/// and uniform over all 64 bits.
///
/// State: `k` entries. Cost: a look-up in a tree of `k`, and nothing for most records once it is full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BottomK<V> {
    k: usize,
    /// Entity hash to its vote. Invariant: at most `k`.
    votes: BTreeMap<u64, (u64, V)>,
}

impl<V: Ord + Clone> BottomK<V> {
    /// An empty sample of at most `k` entities.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { k, votes: BTreeMap::new() }
    }

    /// Offers one record of an entity. An entity once left out never comes back: the limit only falls.
    pub fn add(&mut self, entity: u64, record: u64, value: V) {
        let full = self.votes.len() >= self.k;
        if full && self.votes.last_key_value().is_none_or(|(largest, _)| *largest < entity) {
            return;
        }
        match self.votes.entry(entity) {
            Entry::Vacant(vacant) => {
                vacant.insert((record, value));
            }
            Entry::Occupied(mut vote) => {
                if (record, &value) < (vote.get().0, &vote.get().1) {
                    vote.insert((record, value));
                }
            }
        }
        self.shrink();
    }

    /// Adds another sample; the smaller `k` of the two holds.
    pub fn merge(&mut self, other: &Self) {
        self.k = self.k.min(other.k);
        self.shrink();
        for (&entity, (record, value)) in &other.votes {
            self.add(entity, *record, value.clone());
        }
    }

    /// The votes, by entity hash.
    pub fn votes(&self) -> impl Iterator<Item = &V> {
        self.votes.values().map(|(_, value)| value)
    }

    /// Entities in the sample.
    #[must_use]
    pub fn len(&self) -> usize {
        self.votes.len()
    }

    /// True if nothing was offered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.votes.is_empty()
    }

    /// Distinct entities offered: exact while there is room, then an estimate with a relative error of about
    /// `1/√(k − 2)`.
    #[must_use]
    pub fn entities(&self) -> f64 {
        let held = crate::math::float_len(self.votes.len());
        match self.votes.last_key_value() {
            Some((&largest, _)) if self.votes.len() >= self.k && self.k > 1 => {
                (held - 1.0) / ((crate::math::float(largest) + 1.0) / 2f64.powi(64))
            }
            Some(_) | None => held,
        }
    }

    fn shrink(&mut self) {
        while self.votes.len() > self.k {
            self.votes.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Draws, bytes};

    fn sample_of(k: usize, rows: &[(u64, u64, u8)]) -> BottomK<u8> {
        let mut sample = BottomK::new(k);
        rows.iter().for_each(|&(entity, record, value)| sample.add(entity, record, value));
        sample
    }

    #[test]
    fn an_entity_votes_once() {
        let rows = [(9, 4, 1), (9, 3, 0), (2, 8, 1), (5, 1, 1), (9, 3, 0)];
        let sample = sample_of(2, &rows);
        assert_eq!(sample.votes().copied().collect::<Vec<u8>>(), [1, 1], "entities 2 and 5");
        assert_eq!(sample_of(3, &rows).votes().copied().collect::<Vec<u8>>(), [1, 1, 0]);
        assert_eq!(sample_of(0, &rows).len(), 0);
        assert!(BottomK::<u8>::new(4).is_empty());
    }

    #[test]
    fn entities_are_estimated() {
        let mut draws = Draws::new(2);
        let entities: Vec<u64> = (0..20_000).map(|_| draws.bits()).collect();
        let rows: Vec<(u64, u64, u8)> =
            entities.iter().flat_map(|&entity| [(entity, 1, 0), (entity, 2, 0)]).collect();
        let estimate = sample_of(1_024, &rows).entities();
        assert!((estimate / 20_000.0 - 1.0).abs() < 0.1, "{estimate}");
        assert!((sample_of(64, &rows[..20]).entities() - 10.0).abs() < 1e-9, "exact while there is room");
    }

    proptest! {
        #[test]
        fn order_grouping_and_repeats_change_no_byte(
            rows in prop::collection::vec((0..40_u64, 0..5_u64, 0..3_u8), 0..120),
            k in 0..20_usize,
            cut in 0..120_usize,
        ) {
            let whole = sample_of(k, &rows);
            let (a, b) = rows.split_at(cut.min(rows.len()));
            let mut merged = sample_of(k, b);
            merged.merge(&sample_of(k, a));
            merged.merge(&sample_of(k, b));
            prop_assert_eq!(bytes(&merged), bytes(&whole));
            // The definition itself, by sorting.
            let mut sorted = rows;
            sorted.sort_unstable();
            sorted.dedup_by_key(|row| row.0);
            let want: Vec<u8> = sorted.iter().take(k).map(|row| row.2).collect();
            prop_assert_eq!(whole.votes().copied().collect::<Vec<u8>>(), want);
        }
    }
}
