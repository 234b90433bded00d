//! Operators of our own for the runtime, and those that are put together from several.

use std::fmt;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, DatumTypeExt, EvalContext, EvalOp, Expansion, InferenceOp, InferenceResult,
    IntoTValue, Op, OutletId, ShapeFactoid, Solver, SpecialOps, StaticName, TDim, TValue, TVec,
    Tensor as Value, TensorProxy, TractResult, TypedFact, TypedModel, TypedOp, bail, ensure,
    expand,
};
use tract_onnx::tract_hir::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

/// The type and the shape of a value.
pub(super) type Form = (DatumType, TVec<TDim>);

/// What an operator makes of shapes, and of values.
pub(super) trait Routine:
    fmt::Debug + Clone + PartialEq + Eq + Send + Sync + 'static
{
    /// The forms of the results. Refuses inputs that do not fit together.
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>>;

    /// The results.
    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>>;
}

/// A [`Routine`] in the runtime's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own<R>(R);

impl<R: Routine> Op for Own<R> {
    fn name(&self) -> StaticName {
        format!("{:?}", self.0).into()
    }

    op_as_typed_op!();
}

impl<R: Routine> EvalOp for Own<R> {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let inputs: TVec<&Value> = inputs.iter().map(|input| &**input).collect();
        let results = self.0.run(&inputs)?;
        Ok(results.into_iter().map(IntoTValue::into_tvalue).collect())
    }
}

impl<R: Routine> TypedOp for Own<R> {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let inputs: TVec<Form> = inputs
            .iter()
            .map(|fact| (fact.datum_type, fact.shape.to_tvec()))
            .collect();
        let forms = self.0.forms(&inputs)?;
        Ok(forms
            .into_iter()
            .map(|(datum, shape)| datum.fact(&*shape))
            .collect())
    }

    as_op!();
}

/// Adds a routine to a graph. Lengths, which the runtime counts in a type of its own, are
/// integers to it.
pub(super) fn own<R: Routine>(
    routine: R,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let mut wires = TVec::new();
    for (position, input) in inputs.iter().enumerate() {
        if model.outlet_fact(*input)?.datum_type == DatumType::TDim {
            let name = format!("{prefix}.length.{position}");
            wires.extend(model.wire_node(name, cast(DatumType::I64), &[*input])?);
        } else {
            wires.push(*input);
        }
    }
    model.wire_node(prefix, Own(routine), &wires)
}

type Wire = dyn Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync;

/// An operator that is put together of the runtime's once the shapes of its inputs are known.
#[derive(Clone)]
struct Lowered {
    name: &'static str,
    /// The inputs whose values have to be known, too.
    known: &'static [usize],
    outputs: usize,
    wire: Arc<Wire>,
}

/// An operator of one output; see [`lower_to`].
pub(super) fn lower(
    name: &'static str,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    lower_to(name, &[], 1, wire)
}

/// An operator that `wire` adds to a graph, once the forms of its inputs are known and the values
/// of those in `known`, which are constants in the graph.
pub(super) fn lower_to(
    name: &'static str,
    known: &'static [usize],
    outputs: usize,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>
    + Send
    + Sync
    + 'static,
) -> Box<dyn InferenceOp> {
    let wire = Arc::new(wire);
    expand(Lowered {
        name,
        known,
        outputs,
        wire,
    })
}

impl fmt::Debug for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Lowered {
    /// The forms of the outputs: those of a graph that consists of nothing else.
    fn forms(
        &self,
        types: &[DatumType],
        shapes: &[TVec<TDim>],
        values: &[Arc<Value>],
    ) -> TractResult<Vec<Form>> {
        let mut model = TypedModel::default();
        let mut inputs = Vec::with_capacity(types.len());
        for (position, (datum, shape)) in types.iter().zip(shapes).enumerate() {
            let name = format!("input.{position}");
            let value = self.known.iter().position(|known| *known == position);
            inputs.push(match value.and_then(|value| values.get(value)) {
                Some(value) => model.add_const(name, Arc::clone(value))?,
                None => model.add_source(name, datum.fact(&**shape))?,
            });
        }
        let outputs = (self.wire)(self.name, &mut model, &inputs)?;
        let forms = outputs.iter().map(|outlet| {
            let fact = model.outlet_fact(*outlet)?;
            Ok((fact.datum_type, fact.shape.to_tvec()))
        });
        forms.collect()
    }

    fn settle(
        &self,
        solver: &mut Solver<'_>,
        outputs: &[TensorProxy],
        (types, shapes): (&[DatumType], &[TVec<TDim>]),
        values: &[Arc<Value>],
    ) -> InferenceResult {
        let forms = self.forms(types, shapes, values)?;
        ensure!(
            forms.len() == outputs.len(),
            "{} of {} outputs",
            self.name,
            forms.len()
        );
        for ((datum, shape), output) in forms.into_iter().zip(outputs) {
            solver.equals(&output.datum_type, datum)?;
            solver.equals(&output.shape, ShapeFactoid::from(shape))?;
        }
        Ok(())
    }
}

impl Expansion for Lowered {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        if outputs.len() != self.outputs {
            bail!("{} has {} outputs", self.name, self.outputs);
        }
        let types = inputs.iter().map(|input| &input.datum_type);
        solver.given_all(types, move |solver, types: Vec<DatumType>| {
            let shapes = inputs.iter().map(|input| &input.shape);
            solver.given_all(shapes, move |solver, shapes: Vec<TVec<TDim>>| {
                if self.known.is_empty() {
                    return self.settle(solver, outputs, (&types, &shapes), &[]);
                }
                let mut known = Vec::with_capacity(self.known.len());
                for position in self.known {
                    match inputs.get(*position) {
                        Some(input) => known.push(&input.value),
                        None => bail!("{} of {} inputs", self.name, inputs.len()),
                    }
                }
                let (types, shapes) = (types.clone(), shapes.clone());
                solver.given_all(known, move |solver, values: Vec<Arc<Value>>| {
                    self.settle(solver, outputs, (&types, &shapes), &values)
                })
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        (self.wire)(prefix, model, inputs)
    }
}

/// Calls a generic function for the type of element, which is one of those that are listed.
macro_rules! dispatch {
    ($datum:expr, [$($element:ident: $rust:ty),+], $function:ident $arguments:tt) => {
        match $datum {
            $(DatumType::$element => $function::<$rust> $arguments,)+
            other => bail!("elements of {other:?}"),
        }
    };
}

/// Of any type of element that is copied around.
macro_rules! dispatch_any {
    ($datum:expr, $function:ident $arguments:tt) => {
        dispatch!($datum, [F32: f32, F64: f64, I32: i32, I64: i64, Bool: bool, U8: u8, I8: i8,
            I16: i16, F16: f16], $function $arguments)
    };
}

pub(super) use {dispatch, dispatch_any};

/// The axis that is meant, counted from the last where it is negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> TractResult<usize> {
    let from = if axis < 0 { rank as i64 } else { 0 };
    match usize::try_from(axis + from) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => bail!("axis {axis} of {rank}"),
    }
}

/// The lengths or indices in a constant of integers.
pub(super) fn lengths(value: &Value) -> TractResult<Vec<TDim>> {
    let plain = value.try_as_plain_ram()?;
    Ok(match value.datum_type() {
        DatumType::TDim => plain.as_slice::<TDim>()?.to_vec(),
        DatumType::I32 => {
            let integers = plain.as_slice::<i32>()?.iter();
            integers
                .map(|length| TDim::Val(i64::from(*length)))
                .collect()
        }
        DatumType::I64 => {
            let integers = plain.as_slice::<i64>()?.iter();
            integers.map(|length| TDim::Val(*length)).collect()
        }
        other => bail!("lengths of {other:?}"),
    })
}

/// The lengths that a graph's constant has.
pub(super) fn known(model: &TypedModel, outlet: OutletId) -> TractResult<Vec<TDim>> {
    match &model.outlet_fact(outlet)?.konst {
        Some(value) => lengths(value),
        None => bail!("lengths that are not known before running"),
    }
}

pub(super) fn shape(model: &TypedModel, outlet: OutletId) -> TractResult<TVec<TDim>> {
    Ok(model.outlet_fact(outlet)?.shape.to_tvec())
}
