//! One model: when its predictions come, what is in them, and when the truth about them follows.

use crate::json;
use crate::layout::Layout;
use crate::lineup::{ModelSpec, Task};
use crate::moment::Moment;
use crate::rng::Rng;
use crate::scenario::{Planted, Trouble};

/// Records arrive at most so long after their event time.
const TRANSPORT_MAX_MS: f64 = 3000.0;
/// Share of records that are held up on the way, and share that are sent twice.
const HELD_UP: f64 = 0.02;
const TWICE: f64 = 0.001;
/// One call in a hundred takes much longer: a Pareto tail of this index, up to this factor.
const TAIL_SHARE: f64 = 0.01;
const TAIL_INDEX: f64 = 2.5;
const TAIL_MAX: f64 = 20.0;
/// Labels come no sooner and no later than this after the prediction.
const LABEL_MIN_MS: f64 = 5000.0;
const LABEL_MAX_MS: f64 = 24.0 * 3_600_000.0;
/// Deviation of the logarithm of actual over forecast: a mean absolute percentage error of a tenth.
const FORECAST_SIGMA: f64 = 0.125;

/// One model at work. Times are milliseconds since the fleet's start.
pub(crate) struct Source {
    pub(crate) spec: &'static ModelSpec,
    pub(crate) layout: Layout,
    planted: Vec<Planted>,
    moment: Moment,
    arrivals: Arrivals,
    /// What is in a prediction; apart from what happens after it, so that labels and transport move no value.
    content: Rng,
    after: Rng,
    serial: u64,
}

/// A prediction that was written.
pub(crate) struct Drawn {
    pub(crate) event_ms: i64,
    pub(crate) journey: Journey,
    /// Where the id ends in the record.
    pub(crate) id_end: usize,
    pub(crate) label: Option<Answer>,
}

/// When a record arrives, after its event time; twice if it was sent twice.
#[derive(Clone, Copy)]
pub(crate) struct Journey {
    pub(crate) first_ms: i64,
    pub(crate) again_ms: Option<i64>,
}

/// The truth about one prediction, once it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) serial: u64,
    pub(crate) known_ms: i64,
    pub(crate) value: AnswerValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerValue {
    /// Place among the classes.
    Class(u8),
    /// In tenths.
    Amount(i64),
}

/// What the planted troubles do to one prediction.
struct Now {
    slower: f64,
    shift: Option<(usize, f64)>,
    wrong: f64,
    next_version: bool,
    errors: f64,
    stopped: bool,
}

enum Outcome {
    Ok,
    Failed(&'static [u8]),
}

impl Source {
    pub(crate) fn new(
        spec: &'static ModelSpec,
        planted: Vec<Planted>,
        (start_ms, rate): (i64, f64),
        run: u32,
        mut rng: impl FnMut() -> Rng,
    ) -> Self {
        let mut source = Self {
            spec,
            layout: Layout::new(spec, run),
            planted,
            moment: Moment::new(spec, start_ms, rng()),
            arrivals: Arrivals::new(spec, rate, rng()),
            content: rng(),
            after: rng(),
            serial: 0,
        };
        source.arrivals.next(spec, &mut source.moment);
        source
    }

    /// When the next prediction is made.
    pub(crate) fn due(&self) -> f64 {
        self.arrivals.at
    }

    /// Makes the prediction that is due and goes on to the next. `None` when it was lost in a stopped stream.
    pub(crate) fn predict(
        &mut self,
        clock: &mut json::Clock,
        start_ms: i64,
        out: &mut Vec<u8>,
    ) -> Option<Drawn> {
        let drawn = self.predict_now(clock, start_ms, out);
        self.arrivals.next(self.spec, &mut self.moment);
        drawn
    }

    fn predict_now(&mut self, clock: &mut json::Clock, start_ms: i64, out: &mut Vec<u8>) -> Option<Drawn> {
        let event_ms = json::fixed(self.arrivals.at.floor(), 0);
        let now = self.troubles(event_ms);
        if now.stopped {
            return None;
        }
        self.serial += 1;
        out.extend_from_slice(&self.layout.prediction_head);
        json::integer(out, self.serial);
        let id_end = out.len();
        out.extend_from_slice(br#"","event_time":""#);
        clock.write(out, start_ms.saturating_add(event_ms));
        out.extend_from_slice(&self.layout.versions[usize::from(now.next_version)]);
        let outcome = self.call(&now, out);
        out.extend_from_slice(br#","features":{"#);
        let mut logit = self.spec.tune.bias + self.spec.tune.logit_cycle * self.moment.cycle;
        for (i, column) in self.layout.features.iter().enumerate() {
            let shift = now.shift.filter(|(feature, _)| *feature == i).map_or(0.0, |(_, sd)| sd);
            logit += column.write(&mut self.content, &self.moment, shift, out);
        }
        logit += self.spec.tune.noise * self.content.normal();
        out.push(b'}');
        let label = match outcome {
            Outcome::Ok => self.decide(logit, now.wrong, event_ms, out),
            Outcome::Failed(_) => None,
        };
        out.extend_from_slice(br#","segments":{"region":"#);
        let region = self.layout.regions.draw(&mut self.content, self.moment.cycle);
        out.extend_from_slice(&self.layout.regions.names[region]);
        out.extend_from_slice(b"}}");
        Some(Drawn { event_ms, journey: self.journey(), id_end, label })
    }

    fn troubles(&mut self, at: i64) -> Now {
        let mut now =
            Now { slower: 1.0, shift: None, wrong: 0.0, next_version: false, errors: 0.0, stopped: false };
        for planted in &self.planted {
            if at < planted.from {
                continue;
            }
            let over = at >= planted.until;
            match planted.trouble {
                Trouble::PlannedRollout => {
                    let share = (at - planted.from) as f64 / (planted.until - planted.from) as f64;
                    now.next_version |= self.content.chance(share);
                }
                _ if over => (),
                Trouble::Slower { factor } => now.slower *= factor,
                Trouble::Shift { feature, sd } => now.shift = Some((feature, sd)),
                Trouble::Wrong { share } => now.wrong = share,
                Trouble::BadVersion { share, errors } => {
                    if self.content.chance(share) {
                        now.next_version = true;
                        now.errors = errors;
                    }
                }
                Trouble::Stopped => now.stopped = true,
            }
        }
        now
    }

    /// Writes latency and status.
    fn call(&mut self, now: &Now, out: &mut Vec<u8>) -> Outcome {
        let (spec, rng) = (self.spec, &mut self.content);
        let mut latency = spec.latency_ms * self.moment.latency_factor * now.slower;
        latency *= libm::exp(spec.tune.latency_sigma * rng.normal());
        if rng.chance(TAIL_SHARE) {
            latency *= libm::exp(rng.exponential() / TAIL_INDEX).min(TAIL_MAX);
        }
        latency += self.moment.pause_ms(self.arrivals.at);
        let errors = spec.error_share + self.moment.blip_errors(self.arrivals.at);
        let u = rng.unit();
        let outcome = if u < now.errors + 0.7 * errors {
            Outcome::Failed(b"error")
        } else if u < now.errors + 0.9 * errors || latency > spec.timeout_ms {
            latency = spec.timeout_ms;
            Outcome::Failed(b"timeout")
        } else if u < now.errors + errors {
            Outcome::Failed(b"rejected")
        } else {
            Outcome::Ok
        };
        out.extend_from_slice(br#","latency_ms":"#);
        json::number(out, json::fixed(latency, 1), 1);
        out.extend_from_slice(br#","status":""#);
        out.extend_from_slice(match outcome {
            Outcome::Ok => b"ok",
            Outcome::Failed(status) => status,
        });
        out.push(b'"');
        outcome
    }

    /// Writes prediction and score, and draws the truth and when it is known.
    fn decide(&mut self, logit: f64, wrong: f64, event_ms: i64, out: &mut Vec<u8>) -> Option<Answer> {
        let (value, right) = match self.spec.task {
            Task::Regression { .. } => {
                let forecast = libm::exp(logit).min(1e6);
                out.extend_from_slice(br#","prediction":"#);
                json::number(out, json::fixed(forecast, 1), 1);
                let actual = forecast * libm::exp(FORECAST_SIGMA * self.content.normal());
                (AnswerValue::Amount(json::fixed(actual, 1)), true)
            }
            Task::Binary { .. } => {
                let yes = logit > 0.0;
                let score = 1.0 / (1.0 + libm::exp(-logit.abs()));
                self.decide_class(usize::from(yes), score, wrong, out)
            }
            Task::Classes(classes) => {
                // The class is drawn from the mix; how sure the model is of it comes from the features.
                let class = self.layout.class_mix.draw(&mut self.content, self.moment.cycle);
                let guess = 1.0 / classes.len() as f64;
                let score = guess + (1.0 - guess) / (1.0 + libm::exp(-logit));
                self.decide_class(class, score, wrong, out)
            }
        };
        let labels = &self.spec.labels;
        let (labelled, z) = (self.after.chance(labels.share), self.after.normal());
        let slower = if right { 1.0 } else { labels.wrong_factor };
        let delay = labels.median_ms * libm::exp(labels.sigma * z) * slower;
        let known_ms = event_ms + json::fixed(delay.clamp(LABEL_MIN_MS, LABEL_MAX_MS), 0);
        labelled.then_some(Answer { serial: self.serial, known_ms, value })
    }

    /// A calibrated decision: right with the probability that the score says, but for a planted loss.
    fn decide_class(
        &mut self,
        class: usize,
        score: f64,
        wrong: f64,
        out: &mut Vec<u8>,
    ) -> (AnswerValue, bool) {
        out.extend_from_slice(br#","prediction":"#);
        out.extend_from_slice(&self.layout.classes[class]);
        out.extend_from_slice(br#","score":"#);
        json::number(out, json::fixed(score.min(0.9999), 4), 4);
        // Drawn from `after`, so that a loss of accuracy moves nothing that is in a prediction.
        let right = self.after.chance(score) ^ self.after.chance(wrong);
        let n = self.layout.classes.len();
        let other = (class + 1 + self.after.below(n - 1)) % n;
        let actual = if right { class } else { other };
        (AnswerValue::Class(u8::try_from(actual).expect("a model has few classes")), right)
    }

    /// How long a record is on its way.
    pub(crate) fn journey(&mut self) -> Journey {
        let rng = &mut self.after;
        let mut ms = 20.0 + 60.0 * rng.exponential();
        if rng.chance(HELD_UP) {
            ms += rng.between(0.0, TRANSPORT_MAX_MS);
        }
        let first_ms = json::fixed(ms.min(TRANSPORT_MAX_MS), 0);
        let again = rng.chance(TWICE).then(|| ms + 5.0 + 500.0 * rng.exponential());
        Journey { first_ms, again_ms: again.map(|ms| json::fixed(ms.min(TRANSPORT_MAX_MS), 0)) }
    }

    /// Writes a label and returns where its id ends.
    pub(crate) fn answer(
        &self,
        answer: &Answer,
        clock: &mut json::Clock,
        start_ms: i64,
        out: &mut Vec<u8>,
    ) -> usize {
        out.extend_from_slice(&self.layout.label_head);
        json::integer(out, answer.serial);
        let id_end = out.len();
        out.extend_from_slice(br#"","event_time":""#);
        clock.write(out, start_ms.saturating_add(answer.known_ms));
        out.extend_from_slice(br#"","value":"#);
        match answer.value {
            AnswerValue::Class(class) => out.extend_from_slice(&self.layout.classes[usize::from(class)]),
            AnswerValue::Amount(tenths) => json::number(out, tenths, 1),
        }
        out.push(b'}');
        id_end
    }
}

/// A Poisson cluster process in order of time: each arrival sets off `echo_share` others on average, soon after.
/// Source: Hawkes 1971; drawn by Ogata's thinning.
struct Arrivals {
    rng: Rng,
    rate: f64,
    at: f64,
    /// Rate per millisecond that earlier arrivals add.
    excited: f64,
}

impl Arrivals {
    fn new(spec: &ModelSpec, rate: f64, rng: Rng) -> Self {
        let per_ms = spec.rate_per_s * rate / 1000.0;
        Self { rng, rate, at: 0.0, excited: per_ms * spec.tune.echo_share }
    }

    fn next(&mut self, spec: &ModelSpec, moment: &mut Moment) {
        let tune = &spec.tune;
        let per_ms = spec.rate_per_s * self.rate / 1000.0 * (1.0 - tune.echo_share);
        loop {
            let base = per_ms * moment.traffic_factor;
            let most = base + self.excited;
            let next = self.at + self.rng.exponential() / most;
            let to = next.min(moment.ends());
            self.excited *= libm::exp((self.at - to) / tune.echo_ms);
            self.at = to;
            if next >= moment.ends() {
                moment.step(spec);
            } else if self.rng.chance((base + self.excited) / most) {
                self.excited += tune.echo_share / tune.echo_ms;
                return;
            }
        }
    }
}
