use detect::replay::Totals;
use wire::Timestamp;

use super::*;

use base64::Engine as _;
use sha2::Digest as _;
use wire::history::{Bin, Distribution, History, StreamHistory, Verdict};
use wire::incident::{Context, Contributor};
use wire::{Change, Effect, Evidence, Family, Incident, Severity, Source, Subject};

fn at(minute: i64) -> Timestamp {
    "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap().plus_ms(minute * 60_000)
}

fn pane(model: &str, feature: &str, minute: i64, verdict: Verdict) -> History {
    let drifting = verdict == Verdict::Drifting;
    let stream = StreamHistory {
        k: 10 + 30 * u64::from(drifting),
        n: 100,
        reference: 0.1,
        judged: 1,
        peak: [0.0, if drifting { 2.0 } else { 0.01 }],
        effect: drifting.then_some(Effect { estimate: 0.3, lower: 0.2, upper: 0.4 }),
        ..StreamHistory::new(Family::Drift, feature, verdict)
    };
    let bins = vec![
        Bin { name: feature.into(), reference: 0.9, now: 60 },
        Bin { name: "b".into(), reference: 0.1, now: 40 },
    ];
    let moved = Distribution { family: Family::Drift, name: feature.into(), bins };
    History {
        model: model.into(),
        version: "v1".into(),
        segment: None,
        window: [at(minute), at(minute + 1)],
        predictions: 100,
        status: [("ok".to_owned(), 100)].into(),
        latency_ms: [("p50".to_owned(), 10.0), ("p95".to_owned(), 20.0), ("p99".to_owned(), 50.0)].into(),
        labels: 0,
        measures: [].into(),
        streams: vec![stream, StreamHistory::new(Family::Accuracy, "labels", Verdict::InsufficientData)],
        distributions: if drifting { vec![moved] } else { vec![] },
        left_out: 0,
        incomplete: false,
        profile: None,
        config: None,
    }
}

fn incident(model: &str, feature: &str, number: u64, minute: i64, change: Change) -> Incident {
    let subject = Subject::model(model, "v1");
    let first = at(i64::try_from(number).unwrap());
    Incident {
        incident_id: Incident::id_of("n", Source::Detector, &subject, Family::Drift, first),
        generation: 1,
        sequence: 1,
        change,
        namespace: "n".into(),
        source: Source::Detector,
        severity: Severity::Sev3,
        family: Family::Drift,
        subject,
        opened_at: at(minute),
        changed_at: at(minute),
        title: format!("{model} v1: {feature} has moved"),
        evidence: Evidence {
            statistic: "drift.share".into(),
            value: 0.4,
            reference: 0.1,
            unit: "share".into(),
            effect: Effect { estimate: 0.3, lower: 0.2, upper: 0.4 },
            evidence: 2.0,
            samples: 100,
            window: [at(minute - 1), at(minute)],
            contributors: vec![Contributor {
                name: feature.into(),
                detail: String::new(),
                value: 0.4,
                reference: 0.1,
                evidence: 2.0,
                segment: None,
            }],
            profile: None,
        },
        context: Context::default(),
        drill: false,
    }
}

fn written(told: &Told) -> String {
    let checked =
        crate::config::parse(Path::new("tocsin.toml"), crate::config::TEMPLATE).expect("it is valid");
    let mut gathered = Gathered::default();
    told.history.iter().for_each(|pane| gathered.pane(pane));
    told.incidents.iter().for_each(|incident| gathered.incident(incident));
    page::page(
        &gathered,
        &About {
            checked: &checked,
            read: &Read {
                source: "events.jsonl".to_owned(),
                amount: "1 record".to_owned(),
                records: 1,
                totals: Totals::default(),
                reference_until: None,
                fixed: None,
            },
            scorecard: None,
        },
    )
}

fn story(model: &str, feature: &str) -> Told {
    let verdict = |minute| if (30..60).contains(&minute) { Verdict::Drifting } else { Verdict::Ok };
    Told {
        history: (0..90).map(|minute| pane(model, feature, minute, verdict(minute))).collect(),
        incidents: vec![
            incident(model, feature, 1, 31, Change::Opened),
            incident(model, feature, 1, 60, Change::Cleared),
        ],
    }
}

#[test]
fn the_page_shows_the_incident_its_stream_and_what_was_not_judged() {
    let html = written(&story("fraud", "amount"));
    for part in [
        "1 incident was opened, a ticket.",
        "\"opened\">2026-03-02 08:31</td><td data-l=\"cleared\">2026-03-02 09:00</td>",
        "+30 [+20, +40]",
        "amount: values from 2026-03-02 08:30 to 2026-03-02 09:00 UTC",
        "<h2>Not judged</h2>",
        "too little data",
        "accuracy labels",
        "data-least-effect=\"0.01\"",
    ] {
        assert!(html.contains(part), "{part:?} is missing");
    }
    assert!(written(&Told::default()).contains("No incident was opened."));
}

#[test]
fn the_page_needs_nothing_and_runs_nothing() {
    let html = written(&story("fraud", "amount"));
    for banned in [
        "<script", "<link", "<img", "<iframe", "src=", "href=", " style=", " on", "@import", "http:",
        "https:",
    ] {
        let found = html.find(banned).map(|i| html.get(i.saturating_sub(40)..(i + 40).min(html.len())));
        assert!(banned == " on" || found.is_none(), "{banned} in {found:?}");
    }
    assert!(html.match_indices("url(").all(|(i, _)| html[i..].starts_with("url(#")));
    let css = html.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("one style");
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(css));
    assert!(html.contains(&format!("style-src 'sha256-{hash}'")), "the policy lets the style through");
}

/// Tags and the names of their attributes.
fn skeleton(html: &str) -> Vec<String> {
    html.split('<')
        .skip(1)
        .map(|piece| piece.split('>').next().unwrap().split('"').step_by(2).collect())
        .collect()
}

#[test]
fn hostile_names_are_only_text() {
    let evil = "\"><script>alert(1)</script><img src=x onerror='x'>\u{202e}\u{0}&";
    let html = written(&story(evil, evil));
    assert_eq!(skeleton(&html), skeleton(&written(&story("fraud", "amount"))));
    assert!(!html.contains('\u{202e}') && !html.contains("<script"));
}

#[test]
fn a_page_of_thousands_of_streams_is_bounded_and_says_what_is_left_out() {
    let told = Told {
        history: (0..6_000).map(|i| pane("fraud", &format!("f{i}"), i % 60, Verdict::Drifting)).collect(),
        incidents: (0..1_500_u64)
            .map(|i| incident("fraud", &format!("f{i}"), i, 30, Change::Opened))
            .collect(),
    };
    let html = written(&told);
    assert!(html.len() < 4_000_000, "{} bytes", html.len());
    for part in [
        "1,200 more are left out",
        "more with some evidence are left out",
        "There were more than 4,000 streams",
    ] {
        assert!(html.contains(part), "{part:?} is missing");
    }
}
