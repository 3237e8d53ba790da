//! What was counted once, judged again: panes of a log instead of telemetry.

use std::sync::Arc;

use wire::Timestamp;
use wire::parts::Joiner;
use wire::profile::Profile;

use super::{Told, Totals};
use crate::config::JudgeConfig;
use crate::judge::{Judge, RestoreError};
use crate::record::PanesRecord;
use crate::reference::Reference;

/// The panes partition of an installation, judged under another config than it was.
///
/// What was fixed when the panes were counted stays as it was: their width, segments, the bounds of tables, edges of bins,
/// which records were duplicates, which label belongs to which prediction. References are those that the state holds now
/// and those given. Cost and memory: the judge's.
pub struct HistoryReplay {
    judge: Judge,
    /// Starts of panes: since, until.
    range: [Option<Timestamp>; 2],
    pane_ms: i64,
    /// Versions whose reference is given, so that one of the log does not replace it.
    pinned: Vec<(String, String)>,
    parts: Joiner,
    /// Records of which not all parts are there, or whose parts do not fit.
    broken: u64,
    records: u64,
    first: Option<Timestamp>,
}

/// Why a log of panes cannot be judged under a config.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The panes have another width.
    #[error(
        "a pane starts at {start}, which no pane of {pane_ms} ms does: the panes were counted with another `pane_s`, which cannot be changed afterwards"
    )]
    Width { start: Timestamp, pane_ms: i64 },
}

impl HistoryReplay {
    /// Of the panes that start at `range[0]` or later and before `range[1]`. `state` is what the judge of the partition has committed.
    ///
    /// # Errors
    /// When a reference in the state cannot be read.
    pub fn new(
        partition: u32,
        config: Arc<JudgeConfig>,
        references: &[Reference],
        state: &[(Vec<u8>, Vec<u8>)],
        range: [Option<Timestamp>; 2],
    ) -> Result<Self, RestoreError> {
        let pane_ms = config.pane_ms;
        let partitions = config.partitions;
        let mut judge = Judge::anew(partition, config, state)?;
        let mine = |r: &&Reference| wire::partition::of_model(&r.profile.model, partitions) == partition;
        let mut pinned = vec![];
        for reference in references.iter().filter(mine) {
            pinned.push((reference.profile.model.clone(), reference.profile.version.clone()));
            judge.handle(0, PanesRecord::Reference(Box::new(reference.clone())));
        }
        drop(judge.take_effects());
        Ok(Self {
            judge,
            range,
            pane_ms,
            pinned,
            parts: Joiner::default(),
            broken: 0,
            records: 0,
            first: None,
        })
    }

    /// Takes in the record that stood at `offset`.
    ///
    /// # Errors
    /// When its pane has another width than those of the config.
    pub fn record(&mut self, offset: i64, record: PanesRecord) -> Result<Told, HistoryError> {
        let takes = match &record {
            PanesRecord::Part(part) => {
                return match part.join(offset, &mut self.parts) {
                    None => Ok(Told::default()),
                    Some(Ok((_, whole))) => self.record(offset, whole),
                    Some(Err(_)) => {
                        self.broken += 1;
                        Ok(Told::default())
                    }
                };
            }
            PanesRecord::Partial(pane) => {
                let start = pane.key.start;
                if start.floor_to(self.pane_ms) != start {
                    return Err(HistoryError::Width { start, pane_ms: self.pane_ms });
                }
                let [since, until] = self.range;
                let takes =
                    since.is_none_or(|since| start >= since) && until.is_none_or(|until| start < until);
                if takes && self.first.is_none() {
                    self.judge.begin(start);
                    self.first = Some(start);
                }
                takes
            }
            PanesRecord::Reference(reference) => {
                let Profile { model, version, .. } = &reference.profile;
                !self.pinned.iter().any(|(m, v)| (m, v) == (model, version))
            }
            PanesRecord::Progress(_) | PanesRecord::GaveUp { .. } | PanesRecord::Context(_) => true,
            // The config is the one that is tried.
            PanesRecord::Config(_) | PanesRecord::ConfigFile(_) | PanesRecord::Mark { .. } => false,
        };
        if !takes {
            return Ok(Told::default());
        }
        self.records += 1;
        let closes = matches!(record, PanesRecord::Progress(_) | PanesRecord::GaveUp { .. });
        // The references given stand before the first record.
        self.judge.handle(offset.saturating_add(1), record);
        Ok(if closes { self.take() } else { Told::default() })
    }

    /// The end of the log. Panes that are still open are not judged: more of them may come.
    #[must_use]
    pub fn finish(mut self) -> (Told, Totals) {
        let told = self.take();
        (told, Totals { judged: self.judge.counters(), through: self.judge.watermark(), ..Totals::default() })
    }

    fn take(&mut self) -> Told {
        let effects = self.judge.take_effects();
        Told { incidents: effects.incidents, history: effects.history }
    }

    /// Event time of the first pane taken in.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.first
    }

    /// Records taken in.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Records whose parts make no whole, as at the old end of a log.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken
    }
}
