//! Typed settings: one struct per program, passed by value.
//!
//! A setting has one name. `--data-topic` on the command line is `data-topic` in the file and
//! `MODEL_SERVING_DATA_TOPIC` in the environment. A later source wins over an earlier one:
//! default, file, environment, command line. The file is the one that `--config` names, else
//! `model-serving.toml` in the working directory if there is one; all programs can share it, so a
//! key that another program knows is accepted and a key that none knows is an error.
//!
//! To give a program a setting, add a field to its struct; to give the project a program, add a
//! struct and a line in [`known_keys`].

mod basics;
mod client;
mod inference;
mod interval;
mod load;
mod locations;
mod server;
mod size;
mod tf_serving;

pub use basics::{Basics, DEFAULT_BROKERS, Origin};
pub use client::{
    DataProvider, DataReader, KeyChoice, LatencyMeter, ModelStateQuery, Passthrough, RecordChoice,
    Shown,
};
pub use inference::InferenceServer;
pub use interval::Interval;
pub use load::{Environment, FILE_NAME, Program, Settings, load, load_from, parse};
pub use locations::Locations;
pub use server::{
    GraphRuntime, KeyedServer, MicrobatchServer, OnNoModel, Outputs, PartitionedServer,
    RuntimeChoice, Server, Trigger, Workers,
};
pub use size::Size;
pub use tf_serving::{Endpoint, RequestFormat, TfServingServer};

use std::collections::BTreeSet;

/// What went wrong between the sources and the settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the environment does not parse; or help was asked for.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file that `--config` names cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {path} is not valid TOML")]
    Syntax {
        /// The file.
        path: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The file has a key that no program knows.
    #[error("unknown key `{key}` in {path}; known keys: {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The file.
        path: String,
        /// Every key that some program knows.
        known: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("a setting in {path} is not valid")]
    Invalid {
        /// The file.
        path: String,
        /// Which, and why.
        source: Box<figment::Error>,
    },
    /// The settings cannot be written as TOML.
    #[error("the settings cannot be written as TOML")]
    Dump(#[from] toml::ser::Error),
}

impl Error {
    /// Whether the user asked for help or the version: not a failure.
    #[must_use]
    pub fn is_help(&self) -> bool {
        matches!(self, Self::Usage(error) if error.exit_code() == 0)
    }
}

/// Every key that some program knows: what the shared file may hold.
#[must_use]
pub fn known_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    load::add_keys::<Server>(&mut keys);
    load::add_keys::<KeyedServer>(&mut keys);
    load::add_keys::<PartitionedServer>(&mut keys);
    load::add_keys::<MicrobatchServer>(&mut keys);
    load::add_keys::<TfServingServer>(&mut keys);
    load::add_keys::<InferenceServer>(&mut keys);
    load::add_keys::<DataProvider>(&mut keys);
    load::add_keys::<DataReader>(&mut keys);
    load::add_keys::<Passthrough>(&mut keys);
    load::add_keys::<LatencyMeter>(&mut keys);
    load::add_keys::<ModelStateQuery>(&mut keys);
    keys
}
