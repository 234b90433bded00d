//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Changed;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::config::{Change, KEYS, Kind, TopicConfig};
use crate::node::{Client, NODE_ID};
use crate::rejection::Rejection;

/// Kinds of resources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from.
pub(super) const TOPIC_CONFIG: i8 = 1;
const STATIC_BROKER_CONFIG: i8 = 4;
pub(super) const DEFAULT_CONFIG: i8 = 5;

fn asked(resource: &DescribeConfigsResource, name: &str) -> bool {
    match &resource.configuration_keys {
        // Older clients ask for all with an empty list.
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_str() == name),
        _ => true,
    }
}

pub(super) fn describe(
    client: &Client,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let result = DescribeConfigsResult::default().with_resource_type(resource.resource_type);
        let configs = match resource.resource_type {
            TOPIC => describe_topic(client, &resource, request.include_synonyms),
            BROKER => describe_broker(client, &resource),
            other => Err(unsupported(other)),
        };
        let result = match configs {
            Ok(configs) => result.with_configs(configs),
            Err(rejection) => result
                .with_error_code(rejection.code())
                .with_error_message(rejection.text()),
        };
        let documented = request.include_documentation;
        let mut result = result.with_resource_name(resource.resource_name);
        if !documented {
            for config in &mut result.configs {
                config.documentation = None;
            }
        }
        result
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn unsupported(resource_type: i8) -> Rejection {
    Rejection::new(
        ResponseError::InvalidRequest,
        format!("resources of type {resource_type} have no configuration here"),
    )
}

fn describe_topic(
    client: &Client,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Rejection> {
    let options = &client.node.options;
    let topic = client.node.topics.named(&resource.resource_name);
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let config = topic.config();
    let described = KEYS
        .iter()
        .filter(|key| asked(resource, key.name))
        .map(|key| {
            let (value, own) = config.value(key, options);
            let mut all = Vec::new();
            if synonyms {
                let synonym = |value: String, source| {
                    DescribeConfigsSynonym::default()
                        .with_name(StrBytes::from_static_str(key.name))
                        .with_value(Some(StrBytes::from_string(value)))
                        .with_source(source)
                };
                if own {
                    all.push(synonym(value.clone(), TOPIC_CONFIG));
                }
                all.push(synonym(key.default(options), DEFAULT_CONFIG));
            }
            DescribeConfigsResourceResult::default()
                .with_name(StrBytes::from_static_str(key.name))
                .with_value(Some(StrBytes::from_string(value)))
                .with_config_source(if own { TOPIC_CONFIG } else { DEFAULT_CONFIG })
                .with_config_type(key.kind as i8)
                .with_documentation(Some(StrBytes::from_static_str(key.about)))
                .with_synonyms(all)
        });
    Ok(described.collect())
}

fn describe_broker(
    client: &Client,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Rejection> {
    let name = resource.resource_name.as_str();
    if name.is_empty() {
        // The cluster-wide defaults that can be changed: there are none.
        return Ok(Vec::new());
    }
    if name.parse() != Ok(NODE_ID) {
        return Err(Rejection::new(
            ResponseError::InvalidRequest,
            format!("the only broker is {NODE_ID}, not {name}"),
        ));
    }
    let options = &client.node.options;
    let of_topics = |name: &str| {
        KEYS.iter()
            .find(|key| key.name == name)
            .map(|k| k.default(options))
            .unwrap_or_default()
    };
    let settings = [
        (
            "auto.create.topics.enable",
            Kind::Boolean,
            options.auto_create_topics.to_string(),
        ),
        ("broker.id", Kind::Int, NODE_ID.to_string()),
        ("default.replication.factor", Kind::Int, "1".to_owned()),
        (
            "group.initial.rebalance.delay.ms",
            Kind::Int,
            options
                .group_initial_rebalance_delay
                .as_millis()
                .to_string(),
        ),
        (
            "group.max.session.timeout.ms",
            Kind::Int,
            options.max_session_timeout.as_millis().to_string(),
        ),
        (
            "group.min.session.timeout.ms",
            Kind::Int,
            options.min_session_timeout.as_millis().to_string(),
        ),
        (
            "log.cleanup.policy",
            Kind::List,
            of_topics("cleanup.policy"),
        ),
        (
            "log.retention.bytes",
            Kind::Long,
            of_topics("retention.bytes"),
        ),
        ("log.retention.ms", Kind::Long, of_topics("retention.ms")),
        (
            "message.max.bytes",
            Kind::Int,
            of_topics("max.message.bytes"),
        ),
        ("min.insync.replicas", Kind::Int, "1".to_owned()),
        ("num.partitions", Kind::Int, options.partitions.to_string()),
        ("offset.metadata.max.bytes", Kind::Int, "4096".to_owned()),
        (
            "offsets.retention.minutes",
            Kind::Int,
            (options.offset_retention.as_secs() / 60).to_string(),
        ),
        (
            "socket.request.max.bytes",
            Kind::Int,
            options.max_request_bytes.to_string(),
        ),
    ];
    let described = settings
        .into_iter()
        .filter(|(name, ..)| asked(resource, name))
        .map(|(name, kind, value)| {
            DescribeConfigsResourceResult::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value)))
                .with_read_only(true)
                .with_config_source(STATIC_BROKER_CONFIG)
                .with_config_type(kind as i8)
        });
    Ok(described.collect())
}

/// Gives a topic the configuration that `make` makes of its present one.
fn configure(
    client: &Client,
    resource_type: i8,
    name: &str,
    validate_only: bool,
    make: impl FnOnce(&TopicConfig) -> Result<TopicConfig, Rejection>,
) -> Result<(), Rejection> {
    match resource_type {
        TOPIC => {
            let topic = client.node.topics.named(name);
            let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
            let config = make(&topic.config())?;
            if !validate_only {
                tracing::info!(topic = name, "topic configured");
                topic.configure(config);
            }
            Ok(())
        }
        BROKER => Err(Rejection::new(
            ResponseError::InvalidRequest,
            "the broker is configured by its options only",
        )),
        other => Err(unsupported(other)),
    }
}

pub(super) fn replace(client: &Client, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let given = resource.configs.iter().map(|config| {
            let value = config.value.as_ref().map(|value| value.as_str().to_owned());
            (config.name.as_str().to_owned(), value)
        });
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        let result = configure(client, kind, name, request.validate_only, |_| {
            TopicConfig::new(given, &client.node.options)
        });
        let response = Replaced::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match result {
            Ok(()) => response,
            Err(rejection) => response
                .with_error_code(rejection.code())
                .with_error_message(rejection.text()),
        }
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub(super) fn change(
    client: &Client,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let changes: Result<Vec<_>, Rejection> = resource
            .configs
            .iter()
            .map(|config| {
                let value = config.value.as_ref().map(|value| value.as_str().to_owned());
                let change = operation(config.config_operation, value)?;
                Ok((config.name.as_str().to_owned(), change))
            })
            .collect();
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        let result = changes.and_then(|changes| {
            configure(client, kind, name, request.validate_only, |config| {
                config.changed(changes, &client.node.options)
            })
        });
        let response = Changed::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match result {
            Ok(()) => response,
            Err(rejection) => response
                .with_error_code(rejection.code())
                .with_error_message(rejection.text()),
        }
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

/// The operations of KIP-339.
fn operation(operation: i8, value: Option<String>) -> Result<Change, Rejection> {
    match (operation, value) {
        (1, _) => Ok(Change::Delete),
        (0, Some(value)) => Ok(Change::Set(value)),
        (2, Some(value)) => Ok(Change::Append(value)),
        (3, Some(value)) => Ok(Change::Subtract(value)),
        (0 | 2 | 3, None) => Err(Rejection::new(
            ResponseError::InvalidRequest,
            "a value is missing",
        )),
        (other, _) => Err(Rejection::new(
            ResponseError::InvalidRequest,
            format!("unknown operation {other}"),
        )),
    }
}
