//! Incidents as a consumer sees them, and what must hold of any run of them.

use std::collections::{BTreeMap, BTreeSet};

use fleet::Seen;
use runtime::log::Log;
use wire::history::History;
use wire::incident::Change;
use wire::topic::Topics;
use wire::{Incident, IncidentId};

use crate::stored;

/// That nothing is lost and nothing doubled: (incident, sequence) comes once, sequences have no gap, and the changes
/// tell a story: opened, then updates, then cleared, then perhaps the next generation.
///
/// # Panics
/// When it does not hold.
pub fn assert_whole(incidents: &[Incident]) {
    let mut last: BTreeMap<&IncidentId, &Incident> = BTreeMap::new();
    for next in incidents {
        let id = &next.incident_id;
        let before = last.insert(id, next);
        let (sequence, generation) = before.map_or((0, 0), |b| (b.sequence, b.generation));
        assert_eq!(next.sequence, sequence + 1, "{id} lost or doubled a record: {next:#?}");
        let closed = before.is_none_or(|b| b.change == Change::Cleared);
        match next.change {
            Change::Opened => {
                assert!(closed && next.generation == generation + 1, "{id} opened twice: {next:#?}")
            }
            Change::Updated | Change::Cleared => {
                assert!(
                    !closed && next.generation == generation,
                    "{id} changed while it was not open: {next:#?}"
                );
            }
        }
    }
    for (id, incident) in &last {
        for (other_id, other) in &last {
            let same = incident.subject == other.subject && incident.family == other.family;
            let open = |i: &Incident| i.change != Change::Cleared;
            let both =
                id != other_id && same && incident.source == other.source && open(incident) && open(other);
            assert!(!both, "{id} and {other_id} are the same incident, open twice");
        }
    }
}

/// Openings, and rises from a ticket to a page, as the truth of a simulated fleet is scored against.
#[must_use]
pub fn seen(incidents: &[Incident]) -> Vec<Seen> {
    let mut worst = BTreeMap::new();
    let mut out = Vec::new();
    for i in incidents.iter().filter(|i| i.change != Change::Cleared) {
        let key = (&i.incident_id, i.generation);
        let before = worst.get(&key).copied();
        if before.is_none_or(|b: wire::Severity| i.severity.pages() && !b.pages()) {
            out.push(Seen {
                model: i.subject.name.clone(),
                version: i.subject.version.clone(),
                family: i.family,
                severity: i.severity.into(),
                opened: i.changed_at,
            });
        }
        worst.insert(key, before.map_or(i.severity, |b| b.min(i.severity)));
    }
    out
}

/// What an incident record says, without what differs between two installations: to compare runs over the same
/// telemetry.
#[must_use]
pub fn essence(incidents: &[Incident]) -> Vec<String> {
    let mut all: Vec<String> = incidents
        .iter()
        .map(|i| {
            let evidence = serde_json::to_string(&i.evidence).expect("plain data");
            format!(
                "{} {} generation {} sequence {} {} {} at {} since {}: {} {evidence}",
                i.subject,
                i.family,
                i.generation,
                i.sequence,
                i.change,
                i.severity,
                i.changed_at,
                i.opened_at,
                i.title
            )
        })
        .collect();
    all.sort();
    all
}

/// What was judged of these versions, pane by pane, without what differs between two installations: the config.
///
/// A version without a pinned reference is left out by the caller: when a profile that is made on the way comes into
/// force depends on how far the collectors are.
///
/// # Panics
/// When the log cannot be read.
#[must_use]
pub fn history<L: Log>(log: &L, namespace: &str, of: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut records: Vec<History> = stored::json(log, &Topics::of(namespace).history);
    records.retain(|record| of.contains(&(record.model.clone(), record.version.clone())));
    let without = records.into_iter().map(|record| History { config: None, ..record });
    let mut all: Vec<String> =
        without.map(|record| serde_json::to_string(&record).expect("plain data")).collect();
    all.sort();
    all
}

/// That two runs told the same, each the same number of times.
///
/// # Panics
/// When they did not; shows some of what differs.
pub fn assert_same(what: &str, one: &[String], other: &[String]) {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    one.iter().for_each(|text| *counts.entry(text).or_default() += 1);
    other.iter().for_each(|text| *counts.entry(text).or_default() -= 1);
    counts.retain(|_, count| *count != 0);
    let shown: Vec<_> = counts.iter().take(6).collect();
    assert!(
        counts.is_empty(),
        "{what}: {} differ, of {} and {}: {shown:#?}",
        counts.len(),
        one.len(),
        other.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::incident;

    fn record(generation: u32, sequence: u32, change: Change) -> Incident {
        Incident { generation, sequence, change, ..incident() }
    }

    fn whole(records: &[(u32, u32, Change)]) -> bool {
        let list: Vec<_> = records.iter().map(|&(g, s, c)| record(g, s, c)).collect();
        std::panic::catch_unwind(|| assert_whole(&list)).is_ok()
    }

    #[test]
    fn knows_lost_and_doubled_records() {
        use Change::{Cleared, Opened, Updated};
        for (records, want) in [
            (&[][..], true),
            (&[(1, 1, Opened), (1, 2, Updated), (1, 3, Cleared), (2, 4, Opened)], true),
            (&[(1, 1, Opened), (1, 1, Opened)], false),
            (&[(1, 1, Opened), (1, 3, Updated)], false),
            (&[(1, 2, Updated)], false),
            (&[(1, 1, Opened), (2, 2, Opened)], false),
            (&[(1, 1, Opened), (1, 2, Cleared), (1, 3, Updated)], false),
        ] {
            assert_eq!(whole(records), want, "{records:?}");
        }
    }

    #[test]
    fn knows_an_incident_that_is_open_twice() {
        let twin = Incident { incident_id: IncidentId::new("twin"), ..incident() };
        assert!(std::panic::catch_unwind(|| assert_whole(&[incident(), twin])).is_err());
    }
}
