//! Panes into incidents: the fold of one panes partition.
//!
//! Whatever it acts on is a record of that partition, so incidents are a function of the log: the same records give the
//! same bytes, wherever it is stopped and started again in between.

mod anew;
mod budget;
mod closing;
mod crowded;
mod doubts;
mod history;
mod incident;
mod kept;
mod learn;
mod loaded;
mod model;
mod open;
pub mod plan;
mod reload;
mod response;
mod sources;
mod state;
mod stream;
mod surroundings;
mod telemetry;
mod traffic;
mod version;
mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::context::ContextRecord;
use wire::history::{History, StreamHistory};
use wire::parts::Joiner;
use wire::{Incident, Timestamp};

use crate::config::JudgeConfig;
use crate::mutant::{self, Mutant};
use crate::pane::Pane;
use crate::record::PanesRecord;
use crate::reference::cells::Cell;
use crowded::Crowded;
use model::{Model, ModelClosing, Name};
use open::OpenPanes;
use reload::Next;
use sources::Sources;
use telemetry::{ConfigFiles, Telemetry};

pub use state::RestoreError;
pub use version::Trial;

/// After so much event time without a single record, panes are passed over until the next one that has some.
const SILENT_MAX_MS: i64 = 2 * 86_400_000;

/// Judges one panes partition.
#[derive(Debug)]
pub struct Judge {
    partition: u32,
    /// The config in force.
    config: Arc<JudgeConfig>,
    next: Option<Next>,
    /// The state says which config is in force.
    config_is_kept: bool,
    sources: Sources,
    /// Start of the first base pane that is not closed. What comes for an earlier one is late.
    next_pane: Option<Timestamp>,
    /// End of the last base pane that had records.
    last_record: Timestamp,
    open: OpenPanes,
    /// Records of which not all parts have come.
    parts: Joiner,
    models: BTreeMap<String, Model>,
    /// What `keys_len` last was; `None` since models or versions came or went.
    keys: Option<usize>,
    telemetry: Telemetry,
    config_files: ConfigFiles,
    crowded: Crowded,
    /// Offset after the last record that was taken in.
    next_offset: i64,
    /// Offset after the last record that was handed in since it was restored: below `next_offset` while what was open is
    /// read again.
    read_to: Option<i64>,
    counters: Counters,
    dirty: Dirty,
    out: Effects,
    restored: bool,
    /// Slices of learning versions that wait for their version to be restored.
    restored_cells: Vec<(String, String, i64, Cell)>,
}

/// What must be written in the transaction that commits [`Judge::resume_offset`].
#[derive(Clone, Debug, Default)]
pub struct Effects {
    pub incidents: Vec<Incident>,
    pub history: Vec<History>,
    /// Profiles that collectors are to fold by.
    pub context: Vec<ContextRecord>,
    /// State by key; `None` removes it. The last word on a key is the one that counts.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// (model, version) of references that were learned.
    learned: Vec<(String, String)>,
    granted: [f64; 2],
}

impl Effects {
    /// Nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.history.is_empty()
            && self.context.is_empty()
            && self.state.is_empty()
    }
}

/// Totals since the state began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Base panes closed with records in them, one for each model version and segment.
    pub panes: u64,
    /// Partial panes that came after their pane had closed; they are nowhere else.
    pub late: u64,
    /// Partial panes that could not be merged (of another shape than their digest says), and parts of records that
    /// could not be put together.
    pub misshapen: u64,
    /// Base panes closed before their time because too many were open.
    pub forced: u64,
    /// Base panes closed without all of their data.
    pub incomplete: u64,
    /// Partial panes of model versions beyond `keys_max`.
    pub over: u64,
    /// Incidents opened.
    pub opened: u64,
    /// Granted from the budgets so far: page, ticket. What may be false is at most this, on average.
    pub granted: [f64; 2],
}

/// Keys whose state has changed since it was last written.
#[derive(Debug, Default)]
struct Dirty {
    meta: bool,
    config: bool,
    config_files: bool,
    crowded: bool,
    models: BTreeSet<String>,
    versions: BTreeSet<(String, Name)>,
    references: BTreeSet<(String, String)>,
    /// Slices of learning versions that are forgotten.
    cells: BTreeSet<(String, String, i64)>,
}

/// One stream as it stands, for views and metrics.
#[derive(Clone, Copy, Debug)]
pub struct StreamView<'a> {
    pub model: &'a str,
    /// `None` for the model's traffic.
    pub version: Option<&'a str>,
    pub stream: &'a StreamHistory,
}

impl Judge {
    /// A judge that knows nothing yet. Restore its state, then hand it records from the committed offset on. `config` is in
    /// force until a record says otherwise, unless the state does.
    #[must_use]
    pub fn new(partition: u32, config: Arc<JudgeConfig>) -> Self {
        Self {
            partition,
            config,
            next: None,
            config_is_kept: false,
            sources: Sources::default(),
            next_pane: None,
            last_record: Timestamp::EPOCH,
            open: OpenPanes::default(),
            parts: Joiner::default(),
            models: BTreeMap::new(),
            keys: None,
            telemetry: Telemetry::default(),
            config_files: ConfigFiles::default(),
            crowded: Crowded::default(),
            next_offset: 0,
            read_to: None,
            counters: Counters::default(),
            dirty: Dirty::default(),
            out: Effects::default(),
            restored: false,
            restored_cells: vec![],
        }
    }

    /// Takes in the record at `offset`. Records that were taken in before a restart are read again from
    /// [`Judge::resume_offset`] on; only what is still open is counted again.
    pub fn handle(&mut self, offset: i64, record: PanesRecord) {
        self.rejoin();
        let again = offset < self.next_offset;
        self.read_to = Some(offset.saturating_add(1));
        self.next_offset = self.next_offset.max(offset.saturating_add(1));
        self.dirty.meta = true;
        self.dirty.config |= !std::mem::replace(&mut self.config_is_kept, true);
        match record {
            PanesRecord::Part(part) => match part.join(offset, &mut self.parts) {
                None => (),
                Some(Ok((first, whole))) => self.apply(first, whole, again),
                // Read again from within a whole that was taken in, its first parts are not there, nor missed.
                Some(Err(_)) => self.counters.misshapen += u64::from(!again),
            },
            PanesRecord::Partial(_)
            | PanesRecord::Progress(_)
            | PanesRecord::GaveUp { .. }
            | PanesRecord::Context(_)
            | PanesRecord::Reference(_)
            | PanesRecord::Config(_)
            | PanesRecord::ConfigFile(_)
            | PanesRecord::Mark { .. } => self.apply(offset, record, again),
        }
    }

    /// Acts on a record that begins at `offset`.
    fn apply(&mut self, offset: i64, record: PanesRecord, again: bool) {
        match record {
            PanesRecord::Partial(pane) => self.partial(offset, pane, again),
            _ if again => (),
            PanesRecord::Progress(progress) => {
                if self.sources.progress(&progress) {
                    let at = progress.watermark.or(self.sources.reached()).unwrap_or_default();
                    self.telemetry.spoke(&self.config, &progress.source, at, &mut self.out);
                }
                self.close_reached();
            }
            PanesRecord::GaveUp { source, pane } => {
                if self.sources.give_up(&source) {
                    let mine = wire::partition::of_model(&source.to_string(), self.config.partitions);
                    if mine == self.partition {
                        self.telemetry.silent(&self.config, &source, pane, &mut self.out);
                    }
                }
                self.close_reached();
            }
            PanesRecord::Context(record) => self.context(record),
            PanesRecord::Reference(reference) => {
                let (model, version) = (reference.profile.model.clone(), reference.profile.version.clone());
                let at = self.next_pane.unwrap_or(Timestamp::EPOCH);
                let known = self.models.entry(model.clone()).or_insert_with(|| Model::new(at));
                known.pin(&self.config, *reference, at, &mut self.out);
                self.keys = None;
                self.dirty.models.insert(model.clone());
                self.dirty.versions.insert((model.clone(), (version.clone(), None)));
                self.dirty.references.insert((model, version));
            }
            PanesRecord::Config(rules) => self.reload(*rules),
            PanesRecord::ConfigFile(file) => {
                self.dirty.config_files = true;
                self.config_files.found(&self.config, file, &mut self.out);
            }
            PanesRecord::Mark { digest: _ } => (),
            // Parts are of records, not of parts.
            PanesRecord::Part(_) => self.counters.misshapen += 1,
        }
    }

    /// What has come of the records since the last call, and the state to go with it. Call it once a commit: the
    /// state is as large as what has changed, whatever it is asked.
    #[must_use]
    pub fn take_effects(&mut self) -> Effects {
        self.write_state();
        let mut effects = std::mem::take(&mut self.out);
        effects.incidents = effects.incidents.into_iter().map(response::fit).collect();
        effects
    }

    /// Whether an incident waits in [`Judge::take_effects`]: a reason to commit now.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !self.out.incidents.is_empty()
    }

    /// Whether anything waits in [`Judge::take_effects`] but state, which alone is no reason to commit.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether a profile waits in [`Judge::take_effects`]: collectors should have it soon.
    #[must_use]
    pub fn has_context(&self) -> bool {
        !self.out.context.is_empty()
    }

    /// The offset to commit: that of the oldest partial pane still open, else the next one. `None` before any record,
    /// after a restart too: what was open is not known again before it is read again.
    #[must_use]
    pub fn resume_offset(&self) -> Option<i64> {
        [self.open.first_offset(), self.parts.first(), self.read_to].into_iter().flatten().min()
    }

    /// Start of the oldest base pane that is not closed and holds records.
    #[must_use]
    pub fn oldest_open(&self) -> Option<Timestamp> {
        self.open.oldest()
    }

    /// Event time before which every pane is closed or closing.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        self.sources.reached()
    }

    /// Source partitions that are known of, heard or not, in order.
    pub fn known_sources(&self) -> impl Iterator<Item = &crate::progress::SourceId> {
        self.sources.known()
    }

    /// Totals since the state began.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Model versions and segments with state, against `keys_max`. Cost: one look at each model.
    #[must_use]
    pub fn keys_len(&self) -> usize {
        self.models.values().map(|m| m.versions.len().max(1)).sum()
    }

    /// Base panes not yet closed, against `open_panes_max`.
    #[must_use]
    pub fn open_panes_len(&self) -> usize {
        self.open.len()
    }

    /// Every judged stream as it stands.
    pub fn streams(&self) -> impl Iterator<Item = StreamView<'_>> {
        self.models.iter().flat_map(|(model, state)| {
            let traffic = StreamView { model, version: None, stream: &state.traffic.last };
            let versions = state.versions.iter().filter(|((_, segment), _)| segment.is_none());
            std::iter::once(traffic).chain(versions.flat_map(move |((version, _), v)| {
                let version = Some(version.as_str());
                v.streams.iter().map(move |s| StreamView { model, version, stream: &s.last })
            }))
        })
    }

    fn partial(&mut self, offset: i64, mut pane: Pane, again: bool) {
        if let Some(next) = self.next_pane
            && pane.key.start < next
            && mutant::is(Mutant::LatePaneMerged)
        {
            pane.key.start = next;
        }
        if self.next_pane.is_some_and(|next| pane.key.start < next) {
            if !again {
                self.counters.late += 1;
            }
            return;
        }
        if !self.is_known(&pane) {
            if !again {
                self.counters.over += 1;
            }
            return;
        }
        if !self.open.add(offset, pane) && !again {
            self.counters.misshapen += 1;
        }
        while self.open.len() > self.config.judge.open_panes_max {
            let Some(oldest) = self.open.oldest() else { break };
            self.counters.forced += 1;
            self.close_through(oldest.plus_ms(self.config.pane_ms), true);
        }
    }

    /// A version that has state, or for which there is room.
    fn is_known(&mut self, pane: &Pane) -> bool {
        let name = (pane.key.version.clone(), pane.key.segment.clone());
        // A model counts before it has a version: its first one takes that place.
        let has_place = |m: &Model| m.versions.contains_key(&name) || m.versions.is_empty();
        if self.models.get(&pane.key.model).is_some_and(has_place) {
            return true;
        }
        // Counted once between two closes: a fleet that is new comes with ten thousand of them.
        let keys = self.keys.unwrap_or_else(|| self.keys_len());
        self.keys = Some(keys);
        keys < self.config.judge.keys_max
    }

    fn context(&mut self, record: ContextRecord) {
        let Some(model) = record.model().map(str::to_owned) else { return };
        if !self.models.contains_key(&model) && self.models.len() >= self.config.judge.keys_max {
            return;
        }
        let at = self.next_pane.unwrap_or(Timestamp::EPOCH);
        self.models.entry(model.clone()).or_insert_with(|| Model::new(at)).add_context(record);
        self.keys = None;
        self.dirty.models.insert(model);
    }

    /// Closes what the watermark has passed, in order of time, then of model.
    fn close_reached(&mut self) {
        if let Some(reached) = self.sources.reached() {
            self.close_through(reached.floor_to(self.config.pane_ms), false);
        }
    }

    fn close_through(&mut self, end: Timestamp, forced: bool) {
        let pane_ms = self.config.pane_ms;
        let Some(mut start) = self.next_pane.or_else(|| self.open.oldest()) else {
            return;
        };
        while start < end {
            let gap = self.open.oldest().map_or(end, |oldest| oldest.min(end));
            if gap > start && start.since_ms(self.last_record) >= SILENT_MAX_MS {
                start = gap;
                continue;
            }
            self.close_pane(start, forced);
            start = start.plus_ms(pane_ms);
        }
        self.next_pane = Some(start);
    }

    fn close_pane(&mut self, start: Timestamp, forced: bool) {
        self.come_into_force(start);
        self.keys = None;
        let end = start.plus_ms(self.config.pane_ms);
        let incomplete = forced || self.sources.lacks(end);
        let mut panes = self.open.close(start);
        if !panes.is_empty() {
            self.last_record = end;
            self.counters.panes += panes.values().map(|p| p.len() as u64).sum::<u64>();
        }
        self.counters.incomplete += u64::from(incomplete);
        for model in panes.keys() {
            self.models.entry(model.clone()).or_insert_with(|| Model::new(start));
        }
        let config = Arc::clone(&self.config);
        let weight = |name: &str| config.model(name).weight;
        let total: f64 =
            self.models.iter().filter(|(_, m)| m.is_live(start)).map(|(name, _)| weight(name)).sum();
        let highest = self.sources.highest().unwrap_or(end).max(end);
        let last_of_config = self.is_last_of_config(end);
        for (name, model) in &mut self.models {
            let closing = ModelClosing {
                config: &config,
                name,
                start,
                end,
                highest,
                incomplete,
                last_of_config,
                part: weight(name) / total.max(weight(name)),
            };
            let closed = panes.remove(name).unwrap_or_default();
            self.dirty.crowded |= self.crowded.pane(&config, name, &closed, end, &mut self.out);
            for version in model.close(closing, closed, &mut self.out) {
                self.dirty.versions.insert((name.clone(), version));
            }
            for (version, cells) in model.forget(end) {
                self.dirty.cells.extend(cells.into_iter().map(|at| (name.clone(), version.0.clone(), at)));
                self.dirty.versions.insert((name.clone(), version));
            }
            self.dirty.models.insert(name.clone());
        }
        for (model, version) in std::mem::take(&mut self.out.learned) {
            self.dirty.references.insert((model, version));
        }
        let granted = std::mem::take(&mut self.out.granted);
        self.counters.granted =
            [self.counters.granted[0] + granted[0], self.counters.granted[1] + granted[1]];
    }
}
