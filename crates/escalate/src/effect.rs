//! What goes into a machine, and what comes out.

use serde::{Deserialize, Serialize};
use wire::audit::AuditRecord;
use wire::checkpoint::Checkpoint;
use wire::command::Command;
use wire::context::Feedback;
use wire::control::{Control, SilenceCommand};
use wire::forget::Forget;
use wire::outbox::{OutboxRecord, Outcome};
use wire::page::Page;
use wire::response::Response;
use wire::{Digest, Incident, IncidentId, NotificationId};

use crate::config::Bundle;

/// What can happen to the machine. Recorded with its time, a run can be repeated to the byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// From the incidents topic.
    Incident(Box<Incident>),
    /// From the commands topic.
    Command(Command),
    /// From the commands topic: about a person, not an incident.
    Forget(Box<Forget>),
    /// From the commands topic: about silences.
    Silence(Box<SilenceCommand>),
    /// From the control topic, in its order, before `Started` too: key and record, of which an empty one takes back what
    /// stood under its key. What they come to counts, not what lies between them.
    Control(Vec<(String, Option<Box<Control>>)>),
    /// What came of a `Send`.
    Outcome { notification_id: NotificationId, incident_id: IncidentId, attempt: u32, outcome: Outcome },
    /// Time has passed; wanted at [`deadline`](crate::Machine::deadline).
    Tick,
    /// The state has been read to its end and this process owns the partition. Nothing is sent before.
    Started { owner: String },
    /// What this process goes by now, after `Started`. Repeated, it changes nothing.
    Loaded(Box<Loaded>),
}

/// A config as a process has loaded it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Of all that judges: incidents carry it too.
    pub config: Digest,
    /// What made the process load it: `start`, `file`, `SIGHUP`.
    pub by: String,
    /// What incidents follow that open from now on.
    pub bundle: Bundle,
}

/// What the runtime must do, in this order: all but `Checkpoint` and `Send` in one transaction with the offsets of the
/// inputs, then those, and none of them if that transaction does not hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Response(Response),
    Outbox(Box<OutboxRecord>),
    Audit(AuditRecord),
    /// tocsin's own incident, for the incidents and open topics. It comes back as an input.
    Incident(Box<Incident>),
    /// For the control topic. It comes back as an input, to every partition.
    Control {
        key: String,
        control: Option<Box<Control>>,
    },
    /// For the context topic, which judges follow.
    Feedback(Box<Feedback>),
    /// `None` is a tombstone. Of several records with one key the last holds.
    State {
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    /// Is in the chain, and is to be kept elsewhere. The last one comes again with `Started`, lest a crash swallowed it.
    Checkpoint(Box<Checkpoint>),
    /// To be answered by an `Outcome` within the lease.
    Send {
        page: Box<Page>,
        attempt: u32,
        lease_ms: u64,
    },
}
