//! What people said was not actionable: a stream that led two such incidents is not calibrated, and may page no more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::context::Feedback;
use wire::{Family, IncidentId, Timestamp};

/// So many incidents that were not actionable, and a stream is not calibrated.
const TWICE: usize = 2;

/// One stream of a model: version (`None` for traffic, which is of all of them), family, name.
type Name = (Option<String>, Family, String);

/// What was said of one model's streams. At most two incidents a stream are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Doubts {
    /// Since when each version is judged by its reference. What opened before it says nothing of that reference.
    since: BTreeMap<Option<String>, Timestamp>,
    /// Incidents and generations that were not actionable.
    said: BTreeMap<Name, Vec<(IncidentId, u32)>>,
    /// Changed since it was last written.
    #[serde(skip)]
    changed: bool,
}

impl Doubts {
    /// Counts an incident against the stream that led it: each generation once, and none of before its reference.
    pub(super) fn count(&mut self, feedback: Feedback) {
        let Feedback { incident_id, generation, model: _, version, family, stream, opened_at } = feedback;
        if self.since.get(&version).is_some_and(|since| opened_at <= *since) {
            return;
        }
        let said = self.said.entry((version, family, stream)).or_default();
        let incident = (incident_id, generation);
        if said.len() < TWICE && !said.contains(&incident) {
            said.push(incident);
            self.changed = true;
        }
    }

    /// A reference begins to judge a version, or the traffic of all: what was said of the one before is over.
    pub(super) fn begin(&mut self, version: Option<&str>, at: Timestamp) {
        self.end(version);
        self.since.insert(version.map(str::to_owned), at);
        self.changed = true;
    }

    /// The version is forgotten.
    pub(super) fn end(&mut self, version: Option<&str>) {
        self.said.retain(|(of, ..), _| of.as_deref() != version);
        self.since.remove(&version.map(str::to_owned));
        self.changed = true;
    }

    /// Streams that are not calibrated.
    pub(super) fn barred(&self) -> impl Iterator<Item = (Option<&str>, Family, &str)> {
        let barred = self.said.iter().filter(|(_, said)| said.len() >= TWICE);
        barred.map(|((version, family, stream), _)| (version.as_deref(), *family, stream.as_str()))
    }

    /// Whether the traffic of the model may page no more.
    pub(super) fn bars_traffic(&self) -> bool {
        self.barred().any(|(version, family, _)| version.is_none() && family == Family::Traffic)
    }

    /// Whether it must be written.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::EPOCH.plus_ms(minute * 60_000)
    }

    fn feedback(incident: &str, generation: u32, version: Option<&str>, minute: i64) -> Feedback {
        Feedback {
            incident_id: IncidentId::new(incident),
            generation,
            model: "m".into(),
            version: version.map(str::to_owned),
            family: if version.is_some() { Family::Latency } else { Family::Traffic },
            stream: "latency".into(),
            opened_at: at(minute),
        }
    }

    #[test]
    fn two_incidents_bar_a_stream_and_repeats_and_old_ones_do_not() {
        let mut doubts = Doubts::default();
        doubts.begin(Some("1"), at(10));
        for (incident, generation, minute, barred) in [
            ("a", 1, 10, 0),
            ("a", 1, 11, 0),
            ("a", 1, 11, 0),
            ("b", 1, 9, 0),
            ("a", 2, 12, 1),
            ("c", 1, 13, 1),
        ] {
            doubts.count(feedback(incident, generation, Some("1"), minute));
            assert_eq!(doubts.barred().count(), barred, "{incident} {generation}");
        }
        assert_eq!(doubts.said.values().map(Vec::len).sum::<usize>(), TWICE, "no more than these are kept");
        doubts.count(feedback("d", 1, Some("2"), 14));
        doubts.count(feedback("e", 1, Some("2"), 14));
        assert_eq!(doubts.barred().map(|(version, ..)| version).collect::<Vec<_>>(), [Some("1"), Some("2")]);
        doubts.begin(Some("1"), at(20));
        assert_eq!(doubts.barred().map(|(version, ..)| version).collect::<Vec<_>>(), [Some("2")]);
        doubts.count(feedback("c", 1, Some("1"), 13));
        assert_eq!(doubts.barred().count(), 1, "what the last reference did is over");
        doubts.end(Some("2"));
        assert_eq!((doubts.barred().count(), doubts.bars_traffic()), (0, false));
    }

    #[test]
    fn traffic_is_of_no_version() {
        let mut doubts = Doubts::default();
        doubts.count(feedback("a", 1, None, 1));
        doubts.count(feedback("b", 1, None, 2));
        doubts.begin(Some("1"), at(5));
        assert!(doubts.bars_traffic());
        doubts.begin(None, at(5));
        assert!(!doubts.bars_traffic());
    }
}
