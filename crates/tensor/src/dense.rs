//! Small dense layers as one operator each.
//!
//! The runtime packs, multiplies and rectifies a batch in steps of their own, in tiles that are 64
//! outputs wide. Of a layer of a few hundred weights the arithmetic is a small part of that.

use crate::functions::Function;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DatumTypeExt, EvalContext, EvalOp, IntoTValue, Op, OutletId, StaticName,
    TValue, TVec, Tensor as Value, ToDim, TractResult, TypedFact, TypedModel, TypedModelPatch,
    TypedNode, TypedOp, bail, ensure,
};
use tract_onnx::tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_hir::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_hir::tract_core::ops::math::Add;
use tract_onnx::tract_hir::tract_core::{as_op, op_as_typed_op, op_out_of_plan};
use tract_onnx::tract_hir::tract_ndarray::Ix2;

/// Weights of a layer, at most. Three layers of so many, on a machine with AVX-512: one row takes
/// 1.2 us here and 4 us in the runtime, 16 rows 6 and 9, 64 rows 21 and 21, 256 rows 82 and 70.
const MOST_WEIGHTS: usize = 1_024;

/// Outputs that are summed up together, and rows: their sums are what 16 registers of four numbers
/// have room for.
const LANES: usize = 8;
const ROWS: usize = 4;

type Sums = [f32; LANES];

/// `f(x w + b)` of 32-bit numbers: rows of inputs to rows of outputs.
#[derive(Debug, Clone, PartialEq)]
struct Dense {
    /// Inputs of a row.
    depth: usize,
    /// Outputs of a row.
    width: usize,
    panels: Arc<[Panel]>,
    function: Option<Function>,
}

/// Up to [`LANES`] outputs; those beyond the last are zeros.
#[derive(Debug, Clone, PartialEq)]
struct Panel {
    biases: Sums,
    /// As many as there are inputs.
    weights: Vec<Sums>,
}

// A NaN among the weights makes a layer unequal to itself, which only keeps the runtime from
// merging two nodes.
impl Eq for Dense {}

impl Panel {
    #[inline(always)]
    fn sums<const COUNT: usize>(&self, rows: [&[f32]; COUNT]) -> [Sums; COUNT] {
        let mut sums = [self.biases; COUNT];
        let rows = rows.map(|row| row.get(..self.weights.len()).unwrap_or_default());
        for (number, weights) in self.weights.iter().enumerate() {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let value = row.get(number).copied().unwrap_or(f32::NAN);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
        }
        sums
    }
}

impl Dense {
    /// Of weights `[depth, width]`, or `[width, depth]`, and of biases for each output.
    fn new(
        weights: &Value,
        transposed: bool,
        biases: Option<&Value>,
        function: Option<Function>,
    ) -> TractResult<Dense> {
        let weights = weights.to_plain_array_view::<f32>()?;
        let weights = weights.into_dimensionality::<Ix2>()?;
        let weights = if transposed {
            weights.reversed_axes()
        } else {
            weights
        };
        let (depth, width) = weights.dim();
        let biases = match biases {
            Some(biases) => biases.try_as_plain_ram()?.as_slice::<f32>()?.to_vec(),
            None => vec![0.0; width],
        };
        ensure!(
            biases.len() == width,
            "{} biases of {width} outputs",
            biases.len()
        );
        let lanes = |values: &mut dyn Iterator<Item = f32>| {
            let mut lanes = [0.0; LANES];
            lanes
                .iter_mut()
                .zip(values)
                .for_each(|(to, value)| *to = value);
            lanes
        };
        let panel = |first: usize| Panel {
            biases: lanes(&mut biases.iter().skip(first).copied()),
            weights: weights
                .rows()
                .into_iter()
                .map(|row| lanes(&mut row.iter().skip(first).copied()))
                .collect(),
        };
        Ok(Dense {
            depth,
            width,
            panels: (0..width).step_by(LANES).map(panel).collect(),
            function,
        })
    }

    fn rows<const COUNT: usize>(&self, inputs: [&[f32]; COUNT], outputs: &mut [f32]) {
        for (number, panel) in self.panels.iter().enumerate() {
            let sums = panel.sums(inputs);
            for (row, sums) in outputs.chunks_exact_mut(self.width).zip(&sums) {
                let to = row.chunks_mut(LANES).nth(number).unwrap_or_default();
                if let Ok(to) = <&mut Sums>::try_from(&mut *to) {
                    *to = *sums;
                } else {
                    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = *sum);
                }
            }
        }
    }
}

impl Op for Dense {
    fn name(&self) -> StaticName {
        "Dense".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Dense {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 1, "a layer of {} inputs", inputs.len());
        let [count, depth] = *inputs[0].shape() else {
            bail!("a layer of {:?}", inputs[0].shape());
        };
        ensure!(depth == self.depth, "{depth} inputs, not {}", self.depth);
        let mut result = Value::zero_dt(f32::datum_type(), &[count, self.width])?;
        let mut plain = result.try_as_plain_ram_mut()?;
        let outputs = plain.as_slice_mut::<f32>()?;
        let values = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;

        let mut rows = values.chunks_exact(self.depth * ROWS);
        let mut blocks = outputs.chunks_exact_mut(self.width * ROWS);
        for (rows, block) in rows.by_ref().zip(blocks.by_ref()) {
            let mut rows = rows.chunks_exact(self.depth);
            self.rows([(); ROWS].map(|()| rows.next().unwrap_or_default()), block);
        }
        let left = blocks.into_remainder().chunks_exact_mut(self.width);
        for (row, to) in rows.remainder().chunks_exact(self.depth).zip(left) {
            self.rows([row], to);
        }
        if let Some(function) = self.function {
            function.single(outputs)?;
        }
        Ok([result.into_tvalue()].into_iter().collect())
    }
}

impl TypedOp for Dense {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 1, "a layer of {} inputs", inputs.len());
        ensure!(inputs[0].rank() == 2, "a layer of {:?}", inputs[0]);
        let shape = [inputs[0].shape[0].clone(), self.width.to_dim()];
        Ok([f32::datum_type().fact(shape)].into_iter().collect())
    }

    as_op!();
}

/// Replaces the products of a decluttered graph, with the sums and functions that follow them.
pub(crate) fn fuse(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let Some((dense, last)) = layer(model, model.node(id))? else {
            continue;
        };
        let node = model.node(id);
        let mut patch = TypedModelPatch::default();
        let inputs = patch.taps(model, node.inputs.get(..1).unwrap_or_default())?;
        let name = model.node(last).name.clone();
        let wires = patch.wire_node(name, dense, &inputs)?;
        for wire in wires {
            patch.shunt_outside(model, OutletId::new(last, 0), wire)?;
        }
        patch.apply(model)?;
    }
    Ok(())
}

/// The layer that begins with a node, and the last node of it.
fn layer(model: &TypedModel, node: &TypedNode) -> TractResult<Option<(Dense, usize)>> {
    let Some(transposed) = node.op_as::<EinSum>().and_then(transposed) else {
        return Ok(None);
    };
    let [rows, weights] = *node.inputs.as_slice() else {
        return Ok(None);
    };
    if model.outlet_fact(rows)?.datum_type != DatumType::F32 {
        return Ok(None);
    }
    let Some(weights) = constant(model, weights)? else {
        return Ok(None);
    };
    if weights.len() > MOST_WEIGHTS || weights.len() == 0 {
        return Ok(None);
    }
    let width = weights.shape().get(usize::from(!transposed)).copied();

    let mut last = node.id;
    let mut biases = None;
    if let Some(next) = follower(model, last)?
        && next
            .op_as::<TypedBinOp>()
            .is_some_and(|op| op.0.is::<Add>() && op.1.is_none())
    {
        for input in &next.inputs {
            if input.node != last
                && let Some(value) = constant(model, *input)?
                && Some(value.len()) == width
                && value.shape().last().copied() == width
            {
                biases = Some(value);
            }
        }
        if biases.is_some() {
            last = next.id;
        }
    }
    let mut function = None;
    if let Some(next) = follower(model, last)?
        && let Some(op) = next.op_as::<ElementWiseOp>().filter(|op| op.1.is_none())
        && let Some(found) = op.0.downcast_ref::<Function>()
    {
        function = Some(*found);
        last = next.id;
    }
    // A product that nothing follows, of values that come from outside, is no layer but a linear
    // model or a projection of raw features. The runtime's kernels round it as others do.
    let comes_from_a_layer = model.node(rows.node).op_is::<Dense>();
    if function.is_none() && !comes_from_a_layer {
        return Ok(None);
    }
    Ok(Some((
        Dense::new(&weights, transposed, biases.as_deref(), function)?,
        last,
    )))
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

/// Whether a product is one of matrices, whose result is not transposed, and then whether its
/// second matrix is.
fn transposed(product: &EinSum) -> Option<bool> {
    if product.operating_dt != DatumType::F32 || product.q_params.is_some() {
        return None;
    }
    // Of each axis of the product, where it is in the two inputs and in the output.
    let mut axes: Vec<[Option<usize>; 3]> = Vec::new();
    for axis in product.axes.iter_all_axes() {
        let mut places = [None; 3];
        let all = axis.inputs.iter().chain(&axis.outputs);
        for (place, found) in places.iter_mut().zip(all) {
            *place = match *found.as_slice() {
                [] => None,
                [position] => Some(position),
                _ => return None,
            };
        }
        axes.push(places);
    }
    axes.sort_unstable();
    let of = |depth: usize, width: usize| {
        [
            [None, Some(width), Some(1)],
            [Some(0), None, Some(0)],
            [Some(1), Some(depth), None],
        ]
    };
    [(of(0, 1), false), (of(1, 0), true)]
        .into_iter()
        .find_map(|(expected, transposed)| (axes == expected).then_some(transposed))
}

#[cfg(test)]
mod tests {
    use super::{Dense, EvalContext, EvalOp, IntoTValue, Value};
    use crate::functions::Function;
    use std::iter::once;

    /// Multiples of a quarter, so that sums are exact in any order.
    fn quarters(count: usize) -> Vec<f32> {
        (0..count)
            .map(|number| (number * 7 % 13) as f32 * 0.25 - 1.5)
            .collect()
    }

    fn eval(dense: &Dense, rows: &[f32]) -> Vec<f32> {
        let shape = [rows.len() / dense.depth, dense.depth];
        let input = Value::from_shape(&shape, rows).unwrap().into_tvalue();
        let inputs = once(input).collect();
        let outputs = dense.eval(&EvalContext::out_of_plan(), inputs).unwrap();
        let plain = outputs[0].try_as_plain_ram().unwrap();
        plain.as_slice::<f32>().unwrap().to_vec()
    }

    #[test]
    fn layers_of_any_shape_are_products_sums_and_functions() {
        for (count, depth, width) in [(1, 1, 1), (3, 5, 8), (4, 2, 9), (9, 11, 22), (0, 3, 3)] {
            let (rows, weights) = (quarters(count * depth), quarters(depth * width));
            let biases = quarters(width);
            let sum = |row: usize, column: usize, weight: &dyn Fn(usize) -> f32| {
                let products = (0..depth).map(|at| rows[row * depth + at] * weight(at));
                (products.sum::<f32>() + biases[column]).max(0.0)
            };
            for transposed in [false, true] {
                let shape = if transposed {
                    [width, depth]
                } else {
                    [depth, width]
                };
                let values = Value::from_shape(&shape, &weights).unwrap();
                let offsets = Value::from_shape(&[1, width], &biases).unwrap();
                let relu = Some(Function::Relu);
                let dense = Dense::new(&values, transposed, Some(&offsets), relu).unwrap();
                let mut expected = Vec::new();
                for (row, column) in (0..count * width).map(|at| (at / width, at % width)) {
                    expected.push(sum(row, column, &|at| {
                        weights[if transposed {
                            column * depth + at
                        } else {
                            at * width + column
                        }]
                    }));
                }
                assert_eq!(eval(&dense, &rows), expected, "{count} {depth} {width}");
            }
        }
    }

    #[test]
    fn nan_is_the_result_of_its_row_alone() {
        let weights = Value::from_shape(&[2, 3], &quarters(6)).unwrap();
        let dense = Dense::new(&weights, false, None, Some(Function::Relu)).unwrap();
        for bad in 0..6 {
            let mut rows = [1.0; 12];
            rows[bad * 2] = f32::NAN;
            for (row, outputs) in eval(&dense, &rows).chunks_exact(3).enumerate() {
                assert!(outputs.iter().all(|value| value.is_nan() == (row == bad)));
            }
        }
    }
}
