use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tensor::{Data, Element, Graph, Port, Scratch, Tensor};

use crate::document::Document;
use crate::examples::Features;
use crate::failure::{Code, Failure};

/// Runs up to this long are done where the request was read: handing them to another thread would
/// take about as long.
const QUICK: Duration = Duration::from_micros(500);
/// Labels in an answer, at most: each is a text of its own.
const MOST_LABELS: usize = 1 << 22;
/// Scratches that are kept for later runs.
const MOST_SCRATCHES: usize = 64;

/// What is fed for an input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Feed {
    pub(crate) tensor: Tensor,
    /// Of each row, whether its value is missing; empty if none is.
    pub(crate) missing: Vec<bool>,
}

impl From<Tensor> for Feed {
    fn from(tensor: Tensor) -> Self {
        Self {
            tensor,
            missing: Vec::new(),
        }
    }
}

/// A model that turns tensors into tensors, whatever its format.
pub(crate) struct Engine {
    kind: Kind,
    /// What is computed, and then what is not: the labels.
    outputs: Vec<Port>,
    /// For each output that is the same for each row, what it is.
    labels: Vec<Vec<String>>,
    /// What a feature is that an example does not have.
    defaults: Features,
    /// What is fed for an input that a request leaves out.
    given: BTreeMap<String, Tensor>,
    /// Nanoseconds of the last run, for each of its rows.
    pace: AtomicU64,
}

enum Kind {
    Graph {
        graph: Box<Graph>,
        scratches: Mutex<Vec<Scratch>>,
    },
    Document(Box<Document>),
}

impl Engine {
    pub(crate) fn graph(graph: Graph) -> Self {
        let (graph, scratches) = (Box::new(graph), Mutex::default());
        Self {
            outputs: graph.outputs().to_vec(),
            kind: Kind::Graph { graph, scratches },
            labels: Vec::new(),
            defaults: Features::new(),
            given: BTreeMap::new(),
            pace: AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn document(document: Document) -> Self {
        Self {
            outputs: document.outputs().to_vec(),
            kind: Kind::Document(Box::new(document)),
            labels: Vec::new(),
            defaults: Features::new(),
            given: BTreeMap::new(),
            pace: AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn inputs(&self) -> &[Port] {
        match &self.kind {
            Kind::Graph { graph, .. } => graph.inputs(),
            Kind::Document(document) => document.inputs(),
        }
    }

    pub(crate) fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Adds an output that has these labels for each row.
    pub(crate) fn add_labels(&mut self, name: String, labels: Vec<String>) {
        self.outputs.push(Port {
            name,
            shape: vec![None, Some(labels.len())],
            element: Element::Text,
        });
        self.labels.push(labels);
    }

    /// What a feature is that an example does not have.
    pub(crate) fn defaults(&self) -> &Features {
        &self.defaults
    }

    pub(crate) fn set_defaults(&mut self, defaults: Features) {
        self.defaults = defaults;
    }

    /// Has this fed for an input that a request leaves out.
    pub(crate) fn give(&mut self, input: String, tensor: Tensor) {
        self.given.insert(input, tensor);
    }

    /// Whether values, and whole inputs, may be missing.
    pub(crate) fn takes_missing(&self) -> bool {
        matches!(self.kind, Kind::Document(_))
    }

    /// Whether a request may leave this input out.
    pub(crate) fn may_lack(&self, input: &str) -> bool {
        self.takes_missing() || self.given.contains_key(input)
    }

    /// The labels that the columns of an output belong to, where the model knows them.
    pub(crate) fn labels(&self, output: usize) -> Option<Vec<String>> {
        match &self.kind {
            Kind::Graph { graph, .. } => graph.classes(output).map(<[_]>::to_vec),
            Kind::Document(document) => {
                // The output with a column for each of them.
                let port = document.outputs().get(output)?;
                document.labels().filter(|_| port.shape.len() == 2)
            }
        }
    }

    /// Whether a run of so many rows is done sooner than it is handed to another thread, going by
    /// the last run.
    pub(crate) fn is_quick(&self, rows: usize) -> bool {
        let pace = self.pace.load(Ordering::Relaxed);
        u128::from(pace) * rows.max(1) as u128 <= QUICK.as_nanos()
    }

    /// Computes all outputs, in the order of [`Engine::outputs`], from what is fed for each input,
    /// in the order of [`Engine::inputs`].
    pub(crate) fn run(&self, feeds: Vec<Option<Feed>>) -> Result<Vec<Tensor>, Failure> {
        let rows = rows(&feeds);
        let started = Instant::now();
        let mut outputs = match &self.kind {
            Kind::Document(document) => document.run(&feeds),
            Kind::Graph { graph, scratches } => run(graph, scratches, feeds, &self.given),
        }?;
        let elapsed = started.elapsed().as_nanos() / rows.max(1) as u128;
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.pace.store(elapsed, Ordering::Relaxed);
        // What has a row for each that was fed says how many these are.
        let computed = outputs.iter().zip(&self.outputs);
        let mut batches = computed.filter(|(_, port)| port.shape.first() == Some(&None));
        let rows = batches.next().and_then(|(output, _)| output.shape.first());
        let rows = rows.copied().unwrap_or(1);
        let texts = self.labels.iter().map(Vec::len).sum::<usize>();
        if rows.saturating_mul(texts) > MOST_LABELS {
            return Err(Failure::invalid(format!(
                "{rows} rows with {texts} labels each are more than {MOST_LABELS} labels"
            )));
        }
        let labels = self.labels.iter().map(|labels| Tensor {
            shape: vec![rows, labels.len()],
            data: Data::Text((0..rows).flat_map(|_| labels.iter().cloned()).collect()),
        });
        outputs.extend(labels);
        Ok(outputs)
    }
}

/// The rows of a request: the longest first axis.
pub(crate) fn rows(feeds: &[Option<Feed>]) -> usize {
    let lengths = feeds
        .iter()
        .flatten()
        .map(|feed| feed.tensor.shape.first().copied().unwrap_or(1));
    lengths.max().unwrap_or(1)
}

fn run(
    graph: &Graph,
    scratches: &Mutex<Vec<Scratch>>,
    feeds: Vec<Option<Feed>>,
    given: &BTreeMap<String, Tensor>,
) -> Result<Vec<Tensor>, Failure> {
    let mut squeezed = false;
    let inputs = feeds.into_iter().zip(graph.inputs()).map(|(feed, port)| {
        let tensor = feed.map(|feed| feed.tensor);
        let tensor = tensor.or_else(|| given.get(&port.name).cloned());
        let mut tensor = tensor.ok_or_else(|| {
            Failure::invalid(format!(
                "Missing named input: {} in 'inputs' object.",
                port.name
            ))
        })?;
        // TensorFlow does not hold what is fed against the shape that the signature says, and so
        // its documentation feeds rows of one number as numbers.
        if let ([rows], [_, Some(1)]) = (&tensor.shape[..], &port.shape[..]) {
            tensor.shape = vec![*rows, 1];
            squeezed = true;
        }
        Ok(tensor)
    });
    let inputs = inputs.collect::<Result<Vec<_>, Failure>>()?;
    let kept = || scratches.lock().unwrap_or_else(PoisonError::into_inner);
    let mut scratch = kept().pop().unwrap_or_else(|| graph.scratch());
    let result = graph.run(&inputs, &mut scratch);
    let mut scratches = kept();
    if scratches.len() < MOST_SCRATCHES {
        scratches.push(scratch);
    }
    drop(scratches);
    let mut outputs = result.map_err(|error| failure(&error))?;
    if squeezed {
        for output in &mut outputs {
            if let [_, 1] = output.shape[..] {
                output.shape.truncate(1);
            }
        }
    }
    Ok(outputs)
}

fn failure(error: &tensor::Error) -> Failure {
    let code = match error {
        tensor::Error::WrongCount { .. }
        | tensor::Error::WrongInput { .. }
        | tensor::Error::WrongLength { .. }
        | tensor::Error::NotRepresentable { .. }
        // What does not fit the graph only shows while it runs: most often the shapes.
        | tensor::Error::Run { .. } => Code::InvalidArgument,
        _ => Code::Internal,
    };
    Failure::new(code, error.to_string())
}
