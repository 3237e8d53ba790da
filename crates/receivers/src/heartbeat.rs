//! A sign of life to a checker outside, which calls somebody when none comes.
//!
//! Not a page: it has no incident, is not tried again, and is only sent while all is well.

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::{Page, PageKind};

use crate::client::Client;
use crate::client::guard::Guard;
use crate::client::tls::{self, TlsError};
use crate::config::{checked_ca_file, checked_timeout, schema_as_written, timeout_s};
use crate::endpoint::Endpoint;
use crate::outcome;
use crate::secret::{Secret, SecretSource};

/// Settings of a checker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawHeartbeat")]
pub struct HeartbeatConfig {
    /// Such addresses hold what lets anybody speak for us.
    pub url: SecretSource,
    pub allow_private: bool,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
}

schema_as_written!(HeartbeatConfig, RawHeartbeat);

/// Posts a sign of life to a checker outside, which calls somebody when none comes: for the case that tocsin cannot.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawHeartbeat {
    /// Name of the environment variable that holds the checker's address, https: whoever knows it can speak for us.
    #[serde(default)]
    url_env: Option<String>,
    /// The same in a file that only tocsin can read. Exactly one of the two.
    #[serde(default)]
    url_file: Option<PathBuf>,
    /// Allow an address on a private network or on this machine, and plain http on this machine.
    #[serde(default)]
    allow_private: bool,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one sign in seconds, 1 to 30.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
}

impl TryFrom<RawHeartbeat> for HeartbeatConfig {
    type Error = String;

    fn try_from(raw: RawHeartbeat) -> Result<Self, String> {
        let url = SecretSource::of("url", raw.url_env, raw.url_file)?
            .ok_or("url_env or url_file is missing: where the address of the checker is")?;
        Ok(Self {
            url,
            allow_private: raw.allow_private,
            ca_file: raw.ca_file,
            timeout_s: checked_timeout(raw.timeout_s)?,
        })
    }
}

/// Whom to send signs of life to.
pub struct Heartbeat {
    client: Client,
    timeout: Duration,
}

impl Heartbeat {
    /// Why this secret cannot be the address of a checker, without repeating it.
    fn address(config: &HeartbeatConfig, secret: &Secret) -> Result<(Endpoint, Guard), String> {
        let url: Endpoint = secret.reveal().parse().map_err(|why| format!("the address {why}"))?;
        let guard = Guard::of(&url, config.allow_private, "the address")?;
        Ok((url, guard))
    }

    /// Why this secret cannot be the address of a checker; `None` if it can.
    pub(crate) fn refuses(config: &HeartbeatConfig, secret: &Secret) -> Option<String> {
        let checked = Self::address(config, secret);
        checked.and_then(|(url, _)| checked_ca_file(config.ca_file.clone(), url.tls).map(drop)).err()
    }

    /// # Panics
    /// With an address that is refused.
    pub(crate) fn new(config: &HeartbeatConfig, secret: &Secret) -> Result<Self, TlsError> {
        let (url, guard) = Self::address(config, secret).expect("it was asked first");
        let tls = url.tls.then(|| tls::connector(config.ca_file.as_deref())).transpose()?;
        let timeout = Duration::from_secs(config.timeout_s);
        Ok(Self { client: Client::new(url, guard, tls, timeout), timeout })
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// One sign of life, which says this.
    pub(crate) async fn beat(&self, says: &str, now: Timestamp) -> Outcome {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let endpoint = self.client.endpoint();
        let answer = self.client.post(&endpoint.path, headers, says.as_bytes().to_vec()).await;
        outcome::of(answer, endpoint, &[], now)
    }

    /// A page that calls somebody is a sign; what follows it says nothing to a checker.
    pub(crate) async fn send(&self, page: &Page, now: Timestamp) -> Outcome {
        match page.kind {
            PageKind::Trigger => self.beat(&format!("tocsin {}", page.incident.namespace), now).await,
            PageKind::Acknowledge | PageKind::Update | PageKind::Resolve => {
                Outcome::Delivered { reference: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<HeartbeatConfig, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn settings_are_checked() {
        let fine = config("url_env = \"CHECKER\"").unwrap();
        assert_eq!((fine.timeout_s, fine.allow_private), (10, false));
        for (text, want) in [
            ("", "url_env or url_file is missing"),
            ("url_env = \"A\"\nurl_file = \"b\"", "both set"),
            ("url_env = \"https://hc.example/uuid\"", "not the name of an environment variable"),
            ("url_env = \"A\"\ntimeout_s = 31", "timeout_s = 31"),
        ] {
            let why = config(text).unwrap_err();
            assert!(why.contains(want), "{text}: {why}");
            assert!(!why.contains("hc.example"), "{why}");
        }
    }

    #[test]
    fn an_address_is_checked_and_never_repeated() {
        let refuses = |address: &str, more: &str| {
            let config = config(&format!("url_env = \"CHECKER\"\n{more}")).unwrap();
            Heartbeat::refuses(&config, &Secret::new(address))
        };
        assert_eq!(refuses("http://127.0.0.1:9/token", "allow_private = true"), None);
        assert_eq!(refuses("https://checker.example/token", ""), None);
        for (address, more, want) in [
            ("checker.example/token", "", "the address"),
            ("http://checker.example/token", "", "must be https"),
            ("http://127.0.0.1:9/token", "", "must be https"),
            ("https://10.0.0.1/token", "", "the address"),
            ("https://169.254.169.254/token", "allow_private = true", "the address"),
        ] {
            let why = refuses(address, more).unwrap();
            assert!(why.contains(want) && !why.contains("token"), "{why}");
        }
    }
}
