//! Mail: each page is one message to one person, in one transaction of its own.
//!
//! `Message-ID` is the notification id, the same on every attempt: what a mailbox does with a repeat is its own affair, but
//! it can know one. `In-Reply-To` and `References` name the alert, so that all mail about it is one thread.
//!
//! The client is our own, and small: a library that hides the transaction cannot tell "lost before the final dot" (nobody
//! has it, try again) from "lost after it" (somebody may have it).

mod address;
mod dialogue;
mod encode;
mod message;
mod reply;
mod transaction;

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::Page;

use crate::client::guard::Guard;
use crate::client::tls::{self, TlsError};
use crate::config::{checked_rate, checked_timeout, schema_as_written};
use crate::secret::{Secret, SecretSource};
use address::{check_address, check_domain, domain_of};
use transaction::{Login, Mail};

/// Settings of mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSmtp")]
pub struct SmtpConfig {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub from: String,
    pub domain: String,
    pub username: Option<String>,
    pub password: Option<SecretSource>,
    pub allow_private: bool,
    pub ca_file: Option<PathBuf>,
    pub timeout_s: u64,
    /// Attempts a minute that may begin; `None` is no limit.
    pub rate_per_minute: Option<u32>,
}

/// How the connection is kept from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// It begins in clear and must become TLS before anything is said (port 587).
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// In clear (port 25): to private and loopback addresses only, with `allow_private = true`.
    None,
}

impl SmtpTls {
    const fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

schema_as_written!(SmtpConfig, RawSmtp);

/// Mails each page to one address: the target is the address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSmtp {
    /// Name or address of the mail server.
    host: String,
    /// Its port: 587 with `starttls`, 465 with `implicit`, 25 with `none`.
    #[serde(default)]
    port: Option<u16>,
    /// How the connection is kept from others: `starttls` (refused if the server does not offer it), `implicit`, or `none`,
    /// which is for private addresses only.
    #[serde(default)]
    tls: SmtpTls,
    /// Address that mail comes from.
    from: String,
    /// Domain on the right of every `Message-ID`, and the name by which tocsin greets the server. The domain of `from` if
    /// absent.
    #[serde(default)]
    domain: Option<String>,
    /// Name to log in with. Needs a password, and TLS.
    #[serde(default)]
    username: Option<String>,
    /// Name of the environment variable that holds the password.
    #[serde(default)]
    password_env: Option<String>,
    /// The same in a file that only tocsin can read.
    #[serde(default)]
    password_file: Option<PathBuf>,
    /// Allow a server on a private network or on this machine. Without it such an address is refused, also when a name
    /// resolves to it.
    #[serde(default)]
    allow_private: bool,
    /// Trust the certificates in this file (PEM) instead of those that the machine trusts.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Longest time for one attempt in seconds, 1 to 30. Mail servers look at what they are given, which takes time.
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    /// Attempts a minute that may begin, 1 to 60000; further pages wait, those that call somebody first. No limit if absent.
    #[serde(default)]
    rate_per_minute: Option<u32>,
}

const fn timeout_s() -> u64 {
    15
}

impl TryFrom<RawSmtp> for SmtpConfig {
    type Error = String;

    fn try_from(raw: RawSmtp) -> Result<Self, String> {
        let host = raw.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.parse::<std::net::IpAddr>().is_err() {
            check_domain(&host).map_err(|why| format!("host {why}"))?;
        }
        check_address(&raw.from).map_err(|why| format!("from = {:?} {why}", raw.from))?;
        let domain = raw.domain.unwrap_or_else(|| domain_of(&raw.from).to_owned());
        check_domain(&domain).map_err(|why| format!("domain {why}"))?;
        let port = raw.port.unwrap_or(raw.tls.port());
        if port == 0 {
            return Err("port = 0 is not between 1 and 65535".into());
        }
        let password = SecretSource::of("password", raw.password_env, raw.password_file)?;
        match (&raw.username, &password) {
            (Some(_), None) => return Err("username is set: password_env or password_file is missing".into()),
            (None, Some(_)) => return Err("a password is set, but no username to log in with".into()),
            (Some(name), Some(_)) if name.is_empty() || name.len() > 255 || name.contains('\0') => {
                return Err("username is not 1 to 255 bytes without NUL".into());
            }
            (Some(_), Some(_)) | (None, None) => (),
        }
        if raw.tls == SmtpTls::None {
            if password.is_some() {
                return Err(
                    "the password would be sent in clear: tls must be \"starttls\" or \"implicit\"".into()
                );
            }
            if !raw.allow_private {
                return Err("tls = \"none\" is for servers at private addresses only: set allow_private = true if yours is one, or use \"starttls\" or \"implicit\"".into());
            }
        }
        let config = Self {
            ca_file: match raw.ca_file {
                Some(path) if path.as_os_str().is_empty() => {
                    return Err("ca_file is empty: it is the path of a file with certificates in PEM".into());
                }
                Some(_) if raw.tls == SmtpTls::None => {
                    return Err("ca_file is set, but tls is \"none\"".into());
                }
                other => other,
            },
            timeout_s: checked_timeout(raw.timeout_s)?,
            rate_per_minute: checked_rate(raw.rate_per_minute, None)?,
            host,
            port,
            tls: raw.tls,
            from: raw.from,
            domain,
            username: raw.username,
            password,
            allow_private: raw.allow_private,
        };
        let address = config.host.parse().ok();
        if let Some(why) = address.and_then(|ip| config.guard().refusal(ip, config.tls != SmtpTls::None)) {
            return Err(format!("host: {why}"));
        }
        Ok(config)
    }
}

impl SmtpConfig {
    const fn guard(&self) -> Guard {
        match (self.tls, self.allow_private) {
            (SmtpTls::None, _) => Guard::Inside,
            (SmtpTls::Starttls | SmtpTls::Implicit, true) => Guard::Private,
            (SmtpTls::Starttls | SmtpTls::Implicit, false) => Guard::Public,
        }
    }

    /// Why a page cannot have this target; `None` if it can.
    #[must_use]
    pub fn refuses_target(target: &str) -> Option<String> {
        check_address(target).err().map(|why| format!("{target:?} {why}"))
    }
}

/// A mail server, ready to be given messages.
pub struct Smtp {
    host: String,
    port: u16,
    mode: SmtpTls,
    guard: Guard,
    tls: Option<TlsConnector>,
    from: String,
    domain: String,
    login: Option<Login>,
    timeout: Duration,
}

impl Smtp {
    /// Why a password cannot be sent; `None` if it can.
    pub(crate) fn refuses(password: &Secret) -> Option<String> {
        let text = password.reveal();
        (text.is_empty() || text.len() > 1024 || text.contains('\0'))
            .then(|| "the password is not 1 to 1024 bytes without NUL".into())
    }

    pub(crate) fn new(config: &SmtpConfig, password: Option<Secret>) -> Result<Self, TlsError> {
        let tls = (config.tls != SmtpTls::None)
            .then(|| tls::connector_for(config.ca_file.as_deref(), &[]))
            .transpose()?;
        let login = config.username.clone().zip(password).map(|(name, password)| Login { name, password });
        Ok(Self {
            host: config.host.clone(),
            port: config.port,
            mode: config.tls,
            guard: config.guard(),
            tls,
            from: config.from.clone(),
            domain: config.domain.clone(),
            login,
            timeout: Duration::from_secs(config.timeout_s),
        })
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The message as it is sent at `now`, before dots are doubled. The error says why this page can never be mailed.
    pub fn render(&self, page: &Page, now: Timestamp) -> Result<Vec<u8>, String> {
        message::render(page, &self.from, &self.domain, now)
    }

    pub(crate) async fn send(&self, page: &Page, now: Timestamp) -> Outcome {
        let who = self.who();
        // It may be a person's: the reason goes into the audit, so it does not repeat the target.
        if let Err(why) = check_address(&page.target) {
            return Outcome::Config { reason: format!("{who}: the target {why}") };
        }
        let message = match self.render(page, now) {
            Ok(message) => message,
            Err(reason) => return Outcome::Reject { reason },
        };
        let mail = Mail { from: &self.from, to: &page.target, message: &message };
        let mut handed_over = false;
        let sent = timeout(self.timeout, self.transact(&mail, &mut handed_over)).await;
        match sent {
            Ok(Ok(())) => Outcome::Delivered { reference: Some(message::message_id(page, &self.domain)) },
            Ok(Err(outcome)) => outcome,
            Err(_) => {
                let seconds = self.timeout.as_secs();
                if handed_over {
                    Outcome::Unknown { reason: format!("{who}: no answer to the message within {seconds} s") }
                } else {
                    Outcome::Retry {
                        reason: format!("{who}: it did not take the message within {seconds} s"),
                    }
                }
            }
        }
    }

    fn who(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("smtp://{host}:{}", self.port)
    }
}
