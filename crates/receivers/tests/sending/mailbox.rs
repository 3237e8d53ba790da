//! A mail server on this machine that answers as it is told, and keeps what it was given.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server does at one point of a dialogue instead of what it would do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instead {
    Say(&'static str),
    /// Says nothing any more.
    Hang,
    Close,
}

/// A point: the verb of a command, or one of these.
pub(crate) const GREETING: &str = "(greeting)";
pub(crate) const DOT: &str = "(dot)";

#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// The first that is at this point holds.
    pub(crate) instead: Vec<(&'static str, Instead)>,
    /// Lines of the answer to EHLO.
    pub(crate) offers: &'static [&'static str],
    pub(crate) tls: Option<TlsAcceptor>,
    /// From the first byte.
    pub(crate) implicit: bool,
}

#[derive(Default)]
struct Kept {
    lines: Vec<String>,
    messages: Vec<String>,
}

pub(crate) struct Mailbox {
    pub(crate) port: u16,
    kept: Arc<Mutex<Kept>>,
}

impl Mailbox {
    pub(crate) async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::<Mutex<Kept>>::default();
        let all = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (rules, kept) = (rules.clone(), Arc::clone(&all));
                tokio::spawn(async move {
                    match rules.tls.clone() {
                        Some(tls) if rules.implicit => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(talk(stream, &rules, &kept, true).await);
                            }
                        }
                        Some(tls) => {
                            if let Some(stream) = talk(stream, &rules, &kept, true).await
                                && let Ok(stream) = tls.accept(stream).await
                            {
                                drop(talk(stream, &rules, &kept, false).await);
                            }
                        }
                        None => drop(talk(stream, &rules, &kept, true).await),
                    }
                });
            }
        });
        Self { port, kept }
    }

    /// Commands as they came, over all connections.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.kept.lock().unwrap().lines.clone()
    }

    /// Messages that were ended by a dot, with dots as they were meant, whatever was answered.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.kept.lock().unwrap().messages.clone()
    }
}

/// Talks until the end, or until STARTTLS: then the stream comes back.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    rules: &Rules,
    kept: &Mutex<Kept>,
    greets: bool,
) -> Option<S> {
    if greets && !answer(&mut stream, rules, GREETING, "220 mail.example.com ESMTP").await {
        return None;
    }
    let mut unread = Vec::new();
    loop {
        let line = line(&mut stream, &mut unread).await?;
        kept.lock().unwrap().lines.push(line.clone());
        let verb = line.split(' ').next().unwrap().to_ascii_uppercase();
        let usual = match verb.as_str() {
            "EHLO" => {
                let mut all = vec!["mail.example.com"];
                all.extend(rules.offers);
                let (last, rest) = all.split_last().unwrap();
                let rest: String = rest.iter().map(|l| format!("250-{l}\r\n")).collect();
                format!("{rest}250 {last}")
            }
            "STARTTLS" => "220 go on".into(),
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6".into(),
            "AUTH" => "235 2.7.0 welcome".into(),
            "MAIL" | "RCPT" => "250 ok".into(),
            "DATA" => "354 end with a dot".into(),
            "QUIT" => "221 bye".into(),
            // The name, then the password, of AUTH LOGIN.
            _ if kept.lock().unwrap().lines.iter().rev().nth(1).is_some_and(|l| l == "AUTH LOGIN") => {
                "334 UGFzc3dvcmQ6".into()
            }
            _ => "235 2.7.0 welcome".into(),
        };
        if !answer(&mut stream, rules, &verb, &usual).await {
            return None;
        }
        let changed = rules.instead.iter().any(|(at, _)| *at == verb);
        match verb.as_str() {
            "STARTTLS" if !changed => return Some(stream),
            "DATA" if !changed => {
                let message = message(&mut stream, &mut unread).await?;
                kept.lock().unwrap().messages.push(message);
                if !answer(&mut stream, rules, DOT, "250 2.0.0 queued as 17").await {
                    return None;
                }
            }
            "QUIT" => return None,
            _ => (),
        }
    }
}

/// Says what is to be said here; false when the dialogue ends.
async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, rules: &Rules, at: &str, usual: &str) -> bool {
    let text = match rules.instead.iter().find(|(point, _)| *point == at) {
        Some((_, Instead::Hang)) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return false;
        }
        Some((_, Instead::Close)) => return false,
        Some((_, Instead::Say(text))) => text,
        None => usual,
    };
    _ = stream.write_all(format!("{text}\r\n").as_bytes()).await;
    stream.flush().await.is_ok()
}

async fn line<S: AsyncRead + Unpin>(stream: &mut S, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = unread.windows(2).position(|w| w == b"\r\n") {
            let line: Vec<u8> = unread.drain(..end + 2).collect();
            return Some(String::from_utf8(line[..end].to_vec()).unwrap());
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

async fn message<S: AsyncRead + Unpin>(stream: &mut S, unread: &mut Vec<u8>) -> Option<String> {
    let mut out = String::new();
    loop {
        let line = line(stream, unread).await?;
        if line == "." {
            return Some(out);
        }
        assert!(line.len() <= 998, "a line has {} bytes", line.len());
        out.push_str(line.strip_prefix('.').unwrap_or(&line));
        out.push_str("\r\n");
    }
}
