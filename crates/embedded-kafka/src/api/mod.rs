//! The requests that the broker serves: a file per family.

mod commits;
mod configs;
mod discovery;
mod fetch;
mod groups;
#[cfg(test)]
mod malformed;
mod offsets;
mod produce;
mod produce_request;
mod storage;
mod topics;
mod unserved;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use crate::node::Client;
use crate::wire::{Call, Malformed, Response};

/// Served APIs with their first and last version; what is not here is answered with an error.
pub(crate) const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 11),
    (ApiKey::Fetch, 4, 17),
    (ApiKey::ListOffsets, 1, 8),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 8),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::DescribeLogDirs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::ListPartitionReassignments, 0, 0),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeProducers, 0, 0),
];

fn served(key: ApiKey, version: i16) -> bool {
    SERVED
        .iter()
        .any(|(served, min, max)| *served == key && (*min..=*max).contains(&version))
}

/// Answers one request; nothing for a produce request that wants no answer.
pub(crate) async fn answer(client: &Client, frame: Bytes) -> Result<Option<Response>, Malformed> {
    let call = Call::read(frame)?;
    let Ok(key) = ApiKey::try_from(call.key) else {
        tracing::debug!(api = call.key, version = call.version, "unknown API");
        return call
            .respond_shapeless(ResponseError::UnsupportedVersion)
            .map(Some);
    };
    if !served(key, call.version) {
        tracing::debug!(api = ?key, version = call.version, "API or version not served");
        return unserved::answer(&call, key).map(Some);
    }
    match key {
        ApiKey::Produce => return produce::answer(client, &call),
        ApiKey::Fetch => return fetch::answer(client, &call).await.map(Some),
        ApiKey::JoinGroup => {
            let request = call.decode()?;
            return call
                .respond(&groups::join(client, &call, request).await)
                .map(Some);
        }
        ApiKey::SyncGroup => {
            let request = call.decode()?;
            return call.respond(&groups::sync(client, request).await).map(Some);
        }
        _ => {}
    }
    let version = call.version;
    match key {
        ApiKey::ApiVersions => reply(&call, |_: ApiVersionsRequest| discovery::versions(0)),
        ApiKey::Metadata => reply(&call, |r| discovery::metadata(client, r, version)),
        ApiKey::DescribeCluster => reply(&call, |r| discovery::cluster(client, &r)),
        ApiKey::FindCoordinator => reply(&call, |r| discovery::coordinator(client, r, version)),
        ApiKey::ListOffsets => reply(&call, |r| offsets::list(client, r, version)),
        ApiKey::OffsetForLeaderEpoch => reply(&call, |r| offsets::for_leader_epoch(client, r)),
        ApiKey::InitProducerId => reply(&call, |r| produce::init_producer_id(client, &r)),
        ApiKey::Heartbeat => reply(&call, |r| groups::heartbeat(client, &r)),
        ApiKey::LeaveGroup => reply(&call, |r| groups::leave(client, r, version)),
        ApiKey::OffsetCommit => reply(&call, |r| commits::commit(client, &r)),
        ApiKey::OffsetFetch => reply(&call, |r| commits::committed(client, r, version)),
        ApiKey::DescribeGroups => reply(&call, |r| groups::describe(client, r)),
        ApiKey::ListGroups => reply(&call, |r| groups::list(client, &r)),
        ApiKey::DeleteGroups => reply(&call, |r| groups::delete(client, r)),
        ApiKey::OffsetDelete => reply(&call, |r| commits::delete(client, r)),
        ApiKey::CreateTopics => reply(&call, |r| topics::create(client, r)),
        ApiKey::DeleteTopics => reply(&call, |r| topics::delete(client, r, version)),
        ApiKey::CreatePartitions => reply(&call, |r| topics::grow(client, r)),
        ApiKey::ListPartitionReassignments => reply(&call, topics::reassignments),
        ApiKey::DescribeConfigs => reply(&call, |r| configs::describe(client, r)),
        ApiKey::AlterConfigs => reply(&call, |r| configs::replace(client, r)),
        ApiKey::IncrementalAlterConfigs => reply(&call, |r| configs::change(client, r)),
        ApiKey::DeleteRecords => reply(&call, |r| storage::delete_records(client, r)),
        ApiKey::DescribeLogDirs => reply(&call, |r| storage::log_dirs(client, r)),
        ApiKey::DescribeProducers => reply(&call, |r| storage::producers(client, r)),
        _ => unserved::answer(&call, key),
    }
    .map(Some)
}

fn reply<R: Decodable, P: Encodable + HeaderVersion>(
    call: &Call,
    serve: impl FnOnce(R) -> P,
) -> Result<Response, Malformed> {
    call.respond(&serve(call.decode()?))
}
