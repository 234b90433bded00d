//! A node's attributes, with the defaults of TensorFlow's operator definitions: exporters leave
//! out an attribute that has its default value.

use tract_tensorflow::tfpb::tensorflow::attr_value::Value;
use tract_tensorflow::tfpb::tensorflow::{DataType, NodeDef, TensorProto, TensorShapeProto};
use tract_tensorflow::tract_hir::internal::DatumType;

fn value<'a>(node: &'a NodeDef, name: &str) -> Option<&'a Value> {
    node.attr.get(name)?.value.as_ref()
}

pub(super) fn truth(node: &NodeDef, name: &str) -> bool {
    matches!(value(node, name), Some(Value::B(true)))
}

pub(super) fn integer(node: &NodeDef, name: &str) -> i64 {
    match value(node, name) {
        Some(Value::I(integer)) => *integer,
        _ => 0,
    }
}

pub(super) fn float(node: &NodeDef, name: &str) -> Option<f32> {
    match value(node, name) {
        Some(Value::F(float)) => Some(*float),
        _ => None,
    }
}

pub(super) fn integers<'a>(node: &'a NodeDef, name: &str) -> &'a [i64] {
    match value(node, name) {
        Some(Value::List(list)) => &list.i,
        _ => &[],
    }
}

pub(super) fn text<'a>(node: &'a NodeDef, name: &str) -> Option<&'a [u8]> {
    match value(node, name) {
        Some(Value::S(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn shape<'a>(node: &'a NodeDef, name: &str) -> Option<&'a TensorShapeProto> {
    match value(node, name) {
        Some(Value::Shape(shape)) => Some(shape),
        _ => None,
    }
}

pub(super) fn tensor<'a>(node: &'a NodeDef, name: &str) -> Option<&'a TensorProto> {
    match value(node, name) {
        Some(Value::Tensor(tensor)) => Some(tensor),
        _ => None,
    }
}

/// An attribute's type, or what is wrong with it.
pub(super) fn datum(node: &NodeDef, name: &str) -> Result<DatumType, String> {
    match value(node, name) {
        Some(Value::Type(number)) => datum_of(*number),
        _ => Err("without a type".to_owned()),
    }
}

/// The runtime's type for one of TensorFlow's (`types.proto`).
pub(super) fn datum_of(number: i32) -> Result<DatumType, String> {
    match DataType::try_from(number) {
        Ok(DataType::DtFloat) => Ok(DatumType::F32),
        Ok(DataType::DtDouble) => Ok(DatumType::F64),
        Ok(DataType::DtInt32) => Ok(DatumType::I32),
        Ok(DataType::DtInt64) => Ok(DatumType::I64),
        Ok(DataType::DtBool) => Ok(DatumType::Bool),
        Ok(other) => Err(format!("of type {}", other.as_str_name())),
        Err(_) => Err(format!("of the unknown type {number}")),
    }
}
