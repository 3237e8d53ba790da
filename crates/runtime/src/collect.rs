//! The collect loop: telemetry in, partial panes, progress and offsets out in one transaction.

mod flushed;
mod idle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use detect::collect::{CollectConfig, Collector, RecordAt, Role};
use detect::progress::SourceId;
use wire::context::ContextRecord;

use crate::clock::{Clock, Now};
use crate::commit::{Ended, commit};
use crate::context::Follower;
use crate::end::End;
use crate::gauges::{self, Look, Told};
use crate::held::{Held, Opens};
use crate::log::{Consumer, ConsumerSpec, Event, Log, LogError, Offset, Start, TopicPartition};
use crate::metrics::{RECORDS, WATERMARK_AGE};
use crate::restore::{Teller, restore};
use crate::settings::{Settings, Stepped};
use crate::state::Parts;
use crate::views::Views;
use flushed::{records_of, state_prefix, tell_nothing_yet};
use idle::Silence;

const ROLE: &str = "collect";

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
    /// State keys of several records.
    state: Parts,
    predictions: TopicPartition,
    labels: Option<TopicPartition>,
    labels_paused: bool,
    predictions_paused: bool,
    labels_end: End,
    labels_given_up: bool,
    /// Something was read since the last commit.
    read: bool,
    silence: Silence,
    last_progress: Duration,
    told: Told,
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
    transactional_id: String,
    fenced: Fenced,
    context: Follower<L>,
    profiles: BTreeMap<String, Arc<wire::profile::Profile>>,
    held: Held,
    parts: BTreeMap<u32, Part>,
    last_commit: Duration,
    views: Arc<Views>,
    clock: Clock,
    look: Look,
}

/// Whether the transactional id must be taken again.
#[derive(Clone, Copy, Debug, Default)]
struct Fenced {
    is_now: bool,
    /// When it last was, on the monotonic clock.
    last: Option<Duration>,
}

/// Two processes that go by one name and have something to do fence each other within this. A broker takes the id away from
/// one that stands still only after the time of a transaction.
const FENCED_AGAIN: Duration = Duration::from_secs(5);

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
        let id = settings.transactional_id(ROLE, format_args!("{}-{thread}", settings.instance));
        let transaction = log.transaction(&id)?;
        let source_partitions = log
            .partitions(&spec.topic)?
            .ok_or_else(|| LogError::NotFound { what: format!("topic {}", spec.topic) })?;
        let consumer = log.consumer(ConsumerSpec {
            group: format!("{}-{}", settings.group(ROLE), spec.topic).into(),
            lead: vec![spec.topic.as_str().into()],
            partners: spec.labels_topic.iter().map(|t| t.as_str().into()).collect(),
            client_id: format!("{}-collect-{thread}", settings.instance),
            start: Start::Earliest,
        })?;
        views.set_ready(ROLE, Some("its partitions".into()));
        tell_nothing_yet();
        Ok(Self {
            context: Follower::new(log.clone(), &settings.topics.context),
            log,
            settings,
            config,
            spec,
            source_partitions,
            consumer,
            transaction,
            transactional_id: id,
            fenced: Fenced::default(),
            profiles: BTreeMap::new(),
            held: Held::default(),
            parts: BTreeMap::new(),
            last_commit: Duration::ZERO,
            views,
            clock,
            look: Look::default(),
        })
    }

    /// Folds what has come and commits when it is time. Never sleeps.
    ///
    /// # Errors
    /// What cannot be mended here; the process should end.
    pub fn step(&mut self, now: Now) -> Result<Stepped, LogError> {
        if self.fenced.is_now {
            self.transaction = self.log.transaction(&self.transactional_id)?;
            self.fenced.is_now = false;
        }
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
        if self.open_what_is_held(now)? {
            return Ok(Stepped { worked: true, next: None });
        }
        let (turns, records) = self.poll(now)?;
        let arrived = records > 0 || !turns.is_empty();
        for turn in turns {
            self.turn(turn, now)?;
        }
        self.pause_what_is_ahead()?;
        let full = self.parts.values().any(|part| part.collector.should_flush());
        let due = full || now.mono >= self.last_commit + self.settings.commit_every;
        let committed = due && self.commit(now)?;
        self.held.refusal()?;
        if self.look.is_due(now) {
            gauges::lag(&self.log, &self.consumer, &self.look, &self.views, ROLE);
            self.tables();
        }
        let timers = [self.last_commit + self.settings.commit_every, self.context.next(), self.look.next()];
        let next = timers.into_iter().chain(self.held.next()).min();
        Ok(Stepped { worked: arrived || committed, next })
    }

    /// Entries of the collectors' tables in this loop, beside what they may have.
    fn tables(&self) {
        let raw = self.config.raw();
        let held = self.parts.len() as u64;
        let sum = |of: fn(&detect::collect::Sizes) -> usize| -> usize {
            self.parts.values().map(|p| of(&p.collector.sizes())).sum()
        };
        for (table, size, bound) in [
            ("waiting_for_label", sum(|s| s.waiting), u64::from(raw.labels.waiting_max)),
            ("duplicate_ids", sum(|s| s.ids), u64::from(raw.duplicates.ids_max)),
            ("versions", sum(|s| s.versions), u64::from(raw.models_max) * u64::from(raw.versions_max)),
        ] {
            gauges::table(table, size as u64, bound * held);
        }
    }

    fn poll(&mut self, now: Now) -> Result<(Vec<Turn>, usize), LogError> {
        self.parts.values_mut().for_each(|part| part.silence.listen(now.mono));
        let mut turns = Vec::new();
        let (parts, look, topic) = (&mut self.parts, &mut self.look, self.spec.topic.as_str());
        let (mut predictions, mut labels) = (0u64, 0u64);
        let polled = self.consumer.poll(Duration::ZERO, 10_000, &mut |event| match event {
            Event::Record(r) => {
                let Some(part) = parts.get_mut(&r.partition) else { return };
                let is_lead = r.topic == topic;
                let role = if is_lead { Role::Predictions } else { Role::Labels };
                *(if is_lead { &mut predictions } else { &mut labels }) += 1;
                part.collector
                    .record(RecordAt { role, offset: r.offset, value: r.value }, |name| r.headers.get(name));
                part.took(is_lead);
            }
            Event::End { at, position } => {
                look.ended(at, position);
                if let Some(part) = parts.get_mut(&at.partition) {
                    if *at.topic == *topic {
                        part.silence.ended(now.mono);
                    } else {
                        part.labels_end.delivered = true;
                    }
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
                let led = self.led(&tps);
                self.held.assigned(led);
            }
            Turn::Revoked(tps) => {
                self.commit(now)?;
                self.drop_parts(&tps);
            }
            Turn::Lost(tps) => self.drop_parts(&tps),
            Turn::Gap { at, expected, found } => self.views.data_gap(&at, expected, found),
        }
        Ok(())
    }

    fn drop_parts(&mut self, tps: &[TopicPartition]) {
        for tp in tps.iter().filter(|tp| *tp.topic == *self.spec.topic) {
            self.held.gone(tp.partition);
            self.parts.remove(&tp.partition);
        }
    }

    fn sources(&self) -> Vec<SourceId> {
        (0..self.source_partitions)
            .map(|partition| SourceId { topic: self.spec.topic.clone(), partition })
            .collect()
    }

    fn state_partition(&self, source: &SourceId) -> u32 {
        wire::partition::of_model(&source.to_string(), self.settings.collect_partitions)
    }

    /// Labels and predictions of two topics are read in the order of event time, so that pace and restarts change
    /// nothing: whichever is ahead waits in its topic.
    fn pause_what_is_ahead(&mut self) -> Result<(), LogError> {
        for part in self.parts.values_mut() {
            let Some(labels) = &part.labels else { continue };
            let wait = part.collector.labels_wait();
            switch(&mut self.consumer, labels, &mut part.labels_paused, wait)?;
            // Of labels that give no answer it is not known whether there are more: they are not waited for for ever.
            let no_more = part.labels_end.delivered || part.labels_given_up;
            let wait = part.collector.predictions_wait(no_more);
            switch(&mut self.consumer, &part.predictions, &mut part.predictions_paused, wait)?;
        }
        Ok(())
    }

    /// Seldom enough to be no burden, and several times before a judge would miss the source.
    fn progress_every(&self) -> Duration {
        self.settings.progress_every.min(self.settings.hold_max / 3)
    }

    fn commit(&mut self, now: Now) -> Result<bool, LogError> {
        self.last_commit = now.mono;
        let (mut records, mut offsets) = (Vec::new(), Vec::new());
        let (after, every) = (self.settings.idle, self.progress_every());
        // Where one wakes, the judge wants to hear of the others anew: what they said while it slept holds no more.
        let woke =
            self.parts.values().any(|p| p.silence.said_idle && !p.silence.may_be_idle(now.mono, after));
        let (awake, asleep): (Vec<_>, Vec<_>) =
            self.parts.values_mut().partition(|p| !p.silence.may_be_idle(now.mono, after));
        for part in awake.into_iter().chain(asleep) {
            let due = woke || now.mono >= part.last_progress + every;
            if !part.read && !due && part.silence.said_idle {
                continue;
            }
            let quiet = part.silence.is_idle(&self.log, &self.consumer, &part.predictions, now.mono, after);
            let unread = (quiet || part.collector.waits_for_labels())
                && part.waits_for_labels(&self.log, &self.consumer, now, self.settings.hold_max);
            // Whoever is idle lets time pass without its labels too; those that wait for predictions wait for longer.
            let idle = quiet && (!unread || part.labels_paused);
            if !part.read && !due && idle == part.silence.said_idle {
                continue;
            }
            part.silence.said_idle = idle;
            part.last_progress = now.mono;
            part.collector.set_labels_unread(unread);
            let mut flush = part.collector.flush(part.silence.end.delivered, idle);
            flush.progress.caught_up = quiet
                || part.silence.is_caught_up(&self.log, &self.consumer, &part.predictions, now.mono, every);
            self.views.dead_letters.fetch_add(flush.dead_letters.len() as u64, Ordering::Relaxed);
            let at = wire::partition::of_model(&part.source.to_string(), self.settings.collect_partitions);
            part.read = false;
            if let Some(watermark) = flush.progress.watermark {
                #[expect(clippy::cast_precision_loss, reason = "a gauge")]
                let age = now.wall.since_ms(watermark) as f64 / 1000.0;
                metrics::gauge!(WATERMARK_AGE, "source" => part.source.to_string()).set(age);
            }
            let positions = flush.positions;
            offsets.extend(positions.predictions.map(|o| (part.predictions.clone(), o)));
            offsets.extend(part.labels.clone().zip(positions.labels));
            records_of(&self.settings, &part.source, (at, &mut part.state), flush, &mut records);
        }
        if records.is_empty() && offsets.is_empty() {
            return Ok(false);
        }
        let told = [self.settings.topics.deadletters.as_str()];
        let read = (&mut self.consumer, offsets.as_slice());
        match commit(ROLE, self.clock, &mut self.transaction, records, read, &told)? {
            Ended::Committed => {
                for part in self.parts.values_mut() {
                    part.told.collector(&part.source.topic, &part.collector.counters());
                }
            }
            Ended::Fenced => self.lose_id(now)?,
            // The id is nobody else's: at once.
            Ended::Lost => {
                self.fenced.is_now = true;
                self.go_back(Ended::Aborted, now);
            }
            how @ (Ended::Aborted | Ended::Refused(_)) => self.go_back(how, now),
        }
        Ok(true)
    }

    /// The id is this process's own. Its broker gives up a transaction of one that stood still, and the id with it: it is
    /// taken again. Or another process goes by its name: that one will be fenced by it, and it by that one.
    fn lose_id(&mut self, now: Now) -> Result<(), LogError> {
        if self.fenced.last.is_some_and(|last| now.mono < last + FENCED_AGAIN) {
            let (id, instance) = (&self.transactional_id, &self.settings.instance);
            return Err(LogError::Config {
                what: format!(
                    "transactional id {id:?} was taken away twice: another process runs as [log] instance {instance:?} too; give each a name of its own"
                ),
                source: None,
            });
        }
        tracing::warn!(id = self.transactional_id, "the transactional id was taken away; taking it again");
        self.fenced = Fenced { is_now: true, last: Some(now.mono) };
        self.go_back(Ended::Aborted, now);
        Ok(())
    }

    /// State and position of every partition still held go back to the last commit.
    fn go_back(&mut self, how: Ended, now: Now) {
        let mut how = Some(how);
        for partition in std::mem::take(&mut self.parts).into_keys() {
            self.held.ended(partition, how.take().unwrap_or(Ended::Aborted), now.mono);
        }
    }

    fn led(&self, tps: &[TopicPartition]) -> Vec<u32> {
        tps.iter().filter(|tp| *tp.topic == *self.spec.topic).map(|tp| tp.partition).collect()
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

impl<L: Log> Opens for CollectLoop<L> {
    fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    fn rewind(&mut self, partition: u32) -> Result<(), LogError> {
        let mut both = self.consumer.assignment();
        both.retain(|at| at.partition == partition);
        // What was ahead is not any more.
        self.consumer.resume(&both)?;
        self.consumer.rewind(&both)
    }

    fn open(&mut self, partition: u32, _: Now) -> Result<(), LogError> {
        let source = SourceId { topic: self.spec.topic.clone(), partition };
        let mut collector = Collector::new(source.clone(), self.sources(), Arc::clone(&self.config));
        for profile in self.profiles.values() {
            collector.profile(Arc::clone(profile));
        }
        let prefix = state_prefix(&source);
        let mut bad = None;
        let at = self.state_partition(&source);
        let teller = Teller { role: ROLE, part: &source, views: &self.views, clock: self.clock };
        let topic = self.settings.topics.state_collect.as_str();
        let state = restore(&self.log, (topic, at), &teller, |key, value| {
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
        let labels = self.spec.labels_topic.as_deref().map(|topic| TopicPartition::new(topic, partition));
        let part = Part {
            source,
            collector,
            state,
            predictions: TopicPartition::new(self.spec.topic.as_str(), partition),
            labels,
            labels_paused: false,
            predictions_paused: false,
            labels_end: End::default(),
            labels_given_up: false,
            read: false,
            silence: Silence::new(),
            last_progress: Duration::ZERO,
            told: Told::default(),
        };
        self.parts.insert(partition, part);
        Ok(())
    }

    fn is_open(&mut self) {
        self.views.set_ready(ROLE, None);
    }
}

fn switch<C: Consumer>(
    consumer: &mut C,
    at: &TopicPartition,
    paused: &mut bool,
    wait: bool,
) -> Result<(), LogError> {
    match (*paused, wait) {
        (false, true) => consumer.pause(std::slice::from_ref(at))?,
        (true, false) => consumer.resume(std::slice::from_ref(at))?,
        (false, false) | (true, true) => (),
    }
    *paused = wait;
    Ok(())
}

impl Part {
    /// Whether there may be labels that were not read. Of a log that has not answered for `hold_max` it is not known; as
    /// with predictions, time then goes on without them, and they count as late.
    fn waits_for_labels<L: Log>(
        &mut self,
        log: &L,
        consumer: &L::Consumer,
        now: Now,
        hold_max: Duration,
    ) -> bool {
        let Some(labels) = &self.labels else { return false };
        if self.labels_end.all_read(log, consumer, labels, now.mono) {
            return false;
        }
        let given_up = self.labels_end.mute_for() >= hold_max;
        if given_up && !self.labels_given_up {
            tracing::warn!(source = %self.source, "its labels do not answer for hold_max_s; panes close without them");
        }
        self.labels_given_up = given_up;
        !given_up
    }

    fn took(&mut self, is_lead: bool) {
        self.read = true;
        if is_lead {
            self.silence.broken();
        } else {
            self.labels_end.broken();
        }
    }
}
