//! Latency: the shares of requests that take longer than the reference's quantiles, and than the objective.
//!
//! The null is "at most 5 % slower than the reference" (`latency_slack`): a least effect in the operator's own unit,
//! which also absorbs a swing of the day. So the null's rate is counted over `edge / 1.05`.

use stats::ddsketch::boundary_at_or_below;
use wire::Family;
use wire::profile::Profile;

use super::{Count, Counting, Event, StreamPlan, TestPlan};
use crate::pane::PaneCounts;

pub(super) fn plan(profile: &Profile) -> StreamPlan {
    let tests = (0..profile.latency_edges.len()).map(|edge| TestPlan::new(Event::Slow(edge), 0)).collect();
    StreamPlan { family: Family::Latency, name: "latency".into(), tests }
}

/// Edges are bucket boundaries of the sketch (but for the objective), so a pane of another profile answers too.
pub(super) fn count(edge: usize, with: Counting<'_>, counts: &PaneCounts, folded: bool) -> Option<Count> {
    let latency = &counts.latency;
    let at = *with.profile.latency_edges.get(edge)?;
    let over = if folded { *latency.over.get(edge)? } else { latency.sketch.count_at_or_above(at) };
    let tolerated = boundary_at_or_below(at / (1.0 + with.latency_slack))
        .map_or(over, |lower| latency.sketch.count_at_or_above(lower));
    let k = over.min(latency.n);
    Some(Count { k, tolerated: tolerated.clamp(k, latency.n), n: latency.n })
}
