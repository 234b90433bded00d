//! The larger and the smaller of two numbers. The runtime's own forget NaN.

use crate::elements::{broadcast, dispatch_reals};
use crate::lowering::lower;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DatumTypeExt, EvalContext, EvalOp, InferenceOp, IntoTValue, Op, OutletId,
    SpecialOps, StaticName, TValue, TVec, Tensor as Value, TractResult, TypedFact, TypedModel,
    TypedOp, bail, ensure,
};
use tract_onnx::tract_hir::ops::binary::wire_rank_broadcast;
use tract_onnx::tract_hir::ops::math::{max, min};
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

/// An operator of two inputs of the same type, either of which may be broadcast. NaN in one of
/// them is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extreme {
    /// The larger.
    Largest,
    /// The smaller.
    Smallest,
}

impl Extreme {
    /// The operator; of integers it is the runtime's.
    pub(crate) fn operator(self) -> Box<dyn InferenceOp> {
        let name = match self {
            Extreme::Largest => "Largest",
            Extreme::Smallest => "Smallest",
        };
        lower(name, move |prefix, model, inputs| {
            self.wire(prefix, model, inputs)
        })
    }

    pub(crate) fn wire(
        self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let [left, right] = *inputs else {
            bail!("{self:?} of {} inputs", inputs.len());
        };
        let left = model.outlet_fact(left)?.datum_type;
        let right = model.outlet_fact(right)?.datum_type;
        ensure!(left == right, "{self:?} of {left:?} and {right:?}");
        let wires = wire_rank_broadcast(prefix, model, inputs)?;
        match (left, self) {
            (DatumType::F32 | DatumType::F64, _) => model.wire_node(prefix, self, &wires),
            (_, Extreme::Largest) => model.wire_node(prefix, max(), &wires),
            (_, Extreme::Smallest) => model.wire_node(prefix, min(), &wires),
        }
    }

    pub(crate) fn of<T: Datum + Copy + PartialOrd>(
        self,
        left: &Value,
        right: &Value,
    ) -> TractResult<Value> {
        broadcast::<T>(left, right, |a, b| {
            let first = match self {
                Extreme::Largest => a > b,
                Extreme::Smallest => a < b,
            };
            // A number that is not equal to itself is NaN; where b is NaN, it is not second.
            if first || a.partial_cmp(&a).is_none() {
                a
            } else {
                b
            }
        })
    }
}

impl Op for Extreme {
    fn name(&self) -> StaticName {
        format!("{self:?}").into()
    }

    op_as_typed_op!();
}

impl EvalOp for Extreme {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 2, "{self:?} of {} inputs", inputs.len());
        let datum = inputs[0].datum_type();
        let result = dispatch_reals!(datum, self.of(&inputs[0], &inputs[1]))?;
        Ok([result.into_tvalue()].into_iter().collect())
    }
}

impl TypedOp for Extreme {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 2, "{self:?} of {} inputs", inputs.len());
        let shape = multi_broadcast(&[&*inputs[0].shape, &*inputs[1].shape])?;
        Ok([inputs[0].datum_type.fact(shape)].into_iter().collect())
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::Extreme;
    use tract_onnx::prelude::{Tensor, tensor1, tensor2};

    fn of(extreme: Extreme, left: &Tensor, right: &Tensor) -> Vec<f32> {
        let result = extreme.of::<f32>(left, right).unwrap();
        result
            .try_as_plain_ram()
            .unwrap()
            .as_slice::<f32>()
            .unwrap()
            .to_vec()
    }

    #[test]
    fn rows_are_compared_with_every_row() {
        let left = tensor2(&[[1f32, -2.0], [3.0, 0.5]]);
        let right = tensor1(&[2f32, 0.0]).into_shape(&[1, 2]).unwrap();
        assert_eq!(of(Extreme::Largest, &left, &right), [2.0, 0.0, 3.0, 0.5]);
        assert_eq!(of(Extreme::Smallest, &left, &right), [1.0, -2.0, 2.0, 0.0]);
    }

    #[test]
    fn nan_on_either_side_is_the_result() {
        let (left, right) = (tensor1(&[f32::NAN, 1.0]), tensor1(&[1.0, f32::NAN]));
        for extreme in [Extreme::Largest, Extreme::Smallest] {
            assert!(
                of(extreme, &left, &right)
                    .iter()
                    .all(|value| value.is_nan())
            );
        }
    }
}
