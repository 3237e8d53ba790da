//! What other systems raised a moment ago: it comes back through the topics before it is there and can be ended.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::IncidentId;

/// How long that is waited for. It takes far less, unless the worker has just been taken over.
pub(super) const WAIT: Duration = Duration::from_secs(30);
/// Who asks again within this is not made to wait again.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Keys that are remembered; beyond it the oldest go.
const KEYS_MAX: usize = 10_000;

/// Times are those of the monotonic clock, from the start of the process on.
#[derive(Debug)]
pub(crate) struct Recent {
    /// When each was first heard of, and as which incident it was raised here. Bound: [`KEYS_MAX`].
    keys: BTreeMap<String, (Duration, Option<IncidentId>)>,
    /// Until then there may be some that are not remembered.
    unsure_until: Duration,
    keys_max: usize,
}

impl Default for Recent {
    fn default() -> Self {
        // What was raised by the process before this one may be on its way too.
        Self { keys: BTreeMap::new(), unsure_until: WAIT, keys_max: KEYS_MAX }
    }
}

impl Recent {
    /// It was raised here.
    pub(super) fn raised(&mut self, key: &str, id: &IncidentId, now: Duration) {
        self.hear(key, Some(id), now);
    }

    /// As which incident it was raised here a moment ago.
    pub(super) fn id(&self, key: &str, now: Duration) -> Option<&IncidentId> {
        let (at, id) = self.keys.get(key)?;
        id.as_ref().filter(|_| now < *at + WAIT)
    }

    /// How long what is not there yet may be on its way. Where others may have raised it, from when it is first asked for.
    pub(super) fn left(&mut self, key: &str, others_may: bool, now: Duration) -> Option<Duration> {
        let known = self.keys.get(key).filter(|(at, _)| now < *at + FORGOTTEN);
        let until = match known {
            Some((at, _)) => *at + WAIT,
            None if others_may => {
                self.hear(key, None, now);
                now + WAIT
            }
            None => self.unsure_until,
        };
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    fn hear(&mut self, key: &str, id: Option<&IncidentId>, now: Duration) {
        if let Some((at, known)) = self.keys.get_mut(key) {
            // Said again while it is waited for, it does not begin anew.
            if now >= *at + FORGOTTEN || id.is_some() && (known.as_ref() != id || now >= *at + WAIT) {
                (*at, *known) = (now, id.cloned());
            }
            return;
        }
        if self.keys.len() >= self.keys_max {
            self.keys.retain(|_, (at, _)| now < *at + FORGOTTEN);
        }
        if self.keys.len() >= self.keys_max {
            let oldest = self.keys.iter().min_by_key(|(_, (at, _))| *at);
            let Some((oldest, at)) = oldest.map(|(key, (at, _))| (key.clone(), *at)) else { return };
            self.keys.remove(&oldest);
            if now < at + WAIT {
                let most = self.keys_max;
                tracing::warn!(
                    most,
                    "more was raised than is remembered: what ends in the next seconds waits"
                );
                self.unsure_until = self.unsure_until.max(at + WAIT);
            }
        }
        self.keys.insert(key.to_owned(), (now, id.cloned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_raised_here_is_waited_for_and_only_that() {
        let (mut recent, id) = (Recent::default(), IncidentId::of(&[b"a"]));
        assert_eq!(recent.left("b", false, 29 * S), Some(S), "the process before may have raised it");
        assert_eq!(recent.left("b", false, 30 * S), None);
        recent.raised("a", &id, 40 * S);
        recent.raised("a", &id, 50 * S);
        assert_eq!(recent.left("a", false, 60 * S), Some(10 * S), "from when it was raised first");
        assert_eq!(recent.id("a", 60 * S), Some(&id));
        assert_eq!((recent.left("a", true, 70 * S), recent.id("a", 70 * S)), (None, None));
        assert_eq!(recent.left("b", false, 60 * S), None, "it was never raised");
        recent.raised("a", &id, 90 * S);
        assert_eq!(recent.left("a", false, 91 * S), Some(29 * S), "raised anew");
    }

    #[test]
    fn what_others_may_have_raised_is_waited_for_once() {
        let mut recent = Recent::default();
        assert_eq!(recent.left("a", true, 40 * S), Some(WAIT));
        assert_eq!(recent.left("a", true, 60 * S), Some(10 * S));
        assert_eq!(recent.left("a", true, 70 * S), None);
        assert_eq!(recent.left("a", true, 80 * S), None);
    }

    #[test]
    fn a_key_that_comes_back_much_later_is_waited_for_again() {
        let mut recent = Recent::default();
        assert_eq!(recent.left("a", true, 40 * S), Some(WAIT));
        assert_eq!(recent.left("a", true, 600 * S), None);
        assert_eq!(recent.left("a", true, 640 * S), Some(WAIT), "it may have been raised anew");
        assert_eq!(recent.left("a", true, 670 * S), None);
    }

    #[test]
    fn what_is_not_remembered_may_be_any() {
        let mut recent = Recent { keys_max: 2, ..Recent::default() };
        let id = IncidentId::of(&[b"a"]);
        for (key, at) in [("a", 40), ("b", 41), ("c", 42)] {
            recent.raised(key, &id, at * S);
        }
        assert_eq!(recent.keys.keys().collect::<Vec<_>>(), ["b", "c"], "the oldest goes");
        assert_eq!(recent.left("a", false, 50 * S), Some(20 * S), "as long as it might be on its way");
        assert_eq!(recent.left("a", false, 70 * S), None);
        // Asked for again and again, what others may have raised waits once, however full it is.
        assert_eq!(recent.left("d", true, 100 * S), Some(WAIT));
        assert_eq!(recent.left("d", true, 130 * S), None);
    }
}
