//! Publishes wines to score, and models that score them.

mod broker;
mod data;
mod models;
mod records;
mod schedule;
mod tally;
mod topics;

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use configuration::{DataProvider, KeyChoice};
use kafka::{Acknowledge, Outgoing, SendError, Sink};
use model::decoder;
use prost::Message as _;

use self::broker::Broker;
use self::models::Models;
use self::records::Records;
use self::schedule::Schedule;
use self::tally::{Report, Tally};
use crate::Interrupt;

/// How long the provider waits at most before it looks whether it is to end.
const STEP: Duration = Duration::from_millis(50);
/// How long what is underway may take at the end: a program is gone within five seconds.
const GRACE: Duration = Duration::from_secs(4);

/// Publishes until it is interrupted, or until the records that were asked for are written. Says
/// on `out` what it does.
///
/// # Errors
/// The data cannot be read, no model can be published, there is no broker in time, or the topics
/// cannot be created.
pub fn run(settings: &DataProvider, interrupt: &Interrupt, out: &mut dyn Write) -> Result<()> {
    let directory = data::directory(settings.data_dir.as_deref())?;
    let mut records = Records::of(data::records(&directory)?, settings.record);
    let mut sample = Vec::new();
    records.encode(0, &data_type(0), 0, &mut sample)?;
    let sample = decoder(settings.record.name())
        .map_err(|known| anyhow!("records are {known:?}"))
        .and_then(|mut decoder| Ok((Arc::clone(decoder.schema()), decoder.decode(&sample)?)))?;
    let models = Models::load(
        directory,
        &settings.publish,
        &data_type(0),
        sample,
        settings.by_reference,
    )?;
    let Some(broker) = Broker::reach(settings, interrupt)? else {
        return Ok(());
    };
    let tally = Arc::new(Tally::default());
    let acknowledge = Arc::clone(&tally) as Arc<dyn Acknowledge>;
    let sink = Sink::open(broker.connection(), acknowledge)?;
    eprintln!(
        "ready data_provider brokers={}",
        broker.connection().brokers
    );

    let publication = Publication {
        settings,
        sink,
        tally,
        records,
        buffers: Buffers::default(),
    };
    let outcome = publication.run(models, &broker, interrupt, out);
    if outcome.is_ok() && broker.is_own() && !interrupt.is_set() {
        eprintln!("its broker goes on until Ctrl-C");
        while !interrupt.is_set() {
            thread::park_timeout(STEP);
        }
    }
    outcome
}

/// `wine`, `wine-2`, `wine-3`, ...
fn data_type(index: u64) -> String {
    match index {
        0 => "wine".to_owned(),
        index => format!("wine-{}", index + 1),
    }
}

/// What is being published.
struct Publication<'a> {
    settings: &'a DataProvider,
    sink: Sink,
    tally: Arc<Tally>,
    records: Records,
    buffers: Buffers,
}

/// Room for one message.
#[derive(Default)]
struct Buffers {
    value: Vec<u8>,
    data_type: String,
    key: String,
    submitted: String,
}

impl Publication<'_> {
    fn run(
        mut self,
        mut models: Models,
        broker: &Broker,
        interrupt: &Interrupt,
        out: &mut dyn Write,
    ) -> Result<()> {
        let settings = self.settings;
        let mut report = Report::new(out, settings.basics.quiet);
        let wanted = settings.count.map_or(u64::MAX, Into::into);
        let mut sent = 0;
        let mut published = 0;

        // The first model before the first record, so that the first record is scored.
        self.publish(&mut models, &mut published)?;
        while self.sink.in_flight() > 0 && !interrupt.is_set() {
            self.sink.poll(Duration::from_millis(10));
            report.say(&self.tally)?;
        }
        let start = Instant::now();
        let mut next_model = Schedule::every(settings.model_interval.get(), start);
        next_model.advance(start);
        let mut next_record = match settings.rate {
            Some(rate) => Schedule::rate(rate.get(), start),
            None => Schedule::every(settings.record_interval.get(), start),
        };
        while !interrupt.is_set() && (sent < wanted || self.sink.in_flight() > 0) {
            let now = Instant::now();
            if next_model.due() <= now && sent < wanted {
                self.publish(&mut models, &mut published)?;
                next_model.advance(now);
            }
            // Not for ever: reports and models have their turn.
            let turn = now + Duration::from_millis(10);
            let mut full = false;
            while sent < wanted && next_record.due() <= now && Instant::now() < turn && !full {
                full = !self.submit(sent, next_record.lateness(now))?;
                if !full {
                    sent += 1;
                    next_record.advance(now);
                }
            }
            report.say(&self.tally)?;
            broker.keep_topics(self.sink.in_flight() > 0, self.tally.written());
            let next = if sent < wanted {
                next_record.due().min(next_model.due())
            } else {
                now + STEP
            };
            self.wait(
                next.saturating_duration_since(Instant::now()).min(STEP),
                full,
            );
        }
        let flushed = self.sink.flush(GRACE);
        report.end(&self.tally)?;
        match flushed {
            // Who asks it to end while the broker is away has been heard all the same.
            Err(error) if interrupt.is_set() => {
                eprintln!(
                    "{} messages may not be written: {error}",
                    self.sink.in_flight()
                );
            }
            flushed => flushed.context("some messages may not be written")?,
        }
        let failed = self.tally.failed();
        ensure!(failed == 0, "{failed} messages were not written");
        Ok(())
    }

    /// Waits, and hears acknowledgements meanwhile.
    fn wait(&self, time: Duration, full: bool) {
        // librdkafka waits whole milliseconds.
        const TICK: Duration = Duration::from_millis(1);
        if full {
            self.sink.poll(STEP);
        } else if time >= TICK {
            self.sink.poll(time);
        } else {
            self.sink.poll(Duration::ZERO);
            thread::sleep(time);
        }
    }

    /// Sends a record; whether there was room for it.
    fn submit(&mut self, number: u64, lateness: Duration) -> Result<bool> {
        let types = u64::from(self.settings.data_types.max(1));
        // Every data type gets every row, whatever their numbers have in common.
        let row = (number / types) % self.records.len() as u64;
        let submitted = SystemTime::UNIX_EPOCH.elapsed()?.saturating_sub(lateness);
        let ts = i64::try_from(submitted.as_millis())?;

        let Buffers {
            value,
            data_type: name,
            key,
            submitted: header,
        } = &mut self.buffers;
        *name = data_type(number % types);
        self.records
            .encode(usize::try_from(row)?, name, ts, value)?;
        header.clear();
        write!(header, "{}", submitted.as_micros())?;
        key.clear();
        match self.settings.key {
            KeyChoice::None => {}
            KeyChoice::DataType => key.push_str(name),
            KeyChoice::Sequence => write!(key, "{number}")?,
        }
        let message = Outgoing {
            topic: &self.settings.basics.data_topic,
            partition: None,
            key: (self.settings.key != KeyChoice::None).then_some(key.as_bytes()),
            payload: Some(value),
            headers: &[("submitted-us", Some(header.as_bytes()))],
            timestamp_ms: Some(ts),
        };
        match self.sink.send(&message, number) {
            Ok(()) => Ok(true),
            Err(SendError::QueueFull) => Ok(false),
            Err(error) => Err(error).context("cannot write a record"),
        }
    }

    /// Sends the next model, once per data type.
    fn publish(&self, models: &mut Models, published: &mut u64) -> Result<()> {
        let mut message = models.next()?.clone();
        for index in 0..u64::from(self.settings.data_types) {
            message.data_type = data_type(index);
            let mut line = format!("published model {}: {}", message.name, message.description);
            if self.settings.data_types > 1 {
                write!(line, ", data type {}", message.data_type)?;
            }
            let ticket = self.tally.model(*published, line);
            *published += 1;
            let value = message.encode_to_vec();
            let outgoing = Outgoing {
                topic: &self.settings.basics.models_topic,
                partition: None,
                key: Some(message.data_type.as_bytes()),
                payload: Some(&value),
                headers: &[],
                timestamp_ms: None,
            };
            match self.sink.send(&outgoing, ticket) {
                Ok(()) => {}
                // The broker is away, or slow: there will be another time.
                Err(SendError::QueueFull) => self.tally.forget(ticket),
                Err(error) => {
                    self.tally.forget(ticket);
                    tracing::error!(%error, model = message.name, "a model was not published");
                }
            }
        }
        Ok(())
    }
}
