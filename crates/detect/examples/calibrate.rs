//! Plays the simulated fleet through collector and judge and prints what was false and what was found.
//!
//! `cargo run --release -p tocsin-detect --example calibrate -- healthy 20` (seeds of seven healthy days)
//! `cargo run --release -p tocsin-detect --example calibrate -- story 50` (seeds of five troubles in three hours)
//!
//! The references (28 days) are built once and kept in the file that CALIBRATE_REFERENCES names, if it does.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

#[path = "../tests/support/harness.rs"]
mod harness;

use std::sync::Arc;

use fleet::{FleetConfig, Scenario};
use harness::{DAY_MS, Outcome, judge_config, play, references};
use tocsin_detect::config::{BudgetSettings, JudgeConfig};
use tocsin_detect::reference::Reference;
use wire::{Change, Timestamp};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let scenario: Scenario = args.get(1).map_or("story", |a| a).parse().expect("a scenario");
    let seeds: u64 = args.get(2).map_or("5", |a| a).parse().expect("a number of seeds");
    let first: u64 = args.get(3).map_or("1", |a| a).parse().expect("the first seed");
    let verbose = args.iter().any(|a| a == "-v");
    let config = Arc::new(judge_config(BudgetSettings::default()));
    let start = FleetConfig::default().start;
    let references = pinned(&config, start);
    let (mut pages, mut tickets, mut missed, mut repeats) = (0, 0, 0, 0);
    for seed in first..first + seeds {
        // Hours of the day and days of the week differ from seed to seed.
        let hours = i64::try_from(seed * 7 % 168).expect("small");
        let fleet = FleetConfig {
            seed: 1000 + seed,
            start: start.plus_ms(hours * 3_600_000),
            scenario,
            ..FleetConfig::default()
        };
        let outcome = play(&config, &references, &fleet, scenario.length_ms(), false);
        let score = outcome.score();
        pages += score.false_pages.len();
        tickets += score.false_tickets.len();
        missed += score.missed.len();
        repeats += score.repeats.len();
        report(seed, &outcome, verbose);
    }
    println!(
        "all: {pages} false pages, {tickets} false tickets, {missed} missed, {repeats} repeats in {seeds} seeds"
    );
}

fn pinned(config: &Arc<JudgeConfig>, start: Timestamp) -> Vec<Reference> {
    #[expect(clippy::disallowed_methods, reason = "an example's own setting")]
    let kept = std::env::var("CALIBRATE_REFERENCES").ok();
    if let Some(read) = kept.as_ref().and_then(|path| std::fs::read(path).ok()) {
        return serde_json::from_slice(&read).expect("references as JSON");
    }
    let built = references(config, start, 28, 1.0, 99);
    if let Some(path) = kept {
        std::fs::write(path, serde_json::to_vec(&built).expect("plain data")).expect("a file to write");
    }
    for reference in &built {
        let bytes = serde_json::to_vec(reference).expect("plain data").len();
        println!(
            "{} {}: {} records, {bytes} bytes",
            reference.profile.model, reference.profile.version, reference.records
        );
    }
    built
}

fn report(seed: u64, outcome: &Outcome, verbose: bool) {
    let score = outcome.score();
    let seen = outcome.seen();
    println!(
        "seed {seed}: {} opened, {} false pages, {} false tickets, {} missed, granted {:.2} pages {:.2} tickets",
        outcome.opened().count(),
        score.false_pages.len(),
        score.false_tickets.len(),
        score.missed.len(),
        outcome.counters.granted[0],
        outcome.counters.granted[1],
    );
    for found in &score.found {
        let change = &outcome.truth.changes[found.change];
        println!("   found {} {} after {} s", change.model, change.family, found.delay_ms / 1000);
    }
    for &at in &score.missed {
        println!("   MISSED {}", outcome.truth.changes[at].what);
    }
    for &at in score.false_pages.iter().chain(&score.false_tickets) {
        let s = &seen[at];
        let title = outcome
            .incidents
            .iter()
            .find(|i| i.changed_at == s.opened && i.family == s.family && i.subject.name == s.model)
            .map_or("", |i| &i.title);
        println!("   FALSE {:?} {} {} {}", s.severity, s.family, s.opened, title);
    }
    if verbose {
        for incident in &outcome.incidents {
            let lasted = outcome.through.since_ms(incident.changed_at) / DAY_MS;
            println!(
                "   {} {} {} {} ({lasted} days before the end)",
                incident.changed_at, incident.change, incident.severity, incident.title
            );
            if incident.change == Change::Opened {
                for c in &incident.evidence.contributors {
                    println!("        {}: {} D {:.2}", c.name, c.detail, c.evidence);
                }
            }
        }
    }
}
