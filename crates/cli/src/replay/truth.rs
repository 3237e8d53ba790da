//! What is known to have happened in the telemetry, and how the incidents of a replay fare against it.

mod case;
mod simulated;

use std::collections::BTreeMap;
use std::path::Path;

use fleet::Urgency;
use serde_json::Value;
use wire::history::History;
use wire::{Change, Family, Incident, IncidentId, Timestamp};

use crate::failure::{Failure, Kind};
use case::Case;

/// A file that says what was planted, in one of the two forms that are known.
#[derive(Debug)]
pub(super) enum Truth {
    Simulated(fleet::Truth),
    Case(Case),
}

/// One change in one family that must answer it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planted {
    pub(super) family: &'static str,
    /// What was done and how much: `shift 1`.
    pub(super) kind: String,
    /// In words, where the file has them.
    pub(super) what: String,
    pub(super) start: Timestamp,
    pub(super) detect_by: Timestamp,
}

/// One time that an incident opened, or rose from a ticket to a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    pub(super) model: String,
    pub(super) version: Option<String>,
    pub(super) family: Family,
    pub(super) urgency: Urgency,
    pub(super) at: Timestamp,
    /// It was open as a ticket before.
    pub(super) rose: bool,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Found {
        alarm: usize,
        delay_ms: i64,
        predictions: f64,
    },
    Missed,
    /// The telemetry ends before it had to be found.
    NotDue,
}

/// Alarms against a truth. Numbers are positions among the alarms.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// One for each planted change, in order.
    pub(super) fates: Vec<Fate>,
    pub(super) wrong: Vec<(&'static str, usize)>,
    /// Of families that this truth says nothing about.
    pub(super) unscored: Vec<usize>,
}

impl Truth {
    /// # Errors
    /// When the file cannot be read, is of neither form, or lacks a field of its form.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read(path).map_err(|e| super::cannot(path, &e))?;
        Self::parse(&text)
            .map_err(|why| Failure::new(Kind::Usage, format!("--truth {}: {why}", path.display())))
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|e| format!("no JSON: {e}"))?;
        let has = |names: &[&str]| names.iter().all(|name| value.get(name).is_some());
        if has(&["changes", "warmup_until"]) {
            serde_json::from_value(value)
                .map(Self::Case)
                .map_err(|e| format!("a labelled case (it has `warmup_until`), but: {e}"))
        } else if has(&["changes", "scenario"]) {
            serde_json::from_value(value)
                .map(Self::Simulated)
                .map_err(|e| format!("a simulation's truth (it has `scenario`), but: {e}"))
        } else {
            Err("neither what `tocsin simulate --truth` writes (`scenario`, `start`, `end`, `changes`, `benign`) \
                 nor a labelled case (`warmup_until`, `end`, `changes`, `ignore`, `scored_families`)"
                .to_owned())
        }
    }

    pub(super) fn planted(&self) -> Vec<Planted> {
        match self {
            Self::Simulated(truth) => simulated::planted(truth),
            Self::Case(case) => case.planted(),
        }
    }

    /// Judges alarms of telemetry that was judged over `span`.
    pub(super) fn judge(&self, alarms: &[Alarm], clock: &Clock, span: Span) -> Outcome {
        match self {
            Self::Simulated(truth) => simulated::judge(truth, alarms, clock, span),
            Self::Case(case) => case.judge(alarms, clock, span),
        }
    }

    /// Families of which an incident can be false, in order.
    pub(super) fn families(&self) -> Vec<&'static str> {
        match self {
            Self::Simulated(_) => Family::ALL.iter().map(|family| family.name()).collect(),
            Self::Case(case) => case.families(),
        }
    }

    /// The family as this truth names it; `None` when it says nothing about it.
    pub(super) fn family_of(&self, family: Family) -> Option<&'static str> {
        match self {
            Self::Simulated(_) => Some(family.name()),
            Self::Case(case) => case.family_of(family),
        }
    }

    /// Event time in which an incident of the family is false, summed over models.
    pub(super) fn quiet_ms(&self, family: &str, clock: &Clock, span: Span) -> i64 {
        match self {
            Self::Simulated(truth) => simulated::quiet_ms(truth, family, clock, span),
            Self::Case(case) => case.quiet_ms(family, span),
        }
    }
}

/// Event time that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) through: Timestamp,
}

impl Span {
    /// What is left of it when these are taken out.
    fn without(self, taken: impl IntoIterator<Item = [Timestamp; 2]>) -> Vec<[Timestamp; 2]> {
        taken.into_iter().fold(vec![[self.from, self.through]], |left, [a, b]| {
            let parts = left.into_iter().flat_map(|[s, e]| [[s, e.min(a)], [s.max(b), e]]);
            parts.filter(|[s, e]| s < e).collect()
        })
    }
}

fn length_ms(spans: &[[Timestamp; 2]]) -> i64 {
    spans.iter().map(|[s, e]| e.since_ms(*s)).sum()
}

/// Alarms as the incidents come by.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    pub(super) all: Vec<Alarm>,
    /// The worst so far of each incident's generation: it rises once.
    worst: BTreeMap<(IncidentId, u32), Urgency>,
}

impl Alarms {
    pub(super) fn take(&mut self, incident: &Incident) {
        if incident.change == Change::Cleared {
            return;
        }
        let urgency = Urgency::from(incident.severity);
        let before = self.worst.insert((incident.incident_id.clone(), incident.generation), urgency);
        if before.is_some_and(|before| urgency <= before) {
            self.worst.insert((incident.incident_id.clone(), incident.generation), before.unwrap_or(urgency));
            return;
        }
        self.all.push(Alarm {
            model: incident.subject.name.clone(),
            version: incident.subject.version.clone(),
            family: incident.family,
            urgency,
            at: incident.changed_at,
            rose: before.is_some(),
        });
    }
}

/// Predictions of each model as event time goes by, from closed panes: between their ends it is a straight line.
#[derive(Debug, Default)]
pub(super) struct Clock {
    models: BTreeMap<String, Vec<(i64, f64)>>,
    pub(super) span: Option<Span>,
}

impl Clock {
    pub(super) fn take(&mut self, pane: &History) {
        if pane.segment.is_some() {
            return;
        }
        let [from, through] = pane.window;
        let span = self.span.get_or_insert(Span { from, through });
        *span = Span { from: span.from.min(from), through: span.through.max(through) };
        let points = self.models.entry(pane.model.clone()).or_default();
        if points.is_empty() {
            points.push((from.as_ms(), 0.0));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of records")]
        points.push((through.as_ms(), pane.predictions as f64));
    }

    /// The last pane has come: counts become running totals. Records were read `through`, which may be later than the
    /// last pane that was told of.
    pub(super) fn wind_up(&mut self, through: Option<Timestamp>) {
        if let (Some(span), Some(through)) = (&mut self.span, through) {
            span.through = span.through.max(through);
        }
        for points in self.models.values_mut() {
            points.sort_by_key(|(at, _)| *at);
            let mut total = 0.0;
            for (_, n) in points {
                total += *n;
                *n = total;
            }
        }
    }

    fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// Predictions before `at`, of one model or of all.
    fn position(&self, model: Option<&str>, at: Timestamp) -> f64 {
        let of = |points: &Vec<(i64, f64)>| along(points, at.as_ms());
        match model {
            Some(model) => self.models.get(model).map_or(0.0, of),
            None => self.models.values().map(of).sum(),
        }
    }
}

/// A line through points of rising x, level beyond its ends.
fn along(points: &[(i64, f64)], x: i64) -> f64 {
    let after = points.partition_point(|(at, _)| *at <= x);
    match (after.checked_sub(1).map(|i| points[i]), points.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds between two points")]
            let share = (x - x0) as f64 / (x1 - x0) as f64;
            y0 + share * (y1 - y0)
        }
        (Some((_, y)), None) | (None, Some(&(_, y))) => y,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests;
