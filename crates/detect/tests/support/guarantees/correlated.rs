//! Streams whose records hang together, against references that are built from days of their own history.

use std::sync::Arc;

use tocsin_detect::family::{Counting, plan};
use tocsin_detect::judge::Trial;
use tocsin_detect::pane::PaneCounts;
use tocsin_detect::reference::StreamReference;
use tocsin_detect::reference::cells::Cells;
use wire::profile::{Profile, Stage, Task};
use wire::{Change, Digest, Family, Timestamp};

use super::draws::{Draws, float, median};
use super::fleet::{PANE_MS, PANES_A_WEEK, at, config};

/// How the rate of wrong answers moves about a tenth, in log odds, from one pane of ten minutes to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Independent,
    /// An autoregression with 0.8 from pane to pane, and a standard deviation of 0.3.
    Ar1,
    /// A day's wave of 0.5.
    Diurnal,
    /// One burst a day on average, an hour long on average, with twice the odds.
    Bursty,
    /// Days that differ by a standard deviation of 0.15: what a window of hours cannot show.
    Days,
    /// Two days of seven at 0.6 of the odds of the others, and days that differ by a standard deviation of 0.05.
    Weekend,
}

pub const KINDS: [Kind; 6] =
    [Kind::Independent, Kind::Ar1, Kind::Diurnal, Kind::Bursty, Kind::Days, Kind::Weekend];

const PANES_A_DAY: u64 = 144;
const RECORDS: u64 = 60;

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub days: u64,
    pub streams: u64,
    pub weeks: u64,
    /// Least effects of 0: evidence alone decides.
    pub open_gates: bool,
    pub seed: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Weeks of the whole fleet.
    pub weeks: f64,
    pub false_opened: u64,
    pub false_pages: u64,
    pub granted: [f64; 2],
    /// Design effects that the references were given, tails with them.
    pub d: Vec<f64>,
    /// Streams with a false incident, and those with more than two.
    pub streams: [u64; 2],
    /// Streams whose reference is refused the right to page.
    pub refused: u64,
}

impl Outcome {
    pub fn median_d(&self) -> f64 {
        median(&mut self.d.clone()).unwrap_or(1.0)
    }
}

struct Level {
    kind: Kind,
    state: f64,
    /// A day's level, or panes that a burst still lasts.
    held: f64,
}

impl Level {
    fn rate(&mut self, pane: u64, draws: &mut Draws) -> f64 {
        let shift = match self.kind {
            Kind::Independent => 0.0,
            Kind::Ar1 => {
                self.state = 0.8 * self.state + 0.3 * 0.6 * draws.normal();
                self.state
            }
            Kind::Diurnal => {
                let part = float(pane % PANES_A_DAY) / float(PANES_A_DAY);
                0.5 * (std::f64::consts::TAU * part).sin()
            }
            Kind::Bursty => {
                // An hour is six panes.
                let ends = draws.chance(1.0 / 6.0);
                let starts = draws.chance(1.0 / float(PANES_A_DAY));
                self.held = if starts || (self.held > 0.0 && !ends) { 1.0 } else { 0.0 };
                self.held * std::f64::consts::LN_2
            }
            Kind::Days => {
                if pane.is_multiple_of(PANES_A_DAY) {
                    self.held = 0.15 * draws.normal();
                }
                self.held
            }
            Kind::Weekend => {
                if pane.is_multiple_of(PANES_A_DAY) {
                    let usual = if pane / PANES_A_DAY % 7 < 5 { 0.0 } else { 0.6_f64.ln() };
                    self.held = usual + 0.05 * draws.normal();
                }
                self.held
            }
        };
        let odds = (1.0 / 9.0) * shift.exp();
        odds / (1.0 + odds)
    }
}

pub fn run(of: &Plan) -> Outcome {
    let judged = Arc::new(config(of.open_gates));
    let mut out = Outcome::default();
    for stream in 0..of.streams {
        let mut draws = Draws::new(of.seed, stream);
        let mut level = Level { kind: of.kind, state: 0.0, held: 0.0 };
        let mut next = |pane: u64| draws_of(&mut level, pane, &mut draws);
        let days = of.days * PANES_A_DAY;
        let StreamReference { growing, mut tests, .. } = reference(days, &mut next);
        let known = tests.swap_remove(0);
        out.d.push(known.d * known.tail);
        let mut trial = Trial::new(Arc::clone(&judged), Family::Accuracy, known, at(days).since_ms(at(0)));
        if growing {
            out.refused += 1;
            trial = trial.not_calibrated();
        }
        let (mut opened, mut paged) = (0, false);
        for pane in days..days + of.weeks * PANES_A_WEEK {
            let (start, k) = (at(pane), next(pane));
            for incident in trial.pane((start, start.plus_ms(PANE_MS)), k, RECORDS, 1.0 / float(of.streams)) {
                if incident.change == Change::Cleared {
                    paged = false;
                    continue;
                }
                opened += u64::from(incident.change == Change::Opened);
                out.false_pages += u64::from(incident.severity.pages() && !paged);
                paged |= incident.severity.pages();
            }
        }
        out.false_opened += opened;
        out.streams = [out.streams[0] + u64::from(opened > 0), out.streams[1] + u64::from(opened > 2)];
        let granted = trial.granted();
        out.granted = [out.granted[0] + granted[0], out.granted[1] + granted[1]];
    }
    out.weeks = float(of.weeks);
    out
}

fn draws_of(level: &mut Level, pane: u64, draws: &mut Draws) -> u64 {
    let rate = level.rate(pane, draws);
    draws.binomial(RECORDS, rate)
}

/// What the judge would be given: rate, hours of the day and spread as `tocsin reference build` counts them.
fn reference(panes: u64, next: &mut dyn FnMut(u64) -> u64) -> StreamReference {
    let profile = Profile {
        model: "m".to_owned(),
        version: "1".to_owned(),
        digest: Digest::new(""),
        effective_from: Timestamp::EPOCH,
        stage: Stage::Final,
        latency_edges: vec![],
        latency_objective_ms: None,
        features: vec![],
        prediction: None,
        score: None,
        task: Task::Classification,
        error_edges: vec![],
        delay_edges_ms: vec![],
        score_edges: vec![],
    }
    .sealed();
    let plan = plan(&profile);
    let mut cells = Cells::new(PANE_MS, 10_000);
    let mut counts = PaneCounts::empty(Some(&profile), 8);
    for pane in 0..panes {
        let stratum = &mut counts.labels.strata[0];
        (stratum.n, stratum.wrong) = (RECORDS, next(pane));
        counts.predictions = RECORDS;
        let with = Counting { profile: &profile, latency_slack: 0.05 };
        cells.add(&plan, with, at(pane), &counts);
    }
    let built = cells.finish(&profile, "UTC");
    let labels = built.streams.into_iter().find(|stream| stream.family == Family::Accuracy);
    labels.expect("labels were counted")
}
