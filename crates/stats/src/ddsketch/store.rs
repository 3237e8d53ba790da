//! Counts by bucket index, sorted, with a bound.

use serde::{Deserialize, Serialize};

use super::{BUCKETS_MAX, grid};

/// Sorted bucket indices and their counts.
///
/// What it holds is a function of the counted values alone: the [`BUCKETS_MAX`] largest distinct indices,
/// everything below counted at the lowest of them. Adding can only raise that floor, so no order of adds and
/// merges ends elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Flat", into = "Flat")]
pub(super) struct Store {
    /// Invariant: strictly rising, at most [`BUCKETS_MAX`], as long as `counts`.
    indices: Vec<i32>,
    /// Invariant: none is 0.
    counts: Vec<u64>,
    /// Values counted at the lowest index although their own is lower.
    collapsed: u64,
    hints: Hints,
}

/// Where an index was last found, by its low bits: saves the search for most values. Not part of the state; a
/// stale hint is noticed, since the index at the hinted place is another.
#[derive(Clone, Debug)]
struct Hints([u16; HINTS as usize]);

const HINTS: i32 = 64;

impl Default for Hints {
    fn default() -> Self {
        Self([0; HINTS as usize])
    }
}

impl PartialEq for Hints {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hints {}

impl Store {
    pub(super) fn add(&mut self, index: i32, n: u64) {
        if n == 0 {
            return;
        }
        let slot = usize::try_from(index.rem_euclid(HINTS)).expect("a remainder is not negative");
        let hinted = usize::from(self.hints.0[slot]);
        if self.indices.get(hinted) == Some(&index) {
            self.counts[hinted] = self.counts[hinted].saturating_add(n);
            return;
        }
        let at = self.indices.partition_point(|&other| other < index);
        self.hints.0[slot] = u16::try_from(at).expect("a store has at most BUCKETS_MAX buckets");
        if self.indices.get(at) == Some(&index) {
            self.counts[at] = self.counts[at].saturating_add(n);
        } else if at == 0 && self.indices.len() >= BUCKETS_MAX {
            self.counts[0] = self.counts[0].saturating_add(n);
            self.collapsed = self.collapsed.saturating_add(n);
        } else {
            let floor = (self.indices.first().copied(), self.collapsed);
            self.indices.insert(at, index);
            self.counts.insert(at, n);
            self.fold(&[floor]);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.indices.is_empty() {
            return;
        }
        let floors = [
            (self.indices.first().copied(), self.collapsed),
            (other.indices.first().copied(), other.collapsed),
        ];
        let (mut indices, mut counts) = (Vec::new(), Vec::new());
        let (mut mine, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        while let Some(index) = [mine.peek(), theirs.peek()].into_iter().flatten().map(|next| next.0).min() {
            let ours = mine.next_if(|next| next.0 == index).map_or(0, |next| next.1);
            let added = theirs.next_if(|next| next.0 == index).map_or(0, |next| next.1);
            indices.push(index);
            counts.push(ours.saturating_add(added));
        }
        drop(mine);
        *self = Self { indices, counts, ..Self::default() };
        self.fold(&floors);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    pub(super) fn collapsed(&self) -> u64 {
        self.collapsed
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + '_ {
        self.indices.iter().copied().zip(self.counts.iter().copied())
    }

    /// Folds the lowest buckets into the next until the bound holds, and recounts what is collapsed.
    ///
    /// `floors` are the lowest index and the collapsed count of each store that went into this one. What had
    /// collapsed below the new floor is among what is folded now; what had collapsed onto it still is.
    fn fold(&mut self, floors: &[(Option<i32>, u64)]) {
        let excess = self.indices.len().saturating_sub(BUCKETS_MAX);
        let folded = self.counts.drain(..excess).fold(0_u64, u64::saturating_add);
        self.indices.drain(..excess);
        let Some(floor) = self.indices.first().copied() else { return };
        self.counts[0] = self.counts[0].saturating_add(folded);
        let onto = floors.iter().filter(|(lowest, _)| *lowest == Some(floor));
        self.collapsed = onto.fold(folded, |sum, (_, collapsed)| sum.saturating_add(*collapsed));
    }
}

/// The written form: the lowest index, then steps between indices, so that a bucket takes two small numbers.
#[derive(Serialize, Deserialize)]
struct Flat {
    collapsed: u64,
    lowest: i32,
    buckets: Vec<(u32, u64)>,
}

impl From<Store> for Flat {
    fn from(store: Store) -> Self {
        let lowest = store.indices.first().copied().unwrap_or(0);
        let mut before = lowest;
        let step = |(index, count): (i32, u64)| {
            let step = index.abs_diff(before);
            before = index;
            (step, count)
        };
        Self { collapsed: store.collapsed, lowest, buckets: store.iter().map(step).collect() }
    }
}

/// Why written bytes are no sketch.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlatError {
    /// More buckets than a sketch keeps.
    #[error("{0} buckets are more than {BUCKETS_MAX}")]
    TooMany(usize),
    /// A bucket that no number belongs to, out of order or empty.
    #[error("bucket {0} is not one that was written")]
    Bucket(usize),
    /// More values moved than the lowest bucket holds, or moved although there was room.
    #[error("{0} collapsed values do not fit")]
    Collapsed(u64),
}

impl TryFrom<Flat> for Store {
    type Error = FlatError;

    fn try_from(flat: Flat) -> Result<Self, FlatError> {
        let length = flat.buckets.len();
        if length > BUCKETS_MAX {
            return Err(FlatError::TooMany(length));
        }
        let mut store = Self { collapsed: flat.collapsed, ..Self::default() };
        let mut index = flat.lowest;
        for (position, &(step, count)) in flat.buckets.iter().enumerate() {
            index = index.checked_add_unsigned(step).ok_or(FlatError::Bucket(position))?;
            let in_order = (step == 0) == (position == 0);
            if !in_order || count == 0 || !grid::INDICES.contains(&index) {
                return Err(FlatError::Bucket(position));
            }
            store.indices.push(index);
            store.counts.push(count);
        }
        let room = length < BUCKETS_MAX;
        let most = if room { 0 } else { store.counts[0] };
        if flat.collapsed > most { Err(FlatError::Collapsed(flat.collapsed)) } else { Ok(store) }
    }
}
