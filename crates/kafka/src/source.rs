//! A member of a consumer group.

mod intake;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::{ClientContext, Offset};

use self::intake::Intake;
use crate::connection::{Connection, refused};
use crate::journal::Journal;
use crate::{Batch, Error, Position, Result, native};

/// Bytes after which a batch is full, whatever its number of messages.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// How many messages are taken from librdkafka at a time; the bytes are counted afterwards.
const TAKEN: usize = 128;

/// How often a topic is looked up while nothing is assigned, and how long that may take.
const LOOK_UP: Duration = Duration::from_secs(1);
const LOOK_UP_PATIENCE: Duration = Duration::from_millis(500);

/// Hears which partitions come and go.
///
/// The methods are called on the thread that polls the source, inside [`Source::poll`] or
/// [`Source::close`], and the group waits for them: they must be done well within
/// `max.poll.interval.ms` (5 minutes) and the session timeout (see [`Assignment::revoked`]).
pub trait Assignment: Send + Sync {
    /// These partitions are now ours, besides those that already were; none at all is possible,
    /// when the group has more members than the topic has partitions.
    fn assigned(&self, partitions: &[i32]);

    /// These partitions are being taken away: stop, drain, commit with `committer`, release. They
    /// are still ours until this returns; afterwards no position in them may be committed, and
    /// [`Source::commit`] refuses to.
    ///
    /// If they are `lost`, they already belong to somebody else, or the log that they stood for
    /// has gone with its broker: what was read of them is to be dropped, and cannot be committed.
    fn revoked(&self, partitions: &[i32], lost: bool, committer: Committer<'_>);
}

/// Commits positions of the partitions that are assigned.
#[derive(Clone, Copy)]
pub struct Committer<'a> {
    consumer: &'a BaseConsumer<Membership>,
}

/// A member of a consumer group that reads one topic.
///
/// Offsets are committed by the caller only. A group without committed offsets starts at the
/// earliest message.
pub struct Source {
    consumer: native::Consumer<Membership>,
    membership: Arc<Membership>,
    /// When the topic was last looked up because the assignment is empty.
    looked_up: Instant,
    /// Whether the group was joined again because the assignment is empty.
    joined_again: bool,
}

/// Per assigned partition, one past the last offset handed out since it was assigned.
type Held = BTreeMap<i32, Option<i64>>;

/// What librdkafka's callbacks share with the source.
struct Membership {
    journal: Journal,
    topic: String,
    assignment: Arc<dyn Assignment>,
    held: Mutex<Held>,
    paused: AtomicBool,
    /// Partitions that were assigned and whose messages have not been redirected yet.
    arrived: Mutex<Vec<i32>>,
    /// Partitions that were revoked while a batch was being filled.
    withdrawn: Mutex<Vec<i32>>,
    /// The last assignment left nothing.
    empty: AtomicBool,
    /// The log has started over: nothing is handed out before the next assignment.
    started_over: AtomicBool,
}

impl Source {
    /// Joins `group` to read `topic`. Returns at once: the broker, and the topic, may come later.
    ///
    /// # Errors
    /// A property is refused, or librdkafka has no resources for a client.
    pub fn open(
        connection: &Connection,
        group: &str,
        topic: &str,
        assignment: Arc<dyn Assignment>,
    ) -> Result<Self> {
        let settings = [
            // A partition that stays where it is goes on while others move (KIP-429).
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "1000"),
        ];
        let membership = Membership {
            journal: Journal::new("source", &connection.brokers),
            topic: topic.to_owned(),
            assignment,
            held: Mutex::default(),
            paused: AtomicBool::new(false),
            arrived: Mutex::default(),
            withdrawn: Mutex::default(),
            empty: AtomicBool::new(false),
            started_over: AtomicBool::new(false),
        };
        let config = connection.consumer(group, &settings)?;
        let consumer = native::Consumer::create(&config, membership).map_err(refused)?;
        let source = Self {
            membership: Arc::clone(consumer.client().context()),
            consumer,
            looked_up: Instant::now(),
            joined_again: false,
        };
        source.subscribe()?;
        Ok(source)
    }

    fn subscribe(&self) -> Result<()> {
        let topic = self.membership.topic.as_str();
        self.consumer
            .client()
            .subscribe(&[topic])
            .map_err(|source| Error::Client {
                action: "subscribe to a topic",
                source,
            })
    }

    /// Leaves the group and joins it again, for an assignment that knows what is there now.
    fn join_again(&self) -> Result<()> {
        self.consumer.client().unsubscribe();
        self.subscribe()
    }

    /// librdkafka joins again when it sees the number of partitions change from one look to the
    /// next. A topic that was missing when the group shared its partitions, and is back at the next
    /// look with as many as before, has not changed in its eyes: the assignment would stay empty
    /// for ever. So while it is empty the topic is looked up, and once it is there the group is
    /// joined again. With more members than partitions that is once in vain.
    fn look_after_an_empty_assignment(&mut self) -> Result<()> {
        let membership = &self.membership;
        if !membership.empty.load(Ordering::Relaxed) {
            self.joined_again = false;
            return Ok(());
        }
        if self.looked_up.elapsed() < LOOK_UP {
            return Ok(());
        }
        self.looked_up = Instant::now();
        let metadata = self
            .consumer
            .client()
            .fetch_metadata(Some(&membership.topic), LOOK_UP_PATIENCE);
        // A broker that is away is looked for by librdkafka.
        let Ok(metadata) = metadata else {
            return Ok(());
        };
        let topic = metadata
            .topics()
            .iter()
            .find(|t| t.name() == membership.topic);
        if topic.is_none_or(|topic| topic.error().is_some() || topic.partitions().is_empty()) {
            self.joined_again = false;
        } else if !self.joined_again {
            self.joined_again = true;
            tracing::info!(
                topic = membership.topic,
                "no partitions yet; joining the group again"
            );
            return self.join_again();
        }
        Ok(())
    }

    /// Clears `batch`, waits up to `timeout` for a first message, and takes what else is already
    /// waiting, up to `max` messages: a natural batch, which nothing waits to fill.
    ///
    /// Calls [`Assignment`]. To be called at least every few seconds, or the group takes the
    /// partitions away. Messages of partitions that [`Assignment::revoked`] named during this call
    /// are not in the batch.
    ///
    /// # Errors
    /// The client is broken for good. A broker that is away, or a topic that does not exist yet,
    /// is logged and waited for.
    pub fn poll(&mut self, batch: &mut Batch, max: usize, timeout: Duration) -> Result<()> {
        batch.clear();
        self.look_after_an_empty_assignment()?;
        let deadline = Instant::now() + timeout;
        loop {
            self.listen(batch, max)?;
            let room = max.saturating_sub(batch.len()).min(TAKEN);
            if room == 0 || batch.bytes() >= BATCH_BYTES {
                return Ok(());
            }
            if self.take(batch, room, Duration::ZERO)? == room {
                continue;
            }
            if !batch.is_empty() {
                return Ok(());
            }
            // Looked for after the messages: what came before that does not end the wait.
            if self.consumer.events_wait() {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // For one message: librdkafka waits for as many as it is asked for.
            self.take(batch, 1, left)?;
        }
    }

    /// What [`Source::poll`] does but taking messages, for who has no use for more yet: the group
    /// stays as it is, and partitions go to others who ask for them. Where messages come between its
    /// events, as some do when partitions have just been assigned, they are in the batch.
    ///
    /// # Errors
    /// The client is broken for good.
    pub fn attend(&mut self, batch: &mut Batch) -> Result<()> {
        batch.clear();
        self.look_after_an_empty_assignment()?;
        // Once in any case: this is how librdkafka knows that somebody is there.
        self.event(batch)?;
        self.listen(batch, usize::MAX)
    }

    /// Does what the events ask for. Messages that are among them are older than those on the
    /// queue of messages.
    fn listen(&mut self, batch: &mut Batch, max: usize) -> Result<()> {
        while self.consumer.events_wait() && batch.len() < max && batch.bytes() < BATCH_BYTES {
            self.event(batch)?;
        }
        Ok(())
    }

    fn event(&mut self, batch: &mut Batch) -> Result<()> {
        let polled = self.consumer.client().poll(Duration::ZERO);
        self.redirect();
        self.withdraw(batch);
        match polled {
            Some(Ok(message)) => {
                let mut intake = Intake::new(&self.membership, batch);
                let _ = intake.take(native::Message::of(&message));
                if let Some(position) = intake.outcome()? {
                    self.start_over(batch, position)?;
                }
                Ok(())
            }
            Some(Err(error)) => self.membership.tolerate(error),
            None => Ok(()),
        }
    }

    /// Takes up to `limit` messages off their queue; returns how many those were, whether or not
    /// they went into the batch.
    fn take(&mut self, batch: &mut Batch, limit: usize, timeout: Duration) -> Result<usize> {
        let mut intake = Intake::new(&self.membership, batch);
        let taken = self
            .consumer
            .take(limit, timeout, |message| intake.take(message));
        if let Some(position) = intake.outcome()? {
            self.start_over(batch, position)?;
        }
        Ok(taken)
    }

    /// Leads the messages of partitions that have been assigned to the queue of messages.
    fn redirect(&self) {
        for partition in std::mem::take(&mut *self.membership.arrived()) {
            self.consumer.redirect(&self.membership.topic, partition);
        }
    }

    /// Removes the messages of partitions that were revoked after they had been taken.
    fn withdraw(&self, batch: &mut Batch) {
        let withdrawn = std::mem::take(&mut *self.membership.withdrawn());
        if !withdrawn.is_empty() {
            batch.retain(|position| !withdrawn.contains(&position.partition));
        }
    }

    /// The broker has come back with another log. It knows no group either, and would take the
    /// partitions away as soon as it is asked; what is read before that would be read again. So
    /// nothing is handed out of the new log until the group has been joined again.
    fn start_over(&self, batch: &mut Batch, position: Position) -> Result<()> {
        let membership = &self.membership;
        membership.started_over.store(true, Ordering::Relaxed);
        membership
            .journal
            .warn("the log of a partition has started over");
        tracing::debug!(?position, "an offset came again");
        let held: Vec<i32> = std::mem::take(&mut *membership.held())
            .into_keys()
            .collect();
        membership.assignment.revoked(&held, true, self.committer());
        batch.clear();
        self.join_again()
    }

    /// Commits `positions` (the first offset of each partition that is *not* finished) without
    /// waiting; a failure is logged, and a later commit makes up for it.
    ///
    /// Positions in partitions that are not assigned, or beyond what was handed out since they
    /// were assigned, are left out: after a rebalance, or after the broker has come back with an
    /// empty log, they would make somebody skip messages.
    ///
    /// # Errors
    /// librdkafka does not take the request.
    pub fn commit(&self, positions: &[Position]) -> Result<()> {
        self.committer().commit(positions)
    }

    /// As [`Source::commit`], but waits for the broker's answer.
    ///
    /// # Errors
    /// The broker refuses, for example because the partitions have been given to another member.
    pub fn commit_sync(&self, positions: &[Position]) -> Result<()> {
        self.committer().commit_sync(positions)
    }

    /// Commits for this source.
    #[must_use]
    pub fn committer(&self) -> Committer<'_> {
        Committer {
            consumer: self.consumer.client(),
        }
    }

    /// Stops the flow of messages, of partitions assigned later too; [`Source::poll`] goes on
    /// keeping the membership alive. This is how a slow sink slows the source.
    ///
    /// # Errors
    /// librdkafka does not take the request.
    pub fn pause(&mut self) -> Result<()> {
        self.membership.paused.store(true, Ordering::Relaxed);
        let held = self.membership.list(self.membership.partitions());
        let client = self.consumer.client();
        client.pause(&held).map_err(|source| Error::Client {
            action: "pause a source",
            source,
        })
    }

    /// Lets messages flow again after [`Source::pause`].
    ///
    /// # Errors
    /// librdkafka does not take the request.
    pub fn resume(&mut self) -> Result<()> {
        self.membership.paused.store(false, Ordering::Relaxed);
        let held = self.membership.list(self.membership.partitions());
        let client = self.consumer.client();
        client.resume(&held).map_err(|source| Error::Client {
            action: "resume a source",
            source,
        })
    }

    /// Whether the flow is stopped.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.membership.paused.load(Ordering::Relaxed)
    }

    /// The partitions that are assigned, ascending.
    #[must_use]
    pub fn partitions(&self) -> Vec<i32> {
        self.membership.partitions()
    }

    /// Leaves the group, so that its partitions are taken over at once.
    /// [`Assignment::revoked`] is called for those that are held. Dropping a source does the same.
    pub fn close(self) {
        drop(self);
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Source")
            .field("topic", &self.membership.topic)
            .field("partitions", &self.partitions())
            .finish_non_exhaustive()
    }
}

impl Committer<'_> {
    /// See [`Source::commit`].
    ///
    /// # Errors
    /// librdkafka does not take the request.
    pub fn commit(&self, positions: &[Position]) -> Result<()> {
        self.send(positions, CommitMode::Async)
    }

    /// See [`Source::commit_sync`].
    ///
    /// # Errors
    /// The broker refuses, for example because the partitions have been given to another member.
    pub fn commit_sync(&self, positions: &[Position]) -> Result<()> {
        self.send(positions, CommitMode::Sync)
    }

    fn send(&self, positions: &[Position], mode: CommitMode) -> Result<()> {
        let membership = self.consumer.context();
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for position in positions {
            if !membership.covers(*position) {
                tracing::debug!(
                    ?position,
                    "not committed: not handed out since it was assigned"
                );
                continue;
            }
            list.add_partition_offset(
                &membership.topic,
                position.partition,
                Offset::Offset(position.offset),
            )
            .map_err(|source| Error::Client {
                action: "commit an offset",
                source,
            })?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer
            .commit(&list, mode)
            .map_err(|source| Error::Client {
                action: "commit offsets",
                source,
            })
    }
}

impl Membership {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self) -> MutexGuard<'_, Vec<i32>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn withdrawn(&self) -> MutexGuard<'_, Vec<i32>> {
        self.withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn partitions(&self) -> Vec<i32> {
        self.held().keys().copied().collect()
    }

    fn list(&self, partitions: Vec<i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        list
    }

    /// Whether the position may be committed.
    fn covers(&self, position: Position) -> bool {
        self.held()
            .get(&position.partition)
            .is_some_and(|end| end.is_some_and(|end| (0..=end).contains(&position.offset)))
    }

    /// Lets pass what passes by itself.
    fn tolerate(&self, error: KafkaError) -> Result<()> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => Err(Error::Client {
                action: "go on consuming",
                source: error,
            }),
            KafkaError::PartitionEOF(_) => Ok(()),
            error => {
                self.journal.consuming(&self.topic, &error);
                Ok(())
            }
        }
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.journal.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.journal.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.journal.error(error, reason);
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else {
            return;
        };
        let partitions = numbers(list);
        let lost = consumer.assignment_lost();
        tracing::info!(topic = self.topic, ?partitions, lost, "partitions revoked");
        self.assignment
            .revoked(&partitions, lost, Committer { consumer });
        self.withdrawn().extend_from_slice(&partitions);
        let mut held = self.held();
        for partition in &partitions {
            held.remove(partition);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let partitions = numbers(list);
                tracing::info!(topic = self.topic, ?partitions, "partitions assigned");
                self.started_over.store(false, Ordering::Relaxed);
                let nothing = {
                    let mut held = self.held();
                    held.extend(partitions.iter().map(|partition| (*partition, None)));
                    held.is_empty()
                };
                self.empty.store(nothing, Ordering::Relaxed);
                self.arrived().extend_from_slice(&partitions);
                // librdkafka keeps a partition paused that was taken away while it was. To resume
                // one that is not paused does nothing.
                let flow = if self.paused.load(Ordering::Relaxed) {
                    consumer.pause(list)
                } else {
                    consumer.resume(list)
                };
                if let Err(error) = flow {
                    self.journal.warn(&error.to_string());
                }
                self.assignment.assigned(&partitions);
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => self.journal.warn(&error.to_string()),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        match result.map_err(|error| error.rdkafka_error_code()) {
            Ok(()) => tracing::trace!(?offsets, "committed"),
            // Nothing was committed because nothing is held.
            Err(Some(RDKafkaErrorCode::NoOffset)) => {}
            Err(code) => {
                let reason = code.map(|code| code.to_string()).unwrap_or_default();
                tracing::warn!(topic = self.topic, reason, "offsets were not committed");
            }
        }
    }
}

/// The partitions of a list, ascending.
fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    let mut numbers: Vec<i32> = list
        .elements()
        .iter()
        .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
        .collect();
    numbers.sort_unstable();
    numbers
}
