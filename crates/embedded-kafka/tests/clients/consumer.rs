//! A consumer that keeps a log of its rebalances.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, client::Client};

use super::entry::Received;
use super::{PATIENCE, eventually};

/// One step of a rebalance: partitions as (topic, partition).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Assigned(BTreeSet<(String, i32)>),
    Revoked(BTreeSet<(String, i32)>),
}

#[derive(Default)]
pub(crate) struct Changes(Mutex<Vec<Change>>);

impl ClientContext for Changes {}

impl ConsumerContext for Changes {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let change = match rebalance {
            Rebalance::Assign(partitions) => Change::Assigned(set(partitions)),
            Rebalance::Revoke(partitions) => Change::Revoked(set(partitions)),
            Rebalance::Error(_) => return,
        };
        self.0.lock().unwrap().push(change);
    }
}

fn set(partitions: &TopicPartitionList) -> BTreeSet<(String, i32)> {
    partitions
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect()
}

pub(crate) struct Consumer {
    inner: BaseConsumer<Changes>,
}

impl Consumer {
    pub(crate) fn new(inner: BaseConsumer<Changes>) -> Self {
        Self { inner }
    }

    /// Reads one partition from `offset` on, outside any group.
    pub(crate) fn start(&self, topic: &str, partition: i32, offset: Offset) {
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, partition, offset)
            .unwrap();
        self.inner.assign(&assignment).unwrap();
    }

    pub(crate) fn subscribe(&self, topics: &[&str]) {
        self.inner.subscribe(topics).unwrap();
    }

    /// The next record, error or nothing.
    pub(crate) fn poll(&self, timeout: Duration) -> Option<Result<Received, KafkaError>> {
        let polled = self.inner.poll(timeout)?;
        Some(polled.map(|message| Received::from(&message)))
    }

    /// The next record, if it comes within `timeout`. An error fails the test, except those that
    /// librdkafka reports while it reconnects or finds its coordinator.
    pub(crate) fn next(&self, timeout: Duration) -> Option<Received> {
        match self.poll(timeout)? {
            Ok(received) => Some(received),
            Err(error) if transient(&error) => None,
            Err(error) => panic!("the consumer failed: {error}"),
        }
    }

    /// Exactly `count` records.
    pub(crate) fn read(&self, count: usize) -> Vec<Received> {
        let mut received = Vec::with_capacity(count);
        eventually(&format!("{count} records have been read"), || {
            received.extend(self.next(Duration::from_millis(100)));
            (received.len() >= count).then_some(())
        });
        received
    }

    /// What this member has been assigned, as (topic, partition).
    pub(crate) fn assignment(&self) -> BTreeSet<(String, i32)> {
        set(&self.inner.assignment().unwrap())
    }

    /// The rebalances so far.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.inner.context().0.lock().unwrap().clone()
    }

    /// The offset that the group committed for a partition, if any.
    pub(crate) fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let committed = self.inner.committed_offsets(asked, PATIENCE).unwrap();
        match committed.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// Commits offsets of one partition with whatever the broker answers.
    pub(crate) fn commit(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(), KafkaError> {
        let mut positions = TopicPartitionList::new();
        positions
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        self.inner
            .commit(&positions, rdkafka::consumer::CommitMode::Sync)
    }

    pub(crate) fn inner(&self) -> &BaseConsumer<Changes> {
        &self.inner
    }

    /// First and next offset of a partition.
    pub(crate) fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let client: &Client<_> = self.inner.client();
        client.fetch_watermarks(topic, partition, PATIENCE).unwrap()
    }
}

fn transient(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve, UnknownTopicOrPartition,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            AllBrokersDown
                | BrokerTransportFailure
                | OperationTimedOut
                | Resolve
                | UnknownTopicOrPartition
        )
    )
}
