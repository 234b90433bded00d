//! A whole topic, outside any group.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::metadata::MetadataPartition;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::{ClientContext, Offset};

use crate::connection::{Connection, refused};
use crate::journal::Journal;
use crate::{Error, Position, Result, native};

/// How often the topic is looked up until its end has been seen, and afterwards.
const LOOKUP_AT_START: Duration = Duration::from_millis(100);
const LOOKUP: Duration = Duration::from_secs(2);
/// How long a lookup waits for the broker.
const PATIENCE: Duration = Duration::from_secs(2);

/// A message that stands on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedMessage {
    /// Where the message is in its topic.
    pub position: Position,
    /// Milliseconds since 1970, as its producer or its broker set it.
    pub timestamp_ms: Option<i64>,
    /// The key; `None` if it is null.
    pub key: Option<Bytes>,
    /// The value; `None` if it is null.
    pub payload: Option<Bytes>,
    /// The headers, in order. A name that is not UTF-8 has replacement characters.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Reads a whole topic from its earliest message, and goes on with what is added.
///
/// It waits for a topic that does not exist yet and finds partitions that are added later. When
/// the topic comes back with another log (its broker was restarted empty, or the topic was deleted
/// and created again), it starts over at the earliest message of that.
pub struct TopicReader {
    watch: Arc<Watch>,
}

/// The consumer, and what the polling thread and the one that looks the topic up share.
struct Watch {
    consumer: BaseConsumer<Reading>,
    topic: String,
    progress: Mutex<Progress>,
    /// Wakes the thread that looks the topic up when the reader is dropped.
    dropped: Condvar,
}

#[derive(Default)]
struct Progress {
    /// Whether the topic existed at the last answer.
    exists: Option<bool>,
    /// Per partition that is being read, the next offset; `None` before its first message.
    next: BTreeMap<i32, Option<i64>>,
    /// Per partition that is still to be read to the end that was first seen, that end.
    ends: BTreeMap<i32, i64>,
    /// Whether the ends were seen.
    ends_known: bool,
    closed: bool,
}

/// Which offsets a partition has: from `low`, up to the one before `high`.
struct Extent {
    partition: i32,
    low: i64,
    high: i64,
}

/// The context of the consumer.
struct Reading(Journal);

impl TopicReader {
    /// Starts to read `topic`. Returns at once: the broker, and the topic, may come later.
    ///
    /// # Errors
    /// A property is refused, or librdkafka or the system has no resources for a client.
    pub fn open(connection: &Connection, topic: &str) -> Result<Self> {
        // librdkafka wants a group even where partitions are assigned by hand. This one is never
        // joined, and nothing is committed to it.
        let group = format!("{}-reader", connection.client_id);
        let consumer = connection
            .consumer(&group, &[("enable.partition.eof", "true")])?
            .create_with_context(Reading(Journal::new("reader", &connection.brokers)))
            .map_err(refused)?;
        let watch = Arc::new(Watch {
            consumer,
            topic: topic.to_owned(),
            progress: Mutex::default(),
            dropped: Condvar::new(),
        });
        let watching = Arc::clone(&watch);
        std::thread::Builder::new()
            .name(format!("topic-{topic}"))
            .spawn(move || watching.run())
            .map_err(|source| Error::Thread { source })?;
        Ok(Self { watch })
    }

    /// The next message, if one comes within `timeout`. Messages of one partition come in order.
    ///
    /// # Errors
    /// The client is broken for good. A broker that is away is logged and waited for.
    pub fn poll(&mut self, timeout: Duration) -> Result<Option<OwnedMessage>> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.watch.consumer.poll(left) {
                Some(Ok(message)) => {
                    self.watch
                        .progress()
                        .read(message.partition(), message.offset());
                    return Ok(Some(OwnedMessage::new(&message)));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.watch.progress().ends.remove(&partition);
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(Error::Client {
                        action: "go on reading",
                        source: error,
                    });
                }
                Some(Err(error)) => self.watch.tolerate(&error),
                None => {}
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Whether everything that was in the topic when its end was first seen (at the first answer
    /// of a broker after the reader was opened) has been returned. True if there was no such topic
    /// then; see [`TopicReader::topic_exists`]. Once true, it stays true.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        let progress = self.watch.progress();
        progress.ends_known && progress.ends.is_empty()
    }

    /// Whether the topic exists, as far as is known; `None` until a broker has answered.
    #[must_use]
    pub fn topic_exists(&self) -> Option<bool> {
        self.watch.progress().exists
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        self.watch.progress().closed = true;
        self.watch.dropped.notify_all();
    }
}

impl std::fmt::Debug for TopicReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TopicReader")
            .field("topic", &self.watch.topic)
            .field("caught_up", &self.caught_up())
            .finish_non_exhaustive()
    }
}

impl OwnedMessage {
    fn new(message: &BorrowedMessage<'_>) -> Self {
        let bytes = Bytes::copy_from_slice;
        Self {
            position: Position {
                partition: message.partition(),
                offset: message.offset(),
            },
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(bytes),
            payload: message.payload().map(bytes),
            headers: native::Message::of(message)
                .headers()
                .map(|(name, value)| (name.into_owned(), value.map(bytes)))
                .collect(),
        }
    }
}

impl Progress {
    fn read(&mut self, partition: i32, offset: i64) {
        let next = offset.saturating_add(1);
        if let Some(place) = self.next.get_mut(&partition) {
            *place = Some(next);
        }
        if self.ends.get(&partition).is_some_and(|end| next >= *end) {
            self.ends.remove(&partition);
        }
    }
}

impl Watch {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tolerate(&self, error: &KafkaError) {
        self.consumer.context().0.consuming(&self.topic, error);
    }

    /// Looks the topic up, again and again, until the reader is dropped.
    fn run(&self) {
        loop {
            // Not under the lock: it waits for the broker.
            if let Err(error) = self.look_up() {
                self.tolerate(&error);
            }
            let progress = self.progress();
            let settled = progress.ends_known && progress.exists == Some(true);
            let pause = if settled { LOOKUP } else { LOOKUP_AT_START };
            let waited = self
                .dropped
                .wait_timeout_while(progress, pause, |state| !state.closed);
            if waited.unwrap_or_else(PoisonError::into_inner).0.closed {
                return;
            }
        }
    }

    fn look_up(&self) -> Result<(), KafkaError> {
        // Before the broker is asked: what is read until its answer is there may lie beyond that.
        let before = self.progress().next.clone();
        let Some(partitions) = self.partitions()? else {
            return self.gone();
        };
        let mut extents = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let (low, high) = self
                .consumer
                .fetch_watermarks(&self.topic, partition, PATIENCE)?;
            extents.push(Extent {
                partition,
                low,
                high,
            });
        }
        self.found(&before, &extents)
    }

    /// Reads partitions that are new, or another log than they were `before` they were looked up.
    fn found(
        &self,
        before: &BTreeMap<i32, Option<i64>>,
        extents: &[Extent],
    ) -> Result<(), KafkaError> {
        let mut fresh = Vec::new();
        for extent in extents {
            match before.get(&extent.partition) {
                None => fresh.push(extent),
                // Another log, shorter than what was read of the one before. The consumer may have
                // found out by itself, and begun anew.
                Some(Some(next)) if *next > extent.high && self.is_at(extent.partition, *next) => {
                    self.leave(&[extent.partition])?;
                    fresh.push(extent);
                }
                Some(_) => {}
            }
        }
        let mut list = TopicPartitionList::with_capacity(fresh.len());
        {
            let mut progress = self.progress();
            for extent in fresh {
                let partition = extent.partition;
                list.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
                progress.next.insert(partition, None);
                if !progress.ends_known && extent.high > extent.low {
                    progress.ends.insert(partition, extent.high);
                }
            }
            progress.ends_known = true;
            progress.exists = Some(true);
        }
        if list.count() > 0 {
            self.consumer.incremental_assign(&list)?;
        }
        Ok(())
    }

    /// Whether a partition is read up to there at least.
    fn is_at(&self, partition: i32, next: i64) -> bool {
        let progress = self.progress();
        progress
            .next
            .get(&partition)
            .is_some_and(|now| *now >= Some(next))
    }

    /// The topic's partitions; `None` if there is no such topic.
    fn partitions(&self) -> Result<Option<Vec<i32>>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), PATIENCE)?;
        let Some(found) = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic)
        else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(
                found
                    .partitions()
                    .iter()
                    .map(MetadataPartition::id)
                    .collect(),
            )),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Ok(None)
            }
            Some(code) => Err(KafkaError::MetadataFetch(code)),
        }
    }

    /// There is no such topic, or not any more: what comes next is another log.
    fn gone(&self) -> Result<(), KafkaError> {
        let read: Vec<i32> = {
            let mut progress = self.progress();
            progress.exists = Some(false);
            progress.ends_known = true;
            progress.ends.clear();
            progress.next.keys().copied().collect()
        };
        self.leave(&read)
    }

    /// Stops reading partitions.
    fn leave(&self, partitions: &[i32]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        {
            let mut progress = self.progress();
            for partition in partitions {
                list.add_partition(&self.topic, *partition);
                progress.next.remove(partition);
            }
        }
        if list.count() > 0 {
            self.consumer.incremental_unassign(&list)?;
        }
        Ok(())
    }
}

impl ClientContext for Reading {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ConsumerContext for Reading {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that has read ten messages of partition 0, of a broker that is not there.
    fn reader() -> TopicReader {
        let reader = TopicReader::open(&Connection::new("127.0.0.1:1", "test"), "topic").unwrap();
        let nothing = BTreeMap::new();
        reader.watch.found(&nothing, &up_to(10)).unwrap();
        reader.watch.progress().read(0, 9);
        reader
    }

    fn next(reader: &TopicReader) -> Option<i64> {
        reader.watch.progress().next[&0]
    }

    fn up_to(high: i64) -> [Extent; 1] {
        [Extent {
            partition: 0,
            low: 0,
            high,
        }]
    }

    #[test]
    fn what_is_read_while_the_topic_is_looked_up_is_not_read_again() {
        let reader = reader();
        let watch = &reader.watch;
        let before = watch.progress().next.clone();
        let answer = up_to(10);
        watch.progress().read(0, 10);
        watch.found(&before, &answer).unwrap();
        assert_eq!(next(&reader), Some(11));
    }

    #[test]
    fn a_log_that_ends_before_what_was_read_is_another_one() {
        let reader = reader();
        let before = reader.watch.progress().next.clone();
        reader.watch.found(&before, &up_to(9)).unwrap();
        assert_eq!(next(&reader), None);
    }
}
