//! Measures how fast results come, or how long they take.

use std::process::ExitCode;

use clap::Command;
use client::{Interrupt, end, log, meter};

fn main() -> ExitCode {
    let about = "Measures how fast a results topic fills (--backlog), or how long results take \
                 (--seconds), and prints it as a JSON object";
    let command = Command::new("latency_meter")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about);
    let settings = configuration::load(command);
    log::init();
    end(Interrupt::on_signals()
        .map_err(Into::into)
        .and_then(|interrupt| meter::run(&settings, &interrupt, &mut std::io::stdout().lock())))
}
