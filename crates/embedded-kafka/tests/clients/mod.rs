//! Clients that the test binaries share: librdkafka through rdkafka, and single requests on a
//! socket for what librdkafka cannot be made to send.

pub(crate) mod batch;
pub(crate) mod cluster;
pub(crate) mod consumer;
pub(crate) mod entry;
pub(crate) mod producer;
pub(crate) mod random;
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// How long any one condition may take to become true before its test fails. Generous, because
/// the tests run side by side on few cores; nothing waits this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// Calls `attempt` until it yields a value; fails the test after [`PATIENCE`].
///
/// `attempt` is expected to wait a little itself (a poll with a timeout, a request), so that this
/// is no busy loop.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
    }
}
