use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka::{Batch, Connection, Message, Source};
use model::{Decoder, Record};

use crate::counters::Counters;
use crate::delivery::{Delivery, Stray};
use crate::partitions::Partitions;
use crate::tracker::{Ticket, Tracker};
use crate::{DeadLetterKind, Error, Shutdown, clock};

/// Records that are read and not finished: past this many the source waits.
const MOST_UNFINISHED: usize = 100_000;
/// Bytes of messages whose records are not finished: past this many the source waits.
const MOST_HELD: usize = 256 * 1024 * 1024;
/// How often finished records are committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// A record on its way from the source to its outcome.
pub struct Pending {
    /// The record.
    pub record: Record,
    pub(crate) ticket: Ticket,
    batch: Arc<Batch>,
    index: usize,
}

impl Pending {
    /// The message that the record came in.
    pub(crate) fn message(&self) -> Option<Message<'_>> {
        self.batch.get(self.index)
    }
}

/// The records to score: a member of the consumer group, the decoder, and the commits.
///
/// It belongs to one thread, which polls it for as long as the strategy runs, and closes it.
pub struct Records {
    source: Source,
    decoder: Box<dyn Decoder>,
    delivery: Delivery,
    tracker: Arc<Tracker>,
    counters: Arc<Counters>,
    shutdown: Shutdown,
    topic: String,
    /// Batches whose records may still be under way; those that are not are used again.
    batches: Vec<Arc<Batch>>,
    committed: Instant,
}

impl Records {
    pub(crate) fn open(
        connection: &Connection,
        group: &str,
        topic: String,
        decoder: Box<dyn Decoder>,
        partitions: Partitions,
        counters: Arc<Counters>,
        shutdown: Shutdown,
    ) -> Result<Self, Error> {
        let delivery = partitions.delivery().clone();
        let tracker = Arc::clone(partitions.tracker());
        let source = Source::open(connection, group, &topic, Arc::new(partitions))?;
        Ok(Self {
            source,
            decoder,
            delivery,
            tracker,
            counters,
            shutdown,
            topic,
            batches: Vec::new(),
            committed: Instant::now(),
        })
    }

    /// Waits up to `timeout` for a record and appends what is there, up to `max`, in the order of
    /// its partitions. What does not decode has gone to the dead-letter topic.
    ///
    /// Returns whether to go on: `false` after a signal to stop.
    ///
    /// # Errors
    /// When the source or the sink is broken for good.
    pub fn poll(
        &mut self,
        pending: &mut Vec<Pending>,
        max: usize,
        timeout: Duration,
    ) -> Result<bool, Error> {
        if self.shutdown.is_requested() {
            return Ok(false);
        }
        if let Some(failure) = self.delivery.failure() {
            return Err(failure);
        }
        self.delivery.poll(Duration::ZERO);
        self.commit()?;
        self.restrain()?;
        let mut batch = self.spare();
        // Nobody else holds a spare batch.
        if let Some(batch) = Arc::get_mut(&mut batch) {
            self.source.poll(batch, max, timeout)?;
        }
        self.decode(&batch, pending);
        self.batches.push(batch);
        Ok(true)
    }

    /// Leaves the group, after what is under way has been finished and committed. What takes longer
    /// than a few seconds is left to the next owner of the partition.
    pub fn close(self) {
        let Self {
            source,
            delivery,
            tracker,
            ..
        } = self;
        let partitions = tracker.partitions();
        // Closing revokes, and revoking drains and commits.
        source.close();
        if let Err(error) = delivery.flush(Duration::from_secs(1)) {
            tracing::warn!(?partitions, "not everything was delivered: {error}");
        }
    }

    fn decode(&mut self, batch: &Arc<Batch>, pending: &mut Vec<Pending>) {
        let mut read = 0;
        for (index, message) in batch.iter().enumerate() {
            let Some(ticket) = self.tracker.begin(message.position) else {
                continue;
            };
            read += 1;
            let (reason, record) = match message.payload.map(|bytes| self.decoder.decode(bytes)) {
                Some(Ok(mut record)) => {
                    record.submitted_us = Some(submitted_us(&message, &record));
                    (String::new(), Some(record))
                }
                Some(Err(error)) => (error.to_string(), None),
                None => ("the message has no value".to_owned(), None),
            };
            if let Some(record) = record {
                pending.push(Pending {
                    record,
                    ticket,
                    batch: Arc::clone(batch),
                    index,
                });
                continue;
            }
            let stray = Stray {
                topic: &self.topic,
                position: message.position,
                key: message.key,
                value: message.payload,
                headers: message.headers().collect(),
                ticket,
            };
            self.delivery
                .stray(&stray, DeadLetterKind::Undecodable, &reason);
        }
        self.counters.read(read);
    }

    /// A batch that nothing refers to any more, or a new one.
    fn spare(&mut self) -> Arc<Batch> {
        let unused = self
            .batches
            .iter()
            .position(|batch| Arc::strong_count(batch) == 1);
        unused.map_or_else(
            || Arc::new(Batch::new()),
            |index| self.batches.swap_remove(index),
        )
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.committed.elapsed() < COMMIT_INTERVAL {
            return Ok(());
        }
        self.committed = Instant::now();
        // A few batches wait for their turn; what a burst needed is given back.
        let mut spare = 16;
        self.batches.retain(|batch| {
            let unused = Arc::strong_count(batch) == 1;
            spare -= usize::from(unused && spare > 0);
            !unused || spare > 0
        });
        let positions = self.tracker.take_committable();
        if positions.is_empty() {
            Ok(())
        } else {
            Ok(self.source.commit(&positions)?)
        }
    }

    /// Stops the source while too much is under way, and starts it again.
    fn restrain(&mut self) -> Result<(), Error> {
        let unfinished = self.tracker.unfinished();
        let held = self
            .batches
            .iter()
            .filter(|batch| Arc::strong_count(batch) > 1);
        let held: usize = held.map(|batch| batch.bytes()).sum();
        let much = unfinished >= MOST_UNFINISHED || held >= MOST_HELD;
        let little = unfinished < MOST_UNFINISHED / 2 && held < MOST_HELD / 2;
        if much && !self.source.paused() {
            self.source.pause()?;
        } else if little && self.source.paused() {
            self.source.resume()?;
        }
        Ok(())
    }
}

/// When the record was submitted: its header, else its own word, else Kafka's timestamp.
fn submitted_us(message: &Message<'_>, record: &Record) -> i64 {
    let header = message.header("submitted-us");
    let header = header.and_then(|bytes| std::str::from_utf8(bytes).ok()?.trim().parse().ok());
    header
        .or(record.submitted_us)
        .or_else(|| message.timestamp_ms.map(|ms| ms.saturating_mul(1000)))
        .unwrap_or_else(clock::now_us)
}

/// A message of the models topic, as a dead letter needs it.
pub(crate) fn headers_of(headers: &[(String, Option<Bytes>)]) -> Vec<(&str, Option<&[u8]>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect()
}
