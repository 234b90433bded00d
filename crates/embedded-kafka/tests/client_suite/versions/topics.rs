//! Topics and their settings.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest,
};
use kafka_protocol::messages::{
    alter_configs_request as replacing, incremental_alter_configs_request as changing,
};

use crate::clients::cluster::unique;
use crate::clients::wire::{text, topic_name};

use super::World;

pub(super) fn create_topic(world: &mut World, version: i16) {
    // -1 leaves the choice to the broker, in every version (KIP-464).
    for (partitions, replication) in [(2, 1), (2, -1), (-1, 1)] {
        let name = topic_name(&unique("topic"));
        let topic = CreatableTopic::default()
            .with_name(name.clone())
            .with_num_partitions(partitions)
            .with_replication_factor(replication);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let response = world.connection.call(version, &request);
        let created = &response.topics[0];
        assert_eq!(created.error_code, 0, "{partitions} {replication}");
        assert_eq!(created.name, name);
        if version >= 5 {
            assert!(partitions < 0 || created.num_partitions == partitions);
            let configs = created.configs.as_ref();
            assert!(configs.is_some_and(|configs| !configs.is_empty()));
        }
        if version >= 7 {
            assert!(!created.topic_id.is_nil());
        }
    }
}

pub(super) fn delete_topic(world: &mut World, version: i16) {
    let name = topic_name(&world.cluster.topic(1, &[]));
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
    let request = if version >= 6 {
        request.with_topics(vec![
            DeleteTopicState::default().with_name(Some(name.clone())),
        ])
    } else {
        request.with_topic_names(vec![name.clone()])
    };
    let response = world.connection.call(version, &request);
    assert_eq!(response.responses[0].error_code, 0);
    assert_eq!(response.responses[0].name, Some(name));
}

pub(super) fn create_partitions(world: &mut World, version: i16) {
    let name = topic_name(&world.cluster.topic(1, &[]));
    let topic = CreatePartitionsTopic::default()
        .with_name(name)
        .with_count(3)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    assert_eq!(
        world.connection.call(version, &request).results[0].error_code,
        0
    );
}

pub(super) fn describe_configs(world: &mut World, version: i16) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(&world.topic))
        .with_configuration_keys(Some(vec![text("retention.ms")]));
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    let response = world.connection.call(version, &request);
    assert_eq!(response.results[0].error_code, 0);
    assert_eq!(
        response.results[0].configs.len(),
        1,
        "only the setting that was asked for"
    );
    assert_eq!(response.results[0].configs[0].name.as_str(), "retention.ms");
}

pub(super) fn replace_configs(world: &mut World, version: i16) {
    let setting = replacing::AlterableConfig::default()
        .with_name(text("max.message.bytes"))
        .with_value(Some(text("1000000")));
    let request = AlterConfigsRequest::default().with_resources(vec![
        replacing::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&world.topic))
            .with_configs(vec![setting]),
    ]);
    assert_eq!(
        world.connection.call(version, &request).responses[0].error_code,
        0
    );
}

pub(super) fn change_configs(world: &mut World, version: i16) {
    let setting = changing::AlterableConfig::default()
        .with_name(text("max.message.bytes"))
        .with_value(Some(text("1000000")));
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![
        changing::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&world.topic))
            .with_configs(vec![setting]),
    ]);
    assert_eq!(
        world.connection.call(version, &request).responses[0].error_code,
        0
    );
}

pub(super) fn reassignments(world: &mut World, version: i16) {
    let request = ListPartitionReassignmentsRequest::default().with_timeout_ms(10_000);
    let response = world.connection.call(version, &request.with_topics(None));
    assert_eq!((response.error_code, response.topics.len()), (0, 0));
}
