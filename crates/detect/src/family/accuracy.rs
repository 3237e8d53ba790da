//! Accuracy: each labelled prediction once, in the pane in which its label arrived, by how long the label took.
//!
//! Early labels are a biased sample, so each stratum of delay has its own reference. Beside each stratum all of them are
//! tested together, against what their references expect of just the labels that came.

use wire::Family;
use wire::profile::{Profile, Task};

use super::{Count, Event, LabelMiss, StreamPlan, TestPlan};
use crate::pane::PaneCounts;

pub(super) fn plan(profile: &Profile) -> StreamPlan {
    let strata = profile.delay_edges_ms.len() + 1;
    let edges = profile.error_edges.len();
    let own = |miss| TestPlan::new(Event::Label(miss), 0);
    let tests = match profile.task {
        Task::Unknown => vec![],
        Task::Classification => {
            let mut tests: Vec<_> = (0..strata).map(|stratum| own(LabelMiss::Wrong { stratum })).collect();
            tests.push(TestPlan { pool: (0..strata).collect(), ..own(LabelMiss::WrongInAll) });
            tests
        }
        Task::Regression => {
            let each = |stratum| (0..edges).map(move |edge| LabelMiss::Off { stratum, edge });
            let mut tests: Vec<_> = (0..strata).flat_map(each).map(own).collect();
            tests.extend((0..edges).map(|edge| {
                let pool = (0..strata).map(|stratum| stratum * edges + edge).collect();
                TestPlan { pool, ..own(LabelMiss::OffInAll { edge }) }
            }));
            tests
        }
    };
    StreamPlan { family: Family::Accuracy, name: "labels".into(), tests }
}

pub(super) fn count(miss: LabelMiss, counts: &PaneCounts) -> Option<Count> {
    let strata = &counts.labels.strata;
    match miss {
        LabelMiss::Wrong { stratum } => strata.get(stratum).map(|s| Count::new(s.wrong, s.n)),
        LabelMiss::Off { stratum, edge } => {
            let s = strata.get(stratum)?;
            Some(Count::new(*s.over_error.get(edge)?, s.errors.total()))
        }
        LabelMiss::WrongInAll => sum((0..strata.len()).map(|stratum| LabelMiss::Wrong { stratum }), counts),
        LabelMiss::OffInAll { edge } => {
            sum((0..strata.len()).map(|stratum| LabelMiss::Off { stratum, edge }), counts)
        }
    }
}

fn sum(misses: impl Iterator<Item = LabelMiss>, counts: &PaneCounts) -> Option<Count> {
    let mut all = Count::default();
    for miss in misses {
        all.add(count(miss, counts)?);
    }
    Some(all)
}
