//! A pinned reference from telemetry: two passes of the very collector that will fold the live records.
//!
//! The first pass learns profiles: centre and scale from a version's first records, edges from the rest. The second
//! folds everything under them, and what it counts is the reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::Timestamp;
use wire::profile::{Profile, Stage};

use super::Reference;
use super::cells::Cells;
use super::profile::{About, complete, provisional};
use crate::collect::{CollectConfig, Collector, RecordAt, Role};
use crate::config::JudgeConfig;
use crate::family::{Counting, StreamPlan, plan};
use crate::pane::{Pane, PaneCounts};
use crate::progress::SourceId;

/// Records of a version from which its centre and scale are taken.
const RAW_RECORDS: u64 = 1000;
/// Least records of a version under a profile; with fewer there is no reference.
const LEAST_RECORDS: u64 = 500;
/// Records between two flushes of the collector: bounds the panes that are open at once.
const FLUSH_EVERY: u64 = 20_000;
/// The same while a version has no centre and scale yet: a short reference has few records to spare.
const FLUSH_RAW: u64 = 250;
/// First width of a slice. It doubles as the reference grows, by way of ten minutes for 16 to 32 days.
const CELL_MS: i64 = 18_750;
const CELLS_MAX: usize = 4608;

/// Builds references of all model versions in a stream of telemetry that is shown to it twice.
///
/// Memory: while it runs, some 30 MB for each version with ten features and four weeks.
pub struct ReferenceBuilder {
    collect: Arc<CollectConfig>,
    judge: Arc<JudgeConfig>,
    collector: Collector,
    pass: Pass,
    offset: i64,
    since_flush: u64,
    until: Option<Timestamp>,
    versions: BTreeMap<(String, String), Building>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Profiles,
    Counts,
}

/// One version under way.
struct Building {
    counts: Option<PaneCounts>,
    records: u64,
    profile: Option<Arc<Profile>>,
    plan: Vec<StreamPlan>,
    cells: Cells,
}

/// What was built, and what could not be.
#[derive(Debug, Default)]
pub struct Built {
    /// By model, then version.
    pub references: Vec<Reference>,
    /// Model, version and records of versions with too few records for a reference.
    pub refused: Vec<(String, String, u64)>,
}

impl ReferenceBuilder {
    /// A builder that has seen nothing. Both configs should be those of the run that will use the references.
    #[must_use]
    pub fn new(collect: Arc<CollectConfig>, judge: Arc<JudgeConfig>) -> Self {
        let collector = collector(&collect);
        Self {
            collect,
            judge,
            collector,
            pass: Pass::Profiles,
            offset: 0,
            since_flush: 0,
            until: None,
            versions: BTreeMap::new(),
        }
    }

    /// Counts only panes that end at or before `until`.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// Whether everything before the end has come: what follows in this pass changes nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.until.zip(self.collector.watermark()).is_some_and(|(until, at)| at >= until)
    }

    /// Takes in one record of the present pass: JSON, as a producer wrote it. What cannot be read is passed over.
    pub fn record(&mut self, role: Role, json: &[u8]) {
        self.record_with(role, json, |_| None);
    }

    /// The same of a record that has headers.
    pub fn record_with<'r>(&mut self, role: Role, json: &'r [u8], header: impl Fn(&str) -> Option<&'r [u8]>) {
        let record = RecordAt { role, offset: self.offset, value: Some(json) };
        self.offset += 1;
        self.collector.record(record, header);
        self.since_flush += 1;
        let raw = self.pass == Pass::Profiles
            && (self.versions.is_empty()
                || self.versions.values().any(|building| building.profile.is_none()));
        if self.since_flush >= if raw { FLUSH_RAW } else { FLUSH_EVERY } {
            self.flush();
        }
    }

    /// Ends the first pass. Show the same records again, then [`ReferenceBuilder::finish`].
    pub fn next_pass(&mut self) {
        self.flush();
        if self.pass == Pass::Counts {
            return;
        }
        self.pass = Pass::Counts;
        self.offset = 0;
        self.collector = collector(&self.collect);
        for ((model, version), building) in &mut self.versions {
            building.records = 0;
            let counts = building.counts.take();
            let first = building.profile.take();
            let (Some(first), Some(counts)) = (first, counts) else { continue };
            let about = about(&self.judge, model, version, Timestamp::EPOCH);
            let profile = Arc::new(complete(about, &first, &counts));
            building.plan = plan(&profile);
            building.profile = Some(Arc::clone(&profile));
            self.collector.profile(profile);
        }
    }

    /// The references, after the second pass.
    #[must_use]
    pub fn finish(mut self) -> Built {
        self.flush();
        let mut built = Built::default();
        for ((model, version), building) in self.versions {
            match building.profile {
                Some(profile) if profile.stage == Stage::Final && building.cells.records >= LEAST_RECORDS => {
                    let timezone = &self.judge.model(&model).timezone;
                    built.references.push(building.cells.finish(&profile, timezone));
                }
                Some(_) | None => built.refused.push((model, version, building.records)),
            }
        }
        built
    }

    fn flush(&mut self) {
        self.since_flush = 0;
        let flush = self.collector.flush(false, false);
        let ahead = flush.panes.iter().map(|pane| pane.key.start).max();
        let pane_ms = self.collect.pane_ms();
        let until = self.until;
        let counts = |pane: &&Pane| {
            pane.key.segment.is_none() && until.is_none_or(|until| pane.key.start.plus_ms(pane_ms) <= until)
        };
        for pane in flush.panes.iter().filter(counts) {
            match self.pass {
                Pass::Profiles => self.learn(pane),
                Pass::Counts => self.count(pane),
            }
        }
        if let (Pass::Profiles, Some(ahead)) = (self.pass, ahead) {
            self.publish(ahead.plus_ms(2 * self.collect.pane_ms()));
        }
    }

    fn learn(&mut self, pane: &Pane) {
        let building = self.building(pane);
        building.records = building.records.saturating_add(pane.counts.predictions);
        let wanted = building.profile.as_ref().map_or(0, |profile| profile.short_digest());
        if pane.profile != wanted {
            return;
        }
        match &mut building.counts {
            // Panes of one digest have one shape; should they not, the later one is left out.
            Some(sum) => drop(sum.merge(&pane.counts)),
            None => building.counts = Some(pane.counts.clone()),
        }
    }

    /// Gives those their centre and scale that have been seen enough.
    fn publish(&mut self, effective_from: Timestamp) {
        for ((model, version), building) in &mut self.versions {
            if building.profile.is_some()
                || building.counts.as_ref().is_none_or(|c| c.predictions < RAW_RECORDS)
            {
                continue;
            }
            let Some(counts) = building.counts.take() else { continue };
            let profile = Arc::new(provisional(about(&self.judge, model, version, effective_from), &counts));
            building.profile = Some(Arc::clone(&profile));
            self.collector.profile(profile);
        }
    }

    fn count(&mut self, pane: &Pane) {
        let slack = self.judge.judge.latency_slack;
        let (model, start) = (&pane.key.model, pane.key.start);
        let calls = pane.counts.predictions;
        let of_model = (model.clone(), String::new())..;
        for (_, building) in self.versions.range_mut(of_model).take_while(|((m, _), _)| m == model) {
            building.cells.add_calls(start, calls);
        }
        let building = self.building(pane);
        building.records = building.records.saturating_add(calls);
        let Some(profile) = building.profile.clone().filter(|p| p.short_digest() == pane.profile) else {
            return;
        };
        let with = Counting { profile: &profile, latency_slack: slack };
        building.cells.add(&building.plan, with, start, &pane.counts);
    }

    fn building(&mut self, pane: &Pane) -> &mut Building {
        self.versions.entry((pane.key.model.clone(), pane.key.version.clone())).or_insert_with(|| Building {
            counts: None,
            records: 0,
            profile: None,
            plan: vec![],
            cells: Cells::new(CELL_MS, CELLS_MAX),
        })
    }
}

fn about<'a>(judge: &JudgeConfig, model: &'a str, version: &'a str, effective_from: Timestamp) -> About<'a> {
    let latency_objective_ms = judge.model(model).latency_objective_ms;
    About { model, version, effective_from, latency_objective_ms }
}

fn collector(config: &Arc<CollectConfig>) -> Collector {
    let source = SourceId { topic: "reference".into(), partition: 0 };
    Collector::new(source.clone(), vec![source], Arc::clone(config))
}
