//! Members, committed offsets, groups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::clients::cluster::unique;
use crate::clients::wire::{text, topic_name};

use super::World;

fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

pub(super) fn commit(world: &mut World, version: i16) {
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

pub(super) fn committed(world: &mut World, version: i16) {
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

pub(super) fn membership_of_join(world: &mut World, version: i16) {
    membership(world, version, 3, 3, 3);
}

pub(super) fn membership_of_sync(world: &mut World, version: i16) {
    membership(world, 5, version, 3, 3);
}

pub(super) fn membership_of_heartbeat(world: &mut World, version: i16) {
    membership(world, 5, 3, version, 3);
}

pub(super) fn membership_of_leave(world: &mut World, version: i16) {
    membership(world, 5, 3, 3, version);
}

pub(super) fn describe_group(world: &mut World, version: i16) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&world.group)]);
    let response = world.connection.call(version, &request);
    assert_eq!(response.groups[0].error_code, 0);
    assert_eq!(response.groups[0].group_state.as_str(), "Empty");
}

pub(super) fn list_groups(world: &mut World, version: i16) {
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

pub(super) fn delete_group(world: &mut World, version: i16) {
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

pub(super) fn delete_offsets(world: &mut World, version: i16) {
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
