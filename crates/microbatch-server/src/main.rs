//! The micro-batch strategy.

use std::process::ExitCode;

fn main() -> ExitCode {
    serving::launch(&microbatch_server::STRATEGY)
}
