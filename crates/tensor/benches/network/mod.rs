//! A network of dense layers, rectified but for the last, whose outputs are a softmax: as a file of
//! each format, and by hand.

use prost::Message;
use std::collections::HashMap;
use tract_onnx::pb;

/// Layers of random weights, the same in every run.
pub(crate) struct Network {
    layers: Vec<Layer>,
}

struct Layer {
    depth: usize,
    width: usize,
    /// One row of weights for each input.
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Network {
    /// Of the number of inputs, and of the outputs of each layer.
    pub(crate) fn new(sizes: &[usize]) -> Network {
        let mut state = 7u32;
        let mut number = |size: f32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 * size - size
        };
        let mut layer = |sizes: &[usize]| {
            let [depth, width] = [sizes[0], sizes[1]];
            let size = (3.0 / depth as f32).sqrt();
            Layer {
                depth,
                width,
                weights: (0..depth * width).map(|_| number(size)).collect(),
                biases: (0..width).map(|_| number(0.1)).collect(),
            }
        };
        Network {
            layers: sizes.windows(2).map(&mut layer).collect(),
        }
    }

    /// Scores a row in a loop over the weights, one after the other, with the library's `exp`.
    pub(crate) fn score(
        &self,
        row: &[f64],
        [values, next]: &mut [Vec<f32>; 2],
        scores: &mut Vec<f64>,
    ) {
        values.clear();
        values.extend(row.iter().map(|value| *value as f32));
        for (number, layer) in self.layers.iter().enumerate() {
            next.clone_from(&layer.biases);
            for (value, weights) in values.iter().zip(layer.weights.chunks_exact(layer.width)) {
                for (sum, weight) in next.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
            if number + 1 < self.layers.len() {
                next.iter_mut().for_each(|sum| *sum = sum.max(0.0));
            }
            std::mem::swap(values, next);
        }
        let largest = values.iter().copied().fold(f32::MIN, f32::max);
        values.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let sum: f32 = values.iter().sum();
        scores.extend(values.iter().map(|x| f64::from(x / sum)));
    }

    /// As an ONNX `ModelProto`.
    pub(crate) fn onnx(&self) -> Vec<u8> {
        let tensor = |name: String, dims: Vec<usize>, values: &[f32]| pb::TensorProto {
            name,
            dims: dims.iter().map(|length| *length as i64).collect(),
            data_type: pb::tensor_proto::DataType::Float as i32,
            raw_data: bytes(values),
            ..pb::TensorProto::default()
        };
        let mut graph = pb::GraphProto {
            name: "network".to_owned(),
            input: vec![port("input", self.layers[0].depth)],
            output: vec![port("output", self.layers[self.layers.len() - 1].width)],
            ..pb::GraphProto::default()
        };
        let mut input = "input".to_owned();
        for (number, layer) in self.layers.iter().enumerate() {
            let name = |what: &str| format!("{what}_{number}");
            graph.initializer.extend([
                tensor(
                    name("weights"),
                    vec![layer.depth, layer.width],
                    &layer.weights,
                ),
                tensor(name("biases"), vec![layer.width], &layer.biases),
            ]);
            let last = number + 1 == self.layers.len();
            let (function, output) = if last {
                ("Softmax", "output".to_owned())
            } else {
                ("Relu", name("function"))
            };
            let mut node = |op: &str, input: Vec<String>, output: String| {
                graph.node.push(pb::NodeProto {
                    name: output.clone(),
                    op_type: op.to_owned(),
                    input,
                    output: vec![output],
                    ..pb::NodeProto::default()
                });
            };
            node("MatMul", vec![input, name("weights")], name("product"));
            node("Add", vec![name("product"), name("biases")], name("sum"));
            node(function, vec![name("sum")], output.clone());
            input = output;
        }
        let file = pb::ModelProto {
            ir_version: 8,
            graph: Some(graph),
            opset_import: vec![pb::OperatorSetIdProto {
                domain: String::new(),
                version: 13,
            }],
            ..pb::ModelProto::default()
        };
        file.encode_to_vec()
    }

    /// As a frozen TensorFlow `GraphDef`, as of Keras.
    pub(crate) fn graphdef(&self) -> Vec<u8> {
        let mut graph = GraphDef::default();
        let mut node = |name: String, op: &str, input: &[&str], attributes: &[(&str, Value)]| {
            let attributes = attributes.iter();
            graph.node.push(NodeDef {
                name: name.clone(),
                op: op.to_owned(),
                input: input.iter().map(|name| (*name).to_owned()).collect(),
                attr: attributes
                    .map(|(name, value)| {
                        let value = Some(value.clone());
                        ((*name).to_owned(), AttrValue { value })
                    })
                    .collect(),
            });
            name
        };
        let float = ("T", Value::Type(FLOAT));
        let shape = shape(&[-1, self.layers[0].depth as i64]);
        let placeholder = [
            ("dtype", Value::Type(FLOAT)),
            ("shape", Value::Shape(shape)),
        ];
        let mut input = node("input".to_owned(), "Placeholder", &[], &placeholder);
        for (number, layer) in self.layers.iter().enumerate() {
            let name = |what: &str| format!("network/dense_{number}/{what}");
            let mut constant = |what: &str, lengths: &[i64], values: &[f32]| {
                let read = name(&format!("{what}/ReadVariableOp"));
                let resource = name(&format!("{what}/resource"));
                let value = Value::Tensor(TensorProto {
                    dtype: FLOAT,
                    tensor_shape: Some(self::shape(lengths)),
                    tensor_content: bytes(values),
                });
                let typed = ("dtype", Value::Type(FLOAT));
                let resource = node(resource, "Const", &[], &[typed, ("value", value)]);
                node(read, "Identity", &[&resource], std::slice::from_ref(&float))
            };
            let lengths = [layer.depth as i64, layer.width as i64];
            let weights = constant("MatMul", &lengths, &layer.weights);
            let biases = constant("BiasAdd", &lengths[1..], &layer.biases);
            let product = node(
                name("MatMul"),
                "MatMul",
                &[&input, &weights],
                &[
                    float.clone(),
                    ("transpose_a", Value::Truth(false)),
                    ("transpose_b", Value::Truth(false)),
                ],
            );
            let attributes = std::slice::from_ref(&float);
            let sum = node(name("BiasAdd"), "BiasAdd", &[&product, &biases], attributes);
            let last = number + 1 == self.layers.len();
            let function = if last { "Softmax" } else { "Relu" };
            input = node(name(function), function, &[&sum], attributes);
        }
        node("Identity".to_owned(), "Identity", &[&input], &[float]);
        graph.versions = Some(VersionDef { producer: 1_882 });
        graph.encode_to_vec()
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn port(name: &str, width: usize) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value as Length};
    let axis = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let axes = vec![
        axis(Length::DimParam("batch".to_owned())),
        axis(Length::DimValue(width as i64)),
    ];
    pb::ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(pb::type_proto::Tensor {
                elem_type: pb::tensor_proto::DataType::Float as i32,
                shape: Some(pb::TensorShapeProto { dim: axes }),
            })),
            ..pb::TypeProto::default()
        }),
        ..pb::ValueInfoProto::default()
    }
}

const FLOAT: i32 = 1;

fn shape(lengths: &[i64]) -> TensorShapeProto {
    let axis = |size: &i64| Dim { size: *size };
    TensorShapeProto {
        dim: lengths.iter().map(axis).collect(),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeDef>,
    #[prost(message, optional, tag = "4")]
    versions: Option<VersionDef>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionDef {
    #[prost(int32, tag = "1")]
    producer: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NodeDef {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    op: String,
    #[prost(string, repeated, tag = "3")]
    input: Vec<String>,
    #[prost(map = "string, message", tag = "5")]
    attr: HashMap<String, AttrValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttrValue {
    #[prost(oneof = "Value", tags = "5, 6, 7, 8")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(bool, tag = "5")]
    Truth(bool),
    #[prost(int32, tag = "6")]
    Type(i32),
    #[prost(message, tag = "7")]
    Shape(TensorShapeProto),
    #[prost(message, tag = "8")]
    Tensor(TensorProto),
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorProto {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    tensor_shape: Option<TensorShapeProto>,
    #[prost(bytes = "vec", tag = "4")]
    tensor_content: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    size: i64,
}
