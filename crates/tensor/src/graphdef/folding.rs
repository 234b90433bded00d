//! Shapes and axes that a graph computes from constants. Exporters fold them, as a rule; what
//! TensorFlow 2 saves has not been through that.

use super::attributes::integers;
use super::messages::NodeDef;
use super::operators::Operation;
use super::wire;
use crate::shield::shield;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, InferenceModel, InferenceModelExt, IntoTensor, SpecialOps, Tensor as Value,
    TractResult, TypedSimplePlan, bail, tvec,
};
use tract_onnx::tract_hir::ops::konst;

/// Elements of a shape, or of a list of axes, at most.
const LONGEST: usize = 64;

/// Elements of what is only given another shape, at most: the biases of a layer, say.
const LONGEST_RESHAPED: usize = 1 << 16;

/// Whether a node may be computed from these inputs here and now: what is small remains so.
pub(super) fn is_foldable(node: &NodeDef, inputs: &[Arc<Value>]) -> bool {
    let operators = [
        "Add",
        "AddV2",
        "Cast",
        "ConcatV2",
        "ExpandDims",
        "GatherV2",
        "Mul",
        "Pack",
        "Prod",
        "Reshape",
        "Squeeze",
        "StridedSlice",
        "Sub",
    ];
    let is_small = |value: &Arc<Value>| {
        let integers = matches!(value.datum_type(), DatumType::I32 | DatumType::I64);
        integers && value.len() <= LONGEST
    };
    let reshaped = usize::from(is_reshaping(node, inputs));
    operators.contains(&node.op.as_str())
        && inputs.len() <= LONGEST
        && inputs.iter().skip(reshaped).all(is_small)
}

/// Whether a node only gives its first input another shape.
fn is_reshaping(node: &NodeDef, inputs: &[Arc<Value>]) -> bool {
    let value = inputs.first();
    matches!(node.op.as_str(), "Reshape" | "Squeeze")
        && value.is_some_and(|value| value.len() <= LONGEST_RESHAPED)
}

/// A constant without its axes of length 1, which `Squeeze` drops where none is named.
fn squeezed(node: &NodeDef, inputs: &[Arc<Value>]) -> Option<Value> {
    if node.op != "Squeeze" || !integers(node, "squeeze_dims").is_empty() {
        return None;
    }
    let value = inputs.first()?;
    let lengths = value.shape().iter().copied().filter(|length| *length != 1);
    let shape: Vec<usize> = lengths.collect();
    Value::clone(value).into_shape(&shape).ok()
}

/// The only result of a node, if it can be computed.
pub(super) fn fold(
    node: &NodeDef,
    inputs: &[Arc<Value>],
    operation: &dyn Fn() -> Result<Operation, String>,
) -> Option<Value> {
    squeezed(node, inputs).or_else(|| {
        let operation = operation().ok()?;
        shield(|| compute(node, operation, inputs)).ok()?.ok()
    })
}

fn compute(node: &NodeDef, operation: Operation, inputs: &[Arc<Value>]) -> TractResult<Value> {
    let mut model = InferenceModel::default();
    let mut wires = Vec::with_capacity(inputs.len());
    for (position, input) in inputs.iter().enumerate() {
        let constant = konst::Const::new(Arc::clone(input))?;
        wires.extend(model.wire_node(format!(".{position}"), constant, &[])?);
    }
    let wires = wire(&mut model, &node.name, operation, &wires)?;
    model.select_output_outlets(&wires)?;
    let results = TypedSimplePlan::new(model.into_typed()?)?.run(tvec![])?;
    let [result] = &results[..] else {
        bail!("it has several results");
    };
    Ok(result.clone().into_tensor())
}
