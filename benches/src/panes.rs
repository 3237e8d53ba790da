//! Telemetry as a judge gets it.

use std::sync::Arc;

use detect::collect::{CollectConfig, Collector, Flush, RecordAt, Role};
use detect::config::JudgeConfig;
use detect::progress::SourceId;
use detect::record::PanesRecord;
use detect::reference::{Reference, ReferenceBuilder};

fn source() -> SourceId {
    SourceId { topic: "bench".into(), partition: 0 }
}

/// What `records` look like, a reference a version.
#[must_use]
pub fn references(
    collect: &Arc<CollectConfig>,
    config: &Arc<JudgeConfig>,
    records: &[Vec<u8>],
) -> Vec<Reference> {
    let mut builder = ReferenceBuilder::new(Arc::clone(collect), Arc::clone(config));
    records.iter().for_each(|r| builder.record(Role::Predictions, r));
    builder.next_pass();
    records.iter().for_each(|r| builder.record(Role::Predictions, r));
    builder.finish().references
}

/// What a collector would write of the records: panes of ten seconds and progress.
#[must_use]
pub fn panes(
    collect: &Arc<CollectConfig>,
    references: &[Reference],
    records: &[Vec<u8>],
) -> Vec<PanesRecord> {
    let flushed = flushes(collect, references, records).into_iter().flat_map(|flush| {
        let panes = flush.panes.into_iter().map(PanesRecord::Partial);
        panes.chain([PanesRecord::Progress(flush.progress)])
    });
    flushed.collect()
}

/// The same, flush by flush: one for each pane that was begun.
#[must_use]
pub fn flushes(collect: &Arc<CollectConfig>, references: &[Reference], records: &[Vec<u8>]) -> Vec<Flush> {
    let mut collector = Collector::new(source(), vec![source()], Arc::clone(collect));
    for reference in references {
        collector.profile(Arc::new(reference.profile.clone()));
    }
    let (mut out, mut reached) = (vec![], None);
    for (offset, r) in (0..).zip(records) {
        collector.record(RecordAt { role: Role::Predictions, offset, value: Some(r) }, |_| None);
        let pane = collector.watermark().map(|at| at.floor_to(10_000));
        if pane != reached {
            reached = pane;
            out.push(collector.flush(false, false));
        }
    }
    out
}
