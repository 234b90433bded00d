//! Serves models over HTTP and gRPC, as TensorFlow Serving does.
//!
//! A [`Server`] watches a directory of models, laid out as TensorFlow Serving lays them out
//! (`NAME/VERSION/...`), and answers its REST and gRPC interfaces: with models of every format that
//! this project knows.
//!
//! | what | where |
//! |---|---|
//! | which versions there are, and when one takes over | `watcher`, `snapshot`, `catalogue` |
//! | a version and its signatures | `version`; `saved_model`, `nodes`, `parsing`, `labels` |
//! | what computes | `engine` (graphs), `document` (PMML) |
//! | requests and answers over HTTP | `rest`; `json`, `rows`, `examples`; `answer`, `writer`, `decimal` |
//! | the same over gRPC | `grpc`, `codec`, `examples` |
//! | what both share | `service`, `results`, `failure`, `metrics` |
//! | the process | `server`, `connections`, `launch` |
//!
//! Rules and messages of the real server that clients can see are kept; they are facts of its
//! documentation and source, and none of its code is here.

mod answer;
mod catalogue;
mod codec;
mod connections;
mod decimal;
mod document;
mod engine;
mod examples;
mod failure;
mod grpc;
#[cfg(test)]
mod hostile;
mod json;
mod labels;
mod launch;
mod metrics;
mod nodes;
mod parsing;
mod rest;
mod results;
mod rows;
mod saved_model;
mod server;
mod service;
mod snapshot;
mod version;
mod watcher;
mod writer;

pub use launch::launch;
pub use server::Server;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory of models cannot be read.
    #[error("cannot read the models in {directory}: name another directory with --models")]
    Models {
        /// The directory.
        directory: String,
        /// Why not.
        source: std::io::Error,
    },
    /// An address cannot be had.
    #[error("cannot serve at {address}: choose another address with {flag}")]
    Listen {
        /// The address.
        address: String,
        /// The flag that names it.
        flag: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// What should be an address is none.
    #[error("`{address}` is no address: write ADDR:PORT, such as 127.0.0.1:8501 ({flag})")]
    Syntax {
        /// What it is.
        address: String,
        /// The flag that names it.
        flag: &'static str,
    },
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
        matches!(self, Self::Syntax { .. })
    }
}
