//! Consumer groups of librdkafka: sharing, joining, leaving, vanishing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use crate::clients::cluster::{Cluster, unique};
use crate::clients::consumer::{Change, Consumer};
use crate::clients::entry::{Received, numbered, offsets};
use crate::clients::eventually;
use crate::cluster;
use crate::membership::Member;

const TICK: Duration = Duration::from_millis(20);

fn partitions(topic: &str, count: i32) -> BTreeSet<(String, i32)> {
    (0..count)
        .map(|partition| (topic.to_owned(), partition))
        .collect()
}

fn member(cluster: &Cluster, group: &str, topic: &str, properties: &[(&str, &str)]) -> Consumer {
    let consumer = cluster.consumer(group, properties);
    consumer.subscribe(&[topic]);
    consumer
}

/// Polls all members until each has a part of the partitions and together they have all of them;
/// what they read meanwhile and the parts.
fn share(
    members: &[&Consumer],
    all: &BTreeSet<(String, i32)>,
) -> (Vec<Received>, Vec<BTreeSet<(String, i32)>>) {
    let mut received = Vec::new();
    let parts = eventually("the members share the partitions", || {
        for member in members {
            received.extend(member.next(TICK));
        }
        let parts: Vec<_> = members.iter().map(|member| member.assignment()).collect();
        let total: usize = parts.iter().map(BTreeSet::len).sum();
        let union: BTreeSet<_> = parts.iter().flatten().cloned().collect();
        let settled = total == all.len() && union == *all && parts.iter().all(|p| !p.is_empty());
        settled.then_some(parts)
    });
    (received, parts)
}

#[test]
fn members_share_the_partitions_whatever_the_strategy() {
    let cluster = cluster();
    let topic = cluster.topic(6, &[]);
    for strategy in ["range", "roundrobin", "cooperative-sticky"] {
        let group = unique("group");
        let properties = [("partition.assignment.strategy", strategy)];
        let first = member(&cluster, &group, &topic, &properties);
        share(&[&first], &partitions(&topic, 6));
        let second = member(&cluster, &group, &topic, &properties);
        let third = member(&cluster, &group, &topic, &properties);
        let (_, parts) = share(&[&first, &second, &third], &partitions(&topic, 6));
        assert!(
            parts.iter().all(|part| part.len() == 2),
            "{strategy}: {parts:?}"
        );
    }
}

#[test]
fn a_member_that_leaves_hands_over_at_once() {
    let cluster = cluster();
    let topic = cluster.topic(4, &[]);
    let group = unique("group");
    let properties = [("session.timeout.ms", "45000")];
    let stays = member(&cluster, &group, &topic, &properties);
    let leaves = member(&cluster, &group, &topic, &properties);
    share(&[&stays, &leaves], &partitions(&topic, 4));
    let left = Instant::now();
    drop(leaves);
    share(&[&stays], &partitions(&topic, 4));
    assert!(
        left.elapsed() < Duration::from_secs(20),
        "it waited for the session to expire"
    );
}

#[test]
fn the_partitions_of_a_member_that_vanishes_are_taken_over_from_its_last_commit() {
    let cluster = cluster();
    let topic = cluster.topic(2, &[]);
    let group = unique("group");
    let mut producer = cluster.producer(&[]);
    for partition in 0..2 {
        producer.write(&topic, partition, &numbered(20));
    }
    // This member joins, commits, and is never heard of again: no heartbeat, no farewell.
    let mut vanishing = Member::new(cluster.bootstrap(), &group);
    vanishing.session = Duration::from_secs(6);
    vanishing.join(&[&topic]);
    vanishing.sync_as_leader(&[(&topic, &[0, 1])]);
    assert_eq!(vanishing.commit(&topic, 0, 15), 0);
    assert_eq!(vanishing.commit(&topic, 1, 5), 0);
    drop(vanishing);

    let heir = member(&cluster, &group, &topic, &[]);
    let received = heir.read(20);
    let of = |partition| -> Vec<i64> {
        let own: Vec<Received> = received
            .iter()
            .filter(|r| r.partition == partition)
            .cloned()
            .collect();
        offsets(&own)
    };
    assert_eq!(of(0), (15..20).collect::<Vec<i64>>());
    assert_eq!(of(1), (5..20).collect::<Vec<i64>>());
}

#[test]
fn a_cooperative_member_keeps_what_it_need_not_give_away() {
    let cluster = cluster();
    let topic = cluster.topic(4, &[]);
    let group = unique("group");
    let properties = [("partition.assignment.strategy", "cooperative-sticky")];
    let first = member(&cluster, &group, &topic, &properties);
    share(&[&first], &partitions(&topic, 4));
    let second = member(&cluster, &group, &topic, &properties);
    let (_, parts) = share(&[&first, &second], &partitions(&topic, 4));
    let revoked: BTreeSet<_> = first
        .changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::Revoked(partitions) => Some(partitions),
            Change::Assigned(_) => None,
        })
        .flatten()
        .collect();
    assert_eq!(
        revoked, parts[1],
        "only what the second member got was taken from the first"
    );
}

#[test]
fn a_static_member_comes_back_to_its_partitions_without_a_rebalance() {
    let cluster = cluster();
    let topic = cluster.topic(4, &[]);
    let group = unique("group");
    let with_id = |id| [("group.instance.id", id), ("session.timeout.ms", "45000")];
    let stays = member(&cluster, &group, &topic, &with_id("stays"));
    let restarts = member(&cluster, &group, &topic, &with_id("restarts"));
    let (_, parts) = share(&[&stays, &restarts], &partitions(&topic, 4));
    let changes = stays.changes();
    drop(restarts);
    let restarted = member(&cluster, &group, &topic, &with_id("restarts"));
    let (_, after) = share(&[&stays, &restarted], &partitions(&topic, 4));
    assert_eq!(after, parts);
    assert_eq!(
        stays.changes(),
        changes,
        "the member that stayed noticed nothing"
    );
}

#[test]
fn a_second_member_with_the_same_instance_id_fences_the_first() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let group = unique("group");
    let properties = [("group.instance.id", "only-one")];
    let first = member(&cluster, &group, &topic, &properties);
    share(&[&first], &partitions(&topic, 1));
    let second = member(&cluster, &group, &topic, &properties);
    let error = eventually("the first member is fenced", || {
        second.next(TICK);
        first.poll(TICK)?.err()
    });
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::FencedInstanceId)
    );
    share(&[&second], &partitions(&topic, 1));
}

#[test]
fn no_record_is_lost_while_members_come_and_go() {
    let cluster = cluster();
    let topic = cluster.topic(3, &[]);
    let group = unique("group");
    let mut producer = cluster.producer(&[]);
    let mut seen: BTreeSet<(i32, i64)> = BTreeSet::new();
    let take = |consumer: &Consumer, seen: &mut BTreeSet<(i32, i64)>| {
        if let Some(record) = consumer.next(TICK) {
            seen.insert((record.partition, record.offset));
            // In the middle of a rebalance a commit is refused; the record comes again.
            let _refused = consumer.commit(&topic, record.partition, record.offset + 1);
        }
    };
    let mut members = vec![member(&cluster, &group, &topic, &[])];
    for round in 1..=4_usize {
        for partition in 0..3 {
            producer.write(&topic, partition, &numbered(10));
        }
        match round {
            1 | 2 => members.push(member(&cluster, &group, &topic, &[])),
            3 => drop(members.remove(0)),
            _ => drop(members.pop()),
        }
        eventually("every record of the round has been read", || {
            for consumer in &members {
                take(consumer, &mut seen);
            }
            (seen.len() == round * 30).then_some(())
        });
    }
    assert_eq!(
        seen,
        (0..3).flat_map(|p| (0..40).map(move |o| (p, o))).collect()
    );
}

#[test]
fn a_pattern_finds_topics_that_are_created_later() {
    let cluster = cluster();
    let prefix = unique("pattern");
    let (early, late) = (format!("{prefix}-early"), format!("{prefix}-late"));
    cluster.create(&early, 1, &[]).unwrap();
    cluster.await_topic(&early, 1);
    let consumer = cluster.consumer(
        &unique("group"),
        &[("topic.metadata.refresh.interval.ms", "200")],
    );
    consumer.subscribe(&[&format!("^{prefix}-.*")]);
    share(&[&consumer], &partitions(&early, 1));
    cluster.create(&late, 1, &[]).unwrap();
    share(
        &[&consumer],
        &partitions(&early, 1)
            .union(&partitions(&late, 1))
            .cloned()
            .collect(),
    );
}

#[test]
fn a_group_takes_on_partitions_that_are_added() {
    let cluster = cluster();
    let topic = cluster.topic(1, &[]);
    let consumer = cluster.consumer(
        &unique("group"),
        &[("topic.metadata.refresh.interval.ms", "200")],
    );
    consumer.subscribe(&[&topic]);
    share(&[&consumer], &partitions(&topic, 1));
    cluster.add_partitions(&topic, 3).unwrap();
    share(&[&consumer], &partitions(&topic, 3));
    cluster.await_topic(&topic, 3);
    cluster.producer(&[]).write(&topic, 2, &numbered(1));
    assert_eq!(consumer.read(1)[0].partition, 2);
}
