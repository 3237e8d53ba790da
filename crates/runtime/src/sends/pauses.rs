//! Places that asked to be left alone for a while: nothing more is sent to them until then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wire::outbox::Outcome;
use wire::page::Page;

/// So many pages in a row must have been asked to wait before others are held back: some services refuse one in many, and
/// have room for the rest.
const REFUSED: u32 = 3;
/// Longest that one answer is believed.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Places that are remembered; of one beyond it each page is told for itself.
const PLACES_MAX: usize = 10_000;

/// By receiver and target, as limits are: an integration's, a channel's, a mailbox's.
#[derive(Debug, Default)]
pub(super) struct Pauses(Mutex<HashMap<(String, String), Pause>>);

#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    until: Duration,
    in_a_row: u32,
}

impl Pauses {
    /// What is said of a page in place of sending it at `now`, on the monotonic clock; `None` if it may be sent.
    pub(super) fn instead(&self, page: &Page, now: Duration) -> Option<Outcome> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return None;
        }
        let pause = all.get(&place(page)).filter(|pause| pause.in_a_row >= REFUSED)?;
        let left = pause.until.checked_sub(now).filter(|left| !left.is_zero())?;
        let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        Some(Outcome::RetryAfter { ms, reason: "not sent: it asked to wait, of other pages".into() })
    }

    /// What was answered at `now`.
    pub(super) fn heard(&self, page: &Page, outcome: &Outcome, now: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::RetryAfter { ms, .. } => {
                if all.len() >= PLACES_MAX {
                    all.retain(|_, pause| pause.until > now);
                }
                if all.len() < PLACES_MAX {
                    let pause = all.entry(place(page)).or_default();
                    pause.until = pause.until.max(now + Duration::from_millis(*ms).min(PAUSE_MAX));
                    pause.in_a_row += 1;
                }
            }
            Outcome::Delivered { .. } if !all.is_empty() => drop(all.remove(&place(page))),
            Outcome::Delivered { .. }
            | Outcome::Retry { .. }
            | Outcome::Unknown { .. }
            | Outcome::Config { .. }
            | Outcome::Reject { .. } => (),
        }
    }
}

fn place(page: &Page) -> (String, String) {
    (page.receiver.clone(), page.target.clone())
}
