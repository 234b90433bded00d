//! Functions of each element that the runtime has, but not for every type, or not for NaN.

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, node_of, only};
use crate::elements::{broadcast, dispatch_numbers, map, slice};
use crate::extremes::Extreme;
use crate::lowering::lower;
use std::sync::Arc;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, InferenceOp, SpecialOps, TValue, Tensor as Value, TractResult, bail, ensure,
    format_err, tensor0,
};
use tract_onnx::tract_hir::ops::binary::{wire_cast, wire_rank_broadcast};
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_hir::tract_core::ops::logic::CompEq;
use tract_onnx::tract_hir::tract_core::ops::math::Pow;

/// A function of one floating point number.
#[derive(Debug, Clone, Copy)]
enum Function {
    Celu(f32),
    HardSigmoid(f32, f32),
    IsInf {
        negative: bool,
        positive: bool,
    },
    IsNan,
    Round,
    Selu(f32, f32),
    /// A number times the sigmoid of a multiple of it.
    Swish(f32),
}

struct Elementwise(Function);

pub(super) fn celu(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let alpha = attributes.float("alpha", 1.0)?;
    Ok(Arc::new(Elementwise(Function::Celu(alpha))))
}

pub(super) fn hard_sigmoid(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let (alpha, beta) = (
        attributes.float("alpha", 0.2)?,
        attributes.float("beta", 0.5)?,
    );
    Ok(Arc::new(Elementwise(Function::HardSigmoid(alpha, beta))))
}

pub(super) fn swish(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let alpha = attributes.float("alpha", 1.0)?;
    Ok(Arc::new(Elementwise(Function::Swish(alpha))))
}

pub(super) fn is_inf(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(Elementwise(Function::IsInf {
        negative: attributes.int("detect_negative", 1)? != 0,
        positive: attributes.int("detect_positive", 1)? != 0,
    })))
}

pub(super) fn is_nan(_: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(Elementwise(Function::IsNan)))
}

pub(super) fn round(_: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(Elementwise(Function::Round)))
}

pub(super) fn selu(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let alpha = attributes.float("alpha", 1.673_263_2)?;
    let gamma = attributes.float("gamma", 1.050_701)?;
    Ok(Arc::new(Elementwise(Function::Selu(alpha, gamma))))
}

impl Function {
    fn is_test(self) -> bool {
        matches!(self, Function::IsInf { .. } | Function::IsNan)
    }

    fn tests(self, value: f64) -> bool {
        match self {
            Function::IsInf { negative, positive } => {
                value.is_infinite() && if value > 0.0 { positive } else { negative }
            }
            _ => value.is_nan(),
        }
    }

    fn single(self, x: f32) -> f32 {
        match self {
            Function::Celu(alpha) if x < 0.0 => alpha * (x / alpha).exp_m1(),
            Function::HardSigmoid(alpha, beta) => (alpha * x + beta).clamp(0.0, 1.0),
            Function::Round => x.round_ties_even(),
            Function::Swish(alpha) => x / (1.0 + (-alpha * x).exp()),
            Function::Selu(_, gamma) if x > 0.0 => gamma * x,
            Function::Selu(alpha, gamma) => gamma * (alpha * x.exp() - alpha),
            _ => x,
        }
    }

    fn double(self, x: f64) -> f64 {
        match self {
            Function::Round => x.round_ties_even(),
            Function::Celu(alpha) if x < 0.0 => f64::from(alpha) * (x / f64::from(alpha)).exp_m1(),
            Function::HardSigmoid(alpha, beta) => {
                (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0)
            }
            Function::Swish(alpha) => x / (1.0 + (-f64::from(alpha) * x).exp()),
            Function::Selu(_, gamma) if x > 0.0 => f64::from(gamma) * x,
            Function::Selu(alpha, gamma) => f64::from(gamma) * f64::from(alpha) * x.exp_m1(),
            _ => x,
        }
    }
}

impl Kernel for Elementwise {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        ensure!(
            matches!(datum, DatumType::F32 | DatumType::F64),
            "{:?} of {datum:?}",
            self.0
        );
        let datum = if self.0.is_test() {
            bool::datum_type()
        } else {
            *datum
        };
        Ok(vec![(datum, shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        Ok(vec![if self.0.is_test() {
            map(&*input.cast_to::<f64>()?, |x| self.0.tests(*x))?
        } else if input.datum_type() == f64::datum_type() {
            map(input, |x| self.0.double(*x))?
        } else {
            map(input, |x| self.0.single(*x))?
        }])
    }
}

/// Keeps numbers between two bounds, and NaN as it is.
struct Clip {
    /// Bounds that are attributes, as they were in old files.
    bounds: [Option<f32>; 2],
    /// Which bounds are inputs.
    fed: [bool; 2],
}

pub(super) fn clip(node: &NodeProto, attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let bound = |name: &str| -> TractResult<Option<f32>> {
        let there = attributes.has(name);
        let value = attributes.float(name, 0.0)?;
        Ok(there.then_some(value))
    };
    let fed = |position: usize| {
        node.input
            .get(position)
            .is_some_and(|name| !name.is_empty())
    };
    Ok(Arc::new(Clip {
        bounds: [bound("min")?, bound("max")?],
        fed: [fed(1), fed(2)],
    }))
}

impl Clip {
    fn of<T: Datum + Copy + PartialOrd>(&self, inputs: &[TValue]) -> TractResult<Value> {
        let mut inputs = inputs.iter();
        let input = inputs.next().ok_or_else(|| format_err!("no input"))?;
        let mut bounds = [None; 2];
        for (number, bound) in bounds.iter_mut().enumerate() {
            *bound = if self.fed[number] {
                let fed = inputs
                    .next()
                    .ok_or_else(|| format_err!("a bound is missing"))?;
                let fed = slice::<T>(fed)?;
                Some(*fed.first().ok_or_else(|| format_err!("a bound is empty"))?)
            } else {
                let bound = self.bounds[number].map(tensor0);
                bound.map(|bound| bound.cast_to_scalar()).transpose()?
            };
        }
        let [lowest, highest] = bounds;
        let kept = |value: &T| {
            let value = lowest.map_or(*value, |low| if *value < low { low } else { *value });
            highest.map_or(value, |high| if value > high { high } else { value })
        };
        map(input, kept)
    }
}

impl Kernel for Clip {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let Some((datum, shape)) = inputs.first() else {
            bail!("no input");
        };
        super::kernel::check_numbers(*datum)?;
        ensure!(
            inputs.iter().all(|(other, _)| other == datum),
            "bounds of another type than {datum:?}"
        );
        Ok(vec![(*datum, shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let Some(input) = inputs.first() else {
            bail!("no input");
        };
        Ok(vec![dispatch_numbers!(
            input.datum_type(),
            self.of(inputs)
        )?])
    }
}

/// `Pow` of integers.
struct Power;

/// `Pow`, of which that of integers is not the runtime's.
pub(super) fn power() -> Box<dyn InferenceOp> {
    lower("Pow", |prefix, model, inputs| {
        let [base, _] = *inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        let base = model.outlet_fact(base)?.datum_type;
        let wires = wire_rank_broadcast(prefix, model, inputs)?;
        if base.is_integer() {
            return node_of("Pow", Arc::new(Power), prefix, model, &wires);
        }
        let wires = wire_cast(prefix, model, &wires, base)?;
        model.wire_node(prefix, TypedBinOp(Box::new(Pow), None), &wires)
    })
}

impl Kernel for Power {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let [(base, shape), (_, other)] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        Ok(vec![(*base, multi_broadcast(&[&**shape, &**other])?)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let [base, exponent] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        let (left, right) = (base.cast_to::<f64>()?, exponent.cast_to::<f64>()?);
        let found = broadcast::<f64>(&left, &right, f64::powf)?;
        let integers = found.cast_to::<i64>()?;
        Ok(vec![integers.cast_to_dt(base.datum_type())?.into_owned()])
    }
}

/// `OneHot`, in which a position outside is a row of the other value.
struct OneHot {
    depth: usize,
    axis: i64,
}

pub(super) fn one_hot(depth: &Value, attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let depth = depth.cast_to::<i64>()?;
    let depth = match slice::<i64>(&depth)? {
        [depth] if (1..=1 << 24).contains(depth) => *depth as usize,
        other => bail!("a depth of {other:?}"),
    };
    Ok(Arc::new(OneHot {
        depth,
        axis: attributes.int("axis", -1)?,
    }))
}

impl OneHot {
    fn axis(&self, rank: usize) -> TractResult<usize> {
        let axis = if self.axis < 0 {
            self.axis + rank as i64 + 1
        } else {
            self.axis
        };
        let axis = usize::try_from(axis).ok().filter(|axis| *axis <= rank);
        axis.ok_or_else(|| format_err!("axis {} of {rank}", self.axis))
    }

    fn of<T: Datum + Copy>(&self, positions: &Value, values: &Value) -> TractResult<Value> {
        let [off, on] = *slice::<T>(values)? else {
            bail!("{} values, not two", values.len());
        };
        let axis = self.axis(positions.rank())?;
        let mut shape = positions.shape().to_vec();
        let inner: usize = shape[axis..].iter().product();
        shape.insert(axis, self.depth);
        let mut found = vec![off; shape.iter().product()];
        let numbers = positions.cast_to::<i64>()?;
        let depth = self.depth as i64;
        for (number, position) in slice::<i64>(&numbers)?.iter().enumerate() {
            let from_first = if *position < 0 {
                position + depth
            } else {
                *position
            };
            if (0..depth).contains(&from_first) {
                let (outer, inner_at) = (number / inner.max(1), number % inner.max(1));
                found[(outer * self.depth + from_first as usize) * inner + inner_at] = on;
            }
        }
        Value::from_shape(&shape, &found)
    }
}

impl Kernel for OneHot {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let [(positions, shape), _, (values, _)] = inputs else {
            bail!("{} inputs, not three", inputs.len());
        };
        super::kernel::check_numbers(*positions)?;
        super::kernel::check_numbers(*values)?;
        let mut shape = shape.clone();
        shape.insert(self.axis(shape.len())?, self.depth.into());
        Ok(vec![(*values, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let [positions, _, values] = inputs else {
            bail!("{} inputs, not three", inputs.len());
        };
        let datum = values.datum_type();
        Ok(vec![dispatch_numbers!(datum, self.of(positions, values))?])
    }
}

/// The largest or the smallest of more than two values; NaN, if one is.
struct Extremes(Extreme);

pub(super) fn extremes(extreme: Extreme) -> Arc<dyn Kernel> {
    Arc::new(Extremes(extreme))
}

impl Extremes {
    fn of<T: Datum + Copy + PartialOrd>(&self, inputs: &[TValue]) -> TractResult<Value> {
        let mut inputs = inputs.iter();
        let first = inputs.next().ok_or_else(|| format_err!("no input"))?;
        inputs.try_fold((**first).clone(), |found, input| {
            self.0.of::<T>(&found, input)
        })
    }
}

impl Kernel for Extremes {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let Some((datum, _)) = inputs.first() else {
            bail!("no input");
        };
        super::kernel::check_numbers(*datum)?;
        ensure!(
            inputs.iter().all(|(other, _)| other == datum),
            "values of different types"
        );
        // Shapes of different ranks are taken for their last axes.
        let rank = inputs.iter().map(|(_, shape)| shape.len()).max();
        ensure!(
            inputs.iter().all(|(_, shape)| Some(shape.len()) == rank),
            "values of different ranks"
        );
        let shapes: Vec<_> = inputs.iter().map(|(_, shape)| shape.as_slice()).collect();
        Ok(vec![(*datum, multi_broadcast(&shapes)?)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let Some(input) = inputs.first() else {
            bail!("no input");
        };
        Ok(vec![dispatch_numbers!(
            input.datum_type(),
            self.of(inputs)
        )?])
    }
}

/// `Equal`, of truth values as well.
pub(super) fn equality() -> Box<dyn InferenceOp> {
    lower("Equal", |prefix, model, inputs| {
        let [left, right] = *inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        let left = model.outlet_fact(left)?.datum_type;
        let right = model.outlet_fact(right)?.datum_type;
        let datum = if left == bool::datum_type() && right == left {
            i32::datum_type()
        } else {
            CompEq.operating_datum_type(left, right)?
        };
        let wires = wire_rank_broadcast(prefix, model, inputs)?;
        let wires = wire_cast(prefix, model, &wires, datum)?;
        model.wire_node(prefix, TypedBinOp(Box::new(CompEq), None), &wires)
    })
}
