//! Sources: groups, commits, batches, back-pressure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kafka::{Batch, Outgoing, Position, Source};

use crate::cluster::{
    Change, PATIENCE, connection, eventually, join, now_ms, send, sink, take, topic, unique, write,
};

fn values(taken: &[(Position, String)]) -> Vec<u64> {
    let mut values: Vec<u64> = taken
        .iter()
        .map(|(_, text)| text.parse().unwrap())
        .collect();
    values.sort_unstable();
    values
}

#[test]
fn a_new_group_starts_at_the_earliest_message_and_a_known_one_where_it_committed() {
    let connection = connection();
    let topic = topic(&connection, 1);
    let group = unique("group");
    write(&connection, &topic, 0, 0..100);
    let (mut source, member) = join(&connection, &group, &topic);
    let taken = take(&mut source, 100);
    assert_eq!(values(&taken), (0..100).collect::<Vec<_>>());
    assert_eq!(member.changes(), [Change::Assigned(vec![0])]);
    source
        .commit_sync(&[Position {
            partition: 0,
            offset: 60,
        }])
        .unwrap();
    source.close();
    assert_eq!(member.changes()[1..], [Change::Revoked(vec![0], false)]);

    let (mut source, _) = join(&connection, &group, &topic);
    assert_eq!(
        values(&take(&mut source, 40)),
        (60..100).collect::<Vec<_>>()
    );
}

#[test]
fn a_batch_is_what_was_waiting_and_never_more_than_asked_for() {
    let connection = connection();
    let topic = topic(&connection, 1);
    write(&connection, &topic, 0, 0..1000);
    let (mut source, _) = join(&connection, &unique("group"), &topic);
    let mut batch = Batch::new();
    let mut sizes = Vec::new();
    eventually("all messages came", || {
        source
            .poll(&mut batch, 64, Duration::from_millis(100))
            .unwrap();
        sizes.push(batch.len());
        (sizes.iter().sum::<usize>() == 1000).then_some(())
    });
    assert!(sizes.iter().all(|size| *size <= 64), "{sizes:?}");
    assert!(sizes.contains(&64), "{sizes:?}");
    // Nothing waits for a batch to fill.
    write(&connection, &topic, 0, 0..1);
    let start = Instant::now();
    eventually("the message came", || {
        source
            .poll(&mut batch, 64, Duration::from_secs(30))
            .unwrap();
        (batch.len() == 1).then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn who_only_attends_gives_partitions_to_others_and_reads_on_from_there() {
    let connection = connection();
    let topic = topic(&connection, 2);
    let group = unique("group");
    write(&connection, &topic, 0, 0..100);
    write(&connection, &topic, 1, 100..200);
    let (mut first, member) = join(&connection, &group, &topic);
    let mut batch = Batch::new();
    let mut came = Vec::new();
    let mut attend = |first: &mut Source| {
        first.attend(&mut batch).unwrap();
        came.extend(batch.iter().map(|message| message.position));
    };
    eventually("the first has both partitions", || {
        attend(&mut first);
        (first.partitions() == [0, 1]).then_some(())
    });
    let (mut second, _) = join(&connection, &group, &topic);
    let mut taken = Batch::new();
    let mut of_second = 0;
    eventually("each has one partition", || {
        attend(&mut first);
        let wait = Duration::from_millis(20);
        second.poll(&mut taken, 1000, wait).unwrap();
        of_second += taken.len();
        (second.partitions().len() == 1 && first.partitions().len() == 1).then_some(())
    });
    let kept = first.partitions()[0];
    let gone = Change::Revoked(vec![1 - kept], false);
    assert_eq!(member.changes()[..2], [Change::Assigned(vec![0, 1]), gone]);
    came.retain(|position| position.partition == kept);
    let rest = take(&mut first, 100 - came.len());
    let offsets = came
        .iter()
        .chain(rest.iter().map(|(position, _)| position))
        .map(|position| position.offset);
    assert!(offsets.eq(0..100), "each message of partition {kept}, once");
    assert_eq!(of_second + take(&mut second, 100 - of_second).len(), 100);
}

#[test]
fn what_a_message_carries_is_in_the_batch() {
    let connection = connection();
    let topic = topic(&connection, 1);
    let (sink, _) = sink(&connection);
    let headers: [(&str, Option<&[u8]>); 3] =
        [("a", Some(b"1")), ("null", None), ("a", Some(b"2"))];
    let time = now_ms() - 12_345;
    let full = Outgoing {
        topic: &topic,
        partition: None,
        key: Some(b"key"),
        payload: Some(b"value"),
        headers: &headers,
        timestamp_ms: Some(time),
    };
    send(&sink, &full, 0);
    send(
        &sink,
        &Outgoing {
            key: None,
            payload: None,
            headers: &[],
            ..full
        },
        1,
    );
    sink.flush(PATIENCE).unwrap();

    let (mut source, _) = join(&connection, &unique("group"), &topic);
    let mut batch = Batch::new();
    let mut seen = 0;
    eventually("both messages came", || {
        source
            .poll(&mut batch, 10, Duration::from_millis(100))
            .unwrap();
        for message in batch.iter() {
            seen += 1;
            assert_eq!(message.timestamp_ms, Some(time));
            if message.position.offset == 0 {
                assert_eq!(
                    (message.key, message.payload),
                    (Some(&b"key"[..]), Some(&b"value"[..]))
                );
                assert!(message.headers().eq(headers));
                assert_eq!(message.header("a"), Some(&b"2"[..]));
                assert_eq!(message.header("null"), None);
                assert_eq!(message.header("absent"), None);
            } else {
                assert_eq!((message.key, message.payload), (None, None));
                assert_eq!(message.headers().len(), 0);
            }
        }
        (seen == 2).then_some(())
    });
    assert!(batch.get(batch.len()).is_none());
}

#[test]
fn two_members_share_and_the_one_that_stays_takes_over() {
    let connection = connection();
    let topic = topic(&connection, 4);
    let group = unique("group");
    let (mut first, one) = join(&connection, &group, &topic);
    let mut batch = Batch::new();
    let step = Duration::from_millis(50);
    eventually("the first holds everything", || {
        first.poll(&mut batch, 100, step).unwrap();
        (first.partitions() == [0, 1, 2, 3]).then_some(())
    });
    let (mut second, two) = join(&connection, &group, &topic);
    let mut other = Batch::new();
    eventually("they share", || {
        first.poll(&mut batch, 100, step).unwrap();
        second.poll(&mut other, 100, step).unwrap();
        (first.partitions().len() == 2 && second.partitions().len() == 2).then_some(())
    });
    let held: BTreeSet<i32> = first
        .partitions()
        .into_iter()
        .chain(second.partitions())
        .collect();
    assert_eq!(held, BTreeSet::from([0, 1, 2, 3]));

    for partition in 0..4 {
        write(&connection, &topic, partition, 0..50);
    }
    let mut taken = 0;
    eventually("both read their part", || {
        first.poll(&mut batch, 100, step).unwrap();
        one.finish(&batch);
        second.poll(&mut other, 100, step).unwrap();
        two.finish(&other);
        taken += batch.len() + other.len();
        (taken == 200).then_some(())
    });
    // The second leaves: it commits what it finished, and the first continues behind it.
    second.close();
    assert!(matches!(two.changes().last(), Some(Change::Revoked(held, false)) if held.len() == 2));
    for partition in 0..4 {
        write(&connection, &topic, partition, 50..60);
    }
    let mut taken = Vec::new();
    eventually("the first reads everything", || {
        first.poll(&mut batch, 100, step).unwrap();
        taken.extend(batch.iter().map(|message| message.position.offset));
        (taken.len() >= 40).then_some(())
    });
    assert_eq!(taken.len(), 40);
    assert!(
        taken.iter().all(|offset| (50..60).contains(offset)),
        "{taken:?}"
    );
}

#[test]
fn a_member_that_waits_for_messages_lets_another_in_at_once() {
    const LONG: Duration = Duration::from_secs(40);
    let connection = connection();
    let topic = topic(&connection, 2);
    let group = unique("group");
    let (mut first, one) = join(&connection, &group, &topic);
    let mut batch = Batch::new();
    let step = Duration::from_millis(50);
    eventually("the first holds everything", || {
        first.poll(&mut batch, 10, step).unwrap();
        (first.partitions() == [0, 1]).then_some(())
    });
    let start = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut batch = Batch::new();
            first.poll(&mut batch, 10, LONG).unwrap();
            batch.len()
        });
        let (mut second, _) = join(&connection, &group, &topic);
        eventually("the second has its part", || {
            second.poll(&mut batch, 10, step).unwrap();
            (second.partitions().len() == 1).then_some(())
        });
        assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
        // What the first still holds ends its wait.
        let left = one.changes().iter().find_map(|change| match change {
            Change::Revoked(partitions, false) => Some(1 - partitions[0]),
            _ => None,
        });
        write(&connection, &topic, left.unwrap(), 0..1);
        assert_eq!(waiting.join().unwrap(), 1);
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    });
}

#[test]
fn more_members_than_partitions_leave_one_with_an_empty_assignment() {
    let connection = connection();
    let topic = topic(&connection, 1);
    let group = unique("group");
    let (mut first, _) = join(&connection, &group, &topic);
    let mut batch = Batch::new();
    let step = Duration::from_millis(50);
    eventually("the first holds the partition", || {
        first.poll(&mut batch, 10, step).unwrap();
        (first.partitions() == [0]).then_some(())
    });
    let (mut second, two) = join(&connection, &group, &topic);
    eventually("the second has its empty assignment", || {
        first.poll(&mut batch, 10, step).unwrap();
        second.poll(&mut batch, 10, step).unwrap();
        (!two.changes().is_empty()).then_some(())
    });
    let empty = first.partitions().is_empty() || second.partitions().is_empty();
    assert!(empty, "{first:?} {second:?}");
}

#[test]
fn a_paused_source_keeps_its_partitions_and_continues_without_a_gap() {
    let connection = connection();
    let topic = topic(&connection, 1);
    write(&connection, &topic, 0, 0..1000);
    let (mut source, member) = join(&connection, &unique("group"), &topic);
    let mut batch = Batch::new();
    let mut taken = Vec::new();
    let mut poll = |source: &mut Source, taken: &mut Vec<i64>| {
        source
            .poll(&mut batch, 100, Duration::from_millis(100))
            .unwrap();
        taken.extend(batch.iter().map(|message| message.position.offset));
        batch.len()
    };
    eventually("messages came", || {
        (poll(&mut source, &mut taken) > 0).then_some(())
    });
    source.pause().unwrap();
    assert!(source.paused());
    let before = taken.len();
    for _ in 0..10 {
        assert_eq!(poll(&mut source, &mut taken), 0);
    }
    assert_eq!(taken.len(), before);
    source.resume().unwrap();
    eventually("the rest came", || {
        poll(&mut source, &mut taken);
        (taken.len() >= 1000).then_some(())
    });
    assert_eq!(taken, (0..1000).collect::<Vec<i64>>());
    assert_eq!(member.changes(), [Change::Assigned(vec![0])]);
}

#[test]
fn positions_that_were_not_handed_out_are_not_committed() {
    let connection = connection();
    let topic = topic(&connection, 1);
    let group = unique("group");
    write(&connection, &topic, 0, 0..10);
    let (mut source, _) = join(&connection, &group, &topic);
    take(&mut source, 10);
    let stale = [
        Position {
            partition: 0,
            offset: 11,
        },
        Position {
            partition: 0,
            offset: -1,
        },
        Position {
            partition: 5,
            offset: 1,
        },
    ];
    source.commit_sync(&stale).unwrap();
    source.close();
    let (mut source, _) = join(&connection, &group, &topic);
    assert_eq!(values(&take(&mut source, 10)), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_topic_created_after_the_source_was_opened_is_found() {
    let connection = connection();
    let name = unique("late");
    let (mut source, _) = join(&connection, &unique("group"), &name);
    let mut batch = Batch::new();
    for _ in 0..5 {
        source
            .poll(&mut batch, 10, Duration::from_millis(100))
            .unwrap();
        assert!(batch.is_empty());
    }
    crate::cluster::create(&connection, &name, 2);
    write(&connection, &name, 1, 0..5);
    assert_eq!(values(&take(&mut source, 5)), [0, 1, 2, 3, 4]);
}
