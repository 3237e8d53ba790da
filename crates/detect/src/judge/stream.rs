//! One stream under test: what it has gathered, its evidence, and how far off it is.

mod ages;
mod late;

use serde::{Deserialize, Serialize};
use stats::binomial::{FLIPS, learned_rate, log_ratios, log_ratios_of_flips, log_ratios_of_strata};
use stats::effect::{ChangeWindow, Z_GATE, effect};
use stats::spending::ratios_in_place;
use stats::{Side, Spending};
use wire::history::{StreamHistory, Verdict};
use wire::{Family, Timestamp};

use crate::family::{Count, StreamPlan, TestPlan, bets, by_age, sides};
use crate::reference::baseline::{Baseline, float};

use ages::Ages;

/// How long healthy panes wait before the null learns from them: a change must have been found by then.
const LEARN_AFTER_MS: i64 = 3_600_000;
/// Least part of D that a test must hold to be what an alarm is about.
const LEAD: f64 = 0.1;
/// Or how many of them, as a part of the records that the null is known from.
const LEARN_AFTER_PART: f64 = 4.0;

/// The fixed part of a stream: shared by all versions that are judged against one reference.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) plan: StreamPlan,
    pub(super) baselines: Vec<Baseline>,
    /// Each cell's share of the grant: its test's, over sides and bets.
    weights: Vec<f64>,
}

impl Rule {
    pub(super) fn new(plan: StreamPlan, baselines: Vec<Baseline>) -> Self {
        let each = plan.sides().len() * plan.bets().len();
        // What the reference has never seen has nothing to compare with.
        let share = |(test, baseline): (&TestPlan, &Baseline)| {
            if baseline.worth() > 0.0 { test.share } else { 0.0 }
        };
        let shares: Vec<f64> = plan.tests.iter().zip(&baselines).map(share).collect();
        let all = shares.iter().sum::<f64>() * float(each.max(1) as u64);
        let part = |share: &f64| if all > 0.0 { share / all } else { 0.0 };
        let weights = shares.iter().flat_map(|share| std::iter::repeat_n(part(share), each)).collect();
        Self { plan, baselines, weights }
    }

    pub(super) fn family(&self) -> Family {
        self.plan.family
    }
}

/// What is granted, and how the null is widened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Page and ticket grants of this pane.
    pub(super) grants: [f64; 2],
    /// At least 1: a reference of another version knows less of this one.
    pub(super) widen: f64,
    /// Whether the null may learn from this pane.
    pub(super) learn: bool,
    /// Milliseconds since local midnight, at the middle of the pane.
    pub(super) time_of_day_ms: i64,
}

/// The state of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) pending: Vec<Count>,
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    tests: Vec<TestState>,
    young_since: Option<Timestamp>,
    ticket: Spending,
    /// Absent where the stream may never page.
    page: Option<Spending>,
    /// In the place of both where evidence is counted by age.
    ages: Option<Ages>,
    pub(super) last: StreamHistory,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct TestState {
    /// Healthy records beyond the reference, and those that wait to be: an hour or two.
    clean: Clean,
    aging: Clean,
    young: Clean,
    /// By side, then by bet (a small one and a large one): since when it may have changed.
    windows: Vec<ChangeWindow>,
    /// Start of each window; means nothing while it is empty.
    since: Vec<Timestamp>,
    /// Labels that come earlier may still be of a trouble that is over: they are left out.
    left_out_until: Timestamp,
}

/// Records seen while nothing was wrong: of the event, in all, and expected by the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Clean {
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

/// A test that has moved far enough to matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moved {
    pub(super) test: usize,
    pub(super) side: Side,
    /// Its part of D: of the larger of page and ticket.
    pub(super) evidence: f64,
    pub(super) lower: f64,
    pub(super) estimate: f64,
    pub(super) upper: f64,
    pub(super) samples: u64,
    /// Events among them.
    pub(super) k: u64,
    /// Null rate.
    pub(super) null: f64,
    pub(super) d: f64,
    /// When it may have begun.
    pub(super) since: Timestamp,
}

/// What a judged pane came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    pub(super) page: f64,
    pub(super) ticket: f64,
    /// Tests with evidence whose effect's lower limit is at least the least one, most evidence first.
    pub(super) moved: Vec<Moved>,
    /// Start of the pane.
    pub(super) from: Option<Timestamp>,
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
            ticket: Spending::new(cells),
            page: (may_page && ages.is_none()).then(|| Spending::new(cells)),
            ages,
            last: StreamHistory {
                family: rule.plan.family,
                name: rule.plan.name.clone(),
                verdict: Verdict::InsufficientData,
                k: 0,
                n: 0,
                reference: 0.0,
                before: [0.0; 2],
                after: [0.0; 2],
                granted: [0.0; 2],
            },
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

    /// An alarm has spent the ticket D.
    pub(super) fn spend_ticket(&mut self) {
        self.ticket.reset();
        self.ages.iter_mut().for_each(|ages| ages.spend(1));
    }

    /// An alarm has spent the page D.
    pub(super) fn spend_page(&mut self) {
        self.page.iter_mut().for_each(Spending::reset);
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

    /// Judges what was gathered. `least` is the least effect and the least records.
    pub(super) fn judge(&mut self, rule: &Rule, terms: Terms, least: (f64, u64)) -> Judged {
        if self.ages.is_some() {
            return self.judge_by_age(rule, terms, least);
        }
        let (sides, bets) = (sides(rule.family()), bets(rule.family()));
        let mut ratios = Vec::with_capacity(rule.weights.len());
        let pending = std::mem::take(&mut self.pending);
        let mut nulls = Vec::with_capacity(pending.len());
        let from = self.from;
        for (test, (state, count)) in self.tests.iter_mut().zip(&pending).enumerate() {
            let own = state.null(&rule.baselines[test], terms);
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
                    let members = || pool.iter().filter(|&&i| pending[i].n > 0);
                    if rule.plan.tests[test].flips {
                        let stratum = |&i: &usize| {
                            let Count { k, n, .. } = pending[i];
                            (float(k.min(n)), float(n), nulls[i].against(*side))
                        };
                        let strata: Vec<_> = members().map(stratum).collect();
                        log_ratios_of_flips(&strata, &FLIPS, null.d, &mut ratios);
                    } else {
                        let stratum = |&i: &usize| (float(pending[i].n), (nulls[i].rate * lean).min(1.0));
                        let strata: Vec<_> = members().map(stratum).collect();
                        log_ratios_of_strata(k, &strata, *side, bets, null.d, &mut ratios);
                    }
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
        let moved = self.moved(rule, &nulls, least);
        self.remember(rule, &pending, &nulls, [before, [page, ticket], terms.grants]);
        self.learn(&pending, &nulls, terms.learn);
        self.pending = pending;
        self.drop_pending();
        Judged { page, ticket, moved, from }
    }

    fn judge_by_age(&mut self, rule: &Rule, terms: Terms, least: (f64, u64)) -> Judged {
        let before = self.values();
        let span = (self.from.unwrap_or_default(), self.span_ms());
        let nulls: Vec<Null> = (0..self.tests.len()).map(|test| self.null(rule, test, terms)).collect();
        let pending = std::mem::take(&mut self.pending);
        let ages = self.ages.as_mut().expect("it is judged by age");
        let judged = ages.judge(rule, &pending, span, terms, least);
        self.remember(rule, &pending, &nulls, [before, [judged.page, judged.ticket], terms.grants]);
        self.pending = pending;
        self.drop_pending();
        judged
    }

    /// Tests that pass the gate, those with most evidence first.
    fn moved(&self, rule: &Rule, nulls: &[Null], (least_effect, least_records): (f64, u64)) -> Vec<Moved> {
        let mut moved = vec![];
        if self.ticket.value().max(self.page.as_ref().map_or(0.0, Spending::value)) < 0.1 {
            return moved;
        }
        for (test, null) in nulls.iter().enumerate() {
            for (s, side) in sides(rule.family()).iter().enumerate() {
                let evidence = self.evidence(rule, test, s);
                if evidence <= 0.0 {
                    continue;
                }
                if let Some(best) = self.furthest(rule, test, s, *null)
                    && best.lower >= least_effect
                    && best.samples >= least_records.max(1)
                    && best.k >= events_min(rule.family())
                {
                    moved.push(Moved { side: *side, evidence, ..best });
                }
            }
        }
        ranked(moved, self.values())
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
                lower: e.lower - null.level,
                estimate: e.estimate,
                upper: e.upper,
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

    /// The null of a test for what was gathered, for recovery.
    pub(super) fn null(&self, rule: &Rule, test: usize, terms: Terms) -> Null {
        if let Some(ages) = &self.ages {
            return ages.null(rule, test, terms);
        }
        let own = |test: usize| self.tests[test].null(&rule.baselines[test], terms);
        let plan = &rule.plan.tests[test];
        let last = plan.pool.last().map_or(0, |last| last + 1);
        let nulls: Vec<Null> = (0..last).map(own).collect();
        pooled(own(test), plan, &nulls, &self.pending)
    }

    fn remember(&mut self, rule: &Rule, pending: &[Count], nulls: &[Null], d: [[f64; 2]; 3]) {
        let sides = sides(rule.family()).len();
        let lead = (0..pending.len())
            .flat_map(|test| (0..sides).map(move |side| (test, side)))
            .map(|(test, side)| (self.evidence(rule, test, side), test))
            .fold((0.0, 0), |best, one| if one.0 > best.0 { one } else { best });
        let (count, null) = (pending[lead.1], nulls[lead.1]);
        let [before, after, granted] = d;
        let verdict = if count.n == 0 { Verdict::NoData } else { Verdict::Ok };
        self.last = StreamHistory {
            verdict,
            k: count.k,
            n: count.n,
            reference: null.rate,
            before,
            after,
            granted,
            family: self.last.family,
            name: std::mem::take(&mut self.last.name),
        };
    }

    /// Healthy panes join the null an hour or two later. While something is wrong, those that wait are dropped.
    fn learn(&mut self, pending: &[Count], nulls: &[Null], healthy: bool) {
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

    /// Starts again, after an incident has cleared. What was learned stays; what waits to be judged is still of the
    /// incident.
    pub(super) fn restart(&mut self) {
        self.drop_pending();
        self.ticket.reset();
        if let Some(page) = &mut self.page {
            page.reset();
        }
        self.ages.iter_mut().for_each(Ages::restart);
        for window in self.tests.iter_mut().flat_map(|test| &mut test.windows) {
            window.reset();
        }
    }
}

/// Most evidence first. Where no test that passes the gate holds much of D, what alarms is too small to matter and what
/// is large enough is chance: none.
fn ranked(mut moved: Vec<Moved>, values: [f64; 2]) -> Vec<Moved> {
    moved.sort_by(|a, b| {
        b.evidence.total_cmp(&a.evidence).then(b.lower.total_cmp(&a.lower)).then(a.test.cmp(&b.test))
    });
    let much = LEAD * values[0].max(values[1]);
    if moved.first().is_none_or(|lead| lead.evidence < much) { vec![] } else { moved }
}

/// The null of a pooled test: the mean of its members', weighted by the records that came.
fn pooled(own: Null, plan: &TestPlan, nulls: &[Null], pending: &[Count]) -> Null {
    let members = || plan.pool.iter().map(|&i| (nulls[i].rate, float(pending[i].n)));
    let records: f64 = members().map(|(_, n)| n).sum();
    if records <= 0.0 {
        return own;
    }
    Null { rate: members().map(|(rate, n)| rate * n).sum::<f64>() / records, ..own }
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

/// What a test expects now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Null {
    /// By reference and what was learned since.
    pub(super) rate: f64,
    /// By the reference alone.
    reference: f64,
    /// Records it is known from.
    pub(super) worth: f64,
    pub(super) d: f64,
    /// How far the rate may stay off for half a day: no evidence, and no effect.
    level: f64,
}

impl Null {
    #[cfg(test)]
    pub(super) fn of(rate: f64, worth: f64, d: f64) -> Self {
        Self { rate, reference: rate, worth, d, level: 0.0 }
    }

    fn against(&self, side: Side) -> f64 {
        let rate = (self.rate + side.sign() * self.level).clamp(0.0, 1.0);
        learned_rate((rate * self.worth).min(self.worth), self.worth, self.d, side)
    }
}

impl TestState {
    /// The reference's rate at this time of day, moved by what healthy records since have shown.
    fn null(&self, baseline: &Baseline, terms: Terms) -> Null {
        let expected = baseline.at(terms.time_of_day_ms);
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
            d: baseline.d * terms.widen,
            level: baseline.level * terms.widen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Event, Failure, LabelMiss};
    use crate::reference::TestReference;

    fn baseline(k: u64, n: u64, d: f64) -> Baseline {
        Baseline::new(&TestReference {
            k,
            tolerated: k,
            n,
            d,
            d_hour: 1.0,
            level: 0.0,
            spread: vec![],
            hours: None,
        })
    }

    fn failures(d: f64) -> Rule {
        failures_of(100, 10_000, d)
    }

    fn failures_of(k: u64, n: u64, d: f64) -> Rule {
        let tests = vec![TestPlan {
            event: Event::Failed(Failure::Any),
            group: 0,
            pool: vec![],
            flips: false,
            share: 1.0,
        }];
        let plan = StreamPlan { family: Family::Availability, name: "requests".into(), tests };
        Rule::new(plan, vec![baseline(k, n, d)])
    }

    fn terms(grant: f64) -> Terms {
        Terms { grants: [grant, grant], widen: 1.0, learn: true, time_of_day_ms: 0 }
    }

    /// Panes of 100 records until D reaches 1 and the gate passes, at most `most`.
    fn panes_until_alarm(rule: &Rule, k: u64, grant: f64, most: u64) -> Option<u64> {
        let mut stream = Stream::new(rule, true);
        (0..most).find(|i| {
            let start = Timestamp::EPOCH.plus_ms(i64::try_from(*i).unwrap() * 10_000);
            stream.gather(&[Some(Count::new(k, 100))], start, start.plus_ms(10_000));
            let judged = stream.judge(rule, terms(grant), (0.005, 5));
            judged.ticket >= 1.0 && !judged.moved.is_empty()
        })
    }

    #[test]
    fn it_alarms_for_a_change_and_for_nothing_else() {
        for (name, d, k, grant, want) in [
            ("as ever", 1.0, 1, 1e-6, None),
            ("fewer failures are none", 1.0, 0, 1e-6, None),
            ("a tenth fail", 1.0, 10, 1e-6, Some(1)),
            ("a tenth fail, correlated", 8.0, 10, 1e-6, Some(9)),
            ("nothing was granted", 1.0, 10, 0.0, None),
        ] {
            assert_eq!(panes_until_alarm(&failures(d), k, grant, 500), want, "{name}");
        }
    }

    #[test]
    fn a_change_too_small_to_matter_keeps_its_evidence_and_no_alarm() {
        let rule = failures_of(10_000, 1_000_000, 1.0);
        let mut stream = Stream::new(&rule, false);
        let mut last = Judged::default();
        for _ in 0..200 {
            stream.gather(&[Some(Count::new(15, 1000))], Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(10_000));
            last = stream.judge(&rule, terms(1e-6), (0.005, 5));
        }
        assert!(last.ticket >= 1.0 && last.moved.is_empty(), "{last:?}");
        assert!(last.page.abs() < 1e-12, "it holds no page D");
        stream.gather(&[Some(Count::new(9, 9))], Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(10_000));
        stream.restart();
        assert!(
            stream.gathered() == 0 && stream.ticket.value() < 1e-12,
            "what waited belongs to what is over"
        );
    }

    #[test]
    fn the_null_learns_late_and_never_from_trouble() {
        let rule = failures(1.0);
        let mut stream = Stream::new(&rule, false);
        let mut pane = |hour: i64, k: u64, learn: bool| {
            let start = Timestamp::EPOCH.plus_ms(hour * 3_600_000);
            stream.gather(&[Some(Count::new(k, 10_000))], start, start.plus_ms(3_600_000));
            stream.judge(&rule, Terms { learn, ..terms(0.0) }, (0.005, 5));
            stream.null(&rule, 0, terms(0.0)).rate
        };
        assert!((pane(0, 200, true) - 0.01).abs() < 1e-9, "not yet");
        assert!((pane(1, 300, false) - 0.01).abs() < 1e-9, "trouble drops what waits");
        assert!((pane(2, 200, true) - 0.01).abs() < 1e-9);
        assert!((pane(3, 200, true) - 0.015).abs() < 1e-9, "half of 20,000 records at 2 %");
    }

    #[test]
    fn pooled_tests_expect_what_their_members_do() {
        let test =
            |miss, pool| TestPlan { event: Event::Label(miss), group: 0, pool, flips: false, share: 1.0 };
        let tests = vec![
            test(LabelMiss::Wrong { delay: 0, band: 0 }, vec![]),
            test(LabelMiss::Wrong { delay: 1, band: 0 }, vec![]),
            test(LabelMiss::WrongInAll, vec![0, 1]),
        ];
        let plan = StreamPlan { family: Family::Accuracy, name: "labels".into(), tests };
        let rule = Rule::new(
            plan,
            vec![baseline(10, 1000, 1.0), baseline(400, 1000, 1.0), baseline(410, 2000, 1.0)],
        );
        assert!((rule.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let mut stream = Stream::new(&rule, false);
        let counts = [(1, 30), (4, 10), (5, 40)].map(|(k, n)| Some(Count::new(k, n)));
        stream.gather(&counts, Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(1));
        let null = stream.null(&rule, 2, terms(0.0));
        assert!((null.rate - (0.01 * 30.0 + 0.4 * 10.0) / 40.0).abs() < 1e-9, "{null:?}");
    }
}
