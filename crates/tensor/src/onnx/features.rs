//! Operators that prepare features: `Scaler`, `Normalizer`, `Imputer`, `Binarizer`,
//! `FeatureVectorizer` and `ArrayFeatureExtractor`.

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, check_numbers, fact, only, open_rows_of, rows_of, singles};
use crate::elements::{dispatch, slice};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    Datum, IntoTensor, TDim, TValue, Tensor as Value, ToDim, TractResult, bail, ensure, format_err,
};
use tract_onnx::tract_hir::tract_ndarray::ArrayD;

/// The distance of rows in a value: the length of its second axis, or of its only one.
fn stride(shape: &[usize]) -> TractResult<usize> {
    match shape {
        [] => bail!("a scalar has no features"),
        [only] => Ok(*only),
        [_, second, ..] => Ok(*second),
    }
}

/// One value for all features, or one for each.
#[derive(Clone, Copy)]
struct Each<'a, T>(&'a [T]);

impl<T: Copy> Each<'_, T> {
    fn check(&self, stride: usize) -> TractResult<()> {
        ensure!(
            self.0.len() == 1 || self.0.len() == stride,
            "{} values for {stride} features",
            self.0.len()
        );
        Ok(())
    }

    fn at(&self, position: usize) -> Option<T> {
        self.0.get(position % self.0.len().max(1)).copied()
    }
}

fn check_stride(count: usize, shape: &[TDim]) -> TractResult<()> {
    let axis = shape.get(1).or(shape.first());
    if let Some(Ok(stride)) = axis.map(usize::try_from) {
        Each(&vec![(); count]).check(stride)?;
    }
    Ok(())
}

/// `(x - offset) * scale`.
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

pub(super) fn scaler(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let offset = attributes.floats("offset")?.to_vec();
    let scale = attributes.floats("scale")?.to_vec();
    ensure!(
        offset.len() == scale.len() && !scale.is_empty(),
        "{} offsets and {} scales",
        offset.len(),
        scale.len()
    );
    Ok(Arc::new(Scaler { offset, scale }))
}

impl Kernel for Scaler {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        check_numbers(*datum)?;
        check_stride(self.scale.len(), shape)?;
        Ok(vec![(f32::datum_type(), shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let stride = stride(input.shape())?;
        Each(&self.scale).check(stride)?;
        let mut output = Value::zero_dt(f32::datum_type(), input.shape())?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let rows = plain.as_slice_mut::<f32>()?.chunks_mut(self.scale.len());
        if input.datum_type() == f64::datum_type() {
            let values = slice::<f64>(input)?.chunks(self.scale.len());
            for (row, values) in rows.zip(values) {
                let factors = self.offset.iter().zip(&self.scale);
                for ((to, value), (offset, scale)) in row.iter_mut().zip(values).zip(factors) {
                    *to = ((value - f64::from(*offset)) * f64::from(*scale)) as f32;
                }
            }
            return Ok(vec![output]);
        }
        let values = singles(input)?;
        for (row, values) in rows.zip(values.chunks(self.scale.len())) {
            let factors = self.offset.iter().zip(&self.scale);
            for ((to, value), (offset, scale)) in row.iter_mut().zip(values).zip(factors) {
                *to = (value - offset) * scale;
            }
        }
        Ok(vec![output])
    }
}

/// Divides a row by a norm of it.
#[derive(Clone, Copy)]
enum Normalizer {
    Max,
    L1,
    L2,
}

pub(super) fn normalizer(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(match attributes.text("norm", "MAX")?.as_str() {
        "MAX" => Normalizer::Max,
        "L1" => Normalizer::L1,
        "L2" => Normalizer::L2,
        other => bail!("unknown norm `{other}`"),
    }))
}

impl Normalizer {
    fn row(self, row: &[f64], to: &mut [f32]) {
        let single = |value: &f64| *value as f32;
        let norm = match self {
            Normalizer::Max => row.iter().map(single).fold(f32::MIN, f32::max),
            Normalizer::L1 => row
                .iter()
                .fold(0.0, |sum, value| sum + single(&value.abs())),
            Normalizer::L2 => row
                .iter()
                .fold(0.0, |sum, value| sum + single(&(value * value))),
        };
        for (to, value) in to.iter_mut().zip(row) {
            *to = match self {
                _ if norm == 0.0 => single(value),
                Normalizer::Max | Normalizer::L1 => single(value) / norm,
                Normalizer::L2 => {
                    let root = (single(&(value * value)) / norm).sqrt();
                    if *value < 0.0 { -root } else { root }
                }
            };
        }
    }
}

impl Kernel for Normalizer {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        check_numbers(*datum)?;
        open_rows_of(shape)?;
        Ok(vec![(f32::datum_type(), shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let (_, columns) = rows_of(input.shape())?;
        let mut output = Value::zero_dt(f32::datum_type(), input.shape())?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let rows = plain
            .as_slice_mut::<f32>()?
            .chunks_exact_mut(columns.max(1));
        // A product of two numbers of single precision is exact in double precision, so that
        // rounding it is what the product would have been.
        let values = input.cast_to::<f64>()?;
        for (row, to) in slice::<f64>(&values)?
            .chunks_exact(columns.max(1))
            .zip(rows)
        {
            self.row(row, to);
        }
        Ok(vec![output])
    }
}

/// Replaces one value, which may be NaN.
enum Imputer {
    Singles { values: Vec<f32>, replaced: f32 },
    Integers { values: Vec<i64>, replaced: i64 },
}

pub(super) fn imputer(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let values = attributes.floats("imputed_value_floats")?.to_vec();
    let integers = attributes.ints("imputed_value_int64s")?.to_vec();
    ensure!(
        values.is_empty() != integers.is_empty(),
        "imputed values have to be numbers or integers"
    );
    Ok(Arc::new(if integers.is_empty() {
        let replaced = attributes.float("replaced_value_float", 0.0)?;
        Imputer::Singles { values, replaced }
    } else {
        Imputer::Integers {
            values: integers,
            replaced: attributes.int("replaced_value_int64", 0)?,
        }
    }))
}

impl Kernel for Imputer {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        let expected = match self {
            Imputer::Singles { .. } => f32::datum_type(),
            Imputer::Integers { .. } => i64::datum_type(),
        };
        ensure!(
            *datum == expected,
            "values are {expected:?}, the input is {datum:?}"
        );
        Ok(vec![(*datum, shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        /// With one value for each feature; where there are others, the first is that of all.
        fn imputed<T: Datum + Copy>(
            input: &Value,
            values: &[T],
            missing: impl Fn(T) -> bool,
        ) -> TractResult<Value> {
            let values = if values.len() == stride(input.shape())? {
                values
            } else {
                values.get(..1).unwrap_or_default()
            };
            let each = Each(values);
            let mut found = slice::<T>(input)?.to_vec();
            for (position, value) in found.iter_mut().enumerate() {
                if missing(*value) {
                    *value = each.at(position).unwrap_or(*value);
                }
            }
            Ok(ArrayD::from_shape_vec(input.shape(), found)?.into_tensor())
        }
        let input = only(inputs)?;
        Ok(vec![match self {
            Imputer::Singles { values, replaced } => imputed(input, values, |value: f32| {
                value == *replaced || (value.is_nan() && replaced.is_nan())
            })?,
            Imputer::Integers { values, replaced } => {
                imputed(input, values, |value: i64| value == *replaced)?
            }
        }])
    }
}

/// One for what is above a threshold, zero for the rest.
struct Binarizer(f32);

pub(super) fn binarizer(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(Binarizer(attributes.float("threshold", 0.0)?)))
}

impl Kernel for Binarizer {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        ensure!(*datum == f32::datum_type(), "an input of {datum:?}");
        Ok(vec![(*datum, shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let values = slice::<f32>(input)?;
        ensure!(!values.iter().any(|value| value.is_nan()), "a value is NaN");
        let above = |value: &f32| if *value > self.0 { 1.0 } else { 0.0 };
        let found: Vec<f32> = values.iter().map(above).collect();
        Ok(vec![Value::from_shape(input.shape(), &found)?])
    }
}

/// Puts columns beside each other, of each input so many.
struct Vectorizer(Vec<usize>);

pub(super) fn vectorizer(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let lengths = attributes.ints("inputdimensions")?;
    let limited = |length: &i64| match usize::try_from(*length) {
        Ok(length) if length <= 1 << 20 => Ok(length),
        _ => bail!("{length} columns of an input"),
    };
    let lengths = lengths.iter().map(limited).collect::<TractResult<_>>()?;
    Ok(Arc::new(Vectorizer(lengths)))
}

impl Kernel for Vectorizer {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        ensure!(
            inputs.len() == self.0.len(),
            "{} inputs, {} inputdimensions",
            inputs.len(),
            self.0.len()
        );
        for (datum, _) in inputs {
            check_numbers(*datum)?;
        }
        let Some((_, shape)) = inputs.first() else {
            bail!("no inputs");
        };
        let (rows, _) = open_rows_of(shape)?;
        let width: usize = self.0.iter().sum();
        Ok(vec![fact(f32::datum_type(), [rows, width.to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let Some(first) = inputs.first() else {
            bail!("no inputs");
        };
        let (rows, _) = rows_of(first.shape())?;
        let width: usize = self.0.iter().sum();
        let mut output = Value::zero_dt(f32::datum_type(), &[rows, width])?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        let mut start = 0;
        for (input, length) in inputs.iter().zip(&self.0) {
            let (count, columns) = rows_of(input.shape())?;
            ensure!(count == rows, "inputs of {rows} and of {count} rows");
            let values = singles(input)?;
            let taken = columns.min(*length);
            if taken > 0 {
                for (values, to) in values.chunks_exact(columns).zip(to.chunks_exact_mut(width)) {
                    to[start..start + taken].copy_from_slice(&values[..taken]);
                }
            }
            start += length;
        }
        Ok(vec![output])
    }
}

/// Columns by their positions.
struct Extractor;

pub(super) fn extractor(_: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    Ok(Arc::new(Extractor))
}

impl Kernel for Extractor {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let [(datum, shape), (positions, count)] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        ensure!(
            *positions == i64::datum_type(),
            "positions of {positions:?}"
        );
        let count: TDim = count.iter().product();
        let mut fact = (*datum, shape.clone());
        match fact.1.last_mut() {
            Some(columns) => *columns = count,
            None => bail!("a scalar has no columns"),
        }
        if fact.1.len() == 1 {
            fact.1.insert(0, 1.to_dim());
        }
        Ok(vec![fact])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        fn extracted<T: Datum>(input: &Value, positions: &[i64]) -> TractResult<Value> {
            let mut shape = input.shape().to_vec();
            let Some(columns) = shape.last_mut() else {
                bail!("a scalar has no columns");
            };
            let width = std::mem::replace(columns, positions.len());
            let position = |position: &i64| {
                let inside = usize::try_from(*position).ok().filter(|at| *at < width);
                inside.ok_or_else(|| format_err!("column {position} of {width}"))
            };
            let positions: Vec<usize> =
                positions.iter().map(position).collect::<TractResult<_>>()?;
            if shape.len() == 1 {
                shape.insert(0, 1);
            }
            let mut found = Vec::with_capacity(shape.iter().product());
            for row in slice::<T>(input)?.chunks_exact(width.max(1)) {
                found.extend(positions.iter().map(|position| row[*position].clone()));
            }
            Ok(ArrayD::from_shape_vec(shape, found)?.into_tensor())
        }
        let [input, positions] = inputs else {
            bail!("{} inputs, not two", inputs.len());
        };
        let positions = slice::<i64>(positions)?;
        Ok(vec![dispatch!(
            input.datum_type(),
            [F32: f32, F64: f64, I32: i32, I64: i64, Bool: bool, String: String],
            extracted(input, positions)
        )?])
    }
}
