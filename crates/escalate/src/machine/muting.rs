//! What keeps an incident from paging, and that it no longer does.

use std::collections::BTreeSet;

use wire::command::{Role, TEXT_BYTES_MAX};
use wire::control::{
    CONDITIONS_BYTES_MAX, Claim, Control, NewSilence, Over, SILENCED_MAX, Silence, SilenceAsk,
    SilenceCommand, Upstream,
};
use wire::incident::Context;
use wire::page::PageKind;
use wire::response::ResponseChange;
use wire::{Evidence, Incident, IncidentId, SilenceId, Timestamp};

use super::acts::Said;
use super::{Machine, TICK_MAX};
use crate::answers::Answer;
use crate::audit::{Entry, TOCSIN};
use crate::config::EscalateConfig;
use crate::desk::Desk;
use crate::effect::Effect;
use crate::life::Signal;
use crate::mutant::{self, Mutant};
use crate::mutes::{Changed, Mute, Muter, Verdict};
use crate::state::{IncidentState, People, ToldUpstream, Waits};

/// Longest wait for a place in a silence. After it the incident pages.
const ASKED_MS: i64 = 5_000;

/// A silence that was asked for so long ago is not made: its preview is of another time.
const STALE_MS: i64 = 30_000;

/// The partition that makes and ends silences.
const HOME: u32 = 0;

impl Desk {
    /// For every partition, this one too: it comes back as an input.
    fn tell(&mut self, control: Control) {
        self.effects.push(Effect::Control { key: control.key(), control: Some(Box::new(control)) });
    }

    fn take_back(&mut self, key: String) {
        self.effects.push(Effect::Control { key, control: None });
    }
}

impl IncidentState {
    /// Nobody is paged until then, or until what mutes it ends.
    pub(super) fn mute(&mut self, desk: &mut Desk, mute: Mute) {
        let Mute { by, until, says } = mute;
        if let Muter::Silence(silence) = &by
            && desk.mutes.is_over(silence, self.id())
        {
            desk.take_back(Control::over_key(silence, self.id()));
        }
        let before = format!("round {} step {}", self.position.round, self.position.step);
        let after = format!("open, nobody is paged until {until}");
        let says = desk.bounded(&says, TEXT_BYTES_MAX);
        desk.note(self.id(), "incident.muted", before, after, says.clone());
        if !matches!(by, Muter::Asked(_)) {
            desk.count.muted += 1;
            let said = Said::of(ResponseChange::Muted, TOCSIN, Some(&says));
            self.respond(desk, Said { until: Some(until), ..said });
        }
        self.taken.clear();
        self.people = People::Open { nominal: until, due: Some(until), waits: Waits::Muted(by) };
        self.cancel(desk, &[PageKind::Trigger], "it is muted");
    }

    /// Asks for a place in a silence that matches. It has the next word, or pages a moment later.
    pub(super) fn ask(&mut self, desk: &mut Desk, silence_id: SilenceId) {
        // Its place is that of its first word: a second one would stand behind those that came meanwhile.
        if self.asked.as_ref() != Some(&silence_id) {
            let incident_id = self.id().clone();
            let claim = Claim { silence_id: silence_id.clone(), incident_id, at: desk.now };
            desk.tell(Control::Claim(claim));
            self.asked = Some(silence_id.clone());
        }
        let says = format!("asks for a place in silence {silence_id}");
        let until = desk.now.plus_ms(ASKED_MS);
        self.mute(desk, Mute { by: Muter::Asked(silence_id), until, says });
    }

    /// What mutes it may have changed, or ended.
    pub(super) fn look_again(&mut self, desk: &mut Desk) {
        let People::Open { due, waits: Waits::Muted(by), .. } = &self.people else { return };
        let (due, by) = (*due, by.clone());
        match desk.verdict(&self.incident) {
            Verdict::Muted(mute) if mute.by == by && Some(mute.until) == due => (),
            Verdict::Muted(mute) => self.mute(desk, mute),
            Verdict::Asks(silence) if by == Muter::Asked(silence.clone()) => {
                if due.is_some_and(|due| due <= desk.now) {
                    self.unmute(desk, &format!("silence {silence} matches it, and did not take it in time"));
                }
            }
            Verdict::Asks(silence) if !self.has_called() => self.ask(desk, silence),
            Verdict::Pages | Verdict::Asks(_) => {
                let why = match &by {
                    Muter::Asked(_) | Muter::Silence(_) => desk.mutes.refused_by(&self.incident, desk.now),
                    Muter::Maintenance(_) | Muter::Upstream(_) => None,
                };
                self.unmute(desk, &why.unwrap_or_else(|| format!("it was muted until now by {by}")));
            }
        }
    }

    /// Whether somebody was called about it in this generation. Then it is no later match of a silence: whoever made that
    /// saw it, or would have.
    pub(super) fn has_called(&self) -> bool {
        let generation = self.incident.generation;
        self.pages.iter().any(|p| p.calls() && p.generation == generation)
    }

    /// Whether what mutes it, or what it says downstream, may be another now.
    pub(super) fn is_to_be_looked_at(&self, desk: &Desk) -> bool {
        let People::Open { due, waits: Waits::Muted(by), .. } = &self.people else {
            return self.told_downstream(desk) != self.upstream;
        };
        match desk.verdict(&self.incident) {
            Verdict::Muted(mute) => mute.by != *by || Some(mute.until) != *due,
            Verdict::Asks(silence) => *by != Muter::Asked(silence) || due.is_some_and(|due| due <= desk.now),
            Verdict::Pages => true,
        }
    }

    /// The incident has changed: what muted it may not hold for it as it is now.
    pub(super) fn look_again_as_it_is(&mut self, desk: &mut Desk) {
        match (self.muter().cloned(), desk.verdict(&self.incident)) {
            (Some(by), Verdict::Pages) => {
                self.unmute(desk, &format!("it changed, and {by} mutes it no more"));
                if let Muter::Silence(_) = by {
                    self.over(desk);
                }
            }
            _ => self.look_again(desk),
        }
    }

    fn unmute(&mut self, desk: &mut Desk, why: &str) {
        desk.notice = Some(why.to_owned());
        self.restart(desk, why);
        self.page_step_now(desk, desk.now);
        desk.notice = None;
    }

    /// A silence has just been made that lists it.
    fn silenced(&mut self, desk: &mut Desk) {
        if let People::Open { waits: Waits::NextStep, .. } = &self.people
            && let Verdict::Muted(mute) = desk.verdict(&self.incident)
        {
            self.mute(desk, mute);
        }
    }

    /// What others are told of it now: that it is open, where others may come from it. Nothing of what is covered itself, so that
    /// of two that come from each other one pages.
    fn told_downstream(&self, desk: &Desk) -> Option<Box<ToldUpstream>> {
        let people = match &self.people {
            People::Open { .. } | People::Acknowledged { .. } | People::Mitigated { .. } => true,
            People::Resolved { .. } | People::Closed { .. } => false,
        };
        let covered = matches!(self.muter(), Some(Muter::Upstream(_)));
        let is = people && self.signal == Signal::Open && !covered;
        let Incident { severity, context: Context { owner, tier, .. }, .. } = &*self.incident;
        (is && desk.current.quiet().is_upstream(&self.incident)).then(|| {
            let since = self.upstream.as_ref().map_or(desk.now, |told| told.since);
            Box::new(ToldUpstream { severity: *severity, owner: owner.clone(), tier: *tier, since })
        })
    }

    /// Tells others what is new of that.
    pub(super) fn tell_downstream(&mut self, desk: &mut Desk) {
        let told = self.told_downstream(desk);
        if told == self.upstream {
            return;
        }
        match &told {
            Some(told) => {
                let (incident, since) = (bare(&self.incident), told.since);
                desk.tell(Control::Upstream(Box::new(Upstream { incident, since })));
            }
            None => desk.take_back(Control::upstream_key(self.id())),
        }
        self.upstream = told;
    }

    /// Says to every silence in which it has a place that there is nothing to mute.
    pub(super) fn over(&self, desk: &mut Desk) {
        for silence_id in desk.mutes.that_have(self.id()) {
            desk.tell(Control::Over(Over { silence_id, incident_id: self.id().clone(), at: desk.now }));
        }
    }
}

/// As much of an incident as rules of inhibition look at.
fn bare(incident: &Incident) -> Incident {
    let Context { owner, tier, .. } = incident.context.clone();
    let evidence = Evidence { contributors: Vec::new(), profile: None, ..incident.evidence.clone() };
    Incident { evidence, context: Context { owner, tier, ..Context::default() }, ..incident.clone() }
}

impl Machine {
    /// Takes in what the control topic says.
    pub(super) fn control(&mut self, told: Vec<(String, Option<Box<Control>>)>) {
        if self.desk.owner.is_none() && mutant::is(Mutant::SilencesReadLate) {
            return;
        }
        let (mutes, incidents) = (&mut self.desk.mutes, &self.incidents);
        // One of its own that has come back since: that is on its way.
        let is_back = |key: &str| {
            let id = key.strip_prefix("upstream/").map(IncidentId::new);
            id.and_then(|id| incidents.get(&id)).is_some_and(|state| state.upstream.is_some())
        };
        let told = told.into_iter().filter(|(key, control)| control.is_some() || !is_back(key));
        let take = |(key, control): (String, Option<Box<Control>>)| mutes.take(&key, control.map(|c| *c));
        let mut changed: Vec<Changed> = told.filter_map(take).collect();
        self.sweep();
        if changed.iter().any(|changed| matches!(changed, Changed::Upstream(_))) {
            changed.extend(self.desk.mutes.settle(self.desk.current.quiet()));
        }
        self.ending.retain(|id| self.desk.mutes.silence(id).is_some());
        self.making.retain(|id| self.desk.mutes.silence(id).is_none());
        // Before it has started it knows only a part of what is true.
        if changed.is_empty() || self.desk.owner.is_none() {
            return;
        }
        self.mute_listed(&changed);
        self.look_again_at(|by| changed.iter().any(|changed| by.is_of(changed)));
        for changed in changed {
            if let Changed::Silence(id) | Changed::Place(id) = changed {
                self.reconcile(&id);
            }
        }
    }

    /// Mutes what silences list, as far as it pages now.
    fn mute_listed(&mut self, changed: &[Changed]) {
        for id in self.desk.mutes.listed_by(changed) {
            self.with_if(&id, |state| state.muter().is_none(), IncidentState::silenced);
        }
    }

    /// A new owner: what was told while nobody worked on the partition.
    pub(super) fn control_again(&mut self) {
        self.sweep();
        let all = self.desk.mutes.all();
        self.mute_listed(&all);
        self.look_again_at(|_| true);
        for changed in all {
            if let Changed::Silence(id) = changed {
                self.reconcile(&id);
            }
        }
    }

    /// A silence that ends when nothing matches it hears of what ended, or came back, before it knew of it.
    fn reconcile(&mut self, id: &SilenceId) {
        let ends = |id: &IncidentId| self.incidents.ended_at(id).is_some();
        let mutes = |by: &Muter, of: &IncidentId| self.index.muted.contains(&(by.clone(), of.clone()));
        let (at, by) = (self.desk.now, Muter::Silence(id.clone()));
        for (incident, is_over) in self.desk.mutes.watched(id) {
            if !is_over && ends(&incident) {
                self.desk.tell(Control::Over(Over { silence_id: id.clone(), incident_id: incident, at }));
            } else if is_over && mutes(&by, &incident) {
                self.desk.take_back(Control::over_key(id, &incident));
            }
        }
    }

    /// Takes back what partitions wrote for a silence before they heard of its end.
    pub(super) fn sweep(&mut self) {
        if self.desk.owner.is_some() && self.desk.head.partition == HOME {
            for key in self.desk.mutes.take_strays() {
                self.desk.take_back(key);
            }
        }
    }

    /// Incidents that one of these mutes page, if nothing mutes them now.
    pub(super) fn look_again_at(&mut self, of: impl Fn(&Muter) -> bool) {
        let muted = self.index.muted.iter().filter(|(by, _)| of(by));
        self.to_look.extend(muted.map(|(_, id)| id.clone()));
        self.look_on();
    }

    /// As that, and every incident from which others may come tells so.
    pub(super) fn look_again_at_all(&mut self) {
        self.to_look.extend(self.incidents.keys().cloned());
        self.look_on();
    }

    /// Looks at as many as one step takes; the rest is due at once.
    pub(super) fn look_on(&mut self) {
        for _ in 0..TICK_MAX {
            let Some(id) = self.to_look.pop_first() else { return };
            let desk = &self.desk;
            if self.incidents.get(&id).is_some_and(|state| state.is_to_be_looked_at(desk)) {
                self.with(&id, IncidentState::look_again);
            }
        }
    }

    /// Ends silences whose time is over, where they are made.
    pub(super) fn end_silences(&mut self) {
        if self.desk.head.partition != HOME {
            return;
        }
        for (id, why) in self.desk.mutes.ended(self.desk.now) {
            if !self.ending.contains(&id) {
                self.end_silence(&id, TOCSIN.to_owned(), Some(why.to_owned()));
            }
        }
    }

    /// When the next silence ends, where they are ended.
    pub(super) fn silences_due(&self) -> Option<Timestamp> {
        let home = self.desk.head.partition == HOME;
        self.desk.mutes.deadline(&self.ending).filter(|_| home)
    }

    fn end_silence(&mut self, id: &SilenceId, by: String, why: Option<String>) {
        self.ending.insert(id.clone());
        let before = self.desk.mutes.silence(id).map(|s| format!("{} until {}", s.of, s.until));
        let (action, after) = ("silence.ended", Some(id.to_string()));
        self.desk.audit(Entry { actor: Some(by), action, before, after, why, ..Entry::default() });
        for key in self.desk.mutes.keys(id) {
            self.desk.take_back(key);
        }
    }

    /// Makes a silence, ends one, or says why not.
    pub(super) fn silence(&mut self, command: SilenceCommand) {
        let SilenceCommand { command_id, silence_id, issued_at, principal, ask } = command;
        let age_ms = self.desk.now.since_ms(issued_at);
        if self.answers.get(&command_id).is_some() {
            self.desk.count.duplicates += 1;
            return;
        }
        let who = self.desk.current.roster().person_of(&principal.name).to_owned();
        let by = self.desk.pseudonym(&who);
        let done = if principal.role < Role::Responder {
            Err(format!("{} may look, not act: it takes a responder", principal.role.name()))
        } else {
            match ask {
                // What it lists is what was open then; and what had that name may have ended long ago.
                SilenceAsk::Make(_) if age_ms > STALE_MS => {
                    let s = age_ms / 1000;
                    Err(format!(
                        "it was asked for {s} s ago, when nobody worked on it: look at the preview again"
                    ))
                }
                SilenceAsk::Make(new) => self.make_silence(&silence_id, &by, *new),
                SilenceAsk::End { reason } => self.end_silence_if_any(&silence_id, &by, reason),
            }
        };
        let answer = match done {
            Ok(()) => {
                self.desk.count.commands_accepted += 1;
                Answer::Accepted
            }
            Err(why) => {
                self.desk.count.commands_refused += 1;
                let said = Some(format!("silence: {why}"));
                let action = "command.refused";
                self.desk.audit(Entry { actor: Some(by), action, why: said, ..Entry::default() });
                Answer::Refused { why }
            }
        };
        self.keep_answer(command_id, answer);
    }

    fn make_silence(&mut self, id: &SilenceId, by: &str, new: NewSilence) -> Result<(), String> {
        let limits = self.desk.current.limits();
        if let Some(why) = refuses(&new, limits) {
            return Err(why);
        }
        let most = limits.silences_max as usize;
        let NewSilence { of, for_s, until_resolved, unmatched_s, incidents_max, listed, reason } = new;
        if self.desk.mutes.silences() + self.making.len() >= most {
            return Err(format!("there are {most} silences already (silences_max): end one"));
        }
        if self.desk.mutes.silence(id).is_some() || self.making.contains(id) {
            return Err("there is such a silence already".into());
        }
        let (made_at, reason) = (self.desk.now, self.desk.bounded(&reason, TEXT_BYTES_MAX));
        let ms = i64::try_from(for_s).unwrap_or(i64::MAX).saturating_mul(1000);
        let (silence_id, until, by) = (id.clone(), made_at.plus_ms(ms), by.to_owned());
        let n = listed.len();
        let unmatched_s = unmatched_s.filter(|s| *s > 0);
        let silence = Silence {
            silence_id,
            of,
            made_at,
            until,
            until_resolved,
            unmatched_s,
            incidents_max,
            listed,
            by: by.clone(),
            reason: reason.clone(),
        };
        self.desk.audit(Entry {
            actor: Some(by),
            action: "silence.made",
            before: Some(format!("{}, {n} of at most {incidents_max} incidents", silence.of)),
            after: Some(format!("{id} until {until}")),
            why: Some(reason),
            ..Entry::default()
        });
        self.making.insert(id.clone());
        self.desk.tell(Control::Silence(Box::new(silence)));
        Ok(())
    }

    fn end_silence_if_any(&mut self, id: &SilenceId, by: &str, reason: Option<String>) -> Result<(), String> {
        if self.desk.mutes.silence(id).is_none() || self.ending.contains(id) {
            return Err("there is no such silence, or it has ended".into());
        }
        let reason = reason.map(|reason| self.desk.bounded(&reason, TEXT_BYTES_MAX));
        self.end_silence(id, by.to_owned(), reason);
        Ok(())
    }
}

/// Why nobody may ask for such a silence; what would be right.
fn refuses(new: &NewSilence, limits: &EscalateConfig) -> Option<String> {
    let NewSilence { of, for_s, until_resolved: _, unmatched_s: _, incidents_max, listed, reason } = new;
    let longest = u64::from(limits.silence_max_s);
    if of.is_everything() {
        return Some(
            "it has no condition, so it would mute everything: name a model, an owner, a family".into(),
        );
    }
    if serde_json::to_vec(of).map_or(usize::MAX, |json| json.len()) > CONDITIONS_BYTES_MAX {
        return Some(format!("its conditions take more than {CONDITIONS_BYTES_MAX} bytes: use `*` in names"));
    }
    if !(1..=longest).contains(for_s) {
        return Some(format!("a silence lasts 1 to {longest} seconds (silence_max_s)"));
    }
    if !(1..=SILENCED_MAX).contains(incidents_max) {
        return Some(format!("a silence mutes at most 1 to {SILENCED_MAX} incidents"));
    }
    if listed.len() > *incidents_max as usize {
        let n = listed.len();
        return Some(format!("it would mute {n} incidents at once, and at most {incidents_max} were to be"));
    }
    reason.trim().is_empty().then(|| "say why: whoever is not paged will ask".into())
}

/// Silences of which something was written that has not come back yet.
pub(super) type OnItsWay = BTreeSet<SilenceId>;
