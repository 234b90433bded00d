//! What is not served is answered all the same, with an error in the shape of its own response.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, ApiKey, CreateDelegationTokenResponse,
    DescribeAclsResponse, DescribeLogDirsResponse, EndTxnResponse, FetchResponse,
    FindCoordinatorResponse, HeartbeatResponse, InitProducerIdResponse, JoinGroupResponse,
    LeaveGroupResponse, ListGroupsResponse, OffsetFetchResponse, SaslAuthenticateResponse,
    SaslHandshakeResponse, SyncGroupResponse,
};

use super::discovery;
use crate::wire::{Call, Malformed, Response};

/// The version nearest to the request's whose shape is known.
fn nearest(call: &Call, key: ApiKey) -> i16 {
    let known = key.valid_versions();
    call.version.clamp(known.min, known.max)
}

/// Answers with responses that have an error of their own.
macro_rules! top_level {
    ($call:expr, $key:expr, $version:expr, $code:expr, [$($api:ident => $response:ident),* $(,)?]) => {
        match $key {
            $(ApiKey::$api => {
                let response = $response::default().with_error_code($code);
                $call.respond_as($version, &response)
            })*
            _ => $call.respond_shapeless(ResponseError::UnsupportedVersion),
        }
    };
}

pub(super) fn answer(call: &Call, key: ApiKey) -> Result<Response, Malformed> {
    let code = ResponseError::UnsupportedVersion.code();
    if key == ApiKey::ApiVersions {
        // KIP-511: whoever asks in a version that is too new can read version 0.
        return call.respond_as(0, &discovery::versions(code));
    }
    let version = nearest(call, key);
    top_level!(call, key, version, code, [
        Fetch => FetchResponse,
        OffsetFetch => OffsetFetchResponse,
        FindCoordinator => FindCoordinatorResponse,
        JoinGroup => JoinGroupResponse,
        Heartbeat => HeartbeatResponse,
        LeaveGroup => LeaveGroupResponse,
        SyncGroup => SyncGroupResponse,
        ListGroups => ListGroupsResponse,
        SaslHandshake => SaslHandshakeResponse,
        InitProducerId => InitProducerIdResponse,
        AddPartitionsToTxn => AddPartitionsToTxnResponse,
        AddOffsetsToTxn => AddOffsetsToTxnResponse,
        EndTxn => EndTxnResponse,
        DescribeAcls => DescribeAclsResponse,
        DescribeLogDirs => DescribeLogDirsResponse,
        SaslAuthenticate => SaslAuthenticateResponse,
        CreateDelegationToken => CreateDelegationTokenResponse,
    ])
}
