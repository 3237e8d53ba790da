//! A model's prediction as JSON: the parts that never change written once, the features drawn straight into the buffer.

use crate::json;
use crate::lineup::{Category, Draw, FeatureSpec, ModelSpec, Task};
use crate::moment::Moment;
use crate::rng::Rng;

/// What is ready before the first record.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// From the opening brace to the running number of the id.
    pub(crate) prediction_head: Vec<u8>,
    pub(crate) label_head: Vec<u8>,
    /// The model and its version, for the current and the next one.
    pub(crate) versions: [Vec<u8>; 2],
    pub(crate) features: Vec<Column>,
    /// Classes as JSON; empty for a regression.
    pub(crate) classes: Vec<Vec<u8>>,
    /// How often each class is predicted, of a model with several.
    pub(crate) class_mix: Choice,
    pub(crate) regions: Choice,
}

/// Where an id starts in a record of each kind.
pub(crate) const PREDICTION_ID_AT: usize = r#"{"kind":"prediction","prediction_id":""#.len();
pub(crate) const LABEL_ID_AT: usize = r#"{"kind":"label","prediction_id":""#.len();

impl Layout {
    /// `run` makes the ids of two runs differ.
    pub(crate) fn new(spec: &'static ModelSpec, run: u32) -> Self {
        let version = |version: &str| {
            [br#"","model":"#, &*json::quoted(spec.name), br#","version":"#, &json::quoted(version)].concat()
        };
        Self {
            prediction_head: format!(r#"{{"kind":"prediction","prediction_id":"{}-{run:08x}-"#, spec.name)
                .into(),
            label_head: format!(r#"{{"kind":"label","prediction_id":"{}-{run:08x}-"#, spec.name).into(),
            versions: [version(spec.version), version(spec.next_version)],
            features: spec.features.iter().enumerate().map(|(i, f)| Column::new(f, i == 0)).collect(),
            classes: spec.classes().into_iter().map(json::quoted).collect(),
            class_mix: if let Task::Classes(classes) = spec.task {
                Choice::new(classes)
            } else {
                Choice::default()
            },
            regions: Choice::new(spec.regions),
        }
    }
}

/// One feature of the layout.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    spec: &'static FeatureSpec,
    /// Name and colon, with the comma before it.
    key: Vec<u8>,
    choice: Choice,
    /// For a count: 1 / −ln(1 − 1/mean), which turns an exponential into a geometric.
    stretch: f64,
}

impl Column {
    fn new(spec: &'static FeatureSpec, first: bool) -> Self {
        let comma: &[u8] = if first { b"" } else { b"," };
        let mean = if let Draw::Count { mean, .. } = spec.draw { mean } else { 2.0 };
        Self {
            spec,
            key: [comma, &json::quoted(spec.name), b":"].concat(),
            choice: if let Draw::Category(categories) = spec.draw {
                Choice::new(categories)
            } else {
                Choice::default()
            },
            stretch: -1.0 / libm::log(1.0 - 1.0 / mean),
        }
    }

    /// Draws the value, writes it with its key, and returns what it adds to the model's logit. `shift` moves a
    /// continuous one by so many deviations.
    pub(crate) fn write(&self, rng: &mut Rng, now: &Moment, shift: f64, out: &mut Vec<u8>) -> f64 {
        out.extend_from_slice(&self.key);
        let spec = self.spec;
        if spec.null_share > 0.0 && rng.chance(spec.null_share) {
            out.extend_from_slice(b"null");
            return 0.0;
        }
        let drift = spec.cycle * now.cycle + spec.mix * now.mix() + shift;
        let z = match spec.draw {
            Draw::Lognormal { median, sigma, max, decimals } => {
                let z = rng.normal() + drift;
                json::number(out, json::fixed((median * libm::exp(sigma * z)).min(max), decimals), decimals);
                z
            }
            Draw::Normal { mean, sd, min, max, decimals } => {
                let z = rng.normal() + drift;
                json::number(out, json::fixed((mean + sd * z).clamp(min, max), decimals), decimals);
                z
            }
            Draw::Weather { mean, swing, wander, sd, decimals } => {
                let z = rng.normal() + shift;
                let x = mean + swing * now.cycle + wander * now.weather() + sd * z;
                json::number(out, json::fixed(x, decimals), decimals);
                (x - mean) / swing
            }
            Draw::Count { zero, max, .. } => {
                let zero = zero - 0.05 * zero * drift;
                let x = if rng.chance(zero) { 0.0 } else { 1.0 + (rng.exponential() * self.stretch).floor() };
                let x = x.min(f64::from(max));
                json::number(out, json::fixed(x, 0), 0);
                x.min(10.0) / 3.0
            }
            Draw::Whole { low, high } => {
                let steps = usize::from(high - low) + 1;
                json::integer(out, u64::from(low) + rng.below(steps) as u64);
                0.0
            }
            Draw::Levels(levels) => {
                let mut left = rng.unit();
                let (last, before) = levels.split_last().expect("levels are not empty");
                let taken = before.iter().find(|(_, share)| {
                    left -= share;
                    left < 0.0
                });
                json::integer(out, u64::from(taken.unwrap_or(last).0));
                0.0
            }
            Draw::Category(categories) => {
                let i = self.choice.draw(rng, now.cycle);
                out.extend_from_slice(&self.choice.names[i]);
                return categories[i].logit;
            }
            Draw::Flag { share } => {
                let set = rng.chance(share * (1.0 + drift));
                out.extend_from_slice(if set { b"true" } else { b"false" });
                f64::from(u8::from(set)) - share
            }
        };
        spec.weight * z
    }
}

/// Draws one of several categories whose shares lie between those of day and night.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) names: Vec<Vec<u8>>,
    /// Cumulated shares, the last one left out.
    day: Vec<f64>,
    night: Vec<f64>,
}

impl Choice {
    pub(crate) fn new(categories: &[Category]) -> Self {
        let cumulated = |share: fn(&Category) -> f64| {
            let total: f64 = categories.iter().map(share).sum();
            let mut sum = 0.0;
            let mut steps: Vec<f64> = categories
                .iter()
                .map(|c| {
                    sum += share(c) / total;
                    sum
                })
                .collect();
            steps.pop();
            steps
        };
        Self {
            names: categories.iter().map(|c| json::quoted(c.name)).collect(),
            day: cumulated(|c| c.day),
            night: cumulated(|c| c.night),
        }
    }

    /// The place of the category drawn at this point of the daily cycle (-1 to 1).
    pub(crate) fn draw(&self, rng: &mut Rng, cycle: f64) -> usize {
        let by_day = 0.5 + 0.5 * cycle;
        let u = rng.unit();
        // One number decides both: which table, and where in it.
        let (table, u) =
            if u < by_day { (&self.day, u / by_day) } else { (&self.night, (u - by_day) / (1.0 - by_day)) };
        table.iter().take_while(|&&step| step <= u).count()
    }
}
