//! Slack: an incoming webhook, or a bot that keeps one thread for each alert.
//!
//! Slack has no key under which a repeat is dropped. A bot therefore leaves the notification id in the message's metadata
//! and, before it sends again what may have arrived, looks for it. A webhook cannot look: there a repeat shows twice.

mod answer;
mod api;
mod render;

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::client::guard::{Guard, is_this_machine};
use crate::client::tls::{self, TlsError};
use crate::client::{Client, authorization};
use crate::config::{checked_ca_file, checked_rate, checked_timeout, schema_as_written, timeout_s};
use crate::endpoint::Endpoint;
use crate::secret::{Secret, SecretSource};
use crate::{RequestParts, outcome};
use api::{Place, call_failed, form, read};

const API: &str = "https://slack.com/api";
/// What methods that write take, and webhooks.
const JSON: &str = "application/json; charset=utf-8";
/// What methods that read take: of JSON they see nothing.
const FORM: &str = "application/x-www-form-urlencoded";
/// Messages a minute: the limit of one channel.
const RATE: u32 = 60;
/// Room for the messages among which one is looked for.
const HISTORY_BYTES_MAX: usize = 1 << 20;
/// How many of the last messages are looked through, and how much earlier than the page they may be: clocks differ.
const HISTORY_MESSAGES: u32 = 100;
const CLOCKS_DIFFER_S: i64 = 60;

/// Settings of Slack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSlack")]
pub struct SlackConfig {
    pub way: SlackWay,
    pub url: Endpoint,
    /// Of the app that the buttons belong to. Without it there are none.
    pub signing_secret: Option<SecretSource>,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
    /// Attempts a minute that may begin; `None` is no limit.
    pub rate_per_minute: Option<u32>,
}

/// How messages get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackWay {
    /// The address of an incoming webhook, which is a secret.
    Webhook(SecretSource),
    /// The token of a bot.
    Bot(SecretSource),
}

schema_as_written!(SlackConfig, RawSlack);

/// Posts each page as a message to Slack: through an incoming webhook, or as a bot that keeps a thread for each alert.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSlack {
    /// Name of the environment variable that holds the address of an incoming webhook. It posts to the one channel that
    /// it was made for, whatever the target.
    #[serde(default)]
    webhook_env: Option<String>,
    /// The same in a file that only tocsin can read.
    #[serde(default)]
    webhook_file: Option<PathBuf>,
    /// Name of the environment variable that holds a bot's token (`xoxb-…`, with the scope `chat:write`, and
    /// `channels:history` to recognise what has arrived). Targets are channels by their ids: names of public ones do too,
    /// but nothing is found again in them.
    #[serde(default)]
    token_env: Option<String>,
    /// The same in a file that only tocsin can read. Exactly one of the four.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// Name of the environment variable that holds the signing secret of the Slack app. Messages then have a button to
    /// acknowledge with; the app's Request URL for interactivity is `/v1/inbound/slack` of this listener.
    #[serde(default)]
    signing_secret_env: Option<String>,
    /// The same in a file that only tocsin can read.
    #[serde(default)]
    signing_secret_file: Option<PathBuf>,
    /// Where a bot finds Slack's methods.
    #[serde(default = "url")]
    url: String,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one attempt in seconds, 1 to 30.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    /// Attempts a minute that may begin, 1 to 60000; further pages wait, those that call somebody first. 60 if absent: Slack takes
    /// about one message a second for a channel, so a bot that posts to several may have more.
    #[serde(default)]
    rate_per_minute: Option<u32>,
}

fn url() -> String {
    API.to_owned()
}

impl TryFrom<RawSlack> for SlackConfig {
    type Error = String;

    fn try_from(raw: RawSlack) -> Result<Self, String> {
        let mut url: Endpoint = raw.url.parse().map_err(|why| format!("url {why}"))?;
        if !url.tls && !is_this_machine(&url) {
            return Err("url must be https: the token is in every request".into());
        }
        url.path.truncate(url.path.trim_end_matches('/').len());
        let webhook = SecretSource::of("webhook", raw.webhook_env, raw.webhook_file)?;
        let token = SecretSource::of("token", raw.token_env, raw.token_file)?;
        let way = match (webhook, token) {
            (Some(from), None) => SlackWay::Webhook(from),
            (None, Some(from)) => SlackWay::Bot(from),
            (None, None) => {
                return Err("webhook_env (an incoming webhook) or token_env (a bot) is missing".into());
            }
            (Some(_), Some(_)) => return Err("a webhook and a token are both set: keep one".into()),
        };
        let signing_secret =
            SecretSource::of("signing_secret", raw.signing_secret_env, raw.signing_secret_file)?;
        Ok(Self {
            way,
            signing_secret,
            ca_file: checked_ca_file(raw.ca_file, true)?,
            timeout_s: checked_timeout(raw.timeout_s)?,
            rate_per_minute: checked_rate(raw.rate_per_minute, Some(RATE))?,
            url,
        })
    }
}

/// Slack, ready to be posted to.
pub struct Slack {
    client: Client,
    /// The address or the token.
    secret: Secret,
    is_bot: bool,
    has_buttons: bool,
    tls: Option<TlsConnector>,
    timeout: Duration,
}

impl Slack {
    pub(crate) const fn secret_of(config: &SlackConfig) -> &SecretSource {
        match &config.way {
            SlackWay::Webhook(from) | SlackWay::Bot(from) => from,
        }
    }

    /// Why this cannot be the secret of `config`; `None` if it can. Repeats nothing of it.
    pub(crate) fn refuses(config: &SlackConfig, secret: &Secret) -> Option<String> {
        match &config.way {
            SlackWay::Webhook(_) => match secret.reveal().parse::<Endpoint>() {
                Ok(url) if url.tls || is_this_machine(&url) => None,
                Ok(_) => Some("the address of the webhook must be https".into()),
                Err(why) => Some(format!("the address of the webhook {why}")),
            },
            SlackWay::Bot(_) => {
                let text = secret.reveal();
                let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
                (!fine).then(|| "the token is empty or holds characters that a header cannot carry".into())
            }
        }
    }

    /// Why this cannot be a signing secret; `None` if it can. Repeats nothing of it.
    pub(crate) fn refuses_signing(secret: &Secret) -> Option<String> {
        let text = secret.reveal();
        let fine = text.len() >= 16 && text.bytes().all(|b| b.is_ascii_alphanumeric());
        (!fine).then(|| {
            "it is not a signing secret: letters and digits, from the app's Basic Information".into()
        })
    }

    pub(crate) fn new(config: &SlackConfig, secret: Secret) -> Result<Self, TlsError> {
        let is_bot = matches!(config.way, SlackWay::Bot(_));
        let url = if is_bot {
            config.url.clone()
        } else {
            secret.reveal().parse().unwrap_or_else(|_| config.url.clone())
        };
        let tls = url.tls.then(|| tls::connector(config.ca_file.as_deref())).transpose()?;
        let timeout = Duration::from_secs(config.timeout_s);
        let client =
            Client::new(url, Guard::Open, tls.clone(), timeout).with_answers_up_to(HISTORY_BYTES_MAX);
        let has_buttons = config.signing_secret.is_some();
        Ok(Self { client, secret, is_bot, has_buttons, tls, timeout })
    }

    /// Of a whole attempt, though a bot may need three requests for one.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The message as a webhook gets it.
    #[must_use]
    pub fn render(&self, page: &Page) -> RequestParts {
        RequestParts {
            path: "/".into(),
            headers: vec![("content-type", "application/json".into())],
            body: bytes(&render::message(page, self.has_buttons)),
        }
    }

    pub(crate) async fn send(&self, page: &Page, attempt: u32, now: Timestamp) -> Outcome {
        if !self.is_bot {
            let path = self.client.endpoint().path.clone();
            let answer = self
                .client
                .post(&path, self.headers(JSON), bytes(&render::message(page, self.has_buttons)))
                .await;
            return outcome::of(answer, self.client.endpoint(), &[&self.secret], now);
        }
        let sent = async {
            match page.thread.as_deref().and_then(Place::of) {
                Some(thread) => self.follow_up(page, &thread, attempt, now).await,
                None => self.first(page, attempt, now).await,
            }
        };
        match timeout(self.timeout, sent).await {
            Ok(Ok(place)) => Outcome::Delivered { reference: Some(place.to_string()) },
            Ok(Err(outcome)) => outcome,
            Err(_) => Outcome::Unknown {
                reason: format!("{}: not done within {} s", self.client.endpoint(), self.timeout.as_secs()),
            },
        }
    }

    /// Answers who pressed a button, at the address that Slack gave with it: only they see it.
    ///
    /// # Errors
    /// Why it did not arrive; never the address, which is a secret for half an hour.
    pub(crate) async fn reply(&self, to: &str, text: &str, now: Timestamp) -> Result<(), String> {
        let to: Endpoint = to.parse().map_err(|why| format!("the address to answer at {why}"))?;
        if !answer::is_slacks(&to, self.client.endpoint()) {
            return Err(format!("{to} is not an address of Slack: nothing is sent there"));
        }
        let path = to.path.clone();
        let client = Client::new(to, Guard::Open, self.tls.clone(), self.timeout);
        let mut headers = self.headers(JSON);
        headers.remove(AUTHORIZATION);
        let answer = client.post(&path, headers, bytes(&answer::message(text))).await;
        outcome::taken(outcome::of(answer, client.endpoint(), &[&self.secret], now))
    }

    /// The message that the thread of an alert hangs on.
    async fn first(&self, page: &Page, attempt: u32, now: Timestamp) -> Result<Place, Outcome> {
        if attempt > 1
            && let Some(place) = self.look(page, None, now).await
        {
            return Ok(place);
        }
        let mut message = render::message(page, self.has_buttons);
        message["channel"] = json!(page.target);
        message["metadata"] = render::metadata(page);
        self.call("chat.postMessage", message, now).await.and_then(|answer| self.place(&answer))
    }

    /// The first message says how things stand now; a reply says what has changed.
    async fn follow_up(
        &self,
        page: &Page,
        thread: &Place,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Place, Outcome> {
        let mut message = render::message(page, self.has_buttons);
        message["channel"] = json!(thread.channel);
        message["ts"] = json!(thread.ts);
        match self.call("chat.update", message, now).await {
            // Somebody deleted it: the reply is what counts.
            Ok(_) | Err(Outcome::Reject { .. } | Outcome::Config { .. }) => (),
            Err(other) => return Err(other),
        }
        if attempt > 1 && self.look(page, Some(thread), now).await.is_some() {
            return Ok(thread.clone());
        }
        let reply = json!({
            "channel": thread.channel,
            "thread_ts": thread.ts,
            "text": render::line(page),
            "metadata": render::metadata(page),
            // Who is called again must see it in the channel too.
            "reply_broadcast": page.kind == PageKind::Trigger,
        });
        self.call("chat.postMessage", reply, now).await.map(|_| thread.clone())
    }

    /// Whether this page has arrived before, and where. Where Slack does not let us look, nobody knows.
    async fn look(&self, page: &Page, thread: Option<&Place>, now: Timestamp) -> Option<Place> {
        let since = page.decided_at.as_ms().div_euclid(1000) - CLOCKS_DIFFER_S;
        let (oldest, limit) = (since.max(0).to_string(), HISTORY_MESSAGES.to_string());
        let channel = thread.map_or(page.target.as_str(), |t| t.channel.as_str());
        let mut asked = vec![
            ("channel", channel),
            ("oldest", oldest.as_str()),
            ("limit", limit.as_str()),
            ("include_all_metadata", "true"),
        ];
        let method = match thread {
            Some(thread) => {
                asked.push(("ts", thread.ts.as_str()));
                "conversations.replies"
            }
            None => "conversations.history",
        };
        let answer = match self.post(method, FORM, form(&asked), now).await {
            Ok(answer) => answer,
            Err(outcome) => {
                tracing::warn!(?outcome, "Slack does not say whether a page has arrived: it is sent again");
                return None;
            }
        };
        let id = page.notification_id.as_str();
        let is_it = |m: &&Value| m["metadata"]["event_payload"]["notification_id"] == id;
        let found = answer["messages"].as_array()?.iter().find(is_it)?;
        Some(Place { channel: channel.to_owned(), ts: found["ts"].as_str()?.to_owned() })
    }

    fn place(&self, answer: &Value) -> Result<Place, Outcome> {
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let (channel, ts) = (text("channel"), text("ts"));
        channel.zip(ts).map(|(channel, ts)| Place { channel, ts }).ok_or_else(|| Outcome::Unknown {
            reason: format!("{} did not say which message it is", self.client.endpoint()),
        })
    }

    /// One of Slack's methods that write.
    async fn call(&self, method: &str, body: Value, now: Timestamp) -> Result<Value, Outcome> {
        self.post(method, JSON, bytes(&body), now).await
    }

    async fn post(
        &self,
        method: &str,
        media_type: &'static str,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<Value, Outcome> {
        let endpoint = self.client.endpoint();
        let path = format!("{}/{method}", endpoint.path);
        match self.client.post(&path, self.headers(media_type), body).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                read(&answer.body).map_err(|error| call_failed(&error, &format!("{endpoint} {method}")))
            }
            other => Err(outcome::of(other, endpoint, &[&self.secret], now)),
        }
    }

    fn headers(&self, media_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if self.is_bot {
            headers.insert(AUTHORIZATION, authorization("Bearer", &self.secret));
        }
        headers
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value is JSON")
}
