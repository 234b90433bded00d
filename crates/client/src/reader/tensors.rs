//! Tensors, for people and as JSON.

use std::fmt::Write;

use model::{Data, NamedTensor};
use protobufs::ElementType;
use serde_json::{Value, json};

use super::human::printable;

/// Elements of a tensor that are printed for people.
const SHOWN: usize = 12;

/// `NAME TYPE [SHAPE] ELEMENTS`, the first of many.
pub(super) fn line(named: &NamedTensor) -> String {
    let NamedTensor { name, tensor } = named;
    let (name, element) = (printable(name), tensor.data.element());
    let mut line = format!("{name} {element} {:?}", tensor.shape);
    // Writing to a string does not fail.
    let _ = match &tensor.data {
        Data::Float(values) => elements(&mut line, values, ToString::to_string),
        Data::Double(values) => elements(&mut line, values, ToString::to_string),
        Data::Int32(values) => elements(&mut line, values, ToString::to_string),
        Data::Int64(values) => elements(&mut line, values, ToString::to_string),
        Data::Bool(values) => elements(&mut line, values, ToString::to_string),
        Data::Text(values) => elements(&mut line, values, |v| format!("{:?}", printable(v))),
    };
    line
}

fn elements<T>(line: &mut String, values: &[T], text: fn(&T) -> String) -> std::fmt::Result {
    for value in values.iter().take(SHOWN) {
        write!(line, " {}", text(value))?;
    }
    if values.len() > SHOWN {
        write!(line, " ...")?;
    }
    Ok(())
}

/// With the names of tensorrecord.proto; `data` is the list of elements.
pub(super) fn object(named: &NamedTensor) -> Value {
    let NamedTensor { name, tensor } = named;
    // As short as what is read back as the same float.
    let shortest = |value: &f32| value.to_string().parse::<f64>().ok();
    let (element, data): (_, Value) = match &tensor.data {
        Data::Float(values) => (
            ElementType::Float,
            values.iter().map(shortest).map(finite).collect(),
        ),
        Data::Double(values) => (
            ElementType::Double,
            values.iter().map(|value| finite(Some(*value))).collect(),
        ),
        Data::Int32(values) => (ElementType::Int32, values.as_slice().into()),
        Data::Int64(values) => (ElementType::Int64, values.as_slice().into()),
        Data::Bool(values) => (ElementType::Bool, values.as_slice().into()),
        Data::Text(values) => (ElementType::String, values.as_slice().into()),
    };
    json!({
        "name": name,
        "shape": tensor.shape,
        "type": element.as_str_name(),
        "data": data,
    })
}

/// NaN and infinities, which JSON lacks, become null.
fn finite(value: Option<f64>) -> Value {
    value.filter(|value| value.is_finite()).into()
}
