//! What people ask of an incident.

use wire::command::{Action, TEXT_BYTES_MAX};
use wire::context::Feedback;
use wire::response::ResponseChange;
use wire::{Family, Source, SubjectKind, Timestamp};

use super::acts::Said;
use super::raise;
use crate::answers::Answer;
use crate::audit::Entry;
use crate::config::Class;
use crate::desk::Desk;
use crate::effect::Effect;
use crate::life::{Decision, Event, Signal, Stage, decide};
use crate::policy::{Addressed, Plan, Policy, Roster, Whom};
use crate::state::{IncidentState, People};

/// As it stands in the audit log after `command.`.
pub(crate) const fn name(action: &Action) -> &'static str {
    match action {
        Action::Acknowledge { .. } => "acknowledge",
        Action::Mitigate { .. } => "mitigate",
        Action::Resolve { .. } => "resolve",
        Action::Close { .. } => "close",
        Action::Note { .. } => "note",
        Action::Snooze { .. } => "snooze",
        Action::Assign { .. } => "assign",
        Action::Merge { .. } => "merge",
        Action::Raise(_) => "raise",
        Action::Clear { .. } => "clear",
        Action::Repin { .. } => "repin",
    }
}

/// What the person wrote.
pub(crate) fn text(action: &Action) -> Option<&str> {
    match action {
        Action::Acknowledge { note: text, .. }
        | Action::Mitigate { note: text, .. }
        | Action::Assign { note: text, .. }
        | Action::Snooze { reason: text, .. }
        | Action::Merge { reason: text, .. }
        | Action::Clear { reason: text }
        | Action::Repin { reason: text }
        | Action::Resolve { reason: text, .. } => text.as_deref(),
        Action::Close { reason: text, .. } | Action::Note { text } => Some(text),
        Action::Raise(_) => None,
    }
}

/// What it is to an incident that is known; `None` where it is not about one.
const fn event(action: &Action) -> Option<(Event, &'static str)> {
    Some(match action {
        Action::Raise(_) | Action::Clear { .. } => return None,
        Action::Acknowledge { .. } => (Event::Acknowledge, "command.acknowledge"),
        Action::Mitigate { .. } => (Event::Mitigate, "command.mitigate"),
        Action::Resolve { .. } => (Event::Resolve, "command.resolve"),
        Action::Close { .. } => (Event::Close, "command.close"),
        Action::Note { .. } => (Event::Note, "command.note"),
        Action::Snooze { .. } => (Event::Snooze, "command.snooze"),
        Action::Assign { .. } => (Event::Assign, "command.assign"),
        Action::Merge { .. } => (Event::Merge, "command.merge"),
        Action::Repin { .. } => (Event::Repin, "command.repin"),
    })
}

const fn is_not_actionable(action: &Action) -> bool {
    match action {
        Action::Resolve { not_actionable, .. } | Action::Close { not_actionable, .. } => *not_actionable,
        Action::Acknowledge { .. }
        | Action::Mitigate { .. }
        | Action::Note { .. }
        | Action::Snooze { .. }
        | Action::Assign { .. }
        | Action::Merge { .. }
        | Action::Repin { .. }
        | Action::Raise(_)
        | Action::Clear { .. } => false,
    }
}

/// What a command comes to once it is known to be allowed.
enum Doing {
    Hold(People, ResponseChange),
    /// The word of somebody who cannot stop the pages alone, and why not.
    Seen(String),
    Snooze(Timestamp),
    Assign {
        to: String,
        reached: Vec<Addressed>,
    },
    Resolve(ResponseChange),
    Close,
    Note,
    Repin,
}

impl Doing {
    /// What people will have made of it.
    fn after(&self, before: Stage) -> String {
        match self {
            Self::Hold(people, _) => people.stage().name().into(),
            Self::Seen(_) => format!("{}, seen", before.name()),
            Self::Snooze(until) => format!("{}, nobody is paged until {until}", Stage::Open.name()),
            Self::Assign { to, .. } => format!("{}, handed to {to}", Stage::Open.name()),
            Self::Resolve(_) => Stage::Resolved.name().into(),
            Self::Close => Stage::Closed.name().into(),
            Self::Note | Self::Repin => before.name().into(),
        }
    }
}

impl IncidentState {
    /// Does what a person asks, or says why not. `who` is their key in `people.toml`, `by` their pseudonym.
    pub(crate) fn command(
        &mut self,
        desk: &mut Desk,
        who: &str,
        by: &str,
        action: &Action,
        text: Option<String>,
    ) -> Result<Answer, String> {
        let (event, audited) = event(action).ok_or("it is about the signal, not about who has it")?;
        let stage = self.people.stage();
        let decision = decide(stage, self.signal, event);
        if let Decision::Refuse(why) = decision {
            return Err(why.into());
        }
        let doing = self.doing(desk, who, by, action)?;
        let mut text = text.map(|t| desk.bounded(&t, TEXT_BYTES_MAX));
        if let Action::Merge { into, .. } = action {
            let with = text.take().map_or_else(String::new, |text| format!(": {text}"));
            text = Some(desk.bounded(&format!("into {into}{with}"), TEXT_BYTES_MAX));
        }
        let idle = is_not_actionable(action);
        let after = doing.after(stage);
        let after = if idle { format!("{after}, not actionable") } else { after };
        desk.audit(Entry {
            actor: Some(by.into()),
            action: audited,
            incident_id: Some(self.id().clone()),
            before: Some(stage.name().into()),
            after: Some(after),
            why: text.clone(),
            ..Entry::default()
        });
        let answer = self.carry_out(desk, doing, by, text.as_deref(), idle);
        if idle {
            desk.effects.extend(self.feedback().map(|feedback| Effect::Feedback(Box::new(feedback))));
        }
        Ok(answer)
    }

    /// Calls that were begun after somebody had answered, and before that was known here: it may be, and is said.
    pub(crate) fn note_crossed(&self, desk: &mut Desk, issued_at: Timestamp) {
        if self.is_paging() {
            return;
        }
        let generation = self.incident.generation;
        for page in self.pages.iter().filter(|p| p.calls() && p.generation == generation) {
            let Some(begun) = page.begun_at else { continue };
            if begun > issued_at {
                desk.count.pages_crossed += 1;
                let why = format!("begun at {begun}, and somebody had answered at {issued_at}");
                desk.note(self.id(), "page.crossed", None, page.notification_id.to_string(), why);
            }
        }
    }

    fn carry_out(
        &mut self,
        desk: &mut Desk,
        doing: Doing,
        by: &str,
        why: Option<&str>,
        idle: bool,
    ) -> Answer {
        let said = |change| Said { not_actionable: idle, ..Said::of(change, by, why) };
        match doing {
            Doing::Hold(people, change) => {
                let until = match &people {
                    People::Acknowledged { until, .. } | People::Mitigated { until, .. } => Some(*until),
                    People::Open { .. } | People::Resolved { .. } | People::Closed { .. } => None,
                };
                self.respond(desk, Said { until, ..said(change) });
                self.taken.clear();
                self.hold(desk, people);
            }
            Doing::Seen(why) => {
                self.respond(desk, said(ResponseChange::Seen));
                return Answer::Noted { why };
            }
            Doing::Snooze(until) => {
                self.respond(desk, Said { until: Some(until), ..said(ResponseChange::Snoozed) });
                self.snooze(desk, until);
            }
            Doing::Assign { to, reached } => {
                self.respond(desk, Said { to: Some(&to), ..said(ResponseChange::Assigned) });
                self.assign(desk, to, &reached);
            }
            Doing::Resolve(change) => {
                self.resolve_as(desk, said(change));
                raise::over(desk, &self.incident, self.signal);
            }
            Doing::Close => {
                self.people = People::Closed { by: by.into() };
                self.respond(desk, said(ResponseChange::Closed));
            }
            Doing::Note => {
                self.respond(desk, said(ResponseChange::Noted));
                // Who looks on and writes does not answer for whoever took it.
                if self.people.owner() == Some(by) {
                    self.has_responded();
                }
            }
            Doing::Repin => {
                self.respond(desk, said(ResponseChange::Repinned));
                self.repin(desk);
            }
        }
        Answer::Accepted
    }

    fn doing(&mut self, desk: &mut Desk, who: &str, by: &str, action: &Action) -> Result<Doing, String> {
        let policy = desk.policy(&self.bundle);
        let plan = policy.plan(&self.plan);
        Ok(match action {
            Action::Acknowledge { for_s, .. } => {
                let until = until(desk, *for_s, plan.map(|p| p.acknowledge_expires_ms))?;
                // Who holds it already may go on without being asked again.
                let holds = self.people.owner() == Some(by);
                if let Some(plan) = plan.filter(|_| !holds)
                    && let Some(why) = self.not_enough((plan, policy.roster()), who, by, desk.now)
                {
                    return Ok(Doing::Seen(why));
                }
                let respond_by = plan.and_then(|p| p.respond_within_ms).map(|ms| desk.now.plus_ms(ms));
                let respond_by = respond_by.filter(|_| !holds && self.signal == Signal::Open);
                Doing::Hold(
                    People::Acknowledged { by: by.into(), until, respond_by },
                    ResponseChange::Acknowledged,
                )
            }
            Action::Mitigate { for_s, .. } => {
                let until = until(desk, *for_s, plan.map(|p| p.mitigation_expires_ms))?;
                // It stops the pages as an acknowledgement does.
                if let Some(plan) = plan.filter(|_| self.people.owner().is_none())
                    && let Some(why) = self.not_enough((plan, policy.roster()), who, by, desk.now)
                {
                    return Ok(Doing::Seen(why));
                }
                Doing::Hold(People::Mitigated { by: by.into(), until }, ResponseChange::Mitigated)
            }
            Action::Snooze { for_s, .. } => {
                let until = until(desk, Some(*for_s), None)?;
                if let Some(plan) = plan.filter(|_| self.people.owner() != Some(by))
                    && plan.taking.stands_for(policy.roster(), who, desk.now).is_empty()
                {
                    return Ok(Doing::Seen(plan.taking.in_vain()));
                }
                Doing::Snooze(until)
            }
            Action::Assign { to, .. } => {
                let (to, reached) = assigned(desk, &policy, to)?;
                Doing::Assign { to, reached }
            }
            Action::Merge { into, .. } if into == self.id() => {
                return Err("it is the same incident: name another one".into());
            }
            Action::Merge { .. } => Doing::Resolve(ResponseChange::Merged),
            Action::Resolve { .. } => Doing::Resolve(ResponseChange::Resolved),
            Action::Close { .. } => Doing::Close,
            Action::Note { .. } => Doing::Note,
            Action::Repin { .. } if self.bundle == *desk.current.digest() => {
                return Err("it follows the bundle that is in force already".into());
            }
            Action::Repin { .. } => Doing::Repin,
            Action::Raise(_) | Action::Clear { .. } => return Err("it is about the signal".into()),
        })
    }

    /// Counts somebody's word; why it does not stop the pages, if it does not.
    fn not_enough(
        &mut self,
        (plan, roster): (&Plan, &Roster),
        who: &str,
        by: &str,
        now: Timestamp,
    ) -> Option<String> {
        let taking = &plan.taking;
        let stands_for = taking.stands_for(roster, who, now);
        if stands_for.is_empty() {
            return Some(taking.in_vain());
        }
        self.taken.insert(by.into(), stands_for);
        if taking.is_enough(&self.taken) {
            return None;
        }
        let n = self.taken.len();
        Some(format!("you are number {n} who takes it, and pages go on: it takes {}", taking.says()))
    }

    /// For the judge: there was nothing to do about what this stream led. `None` where no stream did.
    fn feedback(&self) -> Option<Feedback> {
        let incident = &self.incident;
        let stream = match (incident.family, incident.evidence.contributors.first()) {
            (Family::Traffic, _) => "calls".to_owned(),
            (_, Some(lead)) => lead.name.clone(),
            (_, None) => return None,
        };
        let judged = incident.source == Source::Detector && incident.subject.kind == SubjectKind::Model;
        judged.then(|| Feedback {
            incident_id: self.id().clone(),
            generation: incident.generation,
            model: incident.subject.name.clone(),
            version: incident.subject.version.clone(),
            family: incident.family,
            stream,
            opened_at: incident.opened_at,
        })
    }
}

/// When a hold ends that was asked for.
fn until(desk: &Desk, for_s: Option<u64>, default_ms: Option<i64>) -> Result<Timestamp, String> {
    let max_s = desk.current.limits().hold_max_s;
    let ms = match for_s {
        None => default_ms.unwrap_or(3_600_000),
        Some(s) => i64::try_from(s).ok().filter(|s| *s > 0).and_then(|s| s.checked_mul(1000)).unwrap_or(0),
    };
    if (1..=i64::from(max_s) * 1000).contains(&ms) {
        Ok(desk.now.plus_ms(ms))
    } else {
        Err(format!("it can be held for 1 to {max_s} seconds (hold_max_s)"))
    }
}

/// Whom somebody names, as the audit may know them, and where they are reached.
fn assigned(desk: &mut Desk, policy: &Policy, to: &str) -> Result<(String, Vec<Addressed>), String> {
    let whom = Whom::parse(to).ok_or("it is none of person:NAME, team:NAME, role:NAME, schedule:NAME")?;
    let reached = policy.roster().reach(&whom, Class::Page, Some(desk.now));
    if matches!(whom, Whom::At(_)) {
        return Err("that is a place, not somebody: name a person, a team, a role or a schedule".into());
    }
    if reached.is_empty() {
        // What is refused is audited, and a name is not.
        return Err("that is nobody who can be paged: see `person`, `team` and `role` in people.toml, and `tocsin oncall`".into());
    }
    let known = match &whom {
        Whom::Person(name) => desk.pseudonym(name),
        Whom::At(_) | Whom::Team(_) | Whom::Role(_) | Whom::Schedule(_) => whom.to_string(),
    };
    Ok((known, reached))
}
