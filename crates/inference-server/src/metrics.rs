use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::failure::{Code, Failure};

/// Ends of the buckets of request times, in seconds.
const BUCKETS: [f64; 14] = [
    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 1e-1, 1.0, 10.0,
];

/// What the server has done so far, for Prometheus.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    rows: IntCounterVec,
    loads: IntCounterVec,
    failures: IntCounterVec,
    versions: IntGaugeVec,
}

/// What is counted of a request.
pub(crate) struct Handled<'a> {
    pub(crate) api: &'static str,
    pub(crate) method: &'static str,
    /// The model, if there is one of that name: what clients make up is not counted by name.
    pub(crate) model: &'a str,
    pub(crate) failed: Option<Code>,
    pub(crate) took: Duration,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("inference_server".to_owned()), None)?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let requests = counter(
            "requests_total",
            "Requests answered, by their outcome",
            &["api", "method", "model", "status"],
        )?;
        let rows = counter("rows_total", "Rows scored", &["model"])?;
        let loads = counter("models_loaded_total", "Versions loaded", &["model"])?;
        let failures = counter(
            "model_load_failures_total",
            "Versions that could not be loaded",
            &["model"],
        )?;
        let options =
            HistogramOpts::new("request_seconds", "Time from a request read to its answer")
                .buckets(BUCKETS.into());
        let seconds = HistogramVec::new(options, &["api", "method", "model"])?;
        registry.register(Box::new(seconds.clone()))?;
        let options = Opts::new("model_version", "The version of a model that is served");
        let versions = IntGaugeVec::new(options, &["model"])?;
        registry.register(Box::new(versions.clone()))?;
        Ok(Self {
            registry,
            requests,
            seconds,
            rows,
            loads,
            failures,
            versions,
        })
    }

    pub(crate) fn handled(&self, handled: &Handled<'_>) {
        let Handled {
            api,
            method,
            model,
            failed,
            took,
        } = handled;
        let status = failed.map_or("OK", Code::name);
        self.requests
            .with_label_values(&[api, method, model, status])
            .inc();
        self.seconds
            .with_label_values(&[api, method, model])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn scored(&self, model: &str, rows: usize) {
        self.rows.with_label_values(&[model]).inc_by(rows as u64);
    }

    pub(crate) fn loaded(&self, model: &str, version: i64) {
        self.loads.with_label_values(&[model]).inc();
        self.versions.with_label_values(&[model]).set(version);
    }

    pub(crate) fn load_failed(&self, model: &str) {
        self.failures.with_label_values(&[model]).inc();
    }

    pub(crate) fn withdrawn(&self, model: &str) {
        // It is not there if it never was loaded.
        let _ = self.versions.remove_label_values(&[model]);
    }

    /// The text that Prometheus scrapes (exposition format 0.0.4).
    pub(crate) fn render(&self) -> Result<String, Failure> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| {
                Failure::new(
                    Code::Internal,
                    format!("the metrics cannot be written: {error}"),
                )
            })
    }
}
