//! Arithmetic, element by element.

use super::super::attributes::{datum, flag, float, text, truth};
use super::super::routine::{Routine, own};
use super::{Inputs, Operation, both, floating, of, unary};
use crate::elements::{broadcast, dispatch_numbers, map, truncated, truncated_to_32};
use crate::extremes::Extreme;
use crate::functions::Function;
use crate::lowering::{Form, lower};
use crate::mended::log_softmax_operator;
use tract_onnx::tract_hir::internal::{
    AxisOp, BinIntoHir, Datum, DatumType, ElementWiseIntoHir, ElementWiseMiniOp, Expansion,
    InferenceOp, OutletId, SpecialOps, TVec, Tensor as Value, TractResult, TypedModel, bail,
    ensure, expand,
};
use tract_onnx::tract_hir::ops::activations::{Elu, Selu, Softsign};
use tract_onnx::tract_hir::ops::binary::{InferenceBinOp, Nary, wire_cast, wire_rank_broadcast};
use tract_onnx::tract_hir::ops::nn::Softmax;
use tract_onnx::tract_hir::ops::{logic, math};
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::tract_core::ops::binary::BinMiniOp;
use tract_onnx::tract_hir::tract_core::ops::element_wise::ElementWiseOp;

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let node = read.node;
    let function =
        |function: Function| Ok::<_, String>(unary(floating(node, function.operator())?));
    let real = |operator| Ok::<_, String>(unary(floating(node, operator)?));
    let elementary = |which: Elementary| {
        let operator = ElementWiseOp(Box::new(which), None).into_hir();
        Ok::<_, String>(unary(floating(node, operator)?))
    };
    let operation = match node.op.as_str() {
        "Abs" => unary(math::abs().into_hir()),
        "Ceil" => real(math::ceil().into_hir())?,
        "Cos" => real(math::cos().into_hir())?,
        "Exp" => real(math::exp().into_hir())?,
        "Floor" => real(math::floor().into_hir())?,
        "IsNan" => routine(node, 1, "IsNan", Kind(Class::Nan))?,
        "Log" => real(math::ln().into_hir())?,
        "LogicalNot" => unary(logic::not().into_hir()),
        "Neg" => unary(math::neg().into_hir()),
        "Reciprocal" | "Inv" => real(math::recip().into_hir())?,
        "Rint" | "Round" => elementary(Elementary::Rint)?,
        "Rsqrt" => real(math::rsqrt().into_hir())?,
        "Sin" => real(math::sin().into_hir())?,
        "Sqrt" => real(math::sqrt().into_hir())?,
        "Square" => unary(lower("Square", squared)),
        "Sign" => real(math::sign().into_hir())?,
        "Erf" => function(Function::Erf)?,
        "Erfc" => function(Function::Erfc)?,
        "Sigmoid" => function(Function::Sigmoid)?,
        "Tanh" => function(Function::Tanh)?,
        "Acos" => elementary(Elementary::Acos)?,
        "Acosh" => elementary(Elementary::Acosh)?,
        "Asin" => elementary(Elementary::Asin)?,
        "Asinh" => elementary(Elementary::Asinh)?,
        "Atan" => elementary(Elementary::Atan)?,
        "Atanh" => elementary(Elementary::Atanh)?,
        "Cosh" => elementary(Elementary::Cosh)?,
        "Expm1" => elementary(Elementary::Expm1)?,
        "Log1p" => elementary(Elementary::Log1p)?,
        "Sinh" => elementary(Elementary::Sinh)?,
        "Tan" => elementary(Elementary::Tan)?,
        "CheckNumerics" | "CheckNumericsV2" => elementary(Elementary::Checked)?,
        "IsFinite" => routine(node, 1, "IsFinite", Kind(Class::Finite))?,
        "IsInf" => routine(node, 1, "IsInf", Kind(Class::Infinite))?,

        "Elu" => real(expand(Elu(1.0)))?,
        "LeakyRelu" => function(Function::LeakyRelu(float(node, "alpha").unwrap_or(0.2)))?,
        "Relu" => function(Function::Relu)?,
        "Relu6" => function(Function::Relu6)?,
        // Alpha and scale of Klambauer et al., Self-Normalizing Neural Networks.
        "Selu" => real(expand(Selu(1.673_263_2, 1.050_701)))?,
        "Softplus" => function(Function::Softplus)?,
        "Softsign" => real(expand(Softsign))?,
        "Softmax" => real(expand(Softmax::new(-1)))?,
        "LogSoftmax" => real(log_softmax_operator(-1, false))?,

        "Add" | "AddV2" => both(math::Add.into_hir()),
        "AddN" => Operation::Apply(read.arity, Box::new(Nary(Box::new(math::Add), false))),
        "BiasAdd" => match text(node, "data_format") {
            None | Some(b"NHWC") => both(math::Add.into_hir()),
            Some(_) => return Err("BiasAdd with channels first".to_owned()),
        },
        "Maximum" => both(Extreme::Largest.operator()),
        "Minimum" => both(Extreme::Smallest.operator()),
        "ClipByValue" => Operation::Apply(3, lower("ClipByValue", clip)),
        "Mul" => both(multiplied(read)),
        "Sub" => both(math::Sub.into_hir()),
        "SquaredDifference" => {
            Operation::Chain(2, vec![math::Sub.into_hir(), lower("Square", squared)])
        }
        "RealDiv" => both(floating(node, math::Div.into_hir())?),
        "Div" if is_real(read)? => both(math::Div.into_hir()),
        "Div" | "TruncateDiv" => both(pair("Div", Pair::TruncateDiv)),
        "FloorDiv" => both(pair("FloorDiv", Pair::FloorDiv)),
        "FloorMod" => both(pair("FloorMod", Pair::FloorMod)),
        "Mod" | "TruncateMod" => both(pair("Mod", Pair::TruncateMod)),
        "Pow" if is_real(read)? => both(math::Pow.into_hir()),
        "Pow" => both(pair("Pow", Pair::Pow)),
        "Atan2" => both(floating(node, pair("Atan2", Pair::Atan2))?),
        "DivNoNan" => both(floating(node, pair("DivNoNan", Pair::DivNoNan))?),
        "MulNoNan" => both(floating(node, pair("MulNoNan", Pair::MulNoNan))?),
        "Xdivy" => both(floating(node, pair("Xdivy", Pair::Xdivy))?),
        "Xlogy" => both(floating(node, pair("Xlogy", Pair::Xlogy))?),
        "Xlog1py" => both(floating(node, pair("Xlog1py", Pair::Xlog1py))?),

        "Equal" => both(compared(read, || Box::new(logic::CompEq))?),
        "Greater" => both(logic::CompGT.into_hir()),
        "GreaterEqual" => both(logic::CompGTE.into_hir()),
        "Less" => both(logic::CompLT.into_hir()),
        "LessEqual" => both(logic::CompLTE.into_hir()),
        "NotEqual" => both(compared(read, || Box::new(logic::CompNE))?),
        "LogicalAnd" => both(logic::And.into_hir()),
        "LogicalOr" => both(logic::Or.into_hir()),
        "SelectV2" => Operation::Apply(3, expand(logic::Iff)),
        "Select" => Operation::Apply(3, lower("Select", select)),
        "Cast" => {
            if truth(node, "Truncate") {
                return Err(of(node, "with truncation"));
            }
            let to = datum(node, "DstT").map_err(|what| of(node, &what))?;
            unary(lower("Cast", move |prefix, model, inputs| {
                convert(to, prefix, model, inputs)
            }))
        }
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

/// A comparison. Shapes that do not fit are an error unless the node says that they are just not
/// equal.
fn compared(
    read: &Inputs<'_>,
    comparison: fn() -> Box<dyn BinMiniOp>,
) -> Result<Box<dyn InferenceOp>, String> {
    // By default true, and left out by exporters.
    if flag(read.node, "incompatible_shape_error") == Some(false) {
        return Err(of(read.node, "of shapes that may not fit"));
    }
    Ok(lower("Comparison", move |prefix, model, inputs| {
        let mut wires: TVec<OutletId> = inputs.iter().copied().collect();
        if model.outlet_fact(inputs[0])?.datum_type == DatumType::Bool {
            // The runtime compares numbers only.
            wires = wire_cast(prefix, model, inputs, DatumType::I32)?;
        }
        InferenceBinOp(comparison()).wire(prefix, model, &wires)
    }))
}

/// The runtime forgets what is multiplied by nothing but zeros, which may be NaN.
fn multiplied(read: &Inputs<'_>) -> Box<dyn InferenceOp> {
    let zeros = |input| {
        (read.constant)(input).is_some_and(|value| {
            let number = value.cast_to::<f64>().ok();
            let plain = number
                .as_ref()
                .and_then(|value| value.try_as_plain_ram().ok());
            let numbers = plain
                .as_ref()
                .and_then(|plain| plain.as_slice::<f64>().ok());
            numbers.is_some_and(|numbers| numbers.iter().all(|x| *x == 0.0))
        })
    };
    let real = matches!(datum(read.node, "T"), Ok(DatumType::F32 | DatumType::F64));
    if real && (zeros(0) || zeros(1)) {
        return pair("Mul", Pair::Mul);
    }
    math::Mul.into_hir()
}

fn squared(
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    if model.outlet_fact(inputs[0])?.datum_type == DatumType::I64 {
        // The runtime makes a square of the product, too, and has none of these.
        return own(Pair::Mul, prefix, model, &[inputs[0], inputs[0]]);
    }
    model.wire_node(prefix, math::square(), inputs)
}

fn is_real(read: &Inputs<'_>) -> Result<bool, String> {
    match datum(read.node, "T").map_err(|what| of(read.node, &what))? {
        DatumType::F32 | DatumType::F64 => Ok(true),
        DatumType::I32 | DatumType::I64 => Ok(false),
        _ => Err(of(read.node, "of small integers")),
    }
}

fn routine(
    node: &super::super::messages::NodeDef,
    taken: usize,
    name: &'static str,
    routine: impl Routine,
) -> Result<Operation, String> {
    let operator = lower(name, move |prefix, model, inputs| {
        own(routine.clone(), prefix, model, inputs)
    });
    Ok(Operation::Apply(taken, floating(node, operator)?))
}

/// A value between two others; TensorFlow takes the larger of it and the lower bound last.
fn clip(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [value, low, high] = *inputs else {
        bail!("ClipByValue of {} inputs", inputs.len());
    };
    let form = model.outlet_fact(value)?.shape.to_tvec();
    let below = Extreme::Smallest.wire(&format!("{prefix}.low"), model, &[value, high])?;
    let wires = Extreme::Largest.wire(prefix, model, &[below[0], low])?;
    ensure!(
        model.outlet_fact(wires[0])?.shape.to_tvec() == form,
        "bounds of another shape"
    );
    Ok(wires)
}

/// Rows, or elements, of the one or the other input.
fn select(
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let [mut condition, left, right] = *inputs else {
        bail!("Select of {} inputs", inputs.len());
    };
    let form = model.outlet_fact(left)?.shape.to_tvec();
    ensure!(
        model.outlet_fact(right)?.shape.to_tvec() == form,
        "inputs of two shapes"
    );
    let chosen = model.outlet_fact(condition)?.shape.to_tvec();
    if chosen.len() == 1 && form.len() > 1 {
        ensure!(
            chosen.first() == form.first(),
            "a condition of another length"
        );
        for axis in 1..form.len() {
            let name = format!("{prefix}.axis.{axis}");
            condition = model.wire_node(name, AxisOp::Add(axis), &[condition])?[0];
        }
    } else {
        ensure!(
            chosen.is_empty() || chosen == form,
            "a condition of another shape"
        );
    }
    logic::Iff.wire(prefix, model, &[condition, left, right])
}

fn convert(
    to: DatumType,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let from = model.outlet_fact(inputs[0])?.datum_type;
    let integers = matches!(to, DatumType::I32 | DatumType::I64);
    if from == DatumType::TDim && integers {
        // Lengths may be unknown, and have to stay what can be counted with.
        return Ok([inputs[0]].into_iter().collect());
    }
    if matches!(from, DatumType::F32 | DatumType::F64) && !to.is_float() {
        return own(Truncation(to), prefix, model, inputs);
    }
    model.wire_node(prefix, tract_onnx::tract_hir::ops::cast::cast(to), inputs)
}

/// Functions of one floating point number, by the standard library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elementary {
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    /// The number itself, which has to be finite.
    Checked,
    Cosh,
    Expm1,
    Log1p,
    /// To the nearest integer, and to the even one between two.
    Rint,
    Sinh,
    Tan,
}

impl Elementary {
    fn of(self, x: f64) -> f64 {
        match self {
            Elementary::Acos => x.acos(),
            Elementary::Acosh => x.acosh(),
            Elementary::Asin => x.asin(),
            Elementary::Asinh => x.asinh(),
            Elementary::Atan => x.atan(),
            Elementary::Atanh => x.atanh(),
            Elementary::Checked => x,
            Elementary::Cosh => x.cosh(),
            Elementary::Expm1 => x.exp_m1(),
            Elementary::Log1p => x.ln_1p(),
            Elementary::Rint => x.round_ties_even(),
            Elementary::Sinh => x.sinh(),
            Elementary::Tan => x.tan(),
        }
    }
}

impl ElementWiseMiniOp for Elementary {
    fn name(&self) -> String {
        format!("{self:?}")
    }

    fn eval_in_place(&self, value: &mut Value, _: Option<DatumType>) -> TractResult<()> {
        let mut plain = value.try_as_plain_ram_mut()?;
        let finite = if plain.datum_type() == f64::datum_type() {
            let values = plain.as_slice_mut::<f64>()?;
            values.iter_mut().for_each(|x| *x = self.of(*x));
            values.iter().all(|x| x.is_finite())
        } else {
            let values = plain.as_slice_mut::<f32>()?;
            values
                .iter_mut()
                .for_each(|x| *x = self.of(f64::from(*x)) as f32);
            values.iter().all(|x| x.is_finite())
        };
        ensure!(
            finite || *self != Elementary::Checked,
            "a number that is not finite"
        );
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Finite,
    Infinite,
    Nan,
}

/// Which numbers are of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind(Class);

impl Routine for Kind {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let shapes = inputs
            .iter()
            .map(|(_, shape)| (DatumType::Bool, shape.clone()));
        Ok(shapes.collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let wide = inputs[0].cast_to::<f64>()?;
        let test: fn(f64) -> bool = match self.0 {
            Class::Finite => f64::is_finite,
            Class::Infinite => f64::is_infinite,
            Class::Nan => f64::is_nan,
        };
        Ok([map(&wide, |x| test(*x))?].into_iter().collect())
    }
}

/// Floating point numbers as integers: cut off, and what cannot be represented is what the
/// instruction of a PC makes of it, and with it TensorFlow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Truncation(DatumType);

impl Routine for Truncation {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        Ok(inputs
            .iter()
            .map(|(_, shape)| (self.0, shape.clone()))
            .collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let wide = inputs[0].cast_to::<f64>()?;
        let result = match self.0 {
            DatumType::Bool => map(&wide, |x: &f64| *x != 0.0)?,
            DatumType::I64 => map(&wide, |x| truncated(*x))?,
            narrow => {
                let integers = map(&wide, |x| truncated_to_32(*x))?;
                integers.cast_to_dt(narrow)?.into_owned()
            }
        };
        Ok([result].into_iter().collect())
    }
}

/// Functions of two numbers that the runtime does not have, or not with TensorFlow's results
/// where one of them is zero, negative or NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    Atan2,
    DivNoNan,
    FloorDiv,
    FloorMod,
    MulNoNan,
    Mul,
    Pow,
    TruncateDiv,
    TruncateMod,
    Xdivy,
    Xlog1py,
    Xlogy,
}

fn pair(name: &'static str, which: Pair) -> Box<dyn InferenceOp> {
    lower(name, move |prefix, model, inputs| {
        let mut types = TVec::new();
        for input in inputs {
            types.push(model.outlet_fact(*input)?.datum_type);
        }
        let lengths = types.contains(&DatumType::TDim);
        if lengths && matches!(which, Pair::FloorDiv | Pair::TruncateDiv) {
            // Lengths are not negative, and may be unknown yet.
            let divided = InferenceBinOp(Box::new(math::Div));
            return divided.wire(prefix, model, inputs);
        }
        let wires = if lengths {
            wire_cast(prefix, model, inputs, DatumType::I64)?
        } else {
            match types
                .iter()
                .copied()
                .reduce(|a, b| a.common_super_type(b).unwrap_or(a))
            {
                Some(datum) => wire_cast(prefix, model, inputs, datum)?,
                None => bail!("{name} of nothing"),
            }
        };
        let wires = wire_rank_broadcast(prefix, model, &wires)?;
        own(which, prefix, model, &wires)
    })
}

trait Number: Datum + Copy {
    /// Nothing where TensorFlow fails.
    fn pair(which: Pair, a: Self, b: Self) -> Option<Self>;
}

macro_rules! real {
    ($number:ty) => {
        impl Number for $number {
            fn pair(which: Pair, a: Self, b: Self) -> Option<Self> {
                Some(match which {
                    Pair::Atan2 => a.atan2(b),
                    Pair::DivNoNan if b == 0.0 => 0.0,
                    Pair::DivNoNan | Pair::TruncateDiv => a / b,
                    Pair::FloorDiv => (a / b).floor(),
                    Pair::FloorMod => {
                        let rest = a % b;
                        if rest != 0.0 && (b < 0.0) != (rest < 0.0) {
                            rest + b
                        } else {
                            rest
                        }
                    }
                    Pair::MulNoNan if b == 0.0 => 0.0,
                    Pair::MulNoNan => a * b,
                    Pair::Mul => a * b,
                    Pair::Pow => a.powf(b),
                    Pair::TruncateMod => a % b,
                    Pair::Xdivy | Pair::Xlog1py | Pair::Xlogy if a == 0.0 => 0.0,
                    Pair::Xdivy => a / b,
                    Pair::Xlog1py => a * b.ln_1p(),
                    Pair::Xlogy => a * b.ln(),
                })
            }
        }
    };
}

macro_rules! integer {
    ($number:ty) => {
        impl Number for $number {
            fn pair(which: Pair, a: Self, b: Self) -> Option<Self> {
                if !matches!(which, Pair::Mul | Pair::Pow) && b == 0 {
                    return None;
                }
                let rest = |a: Self, b: Self| a.wrapping_rem(b);
                let aside = |a, b| rest(a, b) != 0 && (rest(a, b) < 0) != (b < 0);
                match which {
                    Pair::Mul => Some(a.wrapping_mul(b)),
                    Pair::TruncateDiv => Some(a.wrapping_div(b)),
                    Pair::TruncateMod => Some(rest(a, b)),
                    Pair::FloorDiv => Some(a.wrapping_div(b) - Self::from(aside(a, b))),
                    Pair::FloorMod => Some(rest(a, b) + if aside(a, b) { b } else { 0 }),
                    Pair::Pow => {
                        // What is beyond 32 bits has wrapped long ago.
                        Some(a.wrapping_pow(u32::try_from(b).ok()?))
                    }
                    _ => None,
                }
            }
        }
    };
}

real!(f32);
real!(f64);
integer!(i32);
integer!(i64);

fn paired<T: Number>(which: Pair, left: &Value, right: &Value) -> TractResult<Value> {
    let mut failed = false;
    let result = broadcast(left, right, |a, b| {
        T::pair(which, a, b).unwrap_or_else(|| {
            failed = true;
            a
        })
    })?;
    ensure!(
        !failed,
        "{which:?} of integers that have no result, as a division by zero"
    );
    Ok(result)
}

impl Routine for Pair {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(left, one), (right, other)] = inputs else {
            bail!("{self:?} of {} inputs", inputs.len());
        };
        ensure!(left == right, "{self:?} of {left:?} and {right:?}");
        let shape = multi_broadcast(&[&**one, &**other])?;
        Ok([(*left, shape)].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let (left, right) = (inputs[0], inputs[1]);
        let datum = left.datum_type();
        let result = dispatch_numbers!(datum, paired(*self, left, right))?;
        Ok([result].into_iter().collect())
    }
}
