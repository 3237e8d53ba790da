//! A profile made ready for counting, and one prediction into the counts of a pane.

use std::collections::BTreeMap;
use std::sync::Arc;

use stats::Edges;
use wire::prediction::Status;
use wire::profile::{FeatureFold, FeatureProfile, Profile};

use super::hash::Keys;
use crate::decode::{Canonical, Prediction, Value};
use crate::pane::{Atom, FeatureCounts, NumericCounts, PaneCounts, RawCounts, add, labels, raw_name};

/// Longest category text that is published.
const CLEAR_BYTES_MAX: usize = 128;

/// Why a profile cannot be counted by. It was not written by a judge of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Edges must be finite and rise.
    #[error("the edges of `{0}` do not rise")]
    Edges(String),
}

/// A profile ready for counting; the default is none.
#[derive(Debug, Default)]
pub(super) struct Fold {
    pub(super) digest: u64,
    pub(super) profile: Option<Arc<Profile>>,
    features: Vec<FoldOf>,
    /// Feature names in order, with their place in the profile.
    pub(super) names: Vec<(String, usize)>,
    prediction: Option<FoldOf>,
    score: Option<FoldOf>,
    /// Hash of each known class to its index.
    classes: BTreeMap<u64, u16>,
    other_class: u16,
}

/// How one feature is counted.
#[derive(Debug)]
enum FoldOf {
    Numeric { centre: f64, scale: f64, edges: Edges, atoms: Vec<f64> },
    Category { known: BTreeMap<u64, usize>, other: Vec<u64>, public: bool },
}

impl FoldOf {
    fn new(profile: &FeatureProfile) -> Result<Self, ProfileError> {
        Ok(match &profile.fold {
            FeatureFold::Numeric { centre, scale, edges, atoms } => Self::Numeric {
                centre: *centre,
                // A feature that never varied has no scale.
                scale: if scale.is_finite() && *scale > 0.0 { *scale } else { 1.0 },
                edges: Edges::new(edges.clone()).map_err(|_| ProfileError::Edges(profile.name.clone()))?,
                atoms: atoms.clone(),
            },
            FeatureFold::Category { known, other } => {
                let mut other = other.clone();
                other.sort_unstable();
                let known = known.iter().enumerate().map(|(i, category)| (category.hash, i)).collect();
                Self::Category { known, other, public: profile.public }
            }
        })
    }
}

impl Fold {
    pub(super) fn new(profile: Arc<Profile>) -> Result<Self, ProfileError> {
        for (what, edges) in [("latency", &profile.latency_edges), ("errors", &profile.error_edges)] {
            Edges::new(edges.clone()).map_err(|_| ProfileError::Edges(what.into()))?;
        }
        let mut names: Vec<(String, usize)> = Vec::with_capacity(profile.features.len());
        names.extend(profile.features.iter().enumerate().map(|(i, f)| (f.name.clone(), i)));
        names.sort_unstable();
        let classes = labels::classes(&profile);
        let index = |i: usize| u16::try_from(i).unwrap_or(u16::MAX);
        Ok(Self {
            digest: profile.short_digest(),
            features: profile.features.iter().map(FoldOf::new).collect::<Result<_, _>>()?,
            names,
            prediction: profile.prediction.as_ref().map(FoldOf::new).transpose()?,
            score: profile.score.as_ref().map(FoldOf::new).transpose()?,
            other_class: index(classes.len()),
            classes: classes.into_iter().enumerate().map(|(i, hash)| (hash, index(i))).collect(),
            profile: Some(profile),
        })
    }

    pub(super) fn empty(&self, features_max: u32) -> PaneCounts {
        PaneCounts::empty(self.profile.as_deref(), features_max)
    }

    /// Index of a class, where the profile knows classes.
    pub(super) fn class(&self, hash: u64) -> Option<u16> {
        (!self.classes.is_empty()).then(|| self.classes.get(&hash).copied().unwrap_or(self.other_class))
    }

    fn latency_edges(&self) -> &[f64] {
        self.profile.as_ref().map_or(&[], |p| &p.latency_edges)
    }
}

/// What counting a value takes beside it.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) keys: &'a Keys,
    /// Hash of the prediction's id.
    pub(super) record: u64,
    pub(super) categories_max: u32,
}

/// Counts all of a prediction but its features.
pub(super) fn count(
    counts: &mut PaneCounts,
    fold: &Fold,
    p: &Prediction<'_>,
    context: Context<'_>,
    public: bool,
) {
    add(&mut counts.predictions, 1);
    if let Some(weight) = p.weight {
        add(&mut counts.weighted, 1);
        counts.weight.add(weight);
    }
    let status = Status::ALL.iter().position(|s| *s == p.status).expect("every status is in the list");
    add(&mut counts.status[status], 1);
    match p.latency_ms {
        Some(ms) if ms.is_finite() && ms >= 0.0 => {
            add(&mut counts.latency.n, 1);
            for (over, edge) in counts.latency.over.iter_mut().zip(fold.latency_edges()) {
                *over += u64::from(ms > *edge);
            }
            counts.latency.sketch.add(ms);
        }
        Some(_) => add(&mut counts.quality.latency_invalid, 1),
        None => (),
    }
    add(&mut counts.quality.unknown_version, u64::from(p.version.is_none()));
    add(&mut counts.quality.features_over, p.features.skipped_members);
    add(&mut counts.quality.unsupported, u64::from(p.features.is_other));
    let raw = fold.profile.is_none();
    if let Some(value) = p.prediction {
        beside(&mut counts.prediction, fold.prediction.as_ref(), raw, "prediction", value, context, public);
    }
    if let Some(score) = p.score {
        beside(&mut counts.score, fold.score.as_ref(), raw, "score", Value::Number(score), context, false);
    }
}

/// Counts the prediction or the score, which stand beside the features.
fn beside(
    counts: &mut Option<FeatureCounts>,
    fold: Option<&FoldOf>,
    raw: bool,
    name: &str,
    value: Value<'_>,
    context: Context<'_>,
    public: bool,
) {
    if raw && counts.is_none() {
        *counts = Some(FeatureCounts::Raw(Box::new(RawCounts::new(name.to_owned(), context.categories_max))));
    }
    match counts {
        Some(FeatureCounts::Raw(counts)) => count_raw(counts, value, context, public),
        Some(counts @ (FeatureCounts::Numeric(_) | FeatureCounts::Category(_))) => {
            if let Some(fold) = fold {
                count_value(counts, fold, value, context);
            }
        }
        None => (),
    }
}

/// Counts a feature that the profile knows, by its place there.
pub(super) fn count_feature(
    counts: &mut PaneCounts,
    fold: &Fold,
    at: usize,
    value: Value<'_>,
    context: Context<'_>,
) {
    add(&mut counts.quality.unsupported, u64::from(value == Value::Nested));
    count_value(&mut counts.features[at], &fold.features[at], value, context);
}

/// Counts a feature by name, without a profile.
pub(super) fn count_raw_feature(
    counts: &mut PaneCounts,
    name: &str,
    value: Value<'_>,
    context: Context<'_>,
    public: bool,
) {
    add(&mut counts.quality.unsupported, u64::from(value == Value::Nested));
    let at = counts.features.partition_point(|f| raw_name(f) < name);
    let known = counts.features.get(at).is_some_and(|f| raw_name(f) == name);
    if !known {
        if at >= counts.features_max as usize {
            add(&mut counts.quality.features_over, 1);
            return;
        }
        let fresh = RawCounts::new(name.to_owned(), context.categories_max);
        counts.features.insert(at, FeatureCounts::Raw(Box::new(fresh)));
        counts.drop_excess();
    }
    if let Some(FeatureCounts::Raw(raw)) = counts.features.get_mut(at) {
        count_raw(raw, value, context, public);
    }
}

fn count_raw(counts: &mut RawCounts, value: Value<'_>, context: Context<'_>, public: bool) {
    match value {
        Value::Null => add(&mut counts.nulls, 1),
        Value::Number(x) if x.is_finite() => {
            counts.numeric.add(x);
            counts.sketch.add(x);
            let clear = public.then_some((x + 0.0).to_bits());
            let atom = Atom { hash: context.keys.value(Canonical::Number(x)), clear };
            counts.atoms.add(context.record, 0, atom);
        }
        Value::Bool(_) | Value::Text(_) => {
            if let Some(canonical) = value.canonical() {
                counts.categories.count(context.keys.value(canonical), || clear(canonical, public));
            }
        }
        Value::Number(_) | Value::Nested => add(&mut counts.invalid, 1),
    }
}

/// Text of a category where it may be published: the same for all texts that are the same category.
fn clear(value: Canonical<'_>, public: bool) -> Option<String> {
    let text = match value {
        Canonical::Number(x) if public => format!("{}", x + 0.0),
        Canonical::Text(text) if public && text.len() <= CLEAR_BYTES_MAX => text.to_owned(),
        Canonical::Number(_) | Canonical::Text(_) => return None,
    };
    Some(text)
}

fn count_value(counts: &mut FeatureCounts, fold: &FoldOf, value: Value<'_>, context: Context<'_>) {
    match (counts, fold) {
        (FeatureCounts::Numeric(counts), FoldOf::Numeric { centre, scale, edges, atoms }) => match value {
            Value::Null => add(&mut counts.nulls, 1),
            Value::Number(x) if x.is_finite() => count_number(counts, x, (*centre, *scale), edges, atoms),
            Value::Number(_) | Value::Bool(_) | Value::Text(_) | Value::Nested => add(&mut counts.invalid, 1),
        },
        (FeatureCounts::Category(counts), FoldOf::Category { known, other, public }) => {
            match value.canonical() {
                None if value == Value::Null => add(&mut counts.nulls, 1),
                None => add(&mut counts.invalid, 1),
                Some(canonical) => {
                    let hash = context.keys.value(canonical);
                    if let Some(at) = known.get(&hash) {
                        add(&mut counts.known[*at], 1);
                    } else if other.binary_search(&hash).is_ok() {
                        add(&mut counts.other, 1);
                    } else {
                        add(&mut counts.new, 1);
                        counts.fresh.count(hash, || clear(canonical, *public));
                    }
                }
            }
        }
        // The counts were made from the fold.
        (FeatureCounts::Raw(_) | FeatureCounts::Numeric(_) | FeatureCounts::Category(_), _) => (),
    }
}

fn count_number(
    counts: &mut NumericCounts,
    x: f64,
    (centre, scale): (f64, f64),
    edges: &Edges,
    atoms: &[f64],
) {
    // An atom is a value that occurs exactly, so it is compared exactly.
    #[expect(clippy::float_cmp, reason = "see above")]
    let atom = atoms.iter().position(|atom| *atom == x);
    if let Some(atom) = atom {
        add(&mut counts.atoms[atom], 1);
        return;
    }
    add(&mut counts.bins[edges.bin_of(x)], 1);
    counts.sketch.add(((x - centre) / scale).clamp(f64::MIN, f64::MAX));
}
