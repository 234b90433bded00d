//! The TensorFlow operators that are evaluated, each as TensorFlow's own definition has it
//! (`tensorflow/core/ops/*.cc`).

use super::attributes::{datum, float, integer, integers, text, truth};
use super::messages::NodeDef;
use crate::extremes::{Broadcast, Extreme};
use crate::functions::Function;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    BinIntoHir, DatumType, ElementWiseIntoHir, InferenceOp, Tensor as Value, expand,
};
use tract_onnx::tract_hir::ops::activations::{Elu, Selu, Softsign};
use tract_onnx::tract_hir::ops::nn::{LayerLogSoftmax, Reduce, Reducer, Softmax};
use tract_onnx::tract_hir::ops::{array, binary, cast, logic, math, matmul};

/// How a node becomes the runtime's.
pub(super) enum Operation {
    /// The first so many inputs, one after the other into one operator; of the others only the
    /// value counts, and it is in the operator already.
    Apply(usize, Box<dyn InferenceOp>),
    /// All inputs with a new axis, joined along it.
    Pack(isize),
    /// The first input through two operators.
    Chain(Box<dyn InferenceOp>, Box<dyn InferenceOp>),
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

/// The runtime's operator for a node, or what about the node is unsupported.
///
/// `constant` gives the value of an input, counted from the first, where it is a constant.
pub(super) fn operation(
    node: &NodeDef,
    arity: usize,
    constant: &dyn Fn(usize) -> Option<Arc<Value>>,
) -> Result<Operation, String> {
    let read = Inputs { arity, constant };
    let operation = match node.op.as_str() {
        "Abs" => unary(math::abs().into_hir()),
        "Ceil" => unary(math::ceil().into_hir()),
        "Cos" => unary(math::cos().into_hir()),
        "Erf" => unary(Function::Erf.operator()),
        "Erfc" => unary(Function::Erfc.operator()),
        "Exp" => unary(math::exp().into_hir()),
        "Floor" => unary(math::floor().into_hir()),
        "IsNan" => unary(math::is_nan().into_hir()),
        "Log" => unary(math::ln().into_hir()),
        "LogicalNot" => unary(logic::not().into_hir()),
        "Neg" => unary(math::neg().into_hir()),
        "Reciprocal" | "Inv" => unary(math::recip().into_hir()),
        "Rint" | "Round" => unary(math::round_half_to_even().into_hir()),
        "Rsqrt" => unary(math::rsqrt().into_hir()),
        "Sigmoid" => unary(Function::Sigmoid.operator()),
        "Sign" => unary(math::sign().into_hir()),
        "Sin" => unary(math::sin().into_hir()),
        "Sqrt" => unary(math::sqrt().into_hir()),
        "Square" => unary(math::square().into_hir()),
        "Tanh" => unary(Function::Tanh.operator()),

        "Elu" => unary(expand(Elu(1.0))),
        "LeakyRelu" => {
            let slope = float(node, "alpha").unwrap_or(0.2);
            unary(Function::LeakyRelu(slope).operator())
        }
        "Relu" => unary(Function::Relu.operator()),
        "Relu6" => unary(Function::Relu6.operator()),
        // Alpha and scale of Klambauer et al., Self-Normalizing Neural Networks.
        "Selu" => unary(expand(Selu(1.673_263_2, 1.050_701))),
        "Softplus" => unary(Function::Softplus.operator()),
        "Softsign" => unary(expand(Softsign)),
        "Softmax" => unary(expand(Softmax::new(-1))),
        "LogSoftmax" => unary(expand(LayerLogSoftmax {
            axis: -1,
            coerce_to_2d: false,
        })),

        "Add" | "AddV2" => both(math::Add.into_hir()),
        "AddN" => Operation::Apply(arity, Box::new(binary::Nary(Box::new(math::Add), false))),
        "BiasAdd" => match text(node, "data_format") {
            None | Some(b"NHWC") => both(math::Add.into_hir()),
            Some(_) => return Err("BiasAdd with channels first".to_owned()),
        },
        "Maximum" => both(expand(Broadcast(Extreme::Largest))),
        "Minimum" => both(expand(Broadcast(Extreme::Smallest))),
        "Mul" => both(math::Mul.into_hir()),
        "Pow" => both(floating(node, math::Pow.into_hir())?),
        "RealDiv" | "Div" => both(floating(node, math::Div.into_hir())?),
        "Sub" => both(math::Sub.into_hir()),

        "Equal" => both(logic::CompEq.into_hir()),
        "Greater" => both(logic::CompGT.into_hir()),
        "GreaterEqual" => both(logic::CompGTE.into_hir()),
        "Less" => both(logic::CompLT.into_hir()),
        "LessEqual" => both(logic::CompLTE.into_hir()),
        "LogicalAnd" => both(logic::And.into_hir()),
        "LogicalOr" => both(logic::Or.into_hir()),
        "NotEqual" => both(logic::CompNE.into_hir()),
        "SelectV2" => Operation::Apply(3, expand(logic::Iff)),

        "MatMul" => product(node, "transpose_a", "transpose_b"),
        "BatchMatMul" | "BatchMatMulV2" => product(node, "adj_x", "adj_y"),

        "ArgMax" => read.extreme(node, Reducer::ArgMax(false))?,
        "ArgMin" => read.extreme(node, Reducer::ArgMin(false))?,
        "Max" => read.reduction(node, Reducer::Max)?,
        "Mean" => read.reduction(node, Reducer::Mean)?,
        "Min" => read.reduction(node, Reducer::Min)?,
        "Prod" => read.reduction(node, Reducer::Prod)?,
        "Sum" => read.reduction(node, Reducer::Sum)?,

        "Cast" => unary(Box::new(cast::cast(
            datum(node, "DstT").map_err(|what| of(node, &what))?,
        ))),
        "ConcatV2" => {
            let last = arity
                .checked_sub(1)
                .ok_or_else(|| of(node, "without inputs"))?;
            Operation::Apply(last, expand(array::Concat::new(read.axis(node, last)?)))
        }
        "ExpandDims" => unary(expand(array::AddDims::new(vec![
            read.axis(node, 1)? as isize
        ]))),
        "GatherV2" => match integer(node, "batch_dims") {
            0 => Operation::Apply(2, expand(array::Gather::new(read.axis(node, 2)?))),
            _ => return Err("GatherV2 with batch_dims".to_owned()),
        },
        "Pack" => Operation::Pack(integer(node, "axis") as isize),
        "Reshape" => Operation::Apply(2, expand(array::Reshape::new(true))),
        "Shape" => unary(expand(array::Shape::new(DatumType::TDim))),
        "Squeeze" => squeeze(node)?,
        "StridedSlice" => slice(node)?,
        "Transpose" => {
            let axes = read.axes(node, 1)?.into_iter().map(usize::try_from);
            let axes = axes
                .collect::<Result<_, _>>()
                .map_err(|_| of(node, "of negative axes"))?;
            unary(expand(array::PermuteAxes::new(Some(axes))))
        }
        operator => return Err(operator.to_owned()),
    };
    let taken = match &operation {
        Operation::Apply(taken, _) => *taken,
        Operation::Pack(_) | Operation::Chain(..) => 1,
    };
    if taken == 0 || taken > arity {
        return Err(of(node, &format!("with {arity} inputs")));
    }
    Ok(operation)
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

/// The runtime's integers wrap where TensorFlow fails, or round another way.
fn floating(
    node: &NodeDef,
    operator: Box<dyn InferenceOp>,
) -> Result<Box<dyn InferenceOp>, String> {
    match datum(node, "T").map_err(|what| of(node, &what))? {
        DatumType::F32 | DatumType::F64 => Ok(operator),
        _ => Err(of(node, "of integers")),
    }
}

fn product(node: &NodeDef, left: &str, right: &str) -> Operation {
    let product = matmul::MatMulInference::default()
        .with_a_trans(truth(node, left))
        .with_b_trans(truth(node, right));
    both(expand(product))
}

/// Which axes are dropped has to be in the graph: without a list it depends on the batch.
fn squeeze(node: &NodeDef) -> Result<Operation, String> {
    let mut axes: Vec<isize> = integers(node, "squeeze_dims")
        .iter()
        .map(|axis| *axis as isize)
        .collect();
    axes.sort_unstable();
    let mixed = axes.first().is_some_and(|axis| *axis < 0) && axes.last() >= Some(&0);
    if axes.is_empty() || mixed {
        return Err(of(node, "of axes that are not named"));
    }
    Ok(unary(expand(array::Squeeze::new(Some(axes)))))
}

fn slice(node: &NodeDef) -> Result<Operation, String> {
    if integer(node, "ellipsis_mask") != 0 || integer(node, "new_axis_mask") != 0 {
        return Err(of(node, "with an ellipsis or a new axis"));
    }
    let slice = array::StridedSlice {
        begin_mask: integer(node, "begin_mask"),
        end_mask: integer(node, "end_mask"),
        shrink_axis_mask: integer(node, "shrink_axis_mask"),
        optional_axes_input: None,
        optional_steps_input: Some(3),
    };
    Ok(Operation::Apply(4, Box::new(slice)))
}

/// The inputs of a node, as far as they are constants.
struct Inputs<'a> {
    arity: usize,
    constant: &'a dyn Fn(usize) -> Option<Arc<Value>>,
}

impl Inputs<'_> {
    /// An input's integers; they have to be a constant.
    fn axes(&self, node: &NodeDef, input: usize) -> Result<Vec<i64>, String> {
        let missing = || of(node, "along an axis that is not constant");
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

    fn axis(&self, node: &NodeDef, input: usize) -> Result<i64, String> {
        match self.axes(node, input)?.as_slice() {
            [axis] if axis.unsigned_abs() <= 64 => Ok(*axis),
            _ => Err(of(node, "along several axes")),
        }
    }

    fn reduction(&self, node: &NodeDef, reducer: Reducer) -> Result<Operation, String> {
        let axes = self.axes(node, 1)?;
        Ok(unary(expand(Reduce::new(
            Some(axes),
            truth(node, "keep_dims"),
            reducer,
        ))))
    }

    fn extreme(&self, node: &NodeDef, reducer: Reducer) -> Result<Operation, String> {
        let index = expand(Reduce::new(Some(vec![self.axis(node, 1)?]), false, reducer));
        let datum = datum(node, "output_type").unwrap_or(DatumType::I64);
        Ok(Operation::Chain(index, Box::new(cast::cast(datum))))
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
