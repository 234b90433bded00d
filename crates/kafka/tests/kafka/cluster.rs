//! The broker, and what the tests do with it again and again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use embedded_kafka::{Broker, Options};
use kafka::{
    Acknowledge, Admin, Assignment, Batch, Committer, Connection, Outgoing, OwnedMessage, Position,
    SendError, Sink, Source, TopicReader, TopicSpec,
};

/// How long a condition may take to come true; nothing waits this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Tries until there is a value. `attempt` waits a little itself.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
    }
}

/// A connection to the broker that the tests share.
pub(crate) fn connection() -> Connection {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    let brokers = std::env::var("SUITE_BROKERS").unwrap_or_else(|_| {
        BROKER
            .get_or_init(|| start("127.0.0.1:0").unwrap())
            .bootstrap()
    });
    Connection::new(brokers, "kafka-tests")
}

fn start(listen: &str) -> Result<Broker, embedded_kafka::Error> {
    Broker::start(Options {
        listen: listen.to_owned(),
        ..Options::default()
    })
}

/// A broker of a test's own, which it can take away and bring back empty at the same address.
pub(crate) struct Mortal {
    broker: Option<Broker>,
    address: String,
}

impl Mortal {
    pub(crate) fn new() -> Self {
        let broker = start("127.0.0.1:0").unwrap();
        let address = broker.bootstrap();
        Self {
            broker: Some(broker),
            address,
        }
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::new(self.address.clone(), "kafka-tests")
    }

    pub(crate) fn stop(&mut self) {
        self.broker.take().unwrap().stop();
    }

    pub(crate) fn start(&mut self) {
        let broker = eventually("the port is free again", || match start(&self.address) {
            Ok(broker) => Some(broker),
            Err(embedded_kafka::Error::AddressInUse { .. }) => {
                std::thread::yield_now();
                None
            }
            Err(error) => panic!("{error}"),
        });
        self.broker = Some(broker);
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }
}

/// A name that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let started = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{started:x}-{}-{next}", std::process::id())
}

/// Milliseconds since 1970. An arbitrary time would be one that retention deletes at once.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Creates a topic with a name of its own.
pub(crate) fn topic(connection: &Connection, partitions: usize) -> String {
    let name = unique("topic");
    create(connection, &name, partitions);
    name
}

pub(crate) fn create(connection: &Connection, name: &str, partitions: usize) {
    let config = vec![("max.message.bytes".to_owned(), (17 << 20).to_string())];
    let spec = TopicSpec {
        name: name.to_owned(),
        partitions,
        config,
    };
    Admin::open(connection)
        .unwrap()
        .ensure_topic(&spec)
        .unwrap();
}

/// Remembers every acknowledgement: per ticket, what it said (empty: delivered).
#[derive(Default)]
pub(crate) struct Acknowledged(Mutex<BTreeMap<u64, Vec<String>>>);

impl Acknowledge for Acknowledged {
    fn acknowledged(&self, ticket: u64, result: kafka::Result<()>) {
        let said = result.map_or_else(|error| error.to_string(), |()| String::new());
        self.0.lock().unwrap().entry(ticket).or_default().push(said);
    }
}

impl Acknowledged {
    pub(crate) fn all(&self) -> BTreeMap<u64, Vec<String>> {
        self.0.lock().unwrap().clone()
    }

    /// Whether tickets `0..count` were each delivered and acknowledged exactly once.
    pub(crate) fn delivered(&self, count: u64) -> bool {
        let all = self.all();
        (0..count).all(|ticket| all.get(&ticket) == Some(&vec![String::new()]))
            && all.len() == usize::try_from(count).unwrap()
    }
}

/// A sink, and what it acknowledged.
pub(crate) fn sink(connection: &Connection) -> (Sink, Arc<Acknowledged>) {
    let acknowledged = Arc::new(Acknowledged::default());
    let sink = Sink::open(
        connection,
        Arc::clone(&acknowledged) as Arc<dyn Acknowledge>,
    )
    .unwrap();
    (sink, acknowledged)
}

/// A message with a value alone.
pub(crate) fn plain<'a>(topic: &'a str, partition: i32, payload: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: Some(partition),
        key: None,
        payload: Some(payload),
        headers: &[],
        timestamp_ms: None,
    }
}

/// Sends, waiting while the queue is full.
pub(crate) fn send(sink: &Sink, message: &Outgoing<'_>, ticket: u64) {
    eventually("the sink takes a message", || {
        match sink.send(message, ticket) {
            Ok(()) => Some(()),
            Err(SendError::QueueFull) => {
                sink.poll(Duration::from_millis(10));
                None
            }
            Err(error) => panic!("{error}"),
        }
    });
}

/// Writes the numbers of a range, as text, to a partition.
pub(crate) fn write(
    connection: &Connection,
    topic: &str,
    partition: i32,
    numbers: std::ops::Range<u64>,
) {
    let (sink, _) = sink(connection);
    for number in numbers {
        send(
            &sink,
            &plain(topic, partition, number.to_string().as_bytes()),
            number,
        );
    }
    sink.flush(PATIENCE).unwrap();
}

/// What happened to a member's assignment, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>, bool),
}

/// Records the changes, and commits the positions that are finished when asked to let go.
#[derive(Default)]
pub(crate) struct Member {
    pub(crate) changes: Mutex<Vec<Change>>,
    pub(crate) finished: Mutex<BTreeMap<i32, i64>>,
}

impl Member {
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap().clone()
    }

    /// Notes that everything in the batch is finished.
    pub(crate) fn finish(&self, batch: &Batch) {
        let mut finished = self.finished.lock().unwrap();
        for message in batch.iter() {
            finished.insert(message.position.partition, message.position.offset + 1);
        }
    }

    pub(crate) fn positions(&self) -> Vec<Position> {
        let finished = self.finished.lock().unwrap();
        finished
            .iter()
            .map(|(&partition, &offset)| Position { partition, offset })
            .collect()
    }
}

impl Assignment for Member {
    fn assigned(&self, partitions: &[i32]) {
        self.changes
            .lock()
            .unwrap()
            .push(Change::Assigned(partitions.to_vec()));
    }

    fn revoked(&self, partitions: &[i32], lost: bool, committer: Committer<'_>) {
        if !lost {
            committer.commit_sync(&self.positions()).unwrap();
        }
        self.finished
            .lock()
            .unwrap()
            .retain(|partition, _| !partitions.contains(partition));
        self.changes
            .lock()
            .unwrap()
            .push(Change::Revoked(partitions.to_vec(), lost));
    }
}

/// Joins a group.
pub(crate) fn join(connection: &Connection, group: &str, topic: &str) -> (Source, Arc<Member>) {
    let member = Arc::new(Member::default());
    let assignment = Arc::clone(&member) as Arc<dyn Assignment>;
    (
        Source::open(connection, group, topic, assignment).unwrap(),
        member,
    )
}

/// Polls until `count` messages came; all of them as (position, text of the value).
pub(crate) fn take(source: &mut Source, count: usize) -> Vec<(Position, String)> {
    let mut taken = Vec::new();
    let mut batch = Batch::new();
    eventually("the messages come", || {
        source
            .poll(&mut batch, 1000, Duration::from_millis(100))
            .unwrap();
        taken.extend(
            batch
                .iter()
                .map(|message| (message.position, text(message.payload))),
        );
        (taken.len() >= count).then_some(())
    });
    taken
}

pub(crate) fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

/// Reads until the reader has caught up.
pub(crate) fn catch_up(reader: &mut TopicReader) -> Vec<OwnedMessage> {
    let mut read = Vec::new();
    eventually("the reader has caught up", || {
        read.extend(reader.poll(Duration::from_millis(50)).unwrap());
        reader.caught_up().then_some(())
    });
    read
}

/// Reads `count` messages.
pub(crate) fn read(reader: &mut TopicReader, count: usize) -> Vec<OwnedMessage> {
    let mut read = Vec::new();
    eventually("the messages are read", || {
        read.extend(reader.poll(Duration::from_millis(50)).unwrap());
        (read.len() >= count).then_some(())
    });
    read
}
