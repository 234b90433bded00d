//! Convolutions and what goes with them, channels last.

use super::super::attributes::{float, integers, text};
use super::super::routine::{Routine, known, own, shape};
use super::slices::Stride;
use super::{Inputs, Operation, of};
use crate::elements::dispatch_reals;
use crate::lowering::{Form, lower, lower_to};
use tract_onnx::tract_hir::internal::{
    AxisOp, Datum, DimLike, OutletId, SpecialOps, TDim, TVec, Tensor as Value, ToDim, TractResult,
    TypedModel, bail, ensure,
};
use tract_onnx::tract_hir::ops::math;
use tract_onnx::tract_hir::tract_core::ops::change_axes::wire_with_rank_broadcast;
use tract_onnx::tract_hir::tract_core::ops::cnn::conv::KernelFormat;
use tract_onnx::tract_hir::tract_core::ops::cnn::{Conv, PaddingSpec, PoolSpec};
use tract_onnx::tract_hir::tract_core::ops::nn::DataFormat;

/// The longest stride, dilation, window or margin.
const LONGEST: i64 = 1 << 16;

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let operation = match read.node.op.as_str() {
        "Conv2D" => convolution(read, 2, false)?,
        "Conv3D" => convolution(read, 3, false)?,
        "DepthwiseConv2dNative" => convolution(read, 2, true)?,
        "Conv2DBackpropInput" => transposed(read)?,
        "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => normalization(read)?,
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

impl Inputs<'_> {
    /// Refuses channels first, which TensorFlow itself does not compute on a processor.
    pub(super) fn channels_last(&self) -> Result<(), String> {
        match text(self.node, "data_format") {
            None | Some(b"NHWC" | b"NDHWC") => Ok(()),
            Some(_) => Err(of(self.node, "with channels first")),
        }
    }

    /// An attribute with a length for each spatial axis, those of batch and channels being one.
    pub(super) fn spatial(&self, name: &str, rank: usize) -> Result<TVec<usize>, String> {
        let lengths = integers(self.node, name);
        if lengths.is_empty() && name == "dilations" {
            return Ok((0..rank).map(|_| 1).collect());
        }
        let (Some((1, inner)), Some(1), true) = (
            lengths.split_first().map(|(first, rest)| (*first, rest)),
            lengths.last().copied(),
            lengths.len() == rank + 2,
        ) else {
            return Err(of(self.node, &format!("with {name} of {lengths:?}")));
        };
        let bearable = |length: &i64| (1..=LONGEST).contains(length).then_some(*length as usize);
        let inner = inner[..rank].iter().map(bearable).collect::<Option<_>>();
        inner.ok_or_else(|| of(self.node, &format!("with {name} of {lengths:?}")))
    }

    pub(super) fn padding(&self, rank: usize) -> Result<PaddingSpec, String> {
        match text(self.node, "padding") {
            Some(b"VALID") => Ok(PaddingSpec::Valid),
            Some(b"SAME") => Ok(PaddingSpec::SameUpper),
            Some(b"EXPLICIT") => {
                let margins = integers(self.node, "explicit_paddings");
                let wrong = || of(self.node, &format!("with paddings of {margins:?}"));
                let bearable = margins.iter().all(|margin| (0..=LONGEST).contains(margin));
                let edges = |at: usize| margins.get(at..at + 2) == Some(&[0, 0]);
                if margins.len() != 2 * rank + 4 || !bearable || !edges(0) || !edges(2 * rank + 2) {
                    return Err(wrong());
                }
                let pairs = margins[2..2 * rank + 2].chunks_exact(2);
                let (before, after) = pairs
                    .map(|pair| (pair[0] as usize, pair[1] as usize))
                    .unzip();
                Ok(PaddingSpec::Explicit(before, after))
            }
            _ => Err(of(self.node, "with unknown padding")),
        }
    }
}

fn convolution(read: &Inputs<'_>, rank: usize, depthwise: bool) -> Result<Operation, String> {
    read.channels_last()?;
    let strides = read.spatial("strides", rank)?;
    let dilations = read.spatial("dilations", rank)?;
    let padding = read.padding(rank)?;
    let convolve = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        let [mut input, mut kernel] = *inputs else {
            bail!("a convolution of {} inputs", inputs.len());
        };
        let (form, window) = (shape(model, input)?, shape(model, kernel)?);
        ensure!(
            form.len() == rank + 2 && window.len() == rank + 2,
            "a convolution of {form:?}"
        );
        let lengths = window.iter().map(TDim::to_usize);
        let window: TVec<usize> = lengths.collect::<Result<_, _>>()?;
        ensure!(
            window.iter().all(|length| *length > 0),
            "weights of {window:?}"
        );
        let (from, to) = (window[rank], window[rank + 1]);
        let channels = form[rank + 1].to_usize()?;
        let (group, output_channels) = if depthwise {
            ensure!(channels == from, "{channels} channels instead of {from}");
            (channels, channels * to)
        } else {
            ensure!(
                channels > 0 && channels % from == 0,
                "{channels} channels by {from}"
            );
            let group = channels / from;
            ensure!(to % group == 0, "{to} channels out of {group} groups");
            (group, to)
        };
        let mut kernel_format = KernelFormat::HWIO;
        if group > 1 && !depthwise {
            // Of groups, the runtime has each one's own channels in this order only.
            kernel_format = KernelFormat::OIHW;
            for (step, axis) in [rank + 1, rank + 1].into_iter().enumerate() {
                let name = format!("{prefix}.weights.{step}");
                kernel = model.wire_node(name, AxisOp::Move(axis, step), &[kernel])?[0];
            }
        }
        fits(&form, &window[..rank], &strides, &dilations, &padding)?;
        let mut strides = strides.clone();
        for (axis, stride) in strides.iter_mut().enumerate() {
            // Of single elements, those in between have no part. The runtime knows as much, but
            // fails on some graphs when it moves that forward.
            let alone = window[axis] == 1 && !matches!(padding, PaddingSpec::Explicit(..));
            if alone && *stride > 1 {
                let every = Stride {
                    axis: axis + 1,
                    step: *stride as i64,
                };
                input = own(every, &format!("{prefix}.every.{axis}"), model, &[input])?[0];
                *stride = 1;
            }
        }
        let pool = PoolSpec {
            data_format: DataFormat::NHWC,
            kernel_shape: window[..rank].into(),
            padding: padding.clone(),
            dilations: Some(dilations.clone()),
            strides: Some(strides),
            input_channels: channels,
            output_channels,
        };
        let datum = model.outlet_fact(input)?.datum_type;
        ensure!(
            datum == model.outlet_fact(kernel)?.datum_type,
            "weights of another type"
        );
        let bias = model.add_const(format!("{prefix}.bias"), Value::zero_scalar_dt(datum)?)?;
        let convolution = Conv::new(pool, kernel_format, group, None);
        model.wire_node(prefix, convolution, &[input, kernel, bias])
    };
    let operator = super::floating(read.node, lower("Convolution", convolve))?;
    Ok(Operation::Apply(2, operator))
}

/// Refuses a window that does not fit in.
fn fits(
    form: &[TDim],
    window: &[usize],
    strides: &[usize],
    dilations: &[usize],
    padding: &PaddingSpec,
) -> TractResult<()> {
    for (axis, window) in window.iter().enumerate() {
        let field = ((window - 1) * dilations[axis] + 1) as i64;
        let margins = match padding {
            PaddingSpec::Explicit(before, after) => (before[axis] + after[axis]) as i64,
            PaddingSpec::Valid => 0,
            _ => continue,
        };
        if let Ok(length) = form[axis + 1].to_i64() {
            let room = length + margins + strides[axis] as i64;
            ensure!(room >= field, "a window of {field} in {length}");
        }
    }
    Ok(())
}

/// Inference only: by the mean and the variance that were learned.
fn normalization(read: &Inputs<'_>) -> Result<Operation, String> {
    let node = read.node;
    read.channels_last()?;
    // By default it is training, and exporters leave that out.
    if super::super::attributes::flag(node, "is_training") != Some(false) {
        return Err(of(node, "in training"));
    }
    let epsilon = float(node, "epsilon").unwrap_or(1e-4);
    let normalize = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        let [input, scale, offset, mean, variance] = *inputs else {
            bail!("a normalization of {} inputs", inputs.len());
        };
        let form = shape(model, input)?;
        for outlet in [scale, offset, mean, variance] {
            let channels = shape(model, outlet)?;
            ensure!(
                channels.len() == 1 && channels.last() == form.last(),
                "other channels"
            );
        }
        let datum = model.outlet_fact(input)?.datum_type;
        let epsilon = tract_onnx::tract_hir::internal::tensor0(epsilon);
        let epsilon = epsilon.cast_to_dt(datum)?.into_owned();
        let epsilon = model.add_const(format!("{prefix}.epsilon"), epsilon)?;
        let mut wire = |name: &str, operator, inputs: &[OutletId]| -> TractResult<OutletId> {
            let name = if name.is_empty() {
                prefix.to_owned()
            } else {
                format!("{prefix}.{name}")
            };
            let operator: Box<dyn tract_onnx::tract_hir::internal::TypedOp> = operator;
            Ok(wire_with_rank_broadcast(name, model, operator, inputs)?[0])
        };
        let spread = wire("variance", Box::new(math::add()), &[variance, epsilon])?;
        let spread = wire("spread", Box::new(math::rsqrt()), &[spread])?;
        let factor = wire("factor", Box::new(math::mul()), &[spread, scale])?;
        let centred = wire("centred", Box::new(math::sub()), &[input, mean])?;
        let scaled = wire("scaled", Box::new(math::mul()), &[centred, factor])?;
        let result = wire("", Box::new(math::add()), &[scaled, offset])?;
        Ok([result].into_iter().collect())
    };
    let operator = super::floating(node, lower("Normalization", normalize))?;
    Ok(Operation::Apply(5, operator))
}

fn transposed(read: &Inputs<'_>) -> Result<Operation, String> {
    read.channels_last()?;
    let strides = read.spatial("strides", 2)?;
    let padding = read.padding(2)?;
    if read
        .spatial("dilations", 2)?
        .iter()
        .any(|dilation| *dilation != 1)
    {
        return Err(of(read.node, "with dilations"));
    }
    let transpose = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        let sizes = known(model, inputs[0])?;
        let (window, form) = (shape(model, inputs[1])?, shape(model, inputs[2])?);
        ensure!(
            window.len() == 4 && form.len() == 4,
            "a convolution of {form:?}"
        );
        // The shape may be given without the batch and the channels.
        let sizes = match sizes.as_slice() {
            [_, height, width, channels] => {
                ensure!(*channels == window[2], "{channels} channels");
                [height.to_usize()?, width.to_usize()?]
            }
            [height, width] => [height.to_usize()?, width.to_usize()?],
            _ => bail!("sizes of {} axes", sizes.len()),
        };
        let mut before = [0, 0];
        for axis in 0..2 {
            let place = window[axis].to_usize()?;
            ensure!(place > 0, "weights without width");
            let one = padding.compute_one(axis, &sizes[axis], place, 1, strides[axis]);
            before[axis] = one.pad_before;
            let same = form[axis + 1]
                .to_i64()
                .is_ok_and(|n| n == one.convoluted as i64);
            ensure!(
                same,
                "{} does not come from {}",
                form[axis + 1],
                sizes[axis]
            );
        }
        ensure!(
            form[3] == window[3],
            "{} channels instead of {}",
            form[3],
            window[3]
        );
        let spread = Spread {
            sizes,
            before,
            strides: [strides[0], strides[1]],
        };
        own(spread, prefix, model, &inputs[1..])
    };
    let operator = super::floating(read.node, lower_to("Transposed", &[0], 1, transpose))?;
    Ok(Operation::Apply(3, operator))
}

/// A transposed convolution: each input element adds its multiple of the weights to a window of
/// the result.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spread {
    sizes: [usize; 2],
    before: [usize; 2],
    strides: [usize; 2],
}

impl Routine for Spread {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, window), (_, form)] = inputs else {
            bail!("a transposed convolution of {} inputs", inputs.len());
        };
        let sizes = self.sizes.iter().map(ToDim::to_dim);
        let lengths = form[..1]
            .iter()
            .cloned()
            .chain(sizes)
            .chain([window[2].clone()]);
        Ok([(*datum, lengths.collect())].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let (weights, input) = (inputs[0], inputs[1]);
        let result = dispatch_reals!(input.datum_type(), spread(self, weights, input))?;
        Ok([result].into_iter().collect())
    }
}

fn spread<T>(how: &Spread, weights: &Value, input: &Value) -> TractResult<Value>
where
    T: Datum + Copy + std::ops::AddAssign + std::ops::Mul<Output = T>,
{
    let (form, window) = (input.shape().to_vec(), weights.shape().to_vec());
    let [height, width] = how.sizes;
    let (to, from) = (window[2], window[3]);
    let mut result = Value::zero_dt(T::datum_type(), &[form[0], height, width, to])?;
    let (input, weights) = (input.try_as_plain_ram()?, weights.try_as_plain_ram()?);
    let (input, weights) = (input.as_slice::<T>()?, weights.as_slice::<T>()?);
    let mut plain = result.try_as_plain_ram_mut()?;
    let output = plain.as_slice_mut::<T>()?;
    let place = |at: usize, step: usize, axis: usize, size: usize| {
        let place = (at * how.strides[axis] + step).checked_sub(how.before[axis])?;
        (place < size).then_some(place)
    };
    for (position, element) in input.chunks_exact(from).enumerate() {
        let (x, rest) = (position % form[2], position / form[2]);
        let (y, image) = (rest % form[1], rest / form[1]);
        for row in 0..window[0] {
            let Some(row_at) = place(y, row, 0, height) else {
                continue;
            };
            for column in 0..window[1] {
                let Some(column_at) = place(x, column, 1, width) else {
                    continue;
                };
                let at = ((image * height + row_at) * width + column_at) * to;
                let weights = &weights[(row * window[1] + column) * to * from..];
                for (sum, weights) in output[at..at + to]
                    .iter_mut()
                    .zip(weights.chunks_exact(from))
                {
                    for (weight, value) in weights.iter().zip(element) {
                        *sum += *weight * *value;
                    }
                }
            }
        }
    }
    Ok(result)
}
