//! ListOffsets and OffsetForLeaderEpoch.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::fetch::check_epoch;
use crate::log::Log;
use crate::node::Client;
use crate::partition::Partition;

/// Timestamps with a meaning of their own.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;

/// The first version that tells leader epochs.
const EPOCH_SINCE: i16 = 4;

pub(super) fn list(
    client: &Client,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|ask| {
            let index = ask.partition_index;
            let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
            let found = match client.node.topics.partition(&topic.name.0, index) {
                Some(partition) => look_up(&partition, ask),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            match found {
                Ok((timestamp, offset, epoch)) => response
                    .with_timestamp(timestamp)
                    .with_offset(offset)
                    .with_leader_epoch(if version >= EPOCH_SINCE { epoch } else { -1 }),
                Err(error) => response
                    .with_error_code(error.code())
                    .with_timestamp(-1)
                    .with_offset(-1),
            }
        });
        ListOffsetsTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn look_up(
    partition: &Partition,
    ask: &ListOffsetsPartition,
) -> Result<(i64, i64, i32), ResponseError> {
    let (start, end, epoch) = {
        let log = partition.log();
        (log.start(), log.end(), log.leader_epoch())
    };
    if let Some(error) = check_epoch(ask.current_leader_epoch, epoch) {
        return Err(error);
    }
    let found = match ask.timestamp {
        LATEST => return Ok((-1, end, epoch)),
        EARLIEST | EARLIEST_LOCAL => return Ok((-1, start, epoch)),
        MAX_TIMESTAMP => partition.latest(),
        timestamp if timestamp >= 0 => partition.find(timestamp),
        _ => return Err(ResponseError::UnsupportedVersion),
    };
    Ok(found.map_or((-1, -1, -1), |found| (found.timestamp, found.offset, epoch)))
}

pub(super) fn for_leader_epoch(
    client: &Client,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|ask| {
            let end = EpochEndOffset::default().with_partition(ask.partition);
            let found = match client.node.topics.partition(&topic.topic.0, ask.partition) {
                Some(partition) => end_of_epoch(&partition.log(), ask),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            match found {
                Ok((epoch, offset)) => end.with_leader_epoch(epoch).with_end_offset(offset),
                Err(error) => end.with_error_code(error.code()),
            }
        });
        OffsetForLeaderTopicResult::default()
            .with_partitions(partitions.collect())
            .with_topic(topic.topic)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

/// Where the records of an epoch end.
///
/// The log has one epoch. An older one was another broker's, whose records are gone: it ends where
/// this log starts, so a consumer that was further returns there and misses nothing. This is what
/// Apache Kafka says of an epoch older than all that it knows.
fn end_of_epoch(log: &Log, ask: &OffsetForLeaderPartition) -> Result<(i32, i64), ResponseError> {
    if let Some(error) = check_epoch(ask.current_leader_epoch, log.leader_epoch()) {
        return Err(error);
    }
    Ok(match ask.leader_epoch {
        epoch if epoch == log.leader_epoch() => (epoch, log.end()),
        epoch if epoch >= 0 && epoch < log.leader_epoch() => (epoch, log.start()),
        _ => (-1, -1),
    })
}
