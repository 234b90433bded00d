//! Prints the state of a running server's models.

use std::process::ExitCode;

use clap::Command;
use client::{Interrupt, end, log, query};

fn main() -> ExitCode {
    let about = "Prints a running server's models and how long they take, again and again, until \
                 Ctrl-C";
    let command = Command::new("model_state_query")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about);
    let settings = configuration::load(command);
    log::init();
    end(Interrupt::on_signals()
        .map_err(Into::into)
        .and_then(|interrupt| query::run(&settings, &interrupt, &mut std::io::stdout().lock())))
}
