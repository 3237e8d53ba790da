//! What the signal does to an incident: it opens, changes severity, clears, comes back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use wire::page::PageKind;
use wire::response::ResponseChange;
use wire::{Change, Incident, Timestamp};

use super::acts::Said;
use crate::audit::TOCSIN;
use crate::desk::Desk;
use crate::life::{Decision, Event, Signal, decide};
use crate::policy::Position;
use crate::state::{Filed, IncidentState, People, Waits};

/// What the next word of the signal means to an incident whose last word was `last`.
fn event(last: &Incident, signal: Signal, next: &Incident) -> Event {
    if next.change == Change::Cleared {
        return Event::Cleared;
    }
    if next.generation > last.generation {
        return Event::Reopened;
    }
    match signal {
        Signal::Cleared => Event::Returned,
        Signal::Open if next.severity < last.severity && next.severity.pages() && !last.severity.pages() => {
            Event::BecamePage
        }
        Signal::Open if next.severity < last.severity => Event::Worsened,
        Signal::Open if next.severity > last.severity => Event::Eased,
        Signal::Open => Event::Refreshed,
    }
}

const fn signal_of(change: Change) -> Signal {
    match change {
        Change::Opened | Change::Updated => Signal::Open,
        Change::Cleared => Signal::Cleared,
    }
}

const fn action_of(event: Event) -> &'static str {
    match event {
        Event::Cleared => "incident.cleared",
        Event::Returned => "incident.returned",
        Event::Reopened => "incident.reopened",
        Event::Refreshed | Event::Eased | Event::Worsened | Event::BecamePage => "incident.updated",
        Event::StepDue
        | Event::HoldExpired
        | Event::ResponseDue
        | Event::WaitOver
        | Event::Acknowledge
        | Event::Mitigate
        | Event::Resolve
        | Event::Close
        | Event::Note
        | Event::Snooze
        | Event::Assign
        | Event::Merge
        | Event::Repin => "incident.changed",
    }
}

/// Why the signal makes an incident page that people had taken or were done with.
const fn why_anew(event: Event) -> &'static str {
    match event {
        Event::BecamePage => "a ticket became a page",
        Event::Worsened => "severity rose after people were done",
        Event::Returned => "the signal came back",
        Event::Refreshed
        | Event::Eased
        | Event::Cleared
        | Event::Reopened
        | Event::StepDue
        | Event::HoldExpired
        | Event::ResponseDue
        | Event::WaitOver
        | Event::Acknowledge
        | Event::Mitigate
        | Event::Resolve
        | Event::Close
        | Event::Note
        | Event::Snooze
        | Event::Assign
        | Event::Merge
        | Event::Repin => "it changed",
    }
}

impl IncidentState {
    /// An incident that was not known. Whatever its first record says, it pages unless it has cleared already.
    pub(crate) fn open(desk: &mut Desk, incident: Incident) -> Self {
        let signal = signal_of(incident.change);
        let plan = desk.current.route(&incident).to_owned();
        let people = match signal {
            Signal::Open => People::Open { nominal: desk.now, due: None, waits: Waits::NextStep },
            Signal::Cleared => People::Resolved { by: TOCSIN.into() },
        };
        let mut state = Self {
            signal,
            people,
            bundle: desk.current.digest().clone(),
            plan,
            position: Position::default(),
            taken: BTreeMap::new(),
            responses: 0,
            timeline: VecDeque::new(),
            timeline_dropped: 0,
            alerts: BTreeMap::new(),
            pages: Vec::new(),
            pages_dropped: 0,
            versions: BTreeMap::new(),
            since: desk.now,
            ended_at: None,
            upstream: None,
            asked: None,
            told: None,
            filed: Filed::default(),
            incident: Arc::new(incident),
        };
        match signal {
            Signal::Open => {
                let (after, why) = (state.says(), state.follows());
                desk.note(state.id(), "incident.opened", None, after, why);
                let by = state.incident.context.raised_by.clone().unwrap_or_else(|| TOCSIN.into());
                state.respond(desk, Said::of(ResponseChange::Opened, &by, None));
                state.page_first_step(desk);
            }
            Signal::Cleared => {
                let after = state.says();
                desk.note(
                    state.id(),
                    "incident.cleared",
                    None,
                    after,
                    "its opening was never seen".to_owned(),
                );
                state.respond(desk, Said::of(ResponseChange::Resolved, TOCSIN, None));
            }
        }
        state
    }

    fn is_snoozed(&self) -> bool {
        matches!(self.people, People::Open { waits: Waits::Snooze, .. })
    }

    /// Takes in the next word of the signal.
    pub(crate) fn signal(&mut self, desk: &mut Desk, next: Incident) {
        let event = event(&self.incident, self.signal, &next);
        let decision = decide(self.people.stage(), self.signal, event);
        let (before, was) = (self.says(), self.incident.severity);
        self.take(next);
        desk.note(self.id(), action_of(event), before, self.says(), None);
        match decision {
            // It is another now than what was muted.
            Decision::Tell | Decision::Reroute if self.muter().is_some() => {
                self.tell(desk);
                self.look_again_as_it_is(desk);
            }
            Decision::Record if self.muter().is_some() => self.look_again_as_it_is(desk),
            Decision::Tell => self.tell(desk),
            // What was put off was a ticket.
            Decision::Reroute if event == Event::BecamePage && self.is_snoozed() => {
                self.page_anew(desk, why_anew(event));
            }
            Decision::Reroute => self.reroute(desk, was),
            Decision::PageAnew => self.page_anew(desk, why_anew(event)),
            Decision::NewGeneration => self.new_generation(desk),
            Decision::Resolve => self.resolve(desk, TOCSIN, Some("the signal cleared")),
            Decision::ResolveAlerts => self.resolve_alerts(desk, "the signal cleared"),
            Decision::Ignore | Decision::Record => (),
            // Only timers and people bring these about.
            Decision::NextStep
            | Decision::Unanswered
            | Decision::Hold
            | Decision::Close
            | Decision::Note
            | Decision::Snooze
            | Decision::Assign
            | Decision::Repin
            | Decision::Refuse(_) => {}
        }
    }

    /// Keeps the new word of the signal, and the old one as long as a page on its way carries it.
    fn take(&mut self, next: Incident) {
        let last = std::mem::replace(&mut self.incident, Arc::new(next));
        self.signal = signal_of(self.incident.change);
        self.refresh_pages();
        if self.pages.iter().any(|p| !p.state.is_final() && p.sequence == last.sequence) {
            self.versions.insert(last.sequence, last);
        }
        // Far more than can be on their way at once; a page beyond it carries the next later word.
        while self.versions.len() > 16
            && let Some((gone, _)) = self.versions.pop_first()
        {
            let next = self.versions.first_key_value().map_or(self.incident.sequence, |(s, _)| *s);
            for page in self.pages.iter_mut().filter(|p| p.sequence == gone) {
                page.sequence = next;
            }
        }
    }

    /// The signal is back in a later generation: old alerts end, and the policy of today starts from its first step.
    fn new_generation(&mut self, desk: &mut Desk) {
        let why = format!("generation {} opened", self.incident.generation);
        self.cancel(desk, &[PageKind::Trigger, PageKind::Acknowledge, PageKind::Update], &why);
        self.resolve_alerts(desk, &why);
        self.pin(desk, &why);
        self.position = Position::default();
        self.taken.clear();
        self.respond(desk, Said::of(ResponseChange::Opened, TOCSIN, Some(&why)));
        self.page_first_step(desk);
    }

    /// How it stands, in short: for the audit log.
    pub(crate) fn says(&self) -> String {
        let (severity, signal) = (self.incident.severity, self.signal.name());
        format!("{severity}, signal {signal}, {}", self.people.stage().name())
    }

    pub(crate) fn follows(&self) -> String {
        format!("policy {} of bundle {}", self.plan, self.bundle)
    }
}

/// JSON knows no infinity and no NaN; a state record that held one could not be read back.
pub(crate) fn make_finite(incident: &mut Incident) {
    let finite = |x: &mut f64| *x = if x.is_nan() { 0.0 } else { x.clamp(f64::MIN, f64::MAX) };
    let e = &mut incident.evidence;
    for x in [
        &mut e.value,
        &mut e.reference,
        &mut e.evidence,
        &mut e.effect.estimate,
        &mut e.effect.lower,
        &mut e.effect.upper,
    ] {
        finite(x);
    }
    for c in &mut e.contributors {
        for x in [&mut c.value, &mut c.reference, &mut c.evidence] {
            finite(x);
        }
    }
}

/// When the next step is meant to page and when it will: an overdue one waits at least `catch_up_ms` from now,
/// so that an outage does not page all levels in a second.
pub(crate) fn schedule(
    nominal: Timestamp,
    delay_ms: i64,
    now: Timestamp,
    catch_up_ms: i64,
) -> (Timestamp, Timestamp) {
    let next = nominal.plus_ms(delay_ms);
    (next, next.max(now.plus_ms(catch_up_ms.min(delay_ms))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_are_overdue_are_spread_out() {
        let at = |s: i64| Timestamp::EPOCH.plus_ms(s * 1000);
        // (meant for, delay, now) -> (next meant for, next pages)
        for (nominal, delay, now, want) in [
            (0, 300, 0, (300, 300)),
            (0, 300, 2, (300, 300)),
            (0, 300, 290, (300, 350)),
            (0, 300, 2400, (300, 2460)),
            (0, 30, 2400, (30, 2430)),
        ] {
            let got = schedule(at(nominal), delay * 1000, at(now), 60_000);
            assert_eq!(got, (at(want.0), at(want.1)), "meant for {nominal}, now {now}");
        }
    }
}
