//! Where the broker is, and librdkafka's settings.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::{Error, Result};

/// Bytes of the largest message that goes through sources and sinks, with its key and headers:
/// 16 MiB of message and room for the headers of a dead letter.
pub const LARGEST_MESSAGE: usize = 17 * 1024 * 1024;

/// What librdkafka adds to a message on the wire, at most (record batch and request headers).
const ENVELOPE: usize = 64 * 1024;

/// Where the broker is, and how to talk to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Bootstrap addresses, `host:port`, separated by commas.
    pub brokers: String,
    /// The name by which the broker's logs know this client.
    pub client_id: String,
    /// Further librdkafka properties. They win over this crate's own settings, except over those
    /// that correctness rests on, which are refused by name when a client is opened.
    pub properties: BTreeMap<String, String>,
}

/// Properties that are not for the user to set, and why.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "name the brokers instead"),
    ("metadata.broker.list", "name the brokers instead"),
    ("group.id", "name the group instead"),
    (
        "enable.auto.commit",
        "offsets are committed when the results are acknowledged",
    ),
    (
        "auto.commit.enable",
        "offsets are committed when the results are acknowledged",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed when the results are acknowledged",
    ),
    (
        "auto.offset.reset",
        "a new group, and a new log, start at the earliest message",
    ),
    (
        "enable.partition.eof",
        "the end of a topic is found with it",
    ),
    (
        "enable.idempotence",
        "without it messages would be repeated or reordered",
    ),
    (
        "acks",
        "a result counts as written when all replicas have it",
    ),
    (
        "request.required.acks",
        "a result counts as written when all replicas have it",
    ),
    (
        "transactional.id",
        "transactions are not a setting of the connection",
    ),
    (
        "enable.gapless.guarantee",
        "a sink recovers from gaps itself",
    ),
    ("log.queue", "log lines are passed on"),
];

impl Connection {
    /// A connection to `brokers` without further properties.
    #[must_use]
    pub fn new(brokers: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: client_id.into(),
            properties: BTreeMap::new(),
        }
    }

    /// Checks that librdkafka knows the properties, and that none is reserved.
    ///
    /// # Errors
    /// [`Error::Reserved`] or [`Error::Property`], naming the first wrong one.
    pub fn check(&self) -> Result<()> {
        self.config(&[])?
            .create_native_config()
            .map(drop)
            .map_err(refused)
    }

    /// The settings of every client, then `own`, then the user's.
    pub(crate) fn config(&self, own: &[(&str, &str)]) -> Result<ClientConfig> {
        for (name, reason) in RESERVED {
            if self.properties.contains_key(*name) {
                return Err(Error::Reserved {
                    name: (*name).to_owned(),
                    reason,
                });
            }
        }
        let mut config = ClientConfig::new();
        // The level filters inside librdkafka; what passes is filtered again by `tracing`.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            // A restarted broker is found again within a quarter of a second, not ten seconds.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "250")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            // Topics and partitions that are created later are found this soon.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("allow.auto.create.topics", "false")
            .set("message.max.bytes", LARGEST_MESSAGE.to_string());
        for (name, value) in own {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        Ok(config)
    }

    /// The settings of a consumer in `group`.
    pub(crate) fn consumer(&self, group: &str, own: &[(&str, &str)]) -> Result<ClientConfig> {
        let receive = (64 * 1024 * 1024 + ENVELOPE).to_string();
        let mut settings = vec![
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            // The default of a second stops the fetcher for that long whenever its queue is full.
            ("fetch.queue.backoff.ms", "1"),
            ("queued.min.messages", "100000"),
            ("queued.max.messages.kbytes", "65536"),
            ("fetch.wait.max.ms", "100"),
            ("fetch.error.backoff.ms", "50"),
            ("fetch.max.bytes", "52428800"),
            ("receive.message.max.bytes", receive.as_str()),
        ];
        settings.extend_from_slice(own);
        self.config(&settings)
    }
}

/// A property that librdkafka refused, or another failure to make a client.
pub(crate) fn refused(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) => Error::Property {
            name,
            value,
            reason,
        },
        source => Error::Client {
            action: "create a Kafka client",
            source,
        },
    }
}
