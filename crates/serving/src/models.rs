use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use configuration::{GraphRuntime, Outputs, RuntimeChoice, Server};
use kafka::{OwnedMessage, TopicReader};
use model::{Descriptor, Detail, ModelRegistry, Refusal, Runtime, Runtimes, Schema};
use prost::Message as _;
use protobufs::ModelDescriptor;
use tokio::sync::mpsc;

use crate::counters::Counters;
use crate::dead_letter::chain;
use crate::delivery::{Delivery, Stray};
use crate::tracker::Ticket;
use crate::{DeadLetterKind, Error, ServedModel, Shutdown};

const TICK: Duration = Duration::from_millis(100);
/// How often a wait is reported.
const REPORT: Duration = Duration::from_secs(5);
/// At start, bytes of descriptors that are held because it is not known yet which is the newest
/// that loads. Past this the newest so far is tried, and what was refused until then is reported.
const MOST_HELD: usize = 256 * 1024 * 1024;

/// Reads the models topic and loads what it holds, off the scoring path and once per process.
///
/// Models are loaded one after the other, in the order of the topic, so that none can overtake a
/// newer one.
pub(crate) struct Models {
    reader: TopicReader,
    loader: Loader,
    shutdown: Shutdown,
}

/// Turns messages into served models, or into dead letters.
struct Loader {
    topic: String,
    registry: ModelRegistry,
    schema: Arc<Schema>,
    detail: Detail,
    delivery: Delivery,
    counters: Arc<Counters>,
    loaded: Cell<u64>,
}

/// At start, what the topic holds for one data type.
#[derive(Default)]
struct Candidates {
    /// The newest that was tried with success.
    ready: Option<Arc<ServedModel>>,
    /// Newer than that, oldest first.
    untried: Vec<(OwnedMessage, ModelDescriptor)>,
}

impl Models {
    pub(crate) fn new(
        reader: TopicReader,
        schema: Arc<Schema>,
        settings: &Server,
        delivery: Delivery,
        counters: Arc<Counters>,
        shutdown: Shutdown,
    ) -> Self {
        let detail = match settings.outputs {
            Outputs::Value => Detail::Value,
            Outputs::All => Detail::All,
        };
        let registry = ModelRegistry::new(runtimes(&settings.runtime));
        let loader = Loader {
            topic: settings.basics.models_topic.clone(),
            registry,
            schema,
            detail,
            delivery,
            counters,
            loaded: Cell::new(0),
        };
        Self {
            reader,
            loader,
            shutdown,
        }
    }

    /// Reads the topic to the end that it has now. Per data type the newest model is tried first,
    /// then the one before; what failed until the first success is a dead letter, what is older is
    /// not tried. `None` after a signal to stop.
    pub(crate) fn read_to_end(&mut self) -> Result<Option<Vec<Arc<ServedModel>>>, Error> {
        let mut by_type: BTreeMap<String, Candidates> = BTreeMap::new();
        let mut reported = Instant::now();
        let mut held = 0;
        while !self.reader.caught_up() {
            if self.shutdown.is_requested() {
                return Ok(None);
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                tracing::info!(topic = self.loader.topic, "still reading the models topic");
            }
            let Some(message) = self.reader.poll(TICK)? else {
                continue;
            };
            let Some(descriptor) = self.loader.decode(&message) else {
                continue;
            };
            held += message.payload.as_ref().map_or(0, Bytes::len);
            let candidates = by_type.entry(descriptor.data_type.clone()).or_default();
            candidates.untried.push((message, descriptor));
            if held > MOST_HELD {
                held = 0;
                by_type
                    .values_mut()
                    .for_each(|candidates| candidates.settle(&self.loader));
            }
        }
        let mut models = Vec::new();
        for mut candidates in by_type.into_values() {
            candidates.settle(&self.loader);
            models.extend(candidates.ready);
        }
        Ok(Some(models))
    }

    /// Goes on reading, and hands over each model as soon as it is loaded, until the signal to stop
    /// or until nobody listens.
    pub(crate) fn follow(&mut self, models: &mpsc::Sender<Arc<ServedModel>>) -> Result<(), Error> {
        while !self.shutdown.is_requested() && !models.is_closed() {
            let Some(message) = self.reader.poll(TICK)? else {
                continue;
            };
            let Some(descriptor) = self.loader.decode(&message) else {
                continue;
            };
            match self.loader.load(descriptor, message.position.offset) {
                Ok(model) => {
                    // The wait for a strategy that is busy is bounded by its own pace.
                    if models.blocking_send(model).is_err() {
                        break;
                    }
                }
                Err(refusal) => self.loader.refuse(&message, &refusal),
            }
        }
        Ok(())
    }
}

impl Candidates {
    /// Tries the newest first, until one loads; what was refused on the way is reported in the
    /// order of the topic. What is older is not tried.
    fn settle(&mut self, loader: &Loader) {
        let mut refused = Vec::new();
        while let Some((message, descriptor)) = self.untried.pop() {
            match loader.load(descriptor, message.position.offset) {
                Ok(model) => {
                    self.ready = Some(model);
                    self.untried.clear();
                }
                Err(refusal) => refused.push((message, refusal)),
            }
        }
        for (message, refusal) in refused.iter().rev() {
            loader.refuse(message, refusal);
        }
    }
}

/// What the settings say of runtimes.
fn runtimes(choices: &[RuntimeChoice]) -> Runtimes {
    let mut runtimes = Runtimes::default();
    for choice in choices {
        let runtime = match choice.runtime {
            GraphRuntime::Native => Runtime::Native,
            GraphRuntime::LibTensorflow => Runtime::LibTensorflow,
            GraphRuntime::OnnxRuntime => Runtime::OnnxRuntime,
        };
        match &choice.model {
            Some(model) => runtimes.name(model, runtime),
            None => runtimes.prefer(runtime),
        }
    }
    runtimes
}

impl Loader {
    /// The message, or a dead letter if it is none.
    fn decode(&self, message: &OwnedMessage) -> Option<ModelDescriptor> {
        let decoded = match message.payload.clone() {
            None => Err(Refusal::NoValue),
            Some(value) => ModelDescriptor::decode(value).map_err(Refusal::Undecodable),
        };
        match decoded {
            Ok(descriptor) if descriptor.data_type.is_empty() => {
                self.refuse(message, &Refusal::NoDataType);
                None
            }
            Ok(descriptor) => Some(descriptor),
            Err(refusal) => {
                self.refuse(message, &refusal);
                None
            }
        }
    }

    fn load(&self, message: ModelDescriptor, offset: i64) -> Result<Arc<ServedModel>, Refusal> {
        let descriptor = Descriptor::from_message(message, offset)?;
        let started = Instant::now();
        let model = catch_unwind(AssertUnwindSafe(|| {
            self.registry.create(&descriptor, &self.schema, self.detail)
        }))
        .unwrap_or(Err(Refusal::Panicked))?;
        self.counters.model_loaded();
        tracing::info!(
            model = &*descriptor.name,
            version = &*descriptor.version,
            data_type = &*descriptor.data_type,
            model_type = descriptor.model_type.as_str_name(),
            bytes = descriptor.bytes.len(),
            runtime = model.runtime().name(),
            took = ?started.elapsed(),
            "model loaded"
        );
        if let Some(notice) = model.notice() {
            tracing::warn!(model = &*descriptor.name, "{notice}");
        }
        let sequence = self.loaded.get();
        self.loaded.set(sequence + 1);
        Ok(Arc::new(ServedModel::new(descriptor, model, sequence)))
    }

    fn refuse(&self, message: &OwnedMessage, refusal: &Refusal) {
        let kind = match refusal {
            Refusal::NoValue | Refusal::Undecodable(_) | Refusal::NoDataType => {
                DeadLetterKind::Undecodable
            }
            Refusal::UnknownType { .. } => DeadLetterKind::UnknownModelType,
            _ => DeadLetterKind::ModelRefused,
        };
        let stray = Stray {
            topic: &self.topic,
            position: message.position,
            key: message.key.as_ref().map(Bytes::as_ref),
            value: message.payload.as_ref().map(Bytes::as_ref),
            headers: message
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect(),
            ticket: Ticket::NONE,
        };
        self.delivery.stray(&stray, kind, &chain(refusal));
    }
}
