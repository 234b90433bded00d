//! The consumer group APIs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use crate::group::{Group, JoinRequest, Joined, Leaver, SyncRequest, Synced};
use crate::node::Client;
use crate::wire::Call;

/// The protocol of groups that are served; the only one.
const TYPE: &str = "classic";
/// Metadata of all protocols of a member, or an assignment, at most.
const MOST_BYTES: usize = 1 << 20;

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn owned(text: Option<&StrBytes>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}

fn code(error: Option<ResponseError>) -> i16 {
    error.map_or(0, |error| error.code())
}

fn outcome(result: Result<(), ResponseError>) -> i16 {
    code(result.err())
}

/// Waits for what another member's request will bring.
async fn settle<T>(answer: Result<T, oneshot::Receiver<T>>, or: impl FnOnce() -> T) -> T {
    match answer {
        Ok(answer) => answer,
        Err(later) => later.await.unwrap_or_else(|_| or()),
    }
}

pub(super) async fn join(
    client: &Client,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let version = call.version;
    let id = request.group_id.0.as_str().to_owned();
    let member = request.member_id.as_str().to_owned();
    let too_much = request
        .protocols
        .iter()
        .map(|p| p.metadata.len())
        .sum::<usize>()
        > MOST_BYTES;
    let rebalance = if version >= 1 {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    let ask = JoinRequest {
        member: member.clone(),
        instance: owned(request.group_instance_id.as_ref()),
        client_id: owned(call.client_id.as_ref()).unwrap_or_default(),
        host: client.host.clone(),
        session: millis(request.session_timeout_ms),
        rebalance: millis(rebalance),
        protocol_type: request.protocol_type.as_str().to_owned(),
        // Copied, so that a group does not keep requests.
        protocols: request
            .protocols
            .iter()
            .map(|p| {
                (
                    p.name.as_str().to_owned(),
                    Bytes::copy_from_slice(&p.metadata),
                )
            })
            .collect(),
        id_required: version >= 4,
        may_skip_assignment: version >= 9,
    };
    let joined = if id.is_empty() {
        Joined::error(ResponseError::InvalidGroupId, &member)
    } else if too_much {
        Joined::error(ResponseError::InvalidRequest, &member)
    } else if !member.is_empty() && client.node.groups.find(&id).is_none() {
        Joined::error(ResponseError::UnknownMemberId, &member)
    } else {
        match client
            .node
            .groups
            .with(&id, |group| group.join(ask, Instant::now()))
        {
            Ok(answer) => {
                let lost = || Joined::error(ResponseError::UnknownMemberId, &member);
                settle(answer, lost).await
            }
            Err(error) => Joined::error(error, &member),
        }
    };
    // Null names are for versions that allow them.
    let protocol = match joined.protocol {
        None if version < 7 => Some(StrBytes::default()),
        other => other.map(StrBytes::from_string),
    };
    let members = joined.members.into_iter().map(|(id, instance, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(StrBytes::from_string(id))
            .with_group_instance_id(instance.map(StrBytes::from_string))
            .with_metadata(metadata)
    });
    JoinGroupResponse::default()
        .with_error_code(code(joined.error))
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(protocol)
        .with_leader(StrBytes::from_string(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(StrBytes::from_string(joined.member))
        .with_members(members.collect())
}

pub(super) async fn sync(client: &Client, request: SyncGroupRequest) -> SyncGroupResponse {
    let id = request.group_id.0.as_str().to_owned();
    let ask = SyncRequest {
        member: request.member_id.as_str().to_owned(),
        instance: owned(request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: owned(request.protocol_type.as_ref()),
        protocol: owned(request.protocol_name.as_ref()),
        assignments: request
            .assignments
            .iter()
            .map(|a| {
                (
                    a.member_id.as_str().to_owned(),
                    Bytes::copy_from_slice(&a.assignment),
                )
            })
            .collect(),
    };
    let synced = match client.node.groups.find(&id) {
        Some(group) => {
            let answer = group.lock().sync(ask, Instant::now());
            settle(answer, || Synced::error(ResponseError::UnknownMemberId)).await
        }
        None => Synced::error(ResponseError::UnknownMemberId),
    };
    SyncGroupResponse::default()
        .with_error_code(code(synced.error))
        .with_protocol_type(synced.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(synced.protocol.map(StrBytes::from_string))
        .with_assignment(synced.assignment)
}

fn on_group(
    client: &Client,
    id: &GroupId,
    work: impl FnOnce(&mut Group) -> Result<(), ResponseError>,
) -> Result<(), ResponseError> {
    match client.node.groups.find(&id.0) {
        Some(group) => work(&mut group.lock()),
        None => Err(ResponseError::UnknownMemberId),
    }
}

pub(super) fn heartbeat(client: &Client, request: &HeartbeatRequest) -> HeartbeatResponse {
    let result = on_group(client, &request.group_id, |group| {
        group.heartbeat(
            &request.member_id,
            request.group_instance_id.as_deref(),
            request.generation_id,
            Instant::now(),
        )
    });
    HeartbeatResponse::default().with_error_code(outcome(result))
}

pub(super) fn leave(
    client: &Client,
    request: LeaveGroupRequest,
    version: i16,
) -> LeaveGroupResponse {
    let response = LeaveGroupResponse::default();
    if version < 3 {
        let leaver = Leaver {
            member: request.member_id.as_str().to_owned(),
            instance: None,
        };
        let result = on_group(client, &request.group_id, |group| {
            group.leave(&leaver, Instant::now())
        });
        return response.with_error_code(outcome(result));
    }
    let members = request.members.into_iter().map(|member| {
        let leaver = Leaver {
            member: member.member_id.as_str().to_owned(),
            instance: owned(member.group_instance_id.as_ref()),
        };
        let result = on_group(client, &request.group_id, |group| {
            group.leave(&leaver, Instant::now())
        });
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(outcome(result))
    });
    response.with_members(members.collect())
}

pub(super) fn describe(client: &Client, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let described = DescribedGroup::default().with_authorized_operations(i32::MIN);
        let described = match client.node.groups.find(&id.0) {
            Some(group) => describe_one(described, &group.lock()),
            None => described.with_group_state(text("Dead")),
        };
        described.with_group_id(id)
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe_one(described: DescribedGroup, group: &Group) -> DescribedGroup {
    let protocol = group.protocol.clone().unwrap_or_default();
    let members = group.roster.iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.host))
            .with_member_metadata(member.metadata(&protocol))
            .with_member_assignment(member.assignment.clone())
    });
    described
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
        .with_members(members.collect())
        .with_protocol_data(StrBytes::from_string(protocol))
}

pub(super) fn list(client: &Client, request: &ListGroupsRequest) -> ListGroupsResponse {
    let asked = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|word| word.eq_ignore_ascii_case(value))
    };
    let groups = client
        .node
        .groups
        .all()
        .into_iter()
        .filter_map(|(id, group)| {
            let group = group.lock();
            let listed = asked(&request.states_filter, group.state.name())
                && asked(&request.types_filter, TYPE);
            listed.then(|| {
                ListedGroup::default()
                    .with_group_id(GroupId(StrBytes::from_string(id)))
                    .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
                    .with_group_state(text(group.state.name()))
                    .with_group_type(text(TYPE))
            })
        });
    ListGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn delete(client: &Client, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|id| {
        let result = client.node.groups.delete(&id.0);
        DeletableGroupResult::default()
            .with_group_id(id)
            .with_error_code(outcome(result))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
