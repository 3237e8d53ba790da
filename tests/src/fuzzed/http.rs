//! The HTTP API as it answers any request, on a backend that takes all that passes.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_api::{
    Accessed, AskedSilence, AuditPage, AuditQuery, AuditReport, AuditWitnesses, Backend, BackendError,
    CommandAnswer, CommandReceipt, DeadLetterPage, DeadLetterQuery, ForgetReceipt, HttpConfig, IncidentPage,
    IncidentQuery, IngestRecord, Ingested, NewCommand, NewForget, NewIncident, PagerDutySecrets, ROUTES,
    Readiness, SilenceItem, SilencePreview, SilenceReceipt, TailEvent, Trusted, Why, answers,
};
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::Sha256;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use wire::context::ContextRecord;
use wire::control::SilenceAsk;
use wire::link::{LINK_PATH, Link, LinkAction, LinkActions, LinkKeys};
use wire::page::InboxEntry;
use wire::{AlertKey, CommandId, IncidentId, NotificationId, Timestamp};

use crate::samples;

const TYPES: [&str; 8] = [
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain; charset=utf-16",
    "application/json; charset=utf-8",
    "",
    "application/x-www-form-urlencoded",
];
const WEBHOOK_SECRET: &str = "a_secret_of_16_and_more";
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Route, type of the body and kind of headers, a byte each; until the end of the line an id or a query; then the body.
pub(super) fn http(bytes: &[u8]) {
    let Some(([route, kind, flags], rest)) = bytes.split_first_chunk().map(|(a, b): (&[u8; 3], _)| (*a, b))
    else {
        return;
    };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let route = ROUTES[usize::from(route) % ROUTES.len()];
    let text = String::from_utf8_lossy(line);
    let uri = if let Some(named) = ["{id}", "{token}"].into_iter().find(|named| route.path.contains(named)) {
        // A token cannot be found by chance: one line stands for one that is ours.
        route.path.replace(named, if named == "{token}" && text == "link" { &LINK.1 } else { &text })
    } else if text.is_empty() {
        route.path.to_owned()
    } else {
        format!("{}?{text}", route.path)
    };
    let mut request = Request::builder().method(route.method).uri(uri).header("host", "127.0.0.1");
    let kind = TYPES[usize::from(kind) % TYPES.len()];
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    if flags & 1 != 0 {
        request = request.header("ce-specversion", "1.0").header("ce-id", line).header("ce-type", "t");
    }
    if flags & 2 != 0 {
        request = request.header("idempotency-key", line);
    }
    if flags & 4 != 0 {
        request = request.header("accept", "text/event-stream").header("authorization", line);
    }
    if flags & 8 != 0 {
        // Nor can a signature.
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).expect("any length");
        mac.update(body);
        let signature = format!("v1={}", wire::id::hex(&mac.finalize().into_bytes()));
        request = request.header("x-pagerduty-signature", signature);
    }
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
    HERE.with(|here| here.ask(request));
}

/// A key, and a token of it.
static LINK: LazyLock<(LinkKeys, String)> = LazyLock::new(|| {
    let keys = LinkKeys::read("a_key_of_16_and_more").expect("long enough");
    let incident = samples::page().incident;
    let token = keys.sign(&Link {
        incident_id: incident.incident_id,
        generation: incident.generation,
        person: "ada".into(),
        actions: LinkActions::of(&LinkAction::ALL),
        expires_at: Timestamp::MAX,
    });
    (keys, token.expect("short names"))
});

thread_local! {
    static HERE: Here = Here::new();
}

struct Here {
    runtime: Runtime,
    router: Router,
    backend: Arc<Takes>,
}

impl Here {
    fn new() -> Self {
        let free = u32::MAX;
        let config = HttpConfig { requests_per_s: free, records_per_s: free, ..HttpConfig::default() };
        let backend = Arc::new(Takes::default());
        let pagerduty = PagerDutySecrets::read(WEBHOOK_SECRET).expect("long enough");
        let trusted = Trusted { links: Some(LINK.0.clone()), slack: vec![], pagerduty };
        let router = answers(config, Arc::clone(&backend) as Arc<dyn Backend>, trusted);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a thread");
        Self { runtime, router, backend }
    }

    fn ask(&self, request: Request) {
        *self.backend.taken.lock().expect("nobody panics with it") = 0;
        let token = request.uri().path().strip_prefix(LINK_PATH);
        let is_page = token.is_some_and(|token| !token.is_empty() && !token.contains('/'));
        let (status, kind, text) = self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await.expect("it always answers");
            let kind = answer.headers().get("content-type").map(|kind| kind.as_bytes().to_vec());
            let status = answer.status().as_u16();
            let text = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.expect("a short answer");
            (status, kind.unwrap_or_default(), text)
        });
        let said = || String::from_utf8_lossy(&text).into_owned();
        assert!(status < 500, "{status}: {}", said());
        if is_page && status != 405 {
            assert!(status == 303 || kind == b"text/html; charset=utf-8", "{status}: {}", said());
        } else if status >= 400 {
            assert_eq!(kind, b"application/problem+json", "{status}: {}", said());
            let problem: BTreeMap<String, Value> = serde_json::from_slice(&text).expect("JSON");
            assert!(problem.contains_key("title"), "{status}: {}", said());
        }
        let accepted = serde_json::from_slice(&text).ok().and_then(|v: Value| v.get("accepted")?.as_u64());
        if let Some(accepted) = accepted {
            assert_eq!(accepted, *self.backend.taken.lock().expect("nobody panics with it"), "{}", said());
        }
    }
}

/// Takes what it is given, and knows nothing.
#[derive(Default)]
struct Takes {
    taken: Mutex<u64>,
}

impl Takes {
    fn take(&self, records: usize) -> Result<Ingested, BackendError> {
        let records = records as u64;
        *self.taken.lock().expect("nobody panics with it") += records;
        Ok(Ingested { records })
    }
}

impl Backend for Takes {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
    fn slack_reply(&self, _: &str, _: &str, _: &str) -> Result<(), BackendError> {
        Ok(())
    }
    fn ingest(&self, records: Vec<IngestRecord>) -> Result<Ingested, BackendError> {
        for record in &records {
            let object: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_slice(&record.body);
            assert!(object.is_ok(), "no object: {}", String::from_utf8_lossy(&record.body));
        }
        self.take(records.len())
    }

    fn context(&self, records: Vec<ContextRecord>) -> Result<Ingested, BackendError> {
        self.take(records.len())
    }

    fn command(&self, command: NewCommand) -> Result<CommandReceipt, BackendError> {
        static INCIDENT: LazyLock<IncidentId> = LazyLock::new(|| IncidentId::of(&[b"any"]));
        let command_id = command.command_id.ok_or(BackendError::NotFound { what: "command" })?;
        Ok(CommandReceipt { command_id, incident_id: INCIDENT.clone(), repeated: false })
    }

    fn raise(&self, incident: NewIncident) -> Result<CommandReceipt, BackendError> {
        assert!(!incident.title.trim().is_empty());
        let command_id = incident.command_id.ok_or(BackendError::NotFound { what: "incident" })?;
        Ok(CommandReceipt { command_id, incident_id: IncidentId::of(&[b"any"]), repeated: false })
    }

    fn in_one_message(
        &self,
        _: &NotificationId,
        _: std::ops::Range<usize>,
    ) -> Result<IncidentPage, BackendError> {
        Ok(IncidentPage::default())
    }

    fn import(&self, key: &str, new: NewIncident) -> Result<CommandReceipt, BackendError> {
        assert!((1..=64).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
        assert!(!new.title.trim().is_empty() && new.title.len() <= 300);
        assert!(!new.subject.name.is_empty() && new.subject.name.len() <= 200);
        let command_id = new.command_id.unwrap_or_else(|| CommandId::of(&[key.as_bytes()]));
        Ok(CommandReceipt { command_id, incident_id: IncidentId::of(&[b"any"]), repeated: false })
    }

    fn over(&self, key: &str, was: NewIncident, reason: String) -> Result<CommandReceipt, BackendError> {
        assert!(reason.len() <= 100);
        self.import(key, was)
    }

    fn alerted(&self, key: &AlertKey) -> Result<Value, BackendError> {
        let page = serde_json::json!({"alert_key": key, "generation": samples::page().incident.generation});
        let incident = samples::page().incident;
        Ok(serde_json::json!({"incident": incident, "stage": "open", "pages": [page]}))
    }

    fn inbound(&self, _: &'static str, _: &'static str, count: u64) {
        assert!(count > 0);
    }

    fn answer(&self, _id: &CommandId) -> Result<CommandAnswer, BackendError> {
        Err(BackendError::NotFound { what: "command" })
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<IncidentPage, BackendError> {
        assert!((1..=200).contains(&query.limit));
        Ok(IncidentPage::default())
    }

    fn incident(&self, id: &str) -> Result<Value, BackendError> {
        let linked =
            serde_json::json!({"incident": samples::page().incident, "signal": "open", "stage": "open"});
        if linked["incident"]["incident_id"] == id { Ok(linked) } else { Err(BackendError::Ambiguous(2)) }
    }

    fn why(&self, _id: &str, person: Option<String>) -> Result<Why, BackendError> {
        let because = vec![person.unwrap_or_else(|| "everybody".into())];
        Ok(Why { incident_id: IncidentId::of(&[b"any"]), because })
    }
    fn silences(&self) -> Result<Vec<SilenceItem>, BackendError> {
        Ok(vec![])
    }

    fn silence_preview(&self, of: &wire::Matches) -> Result<SilencePreview, BackendError> {
        assert!(!of.is_everything());
        Ok(SilencePreview::default())
    }

    fn silence(&self, asked: AskedSilence) -> Result<SilenceReceipt, BackendError> {
        if let SilenceAsk::Make(new) = &asked.ask {
            assert!(new.listed.len() <= new.incidents_max as usize && !new.reason.trim().is_empty());
        }
        let command_id = asked.command_id.ok_or(BackendError::NotFound { what: "silence" })?;
        Ok(SilenceReceipt { command_id, silence_id: wire::SilenceId::of(&[b"any"]) })
    }

    fn status(&self) -> Result<Value, BackendError> {
        Ok(Value::Null)
    }

    fn inbox(&self) -> Result<Vec<InboxEntry>, BackendError> {
        Ok(vec![])
    }

    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, BackendError> {
        assert!((1..=1000).contains(&query.limit));
        Ok(DeadLetterPage::default())
    }

    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, BackendError> {
        assert!((1..=1000).contains(&query.limit));
        Ok(AuditPage::default())
    }

    fn forget(&self, forget: NewForget) -> Result<ForgetReceipt, BackendError> {
        assert!(!forget.name.trim().is_empty());
        Err(BackendError::NotHere { role: "escalate" })
    }

    fn accessed(&self, accessed: &Accessed) {
        let fine = |id: &String| id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric());
        assert!(accessed.incident.as_ref().is_none_or(fine), "{accessed:?}");
    }

    fn audit_verify(&self, _: &AuditWitnesses) -> Result<AuditReport, BackendError> {
        Ok(AuditReport::default())
    }

    fn metrics(&self) -> Result<String, BackendError> {
        Ok(String::new())
    }

    fn ready(&self) -> Readiness {
        Readiness { ready: true, roles: vec![] }
    }

    fn tail(&self, _from: Option<&str>) -> Result<mpsc::Receiver<TailEvent>, BackendError> {
        Ok(mpsc::channel(1).1)
    }
}
