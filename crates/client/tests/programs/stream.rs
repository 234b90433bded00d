//! The broker, and what is in its topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded_kafka::{Broker, Options};
use kafka::{
    Acknowledge, Admin, Connection, Outgoing, OwnedMessage, SendError, Sink, TopicReader, TopicSpec,
};

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

/// Creates a topic, unless it exists.
pub(crate) fn create(brokers: &str, topic: &str, partitions: usize, config: &[(&str, &str)]) {
    let config = config
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let spec = TopicSpec {
        name: topic.to_owned(),
        partitions,
        config: config.collect(),
    };
    let admin = Admin::open(&connection(brokers)).unwrap();
    admin.ensure_topic(&spec).unwrap();
}

/// Sends messages, and waits until they are written.
pub(crate) fn send<'a>(brokers: &str, messages: impl IntoIterator<Item = Outgoing<'a>>) {
    let sink = Sink::open(&connection(brokers), Arc::new(Delivered)).unwrap();
    for message in messages {
        while let Err(error) = sink.send(&message, 0) {
            assert!(matches!(error, SendError::QueueFull), "{error}");
            sink.poll(Duration::from_millis(10));
        }
    }
    sink.flush(PATIENCE).unwrap();
}

/// A header as it is sent.
pub(crate) type Header<'a> = (&'a str, Option<&'a [u8]>);
/// A message's value and headers.
pub(crate) type Written<'a> = (Option<&'a [u8]>, &'a [(&'a str, &'a str)]);

/// Writes messages to partition 0 of a topic, which is created for them.
pub(crate) fn write(brokers: &str, topic: &str, messages: &[Written<'_>]) {
    create(brokers, topic, 1, &[]);
    let headers: Vec<Vec<Header<'_>>> = messages
        .iter()
        .map(|(_, headers)| {
            let headers = headers.iter();
            headers
                .map(|(name, value)| (*name, Some(value.as_bytes())))
                .collect()
        })
        .collect();
    let messages = messages.iter().zip(&headers);
    send(
        brokers,
        messages.map(|((payload, _), headers)| Outgoing {
            topic,
            partition: Some(0),
            key: None,
            payload: *payload,
            headers,
            timestamp_ms: None,
        }),
    );
}
