//! All that a model-serving strategy needs, except the strategy.
//!
//! Records come in by [`Group::join`], models by [`Context::initial`] and [`Context::updates`]. An
//! [`Operator`] scores the records of one data type with its current model, [`Delivery`] takes the
//! outcomes; where operators stand, and how the two streams meet there, is what a strategy decides.
//! [`launch`] does the rest: settings, topics, readiness, state queries, metrics, signals.
//!
//! What every strategy can rely on, and what it must do for it:
//!
//! - The models topic has been read to its end before a strategy runs: it stages
//!   [`Context::initial`] before the first record.
//! - A record is finished when its result, or its dead letter, is acknowledged, or when it is
//!   dropped as it should be; each partition is committed up to the first record that is not. So a
//!   strategy may do with a [`Batch`] what it likes, and loses no record.
//! - Records of a data type that come from one partition stay in order as long as the strategy
//!   gives them to its operator in order.
//! - What is under way is bounded: the source waits for what is unfinished, and delivery waits for
//!   the sink.

mod batch;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
mod dead_letter;
mod delivery;
mod group;
mod http;
mod launch;
mod models;
mod operator;
mod partitions;
mod progress;
mod queries;
mod readiness;
mod scorer;
mod served;
mod shutdown;
mod state;
mod throttle;
mod topics;
mod tracker;

pub use batch::Batch;
pub use counters::Metrics;
pub use dead_letter::DeadLetterKind;
pub use delivery::Delivery;
pub use group::{Group, Records};
pub use launch::{Context, Settings, Strategy, Updates, launch, serve};
pub use operator::{Operator, Operators, Outcomes};
pub use progress::{Progress, RunningBatch};
pub use prometheus::{IntCounter as Counter, IntGauge as Gauge};
pub use queries::{Answer, Asked, Queries, Question, Questions, StateQuery, questions};
pub use scorer::{Scored, Scorer};
pub use served::ServedModel;
pub use shutdown::Shutdown;
pub use state::ModelState;

/// Why a server cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Kafka, or the way it is set up.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// `--record` names a schema that does not exist.
    #[error("unknown record schema `{name}`; known: {known} (--record)")]
    UnknownSchema {
        /// The name.
        name: String,
        /// The known ones.
        known: String,
    },
    /// The address of the state queries cannot be had.
    #[error("cannot serve state queries at {address}: choose another address with --http")]
    Http {
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// `--http` is no address.
    #[error(
        "`{address}` is no address for state queries: write ADDR:PORT, such as 127.0.0.1:5500 (--http)"
    )]
    HttpSyntax {
        /// What it is.
        address: String,
    },
    /// `--model-roots` names something that is no location.
    #[error("models cannot come from there (--model-roots)")]
    Roots(#[source] model::FetchError),
    /// A message can never be delivered; its record is not committed.
    #[error(
        "a result or a dead letter cannot be delivered, so its record is not committed and comes again: {0}"
    )]
    Undelivered(String),
    /// A part of the server ended early.
    #[error("{0}")]
    Ended(String),
    /// The metrics contradict each other.
    #[error("the metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
    /// Threads or sockets cannot be had.
    #[error("the operating system refuses")]
    System(#[from] std::io::Error),
}

impl Error {
    /// Whether a setting is wrong, so that trying again is no use.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownSchema { .. }
                | Self::HttpSyntax { .. }
                | Self::Roots(_)
                | Self::Kafka(kafka::Error::Reserved { .. } | kafka::Error::Property { .. })
        )
    }
}
