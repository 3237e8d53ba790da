//! The config file of a running program: a typo keeps the old and is told, what is mended judges, and nothing is lost.

use std::sync::Arc;

use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use detect::judge::Judge;
use detect::record::PanesRecord;
use runtime::log::EmbeddedLog;
use serde_json::{Value, json};
use tocsin_tests::documented::Schemas;
use tocsin_tests::fed::{Feed, as_it_is, slower};
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::{home, scrape, stored, wait};
use wire::audit::AuditRecord;
use wire::topic::Topics;
use wire::{Change, Family, Incident, Source};

const MINUTE_MS: i64 = 60_000;
const PACE: u32 = 60;
/// What stands in the file where a number belongs.
const TYPO: &str = "xyzzy";

/// Open and ended incidents of a family, as they were last told.
fn of(home: &Home, family: Family) -> Vec<Value> {
    let all = home.json(&["incidents", "--all"]);
    let is = |i: &Value| i["incident"]["family"] == family.name();
    all.into_iter().filter(is).collect()
}

fn config_of(incident: &Value) -> &str {
    incident["incident"]["context"]["config"].as_str().expect("a judge names its config")
}

/// Waits until the last look at the file came to this, and says what is known of it.
fn outcome(process: &Process, outcome: &str) -> Value {
    wait::until(outcome, || {
        let status = process.json("/v1/status");
        (status["config_file"]["outcome"] == outcome).then_some(status)
    })
}

fn judged_by(process: &Process, digest: &str) -> Option<()> {
    (process.json("/v1/status")["judged_by"]["0"] == digest).then_some(())
}

/// The digest of the config as it stands in the file.
fn digest(home: &Home) -> String {
    home.json(&["check"])[0]["digest"].as_str().expect("a valid config has one").to_owned()
}

fn reloads(process: &Process, outcome: &str, times: f64) {
    scrape::until(process, "tocsin_config_reloads_total", &[("outcome", outcome)], times);
}

/// Puts a new file in the place of the config as a mounted ConfigMap does: by a link that points elsewhere.
fn swap(home: &Home, content: &str) {
    let new = home.write("..data-2/tocsin.toml", content);
    let link = home.path("tocsin.toml.new");
    std::os::unix::fs::symlink(new, &link).expect("the folder can be written");
    std::fs::rename(link, home.path("tocsin.toml")).expect("the folder can be written");
}

#[test]
fn a_changed_file_is_loaded_whole_or_told_of_and_nothing_is_lost() {
    let home = home!("reload");
    home.pin_references_of(&["fraud"]);
    let (process, mut feed) = (Process::start(&home, &[]), Feed::new(&["fraud"], 1.0));
    let first = digest(&home);
    wait::until("the judge has its config", || judged_by(&process, &first));
    feed.play(&process, 2 * MINUTE_MS, PACE, as_it_is);

    // A typo: the old one stays, and it is told without what stands there.
    let right = std::fs::read_to_string(home.path("tocsin.toml")).expect("it is there");
    home.write("tocsin.toml", right.replace("pages_per_week = 1.0", &format!("pages_per_week = {TYPO:?}")));
    let status = outcome(&process, "invalid");
    assert_eq!(
        (&status["config"], status["config_file"]["loaded_by"].as_str()),
        (&json!(first), Some("start"))
    );
    let told = wait::until("an incident", || of(&home, Family::Telemetry).into_iter().next());
    let title = told["incident"]["title"].as_str().expect("it has one");
    assert!(title.starts_with("the config of process 1 is at fault: tocsin.toml:"), "{title}");
    assert!(title.contains(": budget.pages_per_week; the one before stays in force"), "{title}");
    assert_eq!((&told["incident"]["severity"], config_of(&told)), (&json!("sev3"), first.as_str()));
    reloads(&process, "invalid", 1.0);
    let slow = || slower("fraud", 4.0);
    let open = feed.play_until(&process, "a page", (30 * MINUTE_MS, PACE), slow(), || {
        of(&home, Family::Latency).into_iter().next()
    });
    assert_eq!(config_of(&open), first, "the old one goes on judging");

    // Mended, with another threshold: what is open goes on, under the new one.
    swap(&home, &right.replace("[judge]\n", "[judge]\nrecovery_s = 240\n"));
    let second = digest(&home);
    assert_ne!(first, second);
    let status = outcome(&process, "loaded");
    assert_eq!(
        (&status["config"], status["config_file"]["loaded_by"].as_str()),
        (&json!(second), Some("file"))
    );
    wait::until("it is fine again", || {
        (of(&home, Family::Telemetry)[0]["signal"] == "cleared").then_some(())
    });
    let ended = feed.play_until(&process, "the signal clears", (60 * MINUTE_MS, PACE), as_it_is, || {
        of(&home, Family::Latency).into_iter().find(|i| i["signal"] == "cleared")
    });
    assert_eq!(config_of(&ended), second);
    wait::until("it says by which it judges", || judged_by(&process, &second));

    whoever_asks_gets_an_answer(&home, &process);
    let third = changed_while_it_was_away(&home, process, &mut feed);

    let log = stored::embedded(&home.path("tocsin.log"));
    audited(&log, &[&first, &second, &third]);
    a_second_fold_tells_the_same(&log);
    assert_eq!(stored::counted(&log, "default").records(), feed.records, "every record is in a pane");
    Schemas::read().check_topics(&log, "default");
    let everything = std::fs::read(home.path("tocsin.log")).expect("it is there");
    assert!(
        !everything.windows(TYPO.len()).any(|w| w == TYPO.as_bytes()),
        "what stood there went into the log"
    );
}

/// SIGHUP, and what takes a restart.
fn whoever_asks_gets_an_answer(home: &Home, process: &Process) {
    process.signal("HUP");
    let status = outcome(process, "unchanged");
    assert_eq!(status["config_file"]["loaded_by"], "file", "nothing was loaded");
    reloads(process, "unchanged", 1.0);

    home.configure("namespace = \"other\"");
    let status = outcome(process, "refused");
    let fault = status["config_file"]["fault"].as_str().expect("it says what").to_owned();
    assert!(fault.ends_with(": namespace"), "{fault}");
    assert!(process.said().contains("restart to change namespace, or put it back"), "{}", process.said());
    home.configure("namespace = \"default\"\n[log]\ncommit_ms = 250");
    let status = wait::until("it is taken back", || {
        let status = process.json("/v1/status");
        (status["config_file"]["fault"].is_null()).then_some(status)
    });
    assert_eq!(status["config_file"]["needs_restart"], json!(["log.commit_ms"]));
    assert!(process.said().contains("restart to change log.commit_ms"), "{}", process.said());
}

/// A file that was changed while nothing ran comes into force like any other: at a boundary, said in the log.
fn changed_while_it_was_away(home: &Home, process: Process, feed: &mut Feed) -> String {
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    home.configure("[budget]\npages_per_week = 2.0");
    let third = digest(home);
    let process = Process::start(home, &[]);
    feed.play_until(&process, "it judges by the new one", (30 * MINUTE_MS, PACE), as_it_is, || {
        judged_by(&process, &third)
    });
    assert_eq!(of(home, Family::Telemetry).len(), 1, "nothing is at fault");
    assert_eq!(home.json(&["audit", "verify"])[0]["ok"], true);
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    third
}

fn audited(log: &EmbeddedLog, digests: &[&String; 3]) {
    let records: Vec<AuditRecord> = stored::json(log, &Topics::of("default").audit);
    let loads = records.iter().filter(|r| r.action == "config.loaded");
    let loads: Vec<_> = loads.map(|r| (r.before.as_ref(), r.after.as_ref(), r.why.as_deref())).collect();
    let [first, second, third] = digests.map(Some);
    let want = [
        (None, first, Some("by start")),
        (first, second, Some("by file")),
        (second, third, Some("by start")),
    ];
    assert_eq!(loads, want);
}

/// The first config that the panes partition names judged from the beginning; whatever came later stands in it.
fn a_second_fold_tells_the_same(log: &EmbeddedLog) {
    let topics = Topics::of("default");
    let panes: Vec<_> = stored::all(log, &topics.panes)
        .into_iter()
        .map(|r| {
            (r.offset, PanesRecord::decode(r.value.as_deref().unwrap_or_default()).expect("its own record"))
        })
        .collect();
    let rules = panes.iter().find_map(|(_, record)| {
        let PanesRecord::Config(rules) = record else { return None };
        Some(rules.clone())
    });
    let (judge, budget) = (JudgeSettings::default(), BudgetSettings::default());
    let config = JudgeConfig::new("default", 1, 10_000, judge, budget, [].into());
    let mut judge = Judge::new(0, Arc::new(config.under(*rules.expect("the first owner says it"))));
    panes.into_iter().for_each(|(offset, record)| judge.handle(offset, record));
    let again = judge.take_effects().incidents;
    let mut told: Vec<Incident> = stored::json(log, &topics.incidents);
    told.retain(|i| i.source == Source::Detector);
    assert!(told.iter().any(|i| i.change == Change::Cleared));
    assert_eq!(again, told);
}
