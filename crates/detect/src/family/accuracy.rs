//! Accuracy: each labelled prediction once, in the pane in which its label arrived, by how long the label took.
//!
//! Early labels are a biased sample, so each stratum of delay has its own reference.

use wire::Family;
use wire::profile::{Profile, Task};

use super::{Count, Event, LabelMiss, StreamPlan, TestPlan};
use crate::pane::PaneCounts;

pub(super) fn plan(profile: &Profile) -> StreamPlan {
    let strata = 0..=profile.delay_edges_ms.len();
    let misses: Vec<LabelMiss> = match profile.task {
        Task::Unknown => vec![],
        Task::Classification => strata.map(|stratum| LabelMiss::Wrong { stratum }).collect(),
        Task::Regression => strata
            .flat_map(|stratum| {
                (0..profile.error_edges.len()).map(move |edge| LabelMiss::Off { stratum, edge })
            })
            .collect(),
    };
    let tests = misses.into_iter().map(|miss| TestPlan { event: Event::Label(miss), group: 0 }).collect();
    StreamPlan { family: Family::Accuracy, name: "labels".into(), tests }
}

pub(super) fn count(miss: LabelMiss, counts: &PaneCounts) -> Option<Count> {
    match miss {
        LabelMiss::Wrong { stratum } => counts.labels.strata.get(stratum).map(|s| Count::new(s.wrong, s.n)),
        LabelMiss::Off { stratum, edge } => {
            let s = counts.labels.strata.get(stratum)?;
            Some(Count::new(*s.over_error.get(edge)?, s.errors.total()))
        }
    }
}
