//! OffsetCommit, OffsetFetch and OffsetDelete.

use std::time::Instant;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::groups::text;
use crate::group::{Committed, Group};
use crate::node::Client;

/// Bytes of metadata beside a committed offset, as in Apache Kafka.
const MOST_METADATA: usize = 4096;

pub(super) fn commit(client: &Client, request: &OffsetCommitRequest) -> OffsetCommitResponse {
    let groups = &client.node.groups;
    let id = request.group_id.0.as_str();
    let generation = request.generation_id_or_member_epoch;
    let instance = request.group_instance_id.as_deref();
    let commit = |group: &mut Group| {
        group.may_commit(&request.member_id, instance, generation, Instant::now())?;
        Ok(request
            .topics
            .iter()
            .map(|topic| {
                let results = topic
                    .partitions
                    .iter()
                    .map(|p| (p.partition_index, commit_one(client, group, &topic.name, p)));
                (topic.name.clone(), results.collect::<Vec<_>>())
            })
            .collect::<Vec<_>>())
    };
    let result = if id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else if generation < 0 {
        groups.with(id, commit).and_then(|result| result)
    } else {
        match groups.find(id) {
            Some(group) => commit(&mut group.lock()),
            None => Err(ResponseError::IllegalGeneration),
        }
    };
    let results = result.unwrap_or_else(|error| {
        let all = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            (
                topic.name.clone(),
                partitions
                    .map(|p| (p.partition_index, error.code()))
                    .collect(),
            )
        });
        all.collect()
    });
    let topics = results.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, code)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code)
        });
        OffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn commit_one(
    client: &Client,
    group: &mut Group,
    name: &TopicName,
    partition: &OffsetCommitRequestPartition,
) -> i16 {
    let index = partition.partition_index;
    let topic = client
        .node
        .topics
        .named(&name.0)
        .filter(|t| t.partition(index).is_some());
    let Some(topic) = topic else {
        return ResponseError::UnknownTopicOrPartition.code();
    };
    let metadata = partition
        .committed_metadata
        .as_ref()
        .map_or("", |metadata| metadata.as_str());
    if metadata.len() > MOST_METADATA {
        return ResponseError::OffsetMetadataTooLarge.code();
    }
    let committed = Committed {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_owned(),
    };
    group.offsets.commit(&topic.name, index, committed);
    0
}

/// A partition's committed offset as it is answered: offset, leader epoch and metadata.
type Position = (i32, i64, i32, StrBytes);

fn position(index: i32, committed: Option<&Committed>) -> Position {
    match committed {
        Some(c) => (index, c.offset, c.leader_epoch, text(&c.metadata)),
        None => (index, -1, -1, StrBytes::default()),
    }
}

/// What a group has committed: for the partitions asked for, or else for all.
fn positions(
    client: &Client,
    id: &str,
    asked: Option<Vec<(TopicName, Vec<i32>)>>,
) -> Vec<(TopicName, Vec<Position>)> {
    let group = client.node.groups.find(id);
    let group = group.as_ref().map(|group| group.lock());
    match asked {
        Some(topics) => topics
            .into_iter()
            .map(|(name, indexes)| {
                let of = |index: i32| {
                    let committed = group.as_ref().and_then(|g| g.offsets.get(&name.0, index));
                    position(index, committed)
                };
                let positions = indexes.into_iter().map(of).collect();
                (name, positions)
            })
            .collect(),
        None => group.map_or_else(Vec::new, |group| {
            let topics = group.offsets.iter().map(|(name, partitions)| {
                let positions = partitions.map(|(index, c)| position(index, Some(c)));
                (TopicName(text(name)), positions.collect())
            });
            topics.collect()
        }),
    }
}

pub(super) fn committed(
    client: &Client,
    request: OffsetFetchRequest,
    version: i16,
) -> OffsetFetchResponse {
    if version >= 8 {
        return committed_by_group(client, request);
    }
    let asked = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|t| (t.name, t.partition_indexes))
            .collect()
    });
    let topics = positions(client, &request.group_id.0, asked)
        .into_iter()
        .map(|(name, found)| {
            let partitions = found.into_iter().map(|(index, offset, epoch, metadata)| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(index)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(epoch)
                    .with_metadata(Some(metadata))
            });
            OffsetFetchResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.collect())
        });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn committed_by_group(client: &Client, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let groups = request.groups.into_iter().map(|group| {
        let asked = group.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| (t.name, t.partition_indexes))
                .collect()
        });
        let topics =
            positions(client, &group.group_id.0, asked)
                .into_iter()
                .map(|(name, found)| {
                    let partitions = found.into_iter().map(|(index, offset, epoch, metadata)| {
                        OffsetFetchResponsePartitions::default()
                            .with_partition_index(index)
                            .with_committed_offset(offset)
                            .with_committed_leader_epoch(epoch)
                            .with_metadata(Some(metadata))
                    });
                    OffsetFetchResponseTopics::default()
                        .with_name(name)
                        .with_partitions(partitions.collect())
                });
        OffsetFetchResponseGroup::default()
            .with_topics(topics.collect())
            .with_group_id(group.group_id)
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

pub(super) fn delete(client: &Client, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let response = OffsetDeleteResponse::default();
    let Some(group) = client.node.groups.find(&request.group_id.0) else {
        return response.with_error_code(ResponseError::GroupIdNotFound.code());
    };
    let mut group = group.lock();
    let consumers = group.protocol_type.as_deref() == Some("consumer");
    if !group.is_unused() && !consumers {
        return response.with_error_code(ResponseError::NonEmptyGroup.code());
    }
    let topics = request.topics.into_iter().map(|topic| {
        let subscribed = group.subscribes(&topic.name.0);
        let partitions = topic.partitions.into_iter().map(|partition| {
            let index = partition.partition_index;
            let code = if client.node.topics.partition(&topic.name.0, index).is_none() {
                ResponseError::UnknownTopicOrPartition.code()
            } else if subscribed {
                ResponseError::GroupSubscribedToTopic.code()
            } else {
                group.offsets.remove(&topic.name.0, index);
                0
            };
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code)
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    let topics = topics.collect();
    response.with_topics(topics)
}
