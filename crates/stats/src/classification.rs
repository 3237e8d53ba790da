//! How good classifications are, for people: sums that merge exactly.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::math::{float, float_len, ln};
use crate::moments::ExactSum;

/// Counts of (true class, predicted class), classes by index. Only pairs that occur are kept, so its size is
/// bounded by the square of the classes its caller numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    counts: BTreeMap<(u16, u16), u64>,
}

impl Confusion {
    /// Counts one labelled prediction.
    pub fn add(&mut self, truth: u16, predicted: u16) {
        self.add_n(truth, predicted, 1);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (&(truth, predicted), &count) in &other.counts {
            self.add_n(truth, predicted, count);
        }
    }

    /// Labelled predictions counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sum(|_, _| true)
    }

    /// Share that was right. `None` if nothing was counted.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.sum(|truth, predicted| truth == predicted), self.total())
    }

    /// Of those predicted as `class`, the share that is. `None` if none was predicted.
    #[must_use]
    pub fn precision(&self, class: u16) -> Option<f64> {
        ratio(self.count(class, class), self.sum(|_, predicted| predicted == class))
    }

    /// Of those that are `class`, the share predicted so. `None` if there was none.
    #[must_use]
    pub fn recall(&self, class: u16) -> Option<f64> {
        ratio(self.count(class, class), self.sum(|truth, _| truth == class))
    }

    /// Harmonic mean of precision and recall: `2·hits / (truly + predicted)`. `None` if the class never occurs.
    #[must_use]
    pub fn f1(&self, class: u16) -> Option<f64> {
        let truly = self.sum(|truth, _| truth == class);
        let predicted = self.sum(|_, predicted| predicted == class);
        ratio(self.count(class, class).saturating_mul(2), truly.saturating_add(predicted))
    }

    /// Mean F1 over the classes that occur, each with the same weight. `None` if nothing was counted.
    #[must_use]
    pub fn macro_f1(&self) -> Option<f64> {
        let classes: BTreeSet<u16> = self.counts.keys().flat_map(|pair| [pair.0, pair.1]).collect();
        let sum: f64 = classes.iter().filter_map(|&class| self.f1(class)).sum();
        (!classes.is_empty()).then(|| sum / float_len(classes.len()))
    }

    /// How often `truth` was predicted as `predicted`.
    #[must_use]
    pub fn count(&self, truth: u16, predicted: u16) -> u64 {
        self.counts.get(&(truth, predicted)).copied().unwrap_or(0)
    }

    fn add_n(&mut self, truth: u16, predicted: u16, n: u64) {
        let count = self.counts.entry((truth, predicted)).or_default();
        *count = count.saturating_add(n);
    }

    fn sum(&self, counts: impl Fn(u16, u16) -> bool) -> u64 {
        let chosen = self.counts.iter().filter(|((truth, predicted), _)| counts(*truth, *predicted));
        chosen.fold(0, |sum, (_, &count)| sum.saturating_add(count))
    }
}

/// Bins of scores: AUC and calibration error are read from 100 equal ones.
const SCORE_BINS: usize = 100;

/// Bins over which the calibration error is summed: 20 of 0.05.
const CALIBRATION_BINS: usize = 20;

/// Scores nearer to 0 or 1 than this count as that near in the log loss: a sure mistake costs 34.5 nats.
const SCORE_MIN: f64 = 1e-15;

/// How scores of a yes/no question compare with what came: Brier, log loss, calibration, AUC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    squares: ExactSum,
    log_losses: ExactSum,
    /// Only filled bins, rising.
    bins: Vec<(u8, ScoreBin)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ScoreBin {
    negatives: u64,
    positives: u64,
    scores: ExactSum,
}

impl Scores {
    /// Counts a score within 0..=1 and what came. False, and nothing is counted, if it is outside.
    pub fn add(&mut self, score: f64, positive: bool) -> bool {
        if !(0.0..=1.0).contains(&score) {
            return false;
        }
        let miss = if positive { 1.0 - score } else { score };
        self.squares.add(miss * miss);
        self.log_losses.add(-ln((1.0 - miss).max(SCORE_MIN)));
        let bin = self.bin_mut(bin_of(score));
        bin.scores.add(score);
        let count = if positive { &mut bin.positives } else { &mut bin.negatives };
        *count = count.saturating_add(1);
        true
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.squares.merge(&other.squares);
        self.log_losses.merge(&other.log_losses);
        for (index, theirs) in &other.bins {
            let mine = self.bin_mut(*index);
            mine.negatives = mine.negatives.saturating_add(theirs.negatives);
            mine.positives = mine.positives.saturating_add(theirs.positives);
            mine.scores.merge(&theirs.scores);
        }
    }

    /// Scores counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bins.iter().fold(0, |sum, (_, bin)| sum.saturating_add(bin.total()))
    }

    /// Mean squared miss. 0 is perfect, ¼ is a coin. `None` if nothing was counted.
    #[must_use]
    pub fn brier(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.squares.value() / float(self.total()))
    }

    /// Mean of −ln of the share given to what came, in nats. `None` if nothing was counted.
    #[must_use]
    pub fn log_loss(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.log_losses.value() / float(self.total()))
    }

    /// Expected calibration error over 20 equal bins: the mean gap between score and rate, 0 to 1.
    ///
    /// Noise floor without any error: about `0.8·√(rate·(1 − rate)·bins/n)`. `None` if nothing was counted.
    #[must_use]
    pub fn calibration_error(&self) -> Option<f64> {
        let total = float(self.total());
        let mut gaps = [0.0; CALIBRATION_BINS];
        for (index, bin) in &self.bins {
            gaps[usize::from(*index).min(SCORE_BINS - 1) * CALIBRATION_BINS / SCORE_BINS] +=
                bin.scores.value() - float(bin.positives);
        }
        (total > 0.0).then(|| gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / total)
    }

    /// Chance that a positive scores above a negative, ties half. Within ½·(share of pairs in one bin of 0.01).
    ///
    /// `None` unless both kinds were seen.
    #[must_use]
    pub fn auc(&self) -> Option<f64> {
        let (mut below, mut pairs, mut positives) = (0.0, 0.0, 0.0);
        for (_, bin) in &self.bins {
            let (negative, positive) = (float(bin.negatives), float(bin.positives));
            pairs += positive * (below + negative / 2.0);
            below += negative;
            positives += positive;
        }
        (below > 0.0 && positives > 0.0).then(|| pairs / (below * positives))
    }

    fn bin_mut(&mut self, index: u8) -> &mut ScoreBin {
        let at = self.bins.partition_point(|bin| bin.0 < index);
        if self.bins.get(at).is_none_or(|bin| bin.0 != index) {
            self.bins.insert(at, (index, ScoreBin::default()));
        }
        &mut self.bins[at].1
    }
}

impl ScoreBin {
    fn total(&self) -> u64 {
        self.negatives.saturating_add(self.positives)
    }
}

fn bin_of(score: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score is within 0..=1")]
    let bin = (score * 100.0) as u8;
    bin.min(99)
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) / float(whole))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{bytes, close};

    #[test]
    fn confusion_of_a_known_table() {
        // Rows by truth: 3 right and 1 wrong of class 0; 2 wrong and 4 right of class 1.
        let mut table = Confusion::default();
        for (truth, predicted, times) in [(0, 0, 3), (0, 1, 1), (1, 0, 2), (1, 1, 4)] {
            (0..times).for_each(|_| table.add(truth, predicted));
        }
        for (name, got, want) in [
            ("accuracy", table.accuracy(), Some(0.7)),
            ("precision", table.precision(1), Some(0.8)),
            ("recall", table.recall(1), Some(4.0 / 6.0)),
            ("f1", table.f1(1), Some(8.0 / 11.0)),
            ("macro f1", table.macro_f1(), Some((6.0 / 9.0 + 8.0 / 11.0) / 2.0)),
            ("precision of a class never seen", table.precision(7), None),
            ("accuracy of nothing", Confusion::default().accuracy(), None),
        ] {
            assert!(close(got, want), "{name}: got {got:?}, want {want:?}");
        }
    }

    #[test]
    fn scores_of_a_known_sample() {
        let mut scores = Scores::default();
        for (score, positive) in [(0.9, true), (0.7, true), (0.6, false), (0.2, false), (0.2, true)] {
            assert!(scores.add(score, positive));
        }
        let log_loss = -(0.9_f64.ln() + 0.7_f64.ln() + 0.4_f64.ln() + 0.8_f64.ln() + 0.2_f64.ln()) / 5.0;
        for (name, got, want) in [
            ("brier", scores.brier(), Some((0.01 + 0.09 + 0.36 + 0.04 + 0.64) / 5.0)),
            ("log loss", scores.log_loss(), Some(log_loss)),
            // Of the six pairs: 0.9 and 0.7 beat both, 0.2 loses one and ties one.
            ("auc", scores.auc(), Some(4.5 / 6.0)),
            ("calibration error", scores.calibration_error(), Some((0.1 + 0.3 + 0.6 + 0.6) / 5.0)),
            ("auc of one kind", Scores::default().auc(), None),
        ] {
            assert!(close(got, want), "{name}: got {got:?}, want {want:?}");
        }
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert!(!scores.add(bad, true), "{bad} is no score");
        }
        assert_eq!(scores.total(), 5);
    }

    #[test]
    fn a_sure_mistake_costs_a_finite_loss() {
        let mut scores = Scores::default();
        assert!(scores.add(0.0, true) && scores.add(1.0, false));
        assert!(scores.log_loss().is_some_and(|loss| (34.0..35.0).contains(&loss)));
    }

    proptest! {
        #[test]
        fn merging_is_exact(rows in prop::collection::vec((0.0..=1.0, any::<bool>(), 0..3_u16), 0..60), cut in 0..60_usize) {
            let cut = cut.min(rows.len());
            let fold = |rows: &[(f64, bool, u16)]| {
                let (mut scores, mut table) = (Scores::default(), Confusion::default());
                for &(score, positive, class) in rows {
                    scores.add(score, positive);
                    table.add(class, u16::from(positive));
                }
                (scores, table)
            };
            let (mut scores, mut table) = fold(&rows[cut..]);
            let first = fold(&rows[..cut]);
            scores.merge(&first.0);
            table.merge(&first.1);
            prop_assert_eq!(bytes(&(scores, table)), bytes(&fold(&rows)));
        }
    }
}
