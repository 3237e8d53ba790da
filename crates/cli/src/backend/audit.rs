//! Reading the audit chain back.

use std::ops::ControlFlow;

use escalate::{Anchor, Broken, Checker, PublicKeys, Verified, Voucher};
use http_api::{AuditHead, AuditPage, AuditQuery, AuditReport, AuditVoucher, AuditWitnesses, BackendError};
use runtime::log::{Isolation, Log, TopicPartition};
use runtime::settings::Settings;
use runtime::views::Views;
use wire::audit::AuditRecord;

use super::unavailable;

/// One page of the chain, partition by partition, oldest first. The cursor is `partition/offset`.
pub(super) fn page<L: Log>(
    log: &L,
    settings: &Settings,
    views: &Views,
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
                        if let Some(name) = views.name_of(found.partition, &found.actor) {
                            page.people.insert(found.actor.clone(), name);
                        }
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

/// Every record of every partition's chain against the one before it, one record at a time in memory, and against
/// signed checkpoints: those in the chain, and those that were kept elsewhere.
///
/// The head that the escalation worker keeps in its state is a witness too: a chain cut short of it is found out.
pub(super) fn verify<L: Log>(
    log: &L,
    settings: &Settings,
    known: &PublicKeys,
    witnesses: &AuditWitnesses,
) -> Result<AuditReport, BackendError> {
    let keys = match witnesses.public_keys.as_slice() {
        [] => known.clone(),
        given => PublicKeys::new(given).map_err(BackendError::Invalid)?,
    };
    if keys.is_empty() && !witnesses.anchors.is_empty() {
        let why = "no public key is known here, so no anchor can be believed: name the key that signed them";
        return Err(BackendError::Invalid(why.to_owned()));
    }
    let public_keys = keys.iter().map(str::to_owned).collect();
    let mut report = AuditReport { public_keys, ..AuditReport::default() };
    let of = settings.escalate_partitions;
    for stray in witnesses.anchors.iter().filter(|a| a.partition >= of) {
        let partition = stray.partition;
        report.faults.push(format!("an anchor is of partition {partition}, and there are {of} partitions"));
    }
    for partition in 0..of {
        // Read before the chain: what is written meanwhile can only make the chain longer than the anchor says.
        let head = anchor(log, settings, partition, &mut report)?;
        let anchors: Vec<_> =
            witnesses.anchors.iter().filter(|a| a.partition == partition).cloned().collect();
        let checker = Checker::new(partition, head.as_slice()).and_then(|checker| {
            // Without a key nobody can say whether a signature fits.
            if keys.is_empty() { Ok(checker) } else { checker.against(&keys, &settings.namespace, &anchors) }
        });
        verify_one(log, settings, (partition, !anchors.is_empty()), checker, &mut report)?;
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
    (partition, anchored): (u32, bool),
    mut checker: Result<Checker, Broken>,
    report: &mut AuditReport,
) -> Result<(), BackendError> {
    let at = TopicPartition::new(settings.topics.audit.as_str(), partition);
    let ends = log.ends(&at).map_err(unavailable)?;
    let (mut first, mut last, mut records, mut undecodable) = (0, None, 0u64, 0u64);
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
        if last.is_none() {
            first = found.sequence;
        }
        last = Some((found.sequence, found.hash));
        ControlFlow::Continue(())
    })
    .map_err(unavailable)?;
    report.records += records;
    if undecodable > 0 {
        report.faults.push(format!("partition {partition}: {undecodable} records are not audit records"));
    }
    let mut vouchers = (None, None);
    match checker.and_then(Checker::end) {
        Ok(Verified { continues: None, vouched: None, from_start: false, .. }) if anchored => {
            report.faults.push(format!(
                "partition {partition}: its records begin at {first}, after every anchor: nobody vouches for them"
            ));
        }
        Ok(verified) => vouchers = (verified.continues.map(voucher), verified.vouched.map(voucher)),
        Err(broken) => report.faults.push(format!("partition {partition}: {broken}")),
    }
    if let Some((sequence, hash)) = last {
        let (continues, vouched) = vouchers;
        report.heads.push(AuditHead { partition, sequence, hash, first, continues, vouched });
    }
    Ok(())
}

fn voucher(Voucher { sequence, by, at, key }: Voucher) -> AuditVoucher {
    AuditVoucher { sequence, by: by.name().to_owned(), at, key }
}
