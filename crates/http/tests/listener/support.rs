//! A backend that remembers what it was asked, a listener before it, and a client that writes bytes.

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
use wire::command::Role;
use wire::context::ContextRecord;
use wire::control::SilenceAsk;
use wire::page::InboxEntry;
use wire::{CommandId, IncidentId, Timestamp};

pub(crate) const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
pub(crate) const PAGERDUTY_SECRET: &str = "a_webhook_secret_as_pagerduty_makes_it";
/// The one that is to follow it.
pub(crate) const PAGERDUTY_NEXT: &str = "the_next_webhook_secret_of_pagerduty";
pub(crate) const LINK_KEY: &str = "a_key_of_16_and_more";
/// What every clock shows.
pub(crate) const NOW: &str = "2026-03-02T10:02:00Z";

/// Does what it is asked and remembers it. Calls wait while the gate is held.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) ingested: Mutex<Vec<IngestRecord>>,
    pub(crate) context: Mutex<Vec<ContextRecord>>,
    pub(crate) commands: Mutex<Vec<NewCommand>>,
    /// On incidents of other processes, with the generation that was meant.
    pub(crate) handed_on: Mutex<Vec<(NewCommand, u32)>>,
    pub(crate) raised: Mutex<Vec<NewIncident>>,
    /// What was imported under which key, and whether it is open.
    pub(crate) imported: Mutex<Vec<(String, NewIncident, bool)>>,
    /// What became of what others sent.
    pub(crate) inbound: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    pub(crate) queries: Mutex<Vec<IncidentQuery>>,
    pub(crate) tails: Mutex<Vec<(Option<String>, mpsc::Sender<TailEvent>)>>,
    pub(crate) forgotten: Mutex<Vec<NewForget>>,
    pub(crate) accessed: Mutex<Vec<Accessed>>,
    pub(crate) gate: Mutex<()>,
    pub(crate) replies: Mutex<Vec<[String; 3]>>,
    /// Incidents by their ids, before what the id alone says.
    pub(crate) views: Mutex<BTreeMap<String, Value>>,
    /// What became of every command, if it is the same for all.
    pub(crate) silenced: Mutex<Vec<AskedSilence>>,
    pub(crate) verdict: Mutex<Option<(AnswerState, Option<String>)>>,
}

impl Backend for Memory {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }
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
    fn hand_on(&self, command: NewCommand, generation: u32) -> Result<CommandReceipt, BackendError> {
        if generation < 3 {
            return Err(BackendError::EarlierAlert);
        }
        let command_id = command.command_id.clone().unwrap_or_else(|| CommandId::new("made"));
        let incident_id = IncidentId::new(command.incident.clone());
        self.handed_on.lock().unwrap().push((command, generation));
        Ok(CommandReceipt { command_id, incident_id, repeated: false })
    }
    fn raise(&self, incident: NewIncident) -> Result<CommandReceipt, BackendError> {
        let incident_id = IncidentId::new("raised");
        let command_id = incident.command_id.clone().unwrap_or_else(|| CommandId::new("made"));
        self.raised.lock().unwrap().push(incident);
        Ok(CommandReceipt { command_id, incident_id, repeated: false })
    }
    fn import(&self, key: &str, new: NewIncident) -> Result<CommandReceipt, BackendError> {
        match new.title.as_str() {
            "too large" => return Err(BackendError::Invalid("it is too large".into())),
            "later" => return Err(BackendError::Unavailable { why: "catching up".into(), retry_after_s: 7 }),
            _ => (),
        }
        let mut imported = self.imported.lock().unwrap();
        let incident_id = IncidentId::of(&[key.as_bytes()]);
        let command_id = new.command_id.clone().unwrap_or_else(|| CommandId::new("made"));
        let repeated = imported.iter().any(|(known, _, open)| known == key && *open);
        if !repeated {
            imported.push((key.to_owned(), new, true));
        }
        Ok(CommandReceipt { command_id, incident_id, repeated })
    }
    fn over(&self, key: &str, was: NewIncident, reason: String) -> Result<CommandReceipt, BackendError> {
        assert!(reason.starts_with("resolved in Alertmanager"), "{reason}");
        let mut imported = self.imported.lock().unwrap();
        let open = imported.iter_mut().find(|(known, _, open)| known == key && *open);
        let (_, _, is_open) = open.ok_or(BackendError::NotFound { what: "incident that is open" })?;
        *is_open = false;
        let command_id = was.command_id.unwrap_or_else(|| CommandId::new("made"));
        Ok(CommandReceipt { command_id, incident_id: IncidentId::of(&[key.as_bytes()]), repeated: false })
    }
    fn alerted(&self, key: &wire::AlertKey) -> Result<Value, BackendError> {
        if *key == wire::AlertKey::of(&[b"elsewhere"]) {
            return Err(BackendError::Unavailable { why: "others have it".into(), retry_after_s: 5 });
        }
        let has_it = |view: &&Value| {
            let mut pages = view["pages"].as_array().into_iter().flatten();
            pages.any(|page| page["alert_key"] == key.as_str())
        };
        let views = self.views.lock().unwrap();
        views.values().find(has_it).cloned().ok_or(BackendError::NotFound { what: "alert" })
    }
    fn in_one_message(
        &self,
        fold: &wire::NotificationId,
        places: std::ops::Range<usize>,
    ) -> Result<IncidentPage, BackendError> {
        let in_it = |view: &&Value| {
            let mut pages = view["pages"].as_array().into_iter().flatten();
            pages.any(|page| page["fold"] == fold.as_str())
        };
        let views = self.views.lock().unwrap();
        let found: Vec<Value> = views.values().filter(in_it).cloned().collect();
        let total = found.len() as u64;
        Ok(IncidentPage {
            incidents: found.into_iter().skip(places.start).take(places.len()).collect(),
            total,
            ..IncidentPage::default()
        })
    }
    fn inbound(&self, from: &'static str, outcome: &'static str, count: u64) {
        *self.inbound.lock().unwrap().entry((from, outcome)).or_default() += count;
    }
    fn answer(&self, id: &CommandId) -> Result<CommandAnswer, BackendError> {
        let verdict = self.verdict.lock().unwrap().clone();
        let (answer, why) = match id.as_str() {
            _ if verdict.is_some() => verdict.unwrap(),
            "refused" => (AnswerState::Refused, Some("it is closed".into())),
            "accepted" => (AnswerState::Accepted, None),
            _ => (AnswerState::Unknown, None),
        };
        Ok(CommandAnswer { command_id: id.clone(), answer, why })
    }
    fn slack_reply(&self, receiver: &str, to: &str, text: &str) -> Result<(), BackendError> {
        self.replies.lock().unwrap().push([receiver, to, text].map(str::to_owned));
        Ok(())
    }
    fn incidents(&self, query: &IncidentQuery) -> Result<IncidentPage, BackendError> {
        self.queries.lock().unwrap().push(query.clone());
        Ok(IncidentPage {
            incidents: vec![json!({"incident_id": "a"})],
            total: 7,
            partitions: [1, 1],
            next: Some("n".into()),
        })
    }
    fn incident(&self, id: &str) -> Result<Value, BackendError> {
        // As the process does: the first letters will do.
        if let Some((_, view)) = self.views.lock().unwrap().iter().find(|(known, _)| known.starts_with(id)) {
            return Ok(view.clone());
        }
        match id {
            "gone" => Err(BackendError::NotFound { what: "incident" }),
            "many" => Err(BackendError::Ambiguous(3)),
            "invalid" => Err(BackendError::Invalid("never".into())),
            "later" => Err(BackendError::Unavailable { why: "catching up".into(), retry_after_s: 7 }),
            "elsewhere" => Err(BackendError::NotHere { role: "escalate" }),
            "theirs" => Err(BackendError::Elsewhere { here: 1, of: 2 }),
            "broken" => Err(BackendError::Internal("the inner secret".into())),
            "panic" => panic!("the inner secret"),
            id => Ok(json!({"incident_id": id})),
        }
    }
    fn why(&self, _id: &str, person: Option<String>) -> Result<Why, BackendError> {
        let because = vec![person.unwrap_or_else(|| "everybody".into())];
        Ok(Why { incident_id: IncidentId::of(&[b"any"]), because })
    }
    fn silences(&self) -> Result<Vec<SilenceItem>, BackendError> {
        Ok(vec![])
    }
    fn silence_preview(&self, of: &wire::Matches) -> Result<SilencePreview, BackendError> {
        match of.model.first().map(String::as_str) {
            Some("many") => Ok(SilencePreview { total: 1_001, ..SilencePreview::default() }),
            _ => Ok(SilencePreview::default()),
        }
    }
    fn silence(&self, asked: AskedSilence) -> Result<SilenceReceipt, BackendError> {
        if let SilenceAsk::Make(new) = &asked.ask
            && new.of.model == ["moved"]
        {
            return Err(BackendError::NotAsListed { total: 2, new: "b".into(), gone: String::new() });
        }
        let command_id = asked.command_id.clone().unwrap_or_else(|| CommandId::new("made"));
        self.silenced.lock().unwrap().push(asked);
        Ok(SilenceReceipt { command_id, silence_id: wire::SilenceId::new("made") })
    }
    fn status(&self) -> Result<Value, BackendError> {
        drop(self.gate.lock().unwrap_or_else(|e| e.into_inner()));
        Ok(json!({"roles": ["collect"]}))
    }
    fn inbox(&self) -> Result<Vec<InboxEntry>, BackendError> {
        Ok(vec![])
    }
    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, BackendError> {
        let next = query.cursor.clone().unwrap_or_else(|| query.limit.to_string());
        Ok(DeadLetterPage { letters: vec![], next: Some(next) })
    }
    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, BackendError> {
        Ok(AuditPage { next: Some(format!("{}", query.limit)), ..AuditPage::default() })
    }
    fn audit_verify(&self, witnesses: &AuditWitnesses) -> Result<AuditReport, BackendError> {
        drop(self.gate.lock().unwrap_or_else(|e| e.into_inner()));
        let public_keys = witnesses.public_keys.clone();
        Ok(AuditReport { ok: true, records: 3, public_keys, ..AuditReport::default() })
    }
    fn forget(&self, forget: NewForget) -> Result<ForgetReceipt, BackendError> {
        self.forgotten.lock().unwrap().push(forget);
        Ok(ForgetReceipt { pseudonym: "p-1".into(), commands: vec![CommandId::new("made.0")] })
    }
    fn accessed(&self, accessed: &Accessed) {
        self.accessed.lock().unwrap().push(accessed.clone());
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

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) memory: Arc<Memory>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(config: &str) -> Self {
        let links = Some(wire::link::LinkKeys::read(LINK_KEY).unwrap());
        let slack = vec![SlackApp::new("other", "another"), SlackApp::new("team", SLACK_SECRET)];
        let secrets = format!("{PAGERDUTY_SECRET} {PAGERDUTY_NEXT}");
        let pagerduty = PagerDutySecrets::read(&secrets).unwrap();
        Self::start_with(config, Trusted { links, slack, pagerduty }).await
    }

    /// How many of what others sent came to this.
    pub(crate) fn inbound(&self, from: &'static str, outcome: &'static str) -> u64 {
        self.memory.inbound.lock().unwrap().get(&(from, outcome)).copied().unwrap_or(0)
    }

    pub(crate) async fn untrusting() -> Self {
        Self::start_with("", Trusted::default()).await
    }

    async fn start_with(config: &str, trusted: Trusted) -> Self {
        let config: HttpConfig = toml::from_str(&format!("address = \"127.0.0.1:0\"\n{config}")).unwrap();
        let extra = Router::new().route(
            "/extra",
            axum::routing::get(
                |axum::Extension(auth): axum::Extension<Auth>| async move { format!("{auth:?}") },
            ),
        );
        let server = Server::bind(config).await.unwrap().trust(trusted).mount(extra);
        let (address, memory) = (server.local_addr(), Arc::new(Memory::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let backend: Arc<dyn Backend> = memory.clone();
        let served = tokio::spawn(server.serve(backend, async move {
            _ = stopped.await;
        }));
        Self { address, memory, stop: Some(stop), served }
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        ask(self.address, method, path, headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, media: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", path, &[("content-type", media)], body.as_ref()).await
    }

    /// Holds up what waits at the gate, until the answer is called.
    pub(crate) fn hold_the_gate(&self) -> impl FnOnce() + use<> {
        let memory = self.memory.clone();
        let (held, release) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        let keeper = std::thread::spawn(move || {
            let gate = memory.gate.lock().unwrap();
            held.0.send(()).unwrap();
            _ = release.1.recv();
            drop(gate);
        });
        held.1.recv().unwrap();
        move || {
            release.0.send(()).unwrap();
            keeper.join().unwrap();
        }
    }

    pub(crate) fn ingested(&self) -> Vec<IngestRecord> {
        std::mem::take(&mut self.memory.ingested.lock().unwrap())
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }
}

pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
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

pub(crate) fn parsed(raw: &[u8]) -> Answer {
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
pub(crate) fn tokens(of: &[(&str, Option<Role>, bool)]) -> (String, BTreeMap<String, String>) {
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

/// The body of a stream so far, without the sizes of its chunks.
pub(crate) async fn read_until(stream: &mut TcpStream, mark: &str) -> String {
    let mut raw = Vec::new();
    while !String::from_utf8_lossy(&raw).contains(mark) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_buf(&mut raw)).await;
        assert_ne!(read.expect("in time").unwrap(), 0, "{}", String::from_utf8_lossy(&raw));
    }
    String::from_utf8(raw).unwrap()
}

pub(crate) async fn follow(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n").as_bytes())
        .await
        .unwrap();
    stream
}
