//! What an installation on Kafka has told: incidents as its consumers see them, pages as their receiver does.

use std::collections::{BTreeMap, BTreeSet};

use runtime::log::{KafkaConfig, KafkaLog};
use serde_json::Value;
use wire::outbox::{OutboxRecord, OutboxState};
use wire::topic::Topics;
use wire::{Incident, NotificationId};

use crate::documented::Schemas;
use crate::pager::Pager;
use crate::{foreign, stored};

/// Incidents as a foreign client reads them now.
///
/// # Panics
/// When one is not what its schema and its headers promise.
#[must_use]
pub fn incidents(brokers: &str, namespace: &str) -> Vec<Incident> {
    let (topic, schemas) = (Topics::of(namespace).incidents, Schemas::read());
    let read = foreign::consume(brokers, &topic).into_iter().map(|c| {
        schemas.check("incident", &c.value);
        let incident: Incident = serde_json::from_value(c.value).expect("an incident");
        assert_event(&incident, &c.headers);
        assert_eq!(c.key, incident.incident_id.as_str(), "the key is the incident");
        incident
    });
    read.collect()
}

/// The headers of an incident are a CloudEvent in binary mode.
fn assert_event(incident: &Incident, headers: &Value) {
    // kcat writes them as a list of names and values in turn.
    let list: Vec<&str> = headers.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let all: BTreeMap<&str, &str> = list.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let id = format!("{}.{}.{}", incident.incident_id, incident.generation, incident.sequence);
    for (name, want) in [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_type", &format!("tocsin.incident.{}", incident.change)),
        ("ce_subject", &incident.subject.to_string()),
        ("content-type", "application/json"),
    ] {
        assert_eq!(all.get(name), Some(&want), "{name}: {all:?}");
    }
    assert!(all.contains_key("ce_source") && all.contains_key("ce_time"), "{all:?}");
}

/// Every page that left was delivered or called off, and the receivers show what was delivered.
///
/// # Panics
/// When one was lost, or came from nowhere.
pub fn assert_no_page_lost(brokers: &str, namespace: &str, pagers: &[&Pager]) {
    let log = KafkaLog::connect(KafkaConfig::new(brokers)).expect("it is there");
    let records: Vec<OutboxRecord> = stored::json(&log, &Topics::of(namespace).outbox);
    let last = last(&records);
    let shown = pagers.iter().flat_map(|pager| pager.shown());
    let shown: BTreeSet<_> = shown.map(|shown| shown.page.notification_id).collect();
    for (id, r) in &last {
        assert!(r.state.is_final(), "{id} is still {:?}", r.state);
        assert!(!matches!(r.state, OutboxState::Failed { .. }), "{id}: {:?}", r.state);
        let delivered = matches!(r.state, OutboxState::Delivered { .. });
        assert!(!delivered || shown.contains(id), "{id} was lost: {:#?}", r.page);
    }
    for id in &shown {
        assert!(last.contains_key(id), "{id} was never decided");
    }
}

fn last(records: &[OutboxRecord]) -> BTreeMap<&NotificationId, &OutboxRecord> {
    records.iter().map(|r| (&r.page.notification_id, r)).collect()
}

/// Whether every page that is in the outbox has come to its end.
///
/// # Panics
/// When the outbox cannot be read.
#[must_use]
pub fn none_under_way(log: &KafkaLog, namespace: &str) -> bool {
    let records: Vec<OutboxRecord> = stored::json(log, &Topics::of(namespace).outbox);
    last(&records).values().all(|record| record.state.is_final())
}
