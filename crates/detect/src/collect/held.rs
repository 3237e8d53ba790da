//! Records that wait: behind a jump of event time that may be a wrong clock, or for the watermark to come up.

use std::collections::VecDeque;

use wire::Timestamp;

use crate::decode::Attributes;

/// Predictions in a row that must agree on a jump before it is believed …
pub(super) const STAYS: usize = 128;

/// … or so many, if nothing has contradicted them until the partition is idle.
pub(super) const STAYS_IDLE: usize = 8;

/// Most that wait.
const RECORDS_MAX: usize = 16_384;
const BYTES_MAX: usize = 16 << 20;

/// A copy of one record.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) offset: i64,
    /// What it waits for, or `None` if it waits only for those before it.
    pub(super) time: Option<Timestamp>,
    pub(super) value: Option<Vec<u8>>,
    headers: [Option<Vec<u8>>; 5],
}

impl Held {
    pub(super) fn new(
        offset: i64,
        time: Option<Timestamp>,
        value: Option<&[u8]>,
        a: &Attributes<'_>,
    ) -> Self {
        let headers = [a.content_type, a.spec_version, a.event_type, a.id, a.time];
        Self {
            offset,
            time,
            value: value.map(<[u8]>::to_vec),
            headers: headers.map(|h| h.map(<[u8]>::to_vec)),
        }
    }

    pub(super) fn attributes(&self) -> Attributes<'_> {
        let [content_type, spec_version, event_type, id, time] =
            self.headers.each_ref().map(|h| h.as_deref());
        Attributes { content_type, spec_version, event_type, id, time }
    }

    fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len) + self.headers.iter().flatten().map(Vec::len).sum::<usize>()
    }
}

/// Records in the order of their offsets. None of them is committed: a restart reads them again.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: VecDeque<Held>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, record: Held) {
        self.bytes += record.bytes();
        self.records.push_back(record);
    }

    pub(super) fn pop(&mut self) -> Option<Held> {
        let record = self.records.pop_front()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    pub(super) fn front(&self) -> Option<&Held> {
        self.records.front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// True if no more should be read.
    pub(super) fn is_half_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX / 2 || self.bytes >= BYTES_MAX / 2
    }

    /// What its records wait for.
    pub(super) fn times(&self) -> impl Iterator<Item = Timestamp> {
        self.records.iter().filter_map(|held| held.time)
    }

    /// True if no more may be added.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }
}
