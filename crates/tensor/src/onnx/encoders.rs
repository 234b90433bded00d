//! Operators that replace a value by another: `LabelEncoder`, `CategoryMapper`, `OneHotEncoder`.

use super::attributes::Attributes;
use super::kernel::{Fact, Kernel, fact, only};
use crate::elements::{dispatch, slice, truncated};
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, IntoTensor, TValue, Tensor as Value, ToDim, TractResult, bail, ensure,
};
use tract_onnx::tract_hir::tract_ndarray::ArrayD;

/// Where each key is; of one that is there twice the first place, or the last.
enum Keys {
    Texts(HashMap<String, usize>),
    Integers(HashMap<i64, usize>),
    /// By their bits; whether NaN is a key like others.
    Singles(HashMap<u32, usize>, bool),
    Doubles(HashMap<u64, usize>, bool),
}

fn first_places<K: std::hash::Hash + Eq>(keys: impl IntoIterator<Item = K>) -> HashMap<K, usize> {
    let mut places = HashMap::new();
    for (place, key) in keys.into_iter().enumerate() {
        places.entry(key).or_insert(place);
    }
    places
}

fn last_places<K: std::hash::Hash + Eq>(keys: impl IntoIterator<Item = K>) -> HashMap<K, usize> {
    let places = keys.into_iter().enumerate();
    places.map(|(place, key)| (key, place)).collect()
}

/// The bits of a number, the same for both zeros and for every NaN.
fn single_bits(value: f32) -> u32 {
    if value.is_nan() {
        f32::NAN.to_bits()
    } else {
        (value + 0.0).to_bits()
    }
}

fn double_bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        (value + 0.0).to_bits()
    }
}

impl Keys {
    fn of(value: &Value, nan_is_a_key: bool) -> TractResult<Keys> {
        Ok(match value.datum_type() {
            DatumType::String => Keys::Texts(first_places(slice::<String>(value)?.iter().cloned())),
            DatumType::F32 => {
                let bits = slice::<f32>(value)?.iter().map(|key| single_bits(*key));
                Keys::Singles(first_places(bits), nan_is_a_key)
            }
            DatumType::F64 => {
                let bits = slice::<f64>(value)?.iter().map(|key| double_bits(*key));
                Keys::Doubles(first_places(bits), nan_is_a_key)
            }
            DatumType::I64 => Keys::Integers(first_places(slice::<i64>(value)?.iter().copied())),
            other => bail!("keys of type {other:?}"),
        })
    }

    fn datum(&self) -> DatumType {
        match self {
            Keys::Texts(_) => String::datum_type(),
            Keys::Integers(_) => i64::datum_type(),
            Keys::Singles(..) => f32::datum_type(),
            Keys::Doubles(..) => f64::datum_type(),
        }
    }

    /// The place of each element.
    fn places(&self, value: &Value) -> TractResult<Vec<Option<usize>>> {
        Ok(match self {
            Keys::Texts(keys) => {
                let keys = |key: &String| keys.get(key).copied();
                slice::<String>(value)?.iter().map(keys).collect()
            }
            Keys::Integers(keys) => {
                let keys = |key: &i64| keys.get(key).copied();
                slice::<i64>(value)?.iter().map(keys).collect()
            }
            Keys::Singles(keys, nan) => {
                let key = |key: &f32| {
                    let found = keys.get(&single_bits(*key)).copied();
                    found.filter(|_| *nan || !key.is_nan())
                };
                slice::<f32>(value)?.iter().map(key).collect()
            }
            Keys::Doubles(keys, nan) => {
                let key = |key: &f64| {
                    let found = keys.get(&double_bits(*key)).copied();
                    found.filter(|_| *nan || !key.is_nan())
                };
                slice::<f64>(value)?.iter().map(key).collect()
            }
        })
    }
}

/// The elements of `values` at some places, and `other` where there is none.
fn at_places(
    values: &Value,
    other: &Value,
    places: &[Option<usize>],
    shape: &[usize],
) -> TractResult<Value> {
    fn at<T: Datum>(
        values: &Value,
        other: &Value,
        places: &[Option<usize>],
        shape: &[usize],
    ) -> TractResult<Value> {
        let values = slice::<T>(values)?;
        let Some(other) = slice::<T>(other)?.first() else {
            bail!("no default");
        };
        let at = |place: &Option<usize>| {
            let value = place.and_then(|place| values.get(place));
            value.unwrap_or(other).clone()
        };
        let found: Vec<T> = places.iter().map(at).collect();
        Ok(ArrayD::from_shape_vec(shape, found)?.into_tensor())
    }
    dispatch!(
        values.datum_type(),
        [String: String, F32: f32, F64: f64, I64: i64, I32: i32, I16: i16],
        at(values, other, places, shape)
    )
}

/// `LabelEncoder` from its second version on.
struct Encoder {
    keys: Keys,
    values: Value,
    other: Value,
}

impl Kernel for Encoder {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        ensure!(
            *datum == self.keys.datum(),
            "keys are {:?}, the input is {datum:?}",
            self.keys.datum()
        );
        Ok(vec![(self.values.datum_type(), shape.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let places = self.keys.places(input)?;
        Ok(vec![at_places(
            &self.values,
            &self.other,
            &places,
            input.shape(),
        )?])
    }
}

/// A list of an attribute, whatever its type, by the names it may have.
fn list(attributes: Attributes<'_>, what: &str) -> TractResult<Option<Value>> {
    let name = |kind: &str| format!("{what}_{kind}");
    let mut found = Vec::new();
    if attributes.has(&name("strings")) {
        found.push(vector(attributes.texts(&name("strings"))?));
    }
    if attributes.has(&name("int64s")) {
        found.push(vector(attributes.ints(&name("int64s"))?.to_vec()));
    }
    if attributes.has(&name("floats")) {
        found.push(vector(attributes.floats(&name("floats"))?.to_vec()));
    }
    found.extend(attributes.tensor(&name("tensor"))?);
    ensure!(found.len() < 2, "several attributes {what}_");
    Ok(found.pop())
}

fn vector<T: Datum>(values: Vec<T>) -> Value {
    tract_onnx::tract_hir::tract_ndarray::Array1::from_vec(values).into_tensor()
}

fn default(attributes: Attributes<'_>, datum: DatumType) -> TractResult<Value> {
    if let Some(tensor) = attributes.tensor("default_tensor")? {
        ensure!(
            tensor.datum_type() == datum && tensor.len() == 1,
            "default_tensor is not one {datum:?}"
        );
        return tensor.into_shape(&[1]);
    }
    let real = attributes.float("default_float", -0.0)?;
    let integer = attributes.int("default_int64", -1)?;
    Ok(match datum {
        DatumType::String => vector(vec![attributes.text("default_string", "_Unused")?]),
        DatumType::F32 => vector(vec![real]),
        DatumType::F64 => vector(vec![f64::from(real)]),
        DatumType::I64 => vector(vec![integer]),
        DatumType::I32 => vector(vec![-1i32]),
        DatumType::I16 => vector(vec![-1i16]),
        other => bail!("values of type {other:?}"),
    })
}

/// `LabelEncoder`.
pub(super) fn label(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    if attributes.has("classes_strings") {
        let texts = attributes.texts("classes_strings")?;
        let integers = (0..texts.len() as i64).collect();
        return mapper(attributes, texts, integers);
    }
    let (Some(keys), Some(values)) = (list(attributes, "keys")?, list(attributes, "values")?)
    else {
        bail!("no keys or no values");
    };
    ensure!(
        keys.len() == values.len(),
        "{} keys for {} values",
        keys.len(),
        values.len()
    );
    Ok(Arc::new(Encoder {
        keys: Keys::of(&keys, attributes.version() >= 4)?,
        other: default(attributes, values.datum_type())?,
        values,
    }))
}

/// `CategoryMapper`.
pub(super) fn category(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let texts = attributes.texts("cats_strings")?;
    mapper(attributes, texts, attributes.ints("cats_int64s")?.to_vec())
}

/// Text to integers, or integers to text, as the input is.
struct Mapper {
    from_texts: Encoder,
    from_integers: Encoder,
}

fn mapper(
    attributes: Attributes<'_>,
    texts: Vec<String>,
    integers: Vec<i64>,
) -> TractResult<Arc<dyn Kernel>> {
    ensure!(
        texts.len() == integers.len(),
        "{} texts for {} integers",
        texts.len(),
        integers.len()
    );
    Ok(Arc::new(Mapper {
        from_texts: Encoder {
            keys: Keys::Texts(last_places(texts.iter().cloned())),
            values: vector(integers.clone()),
            other: default(attributes, i64::datum_type())?,
        },
        from_integers: Encoder {
            keys: Keys::Integers(last_places(integers)),
            values: vector(texts),
            other: default(attributes, String::datum_type())?,
        },
    }))
}

impl Mapper {
    fn of(&self, datum: DatumType) -> &Encoder {
        if datum == String::datum_type() {
            &self.from_texts
        } else {
            &self.from_integers
        }
    }
}

impl Kernel for Mapper {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        self.of(only(inputs)?.0).facts(inputs)
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        self.of(only(inputs)?.datum_type()).eval(inputs)
    }
}

/// `OneHotEncoder`.
struct OneHot {
    keys: Keys,
    width: usize,
    /// Whether a value that is no category is zeros, or an error.
    zeros: bool,
}

pub(super) fn one_hot(attributes: Attributes<'_>) -> TractResult<Arc<dyn Kernel>> {
    let texts = attributes.texts("cats_strings")?;
    let integers = attributes.ints("cats_int64s")?;
    ensure!(
        texts.is_empty() != integers.is_empty(),
        "categories have to be integers or text"
    );
    Ok(Arc::new(OneHot {
        width: texts.len().max(integers.len()),
        keys: if texts.is_empty() {
            Keys::Integers(last_places(integers.iter().copied()))
        } else {
            Keys::Texts(last_places(texts))
        },
        zeros: attributes.int("zeros", 1)? != 0,
    }))
}

impl Kernel for OneHot {
    fn facts(&self, inputs: &[Fact]) -> TractResult<Vec<Fact>> {
        let (datum, shape) = only(inputs)?;
        let is_text = *datum == String::datum_type();
        ensure!(
            is_text == matches!(self.keys, Keys::Texts(_)),
            "categories are {:?}, the input is {datum:?}",
            self.keys.datum()
        );
        let mut fact = fact(f32::datum_type(), []);
        fact.1.extend(shape.iter().cloned());
        fact.1.push(self.width.to_dim());
        Ok(vec![fact])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Value>> {
        let input = only(inputs)?;
        let places = match input.datum_type() {
            DatumType::String | DatumType::I64 => self.keys.places(input)?,
            DatumType::F32 | DatumType::F64 => {
                let numbers = input.cast_to::<f64>()?;
                let integers = slice::<f64>(&numbers)?
                    .iter()
                    .map(|value| truncated(*value));
                self.keys.places(&vector(integers.collect::<Vec<i64>>()))?
            }
            _ => self.keys.places(&*input.cast_to::<i64>()?)?,
        };
        let mut shape = input.shape().to_vec();
        shape.push(self.width);
        let mut output = Value::zero_dt(f32::datum_type(), &shape)?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let rows = plain.as_slice_mut::<f32>()?.chunks_exact_mut(self.width);
        for (row, place) in rows.zip(places) {
            match place {
                Some(place) => row[place] = 1.0,
                None if self.zeros => {}
                None => bail!("a value is none of the categories"),
            }
        }
        Ok(vec![output])
    }
}
