//! One stream under the rules of the judge, without a log: simulations of budgets need thousands of millions of panes.

use std::sync::Arc;

use wire::profile::{Profile, Stage, Task};
use wire::{Digest, Family, Incident, Timestamp};

use super::{Closing, Effects, Loaded, Stream, Version, budget};
use crate::config::JudgeConfig;
use crate::family::{At, RecordFault};
use crate::family::{Count, Event, Failure, LabelMiss, Place, StreamPlan, TestPlan};
use crate::judge::stream::{Rule, SpreadWindows};
use crate::judge::surroundings::Surroundings;
use crate::reference::baseline::Baseline;
use crate::reference::{Reference, StreamReference, TestReference};

const VERSION: &str = "1";

/// A stream of one test, as one version of one model has it: grants, evidence, gates, incidents, recovery and restarts
/// are the judge's own code. What is left out is what surrounds it: partial panes, watermarks, history, state.
///
/// Cost: below a microsecond a pane while nothing is wrong.
#[derive(Debug)]
pub struct Trial {
    config: Arc<JudgeConfig>,
    version: Version,
    loaded: Arc<Loaded>,
    surroundings: Surroundings,
    granted: [f64; 2],
}

impl Trial {
    /// The model whose settings it is judged by.
    pub const MODEL: &'static str = "trial";

    /// A stream of `family` that is compared with `known`, which so many milliseconds of event time showed. Families have no
    /// test of their own other than this one.
    #[must_use]
    pub fn new(config: Arc<JudgeConfig>, family: Family, known: TestReference, span_ms: i64) -> Self {
        let event = match family {
            Family::Latency => Event::Slow(0),
            Family::Availability => Event::Failed(Failure::Any),
            Family::DataQuality => Event::Record(RecordFault::Unsupported),
            Family::Drift | Family::Prediction => Event::Value(At::Score, Place::New),
            Family::Accuracy
            | Family::Traffic
            | Family::Calibration
            | Family::Deployment
            | Family::Telemetry
            | Family::Other => Event::Label(LabelMiss::Wrong { delay: 0, band: 0 }),
        };
        let tests = vec![TestPlan { event, group: 0, pool: vec![], share: 1.0 }];
        let plan = StreamPlan { family, name: "trial".to_owned(), tests };
        let settings = config.model(Self::MODEL);
        let baseline = Baseline::new(&known);
        let reference = reference(family, known, settings.timezone.clone(), span_ms);
        let rule = Rule::new(plan, vec![baseline], SpreadWindows::of(&reference));
        let stream = Stream::new(&rule, budget::may_page(family, settings));
        let zone = settings.zone();
        let loaded = Arc::new(Loaded { reference, rules: vec![rule], zone });
        let mut version = Version::new(Timestamp::EPOCH, false);
        version.streams = vec![stream];
        version.reference_of = Some(VERSION.to_owned());
        version.loaded = Some(Arc::clone(&loaded));
        Self { config, version, loaded, surroundings: Surroundings::default(), granted: [0.0; 2] }
    }

    /// The same, where the reference is too short to say how far days differ: it tickets, and never pages.
    #[must_use]
    pub fn not_calibrated(mut self) -> Self {
        self.version.streams[0] = Stream::new(&self.loaded.rules[0], false);
        self
    }

    /// Closes one base pane that held `k` events in `n` records (0 of 0 is an empty pane), and says what it changed.
    /// `part` is the stream's part of the fleet's budget for this pane.
    ///
    /// # Panics
    /// If `k > n`.
    pub fn pane(&mut self, (start, end): (Timestamp, Timestamp), k: u64, n: u64, part: f64) -> Vec<Incident> {
        assert!(k <= n, "k of n records");
        if n > 0 {
            self.version.last_seen = end;
            self.version.streams[0].gather(&[Some(Count::new(k, n))], start, end);
        }
        let at = Closing {
            config: &self.config,
            settings: self.config.model(Self::MODEL),
            model: Self::MODEL,
            version: VERSION,
            start,
            end,
            highest: end,
            incomplete: false,
            last_of_config: false,
            part,
            model_seen: self.version.last_seen,
            traffic_pages: true,
            surroundings: &self.surroundings,
            segment: None,
        };
        let mut out = Effects::default();
        self.version.judge(&at, &self.loaded, &mut out);
        let reopen_ms = i64::from(self.config.judge.reopen_s) * 1000;
        self.version.cases.retain(|_, case| !case.is_over(end, reopen_ms));
        self.granted = [self.granted[0] + out.granted[0], self.granted[1] + out.granted[1]];
        out.incidents
    }

    /// Writes the state and reads it back, as when a process ends and another takes over.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn take_over(&mut self) {
        let bytes = postcard::to_stdvec(&self.version).expect("plain data");
        self.version = postcard::from_bytes(&bytes).expect("it was just written");
        assert!(self.version.rejoin(&self.loaded), "the state fits its own reference");
    }

    /// The values D stands at: page, ticket.
    #[must_use]
    pub fn values(&self) -> [f64; 2] {
        self.version.streams[0].last.after
    }

    /// Granted so far: page, ticket. What may be false is at most this, on average.
    #[must_use]
    pub fn granted(&self) -> [f64; 2] {
        self.granted
    }
}

/// A reference of that one test, which says no more than the words of an incident need.
fn reference(family: Family, known: TestReference, timezone: String, span_ms: i64) -> Reference {
    let profile = Profile {
        model: Trial::MODEL.to_owned(),
        version: VERSION.to_owned(),
        digest: Digest::new(""),
        effective_from: Timestamp::EPOCH,
        stage: Stage::Final,
        latency_edges: vec![1.0],
        latency_objective_ms: None,
        features: vec![],
        prediction: None,
        score: None,
        task: Task::Unknown,
        error_edges: vec![],
        delay_edges_ms: vec![],
        score_edges: vec![],
    };
    let stream = StreamReference { family, name: "trial".to_owned(), growing: false, tests: vec![known] };
    Reference {
        profile: profile.sealed(),
        window: [Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(span_ms)],
        records: 0,
        labels: 0,
        timezone,
        streams: vec![stream],
        traffic: None,
    }
}
