use super::*;
use proptest::prelude::*;
use wire::history::StreamHistory;
use wire::{Effect, Family};

fn at(minute: i64) -> Timestamp {
    "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap().plus_ms(minute * 60_000)
}

fn pane(i: i64, k: u64, d: f64, verdict: Verdict) -> Column {
    let stream = StreamHistory {
        k,
        n: 100,
        reference: 0.1,
        judged: 1,
        peak: [d / 3.0, d],
        granted: [1e-6, 5e-6],
        effect: (d > 0.1).then_some(Effect { estimate: 0.2, lower: 0.12, upper: 0.28 }),
        ..StreamHistory::new(Family::Drift, "amount", verdict)
    };
    Column::of([at(i), at(i + 1)], &stream)
}

fn drawn(title: &str, incident: &str, version: &str) -> String {
    let mut columns = Columns::default();
    (0..300)
        .for_each(|i| columns.push(pane(i, 10, 0.01, if i < 40 { Verdict::WarmingUp } else { Verdict::Ok })));
    columns.push(pane(300, 31, 4.0, Verdict::Drifting));
    (301..600).for_each(|i| columns.push(pane(i, 30, 0.0, Verdict::Drifting)));
    let incidents = [Marks {
        id: incident,
        title: incident,
        severity: Severity::Sev2,
        opened: at(301),
        cleared: None,
        own: true,
    }];
    stream(&Series {
        id: 7,
        title,
        columns: &columns,
        incidents: &incidents,
        deployments: &[(at(200), version)],
        least_effect: Some(0.01),
        both_sides: true,
        span: [at(0), at(640)],
    })
}

#[test]
fn it_shows_what_was_decided() {
    let svg = drawn("amount has moved", "abc", "v2");
    for part in [
        "<title id=\"t7\">amount has moved</title>",
        "aria-labelledby=\"t7 d7\"",
        "data-incident=\"abc\"",
        "data-least-effect=\"0.01\"",
        ">warming up</title>",
        ">no data</title>",
        "alarm at 1: one false page in",
        "Evidence reached 1.333 for pages and 4.000 for tickets",
        "+20 [+12, +28]",
        ">v2</text>",
    ] {
        assert!(svg.contains(part), "{part} is not in {svg}");
    }
    assert!(svg.matches("<tr><td>").count() <= crate::COLUMNS_MAX);
    assert!(svg.len() < 40_000, "{}", svg.len());
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn nothing_to_show_is_a_picture_too() {
    let columns = Columns::default();
    let svg = stream(&Series {
        id: 1,
        title: "",
        columns: &columns,
        incidents: &[],
        deployments: &[],
        least_effect: None,
        both_sides: false,
        span: [at(0), at(0)],
    });
    assert!(svg.ends_with("</figure>") && !svg.contains("NaN"));
}

#[test]
fn a_thousand_incidents_are_few_marks_and_the_page_among_them_is_shown() {
    let columns = Columns::default();
    let one = |i: i64| Marks {
        id: "i",
        title: "moved",
        severity: if i == 777 { Severity::Sev1 } else { Severity::Sev3 },
        opened: at(i),
        cleared: Some(at(i + 1)),
        own: i % 2 == 1,
    };
    let incidents: Vec<Marks<'_>> = (0..1000).map(one).collect();
    let svg = stream(&Series {
        id: 1,
        title: "t",
        columns: &columns,
        incidents: &incidents,
        deployments: &[],
        least_effect: None,
        both_sides: false,
        span: [at(0), at(1000)],
    });
    assert!(svg.len() < 40_000, "{}", svg.len());
    assert_eq!(svg.matches("class=\"page mark\"").count(), 1);
    assert!(svg.matches(" more)").count() > 20);
}

/// The tags of a page, without their text: what markup there is.
fn skeleton(html: &str) -> Vec<String> {
    let mut tags = vec![];
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("every tag ends");
        // Quoted values, which may hold any escaped text, left out.
        tags.push(tag.split('"').step_by(2).collect());
    }
    tags
}

proptest! {
    #[test]
    fn no_name_breaks_out(
        title in "\\PC{0,40}|[<>\"'&=/ a-z\\x00-\\x1f\u{202e}]{0,60}",
        incident in "[<>\"'&=/ a-z]{0,40}",
        version in "[<>\"'&=/ a-z]{0,12}",
    ) {
        prop_assert_eq!(skeleton(&drawn(&title, &incident, &version)), skeleton(&drawn("a", "b", "c")));
    }
}
