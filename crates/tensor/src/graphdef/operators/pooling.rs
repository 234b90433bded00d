//! Pooling, and normalization by what is around, channels last.

use super::super::attributes::{float, integer};
use super::super::routine::Routine;
use super::images::{one, routine};
use super::{Inputs, Operation, of};
use crate::elements::dispatch_reals;
use crate::lowering::Form;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, TVec, Tensor as Value, TractResult, bail, ensure,
};
use tract_onnx::tract_hir::tract_core::ops::cnn::PaddingSpec;
use tract_onnx::tract_hir::tract_num_traits::{AsPrimitive, Float};

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let node = read.node;
    let operation = match node.op.as_str() {
        "MaxPool" => pool(read, 2, Statistic::Largest)?,
        "MaxPool3D" => pool(read, 3, Statistic::Largest)?,
        "AvgPool" => pool(read, 2, Statistic::Mean)?,
        "AvgPool3D" => pool(read, 3, Statistic::Mean)?,
        "LRN" => {
            let radius = match node.attr.contains_key("depth_radius") {
                true => integer(node, "depth_radius"),
                false => 5,
            };
            let number = |name, otherwise: f32| float(node, name).unwrap_or(otherwise).to_bits();
            let response = Response {
                radius: usize::try_from(radius.min(1 << 16))
                    .map_err(|_| of(node, "of a negative radius"))?,
                bias: number("bias", 1.0),
                alpha: number("alpha", 1.0),
                beta: number("beta", 0.5),
            };
            routine("LRN", response)
        }
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

fn pool(read: &Inputs<'_>, rank: usize, statistic: Statistic) -> Result<Operation, String> {
    read.channels_last()?;
    let padding = read.padding(rank)?;
    if matches!(padding, PaddingSpec::Explicit(..)) {
        return Err(of(read.node, "with explicit padding"));
    }
    let pool = Pool {
        statistic,
        window: read.spatial("ksize", rank)?,
        strides: read.spatial("strides", rank)?,
        same: padding == PaddingSpec::SameUpper,
    };
    let Operation::Apply(taken, operator) = routine("Pool", pool) else {
        return Err(of(read.node, "of nothing"));
    };
    Ok(Operation::Apply(
        taken,
        super::floating(read.node, operator)?,
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Largest,
    /// Of those elements of a window that are within the image.
    Mean,
}

/// A statistic of windows over the spatial axes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pool {
    statistic: Statistic,
    window: TVec<usize>,
    strides: TVec<usize>,
    same: bool,
}

impl Pool {
    fn padding(&self) -> PaddingSpec {
        if self.same {
            PaddingSpec::SameUpper
        } else {
            PaddingSpec::Valid
        }
    }
}

/// Of one spatial axis, the elements in each window.
fn windows(pool: &Pool, axis: usize, length: usize) -> Vec<(usize, usize)> {
    let (window, stride) = (pool.window[axis], pool.strides[axis]);
    let one = pool.padding().compute_one(axis, &length, window, 1, stride);
    let each = (0..one.convoluted).map(|position| {
        let (start, before): (usize, usize) = (position * stride, one.pad_before);
        (
            start.saturating_sub(before),
            (start + window).saturating_sub(before).min(length),
        )
    });
    each.collect()
}

fn pooled<T>(pool: &Pool, value: &Value) -> TractResult<Value>
where
    T: Datum + Float + std::ops::AddAssign + std::ops::DivAssign,
    usize: AsPrimitive<T>,
{
    let form = value.shape();
    let (rank, channels) = (pool.window.len(), form[form.len() - 1]);
    // Missing spatial axes are one long.
    let mut lengths = [1usize; 3];
    let mut places = [const { Vec::new() }; 3];
    for axis in 0..3usize {
        match axis.checked_sub(3 - rank) {
            Some(spatial) => {
                lengths[axis] = form[spatial + 1];
                places[axis] = windows(pool, spatial, lengths[axis]);
            }
            None => places[axis] = vec![(0, 1)],
        }
    }
    let mut shape = form.to_vec();
    for spatial in 0..rank {
        shape[spatial + 1] = places[3 - rank + spatial].len();
    }
    let mut result = Value::zero_dt(T::datum_type(), &shape)?;
    let plain = value.try_as_plain_ram()?;
    let from = plain.as_slice::<T>()?;
    let mut plain = result.try_as_plain_ram_mut()?;
    let mut cells = plain.as_slice_mut::<T>()?.chunks_exact_mut(channels.max(1));
    for image in 0..form[0] {
        for (depth, depth_end) in &places[0] {
            for (top, bottom) in &places[1] {
                for (left, right) in &places[2] {
                    let Some(cell) = cells.next() else {
                        return Ok(result);
                    };
                    let count = (depth_end - depth) * (bottom - top) * (right - left);
                    let start = if pool.statistic == Statistic::Mean {
                        T::zero()
                    } else {
                        T::min_value()
                    };
                    cell.fill(start);
                    for z in *depth..*depth_end {
                        for y in *top..*bottom {
                            let row = ((image * lengths[0] + z) * lengths[1] + y) * lengths[2];
                            let elements = &from[(row + left) * channels..(row + right) * channels];
                            for element in elements.chunks_exact(channels.max(1)) {
                                pool.statistic.add(cell, element);
                            }
                        }
                    }
                    if pool.statistic == Statistic::Mean {
                        let count: T = count.as_();
                        cell.iter_mut().for_each(|sum| *sum /= count);
                    }
                }
            }
        }
    }
    Ok(result)
}

impl Statistic {
    fn add<T: Float + std::ops::AddAssign>(self, cell: &mut [T], element: &[T]) {
        let pairs = cell.iter_mut().zip(element);
        match self {
            Statistic::Mean => pairs.for_each(|(sum, value)| *sum += *value),
            Statistic::Largest => pairs.for_each(|(most, value)| {
                // Which forgets NaN, as TensorFlow does here.
                if *value > *most {
                    *most = *value;
                }
            }),
        }
    }
}

impl Routine for Pool {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, form)] = inputs else {
            bail!("a pool of {} inputs", inputs.len());
        };
        let rank = self.window.len();
        ensure!(form.len() == rank + 2, "a pool of {form:?}");
        let mut shape = form.clone();
        for axis in 0..rank {
            let (window, stride) = (self.window[axis], self.strides[axis]);
            let length = form[axis + 1].clone();
            if let (false, Ok(length)) = (self.same, length.to_i64()) {
                ensure!(
                    length + stride as i64 >= window as i64,
                    "a window of {window} in {length}"
                );
            }
            let one = self.padding().compute_one(axis, &length, window, 1, stride);
            shape[axis + 1] = one.convoluted;
        }
        Ok([(*datum, shape)].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let value = inputs[0];
        let result = dispatch_reals!(value.datum_type(), pooled(self, value))?;
        Ok(one(result))
    }
}

/// Local response normalization (Krizhevsky et al., ImageNet Classification with Deep
/// Convolutional Neural Networks), of 32-bit numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Response {
    radius: usize,
    bias: u32,
    alpha: u32,
    beta: u32,
}

impl Routine for Response {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        match inputs {
            [(DatumType::F32, shape)] if shape.len() == 4 => Ok(inputs.iter().cloned().collect()),
            _ => bail!("LRN of {inputs:?}"),
        }
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let [bias, alpha, beta] = [self.bias, self.alpha, self.beta].map(f32::from_bits);
        let mut result = inputs[0].clone();
        let channels = result.shape()[3];
        let mut plain = result.try_as_plain_ram_mut()?;
        for pixel in plain
            .as_slice_mut::<f32>()?
            .chunks_exact_mut(channels.max(1))
        {
            let squares: Vec<f32> = pixel.iter().map(|x| x * x).collect();
            for (channel, x) in pixel.iter_mut().enumerate() {
                let start = channel.saturating_sub(self.radius);
                let end = (channel + self.radius + 1).min(channels);
                let sum: f32 = squares[start..end].iter().sum();
                *x *= (bias + alpha * sum).powf(-beta);
            }
        }
        Ok(one(result))
    }
}
