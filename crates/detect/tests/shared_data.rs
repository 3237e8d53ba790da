//! Every stream of the shared test data passes through collector and judge whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tocsin_detect::collect::{CollectConfig, Collector, Flush, RecordAt, Role};
use tocsin_detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use tocsin_detect::judge::Judge;
use tocsin_detect::progress::{Progress, SourceId};
use tocsin_detect::record::PanesRecord;
use wire::Change;
use wire::context::ContextRecord;
use wire::history::Verdict;

/// Wide panes, so that the test is quick.
const PANE_S: u32 = 600;
/// Records between two flushes of the collector, at most: profiles must reach it before the stream is over.
const FLUSH_EVERY: i64 = 500;

fn cases() -> Option<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    cases.sort();
    Some(cases)
}

/// What passed, over all streams.
#[derive(Debug, Default)]
struct Passed {
    streams: u64,
    records: u64,
    panes: u64,
    history: u64,
    opened: u64,
    /// Streams of which a reference was learned, so that their panes were judged.
    judged: u64,
}

/// One stream on its way: what the collector counts goes into a judge, as it would through the log.
struct Passing<'a> {
    name: String,
    collector: Collector,
    judge: Judge,
    config: &'a Configs,
    offset: i64,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    counted: u64,
    labelled: u64,
    told: u64,
    passed: Passed,
}

struct Configs {
    collect: Arc<CollectConfig>,
    judge: Arc<JudgeConfig>,
}

/// A record as its reader has it.
fn through_json<T: Serialize + DeserializeOwned>(name: &str, record: &T) -> T {
    let bytes = serde_json::to_vec(record).expect("plain data");
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|e| panic!("{name}: {e}: {}", String::from_utf8_lossy(&bytes)))
}

impl Passing<'_> {
    fn hand(&mut self, record: &PanesRecord) {
        let read = PanesRecord::decode(&record.encode());
        let read =
            read.unwrap_or_else(|e| panic!("{}: a record of panes that nobody can read: {e}", self.name));
        self.judge.handle(self.offset, read);
        self.offset += 1;
    }

    fn take(&mut self, flush: Flush) {
        let name = &self.name;
        assert!(flush.dead_letters.is_empty(), "{name}: {:?}", flush.dead_letters);
        self.counted += flush.panes.iter().map(|p| p.counts.predictions).sum::<u64>();
        self.labelled += flush.panes.iter().map(|p| p.counts.labels.total()).sum::<u64>();
        flush.panes.into_iter().for_each(|pane| self.hand(&PanesRecord::Partial(pane)));
        self.hand(&PanesRecord::Progress(flush.progress));
        self.commit();
    }

    fn commit(&mut self) {
        let effects = self.judge.take_effects();
        for record in &effects.context {
            if let ContextRecord::Profile(profile) = through_json(&self.name, record) {
                self.collector.profile(Arc::from(profile));
            }
        }
        for incident in &effects.incidents {
            assert_eq!(through_json(&self.name, incident), *incident);
            self.passed.opened += u64::from(incident.change == Change::Opened);
        }
        for history in &effects.history {
            assert_eq!(through_json(&self.name, history), *history);
            self.told += history.predictions;
            self.passed.history += 1;
            if history
                .streams
                .iter()
                .any(|s| matches!(s.verdict, Verdict::Ok | Verdict::Degraded | Verdict::Drifting))
            {
                self.passed.judged = 1;
            }
        }
        for (key, value) in effects.state {
            match value {
                Some(value) => drop(self.state.insert(key, value)),
                None => drop(self.state.remove(&key)),
            }
        }
    }

    /// Time goes on until the last pane has closed and been told of.
    fn finish(&mut self, mut last: Progress) {
        last.watermark = last.watermark.map(|at| at.plus_ms(3 * 3_600_000));
        self.hand(&PanesRecord::Progress(last));
        self.commit();
    }

    fn check(self, records: u64) -> Passed {
        let (name, counters) = (&self.name, self.judge.counters());
        let lost = [counters.late, counters.misshapen, counters.forced, counters.incomplete, counters.over];
        assert_eq!(lost, [0; 5], "{name}: late, misshapen, forced, incomplete, over");
        assert_eq!(self.told, self.counted, "{name}: what was counted was told of");
        let mut again = Judge::new(0, Arc::clone(&self.config.judge));
        for (key, value) in &self.state {
            again.restore(key, value).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        Passed { streams: 1, records, panes: counters.panes, ..self.passed }
    }
}

fn pass(case: &Path, config: &Configs) -> Passed {
    let name = case.display().to_string();
    let source = SourceId { topic: "t".into(), partition: 0 };
    let mut passing = Passing {
        name: name.clone(),
        collector: Collector::new(source.clone(), vec![source], Arc::clone(&config.collect)),
        judge: Judge::new(0, Arc::clone(&config.judge)),
        config,
        offset: 0,
        state: BTreeMap::new(),
        counted: 0,
        labelled: 0,
        told: 0,
        passed: Passed::default(),
    };
    let file = fs::File::open(case.join("events.jsonl.gz")).expect("a case has events");
    let mut lines = BufReader::new(GzDecoder::new(file));
    let (mut line, mut offset) = (Vec::new(), 0);
    while lines.read_until(b'\n', &mut line).expect("whole file") > 0 {
        let record = RecordAt { role: Role::Predictions, offset, value: Some(&line) };
        passing.collector.record(record, |_| None);
        line.clear();
        offset += 1;
        if passing.collector.should_flush() || offset % FLUSH_EVERY == 0 {
            let flush = passing.collector.flush(false, false);
            passing.take(flush);
        }
    }
    let last = passing.collector.flush(true, true);
    let (counters, progress) = (last.counters, last.progress.clone());
    passing.take(last);
    passing.finish(progress);
    let records = u64::try_from(offset).expect("positive");
    assert_eq!(counters.predictions + counters.labels, records, "{name}");
    assert_eq!((counters.late, counters.duplicates, counters.labels_duplicate), (0, 0, 0), "{name}");
    assert_eq!(passing.counted, counters.predictions, "{name}");
    assert_eq!(passing.labelled + counters.labels_unmatched, counters.labels, "{name}");
    assert_eq!(counters.labels_unmatched, 0, "{name}: every label comes after its prediction, and all wait");
    passing.check(records)
}

#[test]
fn every_shared_stream_is_judged_to_its_last_record() {
    let Some(cases) = cases() else {
        println!("Not tested: the shared streams, because ../shared/data/cases is not there.");
        return;
    };
    assert!(!cases.is_empty(), "the folder is there but empty");
    // Every prediction waits for its label.
    let json = format!(
        r#"{{"fields": {{"event_time": "ts", "value": "label"}}, "pane_s": {PANE_S},
        "labels": {{"per_pane": 60000, "wait_s": 31536000}}}}"#
    );
    let judge = JudgeConfig::new(
        "test",
        1,
        i64::from(PANE_S) * 1000,
        // Short streams must be judged too, so little is enough for a reference.
        JudgeSettings { warmup_records: 1500, warmup_s: 7200, ..JudgeSettings::default() },
        BudgetSettings::default(),
        BTreeMap::new(),
    );
    let config = Configs {
        collect: Arc::new(serde_json::from_str(&json).expect("a valid config")),
        judge: Arc::new(judge),
    };
    let (next, passed) = (Mutex::new(cases.iter()), Mutex::new(Passed::default()));
    let work = || {
        loop {
            let Some(case) = next.lock().expect("no thread panics with it").next() else { return };
            let one = pass(case, &config);
            let mut all = passed.lock().expect("no thread panics with it");
            all.streams += one.streams;
            all.records += one.records;
            all.panes += one.panes;
            all.history += one.history;
            all.opened += one.opened;
            all.judged += one.judged;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let passed = passed.into_inner().expect("all threads are over");
    println!("{passed:?}");
    assert_eq!(passed.streams, u64::try_from(cases.len()).expect("a few"));
    assert_eq!(passed.judged, passed.streams, "a reference is learned of each, and judges it: {passed:?}");
    assert!(passed.opened > 0, "some hold trouble: {passed:?}");
}
