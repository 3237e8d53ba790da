//! What a policy would do: a machine in virtual time, to which every page arrives at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::command::{Action, Command, Principal, Role};
use wire::outbox::{OutboxRecord, OutboxState, Outcome};
use wire::page::{FoldedIncident, Page};
use wire::{Change, CommandId, Incident, IncidentId, NotificationId, Timestamp};

use crate::effect::{Effect, Input};
use crate::machine::Machine;
use crate::policy::Policy;

/// A page as it left.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub at: Timestamp,
    pub page: Page,
    /// Every incident that it speaks for beside its own, the worst first: the page lists so many and no more.
    pub others: Vec<FoldedIncident>,
}

impl Sent {
    /// Every incident that whoever gets it is told of.
    pub fn incidents(&self) -> impl Iterator<Item = &IncidentId> {
        let others = self.others.iter().map(|other| &other.incident_id);
        [&self.page.incident.incident_id].into_iter().chain(others)
    }
}

/// Pages that another speaks for, as the outbox has them.
#[derive(Debug, Default)]
struct Folds {
    /// By what their message is called.
    members: BTreeMap<NotificationId, BTreeMap<NotificationId, FoldedIncident>>,
    message_of: BTreeMap<NotificationId, NotificationId>,
}

impl Folds {
    /// `folded` may not be the last word on a page.
    fn take(&mut self, record: OutboxRecord) {
        let OutboxRecord { page: Page { notification_id, incident, .. }, state, .. } = record;
        if let Some(into) = self.message_of.remove(&notification_id)
            && let Some(members) = self.members.get_mut(&into)
        {
            members.remove(&notification_id);
        }
        if let OutboxState::Folded { into } = state {
            let Incident { severity, incident_id, title, .. } = incident;
            let member = FoldedIncident { severity, incident_id, title };
            self.members.entry(into.clone()).or_default().insert(notification_id.clone(), member);
            self.message_of.insert(notification_id, into);
        }
    }
}

/// One partition of escalation, played through.
#[derive(Debug)]
pub struct Rehearsal {
    machine: Machine,
    /// What is still to come, in the order in which it was put there where that is at one time.
    events: BTreeMap<(Timestamp, u64), Input>,
    put: u64,
    now: Timestamp,
    /// Receivers that refuse what they get.
    broken: BTreeSet<String>,
    /// How long after they are called people take an incident; nobody does, without.
    answered_after_ms: Option<i64>,
    /// Incidents that somebody is about to take.
    answering: BTreeSet<IncidentId>,
    folds: Folds,
    sent: Vec<Sent>,
}

impl Rehearsal {
    #[must_use]
    pub fn new(policy: Arc<Policy>, from: Timestamp) -> Self {
        let mut rehearsal = Self {
            machine: Machine::new(0, policy),
            events: BTreeMap::new(),
            put: 0,
            now: from,
            broken: BTreeSet::new(),
            answered_after_ms: None,
            answering: BTreeSet::new(),
            folds: Folds::default(),
            sent: Vec::new(),
        };
        rehearsal.give(Input::Started { owner: "rehearsal".into() });
        rehearsal
    }

    /// From now on this receiver takes nothing.
    pub fn breaks(&mut self, receiver: &str) {
        self.broken.insert(receiver.to_owned());
    }

    /// Whoever is called takes what the page speaks for so long after, writes a note, and resolves it once its signal is over.
    #[must_use]
    pub const fn answered_after_ms(mut self, ms: i64) -> Self {
        self.answered_after_ms = Some(ms);
        self
    }

    /// What these records of incidents lead to, in order of `changed_at`; it goes on for a day after the last.
    #[must_use]
    pub fn of_records(mut self, records: &[Incident]) -> Vec<Sent> {
        /// After it nothing of a month is of interest.
        const DAY_MS: i64 = 86_400_000;
        for record in records {
            self.put(record.changed_at, Input::Incident(Box::new(record.clone())));
        }
        let last = records.iter().map(|record| record.changed_at).max();
        self.run(last.unwrap_or(self.now).plus_ms(DAY_MS));
        self.take()
    }

    /// Has something happen at a time; at once, if that is past.
    pub fn put(&mut self, at: Timestamp, what: Input) {
        self.put += 1;
        self.events.insert((at, self.put), what);
    }

    /// Has somebody do something about an incident at a time.
    pub fn says(&mut self, at: Timestamp, id: &IncidentId, name: &str, action: Action) {
        let command = Command {
            command_id: CommandId::new(format!("rehearsal-{}", self.put)),
            incident_id: id.clone(),
            issued_at: at,
            principal: Principal { name: name.to_owned(), role: Role::Lead },
            action,
        };
        self.put(at, Input::Command(command));
    }

    /// Lets time pass until `end`, that included.
    pub fn run(&mut self, end: Timestamp) {
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let next = event.into_iter().chain(self.machine.deadline()).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            let due = self.events.first_entry().filter(|entry| entry.key().0 <= self.now);
            let input = due.map_or(Input::Tick, |entry| entry.remove());
            self.give(input);
        }
        self.now = self.now.max(end);
    }

    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What has left since the last call.
    pub fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// Has whoever is called take each incident after a while, unless somebody is about to.
    fn answer(&mut self, sent: &Sent) {
        let Some(after_ms) = self.answered_after_ms else { return };
        let at = self.now.plus_ms(after_ms);
        let name = sent.page.person.as_ref().unwrap_or(&sent.page.target);
        for id in sent.incidents() {
            if self.answering.insert(id.clone()) {
                self.says(at, id, name, Action::Acknowledge { for_s: None, note: None });
                self.says(at, id, name, Action::Note { text: "looked at".into() });
            }
        }
    }

    /// What a page speaks for beside its own incident as it leaves: the machine counts the same and lists a part.
    fn others(&self, page: &Page) -> Vec<FoldedIncident> {
        let members = page.folded.iter().filter_map(|folded| self.folds.members.get(&folded.into));
        let wants = |other: &&FoldedIncident| {
            let state = self.machine.known(&other.incident_id);
            other.incident_id != page.incident.incident_id
                && state.is_some_and(|s| if page.calls() { s.is_paging() } else { s.is_live() })
        };
        let mut others: Vec<_> = members.flat_map(BTreeMap::values).filter(wants).cloned().collect();
        others.sort_unstable();
        // Two steps may have called the same place about one.
        others.dedup_by(|a, b| a.incident_id == b.incident_id);
        others
    }

    /// Somebody has answered, or the signal is over and whoever has it is done.
    fn follow(&mut self, input: &Input) {
        match input {
            Input::Command(command) => drop(self.answering.remove(&command.incident_id)),
            Input::Incident(incident) if incident.change == Change::Cleared => {
                let at = self.now.plus_ms(self.answered_after_ms.unwrap_or(0).max(1));
                let done = Action::Resolve { reason: Some("over".into()), not_actionable: false };
                self.says(at, &incident.incident_id, "rehearsal", done);
            }
            Input::Incident(_)
            | Input::Forget(_)
            | Input::Silence(_)
            | Input::Control(_)
            | Input::Outcome { .. }
            | Input::Tick
            | Input::Started { .. }
            | Input::Loaded(_) => (),
        }
    }

    fn give(&mut self, input: Input) {
        if self.answered_after_ms.is_some() {
            self.follow(&input);
        }
        for effect in self.machine.handle(input, self.now) {
            match effect {
                // Its own incident comes back by its topic.
                Effect::Incident(incident) => self.put(self.now, Input::Incident(incident)),
                Effect::Control { key, control } => self.put(self.now, Input::Control(vec![(key, control)])),
                Effect::Outbox(record) => self.folds.take(*record),
                Effect::Send { page, attempt, .. } => self.send(*page, attempt),
                Effect::Response(_)
                | Effect::Audit(_)
                | Effect::Feedback(_)
                | Effect::State { .. }
                | Effect::Checkpoint(_) => (),
            }
        }
        drop((self.machine.take_changed(), self.machine.take_answered(), self.machine.take_people()));
    }

    fn send(&mut self, page: Page, attempt: u32) {
        let delivered = !self.broken.contains(&page.receiver);
        let outcome = if delivered {
            Outcome::Delivered { reference: None }
        } else {
            Outcome::Config { reason: "it is broken in this rehearsal".into() }
        };
        let (notification_id, incident_id) =
            (page.notification_id.clone(), page.incident.incident_id.clone());
        self.put(self.now, Input::Outcome { notification_id, incident_id, attempt, outcome });
        let sent = Sent { at: self.now, others: self.others(&page), page };
        if delivered && sent.page.calls() {
            self.answer(&sent);
        }
        self.sent.push(sent);
    }
}
