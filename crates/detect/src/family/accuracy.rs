//! Accuracy: each labelled prediction once, in the pane in which its label arrived, by how long the label took and how
//! sure the prediction was.
//!
//! Early labels are a biased sample, and unsure predictions are often wrong anyway, so each stratum of delay and score
//! has its own reference, and what is tested together is compared with what the references of its strata expect of just
//! the labels that came.

use wire::Family;
use wire::profile::{Profile, Task};

use super::{Count, Event, LabelMiss, StreamPlan, TestPlan};
use crate::pane::{PaneCounts, bands};

pub(super) fn plan(profile: &Profile) -> StreamPlan {
    let delays = profile.delay_edges_ms.len() + 1;
    let tests = match profile.task {
        Task::Unknown => vec![],
        Task::Classification => wrong(delays, bands(profile)),
        Task::Regression => off(delays, profile.error_edges.len()),
    };
    StreamPlan { family: Family::Accuracy, name: "labels".into(), tests }
}

fn test(miss: LabelMiss, pool: Vec<usize>, share: f64) -> TestPlan {
    TestPlan { pool, share, ..TestPlan::new(Event::Label(miss), 0) }
}

/// What sees every label has most of the grants: against the delays' rates, which notices whatever makes predictions
/// worse, and against those of delay and score, which notices that sure predictions are wrong.
fn wrong(delays: usize, bands: usize) -> Vec<TestPlan> {
    if bands == 1 {
        let strata = (0..delays).map(|delay| LabelMiss::Wrong { delay, band: 0 });
        let mut tests: Vec<_> = strata.map(|miss| test(miss, vec![], 1.0)).collect();
        tests.push(test(LabelMiss::WrongInAll, (0..delays).collect(), float(delays)));
        return tests;
    }
    let strata = (0..delays).flat_map(|delay| (0..bands).map(move |band| LabelMiss::Wrong { delay, band }));
    let mut tests: Vec<_> = strata.map(|miss| test(miss, vec![], 0.0)).collect();
    let first = tests.len();
    let share = |part: f64, count: usize| part / float(count);
    tests
        .extend((0..delays).map(|delay| test(LabelMiss::WrongInDelay { delay }, vec![], share(0.2, delays))));
    tests.extend((0..bands).map(|band| {
        let pool = (0..delays).map(|delay| delay * bands + band).collect();
        test(LabelMiss::WrongInBand { band }, pool, share(0.3, bands))
    }));
    tests.push(test(LabelMiss::WrongInDelays, (first..first + delays).collect(), 0.3));
    tests.push(test(LabelMiss::WrongInAll, (0..delays * bands).collect(), 0.2));
    tests
}

#[expect(clippy::cast_precision_loss, reason = "a few tests")]
fn float(count: usize) -> f64 {
    count as f64
}

fn off(delays: usize, edges: usize) -> Vec<TestPlan> {
    let each = |delay| (0..edges).map(move |edge| LabelMiss::Off { delay, edge });
    let mut tests: Vec<_> = (0..delays).flat_map(each).map(|miss| test(miss, vec![], 1.0)).collect();
    tests.extend((0..edges).map(|edge| {
        let pool = (0..delays).map(|delay| delay * edges + edge).collect();
        test(LabelMiss::OffInAll { edge }, pool, float(delays))
    }));
    tests
}

pub(super) fn count(miss: LabelMiss, profile: &Profile, counts: &PaneCounts) -> Option<Count> {
    let strata = &counts.labels.strata;
    let bands = bands(profile);
    let delays = strata.len() / bands;
    let sum = |misses: &mut dyn Iterator<Item = LabelMiss>| {
        let mut all = Count::default();
        for miss in misses {
            all.add(count(miss, profile, counts)?);
        }
        Some(all)
    };
    match miss {
        LabelMiss::Wrong { delay, band } => {
            strata.get(delay * bands + band).map(|s| Count::new(s.wrong, s.n))
        }
        LabelMiss::WrongInDelay { delay } => {
            sum(&mut (0..bands).map(|band| LabelMiss::Wrong { delay, band }))
        }
        LabelMiss::WrongInBand { band } => {
            sum(&mut (0..delays).map(|delay| LabelMiss::Wrong { delay, band }))
        }
        LabelMiss::WrongInAll | LabelMiss::WrongInDelays => {
            sum(&mut (0..delays).map(|delay| LabelMiss::WrongInDelay { delay }))
        }
        LabelMiss::Off { delay, edge } => {
            let mut all = Count::default();
            for s in strata.get(delay * bands..(delay + 1) * bands)? {
                all.add(Count::new(*s.over_error.get(edge)?, s.errors.total()));
            }
            Some(all)
        }
        LabelMiss::OffInAll { edge } => sum(&mut (0..delays).map(|delay| LabelMiss::Off { delay, edge })),
    }
}
