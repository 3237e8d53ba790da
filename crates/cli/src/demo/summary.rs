//! What the demo found, beside what was planted. Nothing else in the demo knows the truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::{Score, Seen, Truth, score};
use runtime::views::Event;
use serde::Serialize;
use wire::outbox::Outcome;
use wire::page::PageKind;
use wire::{Change, Incident, IncidentId, Severity, Timestamp};

use crate::term::{Look, Out, span, visible};

/// Incidents and pages as they came by.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Openings and rises to a page, in order.
    seen: Vec<(Seen, Arc<Incident>)>,
    worst: BTreeMap<(IncidentId, u32), Severity>,
    cleared: BTreeMap<IncidentId, Timestamp>,
    /// Targets that a page was delivered to, by incident.
    paged: BTreeMap<IncidentId, Vec<String>>,
}

impl Record {
    pub(crate) fn take(&mut self, event: &Event) {
        match event {
            Event::Incident { incident } => self.incident(incident),
            Event::Page { page, outcome: Outcome::Delivered { .. }, .. }
                if page.kind == PageKind::Trigger =>
            {
                let target = format!("{}/{}", page.receiver, page.target);
                let targets = self.paged.entry(page.incident.incident_id.clone()).or_default();
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
            Event::Page { .. }
            | Event::Response { .. }
            | Event::DataGap { .. }
            | Event::RoleFailed { .. } => (),
        }
    }

    fn incident(&mut self, incident: &Arc<Incident>) {
        if incident.change == Change::Cleared {
            self.cleared.insert(incident.incident_id.clone(), incident.changed_at);
            return;
        }
        let key = (incident.incident_id.clone(), incident.generation);
        let before = self.worst.get(&key).copied();
        if before.is_none_or(|b| incident.severity.pages() && !b.pages()) {
            let seen = Seen {
                model: incident.subject.name.clone(),
                version: incident.subject.version.clone(),
                family: incident.family,
                severity: incident.severity.into(),
                opened: incident.changed_at,
            };
            self.seen.push((seen, Arc::clone(incident)));
        }
        self.worst.insert(key, before.map_or(incident.severity, |b| b.min(incident.severity)));
    }

    pub(crate) fn finish(&self, truth: &Truth, through: Timestamp) -> Score {
        let seen: Vec<Seen> = self.seen.iter().map(|(s, _)| s.clone()).collect();
        score(truth, &seen, through)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    trouble: &'a str,
    found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_s: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<&'a Incident>,
    paged: Vec<String>,
}

/// Prints the summary; true when all was found and nothing else paged.
pub(crate) fn print(out: &Out, truth: &Truth, record: &Record, through: Timestamp) -> bool {
    let score = record.finish(truth, through);
    if !out.json {
        out.line("");
        out.line(out.paint(Look::Bold, "What was planted, and what came of it (event time)"));
    }
    for (c, change) in truth.changes.iter().enumerate() {
        let found = score.found.iter().find(|f| f.change == c);
        let incident = found.map(|f| &record.seen[f.seen].1);
        let paged = incident.and_then(|i| record.paged.get(&i.incident_id)).cloned().unwrap_or_default();
        if out.json {
            let delay_s = found.map(|f| f.delay_ms / 1000);
            let incident = incident.map(Arc::as_ref);
            out.json(&Line { trouble: &change.what, found: found.is_some(), delay_s, incident, paged });
            continue;
        }
        let verdict = match (found, score.pending.contains(&c)) {
            (Some(f), _) => out.paint(Look::Green, format!("found after {:<12}", span(f.delay_ms))),
            (None, true) => out.paint(Look::Yellow, "not yet due            "),
            (None, false) => out.paint(Look::Red, "MISSED                 "),
        };
        out.line(format!("  {verdict} {}", change.what));
        if let Some(incident) = incident {
            let who = if paged.is_empty() { "ticket, nobody woken".to_owned() } else { paged.join(", ") };
            let end = record.cleared.get(&incident.incident_id).map_or_else(
                || "still open".to_owned(),
                |at| format!("cleared {}", super::screen::clock(*at)),
            );
            out.line(out.paint(
                Look::Dim,
                format!(
                    "       {} {}: {} → {who}; {end}",
                    incident.severity,
                    incident.family,
                    visible(&incident.title)
                ),
            ));
        }
    }
    for (what, list) in [("false page", &score.false_pages), ("false ticket", &score.false_tickets)] {
        for &i in list {
            let incident = &record.seen[i].1;
            if out.json {
                out.json(&serde_json::json!({"false": what, "incident": &**incident}));
            } else {
                let text = format!("  {what}: {} {}", incident.severity, visible(&incident.title));
                out.line(out.paint(Look::Red, text));
            }
        }
    }
    closing(out, truth, &score);
    score.is_clean()
}

fn closing(out: &Out, truth: &Truth, score: &Score) {
    let (found, of) = (score.found.len(), truth.changes.len());
    let (pages, tickets) = (score.false_pages.len(), score.false_tickets.len());
    if out.json {
        out.json(&serde_json::json!({
            "summary": {"planted": of, "found": found, "false_pages": pages, "false_tickets": tickets, "clean": score.is_clean()}
        }));
        return;
    }
    let look = if score.is_clean() { Look::Green } else { Look::Red };
    let text = format!("{found} of {of} found; false pages: {pages}; false tickets: {tickets}");
    out.line(out.paint(look, text));
}
