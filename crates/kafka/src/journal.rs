//! What librdkafka has to say, passed on to `tracing`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, statistics::Statistics};

/// How often an absent broker is mentioned.
const EVERY: Duration = Duration::from_secs(5);

/// Passes librdkafka's log lines on. It reports an absent broker several times a second from
/// several threads; here that is one warning every few seconds.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Who speaks: `source`, `reader`, `sink`, `admin`.
    role: &'static str,
    brokers: String,
    complained: Mutex<Option<Instant>>,
}

impl Journal {
    pub(crate) fn new(role: &'static str, brokers: &str) -> Self {
        Self {
            role,
            brokers: brokers.to_owned(),
            complained: Mutex::new(None),
        }
    }

    /// Whether it is time to mention a lasting trouble again.
    fn due(&self) -> bool {
        let mut complained = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = complained.is_none_or(|last| now.duration_since(last) >= EVERY);
        if due {
            *complained = Some(now);
        }
        due
    }

    /// A trouble that passes by itself once somebody starts a broker or creates a topic.
    pub(crate) fn waiting(&self, reason: &str) {
        if self.due() {
            let (role, brokers) = (self.role, self.brokers.as_str());
            tracing::warn!(role, brokers, reason, "waiting for the broker");
        }
    }

    /// What does not happen again by itself.
    pub(crate) fn warn(&self, reason: &str) {
        tracing::warn!(role = self.role, reason, "kafka");
    }
}

impl ClientContext for Journal {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let role = self.role;
        match facility {
            // Connections that come and go; a property of a producer given to a consumer.
            "FAIL" | "ERROR" | "CONFWARN" => {
                tracing::debug!(role, facility, message, "librdkafka");
                return;
            }
            _ => {}
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(role, facility, message, "librdkafka"),
            RDKafkaLogLevel::Warning => tracing::warn!(role, facility, message, "librdkafka"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(role, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(role, facility, message, "librdkafka"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        tracing::debug!(role = self.role, ?statistics, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(code) if temporary(code) => self.waiting(reason),
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            _ => self.warn(reason),
        }
    }
}

/// Whether an error passes by itself, once the broker is back or the topic is there.
pub(crate) fn temporary(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::WaitingForCoordinator
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::OffsetNotAvailable
            | RDKafkaErrorCode::PollExceeded
    )
}
