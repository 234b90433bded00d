//! Topics, partitions, and waiting for a broker.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::connection::{Connection, refused};
use crate::journal::Journal;
use crate::{Error, Result};

/// How long the broker has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// The number of partitions.
    pub partitions: usize,
    /// Settings of the topic, such as `cleanup.policy`.
    pub config: Vec<(String, String)>,
}

/// Creates, lists and deletes topics. Every call asks the broker and waits for its answer, up to
/// ten seconds.
pub struct Admin {
    client: AdminClient<Journal>,
}

impl Admin {
    /// Opens a client. Returns at once.
    ///
    /// # Errors
    /// A property is refused, or librdkafka has no resources for a client.
    pub fn open(connection: &Connection) -> Result<Self> {
        use rdkafka::config::FromClientConfigAndContext;
        let journal = Journal::new("admin", &connection.brokers);
        let mut config = connection.config(&[])?;
        // Nobody empties the queue of an administrator's log lines.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let client = AdminClient::from_config_and_context(&config, journal).map_err(refused)?;
        Ok(Self { client })
    }

    /// Creates a topic with one replica per partition. One that already exists is left as it is.
    ///
    /// # Errors
    /// [`Error::Topic`], if the broker refuses or does not answer.
    pub fn ensure_topic(&self, spec: &TopicSpec) -> Result<()> {
        let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
        // Minus one would leave the replication to the broker, which librdkafka does not let pass.
        let mut topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(1));
        for (name, value) in &spec.config {
            topic = topic.set(name, value);
        }
        let created = wait(self.client.create_topics([&topic], &options()));
        match first(created, "create", &spec.name) {
            Err(Error::Topic {
                source: RDKafkaErrorCode::TopicAlreadyExists,
                ..
            }) => Ok(()),
            result => result,
        }
    }

    /// Deletes a topic. One that does not exist is fine.
    ///
    /// # Errors
    /// [`Error::Topic`], if the broker refuses or does not answer.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let deleted = wait(self.client.delete_topics(&[topic], &options()));
        match first(deleted, "delete", topic) {
            Err(Error::Topic {
                source: RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ..
            }) => Ok(()),
            result => result,
        }
    }

    /// The number of partitions of a topic; `None` if there is no such topic.
    ///
    /// # Errors
    /// [`Error::Topic`], if the broker does not answer.
    pub fn partition_count(&self, topic: &str) -> Result<Option<usize>> {
        let failed = |source| Error::Topic {
            action: "look up",
            topic: topic.to_owned(),
            source,
        };
        let metadata = self
            .client
            .inner()
            .fetch_metadata(Some(topic), PATIENCE)
            .map_err(|error| failed(code(&error)))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(found.partitions().len())),
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::LeaderNotAvailable,
            ) => Ok(None),
            Some(source) => Err(failed(source)),
        }
    }

    /// Bytes of the largest batch of messages that a topic takes (`max.message.bytes`); `None` if
    /// the broker does not say.
    ///
    /// # Errors
    /// [`Error::Client`], if the broker does not answer.
    pub fn message_limit(&self, topic: &str) -> Result<Option<usize>> {
        let resources = [ResourceSpecifier::Topic(topic)];
        let described = wait(self.client.describe_configs(&resources, &options()));
        let described = described.map_err(|source| Error::Client {
            action: "ask for the settings of a topic",
            source,
        })?;
        let resource = described.into_iter().find_map(std::result::Result::ok);
        let limit = resource
            .as_ref()
            .and_then(|resource| resource.get("max.message.bytes"));
        Ok(limit.and_then(|entry| entry.value.as_ref()?.parse().ok()))
    }

    /// The names of the topics, ascending, without the broker's own.
    ///
    /// # Errors
    /// [`Error::Client`], if the broker does not answer.
    pub fn topics(&self) -> Result<Vec<String>> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(None, PATIENCE)
            .map_err(|source| Error::Client {
                action: "list the topics",
                source,
            })?;
        let names = metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("__")).collect();
        names.sort_unstable();
        Ok(names)
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Waits until a broker answers. `waiting` is called with the time that has passed, about every
/// second, for the caller to say so (nothing else does) and, by returning `false`, to give up.
///
/// # Errors
/// [`Error::NoBroker`] after `timeout` or when `waiting` gives up; a refused property at once.
pub fn wait_for_broker(
    connection: &Connection,
    timeout: Duration,
    mut waiting: impl FnMut(Duration) -> bool,
) -> Result<()> {
    let admin = Admin::open(connection)?;
    let start = Instant::now();
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        let slice = left.clamp(Duration::from_millis(50), Duration::from_secs(1));
        if admin
            .client
            .inner()
            .fetch_metadata(Some("__consumer_offsets"), slice)
            .is_ok()
        {
            return Ok(());
        }
        let elapsed = start.elapsed();
        if elapsed >= timeout || !waiting(elapsed) {
            let brokers = connection.brokers.clone();
            return Err(Error::NoBroker {
                brokers,
                after: elapsed,
            });
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

/// The outcome for the only topic of a request.
fn first(
    outcome: Result<Vec<rdkafka::admin::TopicResult>, KafkaError>,
    action: &'static str,
    topic: &str,
) -> Result<()> {
    let failed = |source| Error::Topic {
        action,
        topic: topic.to_owned(),
        source,
    };
    let outcome = outcome.map_err(|source| match source {
        KafkaError::AdminOp(code) => failed(code),
        source => Error::Client {
            action: "ask the broker about topics",
            source,
        },
    })?;
    match outcome.into_iter().next() {
        Some(Err((_, source))) => Err(failed(source)),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Waits for an answer on this thread.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
