//! A receiver of any kind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wire::Timestamp;
use wire::outbox::Outcome;
use wire::page::Page;

use crate::alertmanager::Alertmanager;
pub use crate::client::tls::TlsError;
use crate::config::ReceiverConfig;
use crate::heartbeat::Heartbeat;
use crate::inbox::Inbox;
use crate::opsgenie::Opsgenie;
use crate::outcome;
use crate::pagerduty::PagerDuty;
use crate::secret::{Secret, SecretSource, Secrets};
use crate::slack::Slack;
use crate::smtp::Smtp;
use crate::teams::Teams;
use crate::topic::Topic;
use crate::webhook::{SigningKeys, Webhook};

/// Why a receiver cannot be set up. Nothing in it repeats a secret.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The secret cannot be read. `why` is about the place.
    #[error("receiver {receiver}: {from}: {why}")]
    Secret { receiver: String, from: SecretSource, why: String },
    #[error("receiver {receiver} cannot use TLS")]
    Tls { receiver: String, source: TlsError },
}

/// One receiver, ready to send. Shared by reference: sends may overlap.
pub struct Receiver {
    name: String,
    kind: Kind,
}

enum Kind {
    Inbox(Arc<Inbox>),
    Webhook(Box<Webhook>),
    Alertmanager(Box<Alertmanager>),
    PagerDuty(Box<PagerDuty>),
    Opsgenie(Box<Opsgenie>),
    Slack(Box<Slack>),
    Teams(Box<Teams>),
    Smtp(Box<Smtp>),
    Topic(Topic),
    Heartbeat(Box<Heartbeat>),
}

impl Receiver {
    /// Reads the secrets and the certificates that `config` names. Connects to nothing.
    pub fn build(name: &str, config: &ReceiverConfig, secrets: &Secrets<'_>) -> Result<Self, ReceiverError> {
        let unreadable = |from: &SecretSource, why| ReceiverError::Secret {
            receiver: name.into(),
            from: from.clone(),
            why,
        };
        let no_tls = |source| ReceiverError::Tls { receiver: name.into(), source };
        let secret = |from: &SecretSource| secrets(from).map_err(|why| unreadable(from, why));
        let checked = |from: &SecretSource, refuses: &dyn Fn(&Secret) -> Option<String>| {
            let read = secret(from)?;
            refuses(&read).map_or(Ok(read), |why| Err(unreadable(from, why)))
        };
        let kind = match config {
            ReceiverConfig::Inbox(config) => Kind::Inbox(Arc::new(Inbox::new(config))),
            ReceiverConfig::Webhook(config) => {
                let keys = SigningKeys::read(&secret(&config.secret)?)
                    .map_err(|why| unreadable(&config.secret, why))?;
                Kind::Webhook(Box::new(Webhook::new(config, keys).map_err(no_tls)?))
            }
            ReceiverConfig::Alertmanager(config) => {
                let token =
                    config.token.as_ref().map(|from| checked(from, &Alertmanager::refuses)).transpose()?;
                Kind::Alertmanager(Box::new(Alertmanager::new(config, token).map_err(no_tls)?))
            }
            ReceiverConfig::PagerDuty(config) => {
                let key = checked(&config.routing_key, &PagerDuty::refuses)?;
                Kind::PagerDuty(Box::new(PagerDuty::new(config, key).map_err(no_tls)?))
            }
            ReceiverConfig::Opsgenie(config) => {
                let key = checked(&config.api_key, &Opsgenie::refuses)?;
                Kind::Opsgenie(Box::new(Opsgenie::new(config, key).map_err(no_tls)?))
            }
            ReceiverConfig::Slack(config) => {
                let read = checked(Slack::secret_of(config), &|read| Slack::refuses(config, read))?;
                // Whoever hears of buttons reads it again: here it is only seen that it is there.
                if let Some(from) = &config.signing_secret {
                    checked(from, &Slack::refuses_signing)?;
                }
                Kind::Slack(Box::new(Slack::new(config, read).map_err(no_tls)?))
            }
            ReceiverConfig::Teams(config) => {
                let url = checked(&config.url, &Teams::refuses)?;
                Kind::Teams(Box::new(Teams::new(config, &url).map_err(no_tls)?))
            }
            ReceiverConfig::Smtp(config) => {
                let password =
                    config.password.as_ref().map(|from| checked(from, &Smtp::refuses)).transpose()?;
                Kind::Smtp(Box::new(Smtp::new(config, password).map_err(no_tls)?))
            }
            ReceiverConfig::Topic(config) => Kind::Topic(Topic::new(config)),
            ReceiverConfig::Heartbeat(config) => {
                let url = checked(&config.url, &|url| Heartbeat::refuses(config, url))?;
                Kind::Heartbeat(Box::new(Heartbeat::new(config, &url).map_err(no_tls)?))
            }
        };
        Ok(Self { name: name.to_owned(), kind })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes one attempt at `now` (the wall's clock), within the receiver's time-out. `attempt` counts from 1.
    ///
    /// A page may be sent any number of times: each carries the same key, so a receiver that deduplicates shows one.
    pub async fn send(&self, page: &Page, attempt: u32, now: Timestamp) -> Outcome {
        let outcome = match &self.kind {
            Kind::Inbox(inbox) => {
                inbox.take(page, now);
                Outcome::Delivered { reference: None }
            }
            Kind::Webhook(webhook) => webhook.send(page, attempt, now).await,
            Kind::Alertmanager(alertmanager) => alertmanager.send(page, now).await,
            Kind::PagerDuty(pagerduty) => pagerduty.send(page, now).await,
            Kind::Opsgenie(opsgenie) => opsgenie.send(page, now).await,
            Kind::Slack(slack) => slack.send(page, attempt, now).await,
            Kind::Teams(teams) => teams.send(page, now).await,
            Kind::Smtp(smtp) => smtp.send(page, now).await,
            Kind::Heartbeat(heartbeat) => heartbeat.send(page, now).await,
            Kind::Topic(topic) => Outcome::Config {
                reason: format!("topic {}: nobody here holds the log that it is in", topic.name()),
            },
        };
        match &page.link {
            Some(link) => outcome::without_link(outcome, link),
            None => outcome,
        }
    }

    /// Sends a sign of life that says this.
    ///
    /// # Errors
    /// When the checker did not take it: why, without its address. And where this is no checker.
    pub async fn beat(&self, says: &str, now: Timestamp) -> Result<(), String> {
        let Kind::Heartbeat(heartbeat) = &self.kind else {
            return Err(format!("receiver {} takes no signs of life", self.name));
        };
        outcome::taken(heartbeat.beat(says, now).await)
    }

    /// Answers who pressed a button in a message of this receiver, at the address that came with it.
    ///
    /// # Errors
    /// Why it did not arrive, without the address.
    pub async fn reply(&self, to: &str, text: &str, now: Timestamp) -> Result<(), String> {
        let Kind::Slack(slack) = &self.kind else {
            return Err(format!("receiver {} has no buttons", self.name));
        };
        slack.reply(to, text, now).await
    }

    /// How often the last page of an alert must be sent again while its incident is open; `None` where once is enough.
    #[must_use]
    pub fn resend_every(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Inbox(_)
            | Kind::Webhook(_)
            | Kind::PagerDuty(_)
            | Kind::Opsgenie(_)
            | Kind::Slack(_)
            | Kind::Teams(_)
            | Kind::Smtp(_)
            | Kind::Topic(_)
            | Kind::Heartbeat(_) => None,
            Kind::Alertmanager(alertmanager) => Some(alertmanager.resend_every()),
        }
    }

    /// Longest time that one attempt takes: a lease must be longer. Zero where nothing is waited for here.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match &self.kind {
            Kind::Inbox(_) | Kind::Topic(_) => Duration::ZERO,
            Kind::Webhook(webhook) => webhook.timeout(),
            Kind::Alertmanager(alertmanager) => alertmanager.timeout(),
            Kind::PagerDuty(pagerduty) => pagerduty.timeout(),
            Kind::Opsgenie(opsgenie) => opsgenie.timeout(),
            Kind::Slack(slack) => slack.timeout(),
            Kind::Teams(teams) => teams.timeout(),
            Kind::Smtp(smtp) => smtp.timeout(),
            Kind::Heartbeat(heartbeat) => heartbeat.timeout(),
        }
    }

    /// The inbox, if it is one.
    #[must_use]
    pub fn inbox(&self) -> Option<&Arc<Inbox>> {
        match &self.kind {
            Kind::Inbox(inbox) => Some(inbox),
            Kind::Webhook(_)
            | Kind::Alertmanager(_)
            | Kind::PagerDuty(_)
            | Kind::Opsgenie(_)
            | Kind::Slack(_)
            | Kind::Teams(_)
            | Kind::Smtp(_)
            | Kind::Topic(_)
            | Kind::Heartbeat(_) => None,
        }
    }

    /// The topic, if it is one: then whoever holds the log writes what it renders, instead of [`send`](Self::send).
    #[must_use]
    pub fn topic(&self) -> Option<&Topic> {
        match &self.kind {
            Kind::Topic(topic) => Some(topic),
            Kind::Inbox(_)
            | Kind::Webhook(_)
            | Kind::Alertmanager(_)
            | Kind::PagerDuty(_)
            | Kind::Opsgenie(_)
            | Kind::Slack(_)
            | Kind::Teams(_)
            | Kind::Smtp(_)
            | Kind::Heartbeat(_) => None,
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Inbox(_) => "inbox",
            Kind::Webhook(_) => "webhook",
            Kind::Alertmanager(_) => "alertmanager",
            Kind::PagerDuty(_) => "pagerduty",
            Kind::Opsgenie(_) => "opsgenie",
            Kind::Slack(_) => "slack",
            Kind::Teams(_) => "teams",
            Kind::Smtp(_) => "smtp",
            Kind::Topic(_) => "topic",
            Kind::Heartbeat(_) => "heartbeat",
        };
        write!(f, "Receiver({}, {kind})", self.name)
    }
}
