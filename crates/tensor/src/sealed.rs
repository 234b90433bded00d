//! Operators that the runtime's optimizer moves where they mean something else.
//!
//! - It takes every nth element, be it a slice or a convolution of strides and windows of one,
//!   before what is computed along the same axis, as a softmax is, and not after it; and before a
//!   convolution, at the wrong elements.
//! - It makes a convolution that is subtracted from a value, or divides one, the convolution less or
//!   by that value.
//! - It takes a value that is repeated along an axis for the value itself where a product sums over
//!   that axis.

use crate::elements::slice;
use tract_onnx::tract_hir::internal::{
    EvalContext, EvalOp, Op, OpState, StaticName, TValue, TVec, TractResult, TypedFact, TypedModel,
    TypedNode, TypedOp,
};
use tract_onnx::tract_hir::tract_core::ops::array::{MultiBroadcastTo, StridedSlice, Tile};
use tract_onnx::tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_hir::tract_core::ops::cnn::Conv;
use tract_onnx::tract_hir::tract_core::ops::math::{Div, Sub};
use tract_onnx::tract_hir::tract_core::ops::nn::{RmsNorm, Softmax};
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op};

/// An operator of which the optimizer knows types and shapes, and nothing else.
#[derive(Debug, Clone)]
struct Sealed(Box<dyn TypedOp>);

/// Seals such operators of a graph.
pub(crate) fn seal(model: &mut TypedModel) {
    let nodes = model.nodes().iter();
    let mut convolutions = nodes.clone().filter_map(|node| node.op_as::<Conv>());
    let has_convolutions = convolutions.clone().next().is_some();
    let has_strides =
        convolutions.any(|conv| conv.pool_spec.strides().iter().any(|stride| *stride > 1));
    let moved = nodes.filter(|node| {
        node.op_is::<MultiBroadcastTo>()
            || node.op_is::<Tile>()
            || has_steps(model, node)
            || (has_strides && (node.op_is::<Softmax>() || node.op_is::<RmsNorm>()))
            || (has_convolutions && is_taken_from_another(model, node))
    });
    for number in moved.map(|node| node.id).collect::<Vec<_>>() {
        let node = model.node_mut(number);
        node.op = Box::new(Sealed(node.op.clone()));
    }
}

/// Whether a node subtracts or divides by a value that is no constant.
fn is_taken_from_another(model: &TypedModel, node: &TypedNode) -> bool {
    let binary = node.op_as::<TypedBinOp>();
    let right = node.inputs.get(1).map(|input| model.outlet_fact(*input));
    binary.is_some_and(|binary| binary.0.is::<Sub>() || binary.0.is::<Div>())
        && right.is_some_and(|fact| fact.is_ok_and(|fact| fact.konst.is_none()))
}

/// Whether a node takes other elements than those that follow each other.
fn has_steps(model: &TypedModel, node: &TypedNode) -> bool {
    let Some(strided) = node.op_as::<StridedSlice>() else {
        return false;
    };
    let steps = strided.optional_steps_input;
    let steps = steps.and_then(|position| node.inputs.get(position));
    let Some(fact) = steps.and_then(|input| model.outlet_fact(*input).ok()) else {
        return false;
    };
    let steps = fact.konst.as_ref().map(|steps| steps.cast_to::<i64>());
    let Some(Ok(steps)) = steps else {
        return true;
    };
    slice::<i64>(&steps).is_ok_and(|steps| steps.iter().any(|step| *step != 1))
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Sealed) -> bool {
        self.0 == other.0
    }
}

impl Eq for Sealed {}

impl Op for Sealed {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Sealed {
    fn eval(&self, context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.0.eval_out_of_plan(inputs)
    }

    fn state(&self, context: &EvalContext<'_>) -> TractResult<Option<Box<dyn OpState>>> {
        self.0.state(context)
    }
}

impl TypedOp for Sealed {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
