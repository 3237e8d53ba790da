//! What every loop must know: names, partitions, times.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wire::topic::Topics;
use wire::{Timestamp, cloudevent};

use crate::log::NewRecord;

/// Shared by the loops of one process.
#[derive(Clone, Debug)]
pub struct Settings {
    pub namespace: String,
    /// Stable name of this process; part of the collectors' transactional ids.
    pub instance: String,
    pub topics: Arc<Topics>,
    /// Partitions of panes, history and state.judge.
    pub judge_partitions: u32,
    /// Partitions of incidents, open, responses, commands, outbox, audit and state.escalate.
    pub escalate_partitions: u32,
    /// Partitions of state.collect.
    pub collect_partitions: u32,
    /// Shortest time between two commits of one loop.
    pub commit_every: Duration,
    /// Longest time between two progress records of a collector.
    pub progress_every: Duration,
    /// A source partition without records for so long, and read to its end, is idle.
    pub idle: Duration,
    /// A source partition without progress for so long is given up for the pane it holds back.
    pub hold_max: Duration,
}

impl Settings {
    #[must_use]
    pub fn group(&self, role: &str) -> String {
        format!("tocsin-{}-{role}", self.namespace)
    }

    #[must_use]
    pub fn transactional_id(&self, role: &str, part: impl std::fmt::Display) -> String {
        format!("tocsin-{}-{role}-{part}", self.namespace)
    }
}

/// When a step wants to be called again, and whether it had something to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stepped {
    pub worked: bool,
    /// Time of the next timer on the monotonic clock; `None` without one. What arrives may come at any time.
    pub next: Option<Duration>,
}

/// A JSON record of ours in CloudEvents binary mode. Its id is made of its content, so that a key that comes more than
/// once names as many events, and the same record written twice is the same event.
pub(crate) fn json_record(
    topic: &str,
    partition: u32,
    key: &str,
    kind: &str,
    namespace: &str,
    value: &impl Serialize,
) -> NewRecord {
    let value = serde_json::to_vec(value).expect("records are plain data");
    let id = wire::Digest::of(&[kind.as_bytes(), key.as_bytes(), &value]).to_string();
    NewRecord {
        topic: topic.into(),
        partition: Some(partition),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value),
        headers: cloudevent::headers(&id, &format!("/tocsin/{namespace}"), kind, None),
        timestamp_ms: None,
    }
}

/// An incident record for the incidents topic, and the last word for the open topic.
pub(crate) fn incident_records(
    settings: &Settings,
    incident: &wire::Incident,
    emitted_at: Timestamp,
) -> [NewRecord; 2] {
    let partition = wire::partition::of_incident(&incident.incident_id, settings.escalate_partitions);
    let key = incident.incident_id.as_str().as_bytes().to_vec();
    let value = serde_json::to_vec(incident).expect("an incident is plain data");
    let headers = cloudevent::incident_headers(incident, emitted_at);
    let open = match incident.change {
        wire::Change::Cleared => None,
        wire::Change::Opened | wire::Change::Updated => Some(value.clone()),
    };
    let record = |topic: &str, value| NewRecord {
        topic: topic.into(),
        partition: Some(partition),
        key: Some(key.clone()),
        value,
        headers: headers.clone(),
        timestamp_ms: None,
    };
    [record(&settings.topics.incidents, Some(value)), record(&settings.topics.open, open)]
}

/// A context record for the context topic, from whoever has one to tell: a large profile is several, to be written
/// together.
#[must_use]
pub fn context_records(settings: &Settings, record: wire::context::ContextRecord) -> Vec<NewRecord> {
    let (topic, namespace) = (&settings.topics.context, &settings.namespace);
    let one =
        |r: &_| json_record(topic, 0, &wire::context::ContextRecord::key(r), "tocsin.context", namespace, r);
    record.in_records().iter().map(one).collect()
}

/// For the commands topic: one partition of the escalation is to forget a person.
#[must_use]
pub fn forget_record(settings: &Settings, forget: &wire::forget::Forget) -> NewRecord {
    let (partition, key) = (forget.partition, forget.command_id.as_str());
    json_record(&settings.topics.commands, partition, key, "tocsin.command", &settings.namespace, forget)
}

/// A record of the control topic; an empty one takes back what stood under its key.
pub(crate) fn control_record(
    settings: &Settings,
    key: &str,
    control: Option<&wire::control::Control>,
) -> NewRecord {
    let (topic, namespace) = (&settings.topics.control, &settings.namespace);
    let record = json_record(topic, 0, key, "tocsin.control", namespace, &control);
    if control.is_none() { NewRecord { value: None, ..record } } else { record }
}

/// What somebody asks of silences, for the commands topic: the first partition of the escalation makes them.
#[must_use]
pub fn silence_record(settings: &Settings, command: &wire::control::SilenceCommand) -> NewRecord {
    let key = command.silence_id.as_str();
    json_record(&settings.topics.commands, 0, key, "tocsin.command", &settings.namespace, command)
}

/// A command for the commands topic.
#[must_use]
pub fn command_record(settings: &Settings, command: &wire::command::Command) -> NewRecord {
    let partition = wire::partition::of_incident(&command.incident_id, settings.escalate_partitions);
    let key = command.incident_id.as_str();
    json_record(&settings.topics.commands, partition, key, "tocsin.command", &settings.namespace, command)
}
