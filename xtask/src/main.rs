//! The project's automation: `cargo xtask demo`, `train` and `tidy`.
//!
//! It starts the workspace's binaries as processes of their own and links none of them, so that it
//! builds in seconds and a demo is exactly what a person would start by hand.

mod binaries;
mod console;
mod demo;
mod ensemble;
mod strategies;
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
    /// Train the models in data/ anew and compute their golden scores (Python and Java).
    Train(train::Options),
    /// Check the project's own rules; `cargo test` does so too.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Train(options) => train::run(&options),
        Task::Tidy => tidy::run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
