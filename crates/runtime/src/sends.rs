//! Carrying pages out: requests run on tokio, outcomes come back to the loop that asked.

mod pauses;
mod reminders;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use receivers::Receiver;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wire::link::Links;
use wire::outbox::Outcome;
use wire::page::Page;
use wire::{IncidentId, NotificationId};

use crate::clock::Clock;
use crate::log::Log;
use crate::metrics::PAGES;
use crate::points::{self, Call, Side};
use crate::views::{Event, Views};

/// Who sends.
const ROLE: &str = "escalate";
/// Requests under way to one receiver: as many as a partition has by default. A slow receiver holds up its own pages and nobody
/// else's.
const IN_FLIGHT_MAX: usize = 64;

/// What became of one attempt.
#[derive(Debug)]
pub struct Sent {
    pub notification_id: NotificationId,
    pub incident_id: IncidentId,
    pub attempt: u32,
    pub outcome: Outcome,
}

/// The world outside, as the escalate loop sees it: start an attempt, later hear its outcome.
pub trait Sends: Send {
    /// Begins an attempt; never blocks. The caller has committed its `sending` record. `until`, on the monotonic clock, its
    /// lease ends: nothing begins from then on, as a new owner may have repeated it.
    fn start(&mut self, page: Page, attempt: u32, until: Duration);
    /// Outcomes that have come in since the last call.
    fn outcomes(&mut self) -> Vec<Sent>;
    /// Alerts that stand open, as their last pages say: receivers that forget are to hear of them from now on.
    fn keep_alive(&mut self, standing: Vec<Page>);
    /// Other processes see to these incidents from now on.
    fn forget(&mut self, theirs: &dyn Fn(&IncidentId) -> bool);
}

/// The receivers of the config, each behind a bulkhead of its own.
pub struct Receivers {
    receivers: BTreeMap<String, (Arc<Receiver>, Arc<Semaphore>)>,
    handle: Handle,
    clock: Clock,
    views: Arc<Views>,
    /// Writes the pages of topics; `None` where no log was given.
    append: Option<Arc<topic::Append>>,
    pauses: Arc<pauses::Pauses>,
    sender: mpsc::Sender<Sent>,
    outcomes: mpsc::Receiver<Sent>,
    /// Makes the links by which the targets of pages answer.
    links: Option<Arc<Links>>,
    reminders: reminders::Reminders,
}

impl Receivers {
    #[must_use]
    pub fn new(
        receivers: impl IntoIterator<Item = Arc<Receiver>>,
        handle: Handle,
        clock: Clock,
        views: Arc<Views>,
    ) -> Self {
        let receivers: BTreeMap<_, _> = receivers
            .into_iter()
            .map(|r| (r.name().to_owned(), (r, Arc::new(Semaphore::new(IN_FLIGHT_MAX)))))
            .collect();
        // One without pages is told of too.
        receivers.keys().for_each(|name| crate::gauges::pages_pending(name, 0.0, 0.0));
        let (sender, outcomes) = mpsc::channel();
        Self {
            receivers,
            handle,
            clock,
            views,
            append: None,
            pauses: Arc::default(),
            sender,
            outcomes,
            links: None,
            reminders: reminders::Reminders::default(),
        }
    }

    /// Pages carry links from now on.
    #[must_use]
    pub fn with_links(mut self, links: Option<Arc<Links>>) -> Self {
        self.links = links;
        self
    }

    /// Writes the pages of receivers that are topics to `log`.
    #[must_use]
    pub fn with_log<L: Log>(mut self, log: L) -> Self {
        self.append = Some(topic::append_to(log));
        self
    }

    /// Repeats what a forgetful receiver must keep hearing. Not an attempt: nothing is recorded of it.
    fn remind(&mut self) {
        let now = self.clock.now();
        let Self { receivers, reminders, .. } = self;
        for mut reminder in reminders.due(now.mono, |name| receivers.get(name)?.0.resend_every()) {
            let (receiver, gate) = &receivers[&reminder.page.receiver];
            let (receiver, gate) = (Arc::clone(receiver), Arc::clone(gate));
            reminder.page.link = self.links.as_ref().and_then(|links| links.of(&reminder.page));
            self.handle.spawn(async move {
                let Ok(_turn) = gate.acquire().await else { return };
                if !reminder.holds() {
                    return;
                }
                let outcome = receiver.send(&reminder.page, 0, now.wall).await;
                if !matches!(outcome, Outcome::Delivered { .. }) {
                    tracing::warn!(
                        receiver = receiver.name(),
                        ?outcome,
                        "a reminder of an open alert did not arrive"
                    );
                }
            });
        }
    }
}

impl Sends for Receivers {
    fn start(&mut self, mut page: Page, attempt: u32, until: Duration) {
        let done = self.sender.clone();
        let Some((receiver, gate)) = self.receivers.get(&page.receiver) else {
            let reason = format!("no receiver is called {:?}", page.receiver);
            report(&self.views, &done, Arc::new(page), attempt, Outcome::Config { reason });
            return;
        };
        let (receiver, gate, views, clock) =
            (Arc::clone(receiver), Arc::clone(gate), Arc::clone(&self.views), self.clock);
        let (append, pauses) = (self.append.clone(), Arc::clone(&self.pauses));
        let every = receiver.resend_every();
        let said = every.map(|every| self.reminders.said(&page, clock.now().mono + every));
        // Here and no sooner: a link is in the message and in nothing that is kept.
        page.link = self.links.as_ref().and_then(|links| links.of(&page));
        self.handle.spawn(async move {
            let left = until.saturating_sub(clock.now().mono);
            let has_begun = AtomicBool::new(false);
            let attempted = tokio::time::timeout(left, async {
                let _behind_reminders = match &said {
                    Some(said) => Some(said.turn.lock().await),
                    None => None,
                };
                let Ok(turn) = gate.acquire_owned().await else {
                    return Outcome::Retry { reason: "shutting down".into() };
                };
                points::at(ROLE, Call::Send, Side::Before);
                // The process may have stood still.
                let now = clock.now();
                if until <= now.mono {
                    return Outcome::Retry { reason: "its turn came after the lease".into() };
                }
                if let Some(outcome) = pauses.instead(&page, now.mono) {
                    return outcome;
                }
                has_begun.store(true, Ordering::Relaxed);
                match (receiver.topic(), append) {
                    (Some(topic), Some(append)) => topic::write(append, topic, &page, attempt, turn).await,
                    (_, _) => {
                        let outcome = receiver.send(&page, attempt, now.wall).await;
                        pauses.heard(&page, &outcome, clock.now().mono);
                        drop(turn);
                        outcome
                    }
                }
            });
            let outcome = attempted.await.unwrap_or_else(|_| {
                if has_begun.load(Ordering::Relaxed) {
                    Outcome::Unknown { reason: "no answer in time".into() }
                } else {
                    Outcome::Retry { reason: "its turn did not come within its lease".into() }
                }
            });
            if let (Some(said), Outcome::Delivered { .. } | Outcome::Unknown { .. }) = (&said, &outcome) {
                said.arrived();
            }
            points::at(ROLE, Call::Send, Side::After);
            page.link = None;
            report(&views, &done, Arc::new(page), attempt, outcome);
        });
    }

    fn outcomes(&mut self) -> Vec<Sent> {
        self.remind();
        self.outcomes.try_iter().collect()
    }

    fn keep_alive(&mut self, standing: Vec<Page>) {
        let now = self.clock.now().mono;
        for page in standing {
            let forgetful =
                self.receivers.get(&page.receiver).is_some_and(|(r, _)| r.resend_every().is_some());
            if forgetful {
                // At once: nobody knows how long it has not been said.
                self.reminders.known(page, now);
            }
        }
    }

    fn forget(&mut self, theirs: &dyn Fn(&IncidentId) -> bool) {
        self.reminders.forget(theirs);
    }
}

impl std::fmt::Debug for Receivers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Receivers").field(&self.receivers.keys()).finish()
    }
}

fn report(views: &Views, done: &mpsc::Sender<Sent>, page: Arc<Page>, attempt: u32, outcome: Outcome) {
    metrics::counter!(PAGES, "receiver" => page.receiver.clone(), "outcome" => outcome.class()).increment(1);
    let sent = Sent {
        notification_id: page.notification_id.clone(),
        incident_id: page.incident.incident_id.clone(),
        attempt,
        outcome: outcome.clone(),
    };
    views.tell(Event::Page { page, attempt, outcome });
    // A loop that is gone has nobody to tell: the lease of its successor covers this attempt.
    drop(done.send(sent));
}
