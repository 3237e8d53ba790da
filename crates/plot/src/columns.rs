//! Panes as a bounded number of columns: neighbours are merged as more come, and what matters of each survives.

use wire::history::{StreamHistory, Verdict};
use wire::{Effect, Timestamp};

/// Most columns of a picture.
pub const COLUMNS_MAX: usize = 120;

/// What covers a span of event time and can take in what follows it.
pub trait Merge {
    /// Both, as one.
    #[must_use]
    fn plus(self, later: Self) -> Self;
}

/// At most [`COLUMNS_MAX`] columns, whatever is pushed: when there is no room, each becomes twice as wide. Costs a
/// constant time on average and no memory beyond that.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns<C> {
    done: Vec<C>,
    /// The column that is being filled, and how many it holds.
    filling: Option<(C, u64)>,
    /// Pushes that a column holds.
    width: u64,
}

impl<C> Default for Columns<C> {
    fn default() -> Self {
        Self { done: vec![], filling: None, width: 1 }
    }
}

impl<C: Merge + Clone> Columns<C> {
    /// Adds what follows, in the order of event time.
    pub fn push(&mut self, next: C) {
        let (column, held) = match self.filling.take() {
            Some((column, held)) => (column.plus(next), held + 1),
            None => (next, 1),
        };
        if held < self.width {
            self.filling = Some((column, held));
            return;
        }
        self.done.push(column);
        if self.done.len() == COLUMNS_MAX {
            let all = std::mem::take(&mut self.done);
            let mut all = all.into_iter();
            while let Some(first) = all.next() {
                self.done.push(match all.next() {
                    Some(second) => first.plus(second),
                    None => first,
                });
            }
            self.width *= 2;
        }
    }

    /// From left to right, the one that is being filled last.
    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.done.iter().chain(self.filling.iter().map(|(column, _)| column))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.filling.is_none()
    }
}

/// One stream over some panes.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub from: Timestamp,
    pub until: Timestamp,
    /// How often it was judged.
    pub judged: u32,
    pub k: u64,
    pub n: u64,
    /// Events that the references expect among `n`.
    pub expected: f64,
    /// Least and largest difference of a pane's share from its reference. Both 0 when nothing was judged.
    pub range: [f64; 2],
    /// The effect whose nearer limit is furthest from zero: what the gate came closest to passing.
    pub effect: Option<Effect>,
    /// Highest D: page, ticket.
    pub peak: [f64; 2],
    pub granted: [f64; 2],
    /// The one that asks for most attention.
    pub verdict: Verdict,
}

impl Column {
    /// One closed pane.
    #[must_use]
    pub fn of([from, until]: [Timestamp; 2], stream: &StreamHistory) -> Self {
        let mut column = Self {
            from,
            until,
            judged: stream.judged,
            k: 0,
            n: 0,
            expected: 0.0,
            range: [0.0; 2],
            effect: stream.effect,
            peak: [stream.peak, stream.after].into_iter().fold([0.0; 2], larger),
            granted: [0.0; 2],
            verdict: stream.verdict,
        };
        if stream.judged > 0 {
            (column.k, column.n, column.granted) = (stream.k.min(stream.n), stream.n, stream.granted);
            column.expected = stream.reference * float(stream.n);
            column.range = [column.excess().unwrap_or_default(); 2];
        }
        column
    }

    /// How far its share is from the reference; `None` without records.
    #[must_use]
    pub fn excess(&self) -> Option<f64> {
        (self.n > 0).then(|| (float(self.k) - self.expected) / float(self.n))
    }

    /// Share of the reference, over the records that came.
    #[must_use]
    pub fn reference(&self) -> Option<f64> {
        (self.n > 0).then(|| self.expected / float(self.n))
    }
}

impl Merge for Column {
    fn plus(self, later: Self) -> Self {
        let range = match (self.n > 0, later.n > 0) {
            (true, true) => [self.range[0].min(later.range[0]), self.range[1].max(later.range[1])],
            (false, true) => later.range,
            (true | false, false) => self.range,
        };
        Self {
            from: self.from.min(later.from),
            until: self.until.max(later.until),
            judged: self.judged.saturating_add(later.judged),
            k: self.k.saturating_add(later.k),
            n: self.n.saturating_add(later.n),
            expected: self.expected + later.expected,
            range,
            effect: match (self.effect, later.effect) {
                (Some(a), Some(b)) => Some(if sure(b) >= sure(a) { b } else { a }),
                (one, other) => one.or(other),
            },
            peak: larger(self.peak, later.peak),
            granted: [self.granted[0] + later.granted[0], self.granted[1] + later.granted[1]],
            verdict: if rank(later.verdict) >= rank(self.verdict) { later.verdict } else { self.verdict },
        }
    }
}

/// How far from zero the nearer limit is; negative when zero lies between.
fn sure(effect: Effect) -> f64 {
    effect.lower.max(-effect.upper)
}

const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Ok => 0,
        Verdict::NoData => 1,
        Verdict::InsufficientData => 2,
        Verdict::WarmingUp => 3,
        Verdict::NotCalibrated => 4,
        Verdict::InvalidInput => 5,
        Verdict::Drifting | Verdict::Degraded => 6,
    }
}

fn larger(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0].max(b[0]), a[1].max(b[1])]
}

#[expect(clippy::cast_precision_loss, reason = "counts of records")]
pub(crate) fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::Family;

    pub(crate) fn column(i: i64, k: u64, n: u64, peak: f64) -> Column {
        let at = |i: i64| Timestamp::EPOCH.plus_ms(i * 60_000);
        let stream = StreamHistory {
            k,
            n,
            reference: 0.1,
            judged: 1,
            peak: [peak, 0.0],
            ..StreamHistory::new(
                Family::Drift,
                "a",
                if peak >= 1.0 { Verdict::Drifting } else { Verdict::Ok },
            )
        };
        Column::of([at(i), at(i + 1)], &stream)
    }

    proptest! {
        #[test]
        fn columns_are_bounded_and_lose_no_alarm_and_no_record(
            panes in proptest::collection::vec((0_u64..50, 0.0..0.9_f64), 1..2000),
            alarm in any::<proptest::sample::Index>(),
        ) {
            let alarm = alarm.index(panes.len());
            let mut columns = Columns::default();
            for (i, (k, d)) in panes.iter().enumerate() {
                let peak = if i == alarm { 3.5 } else { *d };
                columns.push(column(i64::try_from(i).unwrap(), *k, 50, peak));
            }
            let all: Vec<&Column> = columns.iter().collect();
            prop_assert!(all.len() <= COLUMNS_MAX);
            prop_assert_eq!(all.iter().map(|c| c.k).sum::<u64>(), panes.iter().map(|(k, _)| k).sum::<u64>());
            prop_assert!(all.windows(2).all(|pair| pair[0].until == pair[1].from));
            let at = Timestamp::EPOCH.plus_ms(i64::try_from(alarm).unwrap() * 60_000);
            let hit: Vec<_> = all.iter().filter(|c| c.peak[0] >= 1.0).collect();
            prop_assert_eq!(hit.len(), 1);
            prop_assert!(hit[0].from <= at && at < hit[0].until && hit[0].peak[0].total_cmp(&3.5).is_eq());
            prop_assert_eq!(hit[0].verdict, Verdict::Drifting);
        }
    }

    #[test]
    fn a_merged_column_keeps_what_the_gate_came_closest_to() {
        let effect = |lower: f64, upper: f64| Effect { estimate: 0.5 * (lower + upper), lower, upper };
        let with = |e| Column { effect: Some(e), ..column(0, 5, 50, 0.2) };
        for (a, b, want) in [
            (effect(0.1, 0.2), effect(-0.1, 0.4), effect(0.1, 0.2)),
            (effect(-0.1, 0.4), effect(-0.4, -0.2), effect(-0.4, -0.2)),
        ] {
            assert_eq!(with(a).plus(with(b)).effect, Some(want));
        }
        let none = Column { n: 0, k: 0, expected: 0.0, range: [0.0; 2], ..column(0, 0, 1, 0.0) };
        let some = column(1, 20, 50, 0.0);
        let same = |got: Column| got.range.iter().zip(some.range).all(|(a, b)| a.total_cmp(&b).is_eq());
        assert!(same(none.clone().plus(some.clone())));
        assert!(same(some.clone().plus(none)));
    }
}
