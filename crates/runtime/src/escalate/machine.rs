//! What the escalate loop needs of a machine, and what it carries out for one.

use crate::shown::Shown;
use std::time::Duration;

use wire::{Incident, Timestamp};

/// A machine that this loop can run: `escalate::Machine`, and what will wrap it.
pub trait Machine: Send {
    type Input: From<escalate::Input>;
    type Effect: Into<Carry>;

    /// Takes one state record back in.
    ///
    /// # Errors
    /// When the record was written by a newer version, or is not ours.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), escalate::StateError>;
    fn handle(&mut self, input: Self::Input, now: Timestamp) -> Vec<Self::Effect>;
    /// When it wants a tick.
    fn deadline(&self) -> Option<Timestamp>;
    /// Incidents that changed since the last call, rendered for people; `None` for those that are forgotten.
    fn changed(&mut self) -> Vec<(wire::IncidentId, Option<Shown>)>;
    /// What became of commands since the last call; `None` for those that are forgotten.
    fn answered(&mut self) -> Vec<(wire::CommandId, Option<escalate::Answer>)>;
    /// Names of people that came or went since the last call, by pseudonym; `None` for those that are forgotten.
    fn people(&mut self) -> Vec<(String, Option<String>)>;
    /// The last page of every open alert.
    fn standing(&self) -> Vec<wire::page::Page>;
    /// Why somebody was paged, or was not; `None` if the incident is not known.
    fn why(&self, id: &wire::IncidentId, person: Option<&str>) -> Option<Vec<String>>;
    /// How things stand, for metrics.
    fn counts(&self) -> escalate::Counts;
}

impl Machine for escalate::Machine {
    type Input = escalate::Input;
    type Effect = escalate::Effect;

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), escalate::StateError> {
        self.restore(key, value)
    }

    fn handle(&mut self, input: escalate::Input, now: Timestamp) -> Vec<escalate::Effect> {
        self.handle(input, now)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.deadline()
    }

    fn changed(&mut self) -> Vec<(wire::IncidentId, Option<Shown>)> {
        let shown = |view: Option<_>| view.as_ref().map(Shown::of);
        self.take_changed().into_iter().map(|(id, view)| (id, shown(view))).collect()
    }

    fn answered(&mut self) -> Vec<(wire::CommandId, Option<escalate::Answer>)> {
        self.take_answered()
    }

    fn people(&mut self) -> Vec<(String, Option<String>)> {
        self.take_people()
    }

    fn standing(&self) -> Vec<wire::page::Page> {
        self.standing()
    }

    fn why(&self, id: &wire::IncidentId, person: Option<&str>) -> Option<Vec<String>> {
        self.why(id, person)
    }

    fn counts(&self) -> escalate::Counts {
        self.counts()
    }
}

/// What the loop can carry out for a machine. All but `Checkpoint` and `Send` go into the transaction.
#[derive(Debug)]
pub enum Carry {
    Response(wire::response::Response),
    Outbox(Box<wire::outbox::OutboxRecord>),
    Audit(wire::audit::AuditRecord),
    Incident(Box<Incident>),
    /// For the context topic.
    Context(Box<wire::context::ContextRecord>),
    /// For the control topic; an empty one takes back what stood under its key.
    Control {
        key: String,
        control: Option<Box<wire::control::Control>>,
    },
    State {
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    /// Only after the commit that holds its record in the chain.
    Checkpoint(Box<wire::checkpoint::Checkpoint>),
    /// Only after the commit that holds its `sending` record.
    Send {
        page: Box<wire::page::Page>,
        attempt: u32,
        lease: Duration,
    },
}

impl From<escalate::Effect> for Carry {
    fn from(effect: escalate::Effect) -> Self {
        match effect {
            escalate::Effect::Response(r) => Self::Response(r),
            escalate::Effect::Outbox(o) => Self::Outbox(o),
            escalate::Effect::Audit(a) => Self::Audit(a),
            escalate::Effect::Incident(i) => Self::Incident(i),
            escalate::Effect::Feedback(f) => {
                Self::Context(Box::new(wire::context::ContextRecord::Feedback(*f)))
            }
            escalate::Effect::Control { key, control } => Self::Control { key, control },
            escalate::Effect::State { key, value } => Self::State { key, value },
            escalate::Effect::Checkpoint(c) => Self::Checkpoint(c),
            escalate::Effect::Send { page, attempt, lease_ms } => {
                Self::Send { page, attempt, lease: Duration::from_millis(lease_ms) }
            }
        }
    }
}
