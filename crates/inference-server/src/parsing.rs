//! Signatures that take serialized examples, as `classify` and `regress` of a SavedModel do.
//!
//! Their graph begins with an operator that parses the examples. The server has them parsed
//! already, and so the signature is replaced by one that is fed what the operator would give: a
//! value for each feature.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use protobufs::tensorflow::tensor_info::Encoding;
use protobufs::tensorflow::tensor_shape_proto::Dim;
use protobufs::tensorflow::{DataType, MetaGraphDef, SignatureDef, TensorInfo, TensorShapeProto};
use tensor::{Data, Directory};

use crate::examples::{Features, Values};
use crate::nodes::{Graphs, Node, Nodes};
use crate::saved_model::FILE;

/// A model whose signature takes features in place of serialized examples.
pub(crate) struct Parsing {
    pub(crate) files: Directory,
    /// What a feature is that an example does not have.
    pub(crate) defaults: Features,
}

/// Whether all that a signature takes are strings, and so may be examples.
pub(crate) fn takes_examples(definition: &SignatureDef) -> bool {
    let mut inputs = definition.inputs.values();
    inputs.len() == 1 && inputs.all(|input| input.dtype == DataType::DtString as i32)
}

/// The model with the signature replaced, if its graph, the one at `position`, parses the examples
/// at once, and into features of fixed length. The inputs are those features that the `computed`
/// outputs need.
pub(crate) fn replace(
    files: &Directory,
    position: usize,
    nodes: &Nodes,
    name: &str,
    definition: &SignatureDef,
    computed: &[String],
) -> Option<Parsing> {
    let Some(Encoding::Name(fed)) = &definition.inputs.values().next()?.encoding else {
        return None;
    };
    let fed = fed.split(':').next()?;
    let outputs = computed.iter().filter_map(|name| {
        let Encoding::Name(value) = definition.outputs.get(name)?.encoding.as_ref()?;
        Some(&value[..])
    });
    let needed = nodes.behind(outputs);
    let parser = needed.iter().find_map(|(name, _)| {
        let node = nodes.of(name)?;
        let source = nodes.source(node.inputs.first()?, |node| node.operator == "Identity")?;
        let parses = matches!(&node.operator[..], "ParseExample" | "ParseExampleV2");
        (parses && source.name == fed).then_some(node)
    })?;
    let (features, defaults) = features(nodes, parser, &needed)?;
    let replaced = SignatureDef {
        inputs: features,
        ..definition.clone()
    };
    let addition = MetaGraphDef {
        meta_info_def: None,
        signature_def: [(name.to_owned(), replaced)].into(),
    };
    let mut model = Graphs::decode(files.file(FILE)?).ok()?;
    let graph = model.graphs.get_mut(position)?;
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

/// What the operator gives for each of its dense features that is needed, and what it gives where an
/// example has none.
fn features(
    nodes: &Nodes,
    parser: &Node,
    needed: &BTreeSet<(String, usize)>,
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
        nodes
            .source(input?, |node| {
                matches!(&node.operator[..], "Identity" | "Reshape")
            })?
            .constant()
    };
    let texts = |data| match data {
        Data::Text(texts) => Some(texts),
        _ => None,
    };
    // Serialized examples and their names come first.
    let (sparse, keys, defaults) = if parser.operator == "ParseExample" {
        let sparse = number("Nsparse")?;
        let keys = (0..types.len()).map(|at| {
            let key = constant(parser.inputs.get(2 + sparse + at))?;
            texts(key.data)?.into_iter().next()
        });
        let keys = keys.collect::<Option<Vec<_>>>()?;
        (sparse, keys, 2 + sparse + types.len())
    } else {
        let keys = texts(constant(parser.inputs.get(3))?.data)?;
        (number("num_sparse")?, keys, 5)
    };
    if keys.len() != types.len() || shapes.len() != types.len() {
        return None;
    }
    let mut features = BTreeMap::new();
    let mut missing = Features::new();
    for (at, ((key, data_type), shape)) in keys.into_iter().zip(&types).zip(shapes).enumerate() {
        let position = 3 * sparse + at;
        if !needed.contains(&(parser.name.clone(), position)) {
            continue;
        }
        let mut dim = vec![Dim {
            size: -1,
            name: String::new(),
        }];
        dim.extend(shape.dim);
        let info = TensorInfo {
            encoding: Some(Encoding::Name(format!("{}:{position}", parser.name))),
            dtype: *data_type,
            tensor_shape: Some(TensorShapeProto {
                dim,
                unknown_rank: false,
            }),
        };
        let default = values(constant(parser.inputs.get(defaults + at))?.data)?;
        // An empty one is none.
        if default.len() > 0 {
            missing.insert(key.clone(), default);
        }
        features.insert(key, info);
    }
    Some((features, missing))
}

/// What a feature is that has these values.
fn values(data: Data) -> Option<Values> {
    match data {
        Data::Float(values) => Some(Values::Decimal(values.into_iter().map(f64::from).collect())),
        Data::Int64(values) => Some(Values::Whole(values)),
        Data::Text(values) => Some(Values::Text(values)),
        _ => None,
    }
}
