//! Committed offsets.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::PATIENCE;
use crate::clients::cluster::unique;
use crate::clients::entry::{numbered, offsets};
use crate::clients::wire::{Connection, text, topic_name};
use crate::cluster;

#[test]
fn a_group_goes_on_where_it_committed() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    cluster.producer(&[]).write(&topic, 0, &numbered(30));
    {
        let consumer = cluster.consumer(&group, &[]);
        consumer.subscribe(&[&topic]);
        consumer.read(20);
        consumer.commit(&topic, 0, 12).unwrap();
    }
    let consumer = cluster.consumer(&group, &[]);
    consumer.subscribe(&[&topic]);
    assert_eq!(offsets(&consumer.read(18)), (12..30).collect::<Vec<i64>>());

    let stranger = cluster.consumer(&unique("group"), &[]);
    stranger.subscribe(&[&topic]);
    assert_eq!(stranger.read(1)[0].offset, 0);
}

#[test]
fn a_consumer_commits_by_itself_when_asked_to() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    cluster.producer(&[]).write(&topic, 0, &numbered(10));
    {
        let consumer = cluster.consumer(
            &group,
            &[
                ("enable.auto.commit", "true"),
                ("auto.commit.interval.ms", "100"),
            ],
        );
        consumer.subscribe(&[&topic]);
        consumer.read(10);
    }
    assert_eq!(cluster.consumer(&group, &[]).committed(&topic, 0), Some(10));
}

#[test]
fn commits_are_per_group_and_partition_and_keep_their_metadata() {
    let cluster = cluster();
    let topic = cluster.topic(3, &[]);
    let (one, other) = (unique("group"), unique("group"));
    let consumer = cluster.consumer(&one, &[]);
    let mut positions = TopicPartitionList::new();
    positions
        .add_partition_offset(&topic, 0, Offset::Offset(7))
        .unwrap();
    positions
        .add_partition_offset(&topic, 2, Offset::Offset(0))
        .unwrap();
    for partition in [0, 2] {
        positions
            .find_partition(&topic, partition)
            .unwrap()
            .set_metadata(format!("m{partition}"));
    }
    consumer
        .inner()
        .commit(&positions, CommitMode::Sync)
        .unwrap();
    cluster.consumer(&other, &[]).commit(&topic, 0, 1).unwrap();

    assert_eq!(
        [0, 1, 2].map(|partition| consumer.committed(&topic, partition)),
        [Some(7), None, Some(0)]
    );
    assert_eq!(cluster.consumer(&other, &[]).committed(&topic, 0), Some(1));
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topic, 0, 2);
    let found = consumer.inner().committed_offsets(asked, PATIENCE).unwrap();
    let metadata: Vec<String> = found
        .elements()
        .iter()
        .map(|element| element.metadata().to_owned())
        .collect();
    assert_eq!(metadata, ["m0", "", "m2"]);
}

#[test]
fn a_later_commit_may_go_back() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let consumer = cluster.consumer(&unique("group"), &[]);
    for offset in [5, 9, 2] {
        consumer.commit(&topic, 0, offset).unwrap();
        assert_eq!(consumer.committed(&topic, 0), Some(offset));
    }
}

#[test]
fn asking_for_no_topic_in_particular_yields_all_commits() {
    let cluster = cluster();
    let (one, other) = (cluster.topic(2, &[]), cluster.topic(1, &[]));
    let group = unique("group");
    let consumer = cluster.consumer(&group, &[]);
    consumer.commit(&one, 0, 3).unwrap();
    consumer.commit(&one, 1, 4).unwrap();
    consumer.commit(&other, 0, 5).unwrap();
    let mut connection = Connection::open(cluster.bootstrap());
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(&group)))
        .with_topics(None);
    let response = connection.call(5, &request);
    let mut all: Vec<(String, i32, i64)> = response
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                (
                    topic.name.to_string(),
                    partition.partition_index,
                    partition.committed_offset,
                )
            })
        })
        .collect();
    all.sort();
    let mut expected = vec![(one.clone(), 0, 3), (one, 1, 4), (other, 0, 5)];
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn a_commit_for_a_partition_that_does_not_exist_is_refused() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    let mut connection = Connection::open(cluster.bootstrap());
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    for (topic, partition, expected) in [
        (topic.as_str(), 0, 0),
        (&topic, 1, unknown),
        ("no-such-topic", 0, unknown),
    ] {
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![
                OffsetCommitRequestTopic::default()
                    .with_name(topic_name(topic))
                    .with_partitions(vec![
                        OffsetCommitRequestPartition::default()
                            .with_partition_index(partition)
                            .with_committed_offset(1),
                    ]),
            ]);
        let response = connection.call(7, &request);
        assert_eq!(
            response.topics[0].partitions[0].error_code, expected,
            "{topic} {partition}"
        );
    }
}

#[test]
fn deleting_a_topic_deletes_what_groups_committed_for_it() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    cluster.consumer(&group, &[]).commit(&topic, 0, 4).unwrap();
    cluster.delete(&topic).unwrap();
    let mut connection = Connection::open(cluster.bootstrap());
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(&group)))
        .with_topics(Some(vec![
            OffsetFetchRequestTopic::default()
                .with_name(topic_name(&topic))
                .with_partition_indexes(vec![0]),
        ]));
    crate::clients::eventually("the commit is gone", || {
        let response = connection.call(5, &request);
        (response.topics[0].partitions[0].committed_offset == -1).then_some(())
    });
}

#[test]
fn metadata_of_a_commit_has_a_limit() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let consumer = cluster.consumer(&unique("group"), &[]);
    let too_large = Err(Some(RDKafkaErrorCode::OffsetMetadataTooLarge));
    for (length, expected) in [(4_096, Ok(())), (4_097, too_large)] {
        let mut positions = TopicPartitionList::new();
        positions
            .add_partition_offset(&topic, 0, Offset::Offset(1))
            .unwrap();
        positions
            .find_partition(&topic, 0)
            .unwrap()
            .set_metadata("m".repeat(length));
        let verdict = consumer.inner().commit(&positions, CommitMode::Sync);
        let verdict = verdict.map_err(|error| error.rdkafka_error_code());
        assert_eq!(verdict, expected, "{length} bytes");
    }
}
