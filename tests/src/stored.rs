//! What lies in the topics, read through the log's own seam once everything has ended.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use detect::record::PanesRecord;
use fleet::{Fleet, FleetConfig};
use runtime::log::{EmbeddedConfig, EmbeddedLog, Isolation, Log, NewRecord, Offset, TopicPartition};
use serde::de::DeserializeOwned;
use wire::Timestamp;
use wire::context::{ContextRecord, Feedback};
use wire::topic::Topics;

use crate::wait;

/// One committed record.
#[derive(Clone, Debug)]
pub struct Stored {
    pub topic: String,
    pub partition: u32,
    pub offset: Offset,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Every topic of an installation but telemetry.
#[must_use]
pub fn own_topics(namespace: &str) -> Vec<String> {
    let t = Topics::of(namespace);
    vec![
        t.context,
        t.panes,
        t.history,
        t.incidents,
        t.open,
        t.responses,
        t.commands,
        t.control,
        t.outbox,
        t.audit,
        t.deadletters,
        t.state_collect,
        t.state_judge,
        t.state_escalate,
    ]
}

/// The embedded log of a process that has ended.
///
/// # Panics
/// When it cannot be opened in time: a killed process may take a moment to let go of it.
#[must_use]
pub fn embedded(path: &Path) -> EmbeddedLog {
    wait::until("the embedded log can be opened", || EmbeddedLog::open(EmbeddedConfig::file(path)).ok())
}

/// All records of a topic that are committed now, by partition. None when there is no such topic.
///
/// # Panics
/// When the log cannot be read.
#[must_use]
pub fn all<L: Log>(log: &L, topic: &str) -> Vec<Stored> {
    let partitions = log.partitions(topic).expect("the log answers").unwrap_or(0);
    let mut found = Vec::new();
    for partition in 0..partitions {
        let at = TopicPartition::new(topic, partition);
        let mut take = |record: runtime::log::Record<'_>| {
            found.push(Stored {
                topic: topic.to_owned(),
                partition,
                offset: record.offset,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_vec()))
                    .collect(),
            });
            ControlFlow::Continue(())
        };
        log.read(&at, 0, None, Isolation::Committed, &mut take).expect("a partition can be read");
    }
    found
}

/// The values of a topic of JSON.
///
/// # Panics
/// When one is not what it must be.
#[must_use]
pub fn json<T: DeserializeOwned, L: Log>(log: &L, topic: &str) -> Vec<T> {
    let values = all(log, topic).into_iter().filter_map(|r| r.value.map(|v| (r.offset, v)));
    values
        .map(|(at, v)| serde_json::from_slice(&v).unwrap_or_else(|e| panic!("{topic} at {at}: {e}")))
        .collect()
}

/// What the collectors counted, as it lies in the panes topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub predictions: u64,
    /// Predictions whose id was seen before, or whose pane had closed: counted, and nothing else.
    pub duplicates: u64,
    pub late: u64,
    /// Labels that met their prediction, that did not, and that came again.
    pub labels: u64,
    pub unmatched: u64,
    pub label_duplicates: u64,
}

impl Counted {
    /// Records of telemetry that are in a pane.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.predictions + self.duplicates + self.late + self.labels + self.unmatched + self.label_duplicates
    }
}

/// Sums the panes of whole versions in the panes topic.
///
/// # Panics
/// When a record cannot be read.
#[must_use]
pub fn counted<L: Log>(log: &L, namespace: &str) -> Counted {
    let mut sum = Counted::default();
    for record in all(log, &Topics::of(namespace).panes) {
        let value = record.value.expect("the panes topic has no tombstones");
        let PanesRecord::Partial(pane) = PanesRecord::decode(&value).expect("written by this version") else {
            continue;
        };
        if pane.key.segment.is_some() {
            continue;
        }
        let c = &pane.counts;
        sum.predictions += c.predictions;
        sum.duplicates += c.quality.duplicates;
        sum.late += c.quality.late;
        sum.labels += c.labels.total();
        sum.unmatched += c.labels.unmatched;
        sum.label_duplicates += c.labels.duplicates;
    }
    sum
}

/// Telemetry that was acknowledged is there, once, and what of it was read is counted, once: nearly all.
///
/// # Panics
/// When it is not so, or the log cannot be read.
pub fn assert_counted_once<L: Log>(log: &L, namespace: &str, acknowledged: u64) {
    let topic = Topics::of(namespace).telemetry;
    let telemetry = all(log, &topic);
    assert_eq!(telemetry.len() as u64, acknowledged, "what was acknowledged is there, once");
    let group = format!("tocsin-{namespace}-collect-{topic}");
    let read = telemetry.iter().filter(|record| {
        let at = [TopicPartition::new(topic.as_str(), record.partition)];
        log.committed(&group, &at).expect("it answers")[0].is_some_and(|next| record.offset < next)
    });
    let read = read.count();
    assert_eq!(counted(log, namespace).records(), read as u64, "what was read is counted, once");
    assert!(read * 10 > telemetry.len() * 9, "{read} of {} were read", telemetry.len());
}

/// Pinned references that have entered the judge's log.
///
/// # Panics
/// When a record cannot be read.
#[must_use]
pub fn references<L: Log>(log: &L, namespace: &str) -> usize {
    let values = all(log, &Topics::of(namespace).panes).into_iter().filter_map(|r| r.value);
    let records = values.map(|v| PanesRecord::decode(&v).expect("written by this version"));
    records.filter(|r| matches!(r, PanesRecord::Reference(_))).count()
}

/// What of people's words on incidents has entered the judge's log.
///
/// # Panics
/// When a record cannot be read.
#[must_use]
pub fn feedback<L: Log>(log: &L, namespace: &str) -> Vec<Feedback> {
    let values = all(log, &Topics::of(namespace).panes).into_iter().filter_map(|r| r.value);
    let records = values.map(|v| PanesRecord::decode(&v).expect("written by this version"));
    let feedback = |r| {
        let PanesRecord::Context(ContextRecord::Feedback(feedback)) = r else { return None };
        Some(feedback)
    };
    records.filter_map(feedback).collect()
}

/// Writes the telemetry that arrives within a span of a simulated fleet's time into a topic; returns how many records.
///
/// # Panics
/// When the log does not take it.
pub fn lay_ready<L: Log>(log: &L, topic: &str, config: &FleetConfig, span: Range<Timestamp>) -> usize {
    let mut fleet = Fleet::new(config);
    let topic: std::sync::Arc<str> = topic.into();
    let mut batch = Vec::new();
    loop {
        let record = fleet.advance();
        if record.arrival >= span.end {
            break;
        }
        if record.arrival < span.start {
            continue;
        }
        batch.push(NewRecord::new(std::sync::Arc::clone(&topic), record.json).key(record.key));
    }
    for part in batch.chunks(5_000) {
        log.append(part).expect("the log takes telemetry");
    }
    batch.len()
}
