//! Responses that carry their errors part by part: one for every topic, partition, group or entry
//! of the request. A request that cannot be read, because its version is not known, has no parts.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AlterClientQuotasRequest,
    AlterClientQuotasResponse, AlterConfigsResponse, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse, AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse, ApiKey, ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse, CreateAclsRequest, CreateAclsResponse, CreatePartitionsResponse,
    CreateTopicsResponse, DeleteAclsRequest, DeleteAclsResponse, DeleteGroupsResponse,
    DeleteRecordsResponse, DeleteTopicsResponse, DescribeConfigsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribeProducersResponse, DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    ElectLeadersRequest, ElectLeadersResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    IncrementalAlterConfigsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, OffsetForLeaderEpochResponse,
    ProduceResponse, ShareGroupDescribeRequest, ShareGroupDescribeResponse, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use kafka_protocol::messages::{
    add_partitions_to_txn_response, alter_client_quotas_response, alter_replica_log_dirs_response,
    alter_user_scram_credentials_response, consumer_group_describe_response, create_acls_response,
    delete_acls_response, describe_groups_response, describe_share_group_offsets_response,
    describe_topic_partitions_response, describe_transactions_response, elect_leaders_response,
    find_coordinator_response, list_offsets_response, offset_commit_response,
    offset_fetch_response, produce_response, share_group_describe_response,
    txn_offset_commit_response, write_txn_markers_response,
};

use kafka_protocol::protocol::{Decodable, Message};

use super::super::produce_request::Produce;
use super::UNSUPPORTED;
use crate::wire::{Call, Malformed, Response};

/// Maps a list of the request to one of the response.
fn each<T, U>(items: Vec<T>, make: impl FnMut(T) -> U) -> Vec<U> {
    items.into_iter().map(make).collect()
}

/// The request, or an empty one if its version is not known.
fn read<R: Decodable + Message + Default>(call: &Call) -> Result<R, Malformed> {
    let known = R::VERSIONS;
    if (known.min..=known.max).contains(&call.version) {
        call.decode()
    } else {
        Ok(R::default())
    }
}

pub(super) fn answer(call: &Call, key: ApiKey, version: i16) -> Result<Response, Malformed> {
    /// Responds with what is made of the request, or of none if its version is not known.
    macro_rules! respond {
        ($make:ident) => {
            call.respond_nearest(version, &$make(read(call)?))
        };
    }
    match key {
        ApiKey::Produce => {
            let known = call.version == version;
            let request = if known {
                Produce::read(call)?
            } else {
                Produce::default()
            };
            call.respond_nearest(version, &produce(request))
        }
        ApiKey::ListOffsets => respond!(list_offsets),
        ApiKey::OffsetCommit => respond!(offset_commit),
        ApiKey::OffsetFetch => respond!(offset_fetch),
        ApiKey::FindCoordinator => respond!(find_coordinator),
        ApiKey::DescribeGroups => respond!(describe_groups),
        ApiKey::AddPartitionsToTxn => respond!(add_partitions_to_txn),
        ApiKey::TxnOffsetCommit => respond!(txn_offset_commit),
        ApiKey::WriteTxnMarkers => respond!(write_txn_markers),
        ApiKey::CreateAcls => respond!(create_acls),
        ApiKey::DeleteAcls => respond!(delete_acls),
        ApiKey::AlterReplicaLogDirs => respond!(alter_replica_log_dirs),
        ApiKey::AlterClientQuotas => respond!(alter_client_quotas),
        ApiKey::AlterUserScramCredentials => respond!(alter_user_scram_credentials),
        ApiKey::DescribeTransactions => respond!(describe_transactions),
        ApiKey::ElectLeaders => {
            // Version 0 has no error for all.
            let code = if version >= 1 { UNSUPPORTED } else { 0 };
            let response = elect_leaders(read(call)?).with_error_code(code);
            call.respond_nearest(version, &response)
        }
        ApiKey::ConsumerGroupDescribe => respond!(consumer_group_describe),
        ApiKey::ShareGroupDescribe => respond!(share_group_describe),
        ApiKey::DescribeTopicPartitions => respond!(describe_topic_partitions),
        ApiKey::DescribeShareGroupOffsets => respond!(describe_share_group_offsets),
        // Served in every version that the codec knows, so this is another one: no parts.
        ApiKey::CreateTopics => call.respond_nearest(version, &CreateTopicsResponse::default()),
        ApiKey::DeleteTopics => call.respond_nearest(version, &DeleteTopicsResponse::default()),
        ApiKey::DeleteRecords => call.respond_nearest(version, &DeleteRecordsResponse::default()),
        ApiKey::CreatePartitions => {
            call.respond_nearest(version, &CreatePartitionsResponse::default())
        }
        ApiKey::DeleteGroups => call.respond_nearest(version, &DeleteGroupsResponse::default()),
        ApiKey::DescribeConfigs => {
            call.respond_nearest(version, &DescribeConfigsResponse::default())
        }
        ApiKey::AlterConfigs => call.respond_nearest(version, &AlterConfigsResponse::default()),
        ApiKey::IncrementalAlterConfigs => {
            call.respond_nearest(version, &IncrementalAlterConfigsResponse::default())
        }
        ApiKey::OffsetForLeaderEpoch => {
            call.respond_nearest(version, &OffsetForLeaderEpochResponse::default())
        }
        ApiKey::DescribeProducers => {
            call.respond_nearest(version, &DescribeProducersResponse::default())
        }
        _ => call.respond_shapeless(ResponseError::UnsupportedVersion),
    }
}

fn produce(request: Produce) -> ProduceResponse {
    ProduceResponse::default().with_responses(each(request.topics, |topic| {
        produce_response::TopicProduceResponse::default()
            .with_name(topic.name.into())
            .with_topic_id(topic.id)
            .with_partition_responses(each(topic.partitions, |partition| {
                produce_response::PartitionProduceResponse::default()
                    .with_index(partition.index)
                    .with_error_code(UNSUPPORTED)
                    .with_base_offset(-1)
            }))
    }))
}

fn list_offsets(request: ListOffsetsRequest) -> ListOffsetsResponse {
    ListOffsetsResponse::default().with_topics(each(request.topics, |topic| {
        list_offsets_response::ListOffsetsTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(each(topic.partitions, |partition| {
                list_offsets_response::ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(UNSUPPORTED)
            }))
    }))
}

fn offset_commit(request: OffsetCommitRequest) -> OffsetCommitResponse {
    OffsetCommitResponse::default().with_topics(each(request.topics, |topic| {
        offset_commit_response::OffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partitions(each(topic.partitions, |partition| {
                offset_commit_response::OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(UNSUPPORTED)
            }))
    }))
}

fn offset_fetch(request: OffsetFetchRequest) -> OffsetFetchResponse {
    OffsetFetchResponse::default().with_groups(each(request.groups, |group| {
        offset_fetch_response::OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id)
            .with_error_code(UNSUPPORTED)
    }))
}

fn find_coordinator(request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default().with_coordinators(each(request.coordinator_keys, |key| {
        find_coordinator_response::Coordinator::default()
            .with_key(key)
            .with_node_id((-1).into())
            .with_error_code(UNSUPPORTED)
    }))
}

fn describe_groups(request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    DescribeGroupsResponse::default().with_groups(each(request.groups, |group| {
        describe_groups_response::DescribedGroup::default()
            .with_group_id(group)
            .with_error_code(UNSUPPORTED)
    }))
}

fn add_partitions_to_txn(request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    AddPartitionsToTxnResponse::default()
        .with_error_code(UNSUPPORTED)
        .with_results_by_transaction(each(request.transactions, |transaction| {
            add_partitions_to_txn_response::AddPartitionsToTxnResult::default()
                .with_transactional_id(transaction.transactional_id)
                .with_topic_results(each(transaction.topics, not_added))
        }))
        .with_results_by_topic_v3_and_below(each(request.v3_and_below_topics, not_added))
}

fn not_added(
    topic: AddPartitionsToTxnTopic,
) -> add_partitions_to_txn_response::AddPartitionsToTxnTopicResult {
    add_partitions_to_txn_response::AddPartitionsToTxnTopicResult::default()
        .with_name(topic.name)
        .with_results_by_partition(each(topic.partitions, |index| {
            add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(index)
                .with_partition_error_code(UNSUPPORTED)
        }))
}

fn txn_offset_commit(request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    TxnOffsetCommitResponse::default().with_topics(each(request.topics, |topic| {
        txn_offset_commit_response::TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(each(topic.partitions, |partition| {
                txn_offset_commit_response::TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(UNSUPPORTED)
            }))
    }))
}

fn write_txn_markers(request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    WriteTxnMarkersResponse::default().with_markers(each(request.markers, |marker| {
        write_txn_markers_response::WritableTxnMarkerResult::default()
            .with_producer_id(marker.producer_id)
            .with_topics(each(marker.topics, |topic| {
                write_txn_markers_response::WritableTxnMarkerTopicResult::default()
                    .with_name(topic.name)
                    .with_partitions(each(topic.partition_indexes, |index| {
                        write_txn_markers_response::WritableTxnMarkerPartitionResult::default()
                            .with_partition_index(index)
                            .with_error_code(UNSUPPORTED)
                    }))
            }))
    }))
}

fn create_acls(request: CreateAclsRequest) -> CreateAclsResponse {
    CreateAclsResponse::default().with_results(each(request.creations, |_| {
        create_acls_response::AclCreationResult::default().with_error_code(UNSUPPORTED)
    }))
}

fn delete_acls(request: DeleteAclsRequest) -> DeleteAclsResponse {
    DeleteAclsResponse::default().with_filter_results(each(request.filters, |_| {
        delete_acls_response::DeleteAclsFilterResult::default().with_error_code(UNSUPPORTED)
    }))
}

fn alter_replica_log_dirs(request: AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse {
    AlterReplicaLogDirsResponse::default().with_results({
        let topics = request
            .dirs
            .into_iter()
            .flat_map(|directory| directory.topics)
            .collect();
        each(topics, |topic| {
            alter_replica_log_dirs_response::AlterReplicaLogDirTopicResult::default()
                .with_topic_name(topic.name)
                .with_partitions(each(topic.partitions, |index| {
                    alter_replica_log_dirs_response::AlterReplicaLogDirPartitionResult::default()
                        .with_partition_index(index)
                        .with_error_code(UNSUPPORTED)
                }))
        })
    })
}

fn alter_client_quotas(request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    AlterClientQuotasResponse::default().with_entries(each(request.entries, |entry| {
        alter_client_quotas_response::EntryData::default()
            .with_error_code(UNSUPPORTED)
            .with_entity(each(entry.entity, |entity| {
                alter_client_quotas_response::EntityData::default()
                    .with_entity_type(entity.entity_type)
                    .with_entity_name(entity.entity_name)
            }))
    }))
}

fn alter_user_scram_credentials(
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    AlterUserScramCredentialsResponse::default().with_results({
        let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
        let upserted = request
            .upsertions
            .into_iter()
            .map(|upsertion| upsertion.name);
        each(deleted.chain(upserted).collect(), |user| {
            alter_user_scram_credentials_response::AlterUserScramCredentialsResult::default()
                .with_user(user)
                .with_error_code(UNSUPPORTED)
        })
    })
}

fn describe_transactions(request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    DescribeTransactionsResponse::default().with_transaction_states(each(
        request.transactional_ids,
        |id| {
            describe_transactions_response::TransactionState::default()
                .with_transactional_id(id)
                .with_error_code(UNSUPPORTED)
        },
    ))
}

fn elect_leaders(request: ElectLeadersRequest) -> ElectLeadersResponse {
    ElectLeadersResponse::default().with_replica_election_results(each(
        request.topic_partitions.unwrap_or_default(),
        |topic| {
            elect_leaders_response::ReplicaElectionResult::default()
                .with_topic(topic.topic)
                .with_partition_result(each(topic.partitions, |index| {
                    elect_leaders_response::PartitionResult::default()
                        .with_partition_id(index)
                        .with_error_code(UNSUPPORTED)
                }))
        },
    ))
}

fn consumer_group_describe(request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse {
    ConsumerGroupDescribeResponse::default().with_groups(each(request.group_ids, |id| {
        consumer_group_describe_response::DescribedGroup::default()
            .with_group_id(id)
            .with_error_code(UNSUPPORTED)
    }))
}

fn share_group_describe(request: ShareGroupDescribeRequest) -> ShareGroupDescribeResponse {
    ShareGroupDescribeResponse::default().with_groups(each(request.group_ids, |id| {
        share_group_describe_response::DescribedGroup::default()
            .with_group_id(id)
            .with_error_code(UNSUPPORTED)
    }))
}

fn describe_topic_partitions(
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    DescribeTopicPartitionsResponse::default().with_topics(each(request.topics, |topic| {
        describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic.name))
            .with_error_code(UNSUPPORTED)
    }))
}

fn describe_share_group_offsets(
    request: DescribeShareGroupOffsetsRequest,
) -> DescribeShareGroupOffsetsResponse {
    DescribeShareGroupOffsetsResponse::default().with_groups(each(request.groups, |group| {
        describe_share_group_offsets_response::DescribeShareGroupOffsetsResponseGroup::default()
            .with_group_id(group.group_id)
            .with_error_code(UNSUPPORTED)
    }))
}
