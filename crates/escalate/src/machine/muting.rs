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

use super::Machine;
use super::acts::Said;
use crate::answers::Answer;
use crate::audit::{Entry, TOCSIN};
use crate::config::EscalateConfig;
use crate::desk::Desk;
use crate::effect::Effect;
use crate::life::Signal;
use crate::mutant::{self, Mutant};
use crate::mutes::{Changed, Mute, Muter, Verdict};
use crate::state::{IncidentState, People, Waits};

/// Longest wait for a place in a silence. After it the incident pages.
const ASKED_MS: i64 = 5_000;

/// The partition that makes and ends silences.
const HOME: u32 = 0;

impl IncidentState {
    /// Nobody is paged until then, or until what mutes it ends.
    pub(super) fn mute(&mut self, desk: &mut Desk, mute: Mute) {
        let Mute { by, until, says } = mute;
        if let Muter::Silence(silence) = &by
            && desk.mutes.is_over(silence, self.id())
        {
            let key = format!("over/{silence}/{}", self.id());
            desk.effects.push(Effect::Control { key, control: None });
        }
        let before = format!("round {} step {}", self.position.round, self.position.step);
        let after = format!("open, nobody is paged until {until}");
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
        let claim = Claim { silence_id: silence_id.clone(), incident_id: self.id().clone(), at: desk.now };
        let control = Control::Claim(claim);
        desk.effects.push(Effect::Control { key: control.key(), control: Some(Box::new(control)) });
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
            Verdict::Asks(silence) => self.ask(desk, silence),
            Verdict::Pages => {
                let why = match &by {
                    Muter::Asked(_) | Muter::Silence(_) => desk.mutes.refused_by(&self.incident, desk.now),
                    Muter::Maintenance(_) | Muter::Upstream(_) => None,
                };
                self.unmute(desk, &why.unwrap_or_else(|| format!("it was muted until now by {by}")));
            }
        }
    }

    /// The incident has changed: what muted it may not hold for it as it is now.
    pub(super) fn look_again_as_it_is(&mut self, desk: &mut Desk) {
        match (self.muter().cloned(), desk.verdict(&self.incident)) {
            (Some(by), Verdict::Pages) => {
                self.unmute(desk, &format!("it changed, and {by} mutes it no more"));
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

    /// Tells others that it is open, or no longer is, where others may come from it. What is muted by something upstream
    /// itself is not said: that covers what comes from this too.
    pub(super) fn tell_downstream(&mut self, desk: &mut Desk) {
        let people = match &self.people {
            People::Open { .. } | People::Acknowledged { .. } | People::Mitigated { .. } => true,
            People::Resolved { .. } | People::Closed { .. } => false,
        };
        let covered = matches!(self.muter(), Some(Muter::Upstream(_)));
        let quiet = desk.current.quiet();
        let is = people
            && self.signal == Signal::Open
            && !covered
            && !quiet.inhibitions.is_empty()
            && quiet.is_upstream(&self.incident);
        let severity = self.incident.severity;
        let told = is.then(|| (severity, self.upstream.map_or(desk.now, |(_, since)| since)));
        if told == self.upstream {
            return;
        }
        self.upstream = told;
        let control = told.map(|(_, since)| {
            let incident = bare(&self.incident);
            Box::new(Control::Upstream(Box::new(Upstream { incident, since })))
        });
        desk.effects.push(Effect::Control { key: format!("upstream/{}", self.id()), control });
    }

    /// Says of every silence that mutes it that there is nothing to mute.
    pub(super) fn over(&self, desk: &mut Desk) {
        for silence_id in desk.mutes.that_have(self.id()) {
            let over = Control::Over(Over { silence_id, incident_id: self.id().clone(), at: desk.now });
            desk.effects.push(Effect::Control { key: over.key(), control: Some(Box::new(over)) });
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
        let mutes = &mut self.desk.mutes;
        let take = |(key, control): (String, Option<Box<Control>>)| mutes.take(&key, control.map(|c| *c));
        let changed: Vec<Changed> = told.into_iter().filter_map(take).collect();
        self.sweep();
        if changed.is_empty() {
            return;
        }
        let mutes = &mut self.desk.mutes;
        mutes.settle(self.desk.current.quiet());
        self.ending.retain(|id| self.desk.mutes.silence(id).is_some());
        // Before it has started it knows only a part of what is true.
        if self.desk.owner.is_none() {
            return;
        }
        for id in self.desk.mutes.listed_by(&changed) {
            self.with_if(&id, |state| state.muter().is_none(), IncidentState::silenced);
        }
        self.look_again_at(|by| changed.iter().any(|changed| by.is_of(changed)));
    }

    /// Takes back what partitions wrote for a silence before they heard of its end.
    pub(super) fn sweep(&mut self) {
        if self.desk.owner.is_some() && self.desk.head.partition == HOME {
            let strays = self.desk.mutes.take_strays().into_iter();
            self.desk.effects.extend(strays.map(|key| Effect::Control { key, control: None }));
        }
    }

    /// Incidents that one of these mutes page, if nothing mutes them now.
    pub(super) fn look_again_at(&mut self, of: impl Fn(&Muter) -> bool) {
        let ids: Vec<IncidentId> =
            self.index.muted.iter().filter(|(by, _)| of(by)).map(|(_, id)| id.clone()).collect();
        for id in ids {
            self.with(&id, IncidentState::look_again);
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
            self.desk.effects.push(Effect::Control { key, control: None });
        }
    }

    /// Makes a silence, ends one, or says why not.
    pub(super) fn silence(&mut self, command: SilenceCommand) {
        let SilenceCommand { command_id, silence_id, issued_at: _, principal, ask } = command;
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
        if self.desk.mutes.silences() >= most {
            return Err(format!("there are {most} silences already (silences_max): end one"));
        }
        if self.desk.mutes.silence(id).is_some() {
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
        let control = Control::Silence(silence);
        self.desk.effects.push(Effect::Control { key: control.key(), control: Some(Box::new(control)) });
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
#[must_use]
pub fn refuses(new: &NewSilence, limits: &EscalateConfig) -> Option<String> {
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

/// Silences whose end was written and has not come back yet.
pub(super) type Ending = BTreeSet<SilenceId>;
