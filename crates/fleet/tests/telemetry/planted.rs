//! The truth is what is in the data: inside the change, outside of it, and for nobody else.

use tocsin_fleet::{Change, ChangeKind, Fleet, FleetConfig, Scenario, Truth};
use wire::prediction::{Prediction, Status};

use super::read::{HOUR_MS, Run, median, moments, number, right, share};

/// A run of one trouble, twice as dense as usual so that shares are sharp.
fn run(scenario: Scenario, seed: u64, model: &str) -> (Run, Truth) {
    let config = FleetConfig { seed, rate: 2.0, scenario, ..FleetConfig::default() };
    let truth = Fleet::new(&config).truth().clone();
    (Run::of_model(config, scenario.length_ms(), Some(model)), truth)
}

fn inside(change: &Change, p: &Prediction) -> bool {
    change.start <= p.event_time && change.end.is_none_or(|end| p.event_time < end)
}

fn close(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got / want - 1.0).abs() < tolerance, "{what}: {got}, want {want}");
}

#[test]
fn slower() {
    for seed in [1, 2, 3] {
        let (run, truth) = run(Scenario::Latency, seed, "fraud");
        let [change] = truth.changes.as_slice() else { panic!("one change") };
        assert_eq!(change.kind, ChangeKind::Slower);
        let at = |within| {
            median(run.model("fraud").filter(|p| inside(change, p) == within).filter_map(|p| p.latency_ms))
        };
        close(at(true) / at(false), change.size, 0.15, &change.what);
    }
}

#[test]
fn shift() {
    for seed in [1, 2, 3] {
        let (run, truth) = run(Scenario::Drift, seed, "ranking");
        let [change] = truth.changes.as_slice() else { panic!("one change") };
        assert_eq!((change.kind, change.end), (ChangeKind::Shift, None));
        let name = change.feature.as_deref().unwrap();
        let logs = |name: &str, within| -> Vec<f64> {
            run.model("ranking")
                .filter(|p| inside(change, p) == within)
                .filter_map(|p| number(p.features.get(name)).map(|x| (x + 0.5).ln()))
                .collect()
        };
        let moved = |name: &str| {
            let ((before, variance), (after, _)) = (moments(&logs(name, false)), moments(&logs(name, true)));
            (after - before) / variance.sqrt()
        };
        close(moved(name), change.size, 0.1, &change.what);
        for other in ["price", "similarity", "freshness_h", "session_depth"] {
            assert!(moved(other).abs() < 0.12, "{other} moved by {}", moved(other));
        }
    }
}

#[test]
fn wrong() {
    for seed in [1, 2, 3] {
        let (run, truth) = run(Scenario::Accuracy, seed, "fraud");
        let [change] = truth.changes.as_slice() else { panic!("one change") };
        assert_eq!(change.kind, ChangeKind::Wrong);
        let labelled = run.labelled("fraud");
        let wrong =
            |within| share(labelled.iter().filter(|(p, _)| inside(change, p) == within), |pair| !right(pair));
        close(wrong(true) / wrong(false), change.size, 0.25, &change.what);
        // Whoever watches must be able to see it by then: enough labels of hurt predictions have come.
        let known =
            labelled.iter().filter(|(p, l)| inside(change, p) && l.event_time < change.detect_by).count();
        assert!(known > 2 * 1000, "{known}");
    }
}

#[test]
fn bad_version() {
    for seed in [1, 2, 3] {
        let (run, truth) = run(Scenario::Rollout, seed, "triage");
        let [change] = truth.changes.as_slice() else { panic!("one change") };
        assert_eq!(change.kind, ChangeKind::BadVersion);
        let new = |p: &Prediction| p.version.as_deref() == Some(change.version.as_str());
        let failed = |p: &Prediction| p.status != Status::Ok;
        assert!(
            run.model("triage").all(|p| !new(p) || inside(change, p)),
            "it is there only while it is rolled out"
        );
        let taken = share(run.model("triage").filter(|p| inside(change, p)), new);
        assert!((0.25..0.4).contains(&taken), "{taken}");
        close(share(run.model("triage").filter(|p| new(p)), failed), change.size, 0.25, &change.what);
        assert!(share(run.model("triage").filter(|p| !new(p)), failed) < 0.012, "the old one is well");
    }
}

#[test]
fn stopped() {
    for seed in [1, 2, 3] {
        let (run, truth) = run(Scenario::Stopped, seed, "support");
        let [change] = truth.changes.as_slice() else { panic!("one change") };
        assert_eq!(change.kind, ChangeKind::Stopped);
        assert_eq!(run.model("support").filter(|p| inside(change, p)).count(), 0);
        let end = change.end.unwrap();
        assert!(run.model("support").any(|p| p.event_time < change.start));
        assert!(run.model("support").any(|p| p.event_time >= end), "it comes back");
        let open = |at| change.start < at && at < end;
        assert!(run.labels.iter().any(|l| open(l.event_time)), "the truth about earlier ones still comes");
    }
}

#[test]
fn planned_rollout() {
    let (run, truth) = run(Scenario::RolloutHealthy, 1, "ranking");
    let [benign] = truth.benign.as_slice() else { panic!("one rollout") };
    assert!(truth.changes.is_empty());
    let new = |p: &Prediction| p.version.as_deref() == Some(benign.version.as_str());
    let taken = |from: f64, to: f64| {
        let length = benign.end.since_ms(benign.start) as f64;
        let at = |p: &Prediction| p.event_time.since_ms(benign.start) as f64 / length;
        share(run.model("ranking").filter(|p| (from..to).contains(&at(p))), new)
    };
    for (from, to, want) in [(-0.2, 0.0, 0.0), (0.2, 0.3, 0.25), (0.7, 0.8, 0.75), (1.0, 1.2, 1.0)] {
        let got = taken(from, to);
        assert!((got - want).abs() < 0.03, "{got} between {from} and {to}");
    }
    let at =
        |which: bool| median(run.model("ranking").filter(|p| new(p) == which).filter_map(|p| p.latency_ms));
    close(at(true), at(false), 0.12, "it behaves the same");
}

/// The whole story once at the usual rate: each change is there, and nowhere else.
#[test]
fn the_story_tells_all_five() {
    let config = FleetConfig { seed: 4, ..FleetConfig::default() };
    let run = Run::of(config, Scenario::Story.length_ms());
    let truth = Fleet::new(&config).truth().clone();
    let of = |kind| truth.changes.iter().find(|c| c.kind == kind).unwrap();
    let (slower, stopped, bad) =
        (of(ChangeKind::Slower), of(ChangeKind::Stopped), of(ChangeKind::BadVersion));
    let latency = |model: &str, within| {
        median(run.model(model).filter(|p| inside(slower, p) == within).filter_map(|p| p.latency_ms))
    };
    assert!(latency("fraud", true) > 2.2 * latency("fraud", false));
    assert!(latency("ranking", true) < 1.3 * latency("ranking", false));
    assert!(run.model("support").all(|p| !inside(stopped, p)));
    assert!(run.model("triage").any(|p| inside(stopped, p)));
    let failed =
        run.model("triage").filter(|p| p.version.as_deref() == Some(&bad.version) && p.status != Status::Ok);
    assert!(failed.count() >= 15, "enough of them to be seen");
    assert_eq!(truth.end.since_ms(truth.start), 3 * HOUR_MS);
}
