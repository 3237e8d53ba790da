//! A `[receiver.NAME]` table.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    AlertmanagerConfig, HeartbeatConfig, InboxConfig, OpsgenieConfig, PagerDutyConfig, SlackConfig,
    SmtpConfig, TeamsConfig, TopicConfig, WebhookConfig,
};

/// Where pages go. The `type` says which kind; the other settings are that kind's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ReceiverConfig {
    /// Keeps the last pages in this process, for the demo and for `GET /v1/inbox`. Nobody is woken.
    Inbox(InboxConfig),
    /// Posts each page as JSON to an address, signed as Standard Webhooks say.
    Webhook(WebhookConfig),
    /// Posts each page as an alert to a Prometheus Alertmanager (API v2) and keeps it firing while the incident is open.
    Alertmanager(AlertmanagerConfig),
    /// Sends each page as an event to one integration of PagerDuty (Events API v2).
    PagerDuty(PagerDutyConfig),
    /// Sends each page as an alert to Opsgenie or to Jira Service Management: the target says who is to respond.
    Opsgenie(OpsgenieConfig),
    /// Posts each page as a message to Slack: through an incoming webhook, or as a bot that keeps a thread for each alert.
    Slack(SlackConfig),
    /// Posts each page as a card to Microsoft Teams, through a workflow.
    Teams(TeamsConfig),
    /// Mails each page to one address: the target is the address.
    Smtp(SmtpConfig),
    /// Writes each page as a record to a topic of the log.
    Topic(TopicConfig),
    /// Posts a sign of life to a checker outside, which calls somebody when none comes.
    Heartbeat(HeartbeatConfig),
}

impl ReceiverConfig {
    /// As it is written in `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Inbox(_) => "inbox",
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::PagerDuty(_) => "pagerduty",
            Self::Opsgenie(_) => "opsgenie",
            Self::Slack(_) => "slack",
            Self::Teams(_) => "teams",
            Self::Smtp(_) => "smtp",
            Self::Topic(_) => "topic",
            Self::Heartbeat(_) => "heartbeat",
        }
    }

    /// Attempts a minute that may begin at this receiver; `None` is no limit.
    #[must_use]
    pub const fn rate_per_minute(&self) -> Option<u32> {
        match self {
            Self::Webhook(config) => config.rate_per_minute,
            Self::PagerDuty(config) => config.rate_per_minute,
            Self::Opsgenie(config) => config.rate_per_minute,
            Self::Slack(config) => config.rate_per_minute,
            Self::Teams(config) => config.rate_per_minute,
            Self::Smtp(config) => config.rate_per_minute,
            Self::Inbox(_) | Self::Alertmanager(_) | Self::Topic(_) | Self::Heartbeat(_) => None,
        }
    }

    /// Why a page through this receiver cannot have this target; `None` if it can.
    #[must_use]
    pub fn refuses_target(&self, target: &str) -> Option<String> {
        match self {
            Self::Smtp(_) => SmtpConfig::refuses_target(target),
            Self::Opsgenie(_) => OpsgenieConfig::refuses_target(target),
            Self::Inbox(_)
            | Self::Webhook(_)
            | Self::Alertmanager(_)
            | Self::PagerDuty(_)
            | Self::Slack(_)
            | Self::Teams(_)
            | Self::Topic(_)
            | Self::Heartbeat(_) => None,
        }
    }
}

/// The schema of checked settings is that of the table as it is written.
macro_rules! schema_as_written {
    ($checked:ident, $written:ident) => {
        impl schemars::JsonSchema for $checked {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($checked).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $written::json_schema(generator)
            }
        }
    };
}
pub(crate) use schema_as_written;

/// Longest time-out of a request, so that an attempt always ends within its lease.
const TIMEOUT_S_MAX: u64 = 30;
/// Highest rate that can be set, a thousand a second: above what one worker sends.
const RATE_MAX: u32 = 60_000;

pub(crate) const fn timeout_s() -> u64 {
    10
}

pub(crate) fn checked_timeout(timeout_s: u64) -> Result<u64, String> {
    if timeout_s == 0 || timeout_s > TIMEOUT_S_MAX {
        return Err(format!("timeout_s = {timeout_s} is not between 1 and {TIMEOUT_S_MAX}"));
    }
    Ok(timeout_s)
}

/// Attempts a minute that may begin: as written, else `usual`. `None` is no limit.
pub(crate) fn checked_rate(written: Option<u32>, usual: Option<u32>) -> Result<Option<u32>, String> {
    match written {
        Some(rate) if !(1..=RATE_MAX).contains(&rate) => {
            Err(format!("rate_per_minute = {rate} is not between 1 and {RATE_MAX}"))
        }
        Some(_) => Ok(written),
        None => Ok(usual),
    }
}

pub(crate) fn checked_ca_file(ca_file: Option<PathBuf>, tls: bool) -> Result<Option<PathBuf>, String> {
    match ca_file {
        Some(path) if path.as_os_str().is_empty() => {
            Err("ca_file is empty: it is the path of a file with certificates in PEM".into())
        }
        Some(_) if !tls => Err("ca_file is set, but the address is not https".into()),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind() {
        for (text, want) in [
            ("type = \"inbox\"", "inbox"),
            ("type = \"inbox\"\nkeep = 5", "inbox"),
            ("type = \"webhook\"\nurl = \"https://example.com/h\"\nsecret_env = \"HOOK\"", "webhook"),
            ("type = \"alertmanager\"\nurls = [\"http://a:9093\", \"http://b:9093\"]", "alertmanager"),
            ("type = \"pagerduty\"\nrouting_key_env = \"PD\"", "pagerduty"),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"", "opsgenie"),
            (
                "type = \"opsgenie\"\napi_key_file = \"k\"\nurl = \"https://api.atlassian.com/jsm/ops/integration\"",
                "opsgenie",
            ),
            ("type = \"teams\"\nurl_env = \"TEAMS\"", "teams"),
            ("type = \"teams\"\nurl_file = \"/run/secrets/teams\"\nca_file = \"ca.pem\"", "teams"),
            ("type = \"slack\"\nwebhook_env = \"SLACK\"", "slack"),
            ("type = \"slack\"\nwebhook_env = \"SLACK\"\nsigning_secret_file = \"s\"", "slack"),
            ("type = \"slack\"\ntoken_file = \"/run/secrets/slack\"", "slack"),
            ("type = \"topic\"\ntopic = \"team-risk.pages\"", "topic"),
            ("type = \"smtp\"\nhost = \"mail.example.com\"\nfrom = \"a@example.com\"", "smtp"),
            (
                "type = \"smtp\"\nhost = \"10.0.0.1\"\nfrom = \"a@b.c\"\ntls = \"none\"\nallow_private = true",
                "smtp",
            ),
            (
                "type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\ntls = \"implicit\"\nusername = \"u\"\npassword_env = \"P\"",
                "smtp",
            ),
        ] {
            let got: ReceiverConfig = toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(got.kind(), want);
        }
    }

    #[test]
    fn a_rate_is_the_usual_one_unless_it_is_written() {
        for (text, want) in [
            ("type = \"pagerduty\"\nrouting_key_env = \"PD\"", Some(100)),
            ("type = \"pagerduty\"\nrouting_key_env = \"PD\"\nrate_per_minute = 400", Some(400)),
            ("type = \"slack\"\nwebhook_env = \"SLACK\"", Some(60)),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"", Some(60)),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"\nrate_per_minute = 300", Some(300)),
            ("type = \"teams\"\nurl_env = \"TEAMS\"", Some(48)),
            ("type = \"webhook\"\nurl = \"https://example.com/h\"\nsecret_env = \"HOOK\"", None),
            (
                "type = \"webhook\"\nurl = \"https://example.com/h\"\nsecret_env = \"HOOK\"\nrate_per_minute = 1",
                Some(1),
            ),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\nrate_per_minute = 30", Some(30)),
            ("type = \"inbox\"", None),
        ] {
            let config: ReceiverConfig = toml::from_str(text).expect(text);
            assert_eq!(config.rate_per_minute(), want, "{text}");
        }
    }

    #[test]
    fn a_target_is_what_its_receiver_can_call() {
        for (text, target, fine) in [
            ("type = \"opsgenie\"\napi_key_env = \"OG\"", "team:risk", true),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"", "default", true),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"", "risk", false),
            ("type = \"teams\"\nurl_env = \"TEAMS\"", "risk", true),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"", "ann@example.com", true),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"", "ann", false),
        ] {
            let config: ReceiverConfig = toml::from_str(text).expect(text);
            let why = config.refuses_target(target);
            assert_eq!(why.is_none(), fine, "{text}: {target}: {why:?}");
            assert!(
                why.is_none_or(|why| why.starts_with(&format!("{target:?} is not "))),
                "{text}: {target}"
            );
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("type = \"pager\"", "unknown variant `pager`"),
            ("keep = 5", "missing field `type`"),
            ("type = \"inbox\"\nkept = 5", "unknown field `kept`"),
            ("type = \"inbox\"\nkeep = 0", "keep = 0"),
            ("type = \"webhook\"\nurl = \"https://example.com/h\"", "secret_env"),
            ("type = \"webhook\"\nsecret_env = \"HOOK\"", "missing field `url`"),
            ("type = \"webhook\"\nurl = \"http://example.com/\"\nsecret_env = \"H\"", "https"),
            (
                "type = \"webhook\"\nurl = \"http://example.com/\"\nsecret_env = \"H\"\nallow_private = true",
                "https",
            ),
            ("type = \"webhook\"\nurl = \"https://10.0.0.1/\"\nsecret_env = \"H\"", "allow_private"),
            (
                "type = \"webhook\"\nurl = \"https://169.254.169.254/\"\nsecret_env = \"H\"\nallow_private = true",
                "never",
            ),
            (
                "type = \"webhook\"\nurl = \"https://e.com/\"\nsecret_env = \"H\"\ntimeout_s = 60",
                "timeout_s = 60",
            ),
            ("type = \"slack\"", "webhook_env"),
            ("type = \"slack\"\nwebhook_env = \"A\"\ntoken_env = \"B\"", "keep one"),
            ("type = \"slack\"\ntoken_env = \"B\"\nurl = \"http://example.com/api\"", "https"),
            ("type = \"smtp\"\nfrom = \"a@b.c\"", "missing field `host`"),
            ("type = \"smtp\"\nhost = \"m.example\"", "missing field `from`"),
            ("type = \"smtp\"\nhost = \"m.example:25\"\nfrom = \"a@b.c\"", "host is not a name"),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"Ann <a@b.c>\"", "from"),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\ndomain = \"b c\"", "domain"),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\ntls = \"none\"", "allow_private"),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\ntls = \"ssl\"", "starttls"),
            ("type = \"smtp\"\nhost = \"10.0.0.1\"\nfrom = \"a@b.c\"", "allow_private"),
            (
                "type = \"smtp\"\nhost = \"1.1.1.1\"\nfrom = \"a@b.c\"\ntls = \"none\"\nallow_private = true",
                "public address",
            ),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\nusername = \"u\"", "password_env"),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\npassword_env = \"P\"", "username"),
            (
                "type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\ntls = \"none\"\nallow_private = true\nusername = \"u\"\npassword_env = \"P\"",
                "in clear",
            ),
            (
                "type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\npassword = \"hunter2\"",
                "unknown field",
            ),
            ("type = \"smtp\"\nhost = \"m.example\"\nfrom = \"a@b.c\"\nport = 0", "port = 0"),
            (
                "type = \"slack\"\nwebhook_env = \"A\"\nrate_per_minute = 0",
                "rate_per_minute = 0 is not between 1 and 60000",
            ),
            ("type = \"pagerduty\"\nrouting_key_env = \"PD\"\nrate_per_minute = 60001", "60001"),
            ("type = \"topic\"", "missing field `topic`"),
            ("type = \"topic\"\ntopic = \"\"", "not 1 to 249"),
            ("type = \"topic\"\ntopic = \"..\"", "not 1 to 249"),
            ("type = \"topic\"\ntopic = \"pages/a\"", "not 1 to 249"),
            ("type = \"topic\"\ntopic = \"tocsin.incidents.v1\"", "tocsin's own"),
            ("type = \"pagerduty\"", "routing_key_env"),
            ("type = \"pagerduty\"\nrouting_key = \"0123\"", "unknown field `routing_key`"),
            ("type = \"pagerduty\"\nrouting_key_env = \"PD\"\nurl = \"http://example.com/\"", "https"),
            ("type = \"opsgenie\"", "api_key_env"),
            ("type = \"opsgenie\"\napi_key = \"0123\"", "unknown field `api_key`"),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"\napi_key_file = \"k\"", "both set"),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"\nurl = \"http://example.com\"", "https"),
            (
                "type = \"opsgenie\"\napi_key_env = \"OG\"\nurl = \"https://example.com/v2/alerts\"",
                "/v2/alerts",
            ),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"\nurl = \"https://example.com/v2/\"", "/v2/alerts"),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"\nurl = \"https://example.com/?a=b\"", "query"),
            ("type = \"opsgenie\"\napi_key_env = \"OG\"\ntimeout_s = 0", "timeout_s = 0"),
            ("type = \"teams\"", "url_env"),
            ("type = \"teams\"\nurl = \"https://example.com/\"", "unknown field `url`"),
            ("type = \"teams\"\nurl_env = \"https://example.com/?sig=x\"", "not the name"),
            ("type = \"teams\"\nurl_env = \"TEAMS\"\nrate_per_minute = 0", "rate_per_minute = 0"),
            ("type = \"alertmanager\"\nurls = []", "urls"),
            ("type = \"alertmanager\"\nurls = [\"http://a\", \"http://a\"]", "twice"),
            ("type = \"alertmanager\"\nurls = [\"http://a/api/v2/alerts\"]", "/api/v2/alerts"),
            ("type = \"alertmanager\"\nurls = [\"http://a\"]\ntoken_env = \"T\"", "https"),
            ("type = \"alertmanager\"\nurls = [\"http://a\"]\nresend_s = 60\nhold_s = 100", "hold_s = 100"),
            ("type = \"alertmanager\"\nurls = [\"http://a\"]\nlabels = { \"a-b\" = \"c\" }", "a-b"),
            ("type = \"alertmanager\"\nurls = [\"http://a\"]\nlabels = { severity = \"c\" }", "severity"),
        ] {
            let got = toml::from_str::<ReceiverConfig>(text).map_err(|e| e.to_string());
            let error = got.map_or_else(|e| e, |config| panic!("{text}: accepted as {config:?}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
