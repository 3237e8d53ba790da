//! Microsoft Teams: each page is a card, posted to the address of a workflow.
//!
//! A workflow takes messages and says no more: what has been posted is never changed, looked for or recognised when it comes
//! again. So what happens to an alert is a message of its own, and after a lost answer one may show twice.

mod render;

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::Page;

use crate::client::Client;
use crate::client::guard::{Guard, is_this_machine};
use crate::client::tls::{self, TlsError};
use crate::config::{checked_ca_file, checked_rate, checked_timeout, schema_as_written, timeout_s};
use crate::endpoint::Endpoint;
use crate::secret::{Secret, SecretSource};
use crate::{RequestParts, outcome};

pub use render::TEAMS_BYTES_MAX;

/// Messages a minute. Teams takes four a second: so many begin at once after a pause, and fewer from then on.
const RATE: u32 = 48;
/// From this length on, parts of the address are secrets of their own: its signature is one.
const SECRET_BYTES_MIN: usize = 16;
const CONTENT: &str = "application/json; charset=utf-8";

/// Settings of a workflow of Microsoft Teams.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawTeams")]
pub struct TeamsConfig {
    /// Whoever knows the address can post.
    pub url: SecretSource,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
    /// Attempts a minute that may begin; `None` is no limit.
    pub rate_per_minute: Option<u32>,
}

schema_as_written!(TeamsConfig, RawTeams);

/// Posts each page as a card to Microsoft Teams, through a workflow.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawTeams {
    /// Name of the environment variable that holds the address of the workflow, https. It posts to the one channel or chat
    /// that it was made for, whatever the target.
    #[serde(default)]
    url_env: Option<String>,
    /// The same in a file that only tocsin can read. Exactly one of the two.
    #[serde(default)]
    url_file: Option<PathBuf>,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one attempt in seconds, 1 to 30.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    /// Attempts a minute that may begin, 1 to 60000; further pages wait, those that call somebody first. 48 if absent: then never
    /// more than four begin in a second, which is what Teams takes.
    #[serde(default)]
    rate_per_minute: Option<u32>,
}

impl TryFrom<RawTeams> for TeamsConfig {
    type Error = String;

    fn try_from(raw: RawTeams) -> Result<Self, String> {
        let url = SecretSource::of("url", raw.url_env, raw.url_file)?
            .ok_or("url_env or url_file is missing: where the address of the workflow is")?;
        Ok(Self {
            url,
            ca_file: checked_ca_file(raw.ca_file, true)?,
            timeout_s: checked_timeout(raw.timeout_s)?,
            rate_per_minute: checked_rate(raw.rate_per_minute, Some(RATE))?,
        })
    }
}

/// A workflow, ready to be posted to.
pub struct Teams {
    client: Client,
    secrets: Vec<Secret>,
    timeout: Duration,
}

impl Teams {
    /// The address that this secret is. The error says why it can be none, without repeating it.
    fn address(secret: &Secret) -> Result<Endpoint, String> {
        let url: Endpoint = secret.reveal().parse().map_err(|why| format!("the address {why}"))?;
        if !url.tls && !is_this_machine(&url) {
            return Err("the address must be https".into());
        }
        Ok(url)
    }

    /// Why this secret cannot be the address of a workflow; `None` if it can.
    pub(crate) fn refuses(secret: &Secret) -> Option<String> {
        Self::address(secret).err()
    }

    /// # Panics
    /// With an address that is refused.
    pub(crate) fn new(config: &TeamsConfig, secret: &Secret) -> Result<Self, TlsError> {
        let url = Self::address(secret).expect("it was asked first");
        let tls = url.tls.then(|| tls::connector(config.ca_file.as_deref())).transpose()?;
        let timeout = Duration::from_secs(config.timeout_s);
        let parts = url.path.split(['/', '?', '&', '=']).filter(|part| part.len() >= SECRET_BYTES_MIN);
        // The longer first: of what is whole no part is left.
        let secrets =
            [secret.clone(), Secret::new(&url.path)].into_iter().chain(parts.map(Secret::new)).collect();
        Ok(Self { client: Client::new(url, Guard::Open, tls, timeout), secrets, timeout })
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The request without its path, which is a secret.
    ///
    /// # Panics
    /// Never: a value is JSON.
    #[must_use]
    pub fn render(&self, page: &Page) -> RequestParts {
        let body = serde_json::to_vec(&render::message(page)).expect("a value is JSON");
        RequestParts { path: "/".into(), headers: vec![("content-type", CONTENT.into())], body }
    }

    pub(crate) async fn send(&self, page: &Page, now: Timestamp) -> Outcome {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT));
        let endpoint = self.client.endpoint();
        let answer = self.client.post(&endpoint.path, headers, self.render(page).body).await;
        outcome::of(answer, endpoint, &self.secrets.iter().collect::<Vec<_>>(), now)
    }
}
