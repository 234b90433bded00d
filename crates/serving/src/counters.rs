use std::sync::Arc;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::DeadLetterKind;

/// Ends of the buckets of scoring times, in seconds: a small tree takes less than the first, a deep
/// network some of the last.
const BUCKETS: [f64; 11] = [
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0,
];

/// What this instance has done so far, for the state queries and for Prometheus.
///
/// The registry is a value, not the process's global one, so that a process may hold two servers.
pub(crate) struct Counters {
    registry: Registry,
    records: IntCounter,
    scored: IntCounter,
    no_model: IntCounter,
    dead_letters: IntCounterVec,
    models: IntCounter,
    scoring: Histogram,
}

/// What a strategy counts besides what every strategy counts: `GET /metrics` tells it too.
pub struct Metrics(Arc<Counters>);

impl Metrics {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self(counters)
    }

    /// A number that grows.
    ///
    /// # Errors
    /// When the name is none, or is there already.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, crate::Error> {
        let counter = IntCounter::new(name, help)?;
        self.0.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    /// A number that grows and shrinks.
    ///
    /// # Errors
    /// As of [`counter`](Self::counter).
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, crate::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }
}

/// What an instance has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) records: u64,
    pub(crate) scored: u64,
    pub(crate) no_model: u64,
    pub(crate) dead_letters: u64,
}

impl Counters {
    pub(crate) fn new(strategy: &'static str) -> Result<Self, prometheus::Error> {
        let labels = [("strategy".to_owned(), strategy.to_owned())].into();
        let registry = Registry::new_custom(Some("model_serving".to_owned()), Some(labels))?;
        let count = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let records = count("records_total", "Records read")?;
        let scored = count("scored_total", "Records scored")?;
        let no_model = count("no_model_total", "Records whose data type had no model")?;
        let models = count("models_total", "Models loaded")?;
        let help = "Messages sent to the dead-letter topic";
        let dead_letters = IntCounterVec::new(Opts::new("dead_letters_total", help), &["kind"])?;
        // A count of 0 is there too.
        for kind in DeadLetterKind::ALL {
            dead_letters.with_label_values(&[kind.as_str()]);
        }
        registry.register(Box::new(dead_letters.clone()))?;
        let help = "Time that scoring a record took";
        let options = HistogramOpts::new("scoring_seconds", help).buckets(BUCKETS.into());
        let scoring = Histogram::with_opts(options)?;
        registry.register(Box::new(scoring.clone()))?;
        Ok(Self {
            registry,
            records,
            scored,
            no_model,
            dead_letters,
            models,
            scoring,
        })
    }

    pub(crate) fn read(&self, records: u64) {
        self.records.inc_by(records);
    }

    /// Counts records that were scored together, in this time each.
    pub(crate) fn scored(&self, records: u64, scoring_ns: u64) {
        self.scored.inc_by(records);
        let scoring = self.scoring.local();
        for _ in 0..records {
            scoring.observe(scoring_ns as f64 / 1e9);
        }
        // Dropping it adds what it has seen.
    }

    pub(crate) fn no_model(&self) {
        self.no_model.inc();
    }

    pub(crate) fn model_loaded(&self) {
        self.models.inc();
    }

    pub(crate) fn dead_letter(&self, kind: DeadLetterKind) {
        self.dead_letters.with_label_values(&[kind.as_str()]).inc();
    }

    pub(crate) fn totals(&self) -> Totals {
        let dead_letters = DeadLetterKind::ALL
            .map(|kind| self.dead_letters.with_label_values(&[kind.as_str()]).get());
        Totals {
            records: self.records.get(),
            scored: self.scored.get(),
            no_model: self.no_model.get(),
            dead_letters: dead_letters.iter().sum(),
        }
    }

    /// The text that Prometheus scrapes (exposition format 0.0.4).
    pub(crate) fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
