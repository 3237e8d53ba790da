//! Runs a fleet and keeps what was written.

use std::collections::BTreeMap;

use tocsin_fleet::{Fleet, FleetConfig, Kind};
use wire::label::Label;
use wire::prediction::Prediction;
use wire::{Timestamp, prediction::Value};

/// What a run wrote, without the records sent twice, in order of arrival.
pub(crate) struct Run {
    pub(crate) config: FleetConfig,
    pub(crate) predictions: Vec<Prediction>,
    pub(crate) labels: Vec<Label>,
    /// Records that were sent twice.
    pub(crate) twice: usize,
    /// Records whose event time lies before that of an earlier arrival.
    pub(crate) overtaken: usize,
}

pub(crate) const HOUR_MS: i64 = 3_600_000;

impl Run {
    /// # Panics
    /// If a record is not what the wire calls a prediction or a label.
    pub(crate) fn of(config: FleetConfig, length_ms: i64) -> Self {
        Self::of_model(config, length_ms, None)
    }

    /// Keeps one model's records only.
    pub(crate) fn of_model(config: FleetConfig, length_ms: i64, model: Option<&str>) -> Self {
        let mut run = Self { config, predictions: vec![], labels: vec![], twice: 0, overtaken: 0 };
        let mut seen = std::collections::BTreeSet::new();
        let mut watermark = Timestamp::MIN;
        let mut fleet = Fleet::new(&config);
        loop {
            let record = fleet.advance();
            if record.arrival.since_ms(config.start) > length_ms {
                return run;
            }
            if model.is_some_and(|model| model != record.model) {
                continue;
            }
            if record.kind == Kind::Prediction {
                run.overtaken += usize::from(record.event_time < watermark);
                watermark = watermark.max(record.event_time);
            }
            if !seen.insert((record.kind, record.key.to_owned())) {
                run.twice += 1;
                continue;
            }
            let text = std::str::from_utf8(record.json).expect("JSON is UTF-8");
            match record.kind {
                Kind::Prediction => run.predictions.push(serde_json::from_str(text).expect(text)),
                Kind::Label => run.labels.push(serde_json::from_str(text).expect(text)),
            }
        }
    }

    pub(crate) fn model<'a>(&'a self, model: &'a str) -> impl Iterator<Item = &'a Prediction> {
        self.predictions.iter().filter(move |p| p.model == model)
    }

    /// Each labelled prediction of a model with its label, in order of the labels.
    pub(crate) fn labelled<'a>(&'a self, model: &'a str) -> Vec<(&'a Prediction, &'a Label)> {
        let by_id: BTreeMap<&str, &Prediction> =
            self.model(model).map(|p| (p.prediction_id.as_str(), p)).collect();
        self.labels.iter().filter_map(|l| Some((*by_id.get(l.prediction_id.as_str())?, l))).collect()
    }

    /// Milliseconds since the start.
    pub(crate) fn since(&self, at: Timestamp) -> i64 {
        at.since_ms(self.config.start)
    }
}

pub(crate) fn right((prediction, label): &(&Prediction, &Label)) -> bool {
    prediction.prediction.as_ref() == Some(&label.value)
}

pub(crate) fn number(value: Option<&Value>) -> Option<f64> {
    if let Some(Value::Number(x)) = value { Some(*x) } else { None }
}

/// # Panics
/// If there is none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// # Panics
/// If there is none.
pub(crate) fn share<T>(of: impl IntoIterator<Item = T>, which: impl Fn(T) -> bool) -> f64 {
    let (mut n, mut k) = (0u32, 0u32);
    for x in of {
        n += 1;
        k += u32::from(which(x));
    }
    assert!(n > 0, "a share of nothing");
    f64::from(k) / f64::from(n)
}

/// Mean and variance.
pub(crate) fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}
