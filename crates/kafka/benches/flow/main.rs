//! How fast messages of 112 bytes flow through a sink, a source, and a source into a sink, each
//! beside a bare loop on librdkafka, and how long one takes at a thousand a second:
//! `cargo bench -p kafka`.
//!
//! Against the embedded broker, or the one that `SUITE_BROKERS` names. `RECORDS` sets how many
//! messages flow (1,000,000), `ROUNDS` how often (3; medians are told), `KAFKA_X` further
//! properties (`linger.ms=5;batch.size=...`).

mod bare;
mod effort;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use embedded_kafka::{Broker, Options};
use kafka::{
    Acknowledge, Admin, Assignment, Batch, Committer, Connection, Outgoing, Position, SendError,
    Sink, Source, TopicSpec,
};

use effort::Effort;

const SIZE: usize = 112;

/// How often positions are committed, as servers do.
const COMMIT: Duration = Duration::from_secs(1);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Default)]
struct Counted {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Acknowledge for Counted {
    fn acknowledged(&self, _ticket: u64, result: kafka::Result<()>) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.failed
            .fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
    }
}

struct Indifferent;

impl Assignment for Indifferent {
    fn assigned(&self, _partitions: &[i32]) {}
    fn revoked(&self, _partitions: &[i32], _lost: bool, _committer: Committer<'_>) {}
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

/// A topic to read, one to write to, and how many messages.
struct Flow {
    connection: Connection,
    from: String,
    to: String,
    count: u64,
}

fn run() -> Result<()> {
    let number = |name, default| match std::env::var(name) {
        Ok(text) => text.parse::<u64>(),
        Err(_) => Ok(default),
    };
    let (count, rounds) = (number("RECORDS", 1_000_000)?, number("ROUNDS", 3)?);
    let mut broker = None;
    let brokers = match std::env::var("SUITE_BROKERS") {
        Ok(brokers) => brokers,
        Err(_) => {
            let options = Options {
                listen: "127.0.0.1:0".to_owned(),
                ..Options::default()
            };
            broker.insert(Broker::start(options)?).bootstrap()
        }
    };
    let mut connection = Connection::new(brokers, "flow");
    for property in std::env::var("KAFKA_X").unwrap_or_default().split(';') {
        if let Some((name, value)) = property.split_once('=') {
            connection
                .properties
                .insert(name.to_owned(), value.to_owned());
        }
    }
    let admin = Admin::open(&connection)?;
    let mut efforts: [Vec<[f64; 3]>; 6] = Default::default();
    for round in 0..rounds {
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
        let from = format!("flow-{now}-{round}");
        let flow = Flow {
            connection: connection.clone(),
            to: format!("{from}-copy"),
            from,
            count,
        };
        for topic in [&flow.from, &flow.to] {
            create(&admin, topic)?;
        }
        efforts[0].push(flow.sink()?);
        efforts[2].push(flow.source()?);
        efforts[3].push(flow.bare_reader()?);
        efforts[4].push(flow.source_to_sink()?);
        efforts[5].push(flow.bare_reader_to_writer()?);
        efforts[1].push(flow.bare_writer()?);
        for topic in [&flow.from, &flow.to] {
            admin.delete_topic(topic)?;
        }
    }
    println!(
        "{:<18}{:>12}{:>22}{:>14}",
        "", "records/s", "CPU us a record", "its thread's"
    );
    let names = [
        "sink",
        "  bare writer",
        "source",
        "  bare reader",
        "source to sink",
        "  bare",
    ];
    for (name, efforts) in names.into_iter().zip(&mut efforts) {
        let [rate, process, thread] = [0, 1, 2].map(|column| {
            let mut values: Vec<f64> = efforts.iter().map(|effort| effort[column]).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        });
        println!("{name:<18}{rate:>12.0}{process:>22.2}{thread:>14.2}");
    }
    let timed = format!(
        "flow-{}-timed",
        SystemTime::UNIX_EPOCH.elapsed()?.as_nanos()
    );
    create(&admin, &timed)?;
    latency(&connection, &timed)?;
    admin.delete_topic(&timed)?;
    Ok(())
}

fn create(admin: &Admin, topic: &str) -> kafka::Result<()> {
    admin.ensure_topic(&TopicSpec {
        name: topic.to_owned(),
        partitions: 1,
        config: vec![],
    })
}

fn plain<'a>(topic: &'a str, payload: &'a [u8]) -> Outgoing<'a> {
    let partition = Some(0);
    Outgoing {
        topic,
        partition,
        key: None,
        payload: Some(payload),
        headers: &[],
        timestamp_ms: None,
    }
}

fn push(sink: &Sink, message: &Outgoing<'_>, ticket: u64) -> kafka::Result<()> {
    loop {
        match sink.send(message, ticket) {
            Ok(()) => return Ok(()),
            Err(SendError::QueueFull) => drop(sink.poll(Duration::from_millis(1))),
            Err(SendError::Refused(error)) => return Err(error),
            Err(SendError::TooLarge { .. }) => unreachable!("the messages are small"),
        }
    }
}

impl Flow {
    fn source_of(&self, group: &str) -> kafka::Result<Source> {
        Source::open(
            &self.connection,
            &format!("{}-{group}", self.from),
            &self.from,
            Arc::new(Indifferent),
        )
    }

    fn sink(&self) -> Result<[f64; 3]> {
        let counted = Arc::new(Counted::default());
        let acknowledge = Arc::clone(&counted) as Arc<dyn Acknowledge>;
        let sink = Sink::open(&self.connection, acknowledge)?;
        let effort = Effort::start();
        let payload = [7; SIZE];
        for ticket in 0..self.count {
            push(&sink, &plain(&self.from, &payload), ticket)?;
            if ticket % 1024 == 0 {
                sink.poll(Duration::ZERO);
            }
        }
        sink.flush(Duration::from_secs(60))?;
        assert_eq!(counted.done.load(Ordering::Relaxed), self.count);
        assert_eq!(counted.failed.load(Ordering::Relaxed), 0);
        Ok(effort.of(self.count))
    }

    fn bare_writer(&self) -> Result<[f64; 3]> {
        let writer = bare::Writer::open(&self.connection, &self.to)?;
        let effort = Effort::start();
        let payload = [7; SIZE];
        for number in 0..self.count {
            writer.send(&payload);
            if number % 1024 == 0 {
                writer.poll();
            }
        }
        writer.flush()?;
        Ok(effort.of(self.count))
    }

    /// From the first batch on, so that the time it takes to join a group is not counted.
    fn source(&self) -> Result<[f64; 3]> {
        let mut source = self.source_of("read")?;
        let mut batch = Batch::new();
        let (mut seen, mut bytes) = (0, 0);
        let mut effort = None;
        while seen < self.count {
            source.poll(&mut batch, 1024, Duration::from_millis(100))?;
            if !batch.is_empty() && effort.is_none() {
                effort = Some(Effort::start());
            }
            seen += batch.len() as u64;
            bytes += batch.iter().filter_map(|m| m.payload).map(sum).sum::<u64>();
        }
        assert_eq!(bytes, self.count * SIZE as u64 * 7);
        Ok(effort.map_or([0.0; 3], |effort| effort.of(self.count)))
    }

    fn bare_reader(&self) -> Result<[f64; 3]> {
        let mut reader = bare::Reader::open(&self.connection, &self.from)?;
        let (mut seen, mut bytes) = (0, 0);
        let mut effort = None;
        while seen < self.count {
            seen += reader.take(|payload| bytes += sum(payload));
            if seen > 0 && effort.is_none() {
                effort = Some(Effort::start());
            }
        }
        assert_eq!(bytes, self.count * SIZE as u64 * 7);
        Ok(effort.map_or([0.0; 3], |effort| effort.of(self.count)))
    }

    fn source_to_sink(&self) -> Result<[f64; 3]> {
        let counted = Arc::new(Counted::default());
        let acknowledge = Arc::clone(&counted) as Arc<dyn Acknowledge>;
        let sink = Sink::open(&self.connection, acknowledge)?;
        let mut source = self.source_of("pass")?;
        let mut batch = Batch::new();
        let mut seen = 0;
        let mut effort = None;
        let mut committed = Instant::now();
        while seen < self.count {
            source.poll(&mut batch, 1024, Duration::from_millis(100))?;
            if !batch.is_empty() && effort.is_none() {
                effort = Some(Effort::start());
            }
            for message in batch.iter() {
                let payload = message.payload.unwrap_or_default();
                push(&sink, &plain(&self.to, payload), seen)?;
                seen += 1;
            }
            sink.poll(Duration::ZERO);
            if let Some(last) = batch.len().checked_sub(1).and_then(|last| batch.get(last))
                && committed.elapsed() > COMMIT
            {
                committed = Instant::now();
                let Position { partition, offset } = last.position;
                source.commit(&[Position {
                    partition,
                    offset: offset + 1,
                }])?;
            }
        }
        sink.flush(Duration::from_secs(60))?;
        assert_eq!(counted.done.load(Ordering::Relaxed), self.count);
        Ok(effort.map_or([0.0; 3], |effort| effort.of(self.count)))
    }

    fn bare_reader_to_writer(&self) -> Result<[f64; 3]> {
        let mut reader = bare::Reader::open(&self.connection, &self.from)?;
        let writer = bare::Writer::open(&self.connection, &self.to)?;
        let mut seen = 0;
        let mut effort = None;
        while seen < self.count {
            seen += reader.take(|payload| writer.send(payload));
            if seen > 0 && effort.is_none() {
                effort = Some(Effort::start());
            }
            writer.poll();
        }
        writer.flush()?;
        Ok(effort.map_or([0.0; 3], |effort| effort.of(self.count)))
    }
}

fn sum(payload: &[u8]) -> u64 {
    payload.iter().map(|byte| u64::from(*byte)).sum()
}

/// From `send` to the batch that holds the message, at a thousand a second for five seconds.
fn latency(connection: &Connection, topic: &str) -> Result<()> {
    const COUNT: usize = 5000;
    let sink = Sink::open(connection, Arc::new(Counted::default()))?;
    let mut source = Source::open(
        connection,
        &format!("{topic}-read"),
        topic,
        Arc::new(Indifferent),
    )?;
    let start = Instant::now();
    let (reading, writing) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut batch = Batch::new();
            let mut latencies = Vec::with_capacity(COUNT);
            while latencies.len() < COUNT {
                source.poll(&mut batch, 1024, Duration::from_millis(100))?;
                let now = start.elapsed().as_nanos() as u64;
                latencies.extend(batch.iter().filter_map(|message| {
                    let sent = message.payload?.first_chunk()?;
                    Some(now.saturating_sub(u64::from_le_bytes(*sent)))
                }));
            }
            kafka::Result::<_>::Ok(latencies)
        });
        let writer = scope.spawn(|| {
            for ticket in 0..COUNT as u64 {
                let due = Duration::from_millis(ticket + 1000);
                while let Some(left) = due.checked_sub(start.elapsed()) {
                    std::thread::sleep(left);
                }
                let mut payload = [0; SIZE];
                payload[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_le_bytes());
                push(&sink, &plain(topic, &payload), ticket)?;
                sink.poll(Duration::ZERO);
            }
            sink.flush(Duration::from_secs(10))
        });
        (reader.join(), writer.join())
    });
    writing.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let mut latencies: Vec<u64> =
        reading.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((COUNT - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!(
        "latency at 1,000 records/s: p50 {:.0} us, p99 {:.0} us, max {:.0} us",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
