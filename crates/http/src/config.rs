//! The `[http]` table.

mod link;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::command::Role;
use wire::link::LinkAction;

pub use link::LinkConfig;

/// Most tokens that a config may hold.
const TOKENS_MAX: usize = 1000;

/// How the listener works. Every value has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawHttp")]
pub struct HttpConfig {
    pub address: SocketAddr,
    pub tokens: Vec<TokenConfig>,
    pub body_bytes_max: usize,
    pub record_bytes_max: usize,
    pub records_max: usize,
    pub records_per_s: u32,
    pub requests_per_s: u32,
    pub ingest_concurrent_max: usize,
    pub concurrent_max: usize,
    pub connections_max: usize,
    pub tails_max: usize,
    pub body_timeout: Duration,
    pub call_timeout: Duration,
    pub link: LinkConfig,
    /// Where the secrets of PagerDuty's webhooks are; whoever reads the environment and files reads them.
    pub pagerduty_secret_env: Option<String>,
    pub pagerduty_secret_file: Option<PathBuf>,
}

impl HttpConfig {
    /// Others reach the address, and nothing says who may do what: the listener will not start.
    #[must_use]
    pub fn is_open_to_all(&self) -> bool {
        self.tokens.is_empty() && !self.address.ip().to_canonical().is_loopback()
    }
}

/// The HTTP listener: telemetry, commands, views, metrics, health.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    /// Address and port. Without a token it must be a loopback address, and whoever can log in to this machine may do
    /// everything; any other address needs at least one token. There is no TLS here: put a proxy in front.
    #[serde(default = "address")]
    address: String,
    /// Who may do what. `tocsin token` makes one.
    #[serde(default)]
    token: Vec<TokenConfig>,
    /// Longest body in bytes; a longer one is answered 413.
    #[serde(default = "body_bytes_max")]
    body_bytes_max: usize,
    /// Longest record of telemetry in bytes; a longer one is refused by itself. Kafka's own default is about 1 MB.
    #[serde(default = "record_bytes_max")]
    record_bytes_max: usize,
    /// Most records in one body.
    #[serde(default = "records_max")]
    records_max: usize,
    /// Records of telemetry per second over all senders, with two seconds' worth at once; beyond it 429.
    #[serde(default = "records_per_s")]
    records_per_s: u32,
    /// Requests per second over all callers, health checks apart; beyond it 429.
    #[serde(default = "requests_per_s")]
    requests_per_s: u32,
    /// Bodies of telemetry in work at a time; beyond it 503. Times `body_bytes_max` it bounds the memory.
    #[serde(default = "ingest_concurrent_max")]
    ingest_concurrent_max: usize,
    /// Other requests in work at a time; beyond it 503.
    #[serde(default = "concurrent_max")]
    concurrent_max: usize,
    /// Open connections; beyond it a new one waits.
    #[serde(default = "connections_max")]
    connections_max: usize,
    /// Streams of events (`GET /v1/tail`) at a time; beyond it 503.
    #[serde(default = "tails_max")]
    tails_max: usize,
    /// Seconds within which a body must have come; a slower one is answered 408.
    #[serde(default = "body_timeout_s")]
    body_timeout_s: u64,
    /// Seconds that an answer may take; then 504, and what was asked may still be done.
    #[serde(default = "call_timeout_s")]
    call_timeout_s: u64,
    /// Under which address people reach this listener from where they read their messages, such as
    /// `https://tocsin.example.com`. Pages then carry a link by which their target may answer. Must be https, but for
    /// this machine's own address.
    #[serde(default)]
    public_url: Option<String>,
    /// Variable of the environment that holds the keys which sign links: at least 16 characters each, separated by white
    /// space, the newest first, at most four. The same for every process. Without one, a process makes its own beside its
    /// log.
    #[serde(default)]
    link_key_env: Option<String>,
    /// File that holds them, relative to this config.
    #[serde(default)]
    link_key_file: Option<PathBuf>,
    /// Seconds for which a link works, from when its page was decided: an hour to 90 days.
    #[serde(default = "link_valid_s")]
    link_valid_s: u64,
    /// What a link may do. Whoever has the message may do it too.
    #[serde(default = "link_actions")]
    link_actions: Vec<LinkAction>,
    /// Variable of the environment that holds the secrets of webhook subscriptions in PagerDuty, separated by white space, at
    /// most eight: what people acknowledge and resolve there is then acknowledged and resolved here. The subscriptions
    /// deliver to `/v1/inbound/pagerduty` of this listener.
    #[serde(default)]
    pagerduty_secret_env: Option<String>,
    /// File that holds them, relative to this config.
    #[serde(default)]
    pagerduty_secret_file: Option<PathBuf>,
}

fn address() -> String {
    "127.0.0.1:7311".into()
}
const fn body_bytes_max() -> usize {
    10 * 1024 * 1024
}
const fn record_bytes_max() -> usize {
    1_000_000
}
const fn records_max() -> usize {
    100_000
}
const fn records_per_s() -> u32 {
    200_000
}
const fn requests_per_s() -> u32 {
    2000
}
const fn ingest_concurrent_max() -> usize {
    8
}
const fn concurrent_max() -> usize {
    64
}
const fn connections_max() -> usize {
    1024
}
const fn tails_max() -> usize {
    64
}
const fn body_timeout_s() -> u64 {
    30
}
const fn call_timeout_s() -> u64 {
    30
}

const fn link_valid_s() -> u64 {
    7 * 86_400
}
fn link_actions() -> Vec<LinkAction> {
    LinkAction::ALL.to_vec()
}

impl Default for HttpConfig {
    fn default() -> Self {
        let raw = RawHttp {
            address: address(),
            token: Vec::new(),
            body_bytes_max: body_bytes_max(),
            record_bytes_max: record_bytes_max(),
            records_max: records_max(),
            records_per_s: records_per_s(),
            requests_per_s: requests_per_s(),
            ingest_concurrent_max: ingest_concurrent_max(),
            concurrent_max: concurrent_max(),
            connections_max: connections_max(),
            tails_max: tails_max(),
            body_timeout_s: body_timeout_s(),
            call_timeout_s: call_timeout_s(),
            public_url: None,
            link_key_env: None,
            link_key_file: None,
            link_valid_s: link_valid_s(),
            link_actions: link_actions(),
            pagerduty_secret_env: None,
            pagerduty_secret_file: None,
        };
        Self::try_from(raw).expect("a test reads the defaults")
    }
}

impl TryFrom<RawHttp> for HttpConfig {
    type Error = String;

    fn try_from(raw: RawHttp) -> Result<Self, String> {
        let address = raw.address.parse().map_err(|_| {
            format!(
                "address = {:?} is not an address with a port, such as 127.0.0.1:7311 or [::1]:7311",
                raw.address
            )
        })?;
        within("body_bytes_max", raw.body_bytes_max, 1024, 1 << 30)?;
        within("record_bytes_max", raw.record_bytes_max, 256, raw.body_bytes_max)?;
        within("records_max", raw.records_max, 1, 10_000_000)?;
        within("records_per_s", raw.records_per_s, 1, 100_000_000)?;
        within("requests_per_s", raw.requests_per_s, 1, 1_000_000)?;
        within("ingest_concurrent_max", raw.ingest_concurrent_max, 1, 1024)?;
        within("concurrent_max", raw.concurrent_max, 1, 512)?;
        within("connections_max", raw.connections_max, 1, 100_000)?;
        within("tails_max", raw.tails_max, 1, 10_000)?;
        within("body_timeout_s", raw.body_timeout_s, 1, 600)?;
        within("call_timeout_s", raw.call_timeout_s, 1, 600)?;
        check_tokens(&raw.token)?;
        let link = LinkConfig::of(&raw)?;
        Ok(Self {
            address,
            tokens: raw.token,
            body_bytes_max: raw.body_bytes_max,
            record_bytes_max: raw.record_bytes_max,
            records_max: raw.records_max,
            records_per_s: raw.records_per_s,
            requests_per_s: raw.requests_per_s,
            ingest_concurrent_max: raw.ingest_concurrent_max,
            concurrent_max: raw.concurrent_max,
            connections_max: raw.connections_max,
            tails_max: raw.tails_max,
            body_timeout: Duration::from_secs(raw.body_timeout_s),
            call_timeout: Duration::from_secs(raw.call_timeout_s),
            link,
            pagerduty_secret_env: raw.pagerduty_secret_env,
            pagerduty_secret_file: raw.pagerduty_secret_file,
        })
    }
}

impl JsonSchema for HttpConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpConfig".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawHttp::json_schema(generator)
    }
}

fn within<T: PartialOrd + std::fmt::Display>(name: &str, value: T, least: T, most: T) -> Result<(), String> {
    if value < least || value > most {
        return Err(format!("{name} = {value} is not between {least} and {most}"));
    }
    Ok(())
}

fn check_tokens(tokens: &[TokenConfig]) -> Result<(), String> {
    if tokens.len() > TOKENS_MAX {
        return Err(format!("token has {} entries, the most is {TOKENS_MAX}", tokens.len()));
    }
    let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
    for token in tokens {
        if !names.insert(&token.name) {
            return Err(format!("token: the name {} is there twice", token.name));
        }
        if !hashes.insert(&token.sha256) {
            return Err(format!("token: {} has the same sha256 as another", token.name));
        }
    }
    Ok(())
}

/// One token: who holds it and what they may do. The token itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawToken")]
pub struct TokenConfig {
    pub name: String,
    pub role: Option<Role>,
    pub ingest: bool,
    pub sha256: [u8; 32],
}

/// A token: who holds it and what they may do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawToken {
    /// Who holds it; commands and the audit name them so. Letters, digits and . _ @ -, at most 64.
    name: String,
    /// What it may do; each role includes those before it: viewer, responder, lead, tuner, admin.
    #[serde(default)]
    role: Option<Role>,
    /// It may write telemetry and context.
    #[serde(default)]
    ingest: bool,
    /// SHA-256 of the token, in hexadecimal.
    sha256: String,
}

impl TryFrom<RawToken> for TokenConfig {
    type Error = String;

    fn try_from(raw: RawToken) -> Result<Self, String> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
        if raw.name.is_empty() || raw.name.len() > 64 || !raw.name.chars().all(fine) {
            return Err(format!("name = {:?} is not 1 to 64 letters, digits and . _ @ -", raw.name));
        }
        // What was written may be the token itself: it is not repeated.
        let sha256 = from_hex(&raw.sha256).ok_or_else(|| {
            format!("sha256 of the token {} is not 64 digits of hexadecimal: it is the hash that `tocsin token` prints, not the token", raw.name)
        })?;
        if raw.role.is_none() && !raw.ingest {
            return Err(format!("the token {} may do nothing: give it a role, or ingest = true", raw.name));
        }
        Ok(Self { name: raw.name, role: raw.role, ingest: raw.ingest, sha256 })
    }
}

impl JsonSchema for TokenConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TokenConfig".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RawToken::json_schema(generator)
    }
}

/// 32 bytes as 64 digits of hexadecimal, in either case.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_an_empty_table_gives() {
        let empty: HttpConfig = toml::from_str("").unwrap();
        assert_eq!(empty, HttpConfig::default());
        assert!(empty.address.ip().is_loopback());
    }

    #[test]
    fn says_what_is_wrong() {
        let hash = "ab".repeat(32);
        let token = |rest: &str| format!("[[token]]\n{rest}");
        for (text, part) in [
            ("adress = \"x\"".into(), "unknown field `adress`"),
            ("address = \"localhost:1\"".into(), "127.0.0.1:7311"),
            ("body_bytes_max = 5".into(), "body_bytes_max = 5 is not between"),
            ("record_bytes_max = 99999999".into(), "record_bytes_max = 99999999"),
            ("concurrent_max = 0".into(), "concurrent_max = 0"),
            ("public_url = \"http://tocsin.example.com\"".into(), "public_url must be https"),
            ("public_url = \"https://tocsin.example.com\"".into(), "[[http.token]]"),
            ("link_valid_s = 60".into(), "link_valid_s = 60 is not between"),
            ("link_actions = []".into(), "link_actions is empty"),
            ("link_actions = [\"close\"]".into(), "unknown variant `close`"),
            (token(&format!("name = \"a\"\nsha256 = \"{hash}\"")), "may do nothing"),
            (token("name = \"a\"\ningest = true\nsha256 = \"tocsin_abc\""), "not the token"),
            (token(&format!("name = \"a b\"\ningest = true\nsha256 = \"{hash}\"")), "\"a b\""),
            (token(&format!("name = \"a\"\nrole = \"root\"\nsha256 = \"{hash}\"")), "unknown variant `root`"),
            (
                format!("{0}\n{0}", token(&format!("name = \"a\"\ningest = true\nsha256 = \"{hash}\""))),
                "the name a is there twice",
            ),
            (
                ["a", "b"]
                    .map(|n| token(&format!("name = \"{n}\"\ningest = true\nsha256 = \"{hash}\"")))
                    .join("\n"),
                "same sha256",
            ),
        ] {
            let error = toml::from_str::<HttpConfig>(&text).expect_err(&text).message().to_owned();
            assert!(error.contains(part), "{text}: {error}");
            assert!(
                !error.contains("tocsin_abc"),
                "a token written in place of its hash is not repeated: {error}"
            );
        }
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(from_hex(&"0f".repeat(32)), Some([15; 32]));
        assert_eq!(from_hex(&"0F".repeat(32)), Some([15; 32]));
        assert_eq!(from_hex(&"0g".repeat(32)), None);
        assert_eq!(from_hex("0f"), None);
    }
}
