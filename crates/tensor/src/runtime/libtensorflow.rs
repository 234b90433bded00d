//! TensorFlow's library, by the crate `tensorflow`.

mod library;
mod saved_model;
mod values;

use crate::graph::{Engine, Parts};
use crate::graphdef::ports::{Slot, choose};
use crate::runtime::numbers;
use crate::shield::shield;
use crate::tensor::{Element, Port, Tensor};
use crate::{Error, Options, Role};
pub(crate) use library::library;
pub(crate) use saved_model::load_saved_model;
use tensorflow::{
    DataType, Graph, ImportGraphDefOptions, Output, Session, SessionOptions, SessionRunArgs, Status,
};
use values::Value;

/// `ConfigProto`: `intra_op_parallelism_threads` (2) is 1, and `inter_op_parallelism_threads` (5)
/// is -1, which runs everything on the thread that asks. Handing small graphs from thread to thread
/// takes four times as long as running them.
const CONFIGURATION: [u8; 13] = [
    0x10, 1, 0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
];

/// A graph in the library's hands.
pub(crate) struct Loaded {
    session: Session,
    inputs: Vec<Output>,
    outputs: Vec<(Output, DataType)>,
}

/// Loads a frozen GraphDef.
pub(crate) fn load_graphdef(bytes: &[u8], options: &Options) -> Result<Parts, Error> {
    let ports = choose(bytes, options)?;
    library()?;
    guarded(|| {
        let mut graph = Graph::new();
        graph.import_graph_def(bytes, &ImportGraphDefOptions::new())?;
        let session = Session::new(&configuration()?, &graph)?;
        let mut first = SessionRunArgs::new();
        for name in &ports.first {
            first.add_target(&graph.operation_by_name_required(name)?);
        }
        if !ports.first.is_empty() {
            session.run(&mut first)?;
        }
        Ok((graph, session))
    })
    .map_err(|reason| Error::Load { reason })
    .and_then(|(graph, session)| parts(&graph, session, &ports.inputs, &ports.outputs))
}

fn configuration() -> Result<SessionOptions, Status> {
    let mut options = SessionOptions::new();
    options.set_config(&CONFIGURATION)?;
    Ok(options)
}

/// The result of `work`, whose panics and errors are one.
fn guarded<T>(work: impl FnOnce() -> Result<T, Status>) -> Result<T, String> {
    shield(work).and_then(|result| result.map_err(|cause| cause.to_string()))
}

/// A graph with its inputs and outputs found in it.
fn parts(
    graph: &Graph,
    session: Session,
    inputs: &[Slot],
    outputs: &[Slot],
) -> Result<Parts, Error> {
    let found = |slot: &Slot, role| {
        guarded(|| find(graph, slot)).map_or_else(
            |reason| Err(Error::Load { reason }),
            |found| port(slot, role, &found).map(|port| (found, port)),
        )
    };
    let inputs = inputs.iter().map(|slot| found(slot, Role::Input));
    let inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
    if let Some((_, port)) = inputs.iter().find(|(found, _)| found.shape.is_none()) {
        let name = port.name.clone();
        return Err(Error::UnknownRank { name });
    }
    let outputs = outputs.iter().map(|slot| found(slot, Role::Output));
    let outputs = outputs.collect::<Result<Vec<_>, Error>>()?;
    let open =
        |port: Option<&(Place, Port)>| port.and_then(|(_, port)| port.shape.first()) == Some(&None);
    Ok(Parts {
        classes: Vec::new(),
        batched: open(inputs.first()) && open(outputs.first()),
        shaped: outputs
            .first()
            .is_some_and(|(place, _)| place.shape.is_some()),
        inputs: inputs.iter().map(|(_, port)| port.clone()).collect(),
        outputs: outputs.iter().map(|(_, port)| port.clone()).collect(),
        engine: Engine::LibTensorflow(Loaded {
            session,
            inputs: inputs.into_iter().map(|(place, _)| place.output).collect(),
            outputs: outputs
                .into_iter()
                .map(|(place, _)| (place.output, place.datum))
                .collect(),
        }),
    })
}

/// A node's output in the library's graph.
struct Place {
    output: Output,
    datum: DataType,
    /// Its shape, as far as it is known.
    shape: Option<Vec<Option<i64>>>,
}

fn find(graph: &Graph, slot: &Slot) -> Result<Place, Status> {
    let operation = graph.operation_by_name_required(&slot.node)?;
    if slot.position >= operation.num_outputs() {
        let reason = format!("`{}` has no output {}", slot.node, slot.position);
        return Err(Status::new_set_lossy(tensorflow::Code::OutOfRange, &reason));
    }
    let datum = operation.output_type(slot.position);
    let output = operation.output(slot.position);
    let shape = graph.tensor_shape(output.clone())?.into();
    Ok(Place {
        output,
        datum,
        shape,
    })
}

/// An output whose rank is not known looks like a vector; rows of it are told apart when it is
/// computed.
fn port(slot: &Slot, role: Role, place: &Place) -> Result<Port, Error> {
    let element = match place.datum {
        DataType::Float => Element::Float,
        DataType::Double => Element::Double,
        DataType::Int32 => Element::Int32,
        DataType::Int64 => Element::Int64,
        DataType::Bool => Element::Bool,
        DataType::String => Element::Text,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16
            if role == Role::Output =>
        {
            Element::Int32
        }
        DataType::UInt32 if role == Role::Output => Element::Int64,
        other => {
            return Err(Error::UnsupportedElement {
                role,
                name: slot.name.clone(),
                element: other.to_string().to_lowercase(),
            });
        }
    };
    let shape = match &place.shape {
        Some(axes) => axes
            .iter()
            .map(|axis| axis.and_then(|length| usize::try_from(length).ok()))
            .collect(),
        None => vec![None],
    };
    Ok(Port {
        name: slot.name.clone(),
        shape,
        element,
    })
}

impl Loaded {
    /// Computes all outputs; the inputs have been checked.
    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        guarded(|| {
            let values = inputs.iter().map(Value::of);
            let values = values.collect::<Result<Vec<_>, Status>>()?;
            let mut run = SessionRunArgs::new();
            for (value, input) in values.iter().zip(&self.inputs) {
                value.feed(input, &mut run);
            }
            let outputs = self.outputs.iter();
            let tokens: Vec<_> = outputs
                .map(|(output, datum)| (run.request_fetch(&output.operation, output.index), *datum))
                .collect();
            self.session.run(&mut run)?;
            let results = tokens.into_iter();
            results
                .map(|(token, datum)| values::fetch(&mut run, token, datum))
                .collect()
        })
        .map_err(|reason| Error::Run { reason })
    }

    /// Feeds numbers as the one input, of this shape and type, and appends those of the first
    /// output.
    pub(crate) fn run_numbers(
        &self,
        row: &[f64],
        shape: &[usize],
        element: Element,
        outputs: &mut Vec<f64>,
    ) -> Result<(), Error> {
        guarded(|| {
            let value = match element {
                Element::Float => Value::floats(shape, row),
                _ => Value::of(&Tensor {
                    shape: shape.to_vec(),
                    data: numbers::data(row, element),
                })?,
            };
            let (Some(input), Some((output, datum))) = (self.inputs.first(), self.outputs.first())
            else {
                return Ok(());
            };
            let mut run = SessionRunArgs::new();
            value.feed(input, &mut run);
            let token = run.request_fetch(&output.operation, output.index);
            self.session.run(&mut run)?;
            if *datum == DataType::Float {
                values::append_floats(&mut run, token, outputs)
            } else {
                numbers::append(&values::fetch(&mut run, token, *datum)?.data, outputs);
                Ok(())
            }
        })
        .map_err(|reason| Error::Run { reason })
    }
}
