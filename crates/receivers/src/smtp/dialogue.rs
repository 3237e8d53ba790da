//! Lines to a server and its answers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::reply::Reply;
use crate::client::Failure;
use crate::client::reach::handshake;
use crate::client::stream::Stream;

/// Most bytes of one answer, and of what may lie unread.
const REPLY_BYTES_MAX: usize = 16 * 1024;

/// One connection.
pub(super) struct Dialogue {
    stream: Stream,
    unread: Vec<u8>,
}

impl Dialogue {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Becomes TLS, if it was in clear and nothing lies unread: what came before must not be taken for what comes after.
    pub(super) async fn secure(self, tls: &TlsConnector, host: &str) -> Result<Self, Failure> {
        let stream: TcpStream = match self.stream {
            Stream::Plain(stream) if self.unread.is_empty() => stream,
            Stream::Plain(_) => {
                return Err(Failure::Refused("it said something in clear after it agreed to TLS".into()));
            }
            Stream::Tls(_) => return Err(Failure::Refused("it is TLS already".into())),
        };
        Ok(Self::new(Stream::Tls(Box::new(handshake(tls, host, stream).await?))))
    }

    /// Sends one line.
    ///
    /// # Errors
    /// Why it did not leave, in words that hold nothing of it.
    pub(super) async fn say(&mut self, line: &str) -> Result<(), String> {
        debug_assert!(!line.contains(['\r', '\n']), "one line");
        self.write(format!("{line}\r\n").as_bytes()).await
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| format!("the connection broke ({})", error.kind()))
    }

    /// The next answer.
    ///
    /// # Errors
    /// When the connection ends before its last line, or it is not SMTP.
    pub(super) async fn reply(&mut self) -> Result<Reply, String> {
        loop {
            if let Some((reply, used)) = parse(&self.unread)? {
                self.unread.drain(..used);
                return Ok(reply);
            }
            if self.unread.len() >= REPLY_BYTES_MAX {
                return Err("its answer has no end".into());
            }
            let read = self.stream.read_buf(&mut self.unread).await;
            match read {
                Ok(0) => return Err("it closed the connection".into()),
                Ok(_) => (),
                Err(error) => return Err(format!("the connection broke ({})", error.kind())),
            }
        }
    }
}

/// The first answer in `bytes` and its length; `None` if its end is not there yet.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    let (mut used, mut lines, mut first) = (0, Vec::new(), None);
    while let Some(end) = bytes[used..].iter().position(|b| *b == b'\n') {
        let line = bytes[used..used + end].trim_ascii_end();
        used += end + 1;
        let code = line.get(..3).filter(|c| c.iter().all(u8::is_ascii_digit));
        let code: Option<u16> = code.and_then(|c| std::str::from_utf8(c).ok()).and_then(|c| c.parse().ok());
        let (Some(code), mark) = (code, line.get(3)) else { return Err("its answer is not SMTP".into()) };
        let same = *first.get_or_insert(code) == code;
        if !same || !matches!(mark, None | Some(b' ' | b'-')) {
            return Err("its answer is not SMTP".into());
        }
        lines.push(String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned());
        if mark != Some(&b'-') {
            return Ok(Some((Reply { code, lines }, used)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_answers() {
        let one = |code, lines: &[&str]| Reply { code, lines: lines.iter().map(|l| (*l).into()).collect() };
        for (bytes, want) in [
            ("250 ok\r\n", Ok(Some((one(250, &["ok"]), 8)))),
            ("250\r\n", Ok(Some((one(250, &[""]), 5)))),
            ("250-a\r\n250-SIZE 10\r\n250 b\r\n354 x", Ok(Some((one(250, &["a", "SIZE 10", "b"]), 27)))),
            ("250 lf\nrest", Ok(Some((one(250, &["lf"]), 7)))),
            ("250-a\r\n", Ok(None)),
            ("25", Ok(None)),
            ("", Ok(None)),
            ("250-a\r\n251 b\r\n", Err(())),
            ("HTTP/1.1 400\r\n", Err(())),
            ("2x0 a\r\n", Err(())),
            ("250_a\r\n", Err(())),
            ("\r\n", Err(())),
        ] {
            assert_eq!(parse(bytes.as_bytes()).map_err(|_| ()), want, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, used))) = parse(&bytes) {
                prop_assert!(used <= bytes.len());
            }
        }
    }
}
