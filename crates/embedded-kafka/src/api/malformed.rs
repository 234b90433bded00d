//! Requests that are none: whatever comes, an answer or a closed connection, never a panic.

use std::time::Duration;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AlterClientQuotasRequest, AlterReplicaLogDirsRequest,
    AlterUserScramCredentialsRequest, ApiKey, ConsumerGroupDescribeRequest, CreateAclsRequest,
    CreateTopicsRequest, DeleteAclsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    DescribeShareGroupOffsetsRequest, DescribeTopicPartitionsRequest, DescribeTransactionsRequest,
    ElectLeadersRequest, FetchRequest, FetchResponse, FindCoordinatorRequest, GroupId,
    JoinGroupRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
    ProduceRequest, ProduceResponse, ShareGroupDescribeRequest, SyncGroupRequest, TopicName,
    TxnOffsetCommitRequest, WriteTxnMarkersRequest, create_topics_request,
    describe_configs_request, join_group_request, list_offsets_request, metadata_request,
    offset_commit_request, offset_fetch_request, sync_group_request,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Message, StrBytes};
use proptest::prelude::{ProptestConfig, any, proptest};

use super::{SERVED, answer};
use crate::batch::Compression;
use crate::node::Client;
use crate::options::Options;
use crate::samples;
use crate::wire::{Malformed, Response};

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("topic"))
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("group"))
}

fn produce(records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(Some(records));
    let data = TopicProduceData::default()
        .with_name(topic())
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_topic_data(vec![data])
}

fn fetch() -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(topic())
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// Well-formed requests with something in every array.
fn seeds() -> Vec<Bytes> {
    let records = samples::batch(&[(1, None, b"value")], Compression::None, None);
    let metadata = MetadataRequest::default().with_topics(Some(vec![
        metadata_request::MetadataRequestTopic::default().with_name(Some(topic())),
    ]));
    let create = CreateTopicsRequest::default().with_topics(vec![
        create_topics_request::CreatableTopic::default()
            .with_name(topic())
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(vec![
                create_topics_request::CreatableTopicConfig::default()
                    .with_name(StrBytes::from_static_str("retention.ms"))
                    .with_value(Some(StrBytes::from_static_str("1000"))),
            ]),
    ]);
    let join = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![
            join_group_request::JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str("range"))
                .with_metadata(Bytes::from_static(b"metadata")),
        ]);
    let sync = SyncGroupRequest::default()
        .with_group_id(group())
        .with_assignments(vec![
            sync_group_request::SyncGroupRequestAssignment::default(),
        ]);
    let list = ListOffsetsRequest::default().with_topics(vec![
        list_offsets_request::ListOffsetsTopic::default()
            .with_name(topic())
            .with_partitions(vec![list_offsets_request::ListOffsetsPartition::default()]),
    ]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_topics(vec![
            offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(topic())
                .with_partitions(vec![
                    offset_commit_request::OffsetCommitRequestPartition::default(),
                ]),
        ]);
    let committed = OffsetFetchRequest::default()
        .with_group_id(group())
        .with_topics(Some(vec![
            offset_fetch_request::OffsetFetchRequestTopic::default()
                .with_name(topic())
                .with_partition_indexes(vec![0, 1]),
        ]));
    let describe = DescribeConfigsRequest::default().with_resources(vec![
        describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(topic().0),
    ]);
    let mut seeds = Vec::new();
    for version in [3, 9, 11] {
        seeds.push(samples::request(
            ApiKey::Produce,
            version,
            &produce(records.clone()),
        ));
    }
    for version in [4, 11, 12] {
        seeds.push(samples::request(ApiKey::Fetch, version, &fetch()));
    }
    for version in [1, 8, 12] {
        seeds.push(samples::request(ApiKey::Metadata, version, &metadata));
    }
    for version in [2, 7] {
        seeds.push(samples::request(ApiKey::CreateTopics, version, &create));
    }
    for version in [3, 9] {
        seeds.push(samples::request(ApiKey::JoinGroup, version, &join));
    }
    for version in [2, 5] {
        seeds.push(samples::request(ApiKey::SyncGroup, version, &sync));
    }
    for version in [1, 7] {
        seeds.push(samples::request(ApiKey::ListOffsets, version, &list));
        seeds.push(samples::request(ApiKey::OffsetFetch, version, &committed));
    }
    for version in [2, 8] {
        seeds.push(samples::request(ApiKey::OffsetCommit, version, &commit));
    }
    for version in [1, 4] {
        seeds.push(samples::request(
            ApiKey::DescribeConfigs,
            version,
            &describe,
        ));
    }
    seeds
}

type Outcome = Option<Result<Option<Response>, Malformed>>;

/// The answer to a request; none if it waits, as joining and fetching may.
fn ask(client: &Client, frame: Bytes) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_millis(5), answer(client, frame))
            .await
            .ok()
    })
}

fn body<P: Decodable + HeaderVersion>(outcome: Outcome, version: i16) -> P {
    let mut response = outcome
        .expect("an answer at once")
        .unwrap()
        .expect("an answer");
    let mut bytes = response.copy_to_bytes(response.remaining());
    assert_eq!(bytes.get_i32() as usize, bytes.remaining());
    assert_eq!(bytes.get_i32(), 7, "correlation id");
    if P::header_version(version) > 0 {
        assert_eq!(bytes.get_u8(), 0, "tagged fields of the header");
    }
    let decoded = P::decode(&mut bytes, version).unwrap();
    assert!(!bytes.has_remaining());
    decoded
}

#[test]
fn the_seeds_are_well_formed() {
    let client = samples::client(Options::default());
    for seed in seeds() {
        let outcome = ask(&client, seed.clone());
        assert!(
            matches!(outcome, None | Some(Ok(Some(_)))),
            "{seed:?}: {outcome:?}"
        );
    }
}

#[test]
fn truncated_requests_end_in_an_error() {
    let client = samples::client(Options::default());
    for seed in seeds() {
        for length in 0..seed.len() {
            // What remains may still be a request: tagged fields at its end, or another version.
            drop(ask(&client, seed.slice(..length)));
        }
        assert!(matches!(
            ask(&client, seed.slice(..seed.len().min(9))),
            Some(Err(_))
        ));
    }
}

#[test]
fn counts_of_two_billion_do_not_allocate() {
    let client = samples::client(Options::default());
    for seed in seeds() {
        for at in 8..seed.len().saturating_sub(5) {
            for count in [
                [0x7f, 0xff, 0xff, 0xff, 0xff],
                [0xff, 0xff, 0xff, 0xff, 0x0f],
            ] {
                let mut frame = seed.to_vec();
                frame[at..at + 5].copy_from_slice(&count);
                drop(ask(&client, frame.into()));
            }
        }
    }
}

/// The default request of an API whose unserved versions are read before they are answered.
fn default_request(key: ApiKey, version: i16) -> Bytes {
    macro_rules! one_of {
        ($($api:ident => $request:ident,)*) => {
            match key {
                $(ApiKey::$api if $request::VERSIONS.max >= version => {
                    samples::request(key, version, &$request::default())
                })*
                _ => {
                    // What is not read may be anything.
                    let mut frame = Vec::new();
                    frame.extend((key as i16).to_be_bytes());
                    frame.extend(version.to_be_bytes());
                    frame.extend(7_i32.to_be_bytes());
                    frame.extend([0; 100]);
                    frame.into()
                }
            }
        };
    }
    one_of!(
        Produce => ProduceRequest,
        ListOffsets => ListOffsetsRequest,
        OffsetCommit => OffsetCommitRequest,
        OffsetFetch => OffsetFetchRequest,
        FindCoordinator => FindCoordinatorRequest,
        DescribeGroups => DescribeGroupsRequest,
        AddPartitionsToTxn => AddPartitionsToTxnRequest,
        TxnOffsetCommit => TxnOffsetCommitRequest,
        WriteTxnMarkers => WriteTxnMarkersRequest,
        CreateAcls => CreateAclsRequest,
        DeleteAcls => DeleteAclsRequest,
        AlterReplicaLogDirs => AlterReplicaLogDirsRequest,
        AlterClientQuotas => AlterClientQuotasRequest,
        AlterUserScramCredentials => AlterUserScramCredentialsRequest,
        DescribeTransactions => DescribeTransactionsRequest,
        ElectLeaders => ElectLeadersRequest,
        ConsumerGroupDescribe => ConsumerGroupDescribeRequest,
        ShareGroupDescribe => ShareGroupDescribeRequest,
        DescribeTopicPartitions => DescribeTopicPartitionsRequest,
        DescribeShareGroupOffsets => DescribeShareGroupOffsetsRequest,
    )
}

#[test]
fn every_unserved_api_and_version_gets_an_answer() {
    let client = samples::client(Options::default());
    for key in ApiKey::iter() {
        let known = key.valid_versions();
        for version in known.min..=known.max + 1 {
            if SERVED
                .iter()
                .any(|(k, min, max)| *k == key && (*min..=*max).contains(&version))
            {
                continue;
            }
            let outcome = ask(&client, default_request(key, version));
            assert!(
                matches!(outcome, Some(Ok(Some(_)))),
                "{key:?} version {version}: {outcome:?}"
            );
        }
    }
}

#[test]
fn an_unserved_produce_version_names_its_partitions() {
    let client = samples::client(Options::default());
    let frame = samples::request(ApiKey::Produce, 12, &produce(Bytes::new()));
    let response: ProduceResponse = body(ask(&client, frame), 12);
    assert_eq!(response.responses[0].name, topic());
    assert_eq!(response.responses[0].partition_responses[0].error_code, 35);
}

#[test]
fn fetched_records_are_those_that_were_sent_in_every_version() {
    let client = samples::client(Options::default());
    let created = client.node.auto_create("topic").unwrap();
    let values = [vec![1; 10], vec![2; 100_000], vec![3; 10], vec![4; 5_000]];
    let mut sent = Vec::new();
    for (offset, value) in values.iter().enumerate() {
        let records = samples::batch(&[(1, None, value)], Compression::None, None);
        let request = samples::request(ApiKey::Produce, 9, &produce(records.clone()));
        let response: ProduceResponse = body(ask(&client, request), 9);
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(
            (partition.error_code, partition.base_offset),
            (0, offset as i64)
        );
        let mut placed = records.to_vec();
        placed[..8].copy_from_slice(&(offset as i64).to_be_bytes());
        placed[12..16].copy_from_slice(&client.node.leader_epoch.to_be_bytes());
        sent.extend(placed);
    }
    for version in 4..=17 {
        let mut request = fetch();
        if version >= 13 {
            request.topics[0].topic_id = created.id;
        }
        let response: FetchResponse = body(
            ask(&client, samples::request(ApiKey::Fetch, version, &request)),
            version,
        );
        let partition = &response.responses[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.high_watermark),
            (0, 4),
            "version {version}"
        );
        assert_eq!(
            partition.records.as_deref(),
            Some(&sent[..]),
            "version {version}"
        );
    }
}

#[test]
fn an_incremental_fetch_is_of_no_session() {
    let client = samples::client(Options::default());
    let request = fetch().with_session_id(5).with_session_epoch(3);
    let response: FetchResponse = body(
        ask(&client, samples::request(ApiKey::Fetch, 11, &request)),
        11,
    );
    assert_eq!(response.error_code, 70);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bits_do_no_harm(
        seed in any::<proptest::sample::Index>(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..8), 1..6),
    ) {
        let seeds = seeds();
        let mut frame = seeds[seed.index(seeds.len())].to_vec();
        for (at, bit) in flips {
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
        }
        drop(ask(&samples::client(Options::default()), frame.into()));
    }

    #[test]
    fn noise_does_no_harm(
        key in -1_i16..95,
        version in -1_i16..20,
        noise in proptest::collection::vec(any::<u8>(), 4..300),
    ) {
        let mut frame = Vec::new();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(noise);
        drop(ask(&samples::client(Options::default()), frame.into()));
    }
}
