//! Consumers of the client library, each for one purpose.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset as RawOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::errors::{lift, unknown};
use super::{KafkaConfig, lock};
use crate::log::{ConsumerSpec, Isolation, LogError, Offset, TopicPartition};

/// A change of the assignment that the group asks for.
#[derive(Debug)]
pub(super) enum Change {
    Assign(Vec<TopicPartition>),
    Revoke {
        parts: Vec<TopicPartition>,
        /// They are another's already.
        lost: bool,
    },
}

/// What the client library calls back: it only takes note.
#[derive(Default)]
pub(super) struct Context {
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
}

/// What the client library says goes where everything else does. It names no secrets.
pub(super) fn say(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let error = matches!(
        level,
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
    );
    // What it calls an error (a broker that is gone for a moment) it mends itself.
    if error || matches!(level, RDKafkaLogLevel::Warning) {
        tracing::warn!(facility, "kafka client: {message}");
    } else {
        tracing::debug!(facility, "kafka client: {message}");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka client: {reason}");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            // Nobody will poll again: let go at once, or closing would wait for ever.
            let done = if assign { take(consumer, list) } else { give_up(consumer, list) };
            if let Err(error) = done {
                tracing::warn!(%error, "kafka client: partitions could not be given back");
            }
            return;
        }
        let parts = list
            .elements()
            .into_iter()
            .filter_map(|e| Some(TopicPartition::new(e.topic(), u32::try_from(e.partition()).ok()?)));
        let parts: Vec<_> = parts.collect();
        let lost = !assign && consumer.assignment_lost();
        let change = if assign { Change::Assign(parts) } else { Change::Revoke { parts, lost } };
        lock(&self.changes).push_back(change);
    }
}

/// Assigns, in the way of the group's protocol.
pub(super) fn take(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Eager => consumer.assign(list),
        RebalanceProtocol::Cooperative | RebalanceProtocol::None => consumer.incremental_assign(list),
    }
}

/// Unassigns, in the way of the group's protocol.
pub(super) fn give_up(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Eager => consumer.unassign(),
        RebalanceProtocol::Cooperative | RebalanceProtocol::None => consumer.incremental_unassign(list),
    }
}

/// A consumer of the client library.
pub(super) struct Client(BaseConsumer<Context>);

impl Deref for Client {
    type Target = BaseConsumer<Context>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.context().closing.store(true, Ordering::Release);
    }
}

impl Client {
    fn create(mut config: ClientConfig) -> Result<Self, LogError> {
        config.set_log_level(RDKafkaLogLevel::Info);
        let client = config.create_with_context(Context::default());
        client.map(Self).map_err(|e| lift(e, "cannot make a Kafka consumer"))
    }

    /// The next change of the assignment that was noted.
    pub(super) fn change(&self) -> Option<Change> {
        lock(&self.0.context().changes).pop_front()
    }

    /// Serves what has gathered (log lines) in a client that holds no partitions and that nobody polls.
    pub(super) fn drain(&self) {
        while self.0.poll(Duration::ZERO).is_some() {}
    }

    pub(super) fn reach(&self, timeout: Duration) -> KafkaResult<()> {
        self.0.fetch_metadata(None, timeout).map(drop)
    }

    pub(super) fn partitions(&self, topic: &str, timeout: Duration) -> KafkaResult<Option<u32>> {
        let metadata = match self.0.fetch_metadata(Some(topic), timeout) {
            Ok(metadata) => metadata,
            Err(error) if error.rdkafka_error_code().is_some_and(unknown) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(Into::into) {
            Some(code) if unknown(code) => Ok(None),
            Some(code) => Err(KafkaError::MetadataFetch(code)),
            None => Ok(u32::try_from(found.partitions().len()).ok().filter(|count| *count > 0)),
        }
    }

    /// Start and end of a partition, as this client's isolation sees the end.
    pub(super) fn watermarks(&self, at: &TopicPartition, timeout: Duration) -> KafkaResult<(Offset, Offset)> {
        self.0.fetch_watermarks(&at.topic, raw(at.partition), timeout)
    }

    /// What this client's group has committed, in the order asked.
    pub(super) fn committed(
        &self,
        at: &[TopicPartition],
        timeout: Duration,
    ) -> KafkaResult<Vec<Option<Offset>>> {
        if at.is_empty() {
            return Ok(vec![]);
        }
        let mut list = TopicPartitionList::with_capacity(at.len());
        for at in at {
            list.add_partition(&at.topic, raw(at.partition));
        }
        let found = self.0.committed_offsets(list, timeout)?;
        at.iter()
            .map(|at| {
                let Some(element) = found.find_partition(&at.topic, raw(at.partition)) else {
                    return Ok(None);
                };
                element.error()?;
                Ok(match element.offset() {
                    RawOffset::Offset(offset) => Some(offset),
                    RawOffset::Beginning
                    | RawOffset::End
                    | RawOffset::Stored
                    | RawOffset::Invalid
                    | RawOffset::OffsetTail(_) => None,
                })
            })
            .collect()
    }
}

/// A partition's number as the client library has it.
pub(super) fn raw(partition: u32) -> i32 {
    i32::try_from(partition).expect("partitions are numbered below 2^31")
}

/// What every client has in common. The operator's settings come in between: they win over what can be chosen, and
/// not over what is set after them.
pub(super) fn common(config: &KafkaConfig, role: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers);
    client.set("client.id", format!("{}-{role}", config.client_id));
    client.set("broker.address.ttl", "1000");
    // How long partitions that a topic gains stay unknown.
    client.set("topic.metadata.refresh.interval.ms", "30000");
    client.set("reconnect.backoff.max.ms", "2000");
    client.set("socket.keepalive.enable", "true");
    client
}

pub(super) fn with_settings(mut client: ClientConfig, config: &KafkaConfig) -> ClientConfig {
    for (name, value) in &config.settings {
        client.set(name, value);
    }
    client
}

fn consumer(config: &KafkaConfig, role: &str, isolation: Isolation) -> ClientConfig {
    let mut client = common(config, role);
    // The default of 1000 starves a reader that is the slow side; a small queue keeps what is read fresh.
    client.set("fetch.queue.backoff.ms", "10");
    client.set("queued.max.messages.kbytes", "16384");
    client.set("queued.min.messages", "20000");
    client.set("fetch.wait.max.ms", "50");
    let mut client = with_settings(client, config);
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("enable.partition.eof", "true");
    client.set("allow.auto.create.topics", "false");
    // An offset that is gone is a gap to report, never a silent jump.
    client.set("auto.offset.reset", "error");
    client.set(
        "isolation.level",
        match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        },
    );
    client
}

/// A client that only asks where partitions begin and end.
pub(super) fn viewer(config: &KafkaConfig, isolation: Isolation) -> Result<Client, LogError> {
    Client::create(consumer(config, "ends", isolation))
}

/// A client for range reads: asks again at once at the end of what there is, since that ends the read.
pub(super) fn ranger(config: &KafkaConfig, isolation: Isolation) -> Result<Client, LogError> {
    let mut client = consumer(config, "range", isolation);
    client.set("fetch.wait.max.ms", "5");
    // From the leader: where a follower ends may be short of where the leader says that the partition does.
    client.set("client.rack", "");
    // Never joined, yet the client library wants a group's name for any assignment.
    client.set("group.id", format!("{}-range", config.client_id));
    Client::create(client)
}

/// A client for partitions assigned by hand, or for the offsets of a group. It names the group and never joins it.
pub(super) fn reader(config: &KafkaConfig, isolation: Isolation, group: &str) -> Result<Client, LogError> {
    let mut client = consumer(config, "reader", isolation);
    client.set("group.id", group);
    Client::create(client)
}

/// A client that joins the group of `spec`.
pub(super) fn member(config: &KafkaConfig, spec: &ConsumerSpec) -> Result<Client, LogError> {
    let mut joined = config.clone();
    if !spec.client_id.is_empty() {
        joined.client_id.clone_from(&spec.client_id);
    }
    let mut ours = vec![("max.poll.interval.ms", config.max_poll.as_millis().to_string())];
    // In the newer protocol the broker decides these, and the client refuses them.
    if config.settings.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
        ours.push(("session.timeout.ms", config.session_timeout.as_millis().to_string()));
        ours.push(("heartbeat.interval.ms", config.heartbeat.as_millis().to_string()));
        // Seen by the group's other members: who overrides it does so for all of them.
        ours.push(("partition.assignment.strategy", strategy(spec).to_owned()));
    }
    for (name, value) in ours {
        joined.settings.entry(name.to_owned()).or_insert(value);
    }
    let mut client = consumer(&joined, "member", Isolation::Committed);
    client.set("group.id", &*spec.group);
    Client::create(client)
}

/// One lead topic: cooperative, so that only what moves stops. Several leads are several members of the group, each
/// with a subscription of its own; for such groups the range assignor is simple and even, the sticky one is neither.
fn strategy(spec: &ConsumerSpec) -> &'static str {
    if spec.lead.len() == 1 { "cooperative-sticky" } else { "range" }
}
