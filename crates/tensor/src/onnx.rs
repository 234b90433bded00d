//! ONNX files: `onnx/onnx.proto`.

mod arithmetic;
mod attributes;
mod cast;
mod classes;
mod distances;
mod elementwise;
mod encoders;
mod features;
mod kernel;
mod labels;
mod linear;
mod operators;
#[cfg(feature = "onnxruntime")]
pub(crate) mod portable;
mod products;
mod recurrent;
mod reductions;
mod svm;
mod transform;
mod trees;
mod values;

use crate::plan::{Draft, check_size, load};
use crate::protobuf::{Kind, check};
use crate::shield::shield;
use crate::{Error, Options};
use prost::Message;
use std::collections::{BTreeSet, HashSet};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use values::Values;

/// The messages of a file.
const SCHEMA: &[Kind] = &[
    &[
        (7, GRAPH),
        (8, LEAF),
        (14, LEAF),
        (20, TRAINING),
        (25, FUNCTION),
    ],
    &[
        (1, NODE),
        (5, TENSOR),
        (11, VALUE),
        (12, VALUE),
        (13, VALUE),
        (14, ANNOTATION),
        (15, SPARSE),
    ],
    &[(5, ATTRIBUTE)],
    &[
        (5, TENSOR),
        (6, GRAPH),
        (10, TENSOR),
        (11, GRAPH),
        (15, TYPE),
        (22, SPARSE),
        (23, SPARSE),
    ],
    &[(3, LEAF), (13, LEAF)],
    &[(1, TENSOR), (2, TENSOR)],
    &[(2, TYPE)],
    &[(1, TENSOR_TYPE)],
    &[(2, SHAPE)],
    &[(1, LEAF)],
    &[(2, LEAF)],
    &[(1, GRAPH), (2, GRAPH), (3, LEAF), (4, LEAF)],
    &[(7, NODE), (9, LEAF)],
    &[],
];
const GRAPH: usize = 1;
const NODE: usize = 2;
const ATTRIBUTE: usize = 3;
const TENSOR: usize = 4;
const SPARSE: usize = 5;
const VALUE: usize = 6;
const TYPE: usize = 7;
const TENSOR_TYPE: usize = 8;
const SHAPE: usize = 9;
const ANNOTATION: usize = 10;
const TRAINING: usize = 11;
const FUNCTION: usize = 12;
const LEAF: usize = 13;

/// Decodes a graph, chooses its inputs and outputs, and checks what they depend on.
pub(crate) fn read(bytes: &[u8], options: &Options) -> Result<Draft, Error> {
    check(bytes, SCHEMA, malformed)?;
    let mut file = ModelProto::decode(bytes).map_err(|cause| malformed(cause.to_string()))?;
    let graph = file.graph.take().ok_or(Error::Empty)?;
    if graph.node.is_empty() {
        return Err(Error::Empty);
    }
    if file.opset_import.is_empty() {
        return Err(malformed("it names no operator set".to_owned()));
    }
    let values = Values::of(&graph)?;
    let outputs = values.outputs(&options.outputs)?;
    let needed = values.needed(&outputs);
    let inputs = values.inputs(&needed, &options.inputs)?;
    let makers = graph.node.iter().filter(|node| is_needed(node, &needed));
    check_size(needed.len(), makers.map(|node| node.input.len()).sum())?;
    let part = part(&graph, &values, &needed, &inputs, &outputs)?;
    let file = ModelProto {
        graph: Some(part),
        functions: Vec::new(),
        ..file
    };
    let classes = classes::classes(&values, &outputs);
    let mut draft = draft(&file, inputs, outputs)?;
    draft.classes = classes;
    Ok(draft)
}

fn malformed(reason: String) -> Error {
    Error::Malformed {
        format: "ONNX ModelProto",
        reason,
    }
}

fn is_needed(node: &NodeProto, needed: &HashSet<&str>) -> bool {
    let mut outputs = node.output.iter();
    outputs.any(|output| needed.contains(output.as_str()))
}

/// The part of a graph that is run, as far as it is supported, in the operators of the runtime.
fn part(
    graph: &GraphProto,
    values: &Values<'_>,
    needed: &HashSet<&str>,
    inputs: &[String],
    outputs: &[String],
) -> Result<GraphProto, Error> {
    let mut part = GraphProto {
        name: graph.name.clone(),
        ..GraphProto::default()
    };
    let mut unsupported = BTreeSet::new();
    for node in &graph.node {
        if !is_needed(node, needed) {
            continue;
        }
        if let Err(reason) = operators::check(node) {
            unsupported.insert(reason);
        } else if !operators::is_dictionary(node) {
            part.node.push(operators::adapted(node));
        }
    }
    for node in &mut part.node {
        for input in &mut node.input {
            *input = values.resolve(input).to_owned();
        }
    }
    for tensor in &graph.initializer {
        if needed.contains(tensor.name.as_str()) && !inputs.contains(&tensor.name) {
            if tensor.data_location == Some(DataLocation::External as i32) {
                unsupported.insert("external data".to_owned());
            }
            part.initializer.push(tensor.clone());
        }
    }
    if !unsupported.is_empty() {
        return Err(Error::Unsupported {
            operators: unsupported.into_iter().collect(),
        });
    }
    for name in inputs {
        let input = graph
            .input
            .iter()
            .find(|input| input.name == *name)
            .cloned();
        part.input.push(input.map(opened).unwrap_or_default());
    }
    for name in outputs {
        let name = values.resolve(name).to_owned();
        part.output.push(ValueInfoProto {
            name,
            ..ValueInfoProto::default()
        });
    }
    Ok(part)
}

/// An input with its lengths known or not: names of unknown lengths only say which are equal, and
/// the runtime takes them for formulas.
fn opened(mut input: ValueInfoProto) -> ValueInfoProto {
    use tract_onnx::pb::tensor_shape_proto::dimension::Value as Length;

    let tensor = input.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(Value::TensorType(tensor)) = tensor {
        for axis in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
            if !matches!(axis.value, Some(Length::DimValue(1..))) {
                axis.value = None;
            }
        }
    }
    input
}

fn draft(file: &ModelProto, inputs: Vec<String>, outputs: Vec<String>) -> Result<Draft, Error> {
    let parsed = shield(|| {
        operators::runtime()
            .parse(file, None)
            .map_err(|cause| load(&cause))
    });
    let parsed = parsed.map_err(|reason| Error::Load { reason })??;
    if !parsed.unresolved_inputs.is_empty() || parsed.model.inputs.len() != inputs.len() {
        return Err(malformed(format!(
            "values without a source: {:?}",
            parsed.unresolved_inputs
        )));
    }
    Ok(Draft {
        model: parsed.model,
        inputs,
        outputs,
        classes: Vec::new(),
    })
}
