//! The fold by hand-made records: order, lateness, silence, bounds, state.

use super::*;
use crate::pane::{FeatureCounts, PaneCounts, PaneKey, RawCounts};
use crate::progress::{Progress, SourceId};
use crate::record::ConfigFile;
use wire::context::{Deployment, Lineage};
use wire::{Change, Family, Severity, Subject};

const PANE_MS: i64 = 10_000;

fn judge_with(change: impl FnOnce(&mut JudgeConfig)) -> Judge {
    let mut config = JudgeConfig::default();
    change(&mut config);
    Judge::new(0, Arc::new(config))
}

fn at(pane: i64) -> Timestamp {
    Timestamp::EPOCH.plus_ms(1_000_000 * PANE_MS + pane * PANE_MS)
}

fn partial(model: &str, pane: i64, predictions: u64) -> PanesRecord {
    let mut counts = PaneCounts::empty(None, 8);
    counts.predictions = predictions;
    counts.status[0] = predictions;
    let key = PaneKey { model: model.into(), version: "v1".into(), segment: None, start: at(pane) };
    PanesRecord::Partial(Pane { key, profile: 0, counts })
}

fn source(partition: u32) -> SourceId {
    SourceId { topic: "t".into(), partition }
}

fn progress(partition: u32, watermark: i64) -> PanesRecord {
    PanesRecord::Progress(Progress {
        source: source(partition),
        watermark: Some(at(watermark)),
        read_to: 0,
        caught_up: false,
        idle: false,
        sources: vec![source(0), source(1)],
    })
}

fn feed(judge: &mut Judge, records: Vec<PanesRecord>) {
    for record in records {
        let offset = judge.resume_of_all();
        judge.handle(offset, record);
    }
}

impl Judge {
    fn resume_of_all(&self) -> i64 {
        self.next_offset
    }

    fn predictions(&self, model: &str) -> u64 {
        let version = &self.models[model].versions[&("v1".to_owned(), None)];
        version.gather.predictions()
    }
}

#[test]
fn partial_panes_merge_until_time_has_passed_them() {
    let mut judge = judge_with(|_| ());
    feed(&mut judge, vec![partial("a", 0, 3), partial("a", 0, 4), progress(0, 2)]);
    assert_eq!((judge.watermark(), judge.counters().panes), (None, 0), "the other source was never heard of");
    assert_eq!((judge.resume_offset(), judge.oldest_open()), (Some(0), Some(at(0))));
    feed(&mut judge, vec![progress(1, 1)]);
    assert_eq!((judge.watermark(), judge.counters().panes), (Some(at(1)), 1));
    assert_eq!((judge.predictions("a"), judge.resume_offset(), judge.oldest_open()), (7, Some(4), None));
    feed(&mut judge, vec![partial("a", 0, 100), partial("a", 1, 1), progress(1, 2)]);
    assert_eq!((judge.counters().late, judge.predictions("a")), (1, 8), "what is late is nowhere else");
}

#[test]
fn a_restart_commits_nothing_beyond_what_it_has_read_again() {
    let log = vec![partial("a", 0, 3), progress(0, 1), partial("a", 1, 4), progress(1, 0)];
    let mut first = judge_with(|_| ());
    feed(&mut first, log.clone());
    assert_eq!(first.resume_offset(), Some(0), "the first pane is open");
    let mut second = judge_with(|_| ());
    for (key, value) in first.take_effects().state {
        second.restore(&key, &value.expect("nothing was removed")).expect("its own state");
    }
    assert_eq!(second.resume_offset(), None, "what was open is not known yet");
    for (offset, record) in (0..).zip(log) {
        second.handle(offset, record);
        assert_eq!(second.resume_offset(), Some(0));
    }
}

#[test]
fn a_source_that_fell_silent_is_one_ticket_and_its_panes_are_incomplete() {
    let mut judge = judge_with(|_| ());
    feed(&mut judge, vec![partial("a", 0, 20), progress(0, 3), progress(1, 0)]);
    feed(&mut judge, vec![PanesRecord::GaveUp { source: source(1), pane: at(0) }]);
    feed(&mut judge, vec![PanesRecord::GaveUp { source: source(1), pane: at(0) }, progress(0, 4)]);
    assert_eq!((judge.counters().panes, judge.counters().incomplete), (1, 4));
    feed(&mut judge, vec![progress(1, 4), progress(0, 5)]);
    let told: Vec<_> = judge.take_effects().incidents;
    let what: Vec<_> = told.iter().map(|i| (i.change, i.severity, i.family)).collect();
    let ticket = |change| (change, Severity::Sev3, Family::Telemetry);
    assert_eq!(what, [ticket(Change::Opened), ticket(Change::Cleared)]);
    assert_eq!(told[0].subject.to_string(), "platform:telemetry/t/1");
    assert!(told[0].title.contains("t/1"));
    assert_eq!(judge.counters().incomplete, 4, "it is waited for again");
}

fn config_file(instance: &str, second: i64, fault: Option<&str>) -> PanesRecord {
    let at = at(0).plus_ms(second * 1000);
    PanesRecord::ConfigFile(ConfigFile { instance: instance.into(), at, fault: fault.map(str::to_owned) })
}

#[test]
fn a_config_file_at_fault_is_one_ticket_until_it_is_fine() {
    let mut judge = judge_with(|_| ());
    let (three, five) = (Some("tocsin.toml:3: budget"), Some("tocsin.toml:5: judge"));
    feed(&mut judge, vec![config_file("a", 0, None), config_file("a", 1, three), config_file("a", 2, three)]);
    feed(&mut judge, vec![config_file("b", 3, five), config_file("a", 4, five)]);
    let mut again = judge_with(|_| ());
    let effects = judge.take_effects();
    for (key, value) in effects.state {
        again.restore(&key, &value.expect("nothing was removed")).expect("its own state");
    }
    // One clock behind another is no reason to lose the end of it.
    feed(&mut again, vec![config_file("a", 3, None), config_file("a", 5, None)]);
    let told = [effects.incidents, again.take_effects().incidents].concat();
    let what: Vec<_> = told.iter().map(|i| (i.change, i.subject.to_string(), i.changed_at)).collect();
    let of = |change, name: &str, second: i64| {
        (change, format!("platform:config/{name}"), at(0).plus_ms(second * 1000))
    };
    let want = [
        of(Change::Opened, "a", 1),
        of(Change::Opened, "b", 3),
        of(Change::Updated, "a", 4),
        of(Change::Cleared, "a", 3),
    ];
    assert_eq!(what, want);
    assert!(told.iter().all(|i| (i.family, i.severity) == (Family::Telemetry, Severity::Sev3)));
    assert_eq!(
        told[0].title,
        "the config of process a is at fault: tocsin.toml:3: budget; the one before stays in force"
    );
    assert_eq!(told[0].context.config.as_ref(), Some(judge.config().digest()));
}

#[test]
fn another_partition_tells_of_the_silent_source_if_it_is_its_own() {
    let told: Vec<usize> = (0..4)
        .map(|partition| {
            let mut config = JudgeConfig::default();
            config.partitions = 4;
            let mut judge = Judge::new(partition, Arc::new(config));
            feed(&mut judge, vec![PanesRecord::GaveUp { source: source(7), pane: at(0) }]);
            judge.take_effects().incidents.len()
        })
        .collect();
    assert_eq!(told.iter().sum::<usize>(), 1, "{told:?}");
}

#[test]
fn tables_have_bounds_and_what_is_beyond_is_counted() {
    let mut judge = judge_with(|config| {
        config.judge.open_panes_max = 100;
        config.judge.keys_max = 2;
    });
    feed(&mut judge, (0..150).map(|pane| partial("a", pane, 1)).collect());
    assert_eq!(judge.counters().forced, 50);
    assert_eq!(judge.counters().incomplete, 50);
    feed(&mut judge, vec![partial("b", 200, 1), progress(0, 300), progress(1, 300), partial("c", 310, 1)]);
    assert_eq!(judge.counters().over, 1, "the third version has no place");
}

#[test]
fn a_fleet_that_fills_the_table_with_its_references_is_judged() {
    let mut judge = judge_with(|config| config.judge.keys_max = 2);
    let deployed = |model: &str| {
        PanesRecord::Context(ContextRecord::Deployment(Deployment {
            model: model.into(),
            version: "v1".into(),
            event_time: at(0),
            change: "deployed".into(),
            by: None,
            commit: None,
            image: None,
        }))
    };
    feed(&mut judge, vec![deployed("a"), deployed("b"), deployed("c")]);
    assert_eq!(judge.keys_len(), 2, "the third has no place");
    feed(&mut judge, vec![partial("a", 0, 1), partial("b", 0, 1), partial("c", 0, 1)]);
    feed(&mut judge, vec![progress(0, 1), progress(1, 1)]);
    assert_eq!((judge.predictions("a"), judge.predictions("b")), (1, 1));
    assert_eq!((judge.keys_len(), judge.counters().over), (2, 1));
}

#[test]
fn a_long_silence_is_passed_over() {
    let mut judge = judge_with(|_| ());
    let years = 3 * 365 * 8640;
    feed(
        &mut judge,
        vec![partial("a", 0, 20), partial("a", years, 20), progress(0, years + 1), progress(1, years + 1)],
    );
    assert_eq!(judge.counters().panes, 2);
    assert_eq!(judge.oldest_open(), None);
}

#[test]
fn what_surrounds_a_model_is_kept_and_bounded() {
    let mut judge = judge_with(|_| ());
    let deployment = |i: i64| Deployment {
        model: "a".into(),
        version: format!("v{i}"),
        event_time: at(i),
        change: "deployed".into(),
        by: None,
        commit: None,
        image: None,
    };
    // Out of order, and one of them twice.
    let order = (0..40).map(|i| (i * 7) % 40).chain([39]);
    feed(&mut judge, order.map(|i| PanesRecord::Context(ContextRecord::Deployment(deployment(i)))).collect());
    let lineage = |i| Lineage { subject: Subject::model("a", "v1"), event_time: at(i), upstream: vec![] };
    feed(&mut judge, vec![PanesRecord::Context(ContextRecord::Lineage(lineage(5)))]);
    feed(&mut judge, vec![PanesRecord::Context(ContextRecord::Lineage(lineage(3)))]);
    let mut again = judge_with(|_| ());
    for (key, value) in judge.take_effects().state {
        again.restore(&key, &value.expect("nothing was removed")).expect("its own state");
    }
    for judge in [&judge, &again] {
        let known = &judge.models["a"].surroundings;
        let shown: Vec<_> = known.deployments(at(38)).iter().map(|d| d.version.clone()).collect();
        assert_eq!(shown, ["v38", "v37", "v36", "v35", "v34"]);
        assert_eq!(known.lineage().map(|l| l.event_time), Some(at(5)), "the later one holds");
    }
}

#[test]
fn state_that_is_not_its_own_is_refused() {
    for (key, value, want) in [
        (&b"meta"[..], &[][..], "damaged state \"meta\""),
        (b"meta", &[1, 255], "damaged state \"meta\""),
        (b"meta", &[9, 0], "newer"),
        (b"version/[\"a\"]", &[1], "damaged state"),
        (b"nothing", &[1], "unknown key \"nothing\""),
        (&[0xff, 0xfe], &[1], "unknown key"),
    ] {
        let error = judge_with(|_| ()).restore(key, value).expect_err("not its own").to_string();
        assert!(error.contains(want), "{error}");
    }
}

/// A raw pane of 300 features, too large for one record.
fn wide(model: &str, pane: i64) -> Pane {
    let mut counts = PaneCounts::empty(None, 512);
    counts.predictions = 200;
    counts.status[0] = 200;
    for feature in 0..300 {
        let mut raw = RawCounts::new(format!("f{feature:03}"), 256);
        for i in 0..200_u32 {
            let value = f64::from(i * 7 + feature) * 1.7_f64.powi(i32::try_from(i % 40).expect("small"));
            raw.numeric.add(value);
            raw.sketch.add(value);
            raw.categories.count(value.to_bits() ^ u64::MAX, || None);
        }
        counts.features.push(FeatureCounts::Raw(Box::new(raw)));
    }
    let key = PaneKey { model: model.into(), version: "v1".into(), segment: None, start: at(pane) };
    Pane { key, profile: 0, counts }
}

fn in_records(record: &PanesRecord, writer: &str) -> Vec<PanesRecord> {
    let values = record.in_records(writer);
    assert!(values.iter().all(|v| v.len() <= wire::parts::PART_BYTES + 1024), "each fits a record");
    values.iter().map(|v| PanesRecord::decode(v).expect("its own bytes")).collect()
}

#[test]
fn a_pane_in_parts_counts_as_if_it_were_one_record() {
    let (a, b) = (PanesRecord::Partial(wide("a", 0)), PanesRecord::Partial(wide("a", 0)));
    let (of_a, of_b) = (in_records(&a, "t/0"), in_records(&b, "t/1"));
    assert!(of_a.len() > 1, "it is too large for one record: {}", of_a.len());
    // As two collectors write them: mixed.
    let mixed = of_a.into_iter().zip(of_b).flat_map(|(a, b)| [a, b]).collect();
    let mut judge = judge_with(|_| ());
    feed(&mut judge, mixed);
    let mut one = judge_with(|_| ());
    feed(&mut one, vec![a, b]);
    let close = |judge: &mut Judge| judge.open.close(at(0)).remove("a").expect("it is open");
    assert_eq!(close(&mut judge), close(&mut one), "merged exactly");
    assert_eq!(judge.counters().misshapen, 0);
}

#[test]
fn a_judge_stopped_within_parts_reads_from_the_first_again() {
    let mut judge = judge_with(|_| ());
    let pane = in_records(&PanesRecord::Partial(wide("a", 0)), "t/0");
    let mut log = vec![progress(0, 0), progress(1, 0)];
    log.extend(pane);
    log.extend([progress(0, 1), progress(1, 1)]);
    // Stopped before every record: once between two parts, once after all of them.
    for stop in 0..log.len() {
        let mut first = judge_with(|_| ());
        feed(&mut first, log[..stop].to_vec());
        let resume = first.resume_offset().unwrap_or(0);
        assert_eq!(resume, i64::try_from(stop.min(2)).expect("few"), "stopped before {stop}");
        let mut second = judge_with(|_| ());
        for (key, value) in first.take_effects().state {
            second.restore(&key, &value.expect("nothing was removed")).expect("its own state");
        }
        for (offset, record) in (0..).zip(&log).skip(usize::try_from(resume).expect("not below 0")) {
            second.handle(offset, record.clone());
        }
        assert_eq!((second.counters().panes, second.counters().misshapen), (1, 0), "stopped before {stop}");
        assert_eq!(second.predictions("a"), 200, "stopped before {stop}");
    }
    feed(&mut judge, log);
    assert_eq!(judge.predictions("a"), 200);
}

#[test]
fn a_part_that_is_missing_is_counted_and_nothing_of_the_others_used() {
    let mut judge = judge_with(|_| ());
    let mut pane = in_records(&PanesRecord::Partial(wide("a", 0)), "t/0");
    pane.remove(1);
    feed(&mut judge, pane);
    assert!(judge.counters().misshapen > 0 && judge.oldest_open().is_none());
    assert_eq!(judge.resume_offset(), Some(judge.next_offset), "nothing is waited for");
}
