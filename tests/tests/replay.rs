//! `tocsin replay` as a person runs it: telemetry of a simulated fleet in a file, scored by its truth, drawn, explained.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use fleet::{Fleet, FleetConfig, Scenario};
use serde_json::Value;
use tocsin_tests::home;
use wire::Timestamp;

const HOUR_MS: i64 = 3_600_000;

/// What arrives before that time, one record a line.
fn until_arrival(fleet: &mut Fleet, end: Timestamp) -> Vec<u8> {
    let mut telemetry = vec![];
    loop {
        let record = fleet.advance();
        if record.arrival >= end {
            return telemetry;
        }
        telemetry.extend_from_slice(record.json);
        telemetry.push(b'\n');
    }
}

/// Five days of a model that is asked once a minute; in the third hour of the fourth day every other request fails, if it is to.
fn five_days(trouble: bool) -> Vec<u8> {
    let mut out = vec![];
    for minute in 0..5 * 1440_i64 {
        // Neither of them repeats within a day.
        let (latency, chance) = (30 + minute * 7919 % 23, minute * 6271 % 97);
        let bad = trouble && (3 * 1440 + 120..3 * 1440 + 180).contains(&minute) && minute % 2 == 0;
        let status = if bad || chance == 0 { "error" } else { "ok" };
        let at = minute * 60_000;
        let line = format!(
            r#"{{"prediction_id":"p{minute}","event_time":{at},"model":"m","version":"1","latency_ms":{latency},"status":"{status}"}}"#
        );
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out
}

#[test]
fn a_reference_that_holds_trouble_is_refused_by_name() {
    let home = home!("reference-trouble");
    home.write("healthy.jsonl", five_days(false));
    home.write("trouble.jsonl", five_days(true));
    let build = |input: &str, more: &[&str]| {
        home.command(&[["reference", "build", "--input", input].as_slice(), more].concat()).output().unwrap()
    };
    let healthy = build("healthy.jsonl", &[]);
    assert!(healthy.status.success() && healthy.stderr.is_empty(), "{healthy:?}");
    let refused = build("trouble.jsonl", &[]);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{words}");
    for part in
        ["m 1: ", "of requests fail", "from 1970-01-04T02:", "so it is not written", "--accept-trouble"]
    {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    assert!(build("trouble.jsonl", &["--accept-trouble"]).status.success());
}

#[test]
fn a_replay_is_scored_drawn_and_explained_and_the_same_again() {
    let home = home!("replay");
    let quiet_ms = 6 * HOUR_MS;
    let config = FleetConfig { seed: 7, scenario: Scenario::Latency, quiet_ms, ..FleetConfig::default() };
    let until = config.start.plus_ms(quiet_ms);
    let end = until.plus_ms(Scenario::Latency.length_ms());
    let mut fleet = Fleet::new(&config);
    home.write("truth.json", serde_json::to_vec(fleet.truth()).unwrap());
    let telemetry = until_arrival(&mut fleet, end);
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

#[test]
fn what_a_log_holds_is_judged_again() {
    let home = home!("replay-from-log");
    let story = home.ok(&["demo", "--dir", "story", "--for", "15", "--listen", "127.0.0.1:0"]);
    let replay = |args: &[&str]| -> Value {
        let own = ["replay", "--config", "story/tocsin.toml", "--json"];
        serde_json::from_str(&home.ok(&[own.as_slice(), args].concat())).unwrap()
    };
    let history = replay(&["--from", "history", "--incidents", "incidents.jsonl", "--report", "report"]);
    let incidents = std::fs::read_to_string(home.path("incidents.jsonl")).unwrap();
    let incidents: Vec<Value> = incidents.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // What people were told during the story: `       sev2 availability: triage v8: 45 % …`.
    for told in story.lines().filter(|line| line.starts_with("       sev")) {
        let family = told.split_whitespace().nth(1).unwrap().trim_end_matches(':');
        assert!(incidents.iter().any(|i| i["family"] == family), "{told} is not in {incidents:?}");
    }
    assert!(history["opened"].as_u64().unwrap() >= 3 && history["pages"].as_u64().unwrap() >= 1, "{history}");
    assert!(history["fixed"].as_str().unwrap().contains("pane_s"), "{history}");
    assert!(incidents.is_sorted_by_key(|i| i["changed_at"].as_str().unwrap().to_owned()));
    assert_eq!(replay(&["--from", "history"]), history, "and the same again");
    assert_eq!(
        replay(&["--from", "history", "--since", "2026-03-02T10:00:00Z"])["through"],
        history["through"]
    );

    let config = std::fs::read_to_string(home.path("story/tocsin.toml")).unwrap();
    home.write("story/deaf.toml", format!("{config}\n[judge.latency]\nenabled = false\n"));
    let deaf = home.ok(&["replay", "--config", "story/deaf.toml", "--from", "history"]);
    assert!(!deaf.contains("of requests take over"), "{deaf}");

    let plan = home.ok(&["plan", "--config", "story/tocsin.toml", "--observed", "--json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    // Five models and, of one, a new version.
    assert!((5..=6).contains(&plan["plan"]["versions"].as_u64().unwrap()), "{plan}");

    let until = ["--from", "telemetry", "--reference-until", "2026-03-02T09:30:00Z"];
    let telemetry = replay(&until);
    assert!(telemetry["predictions"].as_u64().unwrap() > 10_000, "{telemetry}");
    assert_eq!(replay(&until), telemetry);

    for (args, words) in [
        (["--from", "history", "--since", "2031-01-01T00:00:00Z"].as_slice(), "holds no panes of that time"),
        (&["--from", "telemetry", "--until", "noon"], "--until noon: no time"),
    ] {
        let refused =
            home.command(&[&["replay", "--config", "story/tocsin.toml"], args].concat()).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(words), "{said}");
    }
}
