//! Measures how fast results come, or how long they take.

mod backlog;
mod latency;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use configuration::LatencyMeter;
use kafka::{Admin, Connection, OwnedMessage, TopicReader};
use serde_json::Value;

use crate::Interrupt;
use crate::arrival::await_broker;

/// How long it waits for a result before it looks whether it is to end.
const STEP: Duration = Duration::from_millis(50);

/// Measures, and prints what it found as one JSON object on `out`. Prints nothing if it was
/// interrupted.
///
/// # Errors
/// There is no broker in time, or what is measured does not come in time; the error says how much
/// came.
pub fn run(settings: &LatencyMeter, interrupt: &Interrupt, out: &mut dyn Write) -> Result<()> {
    let basics = &settings.basics;
    let connection = Connection {
        brokers: basics.brokers().to_owned(),
        client_id: "latency_meter".to_owned(),
        properties: basics.properties.clone(),
    };
    connection.check()?;
    if !await_broker(&connection, basics.broker_timeout.get(), interrupt)? {
        return Ok(());
    }
    let results = Results {
        reader: open(settings, connection.clone())?,
        interrupt,
        deadline: Instant::now() + settings.timeout.get(),
    };
    let measured = match (settings.backlog, settings.seconds) {
        (Some(records), None) => backlog::measure(results, records.get()),
        (None, Some(seconds)) => {
            let seconds = Duration::from_secs(seconds.get().into());
            latency::measure(results, settings.warm_up.get(), seconds)
        }
        _ => bail!("either --backlog or --seconds says what to measure"),
    };
    let measured = measured.with_context(|| format!("of topic {}", basics.results_topic));
    if settings.delete {
        Admin::open(&connection)?.delete_topic(&basics.results_topic)?;
    }
    if let Some(measured) = measured? {
        writeln!(out, "{measured}")?;
        out.flush()?;
    }
    Ok(())
}

fn open(settings: &LatencyMeter, mut connection: Connection) -> Result<TopicReader> {
    // What is read ahead while nobody asks is taken from the machine that is measured.
    let ahead = [("queued.min.messages", "1000")];
    for (name, value) in ahead {
        let property = connection.properties.entry(name.to_owned());
        property.or_insert_with(|| value.to_owned());
    }
    Ok(TopicReader::open(
        &connection,
        &settings.basics.results_topic,
    )?)
}

/// What was found; nothing after an interruption.
type Measured = Result<Option<Value>>;

/// The results, as they come.
struct Results<'a> {
    reader: TopicReader,
    interrupt: &'a Interrupt,
    deadline: Instant,
}

/// What may come next.
enum Next {
    Result(OwnedMessage),
    /// Nothing within the time that was given.
    Nothing,
    Interrupted,
    TimedOut,
}

impl Results<'_> {
    /// The next result, if one comes within `patience`.
    fn next(&mut self, patience: Duration) -> Result<Next> {
        if self.interrupt.is_set() {
            return Ok(Next::Interrupted);
        }
        Ok(match self.reader.poll(patience)? {
            Some(result) => Next::Result(result),
            None if Instant::now() >= self.deadline => Next::TimedOut,
            None => Next::Nothing,
        })
    }
}
