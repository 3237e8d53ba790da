//! What is measured from time to time rather than at each event.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::{Family, Severity};

use crate::clock::Now;
use crate::log::{Consumer, Log, Offset, TopicPartition};
use crate::metrics::{INCIDENTS_OPEN, LAG, NOT_JUDGED};
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

/// Records between where the consumer stands and the end, by partition. A log that does not answer leaves the last
/// figure standing.
pub(crate) fn lag<L: Log>(log: &L, consumer: &L::Consumer, look: &Look, role: &'static str) {
    for at in consumer.assignment() {
        let Some(position) = consumer.position(&at) else { continue };
        let Ok(ends) = log.ends(&at) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        let behind = if look.is_at_end(&at, position) { 0.0 } else { (ends.stable - position).max(0) as f64 };
        let (topic, partition) = (at.topic.to_string(), at.partition.to_string());
        metrics::gauge!(LAG, "role" => role, "topic" => topic, "partition" => partition).set(behind);
    }
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

/// Incidents whose signal is open, by severity and family; those at zero too, so that they fall.
pub(crate) fn incidents_open(views: &Views) {
    let mut open: BTreeMap<(String, String), u32> = BTreeMap::new();
    for view in &views.incidents {
        if view["signal"] == "open" {
            let text = |key: &str| view["incident"][key].as_str().unwrap_or_default().to_owned();
            *open.entry((text("severity"), text("family"))).or_default() += 1;
        }
    }
    for severity in Severity::ALL {
        for family in Family::ALL {
            let (severity, family) = (severity.name(), family.name());
            let n = open.get(&(severity.to_owned(), family.to_owned())).copied().unwrap_or(0);
            metrics::gauge!(INCIDENTS_OPEN, "severity" => severity, "family" => family).set(f64::from(n));
        }
    }
}
