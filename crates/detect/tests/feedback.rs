//! What people say of incidents: a stream that led two that were not actionable may page no more, until it has a new
//! reference.

#[path = "support/harness.rs"]
mod harness;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fleet::{FleetConfig, Scenario};
use harness::{judge_config, logged, references};
use tocsin_detect::config::{BudgetSettings, JudgeConfig};
use tocsin_detect::judge::Judge;
use tocsin_detect::record::PanesRecord;
use tocsin_detect::reference::Reference;
use wire::context::{ContextRecord, Feedback};
use wire::history::Verdict;
use wire::{Family, Incident, IncidentId};

static CONFIG: LazyLock<Arc<JudgeConfig>> =
    LazyLock::new(|| Arc::new(judge_config(BudgetSettings::default())));

static REFERENCES: LazyLock<Vec<Reference>> =
    LazyLock::new(|| references(&CONFIG, FleetConfig::default().start, 2, 0.4, 5));

/// What came of a log.
struct Told {
    /// Of the stream's subject and family.
    incidents: Vec<Incident>,
    /// Whether its verdict ever was `not_calibrated`.
    not_calibrated: bool,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Told {
    fn pages(&self) -> bool {
        self.incidents.iter().any(|i| i.severity.pages())
    }
}

/// A scenario whose trouble pages, as a log, and the page.
struct Story {
    log: Vec<PanesRecord>,
    page: Incident,
    stream: String,
}

impl Story {
    fn of(scenario: Scenario, family: Family) -> Self {
        let fleet = FleetConfig { seed: 3, scenario, rate: 0.4, ..FleetConfig::default() };
        let log = logged(&CONFIG, &REFERENCES, &fleet, scenario.length_ms());
        let opens = |i: &Incident| i.family == family && i.severity.pages();
        let mut judge = Judge::new(0, Arc::clone(&CONFIG));
        let mut said = vec![];
        for (offset, record) in (0..).zip(&log) {
            judge.handle(offset, record.clone());
            said.extend(judge.take_effects().incidents);
        }
        let page = said.into_iter().find(opens).expect("it pages");
        let stream = page.evidence.contributors.first().map_or("calls".to_owned(), |c| c.name.clone());
        Self { log, page, stream }
    }

    /// That an incident of this name, which opened when the page did, was not actionable.
    fn feedback(&self, incident: &str, generation: u32) -> PanesRecord {
        PanesRecord::Context(ContextRecord::Feedback(Feedback {
            incident_id: IncidentId::new(incident),
            generation,
            model: self.page.subject.name.clone(),
            version: self.page.subject.version.clone(),
            family: self.page.family,
            stream: self.stream.clone(),
            opened_at: self.page.opened_at,
        }))
    }

    /// The model's pinned reference once more.
    fn reference(&self) -> PanesRecord {
        let is_its = |r: &&PanesRecord| matches!(r, PanesRecord::Reference(r) if r.profile.model == self.page.subject.name);
        self.log.iter().find(is_its).expect("it is pinned").clone()
    }

    /// The log with these records half way to the page, stopped and started after every `stops` records.
    fn judged(&self, said: &[PanesRecord], stops: usize) -> Told {
        let before = |r: &PanesRecord| {
            let PanesRecord::Progress(p) = r else { return false };
            p.watermark.is_some_and(|at| at.plus_ms(600_000) < self.page.opened_at)
        };
        let half = self.log.iter().rposition(before).expect("it does not page at once") / 2;
        let log: Vec<_> = self.log[..half].iter().chain(said).chain(&self.log[half..]).collect();
        let mut told = Told { incidents: vec![], not_calibrated: false, state: BTreeMap::new() };
        let mut judge = Judge::new(0, Arc::clone(&CONFIG));
        for (at, record) in (1..).zip(&log) {
            judge.handle(offset(at - 1), (*record).clone());
            told.not_calibrated |= judge.streams().any(|view| {
                let whose = (view.model, view.stream.family, view.stream.name.as_str());
                whose == (self.page.subject.name.as_str(), self.page.family, self.stream.as_str())
                    && view.version == self.page.subject.version.as_deref()
                    && view.stream.verdict == Verdict::NotCalibrated
            });
            if at % stops != 0 && at < log.len() {
                continue;
            }
            let effects = judge.take_effects();
            let its = |i: &Incident| i.family == self.page.family && i.subject == self.page.subject;
            told.incidents.extend(effects.incidents.into_iter().filter(its));
            for (key, value) in effects.state {
                match value {
                    Some(value) => drop(told.state.insert(key, value)),
                    None => drop(told.state.remove(&key)),
                }
            }
            if at < log.len() {
                let resume = judge.resume_offset().map_or(0, |o| usize::try_from(o).expect("in the log"));
                judge = Judge::new(0, Arc::clone(&CONFIG));
                told.state.iter().for_each(|(k, value)| judge.restore(k, value).expect("its own state"));
                (resume..at).for_each(|again| judge.handle(offset(again), log[again].clone()));
            }
        }
        told
    }

    fn whole(&self, said: &[PanesRecord]) -> Told {
        self.judged(said, usize::MAX)
    }
}

fn offset(at: usize) -> i64 {
    i64::try_from(at).expect("a short log")
}

fn twice_is_enough(scenario: Scenario, family: Family) {
    let story = Story::of(scenario, family);
    let [a, b] = [story.feedback("a", 1), story.feedback("b", 1)];
    for (what, said) in [
        ("nothing was said", vec![]),
        ("the same incident said twice is one", vec![a.clone(), a.clone()]),
        ("a new reference ends it", vec![a.clone(), b.clone(), story.reference()]),
    ] {
        let told = story.whole(&said);
        assert!(told.pages() && !told.not_calibrated, "{what}");
    }
    let told = story.whole(&[a, b]);
    assert!(!told.pages(), "it pages no more");
    assert!(!told.incidents.is_empty(), "it is found all the same");
    assert!(told.not_calibrated, "and its verdict says so");
}

#[test]
fn latency_that_twice_was_not_actionable_tickets_and_pages_no_more() {
    twice_is_enough(Scenario::Latency, Family::Latency);
}

#[test]
fn accuracy_that_twice_was_not_actionable_tickets_and_pages_no_more() {
    twice_is_enough(Scenario::Accuracy, Family::Accuracy);
}

#[test]
fn traffic_that_twice_was_not_actionable_tickets_and_pages_no_more() {
    twice_is_enough(Scenario::Stopped, Family::Traffic);
}

#[test]
fn stopping_and_starting_changes_nothing_of_it() {
    for (scenario, family) in [(Scenario::Latency, Family::Latency), (Scenario::Stopped, Family::Traffic)] {
        let story = Story::of(scenario, family);
        let said = [story.feedback("a", 1), story.feedback("b", 2)];
        let whole = story.whole(&said);
        for stops in [501, 97] {
            let other = story.judged(&said, stops);
            assert!(other.state == whole.state, "stopped after every {stops} records, another state is left");
            assert_eq!(other.incidents, whole.incidents);
        }
    }
}

type Change = fn(&mut Feedback);

#[test]
fn what_is_not_judged_is_not_counted() {
    let story = Story::of(Scenario::Latency, Family::Latency);
    let changes: [(&str, Change); 4] = [
        ("another version", |f| f.version = Some("none".into())),
        ("another stream", |f| f.stream = "none".into()),
        ("another family", |f| f.family = Family::Accuracy),
        ("before its reference", |f| f.opened_at = wire::Timestamp::EPOCH),
    ];
    let mut said = vec![];
    for (what, change) in changes {
        for incident in ["a", "b"] {
            let PanesRecord::Context(ContextRecord::Feedback(mut one)) = story.feedback(incident, 1) else {
                unreachable!("it is feedback")
            };
            change(&mut one);
            one.incident_id = IncidentId::new(format!("{what} {incident}"));
            said.push(PanesRecord::Context(ContextRecord::Feedback(one)));
        }
    }
    let told = story.whole(&said);
    assert!(told.pages() && !told.not_calibrated);
}
