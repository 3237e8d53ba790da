//! Known answers.

use super::*;

#[test]
fn a_pane_without_a_profile() {
    let config = config(r#"{"privacy": {"public": ["country"]}}"#);
    let flush = fold(
        &mut collector(&config),
        &[
            predicted(
                "a",
                1,
                r#""latency_ms":5,"features":{"x":1.5,"country":"DE","n":null,"deep":[1]},"weight":3"#,
            ),
            predicted(
                "b",
                2,
                r#""latency_ms":-5,"status":"error","features":{"x":"7","country":"FR","n":1e999}"#,
            ),
            predicted("c", 3, r#""features":{"x":2,"x":2.5}"#),
        ],
    );
    let counts = pane(&flush, 0);
    assert_eq!((counts.predictions, counts.status), (3, [2, 1, 0, 0]));
    assert!((counts.total_weight() - 5.0).abs() < 1e-9);
    assert_eq!((counts.latency.n, counts.quality.latency_invalid, counts.quality.unsupported), (1, 1, 1));
    let raw: BTreeMap<&str, _> = counts
        .features
        .iter()
        .map(|f| match f {
            FeatureCounts::Raw(raw) => (raw.name.as_str(), raw),
            FeatureCounts::Numeric(_) | FeatureCounts::Category(_) => panic!("there is no profile"),
        })
        .collect();
    assert_eq!(raw.keys().copied().collect::<Vec<_>>(), ["country", "deep", "n", "x"]);
    let x = raw["x"];
    assert_eq!((x.numeric.count(), x.numeric.max(), x.categories.total()), (2, Some(2.5), 1));
    assert_eq!((raw["n"].nulls, raw["n"].invalid, raw["deep"].invalid), (1, 1, 1));
    let names: Vec<_> = raw["country"].categories.iter().filter_map(|(_, c)| c.name.as_deref()).collect();
    assert_eq!(names.len(), 2);
    assert!(x.categories.iter().all(|(_, c)| c.name.is_none()), "x is not public");
    assert_eq!(counts.features[0].missing(counts.predictions), 1);
}

#[test]
fn a_pane_under_a_profile() {
    let config = config("{}");
    let mut collector = collector(&config);
    let profile = profile(&config, 10);
    collector.profile(Arc::clone(&profile));
    let flush = fold(
        &mut collector,
        &[
            predicted("a", 9, r#""features":{"amount":3}"#),
            predicted(
                "b",
                10,
                r#""latency_ms":50,"prediction":"deny","features":{"amount":3,"country":"DE","new":1}"#,
            ),
            predicted(
                "c",
                11,
                r#""latency_ms":500,"prediction":"what","features":{"amount":0,"country":"LU"}"#,
            ),
            predicted("d", 12, r#""latency_ms":10,"features":{"amount":1e308,"country":"XX"}"#),
            predicted("e", 13, r#""features":{"amount":"7","country":null}"#),
            predicted("f", 14, r#""features":{"amount":5,"amount":10,"country":3}"#),
            predicted("g", 15, ""),
        ],
    );
    assert_eq!(flush.panes.iter().map(|p| p.profile).collect::<Vec<_>>(), [0, profile.short_digest()]);
    let counts = pane(&flush, 10);
    assert_eq!((counts.latency.n, counts.latency.over.as_slice()), (3, [2, 1].as_slice()));
    assert_eq!(counts.quality.features_unknown, 1);
    let FeatureCounts::Numeric(amount) = &counts.features[0] else { panic!("numeric") };
    assert_eq!((amount.nulls, amount.missing, amount.invalid), (0, 1, 1));
    assert_eq!((amount.atoms.as_slice(), amount.bins.as_slice()), ([1].as_slice(), [1, 0, 2].as_slice()));
    assert_eq!(amount.sketch.count(), 3);
    let FeatureCounts::Category(country) = &counts.features[1] else { panic!("category") };
    assert_eq!((country.nulls, country.missing, country.other, country.new), (1, 1, 1, 2));
    assert_eq!(country.known, [1, 0]);
    let fresh: Vec<_> = country.fresh.iter().filter_map(|(_, c)| c.name.clone()).collect();
    assert_eq!(fresh.len(), 2, "{fresh:?}");
    let Some(FeatureCounts::Category(prediction)) = &counts.prediction else { panic!("category") };
    assert_eq!((prediction.known.as_slice(), prediction.new, prediction.missing), ([1, 0].as_slice(), 1, 4));
}

#[test]
fn labels_find_their_predictions() {
    let config = config("{}");
    let mut collector = collector(&config);
    collector.profile(profile(&config, 0));
    let flush = fold(
        &mut collector,
        &[
            predicted("a", 1, r#""prediction":"deny","score":0.9"#),
            predicted("b", 2, r#""prediction":1"#),
            predicted("c", 3, r#""prediction":"4.5""#),
            predicted("d", 4, ""),
            labelled("a", 5, r#""value":"deny""#),
            labelled("a", 5, r#""value":"approve""#),
            labelled("b", 16, r#""value":"1""#),
            labelled("c", 18, r#""value":7,"model":"m","version":"v""#),
            labelled("c", 18, r#""value":7,"model":"other""#),
            labelled("d", 19, r#""value":7,"model":"m","version":"v""#),
            labelled("z", 19, r#""value":"x","prediction":"x","model":"m","version":"v","score":0.5"#),
            labelled("z", 19, r#""value":"x","prediction":"x","model":"m","version":"v","score":0.5"#),
            labelled("y", 19, r#""value":"x","prediction":"x""#),
        ],
    );
    let first = &pane(&flush, 0).labels;
    assert_eq!((first.joinable, first.waiting, first.duplicates, first.total()), (3, 3, 1, 1));
    assert_eq!((first.strata[0].n, first.strata[0].wrong), (1, 0));
    assert_eq!(first.strata[0].confusion.count(0, 0), 1);
    assert_eq!(first.strata[0].scores.total(), 1);
    let second = &pane(&flush, 10).labels;
    assert_eq!((second.unmatched, second.duplicates), (1, 1));
    let [early, late] = second.strata.as_slice() else { panic!("two strata") };
    assert_eq!((early.n, early.wrong, late.n, late.wrong), (2, 0, 1, 1));
    assert_eq!((late.over_error.as_slice(), late.errors.total()), ([1].as_slice(), 1));
    assert_eq!(late.errors.bias(), Some(-2.5));
    assert_eq!(flush.dead_letters.len(), 1, "{:?}", flush.dead_letters);
    assert_eq!(flush.dead_letters[0].detail, "no model");
    assert_eq!((flush.counters.labels, flush.counters.labels_unmatched), (8, 2));
}

#[test]
fn a_sample_waits_and_says_its_rate() {
    let config = config(r#"{"labels": {"per_pane": 2, "wait_s": 20}}"#);
    let mut collector = collector(&config);
    let mut records: Vec<_> = (0..10).map(|i| predicted(&format!("p{i}"), 1, r#""prediction":1"#)).collect();
    records.extend((0..10).map(|i| labelled(&format!("p{i}"), 2, r#""value":1"#)));
    let flush = fold(&mut collector, &records);
    let labels = &pane(&flush, 0).labels;
    assert_eq!((labels.joinable, labels.waiting, labels.total()), (10, 2, 2));
    assert_eq!((flush.counters.labels_unmatched, flush.sizes.waiting), (8, 2));
    feed(&mut collector, Role::Predictions, 20, &predicted("q", 36, ""));
    assert_eq!(collector.flush(true, false).sizes.waiting, 0, "they have waited long enough");
}

#[test]
fn late_records_are_counted_where_time_is() {
    let config = config("{}");
    let mut collector = collector(&config);
    let flush = fold(
        &mut collector,
        &[
            predicted("a", 9, r#""prediction":1"#),
            predicted("b", 27, ""),
            predicted("c", 8, ""),
            predicted("d", 10, ""),
            labelled("a", 9, r#""value":1"#),
        ],
    );
    assert_eq!(pane(&flush, 0).predictions, 1);
    assert_eq!(flush.panes.len(), 2);
    let open = pane(&flush, 20);
    assert_eq!((open.predictions, open.quality.late, open.labels.late, open.labels.total()), (1, 2, 1, 1));
    assert_eq!(flush.progress.watermark, Some(at(22)));
    assert_eq!((flush.counters.late, flush.counters.labels_late), (2, 1));
}

#[test]
fn repeated_predictions_are_counted_once() {
    let config = config("{}");
    let mut collector = collector(&config);
    let other = predicted("a", 5, "").replace(r#""v""#, r#""w""#);
    let flush =
        fold(&mut collector, &[predicted("a", 1, ""), predicted("a", 1, ""), predicted("a", 12, ""), other]);
    let of = |version: &str| {
        let panes = flush.panes.iter().filter(|p| p.key.version == version);
        panes.map(|p| (p.counts.predictions, p.counts.quality.duplicates)).collect::<Vec<_>>()
    };
    assert_eq!((of("v"), of("w")), (vec![(1, 1), (0, 1)], vec![(1, 0)]));
}

#[test]
fn a_clock_far_ahead_moves_nothing_unless_it_stays() {
    let config = config("{}");
    let day = 86_400;
    let normal = |i: i64| predicted(&format!("n{i}"), i, "");
    let ahead = |i: i64| predicted(&format!("a{i}"), day + i, "");
    let mut records: Vec<_> = (0..8).map(normal).collect();
    records.extend([ahead(0), labelled("n1", 8, r#""value":1"#), ahead(1), normal(9), "{".into()]);
    let mut collector = collector(&config);
    let flush = fold(&mut collector, &records);
    assert_eq!(flush.progress.watermark, Some(at(4)));
    assert_eq!(pane(&flush, 0).predictions, 9);
    let reasons: Vec<_> = flush.dead_letters.iter().map(|d| (d.offset, d.reason)).collect();
    assert_eq!(reasons, [(8, Reason::Ahead), (10, Reason::Ahead), (12, Reason::Malformed)]);
    assert_eq!((flush.positions.predictions, flush.counters.labels_unmatched), (Some(13), 1));

    // Time went on: nobody contradicts. Until it is decided nothing is committed.
    for i in 0..100_i64 {
        feed(&mut collector, Role::Predictions, 13 + usize::try_from(i).expect("small"), &ahead(i + 10));
    }
    let flush = collector.flush(true, false);
    assert_eq!((flush.panes.len(), flush.positions.predictions, flush.sizes.held), (0, Some(13), 100));
    for i in 100..130_i64 {
        feed(&mut collector, Role::Predictions, 13 + usize::try_from(i).expect("small"), &ahead(i + 10));
    }
    let flush = collector.flush(true, false);
    assert_eq!((flush.dead_letters.len(), flush.positions.predictions, flush.sizes.held), (0, Some(143), 0));
    assert_eq!(flush.panes.iter().map(|p| p.counts.predictions).sum::<u64>(), 130);
}

#[test]
fn a_jump_before_silence_is_decided_by_how_many_agree() {
    for (jumping, counted, dead) in [(7, 0, 7), (8, 8, 0)] {
        let mut collector = collector(&config("{}"));
        let mut records: Vec<_> = (0..8).map(|i| predicted(&format!("n{i}"), i, "")).collect();
        records.extend((0..jumping).map(|i| predicted(&format!("a{i}"), 86_400, "")));
        let before = fold(&mut collector, &records);
        assert_eq!((before.sizes.held, before.progress.idle), (jumping, false));
        let flush = collector.flush(true, true);
        let predictions: u64 = flush.panes.iter().map(|p| p.counts.predictions).sum();
        assert_eq!((predictions, flush.dead_letters.len(), flush.progress.idle), (counted, dead, true));
    }
}

#[test]
fn full_tables_fold_the_rest_together() {
    let config = config(
        r#"{"models_max": 2, "versions_max": 2, "segments_max": 1, "segments": ["region"], "features_max": 2,
            "categories_max": 1, "labels": {"waiting_max": 3}}"#,
    );
    let record = |i: i64, model: &str, version: &str, region: &str| {
        format!(
            r#"{{"prediction_id":"{i}","event_time":1000,"model":"{model}","version":"{version}","prediction":1,
                "segments":{{"region":"{region}","x":"y"}},"features":{{"c":1,"a":"{i}","b":2}}}}"#
        )
    };
    let flush = fold(
        &mut collector(&config),
        &[
            record(1, "m", "1", "eu"),
            record(2, "m", "2", "eu"),
            record(3, "m", "3", "eu"),
            record(4, "n", "1", "eu"),
            record(5, "o", "1", "eu"),
            record(6, "m", "1", "us"),
            record(7, "m", "1", "eu"),
        ],
    );
    let rows: Vec<String> = flush
        .panes
        .iter()
        .map(|p| {
            let PaneKey { model, version, segment, .. } = &p.key;
            format!("{model} {version} {} {}", segment.as_deref().unwrap_or("-"), p.counts.predictions)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "__other__ __other__ - 1",
            "__other__ __other__ region=eu 1",
            "m 1 - 3",
            "m 1 region=__other__ 1",
            "m 1 region=eu 2",
            "m 2 - 1",
            "m 2 region=eu 1",
            "m __other__ - 1",
            "m __other__ region=eu 1",
            "n 1 - 1",
            "n 1 region=eu 1",
        ]
    );
    let whole = &flush.panes[2].counts;
    assert_eq!((whole.features.len(), whole.quality.features_over), (2, 3));
    let FeatureCounts::Raw(a) = &whole.features[0] else { panic!("raw") };
    assert_eq!((a.name.as_str(), a.categories.iter().count(), a.categories.over()), ("a", 1, 2));
    assert_eq!((flush.counters.folded, flush.counters.waiting_dropped, flush.sizes.waiting), (2, 4, 3));
}

#[test]
fn what_is_private_does_not_leave() {
    let config = config(r#"{"privacy": {"public": ["open"]}, "segments": ["region"]}"#);
    let mut collector = collector(&config);
    let flush = fold(
        &mut collector,
        &[
            predicted(
                "secret-id",
                1,
                r#""prediction":"secret-class","features":{"name":"secret-name","open":"clear"}"#,
            ),
            predicted("secret-id", 2, r#""latency_ms":"secret-latency""#),
            r#"{"secret-key":"secret-value"}"#.into(),
            labelled("secret-id", 3, r#""value":"secret-label""#),
            predicted("x", 4, r#""status":"secret-status""#),
            "secret-text".into(),
        ],
    );
    assert_eq!(flush.dead_letters.len(), 4);
    let mut bytes: Vec<u8> = flush.panes.into_iter().flat_map(|p| PanesRecord::Partial(p).encode()).collect();
    bytes.extend(PanesRecord::Progress(flush.progress).encode());
    bytes.extend(flush.state.into_iter().flat_map(|(key, value)| [key, value.unwrap_or_default()].concat()));
    bytes.extend(serde_json::to_vec(&flush.dead_letters).expect("plain data"));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("clear"), "what is public does");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_topic_of_labels_is_joined_in_event_time() {
    let config = config(r#"{"labels": {"topic": "l"}}"#);
    let mut collector = collector(&config);
    let label = |id: &str, s| labelled(id, s, r#""value":1"#).replace(r#""kind":"label","#, "");
    feed(&mut collector, Role::Labels, 0, &label("a", 20));
    feed(&mut collector, Role::Labels, 1, "{}");
    feed(&mut collector, Role::Labels, 2, &label("b", 30));
    assert!(!collector.labels_wait(), "there is room for more");
    feed(&mut collector, Role::Predictions, 0, &predicted("a", 4, r#""prediction":1"#));
    let flush = collector.flush(true, false);
    assert_eq!((flush.positions.predictions, flush.positions.labels), (Some(1), Some(0)));
    assert!(flush.dead_letters.is_empty());
    feed(&mut collector, Role::Predictions, 1, &predicted("c", 36, ""));
    let flush = collector.flush(true, false);
    assert_eq!((flush.positions.labels, pane(&flush, 20).labels.total()), (Some(2), 1));
    assert_eq!((flush.dead_letters[0].topic.as_str(), flush.dead_letters[0].offset), ("l", 1));
    assert!(flush.sizes.held == 1 && !collector.predictions_wait(false), "b waits for its pane to close");
    assert_eq!(flush.progress.watermark, Some(at(30)), "which is not told before b is counted");
    // A label that nothing could be joined to any more does not hold up the rest for good.
    feed(&mut collector, Role::Predictions, 2, &predicted("d", 60, ""));
    feed(&mut collector, Role::Labels, 3, &label("e", 1_000_000));
    feed(&mut collector, Role::Labels, 4, &predicted("a", 1, r#""kind":"prediction""#));
    let flush = collector.flush(true, false);
    let reasons: Vec<_> = flush.dead_letters.iter().map(|d| d.reason).collect();
    assert_eq!(
        (reasons.as_slice(), flush.positions.labels),
        ([Reason::Ahead, Reason::Unsupported].as_slice(), Some(5))
    );
    assert_eq!(flush.sizes.held, 0);
}

#[test]
fn a_label_without_a_prediction_counts_the_same_however_far_was_read() {
    let config = config(r#"{"labels": {"topic": "l"}}"#);
    let label =
        |s| labelled("none", s, r#""value":1,"model":"m","version":"v""#).replace(r#""kind":"label","#, "");
    // The version is first counted in the third pane, also by what comes too late for the second.
    let predictions = [("a", 21), ("b", 42), ("late", 11), ("c", 55), ("d", 75)];
    let unmatched = |read_first: usize| {
        let mut collector = collector(&config);
        let mut flushes = Vec::new();
        for (offset, (id, s)) in predictions.into_iter().enumerate() {
            if offset == read_first {
                for (offset, s) in [12, 22, 24, 44].into_iter().enumerate() {
                    feed(&mut collector, Role::Labels, offset, &label(s));
                }
            }
            feed(&mut collector, Role::Predictions, offset, &predicted(id, s, ""));
        }
        flushes.push(collector.flush(true, false));
        let panes = flushes.into_iter().flat_map(|flush| flush.panes);
        let counted = panes.filter(|pane| pane.counts.labels.unmatched > 0);
        counted.map(|pane| (pane.key.start, pane.counts.labels.unmatched)).collect::<Vec<_>>()
    };
    for read_first in 0..predictions.len() {
        assert_eq!(unmatched(read_first), [(at(20), 2), (at(40), 1)], "after {read_first} predictions");
    }
}

#[test]
fn edges_that_do_not_rise_are_refused() {
    let config = config("{}");
    let mut collector = collector(&config);
    let mut bad = profile(&config, 0).as_ref().clone();
    bad.latency_edges = vec![2.0, 1.0];
    collector.profile(Arc::new(bad.sealed()));
    let flush = fold(&mut collector, &[predicted("a", 1, "")]);
    assert_eq!((flush.counters.profiles_refused, flush.panes[0].profile), (1, 0));
}

#[test]
fn state_of_a_newer_version_is_refused() {
    let mut collector = collector(&config("{}"));
    let (key, value) = StateKey::Meta.put(&Meta::default());
    let mut value = value.expect("a value");
    assert!(collector.restore(&key, &value).is_ok());
    value[0] = 9;
    assert!(matches!(collector.restore(&key, &value), Err(StateError::TooNew { found: 9 })));
    assert!(collector.restore(&[99], &value).is_err());
    assert!(collector.restore(&key, &[]).is_err());
}

#[test]
fn counts_of_different_profiles_do_not_merge() {
    let config = config("{}");
    let profile = profile(&config, 0);
    let (mut raw, under) = (PaneCounts::empty(None, 8), PaneCounts::empty(Some(&profile), 8));
    let before = raw.clone();
    assert!(raw.merge(&under).is_err());
    assert_eq!(raw, before, "nothing was added");
}
