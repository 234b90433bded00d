//! Shapes, and values that only depend on them.

use super::super::attributes::{datum, integer, integers, shape as declared, text};
use super::super::routine::{Routine, known, own, shape};
use super::{Inputs, Operation, of, unary};
use crate::elements::dispatch_any;
use crate::lowering::{Form, lower, lower_to};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    AxisOp, Datum, DatumType, Expansion, OutletId, SpecialOps, TDim, TVec, Tensor as Value,
    TractResult, TypedModel, bail, ensure, expand, f16, tensor0,
};
use tract_onnx::tract_hir::ops::array::{
    AddDims, Concat, Pad, PadMode, PermuteAxes, Reshape, Shape, Squeeze, Tile,
};
use tract_onnx::tract_hir::ops::cast::cast;
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::tract_core::ops::array::MultiBroadcastTo;

/// Elements of a sequence of numbers, at most.
const LONGEST_RANGE: i64 = 1 << 24;

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let node = read.node;
    let operation = match node.op.as_str() {
        "Shape" => unary(expand(Shape::new(DatumType::TDim))),
        "Size" => unary(lower("Size", |prefix, model, inputs| {
            let size: TDim = shape(model, inputs[0])?.iter().product();
            constant(tensor0(size), prefix, model)
        })),
        "Rank" => unary(lower("Rank", |prefix, model, inputs| {
            let rank = i32::try_from(model.outlet_fact(inputs[0])?.rank())?;
            constant(tensor0(rank), prefix, model)
        })),
        "ZerosLike" => unary(lower("ZerosLike", |prefix, model, inputs| {
            filled(0, prefix, model, inputs[0])
        })),
        "OnesLike" => unary(lower("OnesLike", |prefix, model, inputs| {
            filled(1, prefix, model, inputs[0])
        })),
        "Fill" => Operation::Apply(
            2,
            lower_to("Fill", &[0], 1, |prefix, model, inputs| {
                ensure!(
                    model.outlet_fact(inputs[1])?.rank() == 0,
                    "a value that is no scalar"
                );
                let to = known(model, inputs[0])?;
                broadcast(&to, prefix, model, inputs[1])
            }),
        ),
        "BroadcastTo" => Operation::Apply(
            2,
            lower_to("BroadcastTo", &[1], 1, |prefix, model, inputs| {
                let to = known(model, inputs[1])?;
                broadcast(&to, prefix, model, inputs[0])
            }),
        ),
        "Tile" => {
            if let Some(counts) = (read.constant)(1)
                && super::integers_of(&counts).is_none_or(|counts| counts.iter().any(|n| *n < 0))
            {
                return Err(of(node, "a negative number of times"));
            }
            Operation::Apply(2, expand(Tile))
        }
        "Range" => {
            let to = datum(node, "Tidx").unwrap_or(DatumType::I32);
            Operation::Apply(
                3,
                lower_to("Range", &[0, 1, 2], 1, move |prefix, model, inputs| {
                    range(to, prefix, model, inputs)
                }),
            )
        }
        "EnsureShape" => ensure_shape(read)?,
        "Reshape" => Operation::Apply(2, expand(Reshape::new(true))),
        "ExpandDims" => read.along(1, "ExpandDims", |axes, prefix, model, input| {
            let [axis] = axes else {
                bail!("{} axes", axes.len())
            };
            AddDims::new(vec![*axis as isize]).wire(prefix, model, &[input])
        }),
        "Squeeze" => squeeze(read)?,
        "Pack" => Operation::Pack(integer(node, "axis") as isize),
        "ConcatV2" => {
            let last = read.arity.checked_sub(1);
            let last = last.ok_or_else(|| of(node, "without inputs"))?;
            Operation::Apply(last, expand(Concat::new(read.axis(last)?)))
        }
        "Transpose" => {
            if read
                .axes(1)
                .is_ok_and(|axes| axes.iter().any(|axis| *axis < 0))
            {
                return Err(of(node, "of negative axes"));
            }
            read.along(1, "Transpose", |axes, prefix, model, input| {
                let axes = axes.iter().map(|axis| usize::try_from(*axis));
                let axes = axes.collect::<Result<Vec<_>, _>>()?;
                let rank = model.outlet_fact(input)?.rank();
                // The runtime does not end on anything else.
                let all = axes.len() == rank && (0..rank).all(|axis| axes.contains(&axis));
                ensure!(all, "{axes:?} is no permutation of {rank} axes");
                PermuteAxes::new(Some(axes.into())).wire(prefix, model, &[input])
            })
        }
        "InvertPermutation" => unary(lower("InvertPermutation", |prefix, model, inputs| {
            own(Inverse, prefix, model, inputs)
        })),
        "Pad" => pad(read, None)?,
        "PadV2" => {
            let value = (read.constant)(2);
            let value = value.ok_or_else(|| of(node, "with a value that is not constant"))?;
            if value.len() != 1 {
                return Err(of(node, "with several values"));
            }
            pad(read, Some(value))?
        }
        "MirrorPad" => mirror(read)?,
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

fn constant(value: Value, prefix: &str, model: &mut TypedModel) -> TractResult<TVec<OutletId>> {
    Ok([model.add_const(prefix, value)?].into_iter().collect())
}

/// One number in the shape and of the type of a value.
fn filled(
    number: i64,
    prefix: &str,
    model: &mut TypedModel,
    like: OutletId,
) -> TractResult<TVec<OutletId>> {
    let fact = model.outlet_fact(like)?;
    let (datum, to) = (fact.datum_type, fact.shape.to_tvec());
    let value = tensor0(number).cast_to_dt(datum)?.into_owned();
    let value = model.add_const(format!("{prefix}.value"), value)?;
    broadcast(&to, prefix, model, value)
}

/// A value that is repeated to fill a shape; the shape is not.
fn broadcast(
    to: &[TDim],
    prefix: &str,
    model: &mut TypedModel,
    input: OutletId,
) -> TractResult<TVec<OutletId>> {
    ensure!(
        to.iter()
            .all(|length| length.to_i64().is_ok_and(|n| n >= 0) || length.to_i64().is_err())
    );
    let from = shape(model, input)?;
    let together = multi_broadcast(&[&*from, to])?;
    ensure!(*together == *to, "{from:?} does not fill {to:?}");
    let mut wire = input;
    for axis in from.len()..to.len() {
        wire = model.wire_node(format!("{prefix}.axis.{axis}"), AxisOp::Add(0), &[wire])?[0];
    }
    model.wire_node(prefix, MultiBroadcastTo::new(together.into()), &[wire])
}

/// The numbers from the first on, below the second, a step apart.
fn range(
    to: DatumType,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let mut values = Vec::with_capacity(3);
    for input in inputs {
        match &model.outlet_fact(*input)?.konst {
            Some(value) if value.len() == 1 => values.push(Arc::clone(value)),
            _ => bail!("a sequence of numbers that is not known before running"),
        }
    }
    let [start, limit, step] = values.as_slice() else {
        bail!("Range of {} inputs", inputs.len());
    };
    let value = match to {
        DatumType::F32 => {
            let number = |value: &Value| value.cast_to_scalar::<f32>();
            real_range(number(start)?, number(limit)?, number(step)?)?
        }
        DatumType::F64 => {
            let number = |value: &Value| value.cast_to_scalar::<f64>();
            double_range(number(start)?, number(limit)?, number(step)?)?
        }
        _ => match (length(start), length(limit), length(step)) {
            (Ok(start), Ok(limit), Ok(step)) => integer_range(start, limit, step, to)?,
            // Up to a length that is only known when running.
            (Ok(start), Err(_), Ok(1)) => {
                let limit = super::super::routine::lengths(limit)?;
                let Some(limit) = limit.first() else {
                    bail!("Range without a limit")
                };
                return counted(start, limit.clone(), to, prefix, model);
            }
            _ => bail!("a sequence of numbers that is not known before running"),
        },
    };
    constant(value, prefix, model)
}

fn counted(
    start: i64,
    limit: TDim,
    to: DatumType,
    prefix: &str,
    model: &mut TypedModel,
) -> TractResult<TVec<OutletId>> {
    use tract_onnx::tract_hir::tract_core::ops::array::Range;
    let length = limit.clone() - start;
    let mut wires = TVec::new();
    for (name, value) in [
        ("start", tensor0(start)),
        ("limit", tensor0(limit)),
        ("step", tensor0(1i64)),
    ] {
        let name = format!("{prefix}.{name}");
        let value = model.add_const(&name, value)?;
        wires.extend(model.wire_node(name + ".cast", cast(DatumType::TDim), &[value])?);
    }
    let range = model.wire_node(format!("{prefix}.range"), Range::new(length), &wires)?;
    model.wire_node(prefix, cast(to), &range)
}

fn length(value: &Value) -> TractResult<i64> {
    match super::super::routine::lengths(value)?.as_slice() {
        [length] => Ok(length.to_i64()?),
        _ => bail!("no single number"),
    }
}

fn integer_range(start: i64, limit: i64, step: i64, to: DatumType) -> TractResult<Value> {
    let forward = step > 0 && start <= limit || step < 0 && start >= limit;
    ensure!(forward, "Range from {start} to {limit} by {step}");
    let (start, limit, step) = (i128::from(start), i128::from(limit), i128::from(step));
    let count = (limit - start).unsigned_abs();
    let count = count.div_ceil(step.unsigned_abs());
    ensure!(count <= LONGEST_RANGE as u128, "Range of {count} numbers");
    let numbers: Vec<i64> = (0..count as i128)
        .map(|n| (start + n * step) as i64)
        .collect();
    Ok(Value::from_shape(&[numbers.len()], &numbers)?
        .cast_to_dt(to)?
        .into_owned())
}

macro_rules! range_of {
    ($name:ident, $number:ty) => {
        fn $name(start: $number, limit: $number, step: $number) -> TractResult<Value> {
            let forward = step > 0.0 && start <= limit || step < 0.0 && start >= limit;
            ensure!(forward, "Range from {start} to {limit} by {step}");
            let count = ((limit - start) / step).abs().ceil();
            ensure!(
                count <= LONGEST_RANGE as $number,
                "Range of {count} numbers"
            );
            let mut numbers = Vec::with_capacity(count as usize);
            let mut number = start;
            for _ in 0..count as usize {
                // As TensorFlow adds them up.
                numbers.push(number);
                number += step;
            }
            Value::from_shape(&[numbers.len()], &numbers)
        }
    };
}

range_of!(real_range, f32);
range_of!(double_range, f64);

fn ensure_shape(read: &Inputs<'_>) -> Result<Operation, String> {
    let Some(wanted) = declared(read.node, "shape").filter(|shape| !shape.unknown_rank) else {
        return Err(of(read.node, "of no shape"));
    };
    let wanted: Vec<i64> = wanted.dim.iter().map(|dim| dim.size).collect();
    Ok(unary(lower("EnsureShape", move |_, model, inputs| {
        let found = shape(model, inputs[0])?;
        let fits = |(length, wanted): (&TDim, &i64)| {
            *wanted < 0 || length.to_i64().is_ok_and(|length| length == *wanted)
        };
        ensure!(
            found.len() == wanted.len() && found.iter().zip(&wanted).all(fits),
            "{found:?} instead of {wanted:?}"
        );
        Ok([inputs[0]].into_iter().collect())
    })))
}

/// Which axes are dropped has to be in the graph, or to follow from lengths that are all known.
fn squeeze(read: &Inputs<'_>) -> Result<Operation, String> {
    let mut axes: Vec<isize> = integers(read.node, "squeeze_dims")
        .iter()
        .map(|axis| *axis as isize)
        .collect();
    axes.sort_unstable();
    let mixed = axes.first().is_some_and(|axis| *axis < 0) && axes.last() >= Some(&0);
    if axes.is_empty() {
        return Ok(unary(lower("Squeeze", |prefix, model, inputs| {
            let mut axes = Vec::new();
            for (axis, length) in shape(model, inputs[0])?.iter().enumerate() {
                if length.to_i64()? == 1 {
                    axes.push(axis as isize);
                }
            }
            Squeeze::new(Some(axes)).wire(prefix, model, &inputs[..1])
        })));
    }
    if mixed {
        return Err(of(read.node, "of axes that are not named"));
    }
    Ok(unary(expand(Squeeze::new(Some(axes)))))
}

/// How much is added before and after each axis.
fn margins(read: &Inputs<'_>) -> Result<Vec<(usize, usize)>, String> {
    let unknown = || of(read.node, "by lengths that are not constant");
    let value = (read.constant)(1).ok_or_else(unknown)?;
    let numbers = super::integers_of(&value).ok_or_else(unknown)?;
    let numbers: Result<Vec<usize>, _> = numbers.into_iter().map(usize::try_from).collect();
    let numbers = numbers.map_err(|_| of(read.node, "by a negative length"))?;
    if value.shape().get(1) != Some(&2) || numbers.iter().any(|length| *length > 1 << 26) {
        return Err(of(read.node, "by immense lengths"));
    }
    let pairs = numbers.chunks_exact(2);
    Ok(pairs.map(|pair| (pair[0], pair[1])).collect())
}

fn pad(read: &Inputs<'_>, value: Option<Arc<Value>>) -> Result<Operation, String> {
    let margins = margins(read)?;
    Ok(unary(lower("Pad", move |prefix, model, inputs| {
        let fact = model.outlet_fact(inputs[0])?;
        ensure!(
            fact.rank() == margins.len(),
            "margins of {} axes",
            margins.len()
        );
        let value = match &value {
            Some(value) => value
                .cast_to_dt(fact.datum_type)?
                .into_owned()
                .into_shape(&[])?,
            None => Value::zero_scalar_dt(fact.datum_type)?,
        };
        let pad = Pad::new(margins.clone(), PadMode::Constant(Arc::new(value)));
        model.wire_node(prefix, pad, &inputs[..1])
    })))
}

fn mirror(read: &Inputs<'_>) -> Result<Operation, String> {
    let edge = match text(read.node, "mode") {
        Some(b"REFLECT") => 1,
        Some(b"SYMMETRIC") => 0,
        _ => return Err(of(read.node, "in an unknown mode")),
    };
    let mirror = Mirror {
        margins: margins(read)?,
        edge,
    };
    Ok(unary(lower("MirrorPad", move |prefix, model, inputs| {
        own(mirror.clone(), prefix, model, &inputs[..1])
    })))
}

/// Margins in which a value is mirrored, at its edge or at its last elements.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    margins: Vec<(usize, usize)>,
    edge: usize,
}

impl Mirror {
    fn along(&self, axis: usize, length: usize) -> TractResult<Vec<usize>> {
        let (before, after) = self.margins.get(axis).copied().unwrap_or_default();
        let most = length.saturating_sub(self.edge);
        ensure!(
            before <= most && after <= most,
            "margins wider than the value"
        );
        let before = (0..before).rev().map(|n| n + self.edge);
        let after = (0..after).map(|n| length - 1 - self.edge - n);
        Ok(before.chain(0..length).chain(after).collect())
    }
}

fn taken<T: Datum + Clone>(value: &Value, axis: usize, indices: &[usize]) -> TractResult<Value> {
    use tract_onnx::tract_hir::internal::IntoTensor;
    use tract_onnx::tract_hir::tract_ndarray::Axis;
    let view = value.to_plain_array_view::<T>()?;
    Ok(view.select(Axis(axis), indices).into_tensor())
}

impl Routine for Mirror {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, shape)] = inputs else {
            bail!("MirrorPad of {} inputs", inputs.len());
        };
        ensure!(
            shape.len() == self.margins.len(),
            "margins of {} axes",
            self.margins.len()
        );
        let lengths = shape.iter().zip(&self.margins);
        let wide = lengths.map(|(length, (a, b))| length.clone() + *a + *b);
        Ok([(*datum, wide.collect())].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let mut value = inputs[0].clone();
        for axis in 0..value.rank() {
            let indices = self.along(axis, value.shape()[axis])?;
            value = dispatch_any!(value.datum_type(), taken(&value, axis, &indices))?;
        }
        Ok([value].into_iter().collect())
    }
}

/// The permutation that undoes another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Inverse;

impl Routine for Inverse {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        match inputs {
            [(datum, shape)] if shape.len() == 1 => {
                Ok([(*datum, shape.clone())].into_iter().collect())
            }
            _ => bail!("no permutation"),
        }
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let wide = inputs[0].cast_to::<i64>()?;
        let plain = wide.try_as_plain_ram()?;
        let order = plain.as_slice::<i64>()?;
        let mut inverse = vec![-1i64; order.len()];
        for (position, target) in order.iter().enumerate() {
            let place = usize::try_from(*target)
                .ok()
                .and_then(|to| inverse.get_mut(to));
            match place {
                Some(place) if *place < 0 => *place = position as i64,
                _ => bail!("no permutation"),
            }
        }
        let inverse = Value::from_shape(&[inverse.len()], &inverse)?;
        Ok([inverse.cast_to_dt(inputs[0].datum_type())?.into_owned()]
            .into_iter()
            .collect())
    }
}
