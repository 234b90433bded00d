//! Who waits for the messages that librdkafka has.

use std::sync::atomic::{AtomicU64, Ordering};

/// What comes back with the report of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) ticket: u64,
    /// The place among all messages that the sink accepted: librdkafka reports what fails in no
    /// particular order.
    pub(super) sequence: u64,
}

/// A place for every message that librdkafka can have. The number of its place goes through
/// librdkafka with a message, so that nothing is allocated for it. Places are taken in turn, which
/// memory likes, and free again mostly in the same order.
pub(super) struct Underway {
    /// As many as a power of two.
    places: Box<[Place]>,
}

#[derive(Default)]
struct Place {
    ticket: AtomicU64,
    /// Zero if the place is free, else one more than the message's sequence.
    taken: AtomicU64,
}

impl Underway {
    /// Room for `messages`, and as much again, so that a free place is soon found.
    pub(super) fn new(messages: usize) -> Self {
        let places = messages.saturating_mul(2).clamp(1024, 1 << 22);
        let places = (0..places.next_power_of_two()).map(|_| Place::default());
        Self {
            places: places.collect(),
        }
    }

    /// Takes a place; `None` if there is none.
    pub(super) fn take(&self, accepted: Accepted) -> Option<usize> {
        let mark = accepted.sequence.saturating_add(1);
        (accepted.sequence..)
            .take(self.places.len())
            .find_map(|turn| {
                let number = turn as usize & (self.places.len() - 1);
                let place = self.places.get(number)?;
                place
                    .taken
                    .compare_exchange(0, mark, Ordering::AcqRel, Ordering::Relaxed)
                    .ok()?;
                place.ticket.store(accepted.ticket, Ordering::Release);
                Some(number)
            })
    }

    /// Frees a place; `None` if nobody has it.
    pub(super) fn free(&self, number: usize) -> Option<Accepted> {
        let place = self.places.get(number)?;
        let ticket = place.ticket.load(Ordering::Acquire);
        let sequence = place.taken.swap(0, Ordering::AcqRel).checked_sub(1)?;
        Some(Accepted { ticket, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_taken_is_passed_over_until_it_is_free() {
        let underway = Underway::new(1000);
        let accepted = |number: u64| Accepted {
            ticket: u64::MAX - number,
            sequence: number,
        };
        let first = underway.take(accepted(0)).unwrap();
        for number in 1..5000 {
            let place = underway.take(accepted(number)).unwrap();
            assert_ne!(place, first);
            assert_eq!(underway.free(place), Some(accepted(number)));
            assert_eq!(underway.free(place), None);
        }
        for number in 1..2048 {
            underway.take(accepted(number)).unwrap();
        }
        assert_eq!(underway.take(accepted(7)), None, "every place is taken");
        assert_eq!(underway.free(first), Some(accepted(0)));
        assert_eq!(underway.take(accepted(7)), Some(first));
    }
}
