//! What is known about one incident. Everything in it goes into one state record; timers are part of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::outbox::OutboxState;
use wire::page::{Page, PageKind};
use wire::response::Response;
use wire::{AlertKey, Digest, Incident, IncidentId, NotificationId, Severity, SilenceId, Timestamp};

use crate::fold::{Left, Place};
use crate::life::{Signal, Stage};
use crate::machine::Told;
use crate::mutes::Muter;
use crate::people::Directory;
use crate::policy::{Addressed, Policy, Position, Taken, Target};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IncidentState {
    /// Last word of the signal.
    pub(crate) incident: Arc<Incident>,
    pub(crate) signal: Signal,
    pub(crate) people: People,
    /// Digest of the bundle that it opened with and follows.
    pub(crate) bundle: Digest,
    /// Name of the policy in that bundle.
    pub(crate) plan: String,
    /// Step that paged last.
    pub(crate) position: Position,
    /// Who has acknowledged while it takes more than one.
    #[serde(default, skip_serializing_if = "Taken::is_empty")]
    pub(crate) taken: Taken,
    /// Responses so far.
    pub(crate) responses: u32,
    /// The latest responses; older ones are only on the topic.
    pub(crate) timeline: VecDeque<Response>,
    #[serde(default)]
    pub(crate) timeline_dropped: u64,
    /// Alerts at receivers that are open or have pages on their way.
    /// Boxed: a node of the map has room for eleven, and most incidents have one.
    pub(crate) alerts: BTreeMap<AlertKey, Box<Alert>>,
    /// In the order in which they were decided, which is the order in which each alert gets them.
    pub(crate) pages: Vec<PageEntry>,
    #[serde(default)]
    pub(crate) pages_dropped: u64,
    /// Earlier words of the signal that pages on their way carry, by sequence.
    #[serde(default)]
    pub(crate) versions: BTreeMap<u32, Arc<Incident>>,
    /// When it was first taken in, and when nothing was left to do.
    pub(crate) since: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    /// What others are told of it, lest what comes from it pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<Box<ToldUpstream>>,
    /// The silence that it last asked for a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<SilenceId>,
    /// What those were told of it who are not called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<Told>,
    #[serde(skip)]
    pub(crate) filed: Filed,
}

/// What others know of an incident from which theirs may come, beside what never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldUpstream {
    pub(crate) severity: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<u8>,
    /// When they were first told, by the machine's recorded clock.
    pub(crate) since: Timestamp,
}

/// Where people stand. Each live state holds exactly the timer that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub(crate) enum People {
    /// `nominal` is when the next step was meant to page, `due` when it will; `None` once a ticket has been told
    /// as often as its policy says.
    Open {
        nominal: Timestamp,
        due: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Waits::is_for_next_step")]
        waits: Waits,
    },
    /// `respond_by` is when the next step pages unless they have done something.
    Acknowledged {
        by: String,
        until: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        respond_by: Option<Timestamp>,
    },
    Mitigated {
        by: String,
        until: Timestamp,
    },
    Resolved {
        by: String,
    },
    Closed {
        by: String,
    },
}

/// What an open incident waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Waits {
    #[default]
    NextStep,
    /// Somebody said that nobody is to be paged until then.
    Snooze,
    /// That whoever it was handed to takes it: as a step names them, a person by pseudonym.
    Assigned(String),
    /// That what mutes it ends.
    Muted(Muter),
}

impl Waits {
    fn is_for_next_step(&self) -> bool {
        *self == Self::NextStep
    }
}

/// One alert at a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) receiver: String,
    pub(crate) target: String,
    pub(crate) generation: u32,
    /// Key of the person who is called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<String>,
    /// The audience that is told there, where nobody was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<String>,
    /// A trigger may have reached it, and no resolve was decided since.
    pub(crate) open: bool,
    /// A trigger has, or nobody knows. What was written before this was kept is taken to have.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub(crate) reached: bool,
    /// People had stopped its calls, and are to be called again: where it calls once, it ends before the next trigger.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) anew: bool,
    /// A request was on its way when its process was lost. If that only stood still, it may write it yet, and open the alert
    /// after its end: the end is said once more, a lease later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) haunted: bool,
    /// Nobody knows what became of a request; until then it may still arrive. An end said before that is said once more too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) late_until: Option<Timestamp>,
    /// What the receiver called the first page that it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
}

const fn yes() -> bool {
    true
}

impl Alert {
    /// That of a page, which nothing has reached yet.
    pub(crate) fn of(page: &PageEntry) -> Box<Self> {
        Box::new(Self {
            receiver: page.receiver.clone(),
            target: page.target.clone(),
            generation: page.generation,
            person: page.person.clone(),
            told: page.told.clone(),
            open: false,
            reached: false,
            anew: false,
            haunted: false,
            late_until: None,
            reference: None,
        })
    }

    pub(crate) fn addressed(&self) -> Addressed {
        let target = Target { receiver: self.receiver.clone(), target: self.target.clone() };
        Addressed { target, person: self.person.clone() }
    }
}

/// One page, without what all pages of the incident share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PageEntry {
    pub(crate) notification_id: NotificationId,
    pub(crate) alert_key: AlertKey,
    pub(crate) kind: PageKind,
    pub(crate) receiver: String,
    pub(crate) target: String,
    /// Key of the person who is called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<String>,
    pub(crate) generation: u32,
    pub(crate) at: Position,
    /// Which word of the signal it carries.
    pub(crate) sequence: u32,
    pub(crate) decided_at: Timestamp,
    /// The bundle that it was decided under, where its incident follows another one by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<Digest>,
    pub(crate) escalates_at: Option<Timestamp>,
    pub(crate) owner: Option<String>,
    /// Why it comes only now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notice: Option<String>,
    /// It stands in for a page that failed; when it fails too, only tocsin's own incident is left.
    pub(crate) fallback: bool,
    pub(crate) attempts: u32,
    /// When the last of them began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begun_at: Option<Timestamp>,
    /// Of those, the ones that the receiver asked to put off.
    #[serde(default, skip_serializing_if = "crate::config::is_default")]
    pub(crate) put_off: u32,
    /// Refused as it was: the next attempt says only what must be said, and is the last that may be refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) minimal: bool,
    /// The audience that it tells, where it calls nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<String>,
    /// It leaves no sooner, unless with a message to its place that leaves anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wait_until: Option<Timestamp>,
    /// The message that goes for several: this page carries it, or is folded into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fold: Option<NotificationId>,
    /// How its place is left alone since it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<Left>,
    pub(crate) state: PageState,
    /// Changed since its outbox record was last written.
    #[serde(skip)]
    pub(crate) dirty: bool,
}

/// As [`OutboxState`], with the times that the machine itself waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum PageState {
    /// Leaves as soon as it is first for its alert and the receiver has room.
    Intent,
    /// Leaves then, with what was folded into it.
    Held {
        until: Timestamp,
    },
    /// `until` is when the lease ends, on the clock of the present owner.
    Sending {
        lease_ms: u64,
        owner: String,
        until: Timestamp,
    },
    Retrying {
        at: Timestamp,
        reason: String,
    },
    Unknown {
        reason: String,
        lease_ms: u64,
        until: Timestamp,
    },
    Delivered {
        reference: Option<String>,
    },
    Failed {
        reason: String,
    },
    Cancelled {
        cause: String,
    },
    /// Another page speaks for it.
    Folded,
}

/// Under what an incident stands in the index now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filed {
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) bundle: Option<Digest>,
    /// Receiver, whether it only tells, when decided, which page.
    pub(crate) waiting: Vec<(String, bool, Timestamp, NotificationId)>,
    /// Receivers, one entry per attempt under way.
    pub(crate) in_flight: Vec<String>,
    /// What mutes it.
    pub(crate) muted: Option<Muter>,
    /// Pages that go with others.
    pub(crate) folds: Vec<InFold>,
}

/// A page that goes with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InFold {
    pub(crate) fold: NotificationId,
    pub(crate) page: NotificationId,
    pub(crate) part: FoldPart,
}

/// What a page is to a message that goes for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoldPart {
    /// Speaks for the others, and has not left: more may join it.
    Gathers { place: Place, until: Timestamp, severity: Severity },
    /// Speaks for the others, and failed.
    Failed,
    /// Another speaks for it.
    Member(Severity),
}

/// The pages that are first for their alert among those that have not ended.
pub(crate) fn heads(pages: &[PageEntry]) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    // What waits to go with others holds nothing up.
    let waits = |p: &PageEntry| matches!(p.state, PageState::Held { .. });
    let live = pages.iter().enumerate().filter(|(_, p)| !p.state.is_final() && !waits(p));
    live.filter(|(_, p)| seen.insert(&p.alert_key)).map(|(i, _)| i).collect()
}

/// What an incident waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The next step pages.
    Escalation,
    AcknowledgementExpires,
    /// Who acknowledged must have done something by then.
    Response,
    MitigationExpires,
    /// It pages again.
    SnoozeEnds,
    /// It pages, unless something else mutes it by then.
    MuteEnds,
    /// A page leaves with what was folded into it.
    Fold,
    /// A page may be sent again.
    Retry,
    /// An attempt has had its time.
    Lease,
    /// An ended incident need not be kept any longer.
    Forget,
}

impl People {
    pub(crate) const fn stage(&self) -> Stage {
        match self {
            Self::Open { .. } => Stage::Open,
            Self::Acknowledged { .. } => Stage::Acknowledged,
            Self::Mitigated { .. } => Stage::Mitigated,
            Self::Resolved { .. } => Stage::Resolved,
            Self::Closed { .. } => Stage::Closed,
        }
    }

    /// Pseudonym of who has it.
    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::Acknowledged { by, .. } | Self::Mitigated { by, .. } => Some(by),
            Self::Open { .. } | Self::Resolved { .. } | Self::Closed { .. } => None,
        }
    }
}

impl PageState {
    pub(crate) const fn is_final(&self) -> bool {
        match self {
            Self::Delivered { .. } | Self::Failed { .. } | Self::Cancelled { .. } | Self::Folded => true,
            Self::Intent
            | Self::Held { .. }
            | Self::Sending { .. }
            | Self::Retrying { .. }
            | Self::Unknown { .. } => false,
        }
    }

    /// No attempt is under way, and one is to come.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self, Self::Intent | Self::Held { .. } | Self::Retrying { .. })
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Held { .. } => "held",
            Self::Sending { .. } => "sending",
            Self::Retrying { .. } => "retrying",
            Self::Unknown { .. } => "unknown",
            Self::Delivered { .. } => "delivered",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Folded => "folded",
        }
    }
}

impl PageEntry {
    /// Whether it calls somebody, who is to answer.
    pub(crate) fn calls(&self) -> bool {
        self.kind == PageKind::Trigger && self.told.is_none()
    }

    /// Whether it tells somebody who was not called.
    pub(crate) fn tells(&self) -> bool {
        self.kind == PageKind::Trigger && self.told.is_some()
    }

    pub(crate) fn outbox(&self) -> OutboxState {
        match self.state.clone() {
            PageState::Intent => OutboxState::Intent,
            PageState::Held { until } => OutboxState::Held { until },
            PageState::Sending { lease_ms, owner, until: _ } => {
                OutboxState::Sending { attempt: self.attempts, lease_ms, owner }
            }
            PageState::Retrying { at, reason } => OutboxState::Retrying { at, reason },
            PageState::Unknown { reason, .. } => OutboxState::Unknown { reason },
            PageState::Delivered { reference } => OutboxState::Delivered { reference },
            PageState::Failed { reason } => OutboxState::Failed { reason },
            PageState::Cancelled { cause } => OutboxState::Cancelled { cause },
            PageState::Folded => {
                let into = self.fold.clone().unwrap_or_else(|| self.notification_id.clone());
                OutboxState::Folded { into }
            }
        }
    }
}

impl IncidentState {
    pub(crate) fn id(&self) -> &IncidentId {
        &self.incident.incident_id
    }

    /// Whether somebody is to be paged: it is nobody's, and not put off or muted.
    pub(crate) const fn is_paging(&self) -> bool {
        match &self.people {
            People::Open { waits: Waits::NextStep | Waits::Assigned(_), .. } => true,
            People::Open { waits: Waits::Snooze | Waits::Muted(_), .. }
            | People::Acknowledged { .. }
            | People::Mitigated { .. }
            | People::Resolved { .. }
            | People::Closed { .. } => false,
        }
    }

    /// What mutes it, while something does.
    pub(crate) const fn muter(&self) -> Option<&Muter> {
        match &self.people {
            People::Open { waits: Waits::Muted(by), .. } => Some(by),
            People::Open { .. }
            | People::Acknowledged { .. }
            | People::Mitigated { .. }
            | People::Resolved { .. }
            | People::Closed { .. } => None,
        }
    }

    /// When the next step pages, as things stand.
    pub(crate) fn escalates_at(&self) -> Option<Timestamp> {
        match &self.people {
            People::Open { due, .. } => *due,
            People::Acknowledged { .. }
            | People::Mitigated { .. }
            | People::Resolved { .. }
            | People::Closed { .. } => None,
        }
    }

    /// Everything this incident waits for, in no order.
    pub(crate) fn timers(&self, ended_keep_ms: i64) -> Vec<(Timestamp, Timer)> {
        let people = match &self.people {
            People::Open { due, waits: Waits::Snooze, .. } => due.map(|due| (due, Timer::SnoozeEnds)),
            People::Open { due, waits: Waits::Muted(_), .. } => due.map(|due| (due, Timer::MuteEnds)),
            People::Open { due, .. } => due.map(|due| (due, Timer::Escalation)),
            People::Acknowledged { until, .. } => Some((*until, Timer::AcknowledgementExpires)),
            People::Mitigated { until, .. } => Some((*until, Timer::MitigationExpires)),
            People::Resolved { .. } | People::Closed { .. } => None,
        };
        let respond = match &self.people {
            People::Acknowledged { respond_by, .. } => respond_by.map(|at| (at, Timer::Response)),
            People::Open { .. }
            | People::Mitigated { .. }
            | People::Resolved { .. }
            | People::Closed { .. } => None,
        };
        let pages = self.pages.iter().filter_map(|p| match &p.state {
            PageState::Sending { until, .. } | PageState::Unknown { until, .. } => {
                Some((*until, Timer::Lease))
            }
            PageState::Retrying { at, .. } => Some((*at, Timer::Retry)),
            PageState::Held { until } => Some((*until, Timer::Fold)),
            PageState::Intent
            | PageState::Folded
            | PageState::Delivered { .. }
            | PageState::Failed { .. }
            | PageState::Cancelled { .. } => None,
        });
        let forget = self.ended_at.map(|at| (at.plus_ms(ended_keep_ms), Timer::Forget));
        people.into_iter().chain(respond).chain(pages).chain(forget).collect()
    }

    /// Nothing is left to do: the signal is over, people are done, every page has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.signal == Signal::Cleared
            && matches!(self.people, People::Resolved { .. } | People::Closed { .. })
            && self.pages.iter().all(|p| p.state.is_final())
    }

    /// Nothing of it is on its way: it waits for a time, or for somebody's word.
    pub(crate) fn only_waits(&self) -> bool {
        self.pages.iter().all(|p| p.state.is_final() && !p.dirty)
    }

    /// The page as a receiver gets it.
    pub(crate) fn page(&self, entry: &PageEntry, directory: &Directory) -> Page {
        let incident = self.versions.get(&entry.sequence).unwrap_or(&self.incident);
        Page {
            notification_id: entry.notification_id.clone(),
            alert_key: entry.alert_key.clone(),
            kind: entry.kind,
            receiver: entry.receiver.clone(),
            target: entry.target.clone(),
            round: entry.at.round,
            step: entry.at.step,
            incident: Incident::clone(incident),
            decided_at: entry.decided_at,
            escalates_at: entry.escalates_at,
            owner: entry.owner.as_deref().map(|p| directory.name(p).to_owned()),
            person: entry.person.clone(),
            told: entry.told.clone(),
            notice: entry.notice.clone(),
            folded: None,
            text: None,
            thread: self.alerts.get(&entry.alert_key).and_then(|alert| alert.reference.clone()),
            minimal: entry.minimal,
            link: None,
        }
    }

    /// A page with its words, as it leaves.
    pub(crate) fn worded(&self, mut page: Page, policy: &Policy) -> Page {
        let mut reader = policy.roster().reader(&page.receiver, &page.target, page.person.as_deref()).clone();
        if let Some(audience) = &page.told {
            reader.audience.clone_from(audience);
        }
        page.text = Some(policy.templates().words(&page, &reader));
        page
    }

    /// The last page of each alert that is open, with what is known of the incident now.
    pub(crate) fn standing(&self, directory: &Directory, policy: &Policy) -> Vec<Page> {
        let open = self.alerts.iter().filter(|(_, alert)| alert.open && alert.reached);
        open.map(|(key, alert)| {
            let sent = |p: &&PageEntry| p.alert_key == *key && p.attempts > 0 && p.kind != PageKind::Resolve;
            let page = match self.pages.iter().rev().find(sent) {
                Some(entry) => self.page(entry, directory),
                None => self.trigger_of(key, alert, directory),
            };
            self.worded(page, policy)
        })
        .collect()
    }

    /// The page of an alert whose own entries were dropped for their age.
    fn trigger_of(&self, key: &AlertKey, alert: &Alert, directory: &Directory) -> Page {
        let (kind, at) = (PageKind::Trigger, self.position);
        let Alert { receiver, target, generation, person, reference, .. } = alert;
        let unique = kind.name();
        Page {
            notification_id: NotificationId::for_page(
                self.id(),
                *generation,
                at.round,
                at.step,
                target,
                receiver,
                unique,
            ),
            alert_key: key.clone(),
            kind,
            receiver: receiver.clone(),
            target: target.clone(),
            round: at.round,
            step: at.step,
            incident: Incident::clone(&self.incident),
            decided_at: self.since,
            escalates_at: None,
            owner: self.people.owner().map(|p| directory.name(p).to_owned()),
            person: person.clone(),
            told: None,
            notice: None,
            folded: None,
            text: None,
            thread: reference.clone(),
            minimal: false,
            link: None,
        }
    }

    /// Drops what nothing refers to any more. Ended pages go oldest first, beyond `pages_max`.
    pub(crate) fn prune(&mut self, pages_max: usize) {
        let mut excess = self.pages.len().saturating_sub(pages_max);
        self.pages.retain(|p| {
            let drop = excess > 0 && p.state.is_final();
            excess -= usize::from(drop);
            self.pages_dropped += u64::from(drop);
            !drop
        });
        let live = || self.pages.iter().filter(|p| !p.state.is_final());
        self.versions.retain(|sequence, _| live().any(|p| p.sequence == *sequence));
        self.alerts.retain(|key, alert| alert.open || live().any(|p| p.alert_key == *key));
    }
}
