//! Describing and altering settings.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    alter_configs_request,
};
use rdkafka::admin::{AlterConfig, ConfigEntry, ConfigSource, ResourceSpecifier};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use crate::clients::cluster::{Cluster, options, unique, wait};
use crate::clients::entry::Entry;
use crate::clients::wire::{Connection, text};
use crate::clients::{PATIENCE, eventually};
use crate::cluster;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
/// `ConfigResource.Type` of a topic.
const TOPIC: i8 = 2;

fn describe(cluster: &Cluster, resource: ResourceSpecifier<'_>) -> BTreeMap<String, ConfigEntry> {
    let described = wait(cluster.admin().describe_configs([&resource], &options())).unwrap();
    let resource = described.into_iter().next().unwrap().unwrap();
    resource
        .entries
        .into_iter()
        .map(|entry| (entry.name.clone(), entry))
        .collect()
}

/// The value of a topic's setting and whether the topic itself sets it.
fn setting(cluster: &Cluster, topic: &str, name: &str) -> (Option<String>, bool) {
    let entries = describe(cluster, ResourceSpecifier::Topic(topic));
    let entry = &entries[name];
    (
        entry.value.clone(),
        entry.source == ConfigSource::DynamicTopic,
    )
}

fn set_to(value: &str) -> (Option<String>, bool) {
    (Some(value.to_owned()), true)
}

/// Waits until a setting is as expected: an alteration may reach the broker after its answer.
fn await_setting(cluster: &Cluster, topic: &str, name: &str, expected: &(Option<String>, bool)) {
    eventually(&format!("{name} of {topic} is {expected:?}"), || {
        (setting(cluster, topic, name) == *expected).then_some(())
    });
}

/// Changes one setting of a topic; the error code.
fn change(cluster: &Cluster, topic: &str, operation: i8, name: &str, value: Option<&str>) -> i16 {
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![
        AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![
                AlterableConfig::default()
                    .with_name(text(name))
                    .with_config_operation(operation)
                    .with_value(value.map(text)),
            ]),
    ]);
    Connection::open(cluster.bootstrap())
        .call(1, &request)
        .responses[0]
        .error_code
}

/// Replaces all settings of a topic by one; the error code, which rdkafka would keep to itself.
fn replace(cluster: &Cluster, topic: &str, name: &str, value: &str) -> i16 {
    let setting = alter_configs_request::AlterableConfig::default()
        .with_name(text(name))
        .with_value(Some(text(value)));
    let request = AlterConfigsRequest::default().with_resources(vec![
        alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![setting]),
    ]);
    Connection::open(cluster.bootstrap())
        .call(1, &request)
        .responses[0]
        .error_code
}

#[test]
fn a_topic_tells_its_settings_from_the_defaults() {
    let cluster = cluster();
    let topic = cluster.topic(
        1,
        &[
            ("retention.ms", "123456"),
            ("cleanup.policy", "compact,delete"),
        ],
    );
    assert_eq!(setting(&cluster, &topic, "retention.ms"), set_to("123456"));
    assert_eq!(
        setting(&cluster, &topic, "cleanup.policy"),
        set_to("compact,delete")
    );
    let (value, own) = setting(&cluster, &topic, "message.timestamp.type");
    assert_eq!((value.as_deref(), own), (Some("CreateTime"), false));
    let entries = describe(&cluster, ResourceSpecifier::Topic(&topic));
    for name in [
        "max.message.bytes",
        "retention.bytes",
        "segment.bytes",
        "min.insync.replicas",
    ] {
        assert!(
            entries[name]
                .value
                .as_deref()
                .unwrap()
                .parse::<i64>()
                .is_ok(),
            "{name}"
        );
        assert!(!entries[name].is_sensitive);
    }
}

#[test]
fn one_setting_can_be_set_and_deleted_without_touching_others() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[("retention.ms", "1000000")]);
    let default = setting(&cluster, &topic, "max.message.bytes");
    assert_eq!(
        change(&cluster, &topic, SET, "max.message.bytes", Some("5000")),
        0
    );
    await_setting(&cluster, &topic, "max.message.bytes", &set_to("5000"));
    assert_eq!(setting(&cluster, &topic, "retention.ms"), set_to("1000000"));
    assert_eq!(
        change(&cluster, &topic, DELETE, "max.message.bytes", None),
        0
    );
    await_setting(&cluster, &topic, "max.message.bytes", &default);
    assert_eq!(setting(&cluster, &topic, "retention.ms"), set_to("1000000"));
}

#[test]
fn a_list_setting_can_be_appended_to_and_subtracted_from() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[("cleanup.policy", "delete")]);
    assert_eq!(
        change(&cluster, &topic, APPEND, "cleanup.policy", Some("compact")),
        0
    );
    await_setting(
        &cluster,
        &topic,
        "cleanup.policy",
        &set_to("delete,compact"),
    );
    assert_eq!(
        change(&cluster, &topic, SUBTRACT, "cleanup.policy", Some("delete")),
        0
    );
    await_setting(&cluster, &topic, "cleanup.policy", &set_to("compact"));
    let refused = change(&cluster, &topic, APPEND, "retention.ms", Some("1"));
    assert_eq!(
        refused,
        ResponseError::InvalidConfig.code(),
        "retention.ms is no list"
    );
}

#[test]
fn settings_can_be_replaced_as_a_whole() {
    let cluster = cluster();
    let topic = cluster.topic(
        1,
        &[("retention.ms", "1000000"), ("retention.bytes", "1000000")],
    );
    let alteration =
        AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.bytes", "2000000");
    wait(cluster.admin().alter_configs([&alteration], &options())).unwrap();
    await_setting(&cluster, &topic, "retention.bytes", &set_to("2000000"));
    assert!(!setting(&cluster, &topic, "retention.ms").1);
}

#[test]
fn an_alteration_that_cannot_be_is_refused_and_changes_nothing() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[("retention.ms", "1000000")]);
    let invalid = ResponseError::InvalidConfig.code();
    for (name, value) in [
        ("retention.ms", "soon"),
        ("no.such.setting", "1"),
        ("cleanup.policy", "burn"),
    ] {
        assert_eq!(
            change(&cluster, &topic, SET, name, Some(value)),
            invalid,
            "{name}={value}"
        );
        assert_eq!(
            replace(&cluster, &topic, name, value),
            invalid,
            "{name}={value}"
        );
    }
    assert_eq!(setting(&cluster, &topic, "retention.ms"), set_to("1000000"));
    let unknown = unique("never");
    assert_eq!(
        change(&cluster, &unknown, SET, "retention.ms", Some("1")),
        ResponseError::UnknownTopicOrPartition.code()
    );
    let request = DescribeConfigsRequest::default().with_resources(vec![
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(&unknown))
            .with_configuration_keys(None),
    ]);
    let described = Connection::open(cluster.bootstrap()).call(1, &request);
    assert_eq!(
        described.results[0].error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
}

#[test]
fn an_altered_limit_holds_for_the_next_record() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[]);
    producer.write(&topic, 0, &[Entry::of(vec![0; 50_000])]);
    assert_eq!(
        change(&cluster, &topic, SET, "max.message.bytes", Some("10000")),
        0
    );
    await_setting(&cluster, &topic, "max.message.bytes", &set_to("10000"));
    producer.send(&topic, Some(0), &Entry::of(vec![0; 50_000]));
    assert_eq!(
        producer.settle(),
        [Err(RDKafkaErrorCode::MessageSizeTooLarge)]
    );
}

#[test]
fn the_broker_describes_itself() {
    let cluster = cluster();
    let consumer = cluster.consumer(&unique("group"), &[]);
    let metadata = consumer.inner().fetch_metadata(None, PATIENCE).unwrap();
    let id = metadata.brokers()[0].id();
    let entries = describe(&cluster, ResourceSpecifier::Broker(id));
    for name in ["num.partitions", "message.max.bytes", "log.retention.ms"] {
        assert!(entries.contains_key(name), "{name}");
    }
}
