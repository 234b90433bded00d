//! What librdkafka gets out of the broker, beside what plain TCP does on the same machine.
//!
//! ```text
//! cargo bench -p embedded-kafka --bench clients [-- RECORDS]
//! ```
//! Client and broker share the machine's cores; run it when nothing else does. Throughput is of
//! records of 110 bytes, in batches, with acks=all, from one producer to one partition. Latency is
//! from before a record is produced until it is consumed, at 1,000 records a second.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use embedded_kafka::{Broker, Options};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const SIZE: usize = 110;
const RATE: u32 = 1_000;
const SECONDS: u32 = 10;
/// Bytes that plain TCP sends between two acknowledgements; a large produce request.
const CHUNK: usize = 1 << 20;

fn main() -> anyhow::Result<()> {
    let records = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let records: u64 = records.unwrap_or(2_000_000);

    tcp_throughput(records)?;
    let broker = Broker::start(Options {
        listen: "127.0.0.1:0".into(),
        ..Options::default()
    })?;
    let bootstrap = broker.bootstrap();
    let producer = producer(&bootstrap, "5")?;
    // Once to warm up, once to be counted.
    produce(&producer, "warm-up", records / 10)?;
    let (rate, cpu) = timed(records, || produce(&producer, "throughput", records))?;
    println!("kafka in         {rate:>10.0} records/s of {SIZE} bytes, acks=all ({cpu})");
    let (rate, cpu) = timed(records, || consume(&bootstrap, "throughput", records))?;
    println!("kafka out        {rate:>10.0} records/s of {SIZE} bytes ({cpu})");

    tcp_latency()?;
    kafka_latency(&bootstrap)
}

/// Records per second, and the process's CPU seconds per million records.
fn timed(records: u64, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<(f64, String)> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    work()?;
    let cpu = (cpu_seconds() - cpu) / records as f64 * 1e6;
    Ok((
        records as f64 / start.elapsed().as_secs_f64(),
        format!("{cpu:.2} CPU s per million"),
    ))
}

/// User and system time of this process, of client and broker together.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    // Fields 14 and 15 of the line, in hundredths of a second; two are before the parenthesis.
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn producer(bootstrap: &str, linger_ms: &str) -> anyhow::Result<BaseProducer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("linger.ms", linger_ms)
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "1000000")
        .create()?)
}

fn produce(producer: &BaseProducer, topic: &str, records: u64) -> anyhow::Result<()> {
    let value = [7; SIZE];
    for sent in 0..records {
        let mut record = BaseRecord::<(), [u8]>::to(topic)
            .payload(&value[..])
            .partition(0);
        while let Err((_, refused)) = producer.send(record) {
            record = refused;
            producer.poll(Duration::from_millis(1));
        }
        if sent % 4096 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(())
}

fn consumer(bootstrap: &str, topic: &str, from: Offset) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "1")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, from)?;
    consumer.assign(&partitions)?;
    Ok(consumer)
}

fn consume(bootstrap: &str, topic: &str, records: u64) -> anyhow::Result<()> {
    let consumer = consumer(bootstrap, topic, Offset::Beginning)?;
    for expected in 0..records {
        let message = consumer.poll(Duration::from_secs(30));
        let message = message.ok_or_else(|| anyhow::anyhow!("no record in 30 s"))??;
        anyhow::ensure!(
            message.offset() == expected.cast_signed(),
            "records are missing"
        );
    }
    Ok(())
}

fn report(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = (latencies.len() as f64 * part) as usize;
        latencies[index.min(latencies.len() - 1)].as_secs_f64() * 1e3
    };
    let (p50, p99, worst) = (at(0.5), at(0.99), at(1.0));
    println!("{what:<16} p50 {p50:.3} ms, p99 {p99:.3} ms, max {worst:.3} ms at {RATE} records/s");
}

fn kafka_latency(bootstrap: &str) -> anyhow::Result<()> {
    let producer = producer(bootstrap, "0")?;
    produce(&producer, "latency", 1)?;
    let consumer = consumer(bootstrap, "latency", Offset::Beginning)?;
    anyhow::ensure!(
        consumer.poll(Duration::from_secs(30)).is_some(),
        "no first record"
    );
    let start = Instant::now();
    let receiving = std::thread::spawn(move || {
        let mut latencies = Vec::new();
        while latencies.len() < (RATE * SECONDS) as usize {
            let Some(Ok(message)) = consumer.poll(Duration::from_secs(30)) else {
                break;
            };
            let sent = message
                .payload()
                .and_then(|payload| payload.first_chunk::<8>().copied());
            let sent = Duration::from_nanos(u64::from_be_bytes(sent.unwrap_or_default()));
            latencies.push(start.elapsed().saturating_sub(sent));
        }
        latencies
    });
    let mut value = [7; SIZE];
    for number in 0..RATE * SECONDS {
        let due = Duration::from_secs(1) / RATE * number;
        while let Some(early) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(early);
        }
        let sent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        value[..8].copy_from_slice(&sent.to_be_bytes());
        let record = BaseRecord::<(), [u8]>::to("latency")
            .payload(&value[..])
            .partition(0);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    let latencies = receiving
        .join()
        .map_err(|_| anyhow::anyhow!("the consumer panicked"))?;
    anyhow::ensure!(
        latencies.len() == (RATE * SECONDS) as usize,
        "records are missing"
    );
    report("kafka latency", latencies);
    Ok(())
}

/// Answers every `size` bytes that come with `answer` of them.
fn echo(size: usize, answer: usize) -> anyhow::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    stream.set_nodelay(true)?;
    let (mut other, _) = listener.accept()?;
    other.set_nodelay(true)?;
    std::thread::spawn(move || {
        let mut bytes = vec![0; size];
        while other.read_exact(&mut bytes).is_ok() && other.write_all(&bytes[..answer]).is_ok() {}
    });
    Ok(stream)
}

fn tcp_throughput(records: u64) -> anyhow::Result<()> {
    let mut stream = echo(CHUNK, 1)?;
    let chunk = vec![7; CHUNK];
    let chunks = records * SIZE as u64 / CHUNK as u64;
    let (rate, cpu) = timed(records, || {
        for _ in 0..chunks {
            stream.write_all(&chunk)?;
            stream.read_exact(&mut [0])?;
        }
        Ok(())
    })?;
    println!("plain TCP        {rate:>10.0} records/s of {SIZE} bytes in chunks of 1 MiB ({cpu})");
    Ok(())
}

fn tcp_latency() -> anyhow::Result<()> {
    let mut stream = echo(SIZE, SIZE)?;
    let mut latencies = Vec::new();
    let start = Instant::now();
    for number in 0..RATE * SECONDS {
        let due = Duration::from_secs(1) / RATE * number;
        while let Some(early) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(early);
        }
        let sent = Instant::now();
        stream.write_all(&[7; SIZE])?;
        stream.read_exact(&mut [0; SIZE])?;
        latencies.push(sent.elapsed());
    }
    report("plain TCP echo", latencies);
    Ok(())
}
