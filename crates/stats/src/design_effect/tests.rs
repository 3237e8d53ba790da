use super::*;
use crate::testing::{Draws, bytes, close};

/// Panes whose rate is drawn anew every `block` panes, between `p ± swing`.
fn panes(seed: u64, count: usize, n: u64, p: f64, swing: f64, block: usize) -> Vec<(u64, u64)> {
    let mut draws = Draws::new(seed);
    let mut rate = p;
    (0..count)
        .map(|pane| {
            if pane % block == 0 {
                rate = if draws.chance(0.5) { p + swing } else { p - swing };
            }
            (draws.binomial(n, rate), n)
        })
        .collect()
}

#[test]
fn four_panes_by_hand() {
    // p = 1/2: deviations +2, −2, +1, −1 of variance 2.5 each; 1 − w/M = 3/4.
    let panes = residuals(&[(7, 10), (3, 10), (6, 10), (4, 10)]);
    let want = (4.0 + 4.0 + 1.0 + 1.0) / 4.0 / 2.5 / 0.75;
    assert!(close(design_effect(&panes, 1), Some(want)));
    for (name, panes, w) in [
        ("window of nothing", panes.clone(), 0),
        ("window longer than a quarter", panes, 2),
        ("nothing varies", residuals(&[(0, 5); 8]), 1),
        ("no panes", vec![], 1),
    ] {
        assert_eq!(design_effect(&panes, w), None, "{name}");
    }
}

#[test]
fn independent_records_are_worth_themselves() {
    for w in [1, 6, 24] {
        let mean = (0..20)
            .filter_map(|seed| design_effect(&residuals(&panes(seed, 480, 30, 0.2, 0.0, 1)), w))
            .sum::<f64>()
            / 20.0;
        assert!((0.85..1.15).contains(&mean), "d({w}) = {mean}");
    }
}

#[test]
fn a_long_window_sees_the_days_that_a_pane_does_not() {
    // Days of 24 panes at 10 % or 30 %: a pane of 30 records has d = 1 + 30·0.01/0.16 or so, a day 24 times that.
    let series = residuals(&panes(3, 24 * 40, 30, 0.2, 0.1, 24));
    let (pane, day) = (design_effect(&series, 1).expect("d"), design_effect(&series, 24).expect("d"));
    assert!((2.0..4.0).contains(&pane), "d(1) = {pane}");
    assert!((20.0..60.0).contains(&day), "d(24) = {day}");
}

#[test]
fn a_known_cycle_is_no_spread() {
    let (low, high) = (0.1, 0.3);
    let mut draws = Draws::new(8);
    let rate = |pane: usize| if (pane / 12).is_multiple_of(2) { low } else { high };
    let counts: Vec<(u64, u64)> = (0..480).map(|pane| (draws.binomial(30, rate(pane)), 30)).collect();
    let aware: Vec<Residual> =
        counts.iter().enumerate().map(|(pane, &(k, n))| Residual::new(k, n, rate(pane))).collect();
    let (blind, aware) =
        (design_effect(&residuals(&counts), 12).expect("d"), design_effect(&aware, 12).expect("d"));
    assert!(blind > 5.0 && aware < 1.5, "blind {blind}, aware {aware}");
}

#[test]
fn shrinkage_of_known_spreads() {
    let base = Shrinkage { own: Some(9.0), blocks: 10.0, events: 20, group: 3.0, model: 2.0, shorter: 4.0 };
    // m·o = 10·20/40 = 5.
    let known = (5.0 * 9.0 + 12.0 + 1.0 + 8.0) / 11.5 * (1.0 + 0.5 * (2.0_f64 / 14.0).sqrt());
    let nobody = (12.0 + 1.0 + 8.0) / 6.5 * (1.0 + 0.5 * (2.0_f64 / 6.5).sqrt());
    for (name, shrinkage, want) in [
        ("some events", base, known),
        ("no events: only what is borrowed", Shrinkage { events: 0, ..base }, nobody),
        ("no own value", Shrinkage { own: None, ..base }, nobody),
        ("never below 1", Shrinkage { own: Some(0.1), group: 0.1, model: 0.0, shorter: 0.1, ..base }, 1.0),
    ] {
        assert!(close(Some(shrinkage.value()), Some(want)), "{name}: {}", shrinkage.value());
    }
}

#[test]
fn one_burst_in_the_reference_counts_as_normal() {
    let quiet = panes(5, 400, 30, 0.1, 0.0, 1);
    let mut burst = quiet.clone();
    burst[200..206].iter_mut().for_each(|pane| pane.0 = 20);
    assert!(burst_floor(&quiet, 6) < 2.0, "{}", burst_floor(&quiet, 6));
    assert!(burst_floor(&burst, 6) > 10.0, "{}", burst_floor(&burst, 6));
    assert!(close(Some(burst_floor(&[], 3)), Some(1.0)));
    assert!(close(Some(deviance(10.0, 10.0, 0.5)), Some(20.0 * std::f64::consts::LN_2)));
    assert!(close(Some(deviance(0.0, 0.0, 0.5)), Some(0.0)));
    assert!(close(Some(implied_by_shorter(9.0, 8.0)), Some(16.25)));
}

#[test]
fn the_ladder_agrees_with_windows_side_by_side() {
    let series = residuals(&panes(11, 256, 20, 0.3, 0.1, 8));
    let mut ladder = Ladder::default();
    series.iter().for_each(|&pane| ladder.push(pane));
    for level in 0..6 {
        let w = 1 << level;
        let ratios: Vec<f64> = series
            .chunks_exact(w)
            .map(|chunk| {
                let sum = chunk.iter().fold(Residual::default(), |sum, pane| sum.plus(*pane));
                sum.deviation * sum.deviation / sum.variance
            })
            .collect();
        let (got, windows) = ladder.at(level).expect("256 panes fill six levels");
        assert_eq!(usize::try_from(windows).expect("few"), ratios.len(), "level {level}");
        assert!(
            close(Some(got), Some(ratios.iter().sum::<f64>() / float_len(ratios.len()))),
            "level {level}"
        );
    }
    assert_eq!(ladder.levels(8), 6);
    assert_eq!(ladder.at(20), None);
    let back: Ladder = postcard::from_bytes(&bytes(&ladder)).expect("just written");
    assert_eq!(back, ladder);
}
