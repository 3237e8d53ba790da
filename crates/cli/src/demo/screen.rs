//! What the demo shows while it runs: one line for each thing that happens, a status line in between.

use wire::outbox::Outcome;
use wire::page::PageKind;
use wire::response::ResponseChange;
use wire::{Change, Incident, Timestamp};

use runtime::views::Event;

use crate::term::{Look, Out, span, visible};

/// Event time as people read it on one day: `10:41:20`.
#[must_use]
pub(crate) fn clock(at: Timestamp) -> String {
    at.to_string()[11..19].to_owned()
}

/// Prints one event for people. With `--json` the event itself.
pub(crate) fn show(out: &Out, event: &Event) {
    if out.json {
        out.json(event);
        return;
    }
    match event {
        Event::Incident { incident } => show_incident(out, incident),
        Event::Page { page, outcome, .. } => {
            let at = clock(page.incident.changed_at);
            let what = match page.kind {
                PageKind::Trigger => "PAGE",
                PageKind::Acknowledge => "page acknowledged",
                PageKind::Update => "page updated",
                PageKind::Resolve => "page resolved",
            };
            let how = match outcome {
                Outcome::Delivered { .. } => String::new(),
                Outcome::RetryAfter { reason, .. } | Outcome::Retry { reason } => {
                    format!(" (will retry: {reason})")
                }
                Outcome::Unknown { reason } => format!(" (unknown: {reason})"),
                Outcome::Config { reason } | Outcome::Reject { reason } => format!(" (failed: {reason})"),
            };
            let look = if page.kind == PageKind::Trigger { Look::Bold } else { Look::Dim };
            let text = format!(
                "{at}   {what} → {}/{}: {} {}{how}",
                page.receiver,
                page.target,
                page.incident.severity,
                visible(&page.incident.title)
            );
            out.line(out.paint(look, text));
            if page.kind == PageKind::Trigger {
                let command =
                    format!("           to take it: {} ack {}", program(), page.incident.incident_id);
                out.line(out.paint(Look::Cyan, command));
            }
        }
        Event::Response { response } => {
            let what = match response.change {
                ResponseChange::Opened => return,
                ResponseChange::Acknowledged => "acknowledged",
                ResponseChange::AcknowledgementExpired => "acknowledgement expired",
                ResponseChange::Mitigated => "mitigated",
                ResponseChange::Resolved => "resolved",
                ResponseChange::Closed => "closed",
                ResponseChange::Noted => "noted",
                ResponseChange::Seen => "seen",
                ResponseChange::Unanswered => "not answered in time",
                ResponseChange::Snoozed => "put off",
                ResponseChange::Muted => "muted",
                ResponseChange::Assigned => "handed on",
                ResponseChange::Merged => "merged",
                ResponseChange::Repinned => "put under the policies of today",
            };
            let why = response.why.as_deref().map(|w| format!(": {}", visible(w))).unwrap_or_default();
            out.line(out.paint(
                Look::Green,
                format!("           {what} {} by {}{why}", short(response.incident_id.as_str()), response.by),
            ));
        }
        Event::DataGap { topic, partition, expected, found } => out.line(out.paint(
            Look::Red,
            format!(
                "           DATA GAP in {topic}/{partition}: records {expected} to {found} expired unread"
            ),
        )),
        Event::RoleFailed { role, why } => {
            out.line(out.paint(Look::Red, format!("           {role} has ended: {why}")));
        }
    }
}

fn show_incident(out: &Out, incident: &Incident) {
    let (what, look) = match (incident.change, incident.severity.pages()) {
        (Change::Opened, true) => ("OPENED ", Look::Red),
        (Change::Opened, false) => ("opened ", Look::Yellow),
        (Change::Updated, true) => ("UPDATED", Look::Red),
        (Change::Updated, false) => ("updated", Look::Yellow),
        (Change::Cleared, _) => ("cleared", Look::Green),
    };
    let at = clock(incident.changed_at);
    let head = format!("{at}  {what} {} {:<12}", incident.severity, incident.family);
    let tail = match incident.change {
        Change::Cleared => format!("after {}", span(incident.changed_at.since_ms(incident.opened_at))),
        Change::Opened | Change::Updated => String::new(),
    };
    let id = short(incident.incident_id.as_str());
    out.line(format!(
        "{} {} {} {}",
        out.paint(look, head),
        visible(&incident.title),
        tail,
        out.paint(Look::Dim, id)
    ));
}

/// The first letters of an id: enough for the command line.
#[must_use]
pub(crate) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// How this program was called, for commands that a person can paste.
#[must_use]
pub(crate) fn program() -> String {
    std::env::args_os().next().map_or_else(|| "tocsin".to_owned(), |p| p.to_string_lossy().into_owned())
}
