//! Latency: evidence by windows of many ages, each against the level as it stood before it.

use serde::{Deserialize, Serialize};
use stats::effect::{Z_GATE, effect};
use stats::windows::{self, AgeWindows, PaneOf, Window, WindowRule};
use wire::Timestamp;

use super::{Judged, LEAD, Least, Moved, Null, PageEffects, Rule, Terms, events_min, ranked};
use crate::family::{Count, bets, sides};
use crate::reference::baseline::{Baseline, float};

/// The oldest window: what builds up over more than this is seen against a level that has moved along.
const SPAN_MAX_MS: i64 = 75 * 60_000;
/// Half-life of the level: the day swings, and no reference of a few hours knows how.
const HALF_LIFE_MS: f64 = 1.5 * 3_600_000.0;
/// How far back the level looks, window and half-lives together: the spread over so long is how wrong it can be.
const LEVEL_SPAN_MS: i64 = 3 * 3_600_000;
/// Of shares so small that an hour and a half shows nothing of them.
const RARE: f64 = 0.02;
const RARE_HALF_LIFE_MS: f64 = 8.0 * 3_600_000.0;

/// The evidence of a stream that is judged by age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ages {
    tests: Vec<Aged>,
    may_page: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Aged {
    windows: AgeWindows,
    level: Level,
    /// Its part of the alarm values: page, ticket.
    values: [f64; 2],
}

/// Healthy records, forgotten as time goes by: events, records, and events that are usual among so many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Level {
    k: f64,
    n: f64,
    expected: f64,
}

impl Level {
    /// What the reference says.
    fn of(baseline: &Baseline) -> Self {
        let usual = baseline.all();
        let n = usual.worth;
        Self { k: usual.rate * n, n, expected: usual.rate * n }
    }

    fn learn(&mut self, count: Count, expected: f64, span_ms: i64, half_life_ms: f64) {
        let kept = libm::exp2(-float(span_ms.max(0).unsigned_abs()) / half_life_ms);
        self.k = self.k * kept + float(count.tolerated.min(count.n));
        self.n = self.n * kept + float(count.n);
        self.expected = self.expected * kept + expected;
    }

    /// The level against what is usual, and the independent records that it is worth. A reference that knows the hours
    /// is never forgotten: it is worth as many records as its days are alike.
    fn baseline(self, baseline: &Baseline, widen: f64) -> windows::Baseline {
        let prior = if baseline.knows_hours() { baseline.worth() / baseline.d } else { 0.0 };
        let d = baseline.spread_at(LEVEL_SPAN_MS);
        let usual = prior * baseline.all().rate;
        let (k, expected) = (usual + self.k / d, usual + self.expected / d);
        let level = if expected > 0.0 { k / expected } else { 1.0 };
        windows::Baseline { level, worth: (prior + self.n / d) / widen }
    }
}

impl Aged {
    /// The largest effect above which the windows, granted as pages are, still alarm.
    fn sure(&self, rule: WindowRule<'_>, spread: impl Fn(i64) -> f64, effects: PageEffects) -> Option<f64> {
        let reached = |effect: &f64| self.windows.page_value_above(rule, *effect, &spread) >= 1.0;
        effects.iter().copied().take_while(reached).last()
    }
}

impl Ages {
    pub(super) fn new(rule: &Rule, may_page: bool) -> Self {
        let aged =
            |baseline| Aged { windows: AgeWindows::default(), level: Level::of(baseline), values: [0.0; 2] };
        Self { tests: rule.baselines.iter().map(aged).collect(), may_page }
    }

    pub(super) fn may_page(&self) -> bool {
        self.may_page
    }

    /// What was granted for pages goes with the leave to page.
    pub(super) fn let_page(&mut self, may_page: bool) {
        self.may_page = may_page;
        if !may_page {
            self.spend(0);
        }
    }

    pub(super) fn fits(&self, rule: &Rule) -> bool {
        self.tests.len() == rule.plan.tests.len()
    }

    /// Alarm values: page, ticket.
    pub(super) fn values(&self) -> [f64; 2] {
        self.tests.iter().fold([0.0; 2], |sum, t| [sum[0] + t.values[0], sum[1] + t.values[1]])
    }

    /// What a test holds of the larger value.
    pub(super) fn evidence(&self, test: usize) -> f64 {
        let [page, ticket] = self.tests[test].values;
        page.max(ticket)
    }

    /// An alarm has spent what was granted for pages (0) or tickets (1).
    pub(super) fn spend(&mut self, kind: usize) {
        for test in &mut self.tests {
            test.windows.spend(kind);
            test.values[kind] = 0.0;
        }
    }

    pub(super) fn restart(&mut self) {
        for test in &mut self.tests {
            test.windows.reset();
            test.values = [0.0; 2];
        }
    }

    pub(super) fn null(&self, rule: &Rule, test: usize, terms: Terms) -> Null {
        let baseline = &rule.baselines[test];
        let usual = baseline.at(terms.civil_ms).rate;
        let level = self.tests[test].level.baseline(baseline, terms.widen);
        Null {
            rate: (usual * level.level).clamp(0.0, 1.0),
            reference: usual,
            worth: level.worth,
            d: baseline.spread_at(SPAN_MAX_MS) * terms.widen,
        }
    }

    /// Folds a pane and says what stands out.
    pub(super) fn judge(
        &mut self,
        rule: &Rule,
        pending: &[Count],
        (from, span_ms): (Timestamp, i64),
        terms: Terms,
        least: Least,
    ) -> Judged {
        let weight = 1.0 / float(self.tests.len().max(1) as u64);
        let grants = terms.grants.map(|grant| grant * weight);
        let deltas = bets(rule.family());
        let side = sides(rule.family())[0];
        let (mut moved, mut lead) = (vec![], (LEAD, None));
        for (at, (test, count)) in self.tests.iter_mut().zip(pending).enumerate() {
            let baseline = &rule.baselines[at];
            let usual = baseline.at(terms.civil_ms).rate;
            let expected = usual * float(count.n);
            let level = test.level.baseline(baseline, terms.widen);
            let pane = PaneOf { k: count.k.min(count.n), n: count.n, expected, span_ms };
            test.windows.push(pane, level, grants, SPAN_MAX_MS);
            let windows = WindowRule { side, deltas };
            let spread = |span_ms: i64| baseline.spread_at(span_ms) * terms.widen;
            let (values, best) = test.windows.value(windows, spread);
            test.values = values;
            if let Some(window) = best
                && let Some(seen) = read(window, spread(window.span_ms), rule, at, values, (from, span_ms))
            {
                if seen.evidence >= lead.0 {
                    lead = (seen.evidence, Some(seen.effect()));
                }
                if stands_out(&seen, rule, least) {
                    let sure = if values[0] > 0.0 { test.sure(windows, spread, least.page) } else { None };
                    moved.push(Moved { sure, ..seen });
                }
            }
            if terms.learn {
                let half_life = if usual <= RARE { RARE_HALF_LIFE_MS } else { HALF_LIFE_MS };
                test.level.learn(*count, expected, span_ms, half_life);
            }
        }
        let [page, ticket] = self.values();
        let most = (0..self.tests.len()).map(|test| self.evidence(test)).fold(0.0, f64::max);
        let moved = ranked(moved, most);
        Judged { page, ticket, moved, effect: lead.1, from: Some(from) }
    }
}

/// The window as a change.
fn read(
    window: Window,
    d: f64,
    rule: &Rule,
    test: usize,
    values: [f64; 2],
    (from, span_ms): (Timestamp, i64),
) -> Option<Moved> {
    let side = sides(rule.family())[0];
    let e = effect(window.k, window.n, window.rate, window.baseline.worth, d, side, Z_GATE)?;
    Some(Moved {
        test,
        side,
        evidence: values[0].max(values[1]),
        lower: e.lower,
        estimate: e.estimate,
        upper: e.upper,
        sure: None,
        samples: window.n,
        k: window.k,
        null: window.rate,
        d,
        since: from.plus_ms(span_ms - window.span_ms),
    })
}

/// Whether it passes the gate.
fn stands_out(seen: &Moved, rule: &Rule, least: Least) -> bool {
    let enough = seen.samples >= least.records.max(1) && seen.k >= events_min(rule.family());
    seen.lower >= least.effect && enough && seen.evidence > 0.0
}
