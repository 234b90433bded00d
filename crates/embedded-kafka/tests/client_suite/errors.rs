//! Requests that a broker must refuse, and how.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, BrokerId, FetchRequest, ListOffsetsRequest,
    ProduceRequest,
};
use kafka_protocol::protocol::Decodable as _;
use rdkafka::error::RDKafkaErrorCode;

use crate::clients::batch::{ANYONE, batch};
use crate::clients::cluster::unique;
use crate::clients::entry::{Entry, numbered};
use crate::clients::wire::{Connection, topic_name};
use crate::cluster;

#[test]
fn a_record_for_a_partition_that_does_not_exist_is_refused() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[("topic.metadata.propagation.max.ms", "500")]);
    producer.send(&topic, Some(1), &numbered(1)[0]);
    assert_eq!(producer.settle(), [Err(RDKafkaErrorCode::UnknownPartition)]);

    let mut connection = Connection::open(cluster.bootstrap());
    let (error, _) = connection.produce(&unique("never"), &batch(ANYONE, 1));
    assert_eq!(error, ResponseError::UnknownTopicOrPartition.code());
}

#[test]
fn a_damaged_batch_is_refused_and_leaves_no_trace() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    let good = batch(ANYONE, 3);
    let corrupt = ResponseError::CorruptMessage.code();
    // A byte of the records, the checksum itself, the kind of timestamp in the attributes.
    for position in [good.len() - 3, 17, 22] {
        let mut damaged = good.to_vec();
        damaged[position] ^= 0b1000;
        let (error, _) = connection.produce(&topic, &Bytes::from(damaged));
        assert_eq!(error, corrupt, "damaged at {position}");
    }
    assert_eq!(connection.produce(&topic, &good), (0, 0));
}

fn fetch(connection: &mut Connection, topic: &str, partition: i32, offset: i64, epoch: i32) -> i16 {
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_max_bytes(1_000_000)
        .with_session_epoch(-1)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(topic_name(topic))
                .with_partitions(vec![
                    FetchPartition::default()
                        .with_partition(partition)
                        .with_fetch_offset(offset)
                        .with_current_leader_epoch(epoch)
                        .with_partition_max_bytes(1_000_000),
                ]),
        ]);
    connection.call(11, &request).responses[0].partitions[0].error_code
}

#[test]
fn a_fetch_says_what_is_wrong_with_it() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    cluster.producer(&[]).write(&topic, 0, &numbered(5));
    let mut connection = Connection::open(cluster.bootstrap());
    let out_of_range = ResponseError::OffsetOutOfRange.code();
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(fetch(&mut connection, &topic, 0, 0, -1), 0);
    assert_eq!(
        fetch(&mut connection, &topic, 0, 5, -1),
        0,
        "the end of the log is no error"
    );
    assert_eq!(fetch(&mut connection, &topic, 0, 6, -1), out_of_range);
    assert_eq!(fetch(&mut connection, &topic, 1, 0, -1), unknown);
    assert_eq!(fetch(&mut connection, &unique("never"), 0, 0, -1), unknown);
    let newer = ResponseError::UnknownLeaderEpoch.code();
    assert_eq!(fetch(&mut connection, &topic, 0, 0, i32::MAX), newer);
}

#[test]
fn offsets_of_a_partition_that_does_not_exist_are_unknown() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    for (topic, partition) in [(topic.as_str(), 7), (&unique("never"), 0)] {
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(topic_name(topic))
                    .with_partitions(vec![
                        ListOffsetsPartition::default()
                            .with_partition_index(partition)
                            .with_timestamp(-1),
                    ]),
            ]);
        let response = connection.call(5, &request);
        assert_eq!(
            response.topics[0].partitions[0].error_code,
            ResponseError::UnknownTopicOrPartition.code()
        );
    }
}

#[test]
fn a_version_of_api_versions_from_the_future_is_answered_with_those_there_are() {
    let mut connection = Connection::open(cluster().bootstrap());
    connection.send_request(ApiKey::ApiVersions as i16, 99, 2, &[1, 1, 0]);
    let mut frame = connection.receive_frame().expect("an answer");
    let _correlation = frame.split_to(4);
    let response = ApiVersionsResponse::decode(&mut frame, 0).unwrap();
    assert_eq!(
        response.error_code,
        ResponseError::UnsupportedVersion.code()
    );
    let api_versions = ApiKey::ApiVersions as i16;
    assert!(
        response
            .api_keys
            .iter()
            .any(|api| api.api_key == api_versions)
    );
    // The connection is still good.
    assert_eq!(
        connection
            .call(0, &ApiVersionsRequest::default())
            .error_code,
        0
    );
}

#[test]
fn a_client_that_hangs_up_is_hung_up_on() {
    let mut connection = Connection::open(cluster().bootstrap());
    assert_eq!(
        connection
            .call(0, &ApiVersionsRequest::default())
            .error_code,
        0
    );
    connection.finish();
    assert_eq!(connection.receive_frame(), None);
}

#[test]
fn acknowledgements_are_none_one_or_all() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut connection = Connection::open(cluster.bootstrap());
    let partition = PartitionProduceData::default().with_records(Some(batch(ANYONE, 1)));
    let request = ProduceRequest::default()
        .with_acks(5)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![
            TopicProduceData::default()
                .with_name(topic_name(&topic))
                .with_partition_data(vec![partition]),
        ]);
    let response = connection.call(7, &request);
    let error = response.responses[0].partition_responses[0].error_code;
    assert_eq!(error, ResponseError::InvalidRequiredAcks.code());
}

#[test]
fn a_compacted_topic_refuses_a_record_without_a_key() {
    let cluster = cluster();
    for codec in ["none", "lz4"] {
        let topic = cluster.topic(1, &[("cleanup.policy", "compact")]);
        let mut producer = cluster.producer(&[("compression.codec", codec)]);
        producer.send(&topic, Some(0), &Entry::of("x".repeat(1_000)));
        assert_eq!(
            producer.settle(),
            [Err(RDKafkaErrorCode::InvalidRecord)],
            "{codec}"
        );
        producer.write(&topic, 0, &[Entry::default().key("tombstone")]);
    }
}
