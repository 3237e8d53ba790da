//! When a page to a place goes at once, and when it waits to go with others.
//!
//! The first page to a place is never delayed. After it the place is left alone for a while, and what would call it then is
//! folded into one page, which leaves at the end of that time: in a storm of ten thousand incidents a person gets a message a
//! minute. What is worse than all that the place was told in that time goes at once.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use wire::{Severity, Timestamp};

use crate::policy::Target;

/// Longest that a page may be held up, whatever a person asks for.
pub(crate) const HELD_MAX_MS: i64 = 3_600_000;

const HOUR_MS: i64 = 3_600_000;

/// Most pages of an hour that a place remembers.
const PAGES_MAX: usize = 3600;

/// Places remembered beyond which those that are over are looked for.
const PLACES_LOOKED_AT: usize = 10_000;

/// What reads what a receiver gets, and so whether pages to it are folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadBy {
    /// A program that wants every incident as an alert of its own.
    Programs,
    /// A service that calls people: pages that call a person are folded.
    #[default]
    Pagers,
    /// People, in a channel or a mailbox: every page that calls is folded.
    People,
}

/// By receiver; one that is not named is a pager.
pub type Readers = BTreeMap<String, ReadBy>;

/// What a receiver makes of pages about an alert that it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Each is a message.
    #[default]
    Messages,
    /// The alert fires for as long as any page says that it stands, and whoever has it (Alertmanager).
    Stands,
    /// It calls for an alert once: where people have stopped that, a further trigger calls nobody until the alert has ended there
    /// (PagerDuty, Opsgenie).
    CallsOnce,
}

/// By receiver; to one that is not named each page is a message.
pub type Manners = BTreeMap<String, Manner>;

/// Where pages go that are folded into one. Those that call are kept apart from those that tell, and those of an exercise from
/// real ones: a call neither waits for the other nor hides in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) target: Target,
    pub(crate) calls: bool,
    pub(crate) drill: bool,
}

/// How a place is left alone after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spacing {
    pub(crate) gap_ms: i64,
    /// Messages in any hour.
    pub(crate) per_hour: Option<u32>,
}

/// How a place is left alone after a page: part of the state of that page, from which who takes over knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    /// When the page left.
    at: Timestamp,
    until: Timestamp,
    worst: Severity,
}

/// When each place got pages last.
#[derive(Debug, Default)]
pub(crate) struct Windows(BTreeMap<Place, Window>);

#[derive(Debug)]
struct Window {
    until: Timestamp,
    /// The worst that it was told since it was last left alone for long enough.
    worst: Severity,
    /// The last pages, for a bound by the hour.
    sent: VecDeque<Timestamp>,
}

impl Windows {
    /// Until when a page of this severity waits; `None` if it goes at once.
    pub(crate) fn until(&self, place: &Place, severity: Severity, now: Timestamp) -> Option<Timestamp> {
        let window = self.0.get(place)?;
        // A clock that was put back must not hold pages up for as long.
        let holds = window.until > now && window.until <= now.plus_ms(HELD_MAX_MS);
        (holds && severity >= window.worst).then_some(window.until)
    }

    /// Pages to it that left within the last hour, as many as are remembered.
    pub(crate) fn within_an_hour(&self, place: &Place, now: Timestamp) -> usize {
        let sent = self.0.get(place).map(|window| window.sent.iter());
        sent.into_iter().flatten().filter(|at| at.plus_ms(HOUR_MS) > now && **at <= now).count()
    }

    /// A page to it had left.
    pub(crate) fn restore(&mut self, place: Place, left: Left) {
        let window = self.0.entry(place).or_insert_with(Window::over);
        let Left { at, until, worst } = left;
        let place = window.sent.partition_point(|other| *other <= at);
        if place == window.sent.len() {
            let together = window.sent.back() == Some(&at);
            window.worst = if together { window.worst.min(worst) } else { worst };
            window.until = if together { window.until.max(until) } else { until };
        }
        // A page may be read back more than once, as its incident was written.
        let known = place > 0 && window.sent.get(place - 1) == Some(&at);
        if !known && (window.sent.len() < PAGES_MAX || place > 0) {
            window.sent.insert(place, at);
        }
        if window.sent.len() > PAGES_MAX {
            window.sent.pop_front();
        }
    }

    /// A page to it leaves now.
    pub(crate) fn sent(
        &mut self,
        place: &Place,
        severity: Severity,
        spacing: Spacing,
        now: Timestamp,
    ) -> Left {
        if self.0.len() >= PLACES_LOOKED_AT {
            self.0.retain(|_, window| {
                window.until > now || window.sent.back().is_some_and(|at| at.plus_ms(HOUR_MS) > now)
            });
        }
        let window = self.0.entry(place.clone()).or_insert_with(Window::over);
        if window.until <= now || window.until > now.plus_ms(HELD_MAX_MS) {
            window.worst = severity;
            window.until = now.plus_ms(spacing.gap_ms);
        } else {
            window.worst = window.worst.min(severity);
        }
        window.sent.retain(|at| at.plus_ms(HOUR_MS) > now && *at <= now);
        if window.sent.back() != Some(&now) {
            window.sent.push_back(now);
        }
        let most = spacing.per_hour.map(|n| n.max(1) as usize);
        if let Some(first) = most.and_then(|most| window.sent.get(window.sent.len().checked_sub(most)?)) {
            window.until = window.until.max(first.plus_ms(HOUR_MS)).min(now.plus_ms(HELD_MAX_MS));
        }
        let most = most.unwrap_or(1).min(PAGES_MAX);
        window.sent.drain(..window.sent.len().saturating_sub(most));
        Left { at: now, until: window.until, worst: window.worst }
    }
}

impl Window {
    const fn over() -> Self {
        Self { until: Timestamp::MIN, worst: Severity::Sev4, sent: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Severity::{Sev1, Sev2, Sev3};

    fn at(s: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(1_000_000_000_000 + s * 1000)
    }

    fn place(name: &str) -> Place {
        Place { target: Target { receiver: "pager".into(), target: name.into() }, calls: true, drill: false }
    }

    const MINUTE: Spacing = Spacing { gap_ms: 60_000, per_hour: None };

    #[test]
    fn the_first_page_goes_at_once_and_what_follows_waits_for_the_end_of_the_minute() {
        let mut windows = Windows::default();
        let ann = place("ann");
        assert_eq!(windows.until(&ann, Sev2, at(0)), None);
        windows.sent(&ann, Sev2, MINUTE, at(0));
        assert_eq!(windows.until(&ann, Sev2, at(1)), Some(at(60)));
        assert_eq!(windows.until(&ann, Sev3, at(59)), Some(at(60)));
        assert_eq!(windows.until(&place("bo"), Sev2, at(1)), None, "another place");
        assert_eq!(windows.until(&ann, Sev2, at(60)), None);
    }

    #[test]
    fn what_is_worse_goes_at_once_and_leaves_the_minute_as_it_was() {
        let mut windows = Windows::default();
        let ann = place("ann");
        windows.sent(&ann, Sev3, MINUTE, at(0));
        assert_eq!(windows.until(&ann, Sev1, at(10)), None);
        windows.sent(&ann, Sev1, MINUTE, at(10));
        assert_eq!(windows.until(&ann, Sev1, at(11)), Some(at(60)));
        assert_eq!(windows.until(&ann, Sev2, at(11)), Some(at(60)));
        windows.sent(&ann, Sev3, MINUTE, at(60));
        assert_eq!(
            windows.until(&ann, Sev2, at(61)),
            None,
            "a new minute, and worse than what it began with"
        );
    }

    #[test]
    fn no_more_than_a_person_wants_in_an_hour() {
        let mut windows = Windows::default();
        let (ann, spacing) = (place("ann"), Spacing { gap_ms: 60_000, per_hour: Some(6) });
        let (mut now, mut sent) = (0, vec![]);
        while now < 3 * 3600 {
            match windows.until(&ann, Sev2, at(now)) {
                None => {
                    windows.sent(&ann, Sev2, spacing, at(now));
                    sent.push(now);
                }
                Some(until) => now = until.since_ms(at(0)) / 1000,
            }
        }
        assert_eq!(sent[..8], [0, 60, 120, 180, 240, 300, 3600, 3660]);
        assert_eq!(sent.len(), 18);
    }

    #[test]
    fn a_clock_that_is_put_back_holds_nothing_up() {
        let mut windows = Windows::default();
        let ann = place("ann");
        windows.sent(&ann, Sev2, MINUTE, at(100_000));
        assert_eq!(windows.until(&ann, Sev2, at(0)), None);
        windows.sent(&ann, Sev2, MINUTE, at(0));
        assert_eq!(windows.until(&ann, Sev2, at(1)), Some(at(60)));
    }

    #[test]
    fn places_that_are_over_are_forgotten() {
        let mut windows = Windows::default();
        for n in 0..3 * PLACES_LOOKED_AT {
            windows.sent(&place(&n.to_string()), Sev2, MINUTE, at(i64::try_from(n).expect("few")));
        }
        assert!(windows.0.len() <= PLACES_LOOKED_AT, "{}", windows.0.len());
    }

    #[test]
    fn a_page_that_is_read_back_as_often_as_its_incident_was_written_is_one() {
        let (ann, spacing) = (place("ann"), Spacing { gap_ms: 60_000, per_hour: Some(6) });
        let left = Windows::default().sent(&ann, Sev2, spacing, at(0));
        let mut again = Windows::default();
        (0..10).for_each(|_| again.restore(ann.clone(), left));
        assert_eq!(again.until(&ann, Sev2, at(1)), Some(at(60)));
        again.sent(&ann, Sev2, spacing, at(60));
        assert_eq!(again.until(&ann, Sev2, at(61)), Some(at(120)), "two of six");
    }
}
