//! One panes partition as a judge works on it: its core, what waits to be written, and who has last been heard of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use detect::judge::{Effects, Judge};
use detect::progress::{Progress, SourceId};
use detect::record::PanesRecord;
use wire::Timestamp;

use super::passed_on::{ENTRIES_MAX, Offer, PassedOn};
use crate::clock::Now;
use crate::end::End;
use crate::escalate::count_incident;
use crate::log::{Log, NewRecord, Offset};
use crate::metrics::{BUDGET_SPENT, CONTEXT_REFUSED, HISTORY_LEFT_OUT, PANE_LATENCY, PANES_CLOSED};
use crate::settings::{Settings, context_records, incident_records, json_record};
use crate::state::Parts;
use crate::views::{self, Views};

pub(super) struct Part<L: Log> {
    pub(super) transaction: L::Transaction,
    pub(super) judge: Judge,
    /// Next offset of what was taken in; what is committed is the judge's resume offset, at or below it.
    pub(super) next: Option<Offset>,
    /// When the last record taken in was written.
    pub(super) written_ms: i64,
    pub(super) committed: Option<Offset>,
    /// Context records and references already in this panes partition.
    pub(super) passed_on: PassedOn,
    /// State keys of several records.
    state: Parts,
    /// Records for this panes partition that wait for the next commit.
    pub(super) inject: Vec<PanesRecord>,
    /// When each source last got on, on the monotonic clock.
    heard: BTreeMap<SourceId, Heard>,
    pub(super) last_commit: Duration,
    /// What is known of the end of its partition.
    pub(super) end: End,
    /// How many looks in a row found that its partition gives no answer.
    mute_looks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Watermark and read position as it last said.
    said: Option<(Option<Timestamp>, i64)>,
    /// When its silence began: a time before a poll that brought nothing of it. `None` until the next poll.
    silent_since: Option<Duration>,
    gave_up: bool,
}

impl Heard {
    const NOW: Self = Self { said: None, silent_since: None, gave_up: false };

    /// A collector goes on saying how far it is when its partition does not answer any more: that alone is silence.
    fn takes_in(&mut self, p: &Progress) {
        let moved = self.said.is_none_or(|(watermark, to)| p.watermark > watermark || p.read_to > to);
        self.said = Some((p.watermark, p.read_to));
        if moved || p.caught_up || p.idle {
            (self.silent_since, self.gave_up) = (None, false);
        }
    }

    fn is_missed(&self, now: Now, hold_max: Duration) -> bool {
        !self.gave_up && self.silent_since.is_some_and(|since| now.mono >= since + hold_max)
    }
}

impl<L: Log> Part<L> {
    pub(super) fn new(
        transaction: L::Transaction,
        judge: Judge,
        passed_on: PassedOn,
        state: Parts,
        now: Now,
    ) -> Self {
        // A source that gets on no more must be missed by a new owner too.
        Self {
            heard: judge.known_sources().map(|source| (source.clone(), Heard::NOW)).collect(),
            end: End::default(),
            mute_looks: 0,
            transaction,
            judge,
            next: None,
            written_ms: 0,
            committed: None,
            passed_on,
            state,
            inject: Vec::new(),
            last_commit: now.mono,
        }
    }

    /// Before each poll. A poll may take long: what it brings is not as old as its beginning.
    pub(super) fn listen(&mut self, now: Now) {
        for heard in self.heard.values_mut() {
            heard.silent_since.get_or_insert(now.mono);
        }
    }

    /// Whether its partition gave an answer, from time to time: one question that came to nothing says little.
    pub(super) fn answers(&mut self, answers: bool) {
        self.mute_looks = if answers { 0 } else { self.mute_looks + 1 };
        if self.mute_looks >= 2 {
            self.listen_anew();
        }
    }

    /// The log gives no answer: nobody could be heard.
    pub(super) fn listen_anew(&mut self) {
        self.heard.values_mut().for_each(|heard| heard.silent_since = None);
    }

    pub(super) fn judge_one(&mut self, offset: Offset, record: PanesRecord) {
        if let PanesRecord::Progress(p) = &record {
            for source in p.sources.iter().chain([&p.source]) {
                if !self.heard.contains_key(source) {
                    self.heard.insert(source.clone(), Heard::NOW);
                }
            }
            self.heard.entry(p.source.clone()).or_insert(Heard::NOW).takes_in(p);
        }
        self.judge.handle(offset, record);
    }

    /// True when it was not the last that was passed on of its key.
    pub(super) fn pass_on(
        &mut self,
        key: String,
        digest: String,
        record: impl FnOnce() -> PanesRecord,
    ) -> bool {
        let offer = self.passed_on.offer(key, digest);
        match offer {
            Offer::Known => (),
            Offer::New => self.inject.push(record()),
            Offer::Full { first } => {
                metrics::counter!(CONTEXT_REFUSED, "reason" => "full").increment(1);
                if first {
                    tracing::error!(
                        "a panes partition knows of {ENTRIES_MAX} deployments, lineages and so on; no more are passed on: older ones stay known"
                    );
                }
            }
        }
        offer == Offer::New
    }

    /// The offset to commit: from here on a new owner reads.
    pub(super) fn resume(&self) -> Option<Offset> {
        self.judge.resume_offset().or(self.next)
    }

    /// Whether a commit would say anything. A pane that closes does not always move the offset: one that is still open
    /// may have begun before it.
    pub(super) fn has_news(&self) -> bool {
        let resume = self.resume();
        let moved = resume.is_some() && resume != self.committed;
        moved || !self.inject.is_empty() || self.judge.has_effects()
    }

    /// Whether somebody waits for what a commit would say.
    pub(super) fn is_urgent(&self) -> bool {
        self.judge.is_urgent() || self.judge.has_context() || !self.inject.is_empty()
    }

    /// When there is something to do though nothing arrives.
    pub(super) fn next(&self, commit_every: Duration, hold_max: Duration) -> Option<Duration> {
        let commit = self.has_news().then(|| self.last_commit + commit_every);
        let waited_for = self.heard.values().filter(|heard| !heard.gave_up);
        let silent = waited_for.filter_map(|heard| heard.silent_since).map(|since| since + hold_max);
        // With no pane open nobody is given up.
        let silent = self.judge.oldest_open().and_then(|_| silent.min());
        commit.into_iter().chain(silent).min()
    }

    /// Whether somebody was silent for `hold_max` while a pane is open: measured on this process's monotonic clock since it
    /// last got on, so that no clocks are compared. With no pane open nobody waits for it, and it may still speak in time.
    pub(super) fn misses_somebody(&self, now: Now, hold_max: Duration) -> bool {
        self.judge.oldest_open().is_some() && self.heard.values().any(|heard| heard.is_missed(now, hold_max))
    }

    /// Gives up those who are missed. Only once everything written was read: else it may be this judge that is late.
    pub(super) fn give_up_on_the_silent(&mut self, partition: u32, now: Now, hold_max: Duration) {
        let Some(pane) = self.judge.oldest_open() else { return };
        for (source, heard) in &mut self.heard {
            if !heard.is_missed(now, hold_max) {
                continue;
            }
            heard.gave_up = true;
            tracing::warn!(partition, source = %source, "no progress for hold_max_s; its pane closes incomplete");
            self.inject.push(PanesRecord::GaveUp { source: source.clone(), pane });
        }
    }

    /// All that goes into the transaction beside offsets.
    pub(super) fn records(
        &mut self,
        settings: &Settings,
        partition: u32,
        e: &Effects,
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
            self.state.put((&topics.state_judge, partition), key.clone(), value.clone(), &mut records);
        }
        for record in std::mem::take(&mut self.inject) {
            let parts = record.in_records(&format!("judge/{partition}"));
            let panes = topics.panes.as_str();
            records.extend(parts.into_iter().map(|value| NewRecord::new(panes, value).partition(partition)));
        }
        let state_at = (topics.state_judge.as_str(), partition);
        self.passed_on.write(state_at, &mut self.state, &mut records);
        records
    }

    /// Tells people what is committed.
    pub(super) fn publish(&self, views: &Views, partition: u32, effects: &Effects, now: Timestamp) {
        publish(views, effects);
        if !effects.history.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "a histogram")]
            let waited = (now.as_ms() - self.written_ms).max(0) as f64 / 1000.0;
            metrics::histogram!(PANE_LATENCY).record(waited);
        }
        let [pages, tickets] = self.judge.counters().granted;
        for (kind, granted) in [("page", pages), ("ticket", tickets)] {
            let partition = partition.to_string();
            metrics::gauge!(BUDGET_SPENT, "kind" => kind, "partition" => partition).set(granted);
        }
        views.set_watermark(partition, self.judge.watermark());
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
        views.judged(h);
    }
}
