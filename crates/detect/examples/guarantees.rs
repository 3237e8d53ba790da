//! The full form of what `tests/guarantees.rs` holds in a small one: simulates the promises and prints what came of them.
//!
//! `cargo run --release -p tocsin-detect --example guarantees -- bound` (the spending bound under every null),
//! `-- delay`, `-- fleet RECORDS [none|half|open] [STREAMS] [RUNS] [WEEKS] [SEED]` (references of so many records, a run is so
//! many weeks), `-- correlated DAYS [STREAMS] [WEEKS] [open]`.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

#[path = "../tests/support/guarantees/lib.rs"]
mod guarantees;

use guarantees::draws::{float, poisson_limits};
use guarantees::{bound, correlated, delay, fleet};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| words.get(at).map_or(default, |n| n.parse().expect("a whole number"));
    match words.first().map_or("", |word| word.as_str()) {
        "bound" => bounds(),
        "delay" => delays(),
        "fleet" => {
            let what = words.get(2).map_or("none", |word| word.as_str());
            of_fleet(&fleet::Plan {
                streams: number(3, 2000),
                runs: number(4, 125),
                weeks: number(5, 4),
                reference: number(1, 4000),
                records: 60,
                shift: if what == "half" { 0.5 } else { 0.0 },
                planted: what == "none",
                open_gates: what == "open",
                seed: number(6, 1),
            });
        }
        "correlated" => {
            for kind in correlated::KINDS {
                let open_gates = words.get(4).is_some_and(|word| word == "open");
                let (days, streams, weeks) = (number(1, 14), number(2, 500), number(3, 8));
                of_correlated(&correlated::Plan { kind, days, streams, weeks, open_gates, seed: 1 });
            }
        }
        other => println!("bound, delay, fleet or correlated, not {other:?}"),
    }
}

fn bounds() {
    println!("| null | around | a | alarms | granted | spent | 3 standard errors |");
    println!("|---|---|---|---|---|---|---|");
    for null in bound::NULLS {
        for around in bound::AROUND {
            for (a, panes, runs) in
                [(1e-2, 10_000, 200), (1e-3, 30_000, 200), (1e-4, 100_000, 200), (1e-5, 300_000, 40)]
            {
                let spent = bound::spent(null, around, a, panes, runs, 1);
                let ok = if spent.holds() { "" } else { " **broken**" };
                println!(
                    "| {null:?} | {around:?} | {a:e} | {} | {:.0} | {:.0} %{ok} | {:.0} |",
                    spent.alarms,
                    spent.granted,
                    100.0 * spent.share(),
                    3.0 * spent.error
                );
            }
        }
    }
}

fn delays() {
    println!("| error 10 % to | panes of | median records | early of 2001 |");
    println!("|---|---|---|---|");
    for p1 in [0.15, 0.2] {
        for records in [1, 60, 500] {
            let delay = delay::delay(p1, records, 2001, 1);
            println!("| {:.0} % | {records} | {} | {} |", 100.0 * p1, delay.median, delay.early);
        }
    }
}

fn of_fleet(plan: &fleet::Plan) {
    println!("{plan:?}");
    let out = fleet::run(plan);
    let per_week = |count: u64| {
        let [low, high] = poisson_limits(count);
        format!("{:.3} a week ({:.3} to {:.3})", float(count) / out.weeks, low / out.weeks, high / out.weeks)
    };
    println!("weeks of the fleet without a change: {:.1}", out.weeks);
    println!(
        "false pages: {} = {}; granted {:.3} a week",
        out.false_pages,
        per_week(out.false_pages),
        out.granted[0] / out.weeks
    );
    println!(
        "false incidents: {} = {}; granted {:.3} a week for tickets",
        out.false_opened,
        per_week(out.false_opened),
        out.granted[1] / out.weeks
    );
    let [pages, opened] = out.worst();
    println!(
        "worst hundredth of the streams: {} of {} false pages, {} of {} false incidents",
        pages.0, pages.1, opened.0, opened.1
    );
    println!(
        "limits: of {} records told, lower limit above the truth in {}, upper below it in {}; of {} openings {}, of {} pages {} (lower)",
        out.told, out.lower_wrong, out.upper_wrong, out.opened[0], out.opened[1], out.paged[0], out.paged[1]
    );
    if plan.planted {
        for (size, found) in fleet::PLANTED.iter().zip(&out.planted) {
            let [opened, paged] = found.delays();
            println!(
                "planted {size} x the page floor: {} changes; incident {:.1} %, median {opened:?} panes; page {:.1} %, median {paged:?} panes; {:.2} incidents a change; lower limit above the truth at first in {:.1} %",
                found.changes,
                100.0 * found.share(&found.opened),
                100.0 * found.share(&found.pages),
                float(found.incidents) / float(found.changes.max(1)),
                100.0 * float(found.lower_wrong) / float(found.changes.max(1)),
            );
        }
    }
}

fn of_correlated(plan: &correlated::Plan) {
    let out = correlated::run(plan);
    println!(
        "{:?}, {} days of history, {} streams, {} weeks: median d {:.2}; {} false incidents ({:.2} a week, {:.2} granted), {} false pages ({:.2} a week, {:.2} granted); streams with one {}, with more than two {}; refused {}",
        plan.kind,
        plan.days,
        plan.streams,
        plan.weeks,
        out.median_d(),
        out.false_opened,
        float(out.false_opened) / out.weeks,
        out.granted[1] / out.weeks,
        out.false_pages,
        float(out.false_pages) / out.weeks,
        out.granted[0] / out.weeks,
        out.streams[0],
        out.streams[1],
        out.refused,
    );
}
