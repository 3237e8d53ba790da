//! What a collector has flushed, as records of its transaction.

use detect::collect::Flush;
use detect::pane::Pane;
use detect::progress::{Progress, SourceId};
use detect::record::PanesRecord;
use wire::parts::WHOLE_BYTES_MAX;

use crate::log::NewRecord;
use crate::metrics::DEAD_LETTERS;
use crate::settings::{Settings, json_record};
use crate::state::Parts;

pub(super) fn state_prefix(source: &SourceId) -> Vec<u8> {
    format!("{source}\0").into_bytes()
}

pub(super) fn records_of(
    settings: &Settings,
    source: &SourceId,
    (state_at, state): (u32, &mut Parts),
    flush: Flush,
    records: &mut Vec<NewRecord>,
) {
    let topics = &settings.topics;
    for pane in flush.panes {
        let partition = wire::partition::of_model(&pane.key.model, settings.judge_partitions);
        let key = format!("{}/{}", pane.key.model, pane.key.version);
        let record =
            |value| NewRecord::new(topics.panes.as_str(), value).key(key.as_str()).partition(partition);
        records.extend(pane_values(source, pane).into_iter().map(record));
    }
    // Behind the panes: whoever has read this progress has read what it is the progress of.
    push_progress(settings, flush.progress, records);
    if let Some(first) = flush.dead_letters.first() {
        // One line a commit at most: where to look, never what was in it.
        tracing::warn!(
            topic = %first.topic,
            partition = first.partition,
            offset = first.offset,
            reason = first.reason.name(),
            detail = %first.detail,
            others = flush.dead_letters.len() - 1,
            "records that cannot be read went to the dead letters"
        );
    }
    for dead in &flush.dead_letters {
        metrics::counter!(DEAD_LETTERS, "reason" => dead.reason.name()).increment(1);
        let key = format!("{}/{}/{}", dead.topic, dead.partition, dead.offset);
        records.push(json_record(
            &topics.deadletters,
            0,
            &key,
            "tocsin.deadletter",
            &settings.namespace,
            dead,
        ));
    }
    for (key, value) in flush.state {
        let key = [state_prefix(source), key].concat();
        state.put((&topics.state_collect, state_at), key, value, records);
    }
}

/// A partial pane in records. One beyond what a judge puts together keeps the half of its features that have the smallest
/// names, counted with those beyond `features_max`.
fn pane_values(source: &SourceId, pane: Pane) -> Vec<Vec<u8>> {
    let mut record = PanesRecord::Partial(pane);
    loop {
        let values = record.in_records(&source.to_string());
        if values.iter().map(Vec::len).sum::<usize>() <= WHOLE_BYTES_MAX {
            return values;
        }
        let PanesRecord::Partial(pane) = &mut record else { return values };
        if !pane.counts.halve_features() {
            return values;
        }
        let (model, features) = (&pane.key.model, pane.counts.features.len());
        tracing::error!(%source, model, features, "a pane is too large: features beyond these are not told apart");
    }
}

/// To every panes partition: each judge must know how far all sources are.
fn push_progress(settings: &Settings, progress: Progress, records: &mut Vec<NewRecord>) {
    let key = progress.source.to_string();
    let value = PanesRecord::Progress(progress).encode();
    for partition in 0..settings.judge_partitions {
        let record = NewRecord::new(settings.topics.panes.as_str(), value.clone());
        records.push(record.key(key.as_str()).partition(partition));
    }
}
