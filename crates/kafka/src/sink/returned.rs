//! Messages that librdkafka gave back and that are to be sent again, in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::Outgoing;
use super::underway::Accepted;
use crate::native;

/// How long a sink waits before it sends again, for example to a topic that does not exist.
const RETRY: Duration = Duration::from_millis(250);

/// A message that is to be sent again.
pub(super) struct Kept {
    pub(super) topic: String,
    partition: Option<i32>,
    key: Option<Bytes>,
    payload: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    timestamp_ms: Option<i64>,
    pub(super) accepted: Accepted,
}

/// The messages that are to be sent again.
#[derive(Default)]
pub(super) struct Returned {
    messages: VecDeque<Kept>,
    /// Whether some came back since they were last put in order.
    unordered: bool,
    retry_at: Option<Instant>,
    /// A broker refuses a batch as a whole, so after that each is sent alone.
    one_by_one: bool,
    alone: bool,
}

/// What to do with the messages that are to be sent again.
pub(super) enum Next {
    Send(Kept),
    /// Nothing yet.
    Wait,
    /// There are none.
    Done,
}

impl Returned {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// A message came back.
    pub(super) fn give_back(&mut self, kept: Kept) {
        self.take_back(kept);
        self.retry_at.get_or_insert_with(|| Instant::now() + RETRY);
    }

    /// A message came back because its batch was too large. Whether it is to be sent again, alone.
    pub(super) fn give_back_too_large(&mut self, kept: impl FnOnce() -> Kept) -> bool {
        if self.alone {
            return false;
        }
        self.one_by_one = true;
        self.take_back(kept());
        true
    }

    fn take_back(&mut self, kept: Kept) {
        self.messages.push_back(kept);
        self.unordered = true;
    }

    /// There was no room for the message that was to be sent next.
    pub(super) fn put_back(&mut self, kept: Kept) {
        self.messages.push_front(kept);
        self.retry_at = Some(Instant::now() + RETRY);
    }

    /// The producer is a new one.
    pub(super) fn hurry(&mut self) {
        self.retry_at = None;
    }

    /// What to do, when `underway` messages have been handed to librdkafka and not come back.
    pub(super) fn next(&mut self, underway: usize) -> Next {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Next::Wait;
        }
        // Those that are underway may come back too, and belong among these.
        if underway > 0 && (self.one_by_one || self.unordered) {
            return Next::Wait;
        }
        self.retry_at = None;
        if std::mem::take(&mut self.unordered) {
            let order = |kept: &Kept| kept.accepted.sequence;
            self.messages.make_contiguous().sort_unstable_by_key(order);
        }
        match self.messages.pop_front() {
            Some(kept) => {
                self.alone = self.one_by_one;
                Next::Send(kept)
            }
            None => {
                *self = Self::default();
                Next::Done
            }
        }
    }
}

impl Kept {
    pub(super) fn new(message: &BorrowedMessage<'_>, accepted: Accepted) -> Self {
        let bytes = Bytes::copy_from_slice;
        Self {
            topic: message.topic().to_owned(),
            partition: Some(message.partition()).filter(|partition| *partition >= 0),
            key: message.key().map(bytes),
            payload: message.payload().map(bytes),
            headers: native::Message::of(message)
                .headers()
                .map(|(name, value)| (name.into_owned(), value.map(bytes)))
                .collect(),
            timestamp_ms: message.timestamp().to_millis(),
            accepted,
        }
    }

    pub(super) fn with_outgoing<T>(&self, send: impl FnOnce(&Outgoing<'_>) -> T) -> T {
        let headers: Vec<(&str, Option<&[u8]>)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        send(&Outgoing {
            topic: &self.topic,
            partition: self.partition,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
            headers: &headers,
            timestamp_ms: self.timestamp_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sequence: u64) -> Kept {
        Kept {
            topic: "topic".to_owned(),
            partition: Some(0),
            key: None,
            payload: None,
            headers: Vec::new(),
            timestamp_ms: None,
            accepted: Accepted {
                ticket: sequence,
                sequence,
            },
        }
    }

    fn ticket(next: Next) -> Option<u64> {
        match next {
            Next::Send(kept) => Some(kept.accepted.ticket),
            Next::Wait => None,
            Next::Done => panic!("done"),
        }
    }

    #[test]
    fn what_comes_back_goes_in_the_order_in_which_it_was_accepted() {
        let mut returned = Returned::default();
        for number in [2, 3, 0, 1] {
            returned.give_back(kept(number));
        }
        returned.hurry();
        assert_eq!(ticket(returned.next(2)), None, "two may still come back");
        assert_eq!(ticket(returned.next(0)), Some(0));
        assert_eq!(ticket(returned.next(1)), Some(1));
        // The producer dies again, with both underway.
        returned.give_back(kept(1));
        returned.give_back(kept(0));
        returned.hurry();
        assert_eq!(returned.len(), 4);
        let order: Vec<u64> = (0..4).map(|_| ticket(returned.next(0)).unwrap()).collect();
        assert_eq!(order, [0, 1, 2, 3]);
        assert!(matches!(returned.next(1), Next::Done));
    }

    #[test]
    fn a_message_without_room_is_next_again_after_a_pause() {
        let mut returned = Returned::default();
        returned.give_back(kept(0));
        returned.give_back(kept(1));
        assert_eq!(ticket(returned.next(0)), None, "not at once");
        returned.hurry();
        let Next::Send(first) = returned.next(0) else {
            panic!("wait")
        };
        returned.put_back(first);
        assert_eq!(ticket(returned.next(0)), None);
        returned.hurry();
        assert_eq!(ticket(returned.next(0)), Some(0));
    }

    #[test]
    fn after_a_batch_that_was_too_large_each_goes_alone_and_fails_alone() {
        let mut returned = Returned::default();
        assert!(returned.give_back_too_large(|| kept(0)));
        assert!(returned.give_back_too_large(|| kept(1)));
        assert_eq!(ticket(returned.next(0)), Some(0));
        assert_eq!(ticket(returned.next(1)), None, "the first is underway");
        assert!(!returned.give_back_too_large(|| kept(0)), "it was alone");
        assert_eq!(ticket(returned.next(0)), Some(1));
        assert!(
            matches!(returned.next(1), Next::Wait),
            "the last is underway"
        );
        assert!(matches!(returned.next(0), Next::Done));
        assert!(
            returned.give_back_too_large(|| kept(2)),
            "a new batch starts anew"
        );
    }
}
