//! The project's automation: `cargo xtask demo`, `train` and `tidy`.
//!
//! It starts the workspace's binaries as processes of their own and links none of them, so that it
//! builds in seconds and a demo is exactly what a person would start by hand.

mod binaries;
mod compare;
mod console;
mod demo;
mod ensemble;
mod kafka;
mod runtimes;
mod signal;
mod strategies;
mod test;
mod tidy;
mod train;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Automation of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Score wine records on this machine: a broker, a provider and a server, until Ctrl-C.
    Demo(demo::Options),
    /// Compare the strategies: throughput, latency, processor time, memory.
    CompareLatencies(compare::Options),
    /// Train the models in data/ anew and compute their golden scores (Python and Java).
    Train(train::Options),
    /// Run the tests; with --kafka, on Apache Kafka those that any broker must pass; with
    /// --runtimes, those of models with the optional libraries.
    Test(test::Options),
    /// Start and stop Apache Kafka on this machine, without Docker (Java and Maven).
    Kafka(kafka::Options),
    /// Fetch the optional libraries that run models (Python 3 with pip).
    Runtimes(runtimes::Options),
    /// Check the project's own rules; `cargo test` does so too.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::CompareLatencies(options) => compare::run(&options),
        Task::Train(options) => train::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Kafka(options) => kafka::run(&options),
        Task::Runtimes(options) => runtimes::run(&options),
        Task::Tidy => tidy::run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
