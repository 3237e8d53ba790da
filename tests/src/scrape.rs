//! What `/metrics` says, as a Prometheus reads it.

use std::collections::BTreeMap;

use crate::process::Process;
use crate::wait;

/// The values of one look, by name and labels.
#[derive(Clone, Debug)]
pub struct Scrape(Vec<(String, BTreeMap<String, String>, f64)>);

impl Scrape {
    /// What a process says now.
    ///
    /// # Panics
    /// When it does not answer, or a line is not in the exposition format.
    #[must_use]
    pub fn of(process: &Process) -> Self {
        let answer = process.get("/metrics").unwrap_or_else(|e| panic!("/metrics: {e}\n{}", process.said()));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let samples = answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(samples.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect())
    }

    /// The sum over the series that have these labels; `None` where there are none.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| of.get(*label).is_some_and(|found| found == value))
        };
        let found =
            self.0.iter().filter(|(named, of, _)| named == name && fits(of)).map(|(_, _, value)| *value);
        found.reduce(|a, b| a + b)
    }

    /// The series of this name, for whoever looks at a failed test.
    fn all(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|(named, ..)| named == name);
        of_name.map(|(_, labels, value)| format!("{labels:?} {value}")).collect()
    }
}

/// Waits until a metric has this value: some are told only from time to time.
///
/// # Panics
/// When it does not come to that; shows what there is instead.
pub fn until(process: &Process, name: &str, labels: &[(&str, &str)], value: f64) {
    let mut last = None;
    let done = wait::within(wait::PATIENCE, || {
        let now = Scrape::of(process);
        let is = now.get(name, labels).is_some_and(|found| (found - value).abs() < 1e-9);
        last = Some(now);
        is.then_some(())
    });
    let there = last.map(|scrape| scrape.all(name)).unwrap_or_default();
    assert!(done.is_some(), "{name} {labels:?} is not {value}: {there:#?}");
}

/// `name{label="value",…} number`, without escapes.
fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once('=')?;
        Some((label.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some((name.to_owned(), pairs.collect::<Option<_>>()?, value.parse().ok()?))
}
