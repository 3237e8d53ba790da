//! Every secret that tocsin knows of, each with a mark at both of its ends, in a home where whatever is sent is taken, refused
//! or lost, and whoever is sent to repeats every word with a mark. Then the marks are looked for in everything that the
//! process and the command line say and keep, as they stand and encoded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::random::Random;
use tocsin_tests::{free_port, home, not_tested, stored, wait};
use wire::id::hex;
use wire::topic::Topics;

/// No word of ours and no hash has it.
const MARK: &str = "Zq7xKe8w";
/// Where only hexadecimal may stand.
const HEX_MARK: &str = "5ec7e75ec7e7";

/// What is of the process itself. `§` is a new secret, `¤` one in hexadecimal; a line with `@` puts what it has where the
/// process finds it, and the config says where.
const KEYS: &str = "
[http]
public_url = \"http://127.0.0.1:7311\"
@link_key = § §
@pagerduty_secret = § §
[audit]
checkpoint_s = 1
@people_key = §
@checkpoint_key = ¤
[telemetry.privacy]
@key = §
";
/// Kinds of receivers that can be reached in clear, with whom they call and what they need; `AT` is an address.
const PLAIN: [(&str, &str, &str); 7] = [
    ("webhook", "on-call", "url = \"AT/§?token=§\"\nallow_private = true\n@secret = whsec_§ whsec_§"),
    ("pagerduty", "on-call", "url = \"AT/v2/enqueue\"\n@routing_key = §"),
    ("opsgenie", "default", "url = \"AT\"\n@api_key = §"),
    ("slack", "on-call", "@webhook = AT/services/T0/B0/§\n@signing_secret = §"),
    ("bot", "C024BE91L", "url = \"AT/api\"\n@token = xoxb-§\n@signing_secret = §"),
    ("teams", "on-call", "@url = AT/workflows/§/run?v=1&sig=§%2B"),
    ("heartbeat", "on-call", "allow_private = true\n@url = AT/ping/§"),
];
/// Those that need TLS; `PORT` is that of `AT`.
const SECURE: [(&str, &str, &str); 2] = [
    ("alertmanager", "on-call", "urls = [\"AT/§\"]\nca_file = \"cert.pem\"\n@token = §"),
    (
        "smtp",
        "ann@mail.test",
        "host = \"127.0.0.1\"\nport = PORT\ntls = \"implicit\"\nca_file = \"cert.pem\"\nallow_private = true\n\
         from = \"tocsin@mail.test\"\nusername = \"tocsin\"\n@password = §",
    ),
];
/// How those in clear are answered: 200, 400, 401 and 500.
const WAYS: [&str; 4] = ["takes", "rejects", "forbids", "fails"];

/// How the config says where a secret is.
#[derive(Clone, Copy)]
enum By {
    Env,
    File,
}

/// All secrets of a home, and what was found of them.
struct Corpus {
    home: Home,
    by: By,
    random: Random,
    /// By the table that they are in, and how manieth.
    all: BTreeMap<(String, usize), String>,
    token: String,
    env: Vec<(String, String)>,
    /// Looked for in upper and lower case.
    any_case: Vec<String>,
    exact: Vec<String>,
    leaks: BTreeMap<String, String>,
}

impl Corpus {
    fn new(home: Home, by: By, seed: u64) -> Self {
        let (all, leaks, random) = (BTreeMap::new(), BTreeMap::new(), Random::new(seed));
        let (any_case, exact, env, token) = (vec![], vec![], vec![], String::new());
        let mut corpus = Self { home, by, random, all, token, env, any_case, exact, leaks };
        // What they are as bytes too.
        let bytes = [STANDARD.decode(MARK).unwrap(), vec![0x5e, 0xc7, 0xe7, 0x5e, 0xc7, 0xe7]];
        for mark in [MARK.as_bytes(), HEX_MARK.as_bytes(), &bytes[0], &bytes[1]] {
            corpus.any_case.extend([as_text(mark).to_ascii_lowercase(), hex(mark)]);
            for before in 0..3 {
                // In base64, without the letters that depend on what stands beside it.
                let whole = (before * 8_usize).div_ceil(6)..(before + mark.len()) * 8 / 6;
                corpus.exact.push(STANDARD.encode([&b"..."[..before], mark].concat())[whole].to_owned());
            }
            let numbers: Vec<String> = mark.iter().map(u8::to_string).collect();
            corpus.exact.extend([numbers.join(", "), numbers.join(",")]);
        }
        corpus.token = format!("tocsin_{}", corpus.secret("token"));
        corpus
    }

    /// A new secret of 32 letters and digits.
    fn secret(&mut self, of: &str) -> String {
        let secret = format!("{MARK}{:016x}{MARK}", self.random.bits());
        let n = self.all.keys().filter(|(table, _)| table == of).count();
        self.all.insert((of.to_owned(), n), secret.clone());
        secret
    }

    fn of(&self, table: &str, n: usize) -> &str {
        &self.all[&(table.to_owned(), n)]
    }

    /// A table of the config with its secrets.
    fn table(&mut self, name: &str, text: &str) -> String {
        let mut out = String::new();
        for line in text.lines() {
            let mut parts = line.split('§');
            let mut line = parts.next().unwrap_or_default().to_owned();
            parts.for_each(|part| line.extend([&self.secret(name), part]));
            let line = line.replace('¤', &format!("{HEX_MARK}{:040x}{HEX_MARK}", self.random.bits()));
            let n = self.random.bits();
            match (line.strip_prefix('@').and_then(|line| line.split_once(" = ")), self.by) {
                (None, _) => out.push_str(&line),
                (Some((field, value)), By::File) => {
                    self.home.write(&format!("secrets/{n}"), value);
                    out.push_str(&format!("{field}_file = \"secrets/{n}\""));
                }
                (Some((field, value)), By::Env) => {
                    self.env.push((format!("TOCSIN_TEST_{n}"), value.to_owned()));
                    out.push_str(&format!("{field}_env = \"TOCSIN_TEST_{n}\""));
                }
            }
            out.push('\n');
        }
        out
    }

    /// The program with all that it needs to know, and as much of it said as can be.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.args(["--log", "trace"]).envs(self.env.iter().cloned());
        match self.by {
            By::File => drop(command.args(["--token-file", "secrets/admin"])),
            By::Env => drop(command.env("TOCSIN_TOKEN", &self.token)),
        }
        command
    }

    fn start(&self) -> Process {
        let command = self.command(&["run", "--config", "tocsin.toml", "--json"]);
        let process = Process::of(command).unwrap_or_else(|said| panic!("it did not start {said}"));
        process.until_ready();
        process
    }

    /// Runs a command and looks at what it says.
    fn run(&mut self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        self.look(&format!("tocsin {}", args.join(" ")), &[&output.stdout[..], &output.stderr].concat());
        output
    }

    /// Asks the process as this token, and looks at the answer, head and body.
    fn ask(&mut self, process: &Process, what: &str, token: &str, body: &str) -> String {
        let kind = if what.ends_with("telemetry") { "x-ndjson" } else { "json" };
        let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/{kind}\r\n");
        let answer = exchange(&process.address, what, &headers, body);
        self.look(what, answer.as_bytes());
        answer
    }

    /// Where there is a mark, and what stands around it.
    fn found(&self, said: &[u8]) -> Option<String> {
        let said = as_text(said);
        [percent_decoded(&said), said].iter().find_map(|text| {
            let lower = text.to_ascii_lowercase();
            let of_any = self.any_case.iter().find_map(|mark| lower.find(mark));
            let at = of_any.or_else(|| self.exact.iter().find_map(|mark| text.find(mark)))?;
            let from = text[..at].char_indices().rev().nth(150).map_or(0, |(i, _)| i);
            Some(text[from..].chars().take(250).collect())
        })
    }

    fn look(&mut self, what: &str, said: &[u8]) {
        if let Some(found) = self.found(said) {
            self.leaks.insert(what.to_owned(), found);
        }
    }

    fn assert_none(&self) {
        assert!(self.leaks.is_empty(), "secrets are in {:#?}\nof these: {:#?}", self.leaks, self.all);
    }
}

/// Each byte as one character.
fn as_text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => format!("{all}{}{}", char::from(byte), &part[2..]),
            None => format!("{all}%{part}"),
        }
    })
}

/// One request on a connection of its own, such as `GET /metrics`; all that comes until it ends.
fn exchange(address: &str, what: &str, headers: &str, body: &str) -> String {
    let host = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    let headers = format!("host: {host}\r\n{headers}content-length: {}\r\nconnection: close", body.len());
    write!(stream, "{what} HTTP/1.1\r\n{headers}\r\n\r\n{body}").unwrap();
    let mut answer = vec![];
    // A connection that breaks has said what it has said.
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Servers that receivers speak to, which answer with every word of what they are told that has a mark or is a link: HTTP
/// with each status of [`WAYS`], HTTPS with 400, and SMTP that takes a login and refuses whoever sends. End when dropped.
struct Echo {
    child: Child,
    ports: Vec<String>,
}

impl Echo {
    /// In another program, as no server of TLS is at hand.
    const PROGRAM: &str = r#"
import base64, re, socketserver, ssl, sys, threading
mark, parted = sys.argv[1].encode(), len(sys.argv) > 2
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("cert.pem", "key.pem")
heard = open("secrets/heard", "ab", buffering=0)
class Server(socketserver.ThreadingTCPServer):
    def get_request(self):
        stream, whom = super().get_request()
        return (tls.wrap_socket(stream, server_side=True) if self.secure else stream), whom
class Web(socketserver.StreamRequestHandler):
    def handle(self):
        said = b"".join(iter(self.rfile.readline, b"\r\n"))
        said += self.rfile.read(int(re.search(rb"content-length: (\d+)", said)[1]))
        heard.write(said)
        beside = rb'[^\s"/=&]*' if parted else rb'[^\s"]*'
        words = b" ".join(re.findall(beside + b"(?:" + mark + b"|/i/)" + beside, said))
        status = self.server.status
        if parted and b" /api/" in said:
            status, words = 200, b'{"ok":false,"error":"%s"}' % words
        head = b"HTTP/1.1 %d x\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.wfile.write(head % (status, len(words)) + words)
class Mail(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line + b"\r\n")
        return self.rfile.readline()
    def handle(self):
        self.say(b"220 mail.test")
        login = self.say(b"250-mail.test\r\n250 AUTH PLAIN").split()[2]
        password = base64.b64decode(login).split(b"\0")[2]
        heard.write(password)
        self.say(b"235 welcome")
        self.say(b"550 5.7.1 nothing is taken of " + (login if parted else password))
for kind, status, secure in [(Web, 200, 0), (Web, 400, 0), (Web, 401, 0), (Web, 500, 0), (Web, 400, 1), (Mail, 0, 1)]:
    server = Server(("127.0.0.1", 0), kind)
    server.status, server.secure = status, secure
    threading.Thread(target=server.serve_forever).start()
    print(server.server_address[1], flush=True)
"#;

    /// With `parted` they say secrets in other ways than they were told them: parts of an address, a login as it came, and
    /// Slack its word for what is wrong.
    fn start(home: &Home, parted: bool) -> Option<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        home.write("cert.pem", made.cert.pem());
        home.write("key.pem", made.signing_key.serialize_pem());
        home.write("secrets/heard", "");
        let mut python = Command::new("python3");
        python.args(["-c", Self::PROGRAM, MARK]).args(parted.then_some("parted")).current_dir(home.folder());
        let Ok(mut child) = python.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            not_tested("secrets; there is no python3");
            return None;
        };
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ports: Vec<String> = lines.take(WAYS.len() + 2).map(|line| line.unwrap()).collect();
        Some(Self { child, ports })
    }

    /// Where each receiver is, by its kind and by how it is answered; what is not there refuses the connection.
    fn places(&self) -> Vec<(&'static str, &'static str, String)> {
        let at = |n: usize| self.ports.get(n).cloned().unwrap_or_else(|| free_port().to_string());
        let plain = WAYS.iter().chain([&"refuses"]).enumerate().flat_map(|(n, way)| {
            let n = if *way == "refuses" { 99 } else { n };
            PLAIN.map(|(kind, ..)| (kind, *way, format!("http://127.0.0.1:{}", at(n))))
        });
        let secure = SECURE.iter().zip([WAYS.len(), WAYS.len() + 1]).flat_map(|((kind, ..), n)| {
            [("rejects", n), ("refuses", 99)]
                .map(|(way, n)| (*kind, way, format!("https://127.0.0.1:{}", at(n))))
        });
        plain.chain(secure).collect()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn signed(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// The button in Slack, with an address to answer at that is a secret too, and an acknowledgement in PagerDuty.
fn press(corpus: &mut Corpus, process: &Process, incident: &Value, slack: &str) {
    #[expect(clippy::disallowed_methods, reason = "what was signed long ago is not believed")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let answer_at = format!("http://127.0.0.1:{slack}/actions/{}", corpus.secret("response_url"));
    let value = format!("{}:1", incident["incident"]["incident_id"].as_str().unwrap());
    let payload = json!({
        "type": "block_actions", "user": {"id": "U1", "username": "ada"}, "response_url": answer_at,
        "actions": [{"action_id": "tocsin_acknowledge", "value": value, "action_ts": "1.1"}],
    });
    let body: String = payload.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
    let body = format!("payload={body}");
    let genuine = signed(corpus.of("bot-rejects", 1), &format!("v0:{now}:{body}"));
    for (signature, status) in [("ab".repeat(32), 401), (genuine, 200)] {
        let headers = format!("x-slack-request-timestamp: {now}\r\nx-slack-signature: v0={signature}\r\n");
        let answer = exchange(&process.address, "POST /v1/inbound/slack", &headers, &body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        corpus.look("the answer to Slack", answer.as_bytes());
    }
    wait::until("the answer is refused", || {
        process.said().contains("was not told what became of their answer").then_some(())
    });
    let pages = incident["pages"].as_array().unwrap();
    let page = pages.iter().find(|page| page["receiver"] == "pagerduty-takes").unwrap();
    let event = json!({"event": {
        "id": "E1", "event_type": "incident.acknowledged", "data": {"incident_key": page["alert_key"]},
        "agent": {"type": "user_reference", "summary": "Ada"},
    }});
    let signature = signed(corpus.of("keys", 3), &event.to_string());
    let header = format!("x-pagerduty-signature: v1={signature}\r\n");
    let answer = exchange(&process.address, "POST /v1/inbound/pagerduty", &header, &event.to_string());
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    corpus.look("the answer to PagerDuty", answer.as_bytes());
}

/// A config with a secret where none may stand, then one that is right.
fn reload(corpus: &mut Corpus, process: &Process) {
    let right = std::fs::read_to_string(corpus.home.path("tocsin.toml")).unwrap();
    let token = corpus.token.clone();
    let outcome = |corpus: &mut Corpus, want: &str| {
        wait::until(want, || {
            let status = corpus.ask(process, "GET /v1/status", &token, "");
            status.contains(&format!("\"outcome\":\"{want}\"")).then_some(())
        });
    };
    corpus.home.configure(&format!("[audit]\npeople_key = \"{}\"", corpus.of("keys", 4)));
    outcome(corpus, "invalid");
    for args in [&["check"][..], &["check", "--json"], &["plan"]] {
        assert!(!corpus.run(args).status.success(), "{args:?}");
    }
    corpus.home.write("tocsin.toml", right.replace("pages_per_week = 1.0", "pages_per_week = 2.0"));
    outcome(corpus, "loaded");
}

/// Everything that can be asked over HTTP, with the token, with one that is nearly it, and with none.
fn ask_everything(corpus: &mut Corpus, process: &Process, id: &str, link: &str) {
    let token = corpus.token.clone();
    for route in http_api::ROUTES.iter().filter(|route| route.method == "GET" && route.path != "/v1/tail") {
        let path = route.path.replace("{id}", id).replace("{token}", link);
        let open = matches!(route.access, http_api::Access::Open | http_api::Access::Signed);
        for (shown, known) in [(&token, true), (&format!("{token}0"), open), (&String::new(), open)] {
            let answer = corpus.ask(process, &format!("GET {path}"), shown, "");
            assert_eq!(answer.starts_with("HTTP/1.1 200"), known, "{path}: {answer}");
        }
    }
    for (what, body) in [
        ("GET /v1/incidents?state=all&limit=200", ""),
        ("GET /v1/audit?limit=1000", ""),
        ("POST /v1/silences/preview", "{\"of\":{\"model\":[\"*\"]}}"),
        ("POST /v1/audit/anchors", "{}"),
    ] {
        let answer = corpus.ask(process, what, &token, body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
    }
}

fn run_everything(corpus: &mut Corpus, id: &str) {
    let all = "check|check --json|plan|plan --json|oncall|policy test|incidents|incidents --all --json|show ID|\
        show ID --json|explain ID|explain ID --pages|explain ID ada --json|audit show ID|audit show ID --json|\
        audit verify|audit key|silence make --model shop --for 1m --reason x --yes|silence list|\
        silence list --json|deadletters|deadletters --json|resolve ID --reason mended|tail --lines 1";
    for args in all.split('|') {
        let args: Vec<&str> = args.split(' ').map(|arg| if arg == "ID" { id } else { arg }).collect();
        let status = corpus.run(&args).status;
        assert!(status.success() || ["oncall", "policy", "explain"].contains(&args[0]), "{args:?}: {status}");
    }
}

/// All files of a home but keys and the config, whose addresses may be secrets, and all records of its log.
fn look_at_what_is_kept(corpus: &mut Corpus) {
    for entry in std::fs::read_dir(corpus.home.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.extension().is_none_or(|end| end != "key" && end != "toml") {
            corpus.look(&path.file_name().unwrap().to_string_lossy(), &std::fs::read(&path).unwrap());
        }
    }
    let log = stored::embedded(&corpus.home.path("tocsin.log"));
    let mut looked_at = 0;
    for topic in stored::own_topics("default").into_iter().chain([Topics::of("default").telemetry]) {
        for record in stored::all(&log, &topic) {
            let headers = record.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
            for part in headers.chain(record.key.as_deref()).chain(record.value.as_deref()) {
                corpus.look(&topic, part);
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 300, "next to nothing was looked at: {looked_at}");
}

/// Writes a config with everything that has a secret; the receivers that there are.
fn configure(corpus: &mut Corpus, echo: &Echo) -> Vec<String> {
    let sha256 = hex(&Sha256::digest(&corpus.token));
    corpus.home.write("secrets/admin", &corpus.token);
    let token = format!("[{{ name = \"admin\", role = \"admin\", ingest = true, sha256 = \"{sha256}\" }}]");
    let (mut tables, mut targets) = (corpus.table("keys", KEYS), vec![]);
    for (kind, way, at) in echo.places() {
        let (_, target, text) = PLAIN.iter().chain(&SECURE).find(|(of, ..)| *of == kind).unwrap();
        let (name, port) = (format!("{kind}-{way}"), at.rsplit(':').next().unwrap());
        let kind = if kind == "bot" { "slack" } else { kind };
        let table = corpus.table(&name, &text.replace("AT", &at).replace("PORT", port));
        tables.push_str(&format!("[receiver.{name}]\ntype = \"{kind}\"\n{table}"));
        targets.push(format!("{name}/{target}"));
    }
    let steps = targets.chunks(20).map(|these| format!("{{ targets = {these:?}, delay_s = 1 }}"));
    let steps = steps.chain(["{ targets = [\"inbox/lead\"], delay_s = 3600 }".to_owned()]);
    corpus.home.configure(&format!("[http]\ntoken = {token}"));
    // What it says of its own receivers would call all of them again.
    corpus.home.configure(&format!(
        "route = [{{ source = [\"self\"], policy = \"own\" }}, {{ policy = \"default\" }}]\n{tables}\n\
         [escalate]\nfold_s = 0\n[policy.default]\nfallback = \"inbox/on-call\"\n\
         steps = [{}]\n[policy.own]\nsteps = [{{ targets = [\"inbox/lead\"], delay_s = 3600 }}]\n[heartbeat]\nreceiver = \"heartbeat-rejects\"\nevery_s = 1\n",
        steps.collect::<Vec<_>>().join(", ")
    ));
    targets.iter().map(|target| target.split('/').next().unwrap().to_owned()).collect()
}

/// Raises an incident and waits until every receiver was tried about it.
fn raise(corpus: &mut Corpus, receivers: &[String]) -> (String, Value) {
    let declare = ["declare", "checkout answers 502", "--severity", "sev2", "--model", "shop", "--json"];
    let raised: Value = serde_json::from_slice(&corpus.run(&declare).stdout).unwrap();
    let id = raised["incident_id"].as_str().unwrap().to_owned();
    let incident = wait::until("every receiver is tried", || {
        let shown: Value = serde_json::from_slice(&corpus.run(&["show", &id, "--json"]).stdout).ok()?;
        let pages = shown["pages"].as_array()?.iter().filter(|page| page["attempts"].as_u64() > Some(0));
        let tried: BTreeSet<&str> = pages.filter_map(|page| page["receiver"].as_str()).collect();
        receivers.iter().all(|receiver| tried.contains(receiver.as_str())).then_some(shown)
    });
    (id, incident)
}

fn nothing_is_told(by: By, seed: u64, parted: bool) {
    let mut corpus = Corpus::new(home!("secrets"), by, seed);
    let Some(echo) = Echo::start(&corpus.home, parted) else { return };
    let receivers = configure(&mut corpus, &echo);
    let (process, token) = (corpus.start(), corpus.token.clone());
    let (address, shown) = (process.address.clone(), format!("authorization: Bearer {token}\r\n"));
    let tail = std::thread::spawn(move || exchange(&address, "GET /v1/tail", &shown, ""));
    let lines = "{\"prediction_id\":\"p\",\"model\":\"fraud\",\"event_time\":\"x\"}\n".repeat(3);
    assert!(corpus.ask(&process, "POST /v1/telemetry", &token, &lines).starts_with("HTTP/1.1 202"));
    let (id, incident) = raise(&mut corpus, &receivers);
    press(&mut corpus, &process, &incident, &echo.ports[1]);
    assert!(corpus.run(&["ack", &id, "--note", "on it"]).status.success());
    reload(&mut corpus, &process);

    // Whoever is to hear a secret has heard it, so that there was something to repeat.
    let heard = std::fs::read_to_string(corpus.home.path("secrets/heard")).unwrap();
    let sent = |((of, n), secret): &(&(String, usize), &String)| {
        let silent = of.ends_with("refuses") || of == "keys" || of == "token";
        let signs = (*n > 1 && of.starts_with("webhook"))
            || (*n == 1 && (of.starts_with("slack") || of.starts_with("bot")));
        !silent && !signs && !heard.contains(secret.as_str())
    };
    let missing: Vec<_> = corpus.all.iter().filter(sent).collect();
    assert!(missing.is_empty(), "nobody was told {missing:?}");
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let links = heard.split("http://127.0.0.1:7311/i/").skip(1);
    let links: BTreeSet<&str> = links.map(|rest| rest.split(|c| !letters(c)).next().unwrap()).collect();
    ask_everything(&mut corpus, &process, &id, links.first().unwrap());
    // From here on a link is nowhere: what makes it one is its end, which no one without the key can write.
    corpus.exact.extend(links.iter().map(|link| link[link.len() - 12..].to_owned()));
    run_everything(&mut corpus, &id);
    let (ended, said) = process.terminate();
    assert!(ended.success() && said.contains("a sign of life did not reach"), "{ended}: {said}");
    corpus.look("what the process said", said.as_bytes());
    corpus.look("GET /v1/tail", tail.join().unwrap().as_bytes());
    look_at_what_is_kept(&mut corpus);
    corpus.assert_none();
    what_is_planted_is_found(&mut corpus);
}

/// The search finds what is there.
fn what_is_planted_is_found(corpus: &mut Corpus) {
    let (secret, token) = (corpus.of("pagerduty-takes", 0).to_owned(), corpus.token.clone());
    let title = format!("somebody wrote {secret} into a title");
    let process = corpus.start();
    corpus.run(&["declare", &title, "--severity", "sev3"]);
    wait::until("it is open", || {
        corpus.ask(&process, "GET /v1/incidents", &token, "").contains(&title).then_some(())
    });
    corpus.run(&["incidents"]);
    assert!(process.terminate().0.success());
    look_at_what_is_kept(corpus);
    for place in
        ["GET /v1/incidents", "tocsin incidents", "tocsin.log", "tocsin.incidents.v1", "tocsin.outbox.v1"]
    {
        assert!(corpus.leaks.contains_key(place), "it is not found in {place}: {:?}", corpus.leaks.keys());
    }
    let (encoded, percent) = (STANDARD.encode(format!("tocsin:{secret}")), format!("%5A{}", &secret[1..]));
    for form in
        [secret.to_lowercase(), encoded, hex(secret.as_bytes()), format!("{:?}", secret.as_bytes()), percent]
    {
        assert!(corpus.found(format!("<{form}>").as_bytes()).is_some(), "{form}");
    }
    assert!(corpus.found(b"nothing of it").is_none());
}

#[test]
fn no_secret_from_a_file_is_told() {
    nothing_is_told(By::File, 1, false);
}

#[test]
fn no_secret_from_the_environment_is_told() {
    nothing_is_told(By::Env, 2, true);
}
