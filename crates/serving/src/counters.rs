use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::DeadLetterKind;

/// What this instance has done so far, for the state queries and for Prometheus.
///
/// The recorder is a value, not the process's global one, so that a process may hold two servers.
pub(crate) struct Counters {
    records: Count,
    scored: Count,
    no_model: Count,
    dead_letters: Vec<(DeadLetterKind, Count)>,
    models: Count,
    scoring: Histogram,
    handle: PrometheusHandle,
}

/// A counter that can be read back, which those of `metrics` cannot.
struct Count {
    value: AtomicU64,
    exported: Counter,
}

impl Count {
    fn add(&self, n: u64) {
        self.value.fetch_add(n, Ordering::Relaxed);
        self.exported.increment(n);
    }

    fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn new(strategy: &'static str) -> Self {
        // Seconds, from a microsecond to a second: a tree takes less than the first bucket's end,
        // a deep network some of the last ones.
        let buckets = [
            1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0,
        ];
        let recorder = PrometheusBuilder::new()
            .add_global_label("strategy", strategy)
            .set_buckets(&buckets)
            .unwrap_or_default()
            .build_recorder();
        let count = |name: &'static str, text: &'static str, labels: Vec<Label>| {
            let exported = register(&recorder, name, text, labels);
            // A counter that is 0 is there all the same.
            exported.increment(0);
            Count {
                value: AtomicU64::new(0),
                exported,
            }
        };
        let dead_letters = DeadLetterKind::ALL.map(|kind| {
            let text = "Messages sent to the dead-letter topic";
            let labels = vec![Label::new("kind", kind.as_str())];
            (
                kind,
                count("model_serving_dead_letters_total", text, labels),
            )
        });
        let scoring = "model_serving_scoring_seconds";
        recorder.describe_histogram(
            KeyName::from_const_str(scoring),
            Some(Unit::Seconds),
            SharedString::const_str("Time that scoring a record took"),
        );
        Self {
            records: count("model_serving_records_total", "Records read", vec![]),
            scored: count("model_serving_scored_total", "Records scored", vec![]),
            no_model: count(
                "model_serving_no_model_total",
                "Records whose data type had no model",
                vec![],
            ),
            models: count("model_serving_models_total", "Models loaded", vec![]),
            dead_letters: dead_letters.into(),
            scoring: recorder.register_histogram(&Key::from_static_name(scoring), &METADATA),
            handle: recorder.handle(),
        }
    }

    pub(crate) fn read(&self, records: u64) {
        self.records.add(records);
    }

    pub(crate) fn scored(&self, scoring_ns: u64) {
        self.scored.add(1);
        self.scoring.record(scoring_ns as f64 / 1e9);
    }

    pub(crate) fn no_model(&self) {
        self.no_model.add(1);
    }

    pub(crate) fn model_loaded(&self) {
        self.models.add(1);
    }

    pub(crate) fn dead_letter(&self, kind: DeadLetterKind) {
        if let Some((_, count)) = self.dead_letters.iter().find(|(k, _)| *k == kind) {
            count.add(1);
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            records: self.records.get(),
            scored: self.scored.get(),
            no_model: self.no_model.get(),
            dead_letters: self.dead_letters.iter().map(|(_, count)| count.get()).sum(),
        }
    }

    /// The text that Prometheus scrapes.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves what the histogram has collected to where it takes no more memory; to be called every
    /// few seconds.
    pub(crate) fn settle(&self) {
        self.handle.run_upkeep();
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

static METADATA: Metadata<'static> = Metadata::new("serving", metrics::Level::INFO, None);

fn register(
    recorder: &PrometheusRecorder,
    name: &'static str,
    text: &'static str,
    labels: Vec<Label>,
) -> Counter {
    recorder.describe_counter(
        KeyName::from_const_str(name),
        Some(Unit::Count),
        SharedString::const_str(text),
    );
    recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
}
