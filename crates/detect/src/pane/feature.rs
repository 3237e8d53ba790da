//! What one feature's values came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::sample::BottomK;
use stats::{DdSketch, Mismatch, Moments};
use wire::profile::{FeatureFold, FeatureProfile};

use super::{add, same_length, sum_into};

/// Records whose value of a feature is kept as a keyed hash, per pane, while there is no profile: a value that
/// is a twentieth of all is found once some panes are put together.
pub const ATOM_SAMPLE: usize = 64;

/// New categories that are told apart in a pane, so that evidence can name what came.
pub const NEW_CATEGORIES_MAX: u32 = 32;

/// Counts of one feature. Every prediction of the pane is in exactly one of its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every feature is numeric; boxing would serve the rare ones"
)]
pub enum FeatureCounts {
    /// Folded without a profile: enough to make one from.
    Raw(Box<RawCounts>),
    Numeric(NumericCounts),
    Category(CategoryCounts),
}

/// A feature that no profile describes. Missing in the rest of the pane's predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawCounts {
    pub name: String,
    pub nulls: u64,
    /// Numbers that no 64-bit float holds, arrays and objects.
    pub invalid: u64,
    /// Of the values that were numbers.
    pub numeric: Moments,
    /// Of the numbers themselves, within 1 % of each.
    pub sketch: DdSketch,
    /// Values of [`ATOM_SAMPLE`] numeric records chosen by record hash. Repeats are atoms.
    pub atoms: BottomK<Atom>,
    /// Of the values that were text or true/false.
    pub categories: Categories,
}

/// A numeric value in a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Atom {
    /// Keyed hash of the value.
    pub hash: u64,
    /// Bits of the value, of public features alone.
    pub clear: Option<u64>,
}

/// Counts by category, bounded: those with the smallest hashes, the rest together.
///
/// The bound changes nothing in what is kept: a category once left out is never among the smallest again, so
/// each count that is there is exact, in any order and grouping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Categories {
    max: u32,
    counts: BTreeMap<u64, CategoryCount>,
    over: u64,
}

/// Records of one category.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryCount {
    pub count: u64,
    /// Its text, of public features alone.
    pub name: Option<String>,
}

/// A numeric feature under a profile. `atoms` and `bins` in the profile's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NumericCounts {
    pub nulls: u64,
    pub missing: u64,
    /// Text, true/false, arrays, objects, and numbers that no 64-bit float holds.
    pub invalid: u64,
    /// Values equal to `fold.atoms[i]`; not in the bins, nor in the sketch.
    pub atoms: Vec<u64>,
    /// `fold.edges.len() + 1`: bin i holds `edges[i-1] <= x < edges[i]`.
    pub bins: Vec<u64>,
    /// Of (x - centre)/scale.
    pub sketch: DdSketch,
}

/// A categorical feature under a profile. `known` in the profile's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryCounts {
    pub nulls: u64,
    pub missing: u64,
    /// Arrays, objects, and numbers that no 64-bit float holds.
    pub invalid: u64,
    pub known: Vec<u64>,
    /// Categories that were rare in the reference.
    pub other: u64,
    /// Categories that were not in the reference at all …
    pub new: u64,
    /// … and which, as far as there is room.
    pub fresh: Categories,
}

impl Categories {
    /// No category, and room for `max`.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self { max, counts: BTreeMap::new(), over: 0 }
    }

    /// Counts one record of a category; `name` makes its text where it may be published.
    pub fn count(&mut self, hash: u64, name: impl FnOnce() -> Option<String>) {
        if let Some(known) = self.counts.get_mut(&hash) {
            add(&mut known.count, 1);
        } else if self.is_left_out(hash) {
            add(&mut self.over, 1);
        } else {
            self.counts.insert(hash, CategoryCount { count: 1, name: name() });
            self.shrink();
        }
    }

    /// Adds what another has counted; the smaller bound of the two holds.
    pub fn merge(&mut self, other: &Self) {
        self.max = self.max.min(other.max);
        add(&mut self.over, other.over);
        for (&hash, theirs) in &other.counts {
            let mine = self.counts.entry(hash).or_default();
            add(&mut mine.count, theirs.count);
            if mine.name.is_none() {
                mine.name.clone_from(&theirs.name);
            }
        }
        self.shrink();
    }

    /// Categories and their counts, by hash.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &CategoryCount)> {
        self.counts.iter().map(|(&hash, count)| (hash, count))
    }

    /// Records of categories for which there was no room.
    #[must_use]
    pub fn over(&self) -> u64 {
        self.over
    }

    /// All records counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().fold(self.over, |sum, c| sum.saturating_add(c.count))
    }

    fn is_left_out(&self, hash: u64) -> bool {
        self.counts.len() >= self.max as usize
            && self.counts.last_key_value().is_none_or(|(last, _)| *last < hash)
    }

    fn shrink(&mut self) {
        while self.counts.len() > self.max as usize {
            let (_, left_out) = self.counts.pop_last().expect("more than the bound");
            add(&mut self.over, left_out.count);
        }
    }
}

impl RawCounts {
    /// Nothing counted; room for `categories_max` categories.
    #[must_use]
    pub fn new(name: String, categories_max: u32) -> Self {
        Self {
            name,
            nulls: 0,
            invalid: 0,
            numeric: Moments::default(),
            sketch: DdSketch::default(),
            atoms: BottomK::new(ATOM_SAMPLE),
            categories: Categories::new(categories_max),
        }
    }

    /// Records that had the feature, as null or otherwise.
    #[must_use]
    pub fn present(&self) -> u64 {
        let counted = self.numeric.count().saturating_add(self.categories.total());
        counted.saturating_add(self.nulls).saturating_add(self.invalid)
    }

    fn merge(&mut self, other: &Self) {
        add(&mut self.nulls, other.nulls);
        add(&mut self.invalid, other.invalid);
        self.numeric.merge(&other.numeric);
        self.sketch.merge(&other.sketch);
        self.atoms.merge(&other.atoms);
        self.categories.merge(&other.categories);
    }
}

impl NumericCounts {
    /// Records that had the feature, as null or otherwise.
    #[must_use]
    pub fn present(&self) -> u64 {
        let counts = self.atoms.iter().chain(&self.bins).chain([&self.nulls, &self.invalid]);
        counts.fold(0, |sum, n| sum.saturating_add(*n))
    }
}

impl CategoryCounts {
    /// Records that had the feature, as null or otherwise.
    #[must_use]
    pub fn present(&self) -> u64 {
        let counts = self.known.iter().chain([&self.nulls, &self.invalid, &self.other, &self.new]);
        counts.fold(0, |sum, n| sum.saturating_add(*n))
    }
}

impl FeatureCounts {
    /// Nothing counted, in the shape of `profile`.
    #[must_use]
    pub fn empty(profile: &FeatureProfile) -> Self {
        match &profile.fold {
            FeatureFold::Numeric { edges, atoms, .. } => Self::Numeric(NumericCounts {
                atoms: vec![0; atoms.len()],
                bins: vec![0; edges.len() + 1],
                ..NumericCounts::default()
            }),
            FeatureFold::Category { known, .. } => Self::Category(CategoryCounts {
                nulls: 0,
                missing: 0,
                invalid: 0,
                known: vec![0; known.len()],
                other: 0,
                new: 0,
                fresh: Categories::new(NEW_CATEGORIES_MAX),
            }),
        }
    }

    /// Says how many of `predictions` had no such feature. Raw counts leave it to be worked out.
    pub fn set_missing(&mut self, predictions: u64) {
        match self {
            Self::Raw(_) => (),
            Self::Numeric(counts) => counts.missing = predictions.saturating_sub(counts.present()),
            Self::Category(counts) => counts.missing = predictions.saturating_sub(counts.present()),
        }
    }

    /// Predictions without the feature, out of the pane's `predictions`.
    #[must_use]
    pub fn missing(&self, predictions: u64) -> u64 {
        match self {
            Self::Raw(counts) => predictions.saturating_sub(counts.present()),
            Self::Numeric(counts) => counts.missing,
            Self::Category(counts) => counts.missing,
        }
    }

    pub(super) fn fits(&self, other: &Self) -> Result<(), Mismatch> {
        match (self, other) {
            (Self::Raw(_), Self::Raw(_)) => Ok(()),
            (Self::Numeric(a), Self::Numeric(b)) => {
                same_length(a.atoms.len(), b.atoms.len())?;
                same_length(a.bins.len(), b.bins.len())
            }
            (Self::Category(a), Self::Category(b)) => same_length(a.known.len(), b.known.len()),
            (Self::Raw(_) | Self::Numeric(_) | Self::Category(_), _) => Err(Mismatch { left: 1, right: 0 }),
        }
    }

    /// Adds what another has counted. The caller has checked that they fit.
    pub(super) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Raw(mine), Self::Raw(theirs)) => mine.merge(theirs),
            (Self::Numeric(mine), Self::Numeric(theirs)) => {
                add(&mut mine.nulls, theirs.nulls);
                add(&mut mine.missing, theirs.missing);
                add(&mut mine.invalid, theirs.invalid);
                sum_into(&mut mine.atoms, &theirs.atoms);
                sum_into(&mut mine.bins, &theirs.bins);
                mine.sketch.merge(&theirs.sketch);
            }
            (Self::Category(mine), Self::Category(theirs)) => {
                add(&mut mine.nulls, theirs.nulls);
                add(&mut mine.missing, theirs.missing);
                add(&mut mine.invalid, theirs.invalid);
                sum_into(&mut mine.known, &theirs.known);
                add(&mut mine.other, theirs.other);
                add(&mut mine.new, theirs.new);
                mine.fresh.merge(&theirs.fresh);
            }
            (Self::Raw(_) | Self::Numeric(_) | Self::Category(_), _) => (),
        }
    }
}
