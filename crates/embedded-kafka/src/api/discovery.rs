//! ApiVersions, Metadata, DescribeCluster and FindCoordinator: what there is, and where.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, DescribeClusterRequest, DescribeClusterResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::SERVED;
use crate::node::{CLUSTER_ID, Client, NODE_ID};
use crate::rejection::Rejection;
use crate::topics::{Topic, check_name};

/// Operations that a client may do; without access control the field is left unset.
const UNSET: i32 = i32::MIN;

/// What is served. Produce is announced from version 0, as Apache Kafka 4 does: librdkafka
/// compresses only if it is; versions below 3 are answered with an error all the same.
pub(super) fn versions(error: i16) -> ApiVersionsResponse {
    let keys = SERVED.iter().map(|(key, min, max)| {
        let min = if *key == ApiKey::Produce { 0 } else { *min };
        ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(min)
            .with_max_version(*max)
    });
    ApiVersionsResponse::default()
        .with_error_code(error)
        .with_api_keys(keys.collect())
}

pub(super) fn metadata(
    client: &Client,
    request: MetadataRequest,
    version: i16,
) -> MetadataResponse {
    // An absent list asks for all topics, and so does an empty one in version 0.
    let all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && version == 0,
    };
    let may_create = client.node.options.auto_create_topics
        && (version < 4 || request.allow_auto_topic_creation);
    let topics = if all {
        client
            .node
            .topics
            .all()
            .iter()
            .map(|topic| describe(client, topic))
            .collect()
    } else {
        let asked = request.topics.unwrap_or_default();
        asked
            .into_iter()
            .map(|asked| one(client, asked, may_create))
            .collect()
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE_ID.into())
        .with_host(client.endpoint.host.clone())
        .with_port(client.endpoint.port);
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(StrBytes::from_static_str(CLUSTER_ID)))
        .with_controller_id(NODE_ID.into())
        .with_topics(topics)
        .with_cluster_authorized_operations(UNSET)
}

fn one(client: &Client, asked: MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    let unknown = MetadataResponseTopic::default().with_topic_authorized_operations(UNSET);
    let Some(name) = asked.name else {
        return match client.node.topics.with_id(asked.topic_id) {
            Some(topic) => describe(client, &topic),
            None => unknown
                .with_topic_id(asked.topic_id)
                .with_error_code(ResponseError::UnknownTopicId.code()),
        };
    };
    if let Some(topic) = client.node.topics.named(&name.0) {
        return describe(client, &topic);
    }
    let created = match check_name(&name.0) {
        Err(rejection) => Err(rejection),
        Ok(()) if may_create => client.node.auto_create(&name.0),
        Ok(()) => Err(Rejection::from(ResponseError::UnknownTopicOrPartition)),
    };
    match created.or_else(|rejection| {
        // Somebody else may have created it just now.
        client.node.topics.named(&name.0).ok_or(rejection)
    }) {
        Ok(topic) => describe(client, &topic),
        Err(rejection) => unknown
            .with_name(Some(name))
            .with_error_code(rejection.code()),
    }
}

fn describe(client: &Client, topic: &Topic) -> MetadataResponseTopic {
    let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
    let partitions = (0..count).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID.into())
            .with_leader_epoch(client.node.leader_epoch)
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()])
    });
    MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.to_string()).into()))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(UNSET)
}

pub(super) fn cluster(
    client: &Client,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type)
        .with_cluster_authorized_operations(UNSET);
    // Endpoint type 1 is brokers; 2, controllers, is for controllers to answer (KIP-919).
    if request.endpoint_type != 1 {
        let error = ResponseError::MismatchedEndpointType;
        return response.with_error_code(error.code());
    }
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE_ID.into())
        .with_host(client.endpoint.host.clone())
        .with_port(client.endpoint.port);
    response
        .with_cluster_id(StrBytes::from_static_str(CLUSTER_ID))
        .with_controller_id(NODE_ID.into())
        .with_brokers(vec![broker])
}

pub(super) fn coordinator(
    client: &Client,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let refusal = match request.key_type {
        0 => None,
        // Clients ask again until they time out where a coordinator is not available; on this
        // error they give up.
        1 => Some((
            "transactions are not supported",
            ResponseError::TransactionalIdAuthorizationFailed,
        )),
        _ => Some(("no such coordinator type", ResponseError::InvalidRequest)),
    };
    let (message, error) = match refusal {
        Some((message, error)) => (Some(StrBytes::from_static_str(message)), error.code()),
        None => (None, 0),
    };
    let (node, host, port) = if refusal.is_none() {
        (NODE_ID, client.endpoint.host.clone(), client.endpoint.port)
    } else {
        (-1, StrBytes::default(), -1)
    };
    let response = FindCoordinatorResponse::default();
    if version < 4 {
        return response
            .with_error_code(error)
            .with_error_message(message)
            .with_node_id(node.into())
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(node.into())
            .with_host(host.clone())
            .with_port(port)
            .with_error_code(error)
            .with_error_message(message.clone())
    });
    response.with_coordinators(coordinators.collect())
}
