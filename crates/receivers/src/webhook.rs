//! The generic webhook: a page as JSON, signed as Standard Webhooks say.
//!
//! `webhook-id` is the notification id, the same on every retry: a receiver that deduplicates by it shows one page.

mod body;
mod sign;

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::Page;

pub use body::WEBHOOK_BYTES_MAX;
pub use sign::SigningKeys;

use crate::client::Client;
use crate::client::guard::Guard;
use crate::client::tls::{self, TlsError};
use crate::config::{checked_ca_file, checked_rate, checked_timeout, schema_as_written, timeout_s};
use crate::endpoint::Endpoint;
use crate::secret::SecretSource;
use crate::{RequestParts, outcome, text};

/// Settings of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawWebhook")]
pub struct WebhookConfig {
    pub url: Endpoint,
    pub secret: SecretSource,
    pub allow_private: bool,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
    /// Attempts a minute that may begin; `None` is no limit.
    pub rate_per_minute: Option<u32>,
}

schema_as_written!(WebhookConfig, RawWebhook);

/// Posts each page as JSON to an address, signed as Standard Webhooks say.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawWebhook {
    /// Where to post, https. Redirects are never followed: name the final address.
    url: String,
    /// Name of the environment variable that holds the signing secret: `whsec_` and the base64 of 24 to 64 random
    /// bytes. Several, separated by spaces, all sign (newest first), so that one can be replaced without a gap.
    #[serde(default)]
    secret_env: Option<String>,
    /// The same in a file that only tocsin can read. Exactly one of the two.
    #[serde(default)]
    secret_file: Option<PathBuf>,
    /// Allow an address on a private network or on this machine, and plain http on this machine. Without it such an
    /// address is refused, also when a name resolves to it, so that a config cannot reach into the network around tocsin.
    #[serde(default)]
    allow_private: bool,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one attempt in seconds, 1 to 30.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    /// Attempts a minute that may begin, 1 to 60000; further pages wait, those that call somebody first. No limit if absent.
    #[serde(default)]
    rate_per_minute: Option<u32>,
}

impl TryFrom<RawWebhook> for WebhookConfig {
    type Error = String;

    fn try_from(raw: RawWebhook) -> Result<Self, String> {
        let url: Endpoint = raw.url.parse().map_err(|why| format!("url {why}"))?;
        let secret = SecretSource::of("secret", raw.secret_env, raw.secret_file)?
            .ok_or("secret_env or secret_file is missing: pages are always signed")?;
        Guard::of(&url, raw.allow_private, "url")?;
        Ok(Self {
            ca_file: checked_ca_file(raw.ca_file, url.tls)?,
            timeout_s: checked_timeout(raw.timeout_s)?,
            rate_per_minute: checked_rate(raw.rate_per_minute, None)?,
            url,
            secret,
            allow_private: raw.allow_private,
        })
    }
}

/// A webhook, ready to send.
pub struct Webhook {
    keys: SigningKeys,
    client: Client,
    timeout: Duration,
}

impl Webhook {
    pub(crate) fn new(config: &WebhookConfig, keys: SigningKeys) -> Result<Self, TlsError> {
        let tls = config.url.tls.then(|| tls::connector(config.ca_file.as_deref())).transpose()?;
        let guard = if config.allow_private { Guard::Private } else { Guard::Public };
        let timeout = Duration::from_secs(config.timeout_s);
        Ok(Self { keys, client: Client::new(config.url.clone(), guard, tls, timeout), timeout })
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The request without what depends on the attempt. The error says why this page can never be sent.
    pub fn render(&self, page: &Page) -> Result<RequestParts, String> {
        let id = page.notification_id.as_str();
        if !text::is_token(id) {
            return Err(
                "the notification id is not 1 to 128 letters, digits, _ and -, as webhook-id must be".into(),
            );
        }
        Ok(RequestParts {
            path: self.client.endpoint().path.clone(),
            headers: vec![("content-type", "application/json".into()), ("webhook-id", id.into())],
            body: body::render(page),
        })
    }

    pub(crate) async fn send(&self, page: &Page, attempt: u32, now: Timestamp) -> Outcome {
        let parts = match self.render(page) {
            Ok(parts) => parts,
            Err(reason) => return Outcome::Reject { reason },
        };
        let seconds = now.as_ms().div_euclid(1000);
        let signature = self.keys.sign(page.notification_id.as_str(), seconds, &parts.body);
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, text: &str| {
            headers.insert(name, HeaderValue::from_str(text).expect("letters, digits and signs of ASCII"));
        };
        set(CONTENT_TYPE, "application/json");
        set(HeaderName::from_static("webhook-id"), page.notification_id.as_str());
        set(HeaderName::from_static("webhook-timestamp"), &seconds.to_string());
        set(HeaderName::from_static("webhook-signature"), &signature);
        set(HeaderName::from_static("tocsin-attempt"), &attempt.to_string());
        let answer = self.client.post(&parts.path, headers, parts.body).await;
        outcome::of(answer, self.client.endpoint(), &self.keys.secrets(), now)
    }
}
