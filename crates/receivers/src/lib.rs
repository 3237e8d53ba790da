//! One file per kind of receiver: render a page, send it, say what happened.
//!
//! Every kind answers with one of the classes of [`wire::outbox::Outcome`], so that retry logic exists once. No kind
//! follows a redirect, waits longer than its time-out, or lets a secret into an error, an outcome or a log.

mod alertmanager;
mod client;
mod config;
mod endpoint;
mod heartbeat;
mod inbox;
mod opsgenie;
mod outcome;
mod pagerduty;
mod receiver;
mod secret;
mod slack;
mod smtp;
mod teams;
mod text;
mod topic;
mod webhook;

pub use alertmanager::{Alertmanager, AlertmanagerConfig};
pub use config::ReceiverConfig;
pub use endpoint::Endpoint;
pub use heartbeat::{Heartbeat, HeartbeatConfig};
pub use inbox::{Inbox, InboxConfig};
pub use opsgenie::{Opsgenie, OpsgenieConfig};
pub use outcome::{RETRY_AFTER_MS_MAX, of_status};
pub use pagerduty::{PAGERDUTY_BYTES_MAX, PagerDuty, PagerDutyConfig};
pub use receiver::{Receiver, ReceiverError, TlsError};
pub use secret::{Secret, SecretSource, Secrets};
pub use slack::{Slack, SlackConfig, SlackWay};
pub use smtp::{Smtp, SmtpConfig, SmtpTls};
pub use teams::{TEAMS_BYTES_MAX, Teams, TeamsConfig};
pub use text::{describe, summary};
pub use topic::{Topic, TopicConfig, TopicRecord};
pub use webhook::{SigningKeys, WEBHOOK_BYTES_MAX, Webhook, WebhookConfig};

/// A request as it leaves, but for what depends on a secret or on the attempt. The same page gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestParts {
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}
