//! Publishes wine records and models that score them.

use std::process::ExitCode;

use clap::Command;
use client::{Interrupt, end, log, provider};

fn main() -> ExitCode {
    let about = "Publishes wine records, and models that score them, until Ctrl-C";
    let command = Command::new("data_provider")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about);
    let settings = configuration::load(command);
    log::init();
    end(Interrupt::on_signals()
        .map_err(Into::into)
        .and_then(|interrupt| provider::run(&settings, &interrupt, &mut std::io::stdout().lock())))
}
