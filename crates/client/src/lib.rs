//! Publishes records and models, and reads what is in the topics.
//!
//! The programs are one call each: `data_provider` is [`provider::run`], `data_reader` is
//! [`reader::run`]. What they share is who ends them ([`Interrupt`]) and where they log ([`log`]).

mod arrival;
mod interrupt;
pub mod log;
pub mod meter;
pub mod passthrough;
pub mod provider;
pub mod query;
pub mod reader;
mod wine;

use std::io;
use std::process::ExitCode;

pub use interrupt::Interrupt;

/// Ends a program: status 0, or the error with its causes on stderr and status 1. Whoever read
/// its output and went away, as `head` does, is no error.
#[must_use]
pub fn end(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
