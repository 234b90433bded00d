//! Signals to other processes.

use std::process::{Command, Stdio};

/// Sends a signal, by its name, to a process that leads a group, and to those it started.
///
/// The shell does it: the standard library cannot, and the crates that can turn on features of
/// `libc` and `rustix`, which would make `cargo test` build again what the demo has built.
pub(crate) fn send_to_group(signal: &str, leader: u32) {
    let order = format!("kill -s {signal} -- -{leader}");
    // It fails for a group that has ended, which is what the signal asks for.
    _ = Command::new("sh")
        .args(["-c", &order])
        .stderr(Stdio::null())
        .status();
}
