//! `docs/states.md` says exactly what the table in the code says. Rewritten by `UPDATE_GOLDEN=1`.

mod waiting;

use std::fmt::Write as _;
use std::path::Path;

use escalate::life::{Decision, Event, Signal, Stage, decide};

const EVENTS: [(Event, &str); 20] = [
    (Event::Refreshed, "later numbers, the same severity"),
    (Event::Eased, "severity falls"),
    (Event::Worsened, "severity rises, within tickets or within pages"),
    (Event::BecamePage, "severity rises from a ticket to a page"),
    (Event::Cleared, "the signal clears"),
    (Event::Returned, "the signal is back in the same generation"),
    (Event::Reopened, "the signal is back in a later generation"),
    (Event::StepDue, "the next step is due"),
    (Event::HoldExpired, "the acknowledgement or mitigation runs out"),
    (Event::ResponseDue, "nothing was done in the time that the policy gives (`respond_within_s`)"),
    (Event::WaitOver, "it was put off until now, or whom it was handed to has not taken it"),
    (Event::Acknowledge, "`acknowledge`"),
    (Event::Mitigate, "`mitigate`"),
    (Event::Resolve, "`resolve`"),
    (Event::Close, "`close`"),
    (Event::Note, "`note`"),
    (Event::Snooze, "`snooze`"),
    (Event::Assign, "`assign`"),
    (Event::Merge, "`merge`"),
    (Event::Repin, "`repin`"),
];

/// Short form for the table, and what it means.
const fn word(decision: Decision) -> (&'static str, &'static str) {
    match decision {
        Decision::Ignore => ("–", "cannot come up, and would change nothing"),
        Decision::Record => ("record", "kept as the last word of the signal; nobody is told"),
        Decision::Tell => ("tell", "an update page to every open alert"),
        Decision::Reroute => (
            "reroute",
            "the routes are asked again: another policy pages its first step at once and other open alerts get an \
             update page; under the same policy, an update page to every open alert, and its timer runs on",
        ),
        Decision::NextStep => ("next step", "the next step of the policy pages"),
        Decision::Unanswered => ("unanswered", "open again: the next step of the policy pages, now"),
        Decision::PageAnew => {
            ("page anew", "open again: the routes are asked, and a new round pages from the first step, now")
        }
        Decision::NewGeneration => (
            "new generation",
            "open again under the settings of today: what is left of older alerts is resolved, and the first step pages \
             under new alert keys, now",
        ),
        Decision::Hold => (
            "hold",
            "somebody has it until a time: waiting triggers are cancelled, open alerts are acknowledged",
        ),
        Decision::Resolve => {
            ("resolve", "people are done: waiting pages are cancelled, open alerts are resolved")
        }
        Decision::ResolveAlerts => (
            "resolve alerts",
            "waiting pages are cancelled, open alerts are resolved; whoever holds it goes on holding it",
        ),
        Decision::Close => ("close", "looked back on"),
        Decision::Note => ("note", "written into the timeline"),
        Decision::Snooze => (
            "snooze",
            "nobody is paged until a time, and nobody owns it; then as *page anew*. What becomes a page meanwhile pages anew \
             at once",
        ),
        Decision::Assign => (
            "assign",
            "whoever held it holds it no longer; a person, team or role is paged now, and if they do not take it in the time \
             of a first step, as *page anew*",
        ),
        Decision::Repin => (
            "repin",
            "it follows the bundle in force; where somebody is being paged, as *page anew*, else nobody notices",
        ),
        Decision::Refuse(_) => ("refuse", "nothing changes; the person is told why, and it is audited"),
    }
}

fn table() -> String {
    let mut out = String::from(
        "# The life of an incident\n\n\
         Generated from `escalate::life::decide` by a test. People's side (the first word of each column) and the signal\n\
         (the second) are two states. A record, command or outcome that was taken in before changes nothing and does not\n\
         reach this table.\n\n| event |",
    );
    let columns: Vec<(Stage, Signal)> =
        Stage::ALL.iter().flat_map(|stage| Signal::ALL.map(|signal| (*stage, signal))).collect();
    for (stage, signal) in &columns {
        write!(out, " {}, {} |", stage.name(), signal.name()).expect("a string takes it");
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(columns.len()));
    out.push('\n');
    let mut used: Vec<(&str, &str)> = Vec::new();
    let mut refusals: Vec<(String, &str)> = Vec::new();
    for (event, says) in EVENTS {
        write!(out, "| {says} |").expect("a string takes it");
        for (stage, signal) in &columns {
            let decision = decide(*stage, *signal, event);
            let (short, long) = word(decision);
            write!(out, " {short} |").expect("a string takes it");
            if !used.contains(&(short, long)) {
                used.push((short, long));
            }
            if let Decision::Refuse(why) = decision
                && *signal == Signal::Open
            {
                refusals.push((format!("{says} when {}", stage.name()), why));
            }
        }
        out.push('\n');
    }
    out.push_str("\n## What the words mean\n\n");
    for (short, long) in used {
        writeln!(out, "- **{short}**: {long}.").expect("a string takes it");
    }
    out.push_str("\n## Why a command is refused\n\n");
    for (when, why) in refusals {
        writeln!(out, "- {when}: \"{why}\"").expect("a string takes it");
    }
    out
}

#[test]
fn the_docs_say_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/states.md");
    let want = table() + &waiting::table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    let got = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(got == want, "docs/states.md differs from the code; run the tests with UPDATE_GOLDEN=1");
}

#[test]
fn each_kind_of_event_brings_about_only_what_its_code_carries_out() {
    use Decision as D;
    for (event, says) in EVENTS {
        for stage in Stage::ALL {
            for signal in Signal::ALL {
                let decision = decide(stage, signal, event);
                let fits = match event {
                    Event::Refreshed
                    | Event::Eased
                    | Event::Worsened
                    | Event::BecamePage
                    | Event::Cleared
                    | Event::Returned
                    | Event::Reopened => matches!(
                        decision,
                        D::Ignore
                            | D::Record
                            | D::Tell
                            | D::Reroute
                            | D::PageAnew
                            | D::NewGeneration
                            | D::Resolve
                            | D::ResolveAlerts
                    ),
                    Event::StepDue | Event::HoldExpired | Event::WaitOver => {
                        matches!(decision, D::Ignore | D::NextStep | D::PageAnew | D::Resolve)
                    }
                    Event::ResponseDue => matches!(decision, D::Ignore | D::Unanswered | D::Record),
                    Event::Snooze => matches!(decision, D::Snooze | D::Refuse(_)),
                    Event::Assign => matches!(decision, D::Assign | D::Refuse(_)),
                    Event::Acknowledge | Event::Mitigate => matches!(decision, D::Hold | D::Refuse(_)),
                    Event::Resolve | Event::Merge => matches!(decision, D::Resolve | D::Refuse(_)),
                    Event::Close => matches!(decision, D::Close | D::Refuse(_)),
                    Event::Note => decision == D::Note,
                    Event::Repin => decision == D::Repin,
                };
                assert!(fits, "{says} when {stage:?}, {signal:?}: {decision:?}");
            }
        }
    }
}
