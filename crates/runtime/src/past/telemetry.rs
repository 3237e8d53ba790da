//! Telemetry of all partitions, in the order in which it was written.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use detect::collect::Role;
use wire::Timestamp;

use crate::collect::SourceSpec;
use crate::log::{Header, Headers, Isolation, Log, LogError, Offset, TopicPartition};

/// Records of one partition that are in memory at once, and their bytes.
const AHEAD: usize = 4096;
const AHEAD_BYTES: usize = 4 << 20;

/// One record of telemetry, wherever it was kept.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub role: Role,
    pub json: &'a [u8],
    pub headers: Headers<'a>,
}

/// What the telemetry topics held when it was made, for as many passes as are wanted.
pub struct Telemetry<L: Log> {
    log: L,
    lanes: Vec<(Role, TopicPartition, [Offset; 2])>,
    /// Of the records' own time: since, until.
    range: [Option<Timestamp>; 2],
}

impl<L: Log> Telemetry<L> {
    /// Of records that were written at `range[0]` or later, and before `range[1]`.
    ///
    /// # Errors
    /// [`LogError::NotFound`] for a missing topic; when the log cannot be asked.
    pub fn new(log: L, sources: &[SourceSpec], range: [Option<Timestamp>; 2]) -> Result<Self, LogError> {
        let mut lanes = vec![];
        for source in sources {
            let labels = source.labels_topic.as_ref().map(|topic| (Role::Labels, topic));
            for (role, topic) in [(Role::Predictions, &source.topic)].into_iter().chain(labels) {
                let missing = || LogError::not_found(format!("topic {topic}"));
                for partition in 0..log.partitions(topic)?.ok_or_else(missing)? {
                    let at = TopicPartition::new(topic.as_str(), partition);
                    let ends = log.ends(&at)?;
                    lanes.push((role, at, [ends.start, ends.stable]));
                }
            }
        }
        Ok(Self { log, lanes, range })
    }

    /// How many records there are at most.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.lanes.iter().map(|(_, _, [from, to])| u64::try_from(to - from).unwrap_or(0)).sum()
    }

    /// Nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands each record to `each` until it breaks off: of one partition in order, of several by time. The same every time,
    /// as long as nothing expires.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn each(&self, each: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>) -> Result<(), LogError> {
        let mut lanes: Vec<Lane<'_>> =
            self.lanes.iter().map(|(role, at, ends)| Lane::new(*role, at, *ends)).collect();
        loop {
            for lane in &mut lanes {
                lane.fill(&self.log, self.range)?;
            }
            let first = lanes
                .iter_mut()
                .filter_map(|lane| lane.ahead.front().map(|held| held.at_ms).map(|at| (at, lane)))
                .min_by_key(|(at, _)| *at);
            let Some((_, lane)) = first else { return Ok(()) };
            let Some(held) = lane.ahead.pop_front() else { return Ok(()) };
            let line = Line { role: lane.role, json: &held.value, headers: Headers::of(&held.headers) };
            if each(line).is_break() {
                return Ok(());
            }
        }
    }
}

/// A partition as far as it was read ahead.
struct Lane<'a> {
    role: Role,
    at: &'a TopicPartition,
    next: Offset,
    end: Offset,
    ahead: VecDeque<Held>,
}

struct Held {
    at_ms: i64,
    value: Vec<u8>,
    headers: Vec<Header>,
}

impl<'a> Lane<'a> {
    fn new(role: Role, at: &'a TopicPartition, [next, end]: [Offset; 2]) -> Self {
        Self { role, at, next, end, ahead: VecDeque::new() }
    }

    /// Reads on when nothing is left.
    fn fill<L: Log>(&mut self, log: &L, [since, until]: [Option<Timestamp>; 2]) -> Result<(), LogError> {
        while self.ahead.is_empty() && self.next < self.end {
            let (ahead, mut bytes) = (&mut self.ahead, 0);
            self.next =
                log.read(self.at, self.next, Some(self.end), Isolation::Committed, &mut |record| {
                    let at_ms = record.timestamp_ms;
                    let within = since.is_none_or(|since| at_ms >= since.as_ms())
                        && until.is_none_or(|until| at_ms < until.as_ms());
                    if let Some(value) = record.value.filter(|_| within) {
                        bytes += value.len();
                        let own = |(name, value): (&str, &[u8])| (name.to_owned().into(), value.to_vec());
                        ahead.push_back(Held {
                            at_ms,
                            value: value.to_vec(),
                            headers: record.headers.iter().map(own).collect(),
                        });
                    }
                    if ahead.len() >= AHEAD || bytes >= AHEAD_BYTES {
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Cleanup, EmbeddedLog, NewRecord, TopicSpec};

    #[test]
    fn partitions_are_merged_by_time_and_cut_to_the_range() {
        let log = EmbeddedLog::in_memory();
        let topic = |name: &str| TopicSpec::new(name, 2, Cleanup::Delete { retention_ms: None });
        log.ensure_topics(&[topic("t"), topic("l")], true).expect("memory");
        let record = |topic: &str, partition: u32, at: i64| {
            let mut record = NewRecord::new(topic, format!("{topic}{partition}@{at}")).partition(partition);
            record.timestamp_ms = Some(at);
            record.header("h", at.to_string())
        };
        let written =
            [("t", 0, 10), ("t", 0, 30), ("t", 0, 20), ("t", 1, 5), ("t", 1, 25), ("l", 1, 15), ("l", 0, 99)];
        let records: Vec<NewRecord> =
            written.map(|(topic, partition, at)| record(topic, partition, at)).into();
        log.append(&records).expect("memory");
        let sources = [SourceSpec { topic: "t".to_owned(), labels_topic: Some("l".to_owned()) }];
        let read = |range: [Option<i64>; 2]| {
            let range = range.map(|at| at.and_then(Timestamp::from_ms));
            let telemetry = Telemetry::new(log.clone(), &sources, range).expect("memory");
            assert_eq!(telemetry.len(), 7);
            let mut found = vec![];
            telemetry
                .each(&mut |line| {
                    assert!(line.headers.get("h").is_some());
                    assert_eq!(line.role == Role::Labels, line.json.starts_with(b"l"));
                    found.push(String::from_utf8_lossy(line.json).into_owned());
                    ControlFlow::Continue(())
                })
                .expect("memory");
            found
        };
        // Within a partition the order is as written, whatever the times.
        assert_eq!(read([None, None]), ["t1@5", "t0@10", "l1@15", "t1@25", "t0@30", "t0@20", "l0@99"]);
        assert_eq!(read([Some(15), Some(30)]), ["l1@15", "t0@20", "t1@25"]);
    }

    #[test]
    fn a_missing_topic_is_named() {
        let sources = [SourceSpec { topic: "t".to_owned(), labels_topic: None }];
        let missing =
            Telemetry::new(EmbeddedLog::in_memory(), &sources, [None, None]).err().expect("nothing there");
        assert!(missing.to_string().contains("topic t"), "{missing}");
    }
}
