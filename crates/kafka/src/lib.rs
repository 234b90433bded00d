//! Kafka sources, sinks and administration, on librdkafka.
//!
//! This crate is the only one that knows librdkafka. It carries bytes and positions and knows no
//! message format.
//!
//! - [`Source`]: a member of a consumer group; natural batches, manual commits.
//! - [`TopicReader`]: a whole topic, outside any group, which knows when it has caught up.
//! - [`Sink`]: an ordered, idempotent producer that acknowledges every message exactly once.
//! - [`Admin`]: topics, partitions, and waiting for a broker.
//!
//! # A broker that goes away
//!
//! Once open, a source, a reader and a sink wait for their broker without limit. A broker may also
//! come back *empty* on the same address (the embedded one keeps its log in memory). Then
//!
//! - a source is told that its partitions are lost, is assigned them again, and starts at the
//!   earliest message of the new log; it refuses to commit positions that it did not hand out
//!   since (see [`Source::commit`]);
//! - a reader starts over at the earliest message;
//! - a sink opens a new producer where librdkafka declares the old one dead, and sends again what
//!   was not acknowledged, in order (see [`Sink`]).

mod admin;
mod batch;
mod connection;
mod error;
mod journal;
mod native;
mod reader;
mod sink;
mod source;

pub use admin::{Admin, TopicSpec, wait_for_broker};
pub use batch::{Batch, Headers, Message};
pub use connection::{Connection, LARGEST_MESSAGE};
pub use error::{Error, Result, SendError};
pub use reader::{OwnedMessage, TopicReader};
pub use sink::{Acknowledge, Outgoing, Sink};
pub use source::{Assignment, Committer, Source};

/// A place in a partition of a topic.
///
/// As a thing to commit, the offset is that of the first message that is *not* finished, which is
/// what Kafka stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The partition, from 0.
    pub partition: i32,
    /// The offset within the partition, from 0.
    pub offset: i64,
}
