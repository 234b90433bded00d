//! Signatures that take serialized examples, as `classify` and `regress` of a SavedModel do.
//!
//! Their graph begins with an operator that parses the examples. The server has them parsed
//! already, and so the signature is replaced by one that is fed what the operator would give: a
//! value for each feature.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use prost::Message;
use protobufs::tensorflow::tensor_info::Encoding;
use protobufs::tensorflow::tensor_shape_proto::Dim;
use protobufs::tensorflow::{
    DataType, MetaGraphDef, SignatureDef, TensorInfo, TensorProto, TensorShapeProto,
};
use tensor::{Data, Directory, Element, Port};

use crate::codec;
use crate::examples::{Features, Values};
use crate::saved_model::FILE;

/// A model whose signature takes features in place of serialized examples.
pub(crate) struct Parsing {
    pub(crate) files: Directory,
    /// What a feature is that an example does not have.
    pub(crate) defaults: Features,
}

/// A SavedModel whose graphs are not looked into.
#[derive(Clone, PartialEq, Message)]
struct Graphs {
    #[prost(int64, tag = "1")]
    version: i64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    graphs: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, optional, tag = "2")]
    definition: Option<GraphDef>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    operator: String,
    #[prost(string, repeated, tag = "3")]
    inputs: Vec<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    attributes: BTreeMap<String, Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "1")]
    list: Option<List>,
    #[prost(int64, tag = "3")]
    number: i64,
    #[prost(message, optional, tag = "8")]
    tensor: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(int32, repeated, tag = "6")]
    types: Vec<i32>,
    #[prost(message, repeated, tag = "7")]
    shapes: Vec<TensorShapeProto>,
}

/// Whether all that a signature takes are strings, and so may be examples.
pub(crate) fn takes_examples(definition: &SignatureDef) -> bool {
    let mut inputs = definition.inputs.values();
    inputs.len() == 1 && inputs.all(|input| input.dtype == DataType::DtString as i32)
}

/// The model with the signature replaced, if its graph, the one at `position`, parses the examples
/// at once, and into features of fixed length.
pub(crate) fn replace(
    files: &Directory,
    position: usize,
    name: &str,
    definition: &SignatureDef,
) -> Option<Parsing> {
    let mut model = Graphs::decode(files.file(FILE)?).ok()?;
    let graph = model.graphs.get_mut(position)?;
    let nodes = Graph::decode(&graph[..]).ok()?.definition?.nodes;
    let nodes: HashMap<_, _> = nodes.iter().map(|node| (&node.name[..], node)).collect();
    let Some(Encoding::Name(fed)) = &definition.inputs.values().next()?.encoding else {
        return None;
    };
    let fed = fed.split(':').next()?;
    let parser = nodes.values().find(|node| {
        let input = node.inputs.first();
        let source = input.and_then(|input| source(&nodes, input, &["Identity"]));
        matches!(&node.operator[..], "ParseExample" | "ParseExampleV2")
            && source.is_some_and(|source| source.name == fed)
    })?;
    let (features, defaults) = features(&nodes, parser)?;
    let replaced = SignatureDef {
        inputs: features,
        ..definition.clone()
    };
    let addition = MetaGraphDef {
        meta_info_def: None,
        signature_def: [(name.to_owned(), replaced)].into(),
    };
    // Of entries with one name the last one counts, and messages one behind the other are merged.
    *graph = [&graph[..], &addition.encode_to_vec()].concat().into();
    let copies = files.files().map(|(path, bytes)| {
        let bytes = if path == FILE {
            model.encode_to_vec()
        } else {
            bytes.to_vec()
        };
        (path.to_owned(), bytes)
    });
    Some(Parsing {
        files: Directory::new(copies.collect()),
        defaults,
    })
}

/// The node that a value comes from, behind those of these operators, which hand on their first
/// input.
fn source<'n>(nodes: &HashMap<&str, &'n Node>, input: &str, through: &[&str]) -> Option<&'n Node> {
    let mut node = *nodes.get(input.split(':').next()?)?;
    for _ in 0..nodes.len() {
        if !through.contains(&&node.operator[..]) {
            return Some(node);
        }
        node = nodes.get(node.inputs.first()?.split(':').next()?)?;
    }
    None
}

/// What the operator gives for each of its dense features, and what it gives where an example has
/// none.
fn features(
    nodes: &HashMap<&str, &Node>,
    parser: &Node,
) -> Option<(BTreeMap<String, TensorInfo>, Features)> {
    let list = |name: &str| {
        parser
            .attributes
            .get(name)
            .and_then(|value| value.list.clone())
    };
    let number = |name: &str| {
        let value = parser.attributes.get(name);
        usize::try_from(value.map_or(0, |value| value.number)).ok()
    };
    let types = list("Tdense").unwrap_or_default().types;
    let shapes = list("dense_shapes").unwrap_or_default().shapes;
    // `tf.io.parse_example` gives a default the shape of its feature.
    let constant = |input: Option<&String>| {
        let node = source(nodes, input?, &["Identity", "Reshape"])?;
        node.attributes.get("value")?.tensor.clone()
    };
    // Serialized examples and their names come first.
    let (sparse, keys, defaults) = if parser.operator == "ParseExample" {
        let sparse = number("Nsparse")?;
        let keys = (0..types.len()).map(|at| {
            let key = constant(parser.inputs.get(2 + sparse + at))?;
            key.string_val.into_iter().next()
        });
        let keys = keys.collect::<Option<Vec<_>>>()?;
        (sparse, keys, 2 + sparse + types.len())
    } else {
        let keys = constant(parser.inputs.get(3))?.string_val;
        (number("num_sparse")?, keys, 5)
    };
    if keys.len() != types.len() || shapes.len() != types.len() {
        return None;
    }
    let mut features = BTreeMap::new();
    let mut missing = Features::new();
    for (at, ((key, data_type), shape)) in keys.iter().zip(&types).zip(shapes).enumerate() {
        let key = std::str::from_utf8(key).ok()?.to_owned();
        let mut dim = vec![Dim {
            size: -1,
            name: String::new(),
        }];
        dim.extend(shape.dim);
        let info = TensorInfo {
            encoding: Some(Encoding::Name(format!(
                "{}:{}",
                parser.name,
                3 * sparse + at
            ))),
            dtype: *data_type,
            tensor_shape: Some(TensorShapeProto {
                dim,
                unknown_rank: false,
            }),
        };
        let default = values(constant(parser.inputs.get(defaults + at))?)?;
        // An empty one is none.
        if default.len() > 0 {
            missing.insert(key.clone(), default);
        }
        features.insert(key, info);
    }
    Some((features, missing))
}

/// The values of a constant.
fn values(tensor: TensorProto) -> Option<Values> {
    let element = match DataType::try_from(tensor.dtype).ok()? {
        DataType::DtFloat => Element::Float,
        DataType::DtInt64 => Element::Int64,
        DataType::DtString => Element::Text,
        _ => return None,
    };
    let port = Port {
        name: String::new(),
        shape: Vec::new(),
        element,
    };
    Some(match codec::decode(tensor, &port).ok()?.data {
        Data::Float(values) => Values::Decimal(values.into_iter().map(f64::from).collect()),
        Data::Int64(values) => Values::Whole(values),
        Data::Text(values) => Values::Text(values),
        _ => return None,
    })
}
