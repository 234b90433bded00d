use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets so many things pass in a second and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Instant,
    passed: u32,
    held_back: u64,
}

impl Throttle {
    pub(crate) fn new(per_second: u32) -> Self {
        let state = State {
            since: Instant::now(),
            passed: 0,
            held_back: 0,
        };
        Self {
            per_second,
            state: Mutex::new(state),
        }
    }

    /// Whether this one may pass; if so, how many were held back since the last.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.since) >= Duration::from_secs(1) {
            state.since = now;
            state.passed = 0;
        }
        if state.passed < self.per_second {
            state.passed += 1;
            Some(std::mem::take(&mut state.held_back))
        } else {
            state.held_back += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_in_a_second_and_the_others_are_counted() {
        let throttle = Throttle::new(2);
        let start = Instant::now();
        let pass = |ms| throttle.pass_at(start + Duration::from_millis(ms));
        assert_eq!([0, 10, 20, 30].map(pass), [Some(0), Some(0), None, None]);
        assert_eq!([1_100, 1_200, 1_300].map(pass), [Some(2), Some(0), None]);
    }
}
