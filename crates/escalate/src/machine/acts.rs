//! What is done to an incident: page a step, hold, tell, resolve, start anew.

use wire::outbox::OutboxRecord;
use wire::page::PageKind;
use wire::response::{Response, ResponseChange};
use wire::{AlertKey, Incident, Severity, Source, SubjectKind, Timestamp};

use super::signal::schedule;
use crate::audit::TOCSIN;
use crate::desk::{Desk, Health};
use crate::effect::Effect;
use crate::fold::Manner;
use crate::life::{Decision, Event, decide};
use crate::mutant::{self, Mutant};
use crate::mutes::Verdict;
use crate::outbox::Intent;
use crate::own::PAGES;
use crate::policy::{Addressed, Plan, Policy, Position, Step, Whom};
use crate::state::{IncidentState, People, Waits};

/// What people, or tocsin for them, did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) change: ResponseChange,
    /// Pseudonym.
    pub(crate) by: &'a str,
    pub(crate) why: Option<&'a str>,
    pub(crate) until: Option<Timestamp>,
    /// To whom it was handed, a person by pseudonym.
    pub(crate) to: Option<&'a str>,
    pub(crate) not_actionable: bool,
}

impl<'a> Said<'a> {
    pub(crate) fn of(change: ResponseChange, by: &'a str, why: Option<&'a str>) -> Self {
        Self { change, by, why, until: None, to: None, not_actionable: false }
    }
}

impl IncidentState {
    /// Writes it down.
    pub(crate) fn respond(&mut self, desk: &mut Desk, said: Said<'_>) {
        let Said { change, by, why, until, to, not_actionable } = said;
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
            to: to.map(Into::into),
            not_actionable,
        };
        if self.timeline.is_empty() {
            self.timeline.reserve_exact(1);
        }
        self.timeline.push_back(response.clone());
        while self.timeline.len() > desk.current.limits().timeline_max as usize {
            self.timeline.pop_front();
            self.timeline_dropped += 1;
            desk.count.timeline_dropped += 1;
        }
        desk.effects.push(Effect::Response(response));
    }

    /// The step at the present position pages, now, unless something mutes the incident.
    fn page_step(&mut self, desk: &mut Desk, nominal: Timestamp) {
        match desk.verdict(&self.incident) {
            Verdict::Asks(silence) if !self.has_called() => self.ask(desk, silence),
            Verdict::Pages | Verdict::Asks(_) => {
                desk.notice = desk.mutes.refused_by(&self.incident, desk.now);
                self.page_step_now(desk, nominal);
                desk.notice = None;
            }
            Verdict::Muted(mute) => self.mute(desk, mute),
        }
    }

    /// Where the step does not hold or nobody is behind it, one after it does.
    pub(super) fn page_step_now(&mut self, desk: &mut Desk, nominal: Timestamp) {
        let policy = desk.policy(&self.bundle);
        let plan = policy.plan(&self.plan).expect("an incident follows a policy of its bundle");
        let mut targets = self.targets(desk, &policy, plan);
        // A round is at most gone through once: then the policy is at its end, or nobody is left to call.
        for _ in 0..plan.steps.len() {
            let Some(next) = plan.next(self.position).filter(|_| targets.is_empty()) else { break };
            self.position = next;
            targets = self.targets(desk, &policy, plan);
        }
        if targets.is_empty() {
            targets.extend(plan.fallback.iter().map(|t| Addressed { target: t.clone(), person: None }));
        }
        let step = plan.step(self.position);
        let catch_up_ms = i64::from(desk.current.limits().catch_up_delay_s) * 1000;
        let (nominal, due) = schedule(nominal, step.delay_ms, desk.now, catch_up_ms);
        let due = plan.next(self.position).map(|_| due);
        self.people = People::Open { nominal, due, waits: Waits::NextStep };
        let wait_until = step.digest.until(desk.now);
        self.call(desk, &targets, (due, wait_until));
    }

    /// Pages these, now.
    fn call(
        &mut self,
        desk: &mut Desk,
        targets: &[Addressed],
        (escalates_at, wait_until): (Option<Timestamp>, Option<Timestamp>),
    ) {
        for to in targets {
            let generation = self.incident.generation;
            let intent = Intent::of(PageKind::Trigger, to, generation, escalates_at);
            self.intend(desk, &Intent { wait_until, ..intent });
        }
    }

    pub(crate) fn page_first_step(&mut self, desk: &mut Desk) {
        self.page_step(desk, desk.now);
    }

    /// Whom the step at the present position pages: nobody where it does not hold now, or nobody is behind it.
    fn targets(&self, desk: &mut Desk, policy: &Policy, plan: &Plan) -> Vec<Addressed> {
        let at = self.position;
        let step = plan.step(at);
        let says = format!("round {} step {}", at.round, at.step);
        if !step.when.holds(&self.incident, desk.now) {
            desk.note(self.id(), "step.skipped", None, None, format!("{says} is for {}", step.when));
            return vec![];
        }
        let mut targets = Vec::new();
        for whom in &step.targets {
            let reached = policy.roster().reach(whom, step.by, Some(desk.now));
            let may_be_empty = match whom {
                Whom::At(_) | Whom::Person(_) | Whom::Team(_) => None,
                Whom::Role(_) => Some(false),
                Whom::Schedule(name) => policy.schedules().get(name).map(|schedule| schedule.may_be_empty),
            };
            if let Some(may_be_empty) = may_be_empty {
                let (what, part) = (format!("slot/{whom}"), "coverage".to_owned());
                if reached.is_empty() {
                    let why = format!("{says}: nobody is behind {whom}");
                    desk.note(self.id(), "step.empty", None, None, why);
                }
                desk.health.push(if reached.is_empty() && !may_be_empty {
                    let why = "nobody has it, so what calls it goes on at once".into();
                    Health::Broken { what, part, why }
                } else {
                    Health::Fine { what, part }
                });
            }
            targets.extend(reached);
        }
        around(&self.incident, (policy, plan, step), targets, desk.now)
    }

    /// Moves on what waited for `now`.
    pub(crate) fn timers_due(&mut self, desk: &mut Desk) {
        self.page_timers(desk);
        let event = match &self.people {
            People::Open { due, waits, .. } if due.is_some_and(|due| due <= desk.now) => match waits {
                Waits::NextStep => Event::StepDue,
                Waits::Snooze | Waits::Assigned(_) | Waits::Muted(_) => Event::WaitOver,
            },
            People::Acknowledged { until, respond_by: Some(at), .. } if *at <= desk.now.min(*until) => {
                Event::ResponseDue
            }
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
            Decision::PageAnew if self.muter().is_some() => self.look_again(desk),
            Decision::PageAnew => self.page_anew(desk, self.why_anew()),
            Decision::Unanswered => self.unanswered(desk),
            // Once the signal has cleared there is nothing to answer.
            Decision::Record => self.has_responded(),
            Decision::Resolve => self.resolve(desk, TOCSIN, Some("the signal had cleared")),
            Decision::Ignore
            | Decision::Tell
            | Decision::Reroute
            | Decision::NewGeneration
            | Decision::Hold
            | Decision::ResolveAlerts
            | Decision::Close
            | Decision::Note
            | Decision::Snooze
            | Decision::Assign
            | Decision::Repin
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

    /// Why it pages again after a time that ran out.
    fn why_anew(&self) -> &'static str {
        match &self.people {
            People::Open { waits: Waits::Snooze, .. } => "it was put off until now",
            People::Open { waits: Waits::Assigned(_), .. } => "whom it was handed to has not taken it",
            People::Open { .. }
            | People::Acknowledged { .. }
            | People::Mitigated { .. }
            | People::Resolved { .. }
            | People::Closed { .. } => "it had its time and nobody was done",
        }
    }

    /// Whoever acknowledged has done something, or need not any more.
    pub(crate) fn has_responded(&mut self) {
        if let People::Acknowledged { respond_by, .. } = &mut self.people {
            *respond_by = None;
        }
    }

    /// Whoever acknowledged did nothing: the next step pages.
    fn unanswered(&mut self, desk: &mut Desk) {
        let why = "acknowledged, and nothing done in the time that the policy gives (respond_within_s)";
        desk.count.unanswered += 1;
        desk.note(self.id(), "hold.unanswered", self.people.stage().name().to_owned(), None, why.to_owned());
        self.respond(desk, Said::of(ResponseChange::Unanswered, TOCSIN, Some(why)));
        self.taken.clear();
        self.cancel(desk, &[PageKind::Acknowledge, PageKind::Update], why);
        self.call_anew(desk);
        let policy = desk.policy(&self.bundle);
        let next = policy.plan(&self.plan).and_then(|plan| plan.next(self.position));
        // A ticket that has been told as often as its policy says is told once more, to its last step.
        let again = Position { round: self.position.round.saturating_add(1), step: self.position.step };
        self.position = next.unwrap_or(again);
        self.page_step(desk, desk.now);
    }

    /// Nobody is paged until then.
    pub(crate) fn snooze(&mut self, desk: &mut Desk, until: Timestamp) {
        self.taken.clear();
        self.people = People::Open { nominal: until, due: Some(until), waits: Waits::Snooze };
        self.cancel(desk, &[PageKind::Trigger], "it is put off");
    }

    /// These are paged; if they do not take it in the time of a first step, it pages anew.
    pub(crate) fn assign(&mut self, desk: &mut Desk, to: String, targets: &[Addressed]) {
        self.taken.clear();
        let why = "it was handed to somebody";
        self.cancel(desk, &[PageKind::Trigger, PageKind::Acknowledge, PageKind::Update], why);
        self.cancel_resolves(desk, why);
        self.call_anew(desk);
        let policy = desk.policy(&self.bundle);
        let delay_ms = policy.plan(&self.plan).map_or(300_000, |plan| plan.steps[0].delay_ms);
        self.position = Position { round: self.position.round.saturating_add(1), step: 0 };
        let due = desk.now.plus_ms(delay_ms);
        self.people = People::Open { nominal: due, due: Some(due), waits: Waits::Assigned(to) };
        self.call(desk, targets, (Some(due), None));
    }

    fn next_step(&mut self, desk: &mut Desk) {
        let People::Open { nominal, due: Some(due), .. } = self.people else { return };
        let policy = desk.policy(&self.bundle);
        let next = policy.plan(&self.plan).and_then(|plan| plan.next(self.position));
        let Some(next) = next else {
            self.people = People::Open { nominal, due: None, waits: Waits::NextStep };
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
        self.restart(desk, why);
        self.page_first_step(desk);
    }

    /// All of that but the page.
    pub(super) fn restart(&mut self, desk: &mut Desk, why: &str) {
        self.taken.clear();
        self.cancel(desk, &[PageKind::Acknowledge, PageKind::Update], why);
        self.cancel_resolves(desk, why);
        self.call_anew(desk);
        let policy = desk.policy(&self.bundle);
        policy.route(&self.incident).clone_into(&mut self.plan);
        self.position = Position { round: self.position.round.saturating_add(1), step: 0 };
        desk.note(self.id(), "policy.restarted", None, self.follows(), why.to_owned());
        self.respond(desk, Said::of(ResponseChange::Opened, TOCSIN, Some(why)));
    }

    /// It is worse than it `was`, while nobody owns it: another policy starts at once, the same one goes on undisturbed.
    pub(crate) fn reroute(&mut self, desk: &mut Desk, was: Severity) {
        let policy = desk.policy(&self.bundle);
        let plan = policy.route(&self.incident);
        if plan == self.plan {
            self.cancel(desk, &[PageKind::Update], "a later update takes its place");
            let before = self.pages.len();
            self.page_passed_over(desk, was);
            self.tell_all_but(desk, before);
            return;
        }
        let before = self.follows();
        plan.clone_into(&mut self.plan);
        self.position = Position { round: self.position.round.saturating_add(1), step: 0 };
        desk.note(self.id(), "policy.rerouted", before, self.follows(), None);
        self.taken.clear();
        self.cancel(desk, &[PageKind::Update], "a later page takes its place");
        let before = self.pages.len();
        self.page_first_step(desk);
        self.tell_all_but(desk, before);
    }

    /// Steps of this round that were passed over because it was not as bad, and are for it as it is now, page at once.
    fn page_passed_over(&mut self, desk: &mut Desk, was: Severity) {
        let goes_on = matches!(self.people, People::Open { waits: Waits::NextStep, .. });
        if !goes_on || matches!(desk.verdict(&self.incident), Verdict::Muted(_)) {
            return;
        }
        let policy = desk.policy(&self.bundle);
        let Some(plan) = policy.plan(&self.plan) else { return };
        let (stands, escalates_at) = (self.position, self.escalates_at());
        for step in 0..stands.step {
            self.position = Position { step, ..stands };
            let (when, digest) = (&plan.step(self.position).when, &plan.step(self.position).digest);
            if !when.is_for(was) && when.is_for(self.incident.severity) && !self.has_called_at(self.position)
            {
                let targets = self.targets(desk, &policy, plan);
                self.call(desk, &targets, (escalates_at, digest.until(desk.now)));
            }
        }
        self.position = stands;
    }

    /// Whether the step at a position has called somebody in this generation.
    pub(super) fn has_called_at(&self, at: Position) -> bool {
        let generation = self.incident.generation;
        self.pages.iter().any(|page| page.calls() && page.generation == generation && page.at == at)
    }

    /// Tells whoever has an open alert, but for those that were paged since there were so many pages.
    fn tell_all_but(&mut self, desk: &mut Desk, before: usize) {
        let paged: Vec<_> = self.pages[before..].iter().map(|p| p.alert_key.clone()).collect();
        self.send_to_open(desk, PageKind::Update, &paged);
    }

    /// Tells whoever has an open alert.
    pub(crate) fn tell(&mut self, desk: &mut Desk) {
        self.cancel(desk, &[PageKind::Update], "a later update takes its place");
        self.send_to_open(desk, PageKind::Update, &[]);
    }

    /// Whoever was paged learns that somebody has it, and nobody else is paged.
    pub(crate) fn hold(&mut self, desk: &mut Desk, people: People) {
        let news = self.people.owner() != people.owner();
        self.people = people;
        let cause = self.people.stage().name();
        if !mutant::is(Mutant::AcknowledgementOvertaken) {
            self.cancel(desk, &[PageKind::Trigger], cause);
        }
        if news {
            self.cancel(desk, &[PageKind::Acknowledge], "somebody else has it now");
            self.send_to_open(desk, PageKind::Acknowledge, &[]);
        }
    }

    /// People are done, or nobody needs to be.
    pub(crate) fn resolve(&mut self, desk: &mut Desk, by: &str, why: Option<&str>) {
        self.resolve_as(desk, Said::of(ResponseChange::Resolved, by, why));
    }

    /// As `resolve`, in other words.
    pub(crate) fn resolve_as(&mut self, desk: &mut Desk, said: Said<'_>) {
        self.people = People::Resolved { by: said.by.into() };
        self.taken.clear();
        self.respond(desk, said);
        self.resolve_alerts(desk, said.why.unwrap_or("resolved"));
    }

    /// Ends every alert that a trigger may have reached, of this generation and earlier ones.
    pub(crate) fn resolve_alerts(&mut self, desk: &mut Desk, cause: &str) {
        self.cancel(desk, &[PageKind::Trigger, PageKind::Acknowledge, PageKind::Update], cause);
        self.send_to_open(desk, PageKind::Resolve, &[]);
    }

    fn send_to_open(&mut self, desk: &mut Desk, kind: PageKind, except: &[AlertKey]) {
        let all = kind == PageKind::Resolve;
        let current = self.incident.generation;
        let open: Vec<_> = self
            .alerts
            .iter()
            .filter(|(key, a)| a.open && (all || a.generation == current) && !except.contains(key))
            // Where it would begin to fire by it, though nothing had reached it.
            .filter(|(_, a)| all || a.reached || desk.current.manner(&a.receiver) != Manner::Stands)
            // Who is told is told anew of what is worse, and of nothing else that changes.
            .filter(|(_, a)| a.told.is_none() || kind != PageKind::Update)
            .map(|(_, a)| (a.generation, a.addressed(), a.told.clone()))
            .collect();
        let escalates_at = self.escalates_at().filter(|_| kind == PageKind::Update);
        for (generation, to, told) in open {
            let intent = Intent::of(kind, &to, generation, escalates_at);
            self.intend(desk, &Intent { told: told.as_deref(), ..intent });
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
        let last = std::mem::replace(&mut self.bundle, desk.current.digest().clone());
        if last != self.bundle {
            self.pages.iter_mut().for_each(|page| _ = page.bundle.get_or_insert_with(|| last.clone()));
        }
        desk.current.route(&self.incident).clone_into(&mut self.plan);
        let after = self.follows();
        if before != after {
            desk.note(self.id(), "policy.pinned", before, after, why.to_owned());
        }
    }

    /// As `pin`, since somebody asked for it. Whoever has it keeps it, and what waits goes on waiting.
    pub(crate) fn repin(&mut self, desk: &mut Desk) {
        let why = "somebody asked for it";
        self.pin(desk, why);
        let waits = !matches!(self.people, People::Open { waits: Waits::NextStep, .. });
        if !waits && !matches!(desk.verdict(&self.incident), Verdict::Muted(_)) {
            self.page_anew(desk, why);
        }
    }

    /// Notices that everything is done, or no longer is.
    pub(crate) fn settle(&mut self, desk: &mut Desk) {
        self.tell_downstream(desk);
        self.tell_stakeholders(desk);
        if !self.is_over() {
            self.ended_at = None;
        } else if self.ended_at.is_none() {
            self.ended_at = Some(desk.now);
            desk.note(self.id(), "incident.ended", None, self.says(), None);
            self.over(desk);
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
                    bundle: entry.bundle.as_ref().unwrap_or(&self.bundle).clone(),
                });
            }
        }
        records
    }
}

/// The same, each place once. An incident about a receiver goes around that receiver, if there is a way.
pub(crate) fn around(
    incident: &Incident,
    (policy, plan, step): (&Policy, &Plan, &Step),
    targets: Vec<Addressed>,
    now: Timestamp,
) -> Vec<Addressed> {
    let broken = broken_receiver(incident);
    let works = |a: &Addressed| broken != Some(&a.target.receiver);
    let mut kept: Vec<Addressed> = Vec::new();
    for target in targets {
        let target = if works(&target) {
            target
        } else {
            let fallback = plan.fallback.iter().map(|t| Addressed { target: t.clone(), person: None });
            let reach = |s: &Step| {
                let by = s.by;
                s.targets.iter().flat_map(|w| policy.roster().reach(w, by, Some(now))).collect::<Vec<_>>()
            };
            let others = [step].into_iter().chain(&plan.steps).flat_map(reach);
            fallback.chain(others).find(works).unwrap_or(target)
        };
        if !kept.iter().any(|k| k.target == target.target) {
            kept.push(target);
        }
    }
    kept
}

/// The receiver that tocsin's own incident is about.
fn broken_receiver(incident: &Incident) -> Option<&str> {
    let subject = &incident.subject;
    let own = incident.source == Source::Own && subject.kind == SubjectKind::Platform;
    subject.name.strip_prefix("receiver/").filter(|_| own)
}
