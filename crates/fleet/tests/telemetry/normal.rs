//! A fleet without trouble: as the lineup says, and as difficult as real traffic.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tocsin_fleet::{FeatureKind, FleetConfig, ModelSpec, Scenario, Task, lineup};
use wire::Timestamp;
use wire::prediction::{Status, Value};

use super::read::{HOUR_MS, Run, median, moments, number, right, share};

const DAY_MS: i64 = 24 * HOUR_MS;

/// A week at a twentieth of the rate, shared by the tests.
static WEEK: LazyLock<Run> = LazyLock::new(|| {
    let config =
        FleetConfig { seed: 11, rate: 1.0 / 20.0, scenario: Scenario::Steady, ..FleetConfig::default() };
    Run::of(config, 7 * DAY_MS)
});

fn local_hour(spec: &ModelSpec, at: Timestamp) -> i64 {
    (at.as_ms() / HOUR_MS + i64::from(spec.zone_h)).rem_euclid(24)
}

#[test]
fn rates_are_those_of_the_lineup() {
    for spec in lineup() {
        let want = spec.rate_per_s / 20.0 * 7.0 * 86_400.0;
        let got = WEEK.model(spec.name).count() as f64;
        assert!((got / want - 1.0).abs() < 0.12, "{}: {got} of {want}", spec.name);
    }
}

#[test]
fn traffic_follows_the_day_of_its_zone() {
    for spec in lineup().iter().filter(|spec| spec.rate_per_s > 0.1) {
        let mut by_hour = [0.0; 24];
        for p in WEEK.model(spec.name) {
            by_hour[usize::try_from(local_hour(spec, p.event_time)).unwrap()] += 1.0;
        }
        let mean = by_hour.iter().sum::<f64>() / 24.0;
        let around = |hour: usize| (by_hour[hour - 1] + by_hour[hour]) / 2.0 / mean;
        assert!((1.4..1.8).contains(&around(14)), "{}: {} at noon", spec.name, around(14));
        assert!((0.3..0.55).contains(&around(2)), "{}: {} at night", spec.name, around(2));
    }
}

/// Counts of a minute vary much more than a Poisson stream's, in which variance and mean are the same.
#[test]
fn traffic_comes_in_bursts() {
    let config = FleetConfig { seed: 12, scenario: Scenario::Steady, ..FleetConfig::default() };
    let run = Run::of(config, 2 * HOUR_MS);
    for (model, least) in [("fraud", 1.6), ("ranking", 2.2)] {
        let mut counts = vec![0.0; 120];
        for p in run.model(model) {
            counts[usize::try_from(run.since(p.event_time) / 60_000).unwrap()] += 1.0;
        }
        // Neighbours are compared, so that the day's course does not count.
        let steps: Vec<f64> = counts.windows(2).map(|w| w[1] - w[0]).collect();
        let dispersion = moments(&steps).1 / 2.0 / moments(&counts).0;
        assert!(dispersion > least, "{model}: {dispersion}");
    }
}

#[test]
fn latency_is_skewed_correlated_and_slower_when_busy() {
    for spec in lineup().iter().filter(|spec| spec.rate_per_s > 0.3) {
        let at = |hours: std::ops::Range<i64>| {
            median(
                WEEK.model(spec.name)
                    .filter(|p| hours.contains(&local_hour(spec, p.event_time)))
                    .filter_map(|p| p.latency_ms),
            )
        };
        let (night, noon) = (at(0..5), at(11..17));
        assert!((1.03..1.25).contains(&(noon / night)), "{}: {night} {noon}", spec.name);
        let mut all: Vec<f64> = WEEK.model(spec.name).filter_map(|p| p.latency_ms).collect();
        all.sort_by(f64::total_cmp);
        let (p50, p999) = (all[all.len() / 2], all[all.len() * 999 / 1000]);
        assert!((p50 / spec.latency_ms - 1.08).abs() < 0.06, "{}: {p50}", spec.name);
        assert!(p999 > 3.0 * p50, "{}: {p999}", spec.name);
    }
    let config = FleetConfig { seed: 13, scenario: Scenario::Steady, ..FleetConfig::default() };
    let run = Run::of_model(config, 5 * HOUR_MS, Some("ranking"));
    let mut minutes: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for p in run.model("ranking") {
        minutes.entry(run.since(p.event_time) / 60_000).or_default().extend(p.latency_ms);
    }
    let medians: Vec<f64> = minutes.into_values().map(median).collect();
    let (mean, variance) = moments(&medians);
    let lag = medians.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>() / medians.len() as f64;
    assert!(lag / variance > 0.5, "{}", lag / variance);
}

#[test]
fn calls_fail_sometimes() {
    for spec in lineup() {
        let failed = share(WEEK.model(spec.name), |p| p.status != Status::Ok);
        let n = WEEK.model(spec.name).count() as f64;
        let noise = 4.0 * (spec.error_share / n).sqrt();
        assert!((failed - spec.error_share).abs() < 0.0006 + noise, "{}: {failed}", spec.name);
    }
    for p in &WEEK.predictions {
        assert_eq!(p.prediction.is_some(), p.status == Status::Ok, "what fails predicts nothing");
        assert_eq!(p.score.is_some(), p.status == Status::Ok && p.model != "demand");
    }
}

#[test]
fn transport_delays_and_repeats() {
    let n = (WEEK.predictions.len() + WEEK.labels.len()) as f64;
    assert!((0.0005..0.002).contains(&(WEEK.twice as f64 / n)), "{} twice", WEEK.twice);
    assert!(WEEK.overtaken as f64 > 0.003 * n, "{} overtaken", WEEK.overtaken);
}

#[test]
fn labels_come_as_late_and_as_seldom_as_the_lineup_says() {
    for spec in lineup() {
        let labelled = WEEK.labelled(spec.name);
        // The last predictions' labels are still under way.
        let old = |at| WEEK.since(at) < 6 * DAY_MS;
        let share = labelled.iter().filter(|(p, _)| old(p.event_time)).count() as f64
            / WEEK.model(spec.name).filter(|p| old(p.event_time)).count() as f64;
        assert!((share - spec.labels.share).abs() < 0.03, "{}: {share}", spec.name);
        let delay = median(labelled.iter().map(|(p, l)| l.event_time.since_ms(p.event_time) as f64))
            / spec.labels.median_ms;
        assert!((0.9..1.1).contains(&delay), "{}: {delay} of the median", spec.name);
    }
}

#[test]
fn models_are_as_good_as_the_lineup_says() {
    for spec in lineup() {
        let labelled = WEEK.labelled(spec.name);
        let quality = if let Task::Regression { .. } = spec.task {
            let errors: Vec<f64> = labelled
                .iter()
                .filter_map(|(p, l)| Some((number(p.prediction.as_ref())?, number(Some(&l.value))?)))
                .map(|(forecast, actual)| (forecast - actual).abs() / actual.max(0.1))
                .collect();
            1.0 - moments(&errors).0
        } else {
            share(&labelled, right)
        };
        let noise = 4.0 * (quality * (1.0 - quality) / labelled.len() as f64).sqrt();
        assert!((quality - spec.quality).abs() < 0.005 + noise, "{}: {quality}", spec.name);
        for (p, l) in &labelled {
            let class =
                |value: &Value| matches!(value, Value::Text(c) if spec.classes().contains(&c.as_str()));
            assert!(spec.classes().is_empty() || class(&l.value) && p.prediction.as_ref().is_some_and(class));
        }
    }
}

/// Labels of wrong predictions of fraud take longer, so early ones flatter it.
#[test]
fn early_labels_are_a_biased_sample() {
    let labelled = WEEK.labelled("fraud");
    let delay = |wrong: bool| {
        median(
            labelled
                .iter()
                .filter(|pair| right(pair) != wrong)
                .map(|(p, l)| l.event_time.since_ms(p.event_time) as f64),
        )
    };
    assert!(delay(true) > 1.15 * delay(false), "{} {}", delay(true), delay(false));
}

#[test]
fn features_are_of_their_kind() {
    for spec in lineup() {
        for feature in spec.features {
            let values: Vec<&Value> =
                WEEK.model(spec.name).filter_map(|p| p.features.get(feature.name)).collect();
            assert_eq!(values.len(), WEEK.model(spec.name).count(), "{} is always there", feature.name);
            let nulls = share(&values, |v| **v == Value::Null);
            assert!((nulls - feature.null_share).abs() < 0.01, "{}: {nulls} nulls", feature.name);
            for value in values {
                let fits = match value {
                    Value::Null => feature.null_share > 0.0,
                    Value::Number(x) => feature.kind() == FeatureKind::Number && x.is_finite(),
                    Value::Bool(_) => feature.kind() == FeatureKind::Flag,
                    Value::Text(text) => feature.categories().contains(&text.as_str()),
                };
                assert!(fits, "{}: {value:?}", feature.name);
            }
        }
    }
}

/// A large offset with a daily course: what a sketch of relative error is blind to, and a day's window is not.
#[test]
fn temperature_has_a_large_offset_and_a_day() {
    let spec = lineup().iter().find(|spec| spec.name == "demand").unwrap();
    let at = |hours: std::ops::Range<i64>| {
        median(
            WEEK.model("demand")
                .filter(|p| hours.contains(&local_hour(spec, p.event_time)))
                .filter_map(|p| number(p.features.get("temperature_k"))),
        )
    };
    let (night, noon) = (at(0..5), at(11..17));
    assert!((270.0..295.0).contains(&night) && noon - night > 4.0, "{night} {noon}");
}
