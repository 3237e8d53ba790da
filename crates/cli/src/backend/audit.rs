//! Reading the audit chain back.

use std::ops::ControlFlow;

use escalate::Anchor;
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

/// Every record of every partition's chain against the one before it, one record at a time in memory.
///
/// The head that the escalation worker keeps in its state is an anchor: a chain cut short of it is found out.
pub(super) fn verify<L: Log>(log: &L, settings: &Settings) -> Result<AuditReport, BackendError> {
    let mut report = AuditReport { ok: true, ..AuditReport::default() };
    for partition in 0..settings.escalate_partitions {
        // Read before the chain: what is written meanwhile can only make the chain longer than the anchor says.
        let anchor = anchor(log, settings, partition, &mut report)?;
        verify_one(log, settings, partition, anchor.as_slice(), &mut report)?;
    }
    report.ok = report.faults.is_empty();
    Ok(report)
}

/// The last head in the state. The rest of the state is passed over, not kept.
fn anchor<L: Log>(
    log: &L,
    settings: &Settings,
    partition: u32,
    report: &mut AuditReport,
) -> Result<Option<Anchor>, BackendError> {
    let at = TopicPartition::new(settings.topics.state_escalate.as_str(), partition);
    let ends = log.ends(&at).map_err(unavailable)?;
    let mut found = Ok(None);
    log.read(&at, ends.start, Some(ends.high), Isolation::Committed, &mut |record| {
        match escalate::anchor(record.key.unwrap_or_default(), record.value.unwrap_or_default()) {
            Ok(None) => (),
            Ok(Some(anchor)) => found = Ok(Some(anchor)),
            Err(e) => found = Err(e),
        }
        ControlFlow::Continue(())
    })
    .map_err(unavailable)?;
    Ok(found.unwrap_or_else(|e| {
        report.faults.push(format!("partition {partition}: its state cannot be read: {e}"));
        None
    }))
}

fn verify_one<L: Log>(
    log: &L,
    settings: &Settings,
    partition: u32,
    anchors: &[Anchor],
    report: &mut AuditReport,
) -> Result<(), BackendError> {
    let at = TopicPartition::new(settings.topics.audit.as_str(), partition);
    let ends = log.ends(&at).map_err(unavailable)?;
    let mut checker = escalate::Checker::new(partition, anchors);
    let (mut last, mut records, mut undecodable) = (None, 0u64, 0u64);
    log.read(&at, ends.start, Some(ends.stable), Isolation::Committed, &mut |record| {
        let Some(Ok(found)) = record.value.map(serde_json::from_slice::<AuditRecord>) else {
            undecodable += 1;
            return ControlFlow::Continue(());
        };
        records += 1;
        // The first fault is the one to tell: nothing is known of what comes after it.
        if let Ok(whole) = &mut checker
            && let Err(broken) = whole.record(&found)
        {
            checker = Err(broken);
        }
        last = Some((found.sequence, found.hash));
        ControlFlow::Continue(())
    })
    .map_err(unavailable)?;
    report.records += records;
    if undecodable > 0 {
        report.faults.push(format!("partition {partition}: {undecodable} records are not audit records"));
    }
    if let Err(broken) = checker.and_then(escalate::Checker::end) {
        report.faults.push(format!("partition {partition}: {broken}"));
    }
    if let Some((sequence, hash)) = last {
        report.heads.push(AuditHead { partition, sequence, hash });
    }
    Ok(())
}
