//! The life of an incident as one table: what each state does with each event, decided by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What people made of it so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody owns it: the policy pages.
    Open,
    /// Someone owns it until a time.
    Acknowledged,
    /// The harm is contained until a time, the cause is not gone.
    Mitigated,
    /// People are done, or the signal ended while nobody held it.
    Resolved,
    /// Looked back on: a root cause, or a waiver.
    Closed,
}

/// What the telemetry says, apart from people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    Open,
    Cleared,
}

/// What can happen to an incident that is known. Repeats are dropped before they become an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Later numbers, the same severity.
    Refreshed,
    /// Severity fell.
    Eased,
    /// Severity rose, within tickets or within pages.
    Worsened,
    /// Severity rose from a ticket to a page.
    BecamePage,
    Cleared,
    /// The signal is back in the same generation.
    Returned,
    /// The signal is back in a later generation.
    Reopened,
    StepDue,
    /// An acknowledgement or mitigation has run out.
    HoldExpired,
    /// Who acknowledged did nothing in the time that the policy gives.
    ResponseDue,
    /// Nobody was to be paged until now, or whom it was handed to has not taken it.
    WaitOver,
    Acknowledge,
    Mitigate,
    Resolve,
    Close,
    Note,
    Snooze,
    Assign,
    Merge,
    /// Follow the bundle that is in force.
    Repin,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Cannot come up, and would change nothing.
    Ignore,
    /// Kept as the last word; nobody is told.
    Record,
    /// Whoever has an open alert is told the new severity.
    Tell,
    /// As `Tell`; and if another policy is responsible now, its first step pages at once.
    Reroute,
    /// The next step of the policy pages.
    NextStep,
    /// Whoever held it holds it no longer; the next step pages, now.
    Unanswered,
    /// A new round pages from the first step, now: whoever held it holds it no longer.
    PageAnew,
    /// Old alerts are resolved; the first step pages under new alert keys, now.
    NewGeneration,
    /// No further page starts; open alerts are acknowledged; a timer for the end.
    Hold,
    /// No further page starts; open alerts are resolved; people are done.
    Resolve,
    /// Open alerts are resolved; whoever holds it goes on holding it.
    ResolveAlerts,
    Close,
    Note,
    /// No further page starts until a time; then as `PageAnew`.
    Snooze,
    /// Whoever held it holds it no longer; somebody is paged by name, and if they do not take it as `PageAnew`.
    Assign,
    /// It follows the bundle in force from now on; where somebody is being paged, as `PageAnew`.
    Repin,
    /// Nothing changes, and the person is told why.
    Refuse(&'static str),
}

impl Stage {
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Acknowledged, Self::Mitigated, Self::Resolved, Self::Closed];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
        }
    }
}

impl Signal {
    pub const ALL: [Self; 2] = [Self::Open, Self::Cleared];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cleared => "cleared",
        }
    }
}

/// The table. Total: a new state or event compiles only once someone has decided.
#[must_use]
pub const fn decide(stage: Stage, signal: Signal, event: Event) -> Decision {
    match stage {
        Stage::Open => open(signal, event),
        Stage::Acknowledged => acknowledged(signal, event),
        Stage::Mitigated => mitigated(signal, event),
        Stage::Resolved => resolved(signal, event),
        Stage::Closed => closed(signal, event),
    }
}

const fn open(signal: Signal, event: Event) -> Decision {
    use {Decision as D, Event as E, Signal as S};
    match (event, signal) {
        (E::Refreshed, S::Open) => D::Record,
        (E::Eased, S::Open) => D::Tell,
        (E::Worsened | E::BecamePage, S::Open) => D::Reroute,
        // Nobody holds it, so nobody needs to say that it is over.
        (E::Cleared, S::Open) => D::Resolve,
        // Open again after a mitigation ran out: it pages on until a person decides.
        (E::Cleared, S::Cleared) => D::Record,
        (E::Returned, S::Cleared) => D::Reroute,
        (E::Reopened, S::Open | S::Cleared) => D::NewGeneration,
        (E::StepDue, S::Open | S::Cleared) => D::NextStep,
        (E::Acknowledge | E::Mitigate, S::Open | S::Cleared) => D::Hold,
        (E::Resolve, S::Open | S::Cleared) => D::Resolve,
        (E::Close, S::Open | S::Cleared) => D::Refuse("it is open: resolve it first"),
        (E::Note, S::Open | S::Cleared) => D::Note,
        (E::Repin, S::Open | S::Cleared) => D::Repin,
        (E::WaitOver, S::Open | S::Cleared) => D::PageAnew,
        (E::Snooze, S::Open | S::Cleared) => D::Snooze,
        (E::Assign, S::Open | S::Cleared) => D::Assign,
        (E::Merge, S::Open | S::Cleared) => D::Resolve,
        (E::Refreshed | E::Eased | E::Worsened | E::BecamePage, S::Cleared)
        | (E::Returned, S::Open)
        | (E::HoldExpired | E::ResponseDue, S::Open | S::Cleared) => D::Ignore,
    }
}

const fn acknowledged(signal: Signal, event: Event) -> Decision {
    use {Decision as D, Event as E, Signal as S};
    match (event, signal) {
        (E::Refreshed, S::Open) => D::Record,
        (E::Eased | E::Worsened, S::Open) => D::Tell,
        // Who took a ticket has not said that they are up for a page.
        (E::BecamePage, S::Open) => D::PageAnew,
        (E::Cleared, S::Open) => D::ResolveAlerts,
        (E::Cleared, S::Cleared) => D::Record,
        (E::Returned, S::Cleared) => D::PageAnew,
        (E::Reopened, S::Open | S::Cleared) => D::NewGeneration,
        (E::HoldExpired, S::Open) => D::PageAnew,
        (E::HoldExpired, S::Cleared) => D::Resolve,
        (E::ResponseDue, S::Open) => D::Unanswered,
        // There is nothing to answer any more.
        (E::ResponseDue, S::Cleared) => D::Record,
        (E::Snooze, S::Open | S::Cleared) => {
            D::Refuse("somebody has it, and nobody is paged: acknowledge it again to hold it for longer")
        }
        (E::Assign, S::Open | S::Cleared) => D::Assign,
        (E::Merge, S::Open | S::Cleared) => D::Resolve,
        (E::Acknowledge | E::Mitigate, S::Open | S::Cleared) => D::Hold,
        (E::Resolve, S::Open | S::Cleared) => D::Resolve,
        (E::Close, S::Open | S::Cleared) => D::Refuse("it is acknowledged: resolve it first"),
        (E::Note, S::Open | S::Cleared) => D::Note,
        (E::Repin, S::Open | S::Cleared) => D::Repin,
        (E::Refreshed | E::Eased | E::Worsened | E::BecamePage, S::Cleared)
        | (E::Returned, S::Open)
        | (E::StepDue | E::WaitOver, S::Open | S::Cleared) => D::Ignore,
    }
}

const fn mitigated(signal: Signal, event: Event) -> Decision {
    use {Decision as D, Event as E, Signal as S};
    match (event, signal) {
        (E::Refreshed, S::Open) => D::Record,
        (E::Eased | E::Worsened, S::Open) => D::Tell,
        (E::BecamePage, S::Open) => D::PageAnew,
        (E::Cleared, S::Open) => D::ResolveAlerts,
        (E::Cleared, S::Cleared) => D::Record,
        (E::Returned, S::Cleared) => D::PageAnew,
        (E::Reopened, S::Open | S::Cleared) => D::NewGeneration,
        // A mitigation is not a repair, even while the signal is quiet because of it.
        (E::HoldExpired, S::Open | S::Cleared) => D::PageAnew,
        (E::Acknowledge, S::Open | S::Cleared) => {
            D::Refuse("it is mitigated: mitigate again to take it over, or resolve it")
        }
        (E::Mitigate, S::Open | S::Cleared) => D::Hold,
        (E::Resolve, S::Open | S::Cleared) => D::Resolve,
        (E::Close, S::Open | S::Cleared) => D::Refuse("it is mitigated: resolve it first"),
        (E::Note, S::Open | S::Cleared) => D::Note,
        (E::Repin, S::Open | S::Cleared) => D::Repin,
        (E::Snooze, S::Open | S::Cleared) => {
            D::Refuse("it is mitigated, and nobody is paged: mitigate it again to hold it for longer")
        }
        (E::Assign, S::Open | S::Cleared) => D::Assign,
        (E::Merge, S::Open | S::Cleared) => D::Resolve,
        (E::Refreshed | E::Eased | E::Worsened | E::BecamePage, S::Cleared)
        | (E::Returned, S::Open)
        | (E::StepDue | E::WaitOver | E::ResponseDue, S::Open | S::Cleared) => D::Ignore,
    }
}

const fn resolved(signal: Signal, event: Event) -> Decision {
    use {Decision as D, Event as E, Signal as S};
    match (event, signal) {
        (E::Refreshed | E::Eased, S::Open) => D::Record,
        // What people were done with was milder than this.
        (E::Worsened | E::BecamePage, S::Open) => D::PageAnew,
        (E::Cleared, S::Open | S::Cleared) => D::Record,
        (E::Returned, S::Cleared) => D::PageAnew,
        (E::Reopened, S::Open | S::Cleared) => D::NewGeneration,
        (
            E::Acknowledge | E::Mitigate | E::Resolve | E::Snooze | E::Assign | E::Merge,
            S::Open | S::Cleared,
        ) => D::Refuse("it is resolved already"),
        (E::Close, S::Open | S::Cleared) => D::Close,
        (E::Note, S::Open | S::Cleared) => D::Note,
        (E::Repin, S::Open | S::Cleared) => D::Repin,
        (E::Refreshed | E::Eased | E::Worsened | E::BecamePage, S::Cleared)
        | (E::Returned, S::Open)
        | (E::StepDue | E::HoldExpired | E::ResponseDue | E::WaitOver, S::Open | S::Cleared) => D::Ignore,
    }
}

const fn closed(signal: Signal, event: Event) -> Decision {
    use {Decision as D, Event as E, Signal as S};
    match (event, signal) {
        (E::Refreshed | E::Eased, S::Open) => D::Record,
        (E::Worsened | E::BecamePage, S::Open) => D::PageAnew,
        (E::Cleared, S::Open | S::Cleared) => D::Record,
        (E::Returned, S::Cleared) => D::PageAnew,
        (E::Reopened, S::Open | S::Cleared) => D::NewGeneration,
        (
            E::Acknowledge | E::Mitigate | E::Resolve | E::Close | E::Snooze | E::Assign | E::Merge,
            S::Open | S::Cleared,
        ) => D::Refuse("it is closed already"),
        (E::Note, S::Open | S::Cleared) => D::Note,
        (E::Repin, S::Open | S::Cleared) => D::Repin,
        (E::Refreshed | E::Eased | E::Worsened | E::BecamePage, S::Cleared)
        | (E::Returned, S::Open)
        | (E::StepDue | E::HoldExpired | E::ResponseDue | E::WaitOver, S::Open | S::Cleared) => D::Ignore,
    }
}
