//! All models at once: their records in order of arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use wire::Timestamp;

use crate::json::Clock;
use crate::layout::{LABEL_ID_AT, PREDICTION_ID_AT};
use crate::lineup::lineup;
use crate::rng::{Rng, mix};
use crate::scenario::{Scenario, script};
use crate::source::{Answer, Journey, Source};
use crate::truth::Truth;

/// Least and most of [`FleetConfig::rate`].
pub const RATE_MIN: f64 = 0.001;
pub const RATE_MAX: f64 = 100_000.0;
/// Most of [`FleetConfig::quiet_ms`]: ten years.
pub const QUIET_MAX_MS: i64 = 3652 * 86_400_000;

/// What to simulate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetConfig {
    pub seed: u64,
    /// Event time at which the first record is made.
    pub start: Timestamp,
    /// Multiplies the rate of every model. From [`RATE_MIN`] to [`RATE_MAX`].
    pub rate: f64,
    pub scenario: Scenario,
    /// Time without trouble before the scenario begins; held between 0 and [`QUIET_MAX_MS`]. The scenarios with
    /// trouble have a quiet quarter of an hour of their own.
    pub quiet_ms: i64,
}

impl Default for FleetConfig {
    /// The story on a Monday morning.
    fn default() -> Self {
        let start = Timestamp::EPOCH.plus_ms(1_772_442_000_000); // 2026-03-02T09:00:00Z
        Self { seed: 1, start, rate: 1.0, scenario: Scenario::Story, quiet_ms: 0 }
    }
}

/// One record as it arrives, lent until the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it arrives; never earlier than that of the record before.
    pub arrival: Timestamp,
    /// When the prediction was made, or the label known; at most three seconds before `arrival`.
    pub event_time: Timestamp,
    pub kind: Kind,
    pub model: &'static str,
    /// The prediction id: the key of both topics, so that a label lands where its prediction did.
    pub key: &'a str,
    /// One JSON object without a line end.
    pub json: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Prediction,
    Label,
}

/// The simulated fleet. It never ends; the caller stops when it has seen enough.
///
/// Memory: the labels under way (some 48 bytes each, at most those of a day) and the records of three seconds.
pub struct Fleet {
    start_ms: i64,
    truth: Truth,
    sources: Vec<Source>,
    clock: Clock,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    /// Counts what was sent, so that records of the same instant keep their order.
    sent: u64,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// The slot whose bytes the caller has.
    lent: Option<usize>,
}

/// A record that is written and on its way. Slots are used again.
#[derive(Default)]
struct Slot {
    json: Vec<u8>,
    id_end: usize,
}

/// Ordered by arrival, then by when it was sent.
#[derive(PartialEq, Eq)]
struct UnderWay {
    arrival_ms: i64,
    sent: u64,
    source: usize,
    what: What,
}

#[derive(PartialEq, Eq)]
enum What {
    Prediction {
        slot: usize,
        event_ms: i64,
    },
    /// Written when it arrives: it waits for hours.
    Label(Answer),
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrival_ms, self.sent).cmp(&(other.arrival_ms, other.sent))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Fleet {
    /// # Panics
    /// If the rate is not within [`RATE_MIN`] and [`RATE_MAX`].
    #[must_use]
    pub fn new(config: &FleetConfig) -> Self {
        assert!((RATE_MIN..=RATE_MAX).contains(&config.rate), "a rate from {RATE_MIN} to {RATE_MAX}");
        let start_ms = config.start.as_ms();
        let (planted, truth) = script(config);
        // Ids of two runs differ, so that neither takes the other's for duplicates.
        let run = [
            start_ms.cast_unsigned(),
            config.rate.to_bits(),
            config.scenario as u64,
            config.quiet_ms.cast_unsigned(),
        ]
        .iter()
        .fold(mix(config.seed), |run, part| mix(run ^ *part));
        let run = u32::try_from(run >> 32).expect("the upper half of 64 bits");
        let sources = lineup().iter().enumerate().map(|(i, spec)| {
            let mut stream = 10 * i as u64;
            let rng = || {
                stream += 1;
                Rng::new(config.seed, stream)
            };
            let own = planted.iter().filter(|p| p.model == i).copied().collect();
            Source::new(spec, own, (start_ms, config.rate), run, rng)
        });
        Self {
            start_ms,
            truth,
            sources: sources.collect(),
            clock: Clock::new(),
            under_way: BinaryHeap::new(),
            sent: 0,
            slots: vec![],
            free: vec![],
            lent: None,
        }
    }

    /// What this fleet does wrong, and when. Known before the first record.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The record that arrives next.
    pub fn advance(&mut self) -> Record<'_> {
        self.free.extend(self.lent.take());
        let arrived = loop {
            let source = self.first_due();
            // Nothing arrives before it is made: what arrives by then is next.
            let due = self.sources[source].due();
            if let Some(next) = self.under_way.peek_mut()
                && next.0.arrival_ms as f64 <= due
            {
                break PeekMut::pop(next).0;
            }
            self.predict(source);
        };
        self.lend(&arrived)
    }

    fn lend(&mut self, arrived: &UnderWay) -> Record<'_> {
        let source = arrived.source;
        let (slot, event_ms, kind, id_at) = match &arrived.what {
            What::Prediction { slot, event_ms } => (*slot, *event_ms, Kind::Prediction, PREDICTION_ID_AT),
            What::Label(answer) => (self.answer(source, answer), answer.known_ms, Kind::Label, LABEL_ID_AT),
        };
        self.lent = Some(slot);
        let Slot { json, id_end } = &self.slots[slot];
        Record {
            arrival: Timestamp::EPOCH.plus_ms(self.start_ms.saturating_add(arrived.arrival_ms)),
            event_time: Timestamp::EPOCH.plus_ms(self.start_ms.saturating_add(event_ms)),
            kind,
            model: self.sources[source].spec.name,
            key: std::str::from_utf8(&json[id_at..*id_end]).expect("ids are ASCII"),
            json,
        }
    }

    fn first_due(&self) -> usize {
        let due = |i: &usize| self.sources[*i].due();
        (0..self.sources.len()).min_by(|a, b| due(a).total_cmp(&due(b))).expect("the lineup is not empty")
    }

    /// Makes the next prediction of a source and sends it on its way, with its label.
    fn predict(&mut self, source: usize) {
        let slot = self.slot();
        let out = &mut self.slots[slot].json;
        let Some(drawn) = self.sources[source].predict(&mut self.clock, self.start_ms, out) else {
            self.free.push(slot);
            return;
        };
        self.slots[slot].id_end = drawn.id_end;
        let Journey { first_ms, again_ms } = drawn.journey;
        let event_ms = drawn.event_ms;
        self.send(event_ms + first_ms, source, What::Prediction { slot, event_ms });
        if let Some(again_ms) = again_ms {
            let copy = self.slot();
            let json = self.slots[slot].json.clone();
            self.slots[copy] = Slot { json, id_end: drawn.id_end };
            self.send(event_ms + again_ms, source, What::Prediction { slot: copy, event_ms });
        }
        if let Some(answer) = drawn.label {
            let Journey { first_ms, again_ms } = self.sources[source].journey();
            self.send(answer.known_ms + first_ms, source, What::Label(answer));
            if let Some(again_ms) = again_ms {
                self.send(answer.known_ms + again_ms, source, What::Label(answer));
            }
        }
    }

    fn answer(&mut self, source: usize, answer: &Answer) -> usize {
        let slot = self.slot();
        let Slot { json, id_end } = &mut self.slots[slot];
        *id_end = self.sources[source].answer(answer, &mut self.clock, self.start_ms, json);
        slot
    }

    /// An empty slot.
    fn slot(&mut self) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[slot].json.clear();
            return slot;
        }
        self.slots.push(Slot::default());
        self.slots.len() - 1
    }

    fn send(&mut self, arrival_ms: i64, source: usize, what: What) {
        self.sent += 1;
        self.under_way.push(Reverse(UnderWay { arrival_ms, sent: self.sent, source, what }));
    }
}
