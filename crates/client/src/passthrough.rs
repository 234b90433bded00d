//! Passes records through: all that a strategy does with Kafka, and nothing else.
//!
//! This is the floor that strategies are measured against, so it has to do what they do: the same
//! consuming, results of the same size with the same key, header and partition, the same
//! acknowledgements, and commits of nothing but what is acknowledged. It runs on one thread.

mod positions;
mod results;

use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use configuration::Passthrough;
use kafka::{
    Acknowledge, Assignment, Batch, Committer, Connection, Message, Outgoing, SendError, Sink,
    Source,
};

use self::positions::{Positions, Tenure};
use self::results::Results;
use crate::Interrupt;
use crate::arrival::await_broker;

/// As many bytes as a result of the wine random forest has. That they say nothing costs a broker
/// the same.
const RESULT: [u8; 86] = [0; 86];
/// Records that are taken at once, at most.
const BATCH: usize = 8192;
/// Records that are under way: past this many, no more are taken.
const MOST_UNDER_WAY: u64 = 100_000;
/// How often what is finished is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits at most for records before it looks whether it is to end.
const STEP: Duration = Duration::from_millis(100);
/// How long one wait for room takes, before it is looked at again.
const WAIT: Duration = Duration::from_millis(20);
/// After how long without room the source is told to wait, so that it stays in the group.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the topics are looked up while there is no room: they may be missing.
const LOOK_UP: Duration = Duration::from_secs(5);
/// The same while the partition of a result is missing, and how often that is tried: a producer
/// learns of a topic that has been made anew within some seconds.
const RETRY: Duration = Duration::from_millis(200);
const TRIES: u32 = 50;
/// How long a revoked partition may drain.
const DRAIN: Duration = Duration::from_secs(2);

/// Passes records through until it is interrupted. Says on `out` how many, once a second.
///
/// # Errors
/// There is no broker in time, a property is refused, or a result can never be delivered.
pub fn run(settings: &Passthrough, interrupt: &Interrupt, out: &mut dyn Write) -> Result<()> {
    let basics = &settings.basics;
    let connection = Connection {
        brokers: basics.brokers().to_owned(),
        client_id: "passthrough".to_owned(),
        properties: basics.properties.clone(),
    };
    connection.check()?;
    if !await_broker(&connection, basics.broker_timeout.get(), interrupt)? {
        return Ok(());
    }
    let ledger = Arc::new(Ledger::default());
    let acknowledge = Arc::clone(&ledger) as Arc<dyn Acknowledge>;
    let desk = Arc::new(Desk {
        ledger,
        sink: Sink::open(&connection, acknowledge)?,
        results: Results::open(&connection, settings)?,
        ready: OnceLock::new(),
        brokers: connection.brokers.clone(),
    });
    if !desk.look_up() {
        // Nothing to be assigned is an assignment too; the group is joined once there is a topic.
        desk.is_ready();
    }
    let assignment = Arc::clone(&desk) as Arc<dyn Assignment>;
    let source = Source::open(&connection, &settings.group, &basics.data_topic, assignment)?;
    let mut passage = Passage {
        source,
        desk: &desk,
        batch: Batch::new(),
        sent: 0,
        later: VecDeque::new(),
        stalled: None,
    };
    let mut report = Report::new(out, basics.quiet);
    let outcome = passage.run(interrupt, &mut report);
    // Closing revokes, and revoking drains and commits.
    passage.source.close();
    if let Err(error) = desk.sink.flush(Duration::from_secs(1)) {
        eprintln!("some records will come again: {error}");
    }
    report.say(desk.ledger.positions().finished());
    outcome
}

/// What has been sent and acknowledged.
#[derive(Default)]
struct Ledger {
    positions: Mutex<Positions>,
    /// Why a result can never be delivered.
    failure: OnceLock<String>,
}

impl Ledger {
    fn positions(&self) -> MutexGuard<'_, Positions> {
        self.positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acknowledge for Ledger {
    fn acknowledged(&self, ticket: u64, result: kafka::Result<()>) {
        match result {
            Ok(()) => self.positions().acknowledged(ticket),
            // The record stays unfinished, so that nobody commits past it.
            Err(error) => {
                let _ = self.failure.set(format!("{:#}", anyhow::Error::new(error)));
            }
        }
    }
}

/// Where results go out, and who hears which partitions are ours.
struct Desk {
    ledger: Arc<Ledger>,
    sink: Sink,
    results: Results,
    ready: OnceLock<()>,
    brokers: String,
}

impl Desk {
    fn is_ready(&self) {
        self.ready
            .get_or_init(|| eprintln!("ready passthrough brokers={}", self.brokers));
    }

    /// Whether the records topic exists, as far as is known.
    fn look_up(&self) -> bool {
        self.results.look_up().unwrap_or_else(|error| {
            tracing::warn!(%error, "the topics cannot be looked up");
            true
        })
    }
}

impl Assignment for Desk {
    fn assigned(&self, partitions: &[i32]) {
        self.ledger.positions().assign(partitions);
        // The broker may have come back without its topics, or with more partitions.
        self.look_up();
        self.is_ready();
    }

    fn revoked(&self, partitions: &[i32], lost: bool, committer: Committer<'_>) {
        if !lost {
            let deadline = Instant::now() + DRAIN;
            while !self.ledger.positions().is_idle(partitions) && Instant::now() < deadline {
                self.sink.poll(Duration::from_millis(5));
            }
            let positions = self.ledger.positions().committable(partitions);
            if let Err(error) = committer.commit_sync(&positions) {
                tracing::warn!(
                    ?partitions,
                    %error,
                    "the last commit failed, the next owner repeats some records"
                );
            }
        }
        self.ledger.positions().revoke(partitions);
    }
}

/// Records on their way from the source to the sink.
struct Passage<'a> {
    source: Source,
    desk: &'a Desk,
    batch: Batch,
    /// How many of the batch have been sent.
    sent: usize,
    /// What came although the source was told to wait.
    later: VecDeque<Batch>,
    stalled: Option<Stall>,
}

/// There is no room.
struct Stall {
    since: Instant,
    looked_up: Instant,
    tries: u32,
}

/// Whether there was room for all that is in hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    None,
    /// The results topic lacks the partition.
    NoPartition,
}

impl Passage<'_> {
    fn run(&mut self, interrupt: &Interrupt, report: &mut Report<'_>) -> Result<()> {
        let ledger = &self.desk.ledger;
        let mut committed = Instant::now();
        while !interrupt.is_set() {
            self.desk.sink.poll(Duration::ZERO);
            if let Some(failure) = ledger.failure.get() {
                bail!(
                    "a result cannot be delivered, so its record is not committed and comes \
                     again: {failure}"
                );
            }
            if committed.elapsed() >= COMMIT_INTERVAL {
                committed = Instant::now();
                let positions = ledger.positions().take_committable();
                self.source.commit(&positions)?;
                report.say(ledger.positions().finished());
            }
            let room = self.send()?;
            if room == Room::Enough && ledger.positions().under_way() < MOST_UNDER_WAY {
                self.read()?;
            } else {
                self.wait(room)?;
            }
        }
        Ok(())
    }

    /// Takes the next records.
    fn read(&mut self) -> Result<()> {
        self.stalled = None;
        if self.source.paused() {
            self.source.resume()?;
        }
        match self.later.pop_front() {
            Some(batch) => self.batch = batch,
            None => self.source.poll(&mut self.batch, BATCH, STEP)?,
        }
        self.sent = 0;
        // What has been taken away by now is not in the batch.
        self.desk.ledger.positions().forget_taken_away();
        Ok(())
    }

    /// Waits for acknowledgements, and stays in the group meanwhile.
    fn wait(&mut self, room: Room) -> Result<()> {
        self.desk.sink.poll(WAIT);
        let now = Instant::now();
        let stall = self.stalled.get_or_insert(Stall {
            since: now,
            looked_up: now,
            tries: 0,
        });
        let again = if room == Room::NoPartition {
            RETRY
        } else {
            LOOK_UP
        };
        if now.duration_since(stall.looked_up) >= again {
            stall.looked_up = now;
            stall.tries += u32::from(room == Room::NoPartition);
            if stall.tries > TRIES {
                bail!("the results topic lacks the partition of a result");
            }
            self.desk.look_up();
        }
        if now.duration_since(stall.since) >= PAUSE {
            if !self.source.paused() {
                tracing::debug!("no room for results; the source waits");
                self.source.pause()?;
            }
            let mut batch = Batch::new();
            let before = self.desk.ledger.positions().taken_away().len();
            self.source.poll(&mut batch, BATCH, Duration::ZERO)?;
            // What came before it was taken away is not ours, even if its partition comes back.
            let taken_away = self.desk.ledger.positions().taken_away()[before..].to_vec();
            for batch in &mut self.later {
                batch.retain(|position| !taken_away.contains(&position.partition));
            }
            if !batch.is_empty() {
                self.later.push_back(batch);
            }
        }
        Ok(())
    }

    /// Sends what is in hand, as far as there is room.
    fn send(&mut self) -> Result<Room> {
        let ledger = &self.desk.ledger;
        let taken_away = ledger.positions().taken_away().to_vec();
        let mut run = Run::default();
        let mut room = Room::Enough;
        for message in self.batch.iter().skip(self.sent) {
            let partition = message.position.partition;
            if run.of != Some(partition) {
                run.note(&mut ledger.positions());
                run = Run::of(partition, &ledger.positions());
            }
            // Somebody else takes care of what is not ours any more.
            if let Some(tenure) = run.tenure
                && !taken_away.contains(&partition)
            {
                room = self.desk.send(&message, tenure)?;
                if room != Room::Enough {
                    break;
                }
                run.extend(message.position.offset, ledger);
            }
            self.sent += 1;
        }
        run.note(&mut ledger.positions());
        Ok(room)
    }
}

impl Desk {
    /// Sends one result.
    fn send(&self, message: &Message<'_>, tenure: Tenure) -> Result<Room> {
        let submitted = message.header("submitted-us");
        let headers = [("submitted-us", submitted)];
        let outgoing = Outgoing {
            topic: self.results.topic(),
            partition: self.results.partition(message.position.partition),
            key: message.key,
            payload: Some(&RESULT),
            headers: if submitted.is_some() { &headers } else { &[] },
            timestamp_ms: None,
        };
        match self
            .sink
            .send(&outgoing, tenure.ticket(message.position.offset))
        {
            Ok(()) => Ok(Room::Enough),
            Err(SendError::QueueFull) => Ok(Room::None),
            Err(SendError::Refused(kafka::Error::UnknownPartition { .. })) => Ok(Room::NoPartition),
            Err(error) => Err(error).context("a result cannot be sent"),
        }
    }
}

/// Records of one partition that were sent one after the other, and are to be noted: nothing is
/// acknowledged before the sink is polled.
#[derive(Default)]
struct Run {
    of: Option<i32>,
    tenure: Option<Tenure>,
    offsets: Range<i64>,
}

impl Run {
    fn of(partition: i32, positions: &Positions) -> Self {
        Self {
            of: Some(partition),
            tenure: positions.tenure(partition),
            offsets: 0..0,
        }
    }

    fn extend(&mut self, offset: i64, ledger: &Ledger) {
        if self.offsets.end != offset || self.offsets.is_empty() {
            self.note(&mut ledger.positions());
            self.offsets = offset..offset;
        }
        self.offsets.end = offset.saturating_add(1);
    }

    fn note(&mut self, positions: &mut Positions) {
        if let Some(tenure) = self.tenure {
            positions.sent(tenure, std::mem::take(&mut self.offsets));
        }
    }
}

/// Says how many records have been passed through.
struct Report<'a> {
    out: &'a mut dyn Write,
    quiet: bool,
    said: u64,
}

impl<'a> Report<'a> {
    fn new(out: &'a mut dyn Write, quiet: bool) -> Self {
        Self {
            out,
            quiet,
            said: 0,
        }
    }

    fn say(&mut self, passed: u64) {
        if !self.quiet && passed > self.said {
            self.said = passed;
            // A reader that went away is no reason to stop.
            let _ = writeln!(self.out, "passed {passed} records").and_then(|()| self.out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use protobufs::ServingResult;
    use protobufs::model_descriptor::ModelType;

    use super::*;

    #[test]
    fn it_sends_as_many_bytes_as_a_result_of_the_random_forest_has() {
        // A record of a backlog of some millions in four partitions, scored in 200 ns.
        let result = ServingResult {
            data_type: "wine".to_owned(),
            model_name: "winequality-random-forest".to_owned(),
            model_version: "0".to_owned(),
            model_type: ModelType::Pmml.into(),
            value: Some(6.0),
            label: Some("6".to_owned()),
            submitted_us: 1_790_000_000_000_000,
            scored_us: 1_790_000_000_100_000,
            scoring_ns: 200,
            source_partition: 3,
            source_offset: 750_000,
            model_digest: u64::MAX / 3,
            ..ServingResult::default()
        };
        assert_eq!(result.encoded_len(), RESULT.len());
    }
}
