//! A reference made ready for judging.

use jiff::tz::TimeZone;
use wire::Timestamp;

use super::stream::{Rule, SpreadWindows};
use crate::config::civil_ms;
use crate::family::plan;
use crate::reference::Reference;
use crate::reference::baseline::Baseline;

/// Shared by all versions that are judged against it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) reference: Reference,
    pub(super) rules: Vec<Rule>,
    pub(super) zone: TimeZone,
}

impl Loaded {
    /// A stream that the reference does not know expects nothing, and stays without evidence.
    pub(super) fn new(reference: Reference) -> Self {
        let zone = crate::config::zone(&reference.timezone).unwrap_or(TimeZone::UTC);
        let spread = SpreadWindows::of(&reference);
        let rules = plan(&reference.profile)
            .into_iter()
            .map(|plan| {
                let known = reference.streams.iter().find(|s| s.family == plan.family && s.name == plan.name);
                let test = |i: usize| known.and_then(|s| s.tests.get(i)).map_or_else(nothing, Baseline::new);
                let baselines = (0..plan.tests.len()).map(test).collect();
                let growing = known.is_some_and(|known| known.growing);
                Rule::new(plan, baselines, SpreadWindows { growing, ..spread })
            })
            .collect();
        Self { reference, rules, zone }
    }

    /// What the clock and the calendar of its zone show.
    pub(super) fn civil_ms(&self, at: Timestamp) -> i64 {
        civil_ms(&self.zone, at)
    }
}

fn nothing() -> Baseline {
    Baseline::new(&crate::reference::TestReference {
        k: 0,
        tolerated: 0,
        n: 0,
        d: 1.0,
        tail: 1.0,
        d_hour: 1.0,
        spread: vec![],
        hours: None,
        week: None,
    })
}
