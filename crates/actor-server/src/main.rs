//! The actor strategy.

use std::process::ExitCode;

fn main() -> ExitCode {
    serving::launch(&actor_server::STRATEGY)
}
