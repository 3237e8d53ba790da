//! Every stream of the shared test data passes through the collector whole.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use tocsin_detect::collect::{CollectConfig, Collector, Flush, RecordAt, Role};
use tocsin_detect::progress::SourceId;

fn cases() -> Option<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    cases.sort();
    Some(cases)
}

fn pass(case: &Path, config: &Arc<CollectConfig>) {
    let name = case.display();
    let source = SourceId { topic: "t".into(), partition: 0 };
    let mut collector = Collector::new(source.clone(), vec![source], Arc::clone(config));
    let (mut offset, mut counted, mut labelled) = (0, 0, 0);
    let mut take = |flush: Flush| {
        assert!(flush.dead_letters.is_empty(), "{name}: {:?}", flush.dead_letters);
        counted += flush.panes.iter().map(|p| p.counts.predictions).sum::<u64>();
        labelled += flush.panes.iter().map(|p| p.counts.labels.total()).sum::<u64>();
    };
    let file = fs::File::open(case.join("events.jsonl.gz")).expect("a case has events");
    let mut lines = BufReader::new(GzDecoder::new(file));
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).expect("whole file") > 0 {
        collector.record(RecordAt { role: Role::Predictions, offset, value: Some(&line) }, |_| None);
        line.clear();
        offset += 1;
        if collector.should_flush() || offset % 10_000 == 0 {
            take(collector.flush(false, false));
        }
    }
    let last = collector.flush(true, true);
    let counters = last.counters;
    take(last);
    assert_eq!(counters.predictions + counters.labels, u64::try_from(offset).expect("positive"), "{name}");
    assert_eq!((counters.late, counters.duplicates, counters.labels_duplicate), (0, 0, 0), "{name}");
    assert_eq!(counted, counters.predictions, "{name}");
    assert_eq!(labelled + counters.labels_unmatched, counters.labels, "{name}");
    assert_eq!(counters.labels_unmatched, 0, "{name}: every label comes after its prediction, and all wait");
}

#[test]
fn every_shared_stream_is_read_to_its_last_record() {
    let Some(cases) = cases() else {
        println!("Not tested: the shared streams, because ../shared/data/cases is not there.");
        return;
    };
    assert!(!cases.is_empty(), "the folder is there but empty");
    // Wide panes, so that the test is quick; and every prediction waits for its label.
    let json = r#"{"fields": {"event_time": "ts", "value": "label"}, "pane_s": 600,
        "labels": {"per_pane": 60000, "wait_s": 31536000}}"#;
    let config: Arc<CollectConfig> = Arc::new(serde_json::from_str(json).expect("a valid config"));
    std::thread::scope(|scope| {
        for half in [0, 1] {
            let (cases, config) = (&cases, &config);
            scope.spawn(move || cases.iter().skip(half).step_by(2).for_each(|case| pass(case, config)));
        }
    });
}
