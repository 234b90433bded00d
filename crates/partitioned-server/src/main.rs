//! The partitioned strategy.

use std::process::ExitCode;

fn main() -> ExitCode {
    serving::launch(&partitioned_server::STRATEGY)
}
