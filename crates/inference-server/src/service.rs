use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tensor::Tensor;
use tokio::sync::Semaphore;

use crate::catalogue::{Catalogue, Choice};
use crate::engine::{Engine, Feed, rows};
use crate::examples::{self, Features};
use crate::failure::{Code, Failure};
use crate::metrics::Metrics;
use crate::results::{self, Classes};
use crate::version::{CLASSIFY, DEFAULT, REGRESS, Version};

/// What both interfaces answer requests from.
pub(crate) struct Service {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) metrics: Arc<Metrics>,
    /// The largest request that is accepted, in bytes.
    pub(crate) limit: usize,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// How many runs that take long may be under way at once.
    slots: Arc<Semaphore>,
}

/// A version, one of its signatures, and what computes it.
pub(crate) struct Target {
    pub(crate) version: Arc<Version>,
    pub(crate) signature: String,
    pub(crate) engine: Arc<Engine>,
}

impl Service {
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        metrics: Arc<Metrics>,
        limit: usize,
        timeout: Duration,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            catalogue,
            metrics,
            limit,
            timeout,
            slots: Arc::new(Semaphore::new(threads)),
        }
    }

    /// A signature of a version; the default one if the name is empty. `missing` says what a
    /// signature that is not there is answered with.
    pub(crate) async fn target(
        &self,
        version: Arc<Version>,
        signature: &str,
        missing: impl FnOnce(&str) -> Failure,
    ) -> Result<Target, Failure> {
        let name = if signature.is_empty() {
            DEFAULT
        } else {
            signature
        };
        let Some(found) = version.signature(name) else {
            return Err(missing(name));
        };
        let engine = if found.is_loaded() {
            version.engine_of(name, found)?
        } else {
            let version = Arc::clone(&version);
            let name = name.to_owned();
            let load = move || {
                let signature = version.signature(&name);
                signature.map(|signature| version.engine_of(&name, signature))
            };
            match self.apart(load).await? {
                Some(engine) => engine?,
                None => return Err(missing(signature)),
            }
        };
        Ok(Target {
            version,
            signature: name.to_owned(),
            engine,
        })
    }

    /// Runs a model: here, if it is quick, or else on a thread where it is in nobody's way.
    pub(crate) async fn run(
        &self,
        target: &Target,
        feeds: Vec<Option<Feed>>,
    ) -> Result<Vec<Tensor>, Failure> {
        let rows = rows(&feeds);
        let engine = Arc::clone(&target.engine);
        let outputs = if engine.is_quick(rows) {
            catch_unwind(AssertUnwindSafe(|| engine.run(feeds))).map_err(|_| panicked())?
        } else {
            self.apart(move || engine.run(feeds)).await?
        }?;
        self.metrics.scored(target.version.name(), rows);
        Ok(outputs)
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let work = move || {
            // Held until the work is done, even if nobody waits for it any more.
            let _slot = slot;
            work()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| panicked())
    }

    /// The classes of each example.
    pub(crate) async fn classify(
        &self,
        version: Arc<Version>,
        signature: &str,
        examples: &[Features],
    ) -> Result<(Target, Vec<Classes>), Failure> {
        let (target, outputs) = self.score(version, signature, CLASSIFY, examples).await?;
        let classes = match target.version.signature(&target.signature) {
            Some(signature) => {
                results::classes(signature, &target.engine, &outputs, examples.len())?
            }
            None => Vec::new(),
        };
        Ok((target, classes))
    }

    /// The number of each example.
    pub(crate) async fn regress(
        &self,
        version: Arc<Version>,
        signature: &str,
        examples: &[Features],
    ) -> Result<(Target, Vec<f32>), Failure> {
        let (target, outputs) = self.score(version, signature, REGRESS, examples).await?;
        let values = match target.version.signature(&target.signature) {
            Some(signature) => results::values(signature, &outputs, examples.len())?,
            None => Vec::new(),
        };
        Ok((target, values))
    }

    async fn score(
        &self,
        version: Arc<Version>,
        signature: &str,
        method: &str,
        examples: &[Features],
    ) -> Result<(Target, Vec<Tensor>), Failure> {
        let missing =
            |name: &str| Failure::invalid(format!("No signature was found with the name: {name}"));
        let name = if signature.is_empty() {
            DEFAULT
        } else {
            signature
        };
        let found = version.signature(name).ok_or_else(|| missing(name))?;
        results::check_method(found, method)?;
        let target = self.target(version, signature, missing).await?;
        let feeds = examples::feeds(examples, &target.engine)?;
        let outputs = self.run(&target, feeds).await?;
        Ok((target, outputs))
    }

    pub(crate) fn find(&self, name: &str, choice: &Choice) -> Result<Arc<Version>, Failure> {
        self.catalogue.find(name, choice)
    }

    /// Ends what takes too long.
    pub(crate) async fn in_time<T>(
        &self,
        limit: Option<Duration>,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = limit.map_or(self.timeout, |limit| limit.min(self.timeout));
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let message = "Timed out waiting for the model, or for the request";
            Err(Failure::new(Code::DeadlineExceeded, message))
        })
    }
}

fn panicked() -> Failure {
    Failure::new(
        Code::Internal,
        "the model made the server panic on this request",
    )
}
