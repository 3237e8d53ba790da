//! Reading the audit chain back.

use std::ops::ControlFlow;
use std::sync::Arc;

use http_api::{AuditHead, AuditPage, AuditQuery, AuditReport, BackendError};
use runtime::log::{Isolation, Log, TopicPartition};
use runtime::settings::Settings;
use wire::audit::AuditRecord;

use super::unavailable;

/// One page of the chain, partition by partition, oldest first. The cursor is `partition/offset`.
pub(super) fn page<L: Log>(
    log: &L,
    settings: &Settings,
    query: &AuditQuery,
) -> Result<AuditPage, BackendError> {
    let (mut partition, mut from) = match &query.cursor {
        None => (0, None),
        Some(cursor) => {
            parse(cursor).ok_or_else(|| BackendError::Invalid(format!("no cursor of ours: {cursor:?}")))?
        }
    };
    let mut page = AuditPage::default();
    while partition < settings.escalate_partitions {
        let at = TopicPartition::new(settings.topics.audit.as_str(), partition);
        let ends = log.ends(&at).map_err(unavailable)?;
        let start = from.take().unwrap_or(ends.start);
        let mut full = false;
        let next = log
            .read(&at, start, Some(ends.stable), Isolation::Committed, &mut |record| {
                if let Some(Ok(found)) = record.value.map(serde_json::from_slice::<AuditRecord>) {
                    let wanted = query.incident.as_deref().is_none_or(|id| {
                        found.incident_id.as_ref().is_some_and(|i| i.as_str().starts_with(id))
                    });
                    if wanted {
                        page.records.push(found);
                    }
                }
                full = page.records.len() >= query.limit;
                if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(unavailable)?;
        if full {
            page.next = Some(format!("{partition}/{next}"));
            return Ok(page);
        }
        partition += 1;
    }
    Ok(page)
}

fn parse(cursor: &str) -> Option<(u32, Option<i64>)> {
    let (partition, offset) = cursor.split_once('/')?;
    Some((partition.parse().ok()?, Some(offset.parse().ok()?)))
}

/// Every record of every partition's chain against the one before it.
///
/// The head that the escalation worker keeps in its state is an anchor: a chain cut short of it is found out.
pub(super) fn verify<L: Log>(
    log: &L,
    settings: &Settings,
    policy: &Arc<escalate::Policy>,
) -> Result<AuditReport, BackendError> {
    let mut report = AuditReport { ok: true, ..AuditReport::default() };
    for partition in 0..settings.escalate_partitions {
        let mut machine = escalate::Machine::new(partition, Arc::clone(policy));
        let mut unreadable = None;
        runtime::restore(log, &settings.topics.state_escalate, partition, |key, value| {
            if let Err(e) = machine.restore(key, value) {
                unreadable.get_or_insert(e);
            }
        })
        .map_err(unavailable)?;
        if let Some(e) = unreadable {
            report.faults.push(format!("partition {partition}: its state cannot be read: {e}"));
        }
        let at = TopicPartition::new(settings.topics.audit.as_str(), partition);
        let ends = log.ends(&at).map_err(unavailable)?;
        let (mut records, mut undecodable) = (Vec::new(), 0u64);
        log.read(&at, ends.start, Some(ends.stable), Isolation::Committed, &mut |record| {
            match record.value.map(serde_json::from_slice::<AuditRecord>) {
                Some(Ok(found)) => records.push(found),
                _ => undecodable += 1,
            }
            ControlFlow::Continue(())
        })
        .map_err(unavailable)?;
        report.records += records.len() as u64;
        if undecodable > 0 {
            report.faults.push(format!("partition {partition}: {undecodable} records are not audit records"));
        }
        let last = records.last().map(|r| (r.sequence, r.hash.clone()));
        if let Err(broken) = escalate::verify(partition, records, std::slice::from_ref(machine.anchor())) {
            report.faults.push(format!("partition {partition}: {broken}"));
        }
        if let Some((sequence, hash)) = last {
            report.heads.push(AuditHead { partition, sequence, hash });
        }
    }
    report.ok = report.faults.is_empty();
    Ok(report)
}
