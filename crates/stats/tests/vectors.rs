//! Second implementations: scipy, scikit-learn, river and numpy of the same numbers (`vectors/make.py`).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tocsin_stats::binomial::log_ratio;
use tocsin_stats::classification::{Confusion, Scores};
use tocsin_stats::confseq::clopper_pearson;
use tocsin_stats::design_effect::deviance;
use tocsin_stats::jensen_shannon::{jensen_shannon, jensen_shannon_level};
use tocsin_stats::ks::{ks, ks_level};
use tocsin_stats::psi::{psi, psi_level};
use tocsin_stats::regression::Errors;
use tocsin_stats::wasserstein::wasserstein;
use tocsin_stats::{DdSketch, Edges, Histogram, Moments};

/// One kind of vectors.
fn vectors<T: DeserializeOwned>(kind: &str) -> T {
    let mut all: serde_json::Value =
        serde_json::from_str(include_str!("vectors/vectors.json")).expect("the script writes JSON");
    serde_json::from_value(all[kind].take()).expect("it has the shape that the test expects")
}

/// Within so much of it, as a part; absolutely below 1e-12.
#[track_caller]
fn near(name: &str, got: Option<f64>, want: f64, part: f64) {
    let got = got.unwrap_or(f64::NAN);
    let off = (got - want).abs();
    assert!(off <= part * want.abs() + 1e-12, "{name}: got {got}, want {want}, off by {off:e}");
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    reference: Vec<u64>,
    current: Vec<u64>,
    edges: Vec<f64>,
    psi: f64,
    ks: f64,
    jensen_shannon: f64,
    wasserstein: f64,
}

#[test]
fn distances_of_histograms() {
    for v in vectors::<Vec<Pair>>("histograms") {
        let (a, b) = (&v.reference, &v.current);
        near(&v.name, psi(a, b), v.psi, 1e-9);
        near(&v.name, ks(a, b), v.ks, 1e-9);
        near(&v.name, jensen_shannon(a, b), v.jensen_shannon, 1e-6);
        // The other side spreads each bin over 4,000 points.
        let edges = Edges::new(v.edges).expect("they rise");
        near(&v.name, wasserstein(&edges, a, b), v.wasserstein, 1e-3);
    }
}

#[derive(Deserialize)]
struct Raw {
    reference: Vec<f64>,
    current: Vec<f64>,
    edges: Vec<f64>,
    ks: f64,
    wasserstein: f64,
}

#[test]
fn fine_bins_come_near_the_distances_of_raw_samples() {
    let raw: Raw = vectors("raw_distances");
    let edges = Edges::new(raw.edges).expect("they rise");
    let counts = |values: &[f64]| {
        let mut histogram = Histogram::new(edges.bins());
        assert!(values.iter().all(|x| histogram.add(&edges, *x)));
        histogram.counts().to_vec()
    };
    let (a, b) = (counts(&raw.reference), counts(&raw.current));
    // Between two edges, 0.02 apart, lie 0.008 of either sample at most.
    let missed = raw.ks - ks(&a, &b).expect("two samples");
    assert!((0.0..=0.008).contains(&missed), "{missed}");
    near("wasserstein", wasserstein(&edges, &a, &b), raw.wasserstein, 0.01);
}

#[derive(Deserialize)]
struct Level {
    bins: usize,
    n: u64,
    m: u64,
    alpha: f64,
    psi: f64,
    jensen_shannon: f64,
    ks: f64,
}

#[test]
fn levels_without_drift() {
    for v in vectors::<Vec<Level>>("levels") {
        let name = format!("{} bins at {}", v.bins, v.alpha);
        // The inverse of the chi-squared law is the library's.
        near(&name, psi_level(v.bins, v.n, v.m, v.alpha), v.psi, 1e-5);
        near(&name, jensen_shannon_level(v.bins, v.n, v.m, v.alpha), v.jensen_shannon, 1e-5);
        // One term of Kolmogorov's series against all of them.
        near(&name, ks_level(v.n, v.m, v.alpha), v.ks, 1e-3);
    }
}

#[derive(Deserialize)]
struct Limits {
    k: u64,
    n: u64,
    alpha: f64,
    lower: f64,
    upper: f64,
}

#[test]
fn limits_of_rates() {
    for v in vectors::<Vec<Limits>>("intervals") {
        let got = clopper_pearson(v.k, v.n, v.alpha);
        let name = format!("{} of {}", v.k, v.n);
        near(&name, Some(got.lower), v.lower, 1e-5);
        near(&name, Some(got.upper), v.upper, 1e-7);
    }
}

#[derive(Deserialize)]
struct Ratio {
    k: f64,
    n: f64,
    m0: f64,
    delta: f64,
    deviance: f64,
    log_ratio: f64,
}

#[test]
fn likelihood_ratios_of_counts() {
    for v in vectors::<Vec<Ratio>>("ratios") {
        let name = format!("{} of {} at {}", v.k, v.n, v.m0);
        near(&name, Some(log_ratio(v.k, v.n, v.m0, v.delta, 1.0)), v.log_ratio, 1e-9);
        near(&name, Some(deviance(v.k, v.n, v.m0)), v.deviance, 1e-9);
    }
}

#[derive(Deserialize)]
struct Quantiles {
    name: String,
    values: Vec<f64>,
    q: Vec<f64>,
    want: Vec<f64>,
}

#[test]
fn quantiles_of_the_sketch() {
    for v in vectors::<Vec<Quantiles>>("quantiles") {
        let mut sketch = DdSketch::default();
        assert!(v.values.iter().all(|x| sketch.add(*x)));
        for (q, want) in v.q.iter().zip(&v.want) {
            near(&format!("{} at {q}", v.name), sketch.quantile(*q), *want, 0.01);
        }
    }
}

#[derive(Deserialize)]
struct Classes {
    truth: Vec<u16>,
    predicted: Vec<u16>,
    accuracy: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    macro_f1: f64,
}

#[test]
fn measures_of_classes() {
    let v: Classes = vectors("classification");
    let mut confusion = Confusion::default();
    v.truth.iter().zip(&v.predicted).for_each(|(truth, predicted)| confusion.add(*truth, *predicted));
    near("accuracy", confusion.accuracy(), v.accuracy, 1e-12);
    near("macro F1", confusion.macro_f1(), v.macro_f1, 1e-12);
    for class in 0..4 {
        let at = usize::from(class);
        near("precision", confusion.precision(class), v.precision[at], 1e-12);
        near("recall", confusion.recall(class), v.recall[at], 1e-12);
        near("F1", confusion.f1(class), v.f1[at], 1e-12);
    }
}

#[derive(Deserialize)]
struct Scored {
    name: String,
    score: Vec<f64>,
    came: Vec<u8>,
    brier: f64,
    log_loss: f64,
    auc: f64,
    calibration_error: f64,
}

#[test]
fn measures_of_scores() {
    for v in vectors::<Vec<Scored>>("scores") {
        let mut scores = Scores::default();
        assert!(v.score.iter().zip(&v.came).all(|(score, came)| scores.add(*score, *came == 1)));
        near(&v.name, scores.brier(), v.brier, 1e-9);
        near(&v.name, scores.log_loss(), v.log_loss, 1e-9);
        near(&v.name, scores.calibration_error(), v.calibration_error, 1e-9);
        // Free scores that share a bin of 0.01 are taken for ties.
        near(&v.name, scores.auc(), v.auc, if v.name == "free" { 5e-3 } else { 1e-12 });
    }
}

#[derive(Deserialize)]
struct Forecasts {
    truth: Vec<f64>,
    predicted: Vec<f64>,
    mean_absolute: f64,
    root_mean_square: f64,
    bias: f64,
}

#[test]
fn measures_of_forecasts() {
    let v: Forecasts = vectors("regression");
    let mut errors = Errors::default();
    assert!(v.truth.iter().zip(&v.predicted).all(|(truth, predicted)| errors.add(*truth, *predicted)));
    near("mean absolute", errors.mean_absolute(), v.mean_absolute, 1e-12);
    near("root mean square", errors.root_mean_square(), v.root_mean_square, 1e-12);
    near("bias", errors.bias(), v.bias, 1e-10);
}

#[derive(Deserialize)]
struct Numbers {
    name: String,
    values: Vec<f64>,
    mean: f64,
    variance: f64,
    sum: f64,
}

#[test]
fn moments_against_exact_fractions() {
    for v in vectors::<Vec<Numbers>>("moments") {
        let mut moments = Moments::default();
        assert!(v.values.iter().all(|x| moments.add(*x)));
        near(&v.name, Some(moments.sum()), v.sum, 1e-15);
        near(&v.name, moments.mean(), v.mean, 1e-15);
        near(&v.name, moments.variance(), v.variance, 1e-12);
    }
}
