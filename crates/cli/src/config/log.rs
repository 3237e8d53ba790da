//! `[log]`: a Kafka, or one file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where records live. Without `brokers` it is the embedded log: one file, one process.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Kafka to use, `host:port[,host:port]`.
    pub brokers: Option<String>,
    /// File of the embedded log, relative to this config. Used without `brokers`.
    pub path: PathBuf,
    /// Further settings of the Kafka client, under librdkafka's names, e.g. `"security.protocol" = "SASL_SSL"`.
    /// Secrets do not belong here: `"sasl.password"` is taken from `sasl_password_env` or `sasl_password_file`.
    pub kafka: BTreeMap<String, String>,
    /// Variable of the environment that holds the SASL password.
    pub sasl_password_env: Option<String>,
    /// File that holds the SASL password.
    pub sasl_password_file: Option<PathBuf>,
    /// Whether topics that tocsin owns are created when they are missing.
    pub create_topics: bool,
    /// Copies of each owned topic. 1 to 9.
    pub replication: u16,
    /// Partitions of the topics that tocsin owns. They cannot be changed later.
    pub partitions: PartitionsConfig,
    /// Stable name of this process among those that run the same config: part of its transactional ids.
    pub instance: String,
    /// Shortest time between two commits, in milliseconds. 50 to 10000.
    pub commit_ms: u64,
    /// A source partition without progress for so long is given up for the pane that it holds back, in seconds.
    /// At least 31: session time-out (6) + transaction time-out (15) + 10.
    pub hold_max_s: u64,
}

/// `[log.partitions]`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PartitionsConfig {
    /// Of the telemetry topic, when tocsin owns it.
    pub telemetry: u32,
    /// Of panes, history and state.judge: how many judges can share the work. Each may spend an equal part of the
    /// budget.
    pub judge: u32,
    /// Of incidents and all that escalation writes. One gives one order of decisions and one audit chain.
    pub escalate: u32,
    /// Of state.collect.
    pub collect: u32,
}

impl Default for PartitionsConfig {
    fn default() -> Self {
        Self { telemetry: 4, judge: 1, escalate: 1, collect: 4 }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            brokers: None,
            path: "tocsin.log".into(),
            kafka: BTreeMap::new(),
            sasl_password_env: None,
            sasl_password_file: None,
            create_topics: true,
            replication: 1,
            partitions: PartitionsConfig::default(),
            instance: "1".to_owned(),
            commit_ms: 200,
            hold_max_s: 120,
        }
    }
}

impl LogConfig {
    /// # Errors
    /// The key at fault, and what would be right.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let p = &self.partitions;
        if let Some(n) =
            [p.telemetry, p.judge, p.escalate, p.collect].iter().find(|n| !(1..=1024).contains(*n))
        {
            return Err(("partitions", format!("{n} partitions: must be 1 to 1024")));
        }
        if !(1..=9).contains(&self.replication) {
            return Err(("replication", format!("replication = {} must be 1 to 9", self.replication)));
        }
        if self.hold_max_s < 31 {
            let why = "must be at least 31: session time-out (6) + transaction time-out (15) + 10";
            return Err(("hold_max_s", format!("hold_max_s = {} {why}", self.hold_max_s)));
        }
        if !(50..=10_000).contains(&self.commit_ms) {
            return Err(("commit_ms", format!("commit_ms = {} must be 50 to 10000", self.commit_ms)));
        }
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.instance.is_empty() || self.instance.len() > 60 || !self.instance.chars().all(good) {
            return Err(("instance", "must be 1 to 60 letters, digits, `-` and `_`".to_owned()));
        }
        if let Some(key) = self.kafka.keys().find(|k| k.contains("password") || k.contains("secret")) {
            return Err((
                "kafka",
                format!("{key:?} is a secret: use sasl_password_env or sasl_password_file"),
            ));
        }
        let protocol = self.kafka.get("security.protocol").map(|p| p.to_ascii_uppercase());
        if let Some(protocol) = protocol.filter(|p| p.ends_with("SSL") && !cfg!(feature = "tls")) {
            let why = format!(
                "security.protocol = {protocol}: this tocsin was built without TLS to Kafka; build it with `cargo build \
                 --release --features tls`"
            );
            return Err(("kafka", why));
        }
        let fixed =
            ["enable.auto.commit", "isolation.level", "group.id", "transactional.id", "bootstrap.servers"];
        if let Some(key) = fixed.iter().find(|k| self.kafka.contains_key(**k)) {
            return Err(("kafka", format!("{key:?} is set by tocsin and cannot be changed")));
        }
        if let Some(brokers) = &self.brokers {
            for one in brokers.split(',') {
                let port = one
                    .trim()
                    .rsplit_once(':')
                    .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok()).flatten());
                if port.is_none() {
                    return Err(("brokers", format!("{one:?} must be host:port")));
                }
            }
        }
        Ok(())
    }
}
