//! CreateTopics, DeleteTopics, CreatePartitions and ListPartitionReassignments.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::configs::{DEFAULT_CONFIG, TOPIC_CONFIG};
use crate::config::{KEYS, TopicConfig};
use crate::node::{Client, NODE_ID};
use crate::rejection::Rejection;
use crate::topics::Topic;

fn name_of(topic: &Topic) -> StrBytes {
    StrBytes::from_string(topic.name.to_string())
}

pub(super) fn create(client: &Client, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let names: Vec<StrBytes> = request
        .topics
        .iter()
        .map(|topic| topic.name.0.clone())
        .collect();
    let topics = request.topics.into_iter().map(|asked| {
        let result = CreatableTopicResult::default();
        let twice = names.iter().filter(|name| **name == asked.name.0).count() > 1;
        let created = if twice {
            Err(Rejection::new(
                ResponseError::InvalidRequest,
                "Create topics request must not contain multiple entries for the same topic",
            ))
        } else {
            create_one(client, &asked, request.validate_only)
        };
        let result = match created {
            Ok(topic) => describe(result, client, &topic),
            Err(rejection) => result
                .with_error_code(rejection.code())
                .with_error_message(rejection.text())
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        };
        result.with_name(asked.name)
    });
    CreateTopicsResponse::default().with_topics(topics.collect())
}

fn create_one(
    client: &Client,
    asked: &CreatableTopic,
    validate_only: bool,
) -> Result<Arc<Topic>, Rejection> {
    let node = &client.node;
    crate::topics::check_name(&asked.name.0)?;
    let partitions = if asked.assignments.is_empty() {
        check_replication(asked.replication_factor)?;
        match asked.num_partitions {
            -1 => node.options.partitions,
            partitions => partitions,
        }
    } else {
        if asked.num_partitions != -1 || asked.replication_factor != -1 {
            return Err(Rejection::new(
                ResponseError::InvalidRequest,
                "Both numPartitions or replicationFactor and replicasAssignments were set. Both \
                 cannot be used at the same time.",
            ));
        }
        check_assignments(asked)?
    };
    let configs = asked.configs.iter().map(|config| {
        let value = config.value.as_ref().map(|value| value.as_str().to_owned());
        (config.name.as_str().to_owned(), value)
    });
    let config = TopicConfig::new(configs, &node.options)?;
    let topic = node
        .topics
        .create(&asked.name.0, partitions, config, validate_only)?;
    if !validate_only {
        tracing::info!(topic = %topic.name, partitions, "topic created");
    }
    Ok(topic)
}

fn check_replication(factor: i16) -> Result<(), Rejection> {
    match factor {
        1 | -1 => Ok(()),
        factor if factor <= 0 => Err(Rejection::new(
            ResponseError::InvalidReplicationFactor,
            "Replication factor must be larger than 0.",
        )),
        factor => Err(Rejection::new(
            ResponseError::InvalidReplicationFactor,
            format!("Replication factor {factor} is larger than the one broker that there is."),
        )),
    }
}

/// Every partition must be assigned once, and to this broker.
fn check_assignments(asked: &CreatableTopic) -> Result<i32, Rejection> {
    let invalid = |why: &str| Rejection::new(ResponseError::InvalidReplicaAssignment, why);
    let mut indexes: Vec<i32> = asked
        .assignments
        .iter()
        .map(|a| a.partition_index)
        .collect();
    indexes.sort_unstable();
    if indexes
        .iter()
        .zip(0..)
        .any(|(index, expected)| *index != expected)
    {
        return Err(invalid("Partitions must be numbered from 0, without gaps."));
    }
    if asked.assignments.iter().any(|a| !is_here(&a.broker_ids)) {
        return Err(invalid(
            "Partitions can only be assigned to the one broker that there is.",
        ));
    }
    i32::try_from(indexes.len()).map_err(|_| invalid("Too many partitions."))
}

fn is_here(brokers: &[BrokerId]) -> bool {
    matches!(brokers, [BrokerId(NODE_ID)])
}

fn describe(result: CreatableTopicResult, client: &Client, topic: &Topic) -> CreatableTopicResult {
    let config = topic.config();
    let configs = KEYS.iter().map(|key| {
        let (value, own) = config.value(key, &client.node.options);
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(key.name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_config_source(if own { TOPIC_CONFIG } else { DEFAULT_CONFIG })
    });
    result
        .with_topic_id(topic.id)
        .with_num_partitions(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()))
}

pub(super) fn delete(
    client: &Client,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let asked: Vec<DeleteTopicState> = if version >= 6 {
        request.topics
    } else {
        let by_name = |name| DeleteTopicState::default().with_name(Some(name));
        request.topic_names.into_iter().map(by_name).collect()
    };
    let responses = asked.into_iter().map(|state| {
        let (topic, missing) = match &state.name {
            Some(name) => (
                client.node.topics.named(&name.0),
                ResponseError::UnknownTopicOrPartition,
            ),
            None => (
                client.node.topics.with_id(state.topic_id),
                ResponseError::UnknownTopicId,
            ),
        };
        let deleted = topic.and_then(|topic| client.node.topics.delete(&topic.name));
        let result = DeletableTopicResult::default();
        match deleted {
            Some(topic) => {
                tracing::info!(topic = %topic.name, "topic deleted");
                client.node.groups.forget_topic(&topic.name);
                result
                    .with_name(Some(name_of(&topic).into()))
                    .with_topic_id(topic.id)
            }
            None => result
                .with_name(state.name)
                .with_topic_id(state.topic_id)
                .with_error_code(missing.code()),
        }
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

pub(super) fn grow(client: &Client, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let grown = check_new(client, &topic).and_then(|()| {
            client
                .node
                .topics
                .grow(&topic.name.0, topic.count, request.validate_only)
        });
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        match grown {
            Ok(()) => result,
            Err(rejection) => result
                .with_error_code(rejection.code())
                .with_error_message(rejection.text()),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

/// Checks the assignments of partitions to come, if there are any.
fn check_new(client: &Client, asked: &CreatePartitionsTopic) -> Result<(), Rejection> {
    let Some(assignments) = &asked.assignments else {
        return Ok(());
    };
    let before = client
        .node
        .topics
        .named(&asked.name.0)
        .map_or(0, |t| t.partitions().len());
    let more = usize::try_from(asked.count)
        .unwrap_or(0)
        .saturating_sub(before);
    if assignments.len() == more && assignments.iter().all(|a| is_here(&a.broker_ids)) {
        Ok(())
    } else {
        Err(Rejection::new(
            ResponseError::InvalidReplicaAssignment,
            "Each new partition must be assigned to the one broker that there is.",
        ))
    }
}

/// With one broker, nothing is ever reassigned.
pub(super) fn reassignments(
    _: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
