use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kafka::{Connection, Message, Source};
use model::{Decoder, Record};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::batch::{Pending, Spares};
use crate::counters::Counters;
use crate::delivery::{Delivery, Stray};
use crate::partitions::Partitions;
use crate::readiness::Readiness;
use crate::tracker::{Member, Ticket, Tracker};
use crate::{Batch, DeadLetterKind, Error, Shutdown, clock};

/// Records that are read in one go at most.
const BATCH: usize = 4_000;
/// Batches that are read ahead.
const AHEAD: usize = 2;
/// How long one wait for records takes at most: how soon a signal to stop is seen.
const WAIT: Duration = Duration::from_millis(100);
/// Records that are read and not finished: past this many the source waits.
const MOST_UNFINISHED: usize = 100_000;
/// Records that are read and cannot be committed, because one before them is not finished: past this
/// many the source waits.
const MOST_OPEN: usize = 1_000_000;
/// Bytes of messages whose records are not finished: past this many the source waits.
const MOST_HELD: usize = 256 * 1024 * 1024;
/// How often finished records are committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// The records to score, as natural batches: what was waiting, up to some thousands. They are read
/// a little ahead; the stream ends after a signal to stop.
pub type Records = ReceiverStream<Batch>;

/// The consumer group that reads the records.
///
/// An instance is one member of it, or several: each gets partitions of its own, and reads them on
/// a thread of its own.
pub struct Group {
    terms: Arc<Terms>,
    members: AtomicUsize,
    threads: Threads,
}

/// The threads that read.
pub(crate) type Threads = Arc<Mutex<Vec<JoinHandle<Result<(), Error>>>>>;

/// What the members of a group have in common.
pub(crate) struct Terms {
    pub(crate) connection: Connection,
    pub(crate) group: String,
    pub(crate) topic: String,
    /// The schema of the records, by name.
    pub(crate) schema: String,
    pub(crate) delivery: Delivery,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) shutdown: Shutdown,
}

impl Group {
    /// A group without members, and where the threads of its members are found.
    pub(crate) fn new(terms: Terms) -> (Self, Threads) {
        let threads = Threads::default();
        let group = Self {
            terms: Arc::new(terms),
            members: AtomicUsize::new(0),
            threads: Arc::clone(&threads),
        };
        (group, threads)
    }

    /// Joins the group, once more with each call, and returns the records of this member's
    /// partitions.
    ///
    /// # Errors
    /// When a property of the connection is wrong, or the system has no thread to spare.
    pub fn join(&self) -> Result<Records, Error> {
        let member = self.members.fetch_add(1, Ordering::Relaxed);
        let mut reader = Reader::open(Arc::clone(&self.terms), member)?;
        let (sender, records) = mpsc::channel(AHEAD);
        let thread = thread::Builder::new()
            .name(format!("records-{member}"))
            .spawn(move || {
                let read = reader.read(&sender);
                // Whoever waits for records ends too.
                reader.terms.shutdown.request();
                drop(sender);
                reader.close();
                read
            })?;
        self.threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread);
        Ok(ReceiverStream::new(records))
    }
}

/// A member of the group: its source, its decoder, and its commits.
struct Reader {
    terms: Arc<Terms>,
    member: Member,
    source: Source,
    decoder: Box<dyn Decoder>,
    spares: Spares,
    /// Messages whose records may still be under way; those that are not are used again.
    messages: Vec<Arc<kafka::Batch>>,
    tickets: Vec<Option<Ticket>>,
    /// Records to be overwritten.
    slots: Vec<Pending>,
    committed: Instant,
    /// There was nothing to read the last time.
    idle: bool,
    /// Measures how long it waits until somebody takes records.
    clock: Runtime,
}

impl Reader {
    fn open(terms: Arc<Terms>, member: Member) -> Result<Self, Error> {
        let decoder = model::decoder(&terms.schema).map_err(|known| Error::UnknownSchema {
            name: terms.schema.clone(),
            known: known.join(", "),
        })?;
        let partitions = Partitions::new(
            member,
            Arc::clone(&terms.tracker),
            terms.delivery.clone(),
            Arc::clone(&terms.readiness),
        );
        let Terms {
            connection,
            group,
            topic,
            ..
        } = &*terms;
        let source = Source::open(connection, group, topic, Arc::new(partitions))?;
        Ok(Self {
            source,
            decoder,
            member,
            spares: terms.delivery.spares().clone(),
            messages: Vec::new(),
            tickets: Vec::new(),
            slots: Vec::new(),
            committed: Instant::now(),
            idle: true,
            clock: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()?,
            terms,
        })
    }

    /// Hands over records until told to stop, or until nobody wants them.
    fn read(&mut self, records: &mpsc::Sender<Batch>) -> Result<(), Error> {
        let mut waiting = VecDeque::new();
        while !self.terms.shutdown.is_requested() {
            match waiting.pop_front() {
                Some(batch) => {
                    if !self.hand_over(batch, records, &mut waiting)? {
                        break;
                    }
                }
                None => waiting.extend(self.poll()?),
            }
        }
        Ok(())
    }

    /// Hands over a batch as soon as it is taken. Returns whether records are wanted at all.
    ///
    /// Until then, which may take long where a model server is away, the membership goes on: finished
    /// records are committed, and partitions go to others who ask for them. What comes in spite of
    /// that is `waiting` afterwards.
    fn hand_over(
        &mut self,
        batch: Batch,
        records: &mpsc::Sender<Batch>,
        waiting: &mut VecDeque<Batch>,
    ) -> Result<bool, Error> {
        if let Ok(room) = records.try_reserve() {
            room.send(batch);
            return Ok(true);
        }
        loop {
            let room = async { timeout(WAIT, records.reserve()).await };
            match self.clock.block_on(room) {
                Ok(Ok(room)) => {
                    room.send(batch);
                    return Ok(true);
                }
                Ok(Err(_)) => return Ok(false),
                Err(_) if self.terms.shutdown.is_requested() => return Ok(false),
                Err(_) => waiting.extend(self.attend()?),
            }
        }
    }

    /// Waits for records and takes what is there, if anything is.
    fn poll(&mut self) -> Result<Option<Batch>, Error> {
        self.read_by(|source, messages| source.poll(messages, BATCH, WAIT))
    }

    /// Does all but reading.
    fn attend(&mut self) -> Result<Option<Batch>, Error> {
        self.read_by(Source::attend)
    }

    /// What does not decode has gone to the dead-letter topic.
    fn read_by(
        &mut self,
        read: impl FnOnce(&mut Source, &mut kafka::Batch) -> kafka::Result<()>,
    ) -> Result<Option<Batch>, Error> {
        if let Some(failure) = self.terms.delivery.failure() {
            return Err(failure);
        }
        // While records flow, whoever delivers hears of what was acknowledged; if there is anything
        // to deliver.
        if self.idle || self.committed.elapsed() >= COMMIT_INTERVAL {
            self.terms.delivery.poll(Duration::ZERO);
        }
        self.commit()?;
        self.restrain()?;
        let mut messages = self.unused();
        // Nobody else holds unused ones.
        if let Some(messages) = Arc::get_mut(&mut messages) {
            read(&mut self.source, messages)?;
        }
        self.idle = messages.is_empty();
        let records = self.decode(&messages);
        self.messages.push(Arc::clone(&messages));
        let batch = Batch::new(records, messages);
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// Leaves the group, after what is under way has been finished and committed. What takes longer
    /// than a few seconds is left to the next owner of the partition.
    fn close(self) {
        // Closing revokes, and revoking drains and commits.
        self.source.close();
    }

    fn decode(&mut self, messages: &kafka::Batch) -> Vec<Pending> {
        let positions = messages.iter().map(|message| message.position);
        self.terms
            .tracker
            .begin(self.member, positions, &mut self.tickets);
        let mut records = self.spares.take();
        self.slots.append(&mut records);
        let mut read = 0;
        for (index, (message, ticket)) in messages.iter().zip(&self.tickets).enumerate() {
            let Some(ticket) = *ticket else {
                continue;
            };
            read += 1;
            let mut pending = self.slots.pop().unwrap_or_default();
            pending.ticket = ticket;
            pending.index = u32::try_from(index).unwrap_or(u32::MAX);
            pending.messages = 0;
            let record = &mut pending.record;
            let reason = match message.payload {
                Some(bytes) => match self.decoder.decode_into(bytes, record) {
                    Ok(()) => {
                        record.submitted_us = Some(submitted_us(&message, record));
                        records.push(pending);
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                None => "the message has no value".to_owned(),
            };
            let stray = Stray {
                topic: &self.terms.topic,
                position: message.position,
                key: message.key,
                value: message.payload,
                headers: message.headers().collect(),
                ticket,
            };
            let kind = DeadLetterKind::Undecodable;
            self.terms.delivery.stray(&stray, kind, &reason);
        }
        self.slots.truncate(BATCH);
        self.terms.counters.read(read);
        records
    }

    /// Room for messages that nothing refers to any more, or new room.
    fn unused(&mut self) -> Arc<kafka::Batch> {
        let unused = self
            .messages
            .iter()
            .position(|messages| Arc::strong_count(messages) == 1);
        unused.map_or_else(
            || Arc::new(kafka::Batch::new()),
            |index| self.messages.swap_remove(index),
        )
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.committed.elapsed() < COMMIT_INTERVAL {
            return Ok(());
        }
        self.committed = Instant::now();
        // A few wait for their turn; what a burst needed is given back.
        let mut spare = 16;
        self.messages.retain(|messages| {
            let unused = Arc::strong_count(messages) == 1;
            spare -= usize::from(unused && spare > 0);
            !unused || spare > 0
        });
        let positions = self.terms.tracker.take_committable(self.member);
        if positions.is_empty() {
            Ok(())
        } else {
            Ok(self.source.commit(&positions)?)
        }
    }

    /// Stops the source while too much is under way, and starts it again.
    fn restrain(&mut self) -> Result<(), Error> {
        let unfinished = self.terms.tracker.unfinished();
        let held = self
            .messages
            .iter()
            .filter(|messages| Arc::strong_count(messages) > 1);
        let held: usize = held.map(|messages| messages.bytes()).sum();
        let open = self.terms.tracker.open();
        let much = unfinished >= MOST_UNFINISHED || open >= MOST_OPEN || held >= MOST_HELD;
        let little =
            unfinished < MOST_UNFINISHED / 2 && open < MOST_OPEN / 2 && held < MOST_HELD / 2;
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
