//! What real data does to detectors: each trap once, from telemetry to incidents.

#[path = "support/guarantees/draws.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with others")]
mod draws;
#[path = "support/tape.rs"]
mod tape;

use draws::{Draws, float};
use tape::{
    DAY_MS, HOUR_MS, MINUTE_MS, Record, SECOND_MS, finite, judged, label, lines, opened, opened_at_min,
    pages, prediction, references, regular, replay,
};
use tocsin_detect::config::JudgeConfig;
use wire::{Change, Family};

/// Four hours of reference, one of health, and an hour of what is new; every two seconds.
const REFERENCE_MS: i64 = 4 * HOUR_MS;
const CHANGE_MS: i64 = 5 * HOUR_MS;
const END_MS: i64 = 6 * HOUR_MS;
const CHANGE_MIN: i64 = CHANGE_MS / MINUTE_MS;

/// A feature `x` that is written by `before` until the change and by `after` from then on.
fn feature(
    before: impl Fn(&mut Draws) -> String,
    after: impl Fn(&mut Draws) -> String,
) -> tocsin_detect::replay::Told {
    let mut draws = Draws::new(21, 0);
    let records = regular(2 * SECOND_MS, END_MS, |at_ms, _| {
        let x = if at_ms >= CHANGE_MS { after(&mut draws) } else { before(&mut draws) };
        format!(r#""features":{{"x":{x}}}"#)
    });
    judged(&records, &JudgeConfig::default(), REFERENCE_MS)
}

/// Nothing before the change, and `family` within so many minutes after it.
fn found(told: &tocsin_detect::replay::Told, family: Family, within_min: i64) {
    let first = opened(told).first().map(|i| (i.family, i.changed_at.since_ms(tape::start()) / MINUTE_MS));
    let after = first.map(|(_, min)| min - CHANGE_MIN);
    assert!(after.is_some_and(|min| (0..=within_min).contains(&min)), "{first:?}\n{}", lines(told));
    assert!(!opened_at_min(told, family).is_empty(), "{}", lines(told));
}

#[test]
fn a_category_that_is_new() {
    let old = |draws: &mut Draws| {
        format!(r#""{}""#, ["a", "b", "c"][usize::try_from(draws.below(3)).expect("small")])
    };
    let told = feature(old, |draws| if draws.chance(0.05) { r#""d""#.into() } else { old(draws) });
    found(&told, Family::Drift, 15);
    let healthy = feature(old, old);
    assert!(opened(&healthy).is_empty(), "{}", lines(&healthy));
}

#[test]
fn a_pane_of_nulls_and_a_share_of_nulls() {
    let value = |draws: &mut Draws| format!("{:.3}", draws.normal());
    let told = feature(value, |draws| if draws.chance(0.03) { "null".into() } else { value(draws) });
    found(&told, Family::DataQuality, 15);
    let told = feature(value, |_| "null".into());
    found(&told, Family::DataQuality, 5);
    // One minute of nothing but nulls, and health again: at most a ticket, which clears.
    let mut draws = Draws::new(22, 0);
    let records = regular(2 * SECOND_MS, END_MS, |at_ms, _| {
        let nulls = (CHANGE_MS..CHANGE_MS + MINUTE_MS).contains(&at_ms);
        format!(r#""features":{{"x":{}}}"#, if nulls { "null".into() } else { value(&mut draws) })
    });
    let told = judged(&records, &JudgeConfig::default(), REFERENCE_MS);
    assert!(opened(&told).len() <= 1 && pages(&told).is_empty(), "{}", lines(&told));
    let open = told.incidents.iter().filter(|i| i.change == Change::Cleared).count();
    assert_eq!(open, opened(&told).len(), "{}", lines(&told));
}

#[test]
fn a_feature_that_is_constant_and_then_another_constant() {
    let told = feature(|_| "7".into(), |_| "7".into());
    assert!(opened(&told).is_empty(), "{}", lines(&told));
    let told = feature(|_| "7".into(), |_| "8".into());
    found(&told, Family::Drift, 10);
    let told = feature(|_| "7".into(), |draws| format!("{:.2}", 7.0 + draws.normal()));
    found(&told, Family::Drift, 10);
    let told = feature(
        |_| "\"only\"".into(),
        |draws| if draws.chance(0.5) { "\"only\"" } else { "\"other\"" }.into(),
    );
    found(&told, Family::Drift, 10);
}

#[test]
fn numbers_at_the_end_of_what_can_be_written() {
    let wild = |draws: &mut Draws| {
        let all = ["1e308", "-1e308", "1e999", "-1e999", "5e-324", "\"Infinity\"", "\"NaN\"", "0"];
        all[usize::try_from(draws.below(8)).expect("small")].to_owned()
    };
    let value = |draws: &mut Draws| format!("{:.3}", draws.normal());
    for (before, reference_too) in [("in what is judged", false), ("in the reference too", true)] {
        let mut draws = Draws::new(23, 0);
        let records = regular(2 * SECOND_MS, END_MS, |at_ms, _| {
            let odd = (reference_too || at_ms >= CHANGE_MS) && draws.chance(0.1);
            let x = if odd { wild(&mut draws) } else { value(&mut draws) };
            let latency = if odd { "1e308".to_owned() } else { format!("{:.2}", 40.0 + draws.normal()) };
            format!(r#""latency_ms":{latency},"features":{{"x":{x}}},"prediction":{x}"#)
        });
        let config = JudgeConfig::default();
        let references = references(&records, &config, REFERENCE_MS);
        let (told, totals) = replay(&records, &config, references, REFERENCE_MS);
        finite(&told);
        println!("{before}: {} dead letters\n{}", totals.dead_letters, lines(&told));
        let early = opened(&told).iter().filter(|i| i.changed_at.since_ms(tape::start()) < CHANGE_MS).count();
        assert_eq!(early, 0, "{before}:\n{}", lines(&told));
        assert_eq!(reference_too, opened(&told).is_empty(), "{before}:\n{}", lines(&told));
    }
}

#[test]
fn one_error_of_three_requests_an_hour_wakes_nobody() {
    let day = 24 * 3;
    let mut draws = Draws::new(24, 0);
    let days = 40_i64;
    let reference_ms = 35 * DAY_MS;
    // Errors of one in a hundred, as they come; in the 37th day one hour in which one of three fails, in the 38th two
    // such hours.
    let records = regular(20 * MINUTE_MS, days * DAY_MS, |_, id| {
        let planted = [36 * day + 10, 37 * day + 4, 37 * day + 40].contains(&id);
        let by_chance = id < 35 * day && draws.chance(0.01);
        format!(r#""status":"{}""#, if planted || by_chance { "error" } else { "ok" })
    });
    let told = judged(&records, &JudgeConfig::default(), reference_ms);
    assert!(pages(&told).is_empty(), "{}", lines(&told));
    assert!(opened_at_min(&told, Family::Availability).is_empty(), "{}", lines(&told));
}

#[test]
fn a_trickle_that_fails_nearly_always_pages_within_a_quarter_of_an_hour() {
    let mut draws = Draws::new(25, 0);
    let records = regular(2 * SECOND_MS, END_MS, |at_ms, _| {
        let p = if at_ms >= CHANGE_MS { 0.9 } else { 0.005 };
        format!(r#""status":"{}""#, if draws.chance(p) { "error" } else { "ok" })
    });
    let told = judged(&records, &JudgeConfig::default(), REFERENCE_MS);
    let first = pages(&told)
        .first()
        .map(|i| i.changed_at.since_ms(tape::start()) / SECOND_MS - CHANGE_MS / SECOND_MS);
    println!("paged after {first:?} s");
    assert!(first.is_some_and(|s| (0..=900).contains(&s)), "{first:?}\n{}", lines(&told));
}

#[test]
fn ties_and_zeros() {
    let grid = |draws: &mut Draws| format!("{}", draws.below(10));
    let healthy = feature(grid, grid);
    assert!(opened(&healthy).is_empty(), "{}", lines(&healthy));
    found(&feature(grid, |draws| format!("{}", draws.below(10).max(2))), Family::Drift, 15);
    let zeros = |share: f64| {
        move |draws: &mut Draws| {
            if draws.chance(share) { "0".to_owned() } else { format!("{:.3}", draws.normal().exp()) }
        }
    };
    let healthy = feature(zeros(0.9), zeros(0.9));
    assert!(opened(&healthy).is_empty(), "{}", lines(&healthy));
    found(&feature(zeros(0.9), zeros(0.8)), Family::Drift, 20);
}

/// Predictions every two seconds, a tenth of them wrong; the label of each comes after `delay_s`, told when and whether it
/// was wrong.
fn labelled(wrong: impl Fn(i64) -> f64, delay_s: impl Fn(i64, bool, &mut Draws) -> f64) -> Vec<Record> {
    let mut draws = Draws::new(26, 0);
    let mut records = vec![];
    for i in 0..END_MS / (2 * SECOND_MS) {
        let (at_ms, id) = (i * 2 * SECOND_MS, i.unsigned_abs());
        records.push(prediction(at_ms, id, r#""prediction":"a""#));
        let is_wrong = draws.chance(wrong(at_ms));
        #[expect(clippy::cast_possible_truncation, reason = "a test's own numbers")]
        let delay_ms = (1000.0 * delay_s(at_ms, is_wrong, &mut draws)) as i64;
        records.push(label(at_ms + delay_ms, id, if is_wrong { "b" } else { "a" }));
    }
    records.sort_by_key(|record| record.at_ms);
    records.retain(|record| record.at_ms < END_MS);
    records
}

#[test]
fn labels_that_come_later_and_later_are_no_worse_answers() {
    let exponential = |mean_s: f64, draws: &mut Draws| -mean_s * (1.0 - draws.uniform()).ln();
    // Wrong answers are found out sooner, so that early labels are a biased sample; from the change on all take longer by
    // the minute, up to six times as long.
    let growing = |at_ms: i64, is_wrong: bool, draws: &mut Draws| {
        let times = 1.0 + 5.0 * float(u64::try_from((at_ms - CHANGE_MS).max(0)).expect("small")) / 3.6e6;
        exponential(if is_wrong { 300.0 } else { 600.0 } * times, draws)
    };
    let told = judged(&labelled(|_| 0.1, growing), &JudgeConfig::default(), REFERENCE_MS);
    assert!(opened_at_min(&told, Family::Accuracy).is_empty(), "{}", lines(&told));
    // The same with answers that do get worse.
    let worse = |at_ms| if at_ms >= CHANGE_MS { 0.4 } else { 0.1 };
    let told = judged(&labelled(worse, growing), &JudgeConfig::default(), REFERENCE_MS);
    assert!(!opened_at_min(&told, Family::Accuracy).is_empty(), "{}", lines(&told));
}

/// Nine days of a feature and a latency that follow the day, every ten seconds; on the last one `by` is added to both.
fn season(by: f64) -> Vec<Record> {
    let mut draws = Draws::new(27, 0);
    regular(10 * SECOND_MS, 10 * DAY_MS, |at_ms, _| {
        #[expect(clippy::cast_precision_loss, reason = "a part of a day")]
        let wave = (std::f64::consts::TAU * (at_ms % DAY_MS) as f64 / DAY_MS as f64).sin();
        let shift = if at_ms >= 9 * DAY_MS + 6 * HOUR_MS { by } else { 0.0 };
        let x = 2.0 * wave + draws.normal() + shift;
        let latency = 50.0 * (0.5 * wave + 0.3 * draws.normal() + 0.5 * shift).exp();
        format!(r#""latency_ms":{latency:.3},"features":{{"x":{x:.4}}}"#)
    })
}

#[test]
fn a_day_has_its_season_and_a_change_within_it_is_found() {
    let healthy = judged(&season(0.0), &JudgeConfig::default(), 8 * DAY_MS);
    assert!(opened(&healthy).is_empty(), "{}", lines(&healthy));
    let told = judged(&season(1.0), &JudgeConfig::default(), 8 * DAY_MS);
    let change_min = (9 * DAY_MS + 6 * HOUR_MS) / MINUTE_MS;
    for (family, within_min) in [(Family::Drift, 6 * 60), (Family::Latency, 60)] {
        let after = opened_at_min(&told, family).first().map(|min| min - change_min);
        println!("{family} found after {after:?} min");
        assert!(
            after.is_some_and(|min| (0..=within_min).contains(&min)),
            "{family} {after:?}\n{}",
            lines(&told)
        );
    }
}
