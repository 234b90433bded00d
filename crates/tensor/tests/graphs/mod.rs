//! Graphs to write down in a test.

#[path = "../../src/graphdef/messages.rs"]
mod messages;

use messages::{AttrValue, Attribute, ListValue};
pub(crate) use messages::{DataType, Dim, GraphDef, NodeDef, TensorProto, TensorShapeProto};

pub(crate) fn graph() -> GraphDef {
    GraphDef::default()
}

pub(crate) fn node() -> NodeDef {
    NodeDef::default()
}

impl GraphDef {
    pub(crate) fn node(mut self, node: NodeDef) -> GraphDef {
        self.node.push(node);
        self
    }
}

impl NodeDef {
    pub(crate) fn name(mut self, name: impl Into<String>) -> NodeDef {
        self.name = name.into();
        self
    }

    pub(crate) fn op(mut self, op: &str) -> NodeDef {
        op.clone_into(&mut self.op);
        self
    }

    pub(crate) fn input(mut self, input: &str) -> NodeDef {
        self.input.push(input.to_owned());
        self
    }

    pub(crate) fn attr(mut self, name: &str, value: impl Into<Attribute>) -> NodeDef {
        self.attr.insert(
            name.to_owned(),
            AttrValue {
                value: Some(value.into()),
            },
        );
        self
    }
}

impl From<DataType> for Attribute {
    fn from(element: DataType) -> Attribute {
        Attribute::Type(element as i32)
    }
}

impl From<TensorShapeProto> for Attribute {
    fn from(shape: TensorShapeProto) -> Attribute {
        Attribute::Shape(shape)
    }
}

impl From<TensorProto> for Attribute {
    fn from(tensor: TensorProto) -> Attribute {
        Attribute::Tensor(tensor)
    }
}

impl From<i64> for Attribute {
    fn from(integer: i64) -> Attribute {
        Attribute::Integer(integer)
    }
}

impl From<&[i64]> for Attribute {
    fn from(integers: &[i64]) -> Attribute {
        Attribute::List(ListValue {
            i: integers.to_vec(),
            ..ListValue::default()
        })
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Attribute {
        Attribute::Text(text.as_bytes().to_vec())
    }
}
