//! Listing, describing and deleting groups, and their offsets.

use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, DescribeGroupsRequest, GroupId, OffsetDeleteRequest,
};
use kafka_protocol::protocol::Decodable as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use crate::clients::cluster::{Cluster, options, unique, verdict, wait};
use crate::clients::consumer::Consumer;
use crate::clients::entry::numbered;
use crate::clients::wire::{Connection, text, topic_name};
use crate::clients::{PATIENCE, eventually};
use crate::cluster;

/// State, protocol and the members' client ids of a group, if it exists.
fn describe(consumer: &Consumer, group: &str) -> Option<(String, String, Vec<String>)> {
    let list = consumer
        .inner()
        .fetch_group_list(Some(group), PATIENCE)
        .unwrap();
    let group = list.groups().first()?;
    Some((
        group.state().to_owned(),
        group.protocol().to_owned(),
        group
            .members()
            .iter()
            .map(|member| member.client_id().to_owned())
            .collect(),
    ))
}

fn delete_group(cluster: &Cluster, group: &str) -> Result<(), RDKafkaErrorCode> {
    verdict(&wait(cluster.admin().delete_groups(&[group], &options())).unwrap()[0])
}

/// Deletes the offsets of partition 0; the codes of the group and of the partition.
fn delete_offset(cluster: &Cluster, group: &str, topic: &str) -> (i16, Option<i16>) {
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(vec![
            OffsetDeleteRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(vec![OffsetDeleteRequestPartition::default()]),
        ]);
    let response = Connection::open(cluster.bootstrap()).call(0, &request);
    let partition = response
        .topics
        .first()
        .map(|topic| topic.partitions[0].error_code);
    (response.error_code, partition)
}

/// A group with one member that has joined; the consumer has to stay alive.
fn running(cluster: &Cluster, group: &str, topic: &str) -> Consumer {
    cluster.producer(&[]).write(topic, 0, &numbered(1));
    let member = cluster.consumer(group, &[("client.id", "the-member")]);
    member.subscribe(&[topic]);
    member.read(1);
    member.commit(topic, 0, 1).unwrap();
    member
}

#[test]
fn a_group_is_described_while_it_runs_when_it_is_empty_and_when_it_never_was() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    let observer = cluster.consumer(&unique("observer"), &[]);
    let member = running(&cluster, &group, &topic);
    assert_eq!(
        describe(&observer, &group),
        Some((
            "Stable".to_owned(),
            "range".to_owned(),
            vec!["the-member".to_owned()]
        ))
    );
    drop(member);
    eventually("the group is empty", || {
        let (state, _, members) = describe(&observer, &group)?;
        (state == "Empty" && members.is_empty()).then_some(())
    });
    assert_eq!(describe(&observer, &unique("never")), None);
}

#[test]
fn a_group_that_is_asked_for_by_name_and_does_not_exist_is_dead() {
    let request =
        DescribeGroupsRequest::default().with_groups(vec![GroupId(text(&unique("never")))]);
    let response = Connection::open(cluster().bootstrap()).call(5, &request);
    assert_eq!(response.groups[0].error_code, 0);
    assert_eq!(response.groups[0].group_state.as_str(), "Dead");
}

#[test]
fn all_groups_are_listed_those_with_nothing_but_offsets_too() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let (with_member, with_offset) = (unique("group"), unique("group"));
    let _member = running(&cluster, &with_member, &topic);
    let observer = cluster.consumer(&with_offset, &[]);
    observer.commit(&topic, 0, 1).unwrap();
    // Groups of tests beside this one may go while they are described.
    let names: Vec<String> = eventually("the groups can be listed", || {
        let list = observer.inner().fetch_group_list(None, PATIENCE).ok()?;
        Some(
            list.groups()
                .iter()
                .map(|group| group.name().to_owned())
                .collect(),
        )
    });
    assert!(names.contains(&with_member));
    assert!(names.contains(&with_offset));
}

#[test]
fn a_group_can_be_deleted_once_it_is_empty() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    assert_eq!(
        delete_group(&cluster, &group),
        Err(RDKafkaErrorCode::GroupIdNotFound)
    );
    let member = running(&cluster, &group, &topic);
    assert_eq!(
        delete_group(&cluster, &group),
        Err(RDKafkaErrorCode::NonEmptyGroup)
    );
    drop(member);
    eventually("the group can be deleted", || {
        delete_group(&cluster, &group).ok()
    });
    let observer = cluster.consumer(&group, &[]);
    assert_eq!(observer.committed(&topic, 0), None);
    assert_eq!(describe(&observer, &group), None);
}

#[test]
fn offsets_can_be_deleted_unless_their_topic_is_being_consumed() {
    let cluster = cluster();
    let (read, other) = (cluster.topic(1, &[]), cluster.topic(1, &[]));
    let group = unique("group");
    let unknown_group = ResponseError::GroupIdNotFound.code();
    assert_eq!(delete_offset(&cluster, &group, &read).0, unknown_group);

    let member = running(&cluster, &group, &read);
    member.commit(&other, 0, 9).unwrap();
    let subscribed = ResponseError::GroupSubscribedToTopic.code();
    assert_eq!(
        delete_offset(&cluster, &group, &read),
        (0, Some(subscribed))
    );
    assert_eq!(delete_offset(&cluster, &group, &other), (0, Some(0)));
    assert_eq!(member.committed(&read, 0), Some(1));
    assert_eq!(member.committed(&other, 0), None);
    drop(member);
    eventually("the offset can be deleted", || {
        (delete_offset(&cluster, &group, &read) == (0, Some(0))).then_some(())
    });
    assert_eq!(cluster.consumer(&group, &[]).committed(&read, 0), None);
}

#[test]
fn a_members_description_tells_its_host_and_its_partitions() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    let member = running(&cluster, &group, &topic);
    let list = member
        .inner()
        .fetch_group_list(Some(&group), PATIENCE)
        .unwrap();
    let described = &list.groups()[0].members()[0];
    assert!(described.client_host().contains("127.0.0.1"));
    // The assignment is in the consumer protocol's form, behind its version.
    let mut assignment = Bytes::copy_from_slice(described.assignment().unwrap());
    let version = assignment.get_i16();
    let assignment = ConsumerProtocolAssignment::decode(&mut assignment, version).unwrap();
    let assigned = &assignment.assigned_partitions[0];
    assert_eq!(assigned.topic, topic_name(&topic));
    assert_eq!(assigned.partitions, [0]);
}

#[test]
fn a_group_outlives_its_last_offset() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    cluster.consumer(&group, &[]).commit(&topic, 0, 1).unwrap();
    assert_eq!(delete_offset(&cluster, &group, &topic), (0, Some(0)));
    let observer = cluster.consumer(&unique("observer"), &[]);
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_millis(500) {
        let state = describe(&observer, &group).map(|(state, ..)| state);
        assert_eq!(state.as_deref(), Some("Empty"));
    }
    assert_eq!(delete_group(&cluster, &group), Ok(()));
}
