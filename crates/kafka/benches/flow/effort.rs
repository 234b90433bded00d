//! What a run took.

use std::time::Instant;

/// From now on.
pub(crate) struct Effort {
    start: Instant,
    process: f64,
    thread: f64,
}

impl Effort {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            process: process_seconds(),
            thread: thread_seconds(),
        }
    }

    /// What `count` records took since the start, to be called on the same thread: records a
    /// second, processor time of the process (an embedded broker included) and of this thread,
    /// both in microseconds a record, which is seconds a million.
    pub(crate) fn of(&self, count: u64) -> [f64; 3] {
        let millions = count as f64 / 1e6;
        [
            count as f64 / self.start.elapsed().as_secs_f64(),
            (process_seconds() - self.process) / millions,
            (thread_seconds() - self.thread) / millions,
        ]
    }
}

fn process_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn thread_seconds() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = spent.split_whitespace().next().unwrap_or_default();
    nanoseconds.parse::<f64>().unwrap_or_default() / 1e9
}
