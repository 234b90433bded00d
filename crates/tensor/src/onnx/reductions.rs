//! Reductions that the runtime computes otherwise: `ReduceSumSquare`; `ReduceLogSumExp`, which
//! overflows there; `ReduceMax` and `ReduceMin`, which forget NaN and infinities there.

use super::arithmetic::constant;
use super::attributes::Attributes;
use super::kernel::{Fact, Kernel};
use crate::elements::{dispatch, dispatch_reals, slice};
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, IntoTensor, TValue, TVec, Tensor as Value, ToDim, TractResult, bail, ensure,
    format_err,
};
use tract_onnx::tract_hir::tract_ndarray::{ArrayD, ArrayViewD, Axis};

#[derive(Debug, Clone, Copy)]
pub(super) enum Reduction {
    SumSquare,
    LogSumExp,
    /// NaN, if one is.
    Max,
    Min,
}

struct Reduce {
    reduction: Reduction,
    /// The axes as the file has them, which may count from the last; none for all.
    axes: Option<Vec<i64>>,
    keeps_axes: bool,
}

/// A reduction over axes that are an attribute or, in newer files, a constant input.
pub(super) fn reduction(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    reduction: Reduction,
) -> TractResult<Arc<dyn Kernel>> {
    let attributes = Attributes::new(node, context);
    let mut axes = attributes.ints("axes")?.to_vec();
    if let Some(name) = node.input.get(1).filter(|name| !name.is_empty()) {
        let value = constant(context, name)?;
        let value = value.ok_or_else(|| format_err!("axes that are not constant"))?;
        axes = slice::<i64>(&*value.cast_to::<i64>()?)?.to_vec();
    }
    let nothing = attributes.int("noop_with_empty_axes", 0)? != 0;
    let is_sum = matches!(reduction, Reduction::SumSquare | Reduction::LogSumExp);
    ensure!(
        !axes.is_empty() || !nothing || !is_sum,
        "a reduction over no axes"
    );
    Ok(Arc::new(Reduce {
        reduction,
        axes: (nothing || !axes.is_empty()).then_some(axes),
        keeps_axes: attributes.int("keepdims", 1)? != 0,
    }))
}

impl Reduce {
    /// The axes by their positions, in ascending order.
    fn axes(&self, rank: usize) -> TractResult<Vec<usize>> {
        let Some(axes) = &self.axes else {
            return Ok((0..rank).collect());
        };
        let position = |axis: &i64| {
            let from_first = if *axis < 0 {
                *axis + rank as i64
            } else {
                *axis
            };
            let position = usize::try_from(from_first).ok();
            position
                .filter(|position| *position < rank)
                .ok_or_else(|| format_err!("axis {axis} of {rank}"))
        };
        let mut axes: Vec<usize> = axes.iter().map(position).collect::<TractResult<_>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    fn shape<D: Clone>(&self, shape: &[D], one: &D) -> TractResult<TVec<D>> {
        let axes = self.axes(shape.len())?;
        let lengths = shape.iter().enumerate();
        let kept = lengths.filter_map(|(axis, length)| match axes.contains(&axis) {
            true if self.keeps_axes => Some(one.clone()),
            true => None,
            false => Some(length.clone()),
        });
        Ok(kept.collect())
    }

    /// What `reduce` makes of the elements that become one.
    fn each<T: Datum + Copy>(
        &self,
        input: &Value,
        reduce: impl Fn(&[T]) -> T,
    ) -> TractResult<Value> {
        let axes = self.axes(input.rank())?;
        let view: ArrayViewD<'_, T> = input.to_plain_array_view::<T>()?;
        // The reduced axes come last, so that what becomes one number is together.
        let kept = (0..input.rank()).filter(|axis| !axes.contains(axis));
        let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
        let volume: usize = axes.iter().map(|axis| view.len_of(Axis(*axis))).product();
        let shape = self.shape(input.shape(), &1)?;
        let view = view.permuted_axes(order);
        let values: Vec<T> = view.iter().copied().collect();
        let count: usize = shape.iter().product();
        let mut found = Vec::with_capacity(count);
        for number in 0..count {
            let values = values.get(number * volume..(number + 1) * volume);
            found.push(reduce(values.unwrap_or_default()));
        }
        Ok(ArrayD::from_shape_vec(&*shape, found)?.into_tensor())
    }

    fn sum<T: Real>(&self, input: &Value) -> TractResult<Value> {
        match self.reduction {
            Reduction::SumSquare => self.each(input, T::sum_of_squares),
            _ => self.each(input, T::log_sum_exp),
        }
    }

    fn extreme<T: Ordered>(&self, input: &Value) -> TractResult<Value> {
        let largest = matches!(self.reduction, Reduction::Max);
        let (start, other) = if largest {
            (T::LEAST, T::GREATEST)
        } else {
            (T::GREATEST, T::LEAST)
        };
        self.each(input, |values: &[T]| {
            values.iter().fold(start, |most, value| {
                let further = if largest {
                    *value > most
                } else {
                    *value < most
                };
                // What compares to nothing is NaN; once it is there, nothing is further.
                let is_nan = value.partial_cmp(&other).is_none();
                if further || is_nan { *value } else { most }
            })
        })
    }
}

impl Kernel for Reduce {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let Some((datum, shape)) = inputs.first() else {
            bail!("no input");
        };
        let taken = match self.reduction {
            Reduction::SumSquare | Reduction::LogSumExp => {
                matches!(datum, DatumType::F32 | DatumType::F64)
            }
            Reduction::Max | Reduction::Min => ORDERED.contains(datum),
        };
        ensure!(taken, "{:?} of {datum:?}", self.reduction);
        Ok(vec![(*datum, self.shape(shape, &1.to_dim())?)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let Some(input) = inputs.first() else {
            bail!("no input");
        };
        let datum = input.datum_type();
        Ok(vec![match self.reduction {
            Reduction::SumSquare | Reduction::LogSumExp => dispatch_reals!(datum, self.sum(input))?,
            Reduction::Max | Reduction::Min => dispatch!(
                datum,
                [F32: f32, F64: f64, I32: i32, I64: i64, U8: u8, I8: i8, Bool: bool],
                self.extreme(input)
            )?,
        }])
    }
}

/// The types of which there is a largest and a smallest element.
const ORDERED: [DatumType; 7] = [
    DatumType::F32,
    DatumType::F64,
    DatumType::I32,
    DatumType::I64,
    DatumType::U8,
    DatumType::I8,
    DatumType::Bool,
];

trait Ordered: Datum + Copy + PartialOrd {
    /// What every other one exceeds.
    const LEAST: Self;
    /// What exceeds every other one.
    const GREATEST: Self;
}

macro_rules! ordered {
    ($($number:ty: $least:expr, $greatest:expr;)+) => {
        $(impl Ordered for $number {
            const LEAST: Self = $least;
            const GREATEST: Self = $greatest;
        })+
    };
}

ordered! {
    f32: f32::NEG_INFINITY, f32::INFINITY;
    f64: f64::NEG_INFINITY, f64::INFINITY;
    i32: i32::MIN, i32::MAX;
    i64: i64::MIN, i64::MAX;
    u8: u8::MIN, u8::MAX;
    i8: i8::MIN, i8::MAX;
    bool: false, true;
}

trait Real: Datum + Copy {
    fn sum_of_squares(values: &[Self]) -> Self;
    fn log_sum_exp(values: &[Self]) -> Self;
}

macro_rules! real {
    ($real:ty) => {
        impl Real for $real {
            fn sum_of_squares(values: &[$real]) -> $real {
                values.iter().fold(0.0, |sum, value| sum + value * value)
            }

            fn log_sum_exp(values: &[$real]) -> $real {
                let most = values
                    .iter()
                    .copied()
                    .fold(<$real>::NEG_INFINITY, |most, value| {
                        if value > most || value.is_nan() {
                            value
                        } else {
                            most
                        }
                    });
                let most = if most.is_infinite() { 0.0 } else { most };
                let sum = values
                    .iter()
                    .fold(0.0, |sum, value| sum + (value - most).exp());
                sum.ln() + most
            }
        }
    };
}

real!(f32);
real!(f64);
