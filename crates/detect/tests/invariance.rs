//! What must not matter does not: the unit of a feature, the order of records, how panes are cut up, lateness within the
//! grace, and a shift too small for anyone to care about.

#[path = "support/guarantees/draws.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with others")]
mod draws;
#[path = "support/tape.rs"]
mod tape;

use std::sync::Arc;

use draws::Draws;
use tape::{HOUR_MS, MINUTE_MS, Record, SECOND_MS, bytes, judged, lines, opened, regular, start};
use tocsin_detect::collect::{CollectConfig, Collector, RecordAt, Role};
use tocsin_detect::config::JudgeConfig;
use tocsin_detect::judge::Judge;
use tocsin_detect::progress::SourceId;
use tocsin_detect::record::PanesRecord;
use tocsin_detect::reference::Reference;
use tocsin_detect::replay::Told;
use wire::{Family, Timestamp};

const REFERENCE_MS: i64 = 4 * HOUR_MS;
const CHANGE_MS: i64 = 6 * HOUR_MS;
const END_MS: i64 = 8 * HOUR_MS;

/// A temperature, once a second, that rises by half a deviation; written in a unit.
fn temperatures(unit: impl Fn(f64) -> f64) -> Vec<Record> {
    let mut draws = Draws::new(11, 0);
    regular(SECOND_MS, END_MS, |at_ms, _| {
        let shift = if at_ms >= CHANGE_MS { 2.5 } else { 0.0 };
        // Two decimals, as a thermometer writes them.
        let celsius = ((20.0 + shift + 5.0 * draws.normal()) * 100.0).round() / 100.0;
        format!(r#""features":{{"x":{}}}"#, unit(celsius))
    })
}

#[test]
fn the_unit_of_a_feature_changes_no_verdict() {
    let life = |told: &Told| -> Vec<_> {
        let of = |i: &wire::Incident| (i.changed_at, i.change, i.severity, i.family, i.generation);
        told.incidents.iter().map(of).collect()
    };
    let config = JudgeConfig::default();
    let want = judged(&temperatures(|x| x), &config, REFERENCE_MS);
    let drifts = opened(&want).iter().filter(|i| i.family == Family::Drift).count();
    assert_eq!(drifts, 1, "{}", lines(&want));
    type Unit = fn(f64) -> f64;
    let units: [(&str, Unit); 4] = [
        ("a thousand times", |x| x * 1000.0),
        ("a million more", |x| x + 1e6),
        ("kelvin", |x| x + 273.15),
        ("fahrenheit", |x| x * 1.8 + 32.0),
    ];
    for (name, unit) in units {
        let told = judged(&temperatures(unit), &config, REFERENCE_MS);
        assert_eq!(life(&told), life(&want), "{name}:\n{}instead of\n{}", lines(&told), lines(&want));
    }
}

/// Requests that fail more often from a time on, with a feature and a latency.
fn requests() -> Vec<Record> {
    let mut draws = Draws::new(12, 0);
    regular(SECOND_MS / 2, END_MS, |at_ms, _| {
        let p = if at_ms >= CHANGE_MS { 0.08 } else { 0.01 };
        let status = if draws.chance(p) { "error" } else { "ok" };
        let latency = 40.0 * (0.4 * draws.normal()).exp();
        format!(r#""status":"{status}","latency_ms":{latency:.3},"features":{{"x":{:.4}}}"#, draws.normal())
    })
}

/// Collectors of `sources` partitions among which the records are dealt, each flushed after so many records, into one
/// judge.
fn in_parts(records: &[Record], references: Vec<Reference>, sources: usize, flush_every: usize) -> Told {
    let ids: Vec<SourceId> = (0..sources)
        .map(|p| SourceId { topic: "t".into(), partition: u32::try_from(p).expect("small") })
        .collect();
    let config = Arc::new(CollectConfig::default());
    let from = start().plus_ms(REFERENCE_MS);
    let mut judge = Judge::new(0, Arc::new(JudgeConfig::default()));
    let mut collectors: Vec<Collector> =
        ids.iter().map(|id| Collector::new(id.clone(), ids.clone(), Arc::clone(&config))).collect();
    let mut offset = 0;
    let mut all = Told::default();
    let mut hand = |record: PanesRecord, collectors: &mut [Collector]| {
        judge.handle(offset, record);
        offset += 1;
        let effects = judge.take_effects();
        for context in effects.context {
            if let wire::context::ContextRecord::Profile(profile) = context {
                let profile: Arc<_> = Arc::from(profile);
                collectors.iter_mut().for_each(|c| c.profile(Arc::clone(&profile)));
            }
        }
        all.incidents.extend(effects.incidents);
        all.history.extend(effects.history);
    };
    for reference in references {
        hand(PanesRecord::Reference(Box::new(reference)), &mut collectors);
    }
    let mut last: Option<Timestamp> = None;
    let mut final_progress = vec![];
    for (i, record) in records.iter().enumerate() {
        let at = i % sources;
        let read = i64::try_from(i).expect("small");
        let value = Some(record.json.as_bytes());
        collectors[at].record(RecordAt { role: Role::Predictions, offset: read, value }, |_| None);
        let end = i + sources >= records.len();
        if (i / sources).is_multiple_of(flush_every) || end {
            let flush = collectors[at].flush(end, end);
            for pane in flush.panes.into_iter().filter(|pane| pane.key.start >= from) {
                last = last.max(Some(pane.key.start.plus_ms(10_000)));
                hand(PanesRecord::Partial(pane), &mut collectors);
            }
            if flush.progress.watermark.is_some_and(|at| at >= from) {
                if end {
                    final_progress.push(flush.progress.clone());
                }
                hand(PanesRecord::Progress(flush.progress), &mut collectors);
            }
        }
    }
    for mut progress in final_progress {
        progress.watermark = progress.watermark.max(last);
        hand(PanesRecord::Progress(progress), &mut collectors);
    }
    all
}

#[test]
fn how_panes_are_cut_up_changes_no_byte() {
    let records = requests();
    let config = JudgeConfig::default();
    let references = tape::references(&records, &config, REFERENCE_MS);
    let (want, _) = tape::replay(&records, &config, references.clone(), REFERENCE_MS);
    assert!(opened(&want).iter().any(|i| i.family == Family::Availability), "{}", lines(&want));
    for (sources, flush_every) in [(1, 3), (2, 5), (3, 1)] {
        let told = in_parts(&records, references.clone(), sources, flush_every);
        assert_eq!(lines(&told), lines(&want), "{sources} partitions, flushed every {flush_every}");
        assert!(bytes(&told) == bytes(&want), "{sources} partitions, flushed every {flush_every}");
    }
}

#[test]
fn what_comes_late_within_the_grace_changes_no_byte() {
    let records = requests();
    let config = JudgeConfig::default();
    let references = tape::references(&records, &config, REFERENCE_MS);
    let (want, _) = tape::replay(&records, &config, references.clone(), REFERENCE_MS);
    let grace_ms = i64::try_from(CollectConfig::default().raw().lateness_s).expect("small") * 1000;
    let mut draws = Draws::new(13, 0);
    let mut late: Vec<(i64, Record)> = records
        .iter()
        .map(|record| {
            let by = if draws.chance(0.05) {
                i64::try_from(draws.below(1000)).expect("small") * grace_ms / 1000
            } else {
                0
            };
            (record.at_ms + by, record.clone())
        })
        .collect();
    late.sort_by_key(|(arrival, _)| *arrival);
    let moved = late.iter().zip(&records).filter(|((_, a), b)| a.at_ms != b.at_ms).count();
    assert!(moved > records.len() / 20, "{moved} records are out of order");
    let late: Vec<Record> = late.into_iter().map(|(_, record)| record).collect();
    let (told, totals) = tape::replay(&late, &config, references, REFERENCE_MS);
    assert_eq!((totals.dead_letters, totals.collected.late), (0, 0));
    assert_eq!(lines(&told), lines(&want));
    assert!(bytes(&told) == bytes(&want), "verdicts and history are the same");
}

/// A hundred values a second; a shift of so many deviations after an hour and a half.
fn busy(shift: f64, until_ms: i64) -> Vec<Record> {
    let mut draws = Draws::new(14, 0);
    regular(10, until_ms, |at_ms, _| {
        let by = if at_ms >= 90 * MINUTE_MS { shift } else { 0.0 };
        format!(r#""features":{{"x":{:.4}}}"#, draws.normal() + by)
    })
}

#[test]
fn a_shift_that_matters_to_nobody_is_none_however_sure_it_is() {
    let mut config = JudgeConfig::default();
    config.judge.drift.least_effect = 0.05;
    let until_ms = 90 * MINUTE_MS + 1_000_000 * 10;
    let told = judged(&busy(0.02, until_ms), &config, 60 * MINUTE_MS);
    assert!(opened(&told).is_empty(), "{}", lines(&told));
}

/// Minutes until three tenths of a deviation open an incident of drift, at most ten.
fn found_after_min(least_effect: f64) -> Option<i64> {
    let mut config = JudgeConfig::default();
    config.judge.drift.least_effect = least_effect;
    let told = judged(&busy(0.3, 100 * MINUTE_MS), &config, 60 * MINUTE_MS);
    tape::opened_at_min(&told, Family::Drift).first().map(|min| min - 90)
}

#[test]
fn a_shift_that_matters_is_found_within_two_panes() {
    // Drift is judged by the minute. Every test of the feature is certain of it at once.
    for least_effect in [0.01, 0.05] {
        let found = found_after_min(least_effect);
        assert!(found.is_some_and(|min| (0..=2).contains(&min)), "least effect {least_effect}: {found:?}");
    }
}
