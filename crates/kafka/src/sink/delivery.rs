//! What librdkafka's callbacks do for a sink.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;

use super::returned::{Kept, Next, Returned};
use super::underway::{Accepted, Underway};
use super::{Acknowledge, size};
use crate::journal::{Journal, temporary};
use crate::{Error, Result, native};

/// What the sink shares with librdkafka's callbacks; it outlives a dead producer.
pub(super) struct State {
    pub(super) journal: Journal,
    acknowledge: Arc<dyn Acknowledge>,
    /// Accepted and not acknowledged, the returned ones included.
    pub(super) in_flight: AtomicUsize,
    /// The next message's place among all.
    pub(super) sequence: AtomicU64,
    /// What librdkafka has.
    pub(super) underway: Underway,
    /// Acknowledged since the last poll.
    pub(super) acknowledged: AtomicUsize,
    /// The producer is dead.
    pub(super) fatal: AtomicBool,
    returned: Mutex<Returned>,
    /// Whether there are returned messages, to keep the lock off the fast path; written under it.
    pub(super) blocked: AtomicBool,
}

/// The context of one producer.
pub(super) struct Delivery(pub(super) Arc<State>);

impl State {
    /// `room`: how many messages librdkafka can have.
    pub(super) fn new(brokers: &str, acknowledge: Arc<dyn Acknowledge>, room: usize) -> Self {
        Self {
            journal: Journal::new("sink", brokers),
            acknowledge,
            in_flight: AtomicUsize::new(0),
            sequence: AtomicU64::new(0),
            underway: Underway::new(room),
            acknowledged: AtomicUsize::new(0),
            fatal: AtomicBool::new(false),
            returned: Mutex::default(),
            blocked: AtomicBool::new(false),
        }
    }

    pub(super) fn returned(&self) -> MutexGuard<'_, Returned> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message to send again.
    pub(super) fn next_returned(&self) -> Next {
        let mut returned = self.returned();
        let underway = self
            .in_flight
            .load(Ordering::Acquire)
            .saturating_sub(returned.len());
        let next = returned.next(underway);
        if matches!(next, Next::Done) {
            self.blocked.store(false, Ordering::Release);
        }
        next
    }

    pub(super) fn finish(&self, ticket: u64, result: Result<()>) {
        self.acknowledge.acknowledged(ticket, result);
        self.acknowledged.fetch_add(1, Ordering::AcqRel);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.journal.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.journal.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::debug!(reason, "fatal error of the producer");
            self.0.fatal.store(true, Ordering::Release);
            return;
        }
        self.0.journal.error(error, reason);
    }
}

impl ProducerContext for Delivery {
    /// The number of a place in [`Underway`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let state = &self.0;
        let Some(accepted) = state.underway.free(place) else {
            return;
        };
        let Accepted { ticket, .. } = accepted;
        let (error, message) = match result {
            Ok(_) => return state.finish(ticket, Ok(())),
            Err((error, message)) => (error, message),
        };
        let topic = || message.topic().to_owned();
        let error = match error.rdkafka_error_code() {
            Some(code) if returns(code) => {
                let mut returned = state.returned();
                returned.give_back(Kept::new(message, accepted));
                state.blocked.store(true, Ordering::Release);
                return;
            }
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge,
            ) => {
                let mut returned = state.returned();
                if returned.give_back_too_large(|| Kept::new(message, accepted)) {
                    state.blocked.store(true, Ordering::Release);
                    return;
                }
                let headers = native::Message::of(message).headers();
                let headers = headers
                    .map(|(name, value)| size(&name, value))
                    .sum::<usize>();
                let size = message.key_len() + message.payload_len() + headers;
                Error::TooLarge {
                    topic: topic(),
                    size,
                }
            }
            Some(RDKafkaErrorCode::UnknownPartition) => Error::UnknownPartition {
                topic: topic(),
                partition: message.partition(),
            },
            Some(source) => Error::Delivery {
                topic: topic(),
                source,
            },
            None => Error::Client {
                action: "deliver a message",
                source: error.clone(),
            },
        };
        state.finish(ticket, Err(error));
    }
}

/// Whether a message that failed so is to be sent again: its producer is dead, its topic is gone
/// for now, or its connection broke while the producer was starting over.
fn returns(code: RDKafkaErrorCode) -> bool {
    match code {
        RDKafkaErrorCode::Fatal
        | RDKafkaErrorCode::PurgeQueue
        | RDKafkaErrorCode::PurgeInflight
        | RDKafkaErrorCode::UnknownProducerId
        | RDKafkaErrorCode::OutOfOrderSequenceNumber
        | RDKafkaErrorCode::InvalidProducerEpoch
        | RDKafkaErrorCode::NotEnoughReplicas
        | RDKafkaErrorCode::NotEnoughReplicasAfterAppend => true,
        // The first only comes where the user asked for it; the second will not pass by itself.
        RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::UnknownPartition => false,
        code => temporary(code),
    }
}
