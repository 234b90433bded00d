mod floats;

use crate::directory::read_file;
use crate::native::{Native, Scratch};
use crate::plan::Plan;
#[cfg(feature = "libtensorflow")]
use crate::runtime::libtensorflow;
#[cfg(feature = "onnxruntime")]
use crate::runtime::onnxruntime;
use crate::tensor::{Element, Port, Tensor};
use crate::{Directory, Error, Options, Runtime, graphdef, onnx, savedmodel};
use std::fmt;
use std::path::Path;

/// A graph that turns tensors into tensors. It is immutable and shared between threads; what
/// changes while it runs is in the [`Scratch`] of each.
pub struct Graph {
    engine: Engine,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    rows: Result<Rows, String>,
    /// The names of classes by output.
    classes: Vec<Option<Vec<String>>>,
}

/// A graph in the hands of the runtime that runs it.
pub(crate) enum Engine {
    Native(Native),
    #[cfg(feature = "libtensorflow")]
    LibTensorflow(libtensorflow::Loaded),
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime(onnxruntime::Loaded),
}

/// What a loader finds in a file.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// Whether the first axis of the first output is the batch.
    pub(crate) batched: bool,
    /// Whether the shape of the first output is known.
    pub(crate) shaped: bool,
    /// The names of classes by output.
    pub(crate) classes: Vec<Option<Vec<String>>>,
}

/// How a graph of one vector input is fed rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// Values of a row.
    pub(crate) width: usize,
    /// Values of a row's result, where it is known before running.
    output: Option<usize>,
    /// Whether many rows are one run, or one run each.
    pub(crate) batched: bool,
    /// Whether the input has an axis for the rows.
    pub(crate) axis: bool,
}

impl Graph {
    /// Loads a frozen TensorFlow `GraphDef`, as binary protobuf.
    ///
    /// Inputs are the graph's placeholders; the output is the one result that no node consumes.
    /// Nodes that the outputs do not depend on (savers, assertions, initializers) are not looked
    /// at.
    ///
    /// # Errors
    /// - [`Error::Empty`], [`Error::Malformed`]: the bytes are not a graph;
    /// - [`Error::Unsupported`]: it uses operators that cannot be evaluated faithfully;
    /// - [`Error::UnknownPort`], [`Error::Ambiguous`], [`Error::Unbound`]: `options` do not fit it;
    /// - [`Error::TooLarge`], [`Error::UnknownRank`], [`Error::UnsupportedElement`],
    ///   [`Error::Load`]: it cannot be run.
    pub fn from_graphdef(bytes: &[u8], options: &Options) -> Result<Graph, Error> {
        let native = || graphdef::read(bytes, options)?.plan();
        let library = |runtime| match runtime {
            #[cfg(feature = "libtensorflow")]
            Runtime::LibTensorflow => Some(libtensorflow::load_graphdef(bytes, options)),
            _ => None,
        };
        serve(
            "TensorFlow GraphDef",
            Runtime::LibTensorflow,
            options,
            native,
            library,
        )
    }

    /// Loads an ONNX `ModelProto`, as binary protobuf, with all its data in it.
    ///
    /// Inputs are the graph's inputs that have no initializer; outputs are those it declares.
    /// A `ZipMap` (scikit-learn's dictionaries of probabilities) is left out: its output is the
    /// tensor of probabilities.
    ///
    /// # Errors
    /// As of [`Graph::from_graphdef`].
    pub fn from_onnx(bytes: &[u8], options: &Options) -> Result<Graph, Error> {
        let native = || onnx::read(bytes, options)?.plan();
        let library = |runtime| match runtime {
            #[cfg(feature = "onnxruntime")]
            Runtime::OnnxRuntime => Some(onnxruntime::load(bytes, options)),
            _ => None,
        };
        serve(
            "ONNX ModelProto",
            Runtime::OnnxRuntime,
            options,
            native,
            library,
        )
    }

    /// Loads a TensorFlow SavedModel: one signature of one of its graphs, with the variables as
    /// constants.
    ///
    /// Inputs and outputs are those of the signature, by its names for them, in alphabetical order.
    /// All inputs have to be fed, also those that the outputs do not depend on; `options` can leave
    /// out these, and those that have a default.
    ///
    /// The directory may be the one that holds `saved_model.pb`, or one around it, as long as there
    /// is no other in it.
    ///
    /// # Errors
    /// - [`Error::UnknownTags`], [`Error::UnknownSignature`]: `options` do not say, or not
    ///   correctly, what is meant;
    /// - otherwise as of [`Graph::from_graphdef`].
    pub fn from_saved_model(files: &Directory, options: &Options) -> Result<Graph, Error> {
        let native = || savedmodel::read(files, options)?.plan();
        let library = |runtime| match runtime {
            #[cfg(feature = "libtensorflow")]
            Runtime::LibTensorflow => Some(libtensorflow::load_saved_model(files, options)),
            _ => None,
        };
        serve(
            "TensorFlow SavedModel",
            Runtime::LibTensorflow,
            options,
            native,
            library,
        )
    }

    /// Loads a model of the file system: a directory is a SavedModel, a file whose name ends in
    /// `.onnx` is an ONNX `ModelProto`, any other file a `GraphDef`.
    ///
    /// # Errors
    /// [`Error::Read`] if it cannot be read; [`Error::TooLarge`] if it has more than `limit`
    /// bytes; otherwise those of the constructor of the format.
    pub fn open(path: &Path, limit: u64, options: &Options) -> Result<Graph, Error> {
        if path.is_dir() {
            return Graph::from_saved_model(&Directory::open(path, limit)?, options);
        }
        let mut room = limit;
        let bytes = read_file(path, limit, &mut room)?;
        if path
            .extension()
            .is_some_and(|extension| extension == "onnx")
        {
            Graph::from_onnx(&bytes, options)
        } else {
            Graph::from_graphdef(&bytes, options)
        }
    }

    fn new(parts: Parts) -> Graph {
        let rows = Rows::of(&parts);
        let mut classes = parts.classes;
        for (classes, port) in classes.iter_mut().zip(&parts.outputs) {
            // Names that are more or fewer than the columns name something else.
            *classes = classes.take().filter(|names| match port.shape.last() {
                Some(Some(columns)) => *columns == names.len(),
                Some(None) => true,
                None => false,
            });
        }
        Graph {
            rows,
            engine: parts.engine,
            inputs: parts.inputs,
            outputs: parts.outputs,
            classes,
        }
    }

    /// What runs the graph.
    #[must_use]
    pub fn runtime(&self) -> Runtime {
        match &self.engine {
            Engine::Native(_) => Runtime::Native,
            #[cfg(feature = "libtensorflow")]
            Engine::LibTensorflow(_) => Runtime::LibTensorflow,
            #[cfg(feature = "onnxruntime")]
            Engine::OnnxRuntime(_) => Runtime::OnnxRuntime,
        }
    }

    /// What has to be fed, in the order [`Graph::run`] takes it.
    #[must_use]
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What is computed, in the order [`Graph::run`] returns it.
    #[must_use]
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The names of the classes that the columns of an output belong to, by the position of the
    /// output in [`Graph::outputs`]: of an ONNX classifier's probabilities or scores, in the order
    /// of the columns. `None` where the file names no classes.
    #[must_use]
    pub fn classes(&self, output: usize) -> Option<&[String]> {
        self.classes.get(output)?.as_deref()
    }

    /// The length of a row that [`Graph::run_rows`] takes, or `None` if it takes none: the graph
    /// has one input of numbers, of shape `[?, width]`, `[1, width]` or `[width]`, and its first
    /// output are numbers, row by row.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        self.rows.as_ref().ok().map(|rows| rows.width)
    }

    /// The values that [`Graph::run_rows`] returns for a row, where that is known before running.
    #[must_use]
    pub fn output_width(&self) -> Option<usize> {
        self.rows.as_ref().ok().and_then(|rows| rows.output)
    }

    /// Memory to run with; a thread needs one only, for as many graphs as it runs.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    /// Computes all outputs, in the order of [`Graph::outputs`], from a tensor for each input, in
    /// the order of [`Graph::inputs`].
    ///
    /// An axis of unknown length takes any length; the first axes of all inputs are the batch, and
    /// have to agree.
    ///
    /// # Errors
    /// - [`Error::WrongCount`], [`Error::WrongInput`], [`Error::WrongLength`]: the tensors are not
    ///   what the graph takes;
    /// - [`Error::Run`]: it fails on them.
    pub fn run(&self, inputs: &[Tensor], scratch: &mut Scratch) -> Result<Vec<Tensor>, Error> {
        if inputs.len() != self.inputs.len() {
            return Err(Error::WrongCount {
                expected: self.inputs.len(),
                found: inputs.len(),
            });
        }
        for (tensor, port) in inputs.iter().zip(&self.inputs) {
            tensor.check()?;
            if !port.takes(tensor) {
                return Err(Error::WrongInput {
                    name: port.name.clone(),
                    expected: port.describe(),
                    found: format!("{} {:?}", tensor.data.element(), tensor.shape),
                });
            }
        }
        match &self.engine {
            Engine::Native(native) => native.run(inputs, scratch),
            #[cfg(feature = "libtensorflow")]
            Engine::LibTensorflow(loaded) => loaded.run(inputs),
            #[cfg(feature = "onnxruntime")]
            Engine::OnnxRuntime(loaded) => loaded.run(inputs),
        }
    }

    /// Scores `count` rows of numbers, each [`Graph::width`] long, one after the other in `rows`,
    /// and puts the first output's numbers into `outputs`, row by row, in place of what was there.
    /// Returns how many numbers a row has.
    ///
    /// Numbers are converted to the input's element type: rounded to the nearest 32-bit floating
    /// point number, but refused where an integer or a truth value (0 or 1) is taken and they are
    /// none. An output of 64-bit integers beyond 2^53 is rounded.
    ///
    /// # Errors
    /// - [`Error::NotRows`]: the graph does not score rows;
    /// - [`Error::WrongRows`], [`Error::NotRepresentable`]: `rows` are not what it takes;
    /// - [`Error::Run`]: it fails on them. `outputs` is then empty.
    pub fn run_rows(
        &self,
        rows: &[f64],
        count: usize,
        scratch: &mut Scratch,
        outputs: &mut Vec<f64>,
    ) -> Result<usize, Error> {
        outputs.clear();
        let form = self.rows.as_ref().map_err(|reason| Error::NotRows {
            reason: reason.clone(),
        })?;
        if count.checked_mul(form.width) != Some(rows.len()) {
            return Err(Error::WrongRows {
                count,
                width: form.width,
                found: rows.len(),
            });
        }
        if count == 0 {
            return Ok(form.output.unwrap_or(0));
        }
        let Some(input) = self.inputs.first() else {
            return Err(Error::NotRows {
                reason: "it has no input".to_owned(),
            });
        };
        check_representable(rows, input)?;
        let result = match &self.engine {
            Engine::Native(native) => native.run_rows(rows, count, form, scratch, outputs),
            #[cfg(feature = "libtensorflow")]
            Engine::LibTensorflow(loaded) => form.each(rows, count, outputs, |rows, shape, all| {
                loaded.run_numbers(rows, shape, input.element, all)
            }),
            #[cfg(feature = "onnxruntime")]
            Engine::OnnxRuntime(loaded) => form.each(rows, count, outputs, |rows, shape, all| {
                loaded.run_numbers(rows, shape, input.element, all)
            }),
        };
        if result.is_err() {
            outputs.clear();
        }
        result
    }
}

#[cfg(test)]
impl Graph {
    /// How many layers it is, if it is nothing else.
    fn layers(&self) -> Option<usize> {
        match &self.engine {
            Engine::Native(native) => native.layers.as_ref().map(|layers| layers.len()),
            #[cfg(any(feature = "libtensorflow", feature = "onnxruntime"))]
            _ => None,
        }
    }
}

/// The ports only: what is between them is long.
impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Rows {
    fn of(plan: &Parts) -> Result<Rows, String> {
        let [input] = plan.inputs.as_slice() else {
            return Err(format!("it has {} inputs", plan.inputs.len()));
        };
        let Some(output) = plan.outputs.first() else {
            return Err("it has no output".to_owned());
        };
        for (port, role) in [(input, "input"), (output, "first output")] {
            if port.element == Element::Text {
                return Err(format!("its {role} `{}` is text", port.name));
            }
        }
        let (width, batched, axis) = match input.shape.as_slice() {
            [None, Some(width)] => (*width, true, true),
            [Some(1), Some(width)] => (*width, false, true),
            [Some(width)] => (*width, false, false),
            _ => {
                return Err(format!(
                    "its input `{}` is {}",
                    input.name,
                    input.describe()
                ));
            }
        };
        if width == 0 {
            return Err(format!("its input `{}` is empty", input.name));
        }
        let mut axes = output.shape.as_slice();
        if batched {
            if !plan.batched {
                return Err(format!(
                    "its output `{}` has no value for each row",
                    output.name
                ));
            }
            axes = axes.get(1..).unwrap_or_default();
        }
        let output = axes
            .iter()
            .try_fold(1usize, |volume, axis| volume.checked_mul((*axis)?))
            .filter(|_| plan.shaped);
        Ok(Rows {
            width,
            output,
            batched,
            axis,
        })
    }

    /// Hands all rows at once to `run`, or one after the other, each with its shape, and says how
    /// many numbers a row's result has.
    #[cfg(any(feature = "libtensorflow", feature = "onnxruntime"))]
    fn each(
        &self,
        rows: &[f64],
        count: usize,
        outputs: &mut Vec<f64>,
        mut run: impl FnMut(&[f64], &[usize], &mut Vec<f64>) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let before = outputs.len();
        if self.batched {
            run(rows, &[count, self.width], outputs)?;
        } else {
            let shape = [1, self.width];
            let shape = if self.axis { &shape[..] } else { &shape[1..] };
            for row in rows.chunks_exact(self.width) {
                run(row, shape, outputs)?;
            }
        }
        let found = outputs.len() - before;
        if found.is_multiple_of(count) {
            return Ok(found / count);
        }
        Err(Error::Run {
            reason: format!("it returned {found} numbers for {count} rows"),
        })
    }
}

impl From<Plan> for Parts {
    fn from(plan: Plan) -> Parts {
        Parts {
            engine: Engine::Native(Native {
                runnable: plan.runnable,
                types: plan.types,
                layers: plan.layers,
            }),
            inputs: plan.inputs,
            outputs: plan.outputs,
            batched: plan.batched.first().is_some_and(|batched| *batched),
            shaped: true,
            classes: plan.classes,
        }
    }
}

/// Loads a file with the runtime that was asked for; else natively, and if it is not supported so,
/// with the library of its format.
///
/// `library` loads it with the library of a runtime, if that is compiled in.
fn serve(
    format: &'static str,
    runtime: Runtime,
    options: &Options,
    native: impl FnOnce() -> Result<Plan, Error>,
    library: impl FnOnce(Runtime) -> Option<Result<Parts, Error>>,
) -> Result<Graph, Error> {
    let native = || native().map(Parts::from);
    let parts = match options.runtime {
        Some(Runtime::Native) => native(),
        Some(asked) if asked != runtime => Err(Error::WrongRuntime {
            runtime: asked,
            format,
        }),
        Some(asked) => match library(asked) {
            Some(parts) => parts,
            None => Err(asked.find().err().unwrap_or(Error::WrongRuntime {
                runtime: asked,
                format,
            })),
        },
        None => native().or_else(|native| {
            if !is_beyond(&native, runtime) {
                return Err(native);
            }
            match library(runtime) {
                None => Err(native),
                Some(Ok(parts)) => Ok(parts),
                Some(Err(error)) => Err(Error::Unserved {
                    native: Box::new(native),
                    runtime,
                    reason: error.to_string(),
                }),
            }
        }),
    };
    parts.map(Graph::new)
}

/// Whether a graph is refused for what it needs, not for being wrong: a library may do better.
///
/// TensorFlow's ends the process over some graphs that contradict themselves, so that it is only
/// given what is refused for its operators or types. ONNX Runtime returns an error.
fn is_beyond(native: &Error, runtime: Runtime) -> bool {
    match native {
        Error::Unsupported { .. } | Error::UnsupportedElement { .. } => true,
        Error::UnknownRank { .. } | Error::Load { .. } => runtime == Runtime::OnnxRuntime,
        _ => false,
    }
}

fn check_representable(values: &[f64], port: &Port) -> Result<(), Error> {
    let fits: fn(f64) -> bool = match port.element {
        Element::Float | Element::Double | Element::Text => return Ok(()),
        Element::Int32 => {
            |v| v.trunc() == v && v >= f64::from(i32::MIN) && v <= f64::from(i32::MAX)
        }
        // 2^63 itself is not an i64, and the largest f64 below it is.
        Element::Int64 => |v| v.trunc() == v && v >= -(2f64.powi(63)) && v < 2f64.powi(63),
        Element::Bool => |v| v == 0.0 || v == 1.0,
    };
    match values.iter().find(|value| !fits(**value)) {
        None => Ok(()),
        Some(value) => Err(Error::NotRepresentable {
            name: port.name.clone(),
            element: port.element,
            value: *value,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, Scratch};
    use crate::Options;
    use std::path::Path;

    #[test]
    fn graphs_are_shared_and_scratches_sent_between_threads() {
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>() {}
        shared::<Graph>();
        sent::<Scratch>();
    }

    /// What makes small networks fast: it would be lost without a trace if the runtime's graphs
    /// came to look different.
    #[test]
    fn layers_are_all_that_runs() {
        let options = Options::default();
        for (name, count) in [
            ("../../data/models/winequality.pb", 3),
            ("../../data/models/winequality.onnx", 3),
            ("tests/exports/images/flattened.pb", 3),
            ("tests/exports/images/each_line.onnx", 2),
            ("tests/exports/images/columns_first.onnx", 1),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let graph = Graph::open(&path, u64::MAX, &options).unwrap();
            assert_eq!(graph.layers(), Some(count), "{name}");
        }
    }
}
