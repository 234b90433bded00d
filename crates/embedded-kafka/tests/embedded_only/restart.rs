//! A broker that comes back on its port remembers nothing, and its clients lose nothing that is
//! written afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use embedded_kafka::{Broker, Options};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest};
use rdkafka::topic_partition_list::Offset;

use crate::clients::cluster::{Cluster, unique};
use crate::clients::consumer::Change;
use crate::clients::entry::{Entry, Received, entries, numbered, offsets};
use crate::clients::eventually;
use crate::clients::wire::{Connection, topic_name};
use crate::start;

/// Stops a broker and starts another on its port.
fn restart(broker: Broker) -> Broker {
    let listen = broker.bootstrap();
    broker.stop();
    Broker::start(Options {
        listen,
        ..Options::default()
    })
    .expect("the port is free at once")
}

fn fresh(round: &str, count: usize) -> Vec<Entry> {
    numbered(count)
        .into_iter()
        .map(|entry| entry.header("round", Some(round.as_bytes())))
        .collect()
}

/// What a consumer that has read 100 records before a restart gets of `count` that are written
/// after it.
fn read_after_restart(count: usize, committing: bool, reset: &str) -> Vec<Received> {
    let (broker, cluster) = start(Options::default());
    let topic = unique("topic");
    cluster.create(&topic, 1, &[]).unwrap();
    let properties = [
        ("topic.metadata.refresh.interval.ms", "500"),
        ("auto.offset.reset", reset),
    ];
    let consumer = cluster.consumer(&unique("group"), &properties);
    if committing {
        consumer.subscribe(&[&topic]);
    } else {
        consumer.start(&topic, 0, Offset::Beginning);
    }
    cluster
        .producer(&[])
        .write(&topic, 0, &fresh("before", 100));
    consumer.read(100);
    if committing {
        consumer.commit(&topic, 0, 100).unwrap();
    }

    let _broker = restart(broker);
    cluster.create(&topic, 1, &[]).unwrap();
    assert_eq!(
        consumer.committed(&topic, 0),
        None,
        "the broker has forgotten"
    );
    let sent = fresh("after", count);
    cluster.producer(&[]).write(&topic, 0, &sent);
    let received = consumer.read(count);
    assert_eq!(entries(&received), sent);
    received
}

#[test]
fn a_waiting_consumer_reads_a_new_log_from_its_start_be_it_shorter_or_longer_than_the_old() {
    // The new log ends before the consumer's position, exactly at it, and beyond it.
    for count in [10, 100, 250] {
        for reset in ["earliest", "latest"] {
            let received = read_after_restart(count, false, reset);
            let from_the_start: Vec<i64> = (0..count as i64).collect();
            assert_eq!(offsets(&received), from_the_start, "{reset}");
        }
    }
}

#[test]
fn a_group_reads_a_new_log_from_its_start_whatever_it_had_committed() {
    for count in [10, 100, 250] {
        let received = read_after_restart(count, true, "earliest");
        assert_eq!(offsets(&received), (0..count as i64).collect::<Vec<i64>>());
    }
}

fn leader_epoch(cluster: &Cluster, topic: &str) -> i32 {
    let request = MetadataRequest::default().with_topics(Some(vec![
        MetadataRequestTopic::default().with_name(Some(topic_name(topic))),
    ]));
    let response = Connection::open(cluster.bootstrap()).call(9, &request);
    response.topics[0].partitions[0].leader_epoch
}

#[test]
fn the_leader_epoch_rises_with_every_start() {
    let (mut broker, cluster) = start(Options::default());
    let mut last = -1;
    for _ in 0..3 {
        cluster.create("topic", 1, &[]).unwrap();
        let epoch = leader_epoch(&cluster, "topic");
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
        broker = restart(broker);
    }
}

#[test]
fn producers_go_on_after_a_restart_idempotent_or_not() {
    for idempotence in ["true", "false"] {
        let (broker, cluster) = start(Options::default());
        let topic = unique("topic");
        cluster.create(&topic, 1, &[]).unwrap();
        let mut producer = cluster.producer(&[("enable.idempotence", idempotence)]);
        producer.write(&topic, 0, &fresh("before", 50));

        let _broker = restart(broker);
        cluster.create(&topic, 1, &[]).unwrap();
        let sent = fresh("after", 50);
        producer.write(&topic, 0, &sent);
        producer.write(&topic, 0, &sent);
        let received = entries(&cluster.read_all(&topic, 0));
        assert_eq!(received, [sent.clone(), sent].concat(), "{idempotence}");
    }
}

#[test]
fn a_producer_that_writes_across_a_restart_loses_nothing_it_was_not_told_of() {
    let (broker, cluster) = start(Options::default());
    let topic = unique("topic");
    let mut producer = cluster.producer(&[("enable.idempotence", "true"), ("linger.ms", "0")]);
    for entry in fresh("before", 100) {
        producer.send(&topic, Some(0), &entry);
    }
    let _broker = restart(broker);
    let sent = fresh("after", 100);
    for entry in &sent {
        producer.send(&topic, Some(0), entry);
    }
    assert!(producer.settle().iter().all(Result::is_ok));
    // Of those before, what the old broker acknowledged is gone; the others come first, in order.
    let received = entries(&cluster.read_all(&topic, 0));
    assert!(received.ends_with(&sent));
    let older = &received[..received.len() - sent.len()];
    assert!(fresh("before", 100).ends_with(older));
}

#[test]
fn a_producer_id_is_not_given_to_a_second_producer_after_a_restart() {
    let (mut broker, cluster) = start(Options::default());
    let mut given = BTreeSet::new();
    for _ in 0..3 {
        let mut connection = Connection::open(cluster.bootstrap());
        for _ in 0..3 {
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            let response = connection.call(1, &request);
            assert_eq!(response.error_code, 0);
            assert!(given.insert(response.producer_id.0), "given twice");
        }
        broker = restart(broker);
    }
}

#[test]
fn members_of_a_group_find_together_again_after_a_restart() {
    let (broker, cluster) = start(Options::default());
    let (topic, group) = (unique("topic"), unique("group"));
    cluster.create(&topic, 2, &[]).unwrap();
    let properties = [("topic.metadata.refresh.interval.ms", "500")];
    let members = [0, 1].map(|_| cluster.consumer(&group, &properties));
    for member in &members {
        member.subscribe(&[&topic]);
    }
    let each_has_one = || {
        for member in &members {
            // Errors are expected while the broker is away.
            let _event = member.poll(Duration::from_millis(20));
        }
        members
            .iter()
            .all(|member| member.assignment().len() == 1)
            .then_some(())
    };
    eventually("the members share the partitions", each_has_one);
    let _broker = restart(broker);
    cluster.create(&topic, 2, &[]).unwrap();
    let mut producer = cluster.producer(&[]);
    for partition in 0..2 {
        producer.write(&topic, partition, &fresh("after", 10));
    }
    let mut seen = BTreeSet::new();
    eventually("the members have read both partitions", || {
        for member in &members {
            if let Some(Ok(record)) = member.poll(Duration::from_millis(20)) {
                seen.insert((record.partition, record.offset));
            }
        }
        (seen.len() == 20).then_some(())
    });
    // They may have read on before the first heartbeat said that nobody knows them.
    let revoked = |change: &Change| matches!(change, Change::Revoked(_));
    eventually("each member was told of its loss", || {
        for member in &members {
            let _event = member.poll(Duration::from_millis(20));
        }
        let mut members = members.iter();
        members
            .all(|member| member.changes().iter().any(revoked))
            .then_some(())
    });
    eventually("the members share the partitions again", each_has_one);
}
