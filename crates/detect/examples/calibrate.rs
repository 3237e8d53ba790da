//! Plays the simulated fleet through collector and judge, says what was false and what was found, and fails if it was
//! not what it should be.
//!
//! `cargo run --release -p tocsin-detect --example calibrate -- healthy 20` (seeds of seven healthy days): no page, and
//! no more tickets than the budget grants.
//! `cargo run --release -p tocsin-detect --example calibrate -- story 50` (seeds of five troubles in three hours, and
//! two hours more): each found in time, as one incident, urgent as it should be, and no false page.
//!
//! More words: the first seed; `-v` for every incident; `-j 2` for two threads. References and config are the demo's;
//! CALIBRATE_REFERENCES names another file of references (JSON or gzipped JSON).

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

#[path = "../tests/support/harness.rs"]
mod harness;

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fleet::{FleetConfig, Scenario};
use harness::{HOUR_MS, Outcome, demo_config, play};
use tocsin_detect::config::JudgeConfig;
use tocsin_detect::reference::Reference;
use wire::{Change, Digest};

/// Event time after the story, in which what it opened can clear.
const AFTER_MS: i64 = 2 * HOUR_MS;

struct Args {
    scenario: Scenario,
    seeds: u64,
    first: u64,
    threads: usize,
    verbose: bool,
}

/// What all seeds came to.
#[derive(Default)]
struct Totals {
    seeds: u64,
    pages: usize,
    tickets: usize,
    found: usize,
    missed: usize,
    repeats: usize,
    /// Troubles that are over and whose incident has not cleared.
    stuck: usize,
    /// Seconds from a trouble to its incident, by family.
    delays: std::collections::BTreeMap<&'static str, Vec<i64>>,
}

fn main() -> ExitCode {
    let args = args();
    let config = Arc::new(demo_config());
    let references = pinned();
    let bytes = serde_json::to_vec(&references).expect("plain data");
    println!("config {}, references {}", config.digest(), Digest::of(&[&bytes]));
    let (next, totals) = (AtomicU64::new(args.first), Mutex::new(Totals::default()));
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.first + args.seeds {
                        break;
                    }
                    let outcome = run(&args, &config, &references, seed);
                    let mut totals = totals.lock().expect("no thread panics with it");
                    println!("{}", totals.add(seed, &outcome, args.verbose));
                }
            });
        }
    });
    totals.into_inner().expect("all threads are over").verdict(&args, config.budget.tickets_per_week)
}

fn args() -> Args {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let threads = words.iter().position(|word| word == "-j").and_then(|at| words.get(at + 1));
    let threads = threads.map_or(1, |n| n.parse().expect("a number of threads"));
    let plain: Vec<&String> = words.iter().take_while(|word| !word.starts_with('-')).collect();
    let number = |at: usize, default| plain.get(at).map_or(default, |n| n.parse().expect("a number"));
    Args {
        scenario: plain.first().map_or("story", |name| name.as_str()).parse().expect("a scenario"),
        seeds: number(1, 5),
        first: number(2, 1),
        threads,
        verbose: words.iter().any(|word| word == "-v"),
    }
}

/// The references that the demo has checked in, or those of the file that is named.
fn pinned() -> Vec<Reference> {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/src/demo/references.json.gz");
    #[expect(clippy::disallowed_methods, reason = "an example's own setting")]
    let path = std::env::var("CALIBRATE_REFERENCES").unwrap_or_else(|_| demo.to_owned());
    let mut read = std::fs::read(&path).expect("a file of references");
    if read.starts_with(&[0x1f, 0x8b]) {
        let mut plain = vec![];
        flate2::read::GzDecoder::new(&read[..]).read_to_end(&mut plain).expect("gzip");
        read = plain;
    }
    serde_json::from_slice(&read).expect("references as JSON")
}

fn run(args: &Args, config: &Arc<JudgeConfig>, references: &[Reference], seed: u64) -> Outcome {
    // Hours of the day and days of the week differ from seed to seed.
    let hours = i64::try_from(seed * 7 % 168).expect("small");
    let start = FleetConfig::default().start.plus_ms(hours * HOUR_MS);
    let fleet = FleetConfig { seed: 1000 + seed, start, scenario: args.scenario, ..FleetConfig::default() };
    let after_ms = if args.scenario == Scenario::Story { AFTER_MS } else { 0 };
    play(config, references, &fleet, args.scenario.length_ms() + after_ms, false)
}

impl Totals {
    /// Adds one seed's outcome and says what it was.
    fn add(&mut self, seed: u64, outcome: &Outcome, verbose: bool) -> String {
        let (score, seen, stuck) = (outcome.score(), outcome.seen(), outcome.stuck());
        self.seeds += 1;
        self.pages += score.false_pages.len();
        self.tickets += score.false_tickets.len();
        self.found += score.found.len();
        self.missed += score.missed.len();
        self.repeats += score.repeats.len();
        self.stuck += stuck.len();
        let mut out = format!(
            "seed {seed}: {} opened, {} found, {} missed, {} false pages, {} false tickets, {} repeats, {} stuck, granted {:.2} pages {:.2} tickets",
            outcome.opened().count(),
            score.found.len(),
            score.missed.len(),
            score.false_pages.len(),
            score.false_tickets.len(),
            score.repeats.len(),
            stuck.len(),
            outcome.counters.granted[0],
            outcome.counters.granted[1],
        );
        let mut after = String::new();
        for found in &score.found {
            let family = outcome.truth.changes[found.change].family.name();
            let delay_s = found.delay_ms / 1000;
            self.delays.entry(family).or_default().push(delay_s);
            write!(after, " {family} after {delay_s} s").expect("a string takes all");
        }
        let mut line = |text: String| write!(out, "\n   {text}").expect("a string takes all");
        if verbose && !after.is_empty() {
            line(format!("found{after}"));
        }
        score.missed.iter().for_each(|&at| line(format!("MISSED {}", outcome.truth.changes[at].what)));
        stuck.iter().for_each(|what| line(format!("STUCK {what}")));
        let wrong =
            [("FALSE", &score.false_pages), ("FALSE", &score.false_tickets), ("REPEAT", &score.repeats)];
        for (what, at) in wrong.iter().flat_map(|(what, all)| all.iter().map(move |&at| (what, at))) {
            let s = &seen[at];
            let title = outcome.title_of(s);
            line(format!("{what} {:?} {} {} {title}", s.severity, s.family, s.opened));
        }
        if verbose {
            told(outcome).into_iter().for_each(line);
        }
        out
    }

    /// Says whether it is as it should be.
    fn verdict(mut self, args: &Args, tickets_per_week: f64) -> ExitCode {
        for (family, delays) in &mut self.delays {
            delays.sort_unstable();
            let (middle, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
            println!("   {family}: found after {middle} s in the middle, {most} s at most");
        }
        let Self { seeds, pages, tickets, found, missed, repeats, stuck, .. } = self;
        println!(
            "{seeds} seeds of {}: {found} found, {missed} missed, {pages} false pages, {tickets} false tickets, {repeats} repeats, {stuck} stuck",
            args.scenario
        );
        let weeks = f64::from(u32::try_from(seeds).expect("a few seeds"));
        let granted = match args.scenario {
            Scenario::Healthy | Scenario::Steady => weeks * tickets_per_week,
            Scenario::Story
            | Scenario::Latency
            | Scenario::Drift
            | Scenario::Accuracy
            | Scenario::Rollout
            | Scenario::Stopped
            | Scenario::RolloutHealthy => f64::INFINITY,
        };
        let tickets = f64::from(u32::try_from(tickets).expect("a few tickets"));
        if missed + pages + repeats == 0 && tickets <= granted {
            println!("PASSED");
            ExitCode::SUCCESS
        } else {
            println!("FAILED");
            ExitCode::FAILURE
        }
    }
}

/// Every record, with what stands behind an opening.
fn told(outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![];
    for i in &outcome.incidents {
        let (at, generation) = (i.changed_at, i.generation);
        lines.push(format!("{at} {} {} gen {generation} {}", i.change, i.severity, i.title));
        if i.change == Change::Opened {
            let [from, _] = i.evidence.window;
            lines.push(format!("     {} samples from {from}", i.evidence.samples));
            let parts = &i.evidence.contributors;
            lines.extend(parts.iter().map(|c| format!("     {}: {} D {:.2}", c.name, c.detail, c.evidence)));
        }
    }
    lines
}
