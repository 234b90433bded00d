//! Rows of numbers as the data of a tensor, and back.

use crate::tensor::{Data, Element};

/// Numbers as elements of a type; that they can be represented has been checked.
pub(super) fn data(numbers: &[f64], element: Element) -> Data {
    let numbers = numbers.iter();
    match element {
        Element::Float => Data::Float(numbers.map(|number| *number as f32).collect()),
        Element::Double => Data::Double(numbers.copied().collect()),
        Element::Int32 => Data::Int32(numbers.map(|number| *number as i32).collect()),
        Element::Int64 => Data::Int64(numbers.map(|number| *number as i64).collect()),
        Element::Bool => Data::Bool(numbers.map(|number| *number != 0.0).collect()),
        Element::Text => Data::Text(numbers.map(ToString::to_string).collect()),
    }
}

/// Appends the elements as numbers. Text, which no rows are scored to, has none.
pub(super) fn append(data: &Data, outputs: &mut Vec<f64>) {
    match data {
        Data::Float(values) => outputs.extend(values.iter().copied().map(f64::from)),
        Data::Double(values) => outputs.extend_from_slice(values),
        Data::Int32(values) => outputs.extend(values.iter().copied().map(f64::from)),
        Data::Int64(values) => outputs.extend(values.iter().map(|value| *value as f64)),
        Data::Bool(values) => outputs.extend(values.iter().copied().map(f64::from)),
        Data::Text(_) => {}
    }
}
