//! What a collector has flushed, as records of its transaction.

use detect::collect::Flush;
use detect::pane::Pane;
use detect::progress::{Progress, SourceId};
use detect::record::PanesRecord;
use wire::parts::WHOLE_BYTES_MAX;

use crate::log::NewRecord;
use crate::metrics::{DEAD_LETTERS, PANES_TOO_LARGE};
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
        records.extend(pane_values(source, pane, WHOLE_BYTES_MAX).into_iter().map(record));
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

/// What can become of a pane that is too large.
const OUTCOMES: [&str; 2] = ["halved", "lost"];

/// Counters begin at zero, or the first of them would go unseen.
pub(super) fn tell_nothing_yet() {
    OUTCOMES
        .into_iter()
        .for_each(|outcome| metrics::counter!(PANES_TOO_LARGE, "outcome" => outcome).increment(0));
}

/// A partial pane in records. One beyond `most` bytes, which no judge puts together, keeps the half of its features that
/// have the smallest names, counted with those beyond `features_max`; under a profile it goes out as it is, to be counted
/// as misshapen by the judge.
fn pane_values(source: &SourceId, pane: Pane, most: usize) -> Vec<Vec<u8>> {
    let mut record = PanesRecord::Partial(pane);
    loop {
        let values = record.in_records(&source.to_string());
        let bytes: usize = values.iter().map(Vec::len).sum();
        let PanesRecord::Partial(pane) = &mut record else { return values };
        if bytes <= most {
            return values;
        }
        let halved = pane.counts.halve_features();
        let (model, features) = (&pane.key.model, pane.counts.features.len());
        let outcome = if halved {
            tracing::error!(%source, model, features, "a pane is too large: features beyond these are not told apart");
            "halved"
        } else {
            tracing::error!(%source, model, features, bytes, "a pane is too large and is lost: lower features_max");
            "lost"
        };
        metrics::counter!(PANES_TOO_LARGE, "outcome" => outcome).increment(1);
        if !halved {
            return values;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use detect::collect::{Collector, RecordAt, Role};
    use detect::pane::PaneCounts;
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    /// Counts panes that were too large, by outcome.
    #[derive(Default)]
    struct TooLarge([Arc<AtomicU64>; 2]);

    impl TooLarge {
        fn counts(&self) -> [u64; 2] {
            [0, 1].map(|i: usize| self.0[i].load(Ordering::Relaxed))
        }
    }

    impl Recorder for TooLarge {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            assert_eq!(key.name(), PANES_TOO_LARGE);
            let label = key.labels().next().expect("it has one");
            let place = OUTCOMES.iter().position(|outcome| *outcome == label.value()).expect("one of them");
            Counter::from_arc(Arc::clone(&self.0[place]))
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    fn source() -> SourceId {
        SourceId { topic: "t".into(), partition: 0 }
    }

    /// A pane of eight features that no profile describes.
    fn raw() -> Pane {
        let mut collector = Collector::new(source(), vec![source()], Arc::default());
        let record = br#"{"prediction_id":"1","event_time":1780000000000,"model":"m","version":"v","features":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}}"#;
        let at = RecordAt { role: Role::Predictions, offset: 0, value: Some(record) };
        collector.record(at, |_| None);
        collector.flush(true, false).panes.remove(0)
    }

    #[test]
    fn a_pane_that_is_too_large_is_halved_until_it_fits_and_that_is_counted() {
        let counted = TooLarge::default();
        metrics::with_local_recorder(&counted, || {
            let values = pane_values(&source(), raw(), WHOLE_BYTES_MAX);
            let whole = values.concat().len();
            assert_eq!((values.len(), counted.counts()), (1, [0, 0]));
            let fits = pane_values(&source(), raw(), whole / 2).concat();
            assert!(fits.len() <= whole / 2, "{} of {whole} bytes", fits.len());
            let PanesRecord::Partial(pane) = PanesRecord::decode(&fits).expect("its own bytes") else {
                panic!("a pane stays one");
            };
            let (left, over) = (pane.counts.features.len(), pane.counts.quality.features_over);
            assert!([1, 2].contains(&left) && over == 8 - left as u64, "{left} left, {over} over");
            assert_eq!(counted.counts(), [if left == 2 { 2 } else { 3 }, 0]);
        });
    }

    #[test]
    fn a_pane_that_nothing_makes_smaller_is_counted_as_lost() {
        let counted = TooLarge::default();
        let sample = include_str!("../../../../schemas/samples/profile.json");
        let profile: wire::profile::Profile = serde_json::from_str(sample).expect("of this version");
        let pane = Pane { counts: PaneCounts::empty(Some(&profile), 8), ..raw() };
        metrics::with_local_recorder(&counted, || {
            tell_nothing_yet();
            let as_it_is = pane_values(&source(), pane.clone(), WHOLE_BYTES_MAX);
            assert_eq!(counted.counts(), [0, 0]);
            assert_eq!(pane_values(&source(), pane, 10), as_it_is);
            assert_eq!(counted.counts(), [0, 1]);
        });
    }
}
