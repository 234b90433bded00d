//! When the next thing is due.

use std::time::{Duration, Instant};

/// When the next thing is due.
#[derive(Debug)]
pub(super) enum Schedule {
    /// A time after the one before. One that is late delays those after it.
    Every { interval: Duration, next: Instant },
    /// So many a second, at times that are fixed at the start: what is late is caught up with, so
    /// that a slow broker cannot lower the load that it is measured under.
    Rate {
        per_second: u32,
        start: Instant,
        done: u64,
    },
}

impl Schedule {
    pub(super) fn every(interval: Duration, start: Instant) -> Self {
        Self::Every {
            interval,
            next: start,
        }
    }

    pub(super) fn rate(per_second: u32, start: Instant) -> Self {
        Self::Rate {
            per_second,
            start,
            done: 0,
        }
    }

    /// When the next is due.
    pub(super) fn due(&self) -> Instant {
        match self {
            Self::Every { next, .. } => *next,
            Self::Rate {
                per_second,
                start,
                done,
            } => {
                let rate = u64::from((*per_second).max(1));
                let nanos = done % rate * 1_000_000_000 / rate;
                *start + Duration::from_secs(done / rate) + Duration::from_nanos(nanos)
            }
        }
    }

    /// The next is done.
    pub(super) fn advance(&mut self, now: Instant) {
        match self {
            Self::Every { interval, next } => *next = (*next + *interval).max(now),
            Self::Rate { done, .. } => *done += 1,
        }
    }

    /// By how much a thing that is done now counts as submitted earlier: at a rate, it was
    /// submitted when it was due.
    pub(super) fn lateness(&self, now: Instant) -> Duration {
        match self {
            Self::Every { .. } => Duration::ZERO,
            Self::Rate { .. } => now.saturating_duration_since(self.due()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_keeps_its_times_however_late_they_are_met() {
        let start = Instant::now();
        let mut schedule = Schedule::rate(3, start);
        let late = start + Duration::from_secs(100);
        let mut dues = Vec::new();
        for _ in 0..7 {
            dues.push(schedule.due().duration_since(start).as_millis());
            schedule.advance(late);
        }
        assert_eq!(dues, [0, 333, 666, 1000, 1333, 1666, 2000]);
        assert_eq!(
            schedule
                .lateness(start + Duration::from_secs(3))
                .as_millis(),
            666
        );
    }

    #[test]
    fn an_interval_does_not_catch_up_with_a_long_delay() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut schedule = Schedule::every(second, start);
        schedule.advance(start);
        assert_eq!(schedule.due(), start + second);
        schedule.advance(start + 100 * second);
        assert_eq!(schedule.due(), start + 100 * second);
        schedule.advance(start + 100 * second);
        assert_eq!(schedule.due(), start + 101 * second);
    }
}
