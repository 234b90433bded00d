//! The keyed strategy.

use std::process::ExitCode;

fn main() -> ExitCode {
    serving::launch(&keyed_server::STRATEGY)
}
