//! The collect loop: telemetry in, partial panes, progress and offsets out in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use detect::collect::{CollectConfig, Collector, Flush, RecordAt, Role};
use detect::progress::SourceId;
use detect::record::PanesRecord;
use wire::context::ContextRecord;

use crate::clock::{Clock, Now};
use crate::context::Follower;
use crate::log::{
    Consumer, ConsumerSpec, Event, Log, LogError, NewRecord, Offset, Start, TopicPartition, Transaction,
};
use crate::metrics::{DATA_GAPS, DEAD_LETTERS, RECORDS, TRANSACTION, TRANSACTIONS};
use crate::restore::restore;
use crate::settings::{Settings, Stepped, json_record, state_record};
use crate::views::{self, Views};

/// Where one stream of telemetry comes from.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    pub topic: String,
    /// Labels in a topic of their own, co-partitioned with `topic`.
    pub labels_topic: Option<String>,
}

struct Part {
    source: SourceId,
    collector: Collector,
    labels: Option<TopicPartition>,
    labels_paused: bool,
    offsets: BTreeMap<TopicPartition, Offset>,
    /// Read to the end when last looked at, and since when nothing has come.
    at_end: bool,
    last_record: Duration,
    last_progress: Duration,
    was_idle: bool,
}

/// Folds the assigned partitions of one source.
pub struct CollectLoop<L: Log> {
    log: L,
    settings: Settings,
    config: Arc<CollectConfig>,
    spec: SourceSpec,
    source_partitions: u32,
    consumer: L::Consumer,
    transaction: L::Transaction,
    context: Follower<L>,
    profiles: BTreeMap<String, Arc<wire::profile::Profile>>,
    parts: BTreeMap<u32, Part>,
    last_commit: Duration,
    views: Arc<Views>,
    clock: Clock,
}

enum Turn {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Gap { at: TopicPartition, expected: Offset, found: Offset },
}

impl<L: Log> CollectLoop<L> {
    /// Joins the group under a transactional id of its own (`thread` numbers the loops of one process).
    ///
    /// # Errors
    /// When the log refuses, or the topic does not exist.
    pub fn new(
        log: L,
        settings: Settings,
        config: Arc<CollectConfig>,
        spec: SourceSpec,
        thread: usize,
        views: Arc<Views>,
        clock: Clock,
    ) -> Result<Self, LogError> {
        let id = settings.transactional_id("collect", format_args!("{}-{thread}", settings.instance));
        let transaction = log.transaction(&id)?;
        let source_partitions =
            log.partitions(&spec.topic)?.ok_or_else(|| LogError::NotFound { what: format!("topic {}", spec.topic) })?;
        let consumer = log.consumer(ConsumerSpec {
            group: format!("{}-{}", settings.group("collect"), spec.topic).into(),
            lead: vec![spec.topic.as_str().into()],
            partners: spec.labels_topic.iter().map(|t| t.as_str().into()).collect(),
            client_id: format!("{}-collect-{thread}", settings.instance),
            start: Start::Earliest,
        })?;
        views.set_ready("collect", Some("its partitions".into()));
        Ok(Self {
            context: Follower::new(log.clone(), &settings.topics.context),
            log,
            settings,
            config,
            spec,
            source_partitions,
            consumer,
            transaction,
            profiles: BTreeMap::new(),
            parts: BTreeMap::new(),
            last_commit: Duration::ZERO,
            views,
            clock,
        })
    }

    /// Folds what has come and commits when it is time. Never sleeps.
    ///
    /// # Errors
    /// What cannot be mended here; the process should end.
    pub fn step(&mut self, now: Now) -> Result<Stepped, LogError> {
        // Profiles first: a partition that is assigned below begins with all that are known.
        for (key, record) in self.context.follow(now)? {
            if let ContextRecord::Profile(profile) = record {
                let profile = Arc::new(*profile);
                for part in self.parts.values_mut() {
                    part.collector.profile(Arc::clone(&profile));
                }
                self.profiles.insert(key, profile);
            }
        }
        let (turns, records) = self.poll(now)?;
        for turn in turns {
            self.turn(turn, now)?;
        }
        self.pause_labels()?;
        let due = now.mono >= self.last_commit + self.settings.commit_every;
        let committed = due && self.commit(now)?;
        Ok(Stepped { worked: records > 0 || committed, next: None })
    }

    fn poll(&mut self, now: Now) -> Result<(Vec<Turn>, usize), LogError> {
        let mut turns = Vec::new();
        let (parts, topic) = (&mut self.parts, self.spec.topic.as_str());
        let (mut predictions, mut labels) = (0u64, 0u64);
        let polled = self.consumer.poll(Duration::ZERO, 10_000, &mut |event| match event {
            Event::Record(r) => {
                let Some(part) = parts.get_mut(&r.partition) else { return };
                let is_lead = r.topic == topic;
                let role = if is_lead { Role::Predictions } else { Role::Labels };
                *(if is_lead { &mut predictions } else { &mut labels }) += 1;
                part.collector.record(RecordAt { role, offset: r.offset, value: r.value }, |name| r.headers.get(name));
                part.took(r.topic, is_lead, r.partition, r.offset, now);
            }
            Event::End { at, .. } => {
                if let Some(part) = parts.get_mut(&at.partition) {
                    part.at_end |= *at.topic == *topic;
                }
            }
            Event::Assigned(tps) => turns.push(Turn::Assigned(tps.to_vec())),
            Event::Revoked(tps) => turns.push(Turn::Revoked(tps.to_vec())),
            Event::Lost(tps) => turns.push(Turn::Lost(tps.to_vec())),
            Event::Gap { at, expected, found } => turns.push(Turn::Gap { at: at.clone(), expected, found }),
        })?;
        self.views.records.fetch_add(predictions + labels, Ordering::Relaxed);
        for (kind, n) in [("lead", predictions), ("labels", labels)] {
            if n > 0 {
                metrics::counter!(RECORDS, "source" => self.spec.topic.clone(), "kind" => kind).increment(n);
            }
        }
        Ok((turns, polled))
    }

    fn turn(&mut self, turn: Turn, now: Now) -> Result<(), LogError> {
        match turn {
            Turn::Assigned(tps) => {
                for tp in tps.iter().filter(|tp| *tp.topic == *self.spec.topic) {
                    self.open(tp.partition, now)?;
                }
                self.views.set_ready("collect", None);
            }
            Turn::Revoked(tps) => {
                self.commit(now)?;
                self.drop_parts(&tps);
            }
            Turn::Lost(tps) => self.drop_parts(&tps),
            Turn::Gap { at, expected, found } => {
                tracing::error!(topic = %at.topic, at.partition, expected, found, "telemetry expired before it was read");
                metrics::counter!(DATA_GAPS, "topic" => at.topic.to_string()).increment(1);
                let (topic, partition) = (at.topic.to_string(), at.partition);
                self.views.tell(views::Event::DataGap { topic, partition, expected, found });
            }
        }
        Ok(())
    }

    fn drop_parts(&mut self, tps: &[TopicPartition]) {
        for tp in tps.iter().filter(|tp| *tp.topic == *self.spec.topic) {
            self.parts.remove(&tp.partition);
        }
    }

    fn open(&mut self, partition: u32, now: Now) -> Result<(), LogError> {
        let source = SourceId { topic: self.spec.topic.clone(), partition };
        let mut collector = Collector::new(source.clone(), self.sources(), Arc::clone(&self.config));
        for profile in self.profiles.values() {
            collector.profile(Arc::clone(profile));
        }
        let prefix = state_prefix(&source);
        let mut bad = None;
        let at = self.state_partition(&source);
        let records = restore(&self.log, &self.settings.topics.state_collect, at, |key, value| {
            if let Some(key) = key.strip_prefix(prefix.as_slice())
                && let Err(e) = collector.restore(key, value)
            {
                bad.get_or_insert(e);
            }
        })?;
        if let Some(e) = bad {
            let what = format!("state of {source} cannot be read");
            return Err(LogError::Fatal { what, source: Some(Arc::new(e)) });
        }
        tracing::info!(%source, records, "collector state restored");
        let labels = self.spec.labels_topic.as_deref().map(|topic| TopicPartition::new(topic, partition));
        let part = Part {
            source,
            collector,
            labels,
            labels_paused: false,
            offsets: BTreeMap::new(),
            at_end: false,
            last_record: now.mono,
            last_progress: Duration::ZERO,
            was_idle: false,
        };
        self.parts.insert(partition, part);
        Ok(())
    }

    fn sources(&self) -> Vec<SourceId> {
        (0..self.source_partitions).map(|partition| SourceId { topic: self.spec.topic.clone(), partition }).collect()
    }

    fn state_partition(&self, source: &SourceId) -> u32 {
        wire::partition::of_model(&source.to_string(), self.settings.collect_partitions)
    }

    /// A label later than the watermark of its predictions waits in its topic, so that pace and restarts change
    /// nothing.
    fn pause_labels(&mut self) -> Result<(), LogError> {
        for part in self.parts.values_mut() {
            let Some(labels) = &part.labels else { continue };
            let wait = part.collector.labels_wait();
            if wait && !part.labels_paused {
                self.consumer.pause(std::slice::from_ref(labels))?;
            } else if !wait && part.labels_paused {
                self.consumer.resume(std::slice::from_ref(labels))?;
            }
            part.labels_paused = wait;
        }
        Ok(())
    }

    fn commit(&mut self, now: Now) -> Result<bool, LogError> {
        self.last_commit = now.mono;
        let (mut records, mut offsets) = (Vec::new(), Vec::new());
        for part in self.parts.values_mut() {
            let idle = part.at_end && now.mono >= part.last_record + self.settings.idle;
            let turned_idle = idle != part.was_idle;
            let spoke = now.mono < part.last_progress + self.settings.progress_every;
            if part.offsets.is_empty() && !turned_idle && spoke {
                continue;
            }
            part.was_idle = idle;
            part.last_progress = now.mono;
            let flush = part.collector.flush(part.at_end, idle);
            self.views.dead_letters.fetch_add(flush.dead_letters.len() as u64, Ordering::Relaxed);
            let at = wire::partition::of_model(&part.source.to_string(), self.settings.collect_partitions);
            records_of(&self.settings, &part.source, at, flush, &mut records);
            offsets.extend(std::mem::take(&mut part.offsets));
        }
        if records.is_empty() && offsets.is_empty() {
            return Ok(false);
        }
        let began = self.clock.now().mono;
        let done = self.transaction.commit(&records, Some((&mut self.consumer, &offsets)));
        metrics::histogram!(TRANSACTION, "role" => "collect").record((self.clock.now().mono - began).as_secs_f64());
        let outcome = if done.is_ok() { "committed" } else { "failed" };
        metrics::counter!(TRANSACTIONS, "role" => "collect", "outcome" => outcome).increment(1);
        match done {
            Ok(()) => Ok(true),
            Err(e @ (LogError::Aborted { .. } | LogError::Retriable { .. })) => {
                tracing::warn!(error = %e, "commit did not hold; going back to the last one");
                self.begin_again(now)?;
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    /// Back to the last commit: state and position of every partition still held.
    fn begin_again(&mut self, now: Now) -> Result<(), LogError> {
        let held = self.consumer.assignment();
        self.consumer.rewind(&held)?;
        self.parts.clear();
        for tp in held.iter().filter(|tp| *tp.topic == *self.spec.topic) {
            self.open(tp.partition, now)?;
        }
        Ok(())
    }

    /// Leaves the group; what was folded is committed first.
    ///
    /// # Errors
    /// When the last commit fails; nothing is lost, the next owner folds again.
    pub fn close(mut self, now: Now) -> Result<(), LogError> {
        self.commit(now)?;
        self.consumer.close()
    }
}

impl Part {
    fn took(&mut self, topic: &str, is_lead: bool, partition: u32, offset: Offset, now: Now) {
        if is_lead {
            self.at_end = false;
            self.last_record = now.mono;
        }
        // A topic's name is looked up once a commit, not allocated once a record.
        match self.offsets.iter_mut().find(|(tp, _)| *tp.topic == *topic) {
            Some((_, next)) => *next = offset + 1,
            None => drop(self.offsets.insert(TopicPartition::new(topic, partition), offset + 1)),
        }
    }
}

fn state_prefix(source: &SourceId) -> Vec<u8> {
    format!("{source}\0").into_bytes()
}

fn records_of(settings: &Settings, source: &SourceId, state_at: u32, flush: Flush, records: &mut Vec<NewRecord>) {
    let topics = &settings.topics;
    for pane in flush.panes {
        let partition = wire::partition::of_model(&pane.key.model, settings.judge_partitions);
        let key = format!("{}/{}", pane.key.model, pane.key.version);
        let value = PanesRecord::Partial(pane).encode();
        records.push(NewRecord::new(topics.panes.as_str(), value).key(key).partition(partition));
    }
    // Behind the panes: whoever has read this progress has read what it is the progress of.
    let progress = PanesRecord::Progress(flush.progress).encode();
    for partition in 0..settings.judge_partitions {
        let key = source.to_string();
        records.push(NewRecord::new(topics.panes.as_str(), progress.clone()).key(key).partition(partition));
    }
    for dead in &flush.dead_letters {
        metrics::counter!(DEAD_LETTERS, "reason" => dead.reason.name()).increment(1);
        let key = format!("{}/{}/{}", dead.topic, dead.partition, dead.offset);
        records.push(json_record(&topics.deadletters, 0, &key, "tocsin.deadletter", &settings.namespace, dead));
    }
    for (key, value) in flush.state {
        let key = [state_prefix(source), key].concat();
        records.push(state_record(&topics.state_collect, state_at, key, value));
    }
}
