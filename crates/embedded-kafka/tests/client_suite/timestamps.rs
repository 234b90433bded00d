//! Create time, append time, and offsets by time.

use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::PATIENCE;
use crate::clients::cluster::{Cluster, unique};
use crate::clients::entry::{Entry, numbered};
use crate::cluster;

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

#[test]
fn a_record_keeps_the_time_its_producer_gave_it() {
    let cluster = cluster();
    let topic = cluster.topic(
        1,
        &[
            ("message.timestamp.type", "CreateTime"),
            ("retention.ms", "-1"),
        ],
    );
    let times = [1_000_000_000_000, 1_000_000_000_001, 5, 1_600_000_000_000];
    let mut producer = cluster.producer(&[("linger.ms", "100")]);
    for time in times {
        producer.send_at(&topic, Some(0), Some(time), &Entry::of("timed"));
    }
    assert!(producer.settle().iter().all(Result::is_ok));
    let received: Vec<Timestamp> = cluster
        .read_all(&topic, 0)
        .iter()
        .map(|record| record.timestamp)
        .collect();
    assert_eq!(received, times.map(Timestamp::CreateTime));
}

#[test]
fn a_topic_with_append_time_gives_records_the_time_of_their_arrival() {
    let cluster = cluster();
    for codec in ["none", "lz4"] {
        let topic = cluster.topic(1, &[("message.timestamp.type", "LogAppendTime")]);
        let mut producer = cluster.producer(&[("linger.ms", "100"), ("compression.codec", codec)]);
        let before = now();
        for entry in numbered(10) {
            producer.send_at(&topic, Some(0), Some(1_000_000_000_000), &entry);
        }
        assert!(producer.settle().iter().all(Result::is_ok));
        let after = now();
        for record in cluster.read_all(&topic, 0) {
            let Timestamp::LogAppendTime(time) = record.timestamp else {
                panic!("{codec}: {:?}", record.timestamp);
            };
            assert!(
                (before..=after).contains(&time),
                "{codec}: {time} in {before}..={after}"
            );
        }
    }
}

/// The offset of the first record at `time` or later.
fn offset_at(cluster: &Cluster, topic: &str, time: i64) -> Offset {
    let consumer = cluster.consumer(&unique("group"), &[]);
    let mut asked = TopicPartitionList::new();
    asked
        .add_partition_offset(topic, 0, Offset::Offset(time))
        .unwrap();
    let found = consumer.inner().offsets_for_times(asked, PATIENCE).unwrap();
    let element = &found.elements()[0];
    element.error().unwrap();
    element.offset()
}

#[test]
fn offsets_by_time_are_exact_inside_batches_of_every_codec() {
    let cluster = cluster();
    let base = now() - 1_000_000;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = cluster.topic(1, &[]);
        let mut producer = cluster.producer(&[("linger.ms", "200"), ("compression.codec", codec)]);
        // Two settled rounds make at least two batches.
        for round in 0..2 {
            for number in 0..100 {
                let time = base + (round * 100 + number) * 10;
                producer.send_at(&topic, Some(0), Some(time), &Entry::of(vec![b'x'; 100]));
            }
            assert!(producer.settle().iter().all(Result::is_ok));
        }
        for number in [0, 1, 42, 99, 100, 101, 199] {
            let time = base + number * 10;
            assert_eq!(
                offset_at(&cluster, &topic, time),
                Offset::Offset(number),
                "{codec}"
            );
            assert_eq!(
                offset_at(&cluster, &topic, time - 9),
                Offset::Offset(number),
                "{codec}"
            );
        }
        assert_eq!(
            offset_at(&cluster, &topic, base - 1),
            Offset::Offset(0),
            "{codec}"
        );
        assert_eq!(
            offset_at(&cluster, &topic, base + 1_991),
            Offset::End,
            "{codec}"
        );
    }
}

#[test]
fn the_first_record_that_is_late_enough_is_found_when_times_are_out_of_order() {
    let cluster = cluster();
    let base = now() - 1_000_000;
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[("linger.ms", "200")]);
    for round in [[50, 10, 40], [30, 90, 20]] {
        for time in round {
            producer.send_at(&topic, Some(0), Some(base + time), &Entry::of("timed"));
        }
        assert!(producer.settle().iter().all(Result::is_ok));
    }
    for (time, offset) in [(0, 0), (50, 0), (51, 4), (90, 4)] {
        assert_eq!(
            offset_at(&cluster, &topic, base + time),
            Offset::Offset(offset),
            "{time}"
        );
    }
    assert_eq!(offset_at(&cluster, &topic, base + 91), Offset::End);
}

#[test]
fn an_empty_partition_has_no_offset_for_any_time() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    assert_eq!(offset_at(&cluster, &topic, 0), Offset::End);
}

#[test]
fn offsets_by_time_pass_over_deleted_records() {
    let cluster = cluster();
    let base = now() - 1_000_000;
    for codec in ["none", "zstd"] {
        let topic = cluster.topic(1, &[]);
        let properties = [("linger.ms", "200"), ("compression.codec", codec)];
        let mut producer = cluster.producer(&properties);
        for number in 0..50 {
            let entry = Entry::of(vec![b'x'; 100]);
            producer.send_at(&topic, Some(0), Some(base + number), &entry);
        }
        assert!(producer.settle().iter().all(Result::is_ok));
        cluster.delete_records(&topic, Offset::Offset(33)).unwrap();
        for (time, offset) in [(0, 33), (20, 33), (33, 33), (40, 40)] {
            let found = offset_at(&cluster, &topic, base + time);
            assert_eq!(found, Offset::Offset(offset), "{codec} {time}");
        }
    }
}
