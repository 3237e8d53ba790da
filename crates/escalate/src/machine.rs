//! The step: one input in, everything it causes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::command::{Action, Command, Role};
use wire::outbox::Outcome;
use wire::{CommandId, Incident, IncidentId, NotificationId, Source, Timestamp};

use crate::answers::{Answer, Answers, Kept};
use crate::audit::{Anchor, Entry, cut};
use crate::desk::{Desk, Health};
use crate::effect::{Effect, Input, Loaded};
use crate::fold::Windows;
use crate::index::Index;
use crate::mutant::{self, Mutant};
use crate::own::{INCIDENTS, Own};
use crate::pace::Pace;
use crate::policy::Policy;
use crate::shelf::{Seen, Shelf};
use crate::state::{IncidentState, PageState, People};
use crate::store::{self, Head, Record, StateError};

mod acts;
mod command;
mod folding;
mod forget;
mod health;
mod muting;
mod raise;
mod read;
mod signal;
mod telling;
mod why;

pub(crate) use acts::around;
pub(crate) use folding::{Folds, Parted};
pub(crate) use raise::said;
pub use raise::{kept_subject, kept_title};
pub(crate) use signal::schedule;
pub(crate) use telling::Told;

/// Incidents taken on by one tick; what is left is due at once again.
const TICK_MAX: usize = 1000;

/// Room beyond `incidents_max` for tocsin's own incidents, one of which says that it was reached.
const OWN_RESERVE: usize = 64;

/// The escalation of one partition.
#[derive(Debug)]
pub struct Machine {
    incidents: Shelf,
    index: Index,
    answers: Answers,
    own: BTreeMap<String, Own>,
    desk: Desk,
    pace: Pace,
    windows: Windows,
    /// Messages for several whose page failed: each of them is to.
    failing: BTreeSet<NotificationId>,
    /// Touched by the present input.
    dirty: BTreeSet<IncidentId>,
    /// Touched since someone asked.
    changed: BTreeSet<IncidentId>,
    /// Commands whose answers came or went since someone asked.
    answered: BTreeSet<CommandId>,
    /// Silences whose end, or beginning, is on its way.
    ending: muting::OnItsWay,
    making: muting::OnItsWay,
    /// What mutes these may have changed.
    to_look: BTreeSet<IncidentId>,
}

impl Machine {
    /// A machine that knows nothing yet: [`restore`](Self::restore) it, then give it `Started`.
    #[must_use]
    pub fn new(partition: u32, policy: Arc<Policy>) -> Self {
        Self {
            incidents: Shelf::default(),
            index: Index::default(),
            answers: Answers::default(),
            own: BTreeMap::new(),
            desk: Desk::new(partition, policy),
            pace: Pace::default(),
            windows: Windows::default(),
            failing: BTreeSet::new(),
            dirty: BTreeSet::new(),
            changed: BTreeSet::new(),
            answered: BTreeSet::new(),
            ending: muting::OnItsWay::new(),
            making: muting::OnItsWay::new(),
            to_look: BTreeSet::new(),
        }
    }

    /// It is one of so many partitions: tocsin's own incidents are made to fall into it, where what people say of them is known.
    #[must_use]
    pub fn among(mut self, partitions: u32) -> Self {
        self.desk.partitions = partitions;
        self
    }

    /// Takes one state record back in; the last one of a key holds. An empty value removes.
    ///
    /// # Errors
    /// When the record was written by a newer version or cannot be read: the partition must not be worked on.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        match store::read(key, value)? {
            Record::Head(Some(Head { chain, policy, config, checkpoint, stated_at })) => {
                self.desk.head = chain;
                self.desk.head.sequence += u64::from(mutant::is(Mutant::ChainHeadNotRewound));
                self.desk.checkpoint = checkpoint;
                self.desk.stated_at = stated_at;
                self.desk.config = config;
                self.desk.loaded = Some(policy);
            }
            Record::Head(None) => self.desk.head = Anchor::start(self.desk.head.partition),
            Record::Incident(id, incident) => {
                self.remove(&id);
                if let Some(mut incident) = incident {
                    incident.pages.shrink_to_fit();
                    incident.timeline.shrink_to_fit();
                    let keep_ms = self.ended_keep_ms();
                    self.index.file(&mut incident, keep_ms);
                    Self::restore_windows(&mut self.windows, &incident);
                    if mutant::is(Mutant::TimerDroppedOnLoad) {
                        self.index.timers.retain(|(_, of)| *of != id);
                    }
                    self.changed.insert(id.clone());
                    self.incidents.insert(id.clone(), *incident);
                    self.pack(&id, value);
                }
            }
            Record::Bundle(digest, Some(bundle)) => {
                let policy = Policy::again(*bundle).map_err(|source| {
                    let key = String::from_utf8_lossy(key).into_owned();
                    StateError::Bundle { key, source }
                })?;
                self.desk.stored.insert(digest.clone());
                self.desk.bundles.entry(digest).or_insert_with(|| Arc::new(policy));
            }
            Record::Bundle(digest, None) => {
                self.desk.stored.remove(&digest);
            }
            Record::Own(what, Some(own)) => {
                self.own.insert(what, *own);
            }
            Record::Own(what, None) => {
                self.own.remove(&what);
            }
            Record::Person(pseudonym, Some(name)) => {
                self.desk.people.learn(&pseudonym, &name);
                if self.desk.current.forgotten().contains(&name) {
                    self.desk.people.hide(&pseudonym);
                }
            }
            Record::Person(pseudonym, None) => self.desk.people.forget(&pseudonym),
            Record::Forgotten(pseudonym) => drop(self.desk.people.forget_for_good(&pseudonym)),
            Record::Answer(id, kept) => {
                self.answered.insert(id.clone());
                match kept {
                    Some(kept) => self.answers.insert(id, kept),
                    None => self.answers.remove(&id),
                }
            }
        }
        Ok(())
    }

    /// Applies one input taken in at `now` and returns what must be done.
    ///
    /// Safe to repeat: an input that no longer applies (an incident record or command seen before, a late outcome,
    /// an early tick) changes nothing and returns nothing.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        self.desk.now = now;
        match input {
            Input::Incident(incident) => {
                self.desk.count.incidents += 1;
                self.incident(*incident);
            }
            Input::Command(command) => self.command(command),
            Input::Forget(forget) => self.forget_person(*forget),
            Input::Silence(command) => self.silence(*command),
            Input::Control(told) => {
                self.control(told);
                // Read together with the state, before there is anybody to write down what that has too much of.
                if self.desk.owner.is_none() {
                    return Vec::new();
                }
            }
            Input::Outcome { notification_id, incident_id, attempt, outcome } => {
                self.outcome(&incident_id, &notification_id, attempt, outcome);
            }
            Input::Tick => self.tick(),
            Input::Started { owner } => self.started(owner),
            Input::Loaded(loaded) => self.loaded(*loaded),
        }
        self.part();
        self.health();
        self.start_waiting();
        self.finish()
    }

    /// When it wants a tick. `None` when nothing is waited for, and before `Started`.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.desk.owner.as_ref()?;
        let timer = self.index.timers.first().map(|(at, _)| *at);
        let left = (!self.to_look.is_empty() || !self.failing.is_empty()).then_some(self.desk.now);
        timer
            .into_iter()
            .chain(left)
            .chain(self.silences_due())
            .chain(self.pace.due)
            .chain(self.desk.checkpoint_due())
            .min()
    }

    fn incident(&mut self, mut incident: Incident) {
        signal::make_finite(&mut incident);
        let id = incident.incident_id.clone();
        if let Some(known) = self.incidents.get(&id) {
            let last = &known.incident;
            if incident.sequence <= last.sequence || incident.generation < last.generation {
                self.desk.count.duplicates += 1;
                return;
            }
            self.desk.count.gaps += u64::from(incident.sequence > last.sequence + 1);
            self.free_if_worse(&id, incident.severity);
            self.with(&id, |state, desk| state.signal(desk, incident));
            return;
        }
        let reserve = if incident.source == Source::Own { OWN_RESERVE } else { 0 };
        let max = self.desk.current.limits().incidents_max as usize;
        if self.live() >= max + reserve {
            self.desk.count.incidents_refused += 1;
            let why = format!("{max} incidents have not ended");
            self.desk.note(&id, "incident.refused", None, None, why.clone());
            let what = INCIDENTS.to_owned();
            self.desk.health.push(Health::Broken { part: what.clone(), what, why });
            return;
        }
        let state = IncidentState::open(&mut self.desk, incident);
        self.incidents.insert(id.clone(), state);
        self.with(&id, |_, _| ());
    }

    fn command(&mut self, command: Command) {
        let Command { command_id, incident_id, issued_at, principal, action } = command;
        if self.answers.get(&command_id).is_some() {
            self.desk.count.duplicates += 1;
            return;
        }
        let who = self.desk.current.roster().person_of(&principal.name).to_owned();
        let by = self.desk.pseudonym(&who);
        let name = command::name(&action);
        let done = if principal.role < Role::Responder {
            Err(format!("{} may look, not act: it takes a responder", principal.role.name()))
        } else {
            self.obey(&incident_id, issued_at, (&who, &by), action)
        };
        let answer = match done {
            Ok(answer) => {
                self.desk.count.commands_accepted += 1;
                answer
            }
            Err(why) => {
                self.desk.count.commands_refused += 1;
                self.desk.audit(Entry {
                    actor: Some(by),
                    action: "command.refused",
                    // May be anything that was typed.
                    incident_id: Some(IncidentId::new(cut(incident_id.as_str(), 100))),
                    why: Some(format!("{name}: {why}")),
                    ..Entry::default()
                });
                Answer::Refused { why }
            }
        };
        self.keep_answer(command_id, answer);
    }

    fn keep_answer(&mut self, command_id: CommandId, answer: Answer) {
        let kept = Kept { order: self.desk.head.sequence, answer };
        self.desk.effects.push(store::answer(&command_id, Some(&kept)));
        self.answered.insert(command_id.clone());
        self.answers.insert(command_id, kept);
        let max = self.desk.current.limits().commands_max as usize;
        while let Some(id) = self.answers.shed(max) {
            self.desk.effects.push(store::answer(&id, None));
            self.answered.insert(id);
        }
    }

    /// Does what somebody may ask for, or says why not.
    fn obey(
        &mut self,
        id: &IncidentId,
        issued_at: Timestamp,
        (who, by): (&str, &str),
        action: Action,
    ) -> Result<Answer, String> {
        let text = command::text(&action).map(str::to_owned);
        if let Action::Raise(raised) = action {
            return self.raise(id, by, *raised);
        }
        if matches!(action, Action::Clear { .. }) {
            return self.clear(id, by, text);
        }
        let acted = self.with(id, |state, desk| {
            let answer = state.command(desk, who, by, &action, text);
            if matches!(answer, Ok(Answer::Accepted)) {
                state.note_crossed(desk, issued_at);
            }
            answer
        });
        acted.unwrap_or_else(|| Err("there is no such incident, or it ended long ago".into()))
    }

    fn outcome(&mut self, id: &IncidentId, page: &NotificationId, attempt: u32, outcome: Outcome) {
        // Asked first, so that a late outcome does not even touch its incident.
        let applies = self.incidents.get(id).is_some_and(|state| {
            let page = state.pages.iter().find(|p| p.notification_id == *page);
            page.is_some_and(|p| p.attempts == attempt && !p.state.is_final())
        });
        let mattered =
            applies && self.with(id, |s, desk| s.outcome(desk, page, attempt, outcome)) == Some(true);
        if !mattered {
            self.desk.count.outcomes_late += 1;
        }
    }

    fn tick(&mut self) {
        if self.desk.owner.is_none() {
            return;
        }
        let now = self.desk.now;
        self.notice_late_timers();
        self.look_on();
        let due = self.index.timers.iter().take_while(|(at, _)| *at <= now).take(TICK_MAX);
        let due: Vec<IncidentId> = due.map(|(_, id)| id.clone()).collect();
        let keep_ms = self.ended_keep_ms();
        for id in due {
            if self.incidents.ended_at(&id).is_some_and(|at| at.plus_ms(keep_ms) <= now) {
                self.forget(&id);
            } else {
                self.with(&id, IncidentState::timers_due);
            }
        }
        self.end_silences();
        self.desk.checkpoint_if_due();
    }

    /// A new owner: what was on its way may still be, and bundles that are gone are replaced.
    fn started(&mut self, owner: String) {
        let why = format!("{owner} works on partition {}", self.desk.head.partition);
        self.desk.owner = Some(owner);
        self.desk.started_at = Some(self.desk.now);
        self.desk.audit(Entry { action: "worker.started", why: Some(why), ..Entry::default() });
        self.desk.state_bundles_of_old();
        self.desk.note_policy(None);
        self.desk.vouch_again();
        if self.desk.forget_people() {
            // Whoever has their views has the names.
            self.changed.extend(self.incidents.keys().cloned());
        }
        let desk = &self.desk;
        self.incidents.see_again(|state| seen(state, desk));
        // What only waits has nothing on its way, and follows a bundle that is there unless one is missing.
        let all_there = self.index.bundles.keys().all(|digest| self.desk.bundles.contains_key(digest));
        let ids: Vec<IncidentId> = if all_there {
            self.incidents.open().map(|state| state.id().clone()).collect()
        } else {
            self.incidents.keys().cloned().collect()
        };
        for id in ids {
            let Some(state) = self.incidents.get(&id) else { continue };
            let orphan = !self.desk.bundles.contains_key(&state.bundle);
            let on_its_way = state
                .pages
                .iter()
                .any(|p| matches!(p.state, PageState::Sending { .. } | PageState::Unknown { .. }));
            drop(state);
            if orphan || on_its_way {
                self.with(&id, |state, desk| {
                    if orphan {
                        state.pin(desk, "the bundle it opened with is not in the state");
                    }
                    let restarted = state.restart_leases(desk);
                    if restarted > 0 {
                        let why =
                            format!("{restarted} pages may still be on their way: waiting out their leases");
                        desk.note(state.id(), "lease.restarted", None, None, why);
                    }
                });
            }
        }
        self.part_again();
        self.control_again();
    }

    /// Another config. Incidents that have opened keep the bundle that they follow.
    fn loaded(&mut self, Loaded { config, by, bundle }: Loaded) {
        if self.desk.owner.is_none() {
            return;
        }
        if self.desk.config.as_ref() != Some(&config) {
            let after = Some(config.to_string());
            let before = self.desk.config.replace(config).map(|d| d.to_string());
            let why = Some(format!("by {by}"));
            self.desk.audit(Entry { action: "config.loaded", before, after, why, ..Entry::default() });
        }
        if bundle == *self.desk.current.bundle() {
            return;
        }
        match self.desk.current.renewed(bundle) {
            Ok(policy) => {
                let before = Arc::clone(&self.desk.current);
                self.desk.follow(Arc::new(policy), format!("by {by}"));
                if before.quiet() != self.desk.current.quiet() {
                    drop(self.desk.mutes.settle(self.desk.current.quiet()));
                    self.look_again_at_all();
                }
            }
            // Whoever loads a bundle checks it.
            Err(why) => {
                let why = Some(why.to_string());
                self.desk.audit(Entry { action: "policy.refused", why, ..Entry::default() });
            }
        }
    }

    /// Works on one incident and files it anew. `None` if it is not known.
    fn with<T>(
        &mut self,
        id: &IncidentId,
        act: impl FnOnce(&mut IncidentState, &mut Desk) -> T,
    ) -> Option<T> {
        let keep_ms = self.ended_keep_ms();
        let state = self.incidents.get_mut(id)?;
        let done = act(state, &mut self.desk);
        state.settle(&mut self.desk);
        self.index.file(state, keep_ms);
        self.dirty.insert(id.clone());
        Some(done)
    }

    /// As `with`, of an incident of which that holds. Any other is not even touched.
    fn with_if(
        &mut self,
        id: &IncidentId,
        is: impl FnOnce(&IncidentState) -> bool,
        act: impl FnOnce(&mut IncidentState, &mut Desk),
    ) {
        if self.incidents.get(id).is_some_and(|state| is(&state)) {
            self.with(id, act);
        }
    }

    /// Keeps an incident that only waits as its state record.
    fn pack(&mut self, id: &IncidentId, record: &[u8]) {
        let desk = &self.desk;
        if let Some(text) = store::text(record) {
            self.incidents.pack(id, text, |state| seen(state, desk));
        }
    }

    fn forget(&mut self, id: &IncidentId) {
        if self.remove(id) {
            self.desk.note(id, "incident.forgotten", None, None, None);
            self.desk.effects.push(store::incident(id, None));
            self.changed.insert(id.clone());
            self.dirty.remove(id);
        }
    }

    fn remove(&mut self, id: &IncidentId) -> bool {
        let Some(mut state) = self.incidents.remove(id) else { return false };
        self.index.unfile(&mut state);
        true
    }

    /// Writes down what changed, and hands all effects over.
    fn finish(&mut self) -> Vec<Effect> {
        let (limits, keep_ms) = (self.desk.current.limits().clone(), self.ended_keep_ms());
        for id in std::mem::take(&mut self.dirty) {
            let Some(state) = self.incidents.get_mut(&id) else { continue };
            let records = state.outbox_records(&mut self.desk);
            self.desk.effects.extend(records.into_iter().map(|r| Effect::Outbox(Box::new(r))));
            let pages = state.pages.len();
            state.prune(limits.pages_max as usize);
            if state.pages.len() < pages {
                self.index.file(state, keep_ms);
            }
            let written = store::incident(&id, Some(state));
            if let Effect::State { value: Some(value), .. } = &written {
                self.pack(&id, value);
            }
            self.desk.effects.push(written);
            self.changed.insert(id);
        }
        while self.index.ended.len() > limits.ended_max as usize
            && let Some((_, id)) = self.index.ended.first().cloned()
        {
            self.forget(&id);
        }
        self.keep_bundles();
        if std::mem::take(&mut self.desk.head_moved) {
            let (chain, policy) = (self.desk.head.clone(), self.desk.loaded.clone());
            let policy = policy.unwrap_or_else(|| self.desk.current.digest().clone());
            let (config, checkpoint) = (self.desk.config.clone(), self.desk.checkpoint.clone());
            let stated_at = self.desk.stated_at;
            let head = Head { chain, policy, config, checkpoint, stated_at };
            self.desk.effects.push(store::head(&head));
        }
        let mut effects = std::mem::take(&mut self.desk.effects);
        effects.append(&mut self.desk.sends);
        effects
    }

    /// Keeps the bundles in the state that incidents follow, and no others.
    fn keep_bundles(&mut self) {
        let desk = &mut self.desk;
        for digest in self.index.bundles.keys() {
            if let Some(policy) = desk.bundles.get(digest)
                && desk.stored.insert(digest.clone())
            {
                desk.effects.push(store::bundle(digest, Some(policy.bundle())));
            }
        }
        let used = &self.index.bundles;
        for digest in desk.stored.iter().filter(|d| !used.contains_key(*d)) {
            desk.effects.push(store::bundle(digest, None));
        }
        desk.stored.retain(|d| used.contains_key(d));
        let current = desk.current.digest();
        desk.bundles.retain(|d, _| used.contains_key(d) || d == current);
    }

    /// Incidents that have not ended.
    fn live(&self) -> usize {
        self.incidents.len() - self.index.ended.len()
    }

    fn ended_keep_ms(&self) -> i64 {
        i64::from(self.desk.current.limits().ended_keep_s) * 1000
    }
}

/// What is asked of all incidents at once.
pub(crate) fn seen(state: &IncidentState, desk: &Desk) -> Seen {
    let policy = desk.policy(&state.bundle);
    let until_owned = policy.plan(&state.plan).is_none_or(|p| p.until_owned);
    let told = matches!(state.people, People::Open { due: None, .. });
    Seen {
        stage: state.people.stage(),
        stands: state.alerts.values().any(|alert| alert.open),
        told,
        silent: until_owned && told,
        paging: state.is_paging(),
        live: state.is_live(),
    }
}
