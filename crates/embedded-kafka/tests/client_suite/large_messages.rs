//! The size limits of a topic.

use rdkafka::error::RDKafkaErrorCode;

use crate::clients::cluster::unique;
use crate::clients::entry::{Entry, entries};
use crate::clients::random::Random;
use crate::cluster;

const MIB: usize = 1 << 20;

#[test]
fn sixteen_mebibytes_with_headers_pass_where_the_topic_allows_seventeen() {
    let cluster = cluster();
    let mut random = Random::announced();
    let limit = (17 * MIB).to_string();
    let topic = cluster.topic(1, &[("max.message.bytes", &limit)]);
    let mut sent = vec![Entry::of("before")];
    for _ in 0..2 {
        let headers = random.bytes(64 * 1024);
        sent.push(
            Entry::of(random.bytes(16 * MIB))
                .key("large")
                .header("padding", Some(&headers)),
        );
    }
    sent.push(Entry::of("after"));
    let offsets = cluster.producer(&[]).write(&topic, 0, &sent);
    assert_eq!(offsets, [0, 1, 2, 3]);
    // Not assert_eq: sixteen mebibytes are no message for people.
    assert!(
        entries(&cluster.read_all(&topic, 0)) == sent,
        "what was read is what was sent"
    );
}

#[test]
fn a_large_message_passes_a_consumer_whose_limits_are_small() {
    let cluster = cluster();
    let limit = (17 * MIB).to_string();
    let topic = cluster.topic(1, &[("max.message.bytes", &limit)]);
    let sent = vec![Entry::of(vec![b'x'; 6 * MIB]), Entry::of("after")];
    cluster.producer(&[]).write(&topic, 0, &sent);
    let consumer = cluster.consumer(
        &unique("group"),
        &[
            ("fetch.message.max.bytes", "10000"),
            ("fetch.max.bytes", "10000"),
            ("message.max.bytes", "10000"),
        ],
    );
    consumer.start(&topic, 0, rdkafka::topic_partition_list::Offset::Beginning);
    assert!(
        entries(&consumer.read(2)) == sent,
        "what was read is what was sent"
    );
}

#[test]
fn a_batch_over_the_topics_limit_is_refused_and_leaves_no_trace() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[("max.message.bytes", "10000")]);
    let mut producer = cluster.producer(&[("linger.ms", "0")]);
    producer.send(&topic, Some(0), &Entry::of(vec![b'x'; 10_001]));
    assert_eq!(
        producer.settle(),
        [Err(RDKafkaErrorCode::MessageSizeTooLarge)]
    );
    producer.write(&topic, 0, &[Entry::of(vec![b'x'; 9_000])]);
    assert_eq!(cluster.read_all(&topic, 0).len(), 1);
}

#[test]
fn the_limit_counts_compressed_bytes() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[("max.message.bytes", "10000")]);
    let mut producer = cluster.producer(&[("compression.codec", "gzip")]);
    producer.write(&topic, 0, &[Entry::of(vec![b'x'; 100_000])]);
    assert_eq!(
        cluster.read_all(&topic, 0)[0]
            .entry
            .value
            .as_ref()
            .map(Vec::len),
        Some(100_000)
    );
}

#[test]
fn without_a_setting_a_topic_takes_a_megabyte() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[]);
    producer.write(&topic, 0, &[Entry::of(vec![b'x'; 1_000_000])]);
    assert_eq!(cluster.read_all(&topic, 0).len(), 1);
}
