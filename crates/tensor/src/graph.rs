use crate::directory::read_file;
use crate::plan::{Plan, chain};
use crate::shield::shield;
use crate::tensor::{Element, Port, Tensor};
use crate::values::{from_value, to_value};
use crate::{Directory, Error, Options, graphdef, onnx};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, IntoTValue, TValue, TVec, Tensor as Value, TractResult, TypedSimplePlan,
    TypedSimpleState,
};

/// A graph that turns tensors into tensors. It is immutable and shared between threads; what
/// changes while it runs is in the [`Scratch`] of each.
pub struct Graph {
    runnable: Arc<TypedSimplePlan>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The runtime's types of the inputs.
    types: Vec<DatumType>,
    rows: Result<Rows, String>,
    /// The names of classes by output.
    classes: Vec<Option<Vec<String>>>,
}

/// How a graph of one vector input is fed rows.
#[derive(Debug, Clone, Copy)]
struct Rows {
    /// Values of a row.
    width: usize,
    /// Values of a row's result, where it is known before running.
    output: Option<usize>,
    /// Whether many rows are one run, or one run each.
    batched: bool,
    /// Whether the input has an axis for the rows.
    axis: bool,
}

/// Memory that running reuses. It belongs to one thread at a time, and fits any graph: it adapts
/// itself to the one it is used with.
#[derive(Debug, Default)]
pub struct Scratch {
    state: Option<TypedSimpleState>,
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
        graphdef::read(bytes, options)?.plan().map(Graph::new)
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
        onnx::read(bytes, options)?.plan().map(Graph::new)
    }

    /// Loads a TensorFlow SavedModel: the graph of one of its signatures, with its variables as
    /// constants.
    ///
    /// Names are those of the signature.
    ///
    /// # Errors
    /// As of [`Graph::from_graphdef`].
    pub fn from_saved_model(_files: &Directory, _options: &Options) -> Result<Graph, Error> {
        Err(Error::Unsupported {
            operators: vec!["SavedModel".to_owned()],
        })
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

    fn new(plan: Plan) -> Graph {
        let rows = Rows::of(&plan);
        let Plan {
            runnable,
            inputs,
            outputs,
            types,
            classes,
            ..
        } = plan;
        Graph {
            runnable,
            inputs,
            outputs,
            types,
            rows,
            classes,
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
        scratch.guarded(&self.runnable, |state| {
            let values = inputs
                .iter()
                .zip(&self.types)
                .map(|(tensor, datum)| Ok(to_value(tensor, *datum)?.into_tvalue()))
                .collect::<TractResult<TVec<TValue>>>()?;
            state.run(values)?.iter().map(from_value).collect()
        })
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
        let (Some(input), Some(datum)) = (self.inputs.first(), self.types.first()) else {
            return Err(Error::NotRows {
                reason: "it has no input".to_owned(),
            });
        };
        check_representable(rows, input)?;
        let result = scratch.guarded(&self.runnable, |state| {
            if form.batched {
                let shape = [count, form.width];
                return run_once(state, rows, &shape, *datum, count, outputs);
            }
            let mut values = 0;
            for row in rows.chunks_exact(form.width) {
                let shape = if form.axis {
                    &[1, form.width][..]
                } else {
                    &[form.width][..]
                };
                values = run_once(state, row, shape, *datum, 1, outputs)?;
            }
            Ok(values)
        });
        if result.is_err() {
            outputs.clear();
        }
        result
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
    fn of(plan: &Plan) -> Result<Rows, String> {
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
            if !plan.batched.first().is_some_and(|batched| *batched) {
                return Err(format!(
                    "its output `{}` has no value for each row",
                    output.name
                ));
            }
            axes = axes.get(1..).unwrap_or_default();
        }
        let output = axes
            .iter()
            .try_fold(1usize, |volume, axis| volume.checked_mul((*axis)?));
        Ok(Rows {
            width,
            output,
            batched,
            axis,
        })
    }
}

impl Scratch {
    /// Runs `work` on the state of a plan. After a failure the state is not used again.
    fn guarded<T>(
        &mut self,
        plan: &Arc<TypedSimplePlan>,
        work: impl FnOnce(&mut TypedSimpleState) -> TractResult<T>,
    ) -> Result<T, Error> {
        let fitting = self
            .state
            .take()
            .filter(|state| Arc::ptr_eq(state.plan(), plan));
        let outcome = shield(|| {
            let mut state = match fitting {
                Some(state) => state,
                None => plan.spawn()?,
            };
            let result = work(&mut state)?;
            Ok((state, result))
        });
        match outcome {
            Ok(Ok((state, result))) => {
                self.state = Some(state);
                Ok(result)
            }
            Ok(Err(cause)) => Err(Error::Run {
                reason: chain(&cause),
            }),
            Err(reason) => Err(Error::Run { reason }),
        }
    }
}

/// Feeds `rows` as one tensor and appends the first output to `outputs`; returns its values per
/// row.
fn run_once(
    state: &mut TypedSimpleState,
    rows: &[f64],
    shape: &[usize],
    datum: DatumType,
    count: usize,
    outputs: &mut Vec<f64>,
) -> TractResult<usize> {
    let results = state.run(
        [numbers(rows, shape, datum)?.into_tvalue()]
            .into_iter()
            .collect(),
    )?;
    let Some(result) = results.first() else {
        return Ok(0);
    };
    let before = outputs.len();
    match result.datum_type() {
        DatumType::F32 => {
            outputs.extend(
                result
                    .try_as_plain_ram()?
                    .as_slice::<f32>()?
                    .iter()
                    .map(|v| f64::from(*v)),
            );
        }
        _ => {
            let cast = result.cast_to::<f64>()?;
            outputs.extend_from_slice(cast.try_as_plain_ram()?.as_slice::<f64>()?);
        }
    }
    Ok((outputs.len() - before) / count.max(1))
}

/// Numbers as a tensor of the given type; that they can be represented has been checked.
fn numbers(values: &[f64], shape: &[usize], datum: DatumType) -> TractResult<Value> {
    if datum != DatumType::F32 {
        return Ok(Value::from_shape(shape, values)?
            .cast_to_dt(datum)?
            .into_owned());
    }
    let mut tensor = Value::zero_dt(datum, shape)?;
    let mut plain = tensor.try_as_plain_ram_mut()?;
    for (to, value) in plain.as_slice_mut::<f32>()?.iter_mut().zip(values) {
        *to = *value as f32;
    }
    Ok(tensor)
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
    fn layers_of_the_wine_networks_are_one_operator_each() {
        let path = |name| {
            let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/models/");
            std::fs::read(format!("{models}{name}")).unwrap()
        };
        let options = Options::default();
        for graph in [
            Graph::from_graphdef(&path("winequality.pb"), &options).unwrap(),
            Graph::from_onnx(&path("winequality.onnx"), &options).unwrap(),
        ] {
            let nodes = graph.runnable.model().nodes();
            let count = |name: &str| nodes.iter().filter(|node| node.op().name() == name).count();
            assert_eq!((count("Dense"), count("OptMatMul")), (3, 0));
            assert_eq!((count("Relu"), count("Sigmoid")), (0, 0));
        }
    }
}
