//! A producer that keeps every acknowledgement.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::entry::Entry;
use super::{PATIENCE, eventually};

/// Partition and offset of a record that the broker acknowledged, or why it did not.
pub(crate) type Acknowledgement = Result<(i32, i64), RDKafkaErrorCode>;

#[derive(Default)]
pub(crate) struct Acknowledgements(Mutex<Vec<(usize, Acknowledgement)>>);

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: usize) {
        let acknowledgement = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(code(error)),
        };
        self.0.lock().unwrap().push((sequence, acknowledgement));
    }
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error
        .rdkafka_error_code()
        .unwrap_or(RDKafkaErrorCode::Unknown)
}

pub(crate) struct Producer {
    inner: BaseProducer<Acknowledgements>,
    sent: usize,
}

impl Producer {
    pub(crate) fn new(inner: BaseProducer<Acknowledgements>) -> Self {
        Self { inner, sent: 0 }
    }

    /// Queues one entry for `partition`, or for the one that the producer's partitioner chooses.
    pub(crate) fn send(&mut self, topic: &str, partition: Option<i32>, entry: &Entry) {
        self.send_at(topic, partition, None, entry);
    }

    /// As [`Producer::send`], with a timestamp in milliseconds.
    pub(crate) fn send_at(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        timestamp: Option<i64>,
        entry: &Entry,
    ) {
        eventually("the producer's queue has room", || {
            let mut record: BaseRecord<'_, [u8], [u8], usize> =
                BaseRecord::with_opaque_to(topic, self.sent);
            record.partition = partition;
            record.timestamp = timestamp;
            record.key = entry.key.as_deref();
            record.payload = entry.value.as_deref();
            if !entry.headers.is_empty() {
                record = record.headers(entry.owned_headers());
            }
            match self.inner.send(record) {
                Ok(()) => Some(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.inner.poll(Duration::from_millis(10));
                    None
                }
                Err((error, _)) => {
                    self.inner
                        .context()
                        .0
                        .lock()
                        .unwrap()
                        .push((self.sent, Err(code(&error))));
                    Some(())
                }
            }
        });
        self.sent += 1;
    }

    /// Waits for what was sent; the outcomes in the order of sending.
    pub(crate) fn settle(&mut self) -> Vec<Acknowledgement> {
        self.inner
            .flush(PATIENCE)
            .expect("everything sent has an outcome in time");
        let mut outcomes = std::mem::take(&mut *self.inner.context().0.lock().unwrap());
        outcomes.sort_by_key(|(sequence, _)| *sequence);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Sends the entries to one partition and waits; their offsets. Fails the test on an error.
    pub(crate) fn write(&mut self, topic: &str, partition: i32, entries: &[Entry]) -> Vec<i64> {
        for entry in entries {
            self.send(topic, Some(partition), entry);
        }
        self.settle()
            .into_iter()
            .map(|outcome| outcome.expect("the broker acknowledges the record").1)
            .collect()
    }
}
