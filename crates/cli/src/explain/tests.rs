use super::*;
use wire::incident::Context;
use wire::{Effect, Evidence, Family, Severity, Source, Subject, Timestamp};

fn at(minute: i64) -> Timestamp {
    "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap().plus_ms(minute * 60_000)
}

fn incident(family: Family, severity: Severity, change: Change, minute: i64) -> Incident {
    let subject = Subject::model("fraud", "v1");
    Incident {
        incident_id: Incident::id_of("n", Source::Detector, &subject, family, at(0)),
        generation: 1,
        sequence: u32::try_from(minute).unwrap(),
        change,
        namespace: "n".into(),
        source: Source::Detector,
        severity,
        family,
        subject,
        opened_at: at(10),
        changed_at: at(minute),
        title: "fraud v1: wrong".into(),
        evidence: Evidence {
            statistic: "accuracy.wrong_share".into(),
            value: 0.3,
            reference: 0.1,
            unit: "share".into(),
            // 1.645·√(0.30198·0.69802/100), twice as wide: four records are worth one.
            effect: Effect { estimate: 0.2, lower: 0.0490, upper: 0.3510 },
            evidence: 4.0,
            samples: 100,
            window: [at(5), at(minute)],
            contributors: vec![],
            profile: None,
        },
        context: Context::default(),
        drill: false,
    }
}

fn asked(change: impl FnOnce(&mut Asked)) -> Asked {
    let judge = detect::config::JudgeConfig::default();
    let mut asked = Asked {
        family: *judge.judge.family(Family::Accuracy),
        model: ModelSettings::default(),
        per_week: [1.0, 5.0],
        same: true,
    };
    change(&mut asked);
    asked
}

fn text(records: &[Incident], asked: Option<&Asked>) -> String {
    let sections = Explanation::new(records, asked).sections();
    sections.into_iter().map(|(head, lines)| format!("{head}\n{}\n", lines.join("\n"))).collect()
}

#[test]
fn the_formula_has_the_numbers_of_the_opening_in_it() {
    let records = [
        incident(Family::Accuracy, Severity::Sev2, Change::Opened, 10),
        incident(Family::Accuracy, Severity::Sev2, Change::Cleared, 90),
    ];
    let said = text(&records, Some(&asked(|_| ())));
    for part in [
        "30.00 % of 100 records from 2026-03-02T08:05:00.000Z to 2026-03-02T08:10:00.000Z; the reference expects 10.00 %",
        "effect = |0.3000 − 0.1000| = 0.2000",
        "limits = 0.2000 ± 0.1510 = [0.0490, 0.3510]",
        "the 100 records are worth 25 independent ones",
        "✓ evidence   D = 4.000 in the pane that ended at 2026-03-02T08:10:00.000Z",
        "✓ effect     lower limit 0.0490 ≥ least_effect 0.01",
        "✓ records    100 ≥ least_records 100",
        "✓ page       lower limit 0.0490 ≥ page_effect 0.02",
        "✗ sev1       tier 2 (1 is needed), lower limit 0.0490 < sev1_effect 0.2",
        "with [judge.accuracy] least_effect above 0.0490",
        "a budget more than 4.0 times smaller (pages_per_week below 0.250 instead of 1.000)",
        "A ticket and not a page: with page_effect above 0.0490, or tier = 4.",
        "2026-03-02T09:30:00.000Z  cleared  sev2",
    ] {
        assert!(said.contains(part), "{part}\nis not in\n{said}");
    }
    assert!(!said.contains("What is not known here"), "{said}");
}

#[test]
fn what_is_not_known_is_said() {
    let late = [incident(Family::Accuracy, Severity::Sev3, Change::Updated, 30)];
    let said = text(&late, None);
    assert!(
        said.contains("keeps the last record alone") && said.contains("There is no config here"),
        "{said}"
    );
    assert!(!said.contains("Not opened in that pane"), "the opening's numbers are not there: {said}");
    let other = text(&late, Some(&asked(|asked| asked.same = false)));
    assert!(other.contains("is not the one that judged it"), "{other}");
}

#[test]
fn why_nobody_was_woken() {
    for (family, tier, want) in [
        (Family::Drift, 2, "✗ page       drift is a ticket unless the model has drift_may_page = true"),
        (Family::DataQuality, 2, "✗ page       data_quality is a ticket"),
        (Family::Accuracy, 4, "✗ page       a model of tier 4 never pages"),
        (Family::Accuracy, 2, "but the page D had not reached 1"),
    ] {
        let record = [incident(family, Severity::Sev3, Change::Opened, 10)];
        let said = text(&record, Some(&asked(|asked| asked.model.tier = tier)));
        assert!(said.contains(want), "{want}\nis not in\n{said}");
    }
    let fact =
        Incident { source: Source::Own, ..incident(Family::Telemetry, Severity::Sev3, Change::Opened, 10) };
    assert!(text(&[fact], None).contains("A fact, not a test"));
}

#[test]
fn a_file_gives_the_one_incident_that_is_meant() {
    let folder = std::env::temp_dir().join(format!("tocsin-explain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("incidents.jsonl");
    let one = incident(Family::Accuracy, Severity::Sev2, Change::Opened, 10);
    let again = Incident { generation: 2, sequence: 30, ..one.clone() };
    let other = incident(Family::Drift, Severity::Sev3, Change::Opened, 10);
    let lines: Vec<String> =
        [&one, &other, &again].iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let input = Input::files(std::slice::from_ref(&file)).unwrap();
    let id = one.incident_id.as_str();
    assert_eq!(of_file(&input, &id[..8]).unwrap(), [again]);
    assert_eq!(of_file(&input, "zzzz").unwrap(), []);
    assert_eq!(of_file(&input, "").unwrap_err().kind, Kind::Usage, "two begin like that");
    std::fs::write(&file, "{}").unwrap();
    let input = Input::files(std::slice::from_ref(&file)).unwrap();
    assert!(of_file(&input, id).unwrap_err().message.contains("line 1 is no incident"));
    std::fs::remove_dir_all(&folder).unwrap();
}
