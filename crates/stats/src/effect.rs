//! How much has changed, with limits: the effect gate and what an incident reports.

use serde::{Deserialize, Serialize};

use crate::binomial::{Side, log_ratio};
use crate::math::float;
use crate::spending::{Spending, ratios_in_place};

/// One-sided normal quantile of the gate's limits: 5 % each at a fixed sample.
pub const Z_GATE: f64 = 1.645;

/// Where a change may have begun: a CUSUM and the counts since it last stood at zero.
///
/// The last zero is the maximum-likelihood start of the change for the bet whose ratios are fed. Keep one
/// for each bet and side that the effect is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangeWindow {
    score: f64,
    k: u64,
    n: u64,
    panes: u32,
}

impl ChangeWindow {
    /// Folds one pane: its log ratio (of the same bet each time) and its counts.
    pub fn update(&mut self, log_ratio: f64, k: u64, n: u64) {
        let score = self.score + log_ratio;
        // Also when it is not a number: a window without a score starts again.
        if score > 0.0 {
            let (k, n) = (self.k.saturating_add(k), self.n.saturating_add(n));
            *self = Self { score, k, n, panes: self.panes.saturating_add(1) };
        } else {
            *self = Self::default();
        }
    }

    /// The CUSUM, in nats.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.score
    }

    /// Events and records since the change may have begun.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.k, self.n)
    }

    /// Panes since then.
    #[must_use]
    pub fn panes(&self) -> u32 {
        self.panes
    }

    /// Starts again, as after an incident.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A change of a rate in the direction of its side (positive is worse), in shares of 1, with its limits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Lower limit: the gate compares this with the least effect the operator cares about.
    pub lower: f64,
    /// Best estimate.
    pub estimate: f64,
    /// Upper limit.
    pub upper: f64,
    /// Records it was read from.
    pub samples: u64,
}

/// The change of a rate between a baseline (`m0` from `n0` records) and `k` of `n` records since.
///
/// Limits: `estimate ± z·√(p(1 − p)·d·(1/n + 1/n0))`, p the current rate raised by half an event.
/// Error: each limit is wrong in about 5 % (z = 1.645) at a sample fixed beforehand. Read at the moment of
/// an alarm, over a window chosen by its CUSUM, the estimate leans outward; see the tests for how much.
/// [`EffectGate`] is the gate whose error is a rate.
///
/// `None` without records on either side.
///
/// # Panics
/// If `k > n`, `m0` is not within 0..=1, `d < 1` or `n0` is negative.
#[must_use]
pub fn effect(k: u64, n: u64, m0: f64, n0: f64, d: f64, side: Side, z: f64) -> Option<Effect> {
    assert!(k <= n && (0.0..=1.0).contains(&m0) && d >= 1.0 && n0 >= 0.0, "rates and counts");
    if n == 0 || n0 == 0.0 {
        return None;
    }
    let (count, total) = (float(k), float(n));
    let p = (count + 0.5) / (total + 1.0);
    let half = z * (p * (1.0 - p) * d * (1.0 / total + 1.0 / n0)).sqrt();
    let estimate = side.sign() * (count / total - m0);
    Some(Effect { lower: estimate - half, estimate, upper: estimate + half, samples: n })
}

/// Records after which an open incident may be judged closed: `9·p(1 − p)·d/effect²`, within 50 to 4,000.
///
/// At that many records half of the effect is one and a half standard deviations away from all of it.
#[must_use]
pub fn closing_samples(p: f64, d: f64, effect: f64) -> u64 {
    let wanted = 9.0 * p * (1.0 - p) * d / (effect * effect);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 50..=4000")]
    let whole = wanted.clamp(50.0, 4000.0).ceil() as u64;
    if wanted.is_nan() { 4000 } else { whole }
}

/// The gate with a stated rate: the spending recursion against nulls `m0 + e`, with its own grant.
///
/// For each effect e of a rising grid it keeps `D_e ← L_e·(D_e + a_gate)`, averaged over bets. The largest e
/// with `D_e ≥ 1` is the lower limit; it passes when that is at least the least effect of interest. Openings
/// whose true effect is below e are then at most `E[Σ a_gate]`, by the argument of [`Spending`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectGate {
    levels: Vec<Spending>,
}

/// What an [`EffectGate`] tests: the same for every pane of a stream.
#[derive(Clone, Copy, Debug)]
pub struct GateRule<'a> {
    /// Effects, rising, in shares of 1; the first is the least effect of interest.
    pub effects: &'a [f64],
    /// Steps of the log odds of the bets, all positive.
    pub deltas: &'a [f64],
    /// Direction.
    pub side: Side,
    /// Design effect.
    pub d: f64,
}

impl EffectGate {
    /// A gate that has seen nothing, for `effects` levels of `bets` bets.
    #[must_use]
    pub fn new(effects: usize, bets: usize) -> Self {
        Self { levels: vec![Spending::new(bets); effects] }
    }

    /// Folds one pane: `k` of `n` records, baseline rate `m0`, and what this gate is granted.
    ///
    /// # Panics
    /// If the rule's lengths are not those of [`EffectGate::new`], or as [`log_ratio`].
    pub fn update(&mut self, rule: GateRule<'_>, k: u64, n: u64, m0: f64, grant: f64) {
        assert_eq!(self.levels.len(), rule.effects.len(), "one level an effect");
        let weights = vec![1.0 / float(rule.deltas.len() as u64); rule.deltas.len()];
        for (level, effect) in self.levels.iter_mut().zip(rule.effects) {
            let null = (m0 + rule.side.sign() * effect).clamp(0.0, 1.0);
            let bet = |delta: &f64| log_ratio(float(k), float(n), null, rule.side.sign() * delta, rule.d);
            let mut ratios: Vec<f64> = rule.deltas.iter().map(bet).collect();
            ratios_in_place(&mut ratios);
            level.update(&ratios, &weights, grant);
        }
    }

    /// The largest effect of the grid that has been reached. `None`: not even the least.
    #[must_use]
    pub fn lower(&self, effects: &[f64]) -> Option<f64> {
        let reached = self.levels.iter().zip(effects).take_while(|(level, _)| level.value() >= 1.0);
        reached.last().map(|(_, effect)| *effect)
    }

    /// Back to 0, when the incident opens.
    pub fn reset(&mut self) {
        self.levels.iter_mut().for_each(Spending::reset);
    }
}
