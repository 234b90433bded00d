//! Prints what is in the topics.

use std::process::ExitCode;

use clap::Command;
use client::{Interrupt, end, log, reader};

fn main() -> ExitCode {
    let about = "Prints the records, models, results and dead letters in the topics, until Ctrl-C";
    let command = Command::new("data_reader")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about);
    let settings = configuration::load(command);
    log::init();
    end(Interrupt::on_signals()
        .map_err(Into::into)
        .and_then(|interrupt| reader::run(&settings, &interrupt, &mut std::io::stdout().lock())))
}
