//! Drift and prediction: where the values of a feature (or the predictions, or the scores) fall.

use wire::Family;
use wire::profile::{FeatureFold, FeatureProfile, Profile};

use super::{Count, Event, Place, StreamPlan, TestPlan};
use crate::pane::{FeatureCounts, PaneCounts};

/// Which feature: predictions and scores are features too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Feature(usize),
    Prediction,
    Score,
}

/// All of them, with their profiles.
pub(super) fn all(profile: &Profile) -> impl Iterator<Item = (At, &FeatureProfile)> {
    let features = profile.features.iter().enumerate().map(|(i, f)| (At::Feature(i), f));
    let prediction = profile.prediction.iter().map(|f| (At::Prediction, f));
    features.chain(prediction).chain(profile.score.iter().map(|f| (At::Score, f)))
}

pub(super) fn plan(profile: &Profile) -> Vec<StreamPlan> {
    all(profile)
        .map(|(at, feature)| StreamPlan {
            family: if matches!(at, At::Feature(_)) { Family::Drift } else { Family::Prediction },
            name: feature.name.clone(),
            tests: tests(at, feature),
        })
        .collect()
}

/// Groups of tests that lend each other their spread.
const MIDDLE: i32 = 0;
const TAILS: i32 = 1;
/// Values that no day of the reference had anything like borrow from none of its days.
const ALONE: i32 = -1;
/// Edges of a single value: with more of them the outermost are far outside.
const FAR_FROM: usize = 2;

fn tests(at: At, feature: &FeatureProfile) -> Vec<TestPlan> {
    let test = |place, group| TestPlan::new(Event::Value(at, place), group);
    match &feature.fold {
        FeatureFold::Numeric { edges, atoms, .. } => {
            // The profile puts its edges far outside the reference's extremes, at these, and at its 1, 5, 10 … 99 %
            // quantiles: from the extremes on the outer three on either side are the tails. A single value has two.
            let far = usize::from(edges.len() > FAR_FROM);
            let inner = edges.len() - 2 * far;
            let tail = |edge: usize| inner > 6 && (edge < 3 || edge + 3 >= inner);
            let group = |edge: usize| match edge.checked_sub(far).filter(|edge| *edge < inner) {
                None => ALONE,
                Some(edge) => {
                    if tail(edge) {
                        TAILS
                    } else {
                        MIDDLE
                    }
                }
            };
            let below = (0..edges.len()).map(|e| test(Place::Below(e), group(e)));
            let bins = (1 + far..edges.len() - far).map(|bin| test(Place::Bin(bin), MIDDLE));
            let atoms = (0..atoms.len()).map(|atom| test(Place::Atom(atom), MIDDLE));
            below.chain(bins).chain(atoms).collect()
        }
        FeatureFold::Category { known, .. } => {
            let known = (0..known.len()).map(|i| test(Place::Known(i), MIDDLE));
            // A new category comes as the known ones do: where each has its day, so has this one.
            known.chain([test(Place::Rare, MIDDLE), test(Place::New, MIDDLE)]).collect()
        }
    }
}

/// A feature's counts in a pane folded under the profile.
pub(super) fn of(at: At, counts: &PaneCounts) -> Option<&FeatureCounts> {
    match at {
        At::Feature(i) => counts.features.get(i),
        At::Prediction => counts.prediction.as_ref(),
        At::Score => counts.score.as_ref(),
    }
}

/// A feature's counts in a pane folded without a profile: by name.
pub(super) fn raw<'a>(at: At, profile: &Profile, counts: &'a PaneCounts) -> Option<&'a FeatureCounts> {
    let raw = |feature: &&FeatureCounts| matches!(feature, FeatureCounts::Raw(_));
    match at {
        At::Feature(i) => {
            let name = &profile.features.get(i)?.name;
            counts.features.iter().find(|f| matches!(f, FeatureCounts::Raw(raw) if raw.name == *name))
        }
        At::Prediction => counts.prediction.as_ref().filter(raw),
        At::Score => counts.score.as_ref().filter(raw),
    }
}

/// Whether a pane was folded without a profile.
pub(super) fn is_raw(counts: &PaneCounts) -> bool {
    counts.features.iter().all(|f| matches!(f, FeatureCounts::Raw(_)))
}

pub(super) fn count(place: Place, at: At, counts: &PaneCounts) -> Option<Count> {
    let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
    match of(at, counts)? {
        FeatureCounts::Raw(_) => None,
        FeatureCounts::Numeric(c) => {
            let n = sum(&c.bins).saturating_add(sum(&c.atoms));
            let k = match place {
                Place::Below(edge) => sum(c.bins.get(..=edge)?),
                Place::Bin(bin) => *c.bins.get(bin)?,
                Place::Atom(atom) => *c.atoms.get(atom)?,
                Place::Known(_) | Place::Rare | Place::New => return None,
            };
            Some(Count::new(k, n))
        }
        FeatureCounts::Category(c) => {
            let n = sum(&c.known).saturating_add(c.other).saturating_add(c.new);
            let k = match place {
                Place::Known(i) => *c.known.get(i)?,
                Place::Rare => c.other,
                Place::New => c.new,
                Place::Below(_) | Place::Bin(_) | Place::Atom(_) => return None,
            };
            Some(Count::new(k, n))
        }
    }
}
