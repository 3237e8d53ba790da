//! What is judged: families of streams, their tests, and how a pane answers each test with "k of n".
//!
//! The plan of a model version is a function of its profile, so that a reference, the judge's state and a pane agree
//! on the order of the tests.

mod accuracy;
mod availability;
mod features;
mod latency;
mod quality;

use serde::{Deserialize, Serialize};
use stats::Side;
use stats::binomial::{ACCURACY_DELTAS, DRIFT_DELTAS, ERROR_DELTAS};
use wire::Family;
use wire::profile::Profile;

use crate::pane::PaneCounts;

pub use features::At;

/// One statistic of a model version: what has evidence, a verdict and a share of the budget.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamPlan {
    pub family: Family,
    /// Unique within the family: a feature's name, `requests`, `labels`, …
    pub name: String,
    pub tests: Vec<TestPlan>,
}

/// One rate within a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct TestPlan {
    pub event: Event,
    /// Tests that lend each other their spread when a reference is short: of a feature the middle and the tails
    /// apart. Negative: borrows from nobody.
    pub group: i32,
    /// Earlier tests of the stream whose records these are, all together; empty for a test of its own. The null is
    /// then the mean of theirs, weighted by the records that came: `Π(1 + mᵢc) ≤ (1 + m̄c)ⁿ`, so an e-value stays one.
    pub pool: Vec<usize>,
    /// Its part of the stream's grants, compared with the other tests'. 0: it only says what a pool expects.
    pub share: f64,
}

impl TestPlan {
    fn new(event: Event, group: i32) -> Self {
        Self { event, group, pool: vec![], share: 1.0 }
    }
}

/// What is counted: k records of n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Took longer than this latency edge.
    Slow(usize),
    Failed(Failure),
    Faulty(At, Fault),
    Record(RecordFault),
    Value(At, Place),
    Label(LabelMiss),
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Any,
    Error,
    Timeout,
    Rejected,
}

/// What a record lacks of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Null,
    Missing,
    Invalid,
}

/// What is wrong with a whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// A feature that is an array or object, or one too many.
    Unsupported,
    Duplicate,
    UnknownVersion,
}

/// Where a value falls, by index into the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Numeric, below this edge.
    Below(usize),
    Bin(usize),
    Atom(usize),
    Known(usize),
    /// A category that was rare in the reference.
    Rare,
    /// A category that was not in the reference.
    New,
}

/// How a label disagrees, in a stratum of delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelMiss {
    /// It differs from the prediction: of one delay and band of the score.
    Wrong {
        delay: usize,
        band: usize,
    },
    /// |error| above this edge.
    Off {
        delay: usize,
        edge: usize,
    },
    /// The same over all bands of a delay, all delays of a band, or all: expected is what the strata's own references
    /// expect of the labels that came.
    WrongInDelay {
        delay: usize,
    },
    WrongInBand {
        band: usize,
    },
    /// The same over all delays, whatever the score.
    WrongInDelays,
    WrongInAll,
    OffInAll {
        edge: usize,
    },
}

/// How a pane answers a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Records of the event.
    pub k: u64,
    /// Records that would be of the event were they as much worse as is tolerated: the null is learned from
    /// these. Differs from `k` for latency alone.
    pub tolerated: u64,
    /// Records that could have been.
    pub n: u64,
}

impl Count {
    pub(crate) fn new(k: u64, n: u64) -> Self {
        Self { k: k.min(n), tolerated: k.min(n), n }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.k = self.k.saturating_add(other.k);
        self.tolerated = self.tolerated.saturating_add(other.tolerated);
        self.n = self.n.saturating_add(other.n);
    }
}

/// What a pane must be told to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Counting<'a> {
    pub profile: &'a Profile,
    /// `JudgeSettings::latency_slack`.
    pub latency_slack: f64,
}

/// The streams of a model version, in the order in which they are judged and kept.
///
/// Bound: 7 families, two streams a feature; some 25 tests a feature.
#[must_use]
pub fn plan(profile: &Profile) -> Vec<StreamPlan> {
    let mut streams = vec![latency::plan(profile), availability::plan()];
    streams.extend(quality::plan(profile));
    streams.extend(features::plan(profile));
    streams.push(accuracy::plan(profile));
    streams.retain(|stream| !stream.tests.is_empty());
    streams
}

/// How a pane answers a test. `None` where it cannot: it was folded under another profile and kept no trace of it.
#[must_use]
pub fn count(event: Event, with: Counting<'_>, counts: &PaneCounts, folded: bool) -> Option<Count> {
    match event {
        Event::Slow(edge) => latency::count(edge, with, counts, folded),
        Event::Failed(failure) => Some(availability::count(failure, counts)),
        Event::Faulty(at, fault) => quality::count_feature(fault, at, with, counts, folded),
        Event::Record(fault) => Some(quality::count_record(fault, counts)),
        Event::Value(at, place) if folded => features::count(place, at, counts),
        Event::Label(miss) if folded => accuracy::count(miss, with.profile, counts),
        Event::Value(..) | Event::Label(_) => None,
    }
}

impl StreamPlan {
    /// Directions in which its tests look.
    #[must_use]
    pub fn sides(&self) -> &'static [Side] {
        sides(self.family)
    }

    /// Steps of the log odds on which it bets.
    #[must_use]
    pub fn bets(&self) -> &'static [f64] {
        bets(self.family)
    }
}

/// Directions in which a family looks: only inputs and predictions may move either way to be a change.
#[must_use]
pub fn sides(family: Family) -> &'static [Side] {
    match family {
        Family::Drift | Family::Prediction | Family::Traffic => &[Side::Up, Side::Down],
        Family::Latency
        | Family::Availability
        | Family::DataQuality
        | Family::Accuracy
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => &[Side::Up],
    }
}

/// Steps of the log odds on which a family bets.
#[must_use]
pub fn bets(family: Family) -> &'static [f64] {
    match family {
        Family::Availability | Family::DataQuality => &ERROR_DELTAS,
        Family::Accuracy => &ACCURACY_DELTAS,
        Family::Latency
        | Family::Drift
        | Family::Prediction
        | Family::Traffic
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => &DRIFT_DELTAS,
    }
}

/// Families whose evidence is counted by windows of many ages rather than by the recursion: their level moves with the
/// day, and each window has its own past.
#[must_use]
pub fn by_age(family: Family) -> bool {
    matches!(family, Family::Latency)
}

/// Families whose days differ more than those of a reference may show: their spread goes on being learned, and the tail of their
/// evidence is read from the reference.
#[must_use]
pub fn learns_spread(family: Family) -> bool {
    matches!(family, Family::Drift | Family::Prediction | Family::Accuracy)
}

/// Families that gather more before they are judged: what they find can wait a minute.
#[must_use]
pub fn is_slow(family: Family) -> bool {
    matches!(family, Family::Drift | Family::Prediction | Family::DataQuality | Family::Accuracy)
}
