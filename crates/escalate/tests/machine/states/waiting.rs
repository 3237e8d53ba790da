//! What becomes of an incident that nobody is paged about for a while: played through the machine, and written into the docs.

use std::fmt::Write as _;

use escalate::{IncidentView, Stage};
use wire::command::Action;
use wire::page::PageKind::{Acknowledge, Resolve, Trigger, Update};
use wire::{Change, Incident, Severity};

use crate::harness::Script;
use crate::muting::{make, of, wanted};
use crate::samples::{acknowledge, command, mitigate, next, opened, reopened, resolve};
use crate::upstream::{built_on_it, outage, upstream};

/// When it happens, and until when is looked.
const AT_MS: i64 = 10_000;
const UNTIL_MS: i64 = 15_000;
/// How long nobody is to be paged.
const FOR_S: u64 = 300;

/// Why nobody is paged.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Snoozed,
    HandedOn,
    Silenced,
    Covered,
}

const WAITS: [(Wait, &str); 4] = [
    (Wait::Snoozed, "snoozed"),
    (Wait::HandedOn, "handed to somebody"),
    (Wait::Silenced, "silenced"),
    (Wait::Covered, "covered by what is upstream"),
];

type Happens = fn(Script, &Incident) -> Script;

const EVENTS: [(&str, Severity, Happens); 16] = [
    ("later numbers, the same severity", Severity::Sev2, |s, i| {
        s.push(AT_MS, &next(i, Change::Updated, Severity::Sev2))
    }),
    ("severity falls", Severity::Sev1, |s, i| s.push(AT_MS, &next(i, Change::Updated, Severity::Sev2))),
    ("severity rises within pages", Severity::Sev2, |s, i| {
        s.push(AT_MS, &next(i, Change::Updated, Severity::Sev1))
    }),
    ("severity rises from a ticket to a page", Severity::Sev3, |s, i| {
        s.push(AT_MS, &next(i, Change::Updated, Severity::Sev2))
    }),
    ("the signal clears", Severity::Sev2, |s, i| s.push(AT_MS, &next(i, Change::Cleared, Severity::Sev2))),
    ("the signal clears and is back in the same generation", Severity::Sev2, |s, i| {
        let cleared = next(i, Change::Cleared, Severity::Sev2);
        s.push(AT_MS, &cleared).push(AT_MS + 1_000, &next(&cleared, Change::Updated, Severity::Sev2))
    }),
    ("the signal clears and is back in a later generation", Severity::Sev2, |s, i| {
        let cleared = next(i, Change::Cleared, Severity::Sev2);
        s.push(AT_MS, &cleared).push(AT_MS + 1_000, &reopened(&cleared, Severity::Sev2))
    }),
    ("`acknowledge`", Severity::Sev2, |s, i| says(s, i, acknowledge(None))),
    ("`mitigate`", Severity::Sev2, |s, i| says(s, i, mitigate())),
    ("`resolve`", Severity::Sev2, |s, i| says(s, i, resolve())),
    ("`note`", Severity::Sev2, |s, i| says(s, i, Action::Note { text: "looked at".into() })),
    ("`snooze`", Severity::Sev2, |s, i| says(s, i, Action::Snooze { for_s: 600, reason: None })),
    ("`assign`", Severity::Sev2, |s, i| says(s, i, Action::Assign { to: "person:cy".into(), note: None })),
    ("`merge`", Severity::Sev2, |s, i| {
        says(s, i, Action::Merge { into: opened("other", Severity::Sev2).incident_id, reason: None })
    }),
    ("another bundle is loaded, and `repin`", Severity::Sev2, |s, i| {
        says(
            s.load(AT_MS, "another", "file", &settings(["ana", "bo", "dee"])),
            i,
            Action::Repin { reason: None },
        )
    }),
    ("a restart", Severity::Sev2, |s, _| s.crash(AT_MS, 1_000)),
];

fn says(script: Script, incident: &Incident, action: Action) -> Script {
    script.ask(AT_MS, command("c1", &incident.incident_id, "ana", action))
}

fn settings(people: [&str; 3]) -> String {
    let person = |who| format!("[people.person.{who}]\ncontact = {{ page = [\"pager/{who}\"] }}\n");
    upstream() + &people.map(person).concat()
}

/// Nobody is paged about it since a while, and `incident` is its last record.
fn waiting(wait: Wait, severity: Severity) -> (Script, Incident) {
    let fraud = Incident { severity, ..built_on_it("fraud") };
    let mut script = Script::new(&settings(["ana", "bo", "cy"]));
    for kind in [Trigger, Update, Acknowledge, Resolve] {
        for to in ["pager/ana", "pager/bo", "pager/cy"] {
            script = script.may(0..=i64::MAX, kind, to);
        }
    }
    let ask = |script: Script, action| script.ask(2_000, command("c0", &fraud.incident_id, "ana", action));
    script = match wait {
        Wait::Snoozed => ask(script.push(1_000, &fraud), Action::Snooze { for_s: FOR_S, reason: None }),
        Wait::HandedOn => {
            ask(script.push(1_000, &fraud), Action::Assign { to: "person:bo".into(), note: None })
        }
        Wait::Silenced => {
            script.silence(0, make("s", wanted(of("fraud"), FOR_S, 5, &[]))).push(1_000, &fraud)
        }
        Wait::Covered => script.push(0, &outage()).push(1_000, &fraud),
    };
    (script.run(AT_MS - 1), fraud)
}

/// Whether nobody is paged about it for the same reason as before.
fn still_waits(wait: Wait, view: &IncidentView) -> bool {
    match wait {
        Wait::Snoozed => view.snoozed_until.is_some(),
        Wait::HandedOn => view.assigned_to.as_deref().is_some_and(|to| to.ends_with("bo")),
        Wait::Silenced | Wait::Covered => view.muted_by.is_some(),
    }
}

fn becomes(wait: Wait, severity: Severity, happens: Happens) -> String {
    let (script, incident) = waiting(wait, severity);
    let id = &incident.incident_id;
    let view = |script: &Script| script.machine().incident_view(id).expect("known");
    assert!(still_waits(wait, &view(&script)), "nobody is to be paged: {:?}", view(&script));
    let before = script.sent.len();
    let script = happens(script, &incident).run(UNTIL_MS);
    let after = view(&script);
    let pages = script.sent[before..]
        .iter()
        .filter(|sent| sent.page.incident.incident_id == *id && sent.page.kind == Trigger);
    let pages: Vec<String> = pages.map(|sent| sent.to()).collect();
    let mut says = Vec::new();
    if !pages.is_empty() {
        says.push(format!(
            "**pages** {}",
            if pages.iter().all(|to| to == "pager/cy") { "them" } else { "at once" }
        ));
    }
    if after.stage != Stage::Open {
        says.push(after.stage.name().to_owned());
    }
    let goes_on = if still_waits(wait, &after) {
        "waits on"
    } else if after.snoozed_until.is_some() {
        "snoozed"
    } else if after.assigned_to.is_some() {
        "handed to them"
    } else {
        "waits no more"
    };
    says.push(goes_on.to_owned());
    says.join(", ")
}

/// The table, and what follows each wait.
pub(super) fn table() -> String {
    let mut out = String::from(
        "\n## While nobody is paged\n\n\
         An incident that is snoozed, handed to somebody, silenced or covered is open to people, and its signal is what it is; the table above holds. This is\n\
         what it comes to, played through the machine: whether it pages, what it is to people if not open, and whether it waits on for the same\n\
         reason. Somebody to whom it was handed was paged then, and an update follows.\n\n| event |",
    );
    for (_, name) in WAITS {
        write!(out, " {name} |").expect("a string takes it");
    }
    out.push_str("\n|---|---|---|---|---|\n");
    for (event, severity, happens) in EVENTS {
        write!(out, "| {event} |").expect("a string takes it");
        for (wait, _) in WAITS {
            write!(out, " {} |", becomes(wait, severity, happens)).expect("a string takes it");
        }
        out.push('\n');
    }
    out
}
