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
    /// At least 31: session time-out (6) + transaction time-out (15) + 10; more when `[log.kafka]` has longer ones.
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

/// How long a member may be silent before it is out of its group, in milliseconds, unless `[log.kafka]` says otherwise.
const SESSION_MS: u64 = 6_000;
/// The same where the broker decides: what it has unless told otherwise (`group.consumer.session.timeout.ms`).
const SESSION_OF_BROKER_MS: u64 = 45_000;
/// How long a transaction may be open, in milliseconds, unless `[log.kafka]` says otherwise.
const TRANSACTION_MS: u64 = 15_000;
/// The most that a broker takes unless told otherwise (`transaction.max.timeout.ms`).
const TRANSACTION_MS_MAX: u64 = 900_000;
/// The step in which a broker looks for transactions to end, in milliseconds.
const SWEEP_MS: u64 = 10_000;

impl LogConfig {
    /// Longest that a transaction may be open, in milliseconds.
    ///
    /// # Errors
    /// What is wrong with the setting in `[log.kafka]`.
    pub fn transaction_ms(&self) -> Result<u64, String> {
        let name = "transaction.timeout.ms";
        let ms = self.milliseconds(name)?.unwrap_or(TRANSACTION_MS);
        if !(TRANSACTION_MS..=TRANSACTION_MS_MAX).contains(&ms) {
            // Below it a delivery could outlast its transaction.
            return Err(format!("{name} = {ms} must be {TRANSACTION_MS} to {TRANSACTION_MS_MAX}"));
        }
        Ok(ms)
    }

    fn session_ms(&self) -> Result<u64, String> {
        let by_broker = self.kafka.get("group.protocol").is_some_and(|protocol| protocol != "classic");
        let unless_said = if by_broker { SESSION_OF_BROKER_MS } else { SESSION_MS };
        Ok(self.milliseconds("session.timeout.ms")?.unwrap_or(unless_said))
    }

    fn milliseconds(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.kafka.get(name) else { return Ok(None) };
        let number = text.trim().parse().map_err(|_| {
            format!("{name} = {text:?} must be a whole number of milliseconds, as text: \"30000\"")
        });
        number.map(Some)
    }

    /// A partition must not be given up while its next owner still waits for the last one to be gone.
    fn check_hold(&self) -> Result<(), (&'static str, String)> {
        let wrong = |why| ("kafka", why);
        let (session, transaction) =
            (self.session_ms().map_err(wrong)?, self.transaction_ms().map_err(wrong)?);
        let least = (session.saturating_add(transaction).saturating_add(SWEEP_MS)).div_ceil(1000);
        if self.hold_max_s >= least {
            return Ok(());
        }
        let part = |what: &str, name: &str, ms: u64| {
            let place =
                if self.kafka.contains_key(name) { format!("{name} of [log.kafka]") } else { what.into() };
            format!("{place} ({} s)", ms.div_ceil(1000))
        };
        let why = format!(
            "hold_max_s = {} must be at least {least}: {} + {} + {} s",
            self.hold_max_s,
            part("session time-out", "session.timeout.ms", session),
            part("transaction time-out", "transaction.timeout.ms", transaction),
            SWEEP_MS / 1000,
        );
        Err(("hold_max_s", why))
    }

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
        self.check_hold()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with(hold_max_s: u64, settings: &[(&str, &str)]) -> Result<(), (&'static str, String)> {
        let kafka = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        LogConfig { hold_max_s, kafka, ..LogConfig::default() }.check()
    }

    #[test]
    fn a_partition_is_not_given_up_while_its_last_owner_may_hold_it() {
        assert_eq!(with(31, &[]), Ok(()));
        let why = "hold_max_s = 30 must be at least 31: session time-out (6 s) + transaction time-out (15 s) + 10 s";
        assert_eq!(with(30, &[]), Err(("hold_max_s", why.to_owned())));

        let session = [("session.timeout.ms", "95500")];
        let why = "hold_max_s = 120 must be at least 121: session.timeout.ms of [log.kafka] (96 s) + transaction \
                   time-out (15 s) + 10 s";
        assert_eq!(with(120, &session), Err(("hold_max_s", why.to_owned())));
        assert_eq!(with(121, &session), Ok(()));

        let both = [("session.timeout.ms", "10000"), ("transaction.timeout.ms", "60000")];
        assert!(with(80, &both).is_ok() && with(79, &both).is_err_and(|(key, _)| key == "hold_max_s"));
        let newer = [("group.protocol", "consumer")];
        assert!(with(70, &newer).is_ok() && with(69, &newer).is_err(), "a broker's own session time-out");
        assert!(with(31, &[("group.protocol", "classic")]).is_ok());
    }

    #[test]
    fn a_time_out_that_is_none_is_refused() {
        let (key, why) = with(120, &[("session.timeout.ms", "6s")]).expect_err("no number");
        assert_eq!(
            (key, why.contains("\"6s\" must be a whole number of milliseconds")),
            ("kafka", true),
            "{why}"
        );
        for ms in ["14999", "900001"] {
            let (key, why) = with(9_999, &[("transaction.timeout.ms", ms)]).expect_err("out of bounds");
            assert_eq!((key, why.contains("must be 15000 to 900000")), ("kafka", true), "{why}");
        }
        let huge = u64::MAX.to_string();
        assert!(with(9_999, &[("session.timeout.ms", &huge)]).is_err());
    }
}
