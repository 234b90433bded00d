//! What can go wrong.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between this process and Kafka.
///
/// A broker that is away is none of it: it is logged and waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A librdkafka property that may not be set, because the program would lose or repeat
    /// messages.
    #[error("the property {name} cannot be set: {reason}")]
    Reserved {
        /// The property's name.
        name: String,
        /// Why it is reserved.
        reason: &'static str,
    },
    /// A property that librdkafka does not know, or a value it refuses.
    #[error("the property {name}={value} is refused: {reason}")]
    Property {
        /// The property's name.
        name: String,
        /// The refused value.
        value: String,
        /// librdkafka's reason.
        reason: String,
    },
    /// A client could not be made or used.
    #[error("cannot {action}")]
    Client {
        /// What was tried.
        action: &'static str,
        /// librdkafka's reason.
        #[source]
        source: KafkaError,
    },
    /// A request about a topic failed.
    #[error("cannot {action} topic {topic}")]
    Topic {
        /// What was tried.
        action: &'static str,
        /// The topic's name.
        topic: String,
        /// The broker's or librdkafka's reason.
        #[source]
        source: RDKafkaErrorCode,
    },
    /// A message was not delivered, and sending it again would not help.
    #[error("message to topic {topic} was not delivered")]
    Delivery {
        /// The topic's name.
        topic: String,
        /// The broker's or librdkafka's reason.
        #[source]
        source: RDKafkaErrorCode,
    },
    /// A message is larger than the broker or the topic takes.
    #[error("message of {size} bytes to topic {topic} is larger than the topic takes")]
    TooLarge {
        /// The topic's name.
        topic: String,
        /// Bytes of key, value and headers.
        size: usize,
    },
    /// A message names a partition that the topic does not have.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic's name.
        topic: String,
        /// The partition that it lacks.
        partition: i32,
    },
    /// The system has no thread for a reader.
    #[error("cannot start a thread")]
    Thread {
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Something did not happen in time.
    #[error("{what} took longer than {after:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// No broker answered in time.
    #[error("no broker at {brokers} after {after:.1?}")]
    NoBroker {
        /// The addresses that were tried.
        brokers: String,
        /// How long.
        after: Duration,
    },
}

/// Why a message was not accepted by [`Sink::send`](crate::Sink::send). Its ticket will not be
/// acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// As much is in flight as fits, or the sink is recovering: poll it, then try again.
    #[error("the queue of the sink is full")]
    QueueFull,
    /// The message is larger than this sink takes; no try will succeed.
    #[error("message of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Bytes of key, value and headers.
        size: usize,
        /// Bytes that the sink takes (`message.max.bytes`).
        limit: usize,
    },
    /// No try will succeed for another reason, such as a partition that does not exist.
    #[error(transparent)]
    Refused(#[from] Error),
}
