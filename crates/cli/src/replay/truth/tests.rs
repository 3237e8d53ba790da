use super::*;

const CASE: &str = r#"{
    "warmup_until": 1000000, "end": 100000000, "scored_families": ["drift", "accuracy", "errors"],
    "changes": [
        {"start": 10000000, "end": 20000000, "detect_by": 15000000, "signals": ["drift", "accuracy"], "may": [],
         "kind": "shift", "size": 1.0, "feature": "age", "optional": false},
        {"start": 30000000, "end": 40000000, "detect_by": 35000000, "signals": ["errors"], "may": ["drift"],
         "kind": "errors", "size": "4x", "feature": null, "optional": false, "version": "v2"},
        {"start": 50000000, "end": 60000000, "detect_by": 55000000, "signals": ["drift"], "may": [],
         "kind": "shift", "size": 0.25, "feature": "age", "optional": true}
    ],
    "ignore": [[20000000, 21000000]], "ts_every": 1000, "n_predictions": 100000, "ts_index": [0, 1000000]
}"#;

fn at(ks: i64) -> Timestamp {
    Timestamp::EPOCH.plus_ms(ks * 1_000_000)
}

fn alarm(family: Family, version: &str, ks: i64) -> Alarm {
    let version = Some(version.to_owned());
    Alarm { model: "m".into(), version, family, urgency: Urgency::Ticket, at: at(ks), rose: false }
}

fn span() -> Span {
    Span { from: at(1), through: at(100) }
}

#[test]
fn a_case_counts_as_its_scorer_does() {
    let truth = Truth::parse(CASE.as_bytes()).unwrap();
    let kinds: Vec<String> = truth.planted().iter().map(|p| format!("{}: {}", p.family, p.what)).collect();
    assert_eq!(kinds, ["drift: shift 1.0 of age", "accuracy: shift 1.0 of age", "errors: errors 4x (v2)"]);
    let (found, missed) =
        (|alarm, predictions| Fate::Found { alarm, delay_ms: 2_000_000, predictions }, Fate::Missed);
    let (d, e) = (Family::Drift, Family::Availability);
    for (name, alarms, fates, wrong) in [
        ("silence", vec![], [missed, missed, missed], vec![]),
        // Predictions run at 1,000 up to the second entry of the index, then at a thousand a megasecond to the end.
        (
            "data quality is drift",
            vec![alarm(Family::DataQuality, "v1", 12)],
            [found(0, 2_000.0), missed, missed],
            vec![],
        ),
        ("too late, and within the change", vec![alarm(d, "v1", 16)], [missed, missed, missed], vec![]),
        ("before the change", vec![alarm(d, "v1", 9)], [missed, missed, missed], vec![("drift", 0)]),
        ("settling", vec![alarm(d, "v1", 20)], [missed, missed, missed], vec![]),
        ("the hurt version", vec![alarm(e, "v2", 32)], [missed, missed, found(0, 2_000.0)], vec![]),
        ("another version's fault", vec![alarm(e, "v1", 32)], [missed, missed, missed], vec![("errors", 0)]),
        ("may, and optional", vec![alarm(d, "v1", 32), alarm(d, "v1", 52)], [missed, missed, missed], vec![]),
        ("reference", vec![alarm(d, "v1", 0)], [missed, missed, missed], vec![]),
        (
            "label flips do not move features",
            vec![alarm(e, "v1", 12)],
            [missed, missed, missed],
            vec![("errors", 0)],
        ),
    ] {
        let outcome = truth.judge(&alarms, &Clock::default(), span());
        assert_eq!(outcome.wrong, wrong, "{name}");
        for (got, want) in outcome.fates.iter().zip(&fates) {
            match (got, want) {
                (Fate::Found { predictions: got, .. }, Fate::Found { predictions: want, .. }) => {
                    assert!((got - want).abs() < 25.0, "{name}: {got} predictions, not {want}");
                }
                _ => assert_eq!(got, want, "{name}"),
            }
        }
    }
}

#[test]
fn close_repeats_of_a_false_alarm_are_one() {
    let truth = Truth::parse(CASE.as_bytes()).unwrap();
    // 400 predictions apart, then 600; the other version on its own.
    let at = |ms: i64, version: &str| Alarm {
        at: Timestamp::EPOCH.plus_ms(ms),
        ..alarm(Family::Drift, version, 0)
    };
    let alarms = [at(70_000_000, "v1"), at(70_000_000, "v2"), at(70_400_000, "v1"), at(71_000_000, "v1")];
    let outcome = truth.judge(&alarms, &Clock::default(), span());
    assert_eq!(outcome.wrong, [("drift", 0), ("drift", 1), ("drift", 3)]);
    // 99 Ms, less 10 + 10 + 10 of changes that excuse drift and 1 of settling.
    assert_eq!(truth.quiet_ms("drift", &Clock::default(), span()), 68_000_000_000 / 1000);
}

#[test]
fn what_was_not_played_is_not_due() {
    let truth = Truth::parse(CASE.as_bytes()).unwrap();
    let outcome = truth.judge(&[], &Clock::default(), Span { through: at(18), ..span() });
    assert_eq!(outcome.fates, [Fate::Missed, Fate::Missed, Fate::NotDue]);
    let other = truth.judge(&[alarm(Family::Traffic, "v1", 70)], &Clock::default(), span());
    assert_eq!((other.wrong, other.unscored), (vec![], vec![0]));
}

#[test]
fn a_simulation_is_scored_by_urgency() {
    let fleet = fleet::Fleet::new(&fleet::FleetConfig::default());
    let truth = Truth::parse(&serde_json::to_vec(fleet.truth()).unwrap()).unwrap();
    let change = &fleet.truth().changes[0];
    let span = Span { from: fleet.truth().start, through: fleet.truth().end };
    let of = |urgency, minutes: i64, rose| Alarm {
        model: change.model.clone(),
        version: Some(change.version.clone()),
        family: change.family,
        urgency,
        at: change.start.plus_ms(minutes * 60_000),
        rose,
    };
    let alarms = [of(Urgency::Ticket, 1, false), of(Urgency::Page, 3, true), of(Urgency::Ticket, -10, false)];
    let outcome = truth.judge(&alarms, &Clock::default(), span);
    assert_eq!(change.severity, Urgency::Page, "the first trouble of the story");
    assert_eq!(outcome.fates[0], Fate::Found { alarm: 1, delay_ms: 180_000, predictions: 0.0 });
    assert!(outcome.fates[1..].iter().all(|fate| *fate == Fate::Missed));
    assert_eq!(outcome.wrong, [(change.family.name(), 2)]);
}

#[test]
fn what_is_no_truth_is_refused_with_a_reason() {
    let without = |field: &str| CASE.replace(&format!("\"{field}\""), "\"other\"");
    for (text, want) in [
        ("{".to_owned(), "no JSON"),
        ("[]".to_owned(), "neither what `tocsin simulate --truth` writes"),
        (without("warmup_until"), "neither"),
        (without("scored_families"), "missing field `scored_families`"),
        (CASE.replace("[\"errors\"]", "[\"mood\"]"), "unknown variant `mood`, expected one of `latency`"),
        (CASE.replace("\"detect_by\": 15000000", "\"detect_by\": 1e300"), "is no time in milliseconds"),
        (r#"{"scenario": "story", "changes": [], "seed": 1}"#.to_owned(), "missing field `start`"),
    ] {
        let why = Truth::parse(text.as_bytes()).expect_err("it must be refused");
        assert!(why.contains(want), "{why}");
    }
}

#[test]
fn predictions_are_counted_along_closed_panes() {
    let mut clock = Clock::default();
    let pane = |from: i64, to: i64, predictions: u64| History {
        model: "m".into(),
        version: "v".into(),
        segment: None,
        window: [at(from), at(to)],
        predictions,
        status: [].into(),
        latency_ms: [].into(),
        labels: 0,
        measures: [].into(),
        streams: vec![],
        distributions: vec![],
        left_out: 0,
        incomplete: false,
        profile: None,
        config: None,
    };
    for one in [pane(0, 10, 100), pane(20, 30, 300), pane(10, 20, 0)] {
        clock.take(&one);
    }
    clock.wind_up(Some(at(31)));
    for (ks, want) in [(-5, 0.0), (5, 50.0), (15, 100.0), (25, 250.0), (99, 400.0)] {
        let got = clock.position(Some("m"), at(ks));
        assert!((got - want).abs() < 1e-9, "{ks}: {got}");
    }
    assert_eq!(clock.span, Some(Span { from: at(0), through: at(31) }));
}
