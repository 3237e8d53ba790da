//! Learning a reference from a version's first panes: raw counts → centre and scale → edges → rates and spread.

use serde::{Deserialize, Serialize};
use wire::Timestamp;
use wire::profile::Profile;

use crate::config::{JudgeSettings, ModelSettings};
use crate::family::{Counting, plan};
use crate::pane::PaneCounts;
use crate::reference::Reference;
use crate::reference::cells::{Cell, Cells};
use crate::reference::profile::{About, complete, provisional};

/// First width of a slice, and most slices: a day takes slices of four minutes.
const CELL_MS: i64 = 60_000;
const CELLS_MAX: usize = 512;
/// How long after the highest watermark a profile begins: collectors must have read it by then.
const AHEAD_MS: i64 = 60_000;

/// Where a version stands on its way to a reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Learning {
    step: Step,
    since: Option<Timestamp>,
    counts: Option<PaneCounts>,
    cells: Cells,
    /// JSON of the profile in force; public records are kept as they are elsewhere.
    profile: Option<Vec<u8>>,
    digest: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    Raw,
    Provisional,
    Final,
}

/// What a pane brought.
#[derive(Debug)]
pub(super) enum Learned {
    Nothing,
    /// To be folded by from its `effective_from` on.
    Profile(Box<Profile>),
    Reference(Box<Reference>),
}

/// What learning must know of the version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pupil<'a> {
    pub(super) model: &'a str,
    pub(super) version: &'a str,
    pub(super) settings: &'a ModelSettings,
    pub(super) judge: &'a JudgeSettings,
    pub(super) pane_ms: i64,
    /// Highest watermark of any source.
    pub(super) highest: Timestamp,
}

impl Learning {
    pub(super) fn new() -> Self {
        Self {
            step: Step::Raw,
            since: None,
            counts: None,
            cells: Cells::new(CELL_MS, CELLS_MAX),
            profile: None,
            digest: 0,
        }
    }

    /// Slices of time that have changed since they were last written; `None` for those that are no more.
    pub(super) fn take_changed(&mut self) -> Vec<(i64, Option<Cell>)> {
        self.cells.take_changed()
    }

    /// Puts back a slice that was written.
    pub(super) fn restore_cell(&mut self, at: i64, cell: Cell) {
        self.cells.restore(at, cell);
    }

    pub(super) fn cell_numbers(&self) -> Vec<i64> {
        self.cells.numbers()
    }

    /// Takes in one closed base pane. Panes of another profile than the one in force teach nothing.
    pub(super) fn pane(
        &mut self,
        pupil: Pupil<'_>,
        (start, end): (Timestamp, Timestamp),
        digest: u64,
        counts: &PaneCounts,
    ) -> Learned {
        if digest != self.digest {
            return Learned::Nothing;
        }
        let since = *self.since.get_or_insert(start);
        let span_ms = end.since_ms(since);
        let warmup_ms = i64::from(pupil.judge.warmup_s) * 1000;
        if self.step == Step::Final {
            let Some(profile) = self.profile() else { return Learned::Nothing };
            let with = Counting { profile: &profile, latency_slack: pupil.judge.latency_slack };
            self.cells.add(&plan(&profile), with, start, counts);
            self.cells.add_calls(start, counts.predictions);
            let enough = self.cells.records >= pupil.judge.warmup_records && span_ms >= warmup_ms * 3 / 4;
            return if enough {
                Learned::Reference(Box::new(self.cells.finish(&profile, &pupil.settings.timezone)))
            } else {
                Learned::Nothing
            };
        }
        let counts = match &mut self.counts {
            Some(sum) => {
                // Panes of one digest have one shape.
                if sum.merge(counts).is_err() {
                    return Learned::Nothing;
                }
                sum
            }
            None => self.counts.insert(counts.clone()),
        };
        let (records, span) = match self.step {
            Step::Raw => (pupil.judge.warmup_records / 8, warmup_ms / 24),
            Step::Provisional | Step::Final => (pupil.judge.warmup_records / 4, warmup_ms / 6),
        };
        if counts.predictions < records || span_ms < span {
            return Learned::Nothing;
        }
        self.next_step(pupil)
    }

    /// The next profile, from what was counted under the last.
    fn next_step(&mut self, pupil: Pupil<'_>) -> Learned {
        let Some(counts) = self.counts.take() else { return Learned::Nothing };
        let ahead =
            pupil.highest.plus_ms(AHEAD_MS + pupil.pane_ms).floor_to(pupil.pane_ms).plus_ms(pupil.pane_ms);
        let about = About {
            model: pupil.model,
            version: pupil.version,
            effective_from: ahead,
            latency_objective_ms: pupil.settings.latency_objective_ms,
        };
        let profile = match self.profile() {
            None => provisional(about, &counts),
            Some(first) => complete(about, &first, &counts),
        };
        self.step = if self.step == Step::Raw { Step::Provisional } else { Step::Final };
        self.since = None;
        self.digest = profile.short_digest();
        self.profile = Some(serde_json::to_vec(&profile).expect("a profile is plain data"));
        Learned::Profile(Box::new(profile))
    }

    fn profile(&self) -> Option<Profile> {
        self.profile.as_ref().and_then(|json| serde_json::from_slice(json).ok())
    }
}
