use std::time::Duration;

use kafka::{Connection, wait_for_broker};

use crate::Interrupt;

/// How often an absent broker is mentioned.
const EVERY: Duration = Duration::from_secs(5);

/// Waits until a broker answers, and says so meanwhile. `false` if it was interrupted.
pub(crate) fn await_broker(
    connection: &Connection,
    timeout: Duration,
    interrupt: &Interrupt,
) -> kafka::Result<bool> {
    let mut mentioned = None;
    let found = wait_for_broker(connection, timeout, |elapsed| {
        if mentioned.is_none_or(|last| elapsed.saturating_sub(last) >= EVERY) {
            mentioned = Some(elapsed);
            let left = timeout.saturating_sub(elapsed).as_secs();
            eprintln!(
                "waiting for a broker at {} ({left} s left)",
                connection.brokers
            );
        }
        !interrupt.is_set()
    });
    if interrupt.is_set() {
        return Ok(false);
    }
    found.map(|()| true)
}
