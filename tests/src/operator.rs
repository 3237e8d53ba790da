//! What an operator does to the topics of a real Kafka, on purpose or not.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::{Builder, Runtime};

/// A client with all rights.
pub struct Operator {
    admin: AdminClient<DefaultClientContext>,
    tokio: Runtime,
}

impl Operator {
    /// # Panics
    /// When there are no threads.
    #[must_use]
    pub fn new(brokers: &str) -> Self {
        let admin =
            ClientConfig::new().set("bootstrap.servers", brokers).create().expect("settings that exist");
        Self { admin, tokio: Builder::new_current_thread().enable_all().build().expect("a thread") }
    }

    fn options() -> AdminOptions {
        let time = Some(Duration::from_secs(30));
        AdminOptions::new().request_timeout(time).operation_timeout(time)
    }

    /// Deletes what lies before `offset`, as retention does.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn expire(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let done =
            self.tokio.block_on(self.admin.delete_records(&list, &Self::options())).expect("it answers");
        done.elements().iter().for_each(|of| of.error().expect("records are deleted"));
    }

    /// # Panics
    /// When the broker refuses.
    pub fn delete(&self, topic: &str) {
        let done =
            self.tokio.block_on(self.admin.delete_topics(&[topic], &Self::options())).expect("it answers");
        done.into_iter().for_each(|one| drop(one.expect("the topic is deleted")));
    }

    /// Gives a topic more partitions.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn grow(&self, topic: &str, partitions: usize) {
        let more = [NewPartitions::new(topic, partitions)];
        let done =
            self.tokio.block_on(self.admin.create_partitions(&more, &Self::options())).expect("it answers");
        done.into_iter().for_each(|one| drop(one.expect("the topic grows")));
    }
}
