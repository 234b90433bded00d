use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka::{Acknowledge, Admin, Connection, Outgoing, OwnedMessage, Sink, TopicReader, TopicSpec};
use prost::Message as _;
use protobufs::model_descriptor::{MessageContent, ModelType};
use protobufs::{ModelDescriptor, ServingResult, WineRecord};
use serde_json::Value;

use crate::{Error, Settings, Shutdown, Strategy, serve};

/// How long anything may take before a scenario fails. Generous: test machines are busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with topics of one scenario's own, and a client that writes and reads them.
pub struct World {
    strategy: &'static str,
    serve: Box<Serve>,
    flags: Vec<String>,
    connection: Connection,
    name: String,
    sink: Sink,
    admin: Admin,
    /// How models are published, if not on their topic.
    publish: Option<Publish>,
}

/// Publishes a model somewhere, and returns once it is served.
type Publish = Box<dyn Fn(&ModelDescriptor)>;

/// A place for models that is not the models topic.
pub struct Elsewhere {
    /// What a server is told of it.
    pub flags: Vec<String>,
    /// Publishes a model there, and returns once it is served.
    pub publish: Publish,
}

/// Serves with these arguments until the shutdown, and tells the address once it is ready.
type Serve =
    dyn Fn(Vec<String>, Shutdown, mpsc::Sender<SocketAddr>) -> JoinHandle<Result<(), Error>>;

/// The client's own messages are flushed before anything is expected of them.
struct Ignored;

impl Acknowledge for Ignored {
    fn acknowledged(&self, _: u64, result: kafka::Result<()>) {
        if let Err(error) = result {
            eprintln!("the client's message was not delivered: {error}");
        }
    }
}

/// A server under test, in this process. Dropping it stops it.
pub struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

/// A message of the results topic.
#[derive(Debug)]
pub struct Scored {
    /// As it came.
    pub message: OwnedMessage,
    /// Decoded.
    pub result: ServingResult,
}

impl World {
    /// Topics for one scenario: records in four partitions. `flags` are given to every server.
    ///
    /// # Panics
    /// When the broker does not do as asked.
    #[must_use]
    pub fn new<S: Settings>(strategy: &'static Strategy<S>, brokers: &str, flags: &[&str]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The broker may be one that other runs have used.
        let unique = crate::clock::now_us();
        let name = format!("{}-{}-{unique}-{number}", strategy.name, std::process::id());
        let connection = Connection {
            brokers: brokers.to_owned(),
            client_id: "conformance".to_owned(),
            ..Connection::default()
        };
        let sink = Sink::open(&connection, Arc::new(Ignored)).expect("a sink");
        let admin = Admin::open(&connection).expect("an admin client");
        let serve = move |arguments, shutdown, ready: mpsc::Sender<SocketAddr>| {
            let settings: S = configuration::parse(arguments).expect("flags that parse");
            std::thread::spawn(move || {
                serve(strategy, &settings, &shutdown, move |address| {
                    let _ = ready.send(address);
                })
            })
        };
        let world = Self {
            strategy: strategy.name,
            serve: Box::new(serve),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            connection,
            name,
            sink,
            admin,
            publish: None,
        };
        world.create_topics();
        world
    }

    /// The same world, with models that are published so.
    #[must_use]
    pub fn with_models(self, publish: Publish) -> Self {
        let publish = Some(publish);
        Self { publish, ..self }
    }

    /// Whether a model that was published is served, whatever state queries call it.
    pub(super) fn models_are_elsewhere(&self) -> bool {
        self.publish.is_some()
    }

    /// Creates the topics that a data provider creates.
    pub(super) fn create_topics(&self) {
        self.create(&self.topic("data"), 4, kafka::LARGEST_MESSAGE);
        self.create(&self.topic("models"), 1, kafka::LARGEST_MESSAGE);
    }

    /// Deletes all of its topics.
    pub(super) fn delete_topics(self) {
        for kind in ["data", "models", "results", "dead-letters"] {
            self.admin
                .delete_topic(&self.topic(kind))
                .expect("a topic that can be deleted");
        }
    }

    /// Creates a topic that takes messages up to `limit` bytes.
    pub(super) fn create(&self, topic: &str, partitions: usize, limit: usize) {
        let limit = limit.to_string();
        let config = vec![("max.message.bytes".to_owned(), limit)];
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions,
            config,
        };
        self.admin.ensure_topic(&spec).expect("a topic");
    }

    /// The name of the strategy.
    pub(super) fn name(&self) -> &'static str {
        self.strategy
    }

    /// The name of one of the scenario's topics.
    #[must_use]
    pub fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    /// Starts a server of the strategy with these flags besides the scenario's own, or in their
    /// place, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(&self, flags: &[&str]) -> Running {
        let arguments: Vec<String> = [
            ("--brokers", self.connection.brokers.clone()),
            ("--data-topic", self.topic("data")),
            ("--models-topic", self.topic("models")),
            ("--results-topic", self.topic("results")),
            ("--dead-letter-topic", self.topic("dead-letters")),
            ("--group", self.name.clone()),
            ("--http", "127.0.0.1:0".to_owned()),
        ]
        .into_iter()
        .filter(|(flag, _)| !flags.contains(flag))
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .chain(["--quiet".to_owned()])
        .chain(self.flags.iter().cloned())
        .chain(flags.iter().map(|&flag| flag.to_owned()))
        .collect();
        let shutdown = Shutdown::new();
        let (ready, is_ready) = mpsc::channel();
        let thread = (self.serve)(arguments, shutdown.clone(), ready);
        match is_ready.recv_timeout(PATIENCE) {
            Ok(address) => Running {
                address,
                shutdown,
                thread: Some(thread),
            },
            Err(error) => {
                shutdown.request();
                panic!(
                    "the server did not get ready ({error}): {:?}",
                    thread.join()
                );
            }
        }
    }

    /// Writes a message and waits until the broker has it.
    pub(super) fn publish(&self, outgoing: &Outgoing<'_>) {
        self.sink
            .send(outgoing, 0)
            .expect("a message that can be sent");
        self.flush();
    }

    /// Waits until the broker has everything that was written.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn flush(&self) {
        self.sink
            .flush(PATIENCE)
            .expect("the broker takes the messages");
    }

    /// Writes a record to a partition; to be flushed.
    pub fn send_record(&self, partition: i32, record: &WineRecord) {
        self.send_raw(partition, &record.encode_to_vec());
    }

    /// Writes bytes as a record to a partition; to be flushed.
    ///
    /// # Panics
    /// When they cannot be sent.
    pub fn send_raw(&self, partition: i32, payload: &[u8]) {
        let topic = self.topic("data");
        let outgoing = Outgoing {
            partition: Some(partition),
            ..message(&topic, Some(payload))
        };
        self.sink
            .send(&outgoing, 0)
            .expect("a record that can be sent");
    }

    /// Writes records to partition 0 and waits until the broker has them.
    pub fn records(&self, records: &[WineRecord]) {
        records
            .iter()
            .for_each(|record| self.send_record(0, record));
        self.flush();
    }

    /// Writes bytes as a record.
    pub(super) fn raw_record(&self, payload: Option<&[u8]>) {
        self.publish(&Outgoing {
            partition: Some(0),
            ..message(&self.topic("data"), payload)
        });
    }

    /// Writes a descriptor.
    pub fn model(&self, descriptor: &ModelDescriptor) {
        if let Some(publish) = &self.publish {
            return publish(descriptor);
        }
        self.raw_model(Some(&descriptor.encode_to_vec()));
    }

    /// Writes bytes as a descriptor.
    pub(super) fn raw_model(&self, payload: Option<&[u8]>) {
        self.publish(&message(&self.topic("models"), payload));
    }

    /// The results, of which there have to be `count`.
    pub fn results(&self, count: usize) -> Vec<Scored> {
        self.read("results", count)
            .into_iter()
            .map(Self::decode)
            .collect()
    }

    /// The results, once they are as wanted.
    pub fn results_until(&self, wanted: impl Fn(&[Scored]) -> bool) -> Vec<Scored> {
        let mut results = Vec::new();
        self.read_until("results", |message, _| {
            results.extend(message.map(Self::decode));
            wanted(&results)
        });
        results
    }

    /// Whether a server of this world is several members of its group.
    pub(super) fn has_several_members(&self) -> bool {
        let workers = self.flags.iter().position(|flag| flag == "--workers");
        workers.is_some_and(|flag| self.flags.get(flag + 1).is_some_and(|number| number != "1"))
    }

    fn decode(message: OwnedMessage) -> Scored {
        let value = message.payload.clone().expect("a result has a value");
        let result = ServingResult::decode(value).expect("a result decodes");
        Scored { message, result }
    }

    /// The dead letters, of which there have to be `count`.
    pub fn dead_letters(&self, count: usize) -> Vec<OwnedMessage> {
        self.read("dead-letters", count)
    }

    /// Everything in a topic, once it holds `count` messages; more of them are a failure.
    fn read(&self, kind: &str, count: usize) -> Vec<OwnedMessage> {
        let mut messages = Vec::new();
        self.read_until(kind, |message, caught_up| {
            messages.extend(message);
            messages.len() >= count && caught_up
        });
        assert_eq!(messages.len(), count, "messages in {kind}: {messages:?}");
        messages
    }

    /// Reads a topic from its beginning until `enough`, which is told each message that comes, and
    /// whether it is the last one for now.
    fn read_until(&self, kind: &str, mut enough: impl FnMut(Option<OwnedMessage>, bool) -> bool) {
        let topic = self.topic(kind);
        let mut reader = TopicReader::open(&self.connection, &topic).expect("a reader");
        let deadline = Instant::now() + PATIENCE;
        let mut read = 0;
        loop {
            let message = reader.poll(Duration::from_millis(50)).expect("a message");
            read += usize::from(message.is_some());
            if enough(message, reader.caught_up()) {
                return;
            }
            assert!(Instant::now() < deadline, "only {read} messages in {topic}");
        }
    }
}

impl Running {
    /// The status and the JSON (or text) that a GET of this path answers.
    ///
    /// # Panics
    /// When the server does not speak HTTP.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.text(path);
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    /// The status and the body that a GET of this path answers.
    ///
    /// # Panics
    /// When the server does not speak HTTP.
    #[must_use]
    pub fn text(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut response = String::new();
        stream
            .read_to_string(&mut response)
            .expect("the server answers");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Waits until the state query answers something that `holds`, and returns it.
    ///
    /// # Panics
    /// When it does not happen.
    pub fn wait_for(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, value) = self.get(path);
            if holds(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{path} stays {value}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until this model is current or staged for the data type.
    pub(super) fn wait_for_model(&self, data_type: &str, name: &str) {
        self.wait_for(&format!("/state/{data_type}"), |state| {
            state["name"] == name || state["next"]["name"] == name
        });
    }

    /// Waits until a counter of `/state` has this value.
    ///
    /// # Panics
    /// When it does not happen.
    pub fn wait_for_count(&self, counter: &str, count: u64) {
        let state = self.wait_for("/state", |state| state[counter].as_u64() >= Some(count));
        assert_eq!(state[counter], count, "{counter}: {state}");
    }

    /// Stops the server as a signal would.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shutdown.request();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("no panic").expect("a good end");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A message without key and headers.
pub(super) fn message<'a>(topic: &'a str, payload: Option<&'a [u8]>) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: None,
        key: None,
        payload,
        headers: &[],
        timestamp_ms: None,
    }
}

/// A wine of this data type; the models here predict from its alcohol.
pub fn wine(data_type: &str, alcohol: f64) -> WineRecord {
    WineRecord {
        alcohol,
        data_type: data_type.to_owned(),
        ..WineRecord::default()
    }
}

/// A regression that predicts `alcohol + intercept`, as a descriptor.
pub fn regression(data_type: &str, name: &str, intercept: f64) -> ModelDescriptor {
    descriptor(data_type, name, &regression_document("alcohol", intercept))
}

/// A regression on this field.
pub(super) fn regression_document(field: &str, intercept: f64) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
  <DataDictionary>
    <DataField name="{field}" optype="continuous" dataType="double"/>
    <DataField name="quality" optype="continuous" dataType="double"/>
  </DataDictionary>
  <RegressionModel functionName="regression">
    <MiningSchema><MiningField name="{field}"/><MiningField name="quality" usageType="target"/></MiningSchema>
    <RegressionTable intercept="{intercept}"><NumericPredictor name="{field}" coefficient="1"/></RegressionTable>
  </RegressionModel>
</PMML>"#
    )
}

/// A PMML document as a descriptor.
pub(super) fn descriptor(data_type: &str, name: &str, document: &str) -> ModelDescriptor {
    ModelDescriptor {
        name: name.to_owned(),
        description: format!("{name}, for a scenario"),
        data_type: data_type.to_owned(),
        modeltype: ModelType::Pmml.into(),
        message_content: Some(MessageContent::Data(Bytes::copy_from_slice(
            document.as_bytes(),
        ))),
        ..ModelDescriptor::default()
    }
}
