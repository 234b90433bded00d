//! The nodes of a SavedModel's graph, as far as they say how a signature is to be served. What they
//! compute is the crate `tensor`'s.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use protobufs::tensorflow::{TensorProto, TensorShapeProto};
use tensor::{Directory, Tensor};

use crate::codec;
use crate::saved_model::FILE;

/// The nodes of a graph by their names; those of its functions are not among them.
pub(crate) struct Nodes(HashMap<String, Node>);

/// A SavedModel whose graphs are not looked into.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Graphs {
    #[prost(int64, tag = "1")]
    version: i64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) graphs: Vec<Bytes>,
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
pub(crate) struct Node {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) operator: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) inputs: Vec<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(message, optional, tag = "1")]
    pub(crate) list: Option<List>,
    #[prost(int64, tag = "3")]
    pub(crate) number: i64,
    #[prost(message, optional, tag = "8")]
    pub(crate) tensor: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct List {
    #[prost(int32, repeated, tag = "6")]
    pub(crate) types: Vec<i32>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) shapes: Vec<TensorShapeProto>,
}

impl Nodes {
    /// Those of the graph at this position of the file.
    pub(crate) fn read(files: &Directory, position: usize) -> Option<Self> {
        let model = Graphs::decode(files.file(FILE)?).ok()?;
        let nodes = Graph::decode(&model.graphs.get(position)?[..]).ok()?;
        let nodes = nodes.definition?.nodes.into_iter();
        Some(Self(nodes.map(|node| (node.name.clone(), node)).collect()))
    }

    /// These values, and all that they are computed from, each with its position.
    pub(crate) fn behind<'n>(
        &'n self,
        values: impl Iterator<Item = &'n str>,
    ) -> BTreeSet<(String, usize)> {
        let mut found = BTreeSet::new();
        let mut visited = HashSet::new();
        let mut open: Vec<&str> = values.collect();
        while let Some(value) = open.pop() {
            let (name, position) = value.split_once(':').unwrap_or((value, "0"));
            found.insert((name.to_owned(), position.parse().unwrap_or(0)));
            if let Some(node) = self.0.get(name).filter(|_| visited.insert(name)) {
                let inputs = node.inputs.iter().map(String::as_str);
                // What only has to run before (`^NAME`) gives no value.
                open.extend(inputs.filter(|input| !input.starts_with('^')));
            }
        }
        found
    }

    /// The node of a value, `NAME:POSITION`.
    pub(crate) fn of(&self, value: &str) -> Option<&Node> {
        self.0.get(value.split(':').next()?)
    }

    /// The node that a value comes from, behind those that only hand on their first input.
    pub(crate) fn source(&self, value: &str, through: impl Fn(&Node) -> bool) -> Option<&Node> {
        let mut node = self.of(value)?;
        for _ in 0..self.0.len() {
            if !through(node) {
                return Some(node);
            }
            node = self.of(node.inputs.first()?)?;
        }
        None
    }
}

impl Node {
    /// The value, if this is a constant.
    pub(crate) fn constant(&self) -> Option<Tensor> {
        let value = self.attributes.get("value")?.tensor.clone()?;
        codec::constant(value).ok()
    }
}
