//! Logs on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Sends warnings and errors to stderr; `RUST_LOG` asks for more.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Complaining on a standard error that is closed would panic.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .init();
}
