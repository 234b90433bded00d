//! ONNX files for a library that reads them itself: the inputs and outputs are chosen as for any
//! other runtime, and the file is changed where it has others, or dictionaries.

use super::values::Values;
use super::{SCHEMA, classes, malformed, operators};
use crate::protobuf::check;
use crate::{Error, Options};
use prost::Message;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};

/// A file with no other inputs and outputs than those that were chosen.
pub(crate) struct Portable<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// The inputs, in the order of the file.
    pub(crate) inputs: Vec<String>,
    /// What each output is called, and which of the file's outputs it is.
    pub(crate) outputs: Vec<(String, usize)>,
    /// The names of the classes that the columns of each output belong to.
    pub(crate) classes: Vec<Option<Vec<String>>>,
}

/// Decodes a file and chooses its inputs and outputs.
pub(crate) fn portable<'a>(bytes: &'a [u8], options: &Options) -> Result<Portable<'a>, Error> {
    check(bytes, SCHEMA, malformed)?;
    let mut file = ModelProto::decode(bytes).map_err(|cause| malformed(cause.to_string()))?;
    let graph = file.graph.take().ok_or(Error::Empty)?;
    if graph.node.is_empty() {
        return Err(Error::Empty);
    }
    // A library would read such data from wherever the file says.
    if has_external_data(&file, &graph) {
        return Err(Error::Unsupported {
            operators: vec!["external data".to_owned()],
        });
    }
    let values = Values::of(&graph)?;
    let chosen = values.outputs(&options.outputs)?;
    let classes = classes::classes(&values, &chosen);
    let needed = needed(&graph, &chosen);
    let inputs = values.inputs(&needed, &options.inputs)?;

    let mut names: Vec<&str> = Vec::new();
    let mut outputs = Vec::new();
    for output in &chosen {
        let name = values.resolve(output);
        let position = names.iter().position(|known| *known == name);
        outputs.push((output.clone(), position.unwrap_or(names.len())));
        if position.is_none() {
            names.push(name);
        }
    }
    let initialized: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let fed = graph.input.iter().map(|input| input.name.as_str());
    let fed = fed.filter(|name| !initialized.contains(name));
    let declared = graph.output.iter().map(|output| output.name.as_str());
    if declared.eq(names.iter().copied())
        && fed.eq(inputs.iter().map(String::as_str))
        && !graph.node.iter().any(operators::is_dictionary)
    {
        return Ok(Portable {
            bytes: Cow::Borrowed(bytes),
            inputs,
            outputs,
            classes,
        });
    }
    let file = ModelProto {
        graph: Some(part(&graph, &values, &needed, &inputs, &names)),
        training_info: Vec::new(),
        ..file
    };
    Ok(Portable {
        bytes: Cow::Owned(file.encode_to_vec()),
        inputs,
        outputs,
        classes,
    })
}

/// The part of a graph that the outputs depend on, without dictionaries.
fn part(
    graph: &GraphProto,
    values: &Values<'_>,
    needed: &HashSet<&str>,
    inputs: &[String],
    outputs: &[&str],
) -> GraphProto {
    let of = |ports: &[ValueInfoProto], name: &str| {
        let port = ports.iter().find(|port| port.name == name).cloned();
        port.unwrap_or_else(|| ValueInfoProto {
            name: name.to_owned(),
            ..ValueInfoProto::default()
        })
    };
    let nodes = graph.node.iter().filter(|node| {
        let mut made = node.output.iter();
        !operators::is_dictionary(node) && made.any(|name| needed.contains(name.as_str()))
    });
    let mut nodes: Vec<NodeProto> = nodes.cloned().collect();
    for node in &mut nodes {
        for input in &mut node.input {
            *input = values.resolve(input).to_owned();
        }
    }
    let is_needed = |name: &str| needed.contains(name) || outputs.contains(&name);
    let initializers = graph
        .initializer
        .iter()
        .filter(|tensor| is_needed(&tensor.name) && !inputs.contains(&tensor.name));
    GraphProto {
        node: nodes,
        initializer: initializers.cloned().collect(),
        input: inputs.iter().map(|name| of(&graph.input, name)).collect(),
        output: outputs.iter().map(|name| of(&graph.output, name)).collect(),
        value_info: Vec::new(),
        quantization_annotation: Vec::new(),
        ..graph.clone()
    }
}

/// Every value that some depend on, and these themselves. The graphs inside a node see the values
/// outside it.
fn needed<'a>(graph: &'a GraphProto, outputs: &'a [String]) -> HashSet<&'a str> {
    let makers = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
    let makers: HashMap<&str, &NodeProto> = makers.collect();
    let mut needed = HashSet::new();
    let mut open: Vec<&str> = outputs.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        if needed.insert(name)
            && let Some(maker) = makers.get(name)
        {
            let mut nodes = vec![*maker];
            while let Some(node) = nodes.pop() {
                let taken = node.input.iter().filter(|input| !input.is_empty());
                open.extend(taken.map(String::as_str));
                let inner: Vec<&GraphProto> = graphs(node).collect();
                nodes.extend(inner.iter().flat_map(|graph| &graph.node));
                let results = inner.iter().flat_map(|graph| &graph.output);
                open.extend(results.map(|output| output.name.as_str()));
            }
        }
    }
    needed
}

fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    let attributes = node.attribute.iter();
    attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

fn has_external_data(file: &ModelProto, graph: &GraphProto) -> bool {
    let is_external =
        |tensor: &TensorProto| tensor.data_location == Some(DataLocation::External as i32);
    let in_attribute = |attribute: &AttributeProto| {
        let sparse = attribute.sparse_tensor.iter();
        let sparse = sparse.chain(&attribute.sparse_tensors);
        let parts = sparse.flat_map(|sparse| sparse.values.iter().chain(&sparse.indices));
        let tensors = attribute.t.iter().chain(&attribute.tensors).chain(parts);
        tensors.into_iter().any(is_external)
    };
    let mut open: Vec<&GraphProto> = vec![graph];
    let functions = file.functions.iter().flat_map(|function| &function.node);
    let mut nodes: Vec<&NodeProto> = functions.collect();
    loop {
        if let Some(node) = nodes.pop() {
            if node.attribute.iter().any(in_attribute) {
                return true;
            }
            open.extend(graphs(node));
        } else if let Some(graph) = open.pop() {
            let sparse = graph.sparse_initializer.iter();
            let parts = sparse.flat_map(|sparse| sparse.values.iter().chain(&sparse.indices));
            if graph.initializer.iter().chain(parts).any(is_external) {
                return true;
            }
            nodes.extend(&graph.node);
        } else {
            return false;
        }
    }
}
