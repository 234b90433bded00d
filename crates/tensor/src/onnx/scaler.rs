//! `ai.onnx.ml.Scaler`, which the runtime does not have, in operators that it has.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// Whether a node computes `(x - offset) * scale`, with one value for all features or one for each.
pub(super) fn is_scaler(node: &NodeProto) -> bool {
    node.op_type == "Scaler"
        && node.domain == "ai.onnx.ml"
        && node.input.len() == 1
        && node.output.len() == 1
}

/// `Cast` to 32-bit floating point, `Sub` and `Mul`.
pub(super) fn rewritten(scaler: &NodeProto) -> Vec<NodeProto> {
    let output = scaler.output.concat();
    let inner = |part: &str| format!("{output}/scaler/{part}");
    let cast = AttributeProto {
        name: "to".to_owned(),
        r#type: AttributeType::Int as i32,
        i: i64::from(DataType::Float as i32),
        ..AttributeProto::default()
    };
    vec![
        constant(inner("offset"), floats(scaler, "offset", 0.0)),
        constant(inner("scale"), floats(scaler, "scale", 1.0)),
        node("Cast", scaler.input.clone(), inner("float"), vec![cast]),
        node(
            "Sub",
            vec![inner("float"), inner("offset")],
            inner("moved"),
            Vec::new(),
        ),
        node(
            "Mul",
            vec![inner("moved"), inner("scale")],
            output.clone(),
            Vec::new(),
        ),
    ]
}

fn floats(scaler: &NodeProto, name: &str, default: f32) -> Vec<f32> {
    let found = scaler
        .attribute
        .iter()
        .find(|attribute| attribute.name == name);
    found
        .map(|a| a.floats.clone())
        .filter(|f| !f.is_empty())
        .unwrap_or_else(|| vec![default])
}

fn constant(output: String, values: Vec<f32>) -> NodeProto {
    let tensor = TensorProto {
        dims: vec![values.len() as i64],
        data_type: DataType::Float as i32,
        float_data: values,
        ..TensorProto::default()
    };
    let value = AttributeProto {
        name: "value".to_owned(),
        r#type: AttributeType::Tensor as i32,
        t: Some(tensor),
        ..AttributeProto::default()
    };
    node("Constant", Vec::new(), output, vec![value])
}

fn node(
    operator: &str,
    input: Vec<String>,
    output: String,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        name: output.clone(),
        op_type: operator.to_owned(),
        input,
        output: vec![output],
        attribute,
        ..NodeProto::default()
    }
}
