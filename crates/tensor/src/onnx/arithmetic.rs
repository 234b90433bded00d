//! `Div`, `Mul` and `Mod` where the runtime's own are others: it multiplies by the reciprocal, takes
//! zero times anything for zero, be that NaN, and subtracts a multiple that it has rounded.

use super::kernel::{Fact, Kernel, node_of};
use crate::elements::{broadcast, dispatch_reals, slice};
use crate::lowering::lower;
use std::ops;
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, Expansion, InferenceOp, InferenceResult, OutletId, Solver, SpecialOps,
    StaticName, TValue, TVec, Tensor as Value, TensorProxy, ToDim, TractResult, TypedModel, bail,
    ensure,
};
use tract_onnx::tract_hir::ops::binary::{wire_cast, wire_rank_broadcast};
use tract_onnx::tract_hir::ops::matmul::MatMulInference;
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_hir::tract_core::ops::math::{Div, Mul, Rem};

/// A function of two values of floating point numbers, either of which may be broadcast. Of other
/// types it is the runtime's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arithmetic {
    Quotient,
    Product,
    /// With the sign of what is divided.
    Remainder,
}

impl Arithmetic {
    pub(super) fn operator(self) -> Box<dyn InferenceOp> {
        let name = match self {
            Arithmetic::Quotient => "Quotient",
            Arithmetic::Product => "Product",
            Arithmetic::Remainder => "Remainder",
        };
        lower(name, move |prefix, model, inputs| {
            let [left, right] = *inputs else {
                bail!("{} inputs, not two", inputs.len());
            };
            let left = model.outlet_fact(left)?.datum_type;
            let right = model.outlet_fact(right)?.datum_type;
            let runtimes = self.runtimes();
            let datum = runtimes.operating_datum_type(left, right)?;
            let wires = wire_rank_broadcast(prefix, model, inputs)?;
            let wires = wire_cast(prefix, model, &wires, datum)?;
            if matches!(datum, DatumType::F32 | DatumType::F64) {
                return node_of(name, Arc::new(self), prefix, model, &wires);
            }
            model.wire_node(prefix, TypedBinOp(runtimes, None), &wires)
        })
    }

    fn runtimes(self) -> Box<dyn BinMiniOp> {
        match self {
            Arithmetic::Quotient => Box::new(Div),
            Arithmetic::Product => Box::new(Mul),
            Arithmetic::Remainder => Box::new(Rem),
        }
    }

    fn of<T>(self, left: &Value, right: &Value) -> TractResult<Value>
    where
        T: Datum + Copy + ops::Div<Output = T> + ops::Mul<Output = T> + ops::Rem<Output = T>,
    {
        broadcast::<T>(left, right, |a, b| self.pair(a, b))
    }

    fn pair<T>(self, a: T, b: T) -> T
    where
        T: ops::Div<Output = T> + ops::Mul<Output = T> + ops::Rem<Output = T>,
    {
        match self {
            Arithmetic::Quotient => a / b,
            Arithmetic::Product => a * b,
            Arithmetic::Remainder => a % b,
        }
    }
}

impl Kernel for Arithmetic {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let [(left, left_shape), (right, right_shape)] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        ensure!(left == right, "{self:?} of {left:?} and {right:?}");
        let shape = multi_broadcast(&[&**left_shape, &**right_shape])?;
        Ok(vec![(*left, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let [left, right] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        Ok(vec![dispatch_reals!(
            left.datum_type(),
            self.of(left, right)
        )?])
    }
}

/// `MatMul`, which of a column and a row is a product of each with each: the runtime fails to see
/// that where a length is a symbol.
#[derive(Debug, Clone)]
pub(super) struct MatMul(MatMulInference);

impl MatMul {
    pub(super) fn new() -> MatMul {
        MatMul(MatMulInference::default())
    }
}

impl Expansion for MatMul {
    fn name(&self) -> StaticName {
        "MatMul".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut is_outer = inputs.len() == 2;
        for (number, input) in inputs.iter().enumerate() {
            let shape = &model.outlet_fact(*input)?.shape;
            is_outer &= shape.rank() == 2
                && shape
                    .get(1 - number)
                    .is_some_and(|length| *length == 1.to_dim());
        }
        if is_outer {
            return model.wire_node(prefix, TypedBinOp(Box::new(Mul), None), inputs);
        }
        self.0.wire(prefix, model, inputs)
    }
}

/// The value of a name that is a constant of the file, if it is one.
pub(super) fn constant(context: &ParsingContext<'_>, name: &str) -> TractResult<Option<Value>> {
    let Some(graph) = context.parent_graphs.last() else {
        return Ok(None);
    };
    if let Some(tensor) = graph.initializer.iter().find(|tensor| tensor.name == name) {
        return context.load_tensor(tensor).map(Some);
    }
    let maker = graph
        .node
        .iter()
        .find(|node| node.op_type == "Constant" && node.output.iter().any(|output| output == name));
    let tensor = maker.and_then(|node| node.attribute.iter().find_map(|a| a.t.as_ref()));
    tensor.map(|tensor| context.load_tensor(tensor)).transpose()
}

/// Whether a value is nothing but zeros.
pub(super) fn is_zero(value: &Value) -> bool {
    let is_real = matches!(value.datum_type(), DatumType::F32 | DatumType::F64);
    let numbers = value.cast_to::<f64>();
    is_real
        && numbers.is_ok_and(|numbers| {
            slice::<f64>(&numbers).is_ok_and(|numbers| numbers.iter().all(|number| *number == 0.0))
        })
}
