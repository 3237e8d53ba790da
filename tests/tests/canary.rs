//! The canary's telemetry through collector, judge and escalation, by the config that the docs give: each of its troubles ends
//! in one sign of life and in no page to a person, whatever else the fleet does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use detect::collect::{CollectConfig, Collector, RecordAt, Role};
use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings};
use detect::decode::Fields;
use detect::judge::Judge;
use detect::progress::SourceId;
use detect::record::PanesRecord;
use detect::reference::ReferenceBuilder;
use escalate::{Effect, Input, Machine};
use runtime::canary::Song;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};
use wire::{Change, Timestamp};

/// A Monday, and a time half a year later.
const DAY: i64 = 1_772_409_600_000;
const START: i64 = 1_790_000_000_000;
const EVERY_S: i64 = 600;
/// Five records a second.
const BETWEEN_MS: i64 = 200;

/// `tocsin.toml` as the docs have it, with as little time between two troubles as may be.
const CONFIG: &str = r#"
    [canary]
    every_s = 600
    [receiver.inbox]
    type = "inbox"
    [receiver.canary]
    type = "heartbeat"
    url_file = "canary.url"
    [[route]]
    drill = true
    policy = "canary"
    [[route]]
    policy = "default"
    [policy.default]
    steps = [{ targets = ["inbox/on-call"], delay_s = 300 }]
    [policy.canary]
    until_owned = false
    steps = [{ targets = ["canary/canary"], delay_s = 86400 }]
"#;

/// What the canary is judged by is checked in; here is how it was made: a healthy day.
#[test]
fn the_reference_of_the_canary_is_that_of_a_healthy_day() {
    let models = [("tocsin-canary".to_owned(), tocsin::config::watch::canary_model())].into();
    let (judge, budget) = (JudgeSettings::default(), BudgetSettings::default());
    let judge = Arc::new(JudgeConfig::new("canary", 1, 10_000, judge, budget, models));
    let mut builder = ReferenceBuilder::new(Arc::new(CollectConfig::default()), judge);
    let song = song();
    for pass in 0..2 {
        if pass == 1 {
            builder.next_pass();
        }
        for n in 0..86_400_000 / BETWEEN_MS {
            let at = Timestamp::from_ms(DAY + n * BETWEEN_MS).unwrap();
            let (_, json) = song.record(&Fields::default(), n, at, false);
            builder.record(Role::Predictions, &json);
        }
    }
    let mut built = serde_json::to_string_pretty(&builder.finish().references[0]).unwrap();
    built.push('\n');
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cli/src/config/canary.json");
    if tocsin_tests::updating_golden() {
        std::fs::write(&path, &built).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == built, "UPDATE_GOLDEN=1 writes it anew");
}

fn song() -> Song {
    Song { model: "tocsin-canary".into(), version: "1".into(), every_ms: EVERY_S * 1_000 }
}

/// The pages that come of so many troubles, each with when it was decided.
fn pages_of(troubles: i64) -> Vec<Page> {
    let dir = std::env::temp_dir().join(format!("tocsin-canary-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("canary.url"), "https://checker.example/ping/a-secret").unwrap();
    let checked = tocsin::config::parse(&dir.join("tocsin.toml"), CONFIG).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
    let source = SourceId { topic: "t".into(), partition: 0 };
    let mut collector = Collector::new(source.clone(), vec![source], Arc::new(CollectConfig::default()));
    let (mut judge, mut machine) = (Judge::new(0, checked.judge), Machine::new(0, checked.policy));
    let at = |n: i64| Timestamp::from_ms(START + n * BETWEEN_MS).unwrap();
    drop(machine.handle(Input::Started { owner: "test".into() }, at(0)));
    let mut panes = 0..;
    for reference in checked.references.iter() {
        collector.profile(Arc::new(reference.profile.clone()));
        judge.handle(panes.next().unwrap(), PanesRecord::Reference(Box::new(reference.clone())));
    }
    let song = song();
    let (mut offset, mut pages) = (0, vec![]);
    for n in 0..(troubles + 1) * EVERY_S * 1_000 / BETWEEN_MS {
        let (_, value) = song.record(&Fields::default(), n, at(n), song.fails(at(0), at(n)));
        collector.record(RecordAt { role: Role::Predictions, offset, value: Some(&value) }, |_| None);
        offset += 1;
        if n % 50 != 0 {
            continue;
        }
        let flush = collector.flush(false, false);
        let partial = flush.panes.into_iter().map(PanesRecord::Partial);
        for record in partial.chain([PanesRecord::Progress(flush.progress)]) {
            judge.handle(panes.next().unwrap(), record);
        }
        let effects = judge.take_effects();
        for record in effects.context {
            if let wire::context::ContextRecord::Profile(profile) = record {
                collector.profile(Arc::from(profile));
            }
        }
        let mut inputs: Vec<Input> =
            effects.incidents.into_iter().map(|i| Input::Incident(Box::new(i))).collect();
        inputs.push(Input::Tick);
        inputs.reverse();
        while let Some(input) = inputs.pop() {
            for effect in machine.handle(input, at(n)) {
                if let Effect::Send { page, attempt, .. } = effect {
                    assert!(page.incident.drill, "{page:?}");
                    let outcome = Outcome::Delivered { reference: None };
                    let incident_id = page.incident.incident_id.clone();
                    let notification_id = page.notification_id.clone();
                    inputs.push(Input::Outcome { notification_id, incident_id, attempt, outcome });
                    pages.push(*page);
                }
            }
        }
    }
    pages
}

#[test]
fn each_trouble_of_the_canary_is_one_sign_of_life_and_no_page_to_a_person() {
    let pages = pages_of(4);
    assert!(pages.iter().all(|page| (&*page.receiver, &*page.target) == ("canary", "canary")), "{pages:#?}");
    let calls: Vec<&Page> = pages.iter().filter(|page| page.kind == PageKind::Trigger).collect();
    let after: Vec<i64> = calls.iter().map(|page| page.decided_at.as_ms() - START).collect();
    assert_eq!(calls.len(), 4, "{after:?}");
    for (trouble, after) in (1..).zip(after) {
        let late = after - trouble * EVERY_S * 1_000;
        assert!((0..90_000).contains(&late), "sign {trouble} came {late} ms after its trouble began");
    }
    assert!(calls.iter().all(|page| page.incident.change == Change::Opened), "{calls:#?}");
}
