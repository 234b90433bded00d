//! The larger and the smaller of two numbers. The runtime's own forget NaN.

use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DatumTypeExt, EvalContext, EvalOp, Expansion, InferenceResult, IntoTValue,
    Op, OutletId, Solver, SpecialOps, StaticName, TValue, TVec, Tensor as Value, TensorProxy,
    TractResult, TypedFact, TypedModel, TypedOp, ensure,
};
use tract_onnx::tract_hir::ops::binary::{rules, wire_rank_broadcast};
use tract_onnx::tract_hir::ops::math::{max, min};
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};
use tract_onnx::tract_hir::tract_ndarray::Zip;

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
    fn of<T: Datum + Copy + PartialOrd>(self, left: &Value, right: &Value) -> TractResult<Value> {
        let left = left.to_plain_array_view::<T>()?;
        let right = right.to_plain_array_view::<T>()?;
        let shape = multi_broadcast(&[left.shape(), right.shape()])?;
        let mut result = Value::zero_dt(T::datum_type(), &shape)?;
        let mut plain = result.try_as_plain_ram_mut()?;
        let mut view = plain.to_array_view_mut::<T>()?;
        Zip::from(&mut view)
            .and_broadcast(&left)
            .and_broadcast(&right)
            .for_each(|to, a, b| {
                let first = if self == Extreme::Largest {
                    a > b
                } else {
                    a < b
                };
                // A number that is not equal to itself is NaN; where b is NaN, it is not second.
                *to = if first || a.partial_cmp(a).is_none() {
                    *a
                } else {
                    *b
                };
            });
        Ok(result)
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
        let result = if inputs[0].datum_type() == f64::datum_type() {
            self.of::<f64>(&inputs[0], &inputs[1])?
        } else {
            self.of::<f32>(&inputs[0], &inputs[1])?
        };
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

/// An [`Extreme`] before shapes are known; of integers it is the runtime's.
#[derive(Debug, Clone)]
pub(crate) struct Broadcast(pub(crate) Extreme);

impl Expansion for Broadcast {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        rules(solver, inputs, outputs, |left, right| {
            ensure!(left == right, "{:?} of {left:?} and {right:?}", self.0);
            Ok(left)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let wires = wire_rank_broadcast(prefix, model, inputs)?;
        let datum = wires
            .first()
            .map(|wire| model.outlet_fact(*wire))
            .transpose()?;
        if matches!(
            datum.map(|fact| fact.datum_type),
            Some(DatumType::F32 | DatumType::F64)
        ) {
            return model.wire_node(prefix, self.0, &wires);
        }
        let integers = if self.0 == Extreme::Largest {
            max()
        } else {
            min()
        };
        model.wire_node(prefix, integers, &wires)
    }
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
