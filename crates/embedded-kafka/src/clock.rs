//! What the broker takes from the clock: timestamps, leader epochs and producer ids.

use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

fn since_1970() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The leader epoch of a broker that starts now: higher than that of every broker started before.
///
/// Nothing survives a broker, so the epoch cannot be counted: it is the time in tenths of a second
/// modulo 2^31, which wraps once in 6.8 years. Brokers of one process are counted on from there.
pub(crate) fn leader_epoch() -> i32 {
    static LAST: AtomicI32 = AtomicI32::new(-1);
    let tenths = since_1970().as_millis() / 100;
    let from_clock = i32::try_from(tenths % (1 << 31)).unwrap_or(0);
    let next = |last: i32| Some(from_clock.max(last.saturating_add(1)));
    match LAST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) {
        Ok(last) => from_clock.max(last.saturating_add(1)),
        Err(_) => from_clock,
    }
}

/// Hands out producer ids that no broker handed out before.
///
/// The first is the start time in nanoseconds, so a producer that outlives its broker cannot be
/// taken for one of the next broker's.
#[derive(Debug)]
pub(crate) struct ProducerIds(AtomicI64);

impl ProducerIds {
    pub(crate) fn new() -> Self {
        ProducerIds(AtomicI64::new(
            i64::try_from(since_1970().as_nanos()).unwrap_or(1 << 62),
        ))
    }

    pub(crate) fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leader_epochs_rise_within_a_process() {
        let epochs: Vec<i32> = (0..100).map(|_| leader_epoch()).collect();
        assert!(
            epochs.windows(2).all(|pair| pair[0] < pair[1]),
            "{epochs:?}"
        );
    }

    #[test]
    fn producer_ids_of_two_brokers_differ() {
        let first = ProducerIds::new();
        let ids = [first.next(), first.next()];
        let second = ProducerIds::new().next();
        assert!(!ids.contains(&second));
    }
}
