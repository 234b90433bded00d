//! A Kafka broker for one machine, in memory.
//!
//! [`Broker::start`] starts a broker that real clients work against: producers, idempotent ones
//! too, consumers and consumer groups, and the administration of topics and groups. Nothing is
//! written to disk and nothing outlives the broker. It serves local runs and tests; it has no
//! replication, no access control, no encryption and, so far, no transactions and no compaction.
//!
//! ```
//! use embedded_kafka::{Broker, Options};
//!
//! let broker = Broker::start(Options { listen: "127.0.0.1:0".into(), ..Options::default() })?;
//! let bootstrap_servers = broker.bootstrap();
//! # assert!(bootstrap_servers.starts_with("127.0.0.1:"));
//! broker.stop();
//! # Ok::<(), embedded_kafka::Error>(())
//! ```
//!
//! The protocol's messages are those of the `kafka-protocol` crate. A connection's requests are
//! answered one after the other (`server`, `wire`, `api`); a topic's partition is a log of record
//! batches, kept as their producers sent them (`topics`, `partition`, `log`, `batch`); consumer groups are
//! state machines (`group`); `retention` bounds what is kept.

mod api;
mod batch;
mod broker;
mod clock;
mod compression;
mod config;
mod error;
mod frame;
mod group;
mod guard;
mod log;
mod node;
mod options;
mod partition;
mod producers;
mod records;
mod rejection;
mod retention;
#[cfg(test)]
mod samples;
mod server;
mod topics;
mod wire;

pub use broker::Broker;
pub use error::Error;
pub use options::Options;
