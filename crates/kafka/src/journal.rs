//! What librdkafka has to say, passed on to `tracing`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, statistics::Statistics};

/// The target of what librdkafka says.
const TARGET: &str = "kafka";

/// How often a trouble that lasts is mentioned.
const EVERY: Duration = Duration::from_secs(5);

/// When which trouble with which broker was mentioned. Of the whole process: its sources, readers
/// and sinks lose the same broker at the same time.
static MENTIONED: Mutex<BTreeMap<(String, &str), Instant>> = Mutex::new(BTreeMap::new());

/// Passes librdkafka's log lines on. It reports an absent broker several times a second from
/// several threads; here that is one warning every few seconds.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Who speaks: `source`, `reader`, `sink`, `admin`.
    role: &'static str,
    brokers: String,
}

impl Journal {
    pub(crate) fn new(role: &'static str, brokers: &str) -> Self {
        Self {
            role,
            brokers: brokers.to_owned(),
        }
    }

    /// Whether it is time to mention a trouble that lasts.
    fn due(&self, trouble: &'static str) -> bool {
        let mut mentioned = MENTIONED.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let of = (self.brokers.clone(), trouble);
        let due = mentioned
            .get(&of)
            .is_none_or(|last| now.duration_since(*last) >= EVERY);
        if due {
            mentioned.insert(of, now);
        }
        due
    }

    /// A trouble that passes by itself once somebody starts the broker.
    pub(crate) fn waiting(&self, reason: &str) {
        if self.due("broker") {
            let (role, brokers) = (self.role, self.brokers.as_str());
            tracing::warn!(target: TARGET, role, brokers, reason, "waiting for the broker");
        }
    }

    /// A trouble that passes by itself once somebody creates the topic.
    pub(crate) fn waiting_for_topic(&self, topic: &str) {
        if self.due("topic") {
            let (role, brokers) = (self.role, self.brokers.as_str());
            tracing::warn!(target: TARGET, role, brokers, topic, "waiting for a topic to be created");
        }
    }

    /// What a consumer of `topic` met.
    pub(crate) fn consuming(&self, topic: &str, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition,
            ) => self.waiting_for_topic(topic),
            Some(code) if temporary(code) => self.waiting(&error.to_string()),
            _ => self.warn(&error.to_string()),
        }
    }

    /// What does not happen again by itself.
    pub(crate) fn warn(&self, reason: &str) {
        tracing::warn!(target: TARGET, role = self.role, "{reason}");
    }
}

impl ClientContext for Journal {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let role = self.role;
        match facility {
            // Connections that come and go, and commits that fail, are reported as events too;
            // then, a property of a producer that is given to a consumer.
            "FAIL" | "ERROR" | "COMMITFAIL" | "CONFWARN" => {
                tracing::debug!(target: TARGET, role, facility, message, "librdkafka");
                return;
            }
            _ => {}
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: TARGET, role, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Warning => {
                tracing::warn!(target: TARGET, role, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: TARGET, role, facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: TARGET, role, facility, message, "librdkafka");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        tracing::debug!(target: TARGET, role = self.role, ?statistics, "librdkafka");
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
