//! What is told of each gathered pane: counts, quantiles, measures for people, and every stream's verdict.

mod fit;
mod spread;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::classification::{Confusion, Scores};
use stats::regression::Errors;
use wire::history::{History, StreamHistory, Verdict};
use wire::prediction::Status;
use wire::profile::Task;
use wire::{Digest, Family, Timestamp};

use super::Effects;
use super::closing::Closing;
use super::loaded::Loaded;
use super::stream::Stream;
use crate::pane::PaneCounts;
use spread::{distributions, stability};

/// Least event time of a record, so that a busy model does not write one every few seconds.
const LEAST_MS: i64 = 60_000;

/// Closed base panes that wait to be told of together. Fewer than `pane_min` records, or a minute of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gather {
    digest: u64,
    counts: Option<PaneCounts>,
    from: Timestamp,
    until: Timestamp,
    incomplete: bool,
}

impl Gather {
    /// Adds one closed base pane. What was folded under another profile is told of first.
    #[expect(clippy::too_many_arguments, reason = "the parts of one version, lent apart from each other")]
    pub(super) fn add(
        &mut self,
        at: &Closing<'_>,
        digest: u64,
        counts: &PaneCounts,
        loaded: Option<&Loaded>,
        streams: &mut [Stream],
        profile: Option<&Digest>,
        out: &mut Effects,
    ) {
        if self.counts.is_some() && self.digest != digest {
            self.flush(at, loaded, streams, profile, out);
        }
        self.incomplete |= at.incomplete;
        self.until = at.end;
        match &mut self.counts {
            // Panes of one digest have one shape; should they not, the later one is left out of what is told.
            Some(sum) => drop(sum.merge(counts)),
            None => {
                (self.counts, self.from, self.digest) = (Some(counts.clone()), at.start, digest);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn predictions(&self) -> u64 {
        self.counts.as_ref().map_or(0, |counts| counts.predictions)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_none()
    }

    pub(super) fn flush_if_due(
        &mut self,
        at: &Closing<'_>,
        loaded: Option<&Loaded>,
        streams: &mut [Stream],
        profile: Option<&Digest>,
        out: &mut Effects,
    ) {
        let Some(counts) = &self.counts else { return };
        let span_ms = at.end.since_ms(self.from);
        let enough = counts.predictions >= u64::from(at.config.judge.pane_min) && span_ms >= LEAST_MS;
        if enough || at.last_of_config || span_ms >= i64::from(at.config.judge.pane_max_s) * 1000 {
            self.until = at.end;
            self.flush(at, loaded, streams, profile, out);
        }
    }

    fn flush(
        &mut self,
        at: &Closing<'_>,
        loaded: Option<&Loaded>,
        streams: &mut [Stream],
        profile: Option<&Digest>,
        out: &mut Effects,
    ) {
        let Some(counts) = self.counts.take() else { return };
        let status = Status::ALL.iter().zip(counts.status).map(|(s, n)| (s.name().to_owned(), n)).collect();
        let quantile = |(name, q): (&str, f64)| Some((name.to_owned(), counts.latency.sketch.quantile(q)?));
        out.history.push(fit::fit(History {
            model: at.model.to_owned(),
            version: at.version.to_owned(),
            segment: at.segment.map(str::to_owned),
            window: [self.from, self.until],
            predictions: counts.predictions,
            status,
            latency_ms: [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
                .into_iter()
                .filter_map(quantile)
                .collect(),
            labels: counts.labels.total(),
            measures: measures(&counts, loaded),
            streams: if loaded.is_some() {
                streams.iter().map(|s| s.last.clone()).collect()
            } else {
                warming_up()
            },
            distributions: loaded.map(|loaded| distributions(&counts, loaded, streams)).unwrap_or_default(),
            left_out: 0,
            incomplete: self.incomplete,
            profile: profile.filter(|_| self.digest != 0).cloned(),
            config: Some(at.config.digest().clone()),
        }));
        self.incomplete = false;
        streams.iter_mut().for_each(|stream| stream.last.judged = 0);
    }
}

fn warming_up() -> Vec<StreamHistory> {
    vec![StreamHistory::new(Family::Other, "all", Verdict::WarmingUp)]
}

/// Measures for people, by name; only finite ones.
fn measures(counts: &PaneCounts, loaded: Option<&Loaded>) -> BTreeMap<String, f64> {
    let (mut confusion, mut scores, mut errors) =
        (Confusion::default(), Scores::default(), Errors::default());
    let (mut wrong, mut labelled) = (0_u64, 0_u64);
    for stratum in &counts.labels.strata {
        confusion.merge(&stratum.confusion);
        scores.merge(&stratum.scores);
        errors.merge(&stratum.errors);
        wrong = wrong.saturating_add(stratum.wrong);
        labelled = labelled.saturating_add(stratum.n);
    }
    let float = crate::reference::baseline::float;
    let task = loaded.map_or(Task::Unknown, |l| l.reference.profile.task);
    let classes = task != Task::Regression && labelled > 0;
    let mut named = vec![
        ("accuracy", classes.then(|| 1.0 - float(wrong) / float(labelled))),
        ("macro_f1", confusion.macro_f1().filter(|_| classes)),
        ("brier", scores.brier()),
        ("log_loss", scores.log_loss()),
        ("calibration_error", scores.calibration_error()),
        ("auc", scores.auc()),
    ];
    if task != Task::Classification {
        named.extend([
            ("mae", errors.mean_absolute()),
            ("rmse", errors.root_mean_square()),
            ("bias", errors.bias()),
        ]);
    }
    let mut out: BTreeMap<String, f64> =
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    if let Some(loaded) = loaded {
        out.extend(stability(counts, loaded));
    }
    out.retain(|_, value| value.is_finite());
    out
}
