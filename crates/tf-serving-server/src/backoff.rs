use std::time::Duration;

/// Pauses that grow: each lasts a random part of a length that doubles, so that those who failed
/// together do not come again together ("full jitter").
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    length: Duration,
}

impl Backoff {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            length: shortest,
        }
    }

    /// How long the next pause is.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.length.mul_f64(fastrand::f64());
        self.length = (self.length * 2).min(self.longest);
        pause
    }

    pub(crate) fn reset(&mut self) {
        self.length = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        let (shortest, longest) = (Duration::from_millis(10), Duration::from_millis(100));
        let mut pauses = Backoff::new(shortest, longest);
        let mut seen = Vec::new();
        for limit in [10, 20, 40, 80, 100, 100, 100] {
            let pause = pauses.next();
            assert!(
                pause <= Duration::from_millis(limit),
                "{pause:?} of {limit}"
            );
            seen.push(pause);
        }
        seen.dedup();
        assert!(seen.len() > 1, "{seen:?}");
        pauses.reset();
        assert!(pauses.next() <= shortest);
    }
}
