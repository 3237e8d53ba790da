//! What a log promises, as laws that every implementation must keep.
//!
//! Generic over [`Log`]: `tests/log_contract.rs` runs all of it on the embedded log, and on a real Kafka when one is
//! named. A law that cannot hold on one of them is no law; what differs in speed is asked of the [`Subject`].

#![expect(clippy::missing_panics_doc, reason = "a law is kept or it panics: that is what it is for")]

pub mod groups;
pub mod records;
pub mod transactions;

use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use runtime::log::{
    Cleanup, Consumer, ConsumerSpec, Event, Isolation, Log, LogError, NewRecord, Offset, Start,
    TopicPartition, TopicSpec,
};

/// A log under test.
pub trait Subject {
    type Log: Log;

    /// The log, by one handle.
    fn log(&self) -> Self::Log;

    /// The same log by a handle of its own, as after a restart. The one before it is not used any more.
    fn again(&self, old: Self::Log) -> Self::Log;

    /// A member that does not poll for this long is out of its group.
    fn max_poll(&self) -> Duration;

    /// Brings compaction about, or waits for it: true once it may be looked at (again).
    fn compact(&self, log: &Self::Log) -> bool;
}

/// How long anything may take before a law is broken; only failures wait this long.
const PATIENCE: Duration = Duration::from_secs(40);
const STEP: Duration = Duration::from_millis(50);

/// Names of its own for each law, since a Kafka may have seen other runs.
pub struct Names(String);

impl Names {
    fn new(law: &str) -> Self {
        Self(format!("contract.{law}.{:08x}", RandomState::new().hash_one(law) & 0xffff_ffff))
    }

    fn of(&self, what: &str) -> Arc<str> {
        format!("{}.{what}", self.0).into()
    }
}

fn delete(name: &Arc<str>, partitions: u32) -> TopicSpec {
    TopicSpec::new(Arc::clone(name), partitions, Cleanup::Delete { retention_ms: None })
}

/// A topic made for the law.
fn topic<L: Log>(log: &L, names: &Names, what: &str, partitions: u32) -> Arc<str> {
    let name = names.of(what);
    log.ensure_topics(&[delete(&name, partitions)], true).expect("a new topic can be made");
    name
}

fn at(topic: &Arc<str>, partition: u32) -> TopicPartition {
    TopicPartition::new(Arc::clone(topic), partition)
}

/// A record whose value is a text.
fn text(topic: &Arc<str>, partition: u32, value: &str) -> NewRecord {
    NewRecord::new(Arc::clone(topic), value).partition(partition)
}

fn texts(topic: &Arc<str>, partition: u32, range: std::ops::Range<u32>) -> Vec<NewRecord> {
    range.map(|n| text(topic, partition, &n.to_string())).collect()
}

/// Values of a partition as one who takes it over sees them: what is committed, up to the high end.
fn values<L: Log>(log: &L, at: &TopicPartition) -> Vec<String> {
    let mut found = vec![];
    let high = log.ends(at).expect("a partition has ends").high;
    log.read(at, 0, Some(high), Isolation::Committed, &mut |record| {
        found.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
        ControlFlow::Continue(())
    })
    .expect("a partition can be read");
    found
}

fn spec(names: &Names, group: &str, lead: &[&Arc<str>], partners: &[&Arc<str>]) -> ConsumerSpec {
    ConsumerSpec {
        group: names.of(group),
        lead: lead.iter().map(|topic| Arc::clone(topic)).collect(),
        partners: partners.iter().map(|topic| Arc::clone(topic)).collect(),
        client_id: "contract".into(),
        start: Start::Earliest,
    }
}

/// A record as a consumer delivered it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    at: TopicPartition,
    offset: Offset,
    value: String,
}

/// An event that outlives its poll.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Record(Seen),
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Gap(TopicPartition, Offset, Offset),
    End(TopicPartition, Offset),
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Record(r) => Self::Record(Seen {
                at: TopicPartition::new(r.topic, r.partition),
                offset: r.offset,
                value: String::from_utf8_lossy(r.value.unwrap_or_default()).into_owned(),
            }),
            Event::Assigned(parts) => Self::Assigned(sorted(parts)),
            Event::Revoked(parts) => Self::Revoked(sorted(parts)),
            Event::Lost(parts) => Self::Lost(sorted(parts)),
            Event::Gap { at, expected, found } => Self::Gap(at.clone(), expected, found),
            Event::End { at, position } => Self::End(at.clone(), position),
        }
    }
}

fn sorted(parts: &[TopicPartition]) -> Vec<TopicPartition> {
    let mut parts = parts.to_vec();
    parts.sort();
    parts
}

/// One poll, and what it delivered.
fn poll<C: Consumer>(consumer: &mut C, max: usize) -> Vec<Told> {
    let mut told = vec![];
    let polled = consumer.poll(STEP, max, &mut |event| told.push(event.into()));
    match polled {
        Ok(n) => {
            assert_eq!(n, told.iter().filter(|t| matches!(t, Told::Record(_))).count(), "what poll counts")
        }
        // Nothing was lost: the next poll goes on.
        Err(LogError::Retriable { .. }) => (),
        Err(error) => panic!("poll failed: {error}"),
    }
    told
}

/// Polls until `enough` holds of all that was delivered.
fn poll_until<C: Consumer>(
    consumer: &mut C,
    what: &str,
    mut enough: impl FnMut(&[Told]) -> bool,
) -> Vec<Told> {
    let mut told = vec![];
    for _ in 0..rounds() {
        if enough(&told) {
            return told;
        }
        told.extend(poll(consumer, 1000));
    }
    panic!("waited in vain for {what}; delivered: {told:?}");
}

fn rounds() -> u128 {
    PATIENCE.as_millis() / STEP.as_millis()
}

/// Polls until exactly these partitions are held, and each has come by an event.
fn poll_until_held<C: Consumer>(consumer: &mut C, want: &[TopicPartition]) -> Vec<Told> {
    let want = sorted(want);
    let mut told = vec![];
    for _ in 0..rounds() {
        if consumer.assignment() == want {
            return told;
        }
        told.extend(poll(consumer, 1000));
    }
    panic!("waited in vain for {want:?}; delivered: {told:?}");
}

fn records(told: &[Told]) -> Vec<Seen> {
    told.iter()
        .filter_map(|told| match told {
            Told::Record(seen) => Some(seen.clone()),
            Told::Assigned(_) | Told::Revoked(_) | Told::Lost(_) | Told::Gap(..) | Told::End(..) => None,
        })
        .collect()
}

fn seen_values(told: &[Told]) -> Vec<String> {
    records(told).into_iter().map(|seen| seen.value).collect()
}

/// Runs `laws!` for every law: one list, so that no subject can leave one out.
#[macro_export]
macro_rules! for_each_law {
    ($run:ident) => {
        $run! {
            records::appends_are_ordered_and_where_it_says,
            records::bytes_come_back_as_they_were,
            records::keys_go_where_kafka_puts_them,
            records::what_a_topic_cannot_take_is_refused,
            records::ranges_are_read_as_asked,
            records::topics_are_made_once_and_checked,
            records::many_threads_append_at_once,
            records::compaction_keeps_the_last_of_each_key,
            records::everything_is_there_again,
            transactions::a_transaction_shows_whole,
            transactions::a_transaction_that_fails_leaves_nothing,
            transactions::offsets_and_records_are_one,
            transactions::a_newer_holder_fences_the_older,
            transactions::an_expelled_member_cannot_commit,
            transactions::ends_are_reached_past_markers,
            groups::a_group_goes_on_where_it_committed,
            groups::assignment_comes_before_records_and_seek_counts,
            groups::rewind_goes_back_to_the_last_commit,
            groups::paused_partitions_wait_and_lose_nothing,
            groups::polls_are_bounded_and_at_once,
            groups::two_members_share_and_never_hold_the_same,
            groups::who_gets_nothing_is_told_so,
            groups::partners_must_match,
            groups::two_leads_are_both_shared_out,
            groups::a_position_out_of_range_is_a_gap,
        }
    };
}
