//! The tf-serving strategy.

use std::process::ExitCode;

fn main() -> ExitCode {
    serving::launch(&tf_serving_server::STRATEGY)
}
