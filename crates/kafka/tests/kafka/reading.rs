//! Readers of whole topics.

use std::time::Duration;

use kafka::TopicReader;

use crate::cluster::{catch_up, connection, create, eventually, read, text, topic, unique, write};

#[test]
fn a_reader_knows_when_it_has_read_what_was_there_and_goes_on() {
    let connection = connection();
    let topic = topic(&connection, 2);
    write(&connection, &topic, 0, 0..500);
    write(&connection, &topic, 1, 500..600);
    let mut reader = TopicReader::open(&connection, &topic).unwrap();
    assert!(!reader.caught_up());
    let all = catch_up(&mut reader);
    assert_eq!(all.len(), 600);
    assert_eq!(reader.topic_exists(), Some(true));
    write(&connection, &topic, 1, 600..601);
    let more = read(&mut reader, 1);
    assert_eq!(text(more[0].payload.as_deref()), "600");
    assert!(reader.caught_up());
}

#[test]
fn an_empty_topic_is_caught_up_with() {
    let connection = connection();
    let topic = topic(&connection, 3);
    let mut reader = TopicReader::open(&connection, &topic).unwrap();
    assert!(catch_up(&mut reader).is_empty());
    assert_eq!(reader.topic_exists(), Some(true));
}

#[test]
fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let connection = connection();
    let name = unique("late");
    let mut reader = TopicReader::open(&connection, &name).unwrap();
    assert!(catch_up(&mut reader).is_empty());
    assert_eq!(reader.topic_exists(), Some(false));
    create(&connection, &name, 1);
    write(&connection, &name, 0, 0..3);
    assert_eq!(read(&mut reader, 3).len(), 3);
    assert_eq!(reader.topic_exists(), Some(true));
}

#[test]
fn a_topic_that_is_deleted_and_created_again_is_read_from_its_new_start() {
    let connection = connection();
    let topic = topic(&connection, 1);
    write(&connection, &topic, 0, 0..10);
    let mut reader = TopicReader::open(&connection, &topic).unwrap();
    assert_eq!(catch_up(&mut reader).len(), 10);
    kafka::Admin::open(&connection)
        .unwrap()
        .delete_topic(&topic)
        .unwrap();
    eventually("the reader has seen it go", || {
        assert_eq!(reader.poll(Duration::from_millis(50)).unwrap(), None);
        (reader.topic_exists() == Some(false)).then_some(())
    });
    create(&connection, &topic, 1);
    write(&connection, &topic, 0, 100..104);
    let again = read(&mut reader, 4);
    let values: Vec<String> = again
        .iter()
        .map(|message| text(message.payload.as_deref()))
        .collect();
    assert_eq!(values, ["100", "101", "102", "103"]);
}

#[test]
fn without_a_broker_a_reader_has_not_caught_up() {
    // A port that nobody listens on: bound, then released.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    drop(socket);
    let mut reader =
        TopicReader::open(&kafka::Connection::new(address, "kafka-tests"), "any").unwrap();
    assert_eq!(reader.poll(Duration::from_millis(300)).unwrap(), None);
    assert!(!reader.caught_up());
    assert_eq!(reader.topic_exists(), None);
}
