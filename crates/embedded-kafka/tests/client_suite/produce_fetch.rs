//! Records go in and come out unchanged, in order, from any offset.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clients::cluster::unique;
use crate::clients::entry::{Entry, entries, numbered, offsets};
use crate::clients::{PATIENCE, eventually};
use crate::cluster;

#[test]
fn offsets_count_from_zero_in_the_order_of_sending() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let sent = numbered(1_000);
    let acknowledged = cluster.producer(&[]).write(&topic, 0, &sent);
    assert_eq!(acknowledged, (0..1_000).collect::<Vec<i64>>());
    let received = cluster.read_all(&topic, 0);
    assert_eq!(offsets(&received), acknowledged);
    assert_eq!(entries(&received), sent);
}

#[test]
fn null_and_empty_keys_and_values_stay_apart() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let sent = vec![
        Entry::default(),
        Entry::of(""),
        Entry::default().key(""),
        Entry::of("").key(""),
        Entry::default().key("tombstone"),
        Entry::of([0, 255, 10, 13, 0]).key([0, 159, 146, 150]),
    ];
    cluster.producer(&[]).write(&topic, 0, &sent);
    assert_eq!(entries(&cluster.read_all(&topic, 0)), sent);
}

#[test]
fn headers_keep_their_order_their_duplicates_and_their_nulls() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let sent = vec![
        Entry::of("many")
            .header("b", Some(b"1"))
            .header("a", Some(b"2"))
            .header("b", Some(b"3"))
            .header("b", None)
            .header("a", Some(b"")),
        Entry::of("none"),
        Entry::default().key("no value").header("", Some(&[0, 255])),
    ];
    cluster.producer(&[]).write(&topic, 0, &sent);
    assert_eq!(entries(&cluster.read_all(&topic, 0)), sent);
}

#[test]
fn partitions_are_separate_logs() {
    let cluster = cluster();
    let topic = cluster.topic(7, &[]);
    let mut producer = cluster.producer(&[]);
    let sent = numbered(700);
    for (number, entry) in sent.iter().enumerate() {
        producer.send(&topic, Some((number % 7) as i32), entry);
    }
    for (number, outcome) in producer.settle().into_iter().enumerate() {
        assert_eq!(outcome, Ok(((number % 7) as i32, (number / 7) as i64)));
    }
    for partition in 0..7 {
        let expected: Vec<Entry> = sent
            .iter()
            .skip(partition as usize)
            .step_by(7)
            .cloned()
            .collect();
        assert_eq!(entries(&cluster.read_all(&topic, partition)), expected);
    }
}

#[test]
fn records_with_one_key_share_a_partition_and_keep_their_order() {
    let cluster = cluster();
    let topic = cluster.topic(4, &[]);
    let mut producer = cluster.producer(&[("partitioner", "murmur2")]);
    for entry in numbered(400)
        .into_iter()
        .enumerate()
        .map(|(n, e)| e.key([(n % 10) as u8]))
    {
        producer.send(&topic, None, &entry);
    }
    assert!(producer.settle().iter().all(Result::is_ok));
    let mut partition_of: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
    let mut last: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for received in (0..4).flat_map(|partition| cluster.read_all(&topic, partition)) {
        let key = received.entry.key.unwrap();
        let partition = *partition_of
            .entry(key.clone())
            .or_insert(received.partition);
        assert_eq!(partition, received.partition, "{key:?}");
        let value = String::from_utf8(received.entry.value.unwrap()).unwrap();
        let number: usize = value.trim_start_matches("record ").parse().unwrap();
        if let Some(previous) = last.insert(key, number) {
            assert_eq!(number, previous + 10);
        }
    }
    assert_eq!(last.len(), 10);
}

#[test]
fn every_level_of_acknowledgement_stores_the_records() {
    let cluster = cluster();
    for acks in ["0", "1", "all"] {
        let topic = cluster.topic(1, &[]);
        cluster
            .producer(&[("acks", acks)])
            .write(&topic, 0, &numbered(100));
        // With acks=0 the producer is done before the broker is.
        let consumer = cluster.consumer(&unique("group"), &[]);
        consumer.start(&topic, 0, Offset::Beginning);
        assert_eq!(entries(&consumer.read(100)), numbered(100), "acks={acks}");
    }
}

#[test]
fn reading_starts_at_any_offset_also_inside_a_batch() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    // Lingering makes a few large batches of them.
    cluster
        .producer(&[("linger.ms", "200")])
        .write(&topic, 0, &numbered(300));
    for start in [0, 1, 57, 149, 298, 299] {
        let consumer = cluster.consumer(&unique("group"), &[]);
        consumer.start(&topic, 0, Offset::Offset(start));
        let received = consumer.read(300 - start as usize);
        assert_eq!(offsets(&received), (start..300).collect::<Vec<i64>>());
        assert_eq!(entries(&received), numbered(300)[start as usize..]);
    }
}

#[test]
fn the_tail_is_found_by_counting_back_from_the_end() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    cluster
        .producer(&[("linger.ms", "200")])
        .write(&topic, 0, &numbered(50));
    let consumer = cluster.consumer(&unique("group"), &[]);
    consumer.start(&topic, 0, Offset::OffsetTail(3));
    assert_eq!(offsets(&consumer.read(3)), [47, 48, 49]);
}

#[test]
fn a_consumer_can_seek_back_and_forth_and_pause() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    cluster.producer(&[]).write(&topic, 0, &numbered(20));
    let consumer = cluster.consumer(&unique("group"), &[]);
    consumer.start(&topic, 0, Offset::Beginning);
    consumer.read(20);
    for target in [5, 15, 0] {
        consumer
            .inner()
            .seek(&topic, 0, Offset::Offset(target), PATIENCE)
            .unwrap();
        assert_eq!(consumer.read(1)[0].offset, target);
    }
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition(&topic, 0);
    consumer.inner().pause(&partitions).unwrap();
    assert_eq!(consumer.next(Duration::from_millis(50)), None);
    consumer.inner().resume(&partitions).unwrap();
    assert_eq!(consumer.read(1)[0].offset, 1);
}

#[test]
fn a_waiting_consumer_gets_a_new_record_before_its_wait_is_over() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[("linger.ms", "0")]);
    let consumer = cluster.consumer(
        &unique("group"),
        &[
            ("fetch.wait.max.ms", "30000"),
            ("socket.timeout.ms", "40000"),
        ],
    );
    consumer.start(&topic, 0, Offset::Beginning);
    producer.write(&topic, 0, &numbered(1));
    consumer.read(1);
    let asked = Instant::now();
    assert_eq!(consumer.next(Duration::from_millis(300)), None);
    producer.write(&topic, 0, &[Entry::of("news")]);
    assert_eq!(entries(&consumer.read(1)), [Entry::of("news")]);
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "the record waited for the fetch to end"
    );
}

#[test]
fn a_fetch_that_asks_for_more_bytes_than_there_are_waits_and_then_yields_them() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    cluster.producer(&[]).write(&topic, 0, &numbered(3));
    let consumer = cluster.consumer(
        &unique("group"),
        &[("fetch.min.bytes", "100000"), ("fetch.wait.max.ms", "300")],
    );
    consumer.start(&topic, 0, Offset::Beginning);
    assert_eq!(entries(&consumer.read(3)), numbered(3));
}

#[test]
fn small_fetch_limits_slow_a_consumer_but_do_not_stop_it() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let sent: Vec<Entry> = (0..20).map(|n| Entry::of(vec![n; 5_000])).collect();
    let mut producer = cluster.producer(&[("linger.ms", "0"), ("batch.num.messages", "3")]);
    producer.write(&topic, 0, &sent);
    let limits = [
        ("fetch.message.max.bytes", "100"),
        ("fetch.max.bytes", "1000"),
        ("message.max.bytes", "1000"),
    ];
    let consumer = cluster.consumer(&unique("group"), &limits);
    consumer.start(&topic, 0, Offset::Beginning);
    assert_eq!(entries(&consumer.read(20)), sent);
}

#[test]
fn an_offset_outside_the_log_resets_as_the_consumer_wishes() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let mut producer = cluster.producer(&[]);
    producer.write(&topic, 0, &numbered(10));

    let earliest = cluster.consumer(&unique("group"), &[("auto.offset.reset", "earliest")]);
    earliest.start(&topic, 0, Offset::Offset(1_000));
    assert_eq!(offsets(&earliest.read(10)), (0..10).collect::<Vec<i64>>());

    let failing = cluster.consumer(&unique("group"), &[("auto.offset.reset", "error")]);
    failing.start(&topic, 0, Offset::Offset(1_000));
    let error = eventually("the consumer reports an error", || {
        failing.poll(Duration::from_millis(100))?.err()
    });
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset)
    );

    let latest = cluster.consumer(&unique("group"), &[("auto.offset.reset", "latest")]);
    latest.start(&topic, 0, Offset::Offset(1_000));
    let received = eventually("the reset consumer gets what is written afterwards", || {
        producer.write(&topic, 0, &[Entry::of("later")]);
        latest.next(Duration::from_millis(200))
    });
    assert!(received.offset >= 10);
}

#[test]
fn watermarks_follow_the_log() {
    let cluster = cluster();
    let topic = cluster.topic(2, &[]);
    let consumer = cluster.consumer(&unique("group"), &[]);
    assert_eq!(consumer.watermarks(&topic, 0), (0, 0));
    cluster.producer(&[]).write(&topic, 0, &numbered(12));
    assert_eq!(consumer.watermarks(&topic, 0), (0, 12));
    assert_eq!(consumer.watermarks(&topic, 1), (0, 0));
}

#[test]
fn many_producers_and_consumers_of_one_partition_agree_on_the_log() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let (cluster, topic) = (&cluster, &topic);
            scope.spawn(move || {
                let sent: Vec<Entry> = numbered(500)
                    .into_iter()
                    .map(|entry| entry.key([writer]))
                    .collect();
                cluster
                    .producer(&[("linger.ms", "1")])
                    .write(topic, 0, &sent);
            });
        }
    });
    let first = cluster.read_all(&topic, 0);
    assert_eq!(offsets(&first), (0..2_000).collect::<Vec<i64>>());
    for writer in 0..4_u8 {
        let own: Vec<Entry> = entries(&first)
            .into_iter()
            .filter(|entry| entry.key.as_deref() == Some(&[writer]))
            .map(|entry| Entry { key: None, ..entry })
            .collect();
        assert_eq!(own, numbered(500));
    }
    assert_eq!(cluster.read_all(&topic, 0), first);
}

#[test]
fn small_fetches_of_many_partitions_leave_none_behind() {
    let cluster = cluster();
    let topic = cluster.topic(20, &[]);
    let mut producer = cluster.producer(&[("linger.ms", "0")]);
    for _ in 0..5 {
        for partition in 0..20 {
            producer.send(&topic, Some(partition), &Entry::of(vec![b'x'; 4_000]));
        }
        assert!(producer.settle().iter().all(Result::is_ok));
    }
    let limits = [
        ("fetch.message.max.bytes", "5000"),
        ("fetch.max.bytes", "10000"),
        ("message.max.bytes", "10000"),
    ];
    let consumer = cluster.consumer(&unique("group"), &limits);
    consumer.subscribe(&[&topic]);
    let received = consumer.read(100);
    for partition in 0..20 {
        let of_partition = received
            .iter()
            .filter(|record| record.partition == partition);
        assert_eq!(of_partition.count(), 5, "partition {partition}");
    }
}
