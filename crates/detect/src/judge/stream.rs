//! One stream under test: what it has gathered, its evidence, and how far off it is.

mod ages;
mod late;
mod null;

use serde::{Deserialize, Serialize};
use stats::binomial::{log_ratios, log_ratios_of_strata};
use stats::design_effect::LearnedSpread;
use stats::effect::{ChangeWindow, EffectGate, GateRule, Z_GATE, effect};
use stats::spending::ratios_in_place;
use stats::{Side, Spending};
use wire::history::{StreamHistory, Verdict};
use wire::{Effect, Family, Timestamp};

use crate::config::FamilySettings;
use crate::family::{Count, StreamPlan, TestPlan, bets, by_age, learns_spread, sides};
use crate::reference::Reference;
use crate::reference::baseline::{Baseline, float};
use crate::reference::cells::longest_window_ms;

use super::words::is_inverted;
use ages::Ages;
use null::{Clean, pooled};

pub(super) use null::Null;

/// Least evidence of a test, against that of the test with most, to be what an alarm is about. Not against all of D, which
/// a change that every test sees is shared out among.
pub(super) const LEAD: f64 = 0.1;

/// The fixed part of a stream: shared by all versions that are judged against one reference.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) plan: StreamPlan,
    pub(super) baselines: Vec<Baseline>,
    /// Each cell's share of the grant: its test's, over sides and bets.
    weights: Vec<f64>,
    spread: SpreadWindows,
}

/// At which windows the spread of the reference was read, and how many windows it is worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpreadWindows {
    pub(super) window_ms: i64,
    pub(super) worth: f64,
    /// How far the stream's days differ is not known from it: it may ticket, not page.
    pub(super) growing: bool,
}

impl SpreadWindows {
    /// The longest window at which it was read. What its spread was shrunk towards is worth six and a half more.
    pub(super) fn of(reference: &Reference) -> Self {
        let span_ms = reference.window[1].since_ms(reference.window[0]);
        let window_ms = longest_window_ms(span_ms).max(60_000);
        Self { window_ms, worth: float((span_ms / window_ms).unsigned_abs()) + 6.5, growing: false }
    }
}

impl Rule {
    pub(super) fn new(plan: StreamPlan, baselines: Vec<Baseline>, spread: SpreadWindows) -> Self {
        let each = plan.sides().len() * plan.bets().len();
        // What the reference has never seen has nothing to compare with.
        let share = |(test, baseline): (&TestPlan, &Baseline)| {
            if baseline.worth() > 0.0 { test.share } else { 0.0 }
        };
        let shares: Vec<f64> = plan.tests.iter().zip(&baselines).map(share).collect();
        let all = shares.iter().sum::<f64>() * float(each.max(1) as u64);
        let part = |share: &f64| if all > 0.0 { share / all } else { 0.0 };
        let weights = shares.iter().flat_map(|share| std::iter::repeat_n(part(share), each)).collect();
        Self { plan, baselines, weights, spread }
    }

    pub(super) fn family(&self) -> Family {
        self.plan.family
    }

    /// Whether its stream holds a page D, where its family may page.
    pub(super) fn is_calibrated(&self) -> bool {
        !self.spread.growing
    }
}

/// What is granted, and how the null is widened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Page and ticket grants of this pane.
    pub(super) grants: [f64; 2],
    /// At least 1: a reference of another version knows less of this one.
    pub(super) widen: f64,
    /// The test that an open incident is about: it is told of, whatever has most evidence.
    pub(super) about: Option<usize>,
    /// Whether the null may learn from this pane.
    pub(super) learn: bool,
    /// By the local clock and calendar, at the middle of the pane.
    pub(super) civil_ms: i64,
}

/// The state of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) pending: Vec<Count>,
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    tests: Vec<TestState>,
    young_since: Option<Timestamp>,
    /// Start of the window whose spread is being counted.
    window_since: Option<Timestamp>,
    ticket: Spending,
    /// Absent where the stream may never page.
    page: Option<Spending>,
    /// In the place of both where evidence is counted by age.
    ages: Option<Ages>,
    /// By test, then by side: how large the effect is for sure. Empty where it may never page.
    gates: Vec<EffectGate>,
    /// People said of two incidents that it led that they were not actionable: it may page no more. Kept with what they
    /// said.
    #[serde(skip)]
    barred: bool,
    /// The test that `last` tells of.
    lead: usize,
    #[serde(with = "super::kept")]
    pub(super) last: StreamHistory,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct TestState {
    /// Healthy records beyond the reference, and those that wait to be: an hour or two.
    clean: Clean,
    aging: Clean,
    young: Clean,
    spread: LearnedSpread,
    /// By side, then by bet (a small one and a large one): since when it may have changed.
    windows: Vec<ChangeWindow>,
    /// Start of each window; means nothing while it is empty.
    since: Vec<Timestamp>,
    /// Labels that come earlier may still be of a trouble that is over: they are left out.
    left_out_until: Timestamp,
}

/// A test that has moved far enough to matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moved {
    pub(super) test: usize,
    pub(super) side: Side,
    /// Its part of D: of the larger of page and ticket.
    pub(super) evidence: f64,
    /// At a sample fixed beforehand wrong in 5 %: for tickets.
    pub(super) lower: f64,
    pub(super) estimate: f64,
    pub(super) upper: f64,
    /// The largest of [`PageEffects`] that evidence, granted as pages are, has reached.
    pub(super) sure: Option<f64>,
    pub(super) samples: u64,
    /// Events among them.
    pub(super) k: u64,
    /// Null rate.
    pub(super) null: f64,
    pub(super) d: f64,
    /// When it may have begun.
    pub(super) since: Timestamp,
}

impl Moved {
    fn effect(self) -> Effect {
        Effect { estimate: self.estimate, lower: self.lower, upper: self.upper }
    }
}

/// An effect, which is positive where it is worse, as the change of the share that is told.
pub(super) fn signed(effect: Effect, side: Side, inverted: bool) -> Effect {
    let Effect { estimate, lower, upper } = effect;
    if (side == Side::Up) == inverted {
        Effect { estimate: -estimate, lower: -upper, upper: -lower }
    } else {
        effect
    }
}

/// What a judged pane came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    pub(super) page: f64,
    pub(super) ticket: f64,
    /// Tests with evidence whose effect's lower limit is at least the least one, most evidence first.
    pub(super) moved: Vec<Moved>,
    /// How far off the test with most evidence is, whether or not that is far enough.
    pub(super) effect: Option<Effect>,
    /// Start of the pane.
    pub(super) from: Option<Timestamp>,
}

/// Effects that make a page: after an hour, at once, and of the first severity for models of the first tier. Rising.
pub(super) type PageEffects = [f64; 3];

/// What the operator cares about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least {
    pub(super) effect: f64,
    pub(super) records: u64,
    pub(super) page: PageEffects,
}

impl Least {
    pub(super) fn of(settings: &FamilySettings) -> Self {
        let FamilySettings { least_effect, page_effect, sev1_effect, .. } = *settings;
        let lasting = (page_effect / 2.0).max(least_effect);
        let page = [lasting, page_effect.max(lasting), sev1_effect.max(page_effect)];
        Self { effect: least_effect, records: settings.least_records, page }
    }
}

/// Bets whose CUSUMs say since when: one for small changes, one for large.
fn window_bets(bets: usize) -> [usize; 2] {
    if bets >= 5 { [1, 3] } else { [0, bets.saturating_sub(1).min(2)] }
}

impl Stream {
    pub(super) fn new(rule: &Rule, may_page: bool) -> Self {
        let ages = by_age(rule.family()).then(|| Ages::new(rule, may_page));
        let cells = if ages.is_some() { 0 } else { rule.weights.len() };
        let windows = vec![ChangeWindow::default(); rule.plan.sides().len() * 2];
        let since = vec![Timestamp::EPOCH; windows.len()];
        let test = TestState { windows, since, ..TestState::default() };
        Self {
            pending: vec![Count::default(); rule.plan.tests.len()],
            from: None,
            until: None,
            tests: vec![test; rule.plan.tests.len()],
            young_since: None,
            window_since: None,
            ticket: Spending::new(cells),
            page: (may_page && ages.is_none()).then(|| Spending::new(cells)),
            gates: if may_page && ages.is_none() { gates(rule) } else { vec![] },
            ages,
            barred: false,
            lead: 0,
            last: StreamHistory::new(rule.plan.family, rule.plan.name.as_str(), Verdict::InsufficientData),
        }
    }

    /// Whether the state fits the rule: a reference that was replaced starts its streams anew.
    pub(super) fn fits(&self, rule: &Rule) -> bool {
        let evidence = match &self.ages {
            Some(ages) => ages.fits(rule),
            None => self.ticket.cells() == rule.weights.len(),
        };
        self.tests.len() == rule.plan.tests.len() && evidence && self.ages.is_some() == by_age(rule.family())
    }

    /// Whether it holds a page D.
    pub(super) fn may_page(&self) -> bool {
        self.page.is_some() || self.ages.as_ref().is_some_and(Ages::may_page)
    }

    /// From now on it holds a page D, or none. One that is new has nothing in it. True if that changes.
    pub(super) fn let_page(&mut self, rule: &Rule, may_page: bool) -> bool {
        let may_page = may_page && !self.barred;
        if self.may_page() == may_page {
            return false;
        }
        if !may_page {
            self.hold_no_page();
        } else if let Some(ages) = &mut self.ages {
            ages.let_page(true);
        } else {
            self.page = Some(Spending::new(rule.weights.len()));
            self.gates = gates(rule);
        }
        true
    }

    fn hold_no_page(&mut self) {
        self.page = None;
        self.gates = vec![];
        self.ages.iter_mut().for_each(|ages| ages.let_page(false));
    }

    /// People said of it that it pages for nothing: it holds no page D, whatever the config allows.
    pub(super) fn bar(&mut self) {
        self.barred = true;
        self.hold_no_page();
    }

    pub(super) fn is_barred(&self) -> bool {
        self.barred
    }

    /// What was sure of an effect above a floor says nothing of a higher one. True if one has risen.
    pub(super) fn change_floors(&mut self, before: Least, now: Least) -> bool {
        let risen = before.page.iter().zip(now.page).any(|(before, now)| now > *before);
        if risen {
            self.gates.iter_mut().for_each(EffectGate::reset);
        }
        risen
    }

    /// It is judged no more. What was learned stays.
    pub(super) fn turn_off(&mut self) {
        self.restart();
        let last = &self.last;
        self.last = StreamHistory::new(last.family, last.name.as_str(), Verdict::InsufficientData);
    }

    /// An alarm has spent the ticket D.
    pub(super) fn spend_ticket(&mut self) {
        self.ticket.reset();
        self.ages.iter_mut().for_each(|ages| ages.spend(1));
    }

    /// An alarm has spent the page D.
    pub(super) fn spend_page(&mut self) {
        self.page.iter_mut().for_each(Spending::reset);
        self.gates.iter_mut().for_each(EffectGate::reset);
        self.ages.iter_mut().for_each(|ages| ages.spend(0));
    }

    /// Both D: page, ticket.
    fn values(&self) -> [f64; 2] {
        match &self.ages {
            Some(ages) => ages.values(),
            None => [self.page.as_ref().map_or(0.0, Spending::value), self.ticket.value()],
        }
    }

    /// Adds one closed base pane to what waits to be judged.
    pub(super) fn gather(&mut self, counts: &[Option<Count>], start: Timestamp, end: Timestamp) {
        self.from.get_or_insert(start);
        self.until = Some(end);
        for (sum, count) in self.pending.iter_mut().zip(counts) {
            sum.add(count.unwrap_or_default());
        }
    }

    /// Time has come so far, whether or not anything came with it.
    pub(super) fn reach(&mut self, end: Timestamp) {
        if self.from.is_some() {
            self.until = Some(end);
        }
    }

    /// Records of the test that has most: what the least pane is measured by.
    pub(super) fn gathered(&self) -> u64 {
        self.pending.iter().map(|count| count.n).max().unwrap_or(0)
    }

    /// Event time gathered.
    pub(super) fn span_ms(&self) -> i64 {
        match (self.from, self.until) {
            (Some(from), Some(until)) => until.since_ms(from),
            (None, _) | (_, None) => 0,
        }
    }

    /// Forgets what was gathered; nothing is said of it.
    fn drop_pending(&mut self) {
        self.pending.fill(Count::default());
        self.from = None;
        self.until = None;
    }

    /// Judges what was gathered.
    pub(super) fn judge(&mut self, rule: &Rule, terms: Terms, least: Least) -> Judged {
        if self.ages.is_some() {
            return self.judge_by_age(rule, terms, least);
        }
        let (sides, bets) = (sides(rule.family()), bets(rule.family()));
        let mut ratios = Vec::with_capacity(rule.weights.len());
        let pending = std::mem::take(&mut self.pending);
        let mut nulls = Vec::with_capacity(pending.len());
        let from = self.from;
        for (test, (state, count)) in self.tests.iter_mut().zip(&pending).enumerate() {
            let own = state.null(rule, test, terms);
            let null = pooled(own, &rule.plan.tests[test], &nulls, &pending);
            for (s, side) in sides.iter().enumerate() {
                let at = ratios.len();
                if count.n == 0 || null.worth <= 0.0 || rule.plan.tests[test].share <= 0.0 {
                    ratios.extend(std::iter::repeat_n(0.0, bets.len()));
                    continue;
                }
                let (k, n) = (float(count.k.min(count.n)), float(count.n));
                let pool = &rule.plan.tests[test].pool;
                if pool.is_empty() {
                    log_ratios(k, n, null.against(*side), *side, bets, null.d, &mut ratios);
                } else {
                    // Each record against its own stratum's rate, which says more than their mean.
                    let lean = if null.rate > 0.0 { null.against(*side) / null.rate } else { 1.0 };
                    let members = pool.iter().filter(|&&i| pending[i].n > 0);
                    let stratum = |&i: &usize| (float(pending[i].n), (nulls[i].rate * lean).min(1.0));
                    let strata: Vec<_> = members.map(stratum).collect();
                    log_ratios_of_strata(k, &strata, *side, bets, null.d, &mut ratios);
                }
                for (w, bet) in window_bets(bets.len()).into_iter().enumerate() {
                    let window = &mut state.windows[2 * s + w];
                    window.update(ratios[at + bet], count.k, count.n);
                    if window.panes() == 1 {
                        state.since[2 * s + w] = from.unwrap_or_default();
                    }
                }
            }
            nulls.push(null);
        }
        ratios_in_place(&mut ratios);
        let before = self.values();
        let [page_grant, ticket_grant] = terms.grants;
        let page = self.page.as_mut().map_or(0.0, |page| page.update(&ratios, &rule.weights, page_grant));
        let ticket = self.ticket.update(&ratios, &rule.weights, ticket_grant);
        self.weigh_effects(rule, &pending, &nulls, (least.page, page_grant));
        let moved = self.moved(rule, &nulls, least);
        let (evidence, test, side) = self.lead(rule);
        let effect = if evidence >= LEAD { self.furthest(rule, test, side, nulls[test]) } else { None };
        let effect = effect.map(|moved| (moved.effect(), moved.side));
        let test = terms.about.unwrap_or(test);
        let d = [before, [page, ticket], terms.grants];
        self.remember(rule, test, pending[test], nulls[test], d, effect);
        if learns_spread(rule.family()) {
            self.spread(rule, &pending, &nulls, terms.learn);
        }
        self.learn(&pending, &nulls, terms.learn);
        self.pending = pending;
        self.drop_pending();
        Judged { page, ticket, moved, effect: effect.map(|(effect, _)| effect), from }
    }

    /// Feeds the gates of pages: each tests whether the effect is above its floor, granted as its test is.
    fn weigh_effects(
        &mut self,
        rule: &Rule,
        pending: &[Count],
        nulls: &[Null],
        (effects, grant): (PageEffects, f64),
    ) {
        let (sides, deltas) = (sides(rule.family()), bets(rule.family()));
        let weights = rule.weights.chunks(deltas.len()).map(|bets| bets.iter().sum::<f64>());
        for ((cell, gate), weight) in self.gates.iter_mut().enumerate().zip(weights) {
            let (test, side) = (cell / sides.len(), sides[cell % sides.len()]);
            let (count, null) = (pending[test], nulls[test]);
            if count.n > 0 && null.worth > 0.0 && weight > 0.0 {
                let floor = GateRule { effects: &effects, deltas, side, d: null.d };
                gate.update(floor, count.k.min(count.n), count.n, null.against(side), grant * weight);
            }
        }
    }

    /// The largest effect that is sure: that no test is so far off is refuted by all of them together.
    fn sure(&self, effects: PageEffects) -> Option<f64> {
        let reached =
            |(level, _): &(usize, f64)| self.gates.iter().map(|gate| gate.value(*level)).sum::<f64>() >= 1.0;
        effects.into_iter().enumerate().take_while(reached).last().map(|(_, effect)| effect)
    }

    fn judge_by_age(&mut self, rule: &Rule, terms: Terms, least: Least) -> Judged {
        let before = self.values();
        let span = (self.from.unwrap_or_default(), self.span_ms());
        let nulls: Vec<Null> = (0..self.tests.len()).map(|test| self.null(rule, test, terms)).collect();
        let pending = std::mem::take(&mut self.pending);
        let ages = self.ages.as_mut().expect("it is judged by age");
        let judged = ages.judge(rule, &pending, span, terms, least);
        let test = terms.about.unwrap_or_else(|| self.lead(rule).1);
        let d = [before, [judged.page, judged.ticket], terms.grants];
        let effect = judged.effect.map(|effect| (effect, Side::Up));
        self.remember(rule, test, pending[test], nulls[test], d, effect);
        self.pending = pending;
        self.drop_pending();
        judged
    }

    /// Tests that pass the gate, those with most evidence first.
    fn moved(&self, rule: &Rule, nulls: &[Null], least: Least) -> Vec<Moved> {
        let (mut moved, mut most) = (vec![], 0.0_f64);
        if self.ticket.value().max(self.page.as_ref().map_or(0.0, Spending::value)) < 0.1 {
            return moved;
        }
        let sure = self.sure(least.page);
        for (test, null) in nulls.iter().enumerate() {
            for (s, side) in sides(rule.family()).iter().enumerate() {
                let evidence = self.evidence(rule, test, s);
                if evidence <= 0.0 {
                    continue;
                }
                most = most.max(evidence);
                if let Some(best) = self.furthest(rule, test, s, *null)
                    && best.lower >= least.effect
                    && best.samples >= least.records.max(1)
                    && best.k >= events_min(rule.family())
                {
                    moved.push(Moved { side: *side, evidence, sure, ..best });
                }
            }
        }
        ranked(moved, most)
    }

    /// The effect in the window with the higher lower limit.
    fn furthest(&self, rule: &Rule, test: usize, side: usize, null: Null) -> Option<Moved> {
        let at = sides(rule.family())[side];
        let (from, to) = (2 * side, 2 * side + 2);
        let windows = self.tests[test].windows[from..to].iter().zip(&self.tests[test].since[from..to]);
        let effects = windows.filter_map(|(window, since)| {
            let (k, n) = window.counts();
            let e = effect(k.min(n), n, null.rate, null.worth, null.d, at, Z_GATE)?;
            let events = if at == Side::Up { k } else { n - k.min(n) };
            Some(Moved {
                test,
                side: at,
                evidence: 0.0,
                lower: e.lower,
                estimate: e.estimate,
                upper: e.upper,
                sure: None,
                samples: n,
                k: events,
                null: null.rate,
                d: null.d,
                since: *since,
            })
        });
        effects.reduce(|a, b| if b.lower > a.lower { b } else { a })
    }

    /// What a test and side holds of the larger D.
    fn evidence(&self, rule: &Rule, test: usize, side: usize) -> f64 {
        if let Some(ages) = &self.ages {
            return ages.evidence(test);
        }
        let bets = bets(rule.family()).len();
        let from = (test * sides(rule.family()).len() + side) * bets;
        let sum = |d: &Spending| (from..from + bets).map(|cell| d.cell(cell)).sum::<f64>();
        sum(&self.ticket).max(self.page.as_ref().map_or(0.0, sum))
    }

    /// The test and side with most evidence.
    fn lead(&self, rule: &Rule) -> (f64, usize, usize) {
        let sides = sides(rule.family()).len();
        (0..rule.plan.tests.len())
            .flat_map(|test| (0..sides).map(move |side| (test, side)))
            .map(|(test, side)| (self.evidence(rule, test, side), test, side))
            .fold((0.0, 0, 0), |best, one| if one.0 > best.0 { one } else { best })
    }

    /// Adds a judged pane to what is told next.
    fn remember(
        &mut self,
        rule: &Rule,
        test: usize,
        count: Count,
        null: Null,
        d: [[f64; 2]; 3],
        effect: Option<(Effect, Side)>,
    ) {
        let inverted = is_inverted(rule.plan.tests[test].event, null.rate);
        let k = if inverted { count.n - count.k.min(count.n) } else { count.k };
        let rate = if inverted { 1.0 - null.rate } else { null.rate };
        let effect = effect.map(|(effect, side)| signed(effect, side, inverted));
        let [before, after, granted] = d;
        let last = &mut self.last;
        if last.judged == 0 {
            (last.before, last.granted, last.peak) = (before, [0.0; 2], [0.0; 2]);
        }
        if last.judged == 0 || self.lead != test {
            (last.k, last.n, last.reference) = (0, 0, 0.0);
        }
        self.lead = test;
        let (n, more) = (float(last.n), float(count.n));
        let reference = if n > 0.0 { (n * last.reference + more * rate) / (n + more) } else { rate };
        last.verdict = if count.n == 0 { Verdict::NoData } else { Verdict::Ok };
        (last.k, last.n) = (last.k.saturating_add(k), last.n.saturating_add(count.n));
        (last.reference, last.after, last.effect) = (reference, after, effect);
        last.judged = last.judged.saturating_add(1);
        for i in 0..2 {
            last.granted[i] += granted[i];
            last.peak[i] = last.peak[i].max(after[i]);
        }
    }

    /// Starts again, after an incident has cleared. What was learned stays; what waits to be judged is still of the
    /// incident.
    pub(super) fn restart(&mut self) {
        self.drop_pending();
        self.ticket.reset();
        if let Some(page) = &mut self.page {
            page.reset();
        }
        self.ages.iter_mut().for_each(Ages::restart);
        self.window_since = None;
        self.tests.iter_mut().for_each(|test| test.spread.over());
        self.gates.iter_mut().for_each(EffectGate::reset);
        for window in self.tests.iter_mut().flat_map(|test| &mut test.windows) {
            window.reset();
        }
    }
}

/// One for each test and side.
fn gates(rule: &Rule) -> Vec<EffectGate> {
    let gate = EffectGate::new(PageEffects::default().len(), bets(rule.family()).len());
    vec![gate; rule.plan.tests.len() * sides(rule.family()).len()]
}

/// Most evidence first. Where no test that passes the gate has much against `most`, that of any test, what alarms is too
/// small to matter and what is large enough is chance: none.
fn ranked(mut moved: Vec<Moved>, most: f64) -> Vec<Moved> {
    moved.sort_by(|a, b| {
        b.evidence.total_cmp(&a.evidence).then(b.lower.total_cmp(&a.lower)).then(a.test.cmp(&b.test))
    });
    if moved.first().is_none_or(|lead| lead.evidence < LEAD * most) { vec![] } else { moved }
}

/// Least events behind an alarm: one failure is no incident.
fn events_min(family: Family) -> u64 {
    match family {
        Family::Availability => 4,
        Family::Latency | Family::Accuracy | Family::DataQuality => 3,
        Family::Traffic
        | Family::Drift
        | Family::Prediction
        | Family::Calibration
        | Family::Deployment
        | Family::Telemetry
        | Family::Other => 1,
    }
}

#[cfg(test)]
mod tests;
