mod columns;
mod conversion;
mod intake;
mod reading;
mod signature;
mod stack;

use std::sync::Arc;

use tensor::{Element, Graph, Options, Scratch};

use self::reading::{Reading, predicted};
pub use self::signature::{Feed, Signature};
use self::stack::{Layout, Stack};
use crate::{
    Content, Descriptor, Detail, Evaluator, Model, ModelFactory, Record, Refusal, Runtime,
    Runtimes, Schema, Score, ScoreError, runtimes,
};

type Load = fn(&Descriptor, &Options) -> Result<Graph, Refusal>;

/// Files that hold a graph of tensors, by the crate `tensor`.
///
/// Options of the descriptor: `input` and `output`, names separated by commas, where the graph
/// leaves a choice; of a SavedModel, `signature` and `tags`; `runtime`, what runs it.
pub(crate) struct Factory {
    load: Load,
    runtimes: Arc<Runtimes>,
}

impl Factory {
    pub(crate) fn tensorflow(runtimes: &Arc<Runtimes>) -> Self {
        Self {
            load: |descriptor, options| {
                Graph::from_graphdef(descriptor.file()?, options).map_err(Refusal::Tensor)
            },
            runtimes: Arc::clone(runtimes),
        }
    }

    pub(crate) fn saved_model(runtimes: &Arc<Runtimes>) -> Self {
        Self {
            load: |descriptor, options| match &descriptor.content {
                Content::Directory(files) => {
                    Graph::from_saved_model(files, options).map_err(Refusal::Tensor)
                }
                Content::Bytes(_) => Err(Refusal::NoSavedModel {
                    found: "is one file".to_owned(),
                }),
            },
            runtimes: Arc::clone(runtimes),
        }
    }

    pub(crate) fn onnx(runtimes: &Arc<Runtimes>) -> Self {
        Self {
            load: |descriptor, options| {
                Graph::from_onnx(descriptor.file()?, options).map_err(Refusal::Tensor)
            },
            runtimes: Arc::clone(runtimes),
        }
    }
}

impl ModelFactory for Factory {
    fn create(
        &self,
        descriptor: &Descriptor,
        schema: &Schema,
        detail: Detail,
    ) -> Result<Arc<dyn Model>, Refusal> {
        let names = |key: &str| {
            let names = descriptor.options.get(key).map(|names| names.split(','));
            names
                .into_iter()
                .flatten()
                .map(|name| name.trim().to_owned())
                .collect()
        };
        let options = Options {
            inputs: names("input"),
            outputs: names("output"),
            signature: descriptor.options.get("signature").cloned(),
            tags: names("tags"),
            runtime: None,
        };
        let load = |options: &Options| (self.load)(descriptor, options);
        let runtimes::Served { graph, notice } = self.runtimes.load(descriptor, options, load)?;
        let layout = Layout::of(graph.inputs(), schema)?;
        let reading = Reading::of(&graph, layout.batch, detail, schema.name());
        // One vector in, one array of numbers out: no tensor is made, nothing is allocated.
        let direct = detail == Detail::Value
            && matches!(graph.inputs(), [port] if port.element == Element::Float)
            && matches!(graph.outputs(), [port] if is_floating(port.element))
            && graph.width().is_some();
        Ok(Arc::new(Served {
            graph: Arc::new(graph),
            layout: Arc::new(layout),
            reading: Arc::new(reading),
            direct,
            notice,
        }))
    }
}

fn is_floating(element: Element) -> bool {
    matches!(element, Element::Float | Element::Double)
}

struct Served {
    graph: Arc<Graph>,
    layout: Arc<Layout>,
    reading: Arc<Reading>,
    direct: bool,
    notice: Option<String>,
}

impl Model for Served {
    fn evaluator(&self) -> Box<dyn Evaluator> {
        Box::new(ServedEvaluator {
            scratch: self.graph.scratch(),
            graph: Arc::clone(&self.graph),
            stack: Stack::new(Arc::clone(&self.layout)),
            reading: Arc::clone(&self.reading),
            direct: self.direct,
            values: Vec::new(),
            results: Vec::new(),
            waiting: Vec::new(),
        })
    }

    fn runtime(&self) -> Runtime {
        self.graph.runtime()
    }

    fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }
}

type Scores = Vec<Result<Score, ScoreError>>;

struct ServedEvaluator {
    graph: Arc<Graph>,
    stack: Stack,
    reading: Arc<Reading>,
    direct: bool,
    scratch: Scratch,
    values: Vec<f64>,
    /// Of the records in the stack.
    results: Scores,
    /// Of the records since the last run: on the stack, or why not.
    waiting: Vec<Option<ScoreError>>,
}

impl Evaluator for ServedEvaluator {
    fn score(&mut self, record: &Record) -> Result<Score, ScoreError> {
        self.stack.clear();
        self.stack.push(record)?;
        self.run()?;
        self.results.pop().unwrap_or(Err(ScoreError::NotANumber))
    }

    fn score_batch(&mut self, records: &[&Record], scores: &mut Scores) {
        scores.clear();
        self.stack.clear();
        self.waiting.clear();
        let mut first = 0;
        for (place, record) in records.iter().enumerate() {
            let mut pushed = self.stack.push(record);
            if matches!(pushed, Ok(false)) {
                self.feed(&records[first..place], scores);
                first = place;
                pushed = self.stack.push(record);
            }
            self.waiting.push(pushed.err());
        }
        self.feed(&records[first..], scores);
    }
}

impl ServedEvaluator {
    /// Scores the records that wait, in order, and leaves the stack empty.
    fn feed(&mut self, records: &[&Record], scores: &mut Scores) {
        let waiting = std::mem::take(&mut self.waiting);
        let stacked = self.stack.len();
        if stacked > 0 && (self.run().is_err() || self.results.len() != stacked) {
            // One record that does not fit must not fail its neighbours.
            let each = records.iter().zip(&waiting);
            let each = each.filter(|(_, failed)| failed.is_none());
            let results: Scores = each.map(|(record, _)| self.score(record)).collect();
            self.results = results;
        }
        let mut results = self.results.drain(..);
        self.waiting = waiting;
        scores.extend(self.waiting.drain(..).map(|failed| match failed {
            Some(error) => Err(error),
            None => results.next().unwrap_or(Err(ScoreError::NotANumber)),
        }));
        drop(results);
        self.stack.clear();
    }

    /// Runs the graph on the stack, and reads what it says of each record there.
    fn run(&mut self) -> Result<(), ScoreError> {
        let failed = |error| ScoreError::Tensor(Arc::new(error));
        let (graph, scratch) = (&self.graph, &mut self.scratch);
        let records = self.stack.len();
        self.results.clear();
        if self.direct
            && let Some(floats) = self.stack.floats()
        {
            let width = graph
                .run_floats(floats, records, scratch, &mut self.values)
                .map_err(failed)?;
            let rows = self.values.chunks_exact(width.max(1));
            self.results.extend(rows.map(|row| {
                Ok(Score {
                    value: Some(predicted(row)?),
                    ..Score::default()
                })
            }));
            return Ok(());
        }
        let outputs = graph.run(self.stack.tensors(), scratch).map_err(failed)?;
        let rows = (0..records).map(|row| self.reading.score(&outputs, row, records));
        self.results.extend(rows);
        Ok(())
    }
}
