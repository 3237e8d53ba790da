//! Receivers of every kind, as a config sets them up against that server.

use tocsin_receivers::{Receiver, ReceiverConfig, Secret, SecretSource};
use tokio::net::TcpListener;
use wire::Timestamp;
use wire::page::Page;

pub(crate) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OLD_KEY: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
pub(crate) const TOKEN: &str = "am-token-12345";
pub(crate) const BOT: &str = "xoxb-0123456789-sekret";
pub(crate) const PASSWORD: &str = "p4ss wörd";
pub(crate) const GENIE: &str = "9b3e6c1a-5ec2-4b1e-8a51-genie-sekret";
/// In the address of a workflow of Teams.
pub(crate) const SIG: &str = "Sig-of-a-workflow-sekret-0123456789";
pub(crate) const ROUTING_KEY: &str = "R0UT1NGKEY0123456789ABCDEFGHIJKL";

pub(crate) fn page() -> Page {
    let text = r#"{
        "notification_id": "nnnnnnnnnnnnnnnnnnnnnnnnnn", "alert_key": "kkkkkkkkkkkkkkkkkkkkkkkkkk",
        "kind": "trigger", "receiver": "r", "target": "oncall", "round": 0, "step": 0,
        "decided_at": "2026-03-02T10:01:01Z",
        "incident": {"incident_id": "iiiiiiiiiiiiiiiiiiiiiiiiii", "generation": 1, "sequence": 1, "change": "opened",
            "namespace": "default", "source": "detector", "severity": "sev1", "family": "drift",
            "subject": {"kind": "model", "name": "fraud", "version": "7"},
            "opened_at": "2026-03-02T10:00:00Z", "changed_at": "2026-03-02T10:00:00Z", "title": "Größe drifted",
            "evidence": {"statistic": "drift.feature", "value": 0.5, "reference": 0.1,
                "effect": {"estimate": 0.4, "lower": 0.3, "upper": 0.5}, "evidence": 2.0, "samples": 100,
                "window": ["2026-03-02T10:00:00Z", "2026-03-02T10:01:00Z"]}}
    }"#;
    serde_json::from_str(text).unwrap()
}

/// With a target that every kind takes, but mail.
pub(crate) fn page_to_team() -> Page {
    Page { target: "team:oncall".into(), ..page() }
}

pub(crate) fn now() -> Timestamp {
    "2026-03-02T10:01:02.900Z".parse().unwrap()
}

pub(crate) fn receiver(config: &str) -> Receiver {
    let config: ReceiverConfig = toml::from_str(config).unwrap_or_else(|e| panic!("{config}: {e}"));
    let secrets = |from: &SecretSource| match from {
        SecretSource::Env(name) if name == "HOOK" => Ok(Secret::new(&format!("{KEY} {OLD_KEY}\n"))),
        SecretSource::Env(name) if name == "AM" => Ok(Secret::new(TOKEN)),
        SecretSource::Env(name) if name == "PD" => Ok(Secret::new(ROUTING_KEY)),
        SecretSource::Env(name) if name == "MAIL" => Ok(Secret::new(PASSWORD)),
        SecretSource::Env(name) if name == "GENIE" => Ok(Secret::new(GENIE)),
        SecretSource::Env(name) if name == "BOT" => Ok(Secret::new(BOT)),
        SecretSource::Env(name) if name == "SIGNING" => Ok(Secret::new("8f742231b10e8888abcd99yyyzzz85a5")),
        SecretSource::Env(name) if name.starts_with("SLACK_") => {
            Ok(Secret::new(&format!("http://127.0.0.1:{}/services/T0/B0/sekret-path", &name[6..])))
        }
        SecretSource::Env(name) if name.starts_with("TEAMS_") => Ok(Secret::new(&format!(
            "http://127.0.0.1:{}/workflows/f1/triggers/manual/paths/invoke?api-version=1&sig={SIG}",
            &name[6..]
        ))),
        SecretSource::Env(_) | SecretSource::File(_) => Err("it is not set".into()),
    };
    Receiver::build("r", &config, &secrets).unwrap()
}

pub(crate) fn webhook(port: u16) -> Receiver {
    receiver(&format!(
        "type = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook?k=1\"\nsecret_env = \"HOOK\"\nallow_private = true\ntimeout_s = 1"
    ))
}

pub(crate) fn alertmanager(ports: &[u16]) -> Receiver {
    let urls: Vec<_> = ports.iter().map(|p| format!("\"http://127.0.0.1:{p}/prefix/\"")).collect();
    receiver(&format!("type = \"alertmanager\"\nurls = [{}]\ntimeout_s = 1", urls.join(", ")))
}

pub(crate) fn pagerduty(port: u16) -> Receiver {
    receiver(&format!(
        "type = \"pagerduty\"\nurl = \"http://127.0.0.1:{port}/v2/enqueue\"\nrouting_key_env = \"PD\"\ntimeout_s = 1"
    ))
}

pub(crate) fn opsgenie(port: u16) -> Receiver {
    receiver(&format!(
        "type = \"opsgenie\"\nurl = \"http://127.0.0.1:{port}/jsm\"\napi_key_env = \"GENIE\"\ntimeout_s = 1"
    ))
}

pub(crate) fn teams(port: u16) -> Receiver {
    receiver(&format!("type = \"teams\"\nurl_env = \"TEAMS_{port}\"\ntimeout_s = 1"))
}

/// An incoming webhook.
pub(crate) fn slack(port: u16) -> Receiver {
    receiver(&format!("type = \"slack\"\nwebhook_env = \"SLACK_{port}\"\ntimeout_s = 1"))
}

pub(crate) fn slack_bot(port: u16) -> Receiver {
    receiver(&format!(
        "type = \"slack\"\ntoken_env = \"BOT\"\nurl = \"http://127.0.0.1:{port}/api\"\ntimeout_s = 1"
    ))
}

/// In clear unless `more` says something else.
pub(crate) fn smtp(port: u16, more: &str) -> Receiver {
    let tls = if more.contains("tls =") { "" } else { "tls = \"none\"\n" };
    receiver(&format!(
        "type = \"smtp\"\nhost = \"localhost\"\nport = {port}\nfrom = \"tocsin@example.com\"\nallow_private = true\ntimeout_s = 1\n{tls}{more}"
    ))
}

/// A port on which nothing listens.
pub(crate) async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}
