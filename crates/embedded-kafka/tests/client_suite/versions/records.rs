//! Records in, records out, and what is kept of them.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, DescribeLogDirsRequest, DescribeProducersRequest, FetchRequest,
    InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
    ProducerId,
};

use crate::clients::batch::{ANYONE, batch};
use crate::clients::eventually;
use crate::clients::wire::topic_name;

use super::{World, discovery};

pub(super) fn produce(world: &mut World, version: i16) {
    let partition = PartitionProduceData::default().with_records(Some(batch(ANYONE, 2)));
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![
            TopicProduceData::default()
                .with_name(topic_name(&world.topic))
                .with_partition_data(vec![partition]),
        ]);
    let response = world.connection.call(version, &request);
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, 0);
    assert!(partition.base_offset >= 10);
}

pub(super) fn fetch(world: &mut World, version: i16) {
    let mut topic = FetchTopic::default().with_partitions(vec![
        FetchPartition::default()
            .with_fetch_offset(0)
            .with_partition_max_bytes(1_000_000),
    ]);
    if version >= 13 {
        topic.topic_id = discovery::describe_topic(world, 12).topics[0].topic_id;
    } else {
        topic.topic = topic_name(&world.topic);
    }
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(1_000)
        .with_min_bytes(1)
        .with_max_bytes(1_000_000)
        .with_session_epoch(-1)
        .with_topics(vec![topic.clone()]);
    let response = world.connection.call(version, &request);
    assert_eq!(response.error_code, 0);
    assert_eq!(response.responses[0].topic_id, topic.topic_id);
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    assert!(partition.high_watermark >= 10);
    assert!(
        partition
            .records
            .as_ref()
            .is_some_and(|records| records.len() > 61)
    );
    if version >= 13 {
        let mut unknown = request;
        unknown.topics[0].topic_id = Default::default();
        let response = world.connection.call(version, &unknown);
        let code = response.responses[0].partitions[0].error_code;
        assert_eq!(code, ResponseError::UnknownTopicId.code());
    }
}

pub(super) fn list_offsets(world: &mut World, version: i16) {
    // Latest, earliest, and from version 7 on that of the largest timestamp (KIP-734).
    for (time, minimum) in [(-1, 10), (-2, 0), (-3, 0)] {
        if time == -3 && version < 7 {
            continue;
        }
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![
                ListOffsetsTopic::default()
                    .with_name(topic_name(&world.topic))
                    .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(time)]),
            ]);
        let response = world.connection.call(version, &request);
        let partition = &response.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        assert!(partition.offset >= minimum, "{time}: {}", partition.offset);
    }
}

pub(super) fn delete_records(world: &mut World, version: i16) {
    let request = DeleteRecordsRequest::default()
        .with_timeout_ms(10_000)
        .with_topics(vec![
            DeleteRecordsTopic::default()
                .with_name(topic_name(&world.topic))
                .with_partitions(vec![DeleteRecordsPartition::default().with_offset(0)]),
        ]);
    let response = world.connection.call(version, &request);
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.low_watermark), (0, 0));
}

pub(super) fn init_producer(world: &mut World, version: i16) {
    let mut request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000);
    request.producer_id = ProducerId(-1);
    request.producer_epoch = -1;
    let id = eventually("the broker gives a producer id", || {
        let response = world.connection.call(version, &request);
        (response.error_code == 0).then_some(response.producer_id)
    });
    assert!(id.0 >= 0);
}

pub(super) fn offset_for_epoch(world: &mut World, version: i16) {
    let epoch = discovery::describe_topic(world, 9).topics[0].partitions[0].leader_epoch;
    let partition = OffsetForLeaderPartition::default()
        .with_current_leader_epoch(epoch)
        .with_leader_epoch(epoch);
    let mut request = OffsetForLeaderEpochRequest::default().with_topics(vec![
        OffsetForLeaderTopic::default()
            .with_topic(topic_name(&world.topic))
            .with_partitions(vec![partition]),
    ]);
    if version >= 3 {
        request.replica_id = BrokerId(-1);
    }
    let response = world.connection.call(version, &request);
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.leader_epoch), (0, epoch));
    assert!(partition.end_offset >= 10);
}

pub(super) fn log_dirs(world: &mut World, version: i16) {
    let topic = DescribableLogDirTopic::default()
        .with_topic(topic_name(&world.topic))
        .with_partitions(vec![0]);
    let request = DescribeLogDirsRequest::default().with_topics(Some(vec![topic]));
    let response = world.connection.call(version, &request);
    let directory = &response.results[0];
    assert_eq!(directory.error_code, 0);
    assert!(directory.topics[0].partitions[0].partition_size > 0);
}

pub(super) fn describe_producers(world: &mut World, version: i16) {
    let topic = TopicRequest::default()
        .with_name(topic_name(&world.topic))
        .with_partition_indexes(vec![0]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    let response = world.connection.call(version, &request);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}
