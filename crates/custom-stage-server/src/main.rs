//! The custom-stage strategy.

use std::process::ExitCode;

fn main() -> ExitCode {
    serving::launch(&custom_stage_server::STRATEGY)
}
