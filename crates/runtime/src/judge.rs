//! The judge loop: one fold of each panes partition, its incidents and state in the same transaction.

mod part;
mod passed_on;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use detect::config::JudgeConfig;
use detect::judge::Judge;
use detect::record::{PanesRecord, RecordError};
use detect::reference::Reference;
use wire::context::ContextRecord;

use crate::clock::{Clock, Now};
use crate::commit::commit;
use crate::context::Follower;
use crate::gauges::{self, Look};
use crate::held::{Held, Opens};
use crate::live::Live;
use crate::log::{Consumer, ConsumerSpec, Event, Log, LogError, Offset, Start, TopicPartition};
use crate::metrics::{CONFIG_REPLACED, CONTEXT_REFUSED, UNREADABLE};
use crate::restore::{Teller, restore};
use crate::settings::{Settings, Stepped};
use crate::views::{VERSIONS_MAX, Views};
use part::Part;
use passed_on::{ENTRIES_MAX, PassedOn};

const ROLE: &str = "judge";

/// Largest context record that is passed on: what HTTP takes, as others may write to the topic too.
const CONTEXT_BYTES_MAX: usize = 64 * 1024;

/// Judges every assigned panes partition.
pub struct JudgeLoop<L: Log> {
    log: L,
    settings: Settings,
    live: Arc<Live<JudgeConfig>>,
    /// What the config file of this process says: it judges once a record of the partition says so.
    config: Arc<JudgeConfig>,
    /// Pinned references of the config, by model and version.
    pinned: Arc<Vec<Reference>>,
    consumer: L::Consumer,
    context: Follower<L>,
    held: Held,
    parts: BTreeMap<u32, Part<L>>,
    views: Arc<Views>,
    clock: Clock,
    look: Look,
}

enum Arrived {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Record { partition: u32, offset: Offset, written_ms: i64, record: Result<Box<PanesRecord>, RecordError> },
    Gap { at: TopicPartition, expected: Offset, found: Offset },
}

impl<L: Log> JudgeLoop<L> {
    /// Joins the group. Nothing is read before the first step.
    ///
    /// # Errors
    /// When the log refuses.
    pub fn new(
        log: L,
        settings: Settings,
        live: Arc<Live<JudgeConfig>>,
        pinned: Arc<Vec<Reference>>,
        views: Arc<Views>,
        clock: Clock,
    ) -> Result<Self, LogError> {
        let consumer = log.consumer(ConsumerSpec {
            group: settings.group("judge").into(),
            lead: vec![settings.topics.panes.as_str().into()],
            partners: vec![],
            client_id: format!("{}-judge", settings.instance),
            start: Start::Earliest,
        })?;
        views.set_ready(ROLE, Some("its partitions".into()));
        views.set_partitions(ROLE, 0, settings.judge_partitions);
        let context = Follower::new(log.clone(), &settings.topics.context);
        Ok(Self {
            log,
            settings,
            config: live.get(),
            live,
            pinned,
            consumer,
            context,
            held: Held::default(),
            parts: BTreeMap::new(),
            views,
            clock,
            look: Look::default(),
        })
    }

    /// Takes in what has come, judges, commits. Never sleeps.
    ///
    /// # Errors
    /// What cannot be mended here; the process should end.
    pub fn step(&mut self, now: Now) -> Result<Stepped, LogError> {
        let stepped = self.work(now);
        // While the log is away collectors cannot commit either: their silence says nothing of them.
        if matches!(&stepped, Err(LogError::Retriable { .. } | LogError::NotFound { .. })) {
            self.parts.values_mut().for_each(Part::listen_anew);
        }
        stepped
    }

    fn work(&mut self, now: Now) -> Result<Stepped, LogError> {
        if self.live.take_up(&mut self.config) {
            let here: Vec<u32> = self.parts.keys().copied().collect();
            here.into_iter().for_each(|partition| self.pass_on_config(partition));
        }
        if self.open_what_is_held(now)? {
            return Ok(Stepped { worked: true, next: None });
        }
        self.parts.values_mut().for_each(|part| part.listen(now));
        let arrived = self.poll()?;
        let mut worked = !arrived.is_empty();
        for one in arrived {
            self.take(one, now)?;
        }
        for (key, record) in self.context.follow(now)? {
            self.pass_on(&key, &record);
        }
        self.give_up_on_the_silent(now);
        let partitions: Vec<u32> = self.parts.keys().copied().collect();
        for partition in partitions {
            worked |= self.commit(partition, now)?;
        }
        self.held.refusal()?;
        if self.look.is_due(now) {
            self.tables();
            let mute = gauges::lag(&self.log, &self.consumer, &self.look, &self.views, ROLE);
            for (partition, part) in &mut self.parts {
                part.answers(!mute.iter().any(|at| at.partition == *partition));
            }
            for (partition, part) in &self.parts {
                gauges::judge(*partition, &part.judge.counters());
                self.views.judges_by(*partition, Some(part.judge.config().digest()));
            }
        }
        Ok(Stepped { worked, next: self.next() })
    }

    fn give_up_on_the_silent(&mut self, now: Now) {
        let hold_max = self.settings.hold_max;
        for (partition, part) in &mut self.parts {
            if !part.misses_somebody(now, hold_max) {
                continue;
            }
            let at = TopicPartition::new(self.settings.topics.panes.as_str(), *partition);
            if part.end.all_read(&self.log, &self.consumer, &at, now.mono) {
                part.give_up_on_the_silent(*partition, now, hold_max);
            }
        }
    }

    fn next(&self) -> Option<Duration> {
        let (commit_every, hold_max) = (self.settings.commit_every, self.settings.hold_max);
        let parts = self.parts.values().filter_map(|part| part.next(commit_every, hold_max));
        parts.chain(self.held.next()).chain([self.context.next(), self.look.next()]).min()
    }

    fn poll(&mut self) -> Result<Vec<Arrived>, LogError> {
        let mut arrived = Vec::new();
        let (look, parts) = (&mut self.look, &mut self.parts);
        self.consumer.poll(Duration::ZERO, 2_000, &mut |event| match event {
            Event::Assigned(tps) => arrived.push(Arrived::Assigned(tps.to_vec())),
            Event::Revoked(tps) => arrived.push(Arrived::Revoked(tps.to_vec())),
            Event::Lost(tps) => arrived.push(Arrived::Lost(tps.to_vec())),
            Event::Gap { at, expected, found } => {
                arrived.push(Arrived::Gap { at: at.clone(), expected, found });
            }
            Event::End { at, position } => {
                look.ended(at, position);
                if let Some(part) = parts.get_mut(&at.partition) {
                    part.end.delivered = true;
                }
            }
            Event::Record(r) => {
                if let Some(part) = parts.get_mut(&r.partition) {
                    part.end.broken();
                }
                let record = PanesRecord::decode(r.value.unwrap_or_default()).map(Box::new);
                arrived.push(Arrived::Record {
                    partition: r.partition,
                    offset: r.offset,
                    written_ms: r.timestamp_ms,
                    record,
                });
            }
        })?;
        Ok(arrived)
    }

    fn take(&mut self, arrived: Arrived, now: Now) -> Result<(), LogError> {
        match arrived {
            Arrived::Assigned(tps) => {
                self.held.assigned(tps.iter().map(|tp| tp.partition));
            }
            Arrived::Revoked(tps) => {
                for tp in tps {
                    self.write(tp.partition, now)?;
                    self.let_go(tp.partition);
                }
            }
            Arrived::Lost(tps) => {
                tps.iter().for_each(|tp| self.let_go(tp.partition));
            }
            Arrived::Gap { at, expected, found } => self.views.data_gap(&at, expected, found),
            Arrived::Record { partition, offset, written_ms, record } => {
                let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
                match record {
                    Ok(record) => part.judge_one(offset, *record),
                    // Passed over, it would be lost for those that could read it too.
                    Err(e @ RecordError::TooNew { .. }) => {
                        let at = TopicPartition::new(self.settings.topics.panes.as_str(), partition);
                        let what = format!(
                            "{at}, offset {offset}: {e}; nothing of it was committed, upgrade this process"
                        );
                        return Err(LogError::Fatal { what, source: Some(Arc::new(e)) });
                    }
                    Err(e @ (RecordError::Empty | RecordError::Damaged(_) | RecordError::DamagedJson(_))) => {
                        metrics::counter!(UNREADABLE, "topic" => self.settings.topics.panes.clone())
                            .increment(1);
                        tracing::error!(partition, offset, error = %e, "a panes record that is not ours was passed over");
                    }
                }
                part.next = Some(offset + 1);
                part.written_ms = written_ms;
            }
        }
        Ok(())
    }

    /// Another process judges this partition, or will: what is shown of its models is its business.
    fn let_go(&mut self, partition: u32) {
        self.held.gone(partition);
        self.parts.remove(&partition);
        let of = self.settings.judge_partitions;
        self.views.judges_by(partition, None);
        self.views.forget_models(&|model| wire::partition::of_model(model, of) == partition);
        self.views.set_watermark(partition, None);
        self.say_partitions();
    }

    fn say_partitions(&self) {
        self.views.set_partitions(ROLE, self.parts.len(), self.settings.judge_partitions);
    }

    /// Says in the partition what to judge by from the next pane on, unless that was the last word on it. Of processes
    /// with different files, the one that took the partition last has it.
    fn pass_on_config(&mut self, partition: u32) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        let config = Arc::clone(&self.config);
        let before = part.judge.next_config().map_or(part.judge.config(), |(next, _)| next).digest().clone();
        let record = || PanesRecord::Config(Box::new(config.rules()));
        let is_new = part.pass_on("config".to_owned(), config.digest().to_string(), record);
        if is_new && before != *config.digest() {
            tracing::info!(partition, %before, after = %config.digest(), "another config judges from the next pane on");
            metrics::counter!(CONFIG_REPLACED, "partition" => partition.to_string()).increment(1);
        }
    }

    /// What a judge uses beside panes enters as a record of its own panes partition, so that incidents are a
    /// function of that one log. Pinned references of the config first.
    fn pass_on_references(&mut self, partition: u32) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        for reference in self.pinned.iter() {
            let profile = &reference.profile;
            if wire::partition::of_model(&profile.model, self.settings.judge_partitions) != partition {
                continue;
            }
            let key = format!("reference/{}/{}", profile.model, profile.version);
            part.pass_on(key, reference.digest().to_string(), || {
                PanesRecord::Reference(Box::new(reference.clone()))
            });
        }
    }

    fn pass_on(&mut self, key: &str, record: &ContextRecord) {
        // The judge made the profiles itself.
        if matches!(record, ContextRecord::Profile(_) | ContextRecord::ProfilePart(_)) {
            return;
        }
        let json = serde_json::to_vec(record).expect("plain data");
        let name = record.model().map_or(0, str::len);
        if json.len() > CONTEXT_BYTES_MAX || name > detect::decode::NAME_BYTES_MAX {
            metrics::counter!(CONTEXT_REFUSED, "reason" => "too_large").increment(1);
            return;
        }
        let digest = wire::Digest::of(&[&json]).to_string();
        for (partition, part) in &mut self.parts {
            let here = record
                .model()
                .is_none_or(|m| wire::partition::of_model(m, self.settings.judge_partitions) == *partition);
            if here {
                part.pass_on(key.to_owned(), digest.clone(), || PanesRecord::Context(record.clone()));
            }
        }
    }

    /// Commits when there is something to say, at most every `commit_every`.
    fn commit(&mut self, partition: u32, now: Now) -> Result<bool, LogError> {
        let Some(part) = self.parts.get(&partition) else { return Ok(false) };
        if now.mono < part.last_commit + self.settings.commit_every && !part.is_urgent() {
            return Ok(false);
        }
        self.write(partition, now)
    }

    fn write(&mut self, partition: u32, now: Now) -> Result<bool, LogError> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(false) };
        if !part.has_news() {
            return Ok(false);
        }
        part.last_commit = now.mono;
        let (effects, resume) = (part.judge.take_effects(), part.resume());
        let records = part.records(&self.settings, partition, &effects, now.wall);
        let at = TopicPartition::new(self.settings.topics.panes.as_str(), partition);
        let offsets: Vec<_> = resume.map(|offset| (at, offset)).into_iter().collect();
        let told = [self.settings.topics.history.as_str()];
        let read = (&mut self.consumer, offsets.as_slice());
        let how = commit(ROLE, self.clock, &mut part.transaction, records, read, &told)?;
        if self.held.ended(partition, how, now.mono) {
            part.committed = resume;
            part.publish(&self.views, partition, &effects, now.wall);
        } else {
            self.parts.remove(&partition);
            self.say_partitions();
        }
        Ok(true)
    }

    /// The fullest table of each kind, beside what it may have: each partition has its own bound.
    fn tables(&self) {
        let size = self.parts.values().map(|part| part.passed_on.len()).max().unwrap_or(0);
        gauges::table("context", size as u64, ENTRIES_MAX as u64);
        let fullest =
            |of: fn(&Judge) -> usize| self.parts.values().map(|p| of(&p.judge)).max().unwrap_or(0) as u64;
        let judge = &self.config.judge;
        gauges::table("keys", fullest(Judge::keys_len), judge.keys_max as u64);
        gauges::table("versions_shown", self.views.models_len() as u64, VERSIONS_MAX as u64);
        gauges::table("open_panes", fullest(Judge::open_panes_len), judge.open_panes_max as u64);
    }

    /// Leaves the group; what was judged is committed first.
    ///
    /// # Errors
    /// When the last commit fails; nothing is lost, the next owner judges again.
    pub fn close(mut self, now: Now) -> Result<(), LogError> {
        let partitions: Vec<u32> = self.parts.keys().copied().collect();
        for partition in partitions {
            self.write(partition, now)?;
        }
        self.consumer.close()
    }
}

impl<L: Log> Opens for JudgeLoop<L> {
    fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    fn rewind(&mut self, partition: u32) -> Result<(), LogError> {
        let at = TopicPartition::new(self.settings.topics.panes.as_str(), partition);
        self.consumer.rewind(&[at])
    }

    fn open(&mut self, partition: u32, now: Now) -> Result<(), LogError> {
        let transaction = self.log.transaction(&self.settings.transactional_id("judge", partition))?;
        let mut judge = Judge::new(partition, Arc::clone(&self.config));
        let (mut bad, mut passed_on) = (None, PassedOn::default());
        let teller = Teller { role: ROLE, part: &partition, views: &self.views, clock: self.clock };
        let topic = self.settings.topics.state_judge.as_str();
        let state = restore(&self.log, (topic, partition), &teller, |key, value| {
            if !passed_on.restore(key, value)
                && let Err(e) = judge.restore(key, value)
            {
                bad.get_or_insert(e);
            }
        })?;
        if let Some(e) = bad {
            let what = format!("state of judge partition {partition} cannot be read");
            return Err(LogError::Fatal { what, source: Some(Arc::new(e)) });
        }
        self.views.set_watermark(partition, judge.watermark());
        self.parts.insert(partition, Part::new(transaction, judge, passed_on, state, now));
        self.pass_on_config(partition);
        self.pass_on_references(partition);
        self.context.restart();
        Ok(())
    }

    fn is_open(&mut self) {
        self.views.set_ready(ROLE, None);
        self.say_partitions();
    }
}
