//! The broker, and what is in its topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_kafka::{Broker, Options};
use kafka::{Acknowledge, Admin, Connection, Outgoing, OwnedMessage, Sink, TopicReader, TopicSpec};

use crate::process::PATIENCE;

pub(crate) fn broker(listen: &str) -> Broker {
    Broker::start(Options {
        listen: listen.to_owned(),
        ..Options::default()
    })
    .unwrap()
}

pub(crate) fn connection(brokers: &str) -> Connection {
    Connection::new(brokers, "client-tests")
}

/// Reads a topic until `enough`.
pub(crate) fn read_until(
    brokers: &str,
    topic: &str,
    mut enough: impl FnMut(&[OwnedMessage]) -> bool,
) -> Vec<OwnedMessage> {
    let mut reader = TopicReader::open(&connection(brokers), topic).unwrap();
    let mut read = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !(reader.caught_up() && enough(&read)) {
        read.extend(reader.poll(Duration::from_millis(50)).unwrap());
        assert!(
            Instant::now() < deadline,
            "{} messages in {topic}",
            read.len()
        );
    }
    read
}

struct Delivered;

impl Acknowledge for Delivered {
    fn acknowledged(&self, _ticket: u64, result: kafka::Result<()>) {
        result.unwrap();
    }
}

/// A message's value and headers.
pub(crate) type Written<'a> = (Option<&'a [u8]>, &'a [(&'a str, &'a str)]);

/// Writes messages to partition 0 of a topic, which is created for them.
pub(crate) fn write(brokers: &str, topic: &str, messages: &[Written<'_>]) {
    let connection = connection(brokers);
    let spec = TopicSpec {
        name: topic.to_owned(),
        partitions: 1,
        config: Vec::new(),
    };
    Admin::open(&connection)
        .unwrap()
        .ensure_topic(&spec)
        .unwrap();
    let sink = Sink::open(&connection, Arc::new(Delivered)).unwrap();
    for (ticket, (payload, headers)) in messages.iter().enumerate() {
        let headers: Vec<(&str, Option<&[u8]>)> = headers
            .iter()
            .map(|(name, value)| (*name, Some(value.as_bytes())))
            .collect();
        let outgoing = Outgoing {
            topic,
            partition: Some(0),
            key: None,
            payload: *payload,
            headers: &headers,
            timestamp_ms: None,
        };
        sink.send(&outgoing, ticket as u64).unwrap();
    }
    sink.flush(PATIENCE).unwrap();
}
