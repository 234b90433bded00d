//! What is not served is answered all the same, with an error in the shape of its own response.
//!
//! A version that the codec does not know either is answered in the nearest shape that it knows.

mod partwise;
mod produce;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddRaftVoterResponse, AllocateProducerIdsResponse,
    AlterPartitionReassignmentsResponse, AlterPartitionResponse, AlterShareGroupOffsetsResponse,
    ApiKey, AssignReplicasToDirsResponse, BeginQuorumEpochResponse, BrokerHeartbeatResponse,
    BrokerRegistrationResponse, ConsumerGroupHeartbeatResponse, ControllerRegistrationResponse,
    CreateDelegationTokenResponse, DeleteShareGroupOffsetsResponse, DescribeAclsResponse,
    DescribeClientQuotasResponse, DescribeClusterResponse, DescribeDelegationTokenResponse,
    DescribeLogDirsResponse, DescribeQuorumResponse, DescribeUserScramCredentialsResponse,
    EndQuorumEpochResponse, EndTxnResponse, EnvelopeResponse, ExpireDelegationTokenResponse,
    FetchResponse, FetchSnapshotResponse, GetTelemetrySubscriptionsResponse, HeartbeatResponse,
    InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse, ListConfigResourcesResponse,
    ListGroupsResponse, ListPartitionReassignmentsResponse, ListTransactionsResponse,
    MetadataResponse, OffsetDeleteResponse, PushTelemetryResponse, RemoveRaftVoterResponse,
    RenewDelegationTokenResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
    ShareAcknowledgeResponse, ShareFetchResponse, ShareGroupHeartbeatResponse, SyncGroupResponse,
    UnregisterBrokerResponse, UpdateFeaturesResponse, UpdateRaftVoterResponse, VoteResponse,
};

use super::discovery;
use crate::wire::{Call, Malformed, Response};

const UNSUPPORTED: i16 = ResponseError::UnsupportedVersion.code();

/// Answers the APIs whose responses have one error for all; the others part by part.
macro_rules! answer_at_once {
    ($call:expr, $key:expr, $version:expr, $($api:ident => $response:ident,)*) => {
        match $key {
            $(ApiKey::$api => {
                $call.respond_nearest($version, &$response::default().with_error_code(UNSUPPORTED))
            })*
            _ => partwise::answer($call, $key, $version),
        }
    };
}

pub(super) fn answer(call: &Call, key: ApiKey) -> Result<Response, Malformed> {
    if key == ApiKey::ApiVersions {
        // KIP-511: whoever asks in a version that is too new can read version 0.
        return call.respond_as(0, &discovery::versions(UNSUPPORTED));
    }
    let known = key.valid_versions();
    if key == ApiKey::Produce && (0..known.min).contains(&call.version) {
        return produce::answer(call);
    }
    let version = call.version.clamp(known.min, known.max);
    answer_at_once!(call, key, version,
        Fetch => FetchResponse,
        Metadata => MetadataResponse,
        JoinGroup => JoinGroupResponse,
        Heartbeat => HeartbeatResponse,
        LeaveGroup => LeaveGroupResponse,
        SyncGroup => SyncGroupResponse,
        ListGroups => ListGroupsResponse,
        SaslHandshake => SaslHandshakeResponse,
        InitProducerId => InitProducerIdResponse,
        AddOffsetsToTxn => AddOffsetsToTxnResponse,
        EndTxn => EndTxnResponse,
        DescribeAcls => DescribeAclsResponse,
        DescribeLogDirs => DescribeLogDirsResponse,
        SaslAuthenticate => SaslAuthenticateResponse,
        CreateDelegationToken => CreateDelegationTokenResponse,
        RenewDelegationToken => RenewDelegationTokenResponse,
        ExpireDelegationToken => ExpireDelegationTokenResponse,
        DescribeDelegationToken => DescribeDelegationTokenResponse,
        AlterPartitionReassignments => AlterPartitionReassignmentsResponse,
        ListPartitionReassignments => ListPartitionReassignmentsResponse,
        OffsetDelete => OffsetDeleteResponse,
        DescribeClientQuotas => DescribeClientQuotasResponse,
        DescribeUserScramCredentials => DescribeUserScramCredentialsResponse,
        Vote => VoteResponse,
        BeginQuorumEpoch => BeginQuorumEpochResponse,
        EndQuorumEpoch => EndQuorumEpochResponse,
        DescribeQuorum => DescribeQuorumResponse,
        AlterPartition => AlterPartitionResponse,
        UpdateFeatures => UpdateFeaturesResponse,
        Envelope => EnvelopeResponse,
        FetchSnapshot => FetchSnapshotResponse,
        DescribeCluster => DescribeClusterResponse,
        BrokerRegistration => BrokerRegistrationResponse,
        BrokerHeartbeat => BrokerHeartbeatResponse,
        UnregisterBroker => UnregisterBrokerResponse,
        ListTransactions => ListTransactionsResponse,
        AllocateProducerIds => AllocateProducerIdsResponse,
        ConsumerGroupHeartbeat => ConsumerGroupHeartbeatResponse,
        ControllerRegistration => ControllerRegistrationResponse,
        GetTelemetrySubscriptions => GetTelemetrySubscriptionsResponse,
        PushTelemetry => PushTelemetryResponse,
        AssignReplicasToDirs => AssignReplicasToDirsResponse,
        ListConfigResources => ListConfigResourcesResponse,
        ShareGroupHeartbeat => ShareGroupHeartbeatResponse,
        ShareFetch => ShareFetchResponse,
        ShareAcknowledge => ShareAcknowledgeResponse,
        AddRaftVoter => AddRaftVoterResponse,
        RemoveRaftVoter => RemoveRaftVoterResponse,
        UpdateRaftVoter => UpdateRaftVoterResponse,
        AlterShareGroupOffsets => AlterShareGroupOffsetsResponse,
        DeleteShareGroupOffsets => DeleteShareGroupOffsetsResponse,
    )
}
