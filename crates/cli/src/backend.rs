//! What lies behind the listener: the log, the views, the receivers' inbox.

mod audit;
mod elsewhere;
mod inbound;
mod letters;
mod people;
mod silences;
mod tail;

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use detect::collect::CollectConfig;
use detect::decode::{Attributes, Decoded, Kind as RecordKind};
use http_api::{
    Accessed, AnswerState, AskedSilence, AuditPage, AuditQuery, AuditReport, AuditWitnesses, BackendError,
    CommandAnswer, CommandReceipt, DeadLetterPage, DeadLetterQuery, ForgetReceipt, IncidentPage,
    IncidentQuery, IncidentsState, IngestRecord, Ingested, NewCommand, NewForget, NewIncident, Readiness,
    RoleReadiness, SilenceItem, SilencePreview, SilenceReceipt, TailEvent, Why,
};
use metrics_exporter_prometheus::PrometheusHandle;
use receivers::Receiver;
use runtime::clock::Clock;
use runtime::live::Live;
use runtime::log::{Log, LogError, NewRecord};
use runtime::settings::Settings;
use runtime::shown::Shown;
use runtime::views::Views;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wire::command::{Action, Command};
use wire::context::ContextRecord;
use wire::page::InboxEntry;
use wire::{AlertKey, CommandId, IncidentId, Matches, NotificationId, Timestamp};

use crate::config::Checked;
use crate::reload::Status;

/// What the listener needs to check the audit, and to say who a person is in it.
pub(crate) struct Auditing {
    /// Whose checkpoints are believed.
    pub(crate) keys: escalate::PublicKeys,
    pub(crate) policy: Arc<escalate::Policy>,
    /// Whether the policy has the secret under which people become pseudonyms.
    pub(crate) names: bool,
}

/// The process as the listener sees it.
pub(crate) struct Backend<L: Log> {
    log: L,
    telemetry: CollectConfig,
    telemetry_topic: Arc<str>,
    auditing: Auditing,
    settings: Settings,
    config: Arc<Live<Status>>,
    views: Arc<Views>,
    receivers: Vec<Arc<Receiver>>,
    handle: tokio::runtime::Handle,
    metrics: PrometheusHandle,
    clock: Clock,
    tail: tail::Tail,
    followed: Mutex<elsewhere::Followed>,
}

impl<L: Log> Backend<L> {
    #[expect(clippy::too_many_arguments, reason = "what lies behind the listener, used once")]
    pub(crate) fn new(
        log: L,
        checked: &Checked,
        auditing: Auditing,
        settings: Settings,
        views: Arc<Views>,
        receivers: Vec<Arc<Receiver>>,
        metrics: PrometheusHandle,
        clock: Clock,
        config: Arc<Live<Status>>,
    ) -> Self {
        let telemetry = checked.telemetry.clone();
        let topic = telemetry.raw().topic.clone().unwrap_or_else(|| settings.topics.telemetry.clone());
        let tail = tail::Tail::new();
        Self {
            log,
            telemetry,
            telemetry_topic: topic.into(),
            auditing,
            settings,
            config,
            views,
            receivers,
            handle: tokio::runtime::Handle::current(),
            metrics,
            clock,
            tail,
            followed: Mutex::default(),
        }
    }

    /// Partitions of incidents here and in all. An error when there are none here: "no such incident" would be wrong.
    fn here(&self) -> Result<[u32; 2], BackendError> {
        match self.partitions("escalate") {
            Some([here, of]) if here > 0 => Ok([here, of]),
            Some(_) | None => Err(BackendError::NotHere { role: "escalate" }),
        }
    }

    fn partitions(&self, role: &str) -> Option<[u32; 2]> {
        self.views.partitions(role).map(|(here, of)| [u32::try_from(here).unwrap_or(u32::MAX), of])
    }

    /// The incident whose id is this, or begins so.
    fn find(&self, id: &str) -> Result<(IncidentId, Arc<Shown>), BackendError> {
        let [here, of] = self.here()?;
        let was_whole = elsewhere::is_whole(self, id);
        if let Some(found) = self.views.incidents.get(&IncidentId::new(id)) {
            return Ok((found.key().clone(), Arc::clone(found.value())));
        }
        let mut found: Vec<_> = self
            .views
            .incidents
            .iter()
            .filter(|i| !id.is_empty() && i.key().as_str().starts_with(id))
            .map(|i| (i.key().clone(), Arc::clone(i.value())))
            .collect();
        match found.len() {
            1 => Ok(found.swap_remove(0)),
            0 if was_whole && elsewhere::is_whole(self, id) => {
                Err(BackendError::NotFound { what: "incident" })
            }
            0 => Err(BackendError::Elsewhere { here, of }),
            n => Err(BackendError::Ambiguous(n)),
        }
    }
}

/// Key of a telemetry record, so that a label lands in the partition of its prediction. `None` when it cannot be read:
/// the collector will say why.
pub(crate) fn key_of(
    decoder: &mut detect::decode::Decoder,
    body: &[u8],
    attributes: &Attributes<'_>,
) -> Option<String> {
    match decoder.decode(Some(body), attributes, RecordKind::Prediction) {
        Ok(Decoded::Prediction(p)) => Some(p.id.to_owned()),
        Ok(Decoded::Label(l)) => Some(l.id.to_owned()),
        Err(_) => None,
    }
}

impl<L: Log> http_api::Backend for Backend<L> {
    fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    fn ingest(&self, records: Vec<IngestRecord>) -> Result<Ingested, BackendError> {
        let count = records.len() as u64;
        let mut decoder = self.telemetry.decoder().map_err(|e| BackendError::Internal(e.to_string()))?;
        let batch: Vec<NewRecord> = records
            .into_iter()
            .map(|r| {
                let header =
                    |name: &str| r.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice());
                let key = key_of(&mut decoder, &r.body, &Attributes::read(header));
                let mut record = NewRecord::new(Arc::clone(&self.telemetry_topic), r.body.to_vec());
                record.key = key.map(String::into_bytes);
                record.headers.clone_from(&r.headers);
                record
            })
            .collect();
        self.log.append(&batch).map_err(unavailable)?;
        Ok(Ingested { records: count })
    }

    fn context(&self, records: Vec<ContextRecord>) -> Result<Ingested, BackendError> {
        let own = |r: &ContextRecord| match r {
            ContextRecord::Deployment(_) | ContextRecord::Lineage(_) => false,
            ContextRecord::Profile(_) | ContextRecord::ProfilePart(_) | ContextRecord::Feedback(_) => true,
        };
        if records.iter().any(own) {
            return Err(BackendError::Invalid(
                "profiles and feedback are made by tocsin, of what it learns and of what people say of incidents"
                    .to_owned(),
            ));
        }
        let count = records.len() as u64;
        let batch: Vec<_> =
            records.into_iter().flat_map(|r| runtime::context_records(&self.settings, r)).collect();
        self.log.append(&batch).map_err(unavailable)?;
        Ok(Ingested { records: count })
    }

    fn command(&self, mut new: NewCommand) -> Result<CommandReceipt, BackendError> {
        let (incident_id, shown) = self.find(&new.incident)?;
        if let Action::Merge { into, .. } = &mut new.action {
            *into = match self.find(into.as_str()) {
                Ok((found, _)) => found,
                // What is merged need not be in one process.
                Err(BackendError::Elsewhere { .. }) if elsewhere::open(self, into)?.is_some() => into.clone(),
                Err(error) => return Err(error),
            };
        }
        if let Some(command_id) = new.command_id.clone()
            && self.views.answer_to(&command_id).is_some()
        {
            return Ok(CommandReceipt { command_id, incident_id, repeated: true });
        }
        let now = self.clock.now().wall;
        let sequence = shown.responses;
        let command_id = new.command_id.unwrap_or_else(|| {
            let action = serde_json::to_vec(&new.action).expect("an action is plain data");
            let parts: [&[u8]; 4] = [
                incident_id.as_str().as_bytes(),
                new.principal.name.as_bytes(),
                &action,
                &sequence.to_be_bytes(),
            ];
            CommandId::of(&parts)
        });
        let command = Command {
            command_id: command_id.clone(),
            incident_id: incident_id.clone(),
            issued_at: now,
            principal: new.principal,
            action: new.action,
        };
        self.log.append(&[runtime::command_record(&self.settings, &command)]).map_err(unavailable)?;
        Ok(CommandReceipt { command_id, incident_id, repeated: false })
    }

    fn hand_on(&self, command: NewCommand, generation: u32) -> Result<CommandReceipt, BackendError> {
        elsewhere::hand_on(self, command, generation)
    }

    fn raise(&self, new: NewIncident) -> Result<CommandReceipt, BackendError> {
        inbound::raise(self, None, new)
    }

    fn import(&self, key: &str, new: NewIncident) -> Result<CommandReceipt, BackendError> {
        inbound::raise(self, Some(key), new)
    }

    fn over(&self, key: &str, was: NewIncident, reason: String) -> Result<CommandReceipt, BackendError> {
        inbound::over(self, key, was, reason)
    }

    fn alerted(&self, key: &AlertKey) -> Result<Value, BackendError> {
        inbound::alerted(self, key)
    }

    fn inbound(&self, from: &'static str, outcome: &'static str, count: u64) {
        inbound::count(from, outcome, count);
    }

    fn answer(&self, id: &CommandId) -> Result<CommandAnswer, BackendError> {
        self.here()?;
        let (answer, why) = match self.views.answer_to(id) {
            None => (AnswerState::Unknown, None),
            Some(escalate::Answer::Accepted) => (AnswerState::Accepted, None),
            Some(escalate::Answer::Noted { why }) => (AnswerState::Noted, Some(why)),
            Some(escalate::Answer::Refused { why }) => (AnswerState::Refused, Some(why)),
        };
        Ok(CommandAnswer { command_id: id.clone(), answer, why })
    }

    fn slack_reply(&self, receiver: &str, to: &str, text: &str) -> Result<(), BackendError> {
        let found = self.receivers.iter().find(|r| r.name() == receiver);
        let receiver = found.ok_or(BackendError::NotFound { what: "receiver" })?;
        let sent = self.handle.block_on(receiver.reply(to, text, self.clock.now().wall));
        sent.map_err(|why| BackendError::Unavailable { why, retry_after_s: 1 })
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<IncidentPage, BackendError> {
        let partitions = self.here()?;
        let mut found: Vec<(Timestamp, IncidentId, Arc<Shown>)> = self
            .views
            .incidents
            .iter()
            .filter(|shown| matches(shown, query))
            .map(|shown| (shown.opened_at, shown.key().clone(), Arc::clone(shown.value())))
            .collect();
        // Latest first; the id settles what opened in the same pane.
        found.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
        let total = found.len() as u64;
        // What the page before ended with may be in no list any more: what comes after it is.
        let last = query.cursor.as_deref().map(|cursor| cursor.split_once('/').unwrap_or_default());
        let last = last.map(|(opened, id)| (opened.parse::<Timestamp>().ok(), id));
        let is_before = |(opened, id, _): &(Timestamp, IncidentId, _)| {
            last.is_some_and(|last| (Some(*opened), id.as_str()) >= last)
        };
        let from = found.partition_point(is_before);
        let page: Vec<_> = found.iter().skip(from).take(query.limit).collect();
        let more = from + page.len() < found.len();
        let next = page.last().filter(|_| more).map(|(opened, id, _)| format!("{opened}/{id}"));
        let incidents = page.iter().map(|(_, _, shown)| shown.value()).collect();
        Ok(IncidentPage { incidents, total, partitions, next })
    }

    fn incident(&self, id: &str) -> Result<Value, BackendError> {
        self.find(id).map(|(_, shown)| shown.value())
    }

    fn in_one_message(
        &self,
        fold: &NotificationId,
        places: Range<usize>,
    ) -> Result<IncidentPage, BackendError> {
        self.here()?;
        let mut of = self.views.in_one_message(fold);
        // Of those that are as bad and as old the order is that of their ids.
        of.sort_by_key(|shown| (shown.severity, shown.opened_at));
        let incidents = of.iter().skip(places.start).take(places.len()).map(|shown| shown.value()).collect();
        Ok(IncidentPage { incidents, total: of.len() as u64, ..IncidentPage::default() })
    }

    fn why(&self, id: &str, person: Option<String>) -> Result<Why, BackendError> {
        let (incident_id, _) = self.find(id)?;
        let because = self.views.why(incident_id.clone(), person);
        let because = because.ok_or_else(|| BackendError::Unavailable {
            why: "the escalation worker is busy, or has just handed the incident on".to_owned(),
            retry_after_s: 2,
        })?;
        Ok(Why { incident_id, because })
    }

    fn silences(&self) -> Result<Vec<SilenceItem>, BackendError> {
        silences::list(&self.log, &self.settings, &self.views)
    }

    fn silence_preview(&self, of: &Matches) -> Result<SilencePreview, BackendError> {
        silences::preview(&self.log, &self.settings, of)
    }

    fn silence(&self, asked: AskedSilence) -> Result<SilenceReceipt, BackendError> {
        silences::ask(&self.log, &self.settings, &self.views, self.clock.now().wall, asked)
    }

    fn status(&self) -> Result<Value, BackendError> {
        let open = self.views.incidents.iter().filter(|shown| shown.is_open).count();
        let config = self.config.get();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "namespace": self.settings.namespace,
            "config": config.digest,
            "config_file": *config,
            "judged_by": self.views.configs(),
            "roles": self.ready().roles,
            "records": self.views.records.load(Ordering::Relaxed),
            "dead_letters": self.views.dead_letters.load(Ordering::Relaxed),
            "panes": self.views.panes.load(Ordering::Relaxed),
            "watermark": self.views.watermark(),
            "open": open,
            "models": self.views.models(),
        }))
    }

    fn inbox(&self) -> Result<Vec<InboxEntry>, BackendError> {
        let mut entries: Vec<InboxEntry> =
            self.receivers.iter().filter_map(|r| r.inbox()).flat_map(|i| i.entries()).collect();
        entries.sort_by_key(|e| std::cmp::Reverse(e.received_at));
        Ok(entries)
    }

    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, BackendError> {
        letters::page(&self.log, &self.settings, query)
    }

    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, BackendError> {
        audit::page(&self.log, &self.settings, &self.views, query)
    }

    fn audit_verify(&self, witnesses: &AuditWitnesses) -> Result<AuditReport, BackendError> {
        audit::verify(&self.log, &self.settings, &self.auditing.keys, witnesses)
    }

    fn forget(&self, forget: NewForget) -> Result<ForgetReceipt, BackendError> {
        people::forget(&self.log, &self.settings, &self.auditing, self.clock.now().wall, forget)
    }

    fn accessed(&self, accessed: &Accessed) {
        people::accessed(accessed);
    }

    fn metrics(&self) -> Result<String, BackendError> {
        Ok(self.metrics.render())
    }

    fn ready(&self) -> Readiness {
        let roles: Vec<RoleReadiness> = self
            .views
            .readiness()
            .into_iter()
            .map(|(name, why)| RoleReadiness {
                name: name.to_owned(),
                ready: why.is_none(),
                why,
                partitions: self.partitions(name),
            })
            .collect();
        Readiness { ready: !roles.is_empty() && roles.iter().all(|r| r.ready), roles }
    }

    fn tail(&self, from: Option<&str>) -> Result<mpsc::Receiver<TailEvent>, BackendError> {
        Ok(self.tail.follow(self.views.subscribe(), from))
    }
}

fn matches(shown: &Shown, query: &IncidentQuery) -> bool {
    let state = match query.state {
        IncidentsState::Open => shown.is_open,
        IncidentsState::Cleared => !shown.is_open,
        IncidentsState::All => true,
    };
    state && (query.severities.is_empty() || query.severities.contains(&shown.severity))
}

fn unavailable(error: LogError) -> BackendError {
    if matches!(error, LogError::TooLarge { .. } | LogError::Refused { .. }) {
        return BackendError::Invalid(error.to_string());
    }
    BackendError::Unavailable { why: error.to_string(), retry_after_s: 2 }
}

#[cfg(test)]
mod tests;
