//! The simulated fleet through collector and judge, in one thread and without a log: fast enough for weeks of event time.

#![allow(dead_code, unreachable_pub, reason = "each user of this file takes what it needs")]

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::{Fleet, FleetConfig, Scenario, Score, Seen, Truth, Urgency, lineup, score};
use tocsin_detect::collect::{CollectConfig, Collector, RecordAt, Role};
use tocsin_detect::config::{BudgetSettings, JudgeConfig, JudgeSettings, ModelSettings};
use tocsin_detect::judge::{Counters, Judge};
use tocsin_detect::progress::SourceId;
use tocsin_detect::record::PanesRecord;
use tocsin_detect::reference::{Built, Reference, ReferenceBuilder};
use wire::context::ContextRecord;
use wire::history::History;
use wire::{Change, Incident, Timestamp};

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// What the lineup says of its models, as an operator would write it down.
pub fn judge_config(budget: BudgetSettings) -> JudgeConfig {
    let models: BTreeMap<String, ModelSettings> = lineup()
        .iter()
        .map(|spec| {
            let settings =
                ModelSettings { owner: Some(spec.owner.into()), tier: spec.tier, ..ModelSettings::default() };
            (spec.name.to_owned(), settings)
        })
        .collect();
    JudgeConfig::new("test", 1, 10_000, JudgeSettings::default(), budget, models)
}

/// What `tocsin init` writes, and the demo judges by.
#[derive(serde::Deserialize)]
struct Written {
    namespace: String,
    telemetry: CollectConfig,
    judge: JudgeSettings,
    budget: BudgetSettings,
    #[serde(default)]
    models: BTreeMap<String, ModelSettings>,
}

/// The demo's config.
pub fn demo_config() -> JudgeConfig {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/src/config/tocsin.toml"));
    let Written { namespace, telemetry, judge, budget, models } = toml::from_str(text).expect("a config");
    let default = CollectConfig::default();
    assert_eq!(telemetry.raw(), default.raw(), "the collector here reads by the defaults");
    JudgeConfig::new(namespace, 1, telemetry.pane_ms(), judge, budget, models)
}

/// References of the steady fleet over `days`, that end where `before` begins.
pub fn references(
    config: &Arc<JudgeConfig>,
    before: Timestamp,
    days: i64,
    rate: f64,
    seed: u64,
) -> Vec<Reference> {
    let start = before.plus_ms(-days * DAY_MS);
    let fleet_config = FleetConfig { seed, start, rate, scenario: Scenario::Steady, quiet_ms: days * DAY_MS };
    let mut builder = ReferenceBuilder::new(Arc::new(CollectConfig::default()), Arc::clone(config));
    for pass in 0..2 {
        let mut fleet = Fleet::new(&fleet_config);
        loop {
            let record = fleet.advance();
            if record.arrival >= before {
                break;
            }
            builder.record(Role::Predictions, record.json);
        }
        if pass == 0 {
            builder.next_pass();
        }
    }
    let Built { references, refused } = builder.finish();
    assert!(refused.is_empty(), "too few records: {refused:?}");
    references
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub incidents: Vec<Incident>,
    pub history: Vec<History>,
    pub counters: Counters,
    pub truth: Truth,
    pub through: Timestamp,
}

impl Outcome {
    /// Openings and rises to a page, as the scorer wants them.
    pub fn seen(&self) -> Vec<Seen> {
        let mut paged = std::collections::BTreeSet::new();
        let mut out = vec![];
        for incident in &self.incidents {
            let first_page = incident.severity.pages()
                && incident.change != Change::Cleared
                && paged.insert((incident.incident_id.clone(), incident.generation));
            if incident.change == Change::Opened || first_page {
                out.push(Seen {
                    model: incident.subject.name.clone(),
                    version: incident.subject.version.clone(),
                    family: incident.family,
                    severity: Urgency::from(incident.severity),
                    opened: incident.changed_at,
                });
            }
        }
        out
    }

    pub fn score(&self) -> Score {
        score(&self.truth, &self.seen(), self.through)
    }

    pub fn pages(&self) -> usize {
        self.seen().iter().filter(|seen| seen.severity == Urgency::Page).count()
    }

    /// The troubles that were over two hours before the end and whose incident is still open.
    pub fn stuck(&self) -> Vec<String> {
        let last: BTreeMap<_, _> = self.incidents.iter().map(|i| (&i.incident_id, i)).collect();
        let over =
            |change: &&fleet::Change| change.end.is_some_and(|end| self.through.since_ms(end) >= 2 * HOUR_MS);
        let open = |change: &&fleet::Change| {
            last.values().any(|i| {
                i.change != Change::Cleared && i.family == change.family && i.subject.name == change.model
            })
        };
        self.truth.changes.iter().filter(over).filter(open).map(|change| change.what.clone()).collect()
    }

    /// The title under which something seen was told.
    pub fn title_of(&self, seen: &Seen) -> &str {
        let is = |i: &&Incident| {
            i.changed_at == seen.opened && i.family == seen.family && i.subject.name == seen.model
        };
        self.incidents.iter().find(is).map_or("", |i| &i.title)
    }

    pub fn opened(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(|i| i.change == Change::Opened)
    }
}

/// Plays a fleet for `for_ms` of event time against pinned references.
pub fn play(
    config: &Arc<JudgeConfig>,
    references: &[Reference],
    fleet: &FleetConfig,
    for_ms: i64,
    keep_history: bool,
) -> Outcome {
    let mut run = Run::new(config, keep_history, false);
    run.play(references, fleet, for_ms);
    let truth = Fleet::new(fleet).truth().clone();
    let through = fleet.start.plus_ms(for_ms);
    Outcome { incidents: run.incidents, history: run.history, counters: run.judge.counters(), truth, through }
}

/// The same, as the records of its panes partition.
pub fn logged(
    config: &Arc<JudgeConfig>,
    references: &[Reference],
    fleet: &FleetConfig,
    for_ms: i64,
) -> Vec<PanesRecord> {
    let mut run = Run::new(config, false, true);
    run.play(references, fleet, for_ms);
    run.log
}

struct Run {
    collector: Collector,
    judge: Judge,
    offset: i64,
    incidents: Vec<Incident>,
    history: Vec<History>,
    log: Vec<PanesRecord>,
    keep_history: bool,
    keep_log: bool,
}

impl Run {
    fn new(config: &Arc<JudgeConfig>, keep_history: bool, keep_log: bool) -> Self {
        let source = SourceId { topic: "predictions".into(), partition: 0 };
        Self {
            collector: Collector::new(source.clone(), vec![source], Arc::new(CollectConfig::default())),
            judge: Judge::new(0, Arc::clone(config)),
            offset: 0,
            incidents: vec![],
            history: vec![],
            log: vec![],
            keep_history,
            keep_log,
        }
    }

    fn play(&mut self, references: &[Reference], config: &FleetConfig, for_ms: i64) {
        const FLUSH_MS: i64 = 60_000;
        const COMMIT_MS: i64 = 600_000;
        for reference in references {
            self.hand(PanesRecord::Reference(Box::new(reference.clone())));
        }
        self.commit();
        let mut fleet = Fleet::new(config);
        let end = config.start.plus_ms(for_ms);
        let (mut flush_at, mut commit_at) = (config.start.plus_ms(FLUSH_MS), config.start.plus_ms(COMMIT_MS));
        for position in 0.. {
            let record = fleet.advance();
            if record.arrival >= flush_at {
                self.flush();
                flush_at = record.arrival.plus_ms(FLUSH_MS);
                if record.arrival >= commit_at || self.judge.is_urgent() || self.judge.has_context() {
                    self.commit();
                    commit_at = record.arrival.plus_ms(COMMIT_MS);
                }
            }
            if record.arrival >= end {
                break;
            }
            let at = RecordAt { role: Role::Predictions, offset: position, value: Some(record.json) };
            self.collector.record(at, |_| None);
        }
        self.commit();
    }

    fn hand(&mut self, record: PanesRecord) {
        if self.keep_log {
            self.log.push(record.clone());
        }
        self.judge.handle(self.offset, record);
        self.offset += 1;
    }

    fn flush(&mut self) {
        let flush = self.collector.flush(false, false);
        for pane in flush.panes {
            self.hand(PanesRecord::Partial(pane));
        }
        self.hand(PanesRecord::Progress(flush.progress));
    }

    fn commit(&mut self) {
        let effects = self.judge.take_effects();
        for record in effects.context {
            if let ContextRecord::Profile(profile) = record {
                self.collector.profile(Arc::from(profile));
            }
        }
        self.incidents.extend(effects.incidents);
        if self.keep_history {
            self.history.extend(effects.history);
        }
    }
}
