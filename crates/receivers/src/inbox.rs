//! The built-in inbox: the last pages, in this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::broadcast;
use wire::page::{InboxEntry, Page};

use wire::{NotificationId, Timestamp};

use crate::config::schema_as_written;

/// How many new pages a slow subscriber may fall behind before it misses some (and is told how many).
const BEHIND_MAX: usize = 256;

/// Settings of an inbox.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawInbox")]
pub struct InboxConfig {
    /// Pages kept; the oldest leave first.
    pub keep: usize,
}

schema_as_written!(InboxConfig, RawInbox);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawInbox {
    /// Pages kept, 1 to 100000; the oldest leave first.
    #[serde(default = "keep")]
    keep: usize,
}

const fn keep() -> usize {
    1000
}

impl Default for InboxConfig {
    fn default() -> Self {
        Self { keep: keep() }
    }
}

impl TryFrom<RawInbox> for InboxConfig {
    type Error = String;

    fn try_from(RawInbox { keep }: RawInbox) -> Result<Self, String> {
        if !(1..=100_000).contains(&keep) {
            return Err(format!("keep = {keep} is not between 1 and 100000"));
        }
        Ok(Self { keep })
    }
}

/// The last pages, newest last. Deduplicates by notification id, as a good receiver does.
#[derive(Debug)]
pub struct Inbox {
    keep: usize,
    held: Mutex<Held>,
    news: broadcast::Sender<InboxEntry>,
}

#[derive(Debug, Default)]
struct Held {
    /// Pages by order of arrival; numbers never repeat.
    entries: BTreeMap<u64, InboxEntry>,
    numbers: BTreeMap<NotificationId, u64>,
    next: u64,
    left: u64,
}

impl Inbox {
    #[must_use]
    pub fn new(config: &InboxConfig) -> Self {
        Self { keep: config.keep, held: Mutex::default(), news: broadcast::channel(BEHIND_MAX).0 }
    }

    /// Takes a page. One whose id is held already is counted there and announced to nobody.
    pub fn take(&self, page: &Page, now: Timestamp) {
        let mut held = self.held();
        if let Some(number) = held.numbers.get(&page.notification_id).copied()
            && let Some(entry) = held.entries.get_mut(&number)
        {
            entry.times = entry.times.saturating_add(1);
            return;
        }
        // Whoever may look at the inbox need not be one who may answer: no link is kept in it.
        let page = Page { link: None, ..page.clone() };
        let entry = InboxEntry { page, received_at: now, times: 1 };
        let number = held.next;
        held.next += 1;
        held.numbers.insert(entry.page.notification_id.clone(), number);
        held.entries.insert(number, entry.clone());
        if held.entries.len() > self.keep
            && let Some((_, gone)) = held.entries.pop_first()
        {
            held.numbers.remove(&gone.page.notification_id);
            held.left += 1;
        }
        drop(held);
        // Nobody listening is no fault: the page is held.
        _ = self.news.send(entry);
    }

    /// Every page held, newest first.
    #[must_use]
    pub fn entries(&self) -> Vec<InboxEntry> {
        self.held().entries.values().rev().cloned().collect()
    }

    /// Pages that left because newer ones came.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.held().left
    }

    /// Every new page from now on. Who falls more than 256 behind is told how many were missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<InboxEntry> {
        self.news.subscribe()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change of `Held` leaves it whole, so a panic elsewhere spoils nothing.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::page;

    fn numbered(n: u32) -> Page {
        Page { notification_id: NotificationId::new(format!("n{n}")), ..page() }
    }

    #[test]
    fn keeps_the_last_and_counts_repeats() {
        let inbox = Inbox::new(&InboxConfig { keep: 3 });
        let mut news = inbox.subscribe();
        for n in [1, 2, 2, 3, 4, 4, 4, 5] {
            inbox.take(&numbered(n), Timestamp::EPOCH);
        }
        let shown: Vec<_> =
            inbox.entries().into_iter().map(|e| (e.page.notification_id.to_string(), e.times)).collect();
        assert_eq!(shown, [("n5".into(), 1), ("n4".into(), 3), ("n3".into(), 1)]);
        assert_eq!(inbox.left(), 2);
        let mut heard = 0;
        while news.try_recv().is_ok() {
            heard += 1;
        }
        assert_eq!(heard, 5, "a repeat is announced to nobody");
    }
}
