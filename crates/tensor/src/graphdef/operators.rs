//! The TensorFlow operators that are evaluated, each as TensorFlow's own definition has it
//! (`tensorflow/core/ops/*.cc`).

mod arithmetic;
mod convolution;
mod images;
mod indexing;
mod pooling;
mod reductions;
mod shapes;
mod slices;

use super::attributes::datum;
use super::messages::NodeDef;
use super::routine::known;
use crate::lowering::{lower, lower_to};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    DatumType, InferenceOp, OutletId, TDim, TVec, Tensor as Value, TractResult, TypedModel,
};

/// How a node becomes the runtime's.
pub(super) enum Operation {
    /// The first so many inputs into one operator; of the others only the value counts, and it is
    /// in the operator already.
    Apply(usize, Box<dyn InferenceOp>),
    /// The inputs at these places into one operator.
    Pick(&'static [usize], Box<dyn InferenceOp>),
    /// All inputs with a new axis, joined along it.
    Pack(isize),
    /// The first so many inputs into the first operator, and its result through the others.
    Chain(usize, Vec<Box<dyn InferenceOp>>),
}

/// Whether an operator only has an effect, and no result to ask for.
pub(super) fn is_effect(operator: &str) -> bool {
    matches!(
        operator,
        "NoOp"
            | "Assert"
            | "Print"
            | "PrintV2"
            | "SaveV2"
            | "RestoreV2"
            | "MergeV2Checkpoints"
            | "ShardedFilename"
    ) || operator.starts_with("Assign")
        || operator.ends_with("Summary")
        || operator.ends_with("SummaryV2")
}

/// Whether an operator hands on what it gets: of each output the input with the same number.
pub(super) fn is_alias(operator: &str) -> bool {
    matches!(
        operator,
        "Identity"
            | "IdentityN"
            | "StopGradient"
            | "PreventGradient"
            | "Snapshot"
            | "PlaceholderWithDefault"
    )
}

/// Operators that copy their elements, of whatever type.
const COPIES: &[&str] = &[
    "BroadcastTo",
    "Cast",
    "ConcatV2",
    "DepthToSpace",
    "EnsureShape",
    "ExpandDims",
    "Fill",
    "Gather",
    "GatherNd",
    "GatherV2",
    "MatrixBandPart",
    "MirrorPad",
    "OneHot",
    "Pack",
    "Rank",
    "Reshape",
    "ResizeNearestNeighbor",
    "ReverseV2",
    "SelectV2",
    "Shape",
    "Size",
    "Slice",
    "SpaceToDepth",
    "Split",
    "SplitV",
    "Squeeze",
    "StridedSlice",
    "Tile",
    "Transpose",
    "Unpack",
];

/// The runtime's operator for a node, or what about the node is unsupported.
///
/// `constant` gives the value of an input, counted from the first, where it is a constant.
pub(super) fn operation(
    node: &NodeDef,
    arity: usize,
    constant: &dyn Fn(usize) -> Option<Arc<Value>>,
) -> Result<Operation, String> {
    let read = Inputs {
        node,
        arity,
        constant,
    };
    let families = [
        arithmetic::operation,
        shapes::operation,
        slices::operation,
        indexing::operation,
        reductions::operation,
        convolution::operation,
        pooling::operation,
        images::operation,
    ];
    let mut found = None;
    for family in families {
        found = family(&read)?;
        if found.is_some() {
            break;
        }
    }
    let Some(operation) = found else {
        return Err(node.op.clone());
    };
    check_types(node)?;
    let taken = match &operation {
        Operation::Apply(taken, _) | Operation::Chain(taken, _) => *taken,
        Operation::Pick(places, _) => places.iter().max().map_or(0, |place| place + 1),
        Operation::Pack(_) => 1,
    };
    if taken == 0 || taken > arity {
        return Err(of(node, &format!("with {arity} inputs")));
    }
    Ok(operation)
}

/// Refuses to compute with types of elements that the runtime computes with in another way.
fn check_types(node: &NodeDef) -> Result<(), String> {
    if COPIES.contains(&node.op.as_str()) {
        return Ok(());
    }
    for attribute in ["T", "Ta", "Tb", "Tout"] {
        if !node.attr.contains_key(attribute) {
            continue;
        }
        let found = datum(node, attribute).map_err(|what| of(node, &what))?;
        let full = matches!(
            found,
            DatumType::F32 | DatumType::F64 | DatumType::I32 | DatumType::I64 | DatumType::Bool
        );
        if !full {
            return Err(of(node, &format!("of type {found:?}").to_lowercase()));
        }
    }
    Ok(())
}

/// The type of a node's result, where that is a count of elements.
pub(super) fn counted(node: &NodeDef) -> DatumType {
    let names = ["out_type", "DstT", "T", "Tparams", "dtype"];
    let found = names.iter().find_map(|name| datum(node, name).ok());
    // A shape's elements are of 32 bits unless it says something else.
    match found {
        Some(DatumType::I64) if node.op != "Shape" || node.attr.contains_key("out_type") => {
            DatumType::I64
        }
        _ => DatumType::I32,
    }
}

/// Names a form of an operator.
fn of(node: &NodeDef, what: &str) -> String {
    format!("{} {what}", node.op)
}

fn unary(operator: Box<dyn InferenceOp>) -> Operation {
    Operation::Apply(1, operator)
}

fn both(operator: Box<dyn InferenceOp>) -> Operation {
    Operation::Apply(2, operator)
}

/// Of floating point numbers only.
fn floating(
    node: &NodeDef,
    operator: Box<dyn InferenceOp>,
) -> Result<Box<dyn InferenceOp>, String> {
    match datum(node, "T").map_err(|what| of(node, &what))? {
        DatumType::F32 | DatumType::F64 => Ok(operator),
        _ => Err(of(node, "of integers")),
    }
}

/// A node and its inputs, as far as they are constants.
struct Inputs<'a> {
    node: &'a NodeDef,
    arity: usize,
    constant: &'a dyn Fn(usize) -> Option<Arc<Value>>,
}

impl Inputs<'_> {
    /// An input's integers; they have to be a constant.
    fn axes(&self, input: usize) -> Result<Vec<i64>, String> {
        let missing = || of(self.node, "along an axis that is not constant");
        if input >= self.arity {
            return Err(missing());
        }
        let value = (self.constant)(input).ok_or_else(missing)?;
        // No tensor of the runtime has that many axes.
        if value.len() > 64 || !matches!(value.datum_type(), DatumType::I32 | DatumType::I64) {
            return Err(missing());
        }
        integers_of(&value).ok_or_else(missing)
    }

    /// An operator of one input along axes that are the value of another, which the graph may
    /// first have to put together.
    fn along(
        &self,
        input: usize,
        name: &'static str,
        wire: impl Fn(&[i64], &str, &mut TypedModel, OutletId) -> TractResult<TVec<OutletId>>
        + Send
        + Sync
        + 'static,
    ) -> Operation {
        if let Ok(axes) = self.axes(input) {
            return unary(lower(name, move |prefix, model, inputs| {
                wire(&axes, prefix, model, inputs[0])
            }));
        }
        both(lower_to(name, &[1], 1, move |prefix, model, inputs| {
            let axes = known(model, inputs[1])?;
            let axes: Result<Vec<i64>, _> = axes.iter().map(TDim::to_i64).collect();
            wire(&axes?, prefix, model, inputs[0])
        }))
    }

    fn axis(&self, input: usize) -> Result<i64, String> {
        match self.axes(input)?.as_slice() {
            [axis] if axis.unsigned_abs() <= 64 => Ok(*axis),
            _ => Err(of(self.node, "along several axes")),
        }
    }
}

fn integers_of(value: &Value) -> Option<Vec<i64>> {
    let wide = value.cast_to::<i64>().ok()?;
    Some(
        wide.try_as_plain_ram()
            .ok()?
            .as_slice::<i64>()
            .ok()?
            .to_vec(),
    )
}
