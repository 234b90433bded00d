//! How fast messages of 112 bytes flow through a sink, a source, and a source into a sink, and how
//! long one takes at a thousand a second: `cargo bench -p kafka`.
//!
//! Against the embedded broker, or the one that `SUITE_BROKERS` names. `RECORDS` sets how many
//! messages flow (1,000,000), `KAFKA_X` further properties (`linger.ms=5;batch.size=...`).

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use embedded_kafka::{Broker, Options};
use kafka::{
    Acknowledge, Admin, Assignment, Batch, Committer, Connection, Outgoing, Position, Result,
    SendError, Sink, Source, TopicSpec,
};

const SIZE: usize = 112;

#[derive(Default)]
struct Counted {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Acknowledge for Counted {
    fn acknowledged(&self, _ticket: u64, result: Result<()>) {
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

fn run() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::var("RECORDS")
        .ok()
        .map_or(Ok(1_000_000), |text| text.parse())?;
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
    let name = format!("flow-{}", SystemTime::UNIX_EPOCH.elapsed()?.as_nanos());
    let copy = format!("{name}-copy");
    let timed = format!("{name}-timed");
    let admin = Admin::open(&connection)?;
    for topic in [&name, &copy, &timed] {
        admin.ensure_topic(&TopicSpec {
            name: topic.clone(),
            partitions: 1,
            config: vec![],
        })?;
    }

    report("sink", count, || sent(&connection, &name, count))?;
    report("source", count, || taken(&connection, &name, count))?;
    report("source to sink", count, || {
        passed_on(&connection, &name, &copy, count)
    })?;
    latency(&connection, &timed)?;
    for topic in [&name, &copy, &timed] {
        admin.delete_topic(topic)?;
    }
    Ok(())
}

fn report(what: &str, count: u64, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let (start, busy) = (Instant::now(), processor_seconds());
    run()?;
    let (seconds, busy) = (start.elapsed().as_secs_f64(), processor_seconds() - busy);
    let millions = count as f64 / 1e6;
    println!(
        "{what:<16}{:>10.0} records/s {:>8.2} CPU s per million",
        count as f64 / seconds,
        busy / millions
    );
    Ok(())
}

/// What this process has used, an embedded broker included.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
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

fn push(sink: &Sink, message: &Outgoing<'_>, ticket: u64) -> Result<()> {
    loop {
        match sink.send(message, ticket) {
            Ok(()) => return Ok(()),
            Err(SendError::QueueFull) => drop(sink.poll(Duration::from_millis(1))),
            Err(SendError::Refused(error)) => return Err(error),
            Err(SendError::TooLarge { .. }) => unreachable!("the messages are small"),
        }
    }
}

fn sent(connection: &Connection, topic: &str, count: u64) -> Result<()> {
    let counted = Arc::new(Counted::default());
    let sink = Sink::open(connection, Arc::clone(&counted) as Arc<dyn Acknowledge>)?;
    let payload = [7; SIZE];
    for ticket in 0..count {
        push(&sink, &plain(topic, &payload), ticket)?;
        if ticket % 4096 == 0 {
            sink.poll(Duration::ZERO);
        }
    }
    sink.flush(Duration::from_secs(60))?;
    assert_eq!(counted.done.load(Ordering::Relaxed), count);
    assert_eq!(counted.failed.load(Ordering::Relaxed), 0);
    Ok(())
}

fn taken(connection: &Connection, topic: &str, count: u64) -> Result<()> {
    let mut source = Source::open(
        connection,
        &format!("{topic}-read"),
        topic,
        Arc::new(Indifferent),
    )?;
    let mut batch = Batch::new();
    let (mut seen, mut batches, mut bytes) = (0, 0, 0);
    while seen < count {
        source.poll(&mut batch, 1024, Duration::from_millis(100))?;
        seen += batch.len() as u64;
        batches += 1;
        bytes += batch
            .iter()
            .map(|message| message.payload.map_or(0, <[u8]>::len))
            .sum::<usize>();
    }
    assert_eq!(bytes as u64, count * SIZE as u64);
    println!(
        "                {:>10.1} records a batch",
        count as f64 / f64::from(batches)
    );
    Ok(())
}

fn passed_on(connection: &Connection, from: &str, to: &str, count: u64) -> Result<()> {
    let sink = Sink::open(connection, Arc::new(Counted::default()))?;
    let mut source = Source::open(
        connection,
        &format!("{from}-pass"),
        from,
        Arc::new(Indifferent),
    )?;
    let mut batch = Batch::new();
    let mut seen = 0;
    while seen < count {
        source.poll(&mut batch, 1024, Duration::from_millis(100))?;
        for message in batch.iter() {
            push(&sink, &plain(to, message.payload.unwrap_or_default()), seen)?;
            seen += 1;
        }
        sink.poll(Duration::ZERO);
        if let Some(last) = batch.len().checked_sub(1).and_then(|last| batch.get(last)) {
            let Position { partition, offset } = last.position;
            if seen % 64 == 0 {
                source.commit(&[Position {
                    partition,
                    offset: offset + 1,
                }])?;
            }
        }
    }
    sink.flush(Duration::from_secs(60))
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
            Ok(latencies)
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
