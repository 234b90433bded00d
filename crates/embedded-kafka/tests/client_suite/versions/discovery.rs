//! The broker, its versions, and who leads what.

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest,
    MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::clients::wire::{text, topic_name};

use super::World;

pub(super) fn client_named() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("client-suite"))
        .with_client_software_version(StrBytes::from_static_str("1"))
}

pub(super) fn api_versions(world: &mut World, version: i16) {
    let request = if version < 3 {
        ApiVersionsRequest::default()
    } else {
        client_named()
    };
    let response = world.connection.call(version, &request);
    assert_eq!(response.error_code, 0);
    assert!(response.api_keys.len() > 10);
}

/// The metadata of the world's topic.
pub(super) fn describe_topic(world: &mut World, version: i16) -> MetadataResponse {
    let topics = vec![MetadataRequestTopic::default().with_name(Some(topic_name(&world.topic)))];
    let request = MetadataRequest::default()
        .with_topics(Some(topics))
        .with_allow_auto_topic_creation(version >= 4);
    // Before version 4 a client could not choose.
    let request = if version < 4 {
        request.with_allow_auto_topic_creation(true)
    } else {
        request
    };
    world.connection.call(version, &request)
}

pub(super) fn metadata(world: &mut World, version: i16) {
    let response = describe_topic(world, version);
    assert_eq!(response.brokers.len(), 1);
    assert_eq!(response.topics.len(), 1);
    let topic = &response.topics[0];
    assert_eq!(topic.error_code, 0);
    assert_eq!(topic.name, Some(topic_name(&world.topic)));
    assert_eq!(topic.partitions.len(), 1);
    assert_eq!(topic.partitions[0].leader_id, response.brokers[0].node_id);
    if version >= 10 {
        assert!(!topic.topic_id.is_nil());
    }
}

pub(super) fn coordinator(world: &mut World, version: i16) {
    let group = text(&world.group);
    let port = if version >= 4 {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![group.clone()]);
        let response = world.connection.call(version, &request);
        assert_eq!(response.coordinators[0].error_code, 0);
        assert_eq!(response.coordinators[0].key, group);
        response.coordinators[0].port
    } else {
        let request = FindCoordinatorRequest::default().with_key(group);
        let response = world.connection.call(version, &request);
        assert_eq!(response.error_code, 0);
        response.port
    };
    assert!(world.cluster.bootstrap().ends_with(&port.to_string()));
}

pub(super) fn describe_cluster(world: &mut World, version: i16) {
    let response = world
        .connection
        .call(version, &DescribeClusterRequest::default());
    assert_eq!((response.error_code, response.brokers.len()), (0, 1));
    assert!(!response.cluster_id.is_empty());
}
