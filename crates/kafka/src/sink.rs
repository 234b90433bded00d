//! An ordered, idempotent producer.

mod delivery;
mod returned;
mod underway;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer as _, PurgeConfig};

use self::delivery::{Delivery, State};
use self::returned::Next;
use self::underway::Accepted;
use crate::connection::{Connection, refused};
use crate::{Error, Result, SendError, native};

/// How long the requests of a dead producer may take to be answered.
const ANSWERS: Duration = Duration::from_secs(2);
/// How long one wait inside librdkafka takes at most, so that an acknowledgement ends it.
const SLICE: Duration = Duration::from_millis(5);

/// A message to send. Nothing is kept of it: librdkafka copies it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition; `None` leaves the choice to the hash of the key, or to chance without one.
    pub partition: Option<i32>,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub payload: Option<&'a [u8]>,
    /// The headers, in order; a value may be null.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Milliseconds since 1970; `None` for now.
    pub timestamp_ms: Option<i64>,
}

/// Hears what became of the messages that a [`Sink`] accepted.
pub trait Acknowledge: Send + Sync {
    /// Called exactly once for every message that [`Sink::send`] accepted, with the ticket given
    /// there, on the thread that is in [`Sink::poll`] or [`Sink::flush`]. `Ok`: all replicas have
    /// it. `Err`: it was not written, and sending it again would not help.
    ///
    /// May call [`Sink::send`], but not [`Sink::poll`] or [`Sink::flush`].
    fn acknowledged(&self, ticket: u64, result: Result<()>);
}

/// An ordered, idempotent producer: acknowledged by all replicas (`acks=all`), in order per
/// partition.
///
/// # Delivery
/// Every message that [`Sink::send`] accepts is acknowledged exactly once. A broker that is away,
/// and a topic that is missing (it may be about to be created), are waited for without limit: the
/// queue fills, and `send` answers [`SendError::QueueFull`].
///
/// librdkafka declares an idempotent producer dead when it cannot go on without the risk of a
/// repetition, for example when the broker has come back without its log. The sink then opens
/// another one and sends again what was not acknowledged, before anything else and in the same
/// order. So a message is written exactly once to a log that lives, and at least once across such
/// a loss.
///
/// A broker refuses as a whole a batch in which one message is too large for its topic. The sink
/// then sends each alone, so that only the one that is too large fails; messages of the same topic
/// that were underway may overtake them.
///
/// A sink that is dropped abandons what is in flight without acknowledging it: [`Sink::flush`]
/// first.
pub struct Sink {
    config: ClientConfig,
    limit: usize,
    producer: RwLock<Arc<native::Producer<Delivery>>>,
    /// Held while a dead producer is replaced and while returned messages are sent again.
    recovery: Mutex<()>,
    state: Arc<State>,
}

impl Sink {
    /// Opens a producer. Returns at once: the broker may come later.
    ///
    /// # Errors
    /// A property is refused, or librdkafka has no resources for a client.
    pub fn open(connection: &Connection, acknowledge: Arc<dyn Acknowledge>) -> Result<Self> {
        let config = connection.config(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // Wait for a broker without limit.
            ("message.timeout.ms", "0"),
            ("linger.ms", "0"),
            ("sticky.partitioning.linger.ms", "10"),
            ("batch.num.messages", "10000"),
            ("batch.size", "1000000"),
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "131072"),
            ("retry.backoff.ms", "50"),
            ("retry.backoff.max.ms", "500"),
        ])?;
        let native = config.create_native_config().map_err(refused)?;
        let number = |name| -> Result<usize> {
            let text = native.get(name).map_err(refused)?;
            Ok(text.trim_end_matches('\0').parse().unwrap_or(usize::MAX))
        };
        let limit = number("message.max.bytes")?;
        // Zero stands for no limit.
        let room = match number("queue.buffering.max.messages")? {
            0 => usize::MAX,
            room => room,
        };
        let state = Arc::new(State::new(&connection.brokers, acknowledge, room));
        let producer = produce(&config, &state)?;
        Ok(Self {
            config,
            limit,
            producer: RwLock::new(producer),
            recovery: Mutex::new(()),
            state,
        })
    }

    /// The bytes that a message with its key and headers may have (`message.max.bytes`).
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Hands a message over. `ticket` comes back in [`Acknowledge::acknowledged`].
    ///
    /// # Errors
    /// The message was not accepted, and its ticket will not be acknowledged.
    pub fn send(&self, message: &Outgoing<'_>, ticket: u64) -> Result<(), SendError> {
        if self.state.blocked.load(Ordering::Acquire) || self.state.fatal.load(Ordering::Acquire) {
            return Err(SendError::QueueFull);
        }
        // Counted first: the acknowledgement may come before this returns.
        self.state.in_flight.fetch_add(1, Ordering::AcqRel);
        let sequence = self.state.sequence.fetch_add(1, Ordering::Relaxed);
        let sent = self.hand_over(message, Accepted { ticket, sequence });
        if sent.is_err() {
            self.state.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
        sent
    }

    fn hand_over(&self, message: &Outgoing<'_>, accepted: Accepted) -> Result<(), SendError> {
        let Some(place) = self.state.underway.take(accepted) else {
            return Err(SendError::QueueFull);
        };
        let code = {
            let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
            match producer.send(message, place) {
                Ok(()) => return Ok(()),
                Err(code) => code,
            }
        };
        self.state.underway.free(place);
        let topic = || message.topic.to_owned();
        match code {
            RDKafkaErrorCode::QueueFull => Err(SendError::QueueFull),
            RDKafkaErrorCode::Fatal => {
                self.state.fatal.store(true, Ordering::Release);
                Err(SendError::QueueFull)
            }
            // Known to be missing; librdkafka asks again every few seconds.
            RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition => {
                self.state.journal.waiting_for_topic(message.topic);
                Err(SendError::QueueFull)
            }
            RDKafkaErrorCode::UnknownPartition => {
                let partition = message.partition.unwrap_or(-1);
                Err(Error::UnknownPartition {
                    topic: topic(),
                    partition,
                }
                .into())
            }
            RDKafkaErrorCode::MessageSizeTooLarge => Err(SendError::TooLarge {
                size: message.size(),
                limit: self.limit,
            }),
            source => Err(Error::Delivery {
                topic: topic(),
                source,
            }
            .into()),
        }
    }

    /// Acknowledges what has been delivered; waits up to `timeout` if nothing has. Returns how
    /// many messages were acknowledged.
    ///
    /// Also does what a sink does in the background, so it is to be called regularly, also while
    /// `send` answers [`SendError::QueueFull`].
    pub fn poll(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        loop {
            let mut done = 0;
            loop {
                self.current().client().poll(Duration::ZERO);
                match self.state.acknowledged.swap(0, Ordering::AcqRel) {
                    0 => break,
                    more => done += more,
                }
            }
            self.recover();
            let left = deadline.saturating_duration_since(Instant::now());
            if done > 0 || left.is_zero() {
                return done;
            }
            self.current().client().poll(left.min(SLICE));
        }
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// [`Error::Timeout`]: something is still in flight, and may still be acknowledged.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            // Ends librdkafka's lingering; it fails while anything is in flight.
            let _ = self.current().client().flush(Duration::ZERO);
            if self.in_flight() == 0 {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout {
                    what: "delivering messages",
                    after: timeout,
                });
            }
            self.poll(left.min(SLICE));
        }
    }

    /// How many messages are accepted and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::Acquire)
    }

    fn current(&self) -> Arc<native::Producer<Delivery>> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces a dead producer; sends again what was returned.
    fn recover(&self) {
        let fatal = self.state.fatal.load(Ordering::Acquire);
        if !fatal && !self.state.blocked.load(Ordering::Acquire) {
            return;
        }
        // Another thread is at it.
        let Ok(_guard) = self.recovery.try_lock() else {
            return;
        };
        if fatal && !self.replace() {
            return;
        }
        self.send_returned();
    }

    fn replace(&self) -> bool {
        let dead = self.current();
        let now = Instant::now();
        // What is on its way may still be answered, which saves a repetition; what waits is not
        // sent any more.
        let (answered, given_up) = (now + ANSWERS, now + ANSWERS * 2);
        let dead = dead.client();
        while dead.in_flight_count() > 0 && Instant::now() < given_up {
            let purge = PurgeConfig::default().queue();
            let late = Instant::now() >= answered;
            dead.purge(if late { purge.inflight() } else { purge });
            dead.poll(Duration::from_millis(1));
        }
        match produce(&self.config, &self.state) {
            Ok(producer) => {
                *self
                    .producer
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = producer;
                self.state.fatal.store(false, Ordering::Release);
                self.state.returned().hurry();
                tracing::warn!("the producer was replaced after a fatal error");
                true
            }
            Err(error) => {
                self.state.journal.warn(&error.to_string());
                false
            }
        }
    }

    fn send_returned(&self) {
        loop {
            let kept = match self.state.next_returned() {
                Next::Send(kept) => kept,
                Next::Wait | Next::Done => return,
            };
            match kept.with_outgoing(|outgoing| self.hand_over(outgoing, kept.accepted)) {
                Ok(()) => {}
                Err(SendError::QueueFull) => return self.state.returned().put_back(kept),
                Err(SendError::TooLarge { size, .. }) => {
                    let topic = kept.topic;
                    self.state
                        .finish(kept.accepted.ticket, Err(Error::TooLarge { topic, size }));
                }
                Err(SendError::Refused(error)) => {
                    self.state.finish(kept.accepted.ticket, Err(error));
                }
            }
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sink")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

fn produce(config: &ClientConfig, state: &Arc<State>) -> Result<Arc<native::Producer<Delivery>>> {
    let producer = native::Producer::create(config, Delivery(Arc::clone(state)));
    producer.map(Arc::new).map_err(refused)
}

impl Outgoing<'_> {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| size(name, *value));
        self.key.map_or(0, <[u8]>::len)
            + self.payload.map_or(0, <[u8]>::len)
            + headers.sum::<usize>()
    }
}

/// Bytes of a header.
fn size(name: &str, value: Option<&[u8]>) -> usize {
    name.len() + value.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests;
