//! What is done to an incident: page a step, hold, tell, resolve, start anew.

use wire::outbox::OutboxRecord;
use wire::page::PageKind;
use wire::response::{Response, ResponseChange};
use wire::{Source, SubjectKind, Timestamp};

use super::signal::schedule;
use crate::audit::TOCSIN;
use crate::desk::{Desk, Health};
use crate::effect::Effect;
use crate::life::{Decision, Event, decide};
use crate::outbox::Intent;
use crate::own::PAGES;
use crate::policy::{Plan, Position, Step, Target};
use crate::state::{IncidentState, People};

/// What people, or tocsin for them, did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) change: ResponseChange,
    /// Pseudonym.
    pub(crate) by: &'a str,
    pub(crate) why: Option<&'a str>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) not_actionable: bool,
}

impl<'a> Said<'a> {
    pub(crate) fn of(change: ResponseChange, by: &'a str, why: Option<&'a str>) -> Self {
        Self { change, by, why, until: None, not_actionable: false }
    }
}

impl IncidentState {
    /// Writes it down.
    pub(crate) fn respond(&mut self, desk: &mut Desk, said: Said<'_>) {
        let Said { change, by, why, until, not_actionable } = said;
        self.responses += 1;
        let response = Response {
            incident_id: self.id().clone(),
            generation: self.incident.generation,
            sequence: self.responses,
            change,
            at: desk.now,
            by: by.into(),
            why: why.map(Into::into),
            until,
            not_actionable,
        };
        self.timeline.push_back(response.clone());
        while self.timeline.len() > desk.current.limits().timeline_max as usize {
            self.timeline.pop_front();
            self.timeline_dropped += 1;
            desk.count.timeline_dropped += 1;
        }
        desk.effects.push(Effect::Response(response));
    }

    /// The step at the present position pages, now.
    fn page_step(&mut self, desk: &mut Desk, nominal: Timestamp) {
        let policy = desk.policy(&self.bundle);
        let plan = policy.plan(&self.plan).expect("an incident follows a policy of its bundle");
        let step = plan.step(self.position);
        let catch_up_ms = i64::from(desk.current.limits().catch_up_delay_s) * 1000;
        let (nominal, due) = schedule(nominal, step.delay_ms, desk.now, catch_up_ms);
        let due = plan.next(self.position).map(|_| due);
        self.people = People::Open { nominal, due };
        for target in self.targets(plan, step) {
            let (kind, generation) = (PageKind::Trigger, self.incident.generation);
            let target = &target;
            self.intend(desk, &Intent { kind, target, generation, escalates_at: due, fallback: false });
        }
    }

    pub(crate) fn page_first_step(&mut self, desk: &mut Desk) {
        self.page_step(desk, desk.now);
    }

    /// Whom a step pages. An incident about a receiver goes around that receiver, if there is a way.
    fn targets(&self, plan: &Plan, step: &Step) -> Vec<Target> {
        let broken = self.broken_receiver();
        let mut targets: Vec<Target> = Vec::new();
        for target in &step.targets {
            let works = |t: &&Target| broken != Some(&t.receiver);
            let all = || plan.fallback.iter().chain(plan.steps.iter().flat_map(|s| &s.targets));
            let around = if works(&target) { Some(target) } else { all().find(works) };
            let target = around.unwrap_or(target);
            if !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        targets
    }

    /// The receiver that tocsin's own incident is about.
    fn broken_receiver(&self) -> Option<&str> {
        let subject = &self.incident.subject;
        let own = self.incident.source == Source::Own && subject.kind == SubjectKind::Platform;
        subject.name.strip_prefix("receiver/").filter(|_| own)
    }

    /// Moves on what waited for `now`.
    pub(crate) fn timers_due(&mut self, desk: &mut Desk) {
        self.page_timers(desk);
        let event = match &self.people {
            People::Open { due, .. } if due.is_some_and(|due| due <= desk.now) => Event::StepDue,
            People::Acknowledged { until, .. } | People::Mitigated { until, .. } if *until <= desk.now => {
                Event::HoldExpired
            }
            People::Open { .. }
            | People::Acknowledged { .. }
            | People::Mitigated { .. }
            | People::Resolved { .. }
            | People::Closed { .. } => return,
        };
        if event == Event::HoldExpired {
            self.hold_expired(desk);
        }
        match decide(self.people.stage(), self.signal, event) {
            Decision::NextStep => self.next_step(desk),
            Decision::PageAnew => self.page_anew(desk, "it had its time and nobody was done"),
            Decision::Resolve => self.resolve(desk, TOCSIN, Some("the signal had cleared"), false),
            Decision::Ignore
            | Decision::Record
            | Decision::Tell
            | Decision::Reroute
            | Decision::NewGeneration
            | Decision::Hold
            | Decision::ResolveAlerts
            | Decision::Close
            | Decision::Note
            | Decision::Refuse(_) => (), // only the signal and people bring this about
        }
    }

    fn hold_expired(&mut self, desk: &mut Desk) {
        let was = self.people.stage().name();
        desk.count.acknowledgements_expired += 1;
        desk.note(self.id(), "hold.expired", was.to_owned(), None, None);
        if matches!(self.people, People::Acknowledged { .. }) {
            self.respond(desk, Said::of(ResponseChange::AcknowledgementExpired, TOCSIN, None));
        }
    }

    fn next_step(&mut self, desk: &mut Desk) {
        let People::Open { nominal, due: Some(due) } = self.people else { return };
        let policy = desk.policy(&self.bundle);
        let next = policy.plan(&self.plan).and_then(|plan| plan.next(self.position));
        let Some(next) = next else {
            self.people = People::Open { nominal, due: None };
            return;
        };
        let says = |at: Position| format!("round {} step {}", at.round, at.step);
        let late_ms = desk.now.since_ms(nominal);
        let why = (late_ms >= 1000).then(|| format!("{late_ms} ms after it was meant to"));
        desk.count.catch_ups += u64::from(due > nominal);
        desk.note(self.id(), "step.due", says(self.position), says(next), why);
        // Repeats that an outage swallowed are not made up: only steps of one round are.
        let nominal = if next.round == self.position.round { nominal } else { desk.now };
        self.position = next;
        self.page_step(desk, nominal);
    }

    /// Whoever held it holds it no longer: a new round, from the first step of the policy that is right now.
    pub(crate) fn page_anew(&mut self, desk: &mut Desk, why: &str) {
        self.cancel(desk, &[PageKind::Acknowledge, PageKind::Update], why);
        self.cancel_resolves(desk, why);
        let policy = desk.policy(&self.bundle);
        policy.route(&self.incident).clone_into(&mut self.plan);
        self.position = Position { round: self.position.round.saturating_add(1), step: 0 };
        desk.note(self.id(), "policy.restarted", None, self.follows(), why.to_owned());
        self.respond(desk, Said::of(ResponseChange::Opened, TOCSIN, Some(why)));
        self.page_first_step(desk);
    }

    /// Severity changed while nobody owns it: another policy starts at once, the same one goes on undisturbed.
    pub(crate) fn reroute(&mut self, desk: &mut Desk) {
        let policy = desk.policy(&self.bundle);
        let plan = policy.route(&self.incident);
        if plan == self.plan {
            self.tell(desk, &[]);
            return;
        }
        let before = self.follows();
        plan.clone_into(&mut self.plan);
        self.position = Position { round: self.position.round.saturating_add(1), step: 0 };
        desk.note(self.id(), "policy.rerouted", before, self.follows(), None);
        let paged = policy.plan(plan).map_or_else(Vec::new, |p| self.targets(p, p.step(self.position)));
        self.tell(desk, &paged);
        self.page_first_step(desk);
    }

    /// Tells whoever has an open alert, except those who are paged anyway.
    pub(crate) fn tell(&mut self, desk: &mut Desk, except: &[Target]) {
        self.cancel(desk, &[PageKind::Update], "a later update takes its place");
        self.send_to_open(desk, PageKind::Update, except);
    }

    /// Whoever was paged learns that somebody has it, and nobody else is paged.
    pub(crate) fn hold(&mut self, desk: &mut Desk, people: People) {
        let news = self.people.owner() != people.owner();
        self.people = people;
        let cause = self.people.stage().name();
        self.cancel(desk, &[PageKind::Trigger], cause);
        if news {
            self.cancel(desk, &[PageKind::Acknowledge], "somebody else has it now");
            self.send_to_open(desk, PageKind::Acknowledge, &[]);
        }
    }

    /// People are done, or nobody needs to be.
    pub(crate) fn resolve(&mut self, desk: &mut Desk, by: &str, why: Option<&str>, not_actionable: bool) {
        self.people = People::Resolved { by: by.into() };
        self.respond(desk, Said { not_actionable, ..Said::of(ResponseChange::Resolved, by, why) });
        self.resolve_alerts(desk, why.unwrap_or("resolved"));
    }

    /// Ends every alert that a trigger may have reached, of this generation and earlier ones.
    pub(crate) fn resolve_alerts(&mut self, desk: &mut Desk, cause: &str) {
        self.cancel(desk, &[PageKind::Trigger, PageKind::Acknowledge, PageKind::Update], cause);
        self.send_to_open(desk, PageKind::Resolve, &[]);
    }

    fn send_to_open(&mut self, desk: &mut Desk, kind: PageKind, except: &[Target]) {
        let all = kind == PageKind::Resolve;
        let current = self.incident.generation;
        let open: Vec<_> = self
            .alerts
            .values()
            .filter(|a| a.open && (all || a.generation == current))
            .map(|a| (a.generation, Target { receiver: a.receiver.clone(), target: a.target.clone() }))
            .filter(|(_, target)| !except.contains(target))
            .collect();
        for (generation, target) in open {
            let target = &target;
            self.intend(desk, &Intent { kind, target, generation, escalates_at: None, fallback: false });
        }
        if all {
            for alert in self.alerts.values_mut() {
                alert.open = false;
            }
        }
    }

    /// From now on it follows the bundle that is in force.
    pub(crate) fn pin(&mut self, desk: &mut Desk, why: &str) {
        let before = self.follows();
        self.bundle = desk.current.digest().clone();
        desk.current.route(&self.incident).clone_into(&mut self.plan);
        let after = self.follows();
        if before != after {
            desk.note(self.id(), "policy.pinned", before, after, why.to_owned());
        }
    }

    /// Notices that everything is done, or no longer is.
    pub(crate) fn settle(&mut self, desk: &mut Desk) {
        if !self.is_over() {
            self.ended_at = None;
        } else if self.ended_at.is_none() {
            self.ended_at = Some(desk.now);
            desk.note(self.id(), "incident.ended", None, self.says(), None);
            desk.health.push(Health::Fine { what: PAGES.into(), part: self.id().to_string() });
        }
    }

    /// The last word on each page that changed.
    pub(crate) fn outbox_records(&mut self, desk: &mut Desk) -> Vec<OutboxRecord> {
        let mut records = Vec::new();
        for i in 0..self.pages.len() {
            if std::mem::take(&mut self.pages[i].dirty) {
                let entry = &self.pages[i];
                records.push(OutboxRecord {
                    page: self.page(entry, &desk.people),
                    state: entry.outbox(),
                    attempts: entry.attempts,
                    at: desk.now,
                    bundle: self.bundle.clone(),
                });
            }
        }
        records
    }
}
