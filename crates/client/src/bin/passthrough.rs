//! Passes records through as a strategy does, without scoring them.

use std::process::ExitCode;

use clap::Command;
use client::{Interrupt, end, log, passthrough};

fn main() -> ExitCode {
    let about = "Answers every record with a message of a result's size, until Ctrl-C: the floor \
                 that strategies are measured against";
    let command = Command::new("passthrough")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about);
    let settings = configuration::load(command);
    log::init();
    end(Interrupt::on_signals()
        .map_err(Into::into)
        .and_then(|interrupt| {
            passthrough::run(&settings, &interrupt, &mut std::io::stdout().lock())
        }))
}
