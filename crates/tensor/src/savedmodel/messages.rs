//! The messages of a SavedModel, as far as they are read: `saved_model.proto`, `meta_graph.proto`,
//! `saver.proto`, `tensor_bundle.proto` and `trackable_object_graph.proto` of
//! `tensorflow/core/protobuf`; `op_def.proto`, `function.proto` and `tensor_slice.proto` of
//! `tensorflow/core/framework`.

use super::graph::{AttrValue, DataType, NodeDef, TensorProto, TensorShapeProto};
use std::collections::{BTreeMap, HashMap};

/// The file `saved_model.pb`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SavedModel {
    #[prost(message, repeated, tag = "2")]
    pub(crate) meta_graphs: Vec<MetaGraphDef>,
}

/// A graph and what it is for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetaGraphDef {
    #[prost(message, optional, tag = "1")]
    pub(crate) meta_info_def: Option<MetaInfoDef>,
    /// A [`GraphDef`], still to be decoded: it is most of the file, and not all want it.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) graph_def: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub(crate) saver_def: Option<SaverDef>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(crate) signature_def: BTreeMap<String, SignatureDef>,
}

/// What a graph is tagged with, and the definitions of the operators in it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetaInfoDef {
    #[prost(message, optional, tag = "2")]
    pub(crate) stripped_op_list: Option<OpList>,
    #[prost(string, repeated, tag = "4")]
    pub(crate) tags: Vec<String>,
}

/// Definitions of operators.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OpList {
    #[prost(message, repeated, tag = "1")]
    pub(crate) op: Vec<OpDef>,
}

/// The definition of an operator, or the signature of a function.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OpDef {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) input_arg: Vec<ArgDef>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) output_arg: Vec<ArgDef>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) attr: Vec<AttrDef>,
}

/// An argument or a result: one tensor, or as many as one of the attributes says.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ArgDef {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "5")]
    pub(crate) number_attr: String,
    #[prost(string, tag = "6")]
    pub(crate) type_list_attr: String,
}

/// An attribute of an operator.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AttrDef {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) default_value: Option<AttrValue>,
}

/// A graph with its functions.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeDef>,
    #[prost(message, optional, tag = "2")]
    pub(crate) library: Option<FunctionDefLibrary>,
}

/// Functions.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FunctionDefLibrary {
    #[prost(message, repeated, tag = "1")]
    pub(crate) function: Vec<FunctionDef>,
}

/// A function. Inside it, `argument` and `node:result:1` are what `node` and `node:1` are outside.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FunctionDef {
    #[prost(message, optional, tag = "1")]
    pub(crate) signature: Option<OpDef>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) node_def: Vec<NodeDef>,
    /// Of each result, the value it is.
    #[prost(map = "string, string", tag = "4")]
    pub(crate) ret: HashMap<String, String>,
    /// The nodes that run whatever is asked for.
    #[prost(btree_map = "string, string", tag = "6")]
    pub(crate) control_ret: BTreeMap<String, String>,
}

/// How variables are saved and restored.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SaverDef {
    #[prost(string, tag = "3")]
    pub(crate) restore_op_name: String,
}

/// Names for values of the graph.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SignatureDef {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(crate) outputs: BTreeMap<String, TensorInfo>,
    /// Values of inputs that need not be fed.
    #[prost(btree_map = "string, message", tag = "4")]
    pub(crate) defaults: BTreeMap<String, TensorProto>,
}

/// A value of the graph. One that is several tensors has no name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TensorInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(enumeration = "DataType", tag = "2")]
    pub(crate) dtype: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) tensor_shape: Option<TensorShapeProto>,
}

/// Of the variables' files, what is under the empty key.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BundleHeaderProto {
    #[prost(int32, tag = "1")]
    pub(crate) num_shards: i32,
    /// 0 is little endian.
    #[prost(int32, tag = "2")]
    pub(crate) endianness: i32,
}

/// Where in the variables' files a tensor is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BundleEntryProto {
    #[prost(enumeration = "DataType", tag = "1")]
    pub(crate) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
    #[prost(int32, tag = "3")]
    pub(crate) shard_id: i32,
    #[prost(int64, tag = "4")]
    pub(crate) offset: i64,
    #[prost(int64, tag = "5")]
    pub(crate) size: i64,
    #[prost(fixed32, tag = "6")]
    pub(crate) crc32c: u32,
    /// The parts of a tensor that is not in one piece.
    #[prost(message, repeated, tag = "7")]
    pub(crate) slices: Vec<TensorSliceProto>,
}

/// A part of a tensor; where it is does not matter here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TensorSliceProto {}

/// The objects that a checkpoint was made of.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TrackableObjectGraph {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<TrackableObject>,
}

/// One of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TrackableObject {
    #[prost(message, repeated, tag = "2")]
    pub(crate) attributes: Vec<SerializedTensor>,
}

/// A tensor of an object: the name that the graph has for it, and the key of the checkpoint.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SerializedTensor {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) full_name: String,
    #[prost(string, tag = "3")]
    pub(crate) checkpoint_key: String,
}
