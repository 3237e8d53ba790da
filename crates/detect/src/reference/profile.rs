//! Profiles from panes: first centre and scale, then edges, categories and the latency's quantiles.

use stats::DdSketch;
use stats::ddsketch::boundary_at_or_below;
use wire::profile::{Category, FeatureFold, FeatureProfile, Profile, Stage, Task};
use wire::{Digest, Timestamp};

use crate::pane::{Categories, FeatureCounts, NumericCounts, PaneCounts, RawCounts};

/// Known categories, most.
const KNOWN_MAX: usize = 12;
/// Least share of a known category; the rarer ones are `other`.
const KNOWN_SHARE: f64 = 0.005;
/// Rare categories that are told from new ones, most.
const OTHER_MAX: usize = 512;
/// Quantiles at which a numeric feature has edges, besides its extremes.
const QUANTILES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// A value (bucket) with so much of the mass has a bin of its own: flags, counts, grids.
const ATOM_SHARE: f64 = 0.05;
/// Bins of their own, most.
const ATOMS_MAX: usize = 6;
/// Quantiles at which latency has edges: beyond the last nothing was seen.
const LATENCY_QUANTILES: [f64; 7] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0];
/// Edges of |error|, in units of the mean |error|.
const ERROR_STEPS: [f64; 5] = [0.5, 1.0, 1.5, 2.0, 3.0];
/// Quantiles of the score between which labels are counted apart.
const SCORE_QUANTILES: [f64; 3] = [0.25, 0.5, 0.75];
/// Strata of label delay: 5 minutes, half an hour, 2 hours, a day.
const DELAY_EDGES_MS: [i64; 4] = [300_000, 1_800_000, 7_200_000, 86_400_000];

/// What a profile is about, and what config says of it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub model: &'a str,
    pub version: &'a str,
    pub effective_from: Timestamp,
    pub latency_objective_ms: Option<f64>,
}

/// Centre and scale from panes that were folded raw.
#[must_use]
pub fn provisional(about: About<'_>, raw: &PaneCounts) -> Profile {
    let features = raw.features.iter().filter_map(|f| first_fold(f, None)).collect();
    let prediction = raw.prediction.as_ref().and_then(|f| first_fold(f, Some("prediction")));
    let score = raw.score.as_ref().and_then(|f| first_fold(f, Some("score")));
    sealed(about, Stage::Provisional, features, prediction, score, raw)
}

/// Edges from panes that were folded under a provisional profile.
#[must_use]
pub fn complete(about: About<'_>, first: &Profile, counts: &PaneCounts) -> Profile {
    let fold = |(profile, counts): (&FeatureProfile, &FeatureCounts)| FeatureProfile {
        fold: last_fold(&profile.fold, counts),
        ..profile.clone()
    };
    let features = first.features.iter().zip(&counts.features).map(fold).collect();
    let prediction = first.prediction.as_ref().zip(counts.prediction.as_ref()).map(fold);
    let score = first.score.as_ref().zip(counts.score.as_ref()).map(fold);
    sealed(about, Stage::Final, features, prediction, score, counts)
}

/// The same fold for another version of the model, or from another time on.
#[must_use]
pub fn for_version(profile: &Profile, version: &str, effective_from: Timestamp) -> Profile {
    Profile { version: version.to_owned(), effective_from, ..profile.clone() }.sealed()
}

fn sealed(
    about: About<'_>,
    stage: Stage,
    features: Vec<FeatureProfile>,
    prediction: Option<FeatureProfile>,
    score: Option<FeatureProfile>,
    counts: &PaneCounts,
) -> Profile {
    let task = match prediction.as_ref().map(|p| &p.fold) {
        Some(FeatureFold::Category { .. }) => Task::Classification,
        Some(FeatureFold::Numeric { .. }) => Task::Regression,
        None if counts.labels.total() > 0 => Task::Classification,
        None => Task::Unknown,
    };
    let error_edges = if task == Task::Regression { error_edges(counts) } else { vec![] };
    let score_edges = match (task, &score, &counts.score) {
        (Task::Classification, Some(score), Some(FeatureCounts::Numeric(counts))) => {
            score_edges(score, counts)
        }
        (Task::Classification | Task::Regression | Task::Unknown, _, _) => vec![],
    };
    Profile {
        model: about.model.to_owned(),
        version: about.version.to_owned(),
        digest: Digest::new(""),
        effective_from: about.effective_from,
        stage,
        latency_edges: latency_edges(&counts.latency.sketch, about.latency_objective_ms),
        latency_objective_ms: about.latency_objective_ms,
        features,
        prediction,
        score,
        task,
        error_edges,
        delay_edges_ms: DELAY_EDGES_MS.to_vec(),
        score_edges,
    }
    .sealed()
}

/// Bucket boundaries above the quantiles: counts over them can be read from any sketch.
fn latency_edges(sketch: &DdSketch, objective: Option<f64>) -> Vec<f64> {
    let upper = |q: &f64| sketch.quantile_bucket(*q).map(|bucket| bucket.upper);
    ascending(LATENCY_QUANTILES.iter().filter_map(upper).chain(objective))
}

fn error_edges(counts: &PaneCounts) -> Vec<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for errors in counts.labels.strata.iter().map(|s| &s.errors) {
        let total = super::baseline::float(errors.total());
        sum += errors.mean_absolute().unwrap_or(0.0) * total;
        n += total;
    }
    let mean = if n > 0.0 { sum / n } else { 0.0 };
    ascending(ERROR_STEPS.iter().map(|step| step * mean).filter(|edge| *edge > 0.0))
}

/// Edges at the quartiles of the score.
fn score_edges(score: &FeatureProfile, counts: &NumericCounts) -> Vec<f64> {
    let FeatureFold::Numeric { centre, scale, .. } = score.fold else { return vec![] };
    let quantile = |q: &f64| counts.sketch.quantile_bucket(*q).map(|bucket| centre + scale * bucket.lower);
    ascending(SCORE_QUANTILES.iter().filter_map(quantile))
}

fn ascending(edges: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut edges: Vec<f64> = edges.filter(|edge| edge.is_finite()).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

/// How a feature is folded for the first time. `None` where nothing but nulls was seen.
fn first_fold(counts: &FeatureCounts, name: Option<&str>) -> Option<FeatureProfile> {
    let FeatureCounts::Raw(raw) = counts else { return None };
    let name = name.unwrap_or(&raw.name).to_owned();
    let public =
        raw.categories.iter().any(|(_, c)| c.name.is_some()) || raw.atoms.votes().any(|a| a.clear.is_some());
    let (numbers, texts) = (raw.numeric.count(), raw.categories.total());
    if numbers == 0 && texts == 0 {
        return None;
    }
    let fold = if numbers >= texts {
        let (centre, scale) = centre_and_scale(raw);
        FeatureFold::Numeric { centre, scale, edges: vec![], atoms: vec![] }
    } else {
        categories(&raw.categories)
    };
    Some(FeatureProfile { name, fold, public })
}

/// The middle of the values and a width near one deviation, neither led by outliers.
///
/// Quartiles of the sketch where its 1 % is fine enough; exact moments where the values sit far from zero.
fn centre_and_scale(raw: &RawCounts) -> (f64, f64) {
    let quantile = |q| raw.sketch.quantile(q).unwrap_or(0.0);
    let (low, middle, high) = (quantile(0.25), quantile(0.5), quantile(0.75));
    if high - low > 0.1 * middle.abs() && (high - low).is_finite() {
        return (middle, (high - low) / 1.35);
    }
    let mean = raw.numeric.mean().filter(|mean| mean.is_finite()).unwrap_or(middle);
    let deviation = raw.numeric.variance().map(f64::sqrt).filter(|sd| sd.is_finite() && *sd > 0.0);
    let scale = deviation.unwrap_or(if mean == 0.0 { 1.0 } else { mean.abs() });
    // A centre on the most frequent value itself would leave no room for an edge beside it, and neither would a
    // boundary of the sketch (1/64 is one).
    (mean + scale / 61.0, scale)
}

/// The frequent categories, most frequent first, and those that were seen at all.
fn categories(counts: &Categories) -> FeatureFold {
    let total = super::baseline::float(counts.total());
    let mut seen: Vec<_> = counts.iter().collect();
    seen.sort_by_key(|(hash, c)| (std::cmp::Reverse(c.count), *hash));
    let frequent = |c: u64| super::baseline::float(c) >= KNOWN_SHARE * total;
    let known: Vec<Category> = seen
        .iter()
        .take(KNOWN_MAX)
        .take_while(|(_, c)| frequent(c.count))
        .map(|(hash, c)| Category { hash: *hash, name: c.name.clone() })
        .collect();
    let mut other: Vec<u64> = seen.iter().skip(known.len()).take(OTHER_MAX).map(|(hash, _)| *hash).collect();
    other.sort_unstable();
    FeatureFold::Category { known, other }
}

fn last_fold(first: &FeatureFold, counts: &FeatureCounts) -> FeatureFold {
    match (first, counts) {
        (FeatureFold::Numeric { centre, scale, .. }, FeatureCounts::Numeric(counts)) => {
            let edges = edges(*centre, *scale, counts);
            FeatureFold::Numeric { centre: *centre, scale: *scale, edges, atoms: vec![] }
        }
        (FeatureFold::Category { known, other }, FeatureCounts::Category(counts)) => {
            recounted(known, other, counts)
        }
        (FeatureFold::Numeric { .. } | FeatureFold::Category { .. }, _) => first.clone(),
    }
}

/// What had no place in the first panes is known now, if it is frequent, and rare otherwise.
fn recounted(known: &[Category], other: &[u64], counts: &crate::pane::CategoryCounts) -> FeatureFold {
    let total = super::baseline::float(counts.present());
    let mut known = known.to_vec();
    let mut other = other.to_vec();
    for (hash, fresh) in counts.fresh.iter() {
        if known.len() < KNOWN_MAX && super::baseline::float(fresh.count) >= KNOWN_SHARE * total {
            known.push(Category { hash, name: fresh.name.clone() });
        } else if other.len() < OTHER_MAX {
            other.push(hash);
        }
    }
    other.sort_unstable();
    other.dedup();
    FeatureFold::Category { known, other }
}

/// Edges at the extremes, the quantiles, and around each value that holds much of the mass; all of them bucket
/// boundaries of the sketch of (x − centre)/scale. Of edges with nothing between them the lower one stays.
fn edges(centre: f64, scale: f64, counts: &NumericCounts) -> Vec<f64> {
    let sketch = &counts.sketch;
    let total = super::baseline::float(sketch.count());
    let mut heavy: Vec<_> =
        sketch.buckets().filter(|b| super::baseline::float(b.count) >= ATOM_SHARE * total).collect();
    heavy.sort_by(|a, b| b.count.cmp(&a.count).then(a.lower.total_cmp(&b.lower)));
    let around = heavy.iter().take(ATOMS_MAX).flat_map(|bucket| [bucket.lower, bucket.upper]);
    let quantiles = QUANTILES.iter().filter_map(|q| sketch.quantile_bucket(*q)).map(|bucket| bucket.lower);
    let least = sketch.buckets().next().map(|bucket| bucket.lower);
    let most = sketch.buckets().last().map(|bucket| bucket.upper);
    let mut all = ascending(quantiles.chain(around).chain(least).chain(most));
    all.dedup_by_key(|z| sketch.count_below(*z));
    let far = far_edges(&all);
    ascending(all.into_iter().chain(far).map(|z| centre + scale * z))
}

/// Beyond this no edge is told from infinity.
const FAR_MAX: f64 = 1e300;

/// Edges as far outside the extremes as these are apart: what lies beyond is of another unit, or no measurement. None where
/// there is a single value.
fn far_edges(edges: &[f64]) -> Vec<f64> {
    let (Some(least), Some(most)) = (edges.first(), edges.last()) else { return vec![] };
    let boundary = |z: f64| boundary_at_or_below(z.abs()).map(|edge| edge.copysign(z));
    if edges.len() < 3 {
        return vec![];
    }
    let range = most - least;
    [boundary((least - range).max(-FAR_MAX)), boundary((most + range).min(FAR_MAX))]
        .into_iter()
        .flatten()
        .filter(|edge| edge < least || edge > most)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(values: &[f64]) -> RawCounts {
        let mut raw = RawCounts::new("x".into(), 16);
        for x in values {
            raw.numeric.add(*x);
            raw.sketch.add(*x);
        }
        raw
    }

    /// Edges as both steps give them.
    fn edges_of(values: &[f64]) -> (FeatureFold, NumericCounts) {
        let (centre, scale) = centre_and_scale(&raw(values));
        let mut counts = NumericCounts::default();
        for x in values {
            counts.sketch.add((x - centre) / scale);
        }
        let fold =
            FeatureFold::Numeric { centre, scale, edges: edges(centre, scale, &counts), atoms: vec![] };
        (fold, counts)
    }

    fn spread(n: u32) -> Vec<f64> {
        (0..n).map(|i| f64::from(i * 7919 % n) / f64::from(n)).collect()
    }

    #[test]
    fn edges_cut_what_they_should() {
        let grid: Vec<f64> = (0..1000).map(|i| [3.0, 6.0, 12.0, 12.0, 24.0][i % 5]).collect();
        let zeros: Vec<f64> = (0..1000).map(|i| if i % 10 == 0 { f64::from(i % 7) } else { 0.0 }).collect();
        for (name, values, least) in [
            ("spread evenly", spread(1000), 9),
            ("far from zero", spread(1000).iter().map(|x| x + 1e6).collect(), 9),
            ("a grid", grid, 4),
            ("mostly zero", zeros, 3),
            ("constant", vec![5.0; 100], 2),
            ("constant zero", vec![0.0; 100], 1),
            ("one value", vec![-3.0], 1),
            ("huge", vec![1e308, -1e308, 1.0, 2.0, 3.0], 1),
        ] {
            let (fold, _) = edges_of(&values);
            let FeatureFold::Numeric { centre, scale, edges, .. } = fold else { panic!("numeric") };
            assert!(centre.is_finite() && scale > 0.0 && scale.is_finite(), "{name}: {centre} {scale}");
            assert!(edges.len() >= least && edges.len() <= 24, "{name}: {edges:?}");
            assert!(edges.windows(2).all(|e| e[0] < e[1]) && edges.iter().all(|e| e.is_finite()), "{name}");
        }
    }

    #[test]
    fn an_atom_has_a_bin_of_its_own() {
        let values: Vec<f64> =
            (0..1000).map(|i| if i % 2 == 0 { 0.5 } else { f64::from(i) / 1000.0 }).collect();
        let (FeatureFold::Numeric { edges, .. }, _) = edges_of(&values) else { panic!("numeric") };
        let (low, high) =
            (edges.iter().rfind(|e| **e <= 0.5).unwrap(), edges.iter().find(|e| **e > 0.5).unwrap());
        assert!(high - low < 0.05, "{low} {high}");
    }

    proptest! {
        #[test]
        fn the_unit_does_not_matter(scale in 0.001_f64..1000.0, values in prop::collection::vec(-100.0_f64..100.0, 50..200)) {
            let (a, counts_a) = edges_of(&values);
            let (b, counts_b) = edges_of(&values.iter().map(|x| x * scale).collect::<Vec<_>>());
            let (FeatureFold::Numeric { edges: a, .. }, FeatureFold::Numeric { edges: b, .. }) = (a, b) else {
                return Err(TestCaseError::fail("numeric"));
            };
            // The centre is read within 1 %, so a boundary may fall on the other side of a value; the shape stays.
            prop_assert!(a.len().abs_diff(b.len()) <= 4, "{a:?} {b:?}");
            prop_assert_eq!(counts_a.sketch.count(), counts_b.sketch.count());
        }
    }
}
