//! The group protocol, request by request, as a misbehaving member would use it.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, HeartbeatRequest,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::clients::cluster::unique;
use crate::clients::eventually;
use crate::clients::wire::{Connection, text, topic_name};
use crate::cluster;

const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;

/// A group member without a heartbeat of its own.
pub(crate) struct Member {
    connection: Connection,
    group: String,
    pub(crate) id: StrBytes,
    pub(crate) generation: i32,
    pub(crate) session: Duration,
    pub(crate) protocols: Vec<&'static str>,
}

impl Member {
    pub(crate) fn new(address: &str, group: &str) -> Self {
        Self {
            connection: Connection::open(address),
            group: group.to_owned(),
            id: StrBytes::default(),
            generation: -1,
            session: Duration::from_secs(30),
            protocols: vec!["range"],
        }
    }

    fn join_request(&self, topics: &[&str]) -> JoinGroupRequest {
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(topics.iter().map(|topic| text(topic)).collect());
        let mut metadata = BytesMut::new();
        metadata.put_i16(0);
        subscription.encode(&mut metadata, 0).unwrap();
        let metadata = metadata.freeze();
        let protocols = self
            .protocols
            .iter()
            .map(|name| {
                JoinGroupRequestProtocol::default()
                    .with_name(StrBytes::from_static_str(name))
                    .with_metadata(metadata.clone())
            })
            .collect();
        JoinGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_session_timeout_ms(self.session.as_millis() as i32)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(self.id.clone())
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(protocols)
    }

    /// One attempt to join; on success the member remembers its generation.
    fn try_join(&mut self, topics: &[&str]) -> JoinGroupResponse {
        self.send_join(topics);
        self.receive_join()
    }

    fn send_join(&mut self, topics: &[&str]) {
        let request = self.join_request(topics);
        self.connection.send(JOIN_VERSION, &request);
    }

    fn receive_join(&mut self) -> JoinGroupResponse {
        let response = self.connection.receive::<JoinGroupRequest>(JOIN_VERSION);
        if response.error_code == 0 {
            self.generation = response.generation_id;
        }
        response
    }

    /// Gets a member id, as the first step of joining.
    fn introduce(&mut self, topics: &[&str]) {
        let response = self.try_join(topics);
        assert_eq!(response.error_code, ResponseError::MemberIdRequired.code());
        assert!(!response.member_id.is_empty());
        self.id = response.member_id;
    }

    /// Joins a group.
    pub(crate) fn join(&mut self, topics: &[&str]) -> JoinGroupResponse {
        self.introduce(topics);
        let response = self.try_join(topics);
        assert_eq!(response.error_code, 0);
        response
    }

    fn sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>) -> SyncGroupResponse {
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_assignments(assignments);
        self.connection.call(SYNC_VERSION, &request)
    }

    /// Gives this member, the leader, the partitions.
    pub(crate) fn sync_as_leader(&mut self, partitions: &[(&str, &[i32])]) {
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(self.id.clone())
            .with_assignment(encode_assignment(partitions));
        let response = self.sync(vec![assignment]);
        assert_eq!(response.error_code, 0);
        assert_eq!(response.assignment, encode_assignment(partitions));
    }

    fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone());
        self.connection.call(3, &request).error_code
    }

    /// Commits one offset; the error code.
    pub(crate) fn commit(&mut self, topic: &str, partition: i32, offset: i64) -> i16 {
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.id.clone())
            .with_topics(vec![
                OffsetCommitRequestTopic::default()
                    .with_name(topic_name(topic))
                    .with_partitions(vec![
                        OffsetCommitRequestPartition::default()
                            .with_partition_index(partition)
                            .with_committed_offset(offset),
                    ]),
            ]);
        self.connection.call(7, &request).topics[0].partitions[0].error_code
    }

    fn leave(&mut self) -> i16 {
        let request = LeaveGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_members(vec![
                MemberIdentity::default().with_member_id(self.id.clone()),
            ]);
        let response = self.connection.call(3, &request);
        assert_eq!(response.error_code, 0);
        response.members[0].error_code
    }
}

/// An assignment as the consumer protocol writes it.
fn encode_assignment(partitions: &[(&str, &[i32])]) -> Bytes {
    let assigned = partitions
        .iter()
        .map(|(topic, partitions)| {
            TopicPartition::default()
                .with_topic(topic_name(topic))
                .with_partitions(partitions.to_vec())
        })
        .collect();
    let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(assigned);
    let mut encoded = BytesMut::new();
    encoded.put_i16(0);
    assignment.encode(&mut encoded, 0).unwrap();
    encoded.freeze()
}

/// A group of one member that has its assignment.
fn settled(topic: &str) -> Member {
    let mut member = Member::new(cluster().bootstrap(), &unique("group"));
    let joined = member.join(&[topic]);
    assert_eq!(joined.leader, member.id);
    assert_eq!(joined.members.len(), 1);
    member.sync_as_leader(&[(topic, &[0])]);
    assert_eq!(member.heartbeat(), 0);
    member
}

#[test]
fn a_stale_generation_may_neither_beat_nor_sync_nor_commit() {
    let topic = cluster().topic(1, &[]);
    let mut member = settled(&topic);
    let illegal = ResponseError::IllegalGeneration.code();
    let current = member.generation;
    for stale in [current - 1, current + 1] {
        member.generation = stale;
        assert_eq!(member.heartbeat(), illegal);
        assert_eq!(member.sync(vec![]).error_code, illegal);
        assert_eq!(member.commit(&topic, 0, 1), illegal);
    }
    member.generation = current;
    assert_eq!(member.commit(&topic, 0, 1), 0);
}

#[test]
fn an_unknown_member_is_told_so() {
    let topic = cluster().topic(1, &[]);
    let mut member = settled(&topic);
    let unknown = ResponseError::UnknownMemberId.code();
    let id = std::mem::replace(&mut member.id, StrBytes::from_static_str("somebody-else"));
    assert_eq!(member.heartbeat(), unknown);
    assert_eq!(member.sync(vec![]).error_code, unknown);
    assert_eq!(member.commit(&topic, 0, 1), unknown);
    assert_eq!(member.leave(), unknown);
    assert_eq!(member.try_join(&[&topic]).error_code, unknown);
    member.id = id;
    assert_eq!(member.heartbeat(), 0);
}

#[test]
fn a_member_that_left_is_unknown() {
    let topic = cluster().topic(1, &[]);
    let mut member = settled(&topic);
    assert_eq!(member.leave(), 0);
    assert_eq!(member.heartbeat(), ResponseError::UnknownMemberId.code());
}

#[test]
fn a_joining_member_starts_a_rebalance_that_the_others_hear_of_by_heartbeat() {
    let topic = cluster().topic(2, &[]);
    let mut first = settled(&topic);
    let old = first.generation;
    let mut second = Member::new(cluster().bootstrap(), &first.group);
    second.introduce(&[&topic]);
    second.send_join(&[&topic]);
    eventually("the first member hears of the rebalance", || {
        let code = first.heartbeat();
        (code == ResponseError::RebalanceInProgress.code()).then_some(())
    });
    let joined = first.try_join(&[&topic]);
    let follows = second.receive_join();
    assert_eq!((joined.error_code, follows.error_code), (0, 0));
    assert_eq!(
        (joined.generation_id, follows.generation_id),
        (old + 1, old + 1)
    );
    assert_eq!(joined.leader, follows.leader);
    let (mut leader, mut follower, roster) = if joined.leader == first.id {
        (first, second, joined.members)
    } else {
        (second, first, follows.members)
    };
    assert_eq!(
        roster.len(),
        2,
        "the leader, and only the leader, is told all members"
    );
    let assignments = [(&leader, 0), (&follower, 1)]
        .map(|(member, partition)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(member.id.clone())
                .with_assignment(encode_assignment(&[(&topic, &[partition])]))
        })
        .to_vec();
    assert_eq!(
        leader.sync(assignments).assignment,
        encode_assignment(&[(&topic, &[0])])
    );
    assert_eq!(
        follower.sync(vec![]).assignment,
        encode_assignment(&[(&topic, &[1])])
    );
}

#[test]
fn the_protocol_is_one_that_all_members_support() {
    let topic = cluster().topic(1, &[]);
    let group = unique("group");
    let mut first = Member::new(cluster().bootstrap(), &group);
    first.protocols = vec!["range", "roundrobin"];
    assert_eq!(
        first.join(&[&topic]).protocol_name.as_deref(),
        Some("range")
    );
    first.sync_as_leader(&[(&topic, &[0])]);

    let mut stranger = Member::new(cluster().bootstrap(), &group);
    stranger.protocols = vec!["another"];
    let refused = stranger.try_join(&[&topic]);
    assert_eq!(
        refused.error_code,
        ResponseError::InconsistentGroupProtocol.code()
    );

    let mut second = Member::new(cluster().bootstrap(), &group);
    second.protocols = vec!["another", "roundrobin"];
    second.introduce(&[&topic]);
    second.send_join(&[&topic]);
    assert_eq!(
        first.try_join(&[&topic]).protocol_name.as_deref(),
        Some("roundrobin")
    );
    assert_eq!(
        second.receive_join().protocol_name.as_deref(),
        Some("roundrobin")
    );
}

#[test]
fn a_member_without_a_group_or_with_an_impossible_session_is_refused() {
    let topic = cluster().topic(1, &[]);
    let mut nameless = Member::new(cluster().bootstrap(), "");
    let refused = nameless.try_join(&[&topic]).error_code;
    assert_eq!(refused, ResponseError::InvalidGroupId.code());
    for session in [Duration::from_millis(1), Duration::from_secs(1_000_000)] {
        let mut member = Member::new(cluster().bootstrap(), &unique("group"));
        member.session = session;
        let refused = member.try_join(&[&topic]).error_code;
        assert_eq!(refused, ResponseError::InvalidSessionTimeout.code());
    }
}

#[test]
fn followers_wait_for_the_leaders_assignment() {
    let topic = cluster().topic(1, &[]);
    let mut leader = Member::new(cluster().bootstrap(), &unique("group"));
    leader.join(&[&topic]);
    // An assignment for somebody else leaves the leader itself with nothing.
    let response = leader.sync(vec![]);
    assert_eq!(response.error_code, 0);
    assert!(response.assignment.is_empty());
}
