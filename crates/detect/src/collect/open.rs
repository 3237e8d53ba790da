//! The panes of one version that are being counted.

use std::sync::Arc;

use wire::Timestamp;

use super::config::SEGMENT_KEYS_MAX;
use super::fold::{self, Context, Fold};
use crate::decode::Prediction;
use crate::pane::{Outcome, Pane, PaneCounts, PaneKey, add, stratum};

/// One pane of a version. Its counts go with every flush; what is left only saves work.
#[derive(Debug)]
pub(super) struct OpenPane {
    pub(super) start: Timestamp,
    /// Ids above this are not chosen to wait for labels.
    pub(super) id_limit: u64,
    cells: Vec<Cell>,
}

/// Counts of a pane, or of one segment of it.
#[derive(Debug)]
struct Cell {
    segment: Option<Arc<str>>,
    fold: Arc<Fold>,
    counts: Box<PaneCounts>,
}

/// Segments that a record is counted under, beside the whole.
pub(super) type Segments = [Option<Arc<str>>; SEGMENT_KEYS_MAX];

/// Names of features as records bring them, so that the next is found without a search.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Of the profile that the names are of.
    digest: u64,
    /// In order.
    names: Vec<Name>,
    previous: usize,
    record: u64,
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    /// Which came after it last time.
    after: usize,
    /// Last record that had it.
    record: u64,
}

impl Layout {
    /// A new record begins, counted under `fold`.
    fn begin(&mut self, fold: &Fold) {
        if self.digest != fold.digest {
            let name = |text: &String| Name { text: text.as_str().into(), after: 0, record: 0 };
            self.names = fold.names.iter().map(|(text, _)| name(text)).collect();
            self.digest = fold.digest;
            self.previous = 0;
        }
        self.record += 1;
    }

    /// Place of a name in order, or where it would be.
    fn find(&mut self, name: &str) -> Result<usize, usize> {
        let expected = self.names.get(self.previous).map_or(0, |previous| previous.after);
        let found = match self.names.get(expected) {
            Some(known) if *known.text == *name => Ok(expected),
            Some(_) | None => self.names.binary_search_by(|known| (*known.text).cmp(name)),
        };
        if let Ok(at) = found {
            if let Some(previous) = self.names.get_mut(self.previous) {
                previous.after = at;
            }
            self.previous = at;
        }
        found
    }

    /// Notes that this record has the name at `at`. False if it had it before.
    fn mark(&mut self, at: usize) -> bool {
        std::mem::replace(&mut self.names[at].record, self.record) != self.record
    }

    /// Without a profile: false if this record had the name before, as far as there is room to know.
    fn is_first(&mut self, name: &str, max: usize) -> bool {
        match self.find(name) {
            Ok(at) => self.mark(at),
            Err(at) if self.names.len() < max => {
                self.names.insert(at, Name { text: name.into(), after: 0, record: self.record });
                true
            }
            Err(_) => true,
        }
    }
}

/// How much is told apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) features_max: u32,
}

impl OpenPane {
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, id_limit: u64::MAX, cells: Vec::new() }
    }

    /// The counts of the whole, made under `fold` if there are none.
    pub(super) fn counts(&mut self, fold: impl FnOnce() -> Arc<Fold>, features_max: u32) -> &mut PaneCounts {
        let at = self.cell(None, fold, features_max);
        &mut self.cells[at].counts
    }

    /// Place of a cell. All cells of a pane are counted under one fold.
    fn cell(
        &mut self,
        segment: Option<&Arc<str>>,
        fold: impl FnOnce() -> Arc<Fold>,
        features_max: u32,
    ) -> usize {
        let known = self.cells.iter().position(|cell| cell.segment.as_ref() == segment);
        known.unwrap_or_else(|| {
            let fold = self.cells.first().map_or_else(fold, |cell| Arc::clone(&cell.fold));
            let counts = Box::new(fold.empty(features_max));
            self.cells.push(Cell { segment: segment.cloned(), fold, counts });
            self.cells.len() - 1
        })
    }

    /// Counts a prediction in the whole and in its segments.
    pub(super) fn predict(
        &mut self,
        p: &Prediction<'_>,
        segments: &Segments,
        layout: &mut Layout,
        fold: impl FnOnce() -> Arc<Fold>,
        (context, limits): (Context<'_>, Limits),
        is_public: impl Fn(&str) -> bool,
    ) {
        let mut into = [0; SEGMENT_KEYS_MAX + 1];
        into[0] = self.cell(None, fold, limits.features_max);
        let fold = Arc::clone(&self.cells[into[0]].fold);
        let mut cells = 1;
        for segment in segments.iter().flatten() {
            into[cells] = self.cell(Some(segment), || Arc::clone(&fold), limits.features_max);
            cells += 1;
        }
        let into = &into[..cells];
        let raw = fold.profile.is_none();
        let public = raw && p.prediction.is_some() && is_public("prediction");
        for at in into {
            fold::count(&mut self.cells[*at].counts, &fold, p, context, public);
        }
        layout.begin(&fold);
        for (name, value) in p.features.last_first() {
            if raw {
                if layout.is_first(name, limits.features_max as usize) {
                    let public = is_public(name);
                    for at in into {
                        fold::count_raw_feature(&mut self.cells[*at].counts, name, value, context, public);
                    }
                }
            } else if let Ok(place) = layout.find(name) {
                if layout.mark(place) {
                    for at in into {
                        fold::count_feature(
                            &mut self.cells[*at].counts,
                            &fold,
                            fold.names[place].1,
                            value,
                            context,
                        );
                    }
                }
            } else {
                for at in into {
                    add(&mut self.cells[*at].counts.quality.features_unknown, 1);
                }
            }
        }
    }

    /// Counts a labelled prediction in the whole and in its segments.
    pub(super) fn label(
        &mut self,
        outcome: Outcome,
        (truth, predicted): (u64, u64),
        delay_ms: Option<i64>,
        segments: &[Arc<str>],
        fold: impl FnOnce() -> Arc<Fold>,
        features_max: u32,
    ) {
        let whole = self.cell(None, fold, features_max);
        let fold = Arc::clone(&self.cells[whole].fold);
        let error_edges: &[f64] = fold.profile.as_ref().map_or(&[], |p| &p.error_edges);
        let at_stratum = fold.profile.as_ref().map_or(0, |p| stratum(p, delay_ms, outcome.score));
        let classes = fold.class(truth).zip(fold.class(predicted));
        let into = segments.iter().map(|s| self.cell(Some(s), || Arc::clone(&fold), features_max));
        let into: Vec<usize> = into.chain([whole]).collect();
        for at in into {
            self.cells[at].counts.labels.strata[at_stratum]
                .count(Outcome { classes, ..outcome }, error_edges);
        }
    }

    /// Takes the counts, ready to leave.
    pub(super) fn take(&mut self, model: &str, version: &str) -> impl Iterator<Item = Pane> + use<'_> {
        let (model, version, start) = (model.to_owned(), version.to_owned(), self.start);
        self.cells.drain(..).map(move |cell| {
            let mut counts = *cell.counts;
            let predictions = counts.predictions;
            for feature in counts.features.iter_mut().chain(&mut counts.prediction).chain(&mut counts.score) {
                feature.set_missing(predictions);
            }
            let segment = cell.segment.map(|name| name.as_ref().to_owned());
            let key = PaneKey { model: model.clone(), version: version.clone(), segment, start };
            Pane { key, profile: cell.fold.digest, counts }
        })
    }
}
