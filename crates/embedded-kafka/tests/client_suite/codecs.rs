//! Batches in every codec.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest};
use rdkafka::topic_partition_list::Offset;

use crate::clients::cluster::unique;
use crate::clients::entry::{Entry, entries};
use crate::clients::random::Random;
use crate::clients::wire::{Connection, topic_name};
use crate::cluster;

/// The number of each codec in a batch's attributes: Apache Kafka's documentation, "Record Batch".
const CODECS: [(&str, u8); 5] = [
    ("none", 0),
    ("gzip", 1),
    ("snappy", 2),
    ("lz4", 3),
    ("zstd", 4),
];

fn assorted(random: &mut Random, count: usize) -> Vec<Entry> {
    (0..count)
        .map(|number| {
            let mut entry = Entry::of(format!("{number} {}", "compressible ".repeat(20)));
            if number % 3 == 0 {
                let length = random.below(400);
                entry.value = Some(random.bytes(length));
            }
            if number % 7 == 0 {
                entry.value = None;
            }
            if number % 2 == 0 {
                entry = entry.key(random.bytes(8));
            }
            for header in 0..number % 4 {
                let value = random.bytes(header);
                entry = entry.header("header", (header > 0).then_some(&value));
            }
            entry
        })
        .collect()
}

#[test]
fn every_codec_gives_back_what_was_sent_and_is_stored_as_it_came() {
    let cluster = cluster();
    let mut random = Random::announced();
    let mut connection = Connection::open(cluster.bootstrap());
    for (codec, number) in CODECS {
        let topic = cluster.topic(1, &[]);
        let sent = assorted(&mut random, 2_000);
        cluster
            .producer(&[("compression.codec", codec), ("linger.ms", "300")])
            .write(&topic, 0, &sent);
        assert_eq!(entries(&cluster.read_all(&topic, 0)), sent, "{codec}");

        let (attributes, records) = first_batch(&mut connection, &topic);
        assert_eq!(attributes & 7, number, "{codec}");
        assert!(
            records > 100,
            "{codec}: lingering made batches of {records}"
        );
    }
}

#[test]
fn reading_starts_inside_a_compressed_batch() {
    let cluster = cluster();
    let mut random = Random::announced();
    for (codec, _) in CODECS {
        let topic = cluster.topic(1, &[]);
        let sent = assorted(&mut random, 500);
        cluster
            .producer(&[("compression.codec", codec), ("linger.ms", "300")])
            .write(&topic, 0, &sent);
        let start = random.below(sent.len());
        let consumer = cluster.consumer(&unique("group"), &[]);
        consumer.start(&topic, 0, Offset::Offset(start as i64));
        let received = consumer.read(sent.len() - start);
        assert_eq!(received[0].offset, start as i64, "{codec}");
        assert_eq!(entries(&received), sent[start..], "{codec}");
    }
}

#[test]
fn codecs_mix_within_a_partition() {
    let cluster = cluster();
    let mut random = Random::announced();
    let topic = cluster.topic(1, &[]);
    let mut expected = Vec::new();
    for (codec, _) in CODECS.iter().chain(&CODECS) {
        let sent = assorted(&mut random, 50);
        cluster
            .producer(&[("compression.codec", codec)])
            .write(&topic, 0, &sent);
        expected.extend(sent);
    }
    assert_eq!(entries(&cluster.read_all(&topic, 0)), expected);
}

/// Attributes and number of records of the first batch as it is stored.
fn first_batch(connection: &mut Connection, topic: &str) -> (u8, i32) {
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(1_000)
        .with_min_bytes(1)
        .with_max_bytes(10_000_000)
        .with_session_epoch(-1)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(topic_name(topic))
                .with_partitions(vec![
                    FetchPartition::default()
                        .with_partition(0)
                        .with_fetch_offset(0)
                        .with_partition_max_bytes(10_000_000),
                ]),
        ]);
    let response = connection.call(11, &request);
    let batch = response.responses[0].partitions[0]
        .records
        .as_ref()
        .unwrap();
    // magic at 16, attributes at 21, count at 57
    assert_eq!(batch[16], 2);
    (
        batch[22],
        i32::from_be_bytes(batch[57..61].try_into().unwrap()),
    )
}
