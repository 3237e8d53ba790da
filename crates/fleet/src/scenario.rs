//! Which troubles a run has, when and how large: a function of the seed.

use std::fmt;
use std::str::FromStr;

use wire::{Family, Timestamp};

use crate::lineup::{ModelSpec, lineup};
use crate::rng::Rng;
use crate::truth::{Benign, BenignKind, Change, ChangeKind, Truth, Urgency};
use crate::{FleetConfig, QUIET_MAX_MS};

/// What happens to the fleet. Times and sizes vary with the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scenario {
    /// Five troubles in three hours of event time, one after another.
    #[default]
    Story,
    Healthy,
    Steady,
    Latency,
    Drift,
    Accuracy,
    Rollout,
    Stopped,
    RolloutHealthy,
}

/// Why a name is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no scenario {0:?}; there are {known}", known = names())]
pub struct NoScenario(String);

fn names() -> String {
    Scenario::ALL.map(Scenario::name).join(", ")
}

impl Scenario {
    pub const ALL: [Self; 9] = [
        Self::Story,
        Self::Healthy,
        Self::Steady,
        Self::Latency,
        Self::Drift,
        Self::Accuracy,
        Self::Rollout,
        Self::Stopped,
        Self::RolloutHealthy,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Story => "story",
            Self::Healthy => "healthy",
            Self::Steady => "steady",
            Self::Latency => "latency",
            Self::Drift => "drift",
            Self::Accuracy => "accuracy",
            Self::Rollout => "rollout",
            Self::Stopped => "stopped",
            Self::RolloutHealthy => "rollout-healthy",
        }
    }

    /// One line for a help text.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Story => "five troubles in three hours, one after another",
            Self::Healthy => "a week without trouble; two models roll out a new version",
            Self::Steady => "no trouble and no rollout: what references are built from",
            Self::Latency => "fraud answers about three times slower for 25 minutes",
            Self::Drift => "one feature of ranking moves by a deviation and stays",
            Self::Accuracy => "fraud is wrong three to four times as often; only late labels show it",
            Self::Rollout => "a new version of triage takes a third of the traffic and fails; rolled back",
            Self::Stopped => "predictions of support stop for half an hour",
            Self::RolloutHealthy => "ranking rolls out a new version that behaves like the old one",
        }
    }

    /// How long the scenario takes to tell, without [`FleetConfig::quiet_ms`]. Troubles that do not stay are over by then.
    #[must_use]
    pub const fn length_ms(self) -> i64 {
        match self {
            Self::Healthy | Self::Steady => 7 * 24 * HOUR_MS,
            Self::Story | Self::Accuracy | Self::RolloutHealthy => 3 * HOUR_MS,
            Self::Latency | Self::Drift | Self::Rollout | Self::Stopped => 90 * MINUTE_MS,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scenario {
    type Err = NoScenario;

    fn from_str(text: &str) -> Result<Self, NoScenario> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| NoScenario(text.to_owned()))
    }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// The stream of the seed that scripts are drawn from.
const SCRIPT_STREAM: u64 = 1000;

/// One thing done to one model, in milliseconds since the fleet's start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Planted {
    /// Place in the lineup.
    pub(crate) model: usize,
    pub(crate) from: i64,
    /// Excluded; `i64::MAX` when it stays.
    pub(crate) until: i64,
    pub(crate) trouble: Trouble,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    Slower {
        factor: f64,
    },
    /// By deviations of the feature at this place.
    Shift {
        feature: usize,
        sd: f64,
    },
    /// Share of the labels that turn into another class. A regression has none.
    Wrong {
        share: f64,
    },
    BadVersion {
        share: f64,
        errors: f64,
    },
    Stopped,
    /// The new version's share grows from 0 at `from` to 1 at `until` and stays there.
    PlannedRollout,
}

/// What a run does and what is said about it.
pub(crate) fn script(config: &FleetConfig) -> (Vec<Planted>, Truth) {
    let mut script = Script {
        start: config.start,
        // The same seed tells another story in another scenario, but the same one at another rate.
        rng: Rng::new(config.seed, SCRIPT_STREAM + config.scenario as u64),
        planted: vec![],
        changes: vec![],
        benign: vec![],
    };
    let zero = config.quiet_ms.clamp(0, QUIET_MAX_MS);
    match config.scenario {
        Scenario::Story => {
            script.slower(zero + 15 * MINUTE_MS);
            script.drift(zero + 48 * MINUTE_MS);
            script.wrong(zero + 62 * MINUTE_MS);
            script.bad_version(zero + 95 * MINUTE_MS);
            script.stopped(zero + 130 * MINUTE_MS);
        }
        Scenario::Healthy => {
            script.planned_rollout("ranking", zero + 12 * HOUR_MS, 132 * HOUR_MS);
            script.planned_rollout("support", zero + 12 * HOUR_MS, 132 * HOUR_MS);
        }
        Scenario::Steady => (),
        Scenario::Latency => script.slower(zero + 15 * MINUTE_MS),
        Scenario::Drift => script.drift(zero + 15 * MINUTE_MS),
        Scenario::Accuracy => script.wrong(zero + 15 * MINUTE_MS),
        Scenario::Rollout => script.bad_version(zero + 15 * MINUTE_MS),
        Scenario::Stopped => script.stopped(zero + 15 * MINUTE_MS),
        Scenario::RolloutHealthy => script.planned_rollout("ranking", zero + 15 * MINUTE_MS, 10 * MINUTE_MS),
    }
    script.benign.sort_by_key(|b| b.start);
    let truth = Truth {
        scenario: config.scenario.name().to_owned(),
        seed: config.seed,
        start: config.start,
        end: config.start.plus_ms(zero + config.scenario.length_ms()),
        changes: script.changes,
        benign: script.benign,
    };
    (script.planted, truth)
}

struct Script {
    start: Timestamp,
    rng: Rng,
    planted: Vec<Planted>,
    changes: Vec<Change>,
    benign: Vec<Benign>,
}

/// When a trouble is felt, in milliseconds since the fleet's start. `None` where it stays.
struct Span {
    from: i64,
    until: Option<i64>,
    /// How long after `from` it must be found.
    detect_ms: i64,
    /// How long after `until` an incident can still come of it.
    settle_ms: i64,
}

impl Script {
    fn minutes(&mut self, low: f64, high: f64) -> i64 {
        crate::json::fixed(self.rng.between(low, high) * 60.0, 0) * 1000
    }

    /// A size of two decimals, so that the truth says exactly what was done.
    fn size(&mut self, low: f64, high: f64) -> f64 {
        crate::json::fixed(self.rng.between(low, high), 2) as f64 / 100.0
    }

    fn slower(&mut self, earliest: i64) {
        let from = earliest + self.minutes(0.0, 4.0);
        let until = from + self.minutes(22.0, 28.0);
        let factor = self.size(2.5, 3.5);
        let span = Span { from, until: Some(until), detect_ms: 10 * MINUTE_MS, settle_ms: 15 * MINUTE_MS };
        self.plant("fraud", span, Trouble::Slower { factor }, |spec, change| Change {
            size: factor,
            may: vec![Family::Availability],
            what: format!("{} answers {factor} times slower", spec.name),
            ..change
        });
    }

    fn drift(&mut self, earliest: i64) {
        const FEATURE: &str = "query_length";
        let from = earliest + self.minutes(0.0, 5.0);
        let sd = self.size(0.8, 1.2);
        let (_, spec) = model("ranking");
        let (feature, _) = spec.feature(FEATURE).expect("the lineup has the feature");
        let span = Span { from, until: None, detect_ms: 30 * MINUTE_MS, settle_ms: 0 };
        self.plant("ranking", span, Trouble::Shift { feature, sd }, |spec, change| Change {
            family: Family::Drift,
            kind: ChangeKind::Shift,
            size: sd,
            feature: Some(FEATURE.to_owned()),
            severity: Urgency::Ticket,
            may: vec![Family::DataQuality, Family::Prediction],
            what: format!("{FEATURE} of {} moves up by {sd} deviations", spec.name),
            ..change
        });
    }

    fn wrong(&mut self, earliest: i64) {
        let from = earliest + self.minutes(0.0, 5.0);
        let until = from + self.minutes(70.0, 80.0);
        let ratio = self.size(3.0, 4.0);
        let (_, spec) = model("fraud");
        let base = 1.0 - spec.quality;
        // A flip makes a right one wrong and a wrong one right: base' = base + share · (1 − 2 base).
        let share = (ratio - 1.0) * base / (1.0 - 2.0 * base);
        let span = Span { from, until: Some(until), detect_ms: 55 * MINUTE_MS, settle_ms: 3 * HOUR_MS };
        self.plant("fraud", span, Trouble::Wrong { share }, |spec, change| Change {
            family: Family::Accuracy,
            kind: ChangeKind::Wrong,
            size: ratio,
            may: vec![Family::Calibration],
            what: format!("{} is wrong {ratio} times as often", spec.name),
            ..change
        });
    }

    fn bad_version(&mut self, earliest: i64) {
        let from = earliest + self.minutes(0.0, 5.0);
        let until = from + self.minutes(19.0, 22.0);
        let (share, errors) = (self.size(0.28, 0.36), self.size(0.25, 0.32));
        let span = Span { from, until: Some(until), detect_ms: 18 * MINUTE_MS, settle_ms: HOUR_MS };
        self.plant("triage", span, Trouble::BadVersion { share, errors }, |spec, change| Change {
            version: spec.next_version.to_owned(),
            family: Family::Availability,
            kind: ChangeKind::BadVersion,
            size: errors,
            may: vec![Family::Traffic, Family::Prediction, Family::Deployment],
            what: format!(
                "{} {} takes {} % of the traffic and fails {} % of the calls",
                spec.name,
                spec.next_version,
                crate::json::fixed(share * 100.0, 0),
                crate::json::fixed(errors * 100.0, 0)
            ),
            ..change
        });
    }

    fn stopped(&mut self, earliest: i64) {
        let from = earliest + self.minutes(0.0, 5.0);
        let until = from + self.minutes(32.0, 40.0);
        let span = Span { from, until: Some(until), detect_ms: 25 * MINUTE_MS, settle_ms: 15 * MINUTE_MS };
        self.plant("support", span, Trouble::Stopped, |spec, change| Change {
            family: Family::Traffic,
            kind: ChangeKind::Stopped,
            may: vec![Family::Telemetry],
            what: format!("no prediction of {} arrives", spec.name),
            ..change
        });
    }

    /// `about` fills in what differs from a slow model that should page.
    fn plant(
        &mut self,
        name: &str,
        span: Span,
        trouble: Trouble,
        about: impl FnOnce(&ModelSpec, Change) -> Change,
    ) {
        let (model, spec) = model(name);
        self.planted.push(Planted { model, from: span.from, until: span.until.unwrap_or(i64::MAX), trouble });
        let at = |ms: i64| self.start.plus_ms(ms);
        let change = Change {
            model: spec.name.to_owned(),
            version: spec.version.to_owned(),
            family: Family::Latency,
            kind: ChangeKind::Slower,
            size: 1.0,
            feature: None,
            start: at(span.from),
            end: span.until.map(at),
            detect_by: at(span.from + span.detect_ms),
            settled: span.until.map(|until| at(until + span.settle_ms)),
            severity: Urgency::Page,
            may: vec![],
            what: String::new(),
        };
        self.changes.push(about(spec, change));
    }

    fn planned_rollout(&mut self, name: &str, earliest: i64, spread_ms: i64) {
        let (model, spec) = model(name);
        let from = earliest + crate::json::fixed(self.rng.between(0.0, spread_ms as f64 / 1000.0), 0) * 1000;
        let until = from + self.minutes(60.0, 120.0);
        self.planted.push(Planted { model, from, until, trouble: Trouble::PlannedRollout });
        self.benign.push(Benign {
            model: spec.name.to_owned(),
            version: spec.next_version.to_owned(),
            kind: BenignKind::PlannedRollout,
            start: self.start.plus_ms(from),
            end: self.start.plus_ms(until),
            what: format!("{} {} takes over from {}", spec.name, spec.next_version, spec.version),
        });
    }
}

/// # Panics
/// If there is no such model: scripts name only those of the lineup.
fn model(name: &str) -> (usize, &'static ModelSpec) {
    lineup()
        .iter()
        .enumerate()
        .find(|(_, spec)| spec.name == name)
        .expect("scripts name models of the lineup")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(scenario: Scenario, seed: u64) -> Truth {
        script(&FleetConfig { seed, scenario, ..FleetConfig::default() }).1
    }

    #[test]
    fn names_read_back() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
        let error = "stories".parse::<Scenario>().unwrap_err().to_string();
        assert!(error.contains("\"stories\"") && error.contains("rollout-healthy"), "{error}");
    }

    #[test]
    fn each_scenario_holds_the_families_it_names() {
        use Family::{Accuracy, Availability, Drift, Latency, Traffic};
        for (scenario, families, benign) in [
            (Scenario::Story, vec![Latency, Drift, Accuracy, Availability, Traffic], 0),
            (Scenario::Healthy, vec![], 2),
            (Scenario::Steady, vec![], 0),
            (Scenario::Latency, vec![Latency], 0),
            (Scenario::Drift, vec![Drift], 0),
            (Scenario::Accuracy, vec![Accuracy], 0),
            (Scenario::Rollout, vec![Availability], 0),
            (Scenario::Stopped, vec![Traffic], 0),
            (Scenario::RolloutHealthy, vec![], 1),
        ] {
            let truth = truth(scenario, 3);
            let got: Vec<Family> = truth.changes.iter().map(|c| c.family).collect();
            assert_eq!((got, truth.benign.len()), (families, benign), "{scenario}");
        }
    }

    #[test]
    fn stories_are_in_order_end_in_time_and_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            for scenario in Scenario::ALL {
                let truth = truth(scenario, seed);
                assert!(truth.changes.is_sorted_by_key(|c| c.start));
                for change in &truth.changes {
                    assert!(
                        change.start.since_ms(truth.start) >= 15 * MINUTE_MS,
                        "{scenario}: quiet at first"
                    );
                    assert!(change.start < change.detect_by && change.detect_by <= truth.end, "{scenario}");
                    assert!(
                        change.end.is_none_or(|end| end <= truth.end && change.start < end),
                        "{scenario}"
                    );
                }
                for benign in &truth.benign {
                    assert!(truth.start < benign.start && benign.end <= truth.end, "{scenario}");
                }
            }
            let story = truth(Scenario::Story, seed);
            seen.insert(story.changes.iter().map(|c| c.start.as_ms()).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 50, "50 seeds are 50 stories");
    }

    #[test]
    fn quiet_time_moves_the_script_and_nothing_else() {
        let base = FleetConfig { seed: 9, ..FleetConfig::default() };
        let (near, _) = script(&base);
        let (far, _) = script(&FleetConfig { quiet_ms: 7_200_000, ..base });
        for (near, far) in near.iter().zip(&far) {
            assert_eq!((near.from + 7_200_000, near.trouble), (far.from, far.trouble));
        }
    }

    #[test]
    fn a_truth_file_reads_back() {
        let truth = truth(Scenario::Story, 5);
        let text = serde_json::to_string_pretty(&truth).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
    }
}
