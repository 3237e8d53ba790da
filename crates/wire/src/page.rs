//! A page: what a receiver renders and sends to one target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::link::PageLink;
use crate::{AlertKey, Incident, IncidentId, NotificationId, Severity, Timestamp};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    pub notification_id: NotificationId,
    pub alert_key: AlertKey,
    pub kind: PageKind,
    /// Name of the receiver in config, and the target within it (a person, a team, a channel).
    pub receiver: String,
    pub target: String,
    /// Round of the policy and step in it, from 0.
    pub round: u32,
    pub step: u32,
    /// The incident as it stood when the page was decided.
    pub incident: Incident,
    /// When the machine decided to page, by its recorded clock.
    pub decided_at: Timestamp,
    /// When the next step pages unless someone acknowledges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalates_at: Option<Timestamp>,
    /// Who has it, once acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who is called, by the key in `people.toml`; `None` for a channel, or where no people are described.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The audience that is told, beside those who are called: nobody need answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// Why it comes only now: what muted its incident, and is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// What else it speaks for: incidents about which the same place would have got pages of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<Folded>,
    /// What it says to whoever reads it there. Written when it is sent, in no topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<PageText>,
    /// What the receiver called the first page of this alert that it took: where what follows belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The receiver has refused it as it was: now only what must be said is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub minimal: bool,
    /// Where the target may answer it: a secret, filled in as the page leaves. No record has it.
    #[serde(skip)]
    pub link: Option<PageLink>,
}

impl Page {
    /// Whether it calls somebody, who is to answer.
    #[must_use]
    pub fn calls(&self) -> bool {
        self.kind == PageKind::Trigger && self.told.is_none()
    }

    /// The address at which the target may answer, for the message alone.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        self.link.as_ref().map(PageLink::reveal)
    }
}

/// Incidents that one page speaks for beside its own. Told as the page is sent; in no topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Folded {
    /// What `folded` pages of these incidents name in the outbox.
    pub into: NotificationId,
    /// How many there are, beside the page's own.
    pub others: u32,
    /// The worst of them, at most [`LISTED_MAX`](Self::LISTED_MAX), in order of severity.
    pub listed: Vec<FoldedIncident>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct FoldedIncident {
    pub severity: Severity,
    pub incident_id: IncidentId,
    pub title: String,
}

impl Folded {
    /// Nobody reads more in a message; the page of an incident shows all.
    pub const LISTED_MAX: usize = 20;
}

/// A page in words, by the template of its reader's audience.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageText {
    /// One line.
    pub title: String,
    /// Plain text: what, where, since when, what next.
    pub body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    Trigger,
    Acknowledge,
    Update,
    Resolve,
}

impl PageKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Update => "update",
            Self::Resolve => "resolve",
        }
    }
}

/// A page in the built-in inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InboxEntry {
    pub page: Page,
    /// By the clock of the process that holds the inbox.
    pub received_at: Timestamp,
    /// How often it came. More than one is a repeat under the same id, shown once.
    pub times: u32,
}
