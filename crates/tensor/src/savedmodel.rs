//! TensorFlow SavedModels: `saved_model.pb`, and the variables' files beside it.
//!
//! What runs is one signature of one graph. The graph's functions are put in place of their calls,
//! its variables become constants, and what remains is imported as a frozen graph is.

mod bundle;
mod inliner;
mod library;
mod messages;
#[cfg(feature = "libtensorflow")]
pub(crate) mod ports;
mod restoration;
mod selection;
mod table;
#[cfg(test)]
mod tests;
mod variables;

use crate::graphdef::{self, Known, messages as graph};
use crate::plan::Draft;
use crate::protobuf::{Kind, check};
use crate::{Directory, Error, Options};
use graph::{AttrValue, Attribute, DataType, NodeDef, TensorProto, TensorShapeProto};
use inliner::{Feed, Flat, Inliner};
use library::Library;
use messages::{GraphDef, SavedModel, TensorInfo};
use prost::Message;
use selection::{Feeding, Selection};

/// The messages of the file, as far as they are decoded.
const SCHEMA: [Kind; LEAF + 1] = [
    &[(2, META)],
    &[(1, INFO), (2, GRAPH), (3, LEAF), (5, SIGNATURE_ENTRY)],
    &[(2, OPERATORS)],
    &[(1, OPERATOR)],
    &[(2, LEAF), (3, LEAF), (4, DEFAULT)],
    &[(3, VALUE)],
    &[(1, NODE), (2, FUNCTIONS)],
    &[(1, FUNCTION)],
    &[(1, OPERATOR), (3, NODE), (4, LEAF), (6, LEAF)],
    &[(5, ATTRIBUTE)],
    &[(2, VALUE)],
    &[(1, LEAF), (7, SHAPE), (8, TENSOR), (10, CALL)],
    &[(2, ATTRIBUTE)],
    &[(2, LEAF)],
    &[(2, SHAPE)],
    &[(2, SIGNATURE)],
    &[(1, PORT), (2, PORT), (4, CONSTANT)],
    &[(2, TENSOR_INFO)],
    &[(3, SHAPE)],
    &[(2, TENSOR)],
    &[],
];
const META: usize = 1;
const INFO: usize = 2;
const OPERATORS: usize = 3;
const OPERATOR: usize = 4;
const DEFAULT: usize = 5;
const GRAPH: usize = 6;
const FUNCTIONS: usize = 7;
const FUNCTION: usize = 8;
const NODE: usize = 9;
const ATTRIBUTE: usize = 10;
const VALUE: usize = 11;
const CALL: usize = 12;
const SHAPE: usize = 13;
const TENSOR: usize = 14;
const SIGNATURE_ENTRY: usize = 15;
const SIGNATURE: usize = 16;
const PORT: usize = 17;
const TENSOR_INFO: usize = 18;
const CONSTANT: usize = 19;
const LEAF: usize = 20;

/// The file of the graphs.
const FILE: &str = "saved_model.pb";

/// Chooses a signature of a SavedModel, and checks what its outputs depend on.
pub(crate) fn read(files: &Directory, options: &Options) -> Result<Draft, Error> {
    let (root, bytes) = file(files)?;
    check(bytes, &SCHEMA, malformed)?;
    let model: SavedModel = decoded(bytes)?;
    let meta = selection::meta_graph(&model, &options.tags)?;
    let selection = selection::select(meta, options)?;
    let graph: GraphDef = decoded(&meta.graph_def)?;
    let library = Library::of(meta, &graph)?;
    let mut inliner = Inliner::new(&library, bytes.len());
    let fed = feed(&selection, &library, &mut inliner)?;
    let (names, values) = outputs(&selection)?;
    let mut flat = inliner.flatten(&values)?;
    variables::check_unchanged(&flat, &mut inliner, &values)?;
    let prefix = format!("{root}variables/variables");
    let constants = variables::freeze(&mut flat, &mut inliner, meta, files, &prefix)?;
    convert_shapes(&selection, &mut flat);
    let named = |node: &NodeDef| node.name.clone();
    let inputs = selection.fed.iter().map(|name| (*name).to_owned());
    let inputs = inputs.zip(fed.iter().map(named)).collect();
    let mut nodes = flat.nodes;
    nodes.extend(inliner.into_feeds());
    graphdef::import(&Known {
        nodes,
        values: constants,
        inputs,
        outputs: names.into_iter().zip(flat.outputs).collect(),
    })
}

fn decoded<M: Message + Default>(bytes: &[u8]) -> Result<M, Error> {
    M::decode(bytes).map_err(|cause| malformed(cause.to_string()))
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed {
        format: "TensorFlow SavedModel",
        reason: reason.into(),
    }
}

/// The file of the graphs, and the path to it.
fn file(files: &Directory) -> Result<(String, &[u8]), Error> {
    let root = root(files)?;
    let bytes = files.file(&format!("{root}{FILE}")).unwrap_or_default();
    Ok((root, bytes))
}

/// The path to the directory that holds the file: the one itself, or the only one in it, as those
/// have it who keep a directory for each version.
fn root(files: &Directory) -> Result<String, Error> {
    if files.file(FILE).is_some() {
        return Ok(String::new());
    }
    let inside = files.files().filter_map(|(path, _)| {
        let root = path.strip_suffix(FILE)?;
        root.ends_with('/').then_some(root)
    });
    let inside: Vec<&str> = inside.collect();
    match inside.as_slice() {
        [root] => Ok((*root).to_owned()),
        [] if files.files().any(|(path, _)| path.ends_with(".pbtxt")) => Err(malformed(
            "it is text (`saved_model.pbtxt`), which is not read",
        )),
        [] => Err(malformed(format!("there is no file `{FILE}`"))),
        several => Err(malformed(format!(
            "there are several in it, one of these is meant: {}",
            several.join(", ")
        ))),
    }
}

/// Puts placeholders, or constants, where the signature's inputs are, and returns the placeholders
/// in the order in which they are fed.
fn feed(
    selection: &Selection<'_>,
    library: &Library<'_>,
    inliner: &mut Inliner<'_, '_>,
) -> Result<Vec<NodeDef>, Error> {
    let mut fed = Vec::new();
    for (position, (name, info, feeding)) in selection.inputs.iter().enumerate() {
        if info.name.is_empty() {
            return Err(several(&format!("input `{name}`")));
        }
        let (input, _) = info.name.split_once(':').unwrap_or((&info.name, ""));
        let input = library.graph.node(input);
        let input = input.ok_or_else(|| malformed(format!("there is no `{}`", info.name)))?;
        let node = match feeding {
            Feeding::Fed(order) => {
                let node = placeholder(position, info, input);
                fed.push((*order, node.clone()));
                Some(node)
            }
            Feeding::Default(value) => Some(constant(position, value)),
            // It keeps its default.
            Feeding::Missing if input.op == "PlaceholderWithDefault" => continue,
            Feeding::Missing => None,
        };
        let name = (*name).to_owned();
        if inliner.feed(&info.name, Feed { node, name })? {
            return Err(malformed(format!("`{}` is two inputs", info.name)));
        }
    }
    fed.sort_by_key(|(order, _)| *order);
    Ok(fed.into_iter().map(|(_, node)| node).collect())
}

/// A node that is fed, of the type that the signature says. The shape is the graph's where the
/// signature has none.
fn placeholder(position: usize, info: &TensorInfo, input: &NodeDef) -> NodeDef {
    let shape = info.tensor_shape.as_ref();
    let shape = match shape.filter(|shape| !shape.unknown_rank) {
        Some(shape) => Some(Attribute::Shape(shape.clone())),
        None => input.attr.get("shape").and_then(|it| it.value.clone()),
    };
    let unknown = || {
        Attribute::Shape(TensorShapeProto {
            unknown_rank: true,
            ..TensorShapeProto::default()
        })
    };
    node(
        format!(".input.{position}"),
        "Placeholder",
        Vec::new(),
        [
            ("dtype", Attribute::Type(info.dtype)),
            ("shape", shape.unwrap_or_else(unknown)),
        ],
    )
}

/// A node for an input that has a value of its own.
fn constant(position: usize, value: &TensorProto) -> NodeDef {
    node(
        format!(".input.{position}"),
        "Const",
        Vec::new(),
        [
            ("dtype", Attribute::Type(value.dtype)),
            ("value", Attribute::Tensor(value.clone())),
        ],
    )
}

fn node<const N: usize>(
    name: String,
    operator: &str,
    input: Vec<String>,
    attributes: [(&str, Attribute); N],
) -> NodeDef {
    let attribute = |(name, value): (&str, Attribute)| {
        let value = AttrValue { value: Some(value) };
        (name.to_owned(), value)
    };
    NodeDef {
        name,
        op: operator.to_owned(),
        input,
        attr: attributes.into_iter().map(attribute).collect(),
    }
}

/// The names of the outputs, and of the values that they are.
fn outputs<'a>(selection: &Selection<'a>) -> Result<(Vec<String>, Vec<&'a str>), Error> {
    let mut names = Vec::new();
    let mut values = Vec::new();
    for (name, info) in &selection.outputs {
        if info.name.is_empty() {
            return Err(several(&format!("output `{name}`")));
        }
        names.push((*name).to_owned());
        values.push(info.name.as_str());
    }
    Ok((names, values))
}

/// Makes integers of outputs that are integers: a shape is something else to the runtime.
fn convert_shapes(selection: &Selection<'_>, flat: &mut Flat<'_>) {
    for (position, (_, info)) in selection.outputs.iter().enumerate() {
        let integers = [DataType::Int32 as i32, DataType::Int64 as i32];
        let value = flat.outputs.get_mut(position);
        let Some(value) = value.filter(|_| integers.contains(&info.dtype)) else {
            continue;
        };
        let name = format!(".output.{position}");
        let value = std::mem::replace(value, name.clone());
        flat.nodes.push(node(
            name,
            "Cast",
            vec![value],
            [("DstT", Attribute::Type(info.dtype))],
        ));
    }
}

/// What is said of a port that is a sparse or a ragged tensor.
fn several(port: &str) -> Error {
    Error::Unsupported {
        operators: vec![format!("{port} of several tensors")],
    }
}
