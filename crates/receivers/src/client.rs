//! An HTTP/1.1 client for one address that can tell "never written" from "written, no answer".
//!
//! It resolves a name, holds every address against the guard and connects to the one that it checked, so that a name
//! cannot point elsewhere in between. Connections are driven within the request that uses them (no task in the
//! background): once a request ends, by whatever end, nothing of it is still on its way out of this process.

pub(crate) mod guard;
pub(crate) mod reach;
pub(crate) mod stream;
pub(crate) mod tls;
mod watched;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::endpoint::Endpoint;
use crate::secret::Secret;
use guard::Guard;
use reach::CONNECT;
use stream::Stream;
use watched::{Watched, Written};

/// Most bytes of an answer that are read unless told otherwise; the rest is cut off, with its connection.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// As whom every request speaks.
const AGENT: &str = concat!("tocsin/", env!("CARGO_PKG_VERSION"));
/// Connections kept for the next request, and for how long they may lie unused.
const IDLE_MAX: usize = 4;
const IDLE_FOR: Duration = Duration::from_secs(15);

/// `SCHEME SECRET` as a header that is in no log.
///
/// # Panics
/// With a secret that a header cannot carry: receivers refuse such when they are built.
pub(crate) fn authorization(scheme: &str, secret: &Secret) -> HeaderValue {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.reveal()))
        .expect("checked when the receiver was built");
    value.set_sensitive(true);
    value
}

/// What a receiver answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// At most 16 KiB of it, or as much as the client was told.
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not one byte of the request left.
    NotWritten(String),
    /// Some of the request left: the receiver may have acted on it.
    NoAnswer(String),
    /// The address may not be connected to, or is not who it should be. Trying again cannot help.
    Refused(String),
}

pub(crate) struct Client {
    endpoint: Endpoint,
    guard: Guard,
    tls: Option<TlsConnector>,
    timeout: Duration,
    answer_bytes_max: usize,
    idle: Mutex<Vec<Live>>,
}

type Conn = http1::Connection<TokioIo<Watched>, Full<Bytes>>;

struct Live {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    conn: Option<Conn>,
    written: Written,
    used: Instant,
}

impl Client {
    /// `tls` is needed exactly when the address is https.
    pub(crate) fn new(
        endpoint: Endpoint,
        guard: Guard,
        tls: Option<TlsConnector>,
        timeout: Duration,
    ) -> Self {
        let answer_bytes_max = ANSWER_BYTES_MAX;
        Self { endpoint, guard, tls, timeout, answer_bytes_max, idle: Mutex::default() }
    }

    /// Reads so much of an answer instead of 16 KiB.
    pub(crate) fn with_answers_up_to(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts `body` to `path` of the endpoint.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let until = Instant::now() + self.timeout;
        let late = |what: &str| format!("{what} within {} s", self.timeout.as_secs());
        let body = Bytes::from(body);
        if let Some(live) = self.take_idle().await {
            match self.exchange(live, path, headers.clone(), body.clone(), until).await {
                // It was closed while it lay unused. Nothing was written, so a new one may be tried at once.
                Err(Failure::NotWritten(_)) => {}
                other => return other,
            }
        }
        let live = timeout_at(until, self.connect())
            .await
            .unwrap_or_else(|_| Err(Failure::NotWritten(late("no connection"))))?;
        self.exchange(live, path, headers, body, until).await
    }

    async fn exchange(
        &self,
        mut live: Live,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        until: Instant,
    ) -> Result<Answer, Failure> {
        live.written.reset();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            path.parse().map_err(|_| Failure::Refused("the path is not one that HTTP can carry".into()))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let host = self.endpoint.authority().parse();
        request.headers_mut().insert(
            HOST,
            host.map_err(|_| Failure::Refused("the host is not one that HTTP can carry".into()))?,
        );

        let sent = timeout_at(until, drive(&mut live.conn, live.sender.send_request(request))).await;
        let why = match sent {
            Ok(Ok(answer)) => return Ok(self.read(live, answer, until).await),
            Ok(Err(error)) => format!("the connection broke ({})", kind_of(&error)),
            Err(_) => format!("no answer within {} s", self.timeout.as_secs()),
        };
        // From here on the connection is gone, and with it any way for the rest of the request to leave.
        let written = live.written.get();
        drop(live);
        if written { Err(Failure::NoAnswer(why)) } else { Err(Failure::NotWritten(why)) }
    }

    /// Reads what there is of the body. The status stands whatever happens to the body.
    async fn read(&self, mut live: Live, answer: Response<Incoming>, until: Instant) -> Answer {
        let (head, mut body) = answer.into_parts();
        let mut bytes = Vec::new();
        let whole = loop {
            match timeout_at(until, drive(&mut live.conn, body.frame())).await {
                Ok(None) => break true,
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    let room = self.answer_bytes_max - bytes.len();
                    bytes.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        break false;
                    }
                }
                Ok(Some(Err(_))) | Err(_) => break false,
            }
        };
        if whole {
            self.put_idle(live);
        }
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(Into::into);
        Answer { status: head.status.as_u16(), retry_after, body: bytes }
    }

    /// A connection that is still open, if one lies unused.
    async fn take_idle(&self) -> Option<Live> {
        loop {
            let mut live = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if live.used.elapsed() > IDLE_FOR {
                continue;
            }
            // One turn lets the connection notice that the other side has closed it.
            let ended = poll_fn(|cx| match live.conn.as_mut() {
                Some(conn) => Poll::Ready(Pin::new(conn).poll(cx).is_ready()),
                None => Poll::Ready(true),
            })
            .await;
            if !ended
                && timeout(CONNECT, drive(&mut live.conn, live.sender.ready())).await.is_ok_and(|r| r.is_ok())
            {
                return Some(live);
            }
        }
    }

    fn put_idle(&self, mut live: Live) {
        live.used = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|other| other.used.elapsed() <= IDLE_FOR);
        if live.conn.is_some() && !live.sender.is_closed() && idle.len() < IDLE_MAX {
            idle.push(live);
        }
    }

    async fn connect(&self) -> Result<Live, Failure> {
        let Endpoint { tls, host, port, path: _ } = &self.endpoint;
        let stream = reach::reach(host, *port, self.guard, *tls).await?;
        // Each page is one small write: waiting to fill a packet only delays it. Where it cannot be set, it is slower.
        _ = stream.set_nodelay(true);
        let stream = match &self.tls {
            Some(connector) if *tls => {
                Stream::Tls(Box::new(reach::handshake(connector, host, stream).await?))
            }
            Some(_) | None => Stream::Plain(stream),
        };
        let written = Written::default();
        let io = TokioIo::new(Watched::new(stream, written.clone()));
        let (sender, conn) = http1::handshake(io)
            .await
            .map_err(|error| Failure::NotWritten(format!("no HTTP connection ({})", kind_of(&error))))?;
        Ok(Live { sender, conn: Some(conn), written, used: Instant::now() })
    }
}

/// Drives a connection until `future` is done. A connection that ends meanwhile is dropped, which ends the future too.
async fn drive<F: Future>(conn: &mut Option<Conn>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(out) = future.as_mut().poll(cx) {
            return Poll::Ready(out);
        }
        if let Some(live) = conn.as_mut() {
            if Pin::new(live).poll(cx).is_ready() {
                *conn = None;
            }
            return future.as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await
}

/// What kind of error it is, in words that hold nothing of the request or the answer.
fn kind_of(error: &hyper::Error) -> &'static str {
    if error.is_parse() {
        "the answer is not HTTP"
    } else if error.is_incomplete_message() {
        "closed before the answer"
    } else if error.is_closed() || error.is_canceled() {
        "closed"
    } else {
        "input or output failed"
    }
}
