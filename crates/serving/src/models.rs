mod backlog;
mod loader;
mod loading;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use configuration::{GraphRuntime, Outputs, RuntimeChoice, Server};
use kafka::TopicReader;
use model::{Detail, Locations, ModelRegistry, Runtime, Runtimes, Schema};
use tokio::sync::mpsc;

use self::loader::Loader;
use self::loading::Loading;
use crate::counters::Counters;
use crate::delivery::Delivery;
use crate::{Error, ServedModel, Shutdown};

const TICK: Duration = Duration::from_millis(100);
/// How often a wait is reported.
const REPORT: Duration = Duration::from_secs(5);
/// Bytes of descriptors that are held because they wait to be loaded. At start, past this the
/// newest so far is tried, and what was refused until then is reported; later, no more are read.
const MOST_HELD: usize = 256 * 1024 * 1024;

/// Reads the models topic and loads what it holds, off the scoring path and once per process.
///
/// Models of a data type are loaded one after the other, in the order of the topic; one that takes
/// several attempts never overtakes a newer one.
pub(crate) struct Models {
    reader: TopicReader,
    loading: Loading,
    shutdown: Shutdown,
}

/// Where models by reference may come from, by these settings.
pub(crate) fn locations(settings: &configuration::Locations) -> Result<Locations, Error> {
    /// The data of the workspace that this program was built in, as the data provider has it.
    const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data");
    let here = "data";
    let roots = match settings.model_roots.as_slice() {
        [none] if none == "none" => Vec::new(),
        [] if std::path::Path::new(here).is_dir() => vec![here.to_owned()],
        [] => vec![WORKSPACE.to_owned()],
        roots => roots.to_vec(),
    };
    let limits = model::Limits {
        size: settings.model_max_size.get(),
        timeout: settings.model_timeout.get(),
    };
    Locations::new(&roots, limits).map_err(Error::Roots)
}

impl Models {
    pub(crate) fn new(
        reader: TopicReader,
        settings: &Server,
        locations: Locations,
        schema: Arc<Schema>,
        delivery: Delivery,
        counters: Arc<Counters>,
        shutdown: Shutdown,
    ) -> Self {
        let detail = match settings.outputs {
            Outputs::Value => Detail::Value,
            Outputs::All => Detail::All,
        };
        let loader = Loader {
            topic: settings.basics.models_topic.clone(),
            registry: ModelRegistry::new(runtimes(&settings.runtime)),
            locations,
            schema,
            detail,
            delivery,
            counters,
            shutdown: shutdown.clone(),
            creating: Mutex::default(),
        };
        Self {
            reader,
            loading: Loading::new(loader, settings.locations.model_retry_for.get()),
            shutdown,
        }
    }

    /// Reads the topic to the end that it has now. Per data type the newest model is tried first,
    /// then the one before; what failed until the first success is a dead letter, what is older is
    /// not tried. What cannot be fetched now is tried again later, while an older one serves.
    /// `None` after a signal to stop.
    pub(crate) fn read_to_end(&mut self) -> Result<Option<Vec<Arc<ServedModel>>>, Error> {
        let mut reported = Instant::now();
        while !self.reader.caught_up() {
            if self.shutdown.is_requested() {
                return Ok(None);
            }
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                let topic = &self.loading.loader().topic;
                tracing::info!(topic, "still reading the models topic");
            }
            let Some(message) = self.reader.poll(TICK)? else {
                continue;
            };
            let Some(descriptor) = self.loading.loader().decode(&message) else {
                continue;
            };
            if self.loading.find(message, descriptor) {
                self.loading.settle()?;
            }
        }
        self.loading.settle()?;
        if self.shutdown.is_requested() {
            return Ok(None);
        }
        Ok(Some(self.loading.initial()))
    }

    /// Goes on reading, and hands over each model as soon as it is loaded, until the signal to stop
    /// or until nobody listens.
    pub(crate) fn follow(&mut self, models: &mpsc::Sender<Arc<ServedModel>>) -> Result<(), Error> {
        self.loading.follow(models);
        while !self.shutdown.is_requested() && !models.is_closed() {
            let Some(message) = self.reader.poll(TICK)? else {
                continue;
            };
            if let Some(descriptor) = self.loading.loader().decode(&message) {
                self.loading.add(message, descriptor)?;
            }
        }
        Ok(())
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
