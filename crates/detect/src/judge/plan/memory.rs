//! What tables take when they are full.

use serde::Serialize;

use crate::config::JudgeSettings;

/// Bounds of the collector's tables, per source partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Prediction ids that are remembered.
    pub ids: u64,
    /// Predictions that wait for their labels.
    pub waiting: u64,
}

/// One table with a bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    pub what: &'static str,
    /// The setting that bounds it.
    pub setting: &'static str,
    pub bound: u64,
    /// Of one entry.
    pub bytes_each: u64,
    /// Of the table when it is full.
    pub bytes: u64,
}

/// Bytes of a prediction id, and of a prediction that waits, as the collector keeps them.
const ID_BYTES: u64 = 20;
const WAITING_BYTES: u64 = 32;
/// Bytes of a test and direction in the judge: null, windows, cells of both D. About: 204 of a test that looks both ways,
/// 272 of one that looks up. The windows of latency take some 1,600 a test.
const TEST_BYTES: u64 = 250;
/// Bytes of a test and direction in an open partial pane: counts, and its part of the sketches. About.
const OPEN_BYTES: u64 = 20;

/// The tables of one collector partition and of one judge, for versions with so many tests (each direction counts).
#[must_use]
pub fn tables(judge: &JudgeSettings, collect: Bounds, tests: u64) -> Vec<Table> {
    let table = |what, setting, bound: u64, bytes_each: u64| Table {
        what,
        setting,
        bound,
        bytes_each,
        bytes: bound.saturating_mul(bytes_each),
    };
    let of_keys = u64::try_from(judge.keys_max).unwrap_or(u64::MAX);
    let of_panes = u64::try_from(judge.open_panes_max).unwrap_or(u64::MAX);
    vec![
        table(
            "collect: ids of predictions, a partition",
            "telemetry.duplicates.ids_max",
            collect.ids,
            ID_BYTES,
        ),
        table(
            "collect: predictions that wait for a label, a partition",
            "telemetry.labels.waiting_max",
            collect.waiting,
            WAITING_BYTES,
        ),
        table("judge: versions and segments", "judge.keys_max", of_keys, tests.saturating_mul(TEST_BYTES)),
        table(
            "judge: open partial panes",
            "judge.open_panes_max",
            of_panes,
            tests.saturating_mul(OPEN_BYTES),
        ),
    ]
}
