//! Operators that the runtime computes otherwise than TensorFlow and ONNX Runtime do, in the place
//! of its own.
//!
//! - Sums of 64-bit integers, of which it keeps 32 bits.
//! - Logarithms of a softmax, of which it takes the softmax first: minus infinity, where that is
//!   too small to be told from zero.

use crate::elements::dispatch_reals;
use crate::lowering::lower;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, EvalContext, EvalOp, InferenceOp, IntoTValue, IntoTensor, Op, SpecialOps,
    StaticName, TDim, TValue, TVec, Tensor as Value, TractResult, TypedFact, TypedModel, TypedNode,
    TypedOp, ensure,
};
use tract_onnx::tract_hir::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};
use tract_onnx::tract_hir::tract_ndarray::{ArrayD, ArrayViewD, Axis};

/// What is computed, along which axes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mended {
    /// Each axis becomes one long.
    Sum(TVec<usize>),
    LogSoftmax(TVec<usize>),
}

/// Puts sums in the place of the runtime's own.
pub(crate) fn mend(model: &mut TypedModel) {
    for number in 0..model.nodes().len() {
        let node = model.node(number);
        if let Some(mended) = mended(model, node) {
            model.node_mut(number).op = Box::new(mended);
        }
    }
}

fn mended(model: &TypedModel, node: &TypedNode) -> Option<Mended> {
    let reduce = node.op_as::<Reduce>()?;
    let fact = model.outlet_fact(*node.inputs.first()?).ok()?;
    let is_wide = fact.datum_type == DatumType::I64;
    (is_wide && reduce.reducer == Reducer::Sum).then(|| Mended::Sum(reduce.axes.clone()))
}

/// The logarithm of a softmax along an axis, or along that and all behind it.
pub(crate) fn log_softmax_operator(axis: i64, and_behind: bool) -> Box<dyn InferenceOp> {
    lower("LogSoftmax", move |prefix, model, inputs| {
        ensure!(inputs.len() == 1, "LogSoftmax of {} inputs", inputs.len());
        let fact = model.outlet_fact(inputs[0])?;
        let rank = fact.rank() as i64;
        let first = if axis < 0 { axis + rank } else { axis };
        ensure!((0..rank).contains(&first), "axis {axis} of {rank}");
        let is_real = matches!(fact.datum_type, DatumType::F32 | DatumType::F64);
        ensure!(is_real, "LogSoftmax of {:?}", fact.datum_type);
        let first = first as usize;
        let end = if and_behind { fact.rank() } else { first + 1 };
        model.wire_node(prefix, Mended::LogSoftmax((first..end).collect()), inputs)
    })
}

/// A floating point number.
trait Real: Datum + Copy + PartialOrd {
    /// Takes from each of some numbers the logarithm of the sum of the exponentials of all.
    fn log_softmax(values: &mut [Self]);
}

macro_rules! real {
    ($real:ty) => {
        impl Real for $real {
            fn log_softmax(values: &mut [$real]) {
                let most = values
                    .iter()
                    .copied()
                    .fold(<$real>::NEG_INFINITY, <$real>::max);
                let sum: $real = values.iter().map(|value| (value - most).exp()).sum();
                let ln = sum.ln();
                values
                    .iter_mut()
                    .for_each(|value| *value = *value - most - ln);
            }
        }
    };
}

real!(f32);
real!(f64);

/// The same number of axes, in the order given.
fn turned<T: Copy>(values: ArrayViewD<'_, T>, order: &[usize]) -> ArrayD<T> {
    let turned = values.permuted_axes(order);
    turned.as_standard_layout().into_owned()
}

fn log_softmax<T: Real>(value: &Value, axes: &[usize]) -> TractResult<Value> {
    // The axes come last, so that what is summed up is together.
    let kept = (0..value.rank()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let mut values = turned(value.to_plain_array_view::<T>()?, &order);
    let length: usize = axes.iter().map(|axis| value.shape()[*axis]).product();
    if let (Some(values), true) = (values.as_slice_mut(), length > 0) {
        values.chunks_exact_mut(length).for_each(T::log_softmax);
    }
    let mut back = vec![0; order.len()];
    for (to, from) in order.iter().enumerate() {
        back[*from] = to;
    }
    Ok(turned(values.view(), &back).into_tensor())
}

fn sum(value: &Value, axes: &[usize]) -> TractResult<Value> {
    let mut sums = value.to_plain_array_view::<i64>()?.to_owned();
    for axis in axes {
        let along = Axis(*axis);
        sums = sums
            .fold_axis(along, 0, |sum: &i64, next| sum.wrapping_add(*next))
            .insert_axis(along);
    }
    Ok(sums.into_tensor())
}

impl Op for Mended {
    fn name(&self) -> StaticName {
        match self {
            Mended::Sum(_) => "Sum".into(),
            Mended::LogSoftmax(_) => "LogSoftmax".into(),
        }
    }

    op_as_typed_op!();
}

impl EvalOp for Mended {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 1, "{self:?} of {} inputs", inputs.len());
        let input = &inputs[0];
        let found = match self {
            Mended::Sum(axes) => sum(input, axes)?,
            Mended::LogSoftmax(axes) => {
                dispatch_reals!(input.datum_type(), log_softmax(input, axes))?
            }
        };
        Ok([found.into_tvalue()].into_iter().collect())
    }
}

impl TypedOp for Mended {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 1, "{self:?} of {} inputs", inputs.len());
        let mut fact = inputs[0].without_value();
        if let Mended::Sum(axes) = self {
            for axis in axes {
                fact.shape.set(*axis, TDim::Val(1));
            }
        }
        Ok([fact].into_iter().collect())
    }

    as_op!();
}
