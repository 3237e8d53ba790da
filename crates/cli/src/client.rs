//! Speaking to the running process: where it is, as whom, and what its answers mean.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::http::StatusCode;

use crate::args::Global;
use crate::failure::{Failure, Kind};

/// Where it listens when nothing says otherwise.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:7311";
const CONNECT_WAIT: Duration = Duration::from_secs(5);
const ANSWER_WAIT: Duration = Duration::from_secs(120);
/// Beside the log: address of the process, and a token for this machine's user if one is needed.
const CLIENT_FILE: &str = "tocsin.client.json";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Left {
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// The file that a process leaves beside its log.
#[must_use]
pub(crate) fn client_file(log: &Path) -> PathBuf {
    log.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).join(CLIENT_FILE)
}

/// Writes the address for the command line; only this user can read it.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn leave_address(file: &Path, server: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let left = Left { server: server.to_owned(), token: None };
    let text = serde_json::to_string(&left).expect("two texts");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(file)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .map_err(|e| Failure::new(Kind::CannotStart, format!("{}: {e}", file.display())))
}

/// A connection to make requests on.
/// Whether the file is this user's, and nobody else may write it: it says where a token is sent.
fn is_ours(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (Ok(file), Ok(me)) = (std::fs::symlink_metadata(file), std::fs::metadata("/proc/self")) else {
            return false;
        };
        file.is_file() && file.uid() == me.uid() && file.mode() & 0o022 == 0
    }
    #[cfg(not(unix))]
    file.is_file()
}

#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    server: String,
    token: Option<String>,
}

impl Client {
    /// From the flags, the environment (`TOCSIN_SERVER`, `TOCSIN_TOKEN`), the file beside the log, or the default.
    ///
    /// # Errors
    /// When the token's file cannot be read.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let left: Option<Left> = Some(CLIENT_FILE)
            .filter(|file| is_ours(Path::new(file)))
            .and_then(|file| std::fs::read(file).ok())
            .and_then(|text| serde_json::from_slice(&text).ok());
        let server = global
            .server
            .clone()
            .or_else(|| crate::secrets::env("TOCSIN_SERVER"))
            .or_else(|| left.as_ref().map(|l| l.server.clone()))
            .unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let token = match &global.token_file {
            Some(file) => Some(crate::secrets::file(file).map_err(|e| Failure::new(Kind::Usage, e))?),
            None => crate::secrets::env("TOCSIN_TOKEN").or(left.and_then(|l| l.token)),
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_WAIT))
            // A server that stands still says nothing; one that reads a long audit chain takes its time.
            .timeout_recv_response(Some(ANSWER_WAIT))
            .max_redirects(0)
            .build()
            .into();
        Ok(Self { agent, server: server.trim_end_matches('/').to_owned(), token })
    }

    /// # Errors
    /// As the server's answer says.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.call())
    }

    /// `id` makes a repeat harmless.
    ///
    /// # Errors
    /// As the server's answer says.
    pub(crate) fn post(&self, path: &str, id: &str, body: &Value) -> Result<Value, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.server));
        request = request.header("content-type", "application/json").header("idempotency-key", id);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.send(body.to_string()))
    }

    /// Lines of a stream that does not end, until `each` says so.
    ///
    /// # Errors
    /// As the server's answer says, or when it goes away.
    pub(crate) fn stream(&self, path: &str, mut each: impl FnMut(&str) -> bool) -> Result<(), Failure> {
        let mut request =
            self.agent.get(format!("{}{path}", self.server)).header("accept", "application/x-ndjson");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return self.answer(Ok(response)).map(drop);
        }
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let line = line.map_err(|e| {
                Failure::new(Kind::Unreachable, format!("{} has ended the stream: {e}", self.server))
            })?;
            if !line.is_empty() && !each(&line) {
                break;
            }
        }
        Ok(())
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let message = format!(
            "no tocsin answers at {}: {error}; is `tocsin run` or `tocsin demo` running? --server says where",
            self.server
        );
        Failure::new(Kind::Unreachable, message)
    }

    fn answer(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let mut response = answer.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(|e| self.unreachable(&e))?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value);
        }
        let said = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let message = said("detail")
            .or_else(|| said("title"))
            .unwrap_or_else(|| format!("the server answered {status}"));
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Refused,
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Kind::Usage,
            _ if status.is_server_error() => Kind::Unreachable,
            _ => Kind::No,
        };
        Err(Failure::new(kind, message))
    }
}

/// As a value of a query.
pub(crate) fn query_value(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
