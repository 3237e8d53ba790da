//! How values spread over the bins of the reference: an index for each feature, and the bins of those that moved.

use stats::psi::psi;
use wire::Family;
use wire::history::{Bin, Distribution, Verdict};
use wire::profile::{FeatureFold, FeatureProfile};

use super::super::loaded::Loaded;
use super::super::stream::{Rule, Stream};
use super::super::words;
use crate::family::{At, Event, Place, StreamPlan};
use crate::pane::{FeatureCounts, PaneCounts};
use crate::reference::StreamReference;
use crate::reference::baseline::float;

/// Most streams whose bins are told of.
const DISTRIBUTIONS_MAX: usize = 12;

/// Population stability index of each feature that was folded under the reference's profile.
pub(super) fn stability<'a>(
    counts: &'a PaneCounts,
    loaded: &'a Loaded,
) -> impl Iterator<Item = (String, f64)> + 'a {
    loaded.rules.iter().zip(&loaded.reference.streams).filter_map(move |(rule, reference)| {
        let (_, current) = current(counts, loaded, rule)?;
        let reference = bins(&rule.plan, reference);
        let index = (reference.len() == current.len()).then(|| psi(&reference, &current)).flatten()?;
        Some((format!("psi.{}", rule.plan.name), index))
    })
}

/// Bins of the streams that have moved.
pub(super) fn distributions(counts: &PaneCounts, loaded: &Loaded, streams: &[Stream]) -> Vec<Distribution> {
    let drifting = |stream: &Stream| stream.last.verdict == Verdict::Drifting;
    let moved = streams.iter().zip(&loaded.rules).zip(&loaded.reference.streams);
    let moved = moved.filter(|((stream, _), _)| drifting(stream));
    moved
        .filter_map(|((_, rule), reference)| {
            let (profile, current) = current(counts, loaded, rule)?;
            let reference = bins(&rule.plan, reference);
            let all = float(reference.iter().sum());
            if reference.len() != current.len() || all <= 0.0 {
                return None;
            }
            let each = reference.iter().zip(&current).enumerate();
            let bins = each.map(|(i, (reference, now))| Bin {
                name: words::bin(profile, i, current.len()),
                reference: float(*reference) / all,
                now: *now,
            });
            let (family, name): (Family, String) = (rule.plan.family, rule.plan.name.clone());
            Some(Distribution { family, name, bins: bins.collect() })
        })
        .take(DISTRIBUTIONS_MAX)
        .collect()
}

/// What was counted of the feature that a stream is about, bin by bin.
fn current<'a>(
    counts: &PaneCounts,
    loaded: &'a Loaded,
    rule: &Rule,
) -> Option<(&'a FeatureProfile, Vec<u64>)> {
    let profile = &loaded.reference.profile;
    let Event::Value(at, _) = rule.plan.tests.first()?.event else { return None };
    let (counts, profile) = match at {
        At::Feature(i) => counts.features.get(i).zip(profile.features.get(i)),
        At::Prediction => counts.prediction.as_ref().zip(profile.prediction.as_ref()),
        At::Score => counts.score.as_ref().zip(profile.score.as_ref()),
    }?;
    let current = match (counts, &profile.fold) {
        (FeatureCounts::Numeric(c), FeatureFold::Numeric { .. }) => c.bins.clone(),
        (FeatureCounts::Category(c), FeatureFold::Category { .. }) => {
            c.known.iter().copied().chain([c.other, c.new]).collect()
        }
        (FeatureCounts::Raw(_) | FeatureCounts::Numeric(_) | FeatureCounts::Category(_), _) => return None,
    };
    Some((profile, current))
}

/// The reference's counts by bin or category, from its tests.
fn bins(plan: &StreamPlan, reference: &StreamReference) -> Vec<u64> {
    let mut out = vec![];
    let (mut below, mut total) = (0, 0);
    for (test, known) in plan.tests.iter().zip(&reference.tests) {
        match test.event {
            Event::Value(_, Place::Below(_)) => {
                out.push(known.k.saturating_sub(below));
                (below, total) = (known.k, known.n);
            }
            Event::Value(_, Place::Known(_) | Place::Rare | Place::New) => out.push(known.k),
            Event::Value(_, Place::Bin(_) | Place::Atom(_))
            | Event::Slow(_)
            | Event::Failed(_)
            | Event::Faulty(..)
            | Event::Record(_)
            | Event::Label(_) => (),
        }
    }
    if total > 0 {
        out.push(total.saturating_sub(below));
    }
    out
}
