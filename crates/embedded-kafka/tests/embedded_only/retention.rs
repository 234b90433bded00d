//! What the broker forgets, and what it keeps.

use std::time::Duration;

use embedded_kafka::Options;
use kafka_protocol::messages::DescribeLogDirsRequest;
use rdkafka::topic_partition_list::Offset;

use crate::clients::cluster::{Cluster, unique};
use crate::clients::entry::{Entry, entries, offsets};
use crate::clients::eventually;
use crate::clients::wire::Connection;
use crate::start;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn quick() -> Options {
    Options {
        retention_check_interval: Duration::from_millis(20),
        ..Options::default()
    }
}

/// `count` records of `size` bytes that tell their number, in batches of one.
fn fill(cluster: &Cluster, topic: &str, count: usize, size: usize) -> Vec<Entry> {
    let sent: Vec<Entry> = (0..count)
        .map(|number| {
            let mut value = vec![b'x'; size];
            value[..8].copy_from_slice(&number.to_be_bytes());
            Entry::of(value)
        })
        .collect();
    cluster
        .producer(&[("batch.num.messages", "1"), ("linger.ms", "0")])
        .write(topic, 0, &sent);
    sent
}

/// Bytes that the broker says it holds, of all topics together.
fn held(cluster: &Cluster) -> i64 {
    let request = DescribeLogDirsRequest::default().with_topics(None);
    let response = Connection::open(cluster.bootstrap()).call(1, &request);
    response
        .results
        .iter()
        .flat_map(|directory| &directory.topics)
        .flat_map(|topic| &topic.partitions)
        .map(|partition| partition.partition_size)
        .sum()
}

fn watermarks(cluster: &Cluster, topic: &str) -> (i64, i64) {
    cluster
        .consumer(&unique("observer"), &[])
        .watermarks(topic, 0)
}

#[test]
fn a_partition_keeps_its_newest_bytes() {
    let (_broker, cluster) = start(quick());
    let topic = cluster.topic(1, &[("retention.bytes", "100000")]);
    let sent = fill(&cluster, &topic, 100, 10_000);
    let first = eventually("the partition is trimmed", || {
        let (first, next) = watermarks(&cluster, &topic);
        assert_eq!(next, 100);
        (held(&cluster) <= 150_000).then_some(first as usize)
    });
    // No more than was needed goes.
    assert!(
        held(&cluster) >= 80_000,
        "{} bytes are held",
        held(&cluster)
    );
    let kept = cluster.read_all(&topic, 0);
    assert_eq!(entries(&kept), sent[first..]);
    assert_eq!(offsets(&kept), (first as i64..100).collect::<Vec<i64>>());
}

#[test]
fn records_beyond_their_age_go_and_offsets_go_on() {
    let (_broker, cluster) = start(quick());
    let topic = cluster.topic(1, &[("retention.ms", "60000")]);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let mut producer = cluster.producer(&[]);
    for entry in ["old", "older"] {
        producer.send_at(&topic, Some(0), Some(now - 3_600_000), &Entry::of(entry));
        assert!(producer.settle().iter().all(Result::is_ok));
    }
    eventually("the old records are gone", || {
        (watermarks(&cluster, &topic) == (2, 2)).then_some(())
    });
    assert_eq!(producer.write(&topic, 0, &[Entry::of("new")]), [2]);
    assert_eq!(entries(&cluster.read_all(&topic, 0)), [Entry::of("new")]);
}

#[test]
fn a_shorter_retention_holds_as_soon_as_it_is_set() {
    let (_broker, cluster) = start(quick());
    let topic = cluster.topic(1, &[("retention.ms", "-1")]);
    fill(&cluster, &topic, 5, 100);
    let alteration =
        rdkafka::admin::AlterConfig::new(rdkafka::admin::ResourceSpecifier::Topic(&topic))
            .set("retention.ms", "1");
    let options = crate::clients::cluster::options();
    crate::clients::cluster::wait(cluster.admin().alter_configs([&alteration], &options)).unwrap();
    eventually("all records are gone", || {
        (watermarks(&cluster, &topic) == (5, 5)).then_some(())
    });
}

#[test]
fn the_broker_stays_within_its_memory_and_keeps_the_newest_records() {
    let (_broker, cluster) = start(Options {
        memory: 4 * MIB as u64,
        ..quick()
    });
    let (large, small) = (cluster.topic(1, &[]), cluster.topic(1, &[]));
    let few = fill(&cluster, &small, 10, 10 * KIB);
    let many = fill(&cluster, &large, 2_000, 10 * KIB);
    // At no time is more held than allowed, but for what arrives between two looks.
    eventually("the broker is within its memory", || {
        (held(&cluster) <= 4 * MIB as i64).then_some(())
    });
    assert!(
        held(&cluster) >= 2 * MIB as i64,
        "no more than was needed goes"
    );
    let kept = entries(&cluster.read_all(&large, 0));
    assert!(
        !kept.is_empty() && many.ends_with(&kept),
        "the newest are kept"
    );
    assert_eq!(
        entries(&cluster.read_all(&small, 0)),
        few,
        "the largest partition is trimmed"
    );
}

#[test]
fn topics_without_a_limit_and_compacted_topics_do_not_pay_for_others() {
    let (_broker, cluster) = start(Options {
        memory: MIB as u64,
        ..quick()
    });
    let unlimited = cluster.topic(1, &[("retention.ms", "-1"), ("retention.bytes", "-1")]);
    let compacted = cluster.topic(1, &[("cleanup.policy", "compact"), ("retention.ms", "1")]);
    let kept = fill(&cluster, &unlimited, 300, 10 * KIB);
    let keyed: Vec<Entry> = (0..300_u16)
        .map(|n| Entry::of(vec![b'x'; 10 * KIB]).key(n.to_be_bytes()))
        .collect();
    cluster.producer(&[]).write(&compacted, 0, &keyed);
    let ordinary = cluster.topic(1, &[]);
    fill(&cluster, &ordinary, 300, 10 * KIB);
    eventually("the ordinary topic is trimmed", || {
        (watermarks(&cluster, &ordinary).0 > 0).then_some(())
    });
    assert!(entries(&cluster.read_all(&unlimited, 0)) == kept);
    assert!(entries(&cluster.read_all(&compacted, 0)) == keyed);
}

#[test]
fn a_consumer_whose_position_was_trimmed_goes_on_at_the_oldest_record() {
    let (_broker, cluster) = start(quick());
    let topic = cluster.topic(1, &[("retention.bytes", "50000")]);
    fill(&cluster, &topic, 100, 10_000);
    let first = eventually("the partition is trimmed", || {
        let (first, _) = watermarks(&cluster, &topic);
        (held(&cluster) <= 100_000).then_some(first)
    });
    let consumer = cluster.consumer(&unique("group"), &[]);
    consumer.start(&topic, 0, Offset::Offset(1));
    assert_eq!(consumer.read(1)[0].offset, first);
}
