//! The listener on a real socket, with a backend that remembers what it was asked.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tocsin_http::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use wire::command::{Action, Role};
use wire::context::ContextRecord;
use wire::page::InboxEntry;
use wire::{CommandId, IncidentId, Severity};

/// Does what it is asked and remembers it. Calls wait while the gate is held.
#[derive(Default)]
struct Memory {
    ingested: Mutex<Vec<IngestRecord>>,
    context: Mutex<Vec<ContextRecord>>,
    commands: Mutex<Vec<NewCommand>>,
    queries: Mutex<Vec<IncidentQuery>>,
    tails: Mutex<Vec<(Option<String>, mpsc::Sender<TailEvent>)>>,
    gate: Mutex<()>,
}

impl Backend for Memory {
    fn ingest(&self, records: Vec<IngestRecord>) -> Result<Ingested, BackendError> {
        drop(self.gate.lock().unwrap_or_else(|e| e.into_inner()));
        let taken = Ingested { records: records.len() as u64 };
        self.ingested.lock().unwrap().extend(records);
        Ok(taken)
    }
    fn context(&self, records: Vec<ContextRecord>) -> Result<Ingested, BackendError> {
        let taken = Ingested { records: records.len() as u64 };
        self.context.lock().unwrap().extend(records);
        Ok(taken)
    }
    fn command(&self, command: NewCommand) -> Result<CommandReceipt, BackendError> {
        let command_id = command.command_id.clone().unwrap_or_else(|| CommandId::new("made"));
        let incident_id = IncidentId::new(command.incident.clone());
        self.commands.lock().unwrap().push(command);
        Ok(CommandReceipt { command_id, incident_id, repeated: false })
    }
    fn incidents(&self, query: &IncidentQuery) -> Result<IncidentPage, BackendError> {
        self.queries.lock().unwrap().push(query.clone());
        Ok(IncidentPage { incidents: vec![json!({"incident_id": "a"})], total: 7, next: Some("n".into()) })
    }
    fn incident(&self, id: &str) -> Result<Value, BackendError> {
        match id {
            "gone" => Err(BackendError::NotFound { what: "incident" }),
            "many" => Err(BackendError::Ambiguous(3)),
            "conflict" => Err(BackendError::Conflict("it is closed".into())),
            "invalid" => Err(BackendError::Invalid("never".into())),
            "later" => Err(BackendError::Unavailable { why: "catching up".into(), retry_after_s: 7 }),
            "elsewhere" => Err(BackendError::NotHere { role: "escalate" }),
            "broken" => Err(BackendError::Internal("the inner secret".into())),
            "panic" => panic!("the inner secret"),
            id => Ok(json!({"incident_id": id})),
        }
    }
    fn status(&self) -> Result<Value, BackendError> {
        drop(self.gate.lock().unwrap_or_else(|e| e.into_inner()));
        Ok(json!({"roles": ["collect"]}))
    }
    fn inbox(&self) -> Result<Vec<InboxEntry>, BackendError> {
        Ok(vec![])
    }
    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, BackendError> {
        Ok(AuditPage { records: vec![], next: Some(format!("{}", query.limit)) })
    }
    fn audit_verify(&self) -> Result<AuditReport, BackendError> {
        Ok(AuditReport { ok: true, records: 3, heads: vec![], faults: vec![] })
    }
    fn metrics(&self) -> Result<String, BackendError> {
        Ok("tocsin_up 1\n".into())
    }
    fn ready(&self) -> Readiness {
        Readiness { ready: true, roles: vec![] }
    }
    fn tail(&self, from: Option<&str>) -> Result<mpsc::Receiver<TailEvent>, BackendError> {
        let (out, events) = mpsc::channel(16);
        self.tails.lock().unwrap().push((from.map(Into::into), out));
        Ok(events)
    }
}

struct Running {
    address: SocketAddr,
    memory: Arc<Memory>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Running {
    async fn start(config: &str) -> Self {
        let config: HttpConfig = toml::from_str(&format!("address = \"127.0.0.1:0\"\n{config}")).unwrap();
        let extra = Router::new().route(
            "/extra",
            axum::routing::get(
                |axum::Extension(auth): axum::Extension<Auth>| async move { format!("{auth:?}") },
            ),
        );
        let server = Server::bind(config).await.unwrap().mount(extra);
        let (address, memory) = (server.local_addr(), Arc::new(Memory::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let backend: Arc<dyn Backend> = memory.clone();
        let served = tokio::spawn(server.serve(backend, async move {
            _ = stopped.await;
        }));
        Self { address, memory, stop: Some(stop), served }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, method, path, headers, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    async fn post(&self, path: &str, media: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", path, &[("content-type", media)], body.as_ref()).await
    }

    fn ingested(&self) -> Vec<IngestRecord> {
        std::mem::take(&mut self.memory.ingested.lock().unwrap())
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
    fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        head.push_str(&format!("host: {address}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "content-length" || *name == "transfer-encoding") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The listener may answer and close before it has read all of a body that is too long.
    _ = stream.write_all(body).await;
    let mut raw = Vec::new();
    _ = stream.read_to_end(&mut raw).await;
    parsed(&raw)
}

fn parsed(raw: &[u8]) -> Answer {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {raw:?}"));
    let head = std::str::from_utf8(&raw[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|l| l.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Answer { status, headers, body: raw[end + 4..].to_vec() }
}

/// A token for each of these, and the config that knows them.
fn tokens(of: &[(&str, Option<Role>, bool)]) -> (String, BTreeMap<String, String>) {
    let (mut config, mut held) = (String::new(), BTreeMap::new());
    for (i, (name, role, ingest)) in of.iter().enumerate() {
        let made = generate_token([u8::try_from(i).unwrap() + 1; 32]);
        let role = role.map(|r| format!("role = \"{}\"\n", r.name())).unwrap_or_default();
        config +=
            &format!("[[token]]\nname = \"{name}\"\n{role}ingest = {ingest}\nsha256 = \"{}\"\n", made.sha256);
        held.insert((*name).to_owned(), format!("Bearer {}", made.token));
    }
    (config, held)
}

/// A request that each route answers with success, given the right to it.
fn fine(route: &Route) -> (String, &'static str) {
    let path = route.path.replace("{id}", "abc");
    let body = match route.endpoint {
        Endpoint::Telemetry => r#"{"model":"m"}"#,
        Endpoint::Context => {
            r#"{"kind":"deployment","model":"m","version":"1","event_time":"2026-03-02T10:00:00Z"}"#
        }
        Endpoint::Close => r#"{"reason":"done"}"#,
        Endpoint::Note => r#"{"text":"hm"}"#,
        Endpoint::Acknowledge | Endpoint::Mitigate | Endpoint::Resolve => "{}",
        Endpoint::Status
        | Endpoint::Incidents
        | Endpoint::Incident
        | Endpoint::Tail
        | Endpoint::Inbox
        | Endpoint::Audit
        | Endpoint::AuditVerify
        | Endpoint::Metrics
        | Endpoint::Health
        | Endpoint::Ready => "",
    };
    (path, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_at_every_route() {
    let mut of: Vec<_> = Role::ALL.iter().map(|r| (r.name(), Some(*r), false)).collect();
    of.push(("service", None, true));
    of.push(("both", Some(Role::Viewer), true));
    let (config, held) = tokens(&of);
    let running = Running::start(&config).await;
    let mut callers: Vec<(&str, Option<String>, Option<Role>, bool)> =
        of.iter().map(|(name, role, ingest)| (*name, Some(held[*name].clone()), *role, *ingest)).collect();
    let stranger = generate_token([99; 32]).token;
    callers.push(("nobody", None, None, false));
    callers.push(("stranger", Some(format!("Bearer {stranger}")), None, false));

    for route in ROUTES {
        // A stream has no end: a test of its own.
        if route.endpoint == Endpoint::Tail {
            continue;
        }
        let (path, body) = fine(route);
        for (name, token, role, ingest) in &callers {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(token.as_deref().map(|t| ("authorization", t)));
            let answer = running.ask(route.method, &path, &headers, body.as_bytes()).await;
            let known = !matches!(*name, "nobody" | "stranger");
            let (may, needs) = match route.access {
                Access::Open => (true, None),
                Access::Ingest => (*ingest, Some("ingest")),
                Access::Role(needed) => (role.is_some_and(|own| own >= needed), Some(needed.name())),
            };
            let what = format!("{name} at {} {path}: {answer:?}", route.method);
            match (may, known) {
                (true, _) => assert!((200..300).contains(&answer.status), "{what}"),
                (false, true) => assert_eq!(answer.status, 403, "{what}"),
                (false, false) => assert_eq!(answer.status, 401, "{what}"),
            }
            if !may {
                assert_eq!(answer.problem().needs.as_deref(), needs, "{what}");
                assert_eq!(answer.headers.contains_key("www-authenticate"), answer.status == 401, "{what}");
            }
        }
        let other = if route.method == "GET" { "DELETE" } else { "GET" };
        let admin = [("authorization", held["admin"].as_str())];
        let answer = running.ask(other, &path, &admin, b"").await;
        assert_eq!((answer.status, answer.problem().status), (405, 405), "{other} {path}");
    }
    let commands = running.memory.commands.lock().unwrap();
    assert!(
        commands
            .iter()
            .all(|c| c.principal.role >= Role::Responder && c.principal.name == c.principal.role.name())
    );
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let open: HttpConfig = toml::from_str(&format!("address = \"{address}\"")).unwrap();
        let error = Server::bind(open).await.err().expect("open to all").to_string();
        assert!(error.contains("[[http.token]]") && error.contains(address), "{error}");
    }
    let (tokens, _) = tokens(&[("a", Some(Role::Admin), false)]);
    let held: HttpConfig = toml::from_str(&format!("address = \"0.0.0.0:0\"\n{tokens}")).unwrap();
    assert!(!Server::bind(held).await.unwrap().is_open());
    let taken = Server::bind(toml::from_str("address = \"127.0.0.1:0\"").unwrap()).await.unwrap();
    let again: HttpConfig = toml::from_str(&format!("address = \"{}\"", taken.local_addr())).unwrap();
    assert!(matches!(Server::bind(again).await, Err(BindError::Listen { .. })));
}

#[tokio::test]
async fn on_ones_own_machine_everything_is_open_but_to_pages() {
    let running = Running::start("").await;
    assert_eq!(running.get("/v1/status").await.status, 200);
    assert_eq!(running.post("/v1/incidents/abc/ack", "application/json", "").await.status, 202);
    assert_eq!(running.memory.commands.lock().unwrap()[0].principal.name, "local");
    let rebound = running.ask("GET", "/v1/inbox", &[("host", "evil.example")], b"").await;
    assert_eq!((rebound.status, rebound.problem().kind.as_str()), (403, "urn:tocsin:foreign-host"));
    let page = [("origin", "https://evil.example"), ("content-type", "application/json")];
    assert_eq!(running.ask("POST", "/v1/incidents/abc/ack", &page, b"{}").await.status, 403);
    assert_eq!(running.memory.commands.lock().unwrap().len(), 1);
    let wrong = running.ask("GET", "/v1/status", &[("authorization", "Bearer tocsin_x")], b"").await;
    assert_eq!(wrong.status, 401, "a wrong token is not the same as none");
}

#[tokio::test]
async fn a_token_of_the_process_does_not_close_the_door() {
    let server = Server::bind(toml::from_str("address = \"127.0.0.1:0\"").unwrap()).await.unwrap();
    let (config, held) = tokens(&[("own", Some(Role::Viewer), false)]);
    let config: HttpConfig = toml::from_str(&config).unwrap();
    let server = server.allow(config.tokens[0].clone());
    assert!(server.is_open());
    let address = server.local_addr();
    tokio::spawn(server.serve(Arc::new(Memory::default()), std::future::pending()));
    for (headers, want) in [(vec![], 202), (vec![("authorization", held["own"].as_str())], 403)] {
        let got = ask(address, "POST", "/v1/incidents/a/ack", &headers, b"").await;
        assert_eq!(got.status, want);
    }
}

#[tokio::test]
async fn telemetry_comes_in_every_shape() {
    let running = Running::start("").await;
    let (a, b) = (r#"{"model":"m","n":1}"#, r#"{"model":"m","n":2}"#);
    let plain = ("content-type", "application/json");
    for (media, body, want, logged) in [
        ("application/x-ndjson", format!("{a}\n{b}\n"), vec![a, b], plain),
        ("application/json", a.to_owned(), vec![a], plain),
        ("application/json", format!("[{a}, {b}]"), vec![a, b], plain),
        (
            "application/cloudevents+json",
            a.to_owned(),
            vec![a],
            ("content-type", "application/cloudevents+json"),
        ),
        (
            "application/cloudevents-batch+json; charset=UTF-8",
            format!("[{a},{b}]"),
            vec![a, b],
            ("content-type", "application/cloudevents+json"),
        ),
    ] {
        let answer = running.post("/v1/telemetry", media, &body).await;
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(want.len())), "{media}");
        let got = running.ingested();
        assert_eq!(
            got.iter().map(|r| r.body.as_ref()).collect::<Vec<_>>(),
            want.iter().map(|r| r.as_bytes()).collect::<Vec<_>>()
        );
        for record in got {
            assert_eq!(*record.headers, [(logged.0.into(), logged.1.into())], "{media}");
        }
    }
    let event = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/kserve"),
        ("ce-type", "org.kubeflow.serving.inference.request"),
        ("ce-inferenceservicename", "fraud"),
    ];
    assert_eq!(running.ask("POST", "/v1/telemetry", &event, a.as_bytes()).await.status, 202);
    let headers = running.ingested()[0].headers.clone();
    let value = |name: &str| {
        headers.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    };
    assert_eq!(value("ce_inferenceservicename").as_deref(), Some("fraud"));
    assert_eq!(value("ce_id").as_deref(), Some("7"));
    assert_eq!(value("content-type").as_deref(), Some("application/json"));
}

#[tokio::test]
async fn broken_telemetry_is_refused_by_line() {
    let running = Running::start("body_bytes_max = 2000\nrecord_bytes_max = 300\nrecords_max = 20").await;
    let some =
        running.post("/v1/telemetry", "application/x-ndjson", "{\"a\":1}\n{\"a\":\n{\"b\":2}\nnope").await;
    assert_eq!(some.status, 207);
    assert_eq!(some.json()["accepted"], 2);
    let lines: Vec<_> =
        some.json()["rejected"].as_array().unwrap().iter().map(|r| r["line"].clone()).collect();
    assert_eq!((lines, &some.json()["rejected_total"]), (vec![json!(2), json!(4)], &json!(2)));
    assert_eq!(running.ingested().len(), 2);

    let long = "x".repeat(400);
    for (name, media, body, status, word) in [
        ("nothing", "application/x-ndjson", String::new(), 400, "no-records"),
        ("blank", "application/x-ndjson", "\n\n".into(), 400, "no-records"),
        ("empty array", "application/json", "[]".into(), 400, "no-records"),
        ("no JSON", "application/x-ndjson", "hello".into(), 400, "malformed"),
        ("half an array", "application/json", "[{},".into(), 400, "malformed"),
        ("long record", "application/json", format!("{{\"a\":\"{long}\"}}"), 400, "malformed"),
        ("many records", "application/x-ndjson", "{}\n".repeat(21), 413, "too-many-records"),
        ("long body", "application/x-ndjson", "{}\n".repeat(1000), 413, "body-too-large"),
        ("text", "text/plain", "{}".into(), 415, "content-type"),
        ("form", "application/x-www-form-urlencoded", "{}".into(), 415, "content-type"),
    ] {
        let answer = running.post("/v1/telemetry", media, &body).await;
        let problem = answer.problem();
        assert_eq!((problem.status, problem.kind), (status, format!("urn:tocsin:{word}")), "{name}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&long), "{name}: no value is repeated");
    }
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(running.ask("POST", "/v1/telemetry", &gzip, b"{}").await.status, 415);
    let chunked = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    let body = format!("bb8\r\n{}\r\n0\r\n\r\n", "x".repeat(3000));
    assert_eq!(running.ask("POST", "/v1/telemetry", &chunked, body.as_bytes()).await.status, 413);
    assert!(running.ingested().is_empty());
}

#[tokio::test]
async fn a_slow_or_cut_body_frees_its_place() {
    let running = Running::start("body_timeout_s = 1\ningest_concurrent_max = 1").await;
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "POST /v1/telemetry HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        running.address
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut first = vec![0; 4096];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let busy = running.post("/v1/telemetry", "application/json", "{}").await;
    assert_eq!((busy.status, busy.headers["retry-after"].as_str()), (503, "1"));
    let n = slow.read(&mut first).await.unwrap();
    assert_eq!(parsed(&first[..n]).status, 408);
    assert_eq!(running.post("/v1/telemetry", "application/json", "{}").await.status, 202);

    let mut cut = TcpStream::connect(running.address).await.unwrap();
    cut.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(cut);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.post("/v1/telemetry", "application/json", "{}").await.status, 202);
    assert_eq!(running.ingested().len(), 2);
}

#[tokio::test]
async fn rates_are_bounded() {
    let running = Running::start("records_per_s = 10").await;
    let twenty = "{}\n".repeat(20);
    assert_eq!(running.post("/v1/telemetry", "application/x-ndjson", &twenty).await.status, 202);
    let over = running.post("/v1/telemetry", "application/x-ndjson", "{}").await;
    assert_eq!(over.status, 429);
    assert_eq!(over.headers["retry-after"], "1");
    assert_eq!(running.ingested().len(), 20);

    let running = Running::start("requests_per_s = 3").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(running.get("/v1/status").await.status);
    }
    assert_eq!(statuses[..3], [200; 3]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    assert_eq!(running.get("/healthz").await.status, 200, "health is always answered");
    assert_eq!(running.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_bounded_in_number_and_time() {
    let running = Running::start("concurrent_max = 2\ncall_timeout_s = 1").await;
    let memory = running.memory.clone();
    let (held, release) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let keeper = std::thread::spawn(move || {
        let gate = memory.gate.lock().unwrap();
        held.0.send(()).unwrap();
        _ = release.1.recv();
        drop(gate);
    });
    held.1.recv().unwrap();
    let address = running.address;
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(async move { ask(address, "GET", "/v1/status", &[], b"").await.status }))
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(running.get("/v1/status").await.problem().kind, "urn:tocsin:busy");
    assert_eq!(running.get("/healthz").await.status, 200);
    assert_eq!(running.get("/readyz").await.status, 200);
    for call in waiting {
        assert_eq!(call.await.unwrap(), 504);
    }
    assert_eq!(running.get("/v1/inbox").await.status, 503, "what still runs holds its place");
    release.0.send(()).unwrap();
    keeper.join().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.get("/v1/status").await.status, 200);
}

#[tokio::test]
async fn commands_say_who_what_and_under_which_key() {
    let (config, held) = tokens(&[("ann", Some(Role::Responder), false)]);
    let running = Running::start(&config).await;
    let ann = held["ann"].as_str();
    let headers = [("authorization", ann), ("content-type", "application/json"), ("idempotency-key", "k-1")];
    let note = |text: &str| Some(text.to_owned());
    for (what, body, want) in [
        ("ack", r#"{"for_s":60,"note":"mine"}"#, Action::Acknowledge { for_s: Some(60), note: note("mine") }),
        ("ack", "", Action::Acknowledge { for_s: None, note: None }),
        ("mitigate", r#"{"for_s":60}"#, Action::Mitigate { for_s: Some(60), note: None }),
        ("resolve", r#"{"reason":"rolled back"}"#, Action::Resolve { reason: note("rolled back") }),
        ("close", r#"{"reason":"bad deploy"}"#, Action::Close { reason: "bad deploy".into() }),
        ("note", "{\"text\":\"Größe\\nzwei\"}", Action::Note { text: "Größe\nzwei".into() }),
    ] {
        let answer =
            running.ask("POST", &format!("/v1/incidents/ab12/{what}"), &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json(), json!({"command_id": "k-1", "incident_id": "ab12", "repeated": false}));
        let got = running.memory.commands.lock().unwrap().pop().unwrap();
        assert_eq!((got.action, got.incident.as_str()), (want, "ab12"));
        assert_eq!((got.principal.name.as_str(), got.principal.role), ("ann", Role::Responder));
        assert_eq!(got.command_id, Some(CommandId::new("k-1")));
    }
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(4097));
    let at_most = format!("{{\"text\":\"{}\"}}", "x".repeat(4096));
    for (what, media, key, body, status) in [
        ("note", "application/json", "k", at_most.as_str(), 202),
        ("note", "application/json", "k", long.as_str(), 422),
        ("note", "application/json", "k", r#"{"text":"  "}"#, 422),
        ("note", "application/json", "k", "{\"text\":\"a\\u0000b\"}", 422),
        ("note", "application/json", "k", "", 400),
        ("ack", "application/json", "k", r#"{"for_s":0}"#, 422),
        ("ack", "application/json", "k", r#"{"for_s":-5}"#, 400),
        ("ack", "application/json", "k", r#"{"fors":5}"#, 400),
        ("ack", "application/json", "k", "[]", 400),
        ("ack", "text/plain", "k", "{}", 415),
        ("ack", "application/json", "k k", "{}", 400),
        ("ack", "application/json", "", "{}", 400),
        ("close", "application/json", "k", "{}", 400),
    ] {
        let headers = [("authorization", ann), ("content-type", media), ("idempotency-key", key)];
        let answer =
            running.ask("POST", &format!("/v1/incidents/ab12/{what}"), &headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{what} {body:.40} {answer:?}");
    }
    for id in ["a-b", "%2e%2e", &"a".repeat(65)] {
        assert_eq!(
            running.ask("POST", &format!("/v1/incidents/{id}/ack"), &headers, b"").await.status,
            404,
            "{id}"
        );
    }
    assert_eq!(running.memory.commands.lock().unwrap().len(), 1, "nothing wrong was written");
}

#[tokio::test]
async fn context_is_taken_whole_or_not_at_all() {
    let running = Running::start("").await;
    let good = r#"{"kind":"deployment","model":"m","version":"1","event_time":1772445600000}"#;
    let lineage = r#"{"kind":"lineage","subject":{"kind":"model","name":"m"},"event_time":0,"upstream":[{"kind":"dataset","name":"d"}]}"#;
    let both = running.post("/v1/context", "application/x-ndjson", format!("{good}\n{lineage}")).await;
    assert_eq!((both.status, both.json()), (202, json!({"accepted": 2})));
    assert_eq!(running.memory.context.lock().unwrap().len(), 2);
    for bad in [
        r#"{"kind":"deployment","model":"m"}"#,
        r#"{"kind":"deployment","model":"","version":"1","event_time":0}"#,
        r#"{"kind":"profile","model":"m"}"#,
        r#"{"kind":"other"}"#,
        "nope",
    ] {
        let answer = running.post("/v1/context", "application/x-ndjson", format!("{good}\n{bad}")).await;
        assert_eq!((answer.status, answer.problem().rejected.len()), (400, 1), "{bad}");
    }
    assert_eq!(running.memory.context.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn lists_are_asked_for_by_page() {
    let running = Running::start("").await;
    assert_eq!(running.get("/v1/incidents").await.json()["total"], 7);
    running.get("/v1/incidents?state=all&severity=sev1,sev2&limit=200&cursor=n").await;
    let queries = std::mem::take(&mut *running.memory.queries.lock().unwrap());
    assert_eq!(
        queries[0],
        IncidentQuery { state: IncidentsState::Open, severities: vec![], limit: 50, cursor: None }
    );
    assert_eq!(
        queries[1],
        IncidentQuery {
            state: IncidentsState::All,
            severities: vec![Severity::Sev1, Severity::Sev2],
            limit: 200,
            cursor: Some("n".into())
        }
    );
    for query in
        ["limit=0", "limit=201", "limit=x", "state=shut", "severity=sev9", "colour=red", "cursor=%20"]
    {
        let answer = running.get(&format!("/v1/incidents?{query}")).await;
        assert_eq!((answer.status, answer.problem().kind.as_str()), (400, "urn:tocsin:query"), "{query}");
    }
    assert_eq!(running.get("/v1/audit?limit=1000").await.json()["next"], "1000");
    assert_eq!(running.get("/v1/audit?limit=1001").await.status, 400);
    assert_eq!(running.get("/v1/audit/verify").await.json()["ok"], true);
    let metrics = running.get("/metrics").await;
    assert_eq!(metrics.body, b"tocsin_up 1\n");
    assert!(metrics.headers["content-type"].starts_with("text/plain; version=0.0.4"));
}

#[tokio::test]
async fn what_the_backend_says_becomes_a_status() {
    let running = Running::start("").await;
    for (id, status, word) in [
        ("gone", 404, "not-found"),
        ("many", 409, "ambiguous-id"),
        ("conflict", 409, "conflict"),
        ("invalid", 422, "invalid"),
        ("later", 503, "unavailable"),
        ("elsewhere", 503, "role-not-here"),
        ("broken", 500, "internal"),
        ("panic", 500, "internal"),
    ] {
        let answer = running.get(&format!("/v1/incidents/{id}")).await;
        let problem = answer.problem();
        assert_eq!((problem.status, problem.kind), (status, format!("urn:tocsin:{word}")), "{id}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("inner secret"), "{answer:?}");
        if id == "later" {
            assert_eq!(answer.headers["retry-after"], "7");
        }
    }
    assert_eq!(running.get("/v1/incidents/abc").await.status, 200, "a panic ends one request only");
}

#[tokio::test]
async fn every_answer_is_dressed() {
    let running = Running::start("").await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/v1/status", "/nowhere", "/healthz", "/extra", "/v1/incidents/gone"] {
        let answer = running.get(path).await;
        for (name, want) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers[name], want, "{path}");
        }
        assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'"));
        assert!(ids.insert(answer.headers["x-request-id"].clone()), "ids differ");
    }
    assert_eq!(running.get("/nowhere").await.problem().status, 404);
    let extra = running.get("/extra").await;
    assert!(
        String::from_utf8_lossy(&extra.body).contains("local"),
        "a mounted page knows who asks: {extra:?}"
    );
}

#[tokio::test]
async fn what_is_not_http_ends_one_connection() {
    let running = Running::start("").await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00hello"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/telemetry HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut raw = Vec::new();
        _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut raw))
            .await
            .expect("it closes");
    }
    let many: String = (0..3000).map(|i| format!("x-h{i}: {}\r\n", "v".repeat(40))).collect();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    _ = stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").as_bytes()).await;
    let mut raw = Vec::new();
    _ = stream.read_to_end(&mut raw).await;
    assert!(raw.is_empty() || parsed(&raw).status == 431, "{}", String::from_utf8_lossy(&raw));
    assert_eq!(running.get("/healthz").await.status, 200);
}

/// The body of a stream so far, without the sizes of its chunks.
async fn read_until(stream: &mut TcpStream, mark: &str) -> String {
    let mut raw = Vec::new();
    while !String::from_utf8_lossy(&raw).contains(mark) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_buf(&mut raw)).await;
        assert_ne!(read.expect("in time").unwrap(), 0, "{}", String::from_utf8_lossy(&raw));
    }
    String::from_utf8(raw).unwrap()
}

async fn follow(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n").as_bytes())
        .await
        .unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_stream_until_the_end() {
    let mut running = Running::start("tails_max = 2").await;
    let mut lines = follow(running.address, "/v1/tail?from=c5", "").await;
    let mut events =
        follow(running.address, "/v1/tail", "accept: text/event-stream\r\nlast-event-id: c6\r\n").await;
    assert!(read_until(&mut lines, "\r\n\r\n").await.contains("application/x-ndjson"));
    assert!(read_until(&mut events, "\r\n\r\n").await.contains("text/event-stream"));
    let senders = running.memory.tails.lock().unwrap().clone();
    let from: std::collections::BTreeSet<_> = senders.iter().map(|(from, _)| from.clone().unwrap()).collect();
    assert_eq!(from.into_iter().collect::<Vec<_>>(), ["c5", "c6"]);
    for (_, out) in &senders {
        out.send(TailEvent { id: "7".into(), kind: "page".into(), data: json!({"title": "x"}) })
            .await
            .unwrap();
    }
    assert!(
        read_until(&mut lines, "\"x\"").await.contains(r#"{"id":"7","kind":"page","data":{"title":"x"}}"#)
    );
    assert!(
        read_until(&mut events, "\"x\"").await.contains("id: 7\nevent: page\ndata: {\"title\":\"x\"}\n\n")
    );
    assert_eq!(running.get("/v1/tail").await.problem().kind, "urn:tocsin:busy");

    drop(lines);
    let gone = senders.iter().find(|(from, _)| from.as_deref() == Some("c5")).unwrap();
    tokio::time::timeout(Duration::from_secs(5), gone.1.closed())
        .await
        .expect("a reader that left is noticed");
    let stop = running.stop.take().unwrap();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(4), running.served)
        .await
        .expect("a stream does not hold the end up")
        .unwrap();
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream was ended, not cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_is_finished() {
    let mut running = Running::start("").await;
    let memory = running.memory.clone();
    let (held, release) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let keeper = std::thread::spawn(move || {
        let gate = memory.gate.lock().unwrap();
        held.0.send(()).unwrap();
        _ = release.1.recv();
        drop(gate);
    });
    held.1.recv().unwrap();
    let address = running.address;
    let begun = tokio::spawn(async move {
        let headers = [("content-type", "application/json")];
        ask(address, "POST", "/v1/telemetry", &headers, b"{}").await.status
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(TcpStream::connect(address).await.is_err(), "no new connection");
    release.0.send(()).unwrap();
    keeper.join().unwrap();
    assert_eq!(begun.await.unwrap(), 202);
    tokio::time::timeout(Duration::from_secs(4), running.served).await.expect("and then it ends").unwrap();
}
