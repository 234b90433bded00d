//! Small graphs, of which tests change one thing.

use crate::graphs::{DataType, Dim, GraphDef, NodeDef, TensorProto, TensorShapeProto, graph, node};
use prost::Message;

pub(crate) fn shape(lengths: &[i64]) -> TensorShapeProto {
    let dim = |length: &i64| Dim { size: *length };
    TensorShapeProto {
        dim: lengths.iter().map(dim).collect(),
        unknown_rank: false,
    }
}

pub(crate) fn placeholder(name: &str, lengths: &[i64]) -> NodeDef {
    let node = node()
        .name(name)
        .op("Placeholder")
        .attr("dtype", DataType::Float);
    node.attr("shape", shape(lengths))
}

/// A constant whose every element is one half.
pub(crate) fn halves(name: &str, lengths: &[i64]) -> NodeDef {
    let value = TensorProto {
        dtype: DataType::Float as i32,
        tensor_shape: Some(shape(lengths)),
        float_val: vec![0.5],
        ..TensorProto::default()
    };
    node()
        .name(name)
        .op("Const")
        .attr("dtype", DataType::Float)
        .attr("value", value)
}

pub(crate) fn two(name: &str, op: &str, left: &str, right: &str) -> NodeDef {
    node()
        .name(name)
        .op(op)
        .input(left)
        .input(right)
        .attr("T", DataType::Float)
}

pub(crate) fn bytes(nodes: Vec<NodeDef>) -> Vec<u8> {
    nodes
        .into_iter()
        .fold(graph(), GraphDef::node)
        .encode_to_vec()
}

/// Deterministic noise, after Marsaglia's xorshift.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(step).collect()
}
