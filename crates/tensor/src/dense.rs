//! Dense layers that follow each other as one operator.
//!
//! The runtime packs, multiplies, adds and rectifies a batch in steps of their own, each of which
//! goes over all of it.

use crate::functions::Function;
use crate::lanes::Machine;
use crate::layers::{Activation, Layer, Layers, Memory, Operation, Preparation};
use crate::softmax::Softmax;
use std::collections::HashSet;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DatumTypeExt, EvalContext, EvalOp, IntoTValue, Op, OutletId, StaticName,
    TDim, TValue, TVec, Tensor as Value, ToDim, TractResult, TypedFact, TypedModel,
    TypedModelPatch, TypedNode, TypedOp, bail, ensure,
};
use tract_onnx::tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_hir::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_hir::tract_core::ops::math::{Add, Div, Mul, Sub};
use tract_onnx::tract_hir::tract_core::ops::nn;
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};

/// Layers: rows of inputs to rows of outputs.
#[derive(Debug, Clone)]
struct Dense(Arc<Layers>);

impl PartialEq for Dense {
    fn eq(&self, other: &Dense) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Dense {}

impl Op for Dense {
    fn name(&self) -> StaticName {
        "Dense".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} layers", self.0.len())])
    }

    op_as_typed_op!();
}

impl EvalOp for Dense {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 1, "a layer of {} inputs", inputs.len());
        let Some(shape) = self.0.output_shape(inputs[0].shape()) else {
            bail!("a layer of {:?}", inputs[0].shape());
        };
        let mut result = Value::zero_dt(f32::datum_type(), &shape)?;
        let mut plain = result.try_as_plain_ram_mut()?;
        let outputs = plain.as_slice_mut::<f32>()?;
        let rows = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        self.0.score(rows, outputs, &mut Memory::default());
        Ok([result.into_tvalue()].into_iter().collect())
    }
}

impl TypedOp for Dense {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 1, "a layer of {} inputs", inputs.len());
        let rank = inputs[0].rank();
        ensure!(rank > self.0.axes(), "a layer of {:?}", inputs[0]);
        let rows = inputs[0].shape.iter().take(rank - self.0.axes()).cloned();
        let shape: TVec<TDim> = rows.chain([self.0.width().to_dim()]).collect();
        Ok([f32::datum_type().fact(shape)].into_iter().collect())
    }

    as_op!();
}

/// Replaces the products of a decluttered graph, with the sums and functions that follow them, and
/// what of softmax is left.
pub(crate) fn fuse(model: &mut TypedModel) -> TractResult<()> {
    let mut done = HashSet::new();
    for id in model.eval_order()? {
        if done.contains(&id) {
            continue;
        }
        let node = model.node(id);
        let Some(input) = node.inputs.first().copied() else {
            continue;
        };
        let (operator, input, last): (Box<dyn TypedOp>, OutletId, usize) =
            if let Some(found) = layers(model, node)? {
                let last = found.nodes.last().copied().unwrap_or(id);
                done.extend(found.nodes);
                (Box::new(Dense(Arc::new(found.layers))), found.input, last)
            } else if is_softmax(model, node)? {
                (Box::new(Softmax), input, id)
            } else {
                continue;
            };
        let mut patch = TypedModelPatch::default();
        let inputs = patch.taps(model, &[input])?;
        let wires = patch.wire_node(model.node(last).name.clone(), operator, &inputs)?;
        for wire in wires {
            patch.shunt_outside(model, OutletId::new(last, 0), wire)?;
        }
        patch.apply(model)?;
    }
    Ok(())
}

/// The layers that a graph consists of, if there is nothing else in it.
pub(crate) fn only(model: &TypedModel) -> Option<Arc<Layers>> {
    let ([input], [output]) = (model.inputs.as_slice(), model.outputs.as_slice()) else {
        return None;
    };
    let node = model.nodes().get(output.node)?;
    let dense = node.op_as::<Dense>()?;
    (node.inputs.as_slice() == [*input]).then(|| Arc::clone(&dense.0))
}

/// Layers of a graph.
struct Found {
    layers: Layers,
    /// What they take.
    input: OutletId,
    /// Their nodes; the last one has what they put out.
    nodes: Vec<usize>,
}

/// The layers that begin with a product.
fn layers(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Found>> {
    let machine = Machine::here();
    let mut nodes = Vec::new();
    let Some((first, Product { axes, .. })) = layer(model, node, machine, &mut nodes)? else {
        return Ok(None);
    };
    // A product that nothing follows, of values that come from outside, is no layer but a linear
    // model or a projection of raw features. The runtime's kernels round it as others do.
    if first.is_linear() {
        return Ok(None);
    }
    let mut input = node.inputs[0];
    let mut preparations = Vec::new();
    while let Some((before, preparation)) = preparation(model, input, first.depth(), axes)? {
        input = before;
        preparations.insert(0, preparation);
    }
    let mut others = Vec::new();
    while let Some(last) = nodes.last().copied()
        && let Some(next) = follower(model, last)?
        && next.inputs.first() == Some(&OutletId::new(last, 0))
        // Of more axes, several rows of outputs would be one of inputs.
        && next.op_as::<EinSum>().and_then(Product::of).is_some_and(|product| product.axes == 1)
        && let Some((layer, _)) = layer(model, next, machine, &mut nodes)?
    {
        others.push(layer);
    }
    Ok(Some(Found {
        layers: Layers::new(machine, axes, preparations, first, others),
        input,
        nodes,
    }))
}

/// What is done to rows before a product with a number for each of their elements, and to what.
fn preparation(
    model: &TypedModel,
    rows: OutletId,
    depth: usize,
    axes: usize,
) -> TractResult<Option<(OutletId, Preparation)>> {
    let node = model.node(rows.node);
    let Some(op) = node.op_as::<TypedBinOp>().filter(|op| op.1.is_none()) else {
        return Ok(None);
    };
    let [left, right] = *node.inputs.as_slice() else {
        return Ok(None);
    };
    if follower(model, node.id)?.is_none() {
        return Ok(None);
    }
    let operation = if op.0.is::<Add>() {
        Operation::Add
    } else if op.0.is::<Sub>() {
        Operation::Subtract
    } else if op.0.is::<Mul>() {
        Operation::Multiply
    } else if op.0.is::<Div>() {
        Operation::Divide
    } else {
        return Ok(None);
    };
    let both_ways = matches!(operation, Operation::Add | Operation::Multiply);
    let (input, numbers) = match (constant(model, left)?, constant(model, right)?) {
        (None, Some(numbers)) => (left, numbers),
        (Some(numbers), None) if both_ways => (right, numbers),
        _ => return Ok(None),
    };
    if model.outlet_fact(input)?.shape != model.outlet_fact(rows)?.shape {
        return Ok(None);
    }
    let before = numbers.rank().saturating_sub(axes);
    let same_for_all = numbers
        .shape()
        .iter()
        .take(before)
        .all(|length| *length == 1);
    let numbers = numbers.try_as_plain_ram()?.as_slice::<f32>()?;
    let numbers = match *numbers {
        [number] => vec![number; depth],
        _ if numbers.len() == depth && same_for_all => numbers.to_vec(),
        _ => return Ok(None),
    };
    Ok(Some((input, Preparation::new(operation, &numbers))))
}

/// The layer that begins with a node, whose nodes are added to those of the layers before it.
fn layer(
    model: &TypedModel,
    node: &TypedNode,
    machine: Machine,
    nodes: &mut Vec<usize>,
) -> TractResult<Option<(Layer, Product)>> {
    let Some(product) = node.op_as::<EinSum>().and_then(Product::of) else {
        return Ok(None);
    };
    let [rows, weights] = *node.inputs.as_slice() else {
        return Ok(None);
    };
    if model.outlet_fact(rows)?.datum_type != DatumType::F32 {
        return Ok(None);
    }
    let Some(weights) = constant(model, weights)?.filter(|weights| weights.len() > 0) else {
        return Ok(None);
    };
    let weights = weights.to_plain_array_view::<f32>()?;
    let weights = weights.permuted_axes(product.order.as_slice());
    let width = weights.shape().last().copied().unwrap_or(1);
    let weights = weights.as_standard_layout();

    let mut last = node.id;
    nodes.push(last);
    let mut biases = None;
    if let Some(next) = follower(model, last)?
        && next
            .op_as::<TypedBinOp>()
            .is_some_and(|op| op.0.is::<Add>() && op.1.is_none())
    {
        for input in &next.inputs {
            if input.node != last
                && let Some(value) = constant(model, *input)?
                && value.len() == width
                && value.shape().last() == Some(&width)
            {
                biases = Some(value.try_as_plain_ram()?.as_slice::<f32>()?.to_vec());
            }
        }
        if biases.is_some() {
            last = next.id;
            nodes.push(last);
        }
    }
    let mut activation = None;
    if let Some(next) = follower(model, last)? {
        let function = next.op_as::<ElementWiseOp>().filter(|op| op.1.is_none());
        if let Some(function) = function.and_then(|op| op.0.downcast_ref::<Function>()) {
            activation = Some(Activation::Each(*function));
        } else if is_softmax(model, next)? {
            activation = Some(Activation::Softmax);
        }
        if activation.is_some() {
            nodes.push(next.id);
        }
    }
    let biases = biases.unwrap_or_else(|| vec![0.0; width]);
    let Some(weights) = weights.as_slice() else {
        return Ok(None);
    };
    let layer = Layer::new(machine, weights, &biases, activation);
    Ok(Some((layer, product)))
}

/// Whether a node is a softmax of 32-bit numbers over the last axis.
fn is_softmax(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let Some(op) = node.op_as::<nn::Softmax>() else {
        return Ok(false);
    };
    let [input] = *node.inputs.as_slice() else {
        return Ok(false);
    };
    let fact = model.outlet_fact(input)?;
    Ok(fact.datum_type == DatumType::F32
        && op.kind == nn::SoftmaxKind::Softmax
        && op.quant_output_dt.is_none()
        && matches!(*op.axes, [axis] if axis + 1 == fact.rank()))
}

/// The only node that takes what a node computes, unless it is asked for as well.
fn follower(model: &TypedModel, id: usize) -> TractResult<Option<&TypedNode>> {
    if model.outputs.iter().any(|output| output.node == id) {
        return Ok(None);
    }
    model.single_succ(id)
}

fn constant(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Arc<Value>>> {
    let value = model.outlet_fact(outlet)?.konst.clone();
    Ok(value.filter(|value| value.datum_type() == DatumType::F32))
}

/// A product of rows with a matrix.
struct Product {
    /// The axes of the input that a row has; before them are those of the rows.
    axes: usize,
    /// The axes of the weights: those of a row in their order, then that of the outputs.
    order: Vec<usize>,
}

impl Product {
    /// Of what rows follow each other, have outputs that do, too.
    fn of(op: &EinSum) -> Option<Product> {
        if op.operating_dt != DatumType::F32 || op.q_params.is_some() {
            return None;
        }
        let mut rows = Vec::new();
        let mut shared = Vec::new();
        let mut outputs = Vec::new();
        for axis in op.axes.iter_all_axes() {
            // Where it is in the two inputs and in the output.
            let mut places = [None; 3];
            let all = axis.inputs.iter().chain(&axis.outputs);
            for (place, found) in places.iter_mut().zip(all) {
                *place = match *found.as_slice() {
                    [] => None,
                    [position] => Some(position),
                    _ => return None,
                };
            }
            match places {
                [Some(from), None, Some(to)] if from == to => rows.push(from),
                [Some(from), Some(weight), None] => shared.push((from, weight)),
                [None, Some(weight), Some(to)] => outputs.push((weight, to)),
                _ => return None,
            }
        }
        let [(width, to)] = *outputs.as_slice() else {
            return None;
        };
        rows.sort_unstable();
        shared.sort_unstable();
        let shared_from = shared.iter().map(|(from, _)| *from);
        let in_order = rows
            .iter()
            .copied()
            .chain(shared_from)
            .eq(0..rows.len() + shared.len());
        if rows.is_empty() || shared.is_empty() || !in_order || to != rows.len() {
            return None;
        }
        Some(Product {
            axes: shared.len(),
            order: shared
                .iter()
                .map(|(_, weight)| *weight)
                .chain([width])
                .collect(),
        })
    }
}
