//! Every version of every API that the broker advertises, used once in earnest.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiKey, ApiVersionsRequest, BrokerId, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsRequest, ListPartitionReassignmentsRequest, MetadataRequest,
    MetadataResponse, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, ProducerId, SyncGroupRequest,
};
use kafka_protocol::messages::{
    alter_configs_request as replacing, incremental_alter_configs_request as changing,
};
use kafka_protocol::protocol::StrBytes;

use crate::clients::batch::{ANYONE, batch};
use crate::clients::cluster::{Cluster, unique};
use crate::clients::entry::numbered;
use crate::clients::eventually;
use crate::clients::wire::{Connection, text, topic_name};
use crate::cluster;

/// A topic with ten records and a group that committed offset 4 of it.
struct World {
    cluster: Cluster,
    connection: Connection,
    topic: String,
    group: String,
}

/// Uses an API once in one version and checks the answer.
type Use = fn(&mut World, i16);

/// The APIs, the last version that is known here, and their use.
const USES: &[(ApiKey, i16, Use)] = &[
    (ApiKey::Produce, 12, produce),
    (ApiKey::Fetch, 17, fetch),
    (ApiKey::ListOffsets, 9, list_offsets),
    (ApiKey::Metadata, 13, metadata),
    (ApiKey::OffsetCommit, 9, commit),
    (ApiKey::OffsetFetch, 9, committed),
    (ApiKey::FindCoordinator, 6, coordinator),
    (ApiKey::JoinGroup, 9, membership_of_join),
    (ApiKey::SyncGroup, 5, membership_of_sync),
    (ApiKey::Heartbeat, 4, membership_of_heartbeat),
    (ApiKey::LeaveGroup, 5, membership_of_leave),
    (ApiKey::DescribeGroups, 6, describe_group),
    (ApiKey::ListGroups, 5, list_groups),
    (ApiKey::ApiVersions, 4, api_versions),
    (ApiKey::CreateTopics, 7, create_topic),
    (ApiKey::DeleteTopics, 6, delete_topic),
    (ApiKey::DeleteRecords, 2, delete_records),
    (ApiKey::InitProducerId, 5, init_producer),
    (ApiKey::OffsetForLeaderEpoch, 4, offset_for_epoch),
    (ApiKey::DescribeConfigs, 4, describe_configs),
    (ApiKey::AlterConfigs, 2, replace_configs),
    (ApiKey::DescribeLogDirs, 4, log_dirs),
    (ApiKey::CreatePartitions, 3, create_partitions),
    (ApiKey::DeleteGroups, 2, delete_group),
    (ApiKey::IncrementalAlterConfigs, 1, change_configs),
    (ApiKey::ListPartitionReassignments, 0, reassignments),
    (ApiKey::OffsetDelete, 0, delete_offsets),
    (ApiKey::DescribeCluster, 1, describe_cluster),
    (ApiKey::DescribeProducers, 0, describe_producers),
];

#[test]
fn every_advertised_version_is_served() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    cluster.producer(&[]).write(&topic, 0, &numbered(10));
    let group = unique("group");
    cluster.consumer(&group, &[]).commit(&topic, 0, 4).unwrap();
    let connection = Connection::open(cluster.bootstrap());
    let mut world = World {
        cluster,
        connection,
        topic,
        group,
    };
    let advertised = world.connection.call(3, &client_named());
    let advertised: BTreeMap<i16, (i16, i16)> = advertised
        .api_keys
        .iter()
        .map(|api| (api.api_key, (api.min_version, api.max_version)))
        .collect();
    for (api, last, used) in USES {
        let Some((min, max)) = advertised.get(&(*api as i16)) else {
            continue;
        };
        // Apache Kafka advertises version 0 of Produce, which it no longer serves, for the sake of
        // old librdkafka (KAFKA-18659).
        for version in *min.max(&api.valid_versions().min)..=*max.min(last) {
            println!("{api:?} version {version}");
            used(&mut world, version);
        }
    }
    if std::env::var_os("EMBEDDED_KAFKA_SUITE_BROKERS").is_none() {
        for (api, (_, max)) in advertised {
            let known = USES.iter().find(|(known, ..)| *known as i16 == api);
            let tested = known.map(|(_, last, _)| *last);
            assert!(
                tested >= Some(max),
                "API {api} is advertised up to {max}, used to {tested:?}"
            );
        }
    }
}

fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn client_named() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("client-suite"))
        .with_client_software_version(StrBytes::from_static_str("1"))
}

fn api_versions(world: &mut World, version: i16) {
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
fn describe_topic(world: &mut World, version: i16) -> MetadataResponse {
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

fn metadata(world: &mut World, version: i16) {
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

fn produce(world: &mut World, version: i16) {
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

fn fetch(world: &mut World, version: i16) {
    let mut topic = FetchTopic::default().with_partitions(vec![
        FetchPartition::default()
            .with_fetch_offset(0)
            .with_partition_max_bytes(1_000_000),
    ]);
    if version >= 13 {
        topic.topic_id = describe_topic(world, 12).topics[0].topic_id;
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

fn list_offsets(world: &mut World, version: i16) {
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

fn commit(world: &mut World, version: i16) {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(4);
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(&world.group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![
            OffsetCommitRequestTopic::default()
                .with_name(topic_name(&world.topic))
                .with_partitions(vec![partition]),
        ]);
    let response = world.connection.call(version, &request);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}

fn committed(world: &mut World, version: i16) {
    let (name, group) = (topic_name(&world.topic), group_id(&world.group));
    if version >= 8 {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(name)
            .with_partition_indexes(vec![0]);
        let mut asked = OffsetFetchRequestGroup::default()
            .with_group_id(group)
            .with_topics(Some(vec![topic]));
        asked.member_epoch = -1;
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let response = world.connection.call(version, &request);
        assert_eq!(response.groups[0].error_code, 0);
        assert_eq!(
            response.groups[0].topics[0].partitions[0].committed_offset,
            4
        );
    } else {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(name)
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group)
            .with_topics(Some(vec![topic]));
        let response = world.connection.call(version, &request);
        assert_eq!(response.error_code, 0);
        assert_eq!(response.topics[0].partitions[0].committed_offset, 4);
    }
}

fn coordinator(world: &mut World, version: i16) {
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

/// A member's whole life, each request in its own version.
fn membership(world: &mut World, join: i16, sync: i16, heartbeat: i16, leave: i16) {
    let group = group_id(&unique("group"));
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(bytes::Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
    let mut request = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let mut joined = world.connection.call(join, &request);
    if join >= 4 {
        assert_eq!(joined.error_code, ResponseError::MemberIdRequired.code());
        request.member_id = joined.member_id;
        joined = world.connection.call(join, &request);
    }
    assert_eq!(joined.error_code, 0);
    assert_eq!(joined.leader, joined.member_id);
    let member = joined.member_id;

    let mut request = SyncGroupRequest::default()
        .with_group_id(group.clone())
        .with_generation_id(joined.generation_id)
        .with_member_id(member.clone());
    if sync >= 5 {
        request.protocol_type = Some(StrBytes::from_static_str("consumer"));
        request.protocol_name = Some(StrBytes::from_static_str("range"));
    }
    assert_eq!(world.connection.call(sync, &request).error_code, 0);

    let request = HeartbeatRequest::default()
        .with_group_id(group.clone())
        .with_generation_id(joined.generation_id)
        .with_member_id(member.clone());
    assert_eq!(world.connection.call(heartbeat, &request).error_code, 0);

    let mut request = LeaveGroupRequest::default().with_group_id(group);
    if leave >= 3 {
        request.members = vec![MemberIdentity::default().with_member_id(member)];
    } else {
        request.member_id = member;
    }
    assert_eq!(world.connection.call(leave, &request).error_code, 0);
}

fn membership_of_join(world: &mut World, version: i16) {
    membership(world, version, 3, 3, 3);
}

fn membership_of_sync(world: &mut World, version: i16) {
    membership(world, 5, version, 3, 3);
}

fn membership_of_heartbeat(world: &mut World, version: i16) {
    membership(world, 5, 3, version, 3);
}

fn membership_of_leave(world: &mut World, version: i16) {
    membership(world, 5, 3, 3, version);
}

fn describe_group(world: &mut World, version: i16) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&world.group)]);
    let response = world.connection.call(version, &request);
    assert_eq!(response.groups[0].error_code, 0);
    assert_eq!(response.groups[0].group_state.as_str(), "Empty");
}

fn list_groups(world: &mut World, version: i16) {
    let listed = |world: &mut World, request: &ListGroupsRequest| {
        let response = world.connection.call(version, request);
        assert_eq!(response.error_code, 0);
        let wanted = group_id(&world.group);
        response.groups.iter().any(|group| group.group_id == wanted)
    };
    assert!(listed(world, &ListGroupsRequest::default()));
    if version >= 4 {
        for (state, expected) in [("Empty", true), ("Stable", false)] {
            let request = ListGroupsRequest::default().with_states_filter(vec![text(state)]);
            assert_eq!(listed(world, &request), expected, "{state}");
        }
    }
}

fn create_topic(world: &mut World, version: i16) {
    let name = topic_name(&unique("topic"));
    let topic = CreatableTopic::default()
        .with_name(name.clone())
        .with_num_partitions(2)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let response = world.connection.call(version, &request);
    assert_eq!(response.topics[0].error_code, 0);
    assert_eq!(response.topics[0].name, name);
    if version >= 5 {
        assert_eq!(response.topics[0].num_partitions, 2);
        assert!(
            response.topics[0]
                .configs
                .as_ref()
                .is_some_and(|configs| !configs.is_empty())
        );
    }
    if version >= 7 {
        assert!(!response.topics[0].topic_id.is_nil());
    }
}

fn delete_topic(world: &mut World, version: i16) {
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

fn delete_records(world: &mut World, version: i16) {
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

fn init_producer(world: &mut World, version: i16) {
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

fn offset_for_epoch(world: &mut World, version: i16) {
    let epoch = describe_topic(world, 9).topics[0].partitions[0].leader_epoch;
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

fn describe_configs(world: &mut World, version: i16) {
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

fn replace_configs(world: &mut World, version: i16) {
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

fn change_configs(world: &mut World, version: i16) {
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

fn log_dirs(world: &mut World, version: i16) {
    let topic = DescribableLogDirTopic::default()
        .with_topic(topic_name(&world.topic))
        .with_partitions(vec![0]);
    let request = DescribeLogDirsRequest::default().with_topics(Some(vec![topic]));
    let response = world.connection.call(version, &request);
    let directory = &response.results[0];
    assert_eq!(directory.error_code, 0);
    assert!(directory.topics[0].partitions[0].partition_size > 0);
}

fn create_partitions(world: &mut World, version: i16) {
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

fn delete_group(world: &mut World, version: i16) {
    let group = unique("group");
    world
        .cluster
        .consumer(&group, &[])
        .commit(&world.topic, 0, 1)
        .unwrap();
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&group)]);
    assert_eq!(
        world.connection.call(version, &request).results[0].error_code,
        0
    );
}

fn reassignments(world: &mut World, version: i16) {
    let request = ListPartitionReassignmentsRequest::default().with_timeout_ms(10_000);
    let response = world.connection.call(version, &request.with_topics(None));
    assert_eq!((response.error_code, response.topics.len()), (0, 0));
}

fn delete_offsets(world: &mut World, version: i16) {
    let group = unique("group");
    world
        .cluster
        .consumer(&group, &[])
        .commit(&world.topic, 0, 1)
        .unwrap();
    let request = OffsetDeleteRequest::default()
        .with_group_id(group_id(&group))
        .with_topics(vec![
            OffsetDeleteRequestTopic::default()
                .with_name(topic_name(&world.topic))
                .with_partitions(vec![OffsetDeleteRequestPartition::default()]),
        ]);
    let response = world.connection.call(version, &request);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}

fn describe_cluster(world: &mut World, version: i16) {
    let response = world
        .connection
        .call(version, &DescribeClusterRequest::default());
    assert_eq!((response.error_code, response.brokers.len()), (0, 1));
    assert!(!response.cluster_id.is_empty());
}

fn describe_producers(world: &mut World, version: i16) {
    let topic = TopicRequest::default()
        .with_name(topic_name(&world.topic))
        .with_partition_indexes(vec![0]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    let response = world.connection.call(version, &request);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}
