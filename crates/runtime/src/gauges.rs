//! What is measured from time to time rather than at each event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::{Family, Severity};

use crate::clock::Now;
use crate::log::{Consumer, Log, Offset, TopicPartition};
use crate::metrics::{
    ESCALATION, INCIDENTS_KNOWN, INCIDENTS_MUTED, INCIDENTS_OPEN, INCIDENTS_SILENT, LAG, NOT_COUNTED,
    NOT_JUDGED, PAGES_PENDING, SILENCES, TABLE_BOUND, TABLE_SIZE,
};
use crate::views::Views;

/// How often the ends of partitions are asked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// When a loop looks next.
#[derive(Debug, Default)]
pub(crate) struct Look {
    next: Duration,
    /// Where reading stood when all had been delivered. What lies behind it are markers.
    ended: BTreeMap<TopicPartition, Offset>,
}

impl Look {
    /// True once every five seconds.
    pub(crate) fn is_due(&mut self, now: Now) -> bool {
        let due = now.mono >= self.next;
        if due {
            self.next = now.mono + LOOK_EVERY;
        }
        due
    }

    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// Whether all had been delivered when reading stood here.
    pub(crate) fn is_at_end(&self, at: &TopicPartition, position: Offset) -> bool {
        self.ended.get(at).is_some_and(|end| *end >= position)
    }

    /// What was known of these belongs to an earlier time.
    pub(crate) fn forget(&mut self, parts: &[TopicPartition]) {
        self.ended.retain(|at, _| !parts.contains(at));
    }

    /// All that was committed in a partition has been delivered.
    pub(crate) fn ended(&mut self, at: &TopicPartition, position: Offset) {
        match self.ended.get_mut(at) {
            Some(known) => *known = position,
            None => drop(self.ended.insert(at.clone(), position)),
        }
    }
}

/// Records between where the consumer stands and the end, by partition. A partition that does not answer leaves its last
/// figure standing, and is told of; returns which those are.
pub(crate) fn lag<L: Log>(
    log: &L,
    consumer: &L::Consumer,
    look: &Look,
    views: &Views,
    role: &'static str,
) -> Vec<TopicPartition> {
    let (mut mute, mut why) = (vec![], None);
    for at in consumer.assignment() {
        let Some(position) = consumer.position(&at) else { continue };
        let ends = match log.ends_soon(&at) {
            Ok(ends) => ends,
            Err(error) => {
                why.get_or_insert_with(|| error.to_string());
                mute.push(at);
                continue;
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        let behind = if look.is_at_end(&at, position) { 0.0 } else { (ends.stable - position).max(0) as f64 };
        let (topic, partition) = (at.topic.to_string(), at.partition.to_string());
        metrics::gauge!(LAG, "role" => role, "topic" => topic, "partition" => partition).set(behind);
    }
    views.set_mute(role, why);
    mute
}

/// What a judge could not judge as it should, by reason.
pub(crate) fn judge(partition: u32, counters: &detect::judge::Counters) {
    let reasons = [
        ("late", counters.late),
        ("misshapen", counters.misshapen),
        ("forced", counters.forced),
        ("incomplete", counters.incomplete),
        ("over_bound", counters.over),
    ];
    for (reason, n) in reasons {
        metrics::counter!(NOT_JUDGED, "reason" => reason, "partition" => partition.to_string()).absolute(n);
    }
}

/// Entries of a table, beside what it may have.
pub(crate) fn table(table: &'static str, size: u64, bound: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    let (size, bound) = (size as f64, bound as f64);
    metrics::gauge!(TABLE_SIZE, "table" => table).set(size);
    metrics::gauge!(TABLE_BOUND, "table" => table).set(bound);
}

/// Totals of one core as last told. They begin anew with each core, the counters of the process do not.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<&'static str, u64>);

impl Told {
    /// What each total has grown by; everything the first time, so that counters begin at zero.
    fn grown<const N: usize>(
        &mut self,
        totals: [(&'static str, u64); N],
    ) -> impl Iterator<Item = (&'static str, u64)> {
        let grown = totals.map(|(name, total)| {
            let before = self.0.insert(name, total);
            (name, total.saturating_sub(before.unwrap_or(0)), before.is_none())
        });
        grown.into_iter().filter(|(_, by, is_new)| *by > 0 || *is_new).map(|(name, by, _)| (name, by))
    }

    /// What a collector has not counted, or not as it came. Call when it has been committed.
    pub(crate) fn collector(&mut self, source: &str, c: &detect::collect::Counters) {
        let reasons = [
            ("late", c.late),
            ("duplicate", c.duplicates),
            ("unknown_version", c.unknown_version),
            ("folded", c.folded),
            ("label_late", c.labels_late),
            ("label_unmatched", c.labels_unmatched),
            ("label_duplicate", c.labels_duplicate),
            ("label_early", c.labels_early),
            ("waiting_dropped", c.waiting_dropped),
            ("profile_refused", c.profiles_refused),
        ];
        for (reason, by) in self.grown(reasons) {
            metrics::counter!(NOT_COUNTED, "source" => source.to_owned(), "reason" => reason).increment(by);
        }
    }

    /// What an escalation machine did.
    pub(crate) fn escalation(&mut self, c: &escalate::Counters) {
        let events = [
            ("incidents", c.incidents),
            ("duplicates", c.duplicates),
            ("gaps", c.gaps),
            ("incidents_refused", c.incidents_refused),
            ("commands_accepted", c.commands_accepted),
            ("commands_refused", c.commands_refused),
            ("pages_intended", c.pages_intended),
            ("pages_cancelled", c.pages_cancelled),
            ("pages_refused", c.pages_refused),
            ("pages_held", c.pages_held),
            ("pages_folded", c.pages_folded),
            ("pages_delivered", c.pages_delivered),
            ("pages_failed", c.pages_failed),
            ("pages_crossed", c.pages_crossed),
            ("fallbacks", c.fallbacks),
            ("leases_expired", c.leases_expired),
            ("outcomes_late", c.outcomes_late),
            ("catch_ups", c.catch_ups),
            ("acknowledgements_expired", c.acknowledgements_expired),
            ("unanswered", c.unanswered),
            ("resolves_repeated", c.resolves_repeated),
            ("timeline_dropped", c.timeline_dropped),
            ("texts_cut", c.texts_cut),
            ("own_incidents", c.own_incidents),
            ("muted", c.muted),
        ];
        for (event, by) in self.grown(events) {
            metrics::counter!(ESCALATION, "event" => event).increment(by);
        }
    }
}

/// How the escalation of all partitions here stands. `receivers` are those told of before, so that they fall to zero.
pub(crate) fn escalation(all: &[escalate::Counts], receivers: &mut BTreeSet<String>) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    let sum = |of: &dyn Fn(&escalate::Counts) -> u64| all.iter().map(of).sum::<u64>() as f64;
    for stage in escalate::Stage::ALL {
        let n = sum(&|c| c.stages.get(&stage).copied().unwrap_or(0));
        metrics::gauge!(INCIDENTS_KNOWN, "stage" => stage.name()).set(n);
    }
    metrics::gauge!(INCIDENTS_SILENT).set(sum(&|c| c.silent));
    metrics::gauge!(INCIDENTS_MUTED).set(sum(&|c| c.muted));
    // Each partition knows all of them.
    let silences = all.iter().map(|c| u32::try_from(c.silences).unwrap_or(u32::MAX)).max();
    metrics::gauge!(SILENCES).set(f64::from(silences.unwrap_or(0)));
    receivers.extend(all.iter().flat_map(|c| c.waiting.keys().chain(c.in_flight.keys())).cloned());
    for receiver in receivers.iter() {
        let of = |pages: &BTreeMap<String, u64>| pages.get(receiver).copied().unwrap_or(0);
        pages_pending(receiver, sum(&|c| of(&c.waiting)), sum(&|c| of(&c.in_flight)));
    }
    // The fullest: each partition has its own bound.
    let incidents = all.iter().map(|c| (c.live, c.incidents_max)).max();
    let commands = all.iter().map(|c| (c.commands, c.commands_max)).max();
    for (name, fullest) in [("incidents", incidents), ("commands", commands)] {
        let (size, bound) = fullest.unwrap_or_default();
        table(name, size, bound);
    }
}

/// Pages to a receiver that are not yet delivered.
pub(crate) fn pages_pending(receiver: &str, waiting: f64, in_flight: f64) {
    for (state, n) in [("waiting", waiting), ("in_flight", in_flight)] {
        metrics::gauge!(PAGES_PENDING, "receiver" => receiver.to_owned(), "state" => state).set(n);
    }
}

/// Incidents whose signal is open, by severity and family; those at zero too, so that they fall.
pub(crate) fn incidents_open(views: &Views) {
    let mut open: BTreeMap<(Severity, Family), u32> = BTreeMap::new();
    for shown in views.incidents.iter().filter(|shown| shown.is_open) {
        *open.entry((shown.severity, shown.family)).or_default() += 1;
    }
    for severity in Severity::ALL {
        for family in Family::ALL {
            let n = open.get(&(*severity, *family)).copied().unwrap_or(0);
            let (severity, family) = (severity.name(), family.name());
            metrics::gauge!(INCIDENTS_OPEN, "severity" => severity, "family" => family).set(f64::from(n));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_has_grown_since() {
        let mut told = Told::default();
        let mut grown = |late, folded| told.grown([("late", late), ("folded", folded)]).collect::<Vec<_>>();
        assert_eq!(grown(0, 3), [("late", 0), ("folded", 3)], "zeros once, so that the counter is there");
        assert_eq!(grown(2, 3), [("late", 2)]);
        assert!(grown(2, 3).is_empty());
    }
}
