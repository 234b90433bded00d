//! A node's attributes, with the defaults of TensorFlow's operator definitions: exporters leave
//! out an attribute that has its default value.

use super::messages::Attribute;
use super::messages::{DataType, NodeDef, TensorProto, TensorShapeProto};
use tract_onnx::tract_hir::internal::DatumType;

fn value<'a>(node: &'a NodeDef, name: &str) -> Option<&'a Attribute> {
    node.attr.get(name)?.value.as_ref()
}

pub(super) fn truth(node: &NodeDef, name: &str) -> bool {
    matches!(value(node, name), Some(Attribute::Truth(true)))
}

/// A truth value that may be left out.
pub(super) fn flag(node: &NodeDef, name: &str) -> Option<bool> {
    match value(node, name) {
        Some(Attribute::Truth(truth)) => Some(*truth),
        _ => None,
    }
}

pub(super) fn integer(node: &NodeDef, name: &str) -> i64 {
    match value(node, name) {
        Some(Attribute::Integer(integer)) => *integer,
        _ => 0,
    }
}

pub(super) fn float(node: &NodeDef, name: &str) -> Option<f32> {
    match value(node, name) {
        Some(Attribute::Float(float)) => Some(*float),
        _ => None,
    }
}

pub(super) fn integers<'a>(node: &'a NodeDef, name: &str) -> &'a [i64] {
    match value(node, name) {
        Some(Attribute::List(list)) => &list.i,
        _ => &[],
    }
}

pub(super) fn floats<'a>(node: &'a NodeDef, name: &str) -> &'a [f32] {
    match value(node, name) {
        Some(Attribute::List(list)) => &list.f,
        _ => &[],
    }
}

pub(super) fn text<'a>(node: &'a NodeDef, name: &str) -> Option<&'a [u8]> {
    match value(node, name) {
        Some(Attribute::Text(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn shape<'a>(node: &'a NodeDef, name: &str) -> Option<&'a TensorShapeProto> {
    match value(node, name) {
        Some(Attribute::Shape(shape)) => Some(shape),
        _ => None,
    }
}

pub(super) fn tensor<'a>(node: &'a NodeDef, name: &str) -> Option<&'a TensorProto> {
    match value(node, name) {
        Some(Attribute::Tensor(tensor)) => Some(tensor),
        _ => None,
    }
}

/// An attribute's type, or what is wrong with it.
pub(super) fn datum(node: &NodeDef, name: &str) -> Result<DatumType, String> {
    match value(node, name) {
        Some(Attribute::Type(number)) => datum_of(*number),
        _ => Err("without a type".to_owned()),
    }
}

/// The runtime's type for one of TensorFlow's (`types.proto`).
pub(super) fn datum_of(number: i32) -> Result<DatumType, String> {
    match DataType::try_from(number) {
        Ok(DataType::Float) => Ok(DatumType::F32),
        Ok(DataType::Double) => Ok(DatumType::F64),
        Ok(DataType::Int32) => Ok(DatumType::I32),
        Ok(DataType::Int64) => Ok(DatumType::I64),
        Ok(DataType::Bool) => Ok(DatumType::Bool),
        Ok(DataType::Uint8) => Ok(DatumType::U8),
        Ok(DataType::Int8) => Ok(DatumType::I8),
        Ok(DataType::Int16) => Ok(DatumType::I16),
        Ok(DataType::Half) => Ok(DatumType::F16),
        Ok(other) => Err(format!("of type {other:?}").to_lowercase()),
        Err(_) => Err(format!("of the unknown type {number}")),
    }
}
