//! The judge loop: one fold of each panes partition, its incidents and state in the same transaction.

mod passed_on;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use detect::config::JudgeConfig;
use detect::judge::{Effects, Judge};
use detect::progress::SourceId;
use detect::record::PanesRecord;
use detect::reference::Reference;
use wire::Timestamp;
use wire::context::ContextRecord;

use crate::clock::{Clock, Now};
use crate::context::Follower;
use crate::escalate::count_incident;
use crate::gauges::{self, Look};
use crate::held::{FENCED_REST, Held};
use crate::log::{Consumer, ConsumerSpec, Event, Log, LogError, NewRecord, Offset, Start, TopicPartition};
use crate::metrics::{
    BUDGET_SPENT, CONTEXT_REFUSED, HISTORY_LEFT_OUT, PANE_LATENCY, PANES_CLOSED, TRANSACTION, TRANSACTIONS,
};
use crate::oversized;
use crate::restore::restore;
use crate::settings::{Settings, Stepped, context_records, incident_records, json_record};
use crate::state::Parts;
use crate::views::{self, Views};
use passed_on::{ENTRIES_MAX, Offer, PassedOn};

const ROLE: &str = "judge";

/// Largest context record that is passed on: what HTTP takes, as others may write to the topic too.
const CONTEXT_BYTES_MAX: usize = 64 * 1024;

struct Part<L: Log> {
    transaction: L::Transaction,
    judge: Judge,
    /// Next offset of what was taken in; what is committed is the judge's resume offset, at or below it.
    next: Option<Offset>,
    /// When the last record taken in was written.
    written_ms: i64,
    committed: Option<Offset>,
    /// Context records and references already in this panes partition.
    passed_on: PassedOn,
    /// State keys of several records.
    state: Parts,
    /// Records for this panes partition that wait for the next commit.
    inject: Vec<PanesRecord>,
    /// When each source last spoke, on the monotonic clock, and how far it had come.
    heard: BTreeMap<SourceId, Heard>,
    last_commit: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Duration,
    gave_up: bool,
}

/// Judges every assigned panes partition.
pub struct JudgeLoop<L: Log> {
    log: L,
    settings: Settings,
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
    /// What the log would not take in this step, and what to do about it.
    refused: Option<LogError>,
}

enum Arrived {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Record { partition: u32, offset: Offset, written_ms: i64, record: Option<Box<PanesRecord>> },
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
        config: Arc<JudgeConfig>,
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
            config,
            pinned,
            consumer,
            context,
            held: Held::default(),
            parts: BTreeMap::new(),
            views,
            clock,
            look: Look::default(),
            refused: None,
        })
    }

    /// Takes in what has come, judges, commits. Never sleeps.
    ///
    /// # Errors
    /// What cannot be mended here; the process should end.
    pub fn step(&mut self, now: Now) -> Result<Stepped, LogError> {
        self.open_what_is_held(now)?;
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
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        if self.look.is_due(now) {
            self.tables();
            gauges::lag(&self.log, &self.consumer, &self.look, ROLE);
            for (partition, part) in &self.parts {
                gauges::judge(*partition, &part.judge.counters());
            }
        }
        Ok(Stepped { worked, next: None })
    }

    fn poll(&mut self) -> Result<Vec<Arrived>, LogError> {
        let mut arrived = Vec::new();
        let look = &mut self.look;
        self.consumer.poll(Duration::ZERO, 2_000, &mut |event| match event {
            Event::Assigned(tps) => arrived.push(Arrived::Assigned(tps.to_vec())),
            Event::Revoked(tps) => arrived.push(Arrived::Revoked(tps.to_vec())),
            Event::Lost(tps) => arrived.push(Arrived::Lost(tps.to_vec())),
            Event::Gap { at, expected, found } => {
                arrived.push(Arrived::Gap { at: at.clone(), expected, found });
            }
            Event::End { at, position } => look.ended(at, position),
            Event::Record(r) => {
                let record = r.value.and_then(|v| PanesRecord::decode(v).ok()).map(Box::new);
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
                    self.held.gone(tp.partition);
                    self.parts.remove(&tp.partition);
                }
                self.say_partitions();
            }
            Arrived::Lost(tps) => {
                for tp in tps {
                    self.held.gone(tp.partition);
                    self.parts.remove(&tp.partition);
                }
                self.say_partitions();
            }
            Arrived::Gap { at, expected, found } => self.views.data_gap(&at, expected, found),
            Arrived::Record { partition, offset, written_ms, record } => {
                let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
                match record {
                    Some(record) => part.judge_one(offset, *record, now),
                    None => {
                        tracing::error!(partition, offset, "a panes record that is not ours was passed over")
                    }
                }
                part.next = Some(offset + 1);
                part.written_ms = written_ms;
            }
        }
        Ok(())
    }

    /// Before anything of it is delivered. What fails is tried again at the next step.
    fn open_what_is_held(&mut self, now: Now) -> Result<(), LogError> {
        for (partition, rewind) in self.held.due(now.mono) {
            if rewind {
                let at = TopicPartition::new(self.settings.topics.panes.as_str(), partition);
                self.consumer.rewind(&[at])?;
            }
            self.open(partition, now)?;
            self.held.opened(partition);
        }
        if self.held.take_news() {
            self.views.set_ready(ROLE, None);
            self.say_partitions();
        }
        Ok(())
    }

    fn say_partitions(&self) {
        self.views.set_partitions(ROLE, self.parts.len(), self.settings.judge_partitions);
    }

    fn open(&mut self, partition: u32, now: Now) -> Result<(), LogError> {
        let transaction = self.log.transaction(&self.settings.transactional_id("judge", partition))?;
        let mut judge = Judge::new(partition, Arc::clone(&self.config));
        let (mut bad, mut passed_on) = (None, PassedOn::default());
        let restored = restore(&self.log, &self.settings.topics.state_judge, partition, |key, value| {
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
        tracing::info!(partition, records = restored.records, "judge state restored");
        // A source that speaks no more must be missed by a new owner too.
        let heard = Heard { at: now.mono, gave_up: false };
        let part = Part {
            heard: judge.known_sources().map(|source| (source.clone(), heard)).collect(),
            transaction,
            judge,
            next: None,
            written_ms: 0,
            committed: None,
            passed_on,
            state: restored.parts,
            inject: Vec::new(),
            last_commit: now.mono,
        };
        self.parts.insert(partition, part);
        self.pass_on_config(partition);
        self.pass_on_references(partition);
        self.context.restart();
        Ok(())
    }

    /// Marks where in the partition another config begins to judge.
    fn pass_on_config(&mut self, partition: u32) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        let digest = self.config.digest().clone();
        part.pass_on("config".to_owned(), digest.to_string(), || PanesRecord::Config { digest });
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

    /// Measured on this process's monotonic clock since the source last spoke: no clocks are compared.
    fn give_up_on_the_silent(&mut self, now: Now) {
        for (partition, part) in &mut self.parts {
            for (source, heard) in &mut part.heard {
                if heard.gave_up || now.mono < heard.at + self.settings.hold_max {
                    continue;
                }
                // With no pane open nobody waits for it, and it may still speak in time.
                if let Some(pane) = part.judge.oldest_open() {
                    heard.gave_up = true;
                    tracing::warn!(partition, source = %source, "no progress for hold_max_s; its pane closes incomplete");
                    part.inject.push(PanesRecord::GaveUp { source: source.clone(), pane });
                }
            }
        }
    }

    /// Commits when there is something to say, at most every `commit_every`.
    fn commit(&mut self, partition: u32, now: Now) -> Result<bool, LogError> {
        let Some(part) = self.parts.get(&partition) else { return Ok(false) };
        let due = now.mono >= part.last_commit + self.settings.commit_every;
        let urgent = part.judge.is_urgent() || part.judge.has_context() || !part.inject.is_empty();
        if !(due || urgent) {
            return Ok(false);
        }
        self.write(partition, now)
    }

    fn write(&mut self, partition: u32, now: Now) -> Result<bool, LogError> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(false) };
        let resume = part.judge.resume_offset().or(part.next);
        let moved = resume.is_some() && resume != part.committed;
        if part.inject.is_empty() && !moved && !part.judge.is_urgent() {
            return Ok(false);
        }
        part.last_commit = now.mono;
        let effects = part.judge.take_effects();
        let mut records = records_of(&self.settings, partition, &effects, &mut part.state, now.wall);
        for record in std::mem::take(&mut part.inject) {
            let parts = record.in_records(&format!("judge/{partition}"));
            let panes = self.settings.topics.panes.as_str();
            records.extend(parts.into_iter().map(|value| NewRecord::new(panes, value).partition(partition)));
        }
        let state_at = (self.settings.topics.state_judge.as_str(), partition);
        part.passed_on.write(state_at, &mut part.state, &mut records);
        let at = TopicPartition::new(self.settings.topics.panes.as_str(), partition);
        let offsets: Vec<_> = resume.map(|offset| (at.clone(), offset)).into_iter().collect();
        let began = self.clock.now().mono;
        let told = [self.settings.topics.history.as_str()];
        let read = (&mut self.consumer, offsets.as_slice());
        let done = oversized::commit(&mut part.transaction, records, read, &told);
        metrics::histogram!(TRANSACTION, "role" => "judge")
            .record((self.clock.now().mono - began).as_secs_f64());
        let outcome = if done.is_ok() { "committed" } else { "failed" };
        metrics::counter!(TRANSACTIONS, "role" => "judge", "outcome" => outcome).increment(1);
        match done {
            Ok(()) => {
                part.committed = resume;
                publish(&self.views, &effects);
                if !effects.history.is_empty() {
                    #[expect(clippy::cast_precision_loss, reason = "a histogram")]
                    let waited = (now.wall.as_ms() - part.written_ms).max(0) as f64 / 1000.0;
                    metrics::histogram!(PANE_LATENCY).record(waited);
                }
                let [pages, tickets] = part.judge.counters().granted;
                for (kind, granted) in [("page", pages), ("ticket", tickets)] {
                    let partition = partition.to_string();
                    metrics::gauge!(BUDGET_SPENT, "kind" => kind, "partition" => partition).set(granted);
                }
                if let Some(watermark) = part.judge.watermark() {
                    self.views.set_watermark(watermark);
                }
            }
            Err(LogError::Fenced { .. }) => {
                tracing::warn!(partition, "another process took this panes partition over; given up");
                self.held.again(partition, now.mono + FENCED_REST);
                self.parts.remove(&partition);
                self.say_partitions();
            }
            Err(e @ (LogError::Aborted { .. } | LogError::Retriable { .. })) => {
                tracing::warn!(partition, error = %e, "commit did not hold; going back to the last one");
                self.held.again(partition, now.mono);
                self.parts.remove(&partition);
            }
            Err(LogError::TooLarge { topic, bytes }) => {
                self.refused = Some(oversized::mend(&topic, bytes));
                self.held.again(partition, now.mono);
                self.parts.remove(&partition);
            }
            Err(e) => return Err(e),
        }
        Ok(true)
    }

    /// The fullest table of each kind, beside what it may have: each partition has its own bound.
    fn tables(&self) {
        let size = self.parts.values().map(|part| part.passed_on.len()).max().unwrap_or(0);
        gauges::table("context", size as u64, ENTRIES_MAX as u64);
        let fullest =
            |of: fn(&Judge) -> usize| self.parts.values().map(|p| of(&p.judge)).max().unwrap_or(0) as u64;
        gauges::table("keys", fullest(Judge::keys_len), self.config.judge.keys_max as u64);
        gauges::table("open_panes", fullest(Judge::open_panes_len), self.config.judge.open_panes_max as u64);
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

impl<L: Log> Part<L> {
    fn judge_one(&mut self, offset: Offset, record: PanesRecord, now: Now) {
        if let PanesRecord::Progress(p) = &record {
            let heard = Heard { at: now.mono, gave_up: false };
            for source in &p.sources {
                if !self.heard.contains_key(source) {
                    self.heard.insert(source.clone(), heard);
                }
            }
            self.heard.insert(p.source.clone(), heard);
        }
        self.judge.handle(offset, record);
    }

    fn pass_on(&mut self, key: String, digest: String, record: impl FnOnce() -> PanesRecord) {
        match self.passed_on.offer(key, digest) {
            Offer::Known => (),
            Offer::New => self.inject.push(record()),
            Offer::Full { first } => {
                metrics::counter!(CONTEXT_REFUSED, "reason" => "full").increment(1);
                if first {
                    tracing::error!(
                        "a panes partition knows of {ENTRIES_MAX} deployments and lineages; no more are passed on: older ones stay known"
                    );
                }
            }
        }
    }
}

fn publish(views: &Views, effects: &Effects) {
    for incident in &effects.incidents {
        count_incident(incident);
        views.tell(views::Event::Incident { incident: Arc::new(incident.clone()) });
    }
    for h in effects.history.iter().filter(|h| h.segment.is_none()) {
        views.panes.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(PANES_CLOSED).increment(1);
        metrics::counter!(HISTORY_LEFT_OUT).increment(h.left_out.into());
        let mut view = views.models.entry((h.model.clone(), h.version.clone())).or_default();
        view.model.clone_from(&h.model);
        view.version.clone_from(&h.version);
        view.last_pane = Some(h.window[1]);
        view.predictions += h.predictions;
        view.labels += h.labels;
        view.p50_ms = h.latency_ms.get("p50").copied().or(view.p50_ms);
        view.p99_ms = h.latency_ms.get("p99").copied().or(view.p99_ms);
        view.verdicts.clear();
        for s in &h.streams {
            let name = serde_json::to_value(s.verdict).ok().and_then(|v| v.as_str().map(str::to_owned));
            *view.verdicts.entry(name.unwrap_or_default()).or_default() += 1;
        }
    }
}

fn records_of(
    settings: &Settings,
    partition: u32,
    e: &Effects,
    state: &mut Parts,
    now: Timestamp,
) -> Vec<NewRecord> {
    let (topics, ns) = (&settings.topics, settings.namespace.as_str());
    let mut records = Vec::new();
    for incident in &e.incidents {
        records.extend(incident_records(settings, incident, now));
    }
    for h in &e.history {
        let key = format!("{}/{}", h.model, h.version);
        records.push(json_record(&topics.history, partition, &key, "tocsin.history", ns, h));
    }
    for c in &e.context {
        records.extend(context_records(settings, c.clone()));
    }
    for (key, value) in &e.state {
        state.put((&topics.state_judge, partition), key.clone(), value.clone(), &mut records);
    }
    records
}
