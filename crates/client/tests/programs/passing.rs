//! What the pass-through does with records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use kafka::{Admin, Outgoing, OwnedMessage};

use crate::process::{PASSTHROUGH, Program, command};
use crate::stream::{Header, broker, connection, create, read_until, send};

/// Writes records to `models_data`: each has its number as its key and the header that is copied,
/// and they take turns among the partitions.
fn write(brokers: &str, partitions: i32, numbers: Range<u32>) {
    create(
        brokers,
        "models_data",
        usize::try_from(partitions).unwrap(),
        &[],
    );
    let keys: Vec<String> = numbers.map(|number| number.to_string()).collect();
    let submitted: Vec<String> = keys.iter().map(|key| format!("17{key}")).collect();
    let headers: Vec<[Header<'_>; 2]> = submitted
        .iter()
        .map(|text| {
            [
                ("submitted-us", Some(text.as_bytes())),
                ("other", Some(b"no".as_slice())),
            ]
        })
        .collect();
    send(
        brokers,
        keys.iter().zip(&headers).map(|(key, headers)| Outgoing {
            topic: "models_data",
            partition: Some(number(key.as_bytes()) % partitions),
            key: Some(key.as_bytes()),
            payload: Some(b"any record"),
            headers,
            timestamp_ms: None,
        }),
    );
}

fn number(key: &[u8]) -> i32 {
    std::str::from_utf8(key).unwrap().parse().unwrap()
}

fn start(brokers: &str, more: &[&str]) -> Program {
    let arguments = [&["--brokers", brokers], more].concat();
    Program::start(PASSTHROUGH, &arguments)
}

/// The numbers of the records whose results these are, by the results' partitions.
fn numbers(results: &[OwnedMessage]) -> BTreeMap<i32, Vec<i32>> {
    let mut numbers: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for result in results {
        let number = number(result.key.as_deref().unwrap());
        numbers
            .entry(result.position.partition)
            .or_default()
            .push(number);
    }
    numbers
}

/// Checks that the results are those of the records below `end`, each once, in the partition and
/// in the order of its record.
fn assert_complete(results: &[OwnedMessage], partitions: i32, end: i32) {
    let numbers = numbers(results);
    let partitions: Vec<i32> = (0..partitions).collect();
    assert_eq!(numbers.keys().copied().collect::<Vec<_>>(), partitions);
    for (partition, numbers) in numbers {
        let expected = (partition..end).step_by(partitions.len());
        let found = numbers.iter().copied();
        // Thousands of numbers would help nobody.
        let differs = expected
            .clone()
            .zip(found)
            .find(|(wanted, found)| wanted != found);
        assert_eq!(differs, None, "in partition {partition}");
        assert_eq!(numbers.len(), expected.len(), "in partition {partition}");
    }
}

#[test]
fn every_record_is_answered_once_in_order_with_its_key_and_the_time_of_its_submission() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    write(&brokers, 3, 0..20_000);
    let passthrough = start(&brokers, &[]);
    let ready = passthrough.complains("ready ");
    assert_eq!(ready, format!("ready passthrough brokers={brokers}"));
    let read = read_until(&brokers, "models_results", |read| read.len() >= 20_000);
    passthrough.interrupt();
    let (status, out, errors) = passthrough.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert_eq!(out.last().unwrap(), "passed 20000 records");
    assert_complete(&read, 3, 20_000);
    for result in read {
        let submitted = format!("17{}", number(result.key.as_deref().unwrap()));
        let header = ("submitted-us".to_owned(), Some(submitted.into()));
        assert_eq!(result.headers, [header]);
        assert_eq!(result.payload.unwrap().len(), 86);
    }
}

#[test]
fn it_goes_on_where_it_stopped() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    for (round, end) in (0..).zip([300, 700, 1000]) {
        let start_at = [0, 300, 700][round];
        write(&brokers, 2, start_at..end);
        let passthrough = start(&brokers, &["--group", "mine", "--quiet"]);
        let end = end as usize;
        read_until(&brokers, "models_results", |read| read.len() >= end);
        passthrough.interrupt();
        let (status, out, errors) = passthrough.end();
        assert_eq!((status.code(), out), (Some(0), vec![]), "{errors}");
    }
    let read = read_until(&brokers, "models_results", |_| true);
    assert_complete(&read, 2, 1000);
}

#[test]
fn records_that_were_not_answered_when_it_was_killed_come_again() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    write(&brokers, 2, 0..100_000);
    let first = start(&brokers, &[]);
    read_until(&brokers, "models_results", |read| read.len() > 1000);
    first.kill();
    let second = start(&brokers, &[]);
    let (mut seen, mut missing) = (0, (0..100_000).collect::<BTreeSet<i32>>());
    read_until(&brokers, "models_results", |read| {
        for result in &read[seen..] {
            missing.remove(&number(result.key.as_deref().unwrap()));
        }
        seen = read.len();
        missing.is_empty()
    });
    second.interrupt();
    assert_eq!(second.end().0.code(), Some(0));
}

#[test]
fn two_share_the_partitions_and_nothing_is_lost_or_repeated_when_one_comes_and_goes() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    create(&brokers, "models_data", 4, &[]);
    let first = start(&brokers, &[]);
    first.complains("ready ");
    write(&brokers, 4, 0..4000);
    let mut second = command(PASSTHROUGH, &["--brokers", &brokers], Path::new("/"));
    second.env("RUST_LOG", "warn,kafka::source=info");
    let second = Program::run(second);
    write(&brokers, 4, 4000..8000);
    // The first assignment of a second member is empty: it has to wait until the first lets go.
    // Who leaves while that goes on may find its last commit refused, and records come again.
    second.complains_of(|line| line.contains("partitions assigned") && !line.contains("=[]"));
    first.interrupt();
    assert_eq!(first.end().0.code(), Some(0));
    write(&brokers, 4, 8000..12_000);
    let read = read_until(&brokers, "models_results", |read| read.len() >= 12_000);
    second.interrupt();
    assert_eq!(second.end().0.code(), Some(0));
    assert_complete(&read, 4, 12_000);
}

#[test]
fn a_result_goes_to_the_partition_of_its_record_modulo_those_that_there_are() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    write(&brokers, 4, 0..400);
    create(&brokers, "models_results", 3, &[]);
    let passthrough = start(&brokers, &[]);
    let read = read_until(&brokers, "models_results", |read| read.len() >= 400);
    passthrough.interrupt();
    assert_eq!(passthrough.end().0.code(), Some(0));
    for (partition, numbers) in numbers(&read) {
        assert!(
            numbers.iter().all(|number| number % 4 % 3 == partition),
            "{partition}: {numbers:?}"
        );
    }
}

#[test]
fn it_waits_for_the_topics_and_makes_the_results_topic_like_that_of_the_records() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    let passthrough = start(&brokers, &[]);
    passthrough.complains("ready ");
    write(&brokers, 5, 0..50);
    let read = read_until(&brokers, "models_results", |read| read.len() >= 50);
    assert_complete(&read, 5, 50);
    let admin = Admin::open(&connection(&brokers)).unwrap();
    assert_eq!(admin.partition_count("models_results").unwrap(), Some(5));
    passthrough.interrupt();
    assert_eq!(passthrough.end().0.code(), Some(0));
}

#[test]
fn it_goes_on_when_its_broker_comes_back_empty() {
    let first = broker("127.0.0.1:0");
    let brokers = first.bootstrap();
    write(&brokers, 2, 0..500);
    let passthrough = start(&brokers, &[]);
    read_until(&brokers, "models_results", |read| read.len() >= 500);
    first.stop();
    let second = broker(&brokers);
    // Fewer than before, so that what was read of the first log lies beyond the end of this one.
    write(&brokers, 2, 1000..1200);
    let new = |read: &[OwnedMessage]| -> Vec<OwnedMessage> {
        // What the first broker had not acknowledged may come before.
        let new = |result: &&OwnedMessage| number(result.key.as_deref().unwrap()) >= 1000;
        read.iter().filter(new).cloned().collect()
    };
    let read = read_until(&brokers, "models_results", |read| new(read).len() >= 200);
    let numbers = numbers(&new(&read));
    for (partition, numbers) in [0, 1].into_iter().zip(numbers.values()) {
        let expected: Vec<i32> = (1000 + partition..1200).step_by(2).collect();
        assert_eq!(*numbers, expected);
    }
    passthrough.interrupt();
    let (status, _, errors) = passthrough.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    second.stop();
}

#[test]
fn records_in_hand_are_answered_however_little_room_the_producer_has() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    write(&brokers, 3, 0..3000);
    let passthrough = start(&brokers, &["-X", "queue.buffering.max.messages=7"]);
    let read = read_until(&brokers, "models_results", |read| read.len() >= 3000);
    passthrough.interrupt();
    assert_eq!(passthrough.end().0.code(), Some(0));
    assert_complete(&read, 3, 3000);
}

#[test]
fn records_in_hand_are_dropped_when_their_log_has_gone() {
    const ROOM: usize = 7;
    let first = broker("127.0.0.1:0");
    let brokers = first.bootstrap();
    write(&brokers, 1, 0..100_000);
    let room = format!("queue.buffering.max.messages={ROOM}");
    let arguments = ["--brokers", &brokers, "-X", &room];
    let mut passthrough = command(PASSTHROUGH, &arguments, Path::new("/"));
    passthrough.env("RUST_LOG", "warn,client=debug");
    let passthrough = Program::run(passthrough);
    passthrough.says("passed ");
    first.stop();
    passthrough.complains("no room for results");
    let second = broker(&brokers);
    write(&brokers, 1, 200_000..200_100);
    let read = read_until(&brokers, "models_results", |read| {
        let last = read.last().and_then(|result| result.key.as_deref());
        last.is_some_and(|key| number(key) == 200_099)
    });
    let numbers = &numbers(&read)[&0];
    let new = numbers.len() - 100;
    assert!(new <= ROOM, "{:?}", &numbers[..new]);
    assert_eq!(numbers[new..], (200_000..200_100).collect::<Vec<i32>>());
    passthrough.interrupt();
    let (status, _, errors) = passthrough.end();
    assert_eq!(status.code(), Some(0), "{errors}");
    second.stop();
}

#[test]
fn a_result_that_cannot_be_delivered_ends_it_and_its_record_is_not_committed() {
    let broker = broker("127.0.0.1:0");
    let brokers = broker.bootstrap();
    write(&brokers, 1, 0..10);
    // A key of two thousand digits.
    let key = format!("{:02000}", 10);
    let large = Outgoing {
        topic: "models_data",
        partition: Some(0),
        key: Some(key.as_bytes()),
        payload: None,
        headers: &[],
        timestamp_ms: None,
    };
    send(&brokers, [large]);
    write(&brokers, 1, 11..20);
    create(
        &brokers,
        "models_results",
        1,
        &[("max.message.bytes", "1500")],
    );
    let (status, _, errors) = start(&brokers, &[]).end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("a result cannot be delivered"), "{errors}");

    let elsewhere = start(&brokers, &["--results-topic", "elsewhere"]);
    let again = read_until(&brokers, "elsewhere", |read| {
        read.last()
            .is_some_and(|result| number(result.key.as_deref().unwrap()) == 19)
    });
    let first = number(again[0].key.as_deref().unwrap());
    assert!(first <= 10, "{first}");
    assert_eq!(numbers(&again)[&0], (first..20).collect::<Vec<i32>>());
    elsewhere.interrupt();
    assert_eq!(elsewhere.end().0.code(), Some(0));
}
