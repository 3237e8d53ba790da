//! PagerDuty, Events API v2.
//!
//! `dedup_key` is the alert key: the same for trigger, acknowledge, update and resolve of one generation of an incident
//! at one target, so that a repeat is never a second alert. After a resolve a trigger under the same key would open a new
//! alert; a later generation has a key of its own.
//!
//! Deployments that an incident names are told as change events, which page nobody: each once, as long as this process knows.

mod render;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use wire::Timestamp;
use wire::context::Deployment;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::client::Client;
use crate::client::guard::{Guard, is_this_machine};
use crate::client::tls::{self, TlsError};
use crate::config::{checked_ca_file, checked_rate, checked_timeout, schema_as_written, timeout_s};
use crate::endpoint::Endpoint;
use crate::secret::{Secret, SecretSource};
use crate::{RequestParts, outcome};

pub use render::PAGERDUTY_BYTES_MAX;

const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Events a minute: below the limit of an integration key, which is about 120.
const RATE: u32 = 100;
/// Deployments known to have been told, and the most that are told with one page.
const TOLD_MAX: usize = 1_000;
const CHANGES_MAX: usize = 5;
/// Longest time for them: the page has been taken, and its outcome waits.
const CHANGES_WITHIN: Duration = Duration::from_secs(2);
/// Length of an integration key.
const KEY_CHARS: usize = 32;

/// Settings of a PagerDuty integration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPagerDuty")]
pub struct PagerDutyConfig {
    pub url: Endpoint,
    pub routing_key: SecretSource,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
    /// Attempts a minute that may begin; `None` is no limit.
    pub rate_per_minute: Option<u32>,
}

schema_as_written!(PagerDutyConfig, RawPagerDuty);

/// Sends each page as an event to one integration of PagerDuty (Events API v2).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawPagerDuty {
    /// Name of the environment variable that holds the integration key, 32 letters and digits. One receiver is one
    /// integration: PagerDuty routes by this key alone.
    #[serde(default)]
    routing_key_env: Option<String>,
    /// The same in a file that only tocsin can read. Exactly one of the two.
    #[serde(default)]
    routing_key_file: Option<PathBuf>,
    /// Where events go. Accounts in PagerDuty's European region have a host of their own there. Plain http is for this
    /// machine only.
    #[serde(default = "url")]
    url: String,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one attempt in seconds, 1 to 30.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    /// Attempts a minute that may begin, 1 to 60000; further pages wait, those that call somebody first. 100 if absent: PagerDuty
    /// takes about 120 for an integration key.
    #[serde(default)]
    rate_per_minute: Option<u32>,
}

fn url() -> String {
    URL.to_owned()
}

impl TryFrom<RawPagerDuty> for PagerDutyConfig {
    type Error = String;

    fn try_from(raw: RawPagerDuty) -> Result<Self, String> {
        let url: Endpoint = raw.url.parse().map_err(|why| format!("url {why}"))?;
        if !url.tls && !is_this_machine(&url) {
            return Err("url must be https: the integration key is part of every event".into());
        }
        let routing_key = SecretSource::of("routing_key", raw.routing_key_env, raw.routing_key_file)?
            .ok_or("routing_key_env or routing_key_file is missing: it says which integration is meant")?;
        Ok(Self {
            ca_file: checked_ca_file(raw.ca_file, url.tls)?,
            timeout_s: checked_timeout(raw.timeout_s)?,
            rate_per_minute: checked_rate(raw.rate_per_minute, Some(RATE))?,
            url,
            routing_key,
        })
    }
}

/// An integration, ready to send.
pub struct PagerDuty {
    client: Client,
    routing_key: Secret,
    timeout: Duration,
    /// Where change events go; `None` where the address is not one of PagerDuty's form.
    changes: Option<String>,
    /// Deployments that were told, the oldest first.
    told: Mutex<VecDeque<Deployment>>,
}

impl PagerDuty {
    /// Why a key cannot be one; `None` if it can.
    pub(crate) fn refuses(key: &Secret) -> Option<String> {
        let text = key.reveal();
        let fine = text.len() == KEY_CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric());
        (!fine).then(|| format!("it is not an integration key: {KEY_CHARS} letters and digits"))
    }

    pub(crate) fn new(config: &PagerDutyConfig, routing_key: Secret) -> Result<Self, TlsError> {
        let tls = config.url.tls.then(|| tls::connector(config.ca_file.as_deref())).transpose()?;
        let timeout = Duration::from_secs(config.timeout_s);
        let client = Client::new(config.url.clone(), Guard::Open, tls, timeout);
        let changes = config.url.path.strip_suffix("/enqueue").map(|path| format!("{path}/change/enqueue"));
        Ok(Self { client, routing_key, timeout, changes, told: Mutex::default() })
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The request without the integration key.
    #[must_use]
    pub fn render(&self, page: &Page) -> RequestParts {
        RequestParts {
            path: self.client.endpoint().path.clone(),
            headers: vec![("content-type", "application/json".into())],
            body: render::event(page, ""),
        }
    }

    pub(crate) async fn send(&self, page: &Page, now: Timestamp) -> Outcome {
        let body = render::event(page, self.routing_key.reveal());
        let path = self.client.endpoint().path.clone();
        let outcome = self.post(&path, body, now).await;
        if matches!(outcome, Outcome::Delivered { .. }) {
            if page.kind == PageKind::Trigger {
                // What does not arrive in time is left out: the page says it too.
                timeout(CHANGES_WITHIN, self.tell_changes(page, now)).await.unwrap_or_default();
            }
            // Taken, not yet shown: PagerDuty works on events later. The key is how to find the alert there.
            return Outcome::Delivered { reference: Some(page.alert_key.as_str().to_owned()) };
        }
        outcome
    }

    async fn post(&self, path: &str, body: Vec<u8>, now: Timestamp) -> Outcome {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.client.post(path, headers, body).await;
        outcome::of(answer, self.client.endpoint(), &[&self.routing_key], now)
    }

    /// Tells the deployments that may have caused it, which were not told before.
    async fn tell_changes(&self, page: &Page, now: Timestamp) {
        let Some(path) = &self.changes else { return };
        for deployment in page.incident.context.deployments.iter().take(CHANGES_MAX) {
            if self.knows(deployment) {
                continue;
            }
            let body = render::change(page, deployment, self.routing_key.reveal());
            if matches!(self.post(path, body, now).await, Outcome::Delivered { .. }) {
                self.remember(deployment);
            }
        }
    }

    fn knows(&self, deployment: &Deployment) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(deployment)
    }

    fn remember(&self, deployment: &Deployment) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push_back(deployment.clone());
        if told.len() > TOLD_MAX {
            told.pop_front();
        }
    }
}
