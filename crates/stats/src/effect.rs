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
/// an alarm, over a window chosen by its CUSUM, the estimate leans outward: the lower limit is then above the
/// truth in about 10 % (measured at 10 → 15 %). [`EffectGate`] is the gate whose error is a rate.
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

    /// D at one level of the grid. Gates of tests that share a grant are summed, level by level, as their D are.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub fn value(&self, level: usize) -> f64 {
        self.levels[level].value()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Draws, close};

    #[test]
    fn effects_of_known_counts() {
        // 30 of 100 against 10 % known exactly: half = 1.645·√(0.30198·0.69802/100).
        let p: f64 = 30.5 / 101.0;
        let half = Z_GATE * (p * (1.0 - p) / 100.0).sqrt();
        for (name, d, side, estimate, half) in [
            ("up", 1.0, Side::Up, 0.2, half),
            ("four records are worth one", 4.0, Side::Up, 0.2, 2.0 * half),
            ("down is the other way", 1.0, Side::Down, -0.2, half),
        ] {
            let got = effect(30, 100, 0.1, f64::INFINITY, d, side, Z_GATE).expect("records on both sides");
            assert!(close(Some(got.estimate), Some(estimate)), "{name}: {got:?}");
            assert!(close(Some(got.lower), Some(estimate - half)), "{name}: {got:?}");
            assert!(close(Some(got.upper), Some(estimate + half)), "{name}: {got:?}");
        }
        assert_eq!(effect(0, 0, 0.1, 50.0, 1.0, Side::Up, Z_GATE), None);
        assert_eq!(effect(1, 5, 0.1, 0.0, 1.0, Side::Up, Z_GATE), None);
    }

    #[test]
    fn a_window_begins_where_the_score_last_was_zero() {
        let mut window = ChangeWindow::default();
        for (log_ratio, k, counts) in
            [(-1.0, 0, (0, 0)), (0.5, 3, (3, 10)), (-0.7, 1, (0, 0)), (2.0, 6, (6, 10)), (-1.0, 1, (7, 20))]
        {
            window.update(log_ratio, k, 10);
            assert_eq!(window.counts(), counts, "after {log_ratio}");
        }
        assert_eq!(window.panes(), 2);
        assert!(close(Some(window.score()), Some(1.0)));
        window.update(f64::NAN, 5, 10);
        assert_eq!(window, ChangeWindow::default());
    }

    #[test]
    fn closing_takes_as_many_records_as_the_effect_needs() {
        for (p, d, effect, want) in [
            (0.2, 1.0, 0.1, 144),
            (0.2, 3.0, 0.1, 432),
            (0.2, 1.0, 0.9, 50),
            (0.2, 1.0, 0.0, 4000),
            (0.0, 1.0, 0.0, 4000),
        ] {
            assert_eq!(closing_samples(p, d, effect), want, "{p} {d} {effect}");
        }
    }

    const EFFECTS: [f64; 3] = [0.02, 0.05, 0.1];
    const DELTAS: [f64; 3] = [0.2, 0.4, 0.8];

    fn rule() -> GateRule<'static> {
        GateRule { effects: &EFFECTS, deltas: &DELTAS, side: Side::Up, d: 1.0 }
    }

    #[test]
    fn the_gate_opens_below_its_floor_no_more_than_granted() {
        // A true effect just at the floor of 2 points: to pass is an error, and errors are granted.
        let (m0, grant, panes, runs) = (0.1, 1e-3, 2_000_u32, 200);
        let mut passed = 0.0;
        for seed in 0..runs {
            let mut draws = Draws::new(seed);
            let mut gate = EffectGate::new(EFFECTS.len(), DELTAS.len());
            for _ in 0..panes {
                gate.update(rule(), draws.binomial(20, m0 + EFFECTS[0]), 20, m0, grant);
                if gate.lower(&EFFECTS).is_some() {
                    passed += 1.0;
                    gate.reset();
                }
            }
        }
        let granted = grant * f64::from(panes) * 200.0;
        println!("{passed} passes of {granted} granted");
        assert!(passed > 0.0 && passed <= granted + 3.0 * f64::sqrt(granted));
    }

    #[test]
    fn the_gate_names_the_largest_effect_it_is_sure_of() {
        let mut gate = EffectGate::new(EFFECTS.len(), DELTAS.len());
        let mut draws = Draws::new(9);
        for _ in 0..60 {
            gate.update(rule(), draws.binomial(20, 0.18), 20, 0.1, 1e-3);
        }
        // Eight points more: two are certain and five nearly; ten are not true.
        let lower = gate.lower(&EFFECTS).expect("1,200 records show it");
        assert!((0.02..=0.05).contains(&lower), "{lower}");
    }

    #[test]
    fn how_far_the_estimate_leans_at_an_alarm() {
        // Read at the alarm, over the window its CUSUM chose, the lower limit is above the truth more often
        // than 5 %. The doc comment of `effect` states this number.
        let (m0, p1, delta) = (0.1, 0.15, 0.4);
        let (mut wrong, runs) = (0.0, 400);
        for seed in 0..400 {
            let mut draws = Draws::new(seed + 77);
            let mut window = ChangeWindow::default();
            while window.score() < 12.0 {
                let k = draws.binomial(10, p1);
                window.update(log_ratio(float(k), 10.0, m0, delta, 1.0), k, 10);
            }
            let (k, n) = window.counts();
            let limits = effect(k, n, m0, 1e6, 1.0, Side::Up, Z_GATE).expect("records");
            wrong += f64::from(u8::from(limits.lower > p1 - m0));
        }
        let share = wrong / f64::from(runs);
        println!("lower limit above the truth in {:.1} % at the alarm", 100.0 * share);
        assert!((0.05..=0.15).contains(&share), "{share}");
    }
}
