//! Who would have been paged at some time, from the audit alone.

use std::collections::BTreeMap;

use wire::audit::AuditRecord;
use wire::{Digest, Incident, Severity, Timestamp};

use crate::audit::STATED;
use crate::config::Bundle;
use crate::life::{Decision, Event, Signal, Stage, decide};
use crate::machine::schedule;
use crate::paging::{NextStep, Paging, step_that_pages};
use crate::policy::{Policy, Position};

/// Why the audit does not say it.
#[derive(Debug, thiserror::Error)]
pub enum CannotTell {
    #[error("no policy was loaded by then, as far as these records go back")]
    NothingLoaded,
    #[error("bundle {digest} is not in these records: they begin after it was written down")]
    BundleGone { digest: Digest },
    #[error("bundle {digest} was written down by another version, and this one cannot read it")]
    Unreadable { digest: Digest },
    /// A record is not what a machine writes.
    #[error("audit record {sequence} says {text:?}, which this program does not understand")]
    Strange { sequence: u64, text: String },
}

/// Whom `incident` would have paged next at the time `at`, by what the records of its partition up to then say: the
/// same as [`Machine::paging`](crate::Machine::paging) said then, with targets by their pseudonyms.
///
/// Of an incident that the records do not know it says whom it would have paged had it opened then. `incident` is any
/// record of it.
///
/// # Errors
/// When the records do not go back far enough, or were written by another version.
pub fn rebuild<'a>(
    records: impl IntoIterator<Item = &'a AuditRecord>,
    asked: &Incident,
    at: Timestamp,
) -> Result<Paging, CannotTell> {
    let incident = asked.clone();
    let mut told = Told { incident, bundles: BTreeMap::new(), loaded: None, life: None };
    for record in records.into_iter().take_while(|r| r.at <= at) {
        told.take(record)?;
    }
    let current = told.current()?;
    let Some(life) = told.life.as_ref() else {
        return Ok(Paging::anew(&current, asked, at));
    };
    let policy = told.policy(&life.bundle)?;
    let due = life.due.filter(|_| life.stage == Stage::Open);
    let next = due.and_then(|due| match life.waits {
        Waits::NextStep => {
            let plan = policy.plan(&life.plan)?;
            Some(NextStep::of(&policy, plan, &told.incident, plan.next(life.position)?, due))
        }
        Waits::Anew => NextStep::anew(&policy, &told.incident, life.position, due),
    });
    Ok(Paging { bundle: life.bundle.clone(), policy: life.plan.clone(), stage: Some(life.stage), next })
}

/// What the records have said so far.
#[derive(Debug)]
struct Told {
    /// With the severity that it had last.
    incident: Incident,
    /// Text of each bundle, as far as its pieces have come.
    bundles: BTreeMap<Digest, String>,
    loaded: Option<Digest>,
    life: Option<Life>,
}

/// What they have said of the incident.
#[derive(Debug)]
struct Life {
    signal: Signal,
    stage: Stage,
    bundle: Digest,
    plan: String,
    position: Position,
    /// When the next step is meant to page, and when it will; `None` once it has been told often enough.
    nominal: Timestamp,
    due: Option<Timestamp>,
    waits: Waits,
    /// A new generation begins with this very step of the machine.
    reopened_at: Option<Timestamp>,
}

/// What an open incident waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    NextStep,
    /// For a time; then the first step pages anew.
    Anew,
}

impl Told {
    fn current(&self) -> Result<Policy, CannotTell> {
        self.policy(self.loaded.as_ref().ok_or(CannotTell::NothingLoaded)?)
    }

    fn policy(&self, digest: &Digest) -> Result<Policy, CannotTell> {
        let gone = || CannotTell::BundleGone { digest: digest.clone() };
        let text = self.bundles.get(digest).ok_or_else(gone)?;
        let bundle: Option<Bundle> = serde_json::from_str(text).ok();
        let policy = bundle.and_then(|bundle| Policy::stated(bundle, digest.clone()).ok());
        policy.ok_or_else(|| CannotTell::Unreadable { digest: digest.clone() })
    }

    fn take(&mut self, record: &AuditRecord) -> Result<(), CannotTell> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match record.action.as_str() {
            STATED => {
                let whole = self.bundles.entry(Digest::new(text(&record.after))).or_default();
                if text(&record.why).starts_with("part 1 of ") {
                    whole.clear();
                }
                whole.push_str(record.content.as_deref().unwrap_or_default());
            }
            "policy.loaded" => self.loaded = Some(Digest::new(text(&record.after))),
            _ if record.incident_id.as_ref() == Some(&self.incident.incident_id) => self.happened(record)?,
            _ => (),
        }
        Ok(())
    }

    fn happened(&mut self, record: &AuditRecord) -> Result<(), CannotTell> {
        let action = record.action.as_str();
        if let Some(severity) = severity(record) {
            self.incident.severity = severity;
        }
        let Some(mut life) = self.life.take() else {
            self.life = self.opened(record)?;
            return Ok(());
        };
        match action {
            "incident.forgotten" => return Ok(()),
            "incident.cleared" => {
                life.decided(Event::Cleared);
                life.signal = Signal::Cleared;
            }
            "incident.returned" => life.signal = Signal::Open,
            "incident.reopened" => {
                (life.signal, life.stage, life.position) = (Signal::Open, Stage::Open, Position::default());
                life.reopened_at = Some(record.at);
                self.pages(&mut life, record.at, record.at)?;
            }
            "policy.pinned" => {
                (life.plan, life.bundle) = follows(record, record.after.as_deref())?;
                if life.reopened_at == Some(record.at) {
                    life.position = Position::default();
                    self.pages(&mut life, record.at, record.at)?;
                }
            }
            "policy.restarted" | "policy.rerouted" => {
                (life.plan, life.bundle) = follows(record, record.after.as_deref())?;
                life.stage = Stage::Open;
                life.position = Position { round: life.position.round.saturating_add(1), step: 0 };
                self.pages(&mut life, record.at, record.at)?;
            }
            "step.due" => {
                let next = position(record)?;
                // As the machine does: only steps of one round are made up for.
                let same = next.round == life.position.round;
                let nominal = if same { life.nominal } else { record.at };
                life.position = next;
                self.pages(&mut life, nominal, record.at)?;
            }
            "hold.unanswered" => {
                let next = self.policy(&life.bundle)?.plan(&life.plan).and_then(|p| p.next(life.position));
                let round = life.position.round.saturating_add(1);
                life.stage = Stage::Open;
                life.position = next.unwrap_or(Position { round, step: life.position.step });
                self.pages(&mut life, record.at, record.at)?;
            }
            "incident.muted" => {
                // What does not page stays at the step that it would have paged.
                life.position = position_in(record, record.before.as_deref())?;
                (life.stage, life.waits) = (Stage::Open, Waits::Anew);
                life.due = Some(until(record)?);
            }
            "command.snooze" => {
                (life.stage, life.waits) = (Stage::Open, Waits::Anew);
                life.due = Some(until(record)?);
            }
            "command.assign" => {
                let policy = self.policy(&life.bundle)?;
                let delay_ms = policy.plan(&life.plan).map_or(300_000, |plan| plan.steps[0].delay_ms);
                (life.stage, life.waits) = (Stage::Open, Waits::Anew);
                life.position = Position { round: life.position.round.saturating_add(1), step: 0 };
                life.due = Some(record.at.plus_ms(delay_ms));
            }
            // These are about the signal, which comes back as a record of it; what is refused changes nothing.
            "command.raise" | "command.clear" | "command.refused" => (),
            "hold.expired" => life.decided(Event::HoldExpired),
            // Of a page, or of a command: what people did says where they stand then.
            _ if action.starts_with("command.") => life.stage = stage(record)?,
            _ => (),
        }
        self.life = Some(life);
        Ok(())
    }

    /// The first word on an incident.
    fn opened(&self, record: &AuditRecord) -> Result<Option<Life>, CannotTell> {
        let (signal, stage, (plan, bundle)) = match record.action.as_str() {
            "incident.opened" => (Signal::Open, Stage::Open, follows(record, record.why.as_deref())?),
            "incident.cleared" => {
                let current = self.current()?;
                let follows = (current.route(&self.incident).to_owned(), current.digest().clone());
                (Signal::Cleared, Stage::Resolved, follows)
            }
            // Refused, or what came before these records is gone.
            _ => return Ok(None),
        };
        let mut life = Life {
            signal,
            stage,
            bundle,
            plan,
            position: Position::default(),
            nominal: record.at,
            due: None,
            waits: Waits::NextStep,
            reopened_at: None,
        };
        self.pages(&mut life, record.at, record.at)?;
        Ok(Some(life))
    }

    /// The step at its position pages `now`; it was meant to at `nominal`.
    fn pages(&self, life: &mut Life, nominal: Timestamp, now: Timestamp) -> Result<(), CannotTell> {
        let catch_up_ms = i64::from(self.current()?.limits().catch_up_delay_s) * 1000;
        let policy = self.policy(&life.bundle)?;
        if let Some(plan) = policy.plan(&life.plan) {
            (life.position, _) = step_that_pages(&policy, plan, &self.incident, life.position, now);
            let delay_ms = plan.step(life.position).delay_ms;
            let (nominal, due) = schedule(nominal, delay_ms, now, catch_up_ms);
            life.nominal = nominal;
            life.due = plan.next(life.position).map(|_| due);
            life.waits = Waits::NextStep;
        }
        Ok(())
    }
}

impl Life {
    /// Most of what is decided is written down by itself; that nobody need do anything is not.
    fn decided(&mut self, event: Event) {
        if decide(self.stage, self.signal, event) == Decision::Resolve {
            self.stage = Stage::Resolved;
        }
    }
}

fn strange(record: &AuditRecord, text: Option<&str>) -> CannotTell {
    CannotTell::Strange { sequence: record.sequence, text: text.unwrap_or_default().to_owned() }
}

/// `policy NAME of bundle DIGEST`.
fn follows(record: &AuditRecord, text: Option<&str>) -> Result<(String, Digest), CannotTell> {
    let parts = text.and_then(|t| t.strip_prefix("policy ")).and_then(|t| t.rsplit_once(" of bundle "));
    parts.map(|(plan, bundle)| (plan.to_owned(), Digest::new(bundle))).ok_or_else(|| strange(record, text))
}

/// `round 2 step 1`.
fn position(record: &AuditRecord) -> Result<Position, CannotTell> {
    position_in(record, record.after.as_deref())
}

fn position_in(record: &AuditRecord, text: Option<&str>) -> Result<Position, CannotTell> {
    let parts = text.and_then(|t| t.strip_prefix("round ")).and_then(|t| t.split_once(" step "));
    let at = parts
        .and_then(|(round, step)| Some(Position { round: round.parse().ok()?, step: step.parse().ok()? }));
    at.ok_or_else(|| strange(record, text))
}

/// `acknowledged`, or `resolved, not actionable`.
fn stage(record: &AuditRecord) -> Result<Stage, CannotTell> {
    let text = record.after.as_deref();
    let name = text.map(|t| t.split_once(',').map_or(t, |(stage, _)| stage));
    let found = Stage::ALL.into_iter().find(|s| Some(s.name()) == name);
    found.ok_or_else(|| strange(record, text))
}

/// `sev2, signal open, acknowledged`, of a record about the signal.
fn severity(record: &AuditRecord) -> Option<Severity> {
    let says = record.after.as_deref().filter(|_| record.action.starts_with("incident."))?;
    says.split_once(", signal ")?.0.parse().ok()
}

/// `open, nobody is paged until 2026-03-02T10:00:00.000Z`.
fn until(record: &AuditRecord) -> Result<Timestamp, CannotTell> {
    let text = record.after.as_deref();
    let until = text.and_then(|t| t.split(" until ").nth(1)).map(|t| t.split(',').next().unwrap_or(t));
    until.and_then(|t| t.parse().ok()).ok_or_else(|| strange(record, text))
}
