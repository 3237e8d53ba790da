//! Laws.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const SMALL: &str = r#"{"pane_s": 10, "lateness_s": 5, "ahead_max_s": 100, "segments": ["region"],
    "labels": {"per_pane": 3, "wait_s": 60, "waiting_max": 40}, "duplicates": {"window_s": 30, "ids_max": 50},
    "features_max": 3, "categories_max": 3}"#;

/// A record of a partition that has everything in it: repeats, labels, lateness, jumps of the clock, damage.
fn record() -> impl Strategy<Value = (i64, String)> {
    let prediction = (0..60_u32, 0..20_i64, 0..4_u32, 0..5_u32).prop_map(|(id, jitter, value, shape)| {
        let rest = format!(
            r#""prediction":{value},"score":0.{value},"latency_ms":{id},"segments":{{"region":"r{shape}"}},
               "features":{{"amount":{id}.5,"country":"c{shape}","f{shape}":{value},"g":null}}"#
        );
        (-jitter, format!("P{id}\0{rest}"))
    });
    let label = (0..60_u32, 0..30_i64, 0..4_u32)
        .prop_map(|(id, delay, value)| (delay, format!("L{id}\0\"value\":{value}")));
    prop_oneof![
        12 => prediction.clone(),
        6 => label,
        1 => prediction.prop_map(|(_, text)| (1_000, text)),
        1 => Just((0, "!".to_owned())),
    ]
}

/// Records along a line of event time that now and then leaps.
fn records() -> impl Strategy<Value = Vec<String>> {
    let step = prop_oneof![20 => 0..3_i64, 1 => 100..300_i64];
    proptest::collection::vec((step, record()), 0..220).prop_map(|steps| {
        let mut now = 100;
        steps
            .into_iter()
            .map(|(step, (offset, text))| {
                now += step;
                match text.split_at(1) {
                    ("P", rest) => {
                        let (id, rest) = rest.split_once('\0').expect("made so");
                        predicted(id, now + offset, rest)
                    }
                    ("L", rest) => {
                        let (id, rest) = rest.split_once('\0').expect("made so");
                        labelled(id, now + offset, rest)
                    }
                    _ => text,
                }
            })
            .collect()
    })
}

fn bytes(flush: Flush) -> (Vec<Vec<u8>>, Vec<DeadLetter>) {
    let records =
        flush.panes.into_iter().map(PanesRecord::Partial).chain([PanesRecord::Progress(flush.progress)]);
    (records.map(|record| record.encode()).collect(), flush.dead_letters)
}

type State = BTreeMap<Vec<u8>, Vec<u8>>;

fn keep(state: &mut State, changes: &[StateChange]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(state.insert(key.clone(), value.clone())),
            None => drop(state.remove(key)),
        }
    }
}

/// Runs over `records` with a flush before each of `stops`; `crash` says after which of them the collector is
/// lost and another takes over, and how many records further the lost one had read.
#[expect(clippy::type_complexity, reason = "all that leaves a collector")]
fn run(
    records: &[String],
    stops: &[usize],
    crash: &dyn Fn(usize) -> Option<usize>,
) -> (Vec<(Vec<Vec<u8>>, Vec<DeadLetter>)>, State) {
    let config = config(SMALL);
    let start = || {
        let mut collector = collector(&config);
        collector.profile(profile(&config, 200));
        collector
    };
    let (mut collector, mut state, mut out, mut next) = (start(), State::new(), Vec::new(), 0);
    let mut committed = 0;
    for (number, stop) in stops.iter().copied().chain([records.len()]).enumerate() {
        while next < stop {
            feed(&mut collector, Role::Predictions, next, &records[next]);
            next += 1;
        }
        let flush = collector.flush(true, number % 7 == 6);
        keep(&mut state, &flush.state);
        committed = flush.positions.predictions.map_or(committed, |p| usize::try_from(p).expect("an offset"));
        out.push(bytes(flush));
        if let Some(further) = crash(number) {
            for (offset, text) in records.iter().enumerate().skip(next).take(further) {
                feed(&mut collector, Role::Predictions, offset, text);
            }
            collector = start();
            for (key, value) in &state {
                collector.restore(key, value).expect("its own state");
            }
            next = committed;
        }
    }
    (out, state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_crash_changes_nothing(
        records in records(),
        stops in proptest::collection::vec(any::<Index>(), 0..12),
        crashes in proptest::collection::vec(proptest::option::of(0..40_usize), 13),
    ) {
        let mut stops: Vec<usize> = stops.into_iter().map(|i| i.index(records.len() + 1)).collect();
        stops.sort_unstable();
        let calm = run(&records, &stops, &|_| None);
        let stormy = run(&records, &stops, &|number| crashes[number]);
        prop_assert_eq!(calm, stormy);
    }

    #[test]
    fn every_record_ends_in_a_pane_or_a_dead_letter(records in records()) {
        let mut collector = collector(&config(SMALL));
        for (offset, text) in records.iter().enumerate() {
            feed(&mut collector, Role::Predictions, offset, text);
        }
        let flush = collector.flush(true, true);
        let mut counted = 0;
        for counts in flush.panes.iter().filter(|p| p.key.segment.is_none()).map(|p| &p.counts) {
            counted += counts.predictions + counts.quality.late + counts.quality.duplicates;
            prop_assert_eq!(counts.status.iter().sum::<u64>(), counts.predictions);
            prop_assert!(counts.labels.waiting <= counts.labels.joinable);
        }
        prop_assert_eq!(counted, flush.counters.predictions);
        let all = flush.counters.predictions + flush.counters.labels + flush.dead_letters.len() as u64;
        prop_assert_eq!(all, records.len() as u64);
        prop_assert_eq!((flush.sizes.held, flush.progress.read_to), (0, i64::try_from(records.len()).expect("few")));
    }

    #[test]
    fn any_bytes_end_somewhere(
        records in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..20),
        header in proptest::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut collector = collector(&config(SMALL));
        for (offset, (labels, bytes)) in (0..).zip(&records) {
            let role = if *labels { Role::Labels } else { Role::Predictions };
            collector.record(RecordAt { role, offset, value: Some(bytes) }, |_| Some(&header));
        }
        let flush = collector.flush(true, true);
        let counted = flush.counters.predictions + flush.counters.labels + flush.sizes.held as u64;
        prop_assert_eq!(counted + flush.dead_letters.len() as u64, records.len() as u64);
    }

    #[test]
    fn order_and_grouping_change_no_byte(
        // Within the lateness nothing is late, and of one id there is one record.
        (a, b) in proptest::collection::btree_map(0..400_u32, (0..30_i64, 0..4_u32, 0..6_u32), 1..80)
            .prop_flat_map(|rows| {
                let rows: Vec<_> = rows.into_iter().collect();
                (Just(rows.clone()), Just(rows).prop_shuffle())
            }),
        stops in proptest::collection::vec(any::<Index>(), 0..6),
        under_profile in any::<bool>(),
    ) {
        let config = config(&SMALL.replace(r#""lateness_s": 5"#, r#""lateness_s": 60"#).replace("50}", "5000}").replace("40}", "4000}"));
        let run = |rows: &[(u32, (i64, u32, u32))], stops: &[usize]| {
            let mut collector = collector(&config);
            if under_profile {
                collector.profile(profile(&config, 100));
            }
            let mut panes = BTreeMap::new();
            for (offset, (id, (s, value, shape))) in rows.iter().enumerate() {
                if stops.contains(&offset) {
                    merged(&mut panes, collector.flush(false, false).panes);
                }
                let rest = format!(
                    r#""prediction":"{value}","latency_ms":{id},"weight":0.{value},"segments":{{"region":"r{value}"}},
                       "features":{{"amount":{id}.25,"country":"c{shape}","f{shape}":{value},"x":1e30{value}}}"#
                );
                feed(&mut collector, Role::Predictions, offset, &predicted(&id.to_string(), 110 + s, &rest));
            }
            for (id, (s, value, _)) in a.iter().filter(|row| row.1.2 > 2) {
                let text = labelled(&id.to_string(), 141 + s % 3, &format!(r#""value":{}"#, value % 2));
                feed(&mut collector, Role::Predictions, rows.len(), &text);
            }
            merged(&mut panes, collector.flush(false, false).panes);
            panes.into_iter().map(|(key, (profile, counts))| PanesRecord::Partial(Pane { key, profile, counts }).encode()).collect::<Vec<_>>()
        };
        let stops: Vec<usize> = stops.into_iter().map(|i| i.index(b.len())).collect();
        let (calm, other) = (run(&a, &[]), run(&b, &stops));
        prop_assert_eq!(calm.len(), other.len());
        for (calm, other) in calm.iter().zip(&other) {
            if calm != other {
                let (calm, other) = (PanesRecord::decode(calm).expect("own"), PanesRecord::decode(other).expect("own"));
                prop_assert_eq!(calm, other);
            }
        }
        prop_assert_eq!(calm, other);
    }

    #[test]
    fn labels_find_the_same_predictions_at_any_pace(
        predictions in proptest::collection::vec((0..3_i64, 0..4_u32), 1..80),
        labels in proptest::collection::vec((0..80_u32, 0..3_i64, 0..4_u32), 1..60),
        turns in proptest::collection::vec(any::<bool>(), 200),
    ) {
        let config = config(&SMALL.replace(r#""wait_s": 60"#, r#""wait_s": 6000, "topic": "l""#).replace("40}", "4000}").replace(r#""per_pane": 3"#, r#""per_pane": 99"#));
        let mut now = 100;
        let times: Vec<i64> = predictions.iter().map(|(step, _)| { now += step; now }).collect();
        let run = |turns: &mut dyn Iterator<Item = bool>| {
            let mut collector = collector(&config);
            let mut panes = BTreeMap::new();
            let mut predictions = predictions.iter().enumerate().peekable();
            let mut label_time = 100;
            let mut labels = labels.iter().enumerate().peekable();
            while predictions.peek().is_some() || labels.peek().is_some() {
                let labels_end = labels.peek().is_none();
                let may_predict = predictions.peek().is_some() && !collector.predictions_wait(labels_end);
                let may_label = !labels_end && !collector.labels_wait();
                if may_predict && (turns.next().unwrap_or(true) || !may_label) {
                    let (offset, (_, value)) = predictions.next().expect("peeked");
                    let text = predicted(&offset.to_string(), times[offset], &format!(r#""prediction":{value}"#));
                    feed(&mut collector, Role::Predictions, offset, &text);
                } else if may_label {
                    let (offset, (id, step, value)) = labels.next().expect("peeked");
                    label_time += step;
                    // A label is later than its prediction.
                    let known = times.partition_point(|time| *time <= label_time).max(1);
                    let id = *id as usize % known;
                    feed(&mut collector, Role::Labels, offset, &labelled(&id.to_string(), label_time, &format!(r#""value":{value}"#)));
                } else {
                    // Both wait or are done: what is left of the labels is later than the last prediction.
                    break;
                }
                merged(&mut panes, collector.flush(false, false).panes);
            }
            // The pane that a label is late for depends on the pace; whether and how it is joined does not.
            let mut all = PaneCounts::empty(None, 1).labels;
            let mut predictions = 0;
            for (_, counts) in panes.into_values() {
                predictions += counts.predictions;
                let mut of_labels = PaneCounts::empty(None, 1);
                of_labels.labels = counts.labels;
                let mut sum = PaneCounts::empty(None, 1);
                sum.labels = all;
                sum.merge(&of_labels).expect("no profile");
                all = sum.labels;
            }
            all.late = 0;
            (predictions, all, collector.counters().labels_unmatched)
        };
        prop_assert_eq!(run(&mut std::iter::empty()), run(&mut turns.into_iter()));
    }
}
