//! TensorFlow graphs and ONNX files as runnable graphs.
//!
//! A [`Graph`] comes out of a file's bytes, in one of the formats below, and turns tensors into
//! tensors. It knows nothing of streams, of records, or of where the bytes came from.
//!
//! | format | constructor | module |
//! |---|---|---|
//! | TensorFlow frozen `GraphDef` | [`Graph::from_graphdef`] | `graphdef` |
//! | TensorFlow SavedModel | [`Graph::from_saved_model`] | `savedmodel` |
//! | ONNX `ModelProto` | [`Graph::from_onnx`] | `onnx` |
//!
//! A format's module turns bytes into a checked graph with named inputs and outputs; everything
//! after that (types, batch dimension, limits, running) is shared by all of them.
//!
//! A [`Runtime`] runs it: this crate itself, or a library that is found at run time, where this
//! program was built with the feature `libtensorflow` or `onnxruntime`.
//!
//! What cannot be evaluated faithfully is refused by name when the file is loaded. Bytes that are
//! not a model are an [`Error`], never a panic.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let graph = tensor::Graph::from_graphdef(&std::fs::read("mlp.pb")?, &Default::default())?;
//! let width = graph.width().ok_or("the model does not take one vector")?;
//! let mut scratch = graph.scratch();
//! let mut scores = Vec::new();
//! let rows = vec![0.5; 3 * width];
//! let values = graph.run_rows(&rows, 3, &mut scratch, &mut scores)?;
//! assert_eq!(scores.len(), 3 * values);
//! # Ok(())
//! # }
//! ```

mod bounded;
mod dense;
mod directory;
mod einsum;
mod elements;
mod error;
mod exponential;
mod extremes;
mod functions;
mod graph;
mod graphdef;
mod lanes;
mod layers;
mod lowering;
mod mended;
mod native;
mod onnx;
mod plan;
mod protobuf;
mod runtime;
mod savedmodel;
mod sealed;
mod shield;
mod softmax;
mod tensor;
mod tile;
mod values;

pub use directory::Directory;
pub use error::{Error, Role};
pub use graph::Graph;
pub use native::Scratch;
pub use runtime::{Found, Runtime, UnknownRuntime, runtimes};
pub use tensor::{Data, Element, Port, Tensor};

/// Which values of a file are fed and which are asked for.
///
/// Names are the file's own: of a GraphDef, node names, with `:1` and so on for a node's further
/// outputs; of a SavedModel, the names in the signature; of ONNX, value names. Order counts: [`Graph::inputs`] and [`Graph::outputs`] have the
/// order given here. An empty list means that they are found in the graph: all inputs that the
/// outputs depend on, in the order of the file; of a GraphDef the one result that no node
/// consumes, of ONNX the outputs that the file declares; of a SavedModel, all of the signature, in
/// alphabetical order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Names of the values to feed. Every input that the outputs depend on has to be among them.
    pub inputs: Vec<String>,
    /// Names of the values to compute.
    pub outputs: Vec<String>,
    /// Of a SavedModel, the signature whose inputs and outputs are meant. By default
    /// `serving_default`, or the only one there is.
    pub signature: Option<String>,
    /// Of a SavedModel, the tags of the graph that is meant, all of them. By default `serve`, or
    /// those of the only graph there is.
    pub tags: Vec<String>,
    /// What runs the graph. By default this crate itself, and where it does not support the graph,
    /// the library that does, if this program was built with it and it is found.
    pub runtime: Option<Runtime>,
}
