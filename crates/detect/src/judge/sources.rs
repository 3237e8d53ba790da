//! How far event time has come: the lowest watermark of the source partitions that anyone waits for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::progress::{Progress, SourceId};

/// What each source partition has said.
///
/// Bound: the source partitions of the telemetry topics; the list in each progress record is the whole of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sources {
    known: BTreeMap<SourceId, Source>,
    /// Event time before which every pane is closed or closing. Never goes back.
    reached: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Source {
    watermark: Option<Timestamp>,
    idle: bool,
    /// Another one woke since it said that it is idle: does that still hold? It is waited for until it speaks.
    #[serde(default)]
    asked: bool,
    /// Nothing was heard of it for too long; it is not waited for until it gets on.
    given_up: bool,
    heard: bool,
}

impl Sources {
    /// Takes in what a source said. True if it had been given up and gets on again.
    pub(super) fn progress(&mut self, progress: &Progress) -> bool {
        if !progress.sources.is_empty() {
            self.known.retain(|id, _| progress.sources.contains(id) || *id == progress.source);
        }
        for id in &progress.sources {
            self.known.entry(id.clone()).or_default();
        }
        let source = self.known.entry(progress.source.clone()).or_default();
        // Its collector may go on saying where it stopped: were it waited for again, so would it be given up again.
        let gets_on =
            progress.idle || progress.caught_up || progress.watermark > source.watermark || !source.heard;
        let was_given_up = source.given_up && gets_on;
        source.given_up &= !gets_on;
        let woke = source.idle && !progress.idle;
        source.watermark = source.watermark.max(progress.watermark);
        source.idle = progress.idle;
        source.heard = true;
        source.asked = false;
        if woke {
            self.ask(&progress.source);
        }
        self.advance();
        was_given_up
    }

    /// After a common silence data comes to all partitions, but is not read at once: were the others still taken for
    /// idle, time would pass without what they have.
    fn ask(&mut self, woke: &SourceId) {
        let others = self.known.iter_mut().filter(|(id, source)| *id != woke && source.idle);
        others.for_each(|(_, source)| source.asked = true);
    }

    /// Stops waiting for a source until it gets on. True if it was waited for.
    pub(super) fn give_up(&mut self, id: &SourceId) -> bool {
        let source = self.known.entry(id.clone()).or_default();
        let news = !source.given_up;
        source.given_up = true;
        self.advance();
        news
    }

    /// Event time before which nothing more is waited for. `None` before anyone has said.
    pub(super) fn reached(&self) -> Option<Timestamp> {
        self.reached
    }

    /// All that anyone has named, in order.
    pub(super) fn known(&self) -> impl Iterator<Item = &SourceId> {
        self.known.keys()
    }

    /// The highest watermark: where profiles may begin, so that no pane of theirs is under way.
    pub(super) fn highest(&self) -> Option<Timestamp> {
        self.known.values().filter_map(|s| s.watermark).max()
    }

    /// Whether a pane that ends at `end` lacks what a given-up source may still hold.
    pub(super) fn lacks(&self, end: Timestamp) -> bool {
        self.known.values().any(|s| s.given_up && !s.idle && s.watermark.is_none_or(|w| w < end))
    }

    /// The lowest watermark of those waited for. Where all are idle, all that they have is there: the highest.
    fn advance(&mut self) {
        let waited: Vec<&Source> =
            self.known.values().filter(|s| !s.given_up && (!s.idle || s.asked)).collect();
        let now = if waited.is_empty() {
            let idle = self.known.values().filter(|s| s.idle && !s.given_up);
            idle.filter_map(|s| s.watermark).max()
        } else if waited.iter().any(|s| !s.heard || s.watermark.is_none()) {
            None
        } else {
            waited.iter().filter_map(|s| s.watermark).min()
        };
        self.reached = self.reached.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(partition: u32) -> SourceId {
        SourceId { topic: "t".into(), partition }
    }

    fn says(partition: u32, minute: Option<i64>, idle: bool) -> Progress {
        Progress {
            source: id(partition),
            watermark: minute.map(at),
            read_to: 0,
            caught_up: idle,
            idle,
            sources: vec![id(0), id(1)],
        }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(minute * 60_000)
    }

    #[test]
    fn the_slowest_source_that_is_waited_for_decides() {
        let mut sources = Sources::default();
        sources.progress(&says(0, Some(5), false));
        assert_eq!(sources.reached(), None, "the other one was never heard of");
        sources.progress(&says(1, Some(3), false));
        assert_eq!(sources.reached(), Some(at(3)));
        sources.progress(&says(1, Some(3), true));
        assert_eq!(sources.reached(), Some(at(5)), "an idle one is not waited for");
        sources.progress(&says(1, Some(4), false));
        assert_eq!(sources.reached(), Some(at(5)), "time never goes back");
        sources.progress(&says(0, Some(9), true));
        sources.progress(&says(1, Some(7), true));
        assert_eq!(sources.reached(), Some(at(9)), "all are idle: nothing is missing");
    }

    #[test]
    fn idle_sources_are_asked_again_when_one_wakes() {
        let mut sources = Sources::default();
        sources.progress(&says(0, Some(5), true));
        sources.progress(&says(1, Some(3), true));
        assert_eq!(sources.reached(), Some(at(5)));
        sources.progress(&says(0, Some(9), false));
        assert_eq!(sources.reached(), Some(at(5)), "the other one may have woken too");
        sources.progress(&says(0, Some(10), false));
        assert_eq!(sources.reached(), Some(at(5)), "and is still to be heard");
        let mut slept_on = sources.clone();
        slept_on.progress(&says(1, Some(3), true));
        assert_eq!(slept_on.reached(), Some(at(10)), "it had not");
        sources.progress(&says(1, Some(7), false));
        assert_eq!(sources.reached(), Some(at(7)), "it had");
        slept_on.progress(&says(0, Some(10), true));
        slept_on.progress(&says(0, Some(11), false));
        assert!(slept_on.give_up(&id(1)));
        assert_eq!(slept_on.reached(), Some(at(11)), "nobody is there to answer");
        assert!(!slept_on.lacks(at(11)), "and it was idle when last heard");
    }

    #[test]
    fn a_given_up_source_is_missed_until_it_speaks() {
        let mut sources = Sources::default();
        sources.progress(&says(0, Some(5), false));
        assert!(sources.give_up(&id(1)) && !sources.give_up(&id(1)));
        assert_eq!(sources.reached(), Some(at(5)));
        assert!(sources.lacks(at(5)));
        assert!(sources.progress(&says(1, Some(2), false)), "it speaks again");
        sources.progress(&says(0, Some(8), false));
        assert_eq!(sources.reached(), Some(at(5)), "and is waited for again");
        assert!(!sources.lacks(at(5)));
    }

    #[test]
    fn a_given_up_source_that_says_where_it_stopped_is_not_waited_for() {
        let mut sources = Sources::default();
        sources.progress(&says(1, Some(2), false));
        sources.give_up(&id(1));
        assert!(!sources.progress(&says(1, Some(2), false)));
        sources.progress(&says(0, Some(8), false));
        assert_eq!(sources.reached(), Some(at(8)));
        assert!(sources.lacks(at(8)));
        let mut all_read = sources.clone();
        assert!(all_read.progress(&Progress { caught_up: true, ..says(1, Some(2), false) }));
        assert!(sources.progress(&says(1, Some(3), false)));
        sources.progress(&says(0, Some(9), false));
        assert_eq!((sources.reached(), sources.lacks(at(9))), (Some(at(8)), false), "it gets on");
    }
}
