//! The bound itself: `E[false alarms] ≤ E[Σ a]`, of the recursion and the evidence that the judge uses.

use stats::binomial::{DRIFT_DELTAS, log_ratios};
use stats::spending::ratios_in_place;
use stats::{Side, Spending};

use super::draws::{Draws, float, whole};

/// What happens without a change: a null rate of a tenth, that no pane's conditional mean exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    Bernoulli,
    /// One record a pane and one small bet: hardly anything is lost where D jumps over 1, so nearly all is spent.
    Tight,
    /// Records of a pane share a rate that is drawn anew: correlation 0.05 between any two. The evidence is tempered by
    /// the design effect that this makes, and no theorem covers it.
    BetaBinomial,
    /// Just the rate itself, every time.
    Constant,
    /// Who sees D before the pane, and is always at the null: in large panes while D is low, record by record once an alarm
    /// is near, so that little is lost where D jumps over 1.
    Adversary,
    /// Who sees D too: at the null until it has risen, and far below after.
    Coward,
}

pub const NULLS: [Null; 6] =
    [Null::Bernoulli, Null::Tight, Null::BetaBinomial, Null::Constant, Null::Adversary, Null::Coward];

/// What goes on around the recursion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    Calm,
    /// The grant and the shares of the bets change at any pane, some to nothing: chosen before it is seen.
    WeightsChange,
    /// D is set to 0 without an alarm, and state is written and read back.
    Restarts,
    /// Three panes of four are empty, and granted all the same.
    EmptyPanes,
}

pub const AROUND: [Around; 4] = [Around::Calm, Around::WeightsChange, Around::Restarts, Around::EmptyPanes];

/// Alarms against grants, over runs.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub alarms: f64,
    pub granted: f64,
    /// Standard error of (alarms - granted) over all runs.
    pub error: f64,
}

impl Spent {
    pub fn holds(&self) -> bool {
        self.alarms <= self.granted + 3.0 * self.error
    }

    pub fn share(&self) -> f64 {
        self.alarms / self.granted
    }
}

const RATE: f64 = 0.1;
const RECORDS: u64 = 20;
const CORRELATION: f64 = 0.05;

/// `runs` of `panes` at a grant of `a` each.
pub fn spent(null: Null, around: Around, a: f64, panes: u64, runs: u64, seed: u64) -> Spent {
    let each: Vec<[f64; 2]> =
        (0..runs).map(|run| one(null, around, a, panes, &mut Draws::new(seed, run))).collect();
    let sum = |at: usize| each.iter().map(|run| run[at]).sum::<f64>();
    let n = float(runs);
    let mean = (sum(0) - sum(1)) / n;
    let variance = each.iter().map(|[x, g]| (x - g - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Spent { alarms: sum(0), granted: sum(1), error: (variance * n).sqrt() }
}

fn one(null: Null, around: Around, a: f64, panes: u64, draws: &mut Draws) -> [f64; 2] {
    let deltas = if null == Null::Tight { &DRIFT_DELTAS[..1] } else { &DRIFT_DELTAS[..] };
    let mut state = Spending::new(deltas.len());
    let mut weights = vec![1.0 / float(deltas.len() as u64); deltas.len()];
    let d = if null == Null::BetaBinomial { 1.0 + float(RECORDS - 1) * CORRELATION } else { 1.0 };
    let [mut alarms, mut granted] = [0.0; 2];
    let mut ratios = Vec::with_capacity(6);
    for _ in 0..panes {
        let mut grant = a;
        match around {
            Around::Calm | Around::EmptyPanes => (),
            Around::WeightsChange if draws.chance(0.1) => {
                weights.fill_with(|| draws.uniform());
                let sum: f64 = weights.iter().sum();
                weights.iter_mut().for_each(|w| *w /= sum);
            }
            Around::WeightsChange => grant *= float(draws.below(3)),
            Around::Restarts if draws.chance(0.01) => state.reset(),
            Around::Restarts if draws.chance(0.01) => {
                state = Spending::from(Vec::<f32>::from(state));
            }
            Around::Restarts => (),
        }
        granted += grant;
        let (k, n) = if around == Around::EmptyPanes && draws.chance(0.75) {
            (0, 0)
        } else {
            null.pane(draws, state.value(), a)
        };
        ratios.clear();
        log_ratios(float(k), float(n), RATE, Side::Up, deltas, d, &mut ratios);
        ratios_in_place(&mut ratios);
        if state.update(&ratios, &weights, grant) >= 1.0 {
            alarms += 1.0;
            state.reset();
        }
    }
    [alarms, granted]
}

impl Null {
    /// Events and records of the next pane, given D and the grant.
    fn pane(self, draws: &mut Draws, value: f64, a: f64) -> (u64, u64) {
        match self {
            Self::Adversary if value > 0.1 => (draws.binomial(1, RATE), 1),
            Self::Bernoulli | Self::Adversary => (draws.binomial(RECORDS, RATE), RECORDS),
            Self::Tight => (draws.binomial(1, RATE), 1),
            Self::BetaBinomial => {
                let size = 1.0 / CORRELATION - 1.0;
                let p = draws.beta(RATE * size, (1.0 - RATE) * size);
                (draws.binomial(RECORDS, p), RECORDS)
            }
            Self::Constant => (whole(float(RECORDS) * RATE), RECORDS),
            Self::Coward if value > 100.0 * a => (draws.binomial(RECORDS, 0.2 * RATE), RECORDS),
            Self::Coward => (draws.binomial(RECORDS, RATE), RECORDS),
        }
    }
}
