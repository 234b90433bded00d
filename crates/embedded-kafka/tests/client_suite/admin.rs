//! Creating, growing, emptying and deleting topics.

use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use rdkafka::admin::{NewPartitions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::cluster::{Cluster, options, unique, verdict, wait};
use crate::clients::entry::{Entry, entries, numbered, offsets};
use crate::clients::wire::{Connection, topic_name};
use crate::clients::{PATIENCE, eventually};
use crate::cluster;

impl Cluster {
    pub(crate) fn delete(&self, topic: &str) -> Result<(), RDKafkaErrorCode> {
        verdict(&wait(self.admin().delete_topics(&[topic], &options())).unwrap()[0])
    }

    pub(crate) fn add_partitions(&self, topic: &str, total: usize) -> Result<(), RDKafkaErrorCode> {
        let partitions = NewPartitions::new(topic, total);
        verdict(&wait(self.admin().create_partitions([&partitions], &options())).unwrap()[0])
    }

    /// Deletes the records of partition 0 before `offset`; the new first offset.
    pub(crate) fn delete_records(
        &self,
        topic: &str,
        offset: Offset,
    ) -> Result<Offset, RDKafkaErrorCode> {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, 0, offset).unwrap();
        let deleted = wait(self.admin().delete_records(&before, &options())).unwrap();
        let element = &deleted.elements()[0];
        element
            .error()
            .map_err(|error| error.rdkafka_error_code().unwrap())?;
        Ok(element.offset())
    }
}

#[test]
fn a_created_topic_has_its_partitions_and_takes_records() {
    let cluster = cluster();
    for count in [1, 3, 100] {
        let topic = cluster.topic(count, &[]);
        let consumer = cluster.consumer(&unique("group"), &[]);
        let metadata = consumer
            .inner()
            .fetch_metadata(Some(&topic), PATIENCE)
            .unwrap();
        let mut ids: Vec<i32> = metadata.topics()[0]
            .partitions()
            .iter()
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..count).collect::<Vec<i32>>());
        let brokers: Vec<i32> = metadata
            .brokers()
            .iter()
            .map(rdkafka::metadata::MetadataBroker::id)
            .collect();
        for partition in metadata.topics()[0].partitions() {
            assert!(brokers.contains(&partition.leader()));
            assert_eq!(partition.replicas(), [partition.leader()]);
            assert_eq!(partition.isr(), [partition.leader()]);
        }
        cluster.producer(&[]).write(&topic, count - 1, &numbered(1));
    }
}

#[test]
fn a_topic_that_cannot_be_is_refused_with_the_reason() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let long = "x".repeat(250);
    for (name, partitions, settings, expected) in [
        (
            topic.as_str(),
            1,
            ("retention.ms", "1000"),
            RDKafkaErrorCode::TopicAlreadyExists,
        ),
        (
            "no spaces",
            1,
            ("retention.ms", "1000"),
            RDKafkaErrorCode::InvalidTopic,
        ),
        (
            "",
            1,
            ("retention.ms", "1000"),
            RDKafkaErrorCode::InvalidTopic,
        ),
        (
            ".",
            1,
            ("retention.ms", "1000"),
            RDKafkaErrorCode::InvalidTopic,
        ),
        (
            &long,
            1,
            ("retention.ms", "1000"),
            RDKafkaErrorCode::InvalidTopic,
        ),
        (
            &unique("t"),
            0,
            ("retention.ms", "1000"),
            RDKafkaErrorCode::InvalidPartitions,
        ),
        (
            &unique("t"),
            1,
            ("retention.ms", "soon"),
            RDKafkaErrorCode::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            ("no.such.setting", "1"),
            RDKafkaErrorCode::InvalidConfig,
        ),
        (
            &unique("t"),
            1,
            ("cleanup.policy", "burn"),
            RDKafkaErrorCode::InvalidConfig,
        ),
    ] {
        let refused = cluster.create(name, partitions, &[settings]);
        assert_eq!(refused, Err(expected), "{name:?} {partitions} {settings:?}");
    }
    let many_replicas = unique("t");
    let topic = NewTopic::new(&many_replicas, 1, TopicReplication::Fixed(3));
    let results = wait(cluster.admin().create_topics([&topic], &options())).unwrap();
    assert_eq!(
        verdict(&results[0]),
        Err(RDKafkaErrorCode::InvalidReplicationFactor)
    );
}

#[test]
fn each_topic_of_a_request_has_a_verdict_of_its_own() {
    let cluster = cluster();
    let (good, bad) = (unique("good"), "bad name");
    let topics = [&good, bad].map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1)));
    let results = wait(cluster.admin().create_topics(&topics, &options())).unwrap();
    assert_eq!(verdict(&results[0]), Ok(()));
    assert_eq!(verdict(&results[1]), Err(RDKafkaErrorCode::InvalidTopic));
    cluster.await_topic(&good, 1);
}

#[test]
fn validating_creates_nothing() {
    let cluster = cluster();
    let name = unique("topic");
    let topic = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    let results = wait(
        cluster
            .admin()
            .create_topics([&topic], &options().validate_only(true)),
    );
    assert_eq!(verdict(&results.unwrap()[0]), Ok(()));
    assert_eq!(
        Connection::open(cluster.bootstrap()).partitions(&name),
        None
    );
    assert_eq!(cluster.create(&name, 2, &[]), Ok(()));
}

#[test]
fn a_topic_is_created_by_the_first_record_sent_to_it() {
    let cluster = cluster();
    let topic = unique("automatic");
    let mut producer = cluster.producer(&[]);
    for entry in numbered(5) {
        producer.send(&topic, None, &entry);
    }
    assert!(producer.settle().iter().all(Result::is_ok));
    let partitions = Connection::open(cluster.bootstrap())
        .partitions(&topic)
        .unwrap();
    let count: usize = (0..partitions)
        .map(|partition| cluster.read_all(&topic, partition as i32).len())
        .sum();
    assert_eq!(count, 5);
}

#[test]
fn a_topic_is_created_by_a_consumer_only_if_it_allows_that() {
    let cluster = cluster();
    let (allowed, forbidden) = (unique("automatic"), unique("automatic"));
    let mut connection = Connection::open(cluster.bootstrap());
    let properties = [
        ("allow.auto.create.topics", "false"),
        ("topic.metadata.propagation.max.ms", "300"),
    ];
    let consumer = cluster.consumer(&unique("group"), &properties);
    consumer.start(&forbidden, 0, Offset::Beginning);
    let error = eventually("the consumer reports the unknown topic", || {
        consumer.poll(Duration::from_millis(50))?.err()
    });
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition)
    );
    assert_eq!(connection.partitions(&forbidden), None);

    let consumer = cluster.consumer(&unique("group"), &[("allow.auto.create.topics", "true")]);
    consumer.start(&allowed, 0, Offset::Beginning);
    eventually("the topic exists", || {
        consumer.next(Duration::from_millis(50));
        connection.partitions(&allowed)
    });
}

#[test]
fn an_invalid_name_is_not_created_automatically() {
    let request = MetadataRequest::default()
        .with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(topic_name("not a name"))),
        ]))
        .with_allow_auto_topic_creation(true);
    let response = Connection::open(cluster().bootstrap()).call(5, &request);
    let code = kafka_protocol::error::ResponseError::InvalidTopicException.code();
    assert_eq!(response.topics[0].error_code, code);
}

#[test]
fn partitions_can_be_added_and_leave_the_old_ones_as_they_were() {
    let cluster = cluster();
    let topic = cluster.topic(2, &[]);
    cluster.producer(&[]).write(&topic, 1, &numbered(5));
    assert_eq!(cluster.add_partitions(&topic, 5), Ok(()));
    cluster.await_topic(&topic, 5);
    cluster.producer(&[]).write(&topic, 4, &numbered(3));
    assert_eq!(cluster.read_all(&topic, 1).len(), 5);
    assert_eq!(cluster.read_all(&topic, 4).len(), 3);
    for fewer in [5, 4] {
        assert_eq!(
            cluster.add_partitions(&topic, fewer),
            Err(RDKafkaErrorCode::InvalidPartitions)
        );
    }
    assert_eq!(
        cluster.add_partitions(&unique("never"), 2),
        Err(RDKafkaErrorCode::UnknownTopicOrPartition)
    );
}

#[test]
fn a_deleted_topic_is_gone_and_a_new_one_of_its_name_is_empty() {
    let cluster = cluster();
    let topic = cluster.topic(3, &[]);
    cluster.producer(&[]).write(&topic, 0, &numbered(10));
    assert_eq!(cluster.delete(&topic), Ok(()));
    let mut connection = Connection::open(cluster.bootstrap());
    eventually("the topic is gone", || {
        connection.partitions(&topic).is_none().then_some(())
    });
    assert_eq!(
        cluster.delete(&topic),
        Err(RDKafkaErrorCode::UnknownTopicOrPartition)
    );

    eventually("the name is free", || cluster.create(&topic, 1, &[]).ok());
    cluster.await_topic(&topic, 1);
    assert_eq!(
        cluster.producer(&[]).write(&topic, 0, &[Entry::of("new")]),
        [0]
    );
    assert_eq!(entries(&cluster.read_all(&topic, 0)), [Entry::of("new")]);
}

#[test]
fn a_producer_and_a_consumer_survive_that_their_topic_is_made_anew() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[]);
    let refresh = [("topic.metadata.refresh.interval.ms", "200")];
    let consumer = cluster.consumer(&unique("group"), &refresh);
    producer.write(&topic, 0, &numbered(5));
    consumer.subscribe(&[&topic]);
    consumer.read(5);
    cluster.delete(&topic).unwrap();
    eventually("the name is free", || cluster.create(&topic, 1, &[]).ok());
    cluster.await_topic(&topic, 1);
    let received = eventually("the consumer reads the new topic", || {
        producer.send(&topic, Some(0), &Entry::of("again"));
        // While the client still holds the old topic's metadata, a record may be refused.
        let _outcome = producer.settle();
        consumer.next(Duration::from_millis(100))
    });
    assert_eq!(received.entry, Entry::of("again"));
}

#[test]
fn a_compacted_topic_is_accepted_and_keeps_the_newest_record_of_every_key() {
    let cluster = cluster();
    for policy in ["compact", "compact,delete"] {
        let topic = cluster.topic(1, &[("cleanup.policy", policy)]);
        let sent: Vec<Entry> = (0..30_u8).map(|n| Entry::of([n]).key([n % 3])).collect();
        cluster.producer(&[]).write(&topic, 0, &sent);
        let received = entries(&cluster.read_all(&topic, 0));
        for newest in &sent[27..] {
            assert!(received.contains(newest), "{policy}");
        }
    }
}

#[test]
fn deleting_records_moves_the_first_offset_and_nothing_else() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[("linger.ms", "100")]);
    producer.write(&topic, 0, &numbered(50));
    // Inside a batch, too.
    assert_eq!(
        cluster.delete_records(&topic, Offset::Offset(33)),
        Ok(Offset::Offset(33))
    );
    let consumer = cluster.consumer(&unique("group"), &[]);
    assert_eq!(consumer.watermarks(&topic, 0), (33, 50));
    consumer.start(&topic, 0, Offset::Beginning);
    assert_eq!(offsets(&consumer.read(17)), (33..50).collect::<Vec<i64>>());
    // Reading before the first offset resets.
    consumer.start(&topic, 0, Offset::Offset(3));
    assert_eq!(consumer.read(1)[0].offset, 33);

    // Going back deletes nothing.
    assert_eq!(
        cluster.delete_records(&topic, Offset::Offset(10)),
        Ok(Offset::Offset(33))
    );
    assert_eq!(
        cluster.delete_records(&topic, Offset::Offset(51)),
        Err(RDKafkaErrorCode::OffsetOutOfRange)
    );
    // The end stands for everything.
    assert_eq!(
        cluster.delete_records(&topic, Offset::End),
        Ok(Offset::Offset(50))
    );
    assert_eq!(consumer.watermarks(&topic, 0), (50, 50));
    assert_eq!(producer.write(&topic, 0, &numbered(1)), [50]);
}
