//! The inference server.

use std::process::ExitCode;

fn main() -> ExitCode {
    inference_server::launch()
}
