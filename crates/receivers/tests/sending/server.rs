//! A server on this machine that answers as it is told, and remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Answer {
        status: u16,
        headers: &'static str,
        body: Vec<u8>,
    },
    /// Answers a form with this; anything else as Slack's methods that read do: they see no field of it.
    AnswerForm(Vec<u8>),
    /// Answers 400 with the whole request.
    Echo,
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and closes.
    Close,
    /// Answers 200, promises a body and never sends its end.
    Drip,
    /// Answers 200, then closes, so that the connection cannot be used again.
    AnswerAndClose,
}

pub(crate) fn status(status: u16) -> Do {
    Do::Answer { status, headers: "", body: Vec::new() }
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    pub(crate) async fn start(script: Vec<Do>) -> Self {
        Self::start_with(script, None).await
    }

    /// Acts on the nth request as the nth entry of `script` says, and on later ones as the last.
    pub(crate) async fn start_with(script: Vec<Do>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (server.seen.clone(), server.connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut connections = connections.lock().unwrap();
                    *connections += 1;
                    *connections
                };
                let (script, seen, tls) = (script.clone(), seen.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, number, &script, &seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, number, &script, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    script: &[Do],
    seen: &Mutex<Vec<Seen>>,
) {
    while let Some((raw, request)) = read(&mut stream, connection).await {
        let is_form = request
            .headers
            .get("content-type")
            .is_some_and(|media_type| media_type == "application/x-www-form-urlencoded");
        let nth = {
            let mut seen = seen.lock().unwrap();
            seen.push(request);
            seen.len() - 1
        };
        let act = script[nth.min(script.len() - 1)].clone();
        let answer = |status: u16, headers: &str, body: &[u8]| {
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        let bytes = match &act {
            Do::Answer { status, headers, body } => answer(*status, headers, body),
            Do::AnswerForm(body) if is_form => answer(200, "", body),
            Do::AnswerForm(_) => answer(200, "", br#"{"ok":false,"error":"invalid_arguments"}"#),
            Do::Echo => answer(400, "", &raw),
            Do::AnswerAndClose => answer(200, "", b""),
            Do::Drip => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin".to_vec(),
            Do::Hang | Do::Close => Vec::new(),
        };
        _ = stream.write_all(&bytes).await;
        _ = stream.flush().await;
        match act {
            Do::Hang | Do::Drip => tokio::time::sleep(Duration::from_secs(60)).await,
            Do::Close | Do::AnswerAndClose => return,
            Do::Answer { .. } | Do::AnswerForm(_) | Do::Echo => (),
        }
    }
}

/// One request: its bytes and its parts. `None` once the connection is closed.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, connection: usize) -> Option<(Vec<u8>, Seen)> {
    let mut raw = Vec::new();
    let end = loop {
        if let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let target = lines.next().unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(k, v)| (k.to_lowercase(), v.trim().to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while raw.len() < end + length {
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    }
    let body = raw[end..].to_vec();
    Some((raw, Seen { connection, target, headers, body }))
}
