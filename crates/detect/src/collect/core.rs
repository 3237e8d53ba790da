//! What one partition has counted and must remember.

use std::sync::Arc;

use wire::Timestamp;

use super::config::CollectConfig;
use super::duplicates::Duplicates;
use super::fold::Context;
use super::hash::Keys;
use super::join::{Join, Match, Predicted, Waiting};
use super::open::{Limits, Segments};
use super::state::StateChange;
use super::versions::{Slot, Versions};
use super::watermark::Watermark;
use super::{Counters, NotCounted};
use crate::decode::{Canonical, DecodeError, Decoded, Label, Prediction};
use crate::pane::{Outcome, Pane, PaneCounts, UNKNOWN_VERSION, add};

/// Sets ids of labels apart from ids of predictions.
const LABEL_SALT: u64 = 0x6c61_6265_6c6c_6162;

/// A label further ahead than this of every prediction is of another time.
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

pub(super) struct Core {
    pub(super) config: Arc<CollectConfig>,
    keys: Keys,
    pub(super) watermark: Watermark,
    /// The watermark that was told last: panes before it get nothing more.
    pub(super) told: Option<Timestamp>,
    pub(super) versions: Versions,
    pub(super) duplicates: Duplicates,
    pub(super) join: Join,
    /// What is gone since the last flush.
    pub(super) changes: Vec<StateChange>,
    pub(super) counters: Counters,
}

/// A label, ready to be compared.
struct Truth {
    hash: u64,
    number: Option<f64>,
    event_time: Timestamp,
}

impl Core {
    pub(super) fn new(config: Arc<CollectConfig>) -> Self {
        Self {
            keys: config.keys(),
            config,
            watermark: Watermark::default(),
            told: None,
            versions: Versions::default(),
            duplicates: Duplicates::default(),
            join: Join::default(),
            changes: Vec::new(),
            counters: Counters::default(),
        }
    }

    pub(super) fn now(&self) -> Option<Timestamp> {
        self.watermark.get(self.config.lateness_ms())
    }

    /// The start of the first pane that is open, if the one that starts at `start` has closed.
    fn closed(&self, start: Timestamp) -> Option<Timestamp> {
        let pane_ms = self.config.pane_ms();
        self.now().filter(|now| start.plus_ms(pane_ms) <= *now).map(|now| now.floor_to(pane_ms))
    }

    fn counts(&mut self, slot: Slot, start: Timestamp) -> &mut PaneCounts {
        let features_max = self.config.raw().features_max;
        let (pane, _, fold) = self.versions.open(slot, start);
        pane.counts(fold, features_max)
    }

    /// The slot of a version out of restored state.
    pub(super) fn slot_of(&mut self, model: &str, version: &str) -> Slot {
        let known = self.versions.find(model, version);
        known.unwrap_or_else(|| self.versions.add(model, version, &self.config))
    }

    /// Counts a record of the topic of predictions.
    pub(super) fn count(&mut self, decoded: &Decoded<'_>) -> Result<(), NotCounted> {
        match decoded {
            Decoded::Prediction(p) => {
                self.prediction(p);
                Ok(())
            }
            Decoded::Label(l) => self.label(l, self.now()),
        }
    }

    /// Whether the predictions that a label of this time can be about are all there: no more come for its pane.
    pub(super) fn is_label_due(&self, time: Option<Timestamp>) -> bool {
        let pane_ms = self.config.pane_ms();
        time.is_none_or(|time| self.now().is_some_and(|now| time.floor_to(pane_ms).plus_ms(pane_ms) <= now))
    }

    /// Counts a record of the topic of labels. Labels have their own time: which are late follows from the order of their
    /// topic, whatever the pace of the predictions.
    pub(super) fn count_label(
        &mut self,
        decoded: &Decoded<'_>,
        labels_to: Option<Timestamp>,
    ) -> Result<(), NotCounted> {
        match decoded {
            Decoded::Prediction(_) => {
                Err(DecodeError::Unsupported { what: "a prediction in the topic of labels" }.into())
            }
            Decoded::Label(l) => self.label(l, labels_to.max(self.told)),
        }
    }

    fn prediction(&mut self, p: &Prediction<'_>) {
        let config = Arc::clone(&self.config);
        let start = p.event_time.floor_to(config.pane_ms());
        let slot = self.versions.slot(p.model, p.version.unwrap_or(UNKNOWN_VERSION), &config);
        let closed = self.closed(start);
        self.versions.saw(slot, start, closed.unwrap_or(start));
        self.counters.predictions += 1;
        self.counters.unknown_version += u64::from(p.version.is_none());
        if let Some(first_open) = closed {
            self.counters.late += 1;
            add(&mut self.counts(slot, first_open).quality.late, 1);
            return;
        }
        let id = self.keys.id(p.id);
        if !self.is_new(id ^ self.versions.get(slot).salt, start) {
            self.counters.duplicates += 1;
            add(&mut self.counts(slot, start).quality.duplicates, 1);
            return;
        }
        let mut segments = Segments::default();
        for (key, segment) in segments.iter_mut().enumerate().take(config.raw().segments.len()) {
            *segment = p.segment(key).map(|value| self.versions.segment(slot, key, value, &config));
        }
        let context = Context { keys: &self.keys, record: id, categories_max: config.raw().categories_max };
        let limits = Limits { features_max: config.raw().features_max };
        let (pane, layout, fold) = self.versions.open(slot, start);
        let is_public = |feature: &str| config.is_public(p.model, feature);
        pane.predict(p, &segments, layout, fold, (context, limits), is_public);
        self.wait_for_label(p, (start, slot), id, &segments);
        self.advance(p.event_time);
    }

    fn is_new(&mut self, hash: u64, start: Timestamp) -> bool {
        let settings = &self.config.raw().duplicates;
        settings.window_s == 0 || self.duplicates.insert(hash, start, settings.ids_max)
    }

    fn wait_for_label(
        &mut self,
        p: &Prediction<'_>,
        (start, slot): (Timestamp, Slot),
        id: u64,
        segments: &Segments,
    ) {
        let Some(canonical) = p.prediction.and_then(|value| value.canonical()) else { return };
        let Self { config, keys, versions, join, .. } = self;
        let (pane, _, fold) = versions.open(slot, start);
        let chosen = id < pane.id_limit;
        let labels = &mut pane.counts(fold, config.raw().features_max).labels;
        add(&mut labels.joinable, 1);
        if !chosen {
            return;
        }
        let waiting = Waiting {
            predicted: match canonical {
                Canonical::Number(x) => Predicted::Number(x),
                Canonical::Text(_) => Predicted::Class(keys.value(canonical)),
            },
            #[expect(clippy::cast_possible_truncation, reason = "seven digits of a score are enough")]
            score: p.score.map(|score| score as f32),
            at_ms: u32::try_from(p.event_time.since_ms(start)).expect("a pane is at most an hour"),
            segments: [0; 4],
            done: false,
        };
        let per_pane = config.raw().labels.per_pane as usize;
        let names = segments.each_ref().map(Option::as_deref);
        let offered = join.offer((start, slot), id, waiting, names, per_pane);
        add(&mut labels.waiting, u64::from(offered.grew));
        pane.id_limit = offered.limit;
        join.shrink(config.raw().labels.waiting_max as usize, versions, &mut self.changes);
    }

    /// Time goes on; what is past at a pane's end is forgotten there, so that no flush decides it.
    fn advance(&mut self, time: Timestamp) {
        let before = self.now();
        self.watermark.advance(time);
        let pane_ms = self.config.pane_ms();
        let (was, Some(is)) = (before.map(|t| t.floor_to(pane_ms)), self.now().map(|t| t.floor_to(pane_ms)))
        else {
            return;
        };
        if was == Some(is) {
            return;
        }
        self.duplicates.forget_before(is.plus_ms(-self.config.duplicates_ms()));
        self.join.expire(is.plus_ms(-self.config.wait_ms()), &self.versions, &mut self.changes);
        if was.map(|t| t.floor_to(HOUR_MS)) != Some(is.floor_to(HOUR_MS)) {
            self.versions.forget(is, self.config.wait_ms(), &mut self.changes);
        }
    }

    /// True if a label of this time is beyond anything that could still be joined.
    pub(super) fn is_label_ahead(&self, time: Timestamp) -> bool {
        let most = self.config.wait_ms().min(DAY_MS);
        self.watermark.latest().is_some_and(|latest| time.since_ms(latest) > most)
    }

    /// Counts a label for the pane of its time, or for the one of `open_from` if that is later.
    fn label(&mut self, l: &Label<'_>, open_from: Option<Timestamp>) -> Result<(), NotCounted> {
        if self.is_label_ahead(l.event_time) {
            return Err(NotCounted::LabelAhead);
        }
        let Some(value) = l.value.canonical() else { return Ok(()) };
        let number = match value {
            Canonical::Number(x) => Some(x),
            Canonical::Text(_) => None,
        };
        let truth = Truth { hash: self.keys.value(value), number, event_time: l.event_time };
        let id = self.keys.id(l.id);
        let (pane_ms, own) = (self.config.pane_ms(), l.event_time.floor_to(self.config.pane_ms()));
        let start = open_from.map_or(own, |from| own.max(from.floor_to(pane_ms)));
        let pane = (start, start > own);
        if let Some(predicted) = l.prediction.and_then(|value| value.canonical()) {
            let model = l.model.ok_or(DecodeError::Missing { field: "model" })?;
            self.counters.labels += 1;
            self.label_with_prediction((l, model), pane, id, &truth, predicted);
        } else {
            self.counters.labels += 1;
            self.label_by_id(l, pane, id, &truth);
        }
        Ok(())
    }

    fn label_with_prediction(
        &mut self,
        (l, model): (&Label<'_>, &str),
        (start, late): (Timestamp, bool),
        id: u64,
        truth: &Truth,
        predicted: Canonical<'_>,
    ) {
        let config = Arc::clone(&self.config);
        let slot = self.versions.slot(model, l.version.unwrap_or(UNKNOWN_VERSION), &config);
        let own = l.event_time.floor_to(config.pane_ms());
        self.versions.saw(slot, own, own);
        if !self.is_new(id ^ self.versions.get(slot).salt ^ LABEL_SALT, start) {
            self.counters.labels_duplicate += 1;
            add(&mut self.counts(slot, start).labels.duplicates, 1);
            return;
        }
        let predicted = match predicted {
            Canonical::Number(x) => Predicted::Number(x),
            Canonical::Text(_) => Predicted::Class(self.keys.value(predicted)),
        };
        self.outcome((slot, start, late), truth, predicted, l.score, None, &[]);
    }

    fn label_by_id(&mut self, l: &Label<'_>, (start, late): (Timestamp, bool), id: u64, truth: &Truth) {
        let versions = &self.versions;
        let matches = self.join.label(id, |slot| {
            let version = versions.get(slot);
            l.model.is_none_or(|m| *version.model == *m) && l.version.is_none_or(|v| *version.version == *v)
        });
        if matches.is_empty() {
            self.counters.labels_unmatched += 1;
            let version = l.version.unwrap_or(UNKNOWN_VERSION);
            let known = l.model.and_then(|model| self.versions.find(model, version));
            // Of a version that comes later, what is known depends on how far predictions were read.
            let is_known = |slot: &Slot| self.versions.get(*slot).known.since <= l.event_time;
            if let Some(slot) = known.filter(is_known) {
                add(&mut self.counts(slot, start).labels.unmatched, 1);
            }
        }
        for Match { slot, predicted, score, event_time, segments, repeated } in matches {
            if repeated {
                self.counters.labels_duplicate += 1;
                add(&mut self.counts(slot, start).labels.duplicates, 1);
                continue;
            }
            let delay_ms = truth.event_time.since_ms(event_time).max(0);
            let segments: Vec<Arc<str>> = segments.into_iter().map(Into::into).collect();
            self.outcome((slot, start, late), truth, predicted, score, Some(delay_ms), &segments);
        }
    }

    fn outcome(
        &mut self,
        (slot, start, late): (Slot, Timestamp, bool),
        truth: &Truth,
        predicted: Predicted,
        score: Option<f64>,
        delay_ms: Option<i64>,
        segments: &[Arc<str>],
    ) {
        let (hash, number) = match predicted {
            Predicted::Number(x) => (self.keys.value(Canonical::Number(x)), Some(x)),
            Predicted::Class(hash) => (hash, None),
        };
        let outcome =
            Outcome { wrong: hash != truth.hash, numbers: truth.number.zip(number), classes: None, score };
        let features_max = self.config.raw().features_max;
        let (pane, _, fold) = self.versions.open(slot, start);
        pane.label(outcome, (truth.hash, hash), delay_ms, segments, fold, features_max);
        if late {
            self.counters.labels_late += 1;
            add(&mut self.counts(slot, start).labels.late, 1);
        }
    }

    /// Takes all counts, in the order of their keys, and lets go of panes that nothing more is known of.
    pub(super) fn take_panes(&mut self) -> Vec<Pane> {
        let (now, pane_ms) = (self.now(), self.config.pane_ms());
        let mut panes = Vec::new();
        for version in self.versions.iter_mut() {
            for open in &mut version.open {
                panes.extend(open.take(&version.model, &version.version));
            }
            let is_open = |start: Timestamp| now.is_none_or(|now| start.plus_ms(pane_ms) > now);
            version.open.retain(|open| open.id_limit < u64::MAX && is_open(open.start));
        }
        self.versions.opened = 0;
        panes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        panes
    }
}
