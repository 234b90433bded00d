//! Operators of this crate's own in the runtime.

use crate::elements::slice;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DatumTypeExt, EvalContext, EvalOp, Expansion, InferenceOp, InferenceResult,
    IntoTValue, Op, OutletId, Solver, SpecialOps, StaticName, TDim, TValue, TVec, Tensor as Value,
    TensorProxy, TractResult, TypedFact, TypedModel, TypedOp, ensure, format_err,
};
use tract_onnx::tract_hir::ops::expandable::expand;
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

/// The element type and the shape of a value.
pub(super) type Fact = (DatumType, TVec<TDim>);

/// What an operator does. Types and shapes of its outputs follow from those of its inputs.
pub(super) trait Kernel: Send + Sync {
    /// The types and shapes of all outputs.
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>>;

    /// Computes all outputs.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>>;

    /// The kernel for inputs of these types, where that is another one.
    fn typed(&self, _inputs: &[Fact]) -> TractResult<Option<Arc<dyn Kernel>>> {
        Ok(None)
    }
}

/// What makes a kernel of a node.
pub(super) type Maker = fn(super::attributes::Attributes<'_>) -> TractResult<Arc<dyn Kernel>>;

/// A kernel as an operator of the runtime.
#[derive(Clone)]
struct Operation {
    name: String,
    kernel: Arc<dyn Kernel>,
    /// Which of the kernel's outputs the graph has a name for: the runtime knows no others.
    wanted: Arc<[usize]>,
}

/// The operator of a node.
pub(super) fn operator(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    maker: Maker,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    operator_of(
        node,
        maker(super::attributes::Attributes::new(node, context)),
    )
}

/// The same of a kernel that was made otherwise.
pub(super) fn operator_of(
    node: &NodeProto,
    kernel: TractResult<Arc<dyn Kernel>>,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let named = |(position, name): (usize, &String)| (!name.is_empty()).then_some(position);
    let operation = Operation {
        name: node.op_type.clone(),
        kernel: kernel?,
        wanted: node.output.iter().enumerate().filter_map(named).collect(),
    };
    Ok((expand(operation), Vec::new()))
}

/// Adds a kernel of one output to a graph.
pub(super) fn node_of(
    name: &str,
    kernel: Arc<dyn Kernel>,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let operation = Operation {
        name: name.to_owned(),
        kernel,
        wanted: Arc::new([0]),
    };
    model.wire_node(prefix, operation, inputs)
}

impl Operation {
    fn wanted<T: Clone>(&self, all: &[T]) -> TractResult<TVec<T>> {
        let missing = || format_err!("{} has {} outputs", self.name, all.len());
        self.wanted
            .iter()
            .map(|position| all.get(*position).cloned().ok_or_else(missing))
            .collect()
    }

    fn facts(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let inputs: Vec<Fact> = inputs.iter().map(as_integers).collect();
        self.wanted(&self.kernel.facts(&inputs)?)
    }
}

/// Dimensions are integers to a kernel.
fn as_integers((datum, shape): &Fact) -> Fact {
    let datum = if *datum == TDim::datum_type() {
        i64::datum_type()
    } else {
        *datum
    };
    (datum, shape.clone())
}

/// The name only: a kernel is long.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Operation) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel) && self.wanted == other.wanted
    }
}

impl Eq for Operation {}

impl Op for Operation {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    op_as_typed_op!();
}

impl EvalOp for Operation {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        for input in &mut inputs {
            if input.datum_type() == TDim::datum_type() {
                let integers = input.cast_to::<i64>()?.into_owned();
                *input = integers.into_tvalue();
            }
        }
        let outputs = self.kernel.eval(&inputs)?;
        if self.wanted.len() == outputs.len() {
            return Ok(outputs.into_iter().map(IntoTValue::into_tvalue).collect());
        }
        let outputs: Vec<TValue> = outputs.into_iter().map(IntoTValue::into_tvalue).collect();
        self.wanted(&outputs)
    }
}

impl TypedOp for Operation {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let inputs: Vec<Fact> = inputs
            .iter()
            .map(|fact| (fact.datum_type, fact.shape.to_tvec()))
            .collect();
        let facts = self.facts(&inputs)?;
        Ok(facts
            .into_iter()
            .map(|(datum, shape)| datum.fact(shape))
            .collect())
    }

    as_op!();
}

impl Expansion for Operation {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.wanted.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let types = inputs.iter().map(|input| &input.datum_type);
        solver.given_all(types, move |solver, types: Vec<DatumType>| {
            let shapes = inputs.iter().map(|input| &input.shape);
            solver.given_all(shapes, move |solver, shapes: Vec<TVec<TDim>>| {
                let inputs: Vec<Fact> = types.iter().copied().zip(shapes).collect();
                let facts = self.facts(&inputs)?;
                for (output, (datum, shape)) in outputs.iter().zip(facts) {
                    solver.equals(&output.datum_type, datum)?;
                    solver.equals(&output.shape, shape)?;
                }
                Ok(())
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut facts = Vec::with_capacity(inputs.len());
        for input in inputs {
            let fact = model.outlet_fact(*input)?;
            facts.push(as_integers(&(fact.datum_type, fact.shape.to_tvec())));
        }
        let mut operation = self.clone();
        if let Some(kernel) = self.kernel.typed(&facts)? {
            operation.kernel = kernel;
        }
        model.wire_node(prefix, operation, inputs)
    }
}

/// The fact of a value of this type and these lengths.
pub(super) fn fact<const RANK: usize>(datum: DatumType, shape: [TDim; RANK]) -> Fact {
    (datum, shape.into_iter().collect())
}

/// The one input of an operator.
pub(super) fn only<T>(inputs: &[T]) -> TractResult<&T> {
    ensure!(inputs.len() == 1, "{} inputs, not one", inputs.len());
    inputs.first().ok_or_else(|| format_err!("no input"))
}

/// Rows and columns of a matrix; a vector is one row.
pub(super) fn rows_of(shape: &[usize]) -> TractResult<(usize, usize)> {
    match *shape {
        [columns] => Ok((1, columns)),
        [rows, columns] => Ok((rows, columns)),
        _ => Err(format_err!("a value of shape {shape:?} has no rows")),
    }
}

/// The same of a shape that is not known in full.
pub(super) fn open_rows_of(shape: &[TDim]) -> TractResult<(TDim, TDim)> {
    match shape {
        [columns] => Ok((1.into(), columns.clone())),
        [rows, columns] => Ok((rows.clone(), columns.clone())),
        _ => Err(format_err!("a value of shape {shape:?} has no rows")),
    }
}

/// Numbers in single precision, each rounded to the nearest.
pub(super) fn singles(value: &Value) -> TractResult<Cow<'_, [f32]>> {
    let plain = |value: &Value| -> TractResult<Vec<f32>> {
        Ok(value.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    };
    match value.datum_type() {
        DatumType::F32 => Ok(Cow::Borrowed(slice::<f32>(value)?)),
        DatumType::String | DatumType::Blob => Err(format_err!("text where numbers are taken")),
        _ => Ok(Cow::Owned(plain(&*value.cast_to_dt(f32::datum_type())?)?)),
    }
}

/// Refuses element types that an operator does not take.
pub(super) fn check_numbers(datum: DatumType) -> TractResult<()> {
    let known = [
        DatumType::F32,
        DatumType::F64,
        DatumType::I32,
        DatumType::I64,
    ];
    ensure!(known.contains(&datum), "{datum:?} where numbers are taken");
    Ok(())
}
