//! Every stream of the shared test data passes through the collector whole.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use tocsin_detect::collect::{CollectConfig, Collector, RecordAt, Role};
use tocsin_detect::progress::SourceId;

fn cases() -> Option<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    cases.sort();
    Some(cases)
}

#[test]
fn every_shared_stream_is_read_to_its_last_record() {
    let Some(cases) = cases() else {
        println!("Not tested: the shared streams, because ../shared/data/cases is not there.");
        return;
    };
    let config: CollectConfig =
        serde_json::from_str(r#"{"fields": {"event_time": "ts", "value": "label"}, "ahead_max_s": 31536000}"#)
            .expect("a valid config");
    let config = Arc::new(config);
    let mut streams = 0;
    for case in cases {
        let source = SourceId { topic: "t".into(), partition: 0 };
        let mut collector = Collector::new(source.clone(), vec![source], Arc::clone(&config));
        let file = fs::File::open(case.join("events.jsonl.gz")).expect("a case has events");
        let (mut offset, mut counted, mut labelled) = (0, 0, 0);
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line.expect("text");
            collector.record(RecordAt { role: Role::Predictions, offset, value: Some(line.as_bytes()) }, |_| None);
            offset += 1;
            if offset % 1000 == 0 {
                let flush = collector.flush(false, false);
                assert!(flush.dead_letters.is_empty(), "{}: {:?}", case.display(), flush.dead_letters);
                counted += flush.panes.iter().map(|p| p.counts.predictions).sum::<u64>();
                labelled += flush.panes.iter().map(|p| p.counts.labels.total()).sum::<u64>();
            }
        }
        let flush = collector.flush(true, true);
        assert!(flush.dead_letters.is_empty(), "{}: {:?}", case.display(), flush.dead_letters);
        counted += flush.panes.iter().map(|p| p.counts.predictions).sum::<u64>();
        labelled += flush.panes.iter().map(|p| p.counts.labels.total()).sum::<u64>();
        let counters = flush.counters;
        assert_eq!(counted + counters.late + counters.duplicates, counters.predictions, "{}", case.display());
        assert_eq!(counters.predictions + counters.labels, u64::try_from(offset).expect("positive"));
        assert_eq!((counters.late, counters.duplicates), (0, 0), "{}", case.display());
        assert_eq!(labelled + counters.labels_unmatched + counters.labels_duplicate, counters.labels);
        assert_eq!(counters.labels_duplicate, 0, "{}", case.display());
        streams += 1;
    }
    assert!(streams > 0, "the folder is there but empty");
}
