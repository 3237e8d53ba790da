//! Topics of the embedded log: made, checked, remembered.

use std::str::FromStr;
use std::sync::PoisonError;

use super::store::{Changes, Head, StoredTopic};
use super::{Shared, State, Topic};
use crate::log::{Cleanup, LogError, TopicSpec};

/// As Kafka's `max.message.bytes`.
const RECORD_MAX: u64 = 1_048_588;
/// As Kafka's `delete.retention.ms`: one day.
const TOMBSTONE_MS: u64 = 86_400_000;

pub(super) fn ensure(shared: &Shared, specs: &[TopicSpec], create: bool) -> Result<(), LogError> {
    let _writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
    let mut changes = Changes::default();
    {
        let state = shared.state();
        let mut id = state.topics.values().map(|topic| topic.stored.id + 1).max().unwrap_or(0);
        for spec in specs {
            let wanted = stored(&state, spec, id)?;
            if wanted.record_max < spec.record_bytes {
                return Err(too_little(spec, wanted.record_max));
            }
            match state.topics.get(&spec.name) {
                Some(found) => check(spec, &found.stored, &wanted)?,
                None if create => id += 1,
                None => return Err(LogError::not_found(format_args!("topic {}", spec.name))),
            }
            changes.topics.push((spec.name.clone(), wanted));
        }
    }
    shared.store.commit(&changes)?;
    let mut state = shared.state();
    for (name, stored) in changes.topics {
        let heads = usize::try_from(stored.partitions).expect("partitions fit memory");
        let fresh = Topic { stored: stored.clone(), heads: vec![Head::default(); heads] };
        // Retention and limits follow the config; partitions and policy were checked to be the same.
        state.topics.entry(name).or_insert(fresh).stored = stored;
    }
    Ok(())
}

fn too_little(spec: &TopicSpec, found: u64) -> LogError {
    let wanted = format!("{} or more", spec.record_bytes);
    LogError::Topic {
        topic: spec.name.clone(),
        setting: "max.message.bytes",
        found: found.to_string(),
        wanted,
    }
}

fn check(spec: &TopicSpec, found: &StoredTopic, wanted: &StoredTopic) -> Result<(), LogError> {
    let differs = |setting, found: String, wanted: String| {
        Err(LogError::Topic { topic: spec.name.clone(), setting, found, wanted })
    };
    if found.partitions != wanted.partitions {
        return differs("partitions", found.partitions.to_string(), wanted.partitions.to_string());
    }
    if found.policy() != wanted.policy() {
        return differs("cleanup.policy", found.policy().into(), wanted.policy().into());
    }
    Ok(())
}

/// A spec as stored; keeps the id of a topic that exists.
fn stored(state: &State, spec: &TopicSpec, fresh: u32) -> Result<StoredTopic, LogError> {
    if spec.partitions == 0 {
        let what = format!("topic {} must have a partition", spec.name);
        return Err(LogError::Config { what, source: None });
    }
    let found = state.topics.get(&spec.name);
    Ok(StoredTopic {
        id: found.map_or(fresh, |topic| topic.stored.id),
        partitions: spec.partitions,
        deletes: !matches!(spec.cleanup, Cleanup::Compact),
        compacts: spec.cleanup.compacts(),
        retention_ms: spec.cleanup.retention_ms(),
        retention_bytes: number(spec, "retention.bytes")?,
        record_max: number(spec, "max.message.bytes")?.unwrap_or(RECORD_MAX),
        tombstone_ms: number(spec, "delete.retention.ms")?.unwrap_or(TOMBSTONE_MS),
    })
}

/// A setting that is a number; -1 is Kafka's word for none.
fn number(spec: &TopicSpec, name: &str) -> Result<Option<u64>, LogError> {
    match spec.config.iter().rev().find(|(found, _)| found == name) {
        None => Ok(None),
        Some((_, value)) if value == "-1" => Ok(None),
        Some((_, value)) => u64::from_str(value).map(Some).map_err(|_| LogError::Config {
            what: format!("topic {}: {name} = {value} is not a number of 0 or more", spec.name),
            source: None,
        }),
    }
}
