use super::*;
use crate::family::{Event, Failure, LabelMiss};
use crate::reference::TestReference;

pub(super) fn baseline(k: u64, n: u64, d: f64) -> Baseline {
    Baseline::new(&TestReference {
        k,
        tolerated: k,
        n,
        d,
        tail: 1.0,
        d_hour: 1.0,
        spread: vec![],
        hours: None,
        week: None,
    })
}

/// Windows of an hour, of a reference of five.
const SPREAD: SpreadWindows = SpreadWindows { window_ms: 3_600_000, worth: 11.5, growing: false };

const LEAST: Least = Least { effect: 0.005, records: 5, page: [0.01, 0.02, 0.3] };

fn failures(d: f64) -> Rule {
    failures_of(100, 10_000, d)
}

fn failures_of(k: u64, n: u64, d: f64) -> Rule {
    let tests = vec![TestPlan { event: Event::Failed(Failure::Any), group: 0, pool: vec![], share: 1.0 }];
    let plan = StreamPlan { family: Family::Availability, name: "requests".into(), tests };
    Rule::new(plan, vec![baseline(k, n, d)], SPREAD)
}

/// Labels of two delays that were wrong, each alone and both together, against `known`.
pub(super) fn labels(known: [Baseline; 3]) -> Rule {
    let test = |miss, pool| TestPlan { event: Event::Label(miss), group: 0, pool, share: 1.0 };
    let tests = vec![
        test(LabelMiss::Wrong { delay: 0, band: 0 }, vec![]),
        test(LabelMiss::Wrong { delay: 1, band: 0 }, vec![]),
        test(LabelMiss::WrongInAll, vec![0, 1]),
    ];
    Rule::new(StreamPlan { family: Family::Accuracy, name: "labels".into(), tests }, known.into(), SPREAD)
}

fn terms(grant: f64) -> Terms {
    Terms { grants: [grant, grant], widen: 1.0, about: None, learn: true, civil_ms: 0 }
}

/// Panes of 100 records until D reaches 1 and the gate passes, at most `most`.
fn panes_until_alarm(rule: &Rule, k: u64, grant: f64, most: u64) -> Option<u64> {
    let mut stream = Stream::new(rule, true);
    (0..most).find(|i| {
        let start = Timestamp::EPOCH.plus_ms(i64::try_from(*i).unwrap() * 10_000);
        stream.gather(&[Some(Count::new(k, 100))], start, start.plus_ms(10_000));
        let judged = stream.judge(rule, terms(grant), LEAST);
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
        last = stream.judge(&rule, terms(1e-6), LEAST);
    }
    assert!(last.ticket >= 1.0 && last.moved.is_empty(), "{last:?}");
    assert!(last.page.abs() < 1e-12, "it holds no page D");
    stream.gather(&[Some(Count::new(9, 9))], Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(10_000));
    stream.restart();
    assert!(stream.gathered() == 0 && stream.ticket.value() < 1e-12, "what waited belongs to what is over");
}

#[test]
fn the_null_learns_late_and_never_from_trouble() {
    let rule = failures(1.0);
    let mut stream = Stream::new(&rule, false);
    let mut pane = |hour: i64, k: u64, learn: bool| {
        let start = Timestamp::EPOCH.plus_ms(hour * 3_600_000);
        stream.gather(&[Some(Count::new(k, 10_000))], start, start.plus_ms(3_600_000));
        stream.judge(&rule, Terms { learn, ..terms(0.0) }, LEAST);
        stream.null(&rule, 0, terms(0.0)).rate
    };
    assert!((pane(0, 200, true) - 0.01).abs() < 1e-9, "not yet");
    assert!((pane(1, 300, false) - 0.01).abs() < 1e-9, "trouble drops what waits");
    assert!((pane(2, 200, true) - 0.01).abs() < 1e-9);
    assert!((pane(3, 200, true) - 0.015).abs() < 1e-9, "half of 20,000 records at 2 %");
}

#[test]
fn pooled_tests_expect_what_their_members_do() {
    let rule = labels([baseline(10, 1000, 1.0), baseline(400, 1000, 1.0), baseline(410, 2000, 1.0)]);
    assert!((rule.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let mut stream = Stream::new(&rule, false);
    let counts = [(1, 30), (4, 10), (5, 40)].map(|(k, n)| Some(Count::new(k, n)));
    stream.gather(&counts, Timestamp::EPOCH, Timestamp::EPOCH.plus_ms(1));
    let null = stream.null(&rule, 2, terms(0.0));
    assert!((null.rate - (0.01 * 30.0 + 0.4 * 10.0) / 40.0).abs() < 1e-9, "{null:?}");
}
