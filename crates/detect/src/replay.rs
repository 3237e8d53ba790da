//! Collector and judge on one thread and without a log: telemetry in, incidents and history out.
//!
//! The production cores, driven by event time alone, so the same records and config give the same bytes whenever and
//! wherever they are replayed.

mod history;

use std::sync::Arc;

use wire::Timestamp;
use wire::context::ContextRecord;
use wire::history::History;
use wire::incident::Incident;

use crate::collect::{self, CollectConfig, Collector, Flush, RecordAt, Role};
use crate::config::JudgeConfig;
use crate::judge::{self, Judge};
use crate::progress::{Progress, SourceId};
use crate::record::PanesRecord;
use crate::reference::Reference;

pub use history::{HistoryError, HistoryReplay};

/// One replay under way.
///
/// Cost: what the two cores cost; memory is bounded as theirs is. State that a restart would need is dropped.
pub struct Replay {
    collector: Collector,
    judge: Judge,
    judge_from: Option<Timestamp>,
    pane_ms: i64,
    /// Records handed to the collector, and to the judge.
    read: i64,
    handed: i64,
    /// Start of the pane in which the watermark stood at the last flush.
    flushed_to: Option<Timestamp>,
    /// End of the last pane that held anything.
    last_end: Option<Timestamp>,
    progress: Option<Progress>,
    dead_letters: u64,
}

/// What a replay tells as it goes.
#[derive(Debug, Default)]
pub struct Told {
    pub incidents: Vec<Incident>,
    pub history: Vec<History>,
}

impl Told {
    /// Nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty() && self.history.is_empty()
    }
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub collected: collect::Counters,
    pub judged: judge::Counters,
    /// Records that could not be decoded.
    pub dead_letters: u64,
    /// Event time that was reached.
    pub through: Option<Timestamp>,
}

impl Replay {
    /// A replay that has read nothing. Panes that start before `judge_from` are folded and not judged: what is itself
    /// the reference is no evidence.
    #[must_use]
    pub fn new(
        collect: Arc<CollectConfig>,
        config: Arc<JudgeConfig>,
        references: Vec<Reference>,
        judge_from: Option<Timestamp>,
    ) -> Self {
        let source = SourceId { topic: "replay".into(), partition: 0 };
        let pane_ms = config.pane_ms;
        let mut replay = Self {
            collector: Collector::new(source.clone(), vec![source], collect),
            judge: Judge::new(0, config),
            judge_from: judge_from.map(|at| at.plus_ms(pane_ms - 1).floor_to(pane_ms)),
            pane_ms,
            read: 0,
            handed: 0,
            flushed_to: None,
            last_end: None,
            progress: None,
            dead_letters: 0,
        };
        for reference in references {
            replay.hand(PanesRecord::Reference(Box::new(reference)));
        }
        drop(replay.take());
        replay
    }

    /// Takes in one record, as a producer wrote it. What cannot be read is a dead letter, and counted.
    pub fn record(&mut self, role: Role, json: &[u8]) -> Told {
        self.record_with(role, json, |_| None)
    }

    /// The same of a record that has headers, as those of CloudEvents in binary mode do.
    pub fn record_with<'r>(
        &mut self,
        role: Role,
        json: &'r [u8],
        header: impl Fn(&str) -> Option<&'r [u8]>,
    ) -> Told {
        self.collector.record(RecordAt { role, offset: self.read, value: Some(json) }, header);
        self.read += 1;
        let pane = self.collector.watermark().map(|at| at.floor_to(self.pane_ms));
        if pane == self.flushed_to && !self.collector.should_flush() {
            return Told::default();
        }
        self.flushed_to = pane;
        let flush = self.collector.flush(false, false);
        self.fold(flush);
        self.take()
    }

    /// The end of the telemetry: what is still open closes.
    #[must_use]
    pub fn finish(mut self) -> (Told, Totals) {
        let flush = self.collector.flush(true, true);
        self.fold(flush);
        if let (Some(mut progress), Some(end)) = (self.progress.take(), self.last_end) {
            progress.watermark = progress.watermark.max(Some(end));
            self.hand(PanesRecord::Progress(progress));
        }
        let told = self.take();
        (told, self.totals())
    }

    /// Counts so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            collected: self.collector.counters(),
            judged: self.judge.counters(),
            dead_letters: self.dead_letters,
            through: self.collector.watermark(),
        }
    }

    fn fold(&mut self, flush: Flush) {
        self.dead_letters += flush.dead_letters.len() as u64;
        let from = self.judge_from;
        for pane in flush.panes {
            if from.is_none_or(|from| pane.key.start >= from) {
                self.last_end = self.last_end.max(Some(pane.key.start.plus_ms(self.pane_ms)));
                self.hand(PanesRecord::Partial(pane));
            }
        }
        if flush.progress.watermark.is_some_and(|at| from.is_none_or(|from| at >= from)) {
            self.progress = Some(flush.progress.clone());
            self.hand(PanesRecord::Progress(flush.progress));
        }
    }

    fn hand(&mut self, record: PanesRecord) {
        self.judge.handle(self.handed, record);
        self.handed += 1;
    }

    /// What the judge says; profiles go back to the collector at once.
    fn take(&mut self) -> Told {
        let effects = self.judge.take_effects();
        for record in effects.context {
            if let ContextRecord::Profile(profile) = record {
                self.collector.profile(Arc::from(profile));
            }
        }
        Told { incidents: effects.incidents, history: effects.history }
    }
}
