//! Values looked up by index, and indices of values.

use super::super::attributes::{datum, floats, integer, text, truth};
use super::super::routine::{Routine, axis_of, own};
use super::{Inputs, Operation, integers_of, of};
use crate::elements::{dispatch_any, dispatch_numbers};
use crate::lowering::{Form, lower, lower_to};
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DimLike, IntoTensor, OutletId, SpecialOps, TDim, TVec, Tensor as Value,
    ToDim, TractResult, TypedModel, bail, ensure, f16,
};
use tract_onnx::tract_hir::ops::cast::cast;
use tract_onnx::tract_hir::tract_core::ops::array::Gather;

/// Classes of a one-hot encoding, and the best of a value, at most.
const MOST: i64 = 1 << 20;

pub(super) fn operation(read: &Inputs<'_>) -> Result<Option<Operation>, String> {
    let node = read.node;
    let operation = match node.op.as_str() {
        "Gather" => Operation::Apply(
            2,
            lower("Gather", |prefix, model, inputs| {
                gather(0, 0, prefix, model, inputs)
            }),
        ),
        "GatherV2" => {
            let (axis, batch) = (read.axis(2)?, integer(node, "batch_dims"));
            Operation::Apply(
                2,
                lower("GatherV2", move |prefix, model, inputs| {
                    gather(axis, batch, prefix, model, inputs)
                }),
            )
        }
        "GatherNd" => {
            if !matches!(
                text(node, "bad_indices_policy"),
                None | Some(b"" | b"ERROR")
            ) {
                return Err(of(node, "that ignores indices"));
            }
            Operation::Apply(
                2,
                lower("GatherNd", |prefix, model, inputs| {
                    let Some(depth) = model.outlet_fact(inputs[1])?.shape.last() else {
                        bail!("indices of no axis");
                    };
                    let depth = depth.to_usize()?;
                    own(Points { depth }, prefix, model, inputs)
                }),
            )
        }
        "OneHot" => {
            let depth = read.count(1, "with a depth that is not constant")?;
            let axis = match node.attr.contains_key("axis") {
                true => integer(node, "axis"),
                false => -1,
            };
            Operation::Pick(
                &[0, 2, 3],
                lower("OneHot", move |prefix, model, inputs| {
                    let rank = model.outlet_fact(inputs[0])?.rank();
                    let axis = axis_of(axis, rank + 1)?;
                    own(OneHot { axis, depth }, prefix, model, inputs)
                }),
            )
        }
        "TopKV2" | "TopK" => {
            let count = match node.op.as_str() {
                "TopK" => usize::try_from(integer(node, "k")).unwrap_or(0),
                _ => read.count(1, "of a number that is not constant")?,
            };
            let index = datum(node, "index_type").unwrap_or(DatumType::I32);
            Operation::Apply(
                1,
                lower_to("TopKV2", &[], 2, move |prefix, model, inputs| {
                    own(Best { count, index }, prefix, model, inputs)
                }),
            )
        }
        "Cumsum" | "Cumprod" => {
            let running = Running {
                axis: read.axis(1)?,
                product: node.op == "Cumprod",
                exclusive: truth(node, "exclusive"),
                reverse: truth(node, "reverse"),
            };
            Operation::Apply(
                1,
                lower("Cumsum", move |prefix, model, inputs| {
                    own(running.clone(), prefix, model, inputs)
                }),
            )
        }
        "Bucketize" => {
            let bounds: Vec<u32> = floats(node, "boundaries")
                .iter()
                .map(|b| b.to_bits())
                .collect();
            Operation::Apply(
                1,
                lower("Bucketize", move |prefix, model, inputs| {
                    own(
                        Buckets {
                            bounds: bounds.clone(),
                        },
                        prefix,
                        model,
                        inputs,
                    )
                }),
            )
        }
        _ => return Ok(None),
    };
    Ok(Some(operation))
}

impl Inputs<'_> {
    /// A constant input that is a number of things.
    fn count(&self, input: usize, otherwise: &str) -> Result<usize, String> {
        let value = (self.constant)(input).and_then(|value| integers_of(&value));
        match value.as_deref() {
            Some([count @ 0..=MOST]) => Ok(*count as usize),
            _ => Err(of(self.node, otherwise)),
        }
    }
}

/// As TensorFlow on a processor, an index beyond the value is an error.
fn gather(
    axis: i64,
    batch: i64,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let [values, indices] = *inputs else {
        bail!("GatherV2 of {} inputs", inputs.len());
    };
    let axis = axis_of(axis, model.outlet_fact(values)?.rank())?;
    let batch = match batch {
        0 => 0,
        _ => {
            let rank = model.outlet_fact(indices)?.rank();
            let batch = if batch < 0 {
                batch + rank as i64
            } else {
                batch
            };
            axis_of(batch, rank + 1)?
        }
    };
    ensure!(batch <= axis, "a batch of {batch} axes before axis {axis}");
    if batch > 0 {
        return own(Batched { axis, batch }, prefix, model, inputs);
    }
    let length = model.outlet_fact(values)?.shape[axis].clone();
    let fact = model.outlet_fact(indices)?;
    ensure!(fact.datum_type.is_integer() || fact.datum_type == DatumType::TDim);
    let constant = fact.konst.as_ref().and_then(|indices| integers_of(indices));
    let mut wires: TVec<OutletId> = [indices].into_iter().collect();
    match (constant, length.to_i64()) {
        (Some(indices), Ok(length)) => {
            ensure!(
                indices.iter().all(|index| (0..length).contains(index)),
                "an index that is not below {length}"
            );
        }
        (_, Ok(length)) => {
            let name = format!("{prefix}.checked");
            wires = own(Below(length), &name, model, &wires)?;
        }
        // How long it is, is known by the value when it is there.
        _ => return own(Batched { axis, batch }, prefix, model, inputs),
    }
    let wires = model.wire_node(format!("{prefix}.index"), cast(DatumType::I64), &wires)?;
    model.wire_node(prefix, Gather::new(axis), &[values, wires[0]])
}

fn index_below(index: i64, length: usize) -> TractResult<usize> {
    match usize::try_from(index) {
        Ok(index) if index < length => Ok(index),
        _ => bail!("index {index} is not below {length}"),
    }
}

fn wide(value: &Value) -> TractResult<Vec<i64>> {
    let wide = value.cast_to::<i64>()?;
    Ok(wide.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

fn one(value: Value) -> TVec<Value> {
    [value].into_iter().collect()
}

/// The indices themselves, which have to be below a length.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Below(i64);

impl Routine for Below {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        Ok(inputs.iter().cloned().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let indices = inputs[0].cast_to::<i64>()?;
        for index in indices.try_as_plain_ram()?.as_slice::<i64>()? {
            ensure!(
                (0..self.0).contains(index),
                "index {index} is not below {}",
                self.0
            );
        }
        Ok(one(inputs[0].clone()))
    }
}

/// `GatherV2`, whose first axes may be those of both inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batched {
    axis: usize,
    batch: usize,
}

fn batched<T: Datum + Copy>(
    &Batched { axis, batch }: &Batched,
    values: &Value,
    indices: &[i64],
    shape: &[usize],
) -> TractResult<Value> {
    let form = values.shape();
    let product = |axes: &[usize]| axes.iter().product::<usize>();
    let (outer, middle) = (product(&form[..batch]), product(&form[batch..axis]));
    let (length, inner) = (form[axis], product(&form[axis + 1..]));
    let each = indices.len() / outer.max(1);
    let plain = values.try_as_plain_ram()?;
    let from = plain.as_slice::<T>()?;
    let mut found = Vec::with_capacity(product(shape));
    for row in 0..outer {
        for block in 0..middle {
            for index in &indices[row * each..(row + 1) * each] {
                let index = index_below(*index, length)?;
                let start = ((row * middle + block) * length + index) * inner;
                found.extend_from_slice(&from[start..start + inner]);
            }
        }
    }
    Value::from_shape(shape, &found)
}

impl Batched {
    fn shape<D: Clone>(&self, values: &[D], indices: &[D]) -> TractResult<TVec<D>> {
        ensure!(
            self.axis < values.len() && self.batch <= indices.len(),
            "no axis {}",
            self.axis
        );
        let before = values[..self.axis].iter().chain(&indices[self.batch..]);
        Ok(before.chain(&values[self.axis + 1..]).cloned().collect())
    }
}

impl Routine for Batched {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, values), (_, indices)] = inputs else {
            bail!("GatherV2 of {} inputs", inputs.len());
        };
        let shape = self.shape(values, indices)?;
        for (left, right) in values.iter().zip(indices.iter()).take(self.batch) {
            let differ = matches!((left.to_i64(), right.to_i64()), (Ok(a), Ok(b)) if a != b);
            ensure!(!differ, "{left} rows and {right} rows of indices");
        }
        Ok([(*datum, shape)].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let (values, indices) = (inputs[0], inputs[1]);
        let shape = self.shape(values.shape(), indices.shape())?;
        ensure!(
            values.shape()[..self.batch] == indices.shape()[..self.batch],
            "other batches"
        );
        let indices = wide(indices)?;
        let found = dispatch_any!(values.datum_type(), batched(self, values, &indices, &shape))?;
        Ok(one(found))
    }
}

/// Elements, or parts, of a value by the coordinates along its first axes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Points {
    depth: usize,
}

fn points<T: Datum + Copy>(
    depth: usize,
    values: &Value,
    indices: &[i64],
    count: usize,
    shape: &[usize],
) -> TractResult<Value> {
    let form = values.shape();
    let inner: usize = form[depth..].iter().product();
    let plain = values.try_as_plain_ram()?;
    let from = plain.as_slice::<T>()?;
    let mut found = Vec::with_capacity(count * inner);
    for point in 0..count {
        let mut place = 0;
        for (index, length) in indices[point * depth..(point + 1) * depth].iter().zip(form) {
            place = place * length + index_below(*index, *length)?;
        }
        found.extend_from_slice(&from[place * inner..(place + 1) * inner]);
    }
    Value::from_shape(shape, &found)
}

impl Points {
    fn shape<D: Clone>(&self, values: &[D], indices: &[D]) -> TractResult<TVec<D>> {
        ensure!(
            self.depth <= values.len() && !indices.is_empty(),
            "{} coordinates",
            self.depth
        );
        let points = indices[..indices.len() - 1].iter();
        Ok(points.chain(&values[self.depth..]).cloned().collect())
    }
}

impl Routine for Points {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, values), (_, indices)] = inputs else {
            bail!("GatherNd of {} inputs", inputs.len());
        };
        Ok([(*datum, self.shape(values, indices)?)]
            .into_iter()
            .collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let (values, indices) = (inputs[0], inputs[1]);
        let shape = self.shape(values.shape(), indices.shape())?;
        let count = indices.shape()[..indices.rank() - 1].iter().product();
        let indices = wide(indices)?;
        let found = dispatch_any!(
            values.datum_type(),
            points(self.depth, values, &indices, count, &shape)
        )?;
        Ok(one(found))
    }
}

/// One value where an axis that is added is at the index, and another elsewhere: everywhere, if
/// the index is none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OneHot {
    axis: usize,
    depth: usize,
}

fn one_hot<T: Datum + Copy>(
    &OneHot { axis, depth }: &OneHot,
    indices: &[i64],
    inner: usize,
    (on, off): (&Value, &Value),
    shape: &[usize],
) -> TractResult<Value> {
    let (on, off) = (on.cast_to_scalar::<T>()?, off.cast_to_scalar::<T>()?);
    let mut encoded = vec![off; indices.len() * depth];
    for (position, index) in indices.iter().enumerate() {
        if let Ok(index) = index_below(*index, depth) {
            let (outer, rest) = (position / inner, position % inner);
            encoded[(outer * depth + index) * inner + rest] = on;
        }
    }
    debug_assert!(axis < shape.len());
    Value::from_shape(shape, &encoded)
}

impl Routine for OneHot {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(_, indices), (on, _), (off, _)] = inputs else {
            bail!("OneHot of {} inputs", inputs.len());
        };
        ensure!(on == off, "values of two types");
        let mut shape = indices.clone();
        shape.insert(self.axis, self.depth.to_dim());
        Ok([(*on, shape)].into_iter().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let inner = shape[self.axis..].iter().product::<usize>().max(1);
        shape.insert(self.axis, self.depth);
        let indices = wide(inputs[0])?;
        let values = (inputs[1], inputs[2]);
        let encoded = dispatch_any!(
            inputs[1].datum_type(),
            one_hot(self, &indices, inner, values, &shape)
        )?;
        Ok(one(encoded))
    }
}

/// The largest elements along the last axis, and where they are; of equal ones the first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Best {
    count: usize,
    index: DatumType,
}

fn best<T: Datum + Copy + PartialOrd>(
    count: usize,
    value: &Value,
    shape: &[usize],
) -> TractResult<(Value, Value)> {
    let length = value.shape().last().copied().unwrap_or_default();
    let plain = value.try_as_plain_ram()?;
    let (mut values, mut places) = (Vec::new(), Vec::<i64>::new());
    for row in plain.as_slice::<T>()?.chunks_exact(length.max(1)) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| {
            row[*b]
                .partial_cmp(&row[*a])
                .unwrap_or(std::cmp::Ordering::Equal)
                .then(a.cmp(b))
        });
        for place in order.into_iter().take(count) {
            values.push(row[place]);
            places.push(place as i64);
        }
    }
    Ok((
        Value::from_shape(shape, &values)?,
        Value::from_shape(shape, &places)?,
    ))
}

impl Routine for Best {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let [(datum, shape)] = inputs else {
            bail!("TopKV2 of {} inputs", inputs.len());
        };
        let mut shape = shape.clone();
        let Some(length) = shape.last_mut() else {
            bail!("the best of a scalar");
        };
        let enough = length
            .to_i64()
            .map_or(true, |length| length >= self.count as i64);
        ensure!(enough, "the best {} of {length}", self.count);
        *length = TDim::Val(self.count as i64);
        Ok([(*datum, shape.clone()), (self.index, shape)]
            .into_iter()
            .collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let value = inputs[0];
        let mut shape: TVec<usize> = value.shape().into();
        if let Some(length) = shape.last_mut() {
            ensure!(*length >= self.count, "the best {} of {length}", self.count);
            *length = self.count;
        }
        let datum = value.datum_type();
        let (values, places) = dispatch_numbers!(datum, best(self.count, value, &shape))?;
        let places = places.cast_to_dt(self.index)?.into_owned();
        Ok([values, places].into_iter().collect())
    }
}

/// Sums, or products, of the elements up to each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    axis: i64,
    product: bool,
    exclusive: bool,
    reverse: bool,
}

trait Accumulate: Datum + Copy {
    const ZERO: Self;
    const ONE: Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! accumulate {
    ($number:ty, $plus:expr, $times:expr) => {
        impl Accumulate for $number {
            const ZERO: Self = 0 as $number;
            const ONE: Self = 1 as $number;

            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }

            fn times(self, other: Self) -> Self {
                $times(self, other)
            }
        }
    };
}

accumulate!(f32, |a, b| a + b, |a, b| a * b);
accumulate!(f64, |a, b| a + b, |a, b| a * b);
accumulate!(i32, i32::wrapping_add, i32::wrapping_mul);
accumulate!(i64, i64::wrapping_add, i64::wrapping_mul);

fn running<T: Accumulate>(how: &Running, value: &Value) -> TractResult<Value> {
    use tract_onnx::tract_hir::tract_ndarray::Axis;
    let axis = axis_of(how.axis, value.rank())?;
    let mut found = value.to_plain_array_view::<T>()?.to_owned();
    for mut lane in found.lanes_mut(Axis(axis)) {
        let mut sum = if how.product { T::ONE } else { T::ZERO };
        let length = lane.len();
        for step in 0..length {
            let place = if how.reverse { length - 1 - step } else { step };
            let element = lane[place];
            let next = if how.product {
                sum.times(element)
            } else {
                sum.plus(element)
            };
            lane[place] = if how.exclusive { sum } else { next };
            sum = next;
        }
    }
    Ok(found.into_tensor())
}

impl Routine for Running {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        for (_, shape) in inputs {
            axis_of(self.axis, shape.len())?;
        }
        Ok(inputs.iter().cloned().collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let datum = inputs[0].datum_type();
        let found = dispatch_numbers!(datum, running(self, inputs[0]))?;
        Ok(one(found))
    }
}

/// How many bounds are not above each number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Buckets {
    bounds: Vec<u32>,
}

impl Routine for Buckets {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let bounds = self.bounds.iter().map(|bits| f32::from_bits(*bits));
        ensure!(bounds.is_sorted(), "bounds that are not in order");
        Ok(inputs
            .iter()
            .map(|(_, shape)| (DatumType::I32, shape.clone()))
            .collect())
    }

    fn run(&self, inputs: &[&Value]) -> TractResult<TVec<Value>> {
        let bounds: Vec<f64> = self
            .bounds
            .iter()
            .map(|bits| f64::from(f32::from_bits(*bits)))
            .collect();
        let wide = inputs[0].cast_to::<f64>()?;
        let plain = wide.try_as_plain_ram()?;
        let numbers = plain.as_slice::<f64>()?.iter();
        // NaN is above all.
        let bucket = |x: &f64| bounds.partition_point(|bound| x.is_nan() || bound <= x) as i32;
        let buckets: Vec<i32> = numbers.map(bucket).collect();
        Ok(one(Value::from_shape(inputs[0].shape(), &buckets)?))
    }
}
