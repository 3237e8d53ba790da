use proptest::prelude::*;

use super::*;
use crate::testing::{Draws, bytes};

fn sketch_of(values: &[f64]) -> DdSketch {
    let mut sketch = DdSketch::default();
    values.iter().for_each(|&x| assert!(sketch.add(x), "{x} is finite"));
    sketch
}

/// The value that the sketch's quantile must be near to.
fn exact_quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[usize::try_from(rank(q, sorted.len() as u64 - 1)).expect("a rank is an index")]
}

#[test]
fn quantiles_of_known_values() {
    let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
    for (name, values, q, want) in [
        ("nothing", vec![], 0.5, None),
        ("one value", vec![41.7], 0.99, Some(41.7)),
        ("median of 1..=100", hundred.clone(), 0.5, Some(50.0)),
        ("p99 of 1..=100", hundred.clone(), 0.99, Some(99.0)),
        ("least", hundred.clone(), 0.0, Some(1.0)),
        ("most", hundred, 1.0, Some(100.0)),
        ("zeros between signs", vec![-5.0, 0.0, -0.0, 0.0, 7.0], 0.5, Some(0.0)),
        ("negative", vec![-100.0, -1.0, 1.0], 0.0, Some(-100.0)),
        ("largest float", vec![f64::MAX], 0.5, Some(f64::MAX)),
        ("smallest normal", vec![f64::MIN_POSITIVE], 0.5, Some(f64::MIN_POSITIVE)),
        ("subnormal counts as zero", vec![5e-324, -5e-324], 1.0, Some(0.0)),
    ] {
        let got = sketch_of(&values).quantile(q);
        let near = match (got, want) {
            (Some(got), Some(want)) => got.is_finite() && (got - want).abs() <= RELATIVE_ERROR * want.abs(),
            (got, want) => got == want,
        };
        assert!(near, "{name}: got {got:?}, want {want:?}");
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    let mut sketch = sketch_of(&[1.0]);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!sketch.add(bad), "{bad}");
        assert_eq!(boundary_at_or_below(bad), None);
        assert_eq!(boundary_above(bad), None);
    }
    assert_eq!(sketch.count(), 1);
}

#[test]
fn a_full_sketch_keeps_its_bound_and_says_so() {
    let octaves = 1_000.0;
    let mut draws = Draws::new(3);
    let values: Vec<f64> = (0..20_000).map(|_| 2f64.powf(octaves * (draws.uniform() - 0.5))).collect();
    let sketch = sketch_of(&values);
    assert_eq!(sketch.buckets().count(), BUCKETS_MAX);
    assert_eq!(sketch.count(), 20_000);
    let floor = sketch.buckets().next().expect("it is full").lower;
    let moved = values.iter().filter(|&&x| x < floor).count() as u64;
    assert!(moved > 0);
    assert_eq!(sketch.collapsed(), moved);
    assert!(bytes(&sketch).len() < 5_000, "{} bytes", bytes(&sketch).len());
    // The upper quantiles are as good as ever.
    let (got, want) = (sketch.quantile(0.999).expect("not empty"), exact_quantile(&values, 0.999));
    assert!((got / want - 1.0).abs() <= RELATIVE_ERROR, "{got} against {want}");
}

#[test]
fn bytes_that_are_no_sketch_are_refused() {
    for (name, negative, positive) in [
        ("an empty bucket", (0_u64, 0_i32, vec![]), (0_u64, 5_i32, vec![(0_u32, 0_u64)])),
        ("out of order", (0, 0, vec![]), (0, 5, vec![(0, 1), (0, 1)])),
        ("beyond any number", (0, 0, vec![]), (0, 40_000, vec![(0, 1)])),
        ("an index that wraps", (0, 0, vec![]), (0, 5, vec![(0, 1), (u32::MAX, 1)])),
        ("collapsed with room left", (1, 0, vec![(0, 2)]), (0, 0, vec![])),
        ("too many", (0, 0, vec![]), (0, 0, (0..2_000).map(|i| (u32::from(i > 0), 1)).collect())),
    ] {
        let forged = bytes(&(negative, 0_u64, positive));
        assert!(postcard::from_bytes::<DdSketch>(&forged).is_err(), "{name}");
    }
}

/// Values of every sign and size, with some that repeat.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let finite = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    prop::collection::vec(prop_oneof![finite, -10.0..10.0, (-3..4_i32).prop_map(f64::from)], 1..80)
}

/// More distinct buckets than fit, so that merges fold.
fn crowded() -> impl Strategy<Value = Vec<f64>> {
    (any::<u64>(), 600..2_500_usize).prop_map(|(seed, n)| {
        let mut draws = Draws::new(seed);
        (0..n).map(|_| 2f64.powf(60.0 * draws.normal())).collect()
    })
}

fn merged(parts: &[&[f64]]) -> DdSketch {
    parts.iter().fold(DdSketch::default(), |mut sum, part| {
        sum.merge(&sketch_of(part));
        sum
    })
}

proptest! {
    #[test]
    fn quantiles_are_within_one_percent(values in values(), q in 0.0..=1.0) {
        let (got, want) = (sketch_of(&values).quantile(q).expect("not empty"), exact_quantile(&values, q));
        prop_assert!((got - want).abs() <= RELATIVE_ERROR * want.abs() + f64::MIN_POSITIVE, "got {got}, want {want}");
    }

    #[test]
    fn a_boundary_splits_values_exactly(values in values(), at in any::<prop::sample::Index>()) {
        let sketch = sketch_of(&values);
        let x = values[at.index(values.len())];
        let edge = boundary_at_or_below(x).expect("finite");
        prop_assert!(edge <= x && boundary_above(x).is_none_or(|above| x < above));
        prop_assert_eq!(boundary_at_or_below(edge), Some(edge), "a boundary is its own");
        prop_assert_eq!(sketch.count_below(edge), values.iter().filter(|&&x| x < edge).count() as u64);
        prop_assert_eq!(sketch.count_at_or_above(edge), values.iter().filter(|&&x| edge <= x).count() as u64);
    }

    #[test]
    fn buckets_rise_and_hold_all(values in values()) {
        let sketch = sketch_of(&values);
        let buckets: Vec<Bucket> = sketch.buckets().collect();
        prop_assert!(buckets.is_sorted_by(|a, b| a.upper <= b.lower));
        for bucket in &buckets {
            let held = values.iter().filter(|&&x| bucket.lower <= x && x < bucket.upper).count() as u64;
            prop_assert_eq!(held, bucket.count);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_and_grouping_change_no_byte(
        values in prop_oneof![values(), crowded()],
        cuts in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let cuts = (cuts.0.index(values.len()), cuts.1.index(values.len()));
        let (a, rest) = values.split_at(cuts.0.min(cuts.1));
        let (b, c) = rest.split_at(cuts.0.max(cuts.1) - cuts.0.min(cuts.1));
        let reversed: Vec<f64> = values.iter().rev().copied().collect();
        let whole = sketch_of(&values);
        let mut grouped = sketch_of(c);
        grouped.merge(&merged(&[b, a]));
        for other in [sketch_of(&reversed), merged(&[a, b, c]), merged(&[c, a, b]), grouped] {
            prop_assert_eq!(bytes(&other), bytes(&whole));
        }
        let back: DdSketch = postcard::from_bytes(&bytes(&whole)).expect("just written");
        prop_assert_eq!(back, whole);
    }
}
