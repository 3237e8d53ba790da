//! A fleet of streams under one budget, each with a reference of its own that was drawn just now.

use std::sync::Arc;

use tocsin_detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use tocsin_detect::judge::Trial;
use tocsin_detect::reference::TestReference;
use wire::{Change, Family, Incident, Timestamp};

use super::draws::{Counts, Draws, float, median};

pub const PANE_MS: i64 = 600_000;
pub const PANES_A_WEEK: u64 = 1008;
/// True shares of the event, by stream.
const RATES: [f64; 3] = [0.02, 0.1, 0.3];
/// Effects that are planted, in page floors.
pub const PLANTED: [f64; 3] = [1.0, 2.0, 4.0];

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub streams: u64,
    /// Runs of the whole fleet, each with fresh references; all start anew.
    pub runs: u64,
    pub weeks: u64,
    /// Records of each reference.
    pub reference: u64,
    /// Records of a pane.
    pub records: u64,
    /// Effect that every stream has from its first judged pane on, in page floors. 0: none.
    pub shift: f64,
    /// Half of the streams change in the last quarter, by each of [`PLANTED`].
    pub planted: bool,
    /// Least effects of 0 for tickets and pages: evidence alone decides.
    pub open_gates: bool,
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Stream-weeks without a change, as weeks of the whole fleet.
    pub weeks: f64,
    /// Incidents that opened while nothing had changed, and those of them that reached page severity.
    pub false_opened: u64,
    pub false_pages: u64,
    /// Granted while nothing had changed: page, ticket.
    pub granted: [f64; 2],
    /// False pages by stream, and false incidents.
    pub by_stream: Vec<[u64; 2]>,
    /// By planted effect.
    pub planted: [Found; 3],
    /// Records of incidents (opened, updated) that told limits, and those whose limit lay beyond the truth.
    pub told: u64,
    pub lower_wrong: u64,
    pub upper_wrong: u64,
    /// The same of openings and of pages alone: lower limits.
    pub opened: [u64; 2],
    pub paged: [u64; 2],
}

/// Changes of one size.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub changes: u64,
    /// Panes until an incident opened, and until it paged.
    pub opened: Vec<u64>,
    pub pages: Vec<u64>,
    /// Incidents in all: beyond one a change it was cleared while it lasted, and opened again.
    pub incidents: u64,
    /// First incidents whose lower limit was above the truth when they opened.
    pub lower_wrong: u64,
}

impl Found {
    pub fn share(&self, of: &[u64]) -> f64 {
        float(of.len() as u64) / float(self.changes.max(1))
    }

    /// Median panes: to an incident, to a page.
    pub fn delays(&self) -> [Option<u64>; 2] {
        [median(&mut self.opened.clone()), median(&mut self.pages.clone())]
    }
}

impl Outcome {
    /// The part of all false pages (incidents) that the worst hundredth of the streams caused.
    pub fn worst(&self) -> [(u64, u64); 2] {
        [0, 1].map(|at| {
            let mut counts: Vec<u64> = self.by_stream.iter().map(|one| one[at]).collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let some = counts.len().div_ceil(100);
            (counts[..some].iter().sum(), counts.iter().sum())
        })
    }
}

/// A config under which only accuracy is judged: a stream's part of the budget is what is said here and no more.
pub fn config(open_gates: bool) -> JudgeConfig {
    let mut judge = JudgeSettings::default();
    for family in [
        &mut judge.latency,
        &mut judge.availability,
        &mut judge.traffic,
        &mut judge.data_quality,
        &mut judge.drift,
        &mut judge.prediction,
    ] {
        family.enabled = false;
    }
    if open_gates {
        (judge.accuracy.least_effect, judge.accuracy.page_effect) = (0.0, 0.0);
    }
    let budget = BudgetSettings { pages_per_week: 1.0, tickets_per_week: 5.0 };
    JudgeConfig::new("guarantees", 1, PANE_MS, judge, budget, std::collections::BTreeMap::new())
}

/// Runs the plan, one stream after another: they share nothing but the budget, and its parts are equal and fixed.
pub fn run(plan: &Plan) -> Outcome {
    let judged = Arc::new(config(plan.open_gates));
    let floor = JudgeSettings::default().accuracy.page_effect;
    let mut out = Outcome::default();
    for stream in 0..plan.streams {
        let rate = RATES[usize::try_from(stream / 2 % 3).expect("small")];
        let size = usize::try_from(stream / 6 % 3).expect("small");
        let shifted = rate + plan.shift * floor;
        let planted = plan.planted && stream % 2 == 1;
        let mut one = One {
            plan,
            config: &judged,
            before: Counts::new(plan.records, shifted),
            after: Counts::new(plan.records, shifted + PLANTED[size] * floor),
            rate,
            effects: [plan.shift * floor, (plan.shift + PLANTED[size]) * floor],
            planted: planted.then_some(size),
            wrong: [0; 2],
        };
        for run in 0..plan.runs {
            one.run(&mut Draws::new(plan.seed, run << 32 | stream), &mut out);
        }
        out.by_stream.push(one.wrong);
    }
    out.weeks /= float(plan.streams);
    out
}

/// Start of a pane.
pub fn at(pane: u64) -> Timestamp {
    Timestamp::EPOCH.plus_ms(i64::try_from(pane).expect("small") * PANE_MS)
}

/// One stream of the fleet.
struct One<'a> {
    plan: &'a Plan,
    config: &'a Arc<JudgeConfig>,
    before: Counts,
    after: Counts,
    /// What the reference is drawn from.
    rate: f64,
    /// True effects against that: before the planted change and after.
    effects: [f64; 2],
    /// Which effect is planted.
    planted: Option<usize>,
    /// Its false pages and incidents, over all runs.
    wrong: [u64; 2],
}

impl One<'_> {
    fn run(&mut self, draws: &mut Draws, out: &mut Outcome) {
        let (n, plan) = (self.plan.reference, self.plan);
        let k = draws.binomial(n, self.rate);
        // The least spread a reference can have: whatever it were found to be beyond that would only make it calmer.
        let known = TestReference {
            k,
            tolerated: k,
            n,
            d: 1.0,
            tail: 1.0,
            d_hour: 1.0,
            spread: vec![],
            hours: None,
            week: None,
        };
        let mut trial = Trial::new(
            Arc::clone(self.config),
            Family::Accuracy,
            known,
            at(n / plan.records).since_ms(at(0)),
        );
        let part = 1.0 / float(plan.streams);
        let panes = plan.weeks * PANES_A_WEEK;
        // In the first half of the last quarter, so that all have an eighth of the time to be found in.
        let change = panes - panes / 4 + draws.below(panes / 8);
        let mut life = Life::default();
        for pane in 0..panes {
            if self.planted.is_some() && pane == change {
                self.count_null(&trial, pane, out);
                life.changed_at = Some(pane);
            }
            let k = if life.changed_at.is_some() { &self.after } else { &self.before }.draw(draws);
            let start = at(pane);
            for incident in trial.pane((start, start.plus_ms(PANE_MS)), k, plan.records, part) {
                self.tell(&incident, pane, &mut life, out);
            }
        }
        match self.planted {
            Some(size) => out.planted[size].changes += 1,
            None => self.count_null(&trial, panes, out),
        }
    }

    fn count_null(&self, trial: &Trial, panes: u64, out: &mut Outcome) {
        out.weeks += float(panes) / float(PANES_A_WEEK);
        let granted = trial.granted();
        out.granted = [out.granted[0] + granted[0], out.granted[1] + granted[1]];
    }

    fn tell(&mut self, incident: &Incident, pane: u64, life: &mut Life, out: &mut Outcome) {
        if incident.change == Change::Cleared {
            life.paged = false;
            return;
        }
        let opened = incident.change == Change::Opened;
        // Severity never falls, so an incident reaches a page once.
        let paged = incident.severity.pages() && !life.paged;
        life.paged |= paged;
        let limits = incident.evidence.effect;
        let effect = self.effects[usize::from(life.changed_at.is_some())];
        let beyond = u64::from(limits.lower > effect);
        out.told += 1;
        out.lower_wrong += beyond;
        out.upper_wrong += u64::from(limits.upper < effect);
        if opened {
            out.opened = [out.opened[0] + 1, out.opened[1] + beyond];
        }
        if paged {
            out.paged = [out.paged[0] + 1, out.paged[1] + beyond];
        }
        let (Some(size), Some(changed_at)) = (self.planted, life.changed_at) else {
            self.wrong = [self.wrong[0] + u64::from(paged), self.wrong[1] + u64::from(opened)];
            out.false_opened += u64::from(opened);
            out.false_pages += u64::from(paged);
            return;
        };
        let after = pane - changed_at + 1;
        out.planted[size].incidents += u64::from(opened);
        if !std::mem::replace(&mut life.found, true) {
            out.planted[size].opened.push(after);
            out.planted[size].lower_wrong += beyond;
        }
        if paged && !std::mem::replace(&mut life.found_by_page, true) {
            out.planted[size].pages.push(after);
        }
    }
}

/// One run of one stream.
#[derive(Default)]
struct Life {
    changed_at: Option<u64>,
    /// The open incident has paged.
    paged: bool,
    /// The planted change has an incident, and a page.
    found: bool,
    found_by_page: bool,
}
