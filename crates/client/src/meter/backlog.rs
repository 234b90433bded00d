//! How fast a backlog is worked off.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use kafka::OwnedMessage;
use serde_json::{Value, json};

use super::{Measured, Next, Results, STEP};

/// The part of the results after which the rate counts, and which is read at once.
const START: f64 = 0.05;
/// How long no result comes until there is none to be had.
const LULL: Duration = Duration::from_millis(20);
/// A pause between two looks, at least.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until there are so many results, and takes the rate from the times at which they were
/// sent, leaving out the first twentieth.
///
/// Reading results while they are written would take the processor away from what is measured. So
/// only that twentieth is read at once; then it waits until, by the rate so far, the last should be
/// there, and reads the others.
pub(super) fn measure(mut results: Results<'_>, wanted: u64) -> Measured {
    let mut growth = Growth::default();
    let start = part(wanted, START);
    while growth.total < wanted {
        match results.next(if growth.total == 0 { STEP } else { LULL })? {
            Next::Result(result) => {
                if growth.total == 0 {
                    eprintln!("counting");
                }
                let before = growth.total;
                growth.add(&result);
                // The rate is not known better a moment later.
                if before < start && growth.total >= start {
                    pause(&results, growth.until(wanted));
                }
            }
            Next::Nothing if growth.total > 0 => pause(&results, growth.until(wanted)),
            Next::Nothing => {}
            Next::Interrupted => return Ok(None),
            Next::TimedOut => bail!("only {} of {wanted} results came in time", growth.total),
        }
    }
    Ok(Some(growth.rate(start, wanted)))
}

fn part(of: u64, share: f64) -> u64 {
    (of as f64 * share).ceil() as u64
}

fn pause(results: &Results<'_>, time: Duration) {
    let end = (Instant::now() + time.max(PAUSE)).min(results.deadline);
    while !results.interrupt.is_set() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left.min(STEP));
    }
}

/// How many results there were when.
#[derive(Default)]
struct Growth {
    total: u64,
    /// Per partition, the offset after the last that was read.
    ends: BTreeMap<i32, i64>,
    /// How many came in which millisecond since 1970.
    per_ms: BTreeMap<i64, u64>,
}

impl Growth {
    fn add(&mut self, result: &OwnedMessage) {
        let end = self.ends.entry(result.position.partition).or_default();
        let next = result.position.offset.saturating_add(1);
        // Those that the broker has dropped already count too.
        let new = u64::try_from(next.saturating_sub(*end)).unwrap_or_default();
        *end = next;
        self.total += new;
        let ms = result.timestamp_ms.unwrap_or_default();
        *self.per_ms.entry(ms).or_default() += new;
    }

    /// How long it may take until there are so many: a little longer than by the rate so far.
    fn until(&self, wanted: u64) -> Duration {
        const MARGIN: f64 = 1.05;
        let (Some((first, _)), Some((last, _))) =
            (self.per_ms.first_key_value(), self.per_ms.last_key_value())
        else {
            return Duration::ZERO;
        };
        let taken = last.saturating_sub(*first) as f64 / 1e3;
        let missing = wanted.saturating_sub(self.total) as f64;
        let seconds = taken * missing / self.total.max(1) as f64 * MARGIN;
        // Whatever the clocks say, it looks again after a while.
        Duration::try_from_secs_f64(seconds)
            .unwrap_or_default()
            .min(Duration::from_secs(10))
    }

    /// The rate from when there were `start` results until there were as many as wanted.
    fn rate(&self, start: u64, wanted: u64) -> Value {
        let mut there = 0;
        let mut from = None;
        let mut to = None;
        for (ms, new) in &self.per_ms {
            there += new;
            if from.is_none() && there >= start {
                from = Some((*ms, there));
            }
            if there >= wanted {
                to = Some((*ms, there));
                break;
            }
        }
        let (from_ms, from) = from.unwrap_or_default();
        let (to_ms, to) = to.unwrap_or((from_ms, from));
        // Less than a millisecond cannot be told.
        let seconds = to_ms.saturating_sub(from_ms).max(1) as f64 / 1e3;
        let records = to.saturating_sub(from);
        json!({
            "records": records,
            "seconds": seconds,
            "recordsPerSecond": records as f64 / seconds,
            "from": from,
            "to": to,
        })
    }
}

#[cfg(test)]
mod tests {
    use kafka::Position;

    use super::*;

    fn result(partition: i32, offset: i64, ms: i64) -> OwnedMessage {
        OwnedMessage {
            position: Position { partition, offset },
            timestamp_ms: Some(ms),
            key: None,
            payload: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn the_rate_is_that_of_the_middle_in_whatever_order_partitions_are_read() {
        let mut growth = Growth::default();
        // One every other millisecond per partition, after a slow start.
        for partition in [1, 0] {
            growth.add(&result(partition, 0, 1000));
            for offset in 1..100 {
                growth.add(&result(partition, offset, 5000 + 2 * offset));
            }
        }
        let rate = growth.rate(10, 200);
        // Two at 1000; 10 at 5008, 200 at 5198.
        assert_eq!((&rate["from"], &rate["to"]), (&json!(10), &json!(200)));
        assert_eq!(rate["seconds"], 0.19);
        assert_eq!(rate["recordsPerSecond"], 1000.0);
        assert_eq!(rate["records"], 190);
    }

    #[test]
    fn what_the_broker_has_dropped_counts_with_the_first_that_is_left() {
        let mut growth = Growth::default();
        growth.add(&result(0, 99, 5));
        growth.add(&result(0, 100, 1005));
        assert_eq!(growth.total, 101);
        assert_eq!(growth.rate(5, 101)["recordsPerSecond"], 1.0);
    }

    #[test]
    fn the_wait_is_as_long_as_the_others_take_at_the_rate_so_far() {
        let mut growth = Growth::default();
        assert_eq!(growth.until(10), Duration::ZERO);
        growth.add(&result(0, 0, 1000));
        growth.add(&result(0, 1, 2000));
        assert_eq!(growth.until(6), Duration::from_millis(2100));
        assert_eq!(growth.until(u64::MAX), Duration::from_secs(10));
    }
}
