//! `tocsin replay` as a person runs it: telemetry of a simulated fleet in a file, scored by its truth, drawn, explained.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use fleet::{Fleet, FleetConfig, Scenario};
use serde_json::Value;
use tocsin_tests::home;

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_replay_is_scored_drawn_and_explained_and_the_same_again() {
    let home = home!("replay");
    let quiet_ms = 6 * HOUR_MS;
    let config = FleetConfig { seed: 7, scenario: Scenario::Latency, quiet_ms, ..FleetConfig::default() };
    let until = config.start.plus_ms(quiet_ms);
    let end = until.plus_ms(Scenario::Latency.length_ms());
    let mut fleet = Fleet::new(&config);
    home.write("truth.json", serde_json::to_vec(fleet.truth()).unwrap());
    let mut telemetry = vec![];
    loop {
        let record = fleet.advance();
        if record.arrival >= end {
            break;
        }
        telemetry.extend_from_slice(record.json);
        telemetry.push(b'\n');
    }
    home.write("telemetry.jsonl", telemetry);
    let until = until.to_string();
    let replay = |report: &str| -> Value {
        let args =
            ["replay", "--config", "tocsin.toml", "--input", "telemetry.jsonl", "--reference-until", &until];
        let more = ["--truth", "truth.json", "--report", report, "--incidents", "incidents.jsonl", "--json"];
        serde_json::from_str(&home.ok(&[args.as_slice(), more.as_slice()].concat())).unwrap()
    };
    let told = replay("first");
    let changes = told["truth"]["changes"].as_array().unwrap();
    assert!(!changes.is_empty() && changes.iter().all(|change| change["fate"] == "found"), "{told}");
    let latency =
        told["truth"]["families"].as_array().unwrap().iter().find(|f| f["family"] == "latency").unwrap();
    assert_eq!(latency["false_incidents"], 0, "{told}");
    assert!(latency["dummy_found"].as_f64().unwrap() < 1.0, "{told}");
    assert_eq!(replay("second"), told);

    let page = |folder: &str| std::fs::read_to_string(home.path(folder).join("index.html")).unwrap();
    let (first, second) = (page("first"), page("second"));
    assert!(first == second, "the same files and config give the same page");
    assert!(first.contains("▲ sev2") || first.contains("▲ sev1"), "the page of the spike is in the table");
    assert!(first.contains("page mark") && first.contains("- - p95"), "latency is drawn, with its mark");

    let incidents = std::fs::read_to_string(home.path("incidents.jsonl")).unwrap();
    let opened: Value = serde_json::from_str(incidents.lines().next().unwrap()).unwrap();
    let explained =
        home.ok(&["explain", opened["incident_id"].as_str().unwrap(), "--file", "incidents.jsonl"]);
    for part in ["What was measured", "✓ evidence", "✓ effect", "What would have had to be different"] {
        assert!(explained.contains(part), "{part} is not in {explained}");
    }
    assert!(!explained.contains("is not the one that judged it"), "{explained}");
}
