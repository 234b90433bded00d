//! A broker that comes back at the same address without its log.

use std::ops::Range;
use std::time::Duration;

use kafka::{Batch, Position, TopicReader};

use crate::cluster::{
    Change, Mortal, PATIENCE, catch_up, create, eventually, join, plain, read, send, sink, take,
    text, write,
};

const STEP: Duration = Duration::from_millis(50);

/// A source that has read a hundred messages, and committed that, reads the whole new log.
fn a_source_reads_the_new_log(numbers: Range<u64>, absent: Duration) {
    let mut mortal = Mortal::new();
    let connection = mortal.connection();
    create(&connection, "numbers", 1);
    write(&connection, "numbers", 0, 0..100);
    let (mut source, member) = join(&connection, "group", "numbers");
    take(&mut source, 100);
    let stale = [Position {
        partition: 0,
        offset: 100,
    }];
    source.commit_sync(&stale).unwrap();

    mortal.stop();
    let mut batch = Batch::new();
    let gone = std::time::Instant::now();
    while gone.elapsed() < absent {
        source.poll(&mut batch, 100, STEP).unwrap();
        assert!(batch.is_empty());
    }
    mortal.start();
    create(&connection, "numbers", 1);
    write(&connection, "numbers", 0, numbers.clone());

    let count = numbers.clone().count();
    let mut values: Vec<u64> = Vec::new();
    let mut refused = false;
    eventually("the new log is read and its end is committed", || {
        source.poll(&mut batch, 100, STEP).unwrap();
        member.finish(&batch);
        values.extend(
            batch
                .iter()
                .map(|message| text(message.payload).parse::<u64>().unwrap()),
        );
        if !refused && !batch.is_empty() && count < 100 {
            // Beyond the new log: left out.
            source.commit_sync(&stale).unwrap();
            refused = true;
        }
        let end = Position {
            partition: 0,
            offset: i64::try_from(count).unwrap(),
        };
        // Refused while the group still has to find out that it is gone.
        (member.positions() == [end] && source.commit_sync(&[end]).is_ok()).then_some(())
    });
    // The log may be found to be new before the group is; then its start is read twice.
    let first = numbers.clone().take(values.len());
    assert!(values.iter().copied().take(count).eq(first), "{values:?}");
    assert!(values.ends_with(&[numbers.end - 1]), "{values:?}");
    let changes = member.changes();
    assert!(
        changes.contains(&Change::Revoked(vec![0], true)),
        "{changes:?}"
    );
    assert_eq!(
        changes.last(),
        Some(&Change::Assigned(vec![0])),
        "{changes:?}"
    );

    source.close();
    write(&connection, "numbers", 0, 7..8);
    let (mut source, _) = join(&connection, "group", "numbers");
    let again = take(&mut source, 1);
    assert_eq!(
        again[0],
        (
            Position {
                partition: 0,
                offset: i64::try_from(count).unwrap()
            },
            "7".to_owned()
        )
    );
}

#[test]
fn a_source_skips_nothing_of_a_new_log_that_is_shorter() {
    a_source_reads_the_new_log(1000..1020, Duration::ZERO);
}

#[test]
fn a_source_skips_nothing_of_a_new_log_that_is_longer() {
    a_source_reads_the_new_log(1000..1300, Duration::ZERO);
}

#[test]
fn a_source_waits_for_a_broker_that_is_away_for_longer_than_its_session() {
    a_source_reads_the_new_log(1000..1150, Duration::from_secs(7));
}

/// A reader that has read a hundred messages reads the whole new log.
fn a_reader_reads_the_new_log(numbers: Range<u64>) {
    let mut mortal = Mortal::new();
    let connection = mortal.connection();
    create(&connection, "numbers", 1);
    write(&connection, "numbers", 0, 0..100);
    let mut reader = TopicReader::open(&connection, "numbers").unwrap();
    assert_eq!(catch_up(&mut reader).len(), 100);

    mortal.restart();
    create(&connection, "numbers", 1);
    write(&connection, "numbers", 0, numbers.clone());
    let again = read(&mut reader, numbers.clone().count());
    let values: Vec<u64> = again
        .iter()
        .map(|message| text(message.payload.as_deref()).parse().unwrap())
        .collect();
    assert_eq!(values, numbers.collect::<Vec<_>>());
    assert!(reader.caught_up());
}

#[test]
fn a_reader_skips_nothing_of_a_new_log_that_is_shorter() {
    a_reader_reads_the_new_log(1000..1020);
}

#[test]
fn a_reader_skips_nothing_of_a_new_log_that_is_longer() {
    a_reader_reads_the_new_log(1000..1300);
}

#[test]
fn a_reader_skips_nothing_of_a_topic_that_comes_later_than_its_broker() {
    let mut mortal = Mortal::new();
    let connection = mortal.connection();
    create(&connection, "numbers", 1);
    write(&connection, "numbers", 0, 0..100);
    let mut reader = TopicReader::open(&connection, "numbers").unwrap();
    assert_eq!(catch_up(&mut reader).len(), 100);
    mortal.restart();
    eventually("the reader has seen that the topic is gone", || {
        assert_eq!(reader.poll(STEP).unwrap(), None);
        (reader.topic_exists() == Some(false)).then_some(())
    });
    create(&connection, "numbers", 1);
    write(&connection, "numbers", 0, 1000..1200);
    assert_eq!(read(&mut reader, 200)[0].position.offset, 0);
}

#[test]
fn a_sink_delivers_everything_in_order_across_restarts_of_its_broker() {
    const COUNT: u64 = 30_000;
    let mut mortal = Mortal::new();
    let connection = mortal.connection();
    create(&connection, "numbers", 2);
    let (sink, acknowledged) = sink(&connection);
    for number in 0..COUNT {
        let partition = i32::from(number % 2 == 1);
        send(
            &sink,
            &plain("numbers", partition, number.to_string().as_bytes()),
            number,
        );
        if number % 10 == 0 {
            sink.poll(Duration::ZERO);
        }
        if number == COUNT / 3 || number == COUNT / 2 {
            mortal.restart();
            create(&connection, "numbers", 2);
        }
    }
    sink.flush(PATIENCE).unwrap();
    assert!(
        acknowledged.delivered(COUNT),
        "{}",
        acknowledged.all().len()
    );

    let all = catch_up(&mut TopicReader::open(&connection, "numbers").unwrap());
    for partition in 0..2u64 {
        let of_it = all
            .iter()
            .filter(|message| message.position.partition == i32::from(partition == 1));
        let values: Vec<u64> = of_it
            .map(|message| text(message.payload.as_deref()).parse().unwrap())
            .collect();
        // What was in flight when the broker died may come twice, but whole and in order.
        let mut next = values[0];
        for value in &values {
            assert!(*value <= next, "{value} came when {next} was due");
            if *value == next {
                next += 2;
            }
        }
        assert_eq!(next, COUNT + partition);
        // What was sent before may have gone with the old log; what was sent after may not.
        assert!(values[0] <= COUNT / 2 + 2, "{}", values[0]);
    }
}

#[test]
fn a_sink_waits_for_a_broker_that_is_away_and_a_topic_that_comes_later_still() {
    let mut mortal = Mortal::new();
    let connection = mortal.connection();
    create(&connection, "numbers", 1);
    let (sink, acknowledged) = sink(&connection);
    for number in 0..10 {
        send(
            &sink,
            &plain("numbers", 0, number.to_string().as_bytes()),
            number,
        );
    }
    sink.flush(PATIENCE).unwrap();
    mortal.stop();
    for number in 10..1000 {
        send(
            &sink,
            &plain("numbers", 0, number.to_string().as_bytes()),
            number,
        );
    }
    assert!(sink.flush(Duration::from_millis(500)).is_err());
    mortal.start();
    assert!(sink.flush(Duration::from_millis(500)).is_err());
    create(&connection, "numbers", 1);
    sink.flush(PATIENCE).unwrap();
    assert!(acknowledged.delivered(1000));
    let all = catch_up(&mut TopicReader::open(&connection, "numbers").unwrap());
    let values: Vec<u64> = all
        .iter()
        .map(|message| text(message.payload.as_deref()).parse().unwrap())
        .collect();
    assert_eq!(values, (10..1000).collect::<Vec<_>>());
}
