//! Opsgenie, and Jira Service Management, which takes the same requests at another address.
//!
//! `alias` is the alert key: the same for create, acknowledge, note and close of one generation of an incident at one
//! target. While an alert is open, another under its alias is only counted there. So what may have arrived is sent again
//! without asking first: that could be asked by the number of the request alone, which came with the answer that was lost.
//! After a close it would open a new alert; a later generation has a key of its own.
//!
//! To be counted says nothing to anybody: who is called again is told in a note how things stand.

mod render;
mod responder;

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::client::guard::{Guard, is_this_machine};
use crate::client::tls::{self, TlsError};
use crate::client::{Answer, Client, authorization};
use crate::config::{checked_ca_file, checked_rate, checked_timeout, schema_as_written, timeout_s};
use crate::endpoint::Endpoint;
use crate::secret::{Secret, SecretSource};
use crate::{RequestParts, outcome, text};
use responder::Responder;

const URL: &str = "https://api.opsgenie.com";
const PATH: &str = "/v2/alerts";
/// Requests a minute. The limit is the account's, grows with its users, and is kept by the minute and by the second.
const RATE: u32 = 60;
/// Longest time for the note to who is called again: the page has been taken, and its outcome waits.
const NOTE_WITHIN: Duration = Duration::from_secs(2);

/// Settings of an API integration of Opsgenie or Jira Service Management.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawOpsgenie")]
pub struct OpsgenieConfig {
    /// Its path is that of alerts.
    pub url: Endpoint,
    pub api_key: SecretSource,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
    /// Attempts a minute that may begin; `None` is no limit.
    pub rate_per_minute: Option<u32>,
}

schema_as_written!(OpsgenieConfig, RawOpsgenie);

/// Sends each page as an alert to Opsgenie or to Jira Service Management: the target says who is to respond.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawOpsgenie {
    /// Name of the environment variable that holds the key of an API integration.
    #[serde(default)]
    api_key_env: Option<String>,
    /// The same in a file that only tocsin can read. Exactly one of the two.
    #[serde(default)]
    api_key_file: Option<PathBuf>,
    /// Base address, without `/v2/alerts`. For accounts in the European region `https://api.eu.opsgenie.com`, for Jira
    /// Service Management `https://api.atlassian.com/jsm/ops/integration`. Plain http is for this machine only.
    #[serde(default = "url")]
    url: String,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one attempt in seconds, 1 to 30.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    /// Attempts a minute that may begin, 1 to 60000; further pages wait, those that call somebody first. 60 if absent: what an
    /// account may have grows with its users.
    #[serde(default)]
    rate_per_minute: Option<u32>,
}

fn url() -> String {
    URL.to_owned()
}

impl TryFrom<RawOpsgenie> for OpsgenieConfig {
    type Error = String;

    fn try_from(raw: RawOpsgenie) -> Result<Self, String> {
        let mut url: Endpoint = raw.url.parse().map_err(|why| format!("url {why}"))?;
        if !url.tls && !is_this_machine(&url) {
            return Err("url must be https: the key is in every request".into());
        }
        let base = url.path.trim_end_matches('/');
        if base.contains(PATH) || base.ends_with("/v2") || base.contains('?') {
            return Err(format!("url must be the base address, without {PATH} and without a query"));
        }
        url.path = format!("{base}{PATH}");
        let api_key = SecretSource::of("api_key", raw.api_key_env, raw.api_key_file)?
            .ok_or("api_key_env or api_key_file is missing: it says which integration is meant")?;
        Ok(Self {
            ca_file: checked_ca_file(raw.ca_file, url.tls)?,
            timeout_s: checked_timeout(raw.timeout_s)?,
            rate_per_minute: checked_rate(raw.rate_per_minute, Some(RATE))?,
            url,
            api_key,
        })
    }
}

impl OpsgenieConfig {
    /// Why a page cannot have this target; `None` if it can.
    #[must_use]
    pub fn refuses_target(target: &str) -> Option<String> {
        Responder::of(target).err().map(|why| format!("{target:?} {why}"))
    }
}

/// An integration, ready to send.
pub struct Opsgenie {
    client: Client,
    api_key: Secret,
    timeout: Duration,
}

impl Opsgenie {
    /// Why a key cannot be one; `None` if it can.
    pub(crate) fn refuses(key: &Secret) -> Option<String> {
        let text = key.reveal();
        let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        (!fine).then(|| "the key is empty or holds characters that a header cannot carry".into())
    }

    pub(crate) fn new(config: &OpsgenieConfig, api_key: Secret) -> Result<Self, TlsError> {
        let tls = config.url.tls.then(|| tls::connector(config.ca_file.as_deref())).transpose()?;
        let timeout = Duration::from_secs(config.timeout_s);
        Ok(Self { client: Client::new(config.url.clone(), Guard::Open, tls, timeout), api_key, timeout })
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout + NOTE_WITHIN
    }

    /// The request without the key. The error says why this page can never be sent.
    pub fn render(&self, page: &Page) -> Result<RequestParts, Outcome> {
        // It may be a person's: the reason goes into the audit, so it does not repeat the target.
        let responder = Responder::of(&page.target).map_err(|why| Outcome::Config {
            reason: format!("{}: the target {why}", self.client.endpoint()),
        })?;
        if !text::is_token(page.alert_key.as_str()) {
            let reason = "the alert key is not 1 to 128 letters, digits, _ and -, as an address can carry";
            return Err(Outcome::Reject { reason: reason.into() });
        }
        Ok(match page.kind {
            PageKind::Trigger => self.request("", page, &render::alert(page, responder.as_ref())),
            PageKind::Acknowledge => self.request("acknowledge", page, &render::action(page)),
            PageKind::Update => self.note(page),
            PageKind::Resolve => self.request("close", page, &render::action(page)),
        })
    }

    fn note(&self, page: &Page) -> RequestParts {
        self.request("notes", page, &render::action(page))
    }

    /// To the alert of this page; without an `action`, to all of them.
    fn request(&self, action: &str, page: &Page, body: &Value) -> RequestParts {
        let alerts = &self.client.endpoint().path;
        let path = match action {
            "" => alerts.clone(),
            action => format!("{alerts}/{}/{action}?identifierType=alias", page.alert_key),
        };
        let body = serde_json::to_vec(body).expect("a value is JSON");
        RequestParts { path, headers: vec![("content-type", "application/json".into())], body }
    }

    pub(crate) async fn send(&self, page: &Page, now: Timestamp) -> Outcome {
        let request = match self.render(page) {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        let outcome = self.post(request, page, now).await;
        let taken = matches!(outcome, Outcome::Delivered { .. });
        if taken && page.kind == PageKind::Trigger && page.thread.is_some() {
            // The alert is there, and knows of its responders: a note that does not arrive in time is left out.
            drop(timeout(NOTE_WITHIN, self.post(self.note(page), page, now)).await);
        }
        outcome
    }

    async fn post(&self, request: RequestParts, page: &Page, now: Timestamp) -> Outcome {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, authorization("GenieKey", &self.api_key));
        let answer = self.client.post(&request.path, headers, request.body).await;
        let reference = answer.as_ref().ok().and_then(request_id);
        let name = page.target.split_once(':').map_or("", |(_, name)| name);
        let outcome = outcome::of_named(answer, self.client.endpoint(), &[&self.api_key], &[name], now);
        if matches!(outcome, Outcome::Delivered { .. }) {
            // Taken, not yet shown: alerts are worked on later. By this number it can be asked what came of it.
            return Outcome::Delivered { reference };
        }
        outcome
    }
}

fn request_id(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    body["requestId"].as_str().filter(|id| text::is_token(id)).map(str::to_owned)
}
