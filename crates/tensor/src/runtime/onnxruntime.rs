//! ONNX Runtime, by the crate `ort`.

mod library;

use crate::graph::{Engine, Parts};
use crate::onnx::portable::{Portable, portable};
use crate::runtime::numbers;
use crate::shield::shield;
use crate::tensor::{Data, Element, Port, Tensor};
use crate::{Error, Options, Role};
pub(crate) use library::library;
use ort::logging::LogLevel;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType,
};
use std::sync::{Mutex, PoisonError};

/// A graph in ONNX Runtime's hands.
pub(crate) struct Loaded {
    bytes: Vec<u8>,
    /// Sessions that nobody is using. One runs for one thread at a time: there are as many as
    /// threads have been running at once.
    idle: Mutex<Vec<Idle>>,
    /// For each output, which of the session's it is.
    outputs: Vec<usize>,
}

struct Idle {
    session: Session,
    /// Room for numbers of single precision.
    numbers: Vec<f32>,
}

/// Loads an ONNX file.
pub(crate) fn load(bytes: &[u8], options: &Options) -> Result<Parts, Error> {
    let file = portable(bytes, options)?;
    library()?;
    let session = guarded(|| open(&file.bytes)).map_err(|reason| Error::Load { reason })?;
    let (inputs, outputs) = ports(&session, &file)?;
    let first = outputs.first();
    let open = |port: Option<&Port>| port.and_then(|port| port.shape.first()) == Some(&None);
    let loaded = Loaded {
        bytes: file.bytes.into_owned(),
        idle: Mutex::new(vec![Idle {
            session,
            numbers: Vec::new(),
        }]),
        outputs: file.outputs.iter().map(|(_, position)| *position).collect(),
    };
    Ok(Parts {
        classes: file.classes,
        engine: Engine::OnnxRuntime(loaded),
        batched: open(first) && open(inputs.first()),
        shaped: first.is_some_and(|port| port.shape.len() > 1 || port.shape == [None]),
        inputs,
        outputs,
    })
}

/// A session of one thread: the thread that asks.
fn open(bytes: &[u8]) -> Result<Session, ort::Error> {
    let session = Session::builder()?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        // What fails is returned, too; a line for each record would be many.
        .with_log_level(LogLevel::Fatal)?
        .commit_from_memory(bytes)?;
    Ok(session)
}

/// The result of `work`, whose panics and errors are one.
fn guarded<T>(work: impl FnOnce() -> Result<T, ort::Error>) -> Result<T, String> {
    shield(work).and_then(|result| result.map_err(|cause| cause.to_string()))
}

fn ports(session: &Session, file: &Portable<'_>) -> Result<(Vec<Port>, Vec<Port>), Error> {
    let found: Vec<&str> = session.inputs().iter().map(Outlet::name).collect();
    if !found.iter().copied().eq(&file.inputs) {
        let reason = format!("it takes {found:?} instead of {:?}", file.inputs);
        return Err(Error::Load { reason });
    }
    let inputs = session
        .inputs()
        .iter()
        .map(|outlet| port(outlet.name(), outlet, Role::Input));
    let outputs = file.outputs.iter().map(|(name, position)| {
        let outlet = session.outputs().get(*position);
        let outlet = outlet.ok_or_else(|| Error::Load {
            reason: format!("it has no output `{name}`"),
        })?;
        port(name, outlet, Role::Output)
    });
    Ok((
        inputs.collect::<Result<_, _>>()?,
        outputs.collect::<Result<_, _>>()?,
    ))
}

fn port(name: &str, outlet: &Outlet, role: Role) -> Result<Port, Error> {
    let unsupported = |element: String| Error::UnsupportedElement {
        role,
        name: name.to_owned(),
        element,
    };
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(unsupported(outlet.dtype().to_string()));
    };
    let element = match ty {
        TensorElementType::Float32 => Element::Float,
        TensorElementType::Float64 => Element::Double,
        TensorElementType::Int32 => Element::Int32,
        TensorElementType::Int64 => Element::Int64,
        TensorElementType::Bool => Element::Bool,
        TensorElementType::String => Element::Text,
        TensorElementType::Int8
        | TensorElementType::Uint8
        | TensorElementType::Int16
        | TensorElementType::Uint16
            if role == Role::Output =>
        {
            Element::Int32
        }
        TensorElementType::Uint32 if role == Role::Output => Element::Int64,
        other => return Err(unsupported(other.to_string())),
    };
    let shape = shape.iter().map(|axis| usize::try_from(*axis).ok());
    Ok(Port {
        name: name.to_owned(),
        shape: shape.collect(),
        element,
    })
}

impl Loaded {
    /// Computes all outputs; the inputs have been checked.
    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.with_session(|idle| {
            let inputs = inputs.iter().map(to_value);
            let inputs = inputs.collect::<Result<Vec<_>, ort::Error>>()?;
            let results = idle.session.run(inputs.as_slice())?;
            let outputs = self
                .outputs
                .iter()
                .map(|position| from_value(&results[*position]));
            outputs.collect()
        })
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
        self.with_session(
            |Idle {
                 session,
                 numbers: room,
             }| {
                let position = self.outputs.first().copied().unwrap_or_default();
                if element == Element::Float {
                    room.clear();
                    room.extend(row.iter().map(|number| *number as f32));
                    let input = TensorRef::from_array_view((shape, room.as_slice()))?;
                    append(
                        &session.run([SessionInputValue::from(input)])?[position],
                        outputs,
                    )
                } else {
                    let tensor = Tensor {
                        shape: shape.to_vec(),
                        data: numbers::data(row, element),
                    };
                    append(&session.run([to_value(&tensor)?])?[position], outputs)
                }
            },
        )
    }

    /// Runs `work` with a session that nobody else is using. After a panic that is not used again.
    fn with_session<T>(
        &self,
        work: impl FnOnce(&mut Idle) -> Result<T, ort::Error>,
    ) -> Result<T, Error> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let result = guarded(|| {
            let mut idle = match idle {
                Some(idle) => idle,
                None => Idle {
                    session: open(&self.bytes)?,
                    numbers: Vec::new(),
                },
            };
            let result = work(&mut idle);
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(idle);
            result
        });
        result.map_err(|reason| Error::Run { reason })
    }
}

fn to_value(tensor: &Tensor) -> Result<SessionInputValue<'_>, ort::Error> {
    let shape = tensor.shape.as_slice();
    Ok(match &tensor.data {
        Data::Float(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::Double(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::Int32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::Int64(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::Bool(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        Data::Text(values) => {
            ort::value::Tensor::from_string_array((shape, values.as_slice()))?.into()
        }
    })
}

fn from_value(value: &DynValue) -> Result<Tensor, ort::Error> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(ort::Error::new("an output is no tensor"));
    };
    let shape = shape.iter().map(|axis| usize::try_from(*axis).unwrap_or(0));
    let shape = shape.collect();
    let data = match ty {
        TensorElementType::Float32 => Data::Float(elements::<f32, _>(value)?),
        TensorElementType::Float64 => Data::Double(elements::<f64, _>(value)?),
        TensorElementType::Int32 => Data::Int32(elements::<i32, _>(value)?),
        TensorElementType::Bool => Data::Bool(elements::<bool, _>(value)?),
        TensorElementType::String => Data::Text(value.try_extract_strings()?.1),
        TensorElementType::Int8 => Data::Int32(elements::<i8, _>(value)?),
        TensorElementType::Uint8 => Data::Int32(elements::<u8, _>(value)?),
        TensorElementType::Int16 => Data::Int32(elements::<i16, _>(value)?),
        TensorElementType::Uint16 => Data::Int32(elements::<u16, _>(value)?),
        TensorElementType::Uint32 => Data::Int64(elements::<u32, _>(value)?),
        // Any other type has been refused, or is refused here.
        _ => Data::Int64(elements::<i64, _>(value)?),
    };
    Ok(Tensor { shape, data })
}

fn elements<T, U>(value: &DynValue) -> Result<Vec<U>, ort::Error>
where
    T: PrimitiveTensorElementType + Copy,
    U: From<T>,
{
    let (_, values) = value.try_extract_tensor::<T>()?;
    Ok(values.iter().copied().map(U::from).collect())
}

/// Appends the numbers of an output.
fn append(value: &DynValue, outputs: &mut Vec<f64>) -> Result<(), ort::Error> {
    if let ValueType::Tensor {
        ty: TensorElementType::Float32,
        ..
    } = value.dtype()
    {
        let (_, values) = value.try_extract_tensor::<f32>()?;
        outputs.extend(values.iter().copied().map(f64::from));
    } else {
        numbers::append(&from_value(value)?.data, outputs);
    }
    Ok(())
}
