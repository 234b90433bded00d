use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use configuration::{OnNoModel, Server};
use kafka::{Acknowledge, Connection, Message, Outgoing, Position, SendError, Sink};
use model::{Score, record};
use prost::Message as _;
use protobufs::ServingResult;

use crate::batch::{Pending, Spares};
use crate::counters::Counters;
use crate::dead_letter::{ascii, chain};
use crate::throttle::Throttle;
use crate::topics::Topics;
use crate::tracker::{Assigned, Ticket, Tracker};
use crate::{Batch, DeadLetterKind, Error, Outcomes, Scored, ServedModel};

/// How often at most a dead letter is logged, and a score is printed.
const LINES_PER_SECOND: u32 = 10;
/// After how long a full queue makes us look whether the topics are there.
const LOOK_UP: Duration = Duration::from_secs(5);
/// How often a partition is tried that the producer does not know: it learns of a topic that has
/// been made anew within some seconds.
const TRIES: u32 = 50;
/// After how many results it is looked again which partitions are ours.
const LOOK_AGAIN: usize = 500;
/// How long one wait for a full queue takes, before it is looked at again.
const WAIT: Duration = Duration::from_millis(20);

/// Where outcomes go: results and dead letters to their topics, and word to the tracker when they
/// are there. A clone shares the producer and has its own buffers, so each thread has one.
pub struct Delivery {
    shared: Arc<Shared>,
    message: ServingResult,
    buffer: Vec<u8>,
    /// The assignment, as it was when somebody looked last.
    assigned: Assigned,
}

struct Shared {
    sink: Sink,
    tracker: Arc<Tracker>,
    counters: Arc<Counters>,
    failure: Arc<OnceLock<String>>,
    strategy: &'static str,
    settings: Arc<Server>,
    topics: Topics,
    spares: Spares,
    lines: Throttle,
    warnings: Throttle,
}

/// Hears of acknowledged messages.
struct Acknowledgements {
    tracker: Arc<Tracker>,
    failure: Arc<OnceLock<String>>,
}

impl Acknowledge for Acknowledgements {
    fn acknowledged(&self, ticket: u64, result: kafka::Result<()>) {
        match result {
            Ok(()) => self.tracker.finish(Ticket::from_bits(ticket)),
            // The record stays unfinished, so that nobody commits past it.
            Err(error) => {
                let _ = self.failure.set(chain(&error));
            }
        }
    }
}

/// Anything that did not get to be scored, as it came.
pub(crate) struct Stray<'a> {
    pub(crate) topic: &'a str,
    pub(crate) position: Position,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
    pub(crate) ticket: Ticket,
}

impl Delivery {
    pub(crate) fn open(
        connection: &Connection,
        strategy: &'static str,
        settings: Arc<Server>,
        topics: Topics,
        tracker: Arc<Tracker>,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let failure = Arc::new(OnceLock::new());
        let acknowledgements = Acknowledgements {
            tracker: Arc::clone(&tracker),
            failure: Arc::clone(&failure),
        };
        let sink = Sink::open(connection, Arc::new(acknowledgements))?;
        let shared = Shared {
            sink,
            tracker,
            counters,
            failure,
            strategy,
            settings,
            topics,
            spares: Spares::default(),
            lines: Throttle::new(LINES_PER_SECOND),
            warnings: Throttle::new(LINES_PER_SECOND),
        };
        Ok(Self::of(Arc::new(shared)))
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self {
            assigned: shared.tracker.assigned(),
            shared,
            message: ServingResult::default(),
            buffer: Vec::new(),
        }
    }

    /// Drops the records whose partitions have been taken away: somebody else scores them. What is
    /// not dropped here, because it is under way, does not become a result either.
    pub fn drop_taken_away(&self, batch: &mut Batch) {
        batch.retain(&self.assigned);
    }

    /// Whether partitions have come or gone since this was asked last.
    pub fn is_reassigned(&mut self) -> bool {
        let before = std::mem::replace(&mut self.assigned, self.shared.tracker.assigned());
        !before.is(&self.assigned)
    }

    /// Sends outcomes where they belong, in order. Waits while the producer's queue is full.
    pub fn deliver(&mut self, outcomes: impl IntoIterator<Item = Outcomes>) {
        for Outcomes { batch, scored } in outcomes {
            match scored {
                Some(scored) => self.scored(&batch, scored),
                None => self.without_model(&batch),
            }
            self.shared.spares.put(batch);
            // On this thread, which made the messages, because it is cheapest to free them here.
            self.shared.sink.poll(Duration::ZERO);
        }
    }

    fn scored(&mut self, batch: &Batch, scored: Scored) {
        let mut assigned = Assigned::default();
        let Scored {
            model,
            scored_us,
            scoring_ns,
            scores,
        } = scored;
        let mut sent = 0;
        for (place, (pending, score)) in batch.records.iter().zip(scores).enumerate() {
            if place % LOOK_AGAIN == 0 {
                assigned = self.shared.tracker.assigned();
            }
            // Somebody else scores what was taken away from us.
            if !assigned.holds(pending.ticket) {
                continue;
            }
            let Some(source) = batch.message(pending) else {
                continue;
            };
            let failure = match score {
                Ok(score) => {
                    if sent == 0 {
                        let data_type = &pending.record.data_type;
                        self.shared.print(data_type, &score, &model, scoring_ns);
                    }
                    self.encode(pending, &source, &score, &model, scored_us, scoring_ns);
                    self.send(&source, pending.ticket)
                }
                Err(error) => Err(chain(&error)),
            };
            match failure {
                Ok(()) => sent += 1,
                Err(reason) => {
                    self.dead_letter(batch, pending, DeadLetterKind::ScoreFailed, &reason);
                }
            }
        }
        self.shared.counters.scored(sent, scoring_ns);
    }

    fn without_model(&self, batch: &Batch) {
        let assigned = self.shared.tracker.assigned();
        let ours = batch.records.iter().filter(|p| assigned.holds(p.ticket));
        for pending in ours {
            self.shared.counters.no_model();
            if self.shared.settings.on_no_model == OnNoModel::DeadLetter {
                let data_type = &pending.record.data_type;
                let reason = format!("there is no model for the data type `{data_type}`");
                self.dead_letter(batch, pending, DeadLetterKind::NoModel, &reason);
            } else {
                self.shared.tracker.finish(pending.ticket);
            }
        }
    }

    /// Sends a record to the dead-letter topic.
    fn dead_letter(&self, batch: &Batch, pending: &Pending, kind: DeadLetterKind, reason: &str) {
        let Some(message) = batch.message(pending) else {
            return;
        };
        self.stray(
            &Stray {
                topic: &self.shared.settings.basics.data_topic,
                position: message.position,
                key: message.key,
                value: message.payload,
                headers: message.headers().collect(),
                ticket: pending.ticket,
            },
            kind,
            reason,
        );
    }

    /// Sends anything to the dead-letter topic, as it came, with the reason in its headers.
    pub(crate) fn stray(&self, stray: &Stray<'_>, kind: DeadLetterKind, reason: &str) {
        let shared = &*self.shared;
        let Position { partition, offset } = stray.position;
        shared.counters.dead_letter(kind);
        if let Some(held_back) = shared.warnings.pass() {
            tracing::warn!(
                topic = stray.topic, partition, offset, %kind, held_back, "dead letter: {reason}"
            );
        }
        let (partition, offset) = (partition.to_string(), offset.to_string());
        let reason = ascii(reason);
        let mut headers = stray.headers.clone();
        headers.extend(
            [
                ("errors.topic", stray.topic),
                ("errors.partition", partition.as_str()),
                ("errors.offset", offset.as_str()),
                ("errors.kind", kind.as_str()),
                ("errors.message", reason.as_str()),
                ("errors.strategy", shared.strategy),
            ]
            .map(|(name, value)| (name, Some(value.as_bytes()))),
        );
        let topic = shared.settings.basics.dead_letter_topic.as_str();
        let outgoing = Outgoing {
            topic,
            partition: None,
            key: stray.key,
            payload: stray.value,
            headers: &headers,
            timestamp_ms: None,
        };
        let limit = shared.topics.dead_letters_limit();
        let fits = outgoing.size() <= limit;
        let sent = if fits {
            shared.send(&outgoing, None, stray.ticket)
        } else {
            let size = outgoing.size();
            Err(SendError::TooLarge { size, limit })
        };
        let Err(error) = sent else { return };
        // The position identifies the message: better a letter without it than none.
        tracing::error!(
            topic,
            "a dead letter does not fit and goes without its value: {error}"
        );
        let note = format!(
            "{reason} (the value is left out: {})",
            ascii(&error.to_string())
        );
        // Key and headers of its own go too, unless they are what is too large.
        let own: usize = stray
            .headers
            .iter()
            .map(|(_, value)| value.map_or(0, <[u8]>::len))
            .sum();
        let small = own + stray.key.map_or(0, <[u8]>::len) < limit / 2;
        let bare: Vec<_> = headers
            .iter()
            .enumerate()
            .filter(|(index, _)| small || *index >= stray.headers.len())
            .map(|(_, header)| header)
            .map(|&(name, value)| {
                (
                    name,
                    if name == "errors.message" {
                        Some(note.as_bytes())
                    } else {
                        value
                    },
                )
            })
            .collect();
        let outgoing = Outgoing {
            key: stray.key.filter(|_| small),
            payload: None,
            headers: &bare,
            ..outgoing
        };
        if let Err(error) = shared.send(&outgoing, None, stray.ticket) {
            let _ = shared.failure.set(chain(&error));
        }
    }

    /// Writes a record's result into the buffer.
    fn encode(
        &mut self,
        pending: &Pending,
        source: &Message<'_>,
        score: &Score,
        model: &ServedModel,
        scored_us: i64,
        scoring_ns: u64,
    ) {
        let message = &mut self.message;
        message.value = score.value;
        match (&mut message.label, &score.label) {
            // The space of the last label serves for this one.
            (Some(label), Some(new)) => {
                label.clear();
                label.push_str(new);
            }
            (label, new) => *label = new.as_deref().map(str::to_owned),
        }
        message.probabilities.clear();
        let labels = score.probabilities.iter();
        message
            .probabilities
            .extend(labels.map(|(label, p)| (label.to_string(), *p)));
        message.outputs.clear();
        let outputs = score.outputs.iter();
        message
            .outputs
            .extend(outputs.map(|(name, tensor)| record::message(name, tensor)));
        message.submitted_us = pending.record.submitted_us.unwrap_or_default();
        message.scored_us = scored_us;
        message.scoring_ns = i64::try_from(scoring_ns).unwrap_or(i64::MAX);
        message.source_partition = source.position.partition;
        message.source_offset = source.position.offset;
        self.buffer.clear();
        self.buffer.extend_from_slice(model.header());
        // A Vec grows as needed, so that encoding into it cannot run out of room.
        message.encode_raw(&mut self.buffer);
    }

    /// Sends the result in the buffer, or says why that cannot be.
    fn send(&self, source: &Message<'_>, ticket: Ticket) -> Result<(), String> {
        let shared = &*self.shared;
        let submitted = source.header("submitted-us");
        let headers = [("submitted-us", submitted)];
        let outgoing = Outgoing {
            topic: &shared.settings.basics.results_topic,
            partition: None,
            key: source.key,
            payload: Some(&self.buffer),
            headers: if submitted.is_some() { &headers } else { &[] },
            timestamp_ms: None,
        };
        let (size, limit) = (outgoing.size(), shared.topics.results_limit());
        if size > limit {
            return Err(format!(
                "its result of {size} bytes is larger than the results topic takes ({limit} bytes)"
            ));
        }
        let of_record = Some(source.position.partition);
        shared
            .send(&outgoing, of_record, ticket)
            .map_err(|error| format!("its result cannot be sent: {}", chain(&error)))
    }

    /// Takes in what has been acknowledged, waiting up to `timeout` for something.
    pub(crate) fn poll(&self, timeout: Duration) {
        self.shared.sink.poll(timeout);
    }

    /// Waits until everything that was sent is acknowledged.
    ///
    /// # Errors
    /// When it takes longer than `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), Error> {
        Ok(self.shared.sink.flush(timeout)?)
    }

    /// Looks up the topics that are written to, and creates them where they are missing. Returns
    /// whether the records topic exists, as far as is known.
    pub(crate) fn look_up_topics(&self) -> bool {
        self.shared.topics.look_up().unwrap_or_else(|error| {
            tracing::warn!("the topics cannot be looked up: {}", chain(&error));
            true
        })
    }

    /// The memory of batches that were delivered.
    pub(crate) fn spares(&self) -> &Spares {
        &self.shared.spares
    }

    /// Why nothing more can be delivered, if that is so.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.shared
            .failure
            .get()
            .map(|reason| Error::Undelivered(reason.clone()))
    }
}

impl Clone for Delivery {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }
}

impl Shared {
    /// Sends, waiting while the queue is full, or while the topic is not what it was when it was
    /// looked up. An error says that no try will succeed.
    fn send(
        &self,
        outgoing: &Outgoing<'_>,
        of_record: Option<i32>,
        ticket: Ticket,
    ) -> Result<(), SendError> {
        let mut looked_up = Instant::now();
        let mut tries = 0;
        loop {
            let partition = of_record.and_then(|record| self.topics.results_partition(record));
            let outgoing = Outgoing {
                partition,
                ..*outgoing
            };
            let stale = match self.sink.send(&outgoing, ticket.to_bits()) {
                Err(SendError::QueueFull) => false,
                Err(SendError::Refused(kafka::Error::UnknownPartition { .. })) if tries < TRIES => {
                    true
                }
                result => return result,
            };
            // Nobody else is left to ask what will not come.
            if self.failure.get().is_some() {
                return Ok(());
            }
            self.sink.poll(if stale { 10 * WAIT } else { WAIT });
            if stale || looked_up.elapsed() >= LOOK_UP {
                looked_up = Instant::now();
                tries += u32::from(stale);
                // The topic may be gone, and who reads the records may be waiting for us.
                if let Err(error) = self.topics.look_up() {
                    tracing::warn!("the topics cannot be looked up: {}", chain(&error));
                }
            }
        }
    }

    fn print(&self, data_type: &str, score: &Score, model: &ServedModel, scoring_ns: u64) {
        if self.settings.basics.quiet || self.lines.pass().is_none() {
            return;
        }
        let result = match (score.value, &score.label) {
            (Some(value), _) => format!("{value:?}"),
            (None, Some(label)) => label.to_string(),
            (None, None) => "none".to_owned(),
        };
        let took = scoring_ns as f64 / 1e6;
        let name = &model.descriptor.name;
        // A reader that went away is no reason to stop serving.
        let _ = writeln!(
            std::io::stdout().lock(),
            "model served in {took:.3} ms, result {result}, model {name}, data type {data_type}"
        );
    }
}
