use super::*;
use crate::config::ModelSettings;

const SHAPE: Shape = Shape { versions: 10, features: 8, rate: 5.0 };

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn everything_is_granted_and_nothing_twice() {
    let config = JudgeConfig::default();
    let plan = plan(&config, &[], SHAPE);
    assert!(near(plan.allowed.pages, 1.0) && near(plan.allowed.tickets, 5.0), "{:?}", plan.allowed);
    let of = |family| plan.families.iter().find(|one| one.family == family).expect("it is judged");
    assert_eq!((of(Family::Drift).streams, of(Family::Drift).paging), (80, 0));
    assert!(near(of(Family::Drift).allowed.pages, 0.0) && near(of(Family::Drift).least.pages, 0.0));
    assert_eq!((of(Family::Latency).streams, of(Family::Traffic).streams), (10, 10));
    let latency = of(Family::Latency);
    assert!(near(latency.least.pages * 10.0, latency.allowed.pages), "{latency:?}");
}

#[test]
fn what_may_not_page_is_no_part_of_what_is_allowed() {
    let silent = ModelSettings { tier: 4, ..ModelSettings::default() };
    let models = [("a".to_owned(), silent), ("b".to_owned(), ModelSettings::default())].into();
    let defaults = JudgeConfig::default();
    let config = JudgeConfig::new("n", 1, 10_000, defaults.judge, defaults.budget, models);
    let plan = plan(&config, &[], Shape { versions: 2, ..SHAPE });
    assert!(near(plan.allowed.pages, 0.5) && near(plan.allowed.tickets, 5.0), "{:?}", plan.allowed);
}

#[test]
fn partitions_that_hold_no_model_grant_nothing() {
    let defaults = JudgeConfig::default();
    let of = |partitions| {
        JudgeConfig::new(
            "n",
            partitions,
            10_000,
            defaults.judge.clone(),
            defaults.budget,
            defaults.models.clone(),
        )
    };
    let one = Shape { versions: 1, ..SHAPE };
    assert!(near(plan(&of(4), &[], one).allowed.tickets, 1.25));
    assert!(near(plan(&of(1), &[], one).allowed.tickets, 5.0));
}

#[test]
fn larger_changes_are_found_sooner_and_the_floor_itself_never_for_certain() {
    let plan = plan(&JudgeConfig::default(), &[], SHAPE);
    let example = plan.example.expect("there are versions");
    for family in [Family::Latency, Family::Availability, Family::Drift, Family::Accuracy] {
        let of: Vec<&Delay> = example.delays.iter().filter(|delay| delay.family == family).collect();
        let [once, twice, four] = of[..] else { panic!("{family}: {of:?}") };
        let span = |delay: &Delay| delay.page.map(|after| after.span_ms);
        let records = |delay: &Delay| delay.ticket.map(|after| after.records);
        assert!(records(four).is_some() && records(four) <= records(twice), "{family}: {of:?}");
        if family == Family::Drift {
            assert!(once.ticket.is_none() && twice.page.is_none() && four.page.is_none(), "{of:?}");
        } else {
            // What lasts for an hour pages at half of the effect.
            assert!(span(once).is_none_or(|ms| ms >= 3_600_000), "{family}: {once:?}");
            assert!(
                span(four).is_some() && (span(twice).is_none() || span(four) <= span(twice)),
                "{family}: {of:?}"
            );
        }
    }
}

#[test]
fn full_tables_are_bounded() {
    let tables = tables(&JudgeConfig::default().judge, Bounds { ids: 1_000_000, waiting: 500_000 }, 400);
    assert_eq!(tables[0].bytes, 20_000_000);
    assert_eq!(tables[1].bytes, 16_000_000);
    assert!(tables.iter().all(|table| table.bytes == table.bound * table.bytes_each && table.bytes > 0));
}
