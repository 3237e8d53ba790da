//! What a test expects: the reference's rate at this time of day, and what healthy records since have shown.

use serde::{Deserialize, Serialize};
use stats::Side;
use stats::binomial::learned_rate;
use stats::design_effect::Residual;

use super::{Rule, Stream, Terms, TestState};
use crate::family::{Count, TestPlan, learns_spread};
use crate::reference::baseline::float;

/// How long healthy panes wait before the null learns from them: a change must have been found by then.
const LEARN_AFTER_MS: i64 = 3_600_000;
/// Or how many of them wait, as a part of the records that the null is known from.
const LEARN_AFTER_PART: f64 = 4.0;

/// What a test expects now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::judge) struct Null {
    /// By reference and what was learned since.
    pub(in crate::judge) rate: f64,
    /// By the reference alone.
    pub(super) reference: f64,
    /// Records it is known from.
    pub(in crate::judge) worth: f64,
    pub(in crate::judge) d: f64,
}

impl Null {
    #[cfg(test)]
    pub(in crate::judge) fn of(rate: f64, worth: f64, d: f64) -> Self {
        Self { rate, reference: rate, worth, d }
    }

    pub(super) fn against(&self, side: Side) -> f64 {
        learned_rate((self.rate * self.worth).min(self.worth), self.worth, self.d, side)
    }
}

/// Records seen while nothing was wrong: of the event, in all, and expected by the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Clean {
    k: u64,
    n: u64,
    expected: f64,
}

impl Clean {
    fn add(&mut self, other: Self) {
        self.k = self.k.saturating_add(other.k);
        self.n = self.n.saturating_add(other.n);
        self.expected += other.expected;
    }
}

impl TestState {
    /// The reference's rate at this time of day, moved by what healthy records since have shown.
    pub(super) fn null(&self, rule: &Rule, test: usize, terms: Terms) -> Null {
        let baseline = &rule.baselines[test];
        let expected = baseline.at(terms.civil_ms);
        let (k, n) = (float(self.clean.k), float(self.clean.n));
        // As if the reference's records and the ones since had been counted together, hour by hour.
        let prior = expected.rate * baseline.worth();
        let rate = if prior + self.clean.expected > 0.0 {
            expected.rate * (prior + k) / (prior + self.clean.expected)
        } else if expected.worth + n > 0.0 {
            k / (expected.worth + n)
        } else {
            0.0
        };
        Null {
            rate: rate.clamp(0.0, 1.0),
            reference: expected.rate,
            worth: (expected.worth + n) / terms.widen,
            d: terms.widen
                * if learns_spread(rule.family()) {
                    baseline.tail * self.spread.d(baseline.d, rule.spread.worth)
                } else {
                    baseline.d
                },
        }
    }
}

/// The null of a pooled test: the mean of its members', weighted by the records that came.
pub(super) fn pooled(own: Null, plan: &TestPlan, nulls: &[Null], pending: &[Count]) -> Null {
    let members = || plan.pool.iter().map(|&i| (nulls[i].rate, float(pending[i].n)));
    let records: f64 = members().map(|(_, n)| n).sum();
    if records <= 0.0 {
        return own;
    }
    Null { rate: members().map(|(rate, n)| rate * n).sum::<f64>() / records, ..own }
}

impl Stream {
    /// The null of a test for what was gathered, for recovery.
    pub(in crate::judge) fn null(&self, rule: &Rule, test: usize, terms: Terms) -> Null {
        if let Some(ages) = &self.ages {
            return ages.null(rule, test, terms);
        }
        let own = |test: usize| self.tests[test].null(rule, test, terms);
        let plan = &rule.plan.tests[test];
        let last = plan.pool.last().map_or(0, |last| last + 1);
        let nulls: Vec<Null> = (0..last).map(own).collect();
        pooled(own(test), plan, &nulls, &self.pending)
    }

    /// Windows of the reference's length, one after another: how far they are from what is expected.
    pub(super) fn spread(&mut self, rule: &Rule, pending: &[Count], nulls: &[Null], healthy: bool) {
        let (from, until) = (self.from.unwrap_or_default(), self.until.unwrap_or_default());
        let since = *self.window_since.get_or_insert(from);
        let full = until.since_ms(since) >= rule.spread.window_ms;
        for ((test, count), null) in self.tests.iter_mut().zip(pending).zip(nulls) {
            test.spread.add(Residual::new(count.k.min(count.n), count.n, null.rate));
            if full {
                test.spread.next(healthy);
            }
        }
        if full {
            self.window_since = Some(until);
        }
    }

    /// Healthy panes join the null an hour or two later. While something is wrong, those that wait are dropped.
    pub(super) fn learn(&mut self, pending: &[Count], nulls: &[Null], healthy: bool) {
        if !healthy {
            self.young_since = None;
            for test in &mut self.tests {
                (test.young, test.aging) = (Clean::default(), Clean::default());
            }
            return;
        }
        let since = *self.young_since.get_or_insert(self.from.unwrap_or_default());
        let waiting = self.tests.iter().map(|test| test.young.n).max().unwrap_or(0);
        let due = self.until.is_some_and(|until| until.since_ms(since) >= LEARN_AFTER_MS)
            || float(waiting) * LEARN_AFTER_PART >= nulls.iter().map(|null| null.worth).fold(0.0, f64::max);
        for ((test, count), null) in self.tests.iter_mut().zip(pending).zip(nulls) {
            let (k, n) = (count.tolerated.min(count.n), count.n);
            test.young.add(Clean { k, n, expected: float(n) * null.reference });
            if due {
                test.clean.add(std::mem::replace(&mut test.aging, std::mem::take(&mut test.young)));
            }
        }
        if due {
            self.young_since = self.until;
        }
    }
}
