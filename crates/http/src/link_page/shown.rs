//! An incident as the page shows it: what it reads of the view that HTTP shows, and times and numbers as people read them.

use serde::Deserialize;
use wire::link::{Link, LinkAction};
use wire::page::PageKind;
use wire::response::Response;
use wire::{Incident, NotificationId, Severity, Timestamp};

/// The parts of an incident's view that the page needs. What it does not know it passes over.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) incident: Incident,
    pub(super) signal: String,
    pub(super) stage: String,
    #[serde(default)]
    pub(super) owner: Option<String>,
    #[serde(default)]
    pub(super) done_by: Option<String>,
    #[serde(default)]
    pub(super) acknowledged_until: Option<Timestamp>,
    #[serde(default)]
    pub(super) mitigated_until: Option<Timestamp>,
    #[serde(default)]
    pub(super) next_step_at: Option<Timestamp>,
    /// Nobody is paged until then.
    #[serde(default)]
    pub(super) snoozed_until: Option<Timestamp>,
    #[serde(default)]
    pub(super) assigned_to: Option<String>,
    /// When the next step pages unless whoever has it does something about it.
    #[serde(default)]
    pub(super) respond_by: Option<Timestamp>,
    #[serde(default)]
    pub(super) pages: Vec<Sent>,
    #[serde(default)]
    pub(super) timeline: Vec<Response>,
}

/// A page that was decided.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sent {
    pub(super) kind: PageKind,
    pub(super) receiver: String,
    pub(super) target: String,
    #[serde(default)]
    pub(super) person: Option<String>,
    /// The message that goes for several incidents.
    #[serde(default)]
    pub(super) fold: Option<NotificationId>,
    pub(super) decided_at: Timestamp,
    pub(super) state: State,
}

/// What became of it, by the word alone.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct State {
    pub(super) is: String,
}

/// What one message told of beside an incident.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    pub(super) of: Vec<Other>,
    /// How many there are: not all need be shown.
    pub(super) total: u64,
    /// The place from which the rest is shown.
    pub(super) next: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Other {
    pub(super) severity: Severity,
    pub(super) title: String,
    pub(super) stage: String,
    /// Token of its own page, for the same reader.
    pub(super) token: Option<String>,
}

impl Shown {
    /// The message in which whoever holds this link was told of it, if that was about others too.
    pub(super) fn message_to(&self, link: &Link) -> Option<&NotificationId> {
        let to_them = |sent: &&Sent| {
            sent.kind == PageKind::Trigger && sent.person.as_ref().unwrap_or(&sent.target) == &link.person
        };
        self.pages.iter().rev().find(to_them)?.fold.as_ref()
    }

    /// What its state leaves to do, the likeliest first. The machine decides anew when it is asked.
    pub(super) fn left_to_do(&self) -> &'static [LinkAction] {
        use LinkAction::{Acknowledge, Mitigate, Note, Resolve};
        match self.stage.as_str() {
            "resolved" | "closed" => &[Note],
            "mitigated" => &[Resolve, Mitigate, Note],
            _ => &[Acknowledge, Note, Mitigate, Resolve],
        }
    }
}

/// Day, time and zone.
pub(super) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        (_, _) => text,
    }
}

/// How far from now: `in 5 min`, `2 h ago`.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    let ms = at.since_ms(now);
    let s = ms.unsigned_abs() / 1000;
    let span = match s {
        0..60 => format!("{s} s"),
        60..7200 => format!("{} min", s / 60),
        7200..172_800 => format!("{} h", s / 3600),
        _ => format!("{} days", s / 86_400),
    };
    if ms < 0 { format!("{span} ago") } else { format!("in {span}") }
}

/// Shares as percent, everything else with its unit; about four digits that say something.
pub(super) fn number(value: f64, unit: &str) -> String {
    let (value, unit) = if unit == "share" { (value * 100.0, "%") } else { (value, unit) };
    let size = value.abs();
    let text = match size {
        _ if size > 0.0 && !(1e-3..1e7).contains(&size) => format!("{value:.2e}"),
        _ if size >= 1000.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    };
    let text = if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    // One word, so that no line ends between the two.
    if unit.is_empty() { text } else { format!("{text}\u{a0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_zone() {
        let at: Timestamp = "2026-03-02T10:06:01.250Z".parse().expect("a time");
        assert_eq!(moment(at), "2026-03-02 10:06:01 UTC");
        for (s, want) in [
            (0, "in 0 s"),
            (59, "in 59 s"),
            (300, "in 5 min"),
            (-1, "1 s ago"),
            (-7200, "2 h ago"),
            (3 * 86_400, "in 3 days"),
        ] {
            assert_eq!(distance(at.plus_ms(s * 1000), at), want);
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, unit, want) in [
            (0.2857, "share", "28.6 %"),
            (0.0018, "share", "0.18 %"),
            (0.0, "share", "0 %"),
            (1.0, "share", "100 %"),
            (-0.05, "share", "-5 %"),
            (2100.0, "ms", "2100 ms"),
            (12.345, "1/s", "12.3 1/s"),
            (3.0, "", "3"),
            (0.000_012, "", "1.20e-5"),
            (123_456_789.0, "", "1.23e8"),
        ] {
            assert_eq!(number(value, unit).replace('\u{a0}', " "), want);
        }
    }
}
