//! The simulated fleet through collector and judge, in one thread and without a log: fast enough for weeks of event time.

#![allow(dead_code, reason = "each user of this file takes what it needs")]

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

/// References of the steady fleet over `days`, that end where `before` begins.
pub fn references(config: &Arc<JudgeConfig>, before: Timestamp, days: i64, rate: f64, seed: u64) -> Vec<Reference> {
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

    pub fn opened(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(|i| i.change == Change::Opened)
    }
}

/// Plays a fleet for `for_ms` of event time against pinned references.
pub fn play(
    config: &Arc<JudgeConfig>,
    references: &[Reference],
    fleet_config: &FleetConfig,
    for_ms: i64,
    keep_history: bool,
) -> Outcome {
    const FLUSH_MS: i64 = 10_000;
    const COMMIT_MS: i64 = 600_000;
    let source = SourceId { topic: "predictions".into(), partition: 0 };
    let collect = Arc::new(CollectConfig::default());
    let mut collector = Collector::new(source.clone(), vec![source], collect);
    let mut judge = Judge::new(0, Arc::clone(config));
    let mut offset = 0;
    let mut hand = |judge: &mut Judge, record: PanesRecord| {
        judge.handle(offset, record);
        offset += 1;
    };
    let (mut incidents, mut history) = (vec![], vec![]);
    for reference in references {
        hand(&mut judge, PanesRecord::Reference(Box::new(reference.clone())));
    }
    let mut commit = |judge: &mut Judge, collector: &mut Collector| {
        let effects = judge.take_effects();
        for record in effects.context {
            if let ContextRecord::Profile(profile) = record {
                collector.profile(Arc::from(profile));
            }
        }
        incidents.extend(effects.incidents);
        if keep_history {
            history.extend(effects.history);
        }
    };
    commit(&mut judge, &mut collector);
    let mut fleet = Fleet::new(fleet_config);
    let truth = fleet.truth().clone();
    let end = fleet_config.start.plus_ms(for_ms);
    let (mut flush_at, mut commit_at) =
        (fleet_config.start.plus_ms(FLUSH_MS), fleet_config.start.plus_ms(COMMIT_MS));
    let mut position = 0;
    loop {
        let record = fleet.advance();
        let arrival = record.arrival;
        if arrival >= flush_at {
            let flush = collector.flush(false, false);
            for pane in flush.panes {
                hand(&mut judge, PanesRecord::Partial(pane));
            }
            hand(&mut judge, PanesRecord::Progress(flush.progress));
            flush_at = arrival.plus_ms(FLUSH_MS);
            if arrival >= commit_at || judge.is_urgent() || judge.has_context() {
                commit(&mut judge, &mut collector);
                commit_at = arrival.plus_ms(COMMIT_MS);
            }
        }
        if arrival >= end {
            break;
        }
        let at = RecordAt { role: Role::Predictions, offset: position, value: Some(record.json) };
        position += 1;
        collector.record(at, |_| None);
    }
    commit(&mut judge, &mut collector);
    Outcome { incidents, history, counters: judge.counters(), truth, through: end }
}
