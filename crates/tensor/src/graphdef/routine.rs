//! Operators of our own for the runtime.

use crate::lowering::Form;
use std::fmt;
use tract_onnx::tract_hir::internal::{
    DatumType, DatumTypeExt, EvalContext, EvalOp, IntoTValue, Op, OutletId, SpecialOps, StaticName,
    TDim, TValue, TVec, Tensor as Value, TractResult, TypedFact, TypedModel, TypedOp, bail,
};
use tract_onnx::tract_hir::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

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
