//! One partition of the co-partitioned topics as the escalate loop works on it.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::Timestamp;
use wire::context::ContextRecord;

use super::{Carry, Machine};
use crate::clock::Now;
use crate::gauges::{Look, Told};
use crate::log::{Consumer, Log, NewRecord, Offset, TopicPartition};
use crate::metrics::FAILED_OPEN;
use crate::settings::{Settings, context_records, control_record, incident_records, json_record};
use crate::state::Parts;

/// Longest wait for what came while nobody worked on a partition. After it pages leave, at worst one too many.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);

/// One partition of the co-partitioned topics.
pub(super) struct Part<L: Log, M> {
    pub(super) transaction: L::Transaction,
    pub(super) machine: M,
    /// State keys of several records.
    state: Parts,
    pub(super) carry: Vec<Carry>,
    /// When the first of `carry` was: a step that fails leaves it to a later one, and leases run from here.
    pub(super) decided: Option<Duration>,
    /// Next offsets of what was taken in since the last commit.
    pub(super) offsets: BTreeMap<TopicPartition, Offset>,
    /// What was waiting when it was taken over, and until when it is waited for; `None` once it has been taken in.
    behind: Option<Behind>,
    pub(super) told: Told,
}

/// Whoever acknowledged, and whatever cleared, while nobody worked on the partition: known before anyone is paged.
pub(super) struct Behind {
    /// Topics not yet read to where they ended then.
    ends: Vec<(TopicPartition, Offset)>,
    until: Duration,
}

impl Behind {
    /// What lies below these ends is waited for from now on.
    pub(super) fn new(ends: Vec<(TopicPartition, Offset)>, now: Now) -> Self {
        Self { ends, until: now.mono + CATCH_UP_MAX }
    }
}

impl<L: Log, M: Machine> Part<L, M> {
    pub(super) fn new(transaction: L::Transaction, machine: M, state: Parts, behind: Behind) -> Self {
        Self {
            transaction,
            machine,
            state,
            carry: Vec::new(),
            decided: None,
            offsets: BTreeMap::new(),
            behind: Some(behind),
            told: Told::default(),
        }
    }

    pub(super) fn handle(&mut self, input: escalate::Input, now: Now) {
        let effects = self.machine.handle(input.into(), now.wall);
        if !effects.is_empty() {
            self.decided.get_or_insert(now.mono);
        }
        self.carry.extend(effects.into_iter().map(Into::into));
    }

    /// The machine sends nothing before `Started`: tells it once all that waited has been taken in, or the time for
    /// that is over. True when it has just been told.
    pub(super) fn start_if_caught_up(
        &mut self,
        partition: u32,
        consumer: &L::Consumer,
        look: &Look,
        owner: &str,
        now: Now,
    ) -> bool {
        let Some(behind) = &mut self.behind else { return false };
        behind.ends.retain(|(at, end)| {
            let position = consumer.position(at);
            // Behind the last record there may be markers, which are never delivered.
            !position.is_some_and(|position| position >= *end || look.is_at_end(at, position))
        });
        if !behind.ends.is_empty() && now.mono < behind.until {
            return false;
        }
        if !behind.ends.is_empty() {
            tracing::warn!(partition, "pages leave although not all that waited was read in 30 s");
            metrics::counter!(FAILED_OPEN, "partition" => partition.to_string()).increment(1);
        }
        self.behind = None;
        self.handle(escalate::Input::Started { owner: owner.to_owned() }, now);
        true
    }

    pub(super) fn has_started(&self) -> bool {
        self.behind.is_none()
    }

    /// When there is something to do though nothing arrives.
    pub(super) fn next(&self, now: Now) -> Option<Duration> {
        let timer = self.machine.deadline().map(|wall| now.mono_at(wall));
        timer.into_iter().chain(self.behind.as_ref().map(|behind| behind.until)).min()
    }

    /// What of these goes into the transaction.
    pub(super) fn records(
        &mut self,
        settings: &Settings,
        partition: u32,
        carry: &[Carry],
        now: Timestamp,
    ) -> Vec<NewRecord> {
        carry.iter().flat_map(|one| of_one(settings, partition, one, &mut self.state, now)).collect()
    }
}

fn of_one(
    settings: &Settings,
    partition: u32,
    carry: &Carry,
    state: &mut Parts,
    now: Timestamp,
) -> Vec<NewRecord> {
    let (topics, ns) = (&settings.topics, settings.namespace.as_str());
    match carry {
        Carry::Response(r) => {
            vec![json_record(&topics.responses, partition, r.incident_id.as_str(), "tocsin.response", ns, r)]
        }
        Carry::Outbox(o) => {
            let key = o.page.notification_id.as_str();
            vec![json_record(&topics.outbox, partition, key, "tocsin.outbox", ns, o)]
        }
        Carry::Audit(a) => {
            let key = a.partition.to_string();
            vec![json_record(&topics.audit, partition, &key, "tocsin.audit", ns, a)]
        }
        Carry::Incident(i) => incident_records(settings, i, now).into(),
        Carry::Context(c) => context_records(settings, ContextRecord::clone(c)),
        Carry::Control { key, control } => vec![control_record(settings, key, control.as_deref())],
        Carry::State { key, value } => {
            let mut records = Vec::new();
            state.put((&topics.state_escalate, partition), key.clone(), value.clone(), &mut records);
            records
        }
        Carry::Checkpoint(_) | Carry::Send { .. } => Vec::new(),
    }
}
