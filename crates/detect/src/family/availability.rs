//! Availability: the shares of requests that fail, all together and by how.

use wire::Family;

use super::{Count, Event, Failure, StreamPlan, TestPlan};
use crate::pane::PaneCounts;

pub(super) fn plan() -> StreamPlan {
    let failures = [Failure::Any, Failure::Error, Failure::Timeout, Failure::Rejected];
    let tests = failures.map(|failure| TestPlan::new(Event::Failed(failure), 0)).to_vec();
    StreamPlan { family: Family::Availability, name: "requests".into(), tests }
}

pub(super) fn count(failure: Failure, counts: &PaneCounts) -> Count {
    let [_, error, timeout, rejected] = counts.status;
    let k = match failure {
        Failure::Any => error.saturating_add(timeout).saturating_add(rejected),
        Failure::Error => error,
        Failure::Timeout => timeout,
        Failure::Rejected => rejected,
    };
    Count::new(k, counts.predictions)
}
