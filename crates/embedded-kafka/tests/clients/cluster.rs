//! A broker by its address, and clients of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::PATIENCE;
use super::consumer::{Changes, Consumer};
use super::entry::Received;
use super::eventually;
use super::producer::{Acknowledgements, Producer};
use super::wire::Connection;

/// Client properties, as librdkafka names them.
pub(crate) type Properties<'a> = &'a [(&'a str, &'a str)];

pub(crate) struct Cluster {
    bootstrap: String,
}

impl Cluster {
    pub(crate) fn at(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
        }
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    fn config(&self, properties: Properties<'_>) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("broker.address.family", "v4")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200")
            .set("message.max.bytes", "20000000");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config(&[]).create().unwrap()
    }

    pub(crate) fn producer(&self, properties: Properties<'_>) -> Producer {
        Producer::new(
            self.config(properties)
                .create_with_context(Acknowledgements::default())
                .unwrap(),
        )
    }

    /// A consumer that starts at the earliest record and never commits by itself, unless told.
    pub(crate) fn consumer(&self, group: &str, properties: Properties<'_>) -> Consumer {
        let mut config = self.config(&[
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "200"),
            ("fetch.message.max.bytes", "20000000"),
            ("fetch.max.bytes", "52428800"),
            ("receive.message.max.bytes", "100000000"),
        ]);
        for (name, value) in properties {
            config.set(*name, *value);
        }
        Consumer::new(config.create_with_context(Changes::default()).unwrap())
    }

    /// Creates a topic with a name of its own and waits until it can be used.
    pub(crate) fn topic(&self, partitions: i32, settings: Properties<'_>) -> String {
        let name = unique("topic");
        self.create(&name, partitions, settings)
            .expect("the topic can be created");
        self.await_topic(&name, partitions);
        name
    }

    /// Creates a topic; the broker's verdict.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: Properties<'_>,
    ) -> Result<(), RDKafkaErrorCode> {
        let topic = settings.iter().fold(
            NewTopic::new(name, partitions, TopicReplication::Fixed(1)),
            |topic, setting| topic.set(setting.0, setting.1),
        );
        let results = wait(self.admin().create_topics([&topic], &options())).unwrap();
        verdict(&results[0])
    }

    /// Waits until the broker's metadata shows the topic with that many partitions.
    pub(crate) fn await_topic(&self, name: &str, partitions: i32) {
        let mut connection = Connection::open(&self.bootstrap);
        eventually(&format!("{name} has {partitions} partitions"), || {
            let count = connection.partitions(name);
            if count == Some(partitions as usize) {
                return Some(());
            }
            std::thread::park_timeout(Duration::from_millis(10));
            None
        });
    }

    /// All records between a partition's first and next offset at the time of the call.
    pub(crate) fn read_all(&self, topic: &str, partition: i32) -> Vec<Received> {
        let consumer = self.consumer(&unique("reader"), &[]);
        let (low, high) = consumer.watermarks(topic, partition);
        consumer.start(topic, partition, Offset::Beginning);
        consumer.read((high - low) as usize)
    }
}

/// A name that no other test, process or run uses.
pub(crate) fn unique(kind: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{kind}-{started:x}-{}-{count}", std::process::id())
}

/// Options of an administrative call: the broker answers within a test's patience.
pub(crate) fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

/// The outcome of one resource of an administrative call.
pub(crate) fn verdict(
    result: &Result<String, (String, RDKafkaErrorCode)>,
) -> Result<(), RDKafkaErrorCode> {
    result.as_ref().map(|_| ()).map_err(|(_, code)| *code)
}

/// Waits for an administrative call on this thread.
pub(crate) fn wait<T>(call: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaError> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(call)
}
