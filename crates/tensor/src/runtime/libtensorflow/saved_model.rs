//! SavedModels: `saved_model.pb` says which values of a graph a signature means; the library reads
//! the rest, from a directory of its own.

use super::{configuration, guarded, library, parts};
use crate::graph::Parts;
use crate::graphdef::ports::Slot;
use crate::protobuf::{Kind, check};
use crate::{Directory, Error, Options, Role};
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Component, Path};
use tensorflow::{Graph, SavedModelBundle};

/// The file that describes the model.
const FILE: &str = "saved_model.pb";

/// What is taken where the options say nothing, if there is a choice.
const SIGNATURE: &str = "serving_default";
const TAG: &str = "serve";

/// The messages of the file, as far as they are decoded.
const SCHEMA: &[Kind] = &[
    &[(2, GRAPH)],
    &[(1, LEAF), (5, NAMED_SIGNATURE)],
    &[(2, SIGNATURE_DEF)],
    &[(1, NAMED_TENSOR), (2, NAMED_TENSOR)],
    &[(2, LEAF)],
    &[],
];
const GRAPH: usize = 1;
const NAMED_SIGNATURE: usize = 2;
const SIGNATURE_DEF: usize = 3;
const NAMED_TENSOR: usize = 4;
const LEAF: usize = 5;

/// `saved_model.proto`, and what it uses of `meta_graph.proto`, in `tensorflow/core/protobuf`.
#[derive(Clone, PartialEq, prost::Message)]
struct SavedModel {
    #[prost(message, repeated, tag = "2")]
    meta_graphs: Vec<MetaGraph>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetaGraph {
    #[prost(message, optional, tag = "1")]
    meta_info: Option<MetaInfo>,
    #[prost(map = "string, message", tag = "5")]
    signatures: HashMap<String, Signature>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetaInfo {
    #[prost(string, repeated, tag = "4")]
    tags: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Signature {
    #[prost(btree_map = "string, message", tag = "1")]
    inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    outputs: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TensorInfo {
    /// `node:0`; empty of a sparse tensor.
    #[prost(string, tag = "1")]
    name: String,
}

/// Loads a SavedModel.
pub(crate) fn load_saved_model(files: &Directory, options: &Options) -> Result<Parts, Error> {
    let file = files.file(FILE).ok_or(Error::Empty)?;
    check(file, SCHEMA, malformed)?;
    let model = SavedModel::decode(file).map_err(|cause| malformed(cause.to_string()))?;
    let graph = graph(&model, &options.tags)?;
    let signature = signature(graph, options.signature.as_deref())?;
    let inputs = slots(&signature.inputs, &options.inputs, Role::Input)?;
    let outputs = slots(&signature.outputs, &options.outputs, Role::Output)?;
    library()?;
    let directory = written(files).map_err(|cause| Error::Load {
        reason: format!("it cannot be written to a temporary directory: {cause}"),
    })?;
    // What the library needs of the files it reads now: variables, and the vocabularies of tables.
    let (graph, session) = guarded(|| {
        let mut loaded = Graph::new();
        let bundle = SavedModelBundle::load(
            &configuration()?,
            tags(graph),
            &mut loaded,
            directory.path(),
        )?;
        Ok((loaded, bundle.session))
    })
    .map_err(|reason| Error::Load { reason })?;
    parts(&graph, session, &inputs, &outputs)
}

fn malformed(reason: String) -> Error {
    Error::Malformed {
        format: "TensorFlow SavedModel",
        reason,
    }
}

fn tags(graph: &MetaGraph) -> &[String] {
    graph.meta_info.as_ref().map_or(&[], |info| &info.tags)
}

/// The graph that has all these tags; by default the one for serving, or the only one.
fn graph<'a>(model: &'a SavedModel, wanted: &[String]) -> Result<&'a MetaGraph, Error> {
    if let ([only], []) = (model.meta_graphs.as_slice(), wanted) {
        return Ok(only);
    }
    let serving = [TAG.to_owned()];
    let wanted = if wanted.is_empty() { &serving } else { wanted };
    let mut fitting = model
        .meta_graphs
        .iter()
        .filter(|graph| wanted.iter().all(|tag| tags(graph).contains(tag)));
    if let (Some(graph), None) = (fitting.next(), fitting.next()) {
        return Ok(graph);
    }
    let all: Vec<String> = model
        .meta_graphs
        .iter()
        .map(|graph| tags(graph).join("+"))
        .collect();
    Err(malformed(format!(
        "not one graph with the tags {}, there are: {}",
        wanted.join(", "),
        all.join(", ")
    )))
}

fn signature<'a>(graph: &'a MetaGraph, wanted: Option<&str>) -> Result<&'a Signature, Error> {
    let mut computing = graph
        .signatures
        .iter()
        .filter(|(_, signature)| !signature.outputs.is_empty());
    if let (None, None) = (wanted, graph.signatures.get(SIGNATURE))
        && let (Some((_, only)), None) = (computing.next(), computing.next())
    {
        return Ok(only);
    }
    let name = wanted.unwrap_or(SIGNATURE);
    graph.signatures.get(name).ok_or_else(|| {
        let mut names: Vec<&str> = graph.signatures.keys().map(String::as_str).collect();
        names.sort_unstable();
        malformed(format!(
            "no signature `{name}`, there are: {}",
            names.join(", ")
        ))
    })
}

/// The values that are named, or all, in the order of their names.
fn slots(
    values: &BTreeMap<String, TensorInfo>,
    names: &[String],
    role: Role,
) -> Result<Vec<Slot>, Error> {
    let all: Vec<String> = values.keys().cloned().collect();
    let names = if names.is_empty() { &all } else { names };
    if names.is_empty() {
        return Err(Error::Ambiguous {
            role,
            candidates: all,
        });
    }
    if role == Role::Input
        && let missing @ [_, ..] = &*all
            .iter()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect::<Vec<_>>()
    {
        return Err(Error::Unbound {
            names: missing.to_vec(),
        });
    }
    let slot = |name: &String| {
        let value = values.get(name).ok_or_else(|| Error::UnknownPort {
            role,
            name: name.clone(),
            candidates: all.clone(),
        })?;
        let slot = value.name.rsplit_once(':').and_then(|(node, position)| {
            Some(Slot {
                name: name.clone(),
                node: node.to_owned(),
                position: position.parse().ok()?,
            })
        });
        slot.ok_or_else(|| malformed(format!("the {role} `{name}` is no dense tensor")))
    };
    names.iter().map(slot).collect()
}

/// The files in a directory that is removed when it is dropped.
fn written(files: &Directory) -> std::io::Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("saved-model-").tempdir()?;
    for (name, bytes) in files.files() {
        let name = Path::new(name);
        if !name
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            let reason = format!("{} is outside of it", name.display());
            return Err(std::io::Error::other(reason));
        }
        let path = directory.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, bytes)?;
    }
    Ok(directory)
}
