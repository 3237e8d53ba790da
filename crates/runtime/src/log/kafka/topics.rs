//! Topics of a Kafka cluster: made and checked.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::KafkaLog;
use super::clients::{common, raw, with_settings};
use super::errors::lift;
use crate::log::clock::Deadline;
use crate::log::{Log, LogError, TopicSpec};

/// The client library's own bound on what it sends at once (`batch.size`).
const BATCH_BYTES: u64 = 1_000_000;
const STEP: Duration = Duration::from_millis(50);

pub(super) fn ensure(log: &KafkaLog, specs: &[TopicSpec], create: bool) -> Result<(), LogError> {
    let client = with_settings(common(log.config(), "admin"), log.config());
    let admin: AdminClient<DefaultClientContext> =
        client.create().map_err(|e| lift(e, "cannot make a Kafka admin client"))?;
    let mut missing = vec![];
    for spec in specs {
        if log.partitions(&spec.name)?.is_none() {
            missing.push(spec);
        }
    }
    if let Some(spec) = missing.first().filter(|_| !create) {
        return Err(LogError::not_found(format_args!("topic {}", spec.name)));
    }
    make(log, &admin, &missing)?;
    specs.iter().try_for_each(|spec| check(log, &admin, spec))
}

fn make(
    log: &KafkaLog,
    admin: &AdminClient<DefaultClientContext>,
    specs: &[&TopicSpec],
) -> Result<(), LogError> {
    if specs.is_empty() {
        return Ok(());
    }
    let config: Vec<Vec<(String, String)>> = specs.iter().map(|spec| settings(spec)).collect();
    let replication = log.config().replication.map_or(-1, i32::from);
    let topics = specs.iter().zip(&config).map(|(spec, config)| {
        let topic = NewTopic::new(&spec.name, raw(spec.partitions), TopicReplication::Fixed(replication));
        config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
    });
    let topics: Vec<_> = topics.collect();
    let made =
        wait(admin.create_topics(&topics, &options(log))).map_err(|e| lift(e, "cannot create topics"))?;
    for outcome in made {
        match outcome {
            // Someone else was faster: it is checked like one that was there.
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => (),
            Err((name, code)) => {
                return Err(lift(KafkaError::Global(code), &format!("cannot create topic {name}")));
            }
        }
    }
    let deadline = Deadline::after(3 * log.config().timeout);
    for spec in specs {
        // Known to the brokers only a moment later.
        while log.partitions(&spec.name)?.is_none() {
            if deadline.over() {
                return Err(LogError::retriable(format!(
                    "topic {} was created and is not there yet",
                    spec.name
                )));
            }
            std::thread::sleep(STEP);
        }
    }
    Ok(())
}

fn options(log: &KafkaLog) -> AdminOptions {
    let timeout = log.config().timeout;
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

/// A spec as Kafka's settings; what is named twice counts as named last.
fn settings(spec: &TopicSpec) -> Vec<(String, String)> {
    let mut all = vec![("cleanup.policy".to_owned(), spec.cleanup.policy().to_owned())];
    all.extend(spec.cleanup.retention_ms().map(|ms| ("retention.ms".to_owned(), ms.to_string())));
    all.extend(spec.config.iter().map(|(name, value)| (name.to_string(), value.clone())));
    all
}

fn check(
    log: &KafkaLog,
    admin: &AdminClient<DefaultClientContext>,
    spec: &TopicSpec,
) -> Result<(), LogError> {
    let differs = |setting, found: String, wanted: String| {
        Err(LogError::Topic { topic: Arc::clone(&spec.name), setting, found, wanted })
    };
    let count = log.partitions(&spec.name)?;
    let count = count.ok_or_else(|| LogError::not_found(format_args!("topic {}", spec.name)))?;
    if count != spec.partitions {
        return differs("partitions", count.to_string(), spec.partitions.to_string());
    }
    let found = describe(log, admin, &spec.name)?;
    let value = |name: &str| found.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let policy = value("cleanup.policy");
    if words(&policy) != words(spec.cleanup.policy()) {
        return differs("cleanup.policy", policy, spec.cleanup.policy().into());
    }
    let least = record_bytes_least(log, spec);
    // An answer without it is no reason to stay away.
    if let Ok(found) = value("max.message.bytes").parse::<u64>()
        && found < least
    {
        return differs("max.message.bytes", found.to_string(), format!("{least} or more"));
    }
    for (name, wanted) in settings(spec).into_iter().filter(|(name, _)| name != "cleanup.policy") {
        let found = value(&name);
        if found != wanted {
            tracing::warn!(
                topic = &*spec.name,
                name,
                found,
                wanted,
                "topic setting differs; it is left as it is"
            );
        }
    }
    Ok(())
}

/// What the limit of a topic must be. It holds for what the client sends at once, which may be many small records; the
/// client never takes one apart that was refused.
fn record_bytes_least(log: &KafkaLog, spec: &TopicSpec) -> u64 {
    let batch = log.config().settings.get("batch.size").and_then(|bytes| bytes.parse().ok());
    match spec.record_bytes {
        0 => 0,
        bytes => bytes.max(batch.unwrap_or(BATCH_BYTES)),
    }
}

fn words(policy: &str) -> BTreeSet<&str> {
    policy.split(',').map(str::trim).collect()
}

fn describe(
    log: &KafkaLog,
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
) -> Result<ConfigResource, LogError> {
    let cannot = format!("cannot ask for the settings of topic {topic}");
    let deadline = Deadline::after(log.config().timeout);
    loop {
        let asked = wait(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options(log)));
        let found = asked.map_err(|e| lift(e, &cannot))?.pop();
        match found.unwrap_or(Err(Code::UnknownTopicOrPartition)) {
            Ok(found) => return Ok(found),
            // A topic made just now is not known to every broker yet.
            Err(Code::UnknownTopicOrPartition) if !deadline.over() => std::thread::sleep(STEP),
            Err(code) => return Err(lift(KafkaError::Global(code), &cannot)),
        }
    }
}

/// Waits for an answer of the admin client, whose own thread brings it.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
