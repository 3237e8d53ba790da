//! A receiver of pages that deduplicates, as a downstream pager does: an HTTP server that checks the signatures of
//! Standard Webhooks and shows each `webhook-id` once.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use wire::page::{Page, PageKind};

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes it.
    Accept,
    /// Refuses it with this status; nothing is shown.
    Status(u16),
    /// Takes it, and never says so: the sender cannot know.
    Hang,
    /// One first attempt in sixteen is refused with 500, one with 429 and a second to wait, one is taken and never
    /// answered; the id says which. All others are taken.
    Moody,
}

/// A page as the receiver shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub page: Page,
    /// The body as it first came.
    pub body: Vec<u8>,
    /// How often it came and was taken. More than one is a repeat, which nobody sees.
    pub times: u32,
}

/// Called with the last part of the path, when a request is here whole and nothing is answered. Whether that was the one.
pub type Strike = Box<dyn FnMut(&str) -> bool + Send>;

/// The receiver. Ends when dropped.
pub struct Pager {
    /// Where it listens.
    pub url: String,
    state: Arc<State>,
}

struct State {
    ended: AtomicBool,
    seen: Mutex<Seen>,
}

struct Seen {
    answer: Answer,
    /// In the order in which they first came.
    shown: Vec<Shown>,
    place: BTreeMap<String, usize>,
    requests: u32,
    faults: Vec<String>,
    strike: Option<Strike>,
}

/// The secret that all pages must be signed with: 32 bytes that no other test would sign with by mistake.
const KEY: &[u8; 32] = b"a secret that only the test has.";
/// How old or new a signed time may be.
const CLOCK_SLACK_S: u64 = 300;

impl Pager {
    /// Listens on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Seen {
            answer: Answer::Accept,
            shown: vec![],
            place: BTreeMap::new(),
            requests: 0,
            faults: vec![],
            strike: None,
        };
        let state = Arc::new(State { ended: AtomicBool::new(false), seen: Mutex::new(seen) });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::Relaxed) {
                    break;
                }
                let (Ok(stream), state) = (stream, Arc::clone(&serving)) else { continue };
                // A broken connection is the sender's to deal with.
                std::thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        Self { url: format!("http://{address}/hook"), state }
    }

    /// The secret as a config's `secret_file` holds it.
    #[must_use]
    pub fn secret() -> String {
        format!("whsec_{}", STANDARD.encode(KEY))
    }

    /// From now on.
    ///
    /// # Panics
    /// Never: nobody panics with the state in hand.
    pub fn answer(&self, answer: Answer) {
        self.state.seen().answer = answer;
    }

    /// Does this at every request, before anything is answered, until it says that it is done.
    pub fn strike(&self, strike: Option<Strike>) {
        self.state.seen().strike = strike;
    }

    /// How many pages are in [`Pager::shown`].
    #[must_use]
    pub fn shown_so_far(&self) -> usize {
        self.state.seen().shown.len()
    }

    /// What was shown from a place in [`Pager::shown`] on.
    #[must_use]
    pub fn shown_from(&self, place: usize) -> Vec<Shown> {
        self.state.seen().shown[place..].to_vec()
    }

    /// What a person would see: each `webhook-id` once, in the order in which they first came.
    ///
    /// # Panics
    /// When a request was not signed as it must be, or came again with another body.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let seen = self.state.seen();
        assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
        seen.shown.clone()
    }

    /// Those of [`Pager::shown`] that wake someone.
    #[must_use]
    pub fn triggers(&self) -> Vec<Page> {
        self.shown().into_iter().map(|s| s.page).filter(|p| p.kind == PageKind::Trigger).collect()
    }

    /// Requests that came, whatever became of them.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.state.seen().requests
    }

    /// That nobody was woken twice for the same thing: under one id each page came once, and no two ids mean the same. Only
    /// the end of an alert may be said once more, after a takeover.
    ///
    /// # Panics
    /// When somebody was.
    pub fn assert_none_doubled(&self) {
        let mut meant = BTreeMap::new();
        for Shown { page, .. } in self.shown() {
            let incident = &page.incident;
            // Updates follow one another; what else happens to an alert happens once.
            let which = if page.kind == PageKind::Update { incident.sequence } else { 0 };
            let means = (
                incident.incident_id.to_string(),
                incident.generation,
                page.kind,
                format!("{}/{}", page.receiver, page.target),
                (page.round, page.step, which),
            );
            let said: &mut Vec<_> = meant.entry(means.clone()).or_default();
            said.push(page.notification_id.clone());
            let most = if page.kind == PageKind::Resolve { 2 } else { 1 };
            assert!(said.len() <= most, "{means:?} came as {said:?}");
        }
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it has ended.
        let address = self.url.trim_start_matches("http://").trim_end_matches("/hook");
        drop(TcpStream::connect(address));
    }
}

impl State {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn serve(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream);
    let request = whole_line(&mut reader)?;
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut headers = BTreeMap::new();
    loop {
        let line = whole_line(&mut reader)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = {
        let mut seen = state.seen();
        let answer = seen.take(&headers, body);
        let from = path.rsplit('/').next().unwrap_or_default();
        drop(seen.strike.take_if(|strike| strike(from)));
        answer
    };
    let status = match answer {
        Answer::Accept | Answer::Moody => 204,
        Answer::Status(status) => status,
        Answer::Hang => {
            // Until the sender gives up (or the test has ended).
            let mut one = [0];
            while !state.ended.load(Ordering::Relaxed) && !matches!(reader.read(&mut one), Ok(0)) {
                std::thread::yield_now();
            }
            return Ok(());
        }
    };
    let mut stream = stream;
    let wait = if status == 429 { "retry-after: 1\r\n" } else { "" };
    write!(stream, "HTTP/1.1 {status} x\r\n{wait}content-length: 0\r\nconnection: close\r\n\r\n")
}

/// What ends before its line does is no request: whoever sent it was killed.
fn whole_line(reader: &mut impl std::io::BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.ends_with('\n') { Ok(line) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

impl Seen {
    fn take(&mut self, headers: &BTreeMap<String, String>, body: Vec<u8>) -> Answer {
        self.requests += 1;
        let id = headers.get("webhook-id").cloned().unwrap_or_default();
        if let Err(why) = check(headers, &id, &body) {
            self.faults.push(format!("{id}: {why}"));
            return Answer::Status(401);
        }
        let answer = match self.answer {
            Answer::Moody => moody(headers, &id),
            Answer::Accept | Answer::Status(_) | Answer::Hang => self.answer,
        };
        if matches!(answer, Answer::Status(_)) {
            return answer;
        }
        if let Some(&place) = self.place.get(&id) {
            let shown = &mut self.shown[place];
            shown.times += 1;
            if shown.body != body {
                self.faults.push(format!("{id} came again with another body"));
            }
            return answer;
        }
        match read(&id, &body) {
            Ok(page) => {
                self.place.insert(id, self.shown.len());
                self.shown.push(Shown { page, body, times: 1 });
                answer
            }
            Err(why) => {
                self.faults.push(format!("{id}: {why}"));
                Answer::Status(400)
            }
        }
    }
}

/// How a receiver in trouble answers. Ids are hashes: their characters are drawn evenly from 32.
fn moody(headers: &BTreeMap<String, String>, id: &str) -> Answer {
    if headers.get("tocsin-attempt").is_none_or(|attempt| attempt != "1") {
        return Answer::Accept;
    }
    match id.bytes().next() {
        Some(b'a' | b'b') => Answer::Status(500),
        Some(b'c' | b'd') => Answer::Status(429),
        Some(b'e' | b'f') => Answer::Hang,
        _ => Answer::Accept,
    }
}

/// The page in a body, which must be what its envelope and its headers say.
fn read(id: &str, body: &[u8]) -> Result<Page, String> {
    let value: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let page: Page = serde_json::from_value(value["data"].clone()).map_err(|e| e.to_string())?;
    let kind = format!("tocsin.page.{}", page.kind.name());
    if value["type"] != kind.as_str() {
        return Err(format!("type {} is not {kind}", value["type"]));
    }
    if page.notification_id.as_str() != id {
        return Err(format!("notification {} is not webhook-id", page.notification_id));
    }
    Ok(page)
}

/// As a receiver must, by the specification alone.
#[expect(clippy::disallowed_methods, reason = "a receiver refuses what was signed long ago")]
fn check(headers: &BTreeMap<String, String>, id: &str, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| headers.get(name).ok_or_else(|| format!("{name} is missing"));
    let (seconds, signatures) = (header("webhook-timestamp")?, header("webhook-signature")?);
    let signed_at: u64 = seconds.parse().map_err(|_| format!("webhook-timestamp {seconds} is no number"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs();
    if now.abs_diff(signed_at) > CLOCK_SLACK_S {
        return Err(format!("signed at {signed_at}, now it is {now}"));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).map_err(|e| e.to_string())?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    if signatures.split(' ').any(|s| s == wanted) {
        return Ok(());
    }
    Err(format!("none of {signatures} is the signature"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the reference libraries of Standard Webhooks test themselves with, signed with our key instead.
    #[test]
    fn what_is_not_signed_is_not_shown() {
        let pager = Pager::start();
        for headers in ["", "webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\n"] {
            let address = pager.url.trim_start_matches("http://").trim_end_matches("/hook");
            let mut stream = TcpStream::connect(address).expect("it listens");
            write!(stream, "POST /hook HTTP/1.1\r\n{headers}content-length: 2\r\n\r\n{{}}")
                .expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it answers");
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        }
        assert_eq!((pager.requests(), pager.state.seen().faults.len()), (2, 2));
        assert!(pager.state.seen().shown.is_empty());
    }

    #[test]
    fn what_is_cut_off_is_no_request() {
        let pager = Pager::start();
        let address = pager.url.trim_start_matches("http://").trim_end_matches("/hook");
        for cut in [
            "",
            "POST /ho",
            "POST /hook HTTP/1.1\r\nwebhook-id: a",
            "POST /hook HTTP/1.1\r\ncontent-length: 2\r\n\r\n{",
        ] {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.write_all(cut.as_bytes()).expect("it reads");
            stream.shutdown(std::net::Shutdown::Write).expect("it is open");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it ends the connection");
            assert_eq!(answer, "", "{cut:?}");
        }
        assert_eq!((pager.requests(), pager.state.seen().faults.len()), (0, 0));
    }
}
